//! The rules that a definition keeps, checked at deploy. Each refusal names the step and the rule.

use std::fmt;

use crate::{
    definition::{Body, Definition, Kind, OnExhausted, OnUnknown, Retry, Step, Undo},
    id::Name,
};

/// The limits of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps in a saga.
    pub steps_max: usize,
    /// Steps in a stage.
    pub stage_steps_max: usize,
    /// The longest step deadline, in milliseconds.
    pub deadline_ms_max: u64,
}

impl Default for Limits {
    /// 256 steps, 64 a stage, a deadline of at most an hour.
    fn default() -> Self {
        Self { steps_max: 256, stage_steps_max: 64, deadline_ms_max: 3_600_000 }
    }
}

/// A rule that a definition breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The saga's name.
    pub saga: String,
    /// The step, if it is about one.
    pub step: Option<String>,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.step {
            Some(step) => write!(f, "saga `{}`, step `{}`: {}", shown(&self.saga), shown(step), self.problem),
            None => write!(f, "saga `{}`: {}", shown(&self.saga), self.problem),
        }
    }
}

/// A name as far as it is worth reading: it comes from a guest, and may be of any length.
fn shown(name: &str) -> &str {
    name.char_indices().nth(80).map_or(name, |(end, _)| &name[..end])
}

/// Every rule that the definition breaks; none is a definition that may run.
pub fn problems(definition: &Definition, limits: &Limits) -> Vec<Problem> {
    let mut found = Found { saga: &definition.name, problems: Vec::new() };
    check_saga(definition, limits, &mut found);
    check_kinds(definition, &mut found);
    for (stage, step) in definition.steps() {
        check_step(definition, stage, step, limits, &mut found);
    }
    found.problems
}

struct Found<'a> {
    saga: &'a str,
    problems: Vec<Problem>,
}

impl Found<'_> {
    fn saga(&mut self, problem: impl Into<String>) {
        self.problems.push(Problem { saga: self.saga.to_owned(), step: None, problem: problem.into() });
    }

    fn step(&mut self, step: &Step, problem: impl Into<String>) {
        let step = Some(step.name.clone());
        self.problems.push(Problem { saga: self.saga.to_owned(), step, problem: problem.into() });
    }
}

fn check_saga(definition: &Definition, limits: &Limits, found: &mut Found<'_>) {
    if let Err(bad) = Name::new(&definition.name) {
        found.saga(bad.to_string());
    }
    if definition.stages.is_empty() {
        found.saga("it has no stage; add a step");
    }
    if definition.steps().count() > limits.steps_max {
        found.saga(format!("it has more than {} steps", limits.steps_max));
    }
    for (index, stage) in definition.stages.iter().enumerate() {
        match stage.steps.len() {
            0 => found.saga(format!("stage {} has no step", index + 1)),
            n if n > limits.stage_steps_max => {
                found.saga(format!("stage {} has {n} steps; at most {} run in parallel", index + 1, limits.stage_steps_max));
            }
            _ => {}
        }
        if stage.savepoint_after.is_some() {
            found.saga("savepoints are not supported by this host yet");
        }
    }
    if !definition.locks.is_empty() {
        found.saga("lock keys are not supported by this host yet");
    }
    if definition.output.as_ref().is_some_and(|name| definition.step(name).is_none()) {
        found.saga("its output names a step that it does not have");
    }
    if definition.deadline_ms == Some(0) {
        found.saga("its deadline is 0 ms; leave it out for none");
    }
}

/// `compensatable* pivot? retriable*`, the pivot alone in its stage, compensatable and retriable never in one (law 8).
fn check_kinds(definition: &Definition, found: &mut Found<'_>) {
    let mut pivot: Option<&Step> = None;
    let mut retriable: Option<&Step> = None;
    for stage in &definition.stages {
        for step in &stage.steps {
            match step.kind {
                Kind::Compensatable => {
                    if let Some(pivot) = pivot {
                        found.step(
                            step,
                            format!("it is compensatable after the pivot `{}`; put it before, or make it retriable", pivot.name),
                        );
                    } else if let Some(retriable) = retriable {
                        found.step(step, format!("it is compensatable after the retriable step `{}`, from which there is no way back; put it before", retriable.name));
                    }
                }
                Kind::Pivot => {
                    if let Some(first) = pivot {
                        found.step(step, format!("it is a second pivot after `{}`; a saga has at most one", first.name));
                    } else if let Some(retriable) = retriable {
                        found.step(step, format!("it is a pivot after the retriable step `{}`; put it before", retriable.name));
                    }
                    if stage.steps.len() > 1 {
                        found.step(step, "it is a pivot and shares its stage; give it a stage of its own");
                    }
                    pivot = pivot.or(Some(step));
                }
                Kind::Retriable => retriable = retriable.or(Some(step)),
            }
        }
        let mixed = |kind| stage.steps.iter().find(|step| step.kind == kind);
        if let (Some(step), Some(other)) = (mixed(Kind::Retriable), mixed(Kind::Compensatable)) {
            found.step(
                step,
                format!(
                    "it is retriable and shares a stage with the compensatable step `{}`; move it to a later stage",
                    other.name
                ),
            );
        }
    }
}

