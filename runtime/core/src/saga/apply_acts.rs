//! The fold of what operators did to a saga, and of its lock keys. What attempts did is folded in `apply`.

use super::{
    run::{LegState, UndoneBy, Verdict},
    state::{Locking, Phase, Saga},
};
use crate::{
    event::Resolution,
    id::{Direction, Leg, StepPath},
    value::Instant,
};

impl Saga {
    pub(crate) fn fold_resolved(&mut self, path: &StepPath, resolution: &Resolution, at: Instant) -> Result<(), String> {
        let backward = self.phase == Phase::Backward;
        let alternates = self.run(path).map_or(0, |run| self.step(run).alternates);
        let is_result = self.run(path).is_some_and(|run| self.is_result(run)) && !backward;
        let collects = self.run(path).is_some_and(|run| self.collects(run));
        let run = self.at(path)?;
        // A refused alternate that did not happen either makes place for the next one, and such an element is a result.
        let turns = run.verdict == Verdict::Refused && (run.alternate < alternates || collects);
        let begun = !matches!(run.forward.state, LegState::Idle);
        let settled = is_result || run.is_done() || run.has_open_forward() || !run.is_leaf() || (!backward && !begun);
        let fits = match resolution {
            Resolution::Output(_) => !backward && !settled && matches!(run.undo.state, LegState::Idle),
            Resolution::NotDone => !settled && !run.undo.is_open(),
            Resolution::Undone => run.undo.is_at_rest(),
        };
        if !fits {
            return Err(format!("{path} cannot be resolved now"));
        }
        run.manual = true;
        match resolution {
            Resolution::Output(output) => {
                run.verdict = Verdict::Done(output.clone());
                run.forward.close(at);
                run.check.close(at);
            }
            Resolution::NotDone => {
                run.forward.clear_doubts();
                run.forward.unknown = false;
                run.check.close(at);
                if backward || turns {
                    run.forward.close(at);
                    run.undo.close(at);
                } else {
                    run.forward.state = LegState::Ready;
                    run.forward.ended_at = None;
                }
            }
            Resolution::Undone => {
                run.undone = Some(UndoneBy::Hand);
                run.undo.close(at);
            }
        }
        self.manual = self.manual.saturating_add(1);
        Ok(())
    }

    pub(crate) fn fold_skipped(&mut self, path: &StepPath, at: Instant) -> Result<(), String> {
        let run = self.at(path)?;
        if !run.undo.is_stuck() {
            return Err(format!("the compensation of {path} is not stuck"));
        }
        run.undone = Some(UndoneBy::Skip);
        run.undo.close(at);
        Ok(())
    }

    pub(crate) fn fold_again(&mut self, legs: &[Leg]) -> Result<(), String> {
        for leg in legs {
            let used = self.named(leg)?;
            if !matches!(used.state, LegState::Stuck { .. } | LegState::BackingOff { .. }) {
                return Err(format!("{leg} is neither stuck nor backing off"));
            }
        }
        for leg in legs {
            let run = self.at(&leg.path)?;
            run.leg_mut(leg.direction).renew();
            run.leg_mut(leg.direction).state = LegState::Ready;
            // The check asks on behalf of the step: its answer must not find the step's own budget used up.
            if leg.direction == Direction::Check {
                run.forward.renew();
            }
        }
        Ok(())
    }

    /// Its lock keys are not free, or they are its own: then it begins.
    pub(crate) fn fold_locking(&mut self, locking: Locking, at: Instant) -> Result<(), String> {
        let queued_twice = locking != Locking::Taken && self.locking != Locking::Asked;
        if self.has_its_locks() || queued_twice || self.phase != Phase::Forward {
            return Err("it does not wait for its lock keys".into());
        }
        self.locking = locking;
        if self.has_its_locks() {
            self.begin_stage(0, at);
        }
        Ok(())
    }

    pub(crate) fn fold_lock_broken(&mut self, key: &String) -> Result<(), String> {
        if !self.has_its_locks() || !self.lock_keys().any(|held| held == key) {
            return Err(format!("it does not hold the lock key {key}"));
        }
        self.broken.push(key.clone());
        Ok(())
    }
}
