//! The way back of one step: its compensation, then the compensation's alternates.

use super::{Leg, Verdict};
use crate::bindings::saga::exports::amends::module::saga::{Direction, RollbackCause, Undo, UndoOutcome};
use crate::testing::course::Course;
use crate::testing::trace::waiting;
use crate::testing::tries::{State, Tries, taken};

impl Leg {
    /// Asks the step to be undone, if anything of it stands and nobody has asked.
    pub(in crate::testing) fn unwind(&mut self, course: &Course) {
        if self.stands() && matches!(self.way.undo.state, State::Idle) {
            self.way.undo.begin(course.now());
        }
    }

    /// The step is done or may have run, and has a compensation that was not done.
    pub(in crate::testing) fn stands(&self) -> bool {
        let stands = matches!(self.way.verdict, Verdict::Done(_)) || self.way.forward.may_have_run;
        stands && !self.way.undone && matches!(self.step.spec.undo, Undo::Code(_))
    }

    /// The rollback's cause, else the refusal of the way that is undone before the next one, or before the refusal is a result.
    pub(super) fn cause_of_undo(&self, course: &Course) -> Option<RollbackCause> {
        let refusal = || match &self.way.verdict {
            Verdict::Refused(failure) => Some(RollbackCause::AlternateRefused(failure.clone())),
            Verdict::Open | Verdict::Done(_) => None,
        };
        course.rollback.clone().or_else(refusal)
    }

    /// One attempt of the compensation.
    pub(super) fn undo(&mut self, course: &mut Course) {
        let Undo::Code(policy) = self.step.spec.undo else { return };
        let outcome = self.compensate(course);
        let (now, name) = (course.now(), format!("undo {}", self.name()));
        let by = match self.way.undo_alternate {
            0 => name.clone(),
            alternate => format!("{name} by alternate {alternate}"),
        };
        if let UndoOutcome::Done | UndoOutcome::Wait(_) = outcome {
            self.send_messages(&by, Direction::Undo, course);
        }
        let reaches_outside = !policy.effect_free;
        let (word, failure) = match outcome {
            UndoOutcome::Done => {
                course.trace.push(format!("{by} done"));
                (self.way.undo.state, self.way.undone) = (State::Over, true);
                if !course.rolls_back() {
                    self.take_next_way(now);
                }
                return;
            }
            UndoOutcome::Wait(wait) => {
                let wait = taken(wait, self.way.undo.attempt, now);
                course.trace.push(format!("{by} {}", waiting(&wait, now)));
                self.way.undo.may_have_run |= reaches_outside;
                return self.way.undo.wait(wait, &mut course.kept, now);
            }
            UndoOutcome::Unknown(failure) if reaches_outside => {
                self.way.undo.may_have_run = true;
                ("unknown", failure)
            }
            UndoOutcome::Transient(failure) | UndoOutcome::Unknown(failure) => ("transient", failure),
        };
        course.trace.push(format!("{by} {word} {}", failure.code));
        self.way.undo.fail(&failure);
        self.way.undo.forget_refusal();
        if self.way.undo.again(&policy.retry, now) {
            return;
        }
        if self.way.undo_alternate < policy.alternates {
            self.way.undo_alternate += 1;
            self.way.undo = Tries::default();
            self.way.undo.begin(now);
        } else {
            course.trace.push(format!("stuck at {name}: {}", failure.code));
            self.way.undo.state = State::Stuck(failure);
        }
    }
}
