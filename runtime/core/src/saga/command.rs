//! Steps that are commands: which command an attempt sends, to which aggregate.
//!
//! Such a step has no code: its answer is its outcome. It reaches nothing outside, and its command's key is the leg's, so that an
//! attempt after a crash is the same command and gets the first answer.

use std::collections::BTreeSet;

use super::{
    definition::{Body, CommandData, CommandStep, Step},
    output::{of_cause, of_members, token},
    run::{LegState, StepRun},
    state::Saga,
};
use crate::{
    aggregate::is_id,
    event::Intent,
    id::{Direction, Leg},
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

/// What attempts of one direction send, as data.
pub(crate) struct Sent<'a> {
    step: &'a CommandStep,
    name: &'a str,
    data: &'a CommandData,
}

impl Step {
    /// The command that attempts of this direction are, if they are no code.
    pub(crate) fn command(&self, direction: Direction) -> Option<Sent<'_>> {
        let Body::Command(step) = &self.body else { return None };
        match direction {
            Direction::Forward => Some(Sent { step, name: &step.command, data: &step.data }),
            Direction::Undo(_) => {
                let undo = step.undo.as_ref()?;
                Some(Sent { step, name: &undo.command, data: undo.data.as_ref().unwrap_or(&step.data) })
            }
            Direction::Check => None,
        }
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
        Some(self.filled_in(run, self.step(run).command(leg.direction)?))
    }

    /// The aggregates whose commands wait for code that decides them.
    pub fn undecided(&self) -> BTreeSet<String> {
        self.undecided_legs().map(|(_, aggregate)| aggregate.to_owned()).collect()
    }

    /// The legs whose commands wait for code that decides them, with the aggregates.
    pub(crate) fn undecided_legs(&self) -> impl Iterator<Item = (Leg, &str)> {
        self.live.undecided().filter_map(|at| {
            let (run, direction, _) = self.leg_at(at);
            let sent = self.step(run).command(direction)?;
            Some((run.name_leg(direction), sent.step.aggregate.as_str()))
        })
    }

    fn filled_in(&self, run: &StepRun, sent: Sent<'_>) -> Result<StepCommand, Failure> {
        let Sent { step, name, data } = sent;
        let missing = |code: &str, what: &str, pointer: &str| Failure::new(code, format!("there is {what} at `{pointer}`"));
        let id = self.value_at(run, &step.id).and_then(|value| json::key(&value.bytes)).filter(|id| is_id(id));
        let id = id.ok_or_else(|| missing("no_id", "no id of an aggregate", &step.id))?;
        let value_at = |pointer: &str| self.value_at(run, pointer).ok_or_else(|| missing("no_data", "nothing", pointer));
        let data = match data {
            CommandData::At(pointer) => value_at(pointer)?,
            CommandData::Object(members) => {
                let members = members.iter().map(|member| Ok((member.name.as_str(), value_at(&member.at)?)));
                of_members(&members.collect::<Result<Vec<_>, Failure>>()?)
            }
        };
        Ok(StepCommand { aggregate: step.aggregate.clone(), id, name: name.to_owned(), data })
    }

    /// The JSON value at a pointer that begins with `/input` or `/outputs/<step>`; to undo the step also with `/output` or `/cause`,
    /// where what is not there is `null`: a step that may have happened has no output, and each rollback another cause.
    fn value_at(&self, run: &StepRun, pointer: &str) -> Option<Payload> {
        match token(pointer)? {
            ("input", rest) => find(self.input_of(run), rest),
            ("output", rest) => Some(run.output().and_then(|output| find(output.clone(), rest)).unwrap_or_else(Payload::null)),
            ("cause", rest) => {
                let cause = run.rollback_cause.as_ref().map(of_cause);
                Some(cause.and_then(|cause| find(cause, rest)).unwrap_or_else(Payload::null))
            }
            _ => self.source(run.scope, pointer).and_then(|(output, rest)| find(output, &rest)),
        }
    }
}

fn find(payload: Payload, pointer: &str) -> Option<Payload> {
    let found = json::find(&payload.bytes, pointer).filter(|_| payload.format == Format::Json)?;
    Some(Payload::json(payload.bytes.slice_ref(found)))
}
