//! What a definition may do and its author hardly means: warnings, beside the rules of [`crate::validate`]. Each names the step
//! and the remedy.
//!
//! That a module answers `check` and `compensate` is nothing to warn of: the contract has every component export both, and the
//! SDK asks for a check only where a function answers it. Whether one answers with more than `unknown`, only a call shows; a
//! question that is never answered ends with the step's budget.

use std::sync::Arc;

use super::{
    definition::{Body, Definition, Kind, OnUnknown, Retry, Step, Undo, UndoPolicy},
    validate::Problem,
};

/// Every warning about a definition that keeps the rules. `module` is what came with it: its children.
pub fn warnings(definition: &Definition, module: &[Arc<Definition>]) -> Vec<Problem> {
    let mut found = Found { saga: &definition.name, problems: Vec::new() };
    for (_, step) in definition.steps() {
        match &step.body {
            Body::Code => of_code(step, &mut found),
            Body::Child(name) => {
                if let Some(child) = module.iter().find(|child| child.name == *name) {
                    of_child(step, child, &mut found);
                }
            }
            Body::Command(_) => {}
        }
    }
    let savepoint = definition.stages.iter().find_map(|stage| stage.savepoint_after.as_ref());
    if let (Some(savepoint), 0) = (savepoint, definition.rounds) {
        found.about(None, format!("it has the savepoint `{savepoint}` and allows no further round; allow one, or leave it out"));
    }
    found.problems
}

struct Found<'a> {
    saga: &'a str,
    problems: Vec<Problem>,
}

impl Found<'_> {
    fn about(&mut self, step: Option<&Step>, problem: impl Into<String>) {
        let step = step.map(|step| step.name.clone());
        self.problems.push(Problem { saga: self.saga.to_owned(), step, problem: problem.into() });
    }
}

fn of_code(step: &Step, found: &mut Found<'_>) {
    if is_for_ever(&step.retry) {
        let after = if step.kind == Kind::Retriable { "and then be stuck, where people see it" } else { "and then roll back" };
        found.about(Some(step), format!("it is tried for ever; give it a limit of attempts or a time box, {after}"));
    }
    let asks_for_nothing = step.effect_free && step.on_unknown != OnUnknown::Retry;
    if asks_for_nothing {
        found.about(Some(step), "it declares that it does not reach outside: its outcome is never unknown; leave the policy out");
    }
    if let Undo::Code(policy) = &step.undo {
        of_compensation(step, policy, found);
    }
}

fn of_compensation(step: &Step, policy: &UndoPolicy, found: &mut Found<'_>) {
    if step.effect_free && step.kind == Kind::Pivot {
        let why = "a pivot that does not reach outside is never in doubt; leave it out";
        found.about(Some(step), format!("its compensation can never run: {why}"));
    }
    match (step.effect_free, policy.effect_free, step.kind) {
        (true, false, Kind::Compensatable) => {
            found.about(Some(step), "it declares that it does not reach outside, and its compensation does not: what is there to undo outside? say it of both, or of neither");
        }
        (false, true, _) => {
            found.about(Some(step), "its compensation declares that it does not reach outside, and so cannot undo what the step did there; leave that out");
        }
        (true, true, _) | (false, false, _) | (true, false, Kind::Pivot | Kind::Retriable) => {}
    }
    match (is_for_ever(&policy.retry), policy.alternates) {
        (true, 0) => {
            found.about(Some(step), "its compensation is tried for ever; give it a limit, and then be stuck, where people see it")
        }
        (true, _) => {
            found.about(
                Some(step),
                "the alternates of its compensation can never run: the first way is tried for ever; give it a limit",
            );
        }
        (false, _) => {}
    }
}

fn of_child(step: &Step, child: &Definition, found: &mut Found<'_>) {
    if !child.locks.is_empty() {
        let keys = "has lock keys, which do not hold inside another saga; give them to this one";
        found.about(Some(step), format!("its child `{}` {keys}", child.name));
    }
    if child.deadline_ms.is_some() {
        let deadline = "has a deadline, which does not hold inside another saga; give this one a deadline";
        found.about(Some(step), format!("its child `{}` {deadline}", child.name));
    }
}

fn is_for_ever(retry: &Retry) -> bool {
    retry.attempts_max.is_none() && retry.time_box_ms.is_none()
}
