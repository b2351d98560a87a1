//! What many sagas are told: each of them once, some in a turn, whatever happens on the way.

use amends_core::{
    denial::{Denial, DenialReason},
    event::{Event, Topic},
    id::Leg,
};

use bytes::Bytes;

use super::{jobs::count_of, *};
use crate::{
    engine::refusal::RefusalCode,
    journal::{Fact, MessageEvent, Record, record},
    store::{Order, Range, Table},
};

fn demo(world: World, steps: &[&str], count: usize) -> Sim {
    let mut sim = Sim::new(world);
    sim.deploy(1, definition(steps));
    for number in 0..count {
        let _started = sim.start(&format!("S{number}"), "{}", false);
    }
    sim.settle();
    sim
}

fn records(sim: &Sim) -> Vec<Record> {
    sim.store.log(1, usize::MAX).unwrap().iter().map(|stored| record::decode_stored(stored).unwrap()).collect()
}

/// Which events each saga took, in order, by the start of its stream.
fn taken(sim: &Sim) -> BTreeMap<u64, Vec<String>> {
    let mut taken: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for record in records(sim) {
        if let Fact::Saga(Event::Arrived(_, arrival)) = record.fact {
            taken.entry(record.id.stream).or_default().push(arrival.id);
        }
    }
    taken
}

/// How many sagas took what, and which of them first.
fn told(sim: &Sim) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for events in taken(sim).into_values() {
        *counts.entry(events.join(" ")).or_default() += 1;
    }
    counts.into_iter().map(|(events, count)| format!("{count} {events}")).collect::<Vec<_>>().join(", ")
}

fn rows(sim: &Sim) -> usize {
    let all = Range { table: Table::Broadcasts, from: Vec::new(), to: None, order: Order::Ascending, limit: usize::MAX };
    sim.store.rows(&all).unwrap().len()
}

/// An event was given to all sagas that waited for it in the decision about its request: with 20,000 of them starts and signals stood
/// still for four seconds, and the host refused many as overloaded. The kind: work whose size somebody else decides, done in one turn.
#[test]
fn c2_24_an_event_for_which_many_wait_is_told_in_turns_and_requests_are_answered_between_them() {
    let mut sim = demo(b_waits, &["~b"], 100);
    let mut published = sim.publish("E1", None, "42");
    let started = sim.start("T", "{}", false);
    sim.commit();
    assert!(said(started).unwrap().created);
    // Each turn waits for the commit of the one before.
    let mut turns = Vec::new();
    while is_open(&mut published) {
        turns.push(taken(&sim).len());
        let verb = sim.verb("T", Verb::Cancel, &format!("cancel {}", turns.len()));
        sim.commit();
        assert_eq!(said(verb).unwrap().applied, turns.len() == 1);
    }
    assert_eq!(turns, [0, 32, 64, 96]);
    sim.settle();
    assert_eq!((told(&sim), rows(&sim)), ("100 E1".to_owned(), 0));
    let again = sim.publish("E1", None, "42");
    sim.settle();
    let again = said(again).unwrap();
    assert_eq!((again.duplicate, again.woke, again.kept_until), (true, 100, None));
}

#[test]
fn a_broadcast_goes_on_after_a_kill_at_any_commit_and_who_publishes_again_is_told_its_end() {
    for commits in 0..7 {
        let mut sim = demo(b_waits, &["~b"], 100);
        let mut published = sim.publish("E1", None, "42");
        for _ in 0..commits {
            sim.commit();
        }
        let was_answered = !is_open(&mut published);
        let mut sim = sim.kill_and_restart();
        let again = sim.publish("E1", None, "42");
        sim.settle();
        let again = said(again).unwrap();
        assert_eq!((again.duplicate, again.woke), (commits > 0, 100), "killed after {commits}");
        assert_eq!((told(&sim), rows(&sim)), ("100 E1".to_owned(), 0), "killed after {commits}, answered: {was_answered}");
    }
}

fn each_waits(call: &GuestCall) -> Outcome {
    match call.step().arrived {
        None => Outcome::Wait(Wait { event: Some(topic()), until: None, answer: None }),
        Some(_) => all_done(call),
    }
}

fn topic() -> Topic {
    Topic { event_type: "approval".into(), key: "42".into() }
}

/// Two publishers are answered when each is done, and every saga takes their events in the order of the journal: an event that few
/// sagas still waited for would pass the one before it that is still being told to them.
#[test]
fn events_of_one_topic_reach_each_saga_in_their_order() {
    let mut sim = demo(each_waits, &["~b", "~c"], 100);
    let (first, second) = (sim.publish("E1", None, "42"), sim.publish("E2", None, "42"));
    sim.settle();
    let third = sim.publish("E3", None, "42");
    sim.settle();
    // Who comes to wait again finds the second one there: it wakes nobody when its turn comes.
    assert_eq!([said(first), said(second), said(third)].map(|said| said.unwrap().woke), [100, 0, 0]);
    assert_eq!(told(&sim), "100 E1 E2");
}

