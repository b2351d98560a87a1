//! A view is a fold of the log, whenever and however often it is built.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::{Value, json};
use ureq::http::Method;

use super::{act, folded, generation, generations, host_with, list_at, note, notes, rows_at, shown, until, values};
use crate::harness::{each, viewer::Viewer};

#[test]
fn a_view_equals_a_fold_of_the_log_and_a_rebuild_gives_equal_rows() {
    let host = host_with(&Viewer::default());
    let api = host.api();
    each(&api, 300, |api, number| drop(note(api, &format!("L{}", number % 7), &format!("note {number}"))));
    note(&api, "L1", "k:");
    let last = note(&api, "L1", "B:");
    assert_eq!(rows_at(&api, "notes", &last), folded(&api, 1));
    let rebuilt = act(&api, "notes", "rebuild", &json!({"note": "to see"})).expect(200);
    assert!(generations(&rebuilt).starts_with("active v1"), "{rebuilt}");
    let after = until(&api, "notes", |shown| generation(shown, "building").is_null());
    assert_eq!(generations(&after).split(", ").count(), 2, "{after}");
    assert_eq!(generation(&after, "previous")["number"], rebuilt["generations"][0]["number"]);
    assert_eq!(generation(&after, "active")["events"], 1301);
    assert_eq!(rows_at(&api, "notes", &last), folded(&api, 1));
}

#[test]
fn a_rebuild_while_commands_go_on_misses_none() {
    let host = host_with(&Viewer::default());
    let api = host.api();
    each(&api, 100, |api, number| drop(note(api, &format!("L{}", number % 3), &format!("before {number}"))));
    let writing = {
        let api = api.clone();
        thread::spawn(move || each(&api, 200, |api, number| drop(note(api, &format!("L{number}"), &format!("beside {number}")))))
    };
    for _ in 0..5 {
        act(&api, "notes", "rebuild", &Value::Null).expect(200);
        until(&api, "notes", |shown| generation(shown, "building").is_null());
    }
    writing.join().unwrap();
    let last = note(&api, "L1", "last");
    assert_eq!(rows_at(&api, "notes", &last), folded(&api, 1));
    assert_eq!(rows_at(&api, "notes", &last).len(), 301);
}

/// A rebuild of a rebuild begins anew; each number counts once.
#[test]
fn a_rebuild_that_is_asked_for_twice_is_built_once_at_a_time() {
    let host = host_with(&Viewer::default());
    let api = host.api();
    let last = notes(&api, "L1", &["k:", "k:", "k:"]);
    each(&api, 12, |api, _| drop(act(api, "notes", "rebuild", &Value::Null).expect(200)));
    let after = until(&api, "notes", |shown| generation(shown, "building").is_null());
    assert!(after["generations"].as_array().unwrap().len() <= 2, "{after}");
    assert_eq!(rows_at(&api, "notes", &last), folded(&api, 1));
}

/// Each version writes its digit before each value: an answer with two digits would be of two generations.
#[test]
fn a_switch_under_load_of_questions_gives_no_error_and_no_mixed_answer_and_goes_back_at_once() {
    let host = host_with(&Viewer::default());
    let api = host.api();
    let last = notes(&api, "L1", &["one", "two", "three"]);
    rows_at(&api, "notes", &last);
    let is_over = AtomicBool::new(false);
    let asked = thread::scope(|scope| {
        let askers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = Vec::new();
                    while !is_over.load(Ordering::Relaxed) {
                        let answer = list_at(&api, "notes", &last).expect(200);
                        let digit = answer["version"].as_u64().unwrap() % 2;
                        let digit = if digit == 0 { 2 } else { 1 };
                        assert_eq!(values(&answer["data"]), folded(&api, digit), "{answer}");
                        seen.push(answer["generation"].as_u64().unwrap());
                    }
                    seen
                })
            })
            .collect();
        super::deploy(&api, "viewer", &Viewer::default().digit(2).component());
        until(&api, "notes", |shown| generation(shown, "active")["version"] == 2);
        for turn in 0..20 {
            let switched = act(&api, "notes", "switch", &Value::Null).expect(200);
            assert_eq!(generation(&switched, "active")["version"], if turn % 2 == 0 { 1 } else { 2 }, "{switched}");
        }
        is_over.store(true, Ordering::Relaxed);
        askers.into_iter().flat_map(|asker| asker.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(!asked.is_empty());
    let shown = shown(&api, "notes");
    assert_eq!(generation(&shown, "active")["version"], 2, "{shown}");
    // Both are up to date: what comes is in each.
    let last = note(&api, "L1", "four");
    assert_eq!(rows_at(&api, "notes", &last), folded(&api, 2));
    act(&api, "notes", "switch", &Value::Null).expect(200);
    assert_eq!(rows_at(&api, "notes", &last), folded(&api, 1));
}

/// What is not of the view is read past.
#[test]
fn at_least_the_very_end_of_the_journal_is_answered_also_where_nothing_there_is_read() {
    let host = host_with(&Viewer::default());
    let api = host.api();
    for number in 0..20 {
        let other = api.post(&format!("/v1/aggregates/customer/C{number}/open"), &json!({"limit_cents": 1})).expect(200);
        let answer = list_at(&api, "notes", other["position"].as_str().unwrap()).expect(200);
        assert_eq!(answer["data"].as_array().unwrap().len(), number);
        let position = note(&api, "L1", "some");
        let answer = list_at(&api, "notes", &position).expect(200);
        assert_eq!(answer["data"].as_array().unwrap().len(), number + 1);
    }
}

#[test]
fn imported_events_are_in_the_views() {
    let host = host_with(&Viewer::default());
    let api = host.api();
    note(&api, "own", "before");
    let line = |number: usize| {
        let (key, revision) = (format!("L{}", number % 10), number / 10 + 1);
        json!({"source": "ledger", "key": key, "type": "ledger.noted", "revision": revision, "data": format!("note {number}")})
    };
    let page: Vec<String> = (0..2_500).map(|number| line(number).to_string()).collect();
    let answer = api.write(Method::POST, "/v1/import", page.join("\n").as_bytes()).expect(200);
    assert_eq!(answer, json!({"begun": 10, "taken": 2500, "repeated": 0, "left_out": 0, "refused": 0}));
    let last = note(&api, "L1", "after");
    let rows = rows_at(&api, "notes", &last);
    assert_eq!((rows.len(), &rows), (2_502, &folded(&api, 1)));
    act(&api, "notes", "rebuild", &Value::Null).expect(200);
    until(&api, "notes", |shown| generation(shown, "building").is_null());
    assert_eq!(rows_at(&api, "notes", &last), rows);
}
