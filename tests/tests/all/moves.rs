//! Sagas that move to another version of their module, against the real binary: a broken compensation is repaired by new code.

use expect_test::expect;
use serde_json::json;

use crate::harness::{
    folder::DataFolder,
    host::{Host, Options},
    probe::{DONE, Kind, Probe, Step, Undo, in_step},
};

/// `a`, whose compensation this is, then `b`, which is refused, then these.
fn module(compensate: &str, more: &[&str]) -> Vec<u8> {
    let mut steps = vec![Step::new("a", Kind::Compensatable, Undo::Code), Step::new("b", Kind::Compensatable, Undo::Nothing)];
    steps.extend(more.iter().map(|name| Step::new(name, Kind::Compensatable, Undo::Nothing)));
    let execute = in_step('b', "(call $failed (i32.const 1))", DONE);
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
    assert_eq!((&preview["under_way"], &preview["undo"]), (&json!(true), &json!({"step": "a", "certainty": "done"})));

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
