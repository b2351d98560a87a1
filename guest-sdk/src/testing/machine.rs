//! One saga in memory: the order of its steps, their retries and waits, and the way back.

use std::rc::Rc;
use std::time::Duration;

use crate::bindings::imports::amends::module::types::{Named, Payload};
use crate::bindings::saga::exports::amends::module::saga::{
    Arrival, Call as WitCall, CheckOutcome, Direction, EventArrival, Failure as WitFailure, Kind, OnExhausted, OnUnknown,
    Outcome, Retry as WitRetry, Undo, UndoOutcome, Wait,
};
use crate::moment::millis;
use crate::saga::Definition;
use crate::step::Erased;
use crate::stop::Failure;
use crate::testing::trace::{Trace, waiting};
use crate::testing::{Status, TestWorld};
use crate::{Call, Moment, Retry, host, payload};

pub(super) struct Machine {
    pub(super) id: String,
    pub(super) world: Rc<TestWorld>,
    pub(super) trace: Trace,
    definition: Definition,
    input: Payload,
    /// One for each step, in the stages' shape.
    legs: Vec<Vec<Leg>>,
    phase: Phase,
    /// Events that no step has taken.
    kept: Vec<EventArrival>,
    events: u64,
}

enum Phase {
    Forward { stage: usize },
    Back { stage: usize, failure: WitFailure },
    Ended(Status, Option<WitFailure>),
}

/// What is known about one step.
#[derive(Default)]
struct Leg {
    state: State,
    /// An attempt has ended unknown, or in a wait: only undoing it makes sure.
    may_have_run: bool,
    /// The next thing to do is to ask.
    ask: bool,
    forward: Tries,
    check: Tries,
    undo: Tries,
}

#[derive(Default)]
enum State {
    #[default]
    Open,
    Done(Payload),
    /// Refused, or overtaken by a rollback.
    NotDone,
    Undone,
}

/// The attempts in one direction.
#[derive(Default)]
struct Tries {
    attempt: u32,
    /// Attempts that did not end in a wait.
    used: u32,
    ready: Option<Moment>,
    waited: Duration,
    again_at: Option<Moment>,
    waiting: Option<(Wait, Moment)>,
    /// Stays until the next wait: an approval is not lost to a retry.
    arrived: Option<Arrival>,
    last_failure: Option<WitFailure>,
}

/// How the saga goes on after a step.
enum Next {
    On,
    Park,
    Back(WitFailure),
    Stuck(String, WitFailure),
}

impl Machine {
    pub(super) fn new(definition: Definition, world: Rc<TestWorld>) -> Machine {
        let legs = definition.stages.iter().map(|stage| stage.iter().map(|_| Leg::default()).collect()).collect();
        Machine {
            id: "test".to_owned(),
            world,
            trace: Trace::default(),
            definition,
            input: payload::json("null".to_owned()),
            legs,
            phase: Phase::Forward { stage: 0 },
            kept: Vec::new(),
            events: 0,
        }
    }

    pub(super) fn start(&mut self, input: Payload) {
        self.input = input;
        self.drive();
    }

    pub(super) fn event(&mut self, event_type: &str, key: &str, data: Payload) {
        self.events += 1;
        let (event_type, key) = (event_type.to_owned(), key.to_owned());
        let event = EventArrival { id: format!("event-{}", self.events), event_type, key, data: Some(data) };
        let now = self.world.clock();
        let waiting = self.waiting().find(|tries| tries.waits_for(&event));
        match waiting {
            Some(tries) => tries.arrive(Arrival::Event(event), now),
            None => return self.kept.push(event),
        }
        self.drive();
    }

    pub(super) fn advance(&mut self, time: Duration) {
        let target = self.world.clock() + time;
        loop {
            let timers = self.waiting().filter_map(|tries| Some((tries.until()?, tries)));
            let Some((until, tries)) = timers.min_by_key(|(until, _)| *until).filter(|(until, _)| *until <= target) else {
                break;
            };
            tries.arrive(Arrival::Timer, until);
            self.world.set_clock(self.world.clock().max(until));
            self.drive();
        }
        self.world.set_clock(self.world.clock().max(target));
    }

