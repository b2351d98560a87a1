//! The rules that a definition keeps, checked at deploy. Each refusal names the step and the rule.

use std::{fmt, sync::Arc};

use super::{
    definition::{Body, CommandData, CommandStep, Definition, Each, EachMode, Kind, OnExhausted, OnUnknown, Retry, Step, Undo},
    output::token,
    plan::Plan,
};
use crate::{
    id::Name,
    plain::{is_printable, shown},
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
    /// Alternates of a step, and of a compensation.
    pub alternates_max: u32,
    /// Rounds after the first.
    pub rounds_max: u32,
}

impl Default for Limits {
    /// 256 steps, 64 a stage, a deadline of at most an hour, 16 alternates, 100 more rounds.
    fn default() -> Self {
        Self { steps_max: 256, stage_steps_max: 64, deadline_ms_max: 3_600_000, alternates_max: 16, rounds_max: 100 }
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

/// Every rule that the definition breaks; none is a definition that may run. `module` is what came with it: its children.
pub fn problems(definition: &Arc<Definition>, module: &[Arc<Definition>], limits: &Limits) -> Vec<Problem> {
    let mut found = Found { saga: &definition.name, problems: Vec::new() };
    check_saga(definition, limits, &mut found);
    match Plan::new(Arc::clone(definition), module) {
        Ok(plan) if plan.steps() > limits.steps_max => found.saga(format!("it has more than {} steps", limits.steps_max)),
        Ok(plan) => check_children(definition, &plan, &mut found),
        Err(no_plan) => found.saga(no_plan.to_string()),
    }
    check_kinds(definition, &mut found);
    check_savepoints(definition, limits, &mut found);
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
    for (index, stage) in definition.stages.iter().enumerate() {
        match stage.steps.len() {
            0 => found.saga(format!("stage {} has no step", index + 1)),
            n if n > limits.stage_steps_max => {
                found.saga(format!("stage {} has {n} steps; at most {} run in parallel", index + 1, limits.stage_steps_max));
            }
            _ => {}
        }
    }
    check_locks(definition, found);
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

/// Savepoints stand between stages, before the pivot: after it nothing is rolled back to one.
fn check_savepoints(definition: &Definition, limits: &Limits, found: &mut Found<'_>) {
    let mut names: Vec<&str> = Vec::new();
    for (index, stage) in definition.stages.iter().enumerate() {
        let Some(name) = &stage.savepoint_after else { continue };
        if let Err(bad) = Name::new(name) {
            found.saga(format!("its savepoint after stage {}: {bad}", index + 1));
        }
        if names.contains(&name.as_str()) {
            found.saga(format!("it has two savepoints `{}`; names are unique", shown(name)));
        }
        names.push(name);
        if index + 1 == definition.stages.len() {
            found.saga(format!("nothing follows its savepoint `{}`; leave it out", shown(name)));
        }
        if let Some(step) = stage.steps.iter().find(|step| step.kind != Kind::Compensatable) {
            found.step(
                step,
                format!("the savepoint `{}` stands after it, and there is no way back to there; put it before", shown(name)),
            );
        }
    }
    if definition.rounds > limits.rounds_max {
        found.saga(format!("it allows {} more rounds; at most {}", definition.rounds, limits.rounds_max));
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
    if let Body::Command(command) = &step.body {
        check_command(definition, stage, step, command, found);
    }
    check_undo(step, limits, found);
    check_policies(step, limits, found);
    check_alternates(step, step.alternates, "alternates", limits, found);
    if let Some(each) = &step.each {
        check_each(definition, stage, step, each, found);
    }
}

/// A step that is a command: its names, and where its id and its data are.
fn check_command(definition: &Definition, stage: usize, step: &Step, command: &CommandStep, found: &mut Found<'_>) {
    let undo = command.undo.as_ref().map(|undo| ("command that undoes it", &undo.command));
    for (what, name) in [("aggregate", &command.aggregate), ("command", &command.command)].into_iter().chain(undo) {
        if let Err(bad) = Name::new(name) {
            found.step(step, format!("its {what} `{}`: {bad}", shown(name)));
        }
    }
    check_source(definition, stage, step, "id of the aggregate", &command.id, found);
    check_data(step, "its data", &command.data, found, |pointer| misplaced(definition, stage, pointer, FORWARD));
    if let Some(data) = command.undo.as_ref().and_then(|undo| undo.data.as_ref()) {
        let what = "the data of the command that undoes it";
        check_data(step, what, data, found, |pointer| misplaced_in_undo(definition, stage, pointer));
    }
    if command.undo.is_some() && !matches!(step.undo, Undo::Code(_)) {
        found.step(step, "a command undoes it, and it has no policy for that; give it one");
    }
    if step.alternates > 0 {
        found.step(step, "it is a command and has alternates; a command that is refused has no other way");
    }
}

/// Members of an object that is made for a command. How large they are together is seen when it is made.
const MEMBERS_MAX: usize = 64;

/// In bytes.
const MEMBER_NAME_MAX: usize = 128;

/// What a command says: one value, or an object of several. `misplaced` says what is wrong with a pointer.
fn check_data(step: &Step, what: &str, data: &CommandData, found: &mut Found<'_>, misplaced: impl Fn(&str) -> Option<String>) {
    let members = match data {
        CommandData::At(pointer) => {
            if let Some(problem) = misplaced(pointer) {
                found.step(step, format!("{what} {problem}"));
            }
            return;
        }
        CommandData::Object(members) => members,
    };
    if members.len() > MEMBERS_MAX {
        found.step(step, format!("{what} has {} members; at most {MEMBERS_MAX}", members.len()));
    }
    for (index, member) in members.iter().enumerate() {
        let name = shown(&member.name).escape_debug();
        if !(1..=MEMBER_NAME_MAX).contains(&member.name.len()) || !is_printable(&member.name) {
            found.step(step, format!("{what} has a member `{name}`; use 1 to {MEMBER_NAME_MAX} printable bytes"));
        }
        if members[..index].iter().any(|earlier| earlier.name == member.name) {
            found.step(step, format!("{what} has two members `{name}`"));
        }
        if let Some(problem) = misplaced(&member.at) {
            found.step(step, format!("the member `{name}` of {what} {problem}"));
        }
    }
}

/// What is read of the input or of an earlier output.
fn check_source(definition: &Definition, stage: usize, step: &Step, what: &str, pointer: &str, found: &mut Found<'_>) {
    if let Some(problem) = misplaced(definition, stage, pointer, FORWARD) {
        found.step(step, format!("its {what} {problem}"));
    }
}

const FORWARD: &str = "/input or /outputs/<step>";

/// What is wrong with a pointer into the input or an earlier output; `roots` is what it may begin with.
fn misplaced(definition: &Definition, stage: usize, pointer: &str, roots: &str) -> Option<String> {
    let from = token(pointer).filter(|_| is_pointer(pointer)).and_then(|(first, rest)| match first {
        "input" => Some(None),
        "outputs" => Some(Some(token(rest)?.0)),
        _ => None,
    });
    match from {
        Some(None) => None,
        Some(Some(name)) if definition.step(name).is_some_and(|(at, _)| at < stage) => None,
        Some(Some(name)) => Some(format!("is in the output of `{}`, which is no step of an earlier stage", shown(name))),
        None => Some(format!("is at no pointer that begins with {roots}")),
    }
}

/// The same where a step is undone: its own output can be read, and why it is undone. What these do not have is `null`, so that
/// nobody would find a misspelled name later.
fn misplaced_in_undo(definition: &Definition, stage: usize, pointer: &str) -> Option<String> {
    let (root, rest) = token(pointer).filter(|_| is_pointer(pointer)).unwrap_or_default();
    let members: &[&str] = match root {
        "output" => &["revision", "data", "events"],
        "cause" => &["kind", "step", "code", "message", "data"],
        _ => return misplaced(definition, stage, pointer, "/input, /outputs/<step>, /output or /cause"),
    };
    let (member, _) = token(rest).filter(|(member, _)| !members.contains(member))?;
    Some(format!("is at `/{root}/{}`, where nothing ever is; there are {}", shown(member), members.join(", ")))
}

/// A step that stands for a saga: what it is and does not have.
fn check_children(definition: &Definition, plan: &Plan, found: &mut Found<'_>) {
    for (_, step) in definition.steps() {
        let Body::Child(name) = &step.body else { continue };
        let Some(child) = plan.child(name) else { continue };
        if step.kind == Kind::Pivot {
            found.step(step, "it is a pivot and stands for a saga; a pivot is one step");
        } else if let Some((_, other)) = child.steps().find(|(_, other)| other.kind != step.kind) {
            let (kind, other_kind) = (kind_text(step.kind), kind_text(other.kind));
            found.step(
                step,
                format!(
                    "it is {kind}, and its child `{name}` has the {other_kind} step `{}`; a child's steps are of its kind",
                    other.name
                ),
            );
        }
        if child.stages.iter().any(|stage| stage.savepoint_after.is_some()) {
            found.step(step, format!("its child `{name}` has a savepoint; they stand between the stages of the saga itself"));
        }
        if step.alternates > 0 {
            found.step(step, "it stands for a saga and has alternates; give them to the child's steps");
        }
        if matches!(step.undo, Undo::Code(_)) {
            found.step(step, "it stands for a saga and has a compensation; the child's steps are undone by their own");
        }
    }
}

fn kind_text(kind: Kind) -> &'static str {
    match kind {
        Kind::Compensatable => "compensatable",
        Kind::Pivot => "pivot",
        Kind::Retriable => "retriable",
    }
}

fn check_each(definition: &Definition, stage: usize, step: &Step, each: &Each, found: &mut Found<'_>) {
    check_source(definition, stage, step, "list", &each.items, found);
    if each.key.as_ref().is_some_and(|key| !is_pointer(key)) {
        found.step(step, "the key of its elements is no JSON pointer; it is empty or begins with /, and writes ~ as ~0");
    }
    if each.concurrency == 0 {
        found.step(step, "none of its elements may run; the concurrency is at least 1");
    }
    if step.kind == Kind::Pivot {
        found.step(step, "it is a pivot and fans out; a pivot is one decision");
    }
    if each.mode == EachMode::Collect && step.body != Body::Code {
        found
            .step(step, "it collects the ends of sagas; a child that is refused is rolled back with its saga: fan out fail-fast");
    }
}

fn check_locks(definition: &Definition, found: &mut Found<'_>) {
    for (index, lock) in definition.locks.iter().enumerate() {
        if let Err(bad) = Name::new(&lock.name) {
            found.saga(format!("its lock key `{}`: {bad}", shown(&lock.name)));
        }
        if !is_pointer(&lock.pointer) {
            found.saga(format!(
                "its lock key `{}` is at no JSON pointer; it is empty or begins with /, and writes ~ as ~0",
                shown(&lock.name)
            ));
        }
        if definition.locks[..index].contains(lock) {
            found.saga(format!("it has the lock key `{}` twice", shown(&lock.name)));
        }
    }
}

fn is_pointer(text: &str) -> bool {
    let escapes = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    escapes && (text.is_empty() || text.starts_with('/'))
}

fn check_undo(step: &Step, limits: &Limits, found: &mut Found<'_>) {
    match (&step.undo, step.kind) {
        (Undo::None, Kind::Compensatable) if matches!(step.body, Body::Child(_)) => {}
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
            check_alternates(step, policy.alternates, "alternates of its compensation", limits, found);
        }
        _ => {}
    }
}

fn check_alternates(step: &Step, alternates: u32, what: &str, limits: &Limits, found: &mut Found<'_>) {
    if alternates > limits.alternates_max {
        found.step(step, format!("it has {alternates} {what}; at most {} are tried", limits.alternates_max));
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
