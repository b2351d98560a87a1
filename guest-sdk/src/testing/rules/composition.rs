//! Savepoints, locks, children and fan-out: what holds between steps, sagas and the input.

use super::{Found, name};
use crate::bindings::saga::exports::amends::module::saga::{Body, Definition, Each, Kind, Step};
use crate::testing::pointer;

pub(super) fn check(sagas: &[Definition], found: &mut Found<'_>) {
    check_savepoints(found);
    check_locks(found);
    for (stage, step) in found.steps() {
        if let Body::Child(child) = &step.body {
            check_child(sagas, step, child, found);
        }
        if let Some(each) = &step.each {
            check_each(stage, step, each, found);
        }
    }
}

fn check_savepoints(found: &mut Found<'_>) {
    let saga = found.saga;
    let after_return = found.steps().find(|(_, step)| step.kind != Kind::Compensatable);
    let mut names: Vec<&str> = Vec::new();
    for (stage, savepoint) in saga.stages.iter().enumerate().filter_map(|(at, stage)| Some((at, stage.savepoint_after.as_ref()?)))
    {
        if let Err(bad) = name(savepoint) {
            found.saga(format_args!("savepoint: {bad}"));
        }
        if names.contains(&savepoint.as_str()) {
            found.saga(format_args!("two savepoints are named `{savepoint}`; give each its own name"));
        }
        names.push(savepoint);
        let steps = &saga.stages[stage].steps;
        if steps.is_empty() {
            found.saga(format_args!("savepoint `{savepoint}` has no step of its own before it; put it after one"));
        } else if stage + 1 == saga.stages.len() {
            found.saga(format_args!("savepoint `{savepoint}` has no step after it that could fail; put it before one"));
        } else if let Some((_, step)) = after_return.filter(|(at, _)| *at <= stage) {
            let step = &step.name;
            found.saga(format_args!("savepoint `{savepoint}` comes after the point of no return; put it before `{step}`"));
        }
    }
    if names.is_empty() && saga.rounds > 0 {
        found.saga("it has rounds and no savepoint that one could begin at; add a savepoint, or leave them out");
    }
}

fn check_locks(found: &mut Found<'_>) {
    for lock in &found.saga.locks {
        if let Err(bad) = name(&lock.name) {
            found.saga(format_args!("lock: {bad}"));
        }
        if let Err(bad) = pointer::check(&lock.pointer) {
            found.saga(format_args!("lock `{}`: {bad}", lock.name));
        }
    }
}

fn check_child(sagas: &[Definition], step: &Step, child: &str, found: &mut Found<'_>) {
    let Some(saga) = sagas.iter().find(|saga| saga.name == child) else {
        return found.step(step, format_args!("its child `{child}` is no saga of this module; add it"));
    };
    let of_kind = match step.kind {
        Kind::Compensatable => "compensatable",
        Kind::Retriable => "retriable",
        Kind::Pivot => return found.step(step, "it is a pivot and a child; a pivot is one step"),
    };
    if let Some(other) = saga.stages.iter().flat_map(|stage| &stage.steps).find(|inner| inner.kind != step.kind) {
        let inner = &other.name;
        found.step(
            step,
            format_args!("it is {of_kind}, and step `{inner}` of its child `{child}` is not; all steps of the child are"),
        );
    }
    if let Some(savepoint) = saga.stages.iter().find_map(|stage| stage.savepoint_after.as_ref()) {
        let remedy = "savepoints stand between stages of the saga itself";
        found.step(step, format_args!("its child `{child}` has the savepoint `{savepoint}`; {remedy}"));
    }
}

fn check_each(stage: usize, step: &Step, each: &Each, found: &mut Found<'_>) {
    if step.kind == Kind::Pivot {
        found.step(step, "it is a pivot and runs for each element of a list; a pivot is one step");
    }
    let pointers = [Some(&each.items), each.key.as_ref()];
    if let Some(bad) = pointers.into_iter().flatten().find_map(|text| pointer::check(text).err()) {
        return found.step(step, bad);
    }
    let mut tokens = each.items.split('/').skip(1);
    match (tokens.next(), tokens.next()) {
        (Some("input"), _) => {}
        (Some("outputs"), Some(from)) => match found.named(from) {
            Some((at, _)) if at < stage => {}
            Some(_) => found.step(step, format_args!("its list is an output of `{from}`, which is not of an earlier stage")),
            None => found.step(step, format_args!("its list is an output of `{from}`, which is no step of this saga")),
        },
        _ => found.step(step, format_args!("its list `{}` is in neither `/input` nor `/outputs/STEP`", each.items)),
    }
}
