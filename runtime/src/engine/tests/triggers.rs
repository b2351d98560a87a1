//! Sagas that events start: in the event's commit, once, on the active version, or not at all and said so.

use amends_core::{Trigger, definition::LockKey};
use expect_test::expect;

use super::*;
use crate::{
    engine::port::Seed,
    journal::{Fact, MessageEvent, record},
    store::Stored,
};

/// One saga of these steps under this name.
fn named(name: &str, steps: &[&str]) -> Definition {
    Definition { name: name.into(), ..definition(steps) }
}

/// A module whose sagas are all started by `order.placed`.
fn shop(digest: u8, definitions: Vec<Definition>) -> Deploy {
    let trigger = |definition: &Definition| Trigger { saga: definition.name.clone(), event_type: "order.placed".into() };
    Deploy { triggers: definitions.iter().map(trigger).collect(), ..deploy(digest, definitions) }
}

fn deployed(sim: &mut Sim, deploy: Deploy) -> ModuleAnswer {
    let answered = sim.ask_deploy(deploy);
    sim.settle();
    said(answered).expect("deployed")
}

/// A host on which `order.placed` starts `fulfil`.
fn started() -> Sim {
    let mut sim = Sim::new(all_done);
    deployed(&mut sim, shop(1, vec![named("fulfil", &["~pack"])]));
    sim.commits = 0;
    sim
}

fn placed(id: &str, data: &str) -> Publish {
    Publish {
        source: "shop".into(),
        id: id.into(),
        event_type: "order.placed".into(),
        key: String::new(),
        to: None,
        data: Some(Payload::json(data.to_owned())),
        seed: Some(Seed { input_hash: [data.len() as u8; 32], incarnation: [7; 16], trace_context: Some("00-1-1-01".into()) }),
        cause: None,
        batch: None,
    }
}

fn publish(sim: &mut Sim, event: Publish) -> String {
    let answered = sim.ask_publish(event);
    sim.settle();
    told(said(answered))
}

fn told(said: Result<PublishAnswer, Refusal>) -> String {
    let said = match said {
        Ok(said) => said,
        Err(refusal) => return format!("{}: {}\n", refusal.code.as_str(), refusal.message),
    };
    let PublishAnswer { duplicate, woke, started, not_started, kept_until, .. } = said;
    let again = if duplicate { "again: " } else { "" };
    let kept = if kept_until.is_some() { ", kept" } else { "" };
    let started = started.iter().map(|started| format!("  started {}\n", started.id));
    let not = not_started.iter().map(|not| format!("  not started {}: {}: {}\n", not.saga, not.code.as_str(), not.message));
    format!("{again}woke {woke}{kept}\n") + &started.chain(not).collect::<String>()
}

/// What is recorded from a position on.
fn journal(sim: &Sim, from: Position) -> String {
    let line = |stored: &Stored| {
        let record = record::decode_stored(stored).unwrap();
        let head = record.head.map(|head| format!(" {}, of {}", head.stream.id, head.correlation)).unwrap_or_default();
        let cause = record.causation.map(|cause| format!(", from {}.{}", cause.stream - from, cause.version)).unwrap_or_default();
        let said = match record.fact {
            Fact::Message(MessageEvent::NotStarted { saga, why }) => format!(": {saga}: {why}"),
            _ => return format!("{}.{} {}{head}{cause}\n", record.id.stream - from, record.id.version, record.fact.name()),
        };
        format!("{}.{} not_started{said}\n", record.id.stream - from, record.id.version)
    };
    sim.store.log(from, 100).unwrap().iter().map(line).collect()
}

fn dead_letters(sim: &Sim) -> String {
    let text = sim.metrics.text();
    text.lines().find(|line| line.starts_with("amends_dead_letters_total")).unwrap_or_default().to_owned()
}

