//! What a step says about itself: its name, what it needs, and its policies.

use super::{Found, commands, name};
use crate::bindings::saga::exports::amends::module::saga::{Body, Kind, OnExhausted, OnUnknown, Retry, Step, Undo};

/// An hour.
const DEADLINE_MS_MAX: u64 = 3_600_000;

/// Of a step, and of a compensation.
const ALTERNATES_MAX: u32 = 16;

pub(super) fn check(found: &mut Found<'_>) {
    for (position, (stage, step)) in found.steps().enumerate() {
        if let Err(bad) = name(&step.name) {
            found.step(step, bad);
        }
        if found.steps().take(position).any(|(_, earlier)| earlier.name == step.name) {
            found.step(step, "an earlier step has this name; names are unique in a saga");
        }
        for needed in &step.needs {
            match found.named(needed) {
                None => found.step(step, format_args!("it needs the output of `{needed}`, which is no step of this saga")),
                Some((at, _)) if at >= stage => {
                    found.step(step, format_args!("it needs the output of `{needed}`, which is not of an earlier stage"));
                }
                Some(_) => {}
            }
        }
        // What is said of a child means nothing: its own steps say it.
        if let Body::Command(command) = &step.body {
            commands::check(stage, step, command, found);
        }
        if !matches!(step.body, Body::Child(_)) {
            check_undo(step, found);
            check_policies(step, found);
        }
    }
}

fn check_undo(step: &Step, found: &mut Found<'_>) {
    match (&step.undo, step.kind) {
        (Undo::None, Kind::Compensatable) => {
            found.step(step, "it is compensatable and has no compensation; give it one, or say that it leaves nothing to undo")
        }
        (Undo::Code(_) | Undo::Nothing, Kind::Retriable) => {
            found.step(step, "it is retriable and has a compensation that can never run; leave it out");
        }
        (Undo::Nothing, Kind::Pivot) => {
            found.step(step, "it is a pivot: give it a compensation for an unknown outcome, or none");
        }
        (Undo::Code(policy), Kind::Compensatable | Kind::Pivot) => {
            check_retry(step, "compensation", &policy.retry, found);
            check_deadline(step, "compensation", policy.deadline_ms, found);
            check_alternates(step, policy.alternates, "alternates of its compensation", found);
        }
        (Undo::None, Kind::Pivot | Kind::Retriable) | (Undo::Nothing, Kind::Compensatable) => {}
    }
}

fn check_policies(step: &Step, found: &mut Found<'_>) {
    check_retry(step, "step", &step.retry, found);
    check_deadline(step, "step", step.deadline_ms, found);
    check_alternates(step, step.alternates, "alternates", found);
    if step.kind == Kind::Retriable && step.on_exhausted == OnExhausted::Rollback {
        let remedy = "let it be stuck when its retries are used up";
        found.step(step, format_args!("it is retriable: there is no rollback after the point of no return; {remedy}"));
    }
    let no_way_back = step.kind == Kind::Retriable || (step.kind == Kind::Pivot && step.undo == Undo::None);
    if no_way_back && step.on_unknown == OnUnknown::OnceThenRollback {
        found.step(step, "it cannot be rolled back when its outcome is unknown; say once-then-stop");
    }
}

fn check_retry(step: &Step, what: &str, retry: &Retry, found: &mut Found<'_>) {
    if retry.attempts_max == Some(0) {
        found.step(step, format_args!("the {what} allows 0 attempts; it needs at least 1"));
    }
    if retry.factor_percent < 100 {
        found.step(step, format_args!("the {what}'s delays shrink: the factor is at least 100 percent"));
    }
}

fn check_deadline(step: &Step, what: &str, deadline_ms: u64, found: &mut Found<'_>) {
    if deadline_ms == 0 || deadline_ms > DEADLINE_MS_MAX {
        found.step(step, format_args!("the {what}'s deadline is {deadline_ms} ms; it is 1 to {DEADLINE_MS_MAX} ms"));
    }
}

fn check_alternates(step: &Step, alternates: u32, what: &str, found: &mut Found<'_>) {
    if alternates > ALTERNATES_MAX {
        found.step(step, format_args!("it has {alternates} {what}; at most {ALTERNATES_MAX} are tried"));
    }
}