fn check_step(definition: &Definition, stage: usize, step: &Step, limits: &Limits, found: &mut Found<'_>) {
    if let Err(bad) = Name::new(&step.name) {
        found.step(step, bad.to_string());
    }
    if definition.steps().take_while(|(_, other)| !std::ptr::eq(*other, step)).any(|(_, other)| other.name == step.name) {
        found.step(step, "an earlier step has this name; names are unique in a saga");
    }
    for need in &step.needs {
        match definition.step(need) {
            None => found.step(step, format!("it needs the output of `{need}`, which is no step of this saga")),
            Some((at, _)) if at >= stage => {
                found.step(step, format!("it needs the output of `{need}`, which is not of an earlier stage"));
            }
            Some(_) => {}
        }
    }
    check_undo(step, limits, found);
    check_policies(step, limits, found);
    if step.alternates > 0 {
        found.step(step, "alternates are not supported by this host yet");
    }
    if matches!(step.body, Body::Child(_)) {
        found.step(step, "child sagas are not supported by this host yet");
    }
    if step.each.is_some() {
        found.step(step, "fan-out is not supported by this host yet");
    }
}

fn check_undo(step: &Step, limits: &Limits, found: &mut Found<'_>) {
    match (&step.undo, step.kind) {
        (Undo::None, Kind::Compensatable) => {
            found.step(step, "it is compensatable and has no compensation; give it one, or say that it leaves nothing to undo");
        }
        (Undo::Code(_) | Undo::Nothing, Kind::Retriable) => {
            found.step(step, "it is retriable and has a compensation that can never run; leave it out");
        }
        (Undo::Nothing, Kind::Pivot) => found.step(step, "it is a pivot: give it a compensation for an unknown outcome, or none"),
        (Undo::Code(policy), _) => {
            check_retry(step, "compensation", &policy.retry, found);
            check_deadline(step, "compensation", policy.deadline_ms, limits, found);
            if policy.alternates > 0 {
                found.step(step, "alternates of compensations are not supported by this host yet");
            }
        }
        _ => {}
    }
}

fn check_policies(step: &Step, limits: &Limits, found: &mut Found<'_>) {
    check_retry(step, "step", &step.retry, found);
    check_deadline(step, "step", step.deadline_ms, limits, found);
    if step.kind == Kind::Retriable && step.on_exhausted == OnExhausted::Rollback {
        found.step(
            step,
            "it is retriable: there is no rollback after the point of no return; let it be stuck when its retries are used up",
        );
    }
    let no_way_back = step.kind == Kind::Retriable || (step.kind == Kind::Pivot && step.undo == Undo::None);
    if no_way_back && step.on_unknown == OnUnknown::OnceThenRollback {
        found.step(step, "it cannot be rolled back when its outcome is unknown; say once-then-stop");
    }
}

fn check_retry(step: &Step, what: &str, retry: &Retry, found: &mut Found<'_>) {
    if retry.attempts_max == Some(0) {
        found.step(step, format!("the {what} allows 0 attempts; it needs at least 1"));
    }
    if retry.factor_percent < 100 {
        found.step(step, format!("the {what}'s delays shrink: the factor is at least 100 percent"));
    }
    if retry.jitter_percent > 100 {
        found.step(step, format!("the {what}'s jitter is over 100 percent"));
    }
}

fn check_deadline(step: &Step, what: &str, deadline_ms: u64, limits: &Limits, found: &mut Found<'_>) {
    if deadline_ms == 0 || deadline_ms > limits.deadline_ms_max {
        found.step(step, format!("the {what}'s deadline is {deadline_ms} ms; it is 1 to {} ms", limits.deadline_ms_max));
    }
}
