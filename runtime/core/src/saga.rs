//! The state of one saga: the fold of its events, and nothing beside it (law 1).

use std::{fmt, sync::Arc};

use crate::{
    definition::{Definition, Kind, Step, Undo},
    event::{Arrival, Attempt, Cancel, Event, Intent, Reason, Started, Wait, Why},
    id::{Direction, Leg, StepPath},
    value::{Failure, Instant, Payload},
};

/// One saga at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saga {
    pub(crate) definition: Arc<Definition>,
    pub(crate) started: Arc<Started>,
    pub(crate) started_at: Instant,
    pub(crate) ended_at: Option<Instant>,
    pub(crate) revision: u64,
    pub(crate) phase: Phase,
    /// The stage that moves: forward the first with a step not done, backward the last with a step not undone.
    pub(crate) stage: usize,
    pub(crate) steps: Vec<StepRun>,
    pub(crate) cancel: Option<Cancel>,
    pub(crate) deadline_passed: bool,
    pub(crate) rollback: Option<Reason>,
    pub(crate) manual: u32,
    pub(crate) consumed: Vec<(String, String)>,
}

/// Which way the saga goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Forward,
    Backward,
    Completed,
    Compensated,
    Abandoned,
}

/// One step's part of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StepRun {
    pub(crate) path: StepPath,
    pub(crate) stage: usize,
    pub(crate) index: usize,
    pub(crate) forward: LegRun,
    pub(crate) check: LegRun,
    pub(crate) undo: LegRun,
    pub(crate) verdict: Verdict,
    pub(crate) undone: Option<UndoneBy>,
    pub(crate) manual: bool,
}

/// What is known of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Open,
    Done(Payload),
    Refused,
}

/// How a compensation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UndoneBy {
    Code,
    Hand,
    Skip,
}

/// One leg's part of the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LegRun {
    pub(crate) state: LegState,
    pub(crate) attempts: u32,
    pub(crate) spent: u32,
    /// Ended attempts that could reach outside and did not end refused or transient.
    pub(crate) doubtful: u32,
    /// The last attempt ended unknown.
    pub(crate) unknown: bool,
    pub(crate) host_stops: u32,
    pub(crate) ready_at: Instant,
    pub(crate) budget_since: Option<Instant>,
    pub(crate) waited_ms: u64,
    pub(crate) began_at: Option<Instant>,
    pub(crate) ended_at: Option<Instant>,
    pub(crate) failures: Vec<(String, u32)>,
    pub(crate) last_failure: Option<Failure>,
    /// What ended the last wait: an event, or the timer.
    pub(crate) arrived: Option<Option<Arrival>>,
}

/// Where a leg stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum LegState {
    #[default]
    Idle,
    Ready,
    Open {
        intent: Intent,
        since: Instant,
    },
    BackingOff {
        since: Instant,
        until: Instant,
    },
    Waiting {
        wait: Wait,
        since: Instant,
    },
    Stuck {
        why: Why,
        since: Instant,
    },
    Closed,
}

/// Why recorded events are not the history of a saga of this definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayError {
    /// The revision of the event that does not fit.
    pub revision: u64,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {} does not fit the saga before it: {}", self.revision, self.problem)
    }
}

impl std::error::Error for ReplayError {}

impl Saga {
    /// Folds recorded events, the first of them `started`, into the saga that wrote them.
    pub fn replay(definition: Arc<Definition>, events: impl IntoIterator<Item = (Instant, Event)>) -> Result<Self, ReplayError> {
        let mut events = events.into_iter();
        let Some((at, Event::Started(started))) = events.next() else {
            return Err(ReplayError { revision: 1, problem: "a stream begins with started".into() });
        };
        let mut saga = Self::begin(definition, *started, at);
        for (at, event) in events {
            saga.apply(&event, at)?;
        }
        Ok(saga)
    }

