//! Schedules, seen from the shard: one commit for a start and its record, and nothing twice, whatever dies when.

mod room;

use amends_core::{
    schedule::{Overlap, Schedule, ScheduleEvent, Spec, When},
    view::Status,
};
use expect_test::{Expect, expect};

use super::*;
use crate::{
    engine::{
        port::{CheckedSpec, OfSchedule, PutSchedule, RefusalCode, ScheduleAnswer, ScheduleRequest},
        schedule::look::{self, ScheduleView},
        starter::{Starter, starter_of},
    },
    journal::{Fact, StreamId, StreamKind},
    store::Table,
};

const MINUTE: u64 = 60_000;

fn cron(expression: &str) -> When {
    When::Cron { expression: expression.into(), zone: "UTC".into() }
}

fn spec(when: When) -> Spec {
    Spec {
        saga: "demo".into(),
        when,
        id: None,
        overlap: Overlap::Skip,
        jitter_ms: 0,
        catch_up_ms: 10 * MINUTE,
        input_hash: [2; 32],
        incarnation: [9; 16],
    }
}

fn of_schedule(sim: &mut Sim, name: &str, asked: OfSchedule) -> Receiver<Result<Box<ScheduleAnswer>, Refusal>> {
    let request = ScheduleRequest { name: name.into(), asked, act: Act::default() };
    sim.ask(|answer| Request::Schedule(origin(), request, answer))
}

fn put(sim: &mut Sim, name: &str, spec: Spec) -> Result<Box<ScheduleAnswer>, Refusal> {
    let put = PutSchedule { spec: CheckedSpec::new(spec)?, input: Payload::json("{}"), paused: false, expect_revision: None };
    let answered = of_schedule(sim, name, OfSchedule::Put(Box::new(put)));
    sim.commit();
    said(answered)
}

fn seen(sim: &Sim, name: &str) -> ScheduleView {
    look::one(sim.store.as_ref(), &(namespace(), name.into())).unwrap().unwrap()
}

/// The facts of a schedule's stream, and the status of each saga that they name. Its row is what they fold to (law 1).
#[track_caller]
fn check(sim: &Sim, name: &str, expected: &Expect) {
    let id = StreamId { namespace: namespace(), kind: StreamKind::Schedule, id: name.into() };
    let stream = reads::end_of(sim.store.as_ref(), &id).unwrap().unwrap().start;
    let records = load::records(sim.store.as_ref(), stream, load::RecordRange::ALL).unwrap_or_else(|error| panic!("{error}"));
    let mut folded = None;
    let text = records.iter().map(|record| {
        let Fact::Schedule(event) = &record.fact else { panic!("a record of something else: {record:?}") };
        folded = Schedule::after(folded.take(), stream, record.position, record.at, event);
        let more = match event {
            ScheduleEvent::Fired { saga, .. } | ScheduleEvent::Triggered { saga, .. } => {
                format!(" {saga}: {}", status(sim, saga))
            }
            ScheduleEvent::Postponed { reason, .. } => format!(": {}", reason.code()),
            ScheduleEvent::Missed { count, reason, .. } => format!(" {count}: {}", reason.code()),
            _ => String::new(),
        };
        format!("{}{more}\n", record.fact.name())
    });
    expected.assert_eq(&text.collect::<String>());
    assert_eq!(folded, Some(seen(sim, name).schedule));
}

fn status(sim: &Sim, id: &str) -> &'static str {
    let stream = read::end_of(sim.store.as_ref(), &key(id)).unwrap().map(|end| end.start);
    let summaries = read::summaries_at(sim.store.as_ref(), stream.as_slice()).unwrap();
    summaries.into_iter().next().map_or("not there", |summary| summary.unwrap().status.as_str())
}

/// Minutes after 1970 the simulation begins at are no round ones: the next full minute.
fn to_the_minute(sim: &mut Sim) {
    let into_it = sim.now.0 % MINUTE;
    sim.pass(MINUTE - into_it);
}

/// Does all that is due, as the driver does: no timer is left that is past.
fn drain(sim: &mut Sim) {
    sim.settle();
    while sim.shard.wake_at().is_some_and(|at| at <= sim.now) {
        sim.pass(0);
    }
}