    pub(super) fn cancel(&mut self) {
        match self.phase {
            Phase::Forward { stage } if !self.has_returned() => {
                self.trace.push("cancelled".to_owned());
                self.turn_back(stage, Failure::new("cancelled", "the saga was cancelled").into());
                self.drive();
            }
            Phase::Back { .. } => {}
            Phase::Forward { .. } | Phase::Ended(..) => self.trace.push("not cancelled".to_owned()),
        }
    }

    pub(super) fn status(&self) -> Status {
        match self.phase {
            Phase::Forward { .. } | Phase::Back { .. } => Status::Waiting,
            Phase::Ended(status, _) => status,
        }
    }

    pub(super) fn failure(&self) -> Option<Failure> {
        match &self.phase {
            Phase::Forward { .. } => None,
            Phase::Back { failure, .. } => Some(Failure::from(failure)),
            Phase::Ended(_, failure) => failure.as_ref().map(Failure::from),
        }
    }

    pub(super) fn output(&self) -> Option<Payload> {
        let Phase::Ended(Status::Completed, _) = self.phase else { return None };
        let last = self.definition.stages.last()?;
        match (self.definition.output(), last.as_slice()) {
            (Some(named), _) => self.output_of(named),
            (None, [only]) => self.output_of(&only.spec.name),
            (None, several) => {
                let outputs = several.iter().map(|step| {
                    let output = self.output_of(&step.spec.name).map(|output| payload::decode(&output));
                    (step.spec.name.clone(), output.and_then(Result::ok).unwrap_or_default())
                });
                payload::encode(&outputs.collect::<serde_json::Map<_, _>>()).ok()
            }
        }
    }

    fn output_of(&self, name: &str) -> Option<Payload> {
        let steps = self.definition.stages.iter().flatten().zip(self.legs.iter().flatten());
        let (_, leg) = steps.into_iter().find(|(step, _)| step.spec.name == name)?;
        leg.output()
    }

    /// Runs until the saga ends or waits.
    fn drive(&mut self) {
        loop {
            let next = match self.phase {
                Phase::Forward { stage } => self.forward(stage),
                Phase::Back { stage, .. } => self.back(stage),
                Phase::Ended(..) => return,
            };
            match (next, &self.phase) {
                (Next::On, _) => {}
                (Next::Park, _) => return,
                (Next::Back(failure), Phase::Forward { stage }) => self.turn_back(*stage, failure),
                (Next::Back(failure), _) => self.end(Status::Compensated, Some(failure)),
                (Next::Stuck(step, failure), _) => {
                    self.trace.push(format!("stuck at {step}: {}", failure.code));
                    self.phase = Phase::Ended(Status::Stuck, Some(failure));
                }
            }
        }
    }

    fn end(&mut self, status: Status, failure: Option<WitFailure>) {
        self.trace.push(match &failure {
            Some(failure) => format!("compensated {}", failure.code),
            None => "completed".to_owned(),
        });
        self.phase = Phase::Ended(status, failure);
    }

    fn turn_back(&mut self, stage: usize, failure: WitFailure) {
        for leg in self.legs[stage].iter_mut().filter(|leg| matches!(leg.state, State::Open)) {
            leg.state = State::NotDone;
        }
        self.phase = Phase::Back { stage, failure };
    }

    /// One round through a stage: every step that is due, then on to the next stage or to the next backoff's end.
    fn forward(&mut self, stage: usize) -> Next {
        for step in 0..self.legs[stage].len() {
            if self.legs[stage][step].is_due(self.world.clock()) {
                let next = if self.legs[stage][step].ask { self.ask(stage, step) } else { self.attempt(stage, step) };
                // Steps of one stage begin together, so the others still get the attempt that is theirs.
                if let Next::Stuck(..) = next {
                    return next;
                }
                if let Next::Back(failure) = next {
                    for other in step + 1..self.legs[stage].len() {
                        if self.legs[stage][other].forward.attempt == 0 {
                            self.attempt(stage, other);
                        }
                    }
                    return Next::Back(failure);
                }
            }
        }
        if self.legs[stage].iter().all(|leg| matches!(leg.state, State::Done(_))) {
            match stage + 1 < self.legs.len() {
                true => self.phase = Phase::Forward { stage: stage + 1 },
                false => self.end(Status::Completed, None),
            }
            return Next::On;
        }
        let due = self.legs[stage].iter().filter(|leg| matches!(leg.state, State::Open)).filter_map(Leg::due_at).min();
        self.skip_to(due)
    }

