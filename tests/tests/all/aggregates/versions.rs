//! XR-17: an event is never changed. New code reads what was recorded by older code, in its own form.

use serde_json::{Value, json};

use super::{events, host_with, send, show, state};
use crate::harness::ledger::Ledger;

/// All that is said of the events of a stream.
fn stored(api: &crate::harness::api::Api, aggregate: &str) -> String {
    Value::Array(events(api, aggregate)).to_string()
}

#[test]
fn xr_17_what_was_recorded_stays_as_it_was_over_restarts_and_new_versions() {
    let mut host = host_with(&Ledger::default());
    let api = host.api();
    for note in ["one", "two"] {
        send(&api, "ledger/L1", "note", &json!(note)).expect(200);
    }
    let (recorded, shown) = (stored(&api, "ledger/L1"), show(&api, "ledger/L1").expect(200));
    host.restart();
    let api = host.api();
    assert_eq!(stored(&api, "ledger/L1"), recorded);
    assert_eq!(show(&api, "ledger/L1").expect(200), shown);
    // Its code reads version 1 as `u`, and records version 2.
    api.put("/v1/modules/ledger", &Ledger::default().second().component()).expect(201);
    assert_eq!(stored(&api, "ledger/L1"), recorded);
    assert_eq!(state(&api, "ledger/L1"), "uu");
    let third = send(&api, "ledger/L1", "note", &json!("three")).expect(200);
    let event = &third["events"][0];
    assert_eq!((&third["revision"], &event["version"], &event["module_version"]), (&json!("3"), &json!(2), &json!(2)));
    host.restart();
    let api = host.api();
    let found = events(&api, "ledger/L1");
    assert_eq!(Value::Array(found[..2].to_vec()).to_string(), recorded);
    assert_eq!(state(&api, "ledger/L1"), "uu2");
    assert_eq!(api.get("/v1/aggregates/ledger/L1?at=2").expect(200)["state"], "uu");
}

/// The old code cannot read what the new code recorded: it stops with an error, and folds nothing that it does not know.
#[test]
fn events_of_newer_code_stop_older_code_and_are_there_for_the_newer_one() {
    let mut host = host_with(&Ledger { keep_every: 1, ..Ledger::default() });
    let api = host.api();
    send(&api, "ledger/L1", "note", &json!("one")).expect(200);
    api.put("/v1/modules/ledger", &Ledger::default().second().component()).expect(201);
    send(&api, "ledger/L1", "note", &json!("two")).expect(200);
    let activate = |api: &crate::harness::api::Api, version: u32| {
        let accepted = json!({"version": version, "accept_unreadable": 1});
        api.post("/v1/modules/ledger/activate", &accepted).expect(200);
    };
    for version in [1, 2, 1, 2] {
        activate(&host.api(), version);
        let api = host.api();
        let folded = if version == 1 { "12" } else { "u2" };
        assert_eq!(state(&api, "ledger/L1"), folded, "v{version}");
        assert_eq!(send(&api, "ledger/L1", "note", &json!("-:")).expect(200)["version"], version);
        host.restart();
        assert_eq!(state(&host.api(), "ledger/L1"), folded, "v{version} after a restart");
    }
}

/// Nobody may change or delete one: there is no such route.
#[test]
fn xr_17_no_request_changes_or_deletes_an_event() {
    use ureq::http::Method;
    let host = host_with(&Ledger::default());
    let api = host.api();
    send(&api, "ledger/L1", "note", &json!("one")).expect(200);
    let recorded = stored(&api, "ledger/L1");
    for path in
        ["/v1/streams/ledger/L1/events", "/v1/streams/ledger/L1/events/1", "/v1/streams/ledger/L1", "/v1/aggregates/ledger/L1"]
    {
        for method in [Method::PUT, Method::PATCH, Method::DELETE, Method::POST] {
            let status = api.try_send(method.clone(), path, None, b"{}").unwrap().status;
            assert!(status == 404 || status == 405, "{method} {path}: {status}");
        }
    }
    assert_eq!(stored(&api, "ledger/L1"), recorded);
}

/// It was called one that does not exist, while its events were there.
#[test]
fn an_aggregate_whose_code_is_not_active_is_named_as_such_and_is_there_again_with_it() {
    let host = host_with(&Ledger::default());
    let api = host.api();
    send(&api, "ledger/L1", "note", &json!("one")).expect(200);
    let other =
        Ledger { aggregate: "book".to_owned(), events: vec![("book.noted".to_owned(), 1, Vec::new())], ..Ledger::default() };
    api.put("/v1/modules/ledger?activate=false", &other.component()).expect(201);
    let lost = json!({"version": 2, "accept_unreadable": 1});
    api.post("/v1/modules/ledger/activate", &lost).expect(200);
    let told = "404 no_handler: no active module of this namespace has an aggregate `ledger`; the events of ledger L1 are there\n  \
                hint: activate a version of its module that has it\n";
    assert_eq!(show(&api, "ledger/L1").error(), told);
    assert_eq!(show(&api, "ledger/L2").code(), "404 no_such_aggregate");
    assert_eq!(send(&api, "ledger/L1", "note", &json!("two")).code(), "404 no_handler");
    assert_eq!(events(&api, "ledger/L1").len(), 1);
    api.post("/v1/modules/ledger/activate", &json!({"version": 1})).expect(200);
    assert_eq!(send(&api, "ledger/L1", "note", &json!("two")).expect(200)["revision"], "2");
    assert_eq!(state(&api, "ledger/L1"), "11");
}
