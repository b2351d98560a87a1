//! Waits: parked sagas, timers, events that come before, after and twice.

use amends_core::view::Status;

use super::*;
use crate::engine::port::RefusalCode;

fn waiting() -> Sim {
    let mut sim = Sim::new(b_waits);
    sim.deploy(1, definition(&["~a", "~b", "~c"]));
    let _started = sim.start("S1", "{}", false);
    sim.settle();
    sim
}

fn status(sim: &mut Sim, id: &str) -> Status {
    let key = (namespace(), saga(id));
    sim.shard.ensure_resident(&key).unwrap();
    let status = sim.shard.residents[&key].saga.status();
    sim.shard.park(&key);
    status
}

#[test]
fn a_waiting_saga_is_rows_and_nothing_in_memory() {
    let mut sim = waiting();
    assert!(sim.shard.residents.is_empty());
    assert_eq!(status(&mut sim, "S1"), Status::Waiting);
}

#[test]
fn an_event_wakes_every_saga_that_waits_and_its_repetition_none() {
    let mut sim = waiting();
    let _started = sim.start("S2", "{}", false);
    sim.settle();
    let first = sim.publish("E1", None, "42");
    sim.settle();
    assert_eq!(said(first).unwrap().woke, 2);
    let again = sim.publish("E1", None, "42");
    sim.settle();
    let again = said(again).unwrap();
    assert_eq!((again.duplicate, again.woke), (true, 2));
    assert_eq!(status(&mut sim, "S1"), Status::Completed);
}

#[test]
fn an_event_that_came_after_the_start_and_before_the_wait_is_found() {
    let mut sim = Sim::new(b_waits);
    sim.deploy(1, definition(&["a", "~b"]));
    sim.grant();
    let _started = sim.start("S1", "{}", false);
    sim.commit();
    let early = sim.publish("E1", None, "42");
    sim.commit();
    let early = said(early).unwrap();
    assert_eq!((early.woke, early.kept_until.is_some()), (0, true));
    sim.settle();
    assert_eq!(status(&mut sim, "S1"), Status::Completed);
}

#[test]
fn an_event_by_key_from_before_the_start_is_not_for_this_saga_but_a_signal_is() {
    let mut sim = Sim::new(b_waits);
    sim.deploy(1, definition(&["~b"]));
    let _early = sim.publish("E1", None, "42");
    let _started = sim.start("S1", "{}", false);
    sim.settle();
    assert_eq!(status(&mut sim, "S1"), Status::Waiting);
    let _signal = sim.publish("E2", Some("S2"), "42");
    sim.settle();
    let _started = sim.start("S2", "{}", false);
    sim.settle();
    assert_eq!(status(&mut sim, "S2"), Status::Completed);
    let late = sim.publish("E3", Some("S2"), "42");
    assert_eq!(said(late).unwrap_err().code, RefusalCode::SagaEnded);
}

#[test]
fn a_timer_fires_once_also_when_the_host_was_down() {
    let sim = waiting();
    let mut sim = sim.kill_and_restart();
    sim.settle();
    assert_eq!(status(&mut sim, "S1"), Status::Waiting);
    sim.pass(3_600_000);
    assert_eq!(status(&mut sim, "S1"), Status::Compensated);
    let calls = sim.calls.clone();
    sim.pass(3_600_000);
    assert_eq!(sim.calls, calls);
}

/// A backoff that ended before the first commit of its saga was looked up in a store that did not know the saga yet, and the
/// timer was lost: the saga stood still until the next start. Now it is kept until the stream can be read.
#[test]
fn a_timer_that_is_due_before_its_saga_is_durable_is_not_lost() {
    let mut sim = Sim::new(|call| match call.attempt.number {
        1 => Outcome::Transient(Failure::new("busy", "")),
        _ => Outcome::Done(Payload::null()),
    });
    sim.deploy(1, definition(&["~a"]));
    let mut answered = sim.start("S1", "{}", true);
    sim.end_one();
    sim.now = sim.now.plus(60_000);
    sim.input(Input::Tick);
    assert_eq!(sim.calls, ["a@1"]);
    assert!(is_open(&mut answered));
    sim.settle();
    assert_eq!(sim.calls, ["a@1", "a@2"]);
    assert_eq!(said(answered).expect("started").view.status, Status::Completed);
}

