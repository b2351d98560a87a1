//! XR-27 of aggregates: code that traps, loops, allocates or gives back garbage. It costs the command that it was asked about, which
//! is told why; nothing of it is recorded, and no other command, aggregate or module is harmed.

use std::thread;

use serde_json::{Value, json};

use super::{assert_unharmed, at_once, events, host_with, send, send_under, show, state};
use crate::harness::{
    api::Answer,
    host::Host,
    ledger::{Ledger, Reaching},
};

/// What a command gets that is sent with others at once: to the same aggregate, to others of the module, and to another module.
fn beside_others(host: &Host, data: &Value) -> Answer {
    let api = host.api();
    send(&api, "customer/C1", "open", &json!({"limit_cents": 1500})).expect(200);
    send(&api, "ledger/L1", "note", &json!("before")).expect(200);
    let answers = at_once(4, |caller| match caller {
        0 => vec![send(&api, "ledger/L1", "note", data)],
        1 => (0..10).map(|_| send(&api, "ledger/L1", "note", &json!("same"))).collect(),
        2 => (0..10).map(|_| send(&api, "ledger/L2", "note", &json!("other"))).collect(),
        _ => (0..10).map(|order| send(&api, "customer/C1", "release-credit", &json!({"order": order.to_string()}))).collect(),
    });
    for answer in answers[1..].iter().flatten() {
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    assert_eq!(events(&api, "ledger/L1").len(), 11);
    assert_eq!((state(&api, "ledger/L1"), state(&api, "ledger/L2")), (json!("1".repeat(11)), json!("1".repeat(10))));
    assert_eq!(events(&api, "customer/C1").len(), 11);
    assert_unharmed(host);
    answers[0][0].clone()
}

/// The command is told this, and tells it again: nothing was remembered.
#[track_caller]
fn assert_failed(data: &str, why: &str) {
    let host = host_with(&Ledger::default());
    let answer = beside_others(&host, &json!(data));
    assert_eq!(answer.code(), "500 guest_failed", "{}", answer.body);
    let message = answer.body["error"]["message"].as_str().unwrap_or_default();
    assert_eq!(message, format!("`ledger` v1 failed on a command of ledger L1: {why}"));
    assert!(answer.body["error"]["hint"].is_string(), "{}", answer.body);
    let again = || send_under(&host.api(), "again", "ledger/L1", "note", &json!(data)).code();
    assert_eq!([again(), again()], ["500 guest_failed", "500 guest_failed"]);
    assert_eq!(events(&host.api(), "ledger/L1").len(), 11);
}

#[test]
fn xr_27_a_decide_that_traps_costs_its_command() {
    assert_failed("t:", "the guest panicked or aborted (`unreachable` executed); in decide (trap)");
}

#[test]
fn xr_27_a_decide_that_never_ends_costs_its_command() {
    assert_failed("l:", "the guest used its 300ms of processor time (`cpu` in [guest]) (cpu_limit)");
}

#[test]
fn xr_27_a_decide_that_allocates_without_end_costs_its_command() {
    assert_failed(
        "m:",
        "the guest asked for 67567616 bytes of memory and may have 67108864 (`memory` in [guest]) (memory_limit)",
    );
}

#[test]
fn xr_27_an_event_that_was_not_declared_is_not_recorded() {
    assert_failed("u:", "it records an event `ledger.unheard` of version 1, which its definition does not have");
}

#[test]
fn xr_27_an_event_of_a_version_that_was_not_declared_is_not_recorded() {
    assert_failed("v:", "it records an event `ledger.noted` of version 7, which its definition does not have");
}

#[test]
fn xr_27_an_event_with_a_name_that_moves_the_cursor_is_not_recorded_and_is_shown_as_it_is() {
    assert_failed("n:", "it records an event `ledger.no\\u{1b}[2Jted` of version 1, which its definition does not have");
}

#[test]
fn xr_27_more_than_a_thousand_events_of_one_command_are_not_recorded() {
    assert_failed("e:", "a decision has 1001 events and may have 1000 (bad_output)");
}

#[test]
fn xr_27_an_event_of_three_hundred_kibibytes_is_not_recorded() {
    assert_failed("b:", "the data of the event `ledger.noted` has 307202 bytes and may have 262144 (bad_output)");
}

#[test]
fn xr_27_an_event_that_is_no_json_is_not_recorded() {
    assert_failed(
        "j:",
        "the data of the event `ledger.noted` says it is JSON and is not: EOF while parsing an object at line 1 column 1 (bad_output)",
    );
}

#[test]
fn xr_27_a_state_of_two_mebibytes_costs_its_command() {
    assert_failed("s:", "the state has 2097154 bytes and may have 1048576 (`payload` in [limits]) (bad_output)");
}

#[test]
fn xr_27_a_decision_too_many_costs_its_command() {
    assert_failed("w:", "2 decisions came for 1 commands (bad_output)");
}

#[test]
fn xr_27_decisions_outside_of_the_memory_cost_their_command() {
    assert_failed("z:", "pointer out of bounds of memory (trap)");
}

/// The control: the largest that is allowed is recorded, by one command.
#[test]
fn a_thousand_events_of_one_command_are_recorded_together() {
    let host = host_with(&Ledger::default());
    let api = host.api();
    let answer = send_under(&api, "R1", "ledger/L1", "note", &json!("k:")).expect(200);
    assert_eq!((&answer["revision"], answer["events"].as_array().map(Vec::len)), (&json!("1000"), Some(1_000)));
    assert_eq!(events(&api, "ledger/L1").len(), 1_000);
    assert_eq!(state(&api, "ledger/L1"), "1".repeat(1_000));
    let again = send_under(&api, "R1", "ledger/L1", "note", &json!("k:")).expect(200);
    assert_eq!((&again["duplicate"], &again["events"]), (&json!(true), &answer["events"]));
    send(&api, "ledger/L1", "note", &json!("more")).expect(200);
}

/// A page of a fold was counted in events only when it was shown: an aggregate of large events could be told anything, and could not
/// be looked at, because they went to the module all at once.
#[test]
fn an_aggregate_of_large_events_takes_commands_and_is_shown() {
    let mut host = host_with(&Ledger::default());
    let api = host.api();
    for _ in 0..400 {
        send(&api, "ledger/L1", "note", &json!("B:")).expect(200);
    }
    assert_eq!(state(&api, "ledger/L1"), "1".repeat(400));
    assert_eq!(api.get("/v1/aggregates/ledger/L1?at=399").expect(200)["state"], "1".repeat(399));
    host.restart();
    let api = host.api();
    assert_eq!(send(&api, "ledger/L1", "note", &json!("more")).expect(200)["revision"], "401");
    assert_eq!(state(&api, "ledger/L1"), "1".repeat(401));
}

#[test]
fn xr_27_an_event_that_cannot_be_folded_stops_its_aggregate_and_no_other() {
    let mut host = host_with(&Ledger::default());
    let api = host.api();
    send(&api, "ledger/L1", "note", &json!("before")).expect(200);
    // Nothing folds it as long as the state of its decision is in memory.
    send(&api, "ledger/L1", "note", &json!("p:")).expect(200);
    send_under(&api, "R1", "ledger/L1", "note", &json!("after")).expect(200);
    host.restart();
    let api = host.api();
    let answers = at_once(16, |number| match number % 2 {
        0 => send_under(&api, "R2", "ledger/L1", "note", &json!("late")),
        _ => send(&api, "ledger/L2", "note", &json!("other")),
    });
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.code(), if number % 2 == 0 { "409 quarantined" } else { "200" }, "{}", answer.body);
    }
    let told = "409 quarantined: ledger L1 is quarantined: `ledger` v1 cannot fold its events\n  hint: activate a version that can; \
                nothing of the aggregate is lost\n";
    assert_eq!(answers[0].error(), told);
    let shown = show(&api, "ledger/L1");
    assert_eq!(shown.code(), "500 guest_failed", "{}", shown.body);
    // What it was before can be seen, and its events can be read.
    assert_eq!(api.get("/v1/aggregates/ledger/L1?at=1").expect(200)["state"], "1");
    assert_eq!(events(&api, "ledger/L1").len(), 3);
    assert_eq!(send_under(&api, "R1", "ledger/L1", "note", &json!("after")).expect(200)["duplicate"], true);
    host.restart();
    let api = host.api();
    assert_eq!(send(&api, "ledger/L1", "note", &json!("late")).code(), "409 quarantined");
    assert_unharmed(&host);
    // Code that can fold it goes on, under the key that was refused.
    api.put("/v1/modules/ledger", &Ledger::default().second().component()).expect(201);
    let late = send_under(&api, "R2", "ledger/L1", "note", &json!("late")).expect(200);
    assert_eq!((&late["revision"], &late["duplicate"]), (&json!("4"), &json!(false)));
    assert_eq!(state(&api, "ledger/L1"), "uuu2");
}

