//! A trace names the views that have an event.

use serde_json::{Value, json};

use super::{act, deploy, host_with, note, notes, rows_at, until, until_stopped};
use crate::harness::{api::Api, viewer::Viewer};

/// The views of the event that a trace was asked for, a line each; without the numbers of generations.
#[track_caller]
fn views(api: &Api, event: &str) -> String {
    let trace = api.get(&format!("/v1/trace/{}", event.replace('/', "%2F"))).expect(200);
    let node = asked(&trace["root"]).unwrap_or_else(|| panic!("nothing was asked for: {trace}"));
    let line = |view: &Value| {
        let text = |name: &str| view[name].as_str().unwrap_or_default();
        let when = if view["taken_at"].is_string() { " since then" } else { "" };
        let why = view["why"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
        format!("{} {} v{} {}{when}{why}\n", text("view"), text("module"), view["version"], text("state"))
    };
    node["views"].as_array().into_iter().flatten().map(line).collect()
}

fn asked(node: &Value) -> Option<&Value> {
    if node["asked"] == true {
        return Some(node);
    }
    node["children"].as_array()?.iter().find_map(asked)
}

#[test]
fn a_trace_says_of_each_event_which_views_have_it_since_when_and_why_not() {
    let host = host_with(&Viewer::default());
    let api = host.api();
    let other = Viewer { module: "other".into(), views: vec!["others".into()], ..Viewer::default().tame() };
    deploy(&api, "other", &other.component());
    let last = notes(&api, "L1", &["one", "F: this", "T: that", "two"]);
    until_stopped(&api, "notes");
    assert_eq!(act(&api, "notes", "skip", &json!({"event": "ledger/L1/2", "note": "it is wrong"})).code(), "200");
    until(&api, "notes", |shown| shown["generations"][0]["stopped"]["event"] == "ledger/L1/3");
    assert_eq!(rows_at(&api, "others", &last).len(), 4);
    expect_test::expect![[r#"
        notes viewer v1 taken since then
        others other v1 taken since then
    "#]]
    .assert_eq(&views(&api, "ledger/L1/1"));
    expect_test::expect![[r#"
        notes viewer v1 skipped
        others other v1 taken since then
    "#]]
    .assert_eq(&views(&api, "ledger/L1/2"));
    expect_test::expect![[r#"
        notes viewer v1 stopped: it stopped at the event ledger/L1/3: the guest panicked or aborted (`unreachable` executed) (trap)
        others other v1 taken since then
    "#]].assert_eq(&views(&api, "ledger/L1/4"));
}

/// What is not an event has no views, and who reads other events is not named.
#[test]
fn events_that_nobody_reads_have_no_views_in_a_trace() {
    let host = host_with(&Viewer { reads: vec![("something.else".into(), vec![1])], ..Viewer::default() });
    let api = host.api();
    note(&api, "L1", "one");
    assert_eq!(views(&api, "ledger/L1/1"), "");
}

/// A view that is built again took all events then: each of its generations says so for itself.
#[test]
fn a_rebuilt_view_is_named_with_the_generation_that_answers() {
    let host = host_with(&Viewer::default());
    let api = host.api();
    let last = notes(&api, "L1", &["one", "two"]);
    rows_at(&api, "notes", &last);
    let generation = |api: &Api| {
        let trace = api.get("/v1/trace/ledger%2FL1%2F1").expect(200);
        asked(&trace["root"]).unwrap()["views"][0].clone()
    };
    let before = generation(&api);
    act(&api, "notes", "rebuild", &Value::Null).expect(200);
    until(&api, "notes", |shown| shown["generations"][0]["number"] != before["generation"]);
    let after = generation(&api);
    assert_eq!((&before["state"], &after["state"]), (&json!("taken"), &json!("taken")));
    assert!(after["generation"].as_u64() > before["generation"].as_u64(), "{after}");
    assert!(after["taken_at"].as_str() >= before["taken_at"].as_str(), "{before} {after}");
}