    /// Moves the clock to a backoff's end, unless a timer is due before it.
    fn skip_to(&mut self, due: Option<Moment>) -> Next {
        let Some(due) = due else { return Next::Park };
        let timer = self.waiting().filter_map(|tries| Some((tries.until()?, tries))).min_by_key(|(until, _)| *until);
        let moment = match timer {
            Some((until, tries)) if until <= due => {
                tries.arrive(Arrival::Timer, until);
                until
            }
            _ => due,
        };
        self.world.set_clock(self.world.clock().max(moment));
        Next::On
    }

    fn attempt(&mut self, stage: usize, step: usize) -> Next {
        let call = self.call(stage, step, Direction::Forward);
        let ready = self.legs[stage][step].forward.begin(self.world.clock());
        let outcome = self.inside(stage, step, &call, ready, Erased::execute);
        let now = self.world.clock();
        let returned = self.has_returned();
        let spec = &self.definition.stages[stage][step].spec;
        let leg = &mut self.legs[stage][step];
        let name = spec.name.clone();
        let cannot_go_back = returned || (spec.kind == Kind::Pivot && spec.undo == Undo::None && leg.may_have_run);
        match outcome {
            Outcome::Done(output) => {
                self.trace.push(format!("{name} done"));
                leg.state = State::Done(output);
                Next::On
            }
            Outcome::Refused(failure) => {
                self.trace.push(format!("{name} refused {}", failure.code));
                leg.forward.last_failure = Some(failure.clone());
                if cannot_go_back {
                    return Next::Stuck(name, failure);
                }
                leg.state = State::NotDone;
                Next::Back(failure)
            }
            Outcome::Transient(failure) => {
                self.trace.push(format!("{name} transient {}", failure.code));
                if leg.forward.again(failure.clone(), &spec.retry, now) {
                    return Next::On;
                }
                exhausted(name, failure, cannot_go_back || spec.on_exhausted == OnExhausted::Stuck)
            }
            Outcome::Unknown(failure) => {
                self.trace.push(format!("{name} unknown {}", failure.code));
                leg.may_have_run |= !spec.effect_free;
                let cannot_go_back = returned || (spec.kind == Kind::Pivot && spec.undo == Undo::None);
                let again = leg.forward.again(failure.clone(), &spec.retry, now);
                match spec.on_unknown {
                    OnUnknown::OnceThenStop if !spec.effect_free => Next::Stuck(name, failure),
                    OnUnknown::OnceThenRollback if !spec.effect_free => Next::Back(failure),
                    _ if !again => exhausted(name, failure, cannot_go_back || spec.on_exhausted == OnExhausted::Stuck),
                    OnUnknown::Check => {
                        leg.ask = true;
                        leg.check = Tries::default();
                        Next::On
                    }
                    OnUnknown::Retry | OnUnknown::OnceThenStop | OnUnknown::OnceThenRollback => Next::On,
                }
            }
            Outcome::Wait(wait) => {
                self.trace.push(format!("{name} {}", waiting(&wait, now)));
                leg.may_have_run |= !spec.effect_free;
                leg.forward.wait(wait, &mut self.kept, now);
                Next::On
            }
        }
    }

    fn ask(&mut self, stage: usize, step: usize) -> Next {
        let call = self.call(stage, step, Direction::Check);
        let ready = self.legs[stage][step].check.begin(self.world.clock());
        let outcome = self.inside(stage, step, &call, ready, Erased::check);
        let now = self.world.clock();
        let spec = &self.definition.stages[stage][step].spec;
        let leg = &mut self.legs[stage][step];
        let name = spec.name.clone();
        match outcome {
            CheckOutcome::Done(output) => {
                self.trace.push(format!("check {name} done"));
                leg.state = State::Done(output);
                Next::On
            }
            CheckOutcome::NotDone => {
                self.trace.push(format!("check {name} not done"));
                leg.ask = false;
                Next::On
            }
            CheckOutcome::Unknown(failure) => {
                self.trace.push(format!("check {name} unknown {}", failure.code));
                match leg.check.again(failure.clone(), &spec.retry, now) {
                    true => Next::On,
                    false => Next::Stuck(name, failure),
                }
            }
        }
    }