    pub(crate) fn begin(definition: Arc<Definition>, started: Started, at: Instant) -> Self {
        let mut steps = Vec::new();
        for (stage, stage_definition) in definition.stages.iter().enumerate() {
            for (index, step) in stage_definition.steps.iter().enumerate() {
                steps.push(StepRun::new(StepPath::new(&step.name), stage, index));
            }
        }
        let mut saga = Self {
            definition,
            started: Arc::new(started),
            started_at: at,
            ended_at: None,
            revision: 1,
            phase: Phase::Forward,
            stage: 0,
            steps,
            cancel: None,
            deadline_passed: false,
            rollback: None,
            manual: 0,
            consumed: Vec::new(),
        };
        saga.make_ready(0, at);
        saga
    }

    /// What the saga was started with.
    pub fn started(&self) -> &Started {
        &self.started
    }

    /// When the start was recorded.
    pub fn started_at(&self) -> Instant {
        self.started_at
    }

    /// When it ended.
    pub fn ended_at(&self) -> Option<Instant> {
        self.ended_at
    }

    /// The definition that it follows.
    pub fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// The number of its events: the version of its stream.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// No event but audit follows.
    pub fn is_ended(&self) -> bool {
        !matches!(self.phase, Phase::Forward | Phase::Backward)
    }

    /// The saga has taken this event already; each is consumed once.
    pub fn has_consumed(&self, source: &str, id: &str) -> bool {
        self.consumed.iter().any(|(from, taken)| from == source && taken == id)
    }

    /// A leg of it was denied something that a grant would permit.
    pub fn is_denied(&self) -> bool {
        self.legs().any(|(_, _, state)| matches!(state, LegState::Stuck { why: Why::Denied(_), .. }))
    }

    /// The pivot is done, or a retriable step was begun where there is no pivot (law 8).
    pub fn is_past_point_of_no_return(&self) -> bool {
        self.steps.iter().any(|run| match self.step(run).kind {
            Kind::Pivot => matches!(run.verdict, Verdict::Done(_)),
            Kind::Retriable => run.forward.attempts > 0 || run.is_done(),
            Kind::Compensatable => false,
        })
    }

    pub(crate) fn step(&self, run: &StepRun) -> &Step {
        &self.definition.stages[run.stage].steps[run.index]
    }

    pub(crate) fn run(&self, path: &StepPath) -> Option<&StepRun> {
        self.steps.iter().find(|run| run.path == *path)
    }

    pub(crate) fn run_mut(&mut self, path: &StepPath) -> Option<&mut StepRun> {
        self.steps.iter_mut().find(|run| run.path == *path)
    }

    pub(crate) fn leg(&self, leg: &Leg) -> Option<&LegRun> {
        self.run(&leg.path).map(|run| run.leg(leg.direction))
    }

    /// The open attempt of this leg, if `attempt` names it.
    pub(crate) fn open(&self, attempt: &Attempt) -> Option<&Intent> {
        match self.leg(&attempt.leg).map(|leg| &leg.state) {
            Some(LegState::Open { intent, .. }) if intent.attempt == *attempt => Some(intent),
            _ => None,
        }
    }

    /// The steps of the stage that moves.
    pub(crate) fn current(&self) -> impl Iterator<Item = &StepRun> {
        self.steps.iter().filter(move |run| run.stage == self.stage)
    }

    /// The step is done or may have run, and has a compensation that was not done (law 7).
    pub(crate) fn wants_undo(&self, run: &StepRun) -> bool {
        run.undone.is_none() && matches!(self.step(run).undo, Undo::Code(_)) && run.may_stand()
    }

    /// The leg has something left to do: compensations in a rollback, forward legs before one.
    pub(crate) fn is_unsettled(&self, run: &StepRun, direction: Direction) -> bool {
        match direction {
            Direction::Undo(_) => self.phase == Phase::Backward && self.wants_undo(run),
            Direction::Forward | Direction::Check => self.phase == Phase::Forward && !run.is_done(),
        }
    }

    /// The pivot may have happened and there is no compensation for it: it cannot be rolled back.
    pub(crate) fn is_pivot_in_doubt(&self, run: &StepRun) -> bool {
        let step = self.step(run);
        step.kind == Kind::Pivot && run.is_in_doubt() && !matches!(step.undo, Undo::Code(_))
    }