/// They come from fifty callers, as fast as they are answered.
#[test]
fn xr_27_of_ten_thousand_commands_for_one_aggregate_the_one_that_traps_fails_alone() {
    let host = host_with(&Ledger { keep_every: 500, ..Ledger::default() });
    let api = host.api();
    let answers = at_once(50, |caller| {
        let data = |turn| if (caller, turn) == (25, 100) { json!("t:") } else { json!("-:") };
        (0..200).map(|turn| send(&api, "ledger/L1", "note", &data(turn)).code()).collect::<Vec<_>>()
    });
    let failed: Vec<&String> = answers.iter().flatten().filter(|code| *code != "200").collect();
    assert_eq!(failed, ["500 guest_failed"]);
    assert_eq!(answers[25][100], "500 guest_failed");
    send(&api, "ledger/L1", "note", &json!("after")).expect(200);
    assert_eq!(events(&api, "ledger/L1").len(), 1);
}

/// A line in which every fourth command is a bomb.
#[test]
fn xr_27_many_bombs_in_one_line_fail_each_alone() {
    let host = host_with(&Ledger::default());
    let api = host.api();
    let answers = at_once(64, |number| {
        let data = if number % 4 == 0 { json!("t:") } else { json!(format!("note {number}")) };
        send(&api, "ledger/L1", "note", &data).code()
    });
    for (number, code) in answers.iter().enumerate() {
        assert_eq!(code, if number % 4 == 0 { "500 guest_failed" } else { "200" }, "{number}");
    }
    assert_eq!(events(&api, "ledger/L1").len(), 48);
    assert_eq!(state(&api, "ledger/L1"), "1".repeat(48));
}

