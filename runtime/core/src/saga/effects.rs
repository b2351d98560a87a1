//! What a saga wants from the outside now. Asked of the state, never remembered: nothing is lost in a crash that can be derived again.

use std::collections::BTreeSet;

use super::{
    definition::{Kind, Undo},
    live::LegIndex,
    run::{LegState, StepRun, Verdict},
    state::{Phase, Saga},
};
use crate::{
    event::{Attempt, Intent, RollbackCause, Topic, Woken},
    id::{Direction, Leg},
    value::{Failure, Instant, Payload},
};

/// What a saga wants now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Attempts that are open: each is to run once, after its intent is durable if it reaches outside.
    pub run: Vec<Intent>,
    /// The earliest moment at which time alone changes something.
    pub wake_at: Option<Instant>,
    /// Events that would end a wait.
    pub topics: Vec<Topic>,
}

/// What a guest is told about one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The step's name.
    pub step: String,
    /// When the leg became ready: the law-bound time.
    pub now: Instant,
    /// When the attempt began.
    pub started_at: Instant,
    /// When it is ended from outside.
    pub deadline_at: Instant,
    /// The step declares that it does not reach outside; when undoing, its compensation does.
    pub effect_free: bool,
    /// The key of the element that the step is, or is a part of.
    pub element: Option<String>,
    /// The saga's input; the element; in a child what its parent gives it.
    pub input: Payload,
    /// What the step needs, in its order.
    pub outputs: Vec<(String, Payload)>,
    /// What the step had returned.
    pub own_output: Option<Payload>,
    /// The last failure of this leg; in a first compensation the forward one; in a new alternate that of the one before, in a
    /// new round what the round before it failed for.
    pub last_failure: Option<Failure>,
    /// Why, in a compensation: the same in every attempt and alternate.
    pub rollback_cause: Option<RollbackCause>,
    /// An earlier attempt may have happened.
    pub may_have_run: bool,
    /// What ended the wait before this attempt.
    pub arrived: Option<Woken>,
    /// How many commands and events its leg has sent before.
    pub sent: Counts,
}

/// How many commands and events a leg has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Commands.
    pub commands: u32,
    /// Events.
    pub events: u32,
}

impl Saga {
    /// What the saga wants now.
    pub fn effects(&self) -> Effects {
        Effects {
            run: self.open_intents().map(|(intent, _)| intent.clone()).collect(),
            wake_at: self.wake_at(),
            topics: self.topics(),
        }
    }

    /// Events that would end a wait, in the definition's order.
    pub fn topics(&self) -> Vec<Topic> {
        self.waits().into_iter().map(|(_, topic)| topic).collect()
    }

    /// How many steps there are, those of children and the elements of fan-outs included.
    pub fn size(&self) -> usize {
        self.steps.len()
    }

    /// How many attempts are open.
    pub fn open_attempts(&self) -> usize {
        self.live.counts().open
    }

    /// What the guest of this open attempt is told; none if it is not open.
    pub fn call(&self, intent: &Intent) -> Option<Call> {
        let leg = &intent.attempt.leg;
        let run = self.run(&leg.path)?;
        let step = self.step(run);
        let used = run.leg(leg.direction);
        let LegState::Open { intent: open, since } = &used.state else { return None };
        if open.attempt != intent.attempt {
            return None;
        }
        let needs = step.needs.iter();
        let forward = leg.direction == Direction::Forward;
        Some(Call {
            step: step.name.clone(),
            now: used.ready_at,
            started_at: *since,
            deadline_at: open.deadline_at,
            effect_free: step.is_effect_free(leg.direction),
            element: self.element_of(run),
            input: self.input_of(run),
            outputs: needs.filter_map(|name| Some((name.clone(), self.output_of(run.scope, name)?.clone()))).collect(),
            own_output: (!forward).then(|| run.output().cloned()).flatten(),
            last_failure: used.last_failure.as_ref().or_else(|| run.failure()).or(self.cause_for(run)).cloned(),
            rollback_cause: run.rollback_cause.clone().filter(|_| matches!(leg.direction, Direction::Undo(_))),
            may_have_run: match leg.direction {
                Direction::Forward | Direction::Undo(_) => used.doubtful > 0,
                Direction::Check => true,
            },
            arrived: used.arrived.clone(),
            sent: Counts { commands: u32::try_from(used.commands.len()).unwrap_or(u32::MAX), events: used.published },
        })
    }

