//! One saga in memory: forward until it fails, back to a savepoint or to the start, and the time in between.

use std::rc::Rc;
use std::time::Duration;

use crate::bindings::imports::amends::module::types::Payload;
use crate::bindings::saga::exports::amends::module::saga::{
    Arrival, EventArrival, FailedStep, Failure as WitFailure, RollbackCause,
};
use crate::saga::Definition;
use crate::stop::Failure;
use crate::testing::branch::Branch;
use crate::testing::course::{Course, Moved, Undone, Why};
use crate::testing::trace::Trace;
use crate::testing::tries::Tries;
use crate::testing::{Status, TestWorld, pointer};
use crate::{Moment, payload};

pub(super) struct Machine {
    pub(super) course: Course,
    saga: Branch,
    phase: Phase,
    events: u64,
}

enum Phase {
    Forward,
    /// Back until `floor` stages are left: to a savepoint, or to the start.
    Back {
        floor: usize,
        failure: WitFailure,
    },
    Ended(Status, Option<WitFailure>),
}

impl Machine {
    pub(super) fn new(definition: Rc<Definition>, world: Rc<TestWorld>) -> Machine {
        let (trace, kept) = (Trace::default(), Vec::new());
        let course = Course { id: "test".to_owned(), world, trace, kept, round: 0, cause: None, rollback: None, returned: false };
        let saga = Branch::new(definition, payload::json("null".to_owned()));
        Machine { course, saga, phase: Phase::Forward, events: 0 }
    }

    pub(super) fn world(&self) -> &TestWorld {
        &self.course.world
    }

    pub(super) fn start(&mut self, input: Payload) {
        let definition = self.saga.definition.clone();
        let read = payload::decode::<serde_json::Value>(&input).unwrap_or_default();
        for lock in &definition.locks {
            let (name, at) = (&lock.name, &lock.pointer);
            assert!(pointer::key(&read, at).is_some(), "lock `{name}` finds no text or number at `{at}` of the input");
        }
        self.saga = Branch::new(definition, input);
        self.drive();
    }

    pub(super) fn event(&mut self, event_type: &str, key: &str, data: Payload) {
        self.events += 1;
        let (event_type, key) = (event_type.to_owned(), key.to_owned());
        let event = EventArrival { id: format!("event-{}", self.events), event_type, key, data: Some(data) };
        let now = self.course.world.clock();
        match self.saga.waiting().into_iter().find(|tries| tries.waits_for(&event)) {
            Some(tries) => tries.arrive(Arrival::Event(event), now),
            None => return self.course.kept.push(event),
        }
        self.drive();
    }

    pub(super) fn advance(&mut self, time: Duration) {
        let target = self.course.world.clock() + time;
        while let Some((until, tries)) = self.next_timer().filter(|(until, _)| *until <= target) {
            tries.arrive(Arrival::Timer, until);
            self.pass_to(until);
            self.drive();
        }
        self.pass_to(target);
    }

    pub(super) fn cancel(&mut self) {
        let failure = || Failure::new("cancelled", "the saga was cancelled").into();
        match &mut self.phase {
            Phase::Forward if !self.course.returned => {
                self.course.trace.push("cancelled".to_owned());
                self.turn_back(0, failure(), RollbackCause::Cancelled);
                self.drive();
            }
            // It would have gone forward again at the savepoint.
            Phase::Back { floor, failure: why } if *floor > 0 => {
                self.course.trace.push("cancelled".to_owned());
                (*floor, *why) = (0, failure());
                self.course.rollback = Some(RollbackCause::Cancelled);
            }
            Phase::Back { .. } => {}
            Phase::Forward | Phase::Ended(..) => self.course.trace.push("not cancelled".to_owned()),
        }
    }

    pub(super) fn status(&self) -> Status {
        match self.phase {
            Phase::Forward | Phase::Back { .. } => Status::Waiting,
            Phase::Ended(status, _) => status,
        }
    }

    pub(super) fn failure(&self) -> Option<Failure> {
        match &self.phase {
            Phase::Forward => None,
            Phase::Back { failure, .. } => Some(Failure::from(failure)),
            Phase::Ended(_, failure) => failure.as_ref().map(Failure::from),
        }
    }

    pub(super) fn output(&self) -> Option<Payload> {
        match self.phase {
            Phase::Ended(Status::Completed, _) => self.saga.output(),
            Phase::Forward | Phase::Back { .. } | Phase::Ended(..) => None,
        }
    }

