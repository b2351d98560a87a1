//! A schedule: the fold of its stream, and what is to be done with it at a moment. Pure: times and whether its saga runs are
//! arguments, and the moments of its expression are in the records, by the zone's rules of the day on which they were written.

use amends_core::Instant;
use serde::{Deserialize, Serialize};

use super::cron::Cron;
use crate::{
    journal::schedule::{Overlap, Reason, ScheduleEvent, Spec, When},
    store::Position,
};

/// A schedule as of its last record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// What is started, and when.
    pub spec: Spec,
    /// The position of its first record.
    pub stream: Position,
    /// How many records it has.
    pub revision: u64,
    /// The position of the last one.
    pub position: Position,
    /// The position of the one that has its input.
    pub made_at: Position,
    /// When it was made, or replaced last.
    pub since: Instant,
    /// Nothing is due until it is resumed.
    pub paused: bool,
    /// The moment that is due next; none: no more is.
    pub next: Option<Instant>,
    /// What is due and waits.
    pub waiting: Option<Waiting>,
    /// The saga that it started last by itself. It may have ended.
    pub saga: Option<String>,
    /// The start before, by itself or by hand.
    pub last_fired: Option<Fired>,
    /// What was missed last.
    pub last_missed: Option<Missed>,
    /// How many sagas it started.
    pub fired: u64,
    /// How many it did not, as far as they were counted.
    pub missed: u64,
}

/// A start that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The moment that it was due at.
    pub due: Instant,
    /// It is tried again then; none: when the saga before it has ended.
    pub until: Option<Instant>,
    /// How often it was refused.
    pub tries: u32,
    /// Why.
    pub reason: Reason,
}

/// A start that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fired {
    /// The moment that it was due at; none: it was started by hand.
    pub due: Option<Instant>,
    /// When it was started.
    pub at: Instant,
    /// The saga.
    pub saga: String,
}

/// Starts that did not happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// The moment of the first.
    pub due: Instant,
    /// When that was recorded.
    pub at: Instant,
    /// How many.
    pub count: u64,
    /// Why.
    pub reason: Reason,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nothing is due.
    Nothing,
    /// Start the saga of this moment.
    Start(Instant),
    /// Record this.
    Record(Box<ScheduleEvent>),
}

impl Decision {
    fn record(event: ScheduleEvent) -> Self {
        Self::Record(Box::new(event))
    }
}

/// Moments that are counted one by one; of more, it is known that there were at least so many. An expression names up to half a
/// million a year, and a host may have been off for one.
pub(crate) const COUNTED_MAX: u64 = 1_000;

impl Schedule {
    /// One more record of the stream that begins at `stream`. None: the schedule is gone.
    ///
    /// A stream begins with `Scheduled`: for any other event without a schedule there is none after it either.
    pub(crate) fn after(
        before: Option<Self>,
        stream: Position,
        position: Position,
        at: Instant,
        event: &ScheduleEvent,
    ) -> Option<Self> {
        let mut schedule = match (before, event) {
            (Some(before), _) => before,
            (None, ScheduleEvent::Scheduled { spec, .. }) => Self::new(spec.clone(), stream, at),
            (None, _) => return None,
        };
        schedule.revision += 1;
        schedule.position = position;
        match event {
            ScheduleEvent::Scheduled { spec, next, paused, .. } => {
                (schedule.spec, schedule.made_at, schedule.since) = (spec.clone(), position, at);
                (schedule.next, schedule.paused, schedule.waiting) = (*next, *paused, None);
            }
            ScheduleEvent::Fired { due, saga, next } => {
                schedule.next = *next;
                schedule.no_longer_waits_for(*due);
                schedule.saga = Some(saga.clone());
                schedule.fired += 1;
                schedule.last_fired = Some(Fired { due: Some(*due), at, saga: saga.clone() });
            }
            ScheduleEvent::Triggered { saga, .. } => {
                schedule.fired += 1;
                schedule.last_fired = Some(Fired { due: None, at, saga: saga.clone() });
            }
            ScheduleEvent::Postponed { due, until, reason, next } => {
                let tries = schedule.waiting.as_ref().filter(|waiting| waiting.due == *due).map_or(0, |waiting| waiting.tries);
                schedule.next = *next;
                schedule.waiting = Some(Waiting { due: *due, until: *until, tries: tries + 1, reason: reason.clone() });
            }
            ScheduleEvent::Missed { due, count, reason, next } => {
                schedule.next = *next;
                schedule.no_longer_waits_for(*due);
                schedule.missed += count;
                schedule.last_missed = Some(Missed { due: *due, at, count: *count, reason: reason.clone() });
            }
            ScheduleEvent::Paused(_) => schedule.paused = true,
            ScheduleEvent::Resumed { next, .. } => (schedule.paused, schedule.next) = (false, *next),
            ScheduleEvent::Unscheduled(_) => return None,
        }
        Some(schedule)
    }

