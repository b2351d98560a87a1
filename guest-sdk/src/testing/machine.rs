//! One saga in memory: forward until it fails, back to a savepoint or to the start, and the time in between.
//!
//! It is a second, smaller reading of the host's rules; `kit_and_core` in the repository's tests holds the two against each
//! other. As in the host, an attempt opens as soon as it may, and one that is open when a rollback begins runs to its outcome.

use std::rc::Rc;
use std::time::Duration;

use crate::bindings::imports::amends::module::types::Payload;
use crate::bindings::saga::exports::amends::module::saga::{
    Arrival, EventArrival, FailedStep, Failure as WitFailure, RollbackCause,
};
use crate::saga::Definition;
use crate::stop::Failure;
use crate::testing::branch::Branch;
use crate::testing::course::{Course, Failed, Why};
use crate::testing::leg::Leg;
use crate::testing::trace::Trace;
use crate::testing::tries::State;
use crate::testing::{Status, TestWorld, pointer};
use crate::{Moment, payload};

pub(super) struct Machine {
    pub(super) course: Course,
    saga: Branch,
    phase: Phase,
    /// When the saga is rolled back for being late.
    deadline: Option<Moment>,
    /// A cancel that was asked for, or the deadline has passed; a pivot's outcome may have to decide about it.
    cancel: Option<Cancel>,
    events: u64,
}