    /// The key of the element that a step is, or is a part of.
    fn element_of(&self, run: &StepRun) -> Option<String> {
        match (&run.element, self.scopes[run.scope].owner) {
            (Some(element), _) => Some(element.element.key.clone()),
            (None, Some(owner)) => self.element_of(&self.steps[owner]),
            (None, None) => None,
        }
    }

    /// What a step of the round under way is told of the one before.
    fn cause_for(&self, run: &StepRun) -> Option<&Failure> {
        self.cause.as_ref().filter(|_| run.round > 0 && run.round == self.round)
    }

    /// Open attempts that nothing needs any more, unless their guests have begun: forward ones in a rollback, and that of a pivot whose
    /// end a cancel waits for. A report that the host could not run them lets the saga go on at once.
    ///
    /// Not a check, which finds out what is to be undone, and not the attempt of a pivot that may have happened before: the cancel would
    /// have to wait for a later one.
    pub fn unwanted(&self) -> Vec<Attempt> {
        let (goes_back, cancel_waits) = (self.phase == Phase::Backward, self.is_cancel_pending());
        if !goes_back && !cancel_waits {
            return Vec::new();
        }
        let is_decisive = |run: &StepRun| self.step(run).kind == Kind::Pivot && !self.is_pivot_in_doubt(run);
        let unwanted = |(run, direction, state): (&StepRun, Direction, &LegState)| match state {
            LegState::Open { intent, .. } if direction == Direction::Forward && (goes_back || is_decisive(run)) => {
                Some(intent.attempt.clone())
            }
            _ => None,
        };
        self.legs().filter_map(unwanted).collect()
    }

    /// When this attempt began, if it is open.
    pub fn open_since(&self, attempt: &Attempt) -> Option<Instant> {
        match self.leg(&attempt.leg).map(|leg| &leg.state) {
            Some(LegState::Open { intent, since }) if intent.attempt == *attempt => Some(*since),
            _ => None,
        }
    }

    pub(crate) fn open_intents(&self) -> impl Iterator<Item = (&Intent, Instant)> {
        self.live.open().filter_map(|at| match self.leg_at(at).2 {
            LegState::Open { intent, since } => Some((intent, *since)),
            _ => None,
        })
    }

    /// Which legs wait for which events, in the definition's order.
    pub(crate) fn waits(&self) -> Vec<(Leg, Topic)> {
        self.live
            .listening()
            .filter_map(|at| match self.leg_at(at) {
                (run, direction, LegState::Waiting { wait, .. }) => Some((run.name_leg(direction), wait.event.clone()?)),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn due_waits(&self, now: Instant) -> Vec<Leg> {
        self.names(self.live.due_waits(now)).collect()
    }

    /// Legs whose next attempt may begin now.
    pub(crate) fn startable(&self, now: Instant) -> Vec<Leg> {
        self.names(self.live.startable(now)).filter(|leg| self.has_place(&leg.path)).collect()
    }

    fn names(&self, legs: BTreeSet<LegIndex>) -> impl Iterator<Item = Leg> {
        legs.into_iter().map(|at| {
            let (run, direction, _) = self.leg_at(at);
            run.name_leg(direction)
        })
    }

    /// The earliest moment at which time alone changes something.
    pub fn wake_at(&self) -> Option<Instant> {
        let deadline = self.started.deadline_at.filter(|_| !self.deadline_passed && !self.is_ended());
        self.live.wake_at().into_iter().chain(deadline).min()
    }

    /// The step has code that undoes it.
    pub(crate) fn has_undo(&self, run: &StepRun) -> bool {
        matches!(self.step(run).undo, Undo::Code(_))
    }
}

impl StepRun {
    /// The last failure of the alternate in hand, else of the one before it in this round.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        let before = self.past.last().filter(|past| past.round == self.round);
        self.forward.last_failure.as_ref().or_else(|| before?.failure.as_ref())
    }

    pub(crate) fn output(&self) -> Option<&Payload> {
        match &self.verdict {
            Verdict::Done(output) => Some(output),
            Verdict::Open | Verdict::Refused => None,
        }
    }
}
