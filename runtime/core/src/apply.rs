//! The fold: `apply` is the only mutator of a saga (law 1).
//!
//! An event that does not fit the state before it is an error, never ignored. After each event the state settles:
//! what follows from it without a decision, as the next stage becoming ready.

use crate::{
    definition::OnUnknown,
    event::{Attempt, Cancel, Charge, Event, Intent, Resolution},
    id::{Direction, Leg, StepPath},
    saga::{LegRun, LegState, Phase, ReplayError, Saga, StepRun, UndoneBy, Verdict},
    value::Instant,
};

impl Saga {
    /// Folds one event onto the state. `at` is the time of its record.
    pub fn apply(&mut self, event: &Event, at: Instant) -> Result<(), ReplayError> {
        let revision = self.revision + 1;
        let fold = if self.is_ended() && !matches!(event, Event::Stale(..)) {
            Err(format!("{} after the end", event.name()))
        } else {
            self.fold(event, at)
        };
        fold.map_err(|problem| ReplayError { revision, problem })?;
        self.revision = revision;
        self.settle(at);
        Ok(())
    }

    fn fold(&mut self, event: &Event, at: Instant) -> Result<(), String> {
        match event {
            Event::Started(_) => return Err("started twice".into()),
            Event::Intent(intent) => self.fold_intent(intent, at)?,
            Event::Done(attempt, output) => {
                let run = self.closing(attempt, at)?;
                run.verdict = Verdict::Done(output.clone());
                run.forward.close(at);
                run.check.close(at);
            }
            Event::Undone(attempt) => {
                self.closing(attempt, at)?.undone = Some(UndoneBy::Code);
            }
            Event::Refused(attempt, failure) => {
                let run = self.closing(attempt, at)?;
                run.forward.fail(failure);
                run.verdict = Verdict::Refused;
            }
            Event::Transient(attempt, failure, charge) => {
                let run = self.closing(attempt, at)?;
                let leg = run.leg_mut(attempt.leg.direction);
                leg.fail(failure);
                charge_leg(leg, *charge);
                self.close_if_backward(&attempt.leg, at);
            }
            Event::Unknown(attempt, failure, charge) => {
                self.fold_unknown(attempt, failure, *charge, at)?;
                self.close_if_backward(&attempt.leg, at);
            }
            Event::NotDone(attempt) => {
                let run = self.closing(attempt, at)?;
                run.check.spent = 0;
            }
            Event::Wait(attempt, wait) => {
                let doubt = self.open(attempt).is_some_and(|intent| intent.reaches_outside);
                let leg = self.closing(attempt, at)?.leg_mut(attempt.leg.direction);
                leg.doubtful += u32::from(doubt);
                leg.ended_at = None;
                leg.state = LegState::Waiting { wait: wait.clone(), since: at };
                self.close_if_backward(&attempt.leg, at);
            }
            Event::Arrived(leg, arrival) => {
                self.consumed.push(arrival.id.clone());
                let leg = self.waking(leg, at)?;
                leg.arrived = Some(Some(arrival.clone()));
            }
            Event::TimerFired(leg) => self.waking(leg, at)?.arrived = Some(None),
            Event::Stale(..) => {}
            Event::Backoff(leg, until) => {
                let leg = self.named(leg)?;
                leg.ended_at = None;
                leg.state = LegState::BackingOff { since: at, until: *until };
            }
            Event::RollbackBegun(reason) => {
                if self.phase != Phase::Forward {
                    return Err("a rollback begins once".into());
                }
                self.phase = Phase::Backward;
                self.rollback = Some(reason.clone());
                self.stage = self.stage.min(self.definition.stages.len() - 1);
                self.close_forward(at);
            }
            Event::Resolved(path, resolution, _) => self.fold_resolved(path, resolution, at)?,
            Event::Skipped(path, _) => {
                let run = self.at(path)?;
                run.undone = Some(UndoneBy::Skip);
                run.undo.close(at);
            }
            Event::Retried(legs, _) => {
                for leg in legs {
                    self.named(leg)?.refresh();
                }
            }
            Event::CancelRequested(cancel) => {
                self.deadline_passed |= *cancel == Cancel::Deadline;
                self.cancel.get_or_insert_with(|| cancel.clone());
            }
            Event::Stuck(leg, why) => {
                let leg = self.named(leg)?;
                leg.ended_at = None;
                leg.state = LegState::Stuck { why: why.clone(), since: at };
            }
            Event::Unstuck(leg) => self.named(leg)?.state = LegState::Ready,
            Event::Completed => self.end(Phase::Completed, at),
            Event::Compensated => self.end(Phase::Compensated, at),
            Event::Abandoned(_) => self.end(Phase::Abandoned, at),
        }
        Ok(())
    }

