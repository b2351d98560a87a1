//! Check-outs of groups, each with what it ends in, under whatever conditions.

use super::{check_out, desk, out, settle};
use crate::harness::desk::{Conditions, Desk};

pub(super) fn gc_01_all_are_checked_out(conditions: Conditions) -> Desk {
    let desk = desk(conditions, [("s1", 0), ("s2", 0), ("s3", 0)]);
    assert_eq!(check_out(&desk, "G1", &["s1", "s2", "s3"]), "COMPLETED s1 s2 s3");
    assert_eq!(out(&desk), 3);
    desk
}

pub(super) fn gc_03_who_is_not_settled_stays_and_nothing_is_undone(conditions: Conditions) -> Desk {
    let desk = desk(conditions, [("s1", 0), ("s2", 5_000), ("s3", -4_000)]);
    let report = check_out(&desk, "G1", &["s1", "s2", "s3"]);
    assert_eq!(report, "FAILED s1; s2 balance_not_settled; s3 balance_not_settled");
    let open = desk.participants.state().stays.values().map(|stay| stay.open).collect::<Vec<_>>();
    assert_eq!((open, out(&desk)), (vec![false, true, true], 1));
    desk
}

pub(super) fn gc_05_who_is_out_already_is_not_checked_out_again(conditions: Conditions) -> Desk {
    let desk = desk(conditions, [("s1", 0), ("s2", 0)]);
    check_out(&desk, "G0", &["s1"]);
    assert_eq!(check_out(&desk, "G1", &["s1", "s2"]), "FAILED s2; s1 not_opened");
    assert_eq!(out(&desk), 2);
    desk
}

pub(super) fn gc_06_a_stay_that_never_was_is_a_result(conditions: Conditions) -> Desk {
    let desk = desk(conditions, [("s1", 0)]);
    assert_eq!(check_out(&desk, "G1", &["s1", "s9"]), "FAILED s1; s9 not_opened");
    assert!(!desk.participants.state().stays.contains_key("s9"));
    desk
}

pub(super) fn gc_15_a_stay_that_is_named_twice_counts_once(conditions: Conditions) -> Desk {
    let desk = desk(conditions, [("s1", 0), ("s2", 0)]);
    assert_eq!(check_out(&desk, "G1", &["s1", "s1", "s2"]), "COMPLETED s1 s2");
    assert_eq!(out(&desk), 2);
    desk
}

pub(super) fn gc_18_another_group_checks_out_who_was_left(conditions: Conditions) -> Desk {
    let desk = desk(conditions, [("s1", 0), ("s2", 5_000)]);
    assert_eq!(check_out(&desk, "G1", &["s1", "s2"]), "FAILED s1; s2 balance_not_settled");
    settle(&desk, [("s2".to_owned(), 0)]);
    assert_eq!(check_out(&desk, "G2", &["s2"]), "COMPLETED s2");
    assert_eq!(desk.api().saga("G1")["output"]["status"], "FAILED");
    desk
}
