use amends_core::{
    event::Act,
    refused::{RefusalCode, Refused},
    schedule::{Calendar as _, Decision, Due, Overlap, Schedule, ScheduleEvent, Spec},
};
use expect_test::{Expect, expect};

use super::*;

const MINUTE: u64 = 60_000;

/// 2026-01-01T12:00:00Z.
const NOON: u64 = 1_767_268_800_000;

fn spec(overlap: Overlap) -> Spec {
    Spec {
        saga: "order".into(),
        when: When::Cron { expression: "*/10 * * * *".into(), zone: "UTC".into() },
        id: None,
        overlap,
        jitter_ms: 0,
        catch_up_ms: 60 * MINUTE,
        input_hash: [0; 32],
        incarnation: [0; 16],
    }
}

/// A schedule that was made at noon, and what became of it.
struct Play {
    schedule: Schedule,
    said: String,
}

impl Play {
    fn of(spec: Spec) -> Self {
        let next = Calendar::of(&spec.when).after(Instant(NOON));
        let input = amends_core::Payload::json("{}");
        let made = ScheduleEvent::Scheduled { spec: spec.into(), input, next, paused: false, act: Act::default(), key: None };
        Self { schedule: Schedule::after(None, 7, 7, Instant(NOON), &made).unwrap(), said: String::new() }
    }

    fn calendar(&self) -> Calendar {
        Calendar::of(&self.schedule.spec.when)
    }

    fn record(&mut self, at: Instant, event: &ScheduleEvent) {
        self.said += &format!("{} {}\n", clock(at), in_words(event));
        self.schedule = Schedule::after(Some(self.schedule.clone()), 7, self.schedule.position + 1, at, event).unwrap();
    }

    /// Does what is due so many minutes after noon; every start succeeds.
    fn at(mut self, minutes: u64, runs: bool) -> Self {
        let now = Instant(NOON + minutes * MINUTE);
        let mut runs = runs;
        loop {
            let event = match self.schedule.decide(&self.calendar(), now, runs) {
                Decision::Nothing => return self,
                Decision::Record(event) => *event,
                Decision::Lost(_, why) => panic!("{why:?}"),
                Decision::Start(Due { moment: due, next }) => {
                    runs = true;
                    ScheduleEvent::Fired { due, saga: format!("S{}", clock(due)), next }
                }
            };
            self.record(now, &event);
        }
    }

    /// The start that is due is refused, and tried again after so many minutes.
    fn refused(mut self, minutes: u64, again: u64) -> Self {
        let now = Instant(NOON + minutes * MINUTE);
        let Decision::Start(Due { moment: due, next }) = self.schedule.decide(&self.calendar(), now, false) else {
            panic!("nothing is due")
        };
        let reason = Reason::Refused(Refused { code: RefusalCode::Quarantined, message: String::new() });
        let until = Some(now.plus(again * MINUTE));
        let event = ScheduleEvent::Postponed { due, until, reason, next };
        self.record(now, &event);
        self
    }

    fn pause(mut self, minutes: u64) -> Self {
        self.record(Instant(NOON + minutes * MINUTE), &ScheduleEvent::Paused(Act::default()));
        self
    }

    fn resume(mut self, minutes: u64) -> Self {
        let now = Instant(NOON + minutes * MINUTE);
        for event in self.schedule.resumed(&self.calendar(), now, Act::default()) {
            self.record(now, &event);
        }
        self
    }

    #[track_caller]
    fn check(self, expected: &Expect) {
        let wakes = self.schedule.wake_at().map_or("never".to_owned(), clock);
        expected.assert_eq(&format!("{}wakes {wakes}\n", self.said));
    }
}

fn clock(at: Instant) -> String {
    let minutes = at.0.saturating_sub(NOON) / MINUTE;
    match minutes / 60 + 12 {
        hour @ ..24 => format!("{hour}:{:02}", minutes % 60),
        hours => format!("+{}d {}:{:02}", hours / 24, hours % 24, minutes % 60),
    }
}

