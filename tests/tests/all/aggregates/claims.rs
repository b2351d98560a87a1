//! Keys that only one aggregate may hold.

use serde_json::json;

use super::{at_once, events, host_with, send, show};
use crate::harness::ledger::Ledger;

#[test]
fn of_those_that_claim_one_key_at_once_one_has_it() {
    let host = host_with(&Ledger::default());
    let api = host.api();
    for round in 0..20 {
        let claim = json!(format!("c:key {round}"));
        let answers = at_once(8, |number| send(&api, &format!("ledger/L{round}-{number}"), "note", &claim));
        let accepted: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
        let taken = answers.iter().filter(|answer| answer.code() == "409 taken").count();
        assert_eq!((accepted.len(), taken), (1, 7), "{answers:?}");
        let holder = accepted[0].body["id"].as_str().unwrap();
        assert_eq!(show(&api, &format!("ledger/{holder}")).expect(200)["claims"], json!([format!("key {round}")]));
    }
}

/// Whoever gave back a key that another one held made it free, because its row was deleted whoever held it: two aggregates had one
/// key then. A row goes only with who holds it.
#[test]
fn a_key_that_another_one_holds_cannot_be_given_back_for_it() {
    let mut host = host_with(&Ledger::default());
    let api = host.api();
    send(&api, "ledger/L1", "note", &json!("c:mail")).expect(200);
    // What is not held may be given back, and that changes nothing.
    send(&api, "ledger/L2", "note", &json!("g:mail")).expect(200);
    assert_eq!(send(&api, "ledger/L3", "note", &json!("c:mail")).code(), "409 taken");
    host.restart();
    let api = host.api();
    assert_eq!(send(&api, "ledger/L3", "note", &json!("c:mail")).code(), "409 taken");
    assert_eq!(events(&api, "ledger/L3").len(), 0);
    assert_eq!(show(&api, "ledger/L1").expect(200)["claims"], json!(["mail"]));
    send(&api, "ledger/L1", "note", &json!("c:mail")).expect(200);
    send(&api, "ledger/L1", "note", &json!("g:mail")).expect(200);
    send(&api, "ledger/L3", "note", &json!("c:mail")).expect(200);
    assert_eq!(send(&api, "ledger/L1", "note", &json!("c:mail")).code(), "409 taken");
}
