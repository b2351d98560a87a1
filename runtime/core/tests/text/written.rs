//! Definitions as [`crate::script`] reads them.

use amends_core::{
    Definition,
    definition::{Body, CommandData, CommandUndo, EachMode, Kind, OnExhausted, OnUnknown, Stage, Step, Undo},
};

use crate::script::{Given, length};

/// A saga as the text tests read it.
pub(crate) fn given_text(given: &Given) -> String {
    let children = given.module.iter().map(|child| format!("{} = {}", child.name, definition_text(child)));
    let children: Vec<String> = children.collect();
    let children = if children.is_empty() { String::new() } else { format!(" where {}", children.join(" and ")) };
    format!("{}, input {}{children}", definition_text(&given.definition), given.input)
}

/// A definition as the text tests read it.
pub(crate) fn definition_text(definition: &Definition) -> String {
    let stage_text = |stage: &Stage| {
        let steps: Vec<String> = stage.steps.iter().map(step_text).collect();
        let savepoint = stage.savepoint_after.as_ref().map(|name| format!(" !{name}")).unwrap_or_default();
        format!("{}{savepoint}", steps.join(" ‖ "))
    };
    let stages: Vec<String> = definition.stages.iter().map(stage_text).collect();
    let deadline = definition.deadline_ms.map(|ms| format!(", deadline {}", length(ms))).unwrap_or_default();
    let locks = definition.locks.iter().map(|lock| format!(", lock {} {}", lock.name, lock.pointer));
    let locks: String = locks.collect();
    format!("{} ; rounds {}{deadline}{locks}", stages.join(" | "), definition.rounds)
}

/// A step as the text tests read it.
pub(crate) fn step_text(step: &Step) -> String {
    let kind = match step.kind {
        Kind::Compensatable => "",
        Kind::Pivot => "*",
        Kind::Retriable => ">",
    };
    let mut options = Vec::new();
    match step.on_unknown {
        OnUnknown::Retry => {}
        OnUnknown::Check => options.push("check".to_owned()),
        OnUnknown::OnceThenRollback => options.push("once-rollback".to_owned()),
        OnUnknown::OnceThenStop => options.push("once-stop".to_owned()),
    }
    options.push(match step.on_exhausted {
        OnExhausted::Rollback => "rollback".to_owned(),
        OnExhausted::Stuck => "stuck".to_owned(),
    });
    options.push(step.retry.attempts_max.map_or("any tries".into(), |n| format!("tries {n}")));
    options.push(step.retry.time_box_ms.map_or("no box".into(), |ms| format!("box {}", length(ms))));
    options.push(format!("first {}", length(step.retry.first_ms)));
    options.push(format!("jitter {}", step.retry.jitter_percent));
    match &step.undo {
        Undo::None => options.push("no undo".to_owned()),
        Undo::Nothing => options.push("undo nothing".to_owned()),
        Undo::Code(policy) => {
            options.push(match policy.retry.attempts_max {
                Some(n) => format!("undo tries {n}"),
                None => "undo".to_owned(),
            });
            if policy.alternates > 0 {
                options.push(format!("undo alternates {}", policy.alternates));
            }
            options.extend(policy.effect_free.then(|| "undo effect-free".to_owned()));
        }
    }
    match &step.body {
        Body::Code => {}
        Body::Child(name) => options = vec![format!("child {name}")],
        Body::Command(command) => {
            options.push(format!("command {} {}", command.aggregate, command.command));
            options.push(format!("says {}", said_text(&command.data)));
            if let Some(CommandUndo { command, data }) = &command.undo {
                let said = data.as_ref().map(|data| format!(" {}", said_text(data)));
                options.push(format!("undone by {command}{}", said.unwrap_or_default()));
            }
        }
    }
    if let Some(each) = &step.each {
        let by = each.key.as_ref().map(|key| format!(" by {key}")).unwrap_or_default();
        options.push(format!("each {}{by}", each.items));
        options.push(format!("at once {}", each.concurrency));
        options.extend((each.mode == EachMode::Collect).then(|| "collect".to_owned()));
    }
    if step.alternates > 0 {
        options.push(format!("alternates {}", step.alternates));
    }
    let free = if step.effect_free { "~" } else { "" };
    format!("{}{kind}{free}({})", step.name, options.join(", "))
}

fn said_text(data: &CommandData) -> String {
    match data {
        CommandData::At(at) => at.clone(),
        CommandData::Object(members) => {
            members.iter().map(|member| format!("{}={}", member.name, member.at)).collect::<Vec<_>>().join(" ")
        }
    }
}