#[test]
fn ten_thousand_timers_of_one_moment_all_fire() {
    let mut sim = Sim::new(b_waits);
    sim.deploy(1, definition(&["~b"]));
    for n in 0..10_000 {
        let _started = sim.start(&format!("S{n}"), "{}", false);
    }
    sim.settle();
    assert!(sim.shard.residents.is_empty());
    let mut sim = sim.kill_and_restart();
    sim.settle();
    sim.pass(3_600_000);
    assert_eq!(sim.calls.len(), 10_000);
    assert_eq!(status(&mut sim, "S9999"), Status::Compensated);
}

#[test]
fn an_event_that_nobody_takes_is_forgotten_after_its_park_time() {
    let mut sim = waiting();
    let _signal = sim.publish("E1", Some("S9"), "42");
    sim.settle();
    sim.pass(8 * 86_400_000);
    let _started = sim.start("S9", "{}", false);
    sim.settle();
    assert_eq!(status(&mut sim, "S9"), Status::Waiting);
}

/// A signal that was kept and taken later was counted as a dead letter at the end of its park time: its own stream says only
/// that it was kept. Now the saga is asked.
#[test]
fn a_signal_that_was_taken_later_is_no_dead_letter() {
    let mut sim = Sim::new(b_waits);
    sim.deploy(1, definition(&["~b"]));
    let _taken = sim.publish("E1", Some("S1"), "42");
    let _for_nobody = sim.publish("E2", Some("S2"), "42");
    sim.settle();
    let _started = sim.start("S1", "{}", false);
    sim.settle();
    assert_eq!(status(&mut sim, "S1"), Status::Completed);
    sim.pass(8 * 86_400_000);
    let metrics = sim.shard.metrics.text();
    assert!(metrics.contains("amends_dead_letters_total 1\n"), "{metrics}");
}

/// An event, its arrivals and the answer were three commits. A host that died between them left an event that was answered as
/// taken, was not kept, and that the saga never saw: it waited for ever.
#[test]
fn an_event_is_durable_with_its_arrivals_or_not_at_all() {
    let mut sim = waiting();
    let _answered = sim.publish("E1", None, "42");
    let (batch, _) = sim.queue.pop_front().expect("the event is on its way");
    sim.store.commit(&[batch]).expect("the journal ends where it begins");
    let mut sim = sim.kill_and_restart();
    sim.settle();
    assert_eq!(status(&mut sim, "S1"), Status::Completed);
}

/// The count used to be of what start-up had to read, so that a host with ten thousand waiting sagas said that it had found none.
#[test]
fn a_host_says_how_many_sagas_it_found_without_reading_those_that_wait() {
    let mut sim = Sim::new(b_waits);
    sim.deploy(1, definition(&["~a", "~b"]));
    let live = |sim: &Sim| -> Vec<String> {
        let text = sim.metrics.text();
        let counted = text.lines().filter_map(|line| line.strip_prefix("amends_sagas_live{status="));
        counted.filter(|line| !line.ends_with(" 0")).map(str::to_owned).collect()
    };
    for id in ["S1", "S2", "S3"] {
        let _started = sim.start(id, "{}", false);
    }
    sim.settle();
    assert_eq!(live(&sim), ["\"waiting\"} 3"]);
    let cancelled = sim.verb("S1", Verb::Cancel, "k");
    sim.settle();
    said(cancelled).unwrap();
    let _started = sim.start("S4", "{}", false);
    sim.commit();
    let mut counts = live(&sim);
    counts.sort();
    assert_eq!(counts, ["\"running\"} 1", "\"waiting\"} 2"]);
    let sim = sim.kill_and_restart();
    assert_eq!((sim.recovered, sim.shard.residents.len()), (3, 1));
    let mut counts = live(&sim);
    counts.sort();
    assert_eq!(counts, ["\"running\"} 1", "\"waiting\"} 2"]);
}
