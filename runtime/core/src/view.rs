//! A saga as people and programs read it: statuses, durations, what it waits for and why.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    definition::{Kind, Undo},
    event::{Reason, Wait, Why},
    id::{Leg, StepPath},
    run::{LegRun, LegState, Past, StepRun, UndoneBy, Verdict},
    saga::{Locking, Phase, Saga},
    tree::Shape,
    value::{Failure, Instant, Payload},
};

/// Where a saga stands. The first that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Every step is done.
    Completed,
    /// Everything done is undone.
    Compensated,
    /// An operator ended it.
    Abandoned,
    /// A leg needs an operator and no leg can move.
    Stuck,
    /// A rollback has begun.
    Compensating,
    /// Every open leg waits for an event, a timer or a long backoff, or the saga for its lock keys.
    Waiting,
    /// None of these.
    Running,
}

impl Status {
    /// As the API and the command line say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Compensated => "compensated",
            Self::Abandoned => "abandoned",
            Self::Stuck => "stuck",
            Self::Compensating => "compensating",
            Self::Waiting => "waiting",
            Self::Running => "running",
        }
    }

    /// No record but audit follows.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Compensated | Self::Abandoned)
    }
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Not begun.
    Pending,
    /// An attempt is open.
    Running,
    /// It waits for an event or a moment.
    Waiting,
    /// It is tried again later.
    BackingOff,
    /// Done.
    Done,
    /// Its compensation was given up by an operator.
    Skipped,
    /// A decision against it.
    Refused,
    /// It may have happened.
    Unknown,
    /// Its compensation is under way.
    Compensating,
    /// Its compensation is done.
    Compensated,
    /// It needs an operator.
    Stuck,
}

impl StepStatus {
    /// As the API and the command line say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::BackingOff => "backing_off",
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Compensating => "compensating",
            Self::Compensated => "compensated",
            Self::Stuck => "stuck",
        }
    }
}

/// A saga, seen at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The definition's name.
    pub definition: String,
    /// The module, its version and digest.
    pub module: String,
    /// For people.
    pub version: u32,
    /// SHA-256 of the component.
    pub digest: [u8; 32],
    /// The version of the saga's stream.
    pub revision: u64,
    /// Where it stands.
    pub status: Status,
    /// When the start was recorded.
    pub started_at: Instant,
    /// When it ended.
    pub ended_at: Option<Instant>,
    /// When it is rolled back for being late.
    pub deadline_at: Option<Instant>,
    /// What it was started with.
    pub input: Payload,
    /// What it returned, once completed.
    pub output: Option<Payload>,
    /// Why it rolls or rolled back.
    pub rollback: Option<Reason>,
    /// Its lock keys, if it wants any.
    pub locks: Option<LocksView>,
    /// The round under way, from 0.
    pub round: u32,
    /// The savepoint that the rollback under way goes to; none is the start.
    pub savepoint: Option<String>,
    /// A cancel that the pivot's outcome decides.
    pub cancel_pending: bool,
    /// Steps in the definition's order, what a step consists of right after it; then elements of rounds that are over.
    pub steps: Vec<StepView>,
    /// Steps whose effects stand and are not undone; empty for a completed saga.
    pub outstanding: Vec<StepPath>,
    /// How many steps people resolved.
    pub manual: u32,
    /// Legs that need an operator.
    pub stuck: Vec<StuckView>,
}

/// A saga's lock keys, seen from the saga. Who else holds and waits is in [`crate::locks::Locks`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocksView {
    /// Held, or waited for; none after its end.
    pub keys: Vec<String>,
    /// Broken by an operator.
    pub broken: Vec<String>,
    /// Since when it waits, and which of its keys were not free then.
    pub waits: Option<(Instant, Vec<String>)>,
}

/// A step, seen at one revision of its saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepView {
    /// Its path.
    pub path: StepPath,
    /// The index of its stage, in its saga or child.
    pub stage: usize,
    /// What it consists of.
    pub body: BodyView,
    /// The key of the element that it is.
    pub element: Option<String>,
    /// Where it stands to the point of no return.
    pub kind: Kind,
    /// Where it stands.
    pub status: StepStatus,
    /// The alternate in hand, from 0.
    pub alternate: u32,
    /// The round of the legs below.
    pub round: u32,
    /// Alternates and rounds that are over, in order.
    pub past: Vec<PastView>,
    /// The forward leg.
    pub forward: LegView,
    /// The compensation's leg, once it was begun.
    pub undo: Option<LegView>,
    /// What it returned.
    pub output: Option<Payload>,
    /// The last failure of its forward leg, else of the alternate before.
    pub failure: Option<Failure>,
    /// An attempt of it may have happened.
    pub may_have_run: bool,
    /// It has code that undoes it.
    pub undo_declared: bool,
    /// People said what happened.
    pub manual: bool,
}

