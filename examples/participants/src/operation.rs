//! What the participants can be asked to do, and what they call it.

use serde::{Deserialize, Serialize};

use crate::call::Answer;

/// What a participant can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Operation {
    ReserveFlight,
    CancelFlight,
    ReserveHotel,
    CancelHotel,
    ReserveCar,
    CancelCar,
    Charge,
    Refund,
    Debit,
    Credit,
    Reverse,
    CheckOut,
    IssueTickets,
    VoidTickets,
    SendEmail,
}

impl Operation {
    /// As people write it: `reserve-flight`.
    pub fn name(self) -> &'static str {
        match self {
            Operation::ReserveFlight => "reserve-flight",
            Operation::CancelFlight => "cancel-flight",
            Operation::ReserveHotel => "reserve-hotel",
            Operation::CancelHotel => "cancel-hotel",
            Operation::ReserveCar => "reserve-car",
            Operation::CancelCar => "cancel-car",
            Operation::Charge => "charge",
            Operation::Refund => "refund",
            Operation::Debit => "debit",
            Operation::Credit => "credit",
            Operation::Reverse => "reverse",
            Operation::CheckOut => "check-out",
            Operation::IssueTickets => "issue-tickets",
            Operation::VoidTickets => "void-tickets",
            Operation::SendEmail => "send-email",
        }
    }

    /// What `POST /flights/F100/reserve` and its like ask for, and of which resource.
    pub fn of_path(path: &str) -> Option<(Operation, &str)> {
        let mut parts = path.strip_prefix('/')?.split('/');
        let (Some(kind), Some(resource), Some(verb), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return None;
        };
        let operation = match (kind, verb) {
            ("flights", "reserve") => Operation::ReserveFlight,
            ("flights", "cancel") => Operation::CancelFlight,
            ("hotels", "reserve") => Operation::ReserveHotel,
            ("hotels", "cancel") => Operation::CancelHotel,
            ("cars", "reserve") => Operation::ReserveCar,
            ("cars", "cancel") => Operation::CancelCar,
            ("accounts", "charge") => Operation::Charge,
            ("accounts", "refund") => Operation::Refund,
            ("accounts", "debit") => Operation::Debit,
            ("accounts", "reverse") => Operation::Reverse,
            ("accounts", "credit") => Operation::Credit,
            ("stays", "check-out") => Operation::CheckOut,
            ("tickets", "issue") => Operation::IssueTickets,
            ("tickets", "void") => Operation::VoidTickets,
            ("emails", "send") => Operation::SendEmail,
            _ => return None,
        };
        Some((operation, resource))
    }

    /// It takes back what another one did.
    pub(crate) fn takes_back(self) -> bool {
        use Operation::{CancelCar, CancelFlight, CancelHotel, Refund, Reverse, VoidTickets};
        matches!(self, CancelFlight | CancelHotel | CancelCar | Refund | Reverse | VoidTickets)
    }

    /// The code and the words for "nothing left".
    fn refusal(self) -> (&'static str, &'static str) {
        match self {
            Operation::ReserveFlight => ("no_seat", "has no seats left"),
            Operation::ReserveHotel => ("no_room", "has no rooms left"),
            Operation::ReserveCar => ("no_car", "has no cars left"),
            Operation::Charge | Operation::Debit | Operation::Reverse => ("no_funds", "does not cover it"),
            Operation::Credit => ("no_account", "is no account"),
            Operation::CheckOut => ("not_opened", "is not open"),
            _ => ("refused", "refuses"),
        }
    }

    /// A refusal as this operation makes it.
    pub(crate) fn refuse(self, resource: &str) -> Answer {
        let (code, words) = self.refusal();
        Answer::Refused { code: code.to_owned(), message: format!("{resource} {words}") }
    }
}
