//! The state of one saga: the fold of its events, and nothing beside it (law 1).

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use super::{
    definition::{Definition, Kind, Undo},
    live::{LegIndex, Live},
    plan::Plan,
    run::{LegRun, LegState, StepRun, Verdict},
    tree::Scope,
};
use crate::{
    event::{Attempt, Cancel, Code, Event, Intent, Reason, Started},
    id::{Direction, Leg, StepPath},
    value::{Failure, Instant},
};

/// One saga at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saga {
    pub(crate) plan: Arc<Plan>,
    pub(crate) started: Arc<Started>,
    pub(crate) code: Code,
    pub(crate) started_at: Instant,
    pub(crate) ended_at: Option<Instant>,
    pub(crate) revision: u64,
    pub(crate) phase: Phase,
    /// The saga's own scope first.
    pub(crate) scopes: Vec<Scope>,
    /// Every step there is or was; found by path.
    pub(crate) steps: Vec<StepRun>,
    pub(crate) paths: HashMap<StepPath, usize>,
    /// Legs that are ready, open, at rest or stuck: step and direction.
    pub(crate) live: Live,
    /// Steps that changed since the state was settled; empty between two events.
    pub(crate) touched: Vec<usize>,
    pub(crate) past_point_of_no_return: bool,
    /// How many rounds were begun after the first.
    pub(crate) round: u32,
    /// Where a rollback stops: the first stage that it undoes; 0 is the start.
    pub(crate) target: usize,
    /// What the round before this one failed for.
    pub(crate) cause: Option<Failure>,
    pub(crate) locking: Locking,
    /// Lock keys that an operator broke.
    pub(crate) broken: Vec<String>,
    pub(crate) cancel: Option<Cancel>,
    pub(crate) deadline_passed: bool,
    pub(crate) rollback: Option<Arc<Reason>>,
    pub(crate) manual: u32,
    pub(crate) consumed: HashSet<(String, String)>,
}