    /// A cancel was asked for, or the deadline passed, and the pivot's outcome decides about it.
    pub(crate) fn is_cancel_pending(&self) -> bool {
        self.cancel.is_some() && self.phase == Phase::Forward && !self.is_past_point_of_no_return()
    }

    /// The pivot may have happened, cannot be undone, and needs an operator.
    pub(crate) fn pivot_stuck_in_doubt(&self) -> Option<&StepRun> {
        self.current().find(|run| self.is_pivot_in_doubt(run) && (run.forward.is_stuck() || run.check.is_stuck()))
    }

    pub(crate) fn make_ready(&mut self, stage: usize, at: Instant) {
        for run in self.steps.iter_mut().filter(|run| run.stage == stage) {
            run.forward.state = LegState::Ready;
            run.forward.ready_at = at;
        }
    }
}

impl StepRun {
    fn new(path: StepPath, stage: usize, index: usize) -> Self {
        Self {
            path,
            stage,
            index,
            forward: LegRun::default(),
            check: LegRun::default(),
            undo: LegRun::default(),
            verdict: Verdict::Open,
            undone: None,
            manual: false,
        }
    }

    pub(crate) fn leg(&self, direction: Direction) -> &LegRun {
        match direction {
            Direction::Forward => &self.forward,
            Direction::Undo(_) => &self.undo,
            Direction::Check => &self.check,
        }
    }

    pub(crate) fn leg_mut(&mut self, direction: Direction) -> &mut LegRun {
        match direction {
            Direction::Forward => &mut self.forward,
            Direction::Undo(_) => &mut self.undo,
            Direction::Check => &mut self.check,
        }
    }

    pub(crate) fn name_leg(&self, direction: Direction) -> Leg {
        Leg::forward(self.path.clone()).turned(direction)
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.verdict, Verdict::Done(_))
    }

    /// The mark `may have run` without the open attempt: an earlier attempt may have happened.
    pub(crate) fn is_in_doubt(&self) -> bool {
        !self.is_done() && self.forward.doubtful > 0
    }

    /// The step's effect stands, or may stand.
    pub(crate) fn may_stand(&self) -> bool {
        self.is_done() || self.forward.doubtful > 0
    }

    /// A step and its check take turns: the other of the two has nothing left to do.
    pub(crate) fn has_the_turn(&self, direction: Direction) -> bool {
        let other = match direction {
            Direction::Forward => &self.check,
            Direction::Check => &self.forward,
            Direction::Undo(_) => return true,
        };
        matches!(other.state, LegState::Idle | LegState::Closed)
    }

    pub(crate) fn has_open_forward(&self) -> bool {
        self.forward.is_open() || self.check.is_open()
    }
}

impl LegRun {
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, LegState::Open { .. })
    }

    /// An attempt is open that can reach outside: it sets the mark `may have run` while it lasts.
    pub(crate) fn reaches_outside_now(&self) -> bool {
        matches!(&self.state, LegState::Open { intent, .. } if intent.reaches_outside)
    }

    pub(crate) fn is_stuck(&self) -> bool {
        matches!(self.state, LegState::Stuck { .. })
    }

    /// Stuck, waiting or backing off: it does not move by itself now.
    pub(crate) fn is_at_rest(&self) -> bool {
        matches!(self.state, LegState::Stuck { .. } | LegState::Waiting { .. } | LegState::BackingOff { .. })
    }

    pub(crate) fn fail(&mut self, failure: &Failure) {
        // Codes come from guests: beyond sixteen different ones they are not told apart.
        match self.failures.iter().position(|(code, _)| *code == failure.code) {
            Some(at) => self.failures[at].1 += 1,
            None if self.failures.len() < 16 => self.failures.push((failure.code.clone(), 1)),
            None => {}
        }
        self.last_failure = Some(failure.clone());
    }

    /// A fresh budget.
    pub(crate) fn renew(&mut self) {
        self.spent = 0;
        self.host_stops = 0;
        self.budget_since = None;
        self.waited_ms = 0;
    }

    pub(crate) fn close(&mut self, at: Instant) {
        if !matches!(self.state, LegState::Idle | LegState::Closed) {
            self.state = LegState::Closed;
            self.ended_at.get_or_insert(at);
        }
    }
}
