//! Savepoints, locks, children and fan-out: what holds between steps, sagas and the input.

use super::{Found, STEPS_MAX, commands, name};
use crate::bindings::saga::exports::amends::module::saga::{Body, Definition, Each, EachMode, Kind, Step};
use crate::testing::pointer;

const ROUNDS_MAX: u32 = 100;

/// Children within children are followed this far.
const DEPTH_MAX: usize = 8;

pub(super) fn check(sagas: &[Definition], found: &mut Found<'_>) {
    check_savepoints(found);
    check_locks(found);
    match size(found.saga, sagas, DEPTH_MAX) {
        None => found.saga(format_args!("its children are nested deeper than {DEPTH_MAX}; flatten them")),
        Some(steps) if steps > STEPS_MAX => found.saga(format_args!("it has more than {STEPS_MAX} steps")),
        Some(_) => {}
    }
    for (stage, step) in found.steps() {
        if let Body::Child(child) = &step.body {
            check_child(sagas, step, child, found);
        }
        if let Some(each) = &step.each {
            check_each(stage, step, each, found);
        }
    }
}

/// How many steps a saga has with those of its children; none if they are nested too deep.
fn size(saga: &Definition, sagas: &[Definition], depth: usize) -> Option<usize> {
    let mut steps = 0;
    for step in saga.stages.iter().flat_map(|stage| &stage.steps) {
        steps += 1;
        if let Body::Child(name) = &step.body
            && let Some(child) = sagas.iter().find(|saga| saga.name == *name)
        {
            steps += size(child, sagas, depth.checked_sub(1)?)?;
        }
    }
    Some(steps)
}

fn check_savepoints(found: &mut Found<'_>) {
    let saga = found.saga;
    let mut names: Vec<&str> = Vec::new();
    for (index, stage) in saga.stages.iter().enumerate() {
        let Some(savepoint) = &stage.savepoint_after else { continue };
        if let Err(bad) = name(savepoint) {
            found.saga(format_args!("its savepoint `{savepoint}`: {bad}"));
        }
        if names.contains(&savepoint.as_str()) {
            found.saga(format_args!("it has two savepoints `{savepoint}`; names are unique"));
        }
        names.push(savepoint);
        if stage.steps.is_empty() {
            found.saga(format_args!("no step of its own comes before its savepoint `{savepoint}`; put it after one"));
        } else if index + 1 == saga.stages.len() {
            found.saga(format_args!("nothing follows its savepoint `{savepoint}`; leave it out"));
        }
        if let Some(step) = stage.steps.iter().find(|step| step.kind != Kind::Compensatable) {
            let remedy = "there is no way back to there; put it before";
            found.step(step, format_args!("the savepoint `{savepoint}` stands after it, and {remedy}"));
        }
    }
    if saga.rounds > ROUNDS_MAX {
        found.saga(format_args!("it allows {} more rounds; at most {ROUNDS_MAX}", saga.rounds));
    }
}

fn check_locks(found: &mut Found<'_>) {
    let locks = &found.saga.locks;
    for (index, lock) in locks.iter().enumerate() {
        if let Err(bad) = name(&lock.name) {
            found.saga(format_args!("its lock key `{}`: {bad}", lock.name));
        }
        if let Err(bad) = pointer::check(&lock.pointer) {
            found.saga(format_args!("its lock key `{}`: {bad}", lock.name));
        }
        if locks[..index].contains(lock) {
            found.saga(format_args!("it has the lock key `{}` twice", lock.name));
        }
    }
}

fn check_child(sagas: &[Definition], step: &Step, child: &str, found: &mut Found<'_>) {
    let Some(saga) = sagas.iter().find(|saga| saga.name == child) else {
        return found.step(step, format_args!("its child `{child}` is no saga of this module"));
    };
    if step.kind == Kind::Pivot {
        found.step(step, "it is a pivot and stands for a saga; a pivot is one step");
    } else if let Some(other) = saga.stages.iter().flat_map(|stage| &stage.steps).find(|other| other.kind != step.kind) {
        let (kind, other_kind, other) = (word(step.kind), word(other.kind), &other.name);
        let has = format!("it is {kind}, and its child `{child}` has the {other_kind} step `{other}`");
        found.step(step, format_args!("{has}; a child's steps are of its kind"));
    }
    if saga.stages.iter().any(|stage| stage.savepoint_after.is_some()) {
        let remedy = "they stand between the stages of the saga itself";
        found.step(step, format_args!("its child `{child}` has a savepoint; {remedy}"));
    }
}

fn check_each(stage: usize, step: &Step, each: &Each, found: &mut Found<'_>) {
    if let Some(bad) = each.key.as_ref().and_then(|key| pointer::check(key).err()) {
        return found.step(step, bad);
    }
    commands::check_source(stage, step, "list", &each.items, found);
    if step.kind == Kind::Pivot {
        found.step(step, "it is a pivot and fans out; a pivot is one decision");
    }
    if each.mode == EachMode::Collect && step.body != Body::Code {
        let remedy = "a child that is refused is rolled back with its saga: fan out fail-fast";
        found.step(step, format_args!("it collects the ends of sagas; {remedy}"));
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Compensatable => "compensatable",
        Kind::Pivot => "pivot",
        Kind::Retriable => "retriable",
    }
}