/// An aggregate decides on its own state: what it says to others goes by sagas. A grant of its module is none for it.
#[test]
fn a_decide_that_calls_out_is_denied_whatever_its_module_is_granted() {
    let host = host_with(&Ledger { reaching: Reaching::BesideASaga, ..Ledger::default() });
    let api = host.api();
    api.grant("ledger", &["https://probe"]);
    let answer = send(&api, "ledger/L1", "note", &json!("h:"));
    let told = "500 guest_failed: `ledger` v1 failed on a command of ledger L1: it called https://probe, and aggregates, projections and \
                policies reach nothing outside: a step of a saga may (denied)\n  hint: nothing was recorded; mend the module, or send another command\n";
    assert_eq!(answer.error(), told);
    assert_eq!(show(&api, "ledger/L1").status, 404);
    send(&api, "ledger/L1", "note", &json!("else")).expect(200);
    assert_unharmed(&host);
}

/// A guest that computes as long as it may holds up its aggregate only, however many of its commands wait.
#[test]
fn a_line_of_endless_commands_is_worked_off_while_others_are_answered() {
    let host = host_with(&Ledger::default());
    let api = host.api();
    let looping = {
        let api = api.clone();
        thread::spawn(move || at_once(6, |_| send(&api, "ledger/L1", "note", &json!("l:")).code()))
    };
    for _ in 0..20 {
        send(&api, "ledger/L2", "note", &json!("some")).expect(200);
    }
    assert_eq!(looping.join().unwrap(), ["500 guest_failed"; 6]);
    send(&api, "ledger/L1", "note", &json!("some")).expect(200);
}

/// A guest may give the same bytes a thousand times: a decision is as large as what the host copies of it, and is bounded by that.
#[test]
fn xr_27_a_decision_of_a_quarter_gigabyte_costs_its_command_and_not_the_hosts_memory() {
    let host = host_with(&Ledger::default());
    let api = host.api();
    send(&api, "ledger/L1", "note", &json!("some")).expect(200);
    let answers = at_once(16, |number| send(&api, &format!("ledger/L{}", number % 4), "note", &json!("a:")));
    for answer in &answers {
        assert_eq!(answer.code(), "500 guest_failed", "{}", answer.body);
    }
    let peak_mib = host.memory_kib("VmHWM") >> 10;
    assert!(peak_mib < 1_024, "{peak_mib} MiB; {}", answers[0].body);
    assert_eq!(events(&api, "ledger/L1").len(), 1);
    assert_unharmed(&host);
}
