//! What the participants know and do: inventories, accounts, tickets and emails, each effect once. No clock, no network, no faults.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Everything that the participants remember.
#[derive(Clone, Debug)]
pub struct World {
    /// What is left of each flight, hotel and car.
    pub stock: BTreeMap<String, u32>,
    /// What is left on each account, in cents.
    pub accounts: BTreeMap<String, u64>,
    /// The emails that went out.
    pub emails: Vec<Email>,
    /// How often each operation has really changed something.
    pub effects: BTreeMap<String, u32>,
    /// What stands, and what was taken back, by trip and step.
    orders: BTreeMap<(String, String), Order>,
    /// What each `Idempotency-Key` was first used for.
    keys: BTreeMap<String, (Operation, String, Ask)>,
}

/// An email that went out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email {
    /// Of which trip it speaks.
    pub trip: String,
    /// To whom.
    pub to: String,
    /// What it says.
    pub subject: String,
}

/// Flight F100 with 2 seats, hotel H1 with 1 room, 1 car K1, and 1,000.00 on account A.
impl Default for World {
    fn default() -> World {
        World {
            stock: [("F100", 2), ("H1", 1), ("K1", 1)].map(|(name, left)| (name.to_owned(), left)).into(),
            accounts: BTreeMap::from([("A".to_owned(), 100_000)]),
            emails: Vec::new(),
            effects: BTreeMap::new(),
            orders: BTreeMap::new(),
            keys: BTreeMap::new(),
        }
    }
}

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
            ("tickets", "issue") => Operation::IssueTickets,
            ("tickets", "void") => Operation::VoidTickets,
            ("emails", "send") => Operation::SendEmail,
            _ => return None,
        };
        Some((operation, resource))
    }

    fn takes_back(self) -> bool {
        use Operation::{CancelCar, CancelFlight, CancelHotel, Refund, VoidTickets};
        matches!(self, CancelFlight | CancelHotel | CancelCar | Refund | VoidTickets)
    }

    /// The code and the words for "nothing left".
    fn refusal(self) -> (&'static str, &'static str) {
        match self {
            Operation::ReserveFlight => ("no_seat", "has no seats left"),
            Operation::ReserveHotel => ("no_room", "has no rooms left"),
            Operation::ReserveCar => ("no_car", "has no cars left"),
            Operation::Charge => ("no_funds", "does not cover it"),
            _ => ("refused", "refuses"),
        }
    }

    /// A refusal as this operation makes it.
    pub(crate) fn refuse(self, resource: &str) -> Answer {
        let (code, words) = self.refusal();
        Answer::Refused { code: code.to_owned(), message: format!("{resource} {words}") }
    }
}

/// The body of every call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The trip that it is for.
    pub trip: String,
    /// The saga's step that asks; what takes something back names the step that had asked for it.
    pub step: String,
    /// What it costs, in cents.
    #[serde(default)]
    pub amount_cents: u64,
    /// The code that asks, as `trip 1`.
    #[serde(default)]
    pub by: String,
    /// To whom an email goes.
    #[serde(default)]
    pub to: String,
    /// What an email says.
    #[serde(default)]
    pub subject: String,
}

/// The headers that matter, as the host of the saga adds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// `Idempotency-Key`: equal for equal calls.
    pub idempotency: Option<String>,
    /// `Amends-Step-Key`: equal in all attempts of a step.
    pub step: Option<String>,
    /// `Amends-Undoes`: the key of the step that a compensation undoes.
    pub undoes: Option<String>,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It took hold now.
    Done(Value),
    /// It had taken hold before; nothing changed.
    Repeated(Value),
    /// There was nothing to take back; a tombstone refuses what may still come.
    Nothing(Value),
    /// A decision against it; nothing changed.
    Refused {
        /// For machines.
        code: String,
        /// For people.
        message: String,
    },
    /// The same key with another body; nothing changed.
    KeyReused,
}

impl Answer {
    /// As an HTTP status and body.
    pub fn http(&self) -> (u16, Value) {
        match self {
            Answer::Done(body) | Answer::Repeated(body) | Answer::Nothing(body) => (200, body.clone()),
            Answer::Refused { code, message } => (409, json!({"code": code, "message": message})),
            Answer::KeyReused => {
                (422, json!({"code": "key_reused", "message": "this Idempotency-Key came with another request before"}))
            }
        }
    }

    /// A word for the trace.
    pub fn word(&self) -> String {
        match self {
            Answer::Done(_) => "done".to_owned(),
            Answer::Repeated(_) => "repeated".to_owned(),
            Answer::Nothing(_) => "nothing".to_owned(),
            Answer::Refused { code, .. } => format!("refused {code}"),
            Answer::KeyReused => "key reused".to_owned(),
        }
    }
}

#[derive(Clone, Debug)]
struct Order {
    amount_cents: u64,
    /// The key of the step that asked, or that was cancelled before it asked.
    step_key: Option<String>,
    standing: Standing,
}

#[derive(Clone, Debug)]
enum Standing {
    /// It took hold, and this was the answer.
    Stands(Value),
    TakenBack,
}

impl World {
    /// Does what is asked, at most once for a trip and a step.
    pub fn perform(&mut self, operation: Operation, resource: &str, ask: &Ask, keys: &Keys) -> Answer {
        if let Some(key) = &keys.idempotency {
            let first = self.keys.entry(key.clone()).or_insert_with(|| (operation, resource.to_owned(), ask.clone()));
            if *first != (operation, resource.to_owned(), ask.clone()) {
                return Answer::KeyReused;
            }
        }
        match operation.takes_back() {
            true => self.take_back(operation, resource, ask, keys),
            false => self.take(operation, resource, ask, keys),
        }
    }

