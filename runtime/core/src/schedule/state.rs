//! A schedule: the fold of its stream. The moments of its expression are in the records, by the zone's rules of the day on which
//! they were written: it reads the same for ever.

use serde::{Deserialize, Serialize};

use super::{Reason, ScheduleEvent, Spec};
use crate::{event::Act, value::Instant};

/// A schedule as of its last record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// What is started, and when.
    pub spec: Spec,
    /// The position of its first record.
    pub stream: u64,
    /// How many records it has.
    pub revision: u64,
    /// The position of the last one.
    pub position: u64,
    /// The position of the one that has its input.
    pub made_at: u64,
    /// When people made it, or changed it last.
    pub since: Instant,
    /// Who that was, and why.
    pub act: Act,
    /// The idempotency key of the request that made it what it is.
    pub key: Option<String>,
    /// Nothing is due until it is resumed.
    pub paused: bool,
    /// The moment that is due next; none: no more is.
    pub next: Option<Instant>,
    /// What is due and waits.
    pub waiting: Option<Waiting>,
    /// The saga that it started last by itself. It may have ended.
    pub saga: Option<String>,
    /// The latest moment that it started a saga for.
    pub last_due: Option<Instant>,
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
    /// Its window begins then: at its moment, or when it was tried first after it had waited for the end of a saga.
    pub opens_at: Instant,
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

impl Schedule {
    /// One more record of the stream that begins at `stream`. None: the schedule is gone.
    ///
    /// A stream begins with `Scheduled`: for any other event without a schedule there is none after it either.
    pub fn after(before: Option<Self>, stream: u64, position: u64, at: Instant, event: &ScheduleEvent) -> Option<Self> {
        let mut schedule = match (before, event) {
            (Some(before), _) => before,
            (None, ScheduleEvent::Scheduled { spec, .. }) => Self::new(*spec.clone(), stream, at),
            (None, _) => return None,
        };
        schedule.revision += 1;
        schedule.position = position;
        match event {
            ScheduleEvent::Scheduled { spec, next, paused, act, key, input: _ } => {
                schedule.changed(at, act);
                schedule.key.clone_from(key);
                (schedule.spec, schedule.made_at) = (*spec.clone(), position);
                (schedule.next, schedule.paused, schedule.waiting) = (*next, *paused, None);
            }
            ScheduleEvent::Fired { due, saga, next } => {
                schedule.next = *next;
                schedule.no_longer_waits_for(*due);
                schedule.saga = Some(saga.clone());
                schedule.fired += 1;
                schedule.last_due = schedule.last_due.max(Some(*due));
                schedule.last_fired = Some(Fired { due: Some(*due), at, saga: saga.clone() });
            }
            ScheduleEvent::Triggered { saga, .. } => {
                schedule.fired += 1;
                schedule.last_fired = Some(Fired { due: None, at, saga: saga.clone() });
            }
            ScheduleEvent::Postponed { due, until, reason, next } => {
                let (tries, opens_at) = (schedule.tries(*due) + 1, schedule.opens_at(*due, at));
                schedule.next = *next;
                schedule.waiting = Some(Waiting { due: *due, until: *until, tries, opens_at, reason: reason.clone() });
            }
            ScheduleEvent::Missed { due, count, reason, next } => {
                schedule.next = *next;
                schedule.no_longer_waits_for(*due);
                schedule.missed += count;
                schedule.last_missed = Some(Missed { due: *due, at, count: *count, reason: reason.clone() });
            }
            ScheduleEvent::Paused(act) => {
                schedule.changed(at, act);
                schedule.paused = true;
            }
            ScheduleEvent::Resumed { next, act } => {
                schedule.changed(at, act);
                (schedule.paused, schedule.next) = (false, *next);
            }
            ScheduleEvent::Unscheduled(_) => return None,
        }
        Some(schedule)
    }

    fn new(spec: Spec, stream: u64, at: Instant) -> Self {
        Self {
            spec,
            stream,
            revision: 0,
            position: stream,
            made_at: stream,
            since: at,
            act: Act::default(),
            key: None,
            paused: false,
            next: None,
            waiting: None,
            saga: None,
            last_due: None,
            last_fired: None,
            last_missed: None,
            fired: 0,
            missed: 0,
        }
    }

    fn changed(&mut self, at: Instant, act: &Act) {
        (self.since, self.act) = (at, act.clone());
    }

    fn no_longer_waits_for(&mut self, due: Instant) {
        self.waiting.take_if(|waiting| waiting.due == due);
    }

    /// When it wants to be looked at. What waits for the end of a saga is not woken by time.
    pub fn wake_at(&self) -> Option<Instant> {
        let next = self.next.map(|due| self.fires_at(due));
        let again = self.waiting.as_ref().and_then(|waiting| waiting.until);
        next.into_iter().chain(again).min().filter(|_| !self.paused)
    }

    /// The saga whose end it waits for.
    pub fn waits_for(&self) -> Option<&str> {
        self.waiting.as_ref().filter(|waiting| waiting.until.is_none()).and(self.saga.as_deref())
    }

    /// The moment with its jitter: the same whenever it is asked for.
    pub fn fires_at(&self, due: Instant) -> Instant {
        due.plus(mixed(self.stream ^ mixed(due.0)) % (self.spec.jitter_ms + 1))
    }

    /// No start of this moment is tried after this, if it can be tried now.
    pub fn gives_up_at(&self, due: Instant, now: Instant) -> Instant {
        self.opens_at(due, now).plus(self.spec.catch_up_ms)
    }

    fn opens_at(&self, due: Instant, now: Instant) -> Instant {
        match self.waiting_for(due) {
            Some(Waiting { until: None, .. }) => now,
            Some(waiting) => waiting.opens_at,
            None => self.fires_at(due),
        }
    }

    /// How often the start of this moment was refused.
    pub fn tries(&self, due: Instant) -> u32 {
        self.waiting_for(due).map_or(0, |waiting| waiting.tries)
    }

    fn waiting_for(&self, due: Instant) -> Option<&Waiting> {
        self.waiting.as_ref().filter(|waiting| waiting.due == due)
    }
}

/// splitmix64: spread, not secrecy.
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}