    /// Runs until the saga ends or waits.
    fn drive(&mut self) {
        loop {
            let goes_on = match self.phase {
                Phase::Forward => self.forward(),
                Phase::Back { floor, .. } => self.back(floor),
                Phase::Ended(..) => false,
            };
            if !goes_on {
                return;
            }
        }
    }

    /// One attempt of everything that is due, then on to the end of the next backoff; false if the saga has ended, or waits.
    fn forward(&mut self) -> bool {
        match self.saga.forward(&mut self.course) {
            Moved::On if self.saga.is_done() => {
                self.course.trace.push("completed".to_owned());
                self.phase = Phase::Ended(Status::Completed, None);
                false
            }
            Moved::On => self.skip_to(self.saga.due_at()),
            Moved::Failed { path, failure, .. } if self.course.returned => self.stuck(&path, failure),
            Moved::Failed { path, failure, why } => {
                let another_round = why != Why::Unknown && self.course.round < self.saga.definition.rounds();
                let floor = if another_round { self.saga.latest_savepoint() } else { 0 };
                let failed = FailedStep { step: path, failure: failure.clone() };
                let (failure, cause) = match why {
                    Why::Refused => (failure, RollbackCause::Refused(failed)),
                    Why::Exhausted => (exhausted(&failed), RollbackCause::Exhausted(failed)),
                    Why::Unknown => (failure, RollbackCause::Unknown(failed)),
                };
                self.turn_back(floor, failure, cause);
                true
            }
            Moved::Stuck { at, failure } => self.stuck(&at, failure),
        }
    }

    fn turn_back(&mut self, floor: usize, failure: WitFailure, cause: RollbackCause) {
        self.saga.close();
        self.course.rollback = Some(cause);
        self.phase = Phase::Back { floor, failure };
    }

    /// Undoes what it can; false if the saga has ended, or waits.
    fn back(&mut self, floor: usize) -> bool {
        let undone = self.saga.back(floor, &mut self.course);
        let Phase::Back { failure, .. } = &self.phase else { return true };
        match (undone, self.saga.savepoint_after(floor)) {
            (Undone::Yes, Some(savepoint)) => {
                self.course.round += 1;
                self.course.cause = self.course.rollback.take().and_then(failure_of);
                self.course.trace.push(format!("round {} from {savepoint}", self.course.round));
                self.phase = Phase::Forward;
                true
            }
            (Undone::Yes, None) => {
                self.course.trace.push(format!("compensated {}", failure.code));
                self.phase = Phase::Ended(Status::Compensated, Some(failure.clone()));
                false
            }
            (Undone::Waiting, _) => false,
            (Undone::Stuck { at, failure }, _) => self.stuck(&at, failure),
        }
    }

    fn stuck(&mut self, at: &str, failure: WitFailure) -> bool {
        self.course.trace.push(format!("stuck at {at}: {}", failure.code));
        self.phase = Phase::Ended(Status::Stuck, Some(failure));
        false
    }

    /// Moves the clock to a backoff's end, unless a timer is due before it; false if there is no backoff.
    fn skip_to(&mut self, due: Option<Moment>) -> bool {
        let Some(due) = due else { return false };
        let moment = match self.next_timer().filter(|(until, _)| *until <= due) {
            Some((until, tries)) => {
                tries.arrive(Arrival::Timer, until);
                until
            }
            None => due,
        };
        self.pass_to(moment);
        true
    }

    /// The wait whose time is over first.
    fn next_timer(&mut self) -> Option<(Moment, &mut Tries)> {
        let timers = self.saga.waiting().into_iter().filter_map(|tries| Some((tries.until()?, tries)));
        timers.min_by_key(|(until, _)| *until)
    }

    fn pass_to(&mut self, moment: Moment) {
        self.course.world.set_clock(self.course.world.clock().max(moment));
    }
}

/// How a saga's end is told whose step has used up its retries.
fn exhausted(failed: &FailedStep) -> WitFailure {
    let message = format!("{}: {}", failed.step, failed.failure.message);
    WitFailure { code: "exhausted".to_owned(), message, data: None }
}

/// What the steps of a new round are told that the one before it failed for.
fn failure_of(cause: RollbackCause) -> Option<WitFailure> {
    match cause {
        RollbackCause::Refused(failed) | RollbackCause::Exhausted(failed) | RollbackCause::Unknown(failed) => {
            Some(failed.failure)
        }
        RollbackCause::Cancelled | RollbackCause::Deadline => None,
        RollbackCause::AlternateRefused(failure) => Some(failure),
    }
}
