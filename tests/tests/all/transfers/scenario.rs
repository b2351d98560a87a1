//! One transfer, and what came of it, under whatever conditions.

use participants::{Fault, Operation, Rule};

use super::{desk, run};
use crate::harness::desk::{Conditions, Desk};

pub(super) fn a_transfer_arrives(conditions: Conditions) -> Desk {
    let desk = desk(conditions);
    assert_eq!(run(&desk, "A", "B", 4_000), "completed: A 6000, B 14000, C 10000, D 10000");
    desk
}

pub(super) fn a_transfer_that_is_not_covered_moves_nothing(conditions: Conditions) -> Desk {
    let desk = desk(conditions);
    assert_eq!(run(&desk, "A", "B", 10_001), "compensated no_funds: A 10000, B 10000, C 10000, D 10000");
    desk
}

pub(super) fn a_transfer_to_nobody_is_put_back(conditions: Conditions) -> Desk {
    let desk = desk(conditions);
    assert_eq!(run(&desk, "A", "Z", 4_000), "compensated no_account: A 10000, B 10000, C 10000, D 10000");
    desk
}

pub(super) fn a_credit_that_gets_no_answer_is_asked_for_again(conditions: Conditions) -> Desk {
    let desk = desk(conditions);
    desk.participants.add(Rule::next(1, Operation::Credit, Fault::Drop));
    assert_eq!(run(&desk, "A", "B", 4_000), "completed: A 6000, B 14000, C 10000, D 10000");
    desk
}