    /// Undoes a stage, its last step first, and goes on to the one before.
    fn back(&mut self, stage: usize) -> Next {
        let mut stuck = None;
        for step in (0..self.legs[stage].len()).rev() {
            if !self.needs_undo(stage, step) {
                continue;
            }
            match self.undo(stage, step) {
                Next::On => {}
                Next::Stuck(name, failure) => stuck = stuck.or(Some(Next::Stuck(name, failure))),
                parked => return parked,
            }
        }
        if let Some(stuck) = stuck {
            return stuck;
        }
        let Phase::Back { stage, failure } = &mut self.phase else { return Next::On };
        match stage.checked_sub(1) {
            Some(before) => {
                *stage = before;
                Next::On
            }
            None => Next::Back(failure.clone()),
        }
    }

    fn needs_undo(&self, stage: usize, step: usize) -> bool {
        let leg = &self.legs[stage][step];
        let stands = match leg.state {
            State::Done(_) => true,
            State::Open | State::NotDone => leg.may_have_run,
            State::Undone => false,
        };
        stands && matches!(self.definition.stages[stage][step].spec.undo, Undo::Code(_))
    }

    /// Tries one compensation until it is done, waits, or is stuck.
    fn undo(&mut self, stage: usize, step: usize) -> Next {
        loop {
            if self.legs[stage][step].undo.waiting.is_some() {
                return Next::Park;
            }
            let call = self.call(stage, step, Direction::Undo);
            let ready = self.legs[stage][step].undo.begin(self.world.clock());
            let outcome = self.inside(stage, step, &call, ready, Erased::compensate);
            let now = self.world.clock();
            let spec = &self.definition.stages[stage][step].spec;
            let Undo::Code(policy) = &spec.undo else { return Next::On };
            let leg = &mut self.legs[stage][step];
            let name = format!("undo {}", spec.name);
            let failure = match outcome {
                UndoOutcome::Done => {
                    self.trace.push(format!("{name} done"));
                    leg.state = State::Undone;
                    return Next::On;
                }
                UndoOutcome::Wait(wait) => {
                    self.trace.push(format!("{name} {}", waiting(&wait, now)));
                    leg.undo.wait(wait, &mut self.kept, now);
                    continue;
                }
                UndoOutcome::Transient(failure) => {
                    self.trace.push(format!("{name} transient {}", failure.code));
                    failure
                }
                UndoOutcome::Unknown(failure) => {
                    self.trace.push(format!("{name} unknown {}", failure.code));
                    failure
                }
            };
            if !leg.undo.again(failure.clone(), &policy.retry, now) {
                return Next::Stuck(name, failure);
            }
            self.world.set_clock(leg.undo.again_at.unwrap_or(now));
        }
    }

    /// After the pivot is done, or, without one, once a retriable step has begun.
    fn has_returned(&self) -> bool {
        let mut steps = self.definition.stages.iter().flatten().zip(self.legs.iter().flatten());
        steps.any(|(step, leg)| match step.spec.kind {
            Kind::Compensatable => false,
            Kind::Pivot => matches!(leg.state, State::Done(_)),
            Kind::Retriable => leg.forward.attempt > 0,
        })
    }

    fn waiting(&mut self) -> impl Iterator<Item = &mut Tries> {
        let back = matches!(self.phase, Phase::Back { .. });
        let tries = self.legs.iter_mut().flatten().map(move |leg| if back { &mut leg.undo } else { &mut leg.forward });
        tries.filter(|tries| tries.waiting.is_some())
    }

    fn inside<T>(&self, stage: usize, step: usize, call: &Call, ready: Moment, run: fn(&Erased, &Call) -> T) -> T {
        let erased = &self.definition.stages[stage][step];
        self.world.begin(call, ready, erased.spec.effect_free);
        host::inside(self.world.clone(), || run(erased, call))
    }

