//! Lock keys with the real binary: sagas that wait, the order of the queue, kills, refusals, starts that are too late, and an
//! operator who takes a key from its holder. The order of many sagas is in `turns.rs`.

use expect_test::expect;
use serde_json::{Value, json};

use crate::harness::{
    folder::DataFolder,
    host::{Host, Options},
    probe::{DONE, Kind, OnLocked, Probe, Step, Undo, WAITS, at_first, in_step},
};

/// A saga of one retriable step under the lock keys `room/…` and `guest/…`. The first version's step never works: it is stuck,
/// and keeps its keys.
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

/// A saga that has its room until it is told to go on, and does not go back from there.
fn stay(on_locked: OnLocked, deadline_ms: Option<u64>) -> Host {
    let stay = Step::new("stay", Kind::Retriable, Undo::None);
    let locks = vec![("room", "/room")];
    let probe = Probe { steps: vec![stay], locks, on_locked, deadline_ms, ..Probe::execute(at_first(WAITS, DONE)) };
    let host = Host::start(DataFolder::empty(), Options::default());
    host.api().put("/v1/modules/probe", &probe.component()).expect(201);
    host
}

#[test]
fn a_saga_that_does_not_queue_is_refused_while_somebody_has_its_key_and_is_not_made() {
    let mut host = stay(OnLocked::Refuse, None);
    host.api().start("probe", "S1", &json!({"room": 7})).expect(201);
    // Killed before its wait is durable, it would begin a second attempt, which is done.
    host.api().until_type("S1", "wait");
    for life in 1..=2 {
        let refused = host.api().start("probe", "S2", &json!({"room": 7}));
        expect![[r#"
            409 locked: saga S2 was not started: S1 has the lock key room/7
              hint: try again when S1 has ended; look at it: amends show S1
        "#]]
        .assert_eq(&refused.error());
        assert_eq!(host.api().get("/v1/sagas/S2").code(), "404 saga_not_found", "life {life}");
        host.kill();
        host.restart();
    }
    let output = host.cli(&["start", "probe", "--id", "S2", "--input", r#"{"room":7}"#]);
    assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{}", output.stderr);
    assert!(output.stderr.contains("S1 has the lock key room/7"), "{}", output.stderr);

    host.api().start("probe", "S3", &json!({"room": 8})).expect(201);
    host.api().post("/v1/sagas/S1/signals/probe", &json!({})).expect(202);
    assert_eq!(host.api().run("probe", "S1", &json!({"room": 7}))["status"], "completed");
    host.api().start("probe", "S2", &json!({"room": 7})).expect(201);
}

#[test]
fn the_deadline_of_a_saga_runs_while_it_queues() {
    let mut host = stay(OnLocked::Queue, Some(60_000));
    host.api().start("probe", "S1", &json!({"room": 7})).expect(201);
    // Killed before its wait is durable, it would begin a second attempt, which is done. A busy machine got there after two starts.
    host.api().until_type("S1", "wait");
    host.api().start("probe", "S2", &json!({"room": 7})).expect(201);
    // A clock that runs is moved a moment later, and S3 would begin before it: its deadline must not pass with that of S2.
    host.kill();
    host.advance_ms(59_000);
    host.restart();
    host.api().start("probe", "S3", &json!({"room": 7})).expect(201);
    host.kill();
    host.advance_ms(1_000);
    host.restart();
    host.api().until_type("S2", "compensated");
    let late = host.api().saga("S2");
    assert_eq!((&late["rollback"]["reason"], &late["outstanding"]), (&json!("deadline"), &json!([])));
    // The holder is past its point of no return: its own deadline is no reason to give the room up.
    let locks = json!({"keys": [{"key": "room/7", "holder": "S1", "queue": ["S3"]}]});
    assert_eq!((&host.api().saga("S1")["status"], &host.api().saga("S3")["locks"]), (&json!("waiting"), &locks));
    host.api().post("/v1/sagas/S1/signals/probe", &json!({})).expect(202);
    host.api().until_type("S3", "wait");
}
