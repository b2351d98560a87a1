//! Sagas that move to another version of their module, with the real binary: a new version repairs a broken compensation.

use std::{sync::mpsc::channel, thread};

use expect_test::expect;
use serde_json::{Value, json};

use crate::harness::{
    api::Api,
    each,
    folder::DataFolder,
    host::{Host, Options},
    laws,
    probe::{DONE, Kind, Probe, REFUSED, Step, Undo, WAITS, at_first, in_saga, in_step, says},
};

/// `a`, whose compensation this is, then `b`, which is refused, then these.
fn module(compensate: &str, more: &[&str]) -> Vec<u8> {
    let mut steps = vec![Step::new("a", Kind::Compensatable, Undo::Code), Step::new("b", Kind::Compensatable, Undo::Nothing)];
    steps.extend(more.iter().map(|name| Step::new(name, Kind::Compensatable, Undo::Nothing)));
    let execute = in_step('b', REFUSED, DONE);
    Probe { steps, compensate: compensate.to_owned(), ..Probe::execute(execute) }.component()
}

/// Says transient, however often it is called.
const BROKEN: &str = "(call $failed (i32.const 1))";

/// Says done.
const SOUND: &str = "(i32.const 64)";

#[test]
fn a_saga_stuck_in_a_broken_compensation_is_repaired_by_new_code_also_after_a_kill() {
    let mut host = Host::start(DataFolder::empty(), Options::default());
    host.api().put("/v1/modules/probe", &module(BROKEN, &[])).expect(201);
    assert_eq!(host.api().run("probe", "S1", &json!({}))["status"], "stuck");
    let preview = host.api().saga("S1")["cancel_preview"].clone();
    assert_eq!(
        (&preview["under_way"], &preview["undo"]),
        (&json!(true), &json!({"kind": "step", "step": "a", "certainty": "done"}))
    );

    let plan = host.api().put("/v1/modules/probe?plan=true", &module(SOUND, &["c"])).expect(200);
    assert_eq!(plan["moves"], json!([{"id": "S1", "version": 1, "status": "stuck", "obstacles": []}]));
    let plan = host.api().put("/v1/modules/probe?plan=true", &Probe::execute(DONE).component()).expect(200);
    let obstacles = [
        "step `a`: it has begun, and is not there; keep it",
        "step `b`: it has begun, and is not there; keep it",
        "step `poke`: it is new in stage 1, which has begun; put it into a later stage",
    ];
    assert_eq!(plan["moves"][0]["obstacles"], json!(obstacles));

    host.api().put("/v1/modules/probe", &module(SOUND, &["c"])).expect(201);
    host.api().put("/v1/modules/probe", &Probe::execute(DONE).component()).expect(201);
    let refused = host.api().post("/v1/sagas/S1/move", &json!({"version": 3}));
    assert_eq!((refused.code(), &refused.body["error"]["reasons"]), ("409 verb_does_not_fit".to_owned(), &json!(obstacles)));
    assert_eq!(host.api().post("/v1/sagas/S1/move", &json!({"version": 9})).code(), "404 version_not_found");

    host.kill();
    host.restart();
    let moved = host.cli(&["move", "S1", "--to", "2", "--note", "version 2 undoes a", "--yes"]);
    assert_eq!(moved.code, 0, "{}", moved.stderr);
    let saga = host.api().run("probe", "S1", &json!({}));
    assert_eq!((&saga["status"], &saga["version"], &saga["outstanding"]), (&json!("compensated"), &json!(2), &json!([])));
    let types: Vec<String> =
        host.api().journal("S1").iter().map(|record| record["type"].as_str().unwrap_or_default().to_owned()).collect();
    expect!["started intent done intent refused rollback_begun intent transient backoff intent transient stuck moved retried intent undone compensated"]
        .assert_eq(&types.join(" "));
}

/// Sagas `S…` are refused in `b`, all others wait there to be told; every step says this digit.
fn version(digit: u8, compensate: &str, more: &[&str]) -> Vec<u8> {
    let others = at_first(WAITS, &says(digit));
    let mut steps = vec![Step::new("a", Kind::Compensatable, Undo::Code), Step::new("b", Kind::Compensatable, Undo::Nothing)];
    steps.extend(more.iter().map(|name| Step::new(name, Kind::Compensatable, Undo::Nothing)));
    let execute = in_step('b', &in_saga('S', REFUSED, &others), &says(digit));
    Probe { steps, compensate: compensate.to_owned(), ..Probe::execute(execute) }.component()
}

/// Tells a saga to go on, and waits for its end.
fn goes_on(api: &Api, id: &str) -> Value {
    api.post(&format!("/v1/sagas/{id}/signals/probe"), &json!({})).expect(202);
    let saga = api.run("probe", id, &json!({}));
    assert_eq!(saga["status"], "completed", "{saga}");
    assert_eq!(saga["output"], saga["version"], "the code that ran is that of its version");
    saga
}

#[test]
fn a_stuck_saga_is_repaired_by_new_code_while_a_thousand_others_run_and_end_on_theirs() {
    const OTHERS: usize = 1_000;
    let host = Host::start(DataFolder::empty(), Options::default());
    let api = host.api();
    api.put("/v1/modules/probe", &version(1, BROKEN, &[])).expect(201);
    each(&api, OTHERS, |api, number| drop(api.start("probe", &format!("R{number}"), &json!({})).expect(201)));
    assert_eq!(api.run("probe", "S1", &json!({}))["status"], "stuck");

    // The first half goes on while the code is replaced, and after each of them somebody comes; the second half is told later.
    let (tell, finished) = channel();
    let first_half = {
        let api = api.clone();
        thread::spawn(move || {
            each(&api, OTHERS / 2, move |api, number| {
                assert_eq!(goes_on(api, &format!("R{number}"))["version"], 1);
                let started = api.start("probe", &format!("N{number}"), &json!({})).expect(201);
                // Nobody listens any more once the code is replaced.
                let _ = tell.send(started["version"].clone());
            });
        })
    };
    finished.iter().nth(50).unwrap();
    api.put("/v1/modules/probe", &version(2, SOUND, &["c"])).expect(201);
    let moved = host.cli(&["move", "S1", "--to", "2", "--note", "version 2 undoes a", "--yes"]);
    assert_eq!(moved.code, 0, "{}", moved.stderr);
    let repaired = api.run("probe", "S1", &json!({}));
    assert_eq!((&repaired["status"], &repaired["version"]), (&json!("compensated"), &json!(2)), "{repaired}");
    let versions = api.get("/v1/modules/probe").expect(200)["versions"].clone();
    assert!(versions[0]["in_flight"].as_u64() >= Some(OTHERS as u64 / 2), "{versions}");
    first_half.join().unwrap();
    assert!(finished.iter().any(|version| version == 2), "nobody came after the new code");

    each(&api, OTHERS / 2, |api, number| {
        assert_eq!(goes_on(api, &format!("R{}", OTHERS / 2 + number))["version"], 1);
        goes_on(api, &format!("N{number}"));
    });
    let versions = api.get("/v1/modules/probe").expect(200)["versions"].clone();
    assert_eq!([&versions[0]["in_flight"], &versions[1]["in_flight"]], [&json!(0), &json!(0)]);
    assert_eq!(api.metric("amends_starts_blocked_on_module_total"), 0.0);
    for id in ["S1", "R0", "R999", "N499"] {
        laws::hold(&api, id);
    }
}
