//! A failing script made short: moves and steps are left out for as long as some law stays broken.

use std::{panic, sync::Arc};

use amends_core::Definition;

use crate::{
    course::{Script, broken_by},
    edit::is_legal,
    script::Given,
    written::given_text,
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
