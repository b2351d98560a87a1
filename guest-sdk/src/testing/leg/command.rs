//! A step that is a command: which one an attempt sends, and what its answer is for the step.

use serde_json::{Value, json};

use super::Leg;
use crate::bindings::saga::exports::amends::module::saga::{Body, CommandStep, Direction, Outcome, UndoOutcome};
use crate::payload;
use crate::step::Erased;
use crate::stop::Failure;
use crate::testing::aggregates::Sent;
use crate::testing::course::Course;
use crate::testing::pointer;

const ID_BYTES_MAX: usize = 128;

impl Leg {
    /// One attempt forward, by code or by a command.
    pub(super) fn execute(&self, course: &Course) -> Outcome {
        match &self.step.spec.body {
            Body::Command(command) => self.send(command, &command.command, Direction::Forward, course),
            Body::Code | Body::Child(_) => self.inside(Direction::Forward, course, Erased::execute),
        }
    }

    /// One attempt of the compensation. It cannot be refused: it is tried again.
    pub(super) fn compensate(&self, course: &Course) -> UndoOutcome {
        let outcome = match &self.step.spec.body {
            Body::Command(command @ CommandStep { undo: Some(undo), .. }) => self.send(command, undo, Direction::Undo, course),
            Body::Command(_) | Body::Code | Body::Child(_) => return self.inside(Direction::Undo, course, Erased::compensate),
        };
        match outcome {
            Outcome::Done(_) => UndoOutcome::Done,
            Outcome::Refused(failure) | Outcome::Transient(failure) | Outcome::Unknown(failure) => {
                UndoOutcome::Transient(failure)
            }
            Outcome::Wait(wait) => UndoOutcome::Wait(wait),
        }
    }

    fn send(&self, command: &CommandStep, name: &str, direction: Direction, course: &Course) -> Outcome {
        match self.filled_in(command, name) {
            Ok(sent) => course.world.send_command(&sent, self.call(direction, course).key()),
            Err(failure) => Outcome::Refused(failure.into()),
        }
    }

    fn filled_in(&self, command: &CommandStep, name: &str) -> Result<Sent, Failure> {
        let missing = |code: &str, what: &str, at: &str| Failure::new(code, format_args!("there is {what} at `{at}`"));
        let input: Value = payload::decode(&self.place.input).unwrap_or_default();
        let from = json!({"input": input, "outputs": *self.place.sources});
        let id = pointer::key(&from, &command.id).filter(|id| is_id(id));
        let id = id.ok_or_else(|| missing("no_id", "no id of an aggregate", &command.id))?;
        let data = from.pointer(&command.data).cloned().ok_or_else(|| missing("no_data", "nothing", &command.data))?;
        Ok(Sent { aggregate: command.aggregate.clone(), id, name: name.to_owned(), data })
    }
}

fn is_id(id: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&id.len()) && !id.contains(|c: char| c.is_control() || c == '/')
}
