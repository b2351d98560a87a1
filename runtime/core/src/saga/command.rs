//! Steps that are commands: which command an attempt sends, to which aggregate.
//!
//! Such a step has no code: its answer is its outcome. It reaches nothing outside, and its command's key is the leg's, so that an
//! attempt after a crash is the same command and gets the first answer.

use super::{
    definition::{Body, CommandStep, Step},
    output::token,
    run::{LegState, StepRun},
    state::Saga,
};
use crate::{
    aggregate::is_id,
    event::Intent,
    id::Direction,
    json,
    value::{Failure, Format, Payload},
};

/// The command that an attempt sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepCommand {
    /// The aggregate's name.
    pub aggregate: String,
    /// Which one.
    pub id: String,
    /// The command's name.
    pub name: String,
    /// What it says.
    pub data: Payload,
}

impl Step {
    /// The command that attempts of this direction are, if they are no code.
    pub fn command(&self, direction: Direction) -> Option<(&CommandStep, &str)> {
        let Body::Command(command) = &self.body else { return None };
        let name = match direction {
            Direction::Forward => Some(&command.command),
            Direction::Undo(_) => command.undo.as_ref(),
            Direction::Check => None,
        };
        name.map(|name| (command, name.as_str()))
    }
}

impl Saga {
    /// Whether an attempt is a command.
    pub fn is_command(&self, intent: &Intent) -> bool {
        let leg = &intent.attempt.leg;
        self.run(&leg.path).is_some_and(|run| self.step(run).command(leg.direction).is_some())
    }

    /// An attempt of a step is open that can reach outside, or that is a command: it sets the mark `may have run` while it lasts.
    pub(crate) fn may_stand_now(&self, run: &StepRun) -> bool {
        let sends = matches!(run.forward.state, LegState::Open { .. }) && self.step(run).command(Direction::Forward).is_some();
        sends || run.forward.reaches_outside_now()
    }

    /// The command that an attempt is, if it is one; or why it cannot be sent. The failure's code is `no_id` or `no_data`.
    pub fn command(&self, intent: &Intent) -> Option<Result<StepCommand, Failure>> {
        let leg = &intent.attempt.leg;
        let run = self.run(&leg.path)?;
        let (command, name) = self.step(run).command(leg.direction)?;
        Some(self.filled_in(run, command, name))
    }

    fn filled_in(&self, run: &StepRun, command: &CommandStep, name: &str) -> Result<StepCommand, Failure> {
        let missing = |code: &str, what: &str, pointer: &str| Failure::new(code, format!("there is {what} at `{pointer}`"));
        let id = self.value_at(run, &command.id).and_then(|value| json::key(&value.bytes)).filter(|id| is_id(id));
        let id = id.ok_or_else(|| missing("no_id", "no id of an aggregate", &command.id))?;
        let data = self.value_at(run, &command.data).ok_or_else(|| missing("no_data", "nothing", &command.data))?;
        Ok(StepCommand { aggregate: command.aggregate.clone(), id, name: name.to_owned(), data })
    }

    /// The JSON value at a pointer that begins with `/input` or `/outputs/<step>`.
    fn value_at(&self, run: &StepRun, pointer: &str) -> Option<Payload> {
        let (payload, rest) = match token(pointer)? {
            ("input", rest) => (self.input_of(run), rest.to_owned()),
            _ => self.source(run.scope, pointer)?,
        };
        let found = json::find(&payload.bytes, &rest).filter(|_| payload.format == Format::Json)?;
        Some(Payload::json(payload.bytes.slice_ref(found)))
    }
}