/// What a step consists of. The steps of a child and the elements of a fan-out are steps of the view too, by their paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyView {
    /// Code.
    Code,
    /// A saga of the module, expanded in place.
    Child,
    /// A fan-out whose list is not known yet.
    Unlisted,
    /// A fan-out over so many elements.
    Each {
        /// All.
        elements: usize,
        /// Done, or refused where that is a result.
        settled: usize,
        /// Refused where that is a result.
        refused: usize,
        /// An attempt is open, waits or backs off; in a rollback, of the compensation.
        moving: usize,
    },
}

/// What an alternate, or a round, came to before the next one took its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastView {
    /// From 0.
    pub round: u32,
    /// From 0.
    pub alternate: u32,
    /// How many forward attempts were begun.
    pub attempts: u32,
    /// Its last failure.
    pub failure: Option<Failure>,
    /// Refused, done with nothing to undo, compensated, or skipped: then its effect stands.
    pub status: StepStatus,
}

/// One leg's counters and times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LegView {
    /// How many attempts were begun.
    pub attempts: u32,
    /// The first intent.
    pub began_at: Option<Instant>,
    /// The outcome that closed it.
    pub ended_at: Option<Instant>,
    /// Failure codes of the attempts that failed, with how often each came, in order of first appearance.
    pub failures: Vec<(String, u32)>,
    /// The last failure.
    pub last_failure: Option<Failure>,
    /// When it is tried again.
    pub retry_at: Option<Instant>,
    /// What it waits for.
    pub waits_for: Option<Wait>,
}

/// A leg that needs an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckView {
    /// The leg.
    pub leg: Leg,
    /// Since when.
    pub since: Instant,
    /// Why.
    pub why: Why,
}

impl Saga {
    /// The saga as people and programs read it.
    pub fn view(&self) -> View {
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
            rollback: self.rollback.clone(),
            locks: self.locks_view(),
            round: self.round,
            savepoint: self.savepoint().cloned(),
            cancel_pending: self.is_cancel_pending(),
            steps: self.in_order().into_iter().map(|node| self.step_view(&self.steps[node])).collect(),
            outstanding: self.outstanding(),
            manual: self.manual,
            stuck: self.stuck(),
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
        let any = |test: fn(&LegState) -> bool| self.legs().any(|(_, _, state)| test(state));
        // A leg that is ready and does not begin waits for its place among the elements of a fan-out.
        let runs = any(|state| matches!(state, LegState::Open { .. }));
        let waits = any(LegState::is_long_wait);
        let backs_off = any(|state| matches!(state, LegState::BackingOff { .. }) && !state.is_long_wait());
        if any(|state| matches!(state, LegState::Stuck { .. })) && !runs && !waits && !backs_off {
            Status::Stuck
        } else if self.phase == Phase::Backward {
            Status::Compensating
        } else if waits && !runs && !backs_off {
            Status::Waiting
        } else {
            Status::Running
        }
    }

    fn outstanding(&self) -> Vec<StepPath> {
        let forward = matches!(self.phase, Phase::Completed | Phase::Forward);
        let stands = |run: &&StepRun| {
            let skipped = run.past.iter().any(|past| past.undone == Some(UndoneBy::Skip));
            skipped
                || !forward
                    && run.is_leaf()
                    && (run.may_stand() || run.forward.reaches_outside_now())
                    && !matches!(run.undone, Some(UndoneBy::Code | UndoneBy::Hand))
                    && self.step(run).undo != Undo::Nothing
        };
        let runs = self.in_order().into_iter().map(|node| &self.steps[node]);
        runs.filter(stands).map(|run| run.path.clone()).collect()
    }

    fn stuck(&self) -> Vec<StuckView> {
        self.legs()
            .filter_map(|(run, direction, state)| match state {
                LegState::Stuck { why, since } => {
                    Some(StuckView { leg: run.name_leg(direction), since: *since, why: why.clone() })
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
            output: run.output().cloned(),
            failure: run.failure().cloned(),
            alternate: run.alternate,
            round: run.round,
            past: run.past.iter().map(Past::view).collect(),
            may_have_run: run.is_in_doubt() || run.forward.reaches_outside_now(),
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
            _ if any(&[StepStatus::Stuck]) => StepStatus::Stuck,
            _ if run.is_done() && !any(&undone) => StepStatus::Done,
            _ => {
                let order = [undone[0], StepStatus::Running, StepStatus::Unknown, StepStatus::Waiting, StepStatus::BackingOff];
                let rest = [undone[1], undone[2], StepStatus::Refused];
                let first = order.into_iter().chain(rest).find(|status| below.contains(status));
                let begun = if any(&[StepStatus::Done]) { StepStatus::Running } else { StepStatus::Pending };
                first.unwrap_or(begun)
            }
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
    fn is_long_wait(&self) -> bool {
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
        }
    }
}
