//! The replay gate: what other code makes of recorded events is known before it is active, and code that cannot read them is not
//! activated.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::{at_once, events, host_with, send, state};
use crate::harness::{api::Api, ledger::Ledger};

/// Forgets what it was told: the state lacks the digit of the event.
const FORGETFUL: &str = "(i32.const 48)";

fn stored(api: &Api, ledger: &Ledger) -> Value {
    api.put(&format!("/v1/modules/{}?activate=false", ledger.module), &ledger.component()).expect(201)
}

fn compared(api: &Api, version: u32) -> Value {
    let mut found = api.post(&format!("/v1/modules/ledger/versions/{version}/compare"), &Value::Null).expect(200);
    // How long it took is not the test's.
    found.as_object_mut().unwrap().remove("took_ms");
    found
}

fn activated(api: &Api, body: &Value) -> String {
    api.post("/v1/modules/ledger/activate", body).code()
}

#[test]
fn of_ten_thousand_streams_those_are_found_of_which_a_forgetful_evolve_makes_another_state() {
    let host = host_with(&Ledger::default());
    let api = host.api();
    at_once(8, |caller| {
        for number in (caller..10_000).step_by(8) {
            let data = if number % 5_000 == 4_242 { "forget" } else { "note" };
            send(&api, &format!("ledger/L{number}"), "note", &json!(data)).expect(200);
        }
    });
    send(&api, "ledger/L4242", "note", &json!("note")).expect(200);
    stored(&api, &Ledger::default().with_f(FORGETFUL));
    let aggregate = json!({
        "aggregate": "ledger", "streams": 10_000, "events": 10_001, "equal": 9_998, "different": 2, "trapped": 0, "broken": 0,
        "unreadable": 0,
        "first_different": {"id": "L4242", "revision": "2", "path": "", "active": "\"11\"", "compared": "\"01\""},
    });
    let found = json!({
        "name": "ledger", "version": 2, "against": 1, "aggregates": [aggregate], "differences": 2, "unreadable": 0,
    });
    assert_eq!(compared(&api, 2), found);
    // Nothing has changed, and a number that is not the one that was seen changes nothing either. A deploy of the same bytes is no way
    // round it.
    let again = api.put("/v1/modules/ledger", &Ledger::default().with_f(FORGETFUL).component());
    assert_eq!(again.code(), "409 states_differ", "{}", again.body);
    assert_eq!(activated(&api, &json!({"version": 2})), "409 states_differ");
    assert_eq!(activated(&api, &json!({"version": 2, "accept_differences": 3})), "409 states_differ");
    assert_eq!(state(&api, "ledger/L4242"), "11");
    assert_eq!(activated(&api, &json!({"version": 2, "accept_differences": 2})), "200");
    assert_eq!(state(&api, "ledger/L4242"), "01");
    // Going back was not compared, and loses nothing.
    assert_eq!(activated(&api, &json!({"previous": true})), "200");
    assert_eq!(state(&api, "ledger/L4242"), "11");
}

#[test]
fn a_version_that_fails_on_recorded_events_is_told_with_the_first_stream_and_the_reason() {
    let host = host_with(&Ledger::default());
    let api = host.api();
    for (id, data) in [("L1", "note"), ("L2", "fail"), ("L3", "fail")] {
        send(&api, &format!("ledger/{id}"), "note", &json!(data)).expect(200);
    }
    stored(&api, &Ledger::default().with_f("unreachable"));
    let found = compared(&api, 2);
    let aggregate = &found["aggregates"][0];
    let counts = ["equal", "different", "trapped", "broken"].map(|count| aggregate[count].clone());
    assert_eq!(counts, [json!(1), json!(0), json!(2), json!(0)]);
    assert_eq!((&aggregate["first_trapped"]["id"], &found["differences"]), (&json!("L2"), &json!(2)));
    let why = aggregate["first_trapped"]["why"].as_str().unwrap();
    assert!(why.starts_with("`ledger` v2 cannot fold the events: "), "{why}");
    assert_eq!(activated(&api, &json!({"version": 2})), "409 states_differ");
    // The other way round: what fails in the active version, and not in the next one, is mended and no difference.
    assert_eq!(activated(&api, &json!({"version": 2, "accept_differences": 2})), "200");
    let back = compared(&api, 1);
    assert_eq!((&back["aggregates"][0]["broken"], &back["differences"]), (&json!(2), &json!(0)));
    assert_eq!(activated(&api, &json!({"version": 1})), "200");
    assert_eq!(state(&api, "ledger/L2"), "1");
}

