//! Steps that are commands: which command an attempt sends, to which aggregate.
//!
//! Such a step has no code: its answer is its outcome. It reaches nothing outside, and its command's key is the leg's, so that an
//! attempt after a crash is the same command and gets the first answer.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    definition::{Body, CommandData, CommandStep, Step},
    output::{members_len, of_cause, of_members, token},
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

/// What a definition declares that attempts of one direction send.
pub(crate) struct Declared<'a> {
    step: &'a CommandStep,
    name: &'a str,
    data: &'a CommandData,
}

impl Step {
    /// The command that attempts of this direction are, if they are no code.
    pub(crate) fn command(&self, direction: Direction) -> Option<Declared<'_>> {
        let Body::Command(step) = &self.body else { return None };
        match direction {
            Direction::Forward => Some(Declared { step, name: &step.command, data: &step.data }),
            Direction::Undo(_) => {
                let undo = step.undo.as_ref()?;
                Some(Declared { step, name: &undo.command, data: undo.data.as_ref().unwrap_or(&step.data) })
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

    /// The command that an attempt is, if it is one; or why it cannot be sent. The failure's code is `no_id`, `no_data`, or
    /// `payload_too_large`: its data would have more than `data_bytes_max` bytes.
    pub fn command(&self, intent: &Intent, data_bytes_max: usize) -> Option<Result<StepCommand, Failure>> {
        let leg = &intent.attempt.leg;
        let run = self.run(&leg.path)?;
        Some(self.filled_in(run, self.step(run).command(leg.direction)?, data_bytes_max))
    }

    /// The aggregates whose commands wait for code that decides them.
    pub fn undecided(&self) -> BTreeSet<String> {
        self.undecided_legs().map(|(_, aggregate)| aggregate.to_owned()).collect()
    }

    /// The legs whose commands wait for code that decides them, with the aggregates.
    pub(crate) fn undecided_legs(&self) -> impl Iterator<Item = (Leg, &str)> {
        self.live.undecided().filter_map(|at| {
            let (run, direction, _) = self.leg_at(at);
            let declared = self.step(run).command(direction)?;
            Some((run.name_leg(direction), declared.step.aggregate.as_str()))
        })
    }

    fn filled_in(&self, run: &StepRun, declared: Declared<'_>, data_bytes_max: usize) -> Result<StepCommand, Failure> {
        let Declared { step, name, data } = declared;
        let mut pointers = vec![step.id.as_str()];
        match data {
            CommandData::At(pointer) => pointers.push(pointer),
            CommandData::Object(members) => pointers.extend(members.iter().map(|member| member.at.as_str())),
        }
        let mut values = pointers.iter().zip(self.values_at(run, &pointers));
        let missing = |code: &str, what: &str, pointer: &str| Failure::new(code, format!("there is {what} at `{pointer}`"));
        let id = values.next().and_then(|(_, value)| json::key(&value?.bytes)).filter(|id| is_id(id));
        let id = id.ok_or_else(|| missing("no_id", "no id of an aggregate", &step.id))?;
        let mut values = values.map(|(pointer, value)| value.ok_or_else(|| missing("no_data", "nothing", pointer)));
        let data = match data {
            CommandData::At(_) => {
                let value = values.next().unwrap_or_else(|| Ok(Payload::null()))?;
                fits(value.bytes.len(), data_bytes_max)?;
                value
            }
            CommandData::Object(members) => {
                let names = members.iter().map(|member| member.name.as_str());
                let members = names.zip(values).map(|(name, value)| Ok((name, value?))).collect::<Result<Vec<_>, Failure>>()?;
                // Before it is made: each member may be all that a fan-out has brought, and they are copied on the shard's thread.
                fits(members_len(&members), data_bytes_max)?;
                of_members(&members)
            }
        };
        Ok(StepCommand { aggregate: step.aggregate.clone(), id, name: name.to_owned(), data })
    }

    /// The JSON values at these pointers. What several of them lead into is made once, and read once.
    fn values_at(&self, run: &StepRun, pointers: &[&str]) -> Vec<Option<Payload>> {
        let mut values = vec![None; pointers.len()];
        let mut by_source: BTreeMap<&str, (Vec<usize>, Vec<&str>)> = BTreeMap::new();
        for (index, pointer) in pointers.iter().enumerate() {
            let (source, rest) = source_and_rest(pointer);
            let (indices, rests) = by_source.entry(source).or_default();
            indices.push(index);
            rests.push(rest);
        }
        for (source, (indices, rests)) in by_source {
            let payload = self.source_of_command(run, source);
            // A step that may have happened has no output, and each rollback another cause.
            let otherwise = matches!(source, "/output" | "/cause").then(Payload::null);
            let text =
                payload.as_ref().filter(|payload| payload.format == Format::Json).map_or(&b""[..], |payload| &payload.bytes);
            for (index, found) in indices.into_iter().zip(json::find_all(text, &rests)) {
                let cut = |found| payload.as_ref().map(|payload| Payload::json(payload.bytes.slice_ref(found)));
                values[index] = found.and_then(cut).or_else(|| otherwise.clone());
            }
        }
        values
    }

    /// What a pointer leads into: `/input` or `/outputs/<step>`; to undo the step also `/output` or `/cause`.
    fn source_of_command(&self, run: &StepRun, source: &str) -> Option<Payload> {
        match source {
            "/input" => Some(self.input_of(run)),
            "/output" => run.output().cloned(),
            "/cause" => run.rollback_cause.as_ref().map(of_cause),
            _ => self.source(run.scope, source).map(|(output, _)| output),
        }
    }
}

/// Cuts a pointer behind what it leads into: `/input`, or `/outputs/<step>`.
fn source_and_rest(pointer: &str) -> (&str, &str) {
    let rest = match token(pointer) {
        Some(("outputs", rest)) => token(rest).map_or("", |(_, rest)| rest),
        Some((_, rest)) => rest,
        None => "",
    };
    pointer.split_at(pointer.len() - rest.len())
}

fn fits(bytes: usize, bytes_max: usize) -> Result<(), Failure> {
    if bytes <= bytes_max {
        return Ok(());
    }
    let message = format!("the data of the command has {bytes} bytes and may have {bytes_max} (`payload` in [limits])");
    Err(Failure::new("payload_too_large", message))
}
