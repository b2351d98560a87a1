//! What the end of an attempt means: the outcome as recorded, and whether its leg goes on, tries again or is at its end.

use super::{
    definition::{Kind, OnExhausted, OnUnknown, Retry, Undo},
    handle::Turn,
    retry::{Spent, after_host_fault, next_attempt, shortest_wait_ms},
    run::StepRun,
    state::{Phase, Saga},
};
use crate::{
    denial::Denial,
    event::{Attempt, Charge, Event, Intent, Reason, Wait, Why},
    id::{Direction, Leg},
    outcome::{Left, Outcome, Recorded, Report, recorded},
    value::{Failure, Instant},
};

/// Why a leg is at its end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum GiveUp {
    Refused,
    Exhausted,
    Unknown,
}

impl Turn<'_> {
    pub(crate) fn report(&mut self, report: Report) {
        let Report { attempt, outcome, left, messages } = report;
        let Some(intent) = self.saga.open(&attempt) else {
            return self.emit(Event::Stale(attempt, outcome.kind()));
        };
        // In an attempt that cannot reach outside nothing left, whatever is said of it.
        let reaches_outside = intent.reaches_outside;
        let left = if reaches_outside { left } else { Left::Nothing };
        if let Outcome::HostFault(failure) = outcome {
            return self.host_failed(attempt, failure, left);
        }
        let outcome = match outcome {
            Outcome::Wait(wait) if !self.will_be_answered(&attempt, &wait, &messages) => Outcome::Trapped(Failure::new(
                "bad_wait",
                "it waits for the answer to a command that it has not sent, or whose answer it has had",
            )),
            outcome => outcome,
        };
        match recorded(attempt.leg.direction, outcome, left, reaches_outside, self.context.now) {
            Recorded::Done(_) if matches!(attempt.leg.direction, Direction::Undo(_)) => {
                self.send(&attempt, messages);
                self.emit(Event::Undone(attempt));
            }
            Recorded::Done(output) => {
                self.send(&attempt, messages);
                self.emit(Event::Done(attempt, output));
            }
            Recorded::Refused(failure) => {
                self.emit(Event::Refused(attempt.clone(), failure.clone()));
                if self.may_move(&attempt.leg) && !self.goes_on_otherwise(&attempt.leg) {
                    self.give_up(&attempt.leg, GiveUp::Refused, failure);
                }
            }
            Recorded::Transient(failure) => {
                self.emit(Event::Transient(attempt.clone(), failure.clone(), Charge::Leg));
                self.try_again(&attempt.leg, failure);
            }
            Recorded::Unknown(failure) => {
                self.emit(Event::Unknown(attempt.clone(), failure.clone(), Charge::Leg));
                self.after_unknown(&attempt.leg, failure);
            }
            Recorded::NotDone => {
                self.emit(Event::NotDone(attempt.clone()));
                let failure = Failure::new("not_done", "the check found that it did not happen");
                self.try_again(&attempt.leg.turned(Direction::Forward), failure);
            }
            Recorded::Wait(Wait { event, until, answer }) => {
                self.send(&attempt, messages);
                // A moment that has passed would call a guest that always says so again without end in between.
                let least = self.context.now.plus(shortest_wait_ms(attempt.number));
                let until = until.map(|until| until.max(least));
                self.emit(Event::Wait(attempt, Wait { event, until, answer }));
            }
            Recorded::Denied(denial) => self.denied(attempt, denial, left),
        }
    }

    /// Another alternate follows the refused one, or the refusal is a result, at once or when the element is undone.
    fn goes_on_otherwise(&self, leg: &Leg) -> bool {
        let goes_on = |run: &StepRun| {
            let alternate = run.alternate != leg.alternate || self.saga.has_another_alternate(run);
            alternate || self.saga.is_result(run) || self.saga.is_undone_before_its_result(run)
        };
        self.saga.run(&leg.path).is_some_and(goes_on)
    }

    /// What the host could not do is no failure of the step: nothing of its budget is used up, and it waits until the host can.
    fn host_failed(&mut self, attempt: Attempt, failure: Failure, left: Left) {
        let leg = attempt.leg.clone();
        self.emit(match left {
            Left::Nothing => Event::Transient(attempt, failure.clone(), Charge::HostFault),
            Left::Answered | Left::Unanswered => Event::Unknown(attempt, failure.clone(), Charge::HostFault),
        });
        let doubtful = left != Left::Nothing && leg.direction == Direction::Forward;
        if doubtful && self.on_unknown(&leg).is_some_and(|policy| policy != OnUnknown::Retry) {
            return self.after_unknown(&leg, failure);
        }
        if self.may_move(&leg) {
            let attempts = self.saga.run(&leg.path).map_or(0, |run| run.leg(leg.direction).attempts);
            let until = after_host_fault(attempts, self.context.now, self.context.jitter.wrapping_mul(u64::from(attempts) | 1));
            self.emit(Event::Backoff(leg, until));
        }
    }

    /// Stuck at once. What is stuck is the leg that goes on once the grant is there: after an unknown outcome it may be the check.
    fn denied(&mut self, attempt: Attempt, denial: Denial, left: Left) {
        let failure = Failure::new("denied", format!("the host refused a call to {}", denial.origin));
        let leg = attempt.leg.clone();
        let next = match (left, leg.direction, self.on_unknown(&leg)) {
            (Left::Answered | Left::Unanswered, Direction::Forward, Some(OnUnknown::Check)) => leg.turned(Direction::Check),
            _ => leg.clone(),
        };
        self.emit(match left {
            Left::Nothing => Event::Transient(attempt, failure, Charge::Leg),
            Left::Answered | Left::Unanswered => Event::Unknown(attempt, failure, Charge::Leg),
        });
        if self.may_move(&leg) {
            self.emit(Event::Stuck(next, Why::Denied(denial)));
        }
    }

    /// A durable intent found open at start-up closes as unknown, or transient when it could not reach outside. What a command did is
    /// in the journal as well, and may be durable although its answer is not.
    pub(crate) fn host_stopped(&mut self, executing: &[Attempt]) {
        let open: Vec<Intent> = self.saga.open_intents().map(|(intent, _)| intent.clone()).collect();
        for intent in open {
            let Intent { ref attempt, reaches_outside, .. } = intent;
            let attempt = attempt.clone();
            let charge = Charge::HostStop { executing: executing.contains(&attempt) };
            let failure = Failure::new("host_stopped", "the host stopped during the attempt");
            let may_stand = reaches_outside || self.saga.is_command(&intent);
            if !may_stand || attempt.leg.direction == Direction::Check {
                self.emit(Event::Transient(attempt, failure, charge));
            } else {
                let leg = attempt.leg.clone();
                self.emit(Event::Unknown(attempt, failure.clone(), charge));
                if self.is_run_once(&leg) {
                    self.after_unknown(&leg, failure);
                }
            }
        }
    }

    pub(crate) fn is_run_once(&self, leg: &Leg) -> bool {
        let once = matches!(self.on_unknown(leg), Some(OnUnknown::OnceThenRollback | OnUnknown::OnceThenStop));
        once && leg.direction == Direction::Forward
    }

    fn on_unknown(&self, leg: &Leg) -> Option<OnUnknown> {
        self.saga.run(&leg.path).map(|run| self.saga.step(run).on_unknown)
    }

    /// A leg still goes on: compensations do, forward legs only before a rollback.
    fn may_move(&self, leg: &Leg) -> bool {
        match leg.direction {
            Direction::Undo(_) => self.saga.run(&leg.path).is_some_and(|run| self.saga.goes_back(run)),
            Direction::Forward | Direction::Check => self.saga.phase == Phase::Forward,
        }
    }

    pub(crate) fn after_unknown(&mut self, leg: &Leg, failure: Failure) {
        match (leg.direction, self.on_unknown(leg)) {
            // The fold made the check ready.
            (Direction::Forward, Some(OnUnknown::Check)) => {}
            (Direction::Forward, Some(OnUnknown::OnceThenRollback)) => self.give_up(leg, GiveUp::Unknown, failure),
            (Direction::Forward, Some(OnUnknown::OnceThenStop)) if self.may_move(leg) => {
                self.emit(Event::Stuck(leg.clone(), Why::Unknown(failure)));
            }
            _ => self.try_again(leg, failure),
        }
    }

    /// Another attempt after a backoff, or what the step says when its budget is used up.
    fn try_again(&mut self, leg: &Leg, failure: Failure) {
        if !self.may_move(leg) {
            return;
        }
        match self.next_attempt(leg) {
            Some(until) => self.emit(Event::Backoff(leg.clone(), until)),
            None => self.give_up(leg, GiveUp::Exhausted, failure),
        }
    }

    fn next_attempt(&self, leg: &Leg) -> Option<Instant> {
        let run = self.saga.run(&leg.path)?;
        let retry = retry_of(self.saga, run, leg.direction)?;
        let used = run.leg(leg.direction);
        let since = used.budget_since.unwrap_or(self.context.now);
        let spent = Spent { attempts: used.spent, since, waited_ms: used.waited_ms };
        next_attempt(retry, spent, self.context.now, self.context.jitter.wrapping_mul(u64::from(used.attempts) | 1))
    }

    /// The leg is at its end: backward, if there is a way back, else it needs an operator.
    pub(crate) fn give_up(&mut self, leg: &Leg, give_up: GiveUp, failure: Failure) {
        if !self.may_move(leg) {
            return;
        }
        let Some(run) = self.saga.run(&leg.path) else { return };
        let step = self.saga.step(run);
        let path = leg.path.clone();
        if let (Direction::Undo(k), Undo::Code(policy)) = (leg.direction, &step.undo)
            && k < policy.alternates
        {
            let next = leg.turned(Direction::Undo(k + 1));
            // Where nothing may be written any more the alternate in hand is what is stuck.
            return if self.has_room(&next) { self.begin(next) } else { self.emit(Event::Stuck(leg.clone(), Why::JournalFull)) };
        }
        let stays = matches!(leg.direction, Direction::Undo(_))
            || step.kind == Kind::Retriable
            || self.saga.is_past_point_of_no_return()
            || (give_up == GiveUp::Exhausted && step.on_exhausted == OnExhausted::Stuck);
        let event = if !stays && self.saga.is_pivot_in_doubt(run) {
            Event::Stuck(leg.clone(), Why::PivotInDoubt(failure))
        } else {
            match (stays, give_up) {
                (true, GiveUp::Refused) => Event::Stuck(leg.clone(), Why::Refused(failure)),
                (true, GiveUp::Exhausted) => Event::Stuck(leg.clone(), Why::Exhausted(failure)),
                (true, GiveUp::Unknown) => Event::Stuck(leg.clone(), Why::Unknown(failure)),
                (false, GiveUp::Refused) => Event::RollbackBegun(Reason::Refused(path, failure)),
                (false, GiveUp::Exhausted) => Event::RollbackBegun(Reason::Exhausted(path, failure)),
                (false, GiveUp::Unknown) => Event::RollbackBegun(Reason::Unknown(path, failure)),
            }
        };
        self.emit(event);
    }
}

fn retry_of<'a>(saga: &'a Saga, run: &StepRun, direction: Direction) -> Option<&'a Retry> {
    let step = saga.step(run);
    match (direction, &step.undo) {
        (Direction::Undo(_), Undo::Code(policy)) => Some(&policy.retry),
        (Direction::Undo(_), _) => None,
        (Direction::Forward | Direction::Check, _) => Some(&step.retry),
    }
}
