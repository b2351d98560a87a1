//! Starts that cannot be now: for want of room, of a definition or of a clock that goes forward.

use bytes::Bytes;
use expect_test::expect;

use super::*;
use crate::{journal::keys, store::Table};

#[test]
fn a_start_that_cannot_be_now_is_tried_again_and_one_that_never_can_is_missed() {
    let mut sim = demo(all_done, &["~a"]);
    put(&mut sim, "nightly", spec(cron("*/5 * * * *"))).unwrap();
    let other = Definition { name: "other".into(), ..definition(&["~a"]) };
    sim.deploy(2, other);
    sim.pass(5 * MINUTE);
    sim.pass(1_000);
    sim.activate(1);
    sim.pass(2_000);
    check(
        &sim,
        "nightly",
        &expect![[r#"
        scheduled
        postponed: definition_not_found
        postponed: definition_not_found
        fired nightly:19700101T002000Z: completed
    "#]],
    );
    // Somebody has the id for another input.
    let mut sim = demo(all_done, &["~a"]);
    let soon = When::At(sim.now.plus(5));
    put(&mut sim, "once", Spec { id: Some("S1".into()), ..spec(soon) }).unwrap();
    let _started = sim.start("S1", "{ }", false);
    sim.settle();
    sim.pass(5);
    check(
        &sim,
        "once",
        &expect![[r#"
        scheduled
        missed 1: id_taken
    "#]],
    );
}

#[test]
fn no_more_is_started_than_half_of_what_the_host_takes_and_nothing_is_lost() {
    let mut sim = demo(all_done, &["~a"]);
    let at = sim.now.plus(MINUTE);
    for number in 0..100 {
        put(&mut sim, &format!("s{number}"), spec(When::At(at))).unwrap();
    }
    sim.shard.kernel.limits.queue_records = 60;
    sim.now = sim.now.plus(MINUTE);
    for _ in 0..10 {
        sim.input(Input::Tick);
    }
    let open = sim.shard.sagas.resident_count();
    assert!(open < 20, "{open} were started before anything was durable");
    // A request finds room.
    let started = sim.start("S1", "{}", false);
    sim.settle();
    said(started).unwrap();
    drain(&mut sim);
    for number in 0..100 {
        let schedule = seen(&sim, &format!("s{number}")).schedule;
        assert_eq!((schedule.fired, schedule.next), (1, None), "s{number}");
    }
}

/// A schedule that was held back had no timer any more: its own had fired. When the clock went back before it was looked at again,
/// nothing was due, nothing was recorded that would set one, and it was silent until the next start of the host.
#[test]
fn a_clock_that_goes_back_while_a_start_is_held_silences_nothing() {
    let mut sim = demo(all_done, &["~a"]);
    put(&mut sim, "nightly", spec(cron("* * * * *"))).unwrap();
    let residents_max = std::mem::take(&mut sim.shard.kernel.limits.residents_max);
    sim.pass(MINUTE);
    assert_eq!(sim.shard.schedules.held_count(), 1);
    sim.shard.kernel.limits.residents_max = residents_max;
    sim.now = Instant(sim.now.0 - MINUTE / 2);
    sim.pass(0);
    assert!(sim.shard.schedules.held_count() == 0);
    sim.pass(MINUTE);
    check(
        &sim,
        "nightly",
        &expect![[r#"
        scheduled
        fired nightly:19700101T001800Z: completed
    "#]],
    );
}

/// A start that found the disk nearly full was postponed by a record, once a minute for each schedule, in the room that is kept for
/// what undoes: low space was taken for a refusal like others.
#[test]
fn a_disk_that_is_nearly_full_gets_no_record_of_what_is_due_until_it_has_room() {
    let mut sim = demo(all_done, &["~a"]);
    put(&mut sim, "often", spec(cron("* * * * *"))).unwrap();
    let at = When::At(sim.now.plus(MINUTE));
    put(&mut sim, "once", spec(at)).unwrap();
    let last = sim.shard.kernel.last_position();
    sim.shard.kernel.is_low = Arc::new(|| true);
    for _ in 0..15 {
        sim.pass(MINUTE);
    }
    assert_eq!(sim.shard.kernel.last_position(), last);
    // Nothing tells that there is room again: it is looked for.
    assert_eq!(sim.shard.wake_at(), Some(sim.now.plus(1_000)));
    sim.shard.kernel.is_low = Arc::new(|| false);
    sim.pass(1_000);
    drain(&mut sim);
    check(
        &sim,
        "often",
        &expect![[r#"
            scheduled
            missed 5: late
            fired often:19700101T002300Z: completed
            missed 9: overlap
        "#]],
    );
    check(
        &sim,
        "once",
        &expect![[r#"
            scheduled
            missed 1: late
        "#]],
    );
}

#[test]
fn what_is_missed_while_the_disk_is_nearly_full_is_recorded_in_one_when_it_has_room() {
    let mut sim = demo(b_waits, &["~b"]);
    put(&mut sim, "often", spec(cron("* * * * *"))).unwrap();
    sim.pass(MINUTE);
    let last = sim.shard.kernel.last_position();
    sim.shard.kernel.is_low = Arc::new(|| true);
    for _ in 0..3 {
        sim.pass(MINUTE);
    }
    assert_eq!(sim.shard.kernel.last_position(), last);
    sim.shard.kernel.is_low = Arc::new(|| false);
    sim.pass(1_000);
    check(
        &sim,
        "often",
        &expect![[r#"
            scheduled
            fired often:19700101T001800Z: waiting
            missed 3: overlap
        "#]],
    );
}

/// Half of the host is left to requests. Where those kept more than that for hours, every start was missed, and requests were served.
#[test]
fn what_is_held_for_long_is_started_beside_requests_that_keep_more_than_half() {
    let mut sim = demo(|_| Outcome::Wait(Wait { event: None, until: Some(Instant(u64::MAX)), answer: None }), &["a"]);
    for number in 0..10 {
        let _started = sim.start(&format!("S{number}"), "{}", false);
    }
    sim.commit();
    assert_eq!(sim.open.len(), 10);
    sim.shard.kernel.limits.residents_max = 16;
    let at = When::At(sim.now.plus(MINUTE));
    put(&mut sim, "once", spec(at)).unwrap();
    let tick = |sim: &mut Sim, ms: u64| {
        sim.now = sim.now.plus(ms);
        sim.input(Input::Tick);
        sim.shard.sagas.resident_count()
    };
    assert_eq!([tick(&mut sim, MINUTE), tick(&mut sim, 4_999), tick(&mut sim, 1)], [10, 10, 11]);
    // Some room is left to requests also then.
    sim.shard.kernel.limits.residents_max = 11;
    let at = When::At(sim.now.plus(MINUTE));
    put(&mut sim, "late", spec(at)).unwrap();
    assert_eq!([tick(&mut sim, MINUTE), tick(&mut sim, MINUTE)], [11, 11]);
}

#[test]
fn a_tick_fires_so_many_and_a_request_waits_for_no_more_than_one() {
    let mut sim = demo(all_done, &["~a"]);
    let at = sim.now.plus(MINUTE);
    for number in 0..100 {
        put(&mut sim, &format!("s{number}"), spec(When::At(at))).unwrap();
    }
    let fired = |sim: &mut Sim, input: Input| {
        let before = sim.queue.len();
        let actions = sim.shard.step(input, sim.now);
        sim.carry_out(actions);
        sim.queue.len() - before
    };
    sim.now = at;
    let (answer, _answered) = oneshot::channel();
    let asked = fired(&mut sim, Input::Request(Request::Definitions(origin(), answer)));
    let ticked = fired(&mut sim, Input::Tick);
    assert_eq!((asked, ticked), (0, 32));
}

/// What a timer points at is read when it fires, and whatever could not be read was taken for a storage that failed: the host ended,
/// and so did the next one, at the same timer.
#[test]
fn a_timer_of_what_is_corrupt_ends_no_host_and_holds_nothing_up() {
    let mut sim = demo(all_done, &["~a"]);
    let at = When::At(sim.now.plus(MINUTE));
    put(&mut sim, "corrupt", spec(at.clone())).unwrap();
    put(&mut sim, "whole", spec(at)).unwrap();
    let unreadable = RowChange::put(Table::Schedules, keys::schedule(&namespace(), "corrupt"), Bytes::from_static(&[9]));
    sim.store.commit(&[Batch { appends: Vec::new(), rows: vec![unreadable] }]).unwrap();
    sim.pass(MINUTE);
    assert_eq!(sim.shard.kernel.failure(), None);
    assert_eq!(seen(&sim, "whole").schedule.fired, 1);
    let mut sim = sim.kill_and_restart();
    drain(&mut sim);
    assert_eq!(sim.shard.kernel.failure(), None);
}
