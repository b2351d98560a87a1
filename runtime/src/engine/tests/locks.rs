//! Lock keys: one saga a business object, first come first served, also over a death of the host.

use amends_core::{
    definition::{Each, EachMode, LockKey},
    view::{Status, View},
};

use super::*;
use crate::{
    engine::port::RefusalCode,
    store::{Range, Table},
};

/// One step that waits for a signal, under the lock keys `room/…` and `guest/…` of the input.
fn locked(on_locked: OnLocked) -> Definition {
    let lock = |name: &str| LockKey { name: name.into(), pointer: format!("/{name}") };
    Definition { locks: vec![lock("room"), lock("guest")], on_locked, deadline_ms: Some(60_000), ..definition(&["~b", "~c"]) }
}

fn sim(on_locked: OnLocked) -> Sim {
    let mut sim = Sim::new(b_waits);
    sim.deploy(1, locked(on_locked));
    sim
}

fn input(room: &str, guest: &str) -> String {
    format!(r#"{{"room":"{room}","guest":"{guest}"}}"#)
}

fn begin(sim: &mut Sim, id: &str, room: &str, guest: &str) -> Result<SagaAnswer, Refusal> {
    let answered = sim.start(id, &input(room, guest), false);
    sim.settle();
    said(answered)
}

fn view(sim: &mut Sim, id: &str) -> View {
    sim.saga(&key(id)).view()
}

/// What holds each key and who waits for it, as the rows say.
fn rows(sim: &Sim) -> String {
    let keys = ["guest/a", "guest/b", "room/1", "room/2"].map(str::to_owned);
    let looked = read::locks(sim.store.as_ref(), &namespace(), &keys).unwrap();
    let line = |key: &crate::engine::saga::read::LockKey| {
        let holder = key.holder.as_ref().map_or("-", SagaId::as_str);
        let queue: Vec<&str> = key.queue.iter().map(SagaId::as_str).collect();
        format!("{} {holder} [{}]\n", key.key, queue.join(" "))
    };
    looked.iter().filter(|key| key.holder.is_some() || !key.queue.is_empty()).map(line).collect()
}

fn no_rows(sim: &Sim) -> bool {
    let all = Range::under(Table::Locks, &[], usize::MAX);
    sim.store.rows(&all).unwrap().is_empty()
}

/// Lets the step of a saga that has its keys go on.
fn go_on(sim: &mut Sim, id: &str) {
    let _woken = sim.publish(&format!("go {id}"), Some(id), "42");
    sim.settle();
}

#[test]
fn who_wants_a_key_that_is_held_waits_durably_until_its_holder_has_ended() {
    let mut sim = sim(OnLocked::Queue);
    begin(&mut sim, "S1", "1", "a").unwrap();
    let answer = begin(&mut sim, "S2", "1", "b").unwrap();
    assert_eq!((answer.created, answer.view.status), (true, Status::Waiting));
    begin(&mut sim, "S3", "2", "b").unwrap();
    assert_eq!(rows(&sim), "guest/a S1 []\nguest/b - [S2 S3]\nroom/1 S1 [S2]\nroom/2 - [S3]\n");
    assert_eq!(sim.calls, ["b@1"]);
    go_on(&mut sim, "S1");
    assert_eq!(rows(&sim), "guest/b S2 [S3]\nroom/1 S2 []\nroom/2 - [S3]\n");
    go_on(&mut sim, "S2");
    go_on(&mut sim, "S3");
    assert!(no_rows(&sim));
    assert_eq!(["S1", "S2", "S3"].map(|id| view(&mut sim, id).status), [Status::Completed; 3]);
}

#[test]
fn the_end_of_a_holder_and_the_turn_of_the_next_are_one_commit() {
    let mut sim = sim(OnLocked::Queue);
    begin(&mut sim, "S1", "1", "a").unwrap();
    begin(&mut sim, "S2", "1", "b").unwrap();
    let _woken = sim.publish("go", Some("S1"), "42");
    while sim.end_one() {}
    let ends: Vec<usize> = sim.queue.iter().map(|(batch, _)| batch.appends.len()).collect();
    // S1's last records, and those of S2's turn.
    assert!(ends.contains(&2), "{ends:?}");
    // Half of a batch is never durable: the host dies with all of it, and nobody has lost his place.
    let mut sim = sim.kill_and_restart();
    sim.settle();
    assert_eq!(rows(&sim), "guest/a S1 []\nguest/b - [S2]\nroom/1 S1 [S2]\n");
    go_on(&mut sim, "S1");
    assert_eq!(rows(&sim), "guest/b S2 []\nroom/1 S2 []\n");
}

#[test]
fn after_a_kill_the_holders_and_the_queue_are_those_of_before() {
    let mut sim = sim(OnLocked::Queue);
    for (id, room, guest) in [("S1", "1", "a"), ("S2", "1", "b"), ("S3", "2", "b"), ("S4", "1", "a")] {
        begin(&mut sim, id, room, guest).unwrap();
    }
    let before = rows(&sim);
    let mut sim = sim.kill_and_restart();
    sim.settle();
    assert_eq!(rows(&sim), before);
    assert_eq!(sim.shard.sagas.resident_count(), 0, "who waits for a key is not read at start-up");
    let orders = ["S1", "S2", "S3", "S4"].map(|id| {
        assert!(sim.calls.len() < 10);
        go_on(&mut sim, id);
        rows(&sim)
    });
    assert_eq!(
        orders,
        [
            "guest/a - [S4]\nguest/b S2 [S3]\nroom/1 S2 [S4]\nroom/2 - [S3]\n",
            "guest/a S4 []\nguest/b S3 []\nroom/1 S4 []\nroom/2 S3 []\n",
            "guest/a S4 []\nroom/1 S4 []\n",
            ""
        ]
    );
}

#[test]
fn a_definition_that_refuses_makes_no_saga_and_names_the_key_and_its_holder() {
    let mut sim = sim(OnLocked::Refuse);
    begin(&mut sim, "S1", "1", "a").unwrap();
    let refusal = begin(&mut sim, "S2", "1", "b").unwrap_err();
    assert_eq!(
        (refusal.code, refusal.message.as_str()),
        (RefusalCode::Locked, "saga S2 was not started: S1 has the lock key room/1")
    );
    // The same start again is the same saga, and no second claim.
    assert!(!begin(&mut sim, "S1", "1", "a").unwrap().created);
    go_on(&mut sim, "S1");
    assert!(begin(&mut sim, "S2", "1", "b").unwrap().created);
}

#[test]
fn a_refusal_waits_until_what_it_says_of_the_holder_is_durable() {
    let mut sim = sim(OnLocked::Refuse);
    let _first = sim.start("S1", &input("1", "a"), false);
    let mut refused = sim.start("S2", &input("1", "b"), false);
    assert!(is_open(&mut refused));
    sim.commit();
    assert_eq!(said(refused).unwrap_err().code, RefusalCode::Locked);
}

#[test]
fn an_input_without_the_key_starts_nothing() {
    let mut sim = sim(OnLocked::Queue);
    let refusal = said(sim.start("S1", r#"{"room":"1"}"#, false)).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::NoLockKey);
    assert!(refusal.message.contains("the lock `guest` finds no key at `/guest`"), "{}", refusal.message);
    assert!(no_rows(&sim));
}

#[test]
fn a_saga_may_be_cancelled_or_be_late_while_it_waits_and_leaves_the_queue() {
    let mut sim = sim(OnLocked::Queue);
    begin(&mut sim, "S1", "1", "a").unwrap();
    begin(&mut sim, "S2", "1", "b").unwrap();
    sim.now = sim.now.plus(1);
    begin(&mut sim, "S3", "1", "b").unwrap();
    let cancelled = sim.verb("S2", Verb::Cancel, "k1");
    sim.settle();
    assert_eq!(said(cancelled).unwrap().status, Status::Compensated);
    assert_eq!(rows(&sim), "guest/a S1 []\nguest/b - [S3]\nroom/1 S1 [S3]\n");
    // The deadlines of S1 and of S3 pass: the first frees the keys in the same moment in which the second is too late for them.
    sim.pass(60_000);
    assert_eq!(["S1", "S2", "S3"].map(|id| view(&mut sim, id).status), [Status::Compensated; 3]);
    assert_eq!(sim.calls, ["b@1"]);
    assert!(no_rows(&sim));
}

#[test]
fn a_broken_key_goes_to_the_next_one_and_the_saga_goes_on_without() {
    let mut sim = sim(OnLocked::Queue);
    begin(&mut sim, "S1", "1", "a").unwrap();
    begin(&mut sim, "S2", "1", "b").unwrap();
    let early = sim.verb("S2", Verb::Unlock("room/1".into()), "k0");
    sim.settle();
    let early = said(early).unwrap_err();
    assert_eq!(
        (early.code, early.message.as_str()),
        (RefusalCode::VerbDoesNotFit, "saga S2: it does not hold the lock key `room/1`; it holds none")
    );
    let broken = sim.verb("S1", Verb::Unlock("room/1".into()), "k1");
    sim.settle();
    assert!(said(broken).unwrap().applied);
    assert_eq!(rows(&sim), "guest/a S1 []\nguest/b S2 []\nroom/1 S2 []\n");
    assert_eq!(view(&mut sim, "S1").locks.unwrap().broken, ["room/1"]);
    let mut sim = sim.kill_and_restart();
    sim.settle();
    go_on(&mut sim, "S1");
    assert_eq!(rows(&sim), "guest/b S2 []\nroom/1 S2 []\n");
}

/// Each that ended told the next one from inside of its own end: a long queue of sagas that end at once would have been as many
/// calls deep.
#[test]
fn a_long_queue_of_sagas_that_end_at_once_is_no_deep_recursion() {
    let mut sim = Sim::new(b_waits);
    sim.shard.kernel.limits.queue_records = 100_000;
    let each = Each { items: "/input/items".into(), key: None, mode: EachMode::FailFast, concurrency: 1 };
    let mut definition = locked(OnLocked::Queue);
    definition.stages[0].steps[0].each = Some(each);
    definition.stages.truncate(1);
    sim.deploy(1, definition);
    let _held = sim.start("S0", r#"{"room":"1","guest":"a","items":[1]}"#, false);
    let waits = 5_000;
    for n in 1..=waits {
        let _queued = sim.start(&format!("S{n}"), r#"{"room":"1","guest":"a","items":[]}"#, false);
    }
    sim.settle();
    go_on(&mut sim, "S0");
    assert_eq!(["S0", "S5000"].map(|id| view(&mut sim, id).status), [Status::Completed; 2]);
    assert!(no_rows(&sim));
}

#[test]
fn xr_34_two_hundred_sagas_that_want_the_same_two_keys_in_opposite_order_all_end_in_order() {
    let lock = |pointer: &str| LockKey { name: "account".into(), pointer: pointer.into() };
    let mut sim = Sim::new(all_done);
    sim.deploy(1, Definition { locks: vec![lock("/from"), lock("/to")], ..definition(&["a", "b"]) });
    sim.grant();
    let mut answers = Vec::new();
    for n in 0..200 {
        let (from, to) = if n % 2 == 0 { ("1", "2") } else { ("2", "1") };
        answers.push(sim.start(&format!("S{n}"), &format!(r#"{{"from":"{from}","to":"{to}"}}"#), true));
    }
    sim.settle();
    let ended: Vec<u64> = answers.into_iter().map(|answered| said(answered).unwrap().position).collect();
    assert!(ended.is_sorted(), "who came first ended first");
    assert!(no_rows(&sim));
}
