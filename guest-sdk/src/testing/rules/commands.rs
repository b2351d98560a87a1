//! Steps that are commands: which aggregate, which commands, and where the id and the data are.

use super::{Found, name};
use crate::Module;
use crate::bindings::saga::exports::amends::module::saga::{Body, CommandData, CommandStep, Step, Undo};
use crate::testing::plain::is_printable;
use crate::testing::pointer;

pub(super) fn check(stage: usize, step: &Step, command: &CommandStep, found: &mut Found<'_>) {
    let undo = command.undo.as_ref().map(|undo| ("command that undoes it", &undo.command));
    for (what, text) in [("aggregate", &command.aggregate), ("command", &command.command)].into_iter().chain(undo) {
        if let Err(bad) = name(text) {
            found.step(step, format_args!("its {what}: {bad}"));
        }
    }
    check_source(stage, step, "id of the aggregate", &command.id, found);
    check_data(step, "its data", &command.data, found, |pointer, found| misplaced(stage, pointer, FORWARD, found));
    if let Some(data) = command.undo.as_ref().and_then(|undo| undo.data.as_ref()) {
        let what = "the data of the command that undoes it";
        check_data(step, what, data, found, |pointer, found| misplaced_in_undo(stage, pointer, found));
    }
    if command.undo.is_some() && !matches!(step.undo, Undo::Code(_)) {
        found.step(step, "a command undoes it, and it has no policy for that; give it one");
    }
}

/// Members of an object that is made for a command, and the bytes of a name.
const MEMBERS_MAX: usize = 64;
const MEMBER_NAME_MAX: usize = 128;

/// What a command says: one value, or an object of several. `misplaced` says what is wrong with a pointer.
fn check_data(
    step: &Step,
    what: &str,
    data: &CommandData,
    found: &mut Found<'_>,
    misplaced: impl Fn(&str, &Found<'_>) -> Option<String>,
) {
    let members = match data {
        CommandData::At(pointer) => {
            if let Some(problem) = misplaced(pointer, found) {
                found.step(step, format_args!("{what} {problem}"));
            }
            return;
        }
        CommandData::Object(members) => members,
    };
    if members.len() > MEMBERS_MAX {
        found.step(step, format_args!("{what} has {} members; at most {MEMBERS_MAX}", members.len()));
    }
    for (index, member) in members.iter().enumerate() {
        let name = member.name.escape_debug();
        if !(1..=MEMBER_NAME_MAX).contains(&member.name.len()) || !is_printable(&member.name) {
            found.step(step, format_args!("{what} has a member `{name}`; use 1 to {MEMBER_NAME_MAX} printable bytes"));
        }
        if members[..index].iter().any(|earlier| earlier.name == member.name) {
            found.step(step, format_args!("{what} has two members `{name}`"));
        }
        if let Some(problem) = misplaced(&member.at, found) {
            found.step(step, format_args!("the member `{name}` of {what} {problem}"));
        }
    }
}

/// What is read of the input or of an earlier output.
pub(super) fn check_source(stage: usize, step: &Step, what: &str, text: &str, found: &mut Found<'_>) {
    if let Some(problem) = misplaced(stage, text, FORWARD, found) {
        found.step(step, format_args!("its {what} {problem}"));
    }
}

const FORWARD: &str = "/input or /outputs/<step>";

/// What is wrong with a pointer into the input or an earlier output; `roots` is what it may begin with.
fn misplaced(stage: usize, text: &str, roots: &str, found: &Found<'_>) -> Option<String> {
    let mut tokens = text.split('/').skip(1);
    match (pointer::check(text), tokens.next(), tokens.next()) {
        (Ok(()), Some("input"), _) => None,
        (Ok(()), Some("outputs"), Some(from)) if found.named(from).is_some_and(|(at, _)| at < stage) => None,
        (Ok(()), Some("outputs"), Some(from)) => {
            Some(format!("is in the output of `{from}`, which is no step of an earlier stage"))
        }
        _ => Some(format!("is at no pointer that begins with {roots}")),
    }
}

/// The same where a step is undone: its own output can be read, and why it is undone.
fn misplaced_in_undo(stage: usize, text: &str, found: &Found<'_>) -> Option<String> {
    let mut tokens = text.split('/').skip(1);
    let members: &[&str] = match tokens.next().filter(|_| pointer::check(text).is_ok()) {
        Some("output") => &["revision", "data", "events"],
        Some("cause") => &["kind", "step", "code", "message", "data"],
        _ => return misplaced(stage, text, "/input, /outputs/<step>, /output or /cause", found),
    };
    let root = text.split('/').nth(1).unwrap_or_default();
    let member = tokens.next().filter(|member| !members.contains(member))?;
    Some(format!("is at `/{root}/{member}`, where nothing ever is; there are {}", members.join(", ")))
}

/// The aggregates that are known here have the commands that steps send to them.
pub(super) fn check_known(module: &Module, problems: &mut Vec<String>) {
    for saga in module.sagas() {
        for step in saga.steps() {
            let Body::Command(command) = &step.spec.body else { continue };
            let Some(known) = known(module, &command.aggregate, step.commands.as_deref()) else { continue };
            let undo = command.undo.as_ref().map(|undo| &undo.command);
            for name in [Some(&command.command), undo].into_iter().flatten() {
                if !known.iter().any(|known| known == name) {
                    let (saga, step, aggregate, known) = (&saga.name, &step.spec.name, &command.aggregate, known.join("`, `"));
                    problems.push(format!(
                        "saga `{saga}`, step `{step}`: the aggregate `{aggregate}` has no command `{name}`; it has `{known}`"
                    ));
                }
            }
        }
    }
}

/// The commands of the aggregate of this name: of the module's own, or of the one of which the step was made.
fn known(module: &Module, aggregate: &str, of_step: Option<&[&'static str]>) -> Option<Vec<String>> {
    let own = module.aggregates().iter().find(|own| own.name() == aggregate);
    let own = own.map(|own| own.definition().commands.into_iter().map(|command| command.name).collect());
    own.or_else(|| of_step.map(|names| names.iter().map(|name| (*name).to_owned()).collect()))
}