    fn call(&self, stage: usize, step: usize, direction: Direction) -> Call {
        let spec = &self.definition.stages[stage][step].spec;
        let leg = &self.legs[stage][step];
        let forward_key = format!("{}/{}", self.id, spec.name);
        let (tries, key, deadline_ms) = match (direction, &spec.undo) {
            (Direction::Undo, Undo::Code(policy)) => (&leg.undo, format!("{forward_key}/undo"), policy.deadline_ms),
            (Direction::Undo, Undo::None | Undo::Nothing) => (&leg.undo, format!("{forward_key}/undo"), 0),
            (Direction::Forward, _) => (&leg.forward, forward_key.clone(), spec.deadline_ms),
            (Direction::Check, _) => (&leg.check, format!("{forward_key}/check"), spec.deadline_ms),
        };
        let needed = |name: &String| Some(Named { name: name.clone(), payload: self.output_of(name)? });
        Call::new(WitCall {
            saga: self.id.clone(),
            definition: self.definition.name.to_string(),
            step: spec.name.clone(),
            path: spec.name.clone(),
            element: None,
            direction,
            alternate: 0,
            undo_alternate: 0,
            round: 0,
            attempt: tries.attempt + 1,
            key,
            forward_key,
            deadline_at: (self.world.clock() + Duration::from_millis(deadline_ms)).as_millis(),
            input: self.input.clone(),
            outputs: spec.needs.iter().filter_map(needed).collect(),
            own_output: if direction == Direction::Undo { leg.output() } else { None },
            last_failure: tries.last_failure.clone().or_else(|| leg.forward.last_failure.clone()),
            may_have_run: leg.may_have_run,
            arrived: tries.arrived.clone(),
        })
    }
}

impl Leg {
    fn output(&self) -> Option<Payload> {
        match &self.state {
            State::Done(output) => Some(output.clone()),
            State::Open | State::NotDone | State::Undone => None,
        }
    }

    fn tries(&self) -> &Tries {
        if self.ask { &self.check } else { &self.forward }
    }

    fn is_due(&self, now: Moment) -> bool {
        let tries = self.tries();
        matches!(self.state, State::Open) && tries.waiting.is_none() && tries.again_at.is_none_or(|again_at| again_at <= now)
    }

    /// When a step that does not wait is due; at once if it never ran, or if what it waited for has come.
    fn due_at(&self) -> Option<Moment> {
        let tries = self.tries();
        tries.waiting.is_none().then(|| tries.again_at.unwrap_or_default())
    }
}

impl Tries {
    fn begin(&mut self, now: Moment) -> Moment {
        self.attempt += 1;
        self.again_at = None;
        *self.ready.get_or_insert(now)
    }

    /// Plans another attempt; false if none is left.
    fn again(&mut self, failure: WitFailure, policy: &WitRetry, now: Moment) -> bool {
        self.used += 1;
        self.last_failure = Some(failure);
        let again_at = now + Duration::from_millis(Retry::delay_ms(policy, self.used));
        self.again_at = Some(again_at);
        let spent = again_at.since(self.ready.unwrap_or(now)).saturating_sub(self.waited);
        let in_box = policy.time_box_ms.is_none_or(|time_box_ms| millis(spent) <= time_box_ms);
        policy.attempts_max.is_none_or(|attempts_max| self.used < attempts_max) && in_box
    }

    fn wait(&mut self, wait: Wait, kept: &mut Vec<EventArrival>, now: Moment) {
        assert!(wait.event.is_some() || wait.until.is_some(), "a wait needs an event or a moment");
        self.arrived = None;
        self.waiting = Some((wait, now));
        if let Some(position) = kept.iter().position(|event| self.waits_for(event)) {
            self.arrive(Arrival::Event(kept.remove(position)), now);
        }
    }

    fn waits_for(&self, event: &EventArrival) -> bool {
        let Some((Wait { event: Some(wanted), .. }, _)) = &self.waiting else { return false };
        wanted.event_type == event.event_type && wanted.key == event.key
    }

    fn until(&self) -> Option<Moment> {
        self.waiting.as_ref().and_then(|(wait, _)| wait.until).map(Moment::from_millis)
    }

    fn arrive(&mut self, arrival: Arrival, now: Moment) {
        if let Some((_, since)) = self.waiting.take() {
            self.waited += now.since(since);
        }
        self.arrived = Some(arrival);
    }
}

fn exhausted(name: String, failure: WitFailure, stuck: bool) -> Next {
    if stuck {
        return Next::Stuck(name, failure);
    }
    Next::Back(WitFailure { code: "exhausted".to_owned(), message: format!("{name}: {}", failure.message), data: None })
}
