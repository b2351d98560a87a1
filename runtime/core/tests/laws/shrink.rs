//! A failing script made short: moves and steps are left out for as long as some law stays broken.

use std::{panic, sync::Arc};

use amends_core::{
    Definition,
    definition::{Kind, OnExhausted, OnUnknown, Stage, Step, Undo},
    validate::{Limits, problems},
};

use crate::{
    course::{Script, broken_by},
    script::length,
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
        definition_text(&script.definition),
        moves.join(" · "),
        broken.unwrap_or("nothing any more".into())
    )
}

fn shorter(mut script: Script) -> Script {
    loop {
        let before = (script.moves.len(), script.definition.steps().count());
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
        for definition in simpler(&script.definition) {
            let less = Script { definition: Arc::new(definition), moves: script.moves.clone() };
            if problems(&less.definition, &Limits::default()).is_empty() && broken_by(&less).is_some() {
                script = less;
                break;
            }
        }
        if (script.moves.len(), script.definition.steps().count()) == before {
            return script;
        }
    }
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

/// The definition as the text tests read it.
pub(crate) fn definition_text(definition: &Definition) -> String {
    let stage_text = |stage: &Stage| {
        let steps: Vec<String> = stage.steps.iter().map(step_text).collect();
        let savepoint = stage.savepoint_after.as_ref().map(|name| format!(" !{name}")).unwrap_or_default();
        format!("{}{savepoint}", steps.join(" ‖ "))
    };
    let stages: Vec<String> = definition.stages.iter().map(stage_text).collect();
    let deadline = definition.deadline_ms.map(|ms| format!(", deadline {}", length(ms))).unwrap_or_default();
    format!("{} ; rounds {}{deadline}", stages.join(" | "), definition.rounds)
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
    if step.alternates > 0 {
        options.push(format!("alternates {}", step.alternates));
    }
    let free = if step.effect_free { "~" } else { "" };
    format!("{}{kind}{free}({})", step.name, options.join(", "))
}