fn demo(world: World, steps: &[&str]) -> Sim {
    let mut sim = Sim::new(world);
    to_the_minute(&mut sim);
    sim.deploy(1, definition(steps));
    sim
}

#[test]
fn a_start_and_its_record_are_one_commit() {
    let mut sim = demo(all_done, &["~a"]);
    put(&mut sim, "nightly", spec(cron("* * * * *"))).unwrap();
    sim.now = sim.now.plus(MINUTE);
    sim.input(Input::Tick);
    let batches: Vec<usize> = sim.queue.iter().map(|(batch, _)| batch.record_count()).collect();
    assert_eq!(batches, [3], "started, intent and fired");
    // Nothing of it is durable: the moment comes again, and its saga has the same id and keys.
    let id = saga("nightly:19700101T001800Z");
    let keys = |sim: &Sim| sim.saga(&SagaKey::new(&namespace(), &id)).started().incarnation;
    let before = keys(&sim);
    let mut sim = sim.kill_and_restart();
    sim.input(Input::Tick);
    assert_eq!(keys(&sim), before);
    sim.settle();
    check(
        &sim,
        "nightly",
        &expect![[r#"
        scheduled
        fired nightly:19700101T001800Z: completed
    "#]],
    );
}

#[test]
fn the_cause_of_a_scheduled_saga_is_the_record_that_says_so() {
    let mut sim = demo(all_done, &["~a"]);
    let after = When::After { delay_ms: 5, at: sim.now.plus(5) };
    let made = put(&mut sim, "once", spec(after)).unwrap();
    sim.pass(5);
    let fired = seen(&sim, "once").schedule.last_fired.unwrap();
    let stream = read::end_of(sim.store.as_ref(), &key(&fired.saga)).unwrap().unwrap().start;
    let records = load::records(sim.store.as_ref(), stream, load::RecordRange { limit: 1, ..load::RecordRange::ALL })
        .unwrap_or_else(|error| panic!("{error}"));
    let cause = records[0].causation.unwrap();
    assert_eq!((cause.stream, cause.version), (made.view.schedule.stream, 2));
    let starter = starter_of(sim.store.as_ref(), cause).unwrap();
    assert_eq!(starter, Some(Starter::Schedule("once".into())));
}

#[test]
fn a_kill_at_any_commit_starts_each_moment_once() {
    for commits in 0..12 {
        let mut sim = demo(all_done, &["~a", "~b"]);
        put(&mut sim, "nightly", Spec { overlap: Overlap::Allow, ..spec(cron("* * * * *")) }).unwrap();
        sim.now = sim.now.plus(5 * MINUTE);
        for _ in 0..commits {
            sim.input(Input::Tick);
            sim.commit();
        }
        sim.input(Input::Tick);
        let mut sim = sim.kill_and_restart();
        drain(&mut sim);
        let schedule = seen(&sim, "nightly").schedule;
        assert_eq!((schedule.fired, schedule.missed), (5, 0), "killed after {commits} commits");
        for minute in 18..23 {
            assert_eq!(status(&sim, &format!("nightly:19700101T00{minute}00Z")), "completed");
        }
    }
}

#[test]
fn a_queued_start_begins_when_the_saga_before_it_has_ended_also_after_a_kill() {
    let queue = || Spec { overlap: Overlap::Queue, ..spec(cron("* * * * *")) };
    let mut sim = demo(b_waits, &["~b"]);
    put(&mut sim, "nightly", queue()).unwrap();
    sim.pass(MINUTE);
    sim.pass(MINUTE);
    sim.pass(MINUTE);
    let mut sim = sim.kill_and_restart();
    sim.settle();
    let _signal = sim.publish("E1", Some("nightly:19700101T001800Z"), "42");
    sim.settle();
    check(
        &sim,
        "nightly",
        &expect![[r#"
        scheduled
        fired nightly:19700101T001800Z: completed
        postponed: overlap
        missed 1: overlap
        fired nightly:19700101T001900Z: waiting
    "#]],
    );
    // The end is durable and what follows from it is not: the next host finds that the saga has ended.
    sim.pass(MINUTE);
    let _signal = sim.publish("E2", Some("nightly:19700101T001900Z"), "42");
    while sim.end_one() {}
    while status(&sim, "nightly:19700101T001900Z") != Status::Completed.as_str() {
        let (batch, _) = sim.queue.pop_front().unwrap();
        sim.store.commit(&[batch]).unwrap();
    }
    assert_eq!(status(&sim, "nightly:19700101T002100Z"), "not there");
    let mut sim = sim.kill_and_restart();
    drain(&mut sim);
    assert_eq!(status(&sim, "nightly:19700101T002100Z"), Status::Waiting.as_str());
    let count = sim.store.row(Table::Meta, b"schedules/default").unwrap().unwrap();
    assert_eq!(row::decode::<u64>(&count, "the count of schedules"), Ok(1));
}

#[test]
fn what_was_due_while_the_host_was_down_is_started_in_its_window_and_else_missed() {
    let mut sim = demo(all_done, &["~a"]);
    put(&mut sim, "nightly", Spec { overlap: Overlap::Allow, catch_up_ms: 2 * MINUTE, ..spec(cron("* * * * *")) }).unwrap();
    sim.now = sim.now.plus(6 * MINUTE);
    let mut sim = sim.kill_and_restart();
    drain(&mut sim);
    check(
        &sim,
        "nightly",
        &expect![[r#"
        scheduled
        missed 3: late
        fired nightly:19700101T002100Z: completed
        fired nightly:19700101T002200Z: completed
        fired nightly:19700101T002300Z: completed
    "#]],
    );
}

/// An expression that a host could not read any more, because its zone had gone or the library read less, named no next moment: the
/// schedule was over, as if it had been meant to end.
#[test]
fn an_expression_that_cannot_be_read_any_more_says_so_and_begins_again_when_it_can() {
    let mut sim = demo(all_done, &["~a"]);
    put(&mut sim, "nightly", spec(cron("* * * * *"))).unwrap();
    let Schedule { spec: known, .. } = seen(&sim, "nightly").schedule;
    let gone = Spec { when: When::Cron { expression: "* * * * *".into(), zone: "Mars/Olympus".into() }, ..known };
    let key = (namespace(), "nightly".to_owned());
    let schedule = seen(&sim, "nightly").schedule;
    let next = schedule.next;
    let stored = ScheduleEvent::Scheduled {
        spec: gone.into(),
        input: Payload::json("{}"),
        next,
        paused: false,
        act: Act::default(),
        key: None,
    };
    let Shard { kernel, schedules, .. } = &mut sim.shard;
    schedules.append(&mut kernel.commit(), &key, Some(&schedule), vec![stored], &Actor::Local);
    kernel.hand_over();
    sim.input(Input::Tick);
    sim.pass(MINUTE);
    let lost = seen(&sim, "nightly").schedule.last_missed.unwrap();
    expect!["`* * * * *` in zone Mars/Olympus cannot be read by this host any more: there is no such time zone"]
        .assert_eq(&lost.reason.to_string());
    assert!(put(&mut sim, "nightly", spec(cron("* * * * *"))).unwrap().applied);
    sim.pass(MINUTE);
    check(
        &sim,
        "nightly",
        &expect![[r#"
            scheduled
            scheduled
            missed 1: unknown_zone
            scheduled
            fired nightly:19700101T001900Z: completed
        "#]],
    );
}

/// Who waits for the end of a saga was kept by the saga alone: of two schedules whose last saga had the same id, because people chose
/// it, one was forgotten.
#[test]
fn all_schedules_that_wait_for_the_end_of_one_saga_are_told_of_it() {
    let mut sim = demo(b_waits, &["~b"]);
    let once = |sim: &Sim, id: &str| {
        let at = When::At(sim.now.plus(MINUTE));
        Spec { id: Some(id.into()), overlap: Overlap::Queue, ..spec(at) }
    };
    for ids in [["S1", "S1"], ["A2", "B2"]] {
        let (a, b) = (once(&sim, ids[0]), once(&sim, ids[1]));
        put(&mut sim, "a", a).unwrap();
        put(&mut sim, "b", b).unwrap();
        sim.pass(MINUTE);
    }
    let waits = |sim: &Sim, name: &str| seen(sim, name).schedule.waits_for().map(str::to_owned);
    assert_eq!((waits(&sim, "a"), waits(&sim, "b")), (Some("S1".into()), Some("S1".into())));
    let mut sim = sim.kill_and_restart();
    sim.settle();
    let _signal = sim.publish("E1", Some("S1"), "42");
    drain(&mut sim);
    assert_eq!((status(&sim, "A2"), status(&sim, "B2")), ("waiting", "waiting"));
}

/// A trigger took the place of the last start, and with it the moment that nothing before may come again.
#[test]
fn no_moment_comes_again_after_a_trigger_either() {
    let mut sim = demo(all_done, &["~a"]);
    put(&mut sim, "nightly", spec(cron("* * * * *"))).unwrap();
    sim.pass(MINUTE);
    let fired = seen(&sim, "nightly").schedule.last_fired.unwrap().due.unwrap();
    let _triggered = of_schedule(&mut sim, "nightly", OfSchedule::Trigger(saga("nightly:K1")));
    sim.settle();
    sim.now = Instant(sim.now.0 - MINUTE);
    let replaced = put(&mut sim, "nightly", spec(cron("*/1 * * * *"))).unwrap();
    assert_eq!(replaced.view.next[0], fired.plus(MINUTE));
}

/// A delay that was over began again when the request for it was delivered a second time, late: one request, two sagas.
#[test]
fn a_delay_that_is_asked_for_again_by_the_same_request_does_not_begin_again() {
    let mut sim = demo(all_done, &["~a"]);
    let applied = ["K1", "K1", "K2"].map(|key| {
        let after = When::After { delay_ms: MINUTE, at: sim.now.plus(MINUTE) };
        let spec = CheckedSpec::new(spec(after)).unwrap();
        let put = PutSchedule { spec, input: Payload::json("{}"), paused: false, expect_revision: None };
        let asked = OfSchedule::Put(Box::new(put));
        let request = ScheduleRequest { name: "once".into(), asked, act: Act::default() };
        let origin = Origin { idempotency_key: Some(key.into()), ..origin() };
        let answered = sim.ask(|answer| Request::Schedule(origin, request, answer));
        sim.pass(MINUTE);
        said(answered).unwrap().applied
    });
    assert_eq!((applied, seen(&sim, "once").schedule.fired), ([true, false, true], 2));
}

#[test]
fn a_namespace_has_so_many_schedules_and_a_removed_one_makes_room() {
    let mut sim = demo(all_done, &["~a"]);
    sim.shard.kernel.limits.schedules_max = 2;
    let daily = || spec(cron("@daily"));
    put(&mut sim, "a", daily()).unwrap();
    put(&mut sim, "b", daily()).unwrap();
    let mut sim = sim.kill_and_restart();
    sim.shard.kernel.limits.schedules_max = 2;
    assert_eq!(put(&mut sim, "c", daily()).unwrap_err().code, RefusalCode::TooManySchedules);
    put(&mut sim, "b", spec(cron("@hourly"))).unwrap();
    let _removed = of_schedule(&mut sim, "a", OfSchedule::Remove);
    put(&mut sim, "c", daily()).unwrap();
}

#[test]
fn the_same_again_changes_nothing_and_a_removed_name_is_free() {
    let mut sim = demo(all_done, &["~a"]);
    let (daily, hourly) = (spec(cron("@daily")), spec(cron("@hourly")));
    assert!(put(&mut sim, "nightly", daily.clone()).unwrap().created);
    let again = put(&mut sim, "nightly", Spec { incarnation: [8; 16], ..daily.clone() }).unwrap();
    assert!(!again.applied && again.view.schedule.revision == 1);
    let other = put(&mut sim, "nightly", hourly).unwrap();
    assert_eq!((other.created, other.applied, other.view.schedule.revision), (false, true, 2));
    let spec = CheckedSpec::new(daily.clone()).unwrap();
    let late = PutSchedule { spec, input: Payload::json("{}"), paused: false, expect_revision: Some(1) };
    let refused = of_schedule(&mut sim, "nightly", OfSchedule::Put(Box::new(late)));
    assert_eq!(said(refused).unwrap_err().code, RefusalCode::RevisionChanged);
    let removed = of_schedule(&mut sim, "nightly", OfSchedule::Remove);
    sim.settle();
    assert!(said(removed).unwrap().view.next.is_empty());
    assert!(put(&mut sim, "nightly", daily).unwrap().created);
    check(
        &sim,
        "nightly",
        &expect![[r#"
        scheduled
    "#]],
    );
}

#[test]
fn a_trigger_that_comes_twice_starts_one_saga_beside_what_is_due() {
    let mut sim = demo(b_waits, &["~b"]);
    put(&mut sim, "nightly", spec(cron("* * * * *"))).unwrap();
    for applied in [true, false] {
        let fired = of_schedule(&mut sim, "nightly", OfSchedule::Trigger(saga("nightly:K1")));
        sim.settle();
        assert_eq!(said(fired).unwrap().applied, applied);
    }
    sim.pass(MINUTE);
    check(
        &sim,
        "nightly",
        &expect![[r#"
        scheduled
        triggered nightly:K1: waiting
        fired nightly:19700101T001800Z: waiting
    "#]],
    );
}

/// The refusal of a trigger left by a way of its own, past the line that lets go of the saga that was read to compare it with: each
/// such trigger kept one more in memory, until starts were refused.
#[test]
fn a_trigger_that_is_refused_keeps_no_saga_in_memory() {
    let mut sim = demo(all_done, &["~a"]);
    put(&mut sim, "nightly", spec(cron("* * * * *"))).unwrap();
    let _other = sim.start("nightly:K1", "{ }", false);
    sim.settle();
    assert!(sim.shard.sagas.resident_count() == 0);
    let triggered = of_schedule(&mut sim, "nightly", OfSchedule::Trigger(saga("nightly:K1")));
    sim.settle();
    assert_eq!(said(triggered).unwrap_err().code, RefusalCode::IdTaken);
    assert!(sim.shard.sagas.resident_count() == 0);
}

#[test]
fn what_can_never_fire_is_refused_and_nothing_is_recorded() {
    let mut sim = demo(all_done, &["~a"]);
    let past = When::At(Instant(sim.now.0));
    let zone = When::Cron { expression: "@daily".into(), zone: "Europe/Berlim".into() };
    let last = sim.shard.kernel.last_position();
    let refused = [
        spec(cron("0 0 30 2 *")),
        spec(cron("61 * * * *")),
        spec(zone),
        spec(past),
        Spec { saga: "dmeo".into(), ..spec(cron("@daily")) },
        Spec { id: Some("S1".into()), ..spec(cron("@daily")) },
        Spec { jitter_ms: 2 * 3_600_000, ..spec(cron("@daily")) },
        Spec { catch_up_ms: 1, ..spec(cron("@daily")) },
    ]
    .map(|spec| {
        let Refusal { code, message, hints, .. } = put(&mut sim, "nightly", spec).unwrap_err();
        format!("{}: {message}; {}\n", code.as_str(), hints.first().map_or("", |hint| &hint.words))
    });
    expect![[r#"
        never_fires: `0 0 30 2 *` never fires: it names a day that no month has; choose a day that the month has; `0 0 28 2 *` fires once a year
        bad_cron: `61 * * * *` is no cron expression: number out of bounds; write it as `0 3 * * mon-fri`: minute, hour, day of month, month, day of week
        unknown_zone: there is no time zone `Europe/Berlim`; did you mean Europe/Berlin?
        time_passed: that moment is past: nothing would ever be started; give a later one, or start the saga now
        definition_not_found: no saga `dmeo` is deployed in namespace `default`; did you mean `demo`?
        bad_schedule: a schedule that fires more than once gives each saga an id of its own; leave the id out
        bad_schedule: a jitter of 7200s is too long; give at most 1h
        bad_schedule: a catch-up window of 0s is out of range; give 10s to 31d
    "#]].assert_eq(&refused.concat());
    assert_eq!(sim.shard.kernel.last_position(), last);
}