/// Where a saga stands to its lock keys. Without any it has them all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Locking {
    /// Nobody has said yet whether they are free.
    Asked,
    Queued {
        behind: Vec<String>,
        since: Instant,
    },
    Taken,
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
    /// Folds recorded events, the first of them `started`, into the saga that wrote them and never moved.
    pub fn replay(plan: Arc<Plan>, events: impl IntoIterator<Item = (Instant, Event)>) -> Result<Self, ReplayError> {
        let mut first = Some(plan);
        Self::replay_moved(|_| first.take(), events)
    }

    /// Folds recorded events into the saga that wrote them. `plans` knows what each digest has under the saga's name; it is asked
    /// for that of the start record and for each that the saga moved to.
    pub fn replay_moved(
        mut plans: impl FnMut(&[u8; 32]) -> Option<Arc<Plan>>,
        events: impl IntoIterator<Item = (Instant, Event)>,
    ) -> Result<Self, ReplayError> {
        let mut events = events.into_iter();
        let Some((at, Event::Started(started))) = events.next() else {
            return Err(ReplayError { revision: 1, problem: "a stream begins with started".into() });
        };
        let missing = |revision| ReplayError { revision, problem: "there is no plan for its digest".into() };
        let plan = plans(&started.digest).ok_or_else(|| missing(1))?;
        let mut saga = Self::begin(plan, *started, at);
        for (at, event) in events {
            match event {
                Event::Moved(moved) => {
                    let plan = plans(&moved.code.digest).ok_or_else(|| missing(saga.revision + 1))?;
                    saga.apply_moved(plan, &moved, at)?;
                }
                event => saga.apply(&event, at)?,
            }
        }
        Ok(saga)
    }

    pub(crate) fn begin(plan: Arc<Plan>, started: Started, at: Instant) -> Self {
        let definition = Arc::clone(plan.definition());
        let steps: usize = definition.stages.iter().map(|stage| stage.steps.len()).sum();
        let mut saga = Self {
            plan,
            code: Code { version: started.version, digest: started.digest, definition_hash: started.definition_hash },
            started: Arc::new(started),
            started_at: at,
            ended_at: None,
            revision: 1,
            phase: Phase::Forward,
            scopes: Vec::new(),
            steps: Vec::with_capacity(steps),
            paths: HashMap::with_capacity(steps),
            live: Live::default(),
            touched: Vec::new(),
            past_point_of_no_return: false,
            round: 0,
            target: 0,
            cause: None,
            locking: Locking::Asked,
            broken: Vec::new(),
            cancel: None,
            deadline_passed: false,
            rollback: None,
            manual: 0,
            consumed: HashSet::new(),
        };
        saga.expand(&definition, None, String::new());
        if saga.started.lock_keys.is_empty() {
            saga.locking = Locking::Taken;
            saga.begin_stage(0, at);
            saga.settle(at);
        }
        saga
    }

    /// What the saga was started with.
    pub fn started(&self) -> &Started {
        &self.started
    }

    /// What it runs on now: what it was started on, or moved to.
    pub fn code(&self) -> Code {
        self.code
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
        self.plan.definition()
    }

    /// What it runs on: its definition and those of its children.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The number of its events: the version of its stream.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The lock keys that it holds or waits for: those of its start but for the broken ones; none after its end.
    pub fn lock_keys(&self) -> impl Iterator<Item = &String> {
        self.started.lock_keys.iter().filter(|key| !self.is_ended() && !self.broken.contains(key))
    }

    /// It has begun: its lock keys are its own, or it wants none.
    pub fn has_its_locks(&self) -> bool {
        self.locking == Locking::Taken
    }

    /// No event but audit follows.
    pub fn is_ended(&self) -> bool {
        !matches!(self.phase, Phase::Forward | Phase::Backward)
    }

    /// The saga has taken this event already; each is consumed once.
    pub fn has_consumed(&self, source: &str, id: &str) -> bool {
        self.consumed.contains(&(source.to_owned(), id.to_owned()))
    }

    /// A leg of it was denied something that a grant would permit.
    pub fn is_denied(&self) -> bool {
        self.live.counts().denied > 0
    }

    /// A command of it waits for code that decides for its aggregate.
    pub fn is_undecided(&self) -> bool {
        self.live.counts().undecided > 0
    }

    /// The pivot is done, or a retriable step was begun where there is no pivot (law 8).
    pub fn is_past_point_of_no_return(&self) -> bool {
        self.past_point_of_no_return
    }

    pub(crate) fn run(&self, path: &StepPath) -> Option<&StepRun> {
        self.paths.get(path).map(|node| &self.steps[*node])
    }

    /// A step that is about to change: what follows from it is settled afterwards.
    pub(crate) fn touch(&mut self, node: usize) -> &mut StepRun {
        self.touched.push(node);
        &mut self.steps[node]
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

    /// The saga's own steps in the stage that moves.
    pub(crate) fn current(&self) -> impl Iterator<Item = &StepRun> {
        let nodes = self.scopes[0].stages.get(self.scopes[0].stage).into_iter().flatten();
        nodes.map(|node| &self.steps[*node])
    }

    /// Legs that are ready, open, at rest or stuck, in the order of their steps.
    pub(crate) fn legs(&self) -> impl Iterator<Item = (&StepRun, Direction, &LegState)> {
        self.live.all().map(|at| self.leg_at(at))
    }

    pub(crate) fn leg_at(&self, (node, place): LegIndex) -> (&StepRun, Direction, &LegState) {
        let run = &self.steps[node];
        let direction = run.directions()[usize::from(place)];
        (run, direction, &run.leg(direction).state)
    }

    /// The leg has something left to do: compensations in a rollback, forward legs before one.
    pub(crate) fn is_unsettled(&self, run: &StepRun, direction: Direction) -> bool {
        match direction {
            Direction::Undo(_) => self.goes_back(run) && self.wants_undo(run),
            Direction::Forward | Direction::Check => self.phase == Phase::Forward && !run.is_done() && !self.is_result(run),
        }
    }

    /// The refused alternate is over and another one follows it: once what may have happened is undone.
    ///
    /// Where a step may have happened and has no compensation there is no such way: it is rolled back or stuck.
    pub(crate) fn has_another_alternate(&self, run: &StepRun) -> bool {
        let step = self.step(run);
        let closed =
            matches!(run.forward.state, LegState::Closed) && matches!(run.check.state, LegState::Idle | LegState::Closed);
        let refused = run.verdict == Verdict::Refused && closed;
        let way_out = step.undo != Undo::None || !run.is_in_doubt() || run.undone.is_some();
        self.phase == Phase::Forward && refused && run.alternate < step.alternates && way_out
    }

    /// A refused element may have run: it is undone before its refusal is a result.
    pub(crate) fn is_undone_before_its_result(&self, run: &StepRun) -> bool {
        self.phase == Phase::Forward && self.is_refused_element(run) && self.wants_undo(run)
    }

    /// Compensations of the step may run: in a rollback, before its next alternate, or before its refusal is a result.
    pub(crate) fn goes_back(&self, run: &StepRun) -> bool {
        self.phase == Phase::Backward || self.has_another_alternate(run) || self.is_undone_before_its_result(run)
    }

    /// The pivot may have happened and there is no compensation for it: it cannot be rolled back.
    pub(crate) fn is_pivot_in_doubt(&self, run: &StepRun) -> bool {
        let step = self.step(run);
        step.kind == Kind::Pivot && run.is_in_doubt() && !matches!(step.undo, Undo::Code(_))
    }

    /// Where a rollback for this reason stops: at the latest savepoint while rounds are left, else at the start.
    ///
    /// Only a refusal or used-up retries begin a new round. A step that is run once and may have happened must not be run
    /// again by one, and a cancel or the deadline asks for the start.
    pub(crate) fn target_of(&self, reason: &Reason) -> usize {
        let again = matches!(reason, Reason::Refused(..) | Reason::Exhausted(..));
        let definition = self.definition();
        if !again || self.cancel.is_some() || self.round >= definition.rounds {
            return 0;
        }
        let before = definition.stages.iter().take(self.scopes[0].stage);
        before
            .enumerate()
            .filter(|(_, stage)| stage.savepoint_after.is_some())
            .map(|(index, _)| index + 1)
            .next_back()
            .unwrap_or(0)
    }

    /// A rollback is on its way to a savepoint.
    pub(crate) fn goes_to_a_savepoint(&self) -> bool {
        self.phase == Phase::Backward && self.target > 0
    }

    /// A cancel was asked for, or the deadline passed, and the pivot's outcome decides about it.
    pub(crate) fn is_cancel_pending(&self) -> bool {
        self.cancel.is_some() && self.phase == Phase::Forward && !self.is_past_point_of_no_return()
    }

    /// The pivot may have happened, cannot be undone, and needs an operator.
    pub(crate) fn pivot_stuck_in_doubt(&self) -> Option<&StepRun> {
        self.current().find(|run| self.is_pivot_in_doubt(run) && (run.forward.is_stuck() || run.check.is_stuck()))
    }
}
