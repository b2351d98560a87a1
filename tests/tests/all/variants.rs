//! The variants of every scenario: repeated messages, and kills.

use participants::Operation;

use crate::harness::{
    api::Traffic,
    desk::{Conditions, Desk, Kill},
};

/// Each scenario three times: as it is, with every message twice, and with the second under a fresh key. And on demand once more
/// for every point at which the host can be killed in it.
macro_rules! scenarios {
    ($($file:ident::$name:ident)*) => {
        $(mod $name {
            use super::$file::$name as scenario;
            use $crate::{harness::api::Traffic, variants::killed_at_every_point};

            #[test]
            fn plain() {
                scenario(Traffic::Once.into());
            }

            #[test]
            fn with_every_message_twice() {
                scenario(Traffic::Twice.into());
            }

            #[test]
            fn with_every_message_twice_under_fresh_keys() {
                scenario(Traffic::TwiceWithFreshKeys.into());
            }

            #[test]
            #[ignore = "minutes: every scenario times every kill"]
            fn tb_17_ends_the_same_after_a_kill_at_every_point() {
                killed_at_every_point(stringify!($name), scenario);
            }
        })*
    };
}

pub(crate) use scenarios;

/// A scenario once for every point that its host comes to, until it is over before the host comes to it so often.
pub(crate) fn killed_at_every_point(name: &str, scenario: fn(Conditions) -> Desk) {
    let was_killed = |kill: Kill| {
        println!("{name}, {kill:?}");
        scenario(Conditions { traffic: Traffic::Once, kill: Some(kill) }).host.lives() > 1
    };
    let by_itself: usize = POINTS.iter().map(|point| (1..).take_while(|nth| was_killed(Kill::At(point, *nth))).count()).sum();
    let by_others = OPERATIONS.iter().filter(|operation| was_killed(Kill::By(**operation))).count();
    println!("{name}: {} kills", by_itself + by_others);
    // A step that is refused passes six points, and the start and the participant one each.
    assert!(by_itself >= 7 && by_others >= 1, "{by_itself} and {by_others} kills");
}

/// As `AMENDS_FAILPOINT` knows them.
const POINTS: [&str; 12] = [
    "accepted",
    "intent-durable",
    "guest-running",
    "outcome-seen",
    "outcome-durable",
    "rollback-durable",
    "undo-intent-durable",
    "undo-guest-running",
    "undo-outcome-seen",
    "undo-outcome-durable",
    "last-step-durable",
    "end-durable",
];

const OPERATIONS: [Operation; 15] = [
    Operation::ReserveFlight,
    Operation::CancelFlight,
    Operation::ReserveHotel,
    Operation::CancelHotel,
    Operation::ReserveCar,
    Operation::CancelCar,
    Operation::Charge,
    Operation::Refund,
    Operation::Debit,
    Operation::Credit,
    Operation::Reverse,
    Operation::CheckOut,
    Operation::IssueTickets,
    Operation::VoidTickets,
    Operation::SendEmail,
];
