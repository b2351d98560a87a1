//! A saga seen: the view is made of the state, and nothing of it is kept.

use std::collections::BTreeSet;

use super::{
    definition::Undo,
    live::Counts,
    run::{LegRun, LegState, Past, StepRun, UndoneBy, Verdict},
    state::{Locking, Phase, Saga},
    tree::Shape,
    verbs,
    view::{AwaitedAnswer, BodyView, LegView, LocksView, PastView, Status, StepStatus, StepView, StuckView, View},
};
use crate::{event::Reason, id::StepPath, value::Failure};

impl Saga {
    /// The saga as people and programs read it.
    pub fn view(&self) -> View {
        View {
            steps: self.in_order().into_iter().map(|node| self.step_view(&self.steps[node])).collect(),
            outstanding: self.outstanding(),
            stuck: self.stuck(),
            ..self.outline()
        }
    }

    /// The same without its steps: what it costs does not grow with their number.
    pub fn outline(&self) -> View {
        View {
            definition: self.started.definition.clone(),
            module: self.started.module.clone(),
            version: self.code.version,
            digest: self.code.digest,
            revision: self.revision,
            status: self.status(),
            started_at: self.started_at,
            ended_at: self.ended_at,
            deadline_at: self.started.deadline_at,
            input: self.started.input.clone(),
            output: self.output(),
            rollback: self.rollback.as_deref().cloned(),
            locks: self.locks_view(),
            round: self.round,
            cause: self.cause.clone(),
            savepoint: self.savepoint().cloned(),
            past_point_of_no_return: self.is_past_point_of_no_return(),
            cancel_pending: self.is_cancel_pending(),
            steps: Vec::new(),
            outstanding: Vec::new(),
            manual: self.manual,
            stuck: Vec::new(),
        }
    }

    fn locks_view(&self) -> Option<LocksView> {
        let waits = match &self.locking {
            Locking::Queued { behind, since } if !self.is_ended() => Some((*since, behind.clone())),
            Locking::Asked | Locking::Queued { .. } | Locking::Taken => None,
        };
        let keys = self.lock_keys().cloned().collect();
        (!self.started.lock_keys.is_empty()).then(|| LocksView { keys, broken: self.broken.clone(), waits })
    }

    /// Where the saga stands: the first status that fits.
    pub fn status(&self) -> Status {
        match self.phase {
            Phase::Completed => return Status::Completed,
            Phase::Compensated => return Status::Compensated,
            Phase::Abandoned => return Status::Abandoned,
            Phase::Forward | Phase::Backward => {}
        }
        if self.phase == Phase::Forward && !self.has_its_locks() {
            return Status::Waiting;
        }
        // A leg that is ready and does not begin waits for its place among the elements of a fan-out.
        let Counts { open, long_waits, short_backoffs, stuck, .. } = self.live.counts();
        let (runs, waits, backs_off) = (open > 0, long_waits > 0, short_backoffs > 0);
        if stuck > 0 && !runs && !waits && !backs_off {
            Status::Stuck
        } else if self.phase == Phase::Backward {
            Status::Compensating
        } else if waits && !runs && !backs_off {
            Status::Waiting
        } else {
            Status::Running
        }
    }

    /// The steps whose effects stand, or may stand, though the saga has gone back or they were skipped.
    pub fn outstanding(&self) -> Vec<StepPath> {
        let forward = matches!(self.phase, Phase::Completed | Phase::Forward);
        let stands = |run: &&StepRun| {
            let skipped =
                run.past.iter().map(|past| past.undone).chain([run.undone]).any(|undone| undone == Some(UndoneBy::Skip));
            skipped
                || !forward
                    && run.is_leaf()
                    && (run.may_stand() || self.may_stand_now(run))
                    && !matches!(run.undone, Some(UndoneBy::Code | UndoneBy::Hand))
                    && self.step(run).undo != Undo::Nothing
        };
        let runs = self.in_order().into_iter().map(|node| &self.steps[node]);
        runs.filter(stands).map(|run| run.path.clone()).collect()
    }

    /// Legs that need an operator.
    pub fn stuck(&self) -> Vec<StuckView> {
        let offers = verbs::offers(self);
        self.legs()
            .filter_map(|(run, direction, state)| match state {
                LegState::Stuck { why, since } => {
                    let (leg, offers) = (run.name_leg(direction), offers(run, direction));
                    Some(StuckView { leg, since: *since, why: why.clone(), offers })
                }
                _ => None,
            })
            .collect()
    }

    fn step_view(&self, run: &StepRun) -> StepView {
        let step = self.step(run);
        StepView {
            path: run.path.clone(),
            stage: run.stage,
            body: run.body_view(),
            element: run.element.as_ref().map(|element| element.element.key.clone()),
            kind: step.kind,
            status: self.step_status(run),
            forward: run.forward.view(),
            undo: (!matches!(run.undo.state, LegState::Idle) || run.undone.is_some()).then(|| run.undo.view()),
            done: run.is_done(),
            output: run.output().cloned(),
            failure: run.failure().or_else(|| self.refused_list(run)).cloned(),
            alternate: run.alternate,
            round: run.round,
            past: run.past.iter().map(Past::view).collect(),
            may_have_run: run.is_in_doubt() || self.may_stand_now(run),
            undo_declared: run.is_leaf() && self.has_undo(run),
            manual: run.manual,
        }
    }

