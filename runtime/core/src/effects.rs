//! What a saga wants from the outside now. Asked of the state, never remembered: nothing is lost in a crash that can be derived again.

use crate::{
    definition::Undo,
    event::{Arrival, Attempt, Intent, Topic},
    id::{Direction, Leg},
    saga::{LegState, Phase, Saga, StepRun, Verdict},
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
    /// The step declares that it does not reach outside.
    pub effect_free: bool,
    /// The saga's input.
    pub input: Payload,
    /// What the step needs, in its order.
    pub outputs: Vec<(String, Payload)>,
    /// What the step had returned.
    pub own_output: Option<Payload>,
    /// The last failure of this leg; in a first compensation the forward one; in a new alternate that of the one before, in a
    /// new round what the round before it failed for.
    pub last_failure: Option<Failure>,
    /// An earlier attempt may have happened.
    pub may_have_run: bool,
    /// What ended the wait before this attempt.
    pub arrived: Option<Option<Arrival>>,
}

impl Saga {
    /// What the saga wants now.
    pub fn effects(&self) -> Effects {
        Effects {
            run: self.open_intents().map(|(intent, _)| intent.clone()).collect(),
            wake_at: self.wake_at(),
            topics: self.waits().into_iter().map(|(_, topic)| topic).collect(),
        }
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
            effect_free: step.effect_free,
            input: self.started.input.clone(),
            outputs: needs.filter_map(|name| Some((name.clone(), self.output_of(name)?.clone()))).collect(),
            own_output: (!forward).then(|| run.output().cloned()).flatten(),
            last_failure: used.last_failure.as_ref().or_else(|| run.failure()).or(self.cause_for(run)).cloned(),
            may_have_run: match leg.direction {
                Direction::Forward | Direction::Undo(_) => used.doubtful > 0,
                Direction::Check => true,
            },
            arrived: used.arrived.clone(),
        })
    }

    /// What a step of the round under way is told of the one before.
    fn cause_for(&self, run: &StepRun) -> Option<&Failure> {
        self.cause.as_ref().filter(|_| run.round > 0 && run.round == self.round)
    }

    /// The saga's output: of the step that the definition names, else of the last stage.
    pub fn output(&self) -> Option<Payload> {
        if self.phase != Phase::Completed {
            return None;
        }
        if let Some(name) = &self.definition.output {
            return self.output_of(name).cloned();
        }
        let last = self.steps.last()?.stage;
        let runs: Vec<&StepRun> = self.steps.iter().filter(|run| run.stage == last).collect();
        match runs.as_slice() {
            [only] => only.output().cloned(),
            many => Some(object(many)),
        }
    }

    fn output_of(&self, name: &str) -> Option<&Payload> {
        self.steps.iter().find(|run| run.path.as_str() == name)?.output()
    }

    /// When this attempt began, if it is open.
    pub fn open_since(&self, attempt: &Attempt) -> Option<Instant> {
        self.open_intents().find(|(intent, _)| intent.attempt == *attempt).map(|(_, since)| since)
    }

    pub(crate) fn open_intents(&self) -> impl Iterator<Item = (&Intent, Instant)> {
        self.legs().filter_map(|(_, _, state)| match state {
            LegState::Open { intent, since } => Some((intent, *since)),
            _ => None,
        })
    }

    /// Which legs wait for which events, in the definition's order.
    pub(crate) fn waits(&self) -> Vec<(Leg, Topic)> {
        self.legs()
            .filter_map(|(run, direction, state)| match state {
                LegState::Waiting { wait, .. } => Some((run.name_leg(direction), wait.event.clone()?)),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn due_waits(&self, now: Instant) -> Vec<Leg> {
        self.legs()
            .filter(
                |(_, _, state)| matches!(state, LegState::Waiting { wait, .. } if wait.until.is_some_and(|until| until <= now)),
            )
            .map(|(run, direction, _)| run.name_leg(direction))
            .collect()
    }

    /// Legs of the moving stage whose next attempt may begin now.
    pub(crate) fn startable(&self, now: Instant) -> Vec<Leg> {
        let due = |state: &LegState| match state {
            LegState::Ready => true,
            LegState::BackingOff { until, .. } => *until <= now,
            _ => false,
        };
        self.current()
            .flat_map(|run| run.directions().map(|direction| (run, direction)))
            .filter(|(run, direction)| due(&run.leg(*direction).state))
            .map(|(run, direction)| run.name_leg(direction))
            .collect()
    }

    fn wake_at(&self) -> Option<Instant> {
        let legs = self.legs().filter_map(|(_, _, state)| match state {
            LegState::BackingOff { until, .. } => Some(*until),
            LegState::Waiting { wait, .. } => wait.until,
            _ => None,
        });
        let deadline = self.started.deadline_at.filter(|_| !self.deadline_passed && !self.is_ended());
        legs.chain(deadline).min()
    }

    pub(crate) fn legs(&self) -> impl Iterator<Item = (&StepRun, Direction, &LegState)> {
        self.steps.iter().flat_map(|run| run.directions().map(|direction| (run, direction, &run.leg(direction).state)))
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

/// The outputs of a parallel last stage, as one JSON object by step name. Names need no escaping, and what is not JSON is `null`.
fn object(runs: &[&StepRun]) -> Payload {
    let mut text = Vec::from(*b"{");
    for (index, run) in runs.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        text.extend_from_slice(format!("{comma}\"{}\":", run.path).as_bytes());
        match run.output() {
            Some(output) if output.format == crate::value::Format::Json => text.extend_from_slice(&output.bytes),
            _ => text.extend_from_slice(b"null"),
        }
    }
    text.push(b'}');
    Payload::json(text)
}
