//! One step that code runs: its attempts forward, its questions, its alternates.

mod call;
mod command;
mod messages;
mod undo;

use std::rc::Rc;

use crate::Moment;
use crate::bindings::imports::amends::module::types::Payload;
use crate::bindings::saga::exports::amends::module::saga::{
    CheckOutcome, Direction, EachMode, Failure as WitFailure, Kind, OnExhausted, OnUnknown, Outcome, RollbackCause, Undo,
};
use crate::step::Erased;
use crate::stop::Failure;
use crate::testing::course::{Course, Failed, Why};
use crate::testing::trace::waiting;
use crate::testing::tries::{State, Tries, taken};

pub(super) use call::Place;

/// One step in one round.
pub(super) struct Leg {
    step: Rc<Erased>,
    place: Place,
    round: u32,
    way: Way,
}

/// One way of doing the step: the first, or an alternate.
#[derive(Default)]
struct Way {
    alternate: u32,
    undo_alternate: u32,
    /// Why this way is taken: the refusal of the one before, or what began the round.
    cause: Option<WitFailure>,
    verdict: Verdict,
    undone: bool,
    /// Why it is undone, once its compensation has begun: every attempt is told the same.
    undone_for: Option<RollbackCause>,
    forward: Tries,
    check: Tries,
    undo: Tries,
}

/// What is known of this way.
#[derive(Default)]
enum Verdict {
    #[default]
    Open,
    Done(Payload),
    Refused(WitFailure),
}

impl Leg {
    pub(super) fn new(step: Rc<Erased>, place: Place, course: &Course) -> Leg {
        let way = Way { cause: course.cause.clone(), ..Way::default() };
        Leg { step, place, round: course.round, way }
    }

    /// Its turn has come.
    pub(super) fn begin(&mut self, now: Moment) {
        self.way.forward.begin(now);
    }

    /// Opens the attempt that is due; whether there was one. Nothing is due forward in a rollback.
    pub(super) fn open(&mut self, course: &mut Course) -> bool {
        let opened = self.tries_mut().into_iter().any(|tries| tries.open(course.now()));
        if opened && self.way.undo.is_open() {
            self.way.undone_for = self.way.undone_for.take().or_else(|| self.cause_of_undo(course));
        }
        course.past_point_of_no_return |= self.step.spec.kind == Kind::Retriable && self.way.forward.is_open();
        opened
    }

    pub(super) fn tries(&self) -> [&Tries; 3] {
        [&self.way.forward, &self.way.check, &self.way.undo]
    }

    pub(super) fn tries_mut(&mut self) -> [&mut Tries; 3] {
        [&mut self.way.forward, &mut self.way.check, &mut self.way.undo]
    }

    pub(super) fn path(&self) -> &str {
        &self.place.path
    }

    /// Why it needs an operator.
    pub(super) fn stuck(&self) -> Option<&WitFailure> {
        self.tries().into_iter().find_map(|tries| match &tries.state {
            State::Stuck(failure) => Some(failure),
            State::Idle | State::Due(_) | State::Open | State::Waiting(..) | State::Over => None,
        })
    }

    /// An attempt is open that is no compensation.
    pub(super) fn is_open_forward(&self) -> bool {
        self.way.forward.is_open() || self.way.check.is_open()
    }

    pub(super) fn output(&self) -> Option<&Payload> {
        match &self.way.verdict {
            Verdict::Done(output) => Some(output),
            Verdict::Open | Verdict::Refused(_) => None,
        }
    }

    /// Why it was refused, if that is a result: nothing of it stands, and nothing may.
    pub(super) fn refusal(&self) -> Option<&WitFailure> {
        let may_stand = self.is_in_doubt() && !self.way.undone && self.step.spec.undo != Undo::Nothing;
        let over = !self.way.forward.is_busy() && !matches!(self.way.forward.state, State::Stuck(_));
        match &self.way.verdict {
            Verdict::Refused(failure) if over && self.collects() && !may_stand && !self.has_another_way() => Some(failure),
            Verdict::Open | Verdict::Done(_) | Verdict::Refused(_) => None,
        }
    }