    fn new(spec: Spec, stream: Position, at: Instant) -> Self {
        Self {
            spec,
            stream,
            revision: 0,
            position: stream,
            made_at: stream,
            since: at,
            paused: false,
            next: None,
            waiting: None,
            saga: None,
            last_fired: None,
            last_missed: None,
            fired: 0,
            missed: 0,
        }
    }

    fn no_longer_waits_for(&mut self, due: Instant) {
        self.waiting.take_if(|waiting| waiting.due == due);
    }

    /// When it wants to be looked at. What waits for the end of a saga is not woken by time.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let next = self.next.map(|due| self.fires_at(due));
        let again = self.waiting.as_ref().and_then(|waiting| waiting.until);
        next.into_iter().chain(again).min().filter(|_| !self.paused)
    }

    /// The saga whose end it waits for.
    pub(crate) fn waits_for(&self) -> Option<&str> {
        self.waiting.as_ref().filter(|waiting| waiting.until.is_none()).and(self.saga.as_deref())
    }

    /// The moment with its jitter: the same whenever it is asked for.
    pub(crate) fn fires_at(&self, due: Instant) -> Instant {
        due.plus(mixed(self.stream ^ mixed(due.0)) % (self.spec.jitter_ms + 1))
    }

    /// No start is tried after this.
    pub(crate) fn gives_up_at(&self, due: Instant) -> Instant {
        self.fires_at(due).plus(self.spec.catch_up_ms)
    }

    /// The moments that it names.
    pub(crate) fn calendar(&self) -> Calendar {
        Calendar::of(&self.spec.when)
    }

    /// What is to be done now, if anything: one thing, after which it is asked again. `runs` says whether its last saga has not ended.
    pub(crate) fn decide(&self, now: Instant, runs: bool) -> Decision {
        if self.paused {
            return Decision::Nothing;
        }
        let due = self.next.filter(|due| self.fires_at(*due) <= now);
        match (&self.waiting, due) {
            (Some(waiting), _) if waiting.until.is_none() && !runs => self.start(waiting.due, now, runs),
            // What follows displaces what could not be started in all the time between.
            (Some(waiting), Some(_)) if waiting.until.is_some() => self.missed(waiting.due, 1, waiting.reason.clone()),
            (Some(waiting), None) if waiting.until.is_some_and(|until| until <= now) => {
                match self.gives_up_at(waiting.due) < now {
                    true => self.missed(waiting.due, 1, waiting.reason.clone()),
                    false => self.start(waiting.due, now, runs),
                }
            }
            (_, Some(due)) if self.gives_up_at(due) < now => self.too_late(due, now),
            (_, Some(due)) => self.start(due, now, runs),
            (_, None) => Decision::Nothing,
        }
    }

    fn start(&self, due: Instant, now: Instant, runs: bool) -> Decision {
        let queued = self.waiting.as_ref().is_some_and(|waiting| waiting.until.is_none());
        match self.spec.overlap {
            _ if !runs => Decision::Start(due),
            Overlap::Allow => Decision::Start(due),
            Overlap::Queue if !queued => Decision::record(ScheduleEvent::Postponed {
                due,
                until: None,
                reason: self.overlaps(),
                next: self.next_after(due),
            }),
            Overlap::Skip | Overlap::Queue if self.next == Some(due) => {
                let (count, next) = self.passed(due, |due| self.fires_at(due) <= now, self.before_jitter(now));
                Decision::record(ScheduleEvent::Missed { due, count, reason: self.overlaps(), next })
            }
            Overlap::Skip | Overlap::Queue => self.missed(due, 1, self.overlaps()),
        }
    }

    /// What is due by then has fired by that moment, whatever its jitter.
    fn before_jitter(&self, moment: Instant) -> Instant {
        Instant(moment.0.saturating_sub(self.spec.jitter_ms))
    }

    fn missed(&self, due: Instant, count: u64, reason: Reason) -> Decision {
        Decision::record(ScheduleEvent::Missed { due, count, reason, next: self.next_after(due) })
    }

    fn too_late(&self, due: Instant, now: Instant) -> Decision {
        let horizon = Instant(now.0.saturating_sub(self.spec.catch_up_ms));
        let (count, next) = self.passed(due, |due| self.fires_at(due) < horizon, self.before_jitter(horizon));
        let message = "the host was not there, or too busy, for longer than the catch-up window".to_owned();
        Decision::record(ScheduleEvent::Missed { due, count, reason: Reason { code: "late".to_owned(), message }, next })
    }

    /// What is recorded when it is resumed: what was due in the pause is missed.
    pub(crate) fn resumed(&self, now: Instant, act: amends_core::event::Act) -> Vec<ScheduleEvent> {
        let Some(due) = self.next.filter(|due| *due <= now) else { return vec![ScheduleEvent::Resumed { next: self.next, act }] };
        let (count, next) = self.passed(due, |due| due <= now, now);
        let reason = Reason { code: "paused".to_owned(), message: "it was due while the schedule was paused".to_owned() };
        vec![ScheduleEvent::Missed { due, count, reason, next }, ScheduleEvent::Resumed { next, act }]
    }

    /// How many moments from `due` on have passed, and the first that has not, which lies after `jump`.
    fn passed(&self, due: Instant, has_passed: impl Fn(Instant) -> bool, jump: Instant) -> (u64, Option<Instant>) {
        let calendar = self.calendar();
        let (mut count, mut next) = (0, Some(due));
        while let Some(due) = next.filter(|due| has_passed(*due)) {
            count += 1;
            next = calendar.after(if count >= COUNTED_MAX { due.max(jump) } else { due });
        }
        (count, next)
    }

    /// What is due once that moment is dealt with. What waited was dealt with when its time came.
    pub(crate) fn next_after(&self, due: Instant) -> Option<Instant> {
        match self.next {
            Some(next) if next == due => self.calendar().after(due),
            next => next,
        }
    }

    fn overlaps(&self) -> Reason {
        let saga = self.saga.as_deref().unwrap_or_default();
        Reason { code: "overlap".to_owned(), message: format!("saga {saga}, which it started before, had not ended") }
    }
}

/// The moments that a schedule names.
pub(crate) enum Calendar {
    Once(Instant),
    Cron(Box<Cron>),
    /// Its zone is not known to this machine any more.
    Lost,
}

impl Calendar {
    pub(crate) fn of(when: &When) -> Self {
        match when {
            When::At(at) | When::After { at, .. } => Self::Once(*at),
            When::Cron { expression, zone } => {
                Cron::parse(expression, zone).map_or(Self::Lost, |cron| Self::Cron(Box::new(cron)))
            }
        }
    }

    /// The first moment after this one.
    pub(crate) fn after(&self, moment: Instant) -> Option<Instant> {
        match self {
            Self::Once(at) => Some(*at).filter(|at| *at > moment),
            Self::Cron(cron) => cron.after(moment),
            Self::Lost => None,
        }
    }
}

/// splitmix64: spread, not secrecy.
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
mod tests;
