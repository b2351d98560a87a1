//! The way back of one step: its compensation, then the compensation's alternates.

use super::{Leg, State, named};
use crate::bindings::saga::exports::amends::module::saga::{Direction, RollbackCause, Undo, UndoOutcome};
use crate::step::Erased;
use crate::testing::course::{Course, Undone};
use crate::testing::trace::waiting;
use crate::testing::tries::Tries;

impl Leg {
    /// Undoes the step if it is done or may have run.
    pub(in crate::testing) fn back(&mut self, course: &mut Course) -> Undone {
        match self.needs_undo() {
            true => self.undo(course),
            false => Undone::Yes,
        }
    }

    pub(super) fn needs_undo(&self) -> bool {
        let stands = match self.state {
            State::Done(_) => true,
            State::Open | State::Leaving(_) | State::NotDone => self.way.may_have_run,
            State::Undone => false,
        };
        stands && matches!(self.step.spec.undo, Undo::Code(_))
    }

    /// The rollback's cause, else the refusal that the next way waits for.
    fn cause_of_undo(&self, course: &Course) -> Option<RollbackCause> {
        let refusal = || match &self.state {
            State::Leaving(failure) => Some(RollbackCause::AlternateRefused(failure.clone())),
            State::Open | State::Done(_) | State::NotDone | State::Undone => None,
        };
        course.rollback.clone().or_else(refusal)
    }

    /// Tries the compensation, then its alternates, until one is done, waits, or none is left.
    pub(super) fn undo(&mut self, course: &mut Course) -> Undone {
        let name = format!("undo {}", named(&self.place.path, self.way.alternate));
        loop {
            if let Some(failure) = self.way.stuck.clone() {
                return Undone::Stuck { at: name, failure };
            }
            if self.way.undo.waiting.is_some() {
                return Undone::Waiting;
            }
            let by = match self.way.undo_alternate {
                0 => name.clone(),
                alternate => format!("{name} by alternate {alternate}"),
            };
            self.way.undone_for = self.way.undone_for.take().or_else(|| self.cause_of_undo(course));
            let call = self.call(Direction::Undo, course);
            let ready = self.way.undo.begin(course.world.clock());
            let outcome = self.inside(&call, ready, course, Erased::compensate);
            let now = course.world.clock();
            let Undo::Code(policy) = &self.step.spec.undo else { return Undone::Yes };
            let way = &mut self.way;
            let (word, failure) = match outcome {
                UndoOutcome::Done => {
                    course.trace.push(format!("{by} done"));
                    self.state = State::Undone;
                    return Undone::Yes;
                }
                UndoOutcome::Wait(wait) => {
                    course.trace.push(format!("{by} {}", waiting(&wait, now)));
                    way.undo.wait(wait, &mut course.kept, now);
                    continue;
                }
                UndoOutcome::Transient(failure) => ("transient", failure),
                UndoOutcome::Unknown(failure) => ("unknown", failure),
            };
            course.trace.push(format!("{by} {word} {}", failure.code));
            if way.undo.again(failure.clone(), &policy.retry, now) {
                course.world.set_clock(way.undo.again_at.unwrap_or(now));
            } else if way.undo_alternate < policy.alternates {
                way.undo_alternate += 1;
                way.undo = Tries::default();
            } else {
                way.stuck = Some(failure);
            }
        }
    }
}