#[test]
fn a_saga_that_began_after_the_event_is_not_told_of_it_and_one_that_came_to_wait_is() {
    let mut sim = demo(b_waits, &["~b"], 40);
    sim.deploy(2, definition(&["a", "~b"]));
    sim.grant();
    // Its first attempt reaches outside, and runs while the event comes.
    let _started = sim.start("early", "{}", false);
    sim.commit();
    let published = sim.publish("E1", None, "42");
    let _started = sim.start("late", "{}", false);
    sim.settle();
    assert_eq!(said(published).unwrap().woke, 40);
    let status = ["early", "late", "S0", "S39"].map(|id| status(&mut sim, id));
    assert_eq!(status, [Status::Completed, Status::Waiting, Status::Completed, Status::Completed]);
}

/// Those that wait may have gone when their turn comes: then the event is one that nobody took, and is kept like any other.
#[test]
fn an_event_that_nobody_took_in_the_end_is_kept() {
    let mut sim = demo(b_waits, &["~b"], 40);
    sim.shard.kernel.limits.residents_max = 0;
    let published = sim.publish("E1", None, "42");
    sim.commit();
    for number in 0..40 {
        let _cancelled = sim.verb(&format!("S{number}"), Verb::Abandon, &format!("k{number}"));
    }
    sim.commit();
    sim.shard.kernel.limits.residents_max = 1_000;
    sim.pass(0);
    let answer = said(published).unwrap();
    assert_eq!((answer.woke, answer.kept_until.is_some(), told(&sim)), (0, true, String::new()));
    let kept = records(&sim).into_iter().filter(|record| matches!(record.fact, Fact::Message(MessageEvent::Kept { .. })));
    assert_eq!(kept.count(), 1);
}

/// The kind of `c2_24`: a grant told all that it lets go on in the decision about its request.
#[test]
fn a_grant_lets_many_go_on_in_turns_also_after_a_kill() {
    for commits in [1, 2, 9] {
        let mut sim = demo(
            |call| match call.grants.is_empty() {
                true => Outcome::Denied(Denial::new("http://127.0.0.1:1", DenialReason::NotGranted)),
                false => all_done(call),
            },
            &["a"],
            100,
        );
        assert_eq!(count_of(&sim, Status::Stuck), 100);
        let grants = vec![Grant::Http { origin: "http://127.0.0.1:1".into(), private: true }];
        let set = SetGrants { module: "demo".into(), grants, act: Act::default(), force: Force::No, expect_revision: None };
        let answered = sim.ask(|answer| Request::SetGrants(origin(), set, answer));
        sim.commit();
        said(answered).expect("the grant is answered before the sagas go on");
        assert_eq!((count_of(&sim, Status::Stuck), rows(&sim)), (100, 1));
        for _ in 1..commits {
            sim.commit();
        }
        let mut sim = if commits == 9 { sim } else { sim.kill_and_restart() };
        sim.settle();
        assert_eq!((count_of(&sim, Status::Completed), rows(&sim)), (100, 0), "killed after {commits}");
        let again = records(&sim).into_iter().filter_map(|record| match record.fact {
            Fact::Saga(Event::Unstuck(Leg { path, .. })) => Some(path),
            _ => None,
        });
        assert_eq!(again.count(), 100);
    }
}

/// Rows that are decided and not durable yet come on top of those that the store was asked for: in a burst they were all told in one turn.
#[test]
fn c2_24_sagas_whose_wait_is_not_durable_yet_are_told_in_turns_as_well() {
    let mut sim = Sim::new(b_waits);
    sim.deploy(1, definition(&["~b"]));
    for number in 0..100 {
        let _started = sim.start(&format!("S{number}"), "{}", false);
    }
    while sim.end_one() {}
    let published = sim.publish("E1", None, "42");
    sim.commit();
    assert_eq!((taken(&sim).len(), rows(&sim)), (0, 1));
    sim.settle();
    assert_eq!((said(published).unwrap().woke, told(&sim)), (100, "100 E1".to_owned()));
}

/// Its answer stayed one that was to come, so that whoever published it again waited for ever.
#[test]
fn a_broadcast_that_cannot_be_read_ends_and_who_publishes_again_is_told_so() {
    let mut sim = demo(b_waits, &["~b"], 40);
    let published = sim.publish("E1", None, "42");
    let row = Range { table: Table::Waits, from: Vec::new(), to: None, order: Order::Ascending, limit: 1 };
    let first = sim.store.rows(&row).unwrap().remove(0);
    let damaged = vec![RowChange::put(Table::Waits, first.key, Bytes::from_static(b"?"))];
    sim.store.commit(&[Batch { appends: Vec::new(), rows: damaged }]).unwrap();
    sim.settle();
    assert_eq!(said(published).unwrap_err().code, RefusalCode::StorageFailed);
    assert_eq!(rows(&sim), 0);
    let again = sim.publish("E1", None, "42");
    sim.settle();
    assert_eq!(said(again).unwrap_err().code, RefusalCode::StorageFailed);
    let _started = sim.start("T", "{}", false);
    sim.settle();
    assert_eq!(status(&mut sim, "T"), Status::Waiting);
}

#[test]
fn a_stop_tells_the_publisher_and_the_next_host_tells_the_sagas() {
    let mut sim = demo(b_waits, &["~b"], 100);
    let published = sim.publish("E1", None, "42");
    sim.commit();
    sim.input(Input::Stop);
    let refusal = said(published).unwrap_err();
    assert_eq!(
        refusal.message,
        "the host is stopping; the event is recorded, and the next host tells it to the sagas that are left"
    );
    let mut sim = sim.kill_and_restart();
    sim.settle();
    assert_eq!(told(&sim), "100 E1");
}