    fn fold_intent(&mut self, intent: &Intent, at: Instant) -> Result<(), String> {
        let leg = self.named(&intent.attempt.leg)?;
        if leg.is_open() || intent.attempt.number != leg.attempts + 1 {
            return Err(format!("attempt {} of {} is out of order", intent.attempt.number, intent.attempt.leg));
        }
        leg.attempts = intent.attempt.number;
        leg.began_at.get_or_insert(at);
        leg.budget_since.get_or_insert(at);
        leg.ended_at = None;
        leg.state = LegState::Open { intent: intent.clone(), since: at };
        Ok(())
    }

    fn fold_unknown(&mut self, attempt: &Attempt, failure: &crate::Failure, charge: Charge, at: Instant) -> Result<(), String> {
        let direction = attempt.leg.direction;
        let doubt = direction != Direction::Check && self.open(attempt).is_some_and(|intent| intent.reaches_outside);
        let policy = self.run(&attempt.leg.path).map(|run| self.step(run).on_unknown);
        let run = self.closing(attempt, at)?;
        let leg = run.leg_mut(direction);
        leg.fail(failure);
        leg.doubtful += u32::from(doubt);
        match (direction, policy) {
            // The question is asked at once; the forward leg waits for its answer.
            (Direction::Forward, Some(OnUnknown::Check)) => {
                leg.spent += u32::from(charge == Charge::Leg);
                count_stop(leg, charge);
                run.check.state = LegState::Ready;
                run.check.ready_at = at;
                run.check.ended_at = None;
            }
            (Direction::Forward, Some(OnUnknown::OnceThenRollback | OnUnknown::OnceThenStop)) => {
                leg.spent += 1;
                count_stop(leg, charge);
            }
            _ => charge_leg(leg, charge),
        }
        Ok(())
    }

    fn fold_resolved(&mut self, path: &StepPath, resolution: &Resolution, at: Instant) -> Result<(), String> {
        self.manual += 1;
        let backward = self.phase == Phase::Backward;
        let run = self.at(path)?;
        run.manual = true;
        match resolution {
            Resolution::Output(output) => {
                run.verdict = Verdict::Done(output.clone());
                run.forward.close(at);
                run.check.close(at);
            }
            Resolution::NotDone => {
                run.forward.doubtful = 0;
                run.check.close(at);
                if backward {
                    run.undo.close(at);
                } else {
                    run.verdict = Verdict::Open;
                    run.forward.state = LegState::Ready;
                    run.forward.ended_at = None;
                }
            }
            Resolution::Undone => {
                run.undone = Some(UndoneBy::Hand);
                run.undo.close(at);
            }
        }
        Ok(())
    }

    /// What follows from the state without a decision.
    fn settle(&mut self, at: Instant) {
        match self.phase {
            Phase::Forward => self.settle_forward(at),
            Phase::Backward => self.settle_backward(at),
            Phase::Completed | Phase::Compensated | Phase::Abandoned => {}
        }
    }

    fn settle_forward(&mut self, at: Instant) {
        if self.stage < self.definition.stages.len() && self.current().all(StepRun::is_done) {
            self.stage += 1;
            self.make_ready(self.stage, at);
        }
    }

