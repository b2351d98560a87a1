//! An event that a view cannot take stops that view there, and nothing else.

use serde_json::{Value, json};

use super::{
    act, assert_unharmed, folded, generation, host_with, list_at, note, notes, rows, rows_at, shown, until, until_stopped,
};
use crate::harness::{each, viewer::Viewer};

fn two_views() -> Viewer {
    Viewer { views: vec!["notes".into(), "notes-too".into()], ..Viewer::default() }
}

#[test]
fn a_view_stops_at_an_event_that_it_cannot_take_and_says_so_and_answers_from_what_was_before() {
    let host = host_with(&Viewer::default());
    let api = host.api();
    let before = notes(&api, "L1", &["one", "two"]);
    note(&api, "L1", "T: this");
    let last = notes(&api, "L1", &["three", "four"]);
    let stopped = until_stopped(&api, "notes");
    assert_eq!(stopped["stopped"]["event"], "ledger/L1/3", "{stopped}");
    assert_eq!((&stopped["stopped"]["code"], &stopped["events"], &stopped["lag"]), (&json!("trap"), &json!(2), &json!(3)));
    assert!(stopped["waiting_since"].is_string(), "{stopped}");
    assert_eq!(rows_at(&api, "notes", &before), ["1one", "1two"]);
    let behind = list_at(&api, "notes", &last);
    assert_eq!(behind.code(), "503 behind");
    let message = behind.body["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("it stopped at the event ledger/L1/3: the guest panicked"), "{message}");
    assert_unharmed(&host);
    // A view of the same events that takes them is another one's.
    super::deploy(
        &api,
        "other",
        &Viewer { module: "other".into(), views: vec!["others".into()], ..Viewer::default().tame() }.component(),
    );
    assert_eq!(rows_at(&api, "others", &last).len(), 5);
}

#[test]
fn all_events_before_the_one_in_the_middle_of_a_thousand_are_taken() {
    let host = host_with(&Viewer::default().tame());
    let api = host.api();
    each(&api, 40, |api, number| drop(note(api, "L1", &format!("before {number}"))));
    let before = notes(&api, "L1", &["k:", "last before"]);
    let poison = note(&api, "L2", "T: this");
    note(&api, "L1", "k:");
    rows_at(&api, "notes", &poison);
    // Code that traps at it reads everything at once.
    super::deploy(&api, "viewer", &Viewer::default().digit(2).component());
    let building = until(&api, "notes", |shown| !generation(shown, "building")["stopped"].is_null());
    let building = generation(&building, "building");
    assert_eq!((&building["stopped"]["event"], &building["events"]), (&json!("ledger/L2/1"), &json!(1041)), "{before}");
}

#[test]
fn a_stopped_view_tries_the_event_again_and_leaves_it_out_only_by_name_and_with_a_reason() {
    let mut host = host_with(&two_views());
    let api = host.api();
    let last = notes(&api, "L1", &["one", "F: this", "two", "T: that", "three"]);
    assert_eq!(until_stopped(&api, "notes")["stopped"]["event"], "ledger/L1/2");
    let tried = act(&api, "notes", "resume", &Value::Null).expect(200);
    assert!(generation(&tried, "active")["stopped"].is_null() || generation(&tried, "active")["stopped"]["code"] == "no");
    assert_eq!(until_stopped(&api, "notes")["stopped"]["event"], "ledger/L1/2");
    let skip = |body: Value| act(&api, "notes", "skip", &body).code();
    assert_eq!(skip(json!({"event": "ledger/L1/2"})), "400 bad_request");
    assert_eq!(skip(json!({"note": "it is wrong"})), "400 bad_request");
    assert_eq!(skip(json!({"event": "ledger/L1/3", "note": "it is wrong"})), "409 verb_does_not_fit");
    assert_eq!(skip(json!({"event": "ledger/L1/2", "note": "it is wrong"})), "200");
    let next = until(&api, "notes", |shown| generation(shown, "active")["stopped"]["event"] == "ledger/L1/4");
    let skipped = &generation(&next, "active")["skipped"][0];
    assert_eq!(
        (&skipped["event"], &skipped["note"], &skipped["by"]),
        (&json!("ledger/L1/2"), &json!("it is wrong"), &json!("tester"))
    );
    assert_eq!(skip(json!({"event": "ledger/L1/4", "note": "this one too"})), "200");
    assert_eq!(rows_at(&api, "notes", &last), ["1one", "1three", "1two"]);
    // The other view stands where it stood, and what was left out stays so.
    assert_eq!(until_stopped(&api, "notes-too")["stopped"]["event"], "ledger/L1/2");
    assert_eq!(act(&api, "notes", "resume", &Value::Null).code(), "409 verb_does_not_fit");
    host.restart();
    let api = host.api();
    assert_eq!(generation(&shown(&api, "notes"), "active")["skipped"].as_array().map(Vec::len), Some(2));
    assert_eq!(until_stopped(&api, "notes-too")["stopped"]["event"], "ledger/L1/2");
    let last = note(&api, "L1", "four");
    assert_eq!(rows_at(&api, "notes", &last), ["1four", "1one", "1three", "1two"]);
}

/// Everything behind is left out, up to the end: the view has read it all the same.
#[test]
fn a_view_whose_last_events_are_all_left_out_has_read_them() {
    let host = host_with(&Viewer::default());
    let api = host.api();
    let last = notes(&api, "L1", &["one", "T: a", "T: b", "T: c"]);
    for number in 2..=4 {
        let event = format!("ledger/L1/{number}");
        until(&api, "notes", |shown| generation(shown, "active")["stopped"]["event"] == event.as_str());
        act(&api, "notes", "skip", &json!({"event": event, "note": "no"})).expect(200);
    }
    assert_eq!(rows_at(&api, "notes", &last), ["1one"]);
}

#[test]
fn an_operator_stops_a_view_and_lets_it_go_on() {
    let mut host = host_with(&Viewer::default());
    let api = host.api();
    let before = note(&api, "L1", "one");
    rows_at(&api, "notes", &before);
    act(&api, "notes", "stop", &json!({"note": "a migration"})).expect(200);
    assert_eq!(act(&api, "notes", "stop", &Value::Null).code(), "409 verb_does_not_fit");
    let last = note(&api, "L1", "two");
    assert_eq!(rows(&api, "notes"), ["1one"]);
    let behind = list_at(&api, "notes", &last);
    assert_eq!(behind.code(), "503 behind");
    assert!(behind.body["error"]["message"].as_str().unwrap().ends_with("tester stopped it: a migration"), "{}", behind.body);
    host.restart();
    assert_eq!(list_at(&host.api(), "notes", &last).code(), "503 behind");
    act(&host.api(), "notes", "resume", &Value::Null).expect(200);
    assert_eq!(rows_at(&host.api(), "notes", &last), ["1one", "1two"]);
}

/// Who did it is the name that the command line has of its user, as in the verbs of sagas.
#[test]
fn a_view_says_who_stopped_it_and_who_left_out_an_event_by_the_command_line() {
    let host = host_with(&Viewer::default());
    let api = host.api();
    let done = |arguments: &[&str]| {
        let output = host.cli(arguments);
        assert_eq!(output.code, 0, "{arguments:?}: {}", output.stderr);
        output.stdout
    };
    rows_at(&api, "notes", &note(&api, "L1", "one"));
    let stopped = done(&["projections", "stop", "notes", "--note", "a migration"]);
    assert!(stopped.contains("stopped by tester: a migration"), "{stopped}");
    assert_eq!(generation(&shown(&api, "notes"), "active")["stopped"]["by"], "tester");
    done(&["projections", "resume", "notes"]);
    note(&api, "L1", "T: this");
    assert_eq!(until_stopped(&api, "notes")["stopped"]["event"], "ledger/L1/2");
    let skipped = done(&["projections", "skip", "notes", "ledger/L1/2", "--note", "it is wrong"]);
    assert!(skipped.contains("left out ledger/L1/2: it is wrong (tester, "), "{skipped}");
}

/// Ending a build leaves the view as it was.
#[test]
fn a_build_that_is_stopped_is_gone() {
    let host = host_with(&Viewer::default().tame());
    let api = host.api();
    let last = notes(&api, "L1", &["one", "T: this"]);
    rows_at(&api, "notes", &last);
    super::deploy(&api, "viewer", &Viewer::default().digit(2).component());
    until(&api, "notes", |shown| !generation(shown, "building")["stopped"].is_null());
    let ended = act(&api, "notes", "stop", &Value::Null).expect(200);
    assert_eq!(super::generations(&ended), "active v1");
    assert_eq!(rows(&api, "notes"), folded(&api, 1));
}