    /// A rollback begins: waits, backoffs and what is stuck going forward end. What is open ends by itself.
    pub(super) fn close(&mut self) {
        self.way.forward.close();
        self.way.check.close();
    }

    /// Runs the open attempt; if it has failed for good, the saga rolls back.
    pub(super) fn run(&mut self, course: &mut Course) -> Option<Failed> {
        if self.way.forward.is_open() {
            self.attempt(course)
        } else if self.way.check.is_open() {
            self.ask(course)
        } else {
            if self.way.undo.is_open() {
                self.undo(course);
            }
            None
        }
    }

    fn attempt(&mut self, course: &mut Course) -> Option<Failed> {
        let outcome = self.execute(course);
        let (now, name) = (course.now(), self.name());
        if let Outcome::Done(_) | Outcome::Wait(_) = outcome {
            self.send_messages(&name, Direction::Forward, course);
        }
        let reaches_outside = !self.step.spec.effect_free;
        let forward = &mut self.way.forward;
        match outcome {
            Outcome::Done(output) => {
                course.trace.push(format!("{name} done"));
                self.done(output, course);
                None
            }
            Outcome::Refused(failure) => {
                course.trace.push(format!("{name} refused {}", failure.code));
                (forward.state, forward.last_failure) = (State::Over, Some(failure.clone()));
                self.way.verdict = Verdict::Refused(failure.clone());
                self.refused(failure, course)
            }
            // What cannot reach outside has not happened, whatever it says of itself.
            Outcome::Unknown(failure) if reaches_outside => {
                course.trace.push(format!("{name} unknown {}", failure.code));
                forward.fail(&failure);
                forward.may_have_run = true;
                self.unknown(failure, course)
            }
            Outcome::Transient(failure) | Outcome::Unknown(failure) => {
                course.trace.push(format!("{name} transient {}", failure.code));
                forward.fail(&failure);
                self.again(failure, course)
            }
            Outcome::Wait(wait) => {
                let wait = taken(wait, forward.attempt, now);
                course.trace.push(format!("{name} {}", waiting(&wait, now)));
                forward.may_have_run |= reaches_outside;
                match course.rolls_back() {
                    true => forward.state = State::Over,
                    false => forward.wait(wait, &mut course.kept, now),
                }
                None
            }
        }
    }

    fn done(&mut self, output: Payload, course: &mut Course) {
        (self.way.forward.state, self.way.check.state) = (State::Over, State::Over);
        self.way.verdict = Verdict::Done(output);
        course.past_point_of_no_return |= self.step.spec.kind == Kind::Pivot;
    }

    /// This way was refused: on to the next, once nothing of this one stands. A refusal that is collected is a result by then.
    fn refused(&mut self, failure: WitFailure, course: &mut Course) -> Option<Failed> {
        let goes_on = self.has_another_way() || (self.collects() && (!self.is_in_doubt() || self.step.spec.undo != Undo::None));
        match goes_on {
            _ if course.rolls_back() => None,
            true if self.stands() => {
                self.way.undo.begin(course.now());
                None
            }
            true => {
                self.take_next_way(course.now());
                None
            }
            false => self.give_up(Why::Refused, failure, course),
        }
    }

    /// The next way takes over if there is one, with a key, attempts and retries of its own.
    fn take_next_way(&mut self, now: Moment) {
        if let (Verdict::Refused(failure), true) = (&self.way.verdict, self.has_another_way()) {
            self.way = Way { alternate: self.way.alternate + 1, cause: Some(failure.clone()), ..Way::default() };
            self.begin(now);
        }
    }

    /// Another way follows if this one is refused. One that may have run and cannot be undone makes no place for it.
    fn has_another_way(&self) -> bool {
        let spec = &self.step.spec;
        self.way.alternate < spec.alternates && (spec.undo != Undo::None || !self.is_in_doubt())
    }