    /// A stage's undo begins when none of its forward attempts is open, and ends before the stage before it begins.
    fn settle_backward(&mut self, at: Instant) {
        loop {
            if self.current().any(StepRun::has_open_forward) {
                return;
            }
            let wanting: Vec<StepPath> = self.current().filter(|run| self.wants_undo(run)).map(|run| run.path.clone()).collect();
            for path in &wanting {
                if let Some(run) = self.run_mut(path)
                    && matches!(run.undo.state, LegState::Idle)
                {
                    run.undo.state = LegState::Ready;
                    run.undo.ready_at = at;
                }
            }
            if !wanting.is_empty() || self.stage == 0 {
                return;
            }
            self.stage -= 1;
        }
    }

    /// Everything that was done or may have run is undone: the saga may end compensated.
    pub(crate) fn is_undone(&self) -> bool {
        self.phase == Phase::Backward
            && self.stage == 0
            && !self.current().any(|run| run.has_open_forward() || self.wants_undo(run))
    }

    /// Waits, backoffs and stuck forward legs end when a rollback begins; open attempts run to their outcome.
    fn close_forward(&mut self, at: Instant) {
        for run in &mut self.steps {
            for direction in [Direction::Forward, Direction::Check] {
                let leg = run.leg_mut(direction);
                if !leg.is_open() {
                    leg.close(at);
                }
            }
        }
    }

    fn close_if_backward(&mut self, leg: &Leg, at: Instant) {
        if self.phase == Phase::Backward
            && !matches!(leg.direction, Direction::Undo(_))
            && let Some(run) = self.run_mut(&leg.path)
        {
            run.forward.close(at);
            run.check.close(at);
        }
    }

    /// Closes the open attempt; the caller says what came of it.
    fn closing(&mut self, attempt: &Attempt, at: Instant) -> Result<&mut StepRun, String> {
        if self.open(attempt).is_none() {
            return Err(format!("attempt {} of {} is not open", attempt.number, attempt.leg));
        }
        let run = self.at(&attempt.leg.path)?;
        let leg = run.leg_mut(attempt.leg.direction);
        leg.state = LegState::Closed;
        leg.ended_at = Some(at);
        leg.arrived = None;
        Ok(run)
    }

    fn waking(&mut self, leg: &Leg, at: Instant) -> Result<&mut LegRun, String> {
        let run = self.named(leg)?;
        let LegState::Waiting { since, .. } = run.state else {
            return Err(format!("{leg} does not wait"));
        };
        run.waited_ms += at.since(since);
        run.state = LegState::Ready;
        Ok(run)
    }

    fn at(&mut self, path: &StepPath) -> Result<&mut StepRun, String> {
        self.run_mut(path).ok_or_else(|| format!("no step {path}"))
    }

    fn named(&mut self, leg: &Leg) -> Result<&mut LegRun, String> {
        if leg.alternate != 0 || leg.round != 0 || matches!(leg.direction, Direction::Undo(k) if k != 0) {
            return Err(format!("no leg {leg}"));
        }
        Ok(self.at(&leg.path)?.leg_mut(leg.direction))
    }

    fn end(&mut self, phase: Phase, at: Instant) {
        self.phase = phase;
        self.ended_at = Some(at);
        for run in &mut self.steps {
            run.forward.close(at);
            run.check.close(at);
            run.undo.close(at);
        }
    }
}

fn charge_leg(leg: &mut LegRun, charge: Charge) {
    match charge {
        Charge::Leg => leg.spent += 1,
        Charge::HostStop { .. } => {
            count_stop(leg, charge);
            // The host's fault costs the leg nothing: it is tried again at once.
            leg.state = LegState::Ready;
            leg.ended_at = None;
        }
    }
}

fn count_stop(leg: &mut LegRun, charge: Charge) {
    if charge == (Charge::HostStop { executing: true }) {
        leg.host_stops += 1;
    }
}