fn in_words(event: &ScheduleEvent) -> String {
    match event {
        ScheduleEvent::Fired { due, .. } => format!("fired {}", clock(*due)),
        ScheduleEvent::Missed { due, count, reason, .. } => format!("missed {count} from {} on: {}", clock(*due), reason.code()),
        ScheduleEvent::Postponed { due, until, reason, .. } => {
            format!("postponed {} until {}: {}", clock(*due), until.map_or("the end".to_owned(), clock), reason.code())
        }
        ScheduleEvent::Paused(_) => "paused".to_owned(),
        ScheduleEvent::Resumed { next, .. } => format!("resumed, next {}", next.map_or("never".to_owned(), clock)),
        other => format!("{other:?}"),
    }
}

#[test]
fn what_overlaps_is_missed_by_default() {
    Play::of(spec(Overlap::Skip)).at(10, false).at(20, true).at(30, false).check(&expect![[r#"
        12:10 fired 12:10
        12:20 missed 1 from 12:20 on: overlap
        12:30 fired 12:30
        wakes 12:40
    "#]]);
}

#[test]
fn one_start_waits_for_the_end_and_others_are_missed() {
    let play = Play::of(spec(Overlap::Queue)).at(10, false).at(20, true).at(30, true).at(34, true);
    play.at(35, false).at(40, true).check(&expect![[r#"
        12:10 fired 12:10
        12:20 postponed 12:20 until the end: overlap
        12:30 missed 1 from 12:30 on: overlap
        12:35 fired 12:20
        12:40 postponed 12:40 until the end: overlap
        wakes 12:50
    "#]]);
}

#[test]
fn what_may_overlap_is_started_beside() {
    Play::of(spec(Overlap::Allow)).at(10, true).at(35, true).check(&expect![[r#"
        12:10 fired 12:10
        12:35 fired 12:20
        12:35 fired 12:30
        wakes 12:40
    "#]]);
}

#[test]
fn what_was_due_longer_ago_than_the_window_is_missed_and_the_rest_is_started() {
    Play::of(spec(Overlap::Allow)).at(95, false).check(&expect![[r#"
        13:35 missed 3 from 12:10 on: late
        13:35 fired 12:40
        13:35 fired 12:50
        13:35 fired 13:00
        13:35 fired 13:10
        13:35 fired 13:20
        13:35 fired 13:30
        wakes 13:40
    "#]]);
}

#[test]
fn a_year_without_a_host_is_not_counted_to_its_end() {
    let often = Spec { when: When::Cron { expression: "* * * * *".into(), zone: "UTC".into() }, ..spec(Overlap::Skip) };
    Play::of(often).at(365 * 24 * 60, true).check(&expect![[r#"
        +365d 12:00 missed 1000 from 12:01 on: late
        +365d 12:00 missed 60 from +365d 11:01 on: overlap
        wakes +365d 12:01
    "#]]);
}

#[test]
fn a_start_that_is_refused_for_now_is_tried_until_the_next_is_due() {
    let play = Play::of(spec(Overlap::Skip)).refused(10, 1).at(10, false).refused(11, 2);
    play.at(13, false).refused(20, 1).refused(21, 60).at(30, false).check(&expect![[r#"
        12:10 postponed 12:10 until 12:11: quarantined
        12:11 postponed 12:10 until 12:13: quarantined
        12:13 fired 12:10
        12:20 postponed 12:20 until 12:21: quarantined
        12:21 postponed 12:20 until 13:21: quarantined
        12:30 missed 1 from 12:20 on: quarantined
        12:30 fired 12:30
        wakes 12:40
    "#]]);
}

#[test]
fn a_start_that_is_refused_for_longer_than_its_window_is_missed() {
    let once = Spec { when: When::At(Instant(NOON + MINUTE)), ..spec(Overlap::Skip) };
    Play::of(once).refused(1, 60).refused(61, 1).at(62, false).check(&expect![[r#"
        12:01 postponed 12:01 until 13:01: quarantined
        13:01 postponed 12:01 until 13:02: quarantined
        13:02 missed 1 from 12:01 on: quarantined
        wakes never
    "#]]);
}

/// The window was counted from the moment, also for a start that had waited for the end of a saga until long after it: one refusal
/// that would have passed, and it was missed.
#[test]
fn a_start_that_waited_for_an_end_has_its_whole_window_from_then_on() {
    let twice = When::Cron { expression: "10,20 12 * * *".into(), zone: "UTC".into() };
    let play = Play::of(Spec { when: twice, ..spec(Overlap::Queue) }).at(10, false).at(20, true).refused(180, 1);
    play.refused(181, 59).at(240, false).check(&expect![[r#"
        12:10 fired 12:10
        12:20 postponed 12:20 until the end: overlap
        15:00 postponed 12:20 until 15:01: quarantined
        15:01 postponed 12:20 until 16:00: quarantined
        16:00 fired 12:20
        wakes +1d 12:10
    "#]]);
}

#[test]
fn what_is_due_in_a_pause_is_missed_and_a_moment_that_comes_once_is_over() {
    Play::of(spec(Overlap::Skip)).pause(5).at(15, false).resume(35).at(35, false).at(40, false).check(&expect![[r#"
        12:05 paused
        12:35 missed 3 from 12:10 on: paused
        12:35 resumed, next 12:40
        12:40 fired 12:40
        wakes 12:50
    "#]]);
    let once = Spec { when: When::At(Instant(NOON + MINUTE)), ..spec(Overlap::Skip) };
    Play::of(once.clone()).pause(0).resume(2).at(2, false).check(&expect![[r#"
        12:00 paused
        12:02 missed 1 from 12:01 on: paused
        12:02 resumed, next never
        wakes never
    "#]]);
    Play::of(once).pause(0).resume(0).at(1, false).check(&expect![[r#"
        12:00 paused
        12:00 resumed, next 12:01
        12:01 fired 12:01
        wakes never
    "#]]);
}

#[test]
fn what_waits_for_an_end_goes_on_waiting_in_a_pause() {
    let play = Play::of(spec(Overlap::Queue)).at(10, false).at(20, true).pause(22).at(25, false);
    play.resume(28).at(28, false).check(&expect![[r#"
        12:10 fired 12:10
        12:20 postponed 12:20 until the end: overlap
        12:22 paused
        12:28 resumed, next 12:30
        12:28 fired 12:20
        wakes 12:30
    "#]]);
}

#[test]
fn a_clock_that_goes_back_makes_no_moment_come_again() {
    Play::of(spec(Overlap::Allow)).at(20, false).at(5, false).at(20, false).check(&expect![[r#"
        12:20 fired 12:10
        12:20 fired 12:20
        wakes 12:30
    "#]]);
}

#[test]
fn jitter_is_the_same_for_a_moment_and_another_for_another() {
    let jitters = Spec { jitter_ms: 5 * MINUTE, ..spec(Overlap::Skip) };
    let schedule = Play::of(jitters).schedule;
    let shares: Vec<u64> =
        (0..100).map(|number| NOON + number * 10 * MINUTE).map(|due| schedule.fires_at(Instant(due)).0 - due).collect();
    assert!(shares.iter().all(|share| *share <= 5 * MINUTE));
    // Spread over all of it.
    for fifth in 0..5 {
        let of_it = shares.iter().filter(|share| **share / MINUTE == fifth).count();
        assert!(of_it > 8, "{of_it} in minute {fifth} of {shares:?}");
    }
    assert_eq!(schedule.fires_at(Instant(NOON)), schedule.fires_at(Instant(NOON)));
}