#[test]
fn a_version_that_cannot_read_a_recorded_form_is_not_activated_in_any_way_unless_that_is_asked_for_by_number() {
    let host = host_with(&Ledger::default());
    let api = host.api();
    send(&api, "ledger/L1", "note", &json!("first")).expect(200);
    let second = Ledger::default().second();
    api.put("/v1/modules/ledger", &second.component()).expect(201);
    send(&api, "ledger/L1", "note", &json!("second")).expect(200);
    send(&api, "ledger/L2", "note", &json!("second")).expect(200);
    let told = "2 recorded events could no longer be read: 2 events of `ledger.noted` in form 2";
    let reasons = json!(["2 events of `ledger.noted` in form 2"]);
    let assert_refused = |answer: crate::harness::api::Answer| {
        assert_eq!(answer.code(), "409 shapes_unreadable", "{}", answer.body);
        let error = &answer.body["error"];
        assert_eq!((&error["message"], &error["reasons"]), (&json!(told), &reasons));
        assert_eq!(api.get("/v1/modules/ledger").expect(200)["active"], 2);
    };
    assert_refused(api.post("/v1/modules/ledger/activate", &json!({"previous": true})));
    assert_refused(api.post("/v1/modules/ledger/activate", &json!({"version": 1})));
    assert_refused(api.post("/v1/activate", &json!({"modules": [{"name": "ledger", "version": 1}]})));
    // New bytes whose definition is that of the first version: nothing of them is left.
    let third = Ledger { keep_every: 7, ..Ledger::default() };
    assert_refused(api.put("/v1/modules/ledger", &third.component()));
    assert_eq!(api.get("/v1/modules/ledger").expect(200)["versions"].as_array().unwrap().len(), 2);
    // One that has no such aggregate reads nothing of it.
    let without = Ledger { aggregate: "other".to_owned(), events: vec![("other.noted".to_owned(), 1, Vec::new())], ..second };
    let answer = api.put("/v1/modules/ledger", &without.component());
    assert_eq!(answer.code(), "409 shapes_unreadable", "{}", answer.body);
    assert_eq!(
        answer.body["error"]["message"],
        "3 recorded events could no longer be read: 1 event of `ledger.noted` in form 1, 2 events of `ledger.noted` in form 2"
    );
    let found = compared(&api, 1);
    assert_eq!((&found["unreadable"], &found["differences"]), (&json!(2), &json!(1)));
    assert_eq!(activated(&api, &json!({"version": 1, "accept_unreadable": 1})), "409 shapes_unreadable");
    assert_eq!(activated(&api, &json!({"version": 1, "accept_unreadable": 2})), "409 states_differ");
    let accepted = json!({"version": 1, "accept_unreadable": 2, "accept_differences": 1});
    assert_eq!(activated(&api, &accepted), "200");
}

/// What nobody has is not lost by a change, and whoever takes it later takes its events too.
#[test]
fn who_takes_an_aggregate_that_nobody_has_must_read_what_was_recorded_of_it() {
    let host = host_with(&Ledger::default().second());
    let api = host.api();
    send(&api, "ledger/L1", "note", &json!("one")).expect(200);
    send(&api, "ledger/L1", "note", &json!("two")).expect(200);
    let without =
        Ledger { aggregate: "other".to_owned(), events: vec![("other.noted".to_owned(), 1, Vec::new())], ..Ledger::default() };
    stored(&api, &without);
    assert_eq!(activated(&api, &json!({"version": 2, "accept_unreadable": 2})), "200");
    assert_eq!(send(&api, "ledger/L1", "note", &json!("three")).code(), "404 no_handler");
    // Others are deployed and activated as if there was nothing.
    let third = Ledger { module: "third".to_owned(), ..without };
    let third = Ledger { aggregate: "third".to_owned(), events: vec![("third.noted".to_owned(), 1, Vec::new())], ..third };
    api.put("/v1/modules/third", &third.component()).expect(201);
    let books = Ledger { module: "books".to_owned(), ..Ledger::default() };
    let refused = api.put("/v1/modules/books", &books.component());
    assert_eq!(refused.code(), "409 shapes_unreadable");
    assert_eq!(
        refused.body["error"]["message"],
        "2 recorded events could no longer be read: 2 events of `ledger.noted` in form 2"
    );
    api.put("/v1/modules/books", &Ledger { module: "books".to_owned(), ..Ledger::default().second() }.component()).expect(201);
    send(&api, "ledger/L1", "note", &json!("three")).expect(200);
    assert_eq!(events(&api, "ledger/L1").len(), 3);
}

