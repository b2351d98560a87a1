//! Waits: parked sagas, timers, events that come before, after and twice.

use amends_core::denial::{Denial, DenialReason};

use super::*;
use crate::{
    engine::port::RefusalCode,
    store::{Range, Table},
};

fn waiting() -> Sim {
    let mut sim = Sim::new(b_waits);
    sim.deploy(1, definition(&["~a", "~b", "~c"]));
    let _started = sim.start("S1", "{}", false);
    sim.settle();
    sim
}

/// Of the sagas that rest 128 stayed in memory: each timer of a thousand sagas that waited for a moment read its saga again, and replayed
/// all of it.
#[test]
fn a_saga_that_rested_for_a_moment_is_not_read_again_though_hundreds_rest_beside_it() {
    let mut sim = Sim::new(b_waits);
    sim.deploy(1, definition(&["~b"]));
    for number in 0..400 {
        let _started = sim.start(&format!("S{number}"), "{}", false);
    }
    sim.settle();
    sim.fetches = Fetches::WhenTold;
    let _signal = sim.publish("E1", Some("S0"), "42");
    let mut asked = Vec::new();
    while let Some(look) = sim.asked.first().cloned() {
        asked.push(look);
        sim.answer_one();
    }
    assert!(!asked.is_empty() && !asked.iter().any(|look| matches!(look, Look::Stream(_))), "{asked:?}");
    assert_eq!(status(&mut sim, "S0"), Status::Running);
}

