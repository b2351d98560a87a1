//! One step that code runs: its attempts, its alternates, and the way back.

mod call;
mod undo;

use std::rc::Rc;

use crate::Moment;
use crate::bindings::imports::amends::module::types::Payload;
use crate::bindings::saga::exports::amends::module::saga::{
    CheckOutcome, Direction, Failure as WitFailure, Kind, OnExhausted, OnUnknown, Outcome, RollbackCause, Undo,
};
use crate::step::Erased;
use crate::testing::course::{Course, Moved, Undone, Why};
use crate::testing::trace::waiting;
use crate::testing::tries::Tries;

pub(super) use call::Place;

/// One step in one round.
pub(super) struct Leg {
    step: Rc<Erased>,
    place: Place,
    round: u32,
    state: State,
    way: Way,
}

enum State {
    Open,
    /// The way was refused and may have run: it is undone to its end before the next one begins.
    Leaving(WitFailure),
    Done(Payload),
    /// Refused, or overtaken by a rollback.
    NotDone,
    Undone,
}

/// One way of doing the step: the first, or an alternate.
#[derive(Default)]
struct Way {
    alternate: u32,
    undo_alternate: u32,
    /// An attempt has ended unknown, or in a wait.
    may_have_run: bool,
    /// The next thing to do is to ask.
    ask: bool,
    /// Why this way is undone, once its compensation has begun: every attempt is told the same.
    undone_for: Option<RollbackCause>,
    /// Why this way is taken: the refusal of the one before, or what began the round.
    cause: Option<WitFailure>,
    forward: Tries,
    check: Tries,
    undo: Tries,
    stuck: Option<WitFailure>,
}

impl Leg {
    pub(super) fn new(step: Rc<Erased>, place: Place, course: &Course) -> Leg {
        let way = Way { cause: course.cause.clone(), ..Way::default() };
        Leg { step, place, round: course.round, state: State::Open, way }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.way.alternate > 0 || self.way.forward.attempt > 0
    }

    pub(super) fn output(&self) -> Option<&Payload> {
        match &self.state {
            State::Done(output) => Some(output),
            State::Open | State::Leaving(_) | State::NotDone | State::Undone => None,
        }
    }

    /// When there is something to do on the way forward.
    pub(super) fn due_at(&self) -> Option<Moment> {
        match self.state {
            State::Open if self.way.ask => self.way.check.due_at(),
            State::Open => self.way.forward.due_at(),
            State::Leaving(_) => self.way.undo.due_at(),
            State::Done(_) | State::NotDone | State::Undone => None,
        }
    }

    /// Everything of this step that may wait.
    pub(super) fn tries(&mut self) -> impl Iterator<Item = &mut Tries> {
        [&mut self.way.forward, &mut self.way.undo].into_iter()
    }

    /// A rollback begins: what waits going forward waits no longer.
    pub(super) fn close(&mut self) {
        self.way.forward.waiting = None;
        if let State::Open | State::Leaving(_) = self.state {
            self.state = State::NotDone;
        }
    }

    /// The next thing on the way forward.
    pub(super) fn forward(&mut self, course: &mut Course) -> Moved {
        match &self.state {
            State::Leaving(failure) => {
                let failure = failure.clone();
                self.leave(failure, course)
            }
            _ if self.way.ask => self.ask(course),
            _ => self.attempt(course),
        }
    }

