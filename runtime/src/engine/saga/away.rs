//! A saga that is away: it goes on where its guest ran, without the shard between two attempts.
//!
//! A saga is a pure value, so that it can be decided on any thread. While its only open attempt cannot reach outside and nothing else
//! happens to it, the thread of the guest takes the report, decides, and makes the next call. The shard keeps the saga as it was
//! when it left: a prefix of what it is (law 3), which may be read and made durable. It comes back with what was decided when an
//! attempt must wait for a commit, when nothing is to run, and at a bound of records or of time. Whatever else happens to it calls
//! it back first, which waits for nothing: the attempt that runs is reported to the shard then.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use amends_core::{Context, Event, Input, Instant, Saga, event::Attempt, outcome::Report};

use super::{SagaKey, launch::call, resident::Decided};
use crate::{
    engine::{
        failpoints::Failpoints,
        guests::{Ahead, GuestCall, GuestReport, Next},
        kernel::Jitter,
        metrics::Metrics,
    },
    journal::{Actor, Grant},
};

/// A handle to a saga that is away. The shard and the thread of the guest share the saga through it.
#[derive(Clone, Debug)]
pub(crate) struct Away {
    key: Arc<SagaKey>,
    stage: Arc<Mutex<Stage>>,
}

#[derive(Debug)]
enum Stage {
    /// Its attempt runs.
    Runs(Box<Errand>, Attempt),
    /// The thread of the guest has done all that it may, and the saga waits to be taken back.
    Ended(Box<Errand>),
    /// The shard has it.
    Back,
    /// The thread of the guest decides about the saga, or a bug ended that decision half-way.
    Decides,
}

/// A saga that left the shard, and what it needs to go on.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) saga: Saga,
    /// What was decided since it left.
    pub(super) decided: Vec<Decided>,
    /// How much may be decided before it comes back.
    pub(super) records_max: usize,
    /// When it comes back at the latest, if no attempt runs just then.
    pub(super) until: Instant,
    /// What its decisions may depend on, as of its leave: it is called back when grants change.
    pub(super) context: Context,
    pub(super) grants: Arc<[Grant]>,
    pub(super) jitter: Jitter,
    /// The disk is behind: nothing runs ahead.
    pub(super) is_crowded: Arc<AtomicBool>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) failpoints: Failpoints,
}

impl Away {
    /// A saga leaves with the attempt that is about to run.
    pub(super) fn leave(key: SagaKey, errand: Errand, attempt: Attempt) -> Self {
        Self { key: Arc::new(key), stage: Arc::new(Mutex::new(Stage::Runs(Box::new(errand), attempt))) }
    }

    /// Calls the saga back, with the attempt that runs; none: no attempt runs, and the input `Returned` follows.
    pub(super) fn call_back(&self) -> Option<(Errand, Attempt)> {
        let mut stage = self.stage();
        match std::mem::replace(&mut *stage, Stage::Back) {
            Stage::Runs(errand, attempt) => Some((*errand, attempt)),
            other => {
                *stage = other;
                None
            }
        }
    }

    /// Takes the saga back for the input `Returned`.
    pub(super) fn take_back(&self) -> Option<Errand> {
        match std::mem::replace(&mut *self.stage(), Stage::Back) {
            Stage::Ended(errand) => Some(*errand),
            Stage::Runs(..) | Stage::Back | Stage::Decides => None,
        }
    }

    /// The stage tells of a panic in a decision by itself, so that a poisoned lock is used as it is.
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ahead for Away {
    fn report(&self, report: GuestReport, now: Instant) -> Next {
        let mut stage = self.stage();
        match std::mem::replace(&mut *stage, Stage::Decides) {
            Stage::Runs(mut errand, _) => {
                let Some(report) = report.into_step() else { return Next::Return };
                match errand.go_on(&self.key, report, now) {
                    Some((attempt, call)) => {
                        *stage = Stage::Runs(errand, attempt);
                        Next::Call(Box::new(call))
                    }
                    None => {
                        *stage = Stage::Ended(errand);
                        Next::Return
                    }
                }
            }
            other => {
                *stage = other;
                Next::Report(report)
            }
        }
    }

    fn is_lost(&self) -> bool {
        matches!(*self.stage(), Stage::Decides)
    }
}

impl Errand {
    /// Decides what a report means. The next attempt, if the saga may go on with it here.
    fn go_on(&mut self, key: &SagaKey, report: Report, now: Instant) -> Option<(Attempt, GuestCall)> {
        let since = self.saga.open_since(&report.attempt).unwrap_or(now);
        self.metrics.attempt_ended(&self.saga.started().module, &report, now.since(since));
        self.failpoints.of_attempt("outcome-seen", &report.attempt);
        let context = Context { now, jitter: self.jitter.next(), ..self.context };
        let events = self.saga.handle(Input::Report(report), context);
        let sends = events.iter().any(|event| matches!(event, Event::Sent(..) | Event::Published(..)));
        let decided = |event| Decided { event, at: now, actor: Actor::Host, causation: None };
        self.decided.extend(events.into_iter().map(decided));
        let is_bounded = self.decided.len() >= self.records_max || now >= self.until || self.is_crowded.load(Ordering::Relaxed);
        if is_bounded || sends {
            return None;
        }
        let effects = self.saga.effects();
        let [intent] = &effects.run[..] else { return None };
        if intent.reaches_outside || intent.solo || !effects.topics.is_empty() || self.saga.is_command(intent) {
            return None;
        }
        let call = call(key, &self.saga, Arc::clone(&self.grants), intent)?;
        self.failpoints.of_attempt("guest-running", &intent.attempt);
        Some((intent.attempt.clone(), call))
    }
}