#[test]
fn a_waiting_saga_is_rows_and_nothing_in_memory() {
    let mut sim = waiting();
    assert!(sim.shard.sagas.resident_count() == 0);
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
    let mut sim = Sim::new(|call| match call.step().attempt.number {
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

/// More sagas than the window of timers holds, which all wait until the same moment.
fn ten_thousand_waiting() -> Sim {
    let mut sim = Sim::new(b_waits);
    sim.shard.kernel.limits.queue_records = 100_000;
    sim.deploy(1, definition(&["~b"]));
    for n in 0..10_000 {
        let _started = sim.start(&format!("S{n}"), "{}", false);
    }
    sim.settle();
    assert!(sim.shard.sagas.resident_count() == 0);
    sim.calls.clear();
    sim
}

/// The window was cut in the middle of a moment, and a timer that was cut off before its commit was in no table yet: it was read
/// neither then nor later, and fired only after a restart.
#[test]
fn ten_thousand_timers_of_one_moment_all_fire() {
    let mut sim = ten_thousand_waiting();
    sim.pass(3_600_000);
    assert_eq!(sim.calls.len(), 10_000);
    assert_eq!(status(&mut sim, "S9999"), Status::Compensated);
}

#[test]
fn ten_thousand_timers_of_one_moment_all_fire_after_a_restart() {
    let mut sim = ten_thousand_waiting().kill_and_restart();
    sim.settle();
    sim.pass(3_600_000);
    assert_eq!(sim.calls.len(), 10_000);
    assert_eq!(status(&mut sim, "S9999"), Status::Compensated);
}

/// Events that came before a wait were looked for only when nothing of the saga ran. Beside a running stage-mate the wait ended
/// with its timer: the approver had clicked, and the saga said that nobody approved.
#[test]
fn an_event_that_came_before_the_wait_ends_it_while_a_stage_mate_runs() {
    let mut sim = Sim::new(b_waits);
    let mut both = definition(&["~b", "a"]);
    let a = both.stages.remove(1).steps;
    both.stages[0].steps.extend(a);
    sim.deploy(1, both);
    sim.grant();
    let _started = sim.start("S1", "{}", false);
    while sim.commit() {}
    let _early = sim.publish("E1", None, "42");
    // `b` begins to wait; `a` stays open.
    sim.end_one();
    while sim.commit() {}
    sim.now = sim.now.plus(3_600_000);
    sim.input(Input::Tick);
    sim.settle();
    assert_eq!(status(&mut sim, "S1"), Status::Completed);
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
    let metrics = sim.shard.kernel.metrics.text();
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
    assert_eq!((sim.recovered, sim.shard.sagas.resident_count()), (3, 1));
    let mut counts = live(&sim);
    counts.sort();
    assert_eq!(counts, ["\"running\"} 1", "\"waiting\"} 2"]);
}

/// Sources and ids are free text, and an event was named by both with a `/` between: `/orders` with `1/2` was `/orders/1` with
/// `2`. The second was answered as a duplicate of the first and dropped. Now a `/` in a source is escaped.
#[test]
fn events_whose_source_and_id_read_alike_are_two() {
    let mut sim = waiting();
    let pairs = [("/orders", "1/2"), ("/orders/1", "2"), ("%2Forders", "1/2"), ("", "/orders/1/2")];
    for (source, id) in pairs {
        let published = sim.publish_from(source, id, None, "7");
        sim.settle();
        assert!(!said(published).unwrap().duplicate, "{source} {id}");
    }
    for (source, id) in pairs {
        let again = sim.publish_from(source, id, None, "7");
        sim.settle();
        assert!(said(again).unwrap().duplicate, "{source} {id}");
    }
}

/// The row of an event's timer was deleted under the moment that today's configuration gives. With another park time than when
/// the event came that row was not there, and the real one fired at every start. Now the timer that fired is the one deleted.
#[test]
fn an_events_timer_fires_once_also_after_the_park_time_was_changed() {
    let mut sim = waiting();
    let _kept = sim.publish("E1", Some("S9"), "42");
    sim.settle();
    sim.shard.kernel.limits.event_kept_ms /= 7;
    sim.pass(8 * 86_400_000);
    let timers = Range::under(Table::Timers, &[], 10);
    assert_eq!(sim.store.rows(&timers).unwrap(), []);
}

/// Signals were told apart by saga and key alone: another one under a used key was answered as a duplicate and lost, though
/// its sender was told that all was well. Verbs refuse such a key, and now signals do.
#[test]
fn another_signal_under_a_used_key_is_refused_and_the_same_one_is_a_duplicate() {
    let mut sim = waiting();
    let mut send = |id: &str, to: &str, key: &str| {
        let sent = sim.publish(id, Some(to), key);
        sim.settle();
        said(sent).map(|said| said.duplicate)
    };
    assert_eq!(send("k", "S9", "42"), Ok(false));
    assert_eq!(send("k", "S9", "42"), Ok(true));
    assert_eq!(send("k", "S9", "43").unwrap_err().code, RefusalCode::KeyReused);
    assert_eq!(send("k2", "S9", "43"), Ok(false));
}

/// Sagas that lack a grant were looked for among the stuck ones. One that waited for an event in a stage-mate as well was
/// `waiting`, and a grant passed it by: its denied step stayed stuck after the wait had ended.
#[test]
fn a_grant_reaches_a_saga_that_waits_for_something_else_too() {
    let mut sim = Sim::new(|call| match call.step().name.as_str() {
        "a" if call.grants.is_empty() => Outcome::Denied(Denial::new("http://127.0.0.1:1", DenialReason::NotGranted)),
        _ => b_waits(call),
    });
    let mut both = definition(&["~b", "a"]);
    let a = both.stages.remove(1).steps;
    both.stages[0].steps.extend(a);
    sim.deploy(1, both);
    let _started = sim.start("S1", "{}", false);
    sim.settle();
    assert_eq!(status(&mut sim, "S1"), Status::Waiting);
    assert!(sim.shard.sagas.resident_count() == 0);
    sim.calls.clear();
    sim.grant();
    assert_eq!(sim.calls, ["a@2"]);
    let _approved = sim.publish("E1", None, "42");
    sim.settle();
    assert_eq!(status(&mut sim, "S1"), Status::Completed);
}

/// First answers were kept for ever: a table that only grew, by a row for each verb, signal and event. Now they go a week after
/// their saga, and one without a saga a week after it came.
#[test]
fn first_answers_are_kept_while_their_saga_lives_and_a_week_more() {
    const DAY: u64 = 86_400_000;
    let mut sim = Sim::new(|call| match call.step().arrived {
        None => Outcome::Wait(Wait { event: None, until: Some(call.started_at.plus(30 * DAY)), answer: None }),
        Some(_) => Outcome::Done(Payload::null()),
    });
    sim.deploy(1, definition(&["~a"]));
    for id in ["S1", "S2"] {
        let _started = sim.start(id, "{}", false);
    }
    let _signal = sim.publish("to-one", Some("S1"), "7");
    let _event = sim.publish("to-all", None, "7");
    let _verb = sim.verb("S2", Verb::Cancel, "k");
    sim.settle();
    let kept = |sim: &Sim, table| sim.store.rows(&Range::under(table, b"", 10)).unwrap().len();
    assert_eq!((status(&mut sim, "S1"), status(&mut sim, "S2")), (Status::Waiting, Status::Compensated));
    let mut left = Vec::new();
    for _ in 0..6 {
        left.push(kept(&sim, Table::Answers));
        sim.pass(7 * DAY);
    }
    assert_eq!((left, status(&mut sim, "S1")), (vec![3, 1, 1, 1, 1, 1], Status::Completed));
    let mut sim = sim.kill_and_restart();
    sim.settle();
    sim.pass(7 * DAY);
    assert_eq!((kept(&sim, Table::Answers), kept(&sim, Table::Timers)), (0, 0));
}

/// A saga remembered what it took by the event's id alone, which is unique only for its publisher: the event `1` of a second
/// publisher was passed over, and the saga waited on.
#[test]
fn events_of_two_publishers_may_have_the_same_id() {
    let mut sim = Sim::new(|call| match &call.step().arrived {
        Some(Woken::Event(_)) => all_done(call),
        _ => Outcome::Wait(Wait {
            event: Some(amends_core::event::Topic { event_type: "approval".into(), key: "42".into() }),
            until: None,
            answer: None,
        }),
    });
    sim.deploy(1, definition(&["~a", "~b"]));
    let _started = sim.start("S1", "{}", false);
    sim.settle();
    for source in ["shop", "bank"] {
        let _published = sim.publish_from(source, "1", None, "42");
        sim.settle();
    }
    assert_eq!(status(&mut sim, "S1"), Status::Completed);
}

/// A wait was flushed by itself, and the arrival of an event that had come before it some records later. A host that died in
/// between found a saga that waited, and an event that was kept, and brought them together no more: what its sender had been
/// told was taken was lost.
#[test]
fn a_wait_is_durable_with_the_arrival_of_what_came_before_it() {
    let mut sim = Sim::new(b_waits);
    sim.deploy(1, definition(&["~b"]));
    let _kept = sim.publish("E1", Some("S1"), "42");
    sim.settle();
    let _started = sim.start("S1", "{}", false);
    sim.commit();
    sim.end_one();
    while sim.commit() {}
    let mut sim = sim.kill_and_restart();
    sim.settle();
    assert_eq!(status(&mut sim, "S1"), Status::Completed);
}