    fn step_status(&self, run: &StepRun) -> StepStatus {
        if !run.is_leaf() {
            return self.status_above(run);
        }
        match run.undone {
            Some(UndoneBy::Skip) => return StepStatus::Skipped,
            // It was undone so that it could be a refused result.
            Some(UndoneBy::Code | UndoneBy::Hand) if self.is_result(run) => return StepStatus::Refused,
            Some(UndoneBy::Code | UndoneBy::Hand) => return StepStatus::Compensated,
            None => {}
        }
        if [&run.forward, &run.check, &run.undo].iter().any(|leg| leg.is_stuck()) {
            return StepStatus::Stuck;
        }
        if self.goes_back(run) && !matches!(run.undo.state, LegState::Idle | LegState::Closed) {
            return StepStatus::Compensating;
        }
        match (&run.verdict, &run.forward.state) {
            (Verdict::Done(_), _) => StepStatus::Done,
            (_, LegState::Open { .. }) => StepStatus::Running,
            (_, LegState::Ready) if run.forward.attempts > 0 => StepStatus::Running,
            (_, LegState::Waiting { .. }) => StepStatus::Waiting,
            _ if run.check.is_open() => StepStatus::Unknown,
            (_, LegState::BackingOff { .. }) if !run.is_in_doubt() => StepStatus::BackingOff,
            _ if run.is_in_doubt() => StepStatus::Unknown,
            (Verdict::Refused, _) => StepStatus::Refused,
            (Verdict::Open, LegState::Closed) if run.alternate > 0 => StepStatus::Refused,
            (Verdict::Open, _) => StepStatus::Pending,
        }
    }
}

impl Saga {
    /// The status of a child or a fan-out: the first that fits what is below it.
    fn status_above(&self, run: &StepRun) -> StepStatus {
        let below: BTreeSet<StepStatus> = self.below(run).iter().map(|node| self.step_status(&self.steps[*node])).collect();
        let any = |statuses: &[StepStatus]| statuses.iter().any(|status| below.contains(status));
        let undone = [StepStatus::Compensating, StepStatus::Skipped, StepStatus::Compensated];
        match &run.forward.state {
            LegState::Stuck { .. } => StepStatus::Stuck,
            LegState::Ready => StepStatus::Running,
            _ if self.refused_list(run).is_some() => StepStatus::Refused,
            _ if any(&[StepStatus::Stuck]) => StepStatus::Stuck,
            _ if run.is_done() && (!any(&undone) || matches!(self.phase, Phase::Forward | Phase::Completed)) => StepStatus::Done,
            _ => {
                let order = [undone[0], StepStatus::Running, StepStatus::Unknown, StepStatus::Waiting, StepStatus::BackingOff];
                let rest = [undone[1], undone[2], StepStatus::Refused];
                let first = order.into_iter().chain(rest).find(|status| below.contains(status));
                let begun = if any(&[StepStatus::Done]) { StepStatus::Running } else { StepStatus::Pending };
                first.unwrap_or(begun)
            }
        }
    }

    /// Why a fan-out was refused before it had elements: its list cannot be used.
    fn refused_list(&self, run: &StepRun) -> Option<&Failure> {
        match self.rollback.as_deref() {
            Some(Reason::Refused(path, failure)) if *path == run.path && run.each().is_some_and(|each| !each.listed) => {
                Some(failure)
            }
            _ => None,
        }
    }
}

impl StepRun {
    fn body_view(&self) -> BodyView {
        match &self.shape {
            Shape::Leaf => BodyView::Code,
            Shape::Child(_) => BodyView::Child,
            Shape::Each(each) if !each.listed => BodyView::Unlisted,
            Shape::Each(each) => BodyView::Each {
                elements: each.elements.len(),
                settled: each.sum.settled,
                refused: each.sum.refused,
                moving: each.sum.moving,
            },
        }
    }
}

impl LegState {
    /// It waits for an event or a moment, or backs off for more than five seconds.
    pub(crate) fn is_long_wait(&self) -> bool {
        match self {
            Self::Waiting { .. } => true,
            Self::BackingOff { since, until } => until.since(*since) > 5_000,
            _ => false,
        }
    }
}

impl Past {
    fn view(&self) -> PastView {
        let status = match self.undone {
            Some(UndoneBy::Skip) => StepStatus::Skipped,
            Some(UndoneBy::Code | UndoneBy::Hand) => StepStatus::Compensated,
            None if self.done => StepStatus::Done,
            None => StepStatus::Refused,
        };
        let failure = self.failure.clone();
        PastView { round: self.round, alternate: self.alternate, attempts: self.attempts, failure, status }
    }
}

impl LegRun {
    fn view(&self) -> LegView {
        LegView {
            attempts: self.attempts,
            began_at: self.began_at,
            ended_at: self.ended_at,
            failures: self.failures.clone(),
            last_failure: self.last_failure.clone(),
            retry_at: match &self.state {
                LegState::BackingOff { until, .. } => Some(*until),
                _ => None,
            },
            waits_for: match &self.state {
                LegState::Waiting { wait, .. } => Some(wait.clone()),
                _ => None,
            },
            answer_from: match &self.state {
                LegState::Waiting { wait, .. } => {
                    wait.answer.and_then(|number| self.commands.get(number as usize)).map(|command| {
                        let (aggregate, id) = command.to.clone();
                        AwaitedAnswer { aggregate, id, command: command.name.clone() }
                    })
                }
                _ => None,
            },
        }
    }
}
