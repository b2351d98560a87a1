//! Lock keys against the real binary: who waits, for what and behind whom, over a kill; and an operator who breaks one. XR-34.

use expect_test::expect;
use serde_json::{Value, json};

use crate::harness::{
    folder::DataFolder,
    host::{Host, Options},
    probe::{DONE, Kind, Probe, Step, Undo, in_step},
};

/// A saga of one retriable step under the lock keys `room/…` and `guest/…`. The first version's step never works: it is stuck, and
/// keeps its keys.
fn probe(execute: &str) -> Vec<u8> {
    let poke = Step::new("poke", Kind::Retriable, Undo::None);
    let locks = vec![("room", "/room"), ("guest", "/guest")];
    Probe { steps: vec![poke], locks, ..Probe::execute(execute) }.component()
}

fn host() -> Host {
    let host = Host::start(DataFolder::empty(), Options::default());
    host.api().put("/v1/modules/probe", &probe(&in_step('p', "(call $failed (i32.const 2))", DONE))).expect(201);
    host
}

fn input(room: &str, guest: &str) -> Value {
    json!({"room": room, "guest": guest})
}

#[test]
fn a_stuck_saga_keeps_its_lock_keys_over_a_kill_until_somebody_breaks_them() {
    let mut host = host();
    assert_eq!(host.api().run("probe", "S1", &input("1", "ada"))["status"], "stuck");
    for (id, room, guest) in [("S2", "1", "bob"), ("S3", "1", "cy")] {
        assert_eq!(host.api().start("probe", id, &input(room, guest)).expect(201)["status"], "waiting");
    }
    host.kill();
    host.restart();
    let waits = host.api().saga("S3");
    assert_eq!(waits["reason"], "waits for the lock key room/1, which S1 holds, after S2");
    let locks = json!({"keys": [
        {"key": "guest/cy", "holder": null, "queue": ["S3"]},
        {"key": "room/1", "holder": "S1", "queue": ["S2", "S3"]},
    ]});
    assert_eq!(waits["locks"], locks);
    let shown = host.cli(&["show", "S1"]).stdout;
    let keys: String = shown.lines().filter(|line| line.starts_with("lock ")).map(|line| format!("{line}\n")).collect();
    expect![[r#"
        lock guest/ada  its own
        lock room/1  its own, 2 others waiting
    "#]]
    .assert_eq(&keys);

    let unlocked = host.cli(&["unlock", "S1", "room/1", "--note", "the room was given away", "--yes"]);
    assert_eq!((unlocked.code, unlocked.stdout.as_str()), (0, "S1 stuck\n"), "{}", unlocked.stderr);
    host.api().until_type("S2", "stuck");
    let broken: Vec<Value> = host.api().journal("S1").into_iter().filter(|record| record["type"] == "lock_broken").collect();
    let [broken] = &broken[..] else { panic!("not one record: {broken:?}") };
    assert_eq!((&broken["note"], &broken["by"]), (&json!("the room was given away"), &json!("tester")));
    assert_eq!(host.api().saga("S1")["locks"]["broken"], json!(["room/1"]));
    assert_eq!(host.api().saga("S3")["reason"], "waits for the lock key room/1, which S2 holds");

    let body = json!({"key": "room/1"});
    let refused = host.api().post("/v1/sagas/S3/unlock", &body);
    assert_eq!(refused.code(), "409 verb_does_not_fit");
    host.api().post("/v1/sagas/S3/cancel", &json!({})).expect(200);
    assert_eq!(host.api().saga("S3")["status"], "compensated");
}

#[test]
fn an_input_without_the_lock_key_is_refused_with_its_place_and_makes_no_saga() {
    let host = host();
    let refused = host.api().start("probe", "S1", &json!({"room": "1"}));
    assert_eq!(refused.code(), "422 no_lock_key");
    assert!(refused.body.to_string().contains("finds no key at `/guest`"), "{}", refused.body);
    assert_eq!(host.api().get("/v1/sagas/S1").status, 404);
}