#[test]
fn an_aggregate_moves_to_another_module_in_one_step_with_its_streams() {
    let mut host = host_with(&Ledger::default());
    let api = host.api();
    send(&api, "ledger/L1", "note", &json!("before")).expect(200);
    let books = Ledger { module: "books".to_owned(), ..Ledger::default() };
    let rest =
        Ledger { aggregate: "other".to_owned(), events: vec![("other.noted".to_owned(), 1, Vec::new())], ..Ledger::default() };
    stored(&api, &books);
    stored(&api, &rest);
    // Neither goes alone: the name is taken, and the events would be nobody's.
    assert_eq!(api.post("/v1/modules/books/activate", &json!({"version": 1})).code(), "409 name_taken");
    assert_eq!(activated(&api, &json!({"version": 2})), "409 shapes_unreadable");
    let together = json!({"modules": [{"name": "books", "version": 1}, {"name": "ledger", "version": 2}], "note": "split"});
    assert_eq!(api.post("/v1/activate", &together).expect(200)["modules"], together["modules"]);
    let answer = send(&api, "ledger/L1", "note", &json!("after")).expect(200);
    assert_eq!((&answer["revision"], &events(&api, "ledger/L1")[1]["module_version"]), (&json!("2"), &json!(1)));
    host.kill();
    host.restart();
    let api = host.api();
    assert_eq!(api.get("/v1/aggregates/ledger/L1").expect(200)["module"], "books");
    assert_eq!(state(&api, "ledger/L1"), "11");
    // What is wrong about one of them changes nothing about the other.
    let back = json!({"modules": [{"name": "ledger", "version": 1}, {"name": "books", "version": 9}]});
    assert_eq!(api.post("/v1/activate", &back).code(), "404 version_not_found");
    assert_eq!(api.get("/v1/modules/ledger").expect(200)["active"], 2);
    for (bad, code) in [
        (json!({"modules": []}), "400 bad_request"),
        (json!({"modules": [{"name": "books", "version": 1}, {"name": "books", "version": 1}]}), "400 bad_request"),
        (json!({"modules": [{"name": "nobody", "version": 1}]}), "404 module_not_found"),
    ] {
        assert_eq!(api.post("/v1/activate", &bad).code(), code, "{bad}");
    }
}

/// A switch of code is no event for those who send commands: none fails, and none is decided by a version that was not active.
#[test]
fn a_version_is_compared_and_activated_under_load_and_no_command_fails() {
    let host = host_with(&Ledger::default());
    let api = host.api();
    stored(&api, &Ledger { keep_every: 3, ..Ledger::default() });
    let is_over = AtomicBool::new(false);
    let answers = at_once(5, |caller| {
        let mut codes = Vec::new();
        match caller {
            0 => {
                for turn in 0..10 {
                    let version = 1 + (turn + 1) % 2;
                    assert_eq!(compared(&api, version)["differences"], 0);
                    assert_eq!(activated(&api, &json!({"version": version})), "200");
                }
                is_over.store(true, Ordering::SeqCst);
            }
            _ => {
                while !is_over.load(Ordering::SeqCst) {
                    codes.push(send(&api, &format!("ledger/L{}", caller % 2), "note", &json!("note")).code());
                }
            }
        }
        codes
    });
    let all: Vec<&String> = answers.iter().flatten().collect();
    assert!(all.len() > 20 && all.iter().all(|code| *code == "200"), "{all:?}");
    let revisions = ["ledger/L0", "ledger/L1"].map(|which| events(&api, which).len());
    assert_eq!(revisions.iter().sum::<usize>(), all.len());
}

#[test]
fn what_is_not_there_is_not_compared() {
    let host = host_with(&Ledger::default());
    let api = host.api();
    let compare = |path: &str| api.post(&format!("/v1/modules/{path}/compare"), &Value::Null).code();
    assert_eq!(compare("nobody/versions/1"), "404 module_not_found");
    assert_eq!(compare("ledger/versions/7"), "404 version_not_found");
    // A module of another namespace is none of this one's.
    assert_eq!(
        api.in_namespace("other").post("/v1/modules/ledger/versions/1/compare", &Value::Null).code(),
        "404 module_not_found"
    );
    assert_eq!(compared(&api, 1)["aggregates"][0]["streams"], 0);
}

/// Whoever may publish could write into the views of a bank: they take events by type.
#[test]
fn an_event_of_an_aggregates_type_cannot_be_published() {
    let host = host_with(&Ledger::default());
    let api = host.api();
    let publish = |id: &str, event_type: &str| {
        let event = json!({"specversion": "1.0", "id": id, "source": "shop", "type": event_type, "subject": "L1", "data": "x"});
        api.post("/v1/events", &event).code()
    };
    assert_eq!(publish("e1", "ledger.noted"), "409 name_taken");
    assert_eq!(publish("e2", "ledger.unheard"), "409 name_taken");
    assert_eq!([publish("e3", "ledgers.noted"), publish("e4", "ledger")], ["202", "202"]);
    assert_eq!(api.get("/v1/events?name=ledger.noted").expect(200)["events"], json!([]));
    // Elsewhere the name is nobody's.
    let elsewhere = api.in_namespace("other");
    let event = json!({"specversion": "1.0", "id": "e1", "source": "shop", "type": "ledger.noted", "subject": "L1"});
    assert_eq!(elsewhere.post("/v1/events", &event).code(), "202");
}