    fn attempt(&mut self, course: &mut Course) -> Moved {
        let call = self.call(Direction::Forward, course);
        let ready = self.way.forward.begin(course.world.clock());
        let outcome = self.inside(&call, ready, course, Erased::execute);
        let now = course.world.clock();
        let spec = &self.step.spec;
        let way = &mut self.way;
        let name = named(&self.place.path, way.alternate);
        course.returned |= spec.kind == Kind::Retriable;
        match outcome {
            Outcome::Done(output) => {
                course.trace.push(format!("{name} done"));
                course.returned |= spec.kind == Kind::Pivot;
                self.state = State::Done(output);
                Moved::On
            }
            Outcome::Refused(failure) => {
                course.trace.push(format!("{name} refused {}", failure.code));
                way.forward.last_failure = Some(failure.clone());
                self.leave(failure, course)
            }
            Outcome::Transient(failure) => {
                course.trace.push(format!("{name} transient {}", failure.code));
                match way.forward.again(failure.clone(), &spec.retry, now) {
                    true => Moved::On,
                    false => self.exhausted(failure, course),
                }
            }
            Outcome::Unknown(failure) => {
                course.trace.push(format!("{name} unknown {}", failure.code));
                way.may_have_run |= !spec.effect_free;
                let again = way.forward.again(failure.clone(), &spec.retry, now);
                let path = self.place.path.clone();
                match spec.on_unknown {
                    OnUnknown::OnceThenStop if !spec.effect_free => Moved::Stuck { at: path, failure },
                    OnUnknown::OnceThenRollback if !spec.effect_free => Moved::Failed { path, failure, why: Why::Unknown },
                    _ if !again => self.exhausted(failure, course),
                    OnUnknown::Check => {
                        way.ask = true;
                        way.check = Tries::default();
                        Moved::On
                    }
                    OnUnknown::Retry | OnUnknown::OnceThenStop | OnUnknown::OnceThenRollback => Moved::On,
                }
            }
            Outcome::Wait(wait) => {
                course.trace.push(format!("{name} {}", waiting(&wait, now)));
                way.may_have_run |= !spec.effect_free;
                way.forward.wait(wait, &mut course.kept, now);
                Moved::On
            }
        }
    }

    /// This way was refused: on to the next, once nothing of this one stands.
    fn leave(&mut self, failure: WitFailure, course: &mut Course) -> Moved {
        let path = self.place.path.clone();
        if self.way.may_have_run && self.cannot_be_undone() {
            return Moved::Stuck { at: path, failure };
        }
        if self.way.alternate == self.step.spec.alternates {
            self.state = State::NotDone;
            return Moved::Failed { path, failure, why: Why::Refused };
        }
        self.state = State::Leaving(failure.clone());
        if self.needs_undo() {
            match self.undo(course) {
                Undone::Yes => {}
                Undone::Waiting => return Moved::On,
                Undone::Stuck { at, failure } => return Moved::Stuck { at, failure },
            }
        }
        self.state = State::Open;
        self.way = Way { alternate: self.way.alternate + 1, cause: Some(failure), ..Way::default() };
        Moved::On
    }

    fn exhausted(&self, failure: WitFailure, course: &Course) -> Moved {
        let path = self.place.path.clone();
        if course.returned || self.step.spec.on_exhausted == OnExhausted::Stuck || (self.way.may_have_run && self.is_final()) {
            return Moved::Stuck { at: path, failure };
        }
        Moved::Failed { path, failure, why: Why::Exhausted }
    }

    /// A pivot without an undo: if it may have run, nothing but an operator goes back.
    fn is_final(&self) -> bool {
        self.step.spec.kind == Kind::Pivot && self.step.spec.undo == Undo::None
    }

    /// Before another way, or a rollback, can begin, this one would have to be undone, and nobody can.
    fn cannot_be_undone(&self) -> bool {
        let another = self.way.alternate < self.step.spec.alternates;
        self.is_final() || (another && self.step.spec.undo == Undo::None)
    }

    fn ask(&mut self, course: &mut Course) -> Moved {
        let call = self.call(Direction::Check, course);
        let ready = self.way.check.begin(course.world.clock());
        let outcome = self.inside(&call, ready, course, Erased::check);
        let now = course.world.clock();
        let name = named(&self.place.path, self.way.alternate);
        match outcome {
            CheckOutcome::Done(output) => {
                course.trace.push(format!("check {name} done"));
                course.returned |= self.step.spec.kind == Kind::Pivot;
                self.state = State::Done(output);
                Moved::On
            }
            CheckOutcome::NotDone => {
                course.trace.push(format!("check {name} not done"));
                self.way.ask = false;
                // What cannot be undone is taken at its check's word; what can is undone all the same.
                self.way.may_have_run &= matches!(self.step.spec.undo, Undo::Code(_));
                Moved::On
            }
            CheckOutcome::Unknown(failure) => {
                course.trace.push(format!("check {name} unknown {}", failure.code));
                match self.way.check.again(failure.clone(), &self.step.spec.retry, now) {
                    true => Moved::On,
                    false => Moved::Stuck { at: self.place.path.clone(), failure },
                }
            }
        }
    }
}

/// As the trace calls a way of doing a step.
fn named(path: &str, alternate: u32) -> String {
    match alternate {
        0 => path.to_owned(),
        _ => format!("{path} alternate {alternate}"),
    }
}
