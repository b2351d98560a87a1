//! Steps that are commands: which aggregate, which commands, and where the id and the data are.

use super::{Found, name};
use crate::Module;
use crate::bindings::saga::exports::amends::module::saga::{Body, CommandStep, Step, Undo};
use crate::testing::pointer;

pub(super) fn check(stage: usize, step: &Step, command: &CommandStep, found: &mut Found<'_>) {
    let undo = command.undo.as_ref().map(|undo| ("command that undoes it", undo));
    for (what, text) in [("aggregate", &command.aggregate), ("command", &command.command)].into_iter().chain(undo) {
        if let Err(bad) = name(text) {
            found.step(step, format_args!("its {what}: {bad}"));
        }
    }
    for (what, text) in [("id of the aggregate", &command.id), ("data", &command.data)] {
        check_source(stage, step, what, text, found);
    }
    if command.undo.is_some() && !matches!(step.undo, Undo::Code(_)) {
        found.step(step, "a command undoes it, and it has no policy for that; give it one");
    }
}

/// What is read of the input or of an earlier output.
pub(super) fn check_source(stage: usize, step: &Step, what: &str, text: &str, found: &mut Found<'_>) {
    if let Err(bad) = pointer::check(text) {
        return found.step(step, format_args!("its {what}: {bad}"));
    }
    let mut tokens = text.split('/').skip(1);
    match (tokens.next(), tokens.next()) {
        (Some("input"), _) => {}
        (Some("outputs"), Some(from)) if found.named(from).is_some_and(|(at, _)| at < stage) => {}
        (Some("outputs"), Some(from)) => {
            found.step(step, format_args!("its {what} is in the output of `{from}`, which is no step of an earlier stage"));
        }
        _ => found.step(step, format_args!("its {what} is at no pointer that begins with /input or /outputs/<step>")),
    }
}

/// The aggregates that are known here have the commands that steps send to them.
pub(super) fn check_known(module: &Module, problems: &mut Vec<String>) {
    for saga in module.sagas() {
        for step in saga.steps() {
            let Body::Command(command) = &step.spec.body else { continue };
            let Some(known) = known(module, &command.aggregate, step.commands.as_deref()) else { continue };
            for name in [Some(&command.command), command.undo.as_ref()].into_iter().flatten() {
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
