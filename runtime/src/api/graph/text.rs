//! A definition as text for a terminal: everything that it declares, each policy once with the steps that have it.

use std::fmt::{self, Write};

use amends_wire::definition::{
    CommandData, CommandDefinition, CommandUndo, Definition, Each, EachMode, Kind, LockDefinition, OnExhausted, OnLocked,
    OnUnknown, RetryPolicy, StepDefinition, Undo,
};

use super::{kind, steps};
use crate::plain::{escape, escape_json};

/// Draws a definition. Names are checked at deploy; pointers, event types and schemas are the author's text, and are escaped.
pub(super) fn draw(definition: &Definition, out: &mut String) -> fmt::Result {
    head(definition, out)?;
    let width = steps(definition).map(|step| step.name.len()).max().unwrap_or(0);
    for (number, stage) in definition.stages.iter().enumerate() {
        for (index, step) in stage.steps.iter().enumerate() {
            let place = if index == 0 { format!("{:>3}", number + 1) } else { "  ‖".to_owned() };
            let line = format!("{place}  {:width$}  {:13}  {}", step.name, kind(step.kind), remarks(step));
            writeln!(out, "{}", line.trim_end())?;
        }
        if let Some(savepoint) = &stage.savepoint_after {
            writeln!(out, "  ◆  savepoint {savepoint}, for {}", rounds(definition.rounds))?;
        }
    }
    policies(definition, out)
}

/// What is said of the saga as a whole.
fn head(definition: &Definition, out: &mut String) -> fmt::Result {
    let version = definition.version.map(|version| format!(" v{version}")).unwrap_or_default();
    let Definition { name, module, definition_version, .. } = definition;
    writeln!(out, "saga {name} (module {module}{version}, definition {definition_version})")?;
    if !definition.started_by.is_empty() {
        writeln!(out, "  started by {}", escape(&definition.started_by.join(", ")))?;
    }
    if !definition.locks.is_empty() {
        let lock = |LockDefinition { name, pointer }: &LockDefinition| format!("{} at {}", escape(name), escape(pointer));
        let locks: Vec<String> = definition.locks.iter().map(lock).collect();
        let held = match definition.on_locked {
            OnLocked::Queue => "waits its turn",
            OnLocked::Refuse => "is refused",
        };
        writeln!(out, "  locks {} of its input; a start {held} while another saga holds one", locks.join(", "))?;
    }
    if let Some(deadline_ms) = definition.deadline_ms {
        writeln!(out, "  rolled back if it takes longer than {}", duration(deadline_ms))?;
    }
    if definition.rounds > 0 {
        writeln!(out, "  tried again from a savepoint for {}", rounds(definition.rounds))?;
    }
    if let Some(step) = &definition.output {
        writeln!(out, "  returns the output of {step}")?;
    }
    if let Some(schema) = &definition.schema {
        writeln!(out, "  takes input that fits {}", compact(schema))?;
    }
    Ok(())
}

/// A JSON text without line breaks between its parts.
fn compact(json: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(json) {
        Ok(value) => escape_json(&value.to_string()),
        // A deploy checks that a schema is JSON; a component that was not deployed may hold anything.
        Err(_) => escape(json),
    }
}

pub(super) fn rounds(rounds: u32) -> String {
    match rounds {
        0 => "no other round".to_owned(),
        1 => "1 more round".to_owned(),
        rounds => format!("{rounds} more rounds"),
    }
}

