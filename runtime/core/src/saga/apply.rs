//! The fold: `apply` is the only mutator of a saga (law 1).
//!
//! An event that does not fit the state before it is an error that leaves the state alone, never ignored. Only what every
//! version of these rules will hold is asked of it: which decisions are right is `handle`'s to know. Then the state settles:
//! what follows from it without a decision, as the next stage becoming ready.

use std::{collections::HashSet, sync::Arc};

use super::{
    definition::{OnUnknown, Undo},
    elements::{ELEMENTS_MAX, Element, is_key},
    run::{LegRun, LegState, StepRun, UndoneBy, Verdict},
    state::{Locking, Phase, ReplayError, Saga},
};
use crate::{
    event::{Arrival, Attempt, Cancel, Charge, Event, Intent, Reason, RollbackCause, Round, Wait, Woken},
    id::{Direction, Leg, StepPath},
    value::{Failure, Instant, Payload},
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
        if let Err(problem) = fold {
            self.touched.clear();
            return Err(ReplayError { revision, problem });
        }
        self.revision = revision;
        self.settle(at);
        Ok(())
    }

    fn fold(&mut self, event: &Event, at: Instant) -> Result<(), String> {
        match event {
            Event::Started(_) => Err("started twice".into()),
            Event::Intent(intent) => self.fold_intent(intent, at),
            Event::Listed(path, elements) => self.fold_listed(path, elements, at),
            Event::Done(attempt, output) => self.fold_done(attempt, output, at),
            Event::Undone(attempt) => self.fold_undone(attempt, at),
            Event::Refused(attempt, failure) => self.fold_refused(attempt, failure, at),
            Event::Transient(attempt, failure, charge) => self.fold_transient(attempt, failure, *charge, at),
            Event::Unknown(attempt, failure, charge) => self.fold_unknown(attempt, failure, *charge, at),
            Event::NotDone(attempt) => self.fold_not_done(attempt, at),
            Event::Wait(attempt, wait) => self.fold_wait(attempt, wait, at),
            Event::Arrived(leg, arrival) => self.fold_arrived(leg, arrival, at),
            Event::TimerFired(leg) => self.fold_timer_fired(leg, at),
            Event::Sent(attempt, sent) => self.fold_sent(attempt, sent),
            Event::Published(attempt, published) => self.fold_published(attempt, published),
            Event::Answered(leg, answered) => self.fold_answered(leg, answered, at),
            Event::Stale(attempt, _) => self.open(attempt).map_or(Ok(()), |_| Err(format!("{} is open, not stale", attempt.leg))),
            Event::Backoff(leg, until) => self.fold_at_rest(leg, LegState::BackingOff { since: at, until: *until }),
            Event::Stuck(leg, why) => self.fold_at_rest(leg, LegState::Stuck { why: why.clone(), since: at }),
            Event::Unstuck(leg) => self.fold_again(std::slice::from_ref(leg)),
            Event::Retried(legs, _) => self.fold_again(legs),
            Event::RollbackBegun(reason) => self.fold_rollback_begun(reason, at),
            Event::RoundBegun(round) => self.fold_round_begun(round, at),
            Event::Resolved(path, resolution, _) => self.fold_resolved(path, resolution, at),
            Event::Skipped(path, _) => self.fold_skipped(path, at),
            Event::CancelRequested(cancel) => {
                self.deadline_passed |= *cancel == Cancel::Deadline;
                self.cancel.get_or_insert_with(|| cancel.clone());
                Ok(())
            }
            Event::Moved(_) => Err("a move is folded with the plan of its digest".into()),
            Event::LockQueued(behind) => self.fold_locking(Locking::Queued { behind: behind.clone(), since: at }, at),
            Event::LockTaken => self.fold_locking(Locking::Taken, at),
            Event::LockBroken(key, _) => self.fold_lock_broken(key),
            Event::Completed => self.end(Phase::Completed, self.is_done(), at),
            Event::Compensated => self.end(Phase::Compensated, self.is_undone(), at),
            Event::Abandoned(_) => self.end(Phase::Abandoned, true, at),
        }
    }

    fn fold_intent(&mut self, intent: &Intent, at: Instant) -> Result<(), String> {
        let Attempt { leg, number } = &intent.attempt;
        let next_undo = self.is_next_undo(leg);
        let cause = self.rollback_cause(leg);
        let run = self.at(&leg.path)?;
        if next_undo && *number == 1 {
            run.undo_alternate += 1;
            run.undo = LegRun { state: LegState::Ready, ready_at: at, ..LegRun::default() }.into();
        }
        let may_begin = run.is_leaf() && run.has_in_hand(leg) && run.has_the_turn(leg.direction);
        let used = run.leg_mut(leg.direction);
        if !may_begin || !matches!(used.state, LegState::Ready | LegState::BackingOff { .. }) || *number != used.attempts + 1 {
            return Err(format!("attempt {number} of {leg} is out of order"));
        }
        if let LegState::BackingOff { since, .. } = &used.state
            && used.host_failed
        {
            used.waited_ms = used.waited_ms.saturating_add(at.since(*since));
        }
        used.host_failed = false;
        used.unknown = false;
        used.attempts = *number;
        used.began_at.get_or_insert(at);
        used.budget_since.get_or_insert(at);
        used.ended_at = None;
        used.state = LegState::Open { intent: intent.clone(), since: at };
        if leg.direction == Direction::Forward {
            run.verdict = Verdict::Open;
        }
        run.rollback_cause = cause.or(run.rollback_cause.take());
        Ok(())
    }

    /// Why the leg is begun, if it is a compensation; what its first attempt was told is told again.
    fn rollback_cause(&self, leg: &Leg) -> Option<RollbackCause> {
        let run = self.run(&leg.path).filter(|_| matches!(leg.direction, Direction::Undo(_)))?;
        let refusal = || run.forward.last_failure.clone().map(RollbackCause::AlternateRefused);
        let now = || self.rollback.clone().map(RollbackCause::Saga).or_else(refusal);
        run.rollback_cause.clone().or_else(now)
    }

    /// The compensation's next alternate, after the one in hand has failed.
    fn is_next_undo(&self, leg: &Leg) -> bool {
        let Some(run) = self.run(&leg.path) else { return false };
        let Undo::Code(policy) = &self.step(run).undo else { return false };
        let after = leg.direction == Direction::Undo(run.undo_alternate + 1) && run.undo_alternate < policy.alternates;
        let failed = matches!(run.undo.state, LegState::Closed) && run.undo.attempts > 0;
        after && failed && leg.alternate == run.alternate && leg.round == run.round && self.wants_undo(run)
    }

    fn fold_listed(&mut self, path: &StepPath, list: &[Element], at: Instant) -> Result<(), String> {
        let node = self.paths.get(path).copied().ok_or_else(|| format!("no step {path}"))?;
        let run = &self.steps[node];
        let expected = run.each().is_some_and(|each| !each.listed) && matches!(run.forward.state, LegState::Ready);
        let keys: HashSet<&str> = list.iter().map(|element| element.key.as_str()).collect();
        let fits = list.len() <= ELEMENTS_MAX && keys.len() == list.len() && list.iter().all(|element| is_key(&element.key));
        if !expected || !fits {
            return Err(format!("{path} does not fan out over that now"));
        }
        self.list(node, list);
        let run = self.touch(node);
        run.forward.began_at.get_or_insert(at);
        run.forward.state = LegState::Closed;
        // An empty list is done at once.
        self.settle_each(node, at);
        Ok(())
    }

    fn fold_done(&mut self, attempt: &Attempt, output: &Payload, at: Instant) -> Result<(), String> {
        if matches!(attempt.leg.direction, Direction::Undo(_)) {
            return Err(format!("{} ends undone, not done", attempt.leg));
        }
        let run = self.closing(attempt, Charge::Leg, at)?;
        run.verdict = Verdict::Done(output.clone());
        run.forward.close(at);
        run.check.close(at);
        Ok(())
    }

    fn fold_undone(&mut self, attempt: &Attempt, at: Instant) -> Result<(), String> {
        if !matches!(attempt.leg.direction, Direction::Undo(_)) {
            return Err(format!("{} ends done, not undone", attempt.leg));
        }
        self.closing(attempt, Charge::Leg, at)?.undone = Some(UndoneBy::Code);
        Ok(())
    }

    fn fold_refused(&mut self, attempt: &Attempt, failure: &Failure, at: Instant) -> Result<(), String> {
        if attempt.leg.direction != Direction::Forward {
            return Err(format!("{} cannot be refused", attempt.leg));
        }
        let run = self.closing(attempt, Charge::Leg, at)?;
        run.forward.fail(failure);
        run.verdict = Verdict::Refused;
        Ok(())
    }

    fn fold_transient(&mut self, attempt: &Attempt, failure: &Failure, charge: Charge, at: Instant) -> Result<(), String> {
        let leg = self.closing(attempt, charge, at)?.leg_mut(attempt.leg.direction);
        leg.fail(failure);
        leg.forget_refusal(attempt.leg.direction, charge);
        charge_leg(leg, charge);
        self.close_if_backward(&attempt.leg, at);
        Ok(())
    }

    fn fold_unknown(&mut self, attempt: &Attempt, failure: &Failure, charge: Charge, at: Instant) -> Result<(), String> {
        let direction = attempt.leg.direction;
        let may_stand = |intent: &Intent| intent.reaches_outside || self.is_command(intent);
        let doubt = direction != Direction::Check && self.open(attempt).is_some_and(may_stand);
        let policy = self.run(&attempt.leg.path).map(|run| self.step(run).on_unknown);
        let run = self.closing(attempt, charge, at)?;
        let leg = run.leg_mut(direction);
        leg.fail(failure);
        leg.forget_refusal(direction, charge);
        leg.doubtful += u32::from(doubt);
        leg.unknown = true;
        match (direction, policy) {
            // The question is asked at once; the forward leg waits for its answer.
            (Direction::Forward, Some(OnUnknown::Check)) => {
                spend(leg, charge);
                if run.check.attempts == 0 {
                    run.check.ready_at = at;
                }
                // A question has a budget of its own, however often it had to be asked before.
                (run.check.spent, run.check.budget_since, run.check.waited_ms, run.check.ended_at) = (0, None, 0, None);
                run.check.state = LegState::Ready;
            }
            (Direction::Forward, Some(OnUnknown::OnceThenRollback | OnUnknown::OnceThenStop)) => spend(leg, charge),
            _ => charge_leg(leg, charge),
        }
        self.close_if_backward(&attempt.leg, at);
        Ok(())
    }

    fn fold_not_done(&mut self, attempt: &Attempt, at: Instant) -> Result<(), String> {
        if attempt.leg.direction != Direction::Check {
            return Err(format!("only a check says not-done, and {} is none", attempt.leg));
        }
        let has_undo = self.run(&attempt.leg.path).is_some_and(|run| self.has_undo(run));
        let run = self.closing(attempt, Charge::Leg, at)?;
        // A step without a compensation is taken at its check's word: the doubt could only make it stuck. One that has a
        // compensation keeps the mark, because a check cannot know of a request that is still on its way, and undoing does no harm.
        if !has_undo {
            run.forward.clear_doubts();
        }
        Ok(())
    }

    fn fold_wait(&mut self, attempt: &Attempt, wait: &Wait, at: Instant) -> Result<(), String> {
        let is_endless = wait.event.is_none() && wait.until.is_none() && wait.answer.is_none();
        if attempt.leg.direction == Direction::Check || is_endless {
            return Err(format!("{} cannot wait for that", attempt.leg));
        }
        self.can_be_answered(&attempt.leg, wait)?;
        let doubt = self.open(attempt).is_some_and(|intent| intent.reaches_outside);
        let leg = self.closing(attempt, Charge::Leg, at)?.leg_mut(attempt.leg.direction);
        leg.doubtful += u32::from(doubt);
        leg.ended_at = None;
        leg.state = LegState::Waiting { wait: wait.clone(), since: at };
        self.find_answer(&attempt.leg, at);
        self.close_if_backward(&attempt.leg, at);
        Ok(())
    }

    fn fold_arrived(&mut self, leg: &Leg, arrival: &Arrival, at: Instant) -> Result<(), String> {
        if self.has_consumed(&arrival.source, &arrival.id) {
            return Err(format!("event {} arrives twice", arrival.id));
        }
        let awaited = |wait: &Wait| wait.event.as_ref() == Some(&arrival.topic);
        self.waking(leg, awaited, at)?.arrived = Some(Woken::Event(arrival.clone()));
        self.consumed.insert((arrival.source.clone(), arrival.id.clone()));
        Ok(())
    }

    fn fold_timer_fired(&mut self, leg: &Leg, at: Instant) -> Result<(), String> {
        self.waking(leg, |wait| wait.until.is_some(), at)?.arrived = Some(Woken::Timer);
        Ok(())
    }

    /// The leg goes on later, by time or by an operator.
    fn fold_at_rest(&mut self, leg: &Leg, rest: LegState) -> Result<(), String> {
        let run = self.run(&leg.path);
        let unsettled = run.is_some_and(|run| self.is_unsettled(run, leg.direction) && run.has_the_turn(leg.direction));
        // A fan-out whose list cannot be used is stuck; it is not tried again by itself.
        let stuck = matches!(rest, LegState::Stuck { .. });
        let has_legs = run.is_some_and(|run| run.is_leaf() || stuck && run.has_legs());
        let used = self.named(leg)?;
        if !unsettled || !has_legs || matches!(used.state, LegState::Idle | LegState::Open { .. } | LegState::Waiting { .. }) {
            return Err(format!("{leg} is not at the end of an attempt"));
        }
        used.ended_at = None;
        used.state = rest;
        Ok(())
    }

    fn fold_rollback_begun(&mut self, reason: &Reason, at: Instant) -> Result<(), String> {
        let target = self.target_of(reason);
        let further = self.goes_to_a_savepoint() && target == 0;
        if (self.phase != Phase::Forward && !further) || self.is_past_point_of_no_return() || self.is_done() {
            return Err("there is no way back".into());
        }
        self.target = target;
        self.phase = Phase::Backward;
        self.rollback = Some(Arc::new(reason.clone()));
        self.scopes[0].unwinds = false;
        self.close_forward(at);
        // Its failure was the last record: no leg of it is live, and it had kept its place in its fan-out until now.
        if let Reason::Refused(path, _) | Reason::Exhausted(path, _) | Reason::Unknown(path, _) = reason
            && let Some(node) = self.paths.get(path).copied()
        {
            self.touch(node);
        }
        Ok(())
    }

    /// The steps after the savepoint begin afresh; those before it stay done.
    fn fold_round_begun(&mut self, round: &Round, at: Instant) -> Result<(), String> {
        let number = self.round + 1;
        if self.savepoint() != Some(&round.savepoint) || round.number != number || !self.is_back_at_target() {
            return Err(format!("round {} does not begin here", round.number));
        }
        let after = self.scopes[0].stages.iter().skip(self.target).flatten().copied();
        for node in after.collect::<Vec<_>>() {
            self.begin_afresh(node, number);
        }
        self.cause = self.rollback.take().and_then(|reason| reason.failure().cloned());
        (self.phase, self.round, self.target) = (Phase::Forward, number, 0);
        self.scopes[0].unwinds = false;
        self.begin_stage(0, at);
        Ok(())
    }

    /// Every step is done: the saga may end completed.
    pub(crate) fn is_done(&self) -> bool {
        self.phase == Phase::Forward && self.scopes[0].stage == self.definition().stages.len()
    }

    /// Everything that was done or may have run is undone: the saga may end compensated.
    pub(crate) fn is_undone(&self) -> bool {
        self.target == 0 && self.is_back_at_target()
    }

    /// The savepoint that the rollback under way goes to.
    pub(crate) fn savepoint(&self) -> Option<&String> {
        let before = self.target.checked_sub(1).filter(|_| self.phase == Phase::Backward)?;
        self.definition().stages.get(before)?.savepoint_after.as_ref()
    }

    /// Everything after the rollback's target that was done or may have run is undone.
    pub(crate) fn is_back_at_target(&self) -> bool {
        self.phase == Phase::Backward
            && self.scopes[0].unwinds
            && self.scopes[0].stage == self.target
            && !self.scopes[0].stages.get(self.target).into_iter().flatten().any(|node| self.summary(*node).standing)
    }

    /// Waits, backoffs and stuck forward legs end when a rollback begins; open attempts run to their outcome.
    fn close_forward(&mut self, at: Instant) {
        for (node, place) in self.live.all().collect::<Vec<_>>() {
            let run = self.touch(node);
            let leg = if place == 0 { &mut run.forward } else { &mut run.check };
            if place < 2 && !leg.is_open() {
                leg.close(at);
            }
        }
    }

    fn close_if_backward(&mut self, leg: &Leg, at: Instant) {
        if self.phase == Phase::Backward
            && !matches!(leg.direction, Direction::Undo(_))
            && let Ok(run) = self.at(&leg.path)
        {
            run.forward.close(at);
            run.check.close(at);
        }
    }

    /// Closes the open attempt; the caller says what came of it. What arrived before it stays: a next attempt is told again,
    /// because an event is consumed once. Only what an aggregate refused to a compensation does not: see
    /// [`forget_refusal`](LegRun::forget_refusal).
    fn closing(&mut self, attempt: &Attempt, charge: Charge, at: Instant) -> Result<&mut StepRun, String> {
        let (Some(intent), Some(since)) = (self.open(attempt), self.open_since(attempt)) else {
            return Err(format!("attempt {} of {} is not open", attempt.number, attempt.leg));
        };
        let survived_alone = intent.solo && charge == Charge::Leg;
        let deadline_at = intent.deadline_at;
        let run = self.at(&attempt.leg.path)?;
        let leg = run.leg_mut(attempt.leg.direction);
        leg.host_failed = charge == Charge::HostFault;
        // What the host could not run is no time of the step's, and nor is what lies behind the deadline of an attempt: so much it
        // waited for its place.
        let waited_since = match charge {
            Charge::Leg => deadline_at,
            Charge::HostFault => since,
            Charge::HostStop { .. } => at,
        };
        leg.waited_ms = leg.waited_ms.saturating_add(at.since(waited_since));
        leg.state = LegState::Closed;
        leg.ended_at = Some(at);
        if survived_alone {
            leg.host_stops = 0;
        }
        Ok(run)
    }

    pub(super) fn waking(&mut self, leg: &Leg, awaited: impl Fn(&Wait) -> bool, at: Instant) -> Result<&mut LegRun, String> {
        let run = self.named(leg)?;
        match &run.state {
            LegState::Waiting { wait, since } if awaited(wait) => {
                run.waited_ms = run.waited_ms.saturating_add(at.since(*since));
                run.state = LegState::Ready;
                Ok(run)
            }
            _ => Err(format!("{leg} does not wait for that")),
        }
    }

    pub(crate) fn at(&mut self, path: &StepPath) -> Result<&mut StepRun, String> {
        let node = self.paths.get(path).copied().ok_or_else(|| format!("no step {path}"))?;
        Ok(self.touch(node))
    }

    pub(crate) fn named(&mut self, leg: &Leg) -> Result<&mut LegRun, String> {
        let run = self.at(&leg.path)?;
        if !run.has_in_hand(leg) {
            return Err(format!("no leg {leg}"));
        }
        Ok(run.leg_mut(leg.direction))
    }

    fn end(&mut self, phase: Phase, fits: bool, at: Instant) -> Result<(), String> {
        if !fits {
            return Err(format!("{phase:?} with steps that are not"));
        }
        self.phase = phase;
        self.ended_at = Some(at);
        for (node, _) in self.live.all().collect::<Vec<_>>() {
            // Nobody will say what came of an attempt that was open: its effect may stand.
            let doubt = self.may_stand_now(&self.steps[node]);
            let run = self.touch(node);
            run.forward.doubtful += u32::from(doubt);
            run.forward.close(at);
            run.check.close(at);
            run.undo.close(at);
        }
        Ok(())
    }
}

/// Spends an attempt of the leg's budget; after a stop of the host the leg is tried again at once, after a fault of it in a while.
fn charge_leg(leg: &mut LegRun, charge: Charge) {
    spend(leg, charge);
    if matches!(charge, Charge::HostStop { .. }) {
        leg.state = LegState::Ready;
        leg.ended_at = None;
    }
}

/// The host's faults use nothing up; a guest that was executing when the host died is counted.
fn spend(leg: &mut LegRun, charge: Charge) {
    match charge {
        Charge::Leg => leg.spent += 1,
        Charge::HostStop { executing: true } => leg.host_stops += 1,
        Charge::HostFault | Charge::HostStop { executing: false } => {}
    }
}