enum Phase {
    Forward,
    /// Back until `floor` stages are left: to a savepoint, or to the start.
    Back {
        floor: usize,
        /// What the saga ends with at the start.
        end: WitFailure,
    },
    Ended(Status, Option<WitFailure>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cancel {
    Asked,
    Deadline,
}

impl Cancel {
    fn end(self) -> (WitFailure, RollbackCause) {
        match self {
            Cancel::Asked => (Failure::new("cancelled", "the saga was cancelled").into(), RollbackCause::Cancelled),
            Cancel::Deadline => (Failure::new("deadline", "the saga's deadline has passed").into(), RollbackCause::Deadline),
        }
    }
}

impl Machine {
    pub(super) fn new(definition: Rc<Definition>, world: Rc<TestWorld>) -> Machine {
        let course = Course {
            id: "test".to_owned(),
            world,
            trace: Trace::default(),
            kept: Vec::new(),
            round: 0,
            cause: None,
            past_point_of_no_return: false,
            rollback: None,
        };
        let saga = Branch::new(definition, payload::json("null".to_owned()));
        Machine { course, saga, phase: Phase::Forward, deadline: None, cancel: None, events: 0 }
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
        self.deadline = definition.deadline_ms.map(|ms| self.course.now() + Duration::from_millis(ms));
        self.saga = Branch::new(definition, input);
        self.drive();
    }

    pub(super) fn event(&mut self, event_type: &str, key: &str, data: Payload) {
        self.events += 1;
        let (event_type, key) = (event_type.to_owned(), key.to_owned());
        let event = EventArrival { id: format!("event-{}", self.events), event_type, key, data: Some(data) };
        let now = self.course.now();
        let mut legs = self.saga.legs_mut();
        let waiting = legs.iter_mut().flat_map(|leg| leg.tries_mut()).find(|tries| tries.waits_for(&event));
        match waiting {
            Some(tries) => tries.arrive(Arrival::Event(event), now),
            None => return self.course.kept.push(event),
        }
        self.drive();
    }

    pub(super) fn advance(&mut self, time: Duration) {
        let target = self.course.now() + time;
        while let Some(next) = self.next_moment().filter(|next| *next <= target) {
            self.pass_to(next);
            self.drive();
        }
        self.pass_to(target);
    }

    pub(super) fn cancel(&mut self) {
        let is_pending = self.cancel.is_some() && matches!(self.phase, Phase::Forward);
        let in_doubt = || self.saga.legs().into_iter().any(|leg| leg.is_pivot_in_doubt() && leg.stuck().is_some());
        match self.phase {
            Phase::Ended(Status::Compensated, _) if self.cancel == Some(Cancel::Asked) => {}
            Phase::Ended(..) => self.course.trace.push("not cancelled".to_owned()),
            _ if self.course.past_point_of_no_return => self.course.trace.push("not cancelled".to_owned()),
            Phase::Back { floor: 0, .. } => {}
            _ if is_pending => {}
            _ if in_doubt() => self.course.trace.push("not cancelled".to_owned()),
            Phase::Forward | Phase::Back { .. } => {
                self.course.trace.push("cancelled".to_owned());
                self.cancel.get_or_insert(Cancel::Asked);
                self.drive();
            }
        }
    }

    pub(super) fn status(&self) -> Status {
        let waits = |leg: &&Leg| leg.tries().into_iter().any(|tries| tries.is_busy());
        match self.phase {
            Phase::Ended(status, _) => status,
            Phase::Forward | Phase::Back { .. } if self.stuck().is_some() && !self.saga.legs().iter().any(waits) => Status::Stuck,
            Phase::Forward | Phase::Back { .. } => Status::Waiting,
        }
    }

    pub(super) fn failure(&self) -> Option<Failure> {
        match &self.phase {
            Phase::Ended(_, failure) => failure.as_ref().map(Failure::from),
            Phase::Forward => self.stuck().map(Failure::from),
            Phase::Back { end, .. } => Some(Failure::from(self.stuck().unwrap_or(end))),
        }
    }

    /// What needs an operator.
    fn stuck(&self) -> Option<&WitFailure> {
        self.saga.legs().into_iter().find_map(Leg::stuck).or_else(|| self.saga.stuck_lists().into_iter().next())
    }

    pub(super) fn output(&self) -> Option<Payload> {
        match self.phase {
            Phase::Ended(Status::Completed, _) => self.saga.output(),
            Phase::Forward | Phase::Back { .. } | Phase::Ended(..) => None,
        }
    }

    /// Runs until the saga ends, waits or is stuck: attempts take turns, and then the time passes to the end of the next backoff.
    fn drive(&mut self) {
        self.settle();
        loop {
            let turn = self.open_attempts();
            for path in &turn {
                let mut legs = self.saga.legs_mut();
                let leg = legs.iter_mut().find(|leg| leg.path() == path);
                if let Some(failed) = leg.and_then(|leg| leg.run(&mut self.course)) {
                    self.fail(failed);
                }
                self.settle();
            }
            if turn.is_empty() && !self.skip_a_backoff() {
                return;
            }
        }
    }

    /// The paths of the steps with open attempts, in the order of their turns: compensations in a rollback come last and backwards.
    fn open_attempts(&self) -> Vec<String> {
        let open = |leg: &&Leg| leg.tries().into_iter().any(|tries| tries.is_open());
        let open: Vec<&Leg> = self.saga.legs().into_iter().filter(open).collect();
        let is_last = |leg: &&&Leg| self.course.rolls_back() && !leg.is_open_forward();
        let first = open.iter().filter(|leg| !is_last(leg));
        let last = open.iter().rev().filter(is_last);
        first.chain(last).map(|leg| leg.path().to_owned()).collect()
    }

    /// Everything that follows from what has happened and from the time.
    fn settle(&mut self) {
        if self.has_ended() {
            return;
        }
        // After the last step is done it is too late to be late.
        if !self.course.rolls_back() && self.saga.is_done() {
            return self.end(Status::Completed, None);
        }
        self.take_kept();
        self.fire_timers();
        if self.deadline.is_some_and(|deadline| deadline <= self.course.now()) {
            self.deadline = None;
            self.course.trace.push("past its deadline".to_owned());
            self.cancel.get_or_insert(Cancel::Deadline);
        }
        self.turn_back_if_cancelled();
        while !self.has_ended() {
            self.go_on();
            match self.saga.open(&mut self.course) {
                Ok(true) => {}
                Ok(false) => return,
                Err(failed) => self.fail(failed),
            }
        }
    }

    fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended(..))
    }

    fn end(&mut self, status: Status, failure: Option<WitFailure>) {
        let end = failure.as_ref().map_or("completed".to_owned(), |failure| format!("compensated {}", failure.code));
        self.course.trace.push(end);
        self.phase = Phase::Ended(status, failure);
    }

