//! A step that is a command: which one an attempt sends, and what its answer is for the step.

use serde_json::{Map, Value, json};

use super::Leg;
use crate::RollbackCause;
use crate::bindings::imports::amends::module::types::Payload;
use crate::bindings::saga::exports::amends::module::saga::{
    Body, CommandData, CommandStep, CommandUndo, Direction, Outcome, UndoOutcome,
};
use crate::payload;
use crate::step::Erased;
use crate::stop::Failure;
use crate::testing::aggregates::Sent;
use crate::testing::course::Course;
use crate::testing::plain::is_id;
use crate::testing::pointer;
use crate::testing::world::PAYLOAD_BYTES_MAX;

impl Leg {
    /// One attempt forward, by code or by a command.
    pub(super) fn execute(&self, course: &Course) -> Outcome {
        match &self.step.spec.body {
            Body::Command(command) => {
                let (name, from) = (&command.command, self.known());
                self.send(self.filled_in(command, name, &command.data, &from), Direction::Forward, course)
            }
            Body::Code | Body::Child(_) => self.inside(Direction::Forward, course, Erased::execute),
        }
    }

    /// One attempt of the compensation. It cannot be refused: it is tried again.
    pub(super) fn compensate(&self, course: &Course) -> UndoOutcome {
        let outcome = match &self.step.spec.body {
            Body::Command(command @ CommandStep { undo: Some(CommandUndo { command: name, data }), .. }) => {
                let data = data.as_ref().unwrap_or(&command.data);
                self.send(self.filled_in(command, name, data, &self.known_to_undo()), Direction::Undo, course)
            }
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

    fn send(&self, command: Result<Sent, Failure>, direction: Direction, course: &Course) -> Outcome {
        match command {
            Ok(sent) => course.world.send_command(&sent, self.call(direction, course).key()),
            Err(failure) => Outcome::Refused(failure.into()),
        }
    }

    fn filled_in(&self, command: &CommandStep, name: &str, data: &CommandData, from: &Value) -> Result<Sent, Failure> {
        let missing = |code: &str, what: &str, at: &str| Failure::new(code, format_args!("there is {what} at `{at}`"));
        let id = pointer::key(from, &command.id).filter(|id| is_id(id));
        let id = id.ok_or_else(|| missing("no_id", "no id of an aggregate", &command.id))?;
        let value_at = |at: &str| match from.pointer(at) {
            Some(value) => Ok(value.clone()),
            None if is_of_rollback(at) => Ok(Value::Null),
            None => Err(missing("no_data", "nothing", at)),
        };
        let data = match data {
            CommandData::At(at) => value_at(at)?,
            CommandData::Object(members) => {
                let members = members.iter().map(|member| Ok((member.name.clone(), value_at(&member.at)?)));
                Value::Object(members.collect::<Result<Map<_, _>, Failure>>()?)
            }
        };
        let bytes = data.to_string().len();
        if bytes > PAYLOAD_BYTES_MAX {
            let limit = format_args!("the data of the command has {bytes} bytes and may have {PAYLOAD_BYTES_MAX}");
            return Err(Failure::new("payload_too_large", limit));
        }
        Ok(Sent { aggregate: command.aggregate.clone(), id, name: name.to_owned(), data, expect_revision: None })
    }

    /// Into what a command's pointers lead.
    fn known(&self) -> Value {
        json!({"input": decoded(&self.place.input), "outputs": *self.place.sources})
    }

    /// The same for the command that undoes the step: also its output, and why it is undone.
    fn known_to_undo(&self) -> Value {
        let mut known = self.known();
        known["output"] = self.output().map_or(Value::Null, decoded);
        known["cause"] = self.way.undone_for.as_ref().map_or(Value::Null, |cause| cause_of(&RollbackCause::from(cause)));
        known
    }
}

/// What these do not have is `null`: they differ from rollback to rollback.
fn is_of_rollback(pointer: &str) -> bool {
    matches!(pointer.split('/').nth(1), Some("output" | "cause"))
}

fn decoded(payload: &Payload) -> Value {
    payload::decode(payload).unwrap_or_default()
}

fn cause_of(cause: &RollbackCause) -> Value {
    let (kind, step, failure) = match cause {
        RollbackCause::Refused { step, failure } => ("refused", Some(step), Some(failure)),
        RollbackCause::Exhausted { step, failure } => ("exhausted", Some(step), Some(failure)),
        RollbackCause::Unknown { step, failure } => ("unknown", Some(step), Some(failure)),
        RollbackCause::Cancelled => ("cancelled", None, None),
        RollbackCause::Deadline => ("deadline", None, None),
        RollbackCause::AlternateRefused { failure } => ("alternate_refused", None, Some(failure)),
    };
    let message = failure.map_or_else(|| cause.to_string(), |failure| failure.message.clone());
    let data = failure.and_then(|failure| failure.data.clone());
    json!({"kind": kind, "step": step, "code": cause.code(), "message": message, "data": data})
}