    fn take(&mut self, operation: Operation, resource: &str, ask: &Ask, keys: &Keys) -> Answer {
        let name = (ask.trip.clone(), ask.step.clone());
        match self.orders.get(&name) {
            Some(Order { standing: Standing::Stands(answer), .. }) => return Answer::Repeated(answer.clone()),
            // The cancel came first. Only another round of the saga, which has another key, may ask again.
            Some(order) if order.step_key.is_none() || keys.step.is_none() || order.step_key == keys.step => {
                let message = format!("{} cancelled {} before", ask.trip, ask.step);
                return Answer::Refused { code: "cancelled".to_owned(), message };
            }
            Some(_) | None => {}
        }
        if let Err(refused) = self.take_hold(operation, resource, ask) {
            return refused;
        }
        self.count(operation);
        let answer = json!({"confirmation": format!("{resource}/{}", ask.trip), "amount_cents": ask.amount_cents});
        let standing = Standing::Stands(answer.clone());
        self.orders.insert(name, Order { amount_cents: ask.amount_cents, step_key: keys.step.clone(), standing });
        Answer::Done(answer)
    }

    fn take_hold(&mut self, operation: Operation, resource: &str, ask: &Ask) -> Result<(), Answer> {
        match operation {
            Operation::ReserveFlight | Operation::ReserveHotel | Operation::ReserveCar => {
                let left = self.stock.get_mut(resource).filter(|left| **left > 0);
                *left.ok_or_else(|| operation.refuse(resource))? -= 1;
            }
            Operation::Charge => {
                let balance = self.accounts.get_mut(resource).filter(|balance| **balance >= ask.amount_cents);
                *balance.ok_or_else(|| operation.refuse(resource))? -= ask.amount_cents;
            }
            Operation::SendEmail => {
                let Ask { trip, to, subject, .. } = ask.clone();
                self.emails.push(Email { trip, to, subject });
            }
            _ => {}
        }
        Ok(())
    }

    fn take_back(&mut self, operation: Operation, resource: &str, ask: &Ask, keys: &Keys) -> Answer {
        let name = (ask.trip.clone(), ask.step.clone());
        let Some(order) = self.orders.get_mut(&name) else {
            let tombstone = Order { amount_cents: 0, step_key: keys.undoes.clone(), standing: Standing::TakenBack };
            self.orders.insert(name, tombstone);
            return Answer::Nothing(json!({"undone": false}));
        };
        if let Standing::TakenBack = order.standing {
            return Answer::Repeated(json!({"undone": true}));
        }
        order.standing = Standing::TakenBack;
        let amount_cents = order.amount_cents;
        match operation {
            // Undoing is semantic: one more than there is now, whatever there was before.
            Operation::CancelFlight | Operation::CancelHotel | Operation::CancelCar => {
                *self.stock.entry(resource.to_owned()).or_default() += 1;
            }
            Operation::Refund => *self.accounts.entry(resource.to_owned()).or_default() += amount_cents,
            _ => {}
        }
        self.count(operation);
        Answer::Done(json!({"undone": true}))
    }

    fn count(&mut self, operation: Operation) {
        *self.effects.entry(operation.name().to_owned()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Operation::{CancelHotel, Charge, Refund, ReserveHotel};

    fn ask(step: &str, amount_cents: u64) -> Ask {
        let (trip, step) = ("T1".to_owned(), step.to_owned());
        Ask { trip, step, amount_cents, by: String::new(), to: String::new(), subject: String::new() }
    }

    fn with_step_key(key: &str) -> Keys {
        Keys { step: Some(key.to_owned()), ..Keys::default() }
    }

    #[test]
    fn a_repeated_call_changes_nothing_even_with_a_fresh_key() {
        let mut world = World::default();
        let (asked, first) = (ask("reserve-hotel", 45_000), Keys { idempotency: Some("k1".to_owned()), ..Keys::default() });
        let second = Keys { idempotency: Some("k2".to_owned()), ..Keys::default() };
        assert!(matches!(world.perform(ReserveHotel, "H1", &asked, &first), Answer::Done(_)));
        assert!(matches!(world.perform(ReserveHotel, "H1", &asked, &first), Answer::Repeated(_)));
        assert!(matches!(world.perform(ReserveHotel, "H1", &asked, &second), Answer::Repeated(_)));
        assert_eq!((world.stock["H1"], world.effects["reserve-hotel"]), (0, 1));
        assert_eq!(world.perform(ReserveHotel, "H1", &ask("other", 1), &first), Answer::KeyReused);
    }

    #[test]
    fn a_cancel_that_comes_first_refuses_the_late_reservation() {
        let mut world = World::default();
        let undo = Keys { undoes: Some("round-0".to_owned()), ..Keys::default() };
        let cancel = world.perform(CancelHotel, "H1", &ask("reserve-hotel", 0), &undo);
        assert!(matches!(cancel, Answer::Nothing(_)));
        let late = world.perform(ReserveHotel, "H1", &ask("reserve-hotel", 0), &with_step_key("round-0"));
        assert_eq!(late.word(), "refused cancelled");
        assert_eq!((world.stock["H1"], world.effects.len()), (1, 0));
        let next_round = world.perform(ReserveHotel, "H1", &ask("reserve-hotel", 0), &with_step_key("round-1"));
        assert_eq!(next_round.word(), "done");
    }

    #[test]
    fn a_refund_gives_back_what_was_charged_once() {
        let mut world = World::default();
        world.perform(Charge, "A", &ask("charge", 87_000), &Keys::default());
        world.perform(Refund, "A", &ask("charge", 0), &Keys::default());
        world.perform(Refund, "A", &ask("charge", 0), &Keys::default());
        assert_eq!((world.accounts["A"], world.effects["refund"]), (100_000, 1));
    }
}
