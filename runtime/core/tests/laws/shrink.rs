//! A failing script made short: moves and steps are left out for as long as some law stays broken.

use std::{panic, sync::Arc};

use amends_core::{
    Definition,
    definition::{Body, EachMode, Kind, OnExhausted, OnUnknown, Stage, Step, Undo},
    validate::{Limits, problems},
};

use crate::{
    course::{Script, broken_by},
    script::{Given, length},
};

/// The shortest script that was found to break a law, as a text test would hold it.
pub(crate) fn shrunk(script: Script) -> String {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let script = shorter(script);
    let broken = broken_by(&script);
    panic::set_hook(hook);
    let moves: Vec<String> = script.moves.iter().map(ToString::to_string).collect();
    format!(
        "definition: {}\nscript: {}\nbreaks: {}",
        given_text(&script.given),
        moves.join(" · "),
        broken.unwrap_or("nothing any more".into())
    )
}

fn shorter(mut script: Script) -> Script {
    loop {
        let before = (script.moves.len(), size(&script.given));
        let mut chunk = script.moves.len().max(1);
        while chunk > 0 {
            let mut at = 0;
            while at < script.moves.len() {
                let mut less = script.clone();
                less.moves.drain(at..(at + chunk).min(script.moves.len()));
                if broken_by(&less).is_some() {
                    script = less;
                } else {
                    at += chunk;
                }
            }
            chunk /= 2;
        }
        for given in simpler_sagas(&script.given) {
            let less = Script { given, moves: script.moves.clone() };
            if is_legal(&less.given) && broken_by(&less).is_some() {
                script = less;
                break;
            }
        }
        if (script.moves.len(), size(&script.given)) == before {
            return script;
        }
    }
}

fn size(given: &Given) -> usize {
    let all = std::iter::once(&given.definition).chain(&given.module);
    all.map(|it| it.steps().count() + it.stages.iter().filter(|stage| stage.savepoint_after.is_some()).count()).sum()
}

/// Every definition keeps the rules.
pub(crate) fn is_legal(given: &Given) -> bool {
    let mut all = std::iter::once(&given.definition).chain(&given.module);
    all.all(|it| problems(it, &given.module, &Limits::default()).is_empty())
}

fn simpler_sagas(given: &Given) -> Vec<Given> {
    let own = simpler(&given.definition).into_iter();
    let mut found: Vec<Given> = own.map(|it| Given { definition: Arc::new(it), ..given.clone() }).collect();
    for (index, child) in given.module.iter().enumerate() {
        for less in simpler(child) {
            let mut module = given.module.clone();
            module[index] = Arc::new(less);
            found.push(Given { module, ..given.clone() });
        }
    }
    found
}

fn simpler(definition: &Definition) -> Vec<Definition> {
    let mut found = Vec::new();
    for (stage, steps) in definition.stages.iter().enumerate() {
        if steps.savepoint_after.is_some() {
            let mut less = definition.clone();
            less.stages[stage].savepoint_after = None;
            found.push(less);
        }
        for step in 0..steps.steps.len() {
            let mut less = definition.clone();
            less.stages[stage].steps.remove(step);
            less.stages.retain(|stage| !stage.steps.is_empty());
            found.push(less);
        }
    }
    found
}

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

fn step_text(step: &Step) -> String {
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
        }
    }
    if let Body::Child(name) = &step.body {
        options = vec![format!("child {name}")];
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