#[test]
fn an_event_and_the_saga_that_it_starts_are_durable_together() {
    let mut sim = started();
    let from = sim.shard.kernel.last_position() + 1;
    let mut answered = sim.ask_publish(placed("o-17", "17"));
    assert!(is_open(&mut answered));
    sim.commit();
    expect![[r#"
        woke 0
          started fulfil:e3c8e9e723ac83c5f48e07bb
    "#]]
    .assert_eq(&told(said(answered)));
    assert_eq!(sim.commits, 1);
    sim.settle();
    expect![[r#"
        0.1 event shop/o-17, of o-17
        1.1 started fulfil:e3c8e9e723ac83c5f48e07bb, of o-17, from 0.1
        1.2 intent, from 0.1
        1.3 done, from 1.2
        1.4 completed, from 1.3
    "#]]
    .assert_eq(&journal(&sim, from));
}

#[test]
fn the_same_event_starts_nothing_again_however_often_and_late_it_comes() {
    let mut sim = started();
    let first = publish(&mut sim, placed("o-17", "17"));
    let again = publish(&mut sim, placed("o-17", "17"));
    assert_eq!(again, format!("again: {first}"));
    let mut sim = sim.kill_and_restart();
    sim.settle();
    assert_eq!(publish(&mut sim, placed("o-17", "17")), again);
    // The first answer is forgotten; the saga's id is not.
    sim.pass(8 * 86_400_000);
    assert_eq!(publish(&mut sim, placed("o-17", "17")), first);
    assert!(sim.calls.is_empty(), "{:?}", sim.calls);
    sim.pass(8 * 86_400_000);
    expect![[r#"
        woke 0, kept
          not started fulfil: id_taken: saga id fulfil:e3c8e9e723ac83c5f48e07bb is taken by another definition or input
    "#]]
    .assert_eq(&publish(&mut sim, placed("o-17", "other")));
}

#[test]
fn a_host_that_dies_before_the_commit_has_neither_the_event_nor_the_saga() {
    let mut sim = started();
    let mut answered = sim.ask_publish(placed("o-17", "17"));
    while sim.end_one() {}
    assert!(is_open(&mut answered));
    let mut sim = sim.kill_and_restart();
    sim.settle();
    assert!(sim.calls.is_empty());
    let first = publish(&mut sim, placed("o-17", "17"));
    assert!(first.starts_with("woke 0\n  started fulfil:"), "{first}");
    assert_eq!(sim.calls, ["pack@1"]);
}

#[test]
fn a_host_that_dies_after_the_commit_goes_on_with_the_saga() {
    let mut sim = started();
    let answered = sim.ask_publish(placed("o-17", "17"));
    sim.commit();
    let first = said(answered).unwrap();
    let mut sim = sim.kill_and_restart();
    sim.settle();
    assert_eq!(status(&mut sim, first.started[0].id.as_str()), Status::Completed);
}

#[test]
fn one_event_starts_sagas_of_several_modules() {
    let mut sim = started();
    let invoice = Deploy { module: "billing".into(), ..shop(2, vec![named("invoice", &["~write"]), named("book", &["~write"])]) };
    deployed(&mut sim, invoice);
    sim.commits = 0;
    let answered = sim.ask_publish(placed("o-17", "17"));
    sim.commit();
    assert_eq!(sim.commits, 1);
    expect![[r#"
        woke 0
          started book:e3c8e9e723ac83c5f48e07bb
          started fulfil:e3c8e9e723ac83c5f48e07bb
          started invoice:e3c8e9e723ac83c5f48e07bb
    "#]]
    .assert_eq(&told(said(answered)));
}

#[test]
fn only_the_active_version_says_what_is_started() {
    let mut sim = started();
    sim.deploy(2, named("fulfil", &["~pack"]));
    assert_eq!(publish(&mut sim, placed("E1", "1")), "woke 0, kept\n");
    sim.activate(1);
    let mut sim = sim.kill_and_restart();
    sim.settle();
    assert!(publish(&mut sim, placed("E2", "2")).contains("started fulfil:"));
}

/// A component that was deployed before the host looked for triggers would never have been heard: the same bytes are no new version.
#[test]
fn bytes_that_were_there_before_their_triggers_were_looked_for_get_them() {
    let mut sim = Sim::new(all_done);
    let first = sim.deploy(1, named("fulfil", &["~pack"]));
    let second = deployed(&mut sim, shop(1, vec![named("fulfil", &["~pack"])]));
    assert_eq!((first.version, second.version, second.created), (1, 1, true));
    assert!(!deployed(&mut sim, shop(1, vec![named("fulfil", &["~pack"])])).created);
    assert!(publish(&mut sim, placed("E1", "1")).contains("started fulfil:"));
}

#[test]
fn what_stands_against_a_start_for_good_is_recorded_with_the_event_and_counted() {
    let mut sim = Sim::new(all_done);
    let strict = Definition { schema: Some(r#"{"type":"object"}"#.into()), ..named("strict", &["~a"]) };
    let locked = |name: &str| Definition {
        locks: vec![LockKey { name: "order".into(), pointer: String::new() }],
        on_locked: OnLocked::Refuse,
        ..named(name, &["b"])
    };
    let keyed = Definition { locks: vec![LockKey { name: "sku".into(), pointer: "/sku".into() }], ..named("keyed", &["~a"]) };
    deployed(&mut sim, shop(1, vec![strict, locked("first"), locked("second"), keyed]));
    let from = sim.shard.kernel.last_position() + 1;
    let mut answered = sim.ask_publish(placed("o-17", "17"));
    assert!(is_open(&mut answered));
    sim.commit();
    let first = told(said(answered));
    expect![[r#"
        woke 0
          started first:e3c8e9e723ac83c5f48e07bb
          not started keyed: no_lock_key: saga `keyed` cannot be started: the lock `sku` finds no key at `/sku` of the input: a printable string of 1 to 256 bytes, or a number
          not started second: locked: saga second:e3c8e9e723ac83c5f48e07bb was not started: first:e3c8e9e723ac83c5f48e07bb has the lock key order/17
          not started strict: input_does_not_fit: the input does not fit saga `strict`: want object, but got number
    "#]].assert_eq(&first);
    let again = sim.ask_publish(placed("o-17", "17"));
    assert_eq!(told(said(again)), format!("again: {first}"));
    expect![[r#"
        0.1 event shop/o-17, of o-17
        1.1 started first:e3c8e9e723ac83c5f48e07bb, of o-17, from 0.1
        1.2 lock_taken, from 0.1
        1.3 intent, from 0.1
        0.2 not_started: keyed: no_lock_key: saga `keyed` cannot be started: the lock `sku` finds no key at `/sku` of the input: a printable string of 1 to 256 bytes, or a number
        0.3 not_started: second: locked: saga second:e3c8e9e723ac83c5f48e07bb was not started: first:e3c8e9e723ac83c5f48e07bb has the lock key order/17
        0.4 not_started: strict: input_does_not_fit: the input does not fit saga `strict`: want object, but got number
    "#]].assert_eq(&journal(&sim, from));
    expect!["amends_dead_letters_total 3"].assert_eq(&dead_letters(&sim));
}

#[test]
fn an_event_that_starts_nothing_of_what_it_was_to_start_is_kept_for_those_that_may_wait() {
    let mut sim = Sim::new(all_done);
    let strict = Definition { schema: Some(r#"{"type":"object"}"#.into()), ..named("strict", &["~a"]) };
    deployed(&mut sim, shop(1, vec![strict]));
    let from = sim.shard.kernel.last_position() + 1;
    assert!(publish(&mut sim, placed("o-17", "17")).starts_with("woke 0, kept\n  not started strict: input_does_not_fit"));
    sim.pass(8 * 86_400_000);
    expect![[r#"
        0.1 event shop/o-17, of o-17
        0.2 not_started: strict: input_does_not_fit: the input does not fit saga `strict`: want object, but got number
        0.3 kept, from 0.2
    "#]]
    .assert_eq(&journal(&sim, from));
}

#[test]
fn what_may_pass_refuses_the_event_and_records_nothing() {
    let mut sim = started();
    let before = sim.shard.kernel.last_position();
    sim.shard.kernel.limits.residents_max = 0;
    expect![[r#"
        overloaded: 0 sagas are running, which is as many as this host takes
    "#]]
    .assert_eq(&publish(&mut sim, placed("o-17", "17")));
    sim.shard.kernel.limits.residents_max = 1;
    sim.input(Input::Stop);
    expect![[r#"
        stopping: the host is stopping and takes no new sagas
    "#]]
    .assert_eq(&publish(&mut sim, placed("o-17", "17")));
    assert_eq!(sim.shard.kernel.last_position(), before);
    // An event that starts nothing is taken all the same.
    let other = Publish { event_type: "order.changed".into(), ..placed("E1", "1") };
    assert_eq!(publish(&mut sim, other), "woke 0, kept\n");
}

#[test]
fn a_signal_starts_nothing() {
    let mut sim = started();
    let signal = Publish { to: Some(saga("S1")), seed: None, ..placed("E1", "1") };
    assert_eq!(publish(&mut sim, signal), "woke 0, kept\n");
}

/// A saga that waits for events of the type that starts it takes the next one, and not the one that started it.
#[test]
fn an_event_wakes_those_that_wait_and_starts_others_which_do_not_take_it() {
    let mut sim = Sim::new(b_waits);
    let mut chain = shop(1, vec![named("chain", &["~b"])]);
    chain.triggers[0].event_type = "approval".into();
    deployed(&mut sim, chain);
    let approval = |id| Publish { event_type: "approval".into(), key: "42".into(), ..placed(id, "17") };
    let first = sim.ask_publish(approval("E1"));
    sim.settle();
    let first = said(first).unwrap().started[0].id.clone();
    assert_eq!(status(&mut sim, first.as_str()), Status::Waiting);
    let second = sim.ask_publish(approval("E2"));
    sim.settle();
    let second = said(second).unwrap();
    assert_eq!((second.woke, second.started.len(), second.kept_until), (1, 1, None));
    assert_eq!(status(&mut sim, first.as_str()), Status::Completed);
    assert_eq!(status(&mut sim, second.started[0].id.as_str()), Status::Waiting);
}

/// It was recorded as not started for good, and the event that was sent again when the version was active again was a duplicate.
#[test]
fn an_event_waits_for_a_quarantined_version_with_its_publisher() {
    let mut sim = started();
    let Shard { kernel, modules, .. } = &mut sim.shard;
    module::quarantine(&mut kernel.commit(), modules, &namespace(), "demo", 1);
    kernel.hand_over();
    sim.settle();
    let before = sim.shard.kernel.last_position();
    let refused = "quarantined: demo v1 is quarantined: it was executing each time the host died\n";
    assert_eq!(publish(&mut sim, placed("o1", "{}")), refused);
    assert_eq!(sim.shard.kernel.last_position(), before, "nothing is recorded");
    sim.activate(1);
    assert!(publish(&mut sim, placed("o1", "{}")).starts_with("woke 0\n  started fulfil:"));
}
