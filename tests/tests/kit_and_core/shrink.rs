//! A case that shows a difference, made small: moves, steps and policies are left out for as long as it still shows one.

use std::{panic, sync::Arc};

use amends_core::{
    Definition,
    definition::{Body, Undo},
    validate,
};

use crate::{case::Case, difference};

/// The smallest case that was found, and what the two make of it.
pub(crate) fn shrunk(case: Case) -> String {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let case = smaller(case);
    let (kit, core) = difference(&case).unwrap_or_default();
    panic::set_hook(hook);
    let all = std::iter::once(&case.definition).chain(&case.module);
    let sagas: String = all.filter(|saga| is_used(saga, &case)).map(|saga| text(saga)).collect();
    format!("{sagas}input {}, moves {:?}\n\nthe kit\n{kit}\nand the core\n{core}", case.input, case.moves)
}

/// The saga itself, or a child that some step stands for.
fn is_used(definition: &Definition, case: &Case) -> bool {
    let body = Body::Child(definition.name.clone());
    let all = std::iter::once(&case.definition).chain(&case.module);
    definition.name == case.definition.name || all.flat_map(|saga| saga.steps()).any(|(_, step)| step.body == body)
}

/// A line for each step.
fn text(definition: &Definition) -> String {
    let Definition { name, stages, deadline_ms, rounds, .. } = definition;
    let mut text = format!("saga {name}, deadline {deadline_ms:?}, {rounds} more rounds\n");
    for (number, stage) in stages.iter().enumerate() {
        let steps = stage.steps.iter().map(|step| format!("  {number}: {step:?}\n"));
        text.extend(steps);
        text.extend(stage.savepoint_after.iter().map(|name| format!("  savepoint {name}\n")));
    }
    text
}

fn smaller(mut case: Case) -> Case {
    while let Some(less) = simpler(&case).into_iter().find(|less| is_legal(less) && difference(less).is_some()) {
        case = less;
    }
    case
}

fn is_legal(case: &Case) -> bool {
    let all = std::iter::once(&case.definition).chain(&case.module);
    all.into_iter().all(|definition| validate::problems(definition, &case.module, &validate::Limits::default()).is_empty())
}

/// The same with one thing less.
fn simpler(case: &Case) -> Vec<Case> {
    let mut found: Vec<Case> = Vec::new();
    for at in 0..case.moves.len() {
        let mut less = case.clone();
        less.moves.remove(at);
        found.push(less);
    }
    let own = simpler_definitions(&case.definition).into_iter();
    found.extend(own.map(|definition| Case { definition: Arc::new(definition), ..case.clone() }));
    for (at, child) in case.module.iter().enumerate() {
        for definition in simpler_definitions(child) {
            let mut less = case.clone();
            less.module[at] = Arc::new(definition);
            found.push(less);
        }
    }
    found
}

fn simpler_definitions(definition: &Definition) -> Vec<Definition> {
    let mut found = Vec::new();
    if definition.deadline_ms.is_some() {
        found.push(Definition { deadline_ms: None, ..definition.clone() });
    }
    for (stage, of) in definition.stages.iter().enumerate() {
        if of.savepoint_after.is_some() {
            let mut less = definition.clone();
            less.stages[stage].savepoint_after = None;
            found.push(less);
        }
        for at in 0..of.steps.len() {
            let mut less = definition.clone();
            less.stages[stage].steps.remove(at);
            less.stages.retain(|stage| !stage.steps.is_empty());
            found.push(less);
            let mut plain = definition.clone();
            let step = &mut plain.stages[stage].steps[at];
            let is_command = matches!(step.body, Body::Command(_));
            (step.needs, step.alternates, step.each, step.effect_free) = (Vec::new(), 0, None, is_command);
            if let Undo::Code(policy) = &mut step.undo {
                policy.alternates = 0;
            }
            if plain != *definition {
                found.push(plain);
            }
        }
    }
    found
}