    fn collects(&self) -> bool {
        self.step.spec.each.as_ref().is_some_and(|each| each.mode == EachMode::Collect)
    }

    fn unknown(&mut self, failure: WitFailure, course: &mut Course) -> Option<Failed> {
        match self.step.spec.on_unknown {
            _ if course.rolls_back() => None,
            OnUnknown::Retry => self.again(failure, course),
            OnUnknown::Check => {
                self.way.check.ask_anew(course.now());
                None
            }
            OnUnknown::OnceThenRollback => self.give_up(Why::Unknown, failure, course),
            OnUnknown::OnceThenStop => {
                self.stick(failure, course);
                None
            }
        }
    }

    /// Another forward attempt, if one is left.
    fn again(&mut self, failure: WitFailure, course: &mut Course) -> Option<Failed> {
        if course.rolls_back() || self.way.forward.again(&self.step.spec.retry, course.now()) {
            return None;
        }
        self.give_up(Why::Exhausted, failure, course)
    }

    fn ask(&mut self, course: &mut Course) -> Option<Failed> {
        let outcome = self.inside(Direction::Check, course, Erased::check);
        let name = self.name();
        match outcome {
            CheckOutcome::Done(output) => {
                course.trace.push(format!("check {name} done"));
                self.done(output, course);
                None
            }
            CheckOutcome::NotDone => {
                course.trace.push(format!("check {name} not done"));
                self.way.check.state = State::Over;
                // What cannot be undone is taken at its check's word; what can is undone all the same.
                self.way.forward.may_have_run &= matches!(self.step.spec.undo, Undo::Code(_));
                let not_done = Failure::new("not_done", "the check found that it did not happen");
                self.again(not_done.into(), course)
            }
            CheckOutcome::Unknown(failure) => {
                course.trace.push(format!("check {name} unknown {}", failure.code));
                self.way.check.fail(&failure);
                if course.rolls_back() || self.way.check.again(&self.step.spec.retry, course.now()) {
                    return None;
                }
                self.give_up(Why::Exhausted, failure, course)
            }
        }
    }

    /// Nothing is left to try: back, if there is a way back, else it needs an operator.
    fn give_up(&mut self, why: Why, failure: WitFailure, course: &mut Course) -> Option<Failed> {
        let spec = &self.step.spec;
        let stays = spec.kind == Kind::Retriable
            || course.past_point_of_no_return
            || (why == Why::Exhausted && spec.on_exhausted == OnExhausted::Stuck);
        if stays || self.is_pivot_in_doubt() {
            self.stick(failure, course);
            return None;
        }
        Some(Failed { path: self.place.path.clone(), failure, why })
    }

    /// Only an operator can say how it goes on.
    fn stick(&mut self, failure: WitFailure, course: &mut Course) {
        course.trace.push(format!("stuck at {}: {}", self.place.path, failure.code));
        self.way.forward.state = State::Stuck(failure);
    }

    /// A pivot without an undo that may have run: nothing but an operator goes back.
    pub(super) fn is_pivot_in_doubt(&self) -> bool {
        let spec = &self.step.spec;
        spec.kind == Kind::Pivot && self.is_in_doubt() && !matches!(spec.undo, Undo::Code(_))
    }

    /// The pivot's outcome decides about a cancel: it is open, or nobody can tell.
    pub(super) fn holds_a_cancel(&self) -> bool {
        self.step.spec.kind == Kind::Pivot && (self.is_open_forward() || self.is_pivot_in_doubt())
    }

    fn is_in_doubt(&self) -> bool {
        self.output().is_none() && self.way.forward.may_have_run
    }

    /// As the trace calls the way in hand.
    fn name(&self) -> String {
        match self.way.alternate {
            0 => self.place.path.clone(),
            alternate => format!("{} alternate {alternate}", self.place.path),
        }
    }
}
