//! Groups that check out at once: one step for each stay, and a refusal is a result; over real HTTP, each scenario also with every
//! message sent twice, and with kills.

use std::collections::BTreeMap;

use participants::{Control, Operation, Stay};
use serde_json::{Value, json};

use crate::{
    harness::{
        api::Traffic,
        desk::{Conditions, Desk, Kill},
        laws,
    },
    variants::scenarios,
};

mod scenario;

scenarios! {
    scenario::gc_01_all_are_checked_out
    scenario::gc_03_who_is_not_settled_stays_and_nothing_is_undone
    scenario::gc_05_who_is_out_already_is_not_checked_out_again
    scenario::gc_06_a_stay_that_never_was_is_a_result
    scenario::gc_15_a_stay_that_is_named_twice_counts_once
    scenario::gc_18_another_group_checks_out_who_was_left
}

/// These stays, each with its balance in cents.
fn desk<const N: usize>(conditions: Conditions, stays: [(&str, i64); N]) -> Desk {
    let desk = Desk::open(conditions);
    desk.api().grant("group", &[&desk.url()]);
    settle(&desk, stays.map(|(stay, cents)| (stay.to_owned(), cents)));
    desk
}

/// Opens these stays with these balances.
fn settle(desk: &Desk, stays: impl IntoIterator<Item = (String, i64)>) {
    let open = |(name, balance_cents)| (name, Stay { balance_cents, open: true });
    let stays: BTreeMap<String, Stay> = stays.into_iter().map(open).collect();
    desk.participants.control(Control { stays, ..Control::default() });
}

fn group(desk: &Desk, stays: &[&str]) -> Value {
    json!({"participants": desk.url(), "stays": stays})
}

/// Runs a group, and gives its report as text, after a check of the laws.
#[track_caller]
fn check_out(desk: &Desk, id: &str, stays: &[&str]) -> String {
    desk.run("group", id, &group(desk, stays));
    desk.end(id);
    report(&desk.api().saga(id))
}

/// `COMPLETED s1 s2`, `FAILED s1; s2 balance_not_settled`.
fn report(saga: &Value) -> String {
    let output = &saga["output"];
    let words = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let completed: Vec<String> = output["completed"].as_array().into_iter().flatten().map(words).collect();
    let failed = output["failed"].as_array().into_iter().flatten();
    let failed: Vec<String> = failed.map(|one| format!("; {} {}", words(&one["stay"]), words(&one["reason"]))).collect();
    format!("{} {}{}", words(&output["status"]), completed.join(" "), failed.concat())
}

fn out(desk: &Desk) -> u32 {
    desk.participants.state().effects.get("check-out").copied().unwrap_or_default()
}

#[test]
fn gc_14_an_empty_group_is_refused() {
    let desk = desk(Traffic::Once.into(), []);
    let saga = desk.run("group", "G1", &group(&desk, &[]));
    assert_eq!((&saga["status"], &saga["failure"]["code"]), (&json!("compensated"), &json!("empty_group")));
    laws::hold(&desk.api(), "G1");
}

#[test]
fn gc_16_of_two_groups_one_checks_a_shared_stay_out() {
    let desk = desk(Traffic::Once.into(), [("s1", 0), ("s2", 0), ("s3", 0)]);
    desk.api().start("group", "G1", &group(&desk, &["s1", "s2"])).expect(201);
    desk.api().start("group", "G2", &group(&desk, &["s2", "s3"])).expect(201);
    let reports = [check_out(&desk, "G1", &["s1", "s2"]), check_out(&desk, "G2", &["s2", "s3"])];
    let ways = [["COMPLETED s1 s2", "FAILED s3; s2 not_opened"], ["FAILED s1; s2 not_opened", "COMPLETED s2 s3"]];
    assert!(ways.iter().any(|way| *way == reports), "{reports:?}");
    assert_eq!(out(&desk), 3);
}

#[test]
fn gc_17_a_group_that_is_killed_ends_as_it_would_have() {
    let kills = [
        Kill::At("intent-durable", 2),
        Kill::At("guest-running", 3),
        Kill::At("outcome-seen", 3),
        Kill::At("outcome-durable", 4),
        Kill::At("last-step-durable", 1),
        Kill::By(Operation::CheckOut),
    ];
    for kill in kills {
        let killed = Conditions { traffic: Traffic::Once, kill: Some(kill) };
        let lives = [
            scenario::gc_01_all_are_checked_out(killed).host.lives(),
            scenario::gc_03_who_is_not_settled_stays_and_nothing_is_undone(killed).host.lives(),
        ];
        assert!(lives.iter().all(|lives| *lives > 1), "{kill:?} killed nobody: {lives:?}");
    }
}

#[test]
fn gc_20_a_thousand_stays_are_checked_out_and_its_journal_grows_by_the_stay() {
    const STAYS: usize = 1_000;
    let desk = desk(Traffic::Once.into(), []);
    let names: Vec<String> = (0..STAYS).map(|number| format!("s{number}")).collect();
    // Every hundredth has not paid.
    settle(&desk, names.iter().enumerate().map(|(number, name)| (name.clone(), if number % 100 == 0 { 700 } else { 0 })));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let saga = desk.run("group", "G1", &group(&desk, &names));
    assert_eq!(saga["status"], "completed");
    desk.end("G1");
    let body = &saga["steps"][1]["body"];
    assert_eq!(*body, json!({"kind": "elements", "all": 1_000, "settled": 1_000, "refused": 10, "moving": 0}));
    assert_eq!((out(&desk), saga["output"]["completed"].as_array().map(Vec::len)), (990, Some(990)));
    // An intent and an outcome for each stay; beside them the start, two steps, the list and the end.
    assert_eq!(desk.api().journal("G1").len(), 2 * STAYS + 1 + 4 + 1 + 1);
    let tree = desk.host.cli(&["show", "G1"]).stdout;
    assert!(tree.contains("990 of 1000, 10 refused") && tree.contains("…995 more: 5 refused, 990 done"), "{tree}");
    assert!(tree.lines().count() < 20, "{tree}");
}

#[test]
fn a_list_of_more_than_a_hundred_thousand_is_stuck_before_anything_begins_and_can_be_cancelled() {
    let desk = desk(Traffic::Once.into(), [("s", 0)]);
    let stays = vec!["s"; 100_001];
    let saga = desk.run("group", "G1", &group(&desk, &stays));
    assert_eq!((&saga["status"], &saga["stuck"][0]["step"]), (&json!("stuck"), &json!("check-out")));
    let why = saga["stuck"][0]["why"].as_str().unwrap_or_default();
    assert!(why.contains("has 100001 elements; at most 100000"), "{why}");
    assert_eq!(out(&desk), 0);
    desk.act("G1", "cancel", &json!({})).expect(200);
    let ended = desk.api().saga("G1");
    assert_eq!(ended["status"], "compensated", "{}", ended["status"]);
}