/// What a step is and needs, on its line.
fn remarks(step: &StepDefinition) -> String {
    let child = step.child.as_ref().map(|saga| format!("saga {saga}"));
    let command = step.command.as_ref().map(command);
    let each = step.each.as_ref().map(each);
    let needs = (!step.needs.is_empty()).then(|| format!("needs {}", step.needs.join(" and ")));
    let ways = (step.alternates > 0).then(|| format!("{} ways", step.alternates + 1));
    let undone_by = step.command.as_ref().and_then(|command| command.undo.as_ref());
    let undo = match (&step.undo, undone_by) {
        (Undo::Code { .. }, Some(CommandUndo { name, data })) => {
            Some(format!("undone by the command {name}{}", data.as_ref().map(saying).unwrap_or_default()))
        }
        (Undo::Code { alternates, effect_free, .. }, None) => {
            let reach = if *effect_free { " (effect-free)" } else { "" };
            let ways = if *alternates > 0 { format!(", in {} ways", alternates + 1) } else { String::new() };
            Some(format!("undone by code{reach}{ways}"))
        }
        (Undo::Nothing, _) => Some("nothing to undo".to_owned()),
        (Undo::None, _) => None,
    };
    let unknown = match step.on_unknown {
        OnUnknown::Retry => None,
        OnUnknown::Check => Some("checked when unknown".to_owned()),
        OnUnknown::OnceThenRollback => Some("if unknown: not retried, rolled back".to_owned()),
        OnUnknown::OnceThenStop => Some("if unknown: not retried, stopped".to_owned()),
    };
    let effect_free = step.effect_free.then(|| "effect-free".to_owned());
    [child, command, each, needs, ways, undo, effect_free, unknown].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// `sends create to order /input/order saying /input/total`.
fn command(command: &CommandDefinition) -> String {
    let CommandDefinition { aggregate, id, name, data, undo: _ } = command;
    format!("sends {name} to {aggregate} {}{}", escape(id), saying(data))
}

/// `saying {reason: /cause/code}`.
fn saying(data: &CommandData) -> String {
    let said = match data {
        CommandData::At { pointer } => pointer.clone(),
        CommandData::Object { members } => {
            format!("{{{}}}", members.iter().map(|(name, at)| format!("{name}: {at}")).collect::<Vec<_>>().join(", "))
        }
    };
    format!(" saying {}", escape(&said))
}

/// `for each of /input/stays by /id, 10 at once, collected`.
fn each(each: &Each) -> String {
    let key = each.key.as_ref().filter(|key| !key.is_empty()).map(|key| format!(" by {}", escape(key)));
    let collected = match each.mode {
        EachMode::Collect => ", refusals collected",
        EachMode::FailFast => "",
    };
    format!("for each of {}{}, {} at once{collected}", escape(&each.items), key.unwrap_or_default(), each.concurrency)
}

/// How steps and compensations are tried: each policy once, with the steps that have it. A step that is a saga has none of its own.
fn policies(definition: &Definition, out: &mut String) -> fmt::Result {
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    let mut add = |policy: String, step| match groups.iter_mut().find(|(known, _)| *known == policy) {
        Some((_, steps)) => steps.push(step),
        None => groups.push((policy, vec![step])),
    };
    let of_code = || steps(definition).filter(|step| step.child.is_none());
    for step in of_code() {
        // After the point of no return there is no rollback, whatever the step says.
        let exhausted = match (step.kind, step.on_exhausted) {
            (Kind::Compensatable | Kind::Pivot, OnExhausted::Rollback) => "then rolled back",
            (Kind::Compensatable | Kind::Pivot, OnExhausted::Stuck) | (Kind::Retriable, _) => "then stuck",
        };
        add(format!("attempts: {}, {exhausted}", tries(step.deadline_ms, &step.retry)), &step.name);
    }
    for step in of_code() {
        if let Undo::Code { retry, deadline_ms, .. } = &step.undo {
            add(format!("undo attempts: {}, then stuck", tries(*deadline_ms, retry)), &step.name);
        }
    }
    groups.iter().try_for_each(|(policy, steps)| writeln!(out, "  {policy}: {}", steps.join(", ")))
}

/// `30s each, at most 20 within 1day, 200ms apart ×2 up to 1m ±20%`.
fn tries(deadline_ms: u64, retry: &RetryPolicy) -> String {
    let RetryPolicy { attempts_max, first_ms, factor_percent, cap_ms, jitter_percent, time_box_ms } = retry;
    let often = match attempts_max {
        Some(1) => "only one".to_owned(),
        Some(attempts) => format!("at most {attempts}"),
        None => "no limit".to_owned(),
    };
    let within = time_box_ms.map(|ms| format!(" within {}", duration(ms))).unwrap_or_default();
    let apart = if *attempts_max == Some(1) {
        String::new()
    } else {
        let factor = f64::from(*factor_percent) / 100.0;
        let jitter = if *jitter_percent > 0 { format!(" ±{jitter_percent}%") } else { String::new() };
        format!(", {} apart ×{factor} up to {}{jitter}", duration(*first_ms), duration(*cap_ms))
    };
    format!("{} each, {often}{within}{apart}", duration(deadline_ms))
}

pub(super) fn duration(ms: u64) -> String {
    humantime::format_duration(std::time::Duration::from_millis(ms)).to_string()
}
