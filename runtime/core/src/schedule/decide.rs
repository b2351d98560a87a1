//! What is to be done with a schedule at a moment. Pure: the time, its calendar, and whether its last saga runs, are arguments.

use super::{Overlap, Reason, Schedule, ScheduleEvent};
use crate::{event::Act, value::Instant};

/// The moments that a schedule names, as whoever can read its expression and its time zone tells them.
pub trait Calendar {
    /// The first moment after this one; none: it names no more.
    fn after(&self, moment: Instant) -> Option<Instant>;

    /// Why no moment can be told any more, if so.
    fn lost(&self) -> Option<Reason>;
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is due.
    Nothing,
    /// Start the saga of this moment.
    Start(Due),
    /// Record this.
    Record(Box<ScheduleEvent>),
    /// Record that this moment is missed, and that none follows: its expression cannot be read any more, which is why.
    Lost(Instant, Reason),
}

/// A moment whose saga is to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The moment.
    pub moment: Instant,
    /// What is due once it is dealt with.
    pub next: Option<Instant>,
}

impl Decision {
    fn record(event: ScheduleEvent) -> Self {
        Self::Record(Box::new(event))
    }
}

/// Moments that are counted one by one; of more, it is known that there were at least so many. An expression names up to half a
/// million a year, and a host may have been off for one.
const COUNTED_MAX: u64 = 1_000;

impl Schedule {
    /// What is to be done now, if anything: one thing, after which it is asked again. `runs` says whether its last saga has not ended.
    pub fn decide(&self, calendar: &impl Calendar, now: Instant, runs: bool) -> Decision {
        if self.paused {
            return Decision::Nothing;
        }
        let due = self.next.filter(|due| self.fires_at(*due) <= now);
        match (&self.waiting, due) {
            (Some(waiting), _) if waiting.until.is_none() && !runs => self.start(calendar, waiting.due, now, runs),
            // What follows displaces what could not be started in all the time between.
            (Some(waiting), Some(_)) if waiting.until.is_some() => self.missed(calendar, waiting.due, 1, waiting.reason.clone()),
            (Some(waiting), None) if waiting.until.is_some_and(|until| until <= now) => {
                match self.gives_up_at(waiting.due, now) < now {
                    true => self.missed(calendar, waiting.due, 1, waiting.reason.clone()),
                    false => self.start(calendar, waiting.due, now, runs),
                }
            }
            (_, Some(due)) => self.due(calendar, due, now, runs),
            (_, None) => Decision::Nothing,
        }
    }

    fn due(&self, calendar: &impl Calendar, due: Instant, now: Instant, runs: bool) -> Decision {
        match calendar.lost() {
            Some(why) => Decision::Lost(due, why),
            None if self.gives_up_at(due, now) < now => self.too_late(calendar, due, now),
            None => self.start(calendar, due, now, runs),
        }
    }

    fn start(&self, calendar: &impl Calendar, due: Instant, now: Instant, runs: bool) -> Decision {
        let starts = Due { moment: due, next: self.next_after(calendar, due) };
        let queued = self.waiting.as_ref().is_some_and(|waiting| waiting.until.is_none());
        match self.spec.overlap {
            _ if !runs => Decision::Start(starts),
            Overlap::Allow => Decision::Start(starts),
            Overlap::Queue if !queued => {
                Decision::record(ScheduleEvent::Postponed { due, until: None, reason: self.overlaps(), next: starts.next })
            }
            Overlap::Skip | Overlap::Queue if self.next == Some(due) => {
                let (count, next) = self.passed(calendar, due, |due| self.fires_at(due) <= now, self.before_jitter(now));
                Decision::record(ScheduleEvent::Missed { due, count, reason: self.overlaps(), next })
            }
            Overlap::Skip | Overlap::Queue => self.missed(calendar, due, 1, self.overlaps()),
        }
    }

    /// What is due by then has fired by that moment, whatever its jitter.
    fn before_jitter(&self, moment: Instant) -> Instant {
        Instant(moment.0.saturating_sub(self.spec.jitter_ms))
    }

    fn missed(&self, calendar: &impl Calendar, due: Instant, count: u64, reason: Reason) -> Decision {
        Decision::record(ScheduleEvent::Missed { due, count, reason, next: self.next_after(calendar, due) })
    }

    fn too_late(&self, calendar: &impl Calendar, due: Instant, now: Instant) -> Decision {
        let horizon = Instant(now.0.saturating_sub(self.spec.catch_up_ms));
        let (count, next) = self.passed(calendar, due, |due| self.fires_at(due) < horizon, self.before_jitter(horizon));
        Decision::record(ScheduleEvent::Missed { due, count, reason: Reason::Late, next })
    }

    /// What is recorded when it is resumed: what was due in the pause is missed.
    pub fn resumed(&self, calendar: &impl Calendar, now: Instant, act: Act) -> Vec<ScheduleEvent> {
        let Some(due) = self.next.filter(|due| *due <= now) else { return vec![ScheduleEvent::Resumed { next: self.next, act }] };
        let (count, next) = self.passed(calendar, due, |due| due <= now, now);
        let reason = calendar.lost().unwrap_or(Reason::Paused);
        vec![ScheduleEvent::Missed { due, count, reason, next }, ScheduleEvent::Resumed { next, act }]
    }

    /// How many moments from `due` on have passed, and the first that has not, which lies after `jump`.
    fn passed(
        &self,
        calendar: &impl Calendar,
        due: Instant,
        has_passed: impl Fn(Instant) -> bool,
        jump: Instant,
    ) -> (u64, Option<Instant>) {
        let (mut count, mut next) = (0, Some(due));
        while let Some(due) = next.filter(|due| has_passed(*due)) {
            count += 1;
            next = calendar.after(if count >= COUNTED_MAX { due.max(jump) } else { due });
        }
        (count, next)
    }

    /// What is due once that moment is dealt with. What waited was dealt with when its time came.
    fn next_after(&self, calendar: &impl Calendar, due: Instant) -> Option<Instant> {
        match self.next {
            Some(next) if next == due => calendar.after(due),
            next => next,
        }
    }

    fn overlaps(&self) -> Reason {
        Reason::Overlap { saga: self.saga.clone().unwrap_or_default() }
    }
}