    /// What a step has published may be for a step that waits beside it.
    fn take_kept(&mut self) {
        let now = self.course.now();
        for tries in self.saga.legs_mut().into_iter().flat_map(Leg::tries_mut) {
            if let Some(position) = self.course.kept.iter().position(|event| tries.waits_for(event)) {
                tries.arrive(Arrival::Event(self.course.kept.remove(position)), now);
            }
        }
    }

    fn fire_timers(&mut self) {
        let now = self.course.now();
        for tries in self.saga.legs_mut().into_iter().flat_map(Leg::tries_mut) {
            if tries.until().is_some_and(|until| until <= now) {
                tries.arrive(Arrival::Timer, now);
            }
        }
    }

    fn turn_back_if_cancelled(&mut self) {
        let Some(cancel) = self.cancel else { return };
        let may_go_back = match self.phase {
            Phase::Forward => !self.course.past_point_of_no_return,
            // It would have gone forward again at the savepoint.
            Phase::Back { floor, .. } => floor > 0,
            Phase::Ended(..) => false,
        };
        if may_go_back && !self.saga.legs().into_iter().any(Leg::holds_a_cancel) {
            let (end, cause) = cancel.end();
            self.turn_back(0, end, cause);
        }
    }

    /// A step has failed. Only a refusal or used-up retries begin a new round.
    fn fail(&mut self, failed: Failed) {
        let Failed { path, failure, why } = failed;
        let again = why != Why::Unknown && self.cancel.is_none() && self.course.round < self.saga.definition.rounds();
        let floor = if again { self.saga.latest_savepoint() } else { 0 };
        let failed = FailedStep { step: path, failure };
        let (end, cause) = match why {
            Why::Refused => (failed.failure.clone(), RollbackCause::Refused(failed)),
            Why::Exhausted => (exhausted(&failed), RollbackCause::Exhausted(failed)),
            Why::Unknown => (failed.failure.clone(), RollbackCause::Unknown(failed)),
        };
        self.turn_back(floor, end, cause);
    }

    fn turn_back(&mut self, floor: usize, end: WitFailure, cause: RollbackCause) {
        self.saga.close();
        self.course.rollback = Some(cause);
        self.phase = Phase::Back { floor, end };
    }

    /// Lets begin whose turn has come, forward or back; and ends the saga, or a rollback at its savepoint.
    fn go_on(&mut self) {
        if let Phase::Back { floor, end } = &self.phase {
            let (floor, end) = (*floor, end.clone());
            if self.saga.legs().into_iter().any(Leg::is_open_forward) {
                return;
            }
            self.saga.unwind(floor, &self.course);
            match self.saga.savepoint_after(floor) {
                _ if !self.saga.is_back_at(floor) => return,
                None => return self.end(Status::Compensated, Some(end)),
                Some(savepoint) => {
                    let round = self.course.round + 1;
                    self.course.trace.push(format!("round {round} from {savepoint}"));
                    (self.course.round, self.course.cause) = (round, self.course.rollback.take().and_then(failure_of));
                    self.phase = Phase::Forward;
                }
            }
        }
        if let Phase::Forward = self.phase {
            self.saga.go_on(&self.course);
            if self.saga.is_done() {
                self.end(Status::Completed, None);
            }
        }
    }

    /// Moves the clock to the end of the next backoff, or to what comes before it; false if there is no backoff.
    fn skip_a_backoff(&mut self) -> bool {
        let due = |state: &State| match state {
            State::Due(at) => Some(*at),
            State::Idle | State::Open | State::Waiting(..) | State::Stuck(_) | State::Over => None,
        };
        let due = self.saga.legs().into_iter().flat_map(Leg::tries).filter_map(|tries| due(&tries.state)).min();
        let Some(due) = due.filter(|_| !self.has_ended()) else { return false };
        self.pass_to(self.next_moment().map_or(due, |next| next.min(due)));
        self.settle();
        true
    }

    /// When the next wait ends by time, or the deadline passes.
    fn next_moment(&self) -> Option<Moment> {
        if self.has_ended() {
            return None;
        }
        let timers = self.saga.legs().into_iter().flat_map(Leg::tries).filter_map(|tries| tries.until());
        timers.chain(self.deadline).min()
    }

    fn pass_to(&mut self, moment: Moment) {
        self.course.world.set_clock(self.course.now().max(moment));
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
