//! The rules that the host checks at deploy, so that a unit test meets them first.

mod aggregates;
mod commands;
mod composition;
mod kinds;
mod policies;
mod projections;
mod step;
mod triggers;

use std::fmt;

use crate::Module;
use crate::bindings::saga::exports::amends::module::saga::{Definition, Step};
use crate::testing::names;

/// Steps in a saga, those of its children counted each time they stand for a step, and in a stage.
const STEPS_MAX: usize = 256;
const STAGE_STEPS_MAX: usize = 64;

impl Module {
    /// Whether the host would take the module at deploy; if not, every rule that it breaks, with saga, step and remedy.
    ///
    /// If the crate has a `names.lock`, it is compared too: see [`#[derive(Event)]`](derive@crate::Event).
    ///
    /// ```
    /// use amends_sdk::{Call, Module, Result, Saga, Step};
    ///
    /// # fn charge(_: (), _: &Call) -> Result { Ok(()) }
    /// # fn ship(_: (), _: &Call) -> Result { Ok(()) }
    /// fn module() -> Module {
    ///     let order = Saga::new("order").step(Step::pivot("charge", charge)).savepoint("paid").step(Step::retriable("ship", ship));
    ///     Module::new("shop").saga(order)
    /// }
    ///
    /// // In a unit test: assert_eq!(module().check(), Ok(())), which says here:
    /// assert_eq!(
    ///     module().check().unwrap_err().to_string(),
    ///     "saga `order`, step `charge`: the savepoint `paid` stands after it, and there is no way back to there; put it before",
    /// );
    /// ```
    pub fn check(&self) -> Result<(), Problems> {
        let mut found = self.keeps_rules().err().unwrap_or(Problems(Vec::new()));
        names::check(self, &mut found.0);
        if found.0.is_empty() { Ok(()) } else { Err(found) }
    }

    /// Whether the host would take the module at deploy.
    pub(super) fn keeps_rules(&self) -> Result<(), Problems> {
        let description = self.description();
        let mut found = Problems(Vec::new());
        if let Err(bad) = name(&description.module) {
            found.0.push(format!("the module: {bad}"));
        }
        for (index, saga) in description.sagas.iter().enumerate() {
            let mut of_saga = Found { saga, problems: &mut found.0 };
            if description.sagas[..index].iter().any(|earlier| earlier.name == saga.name) {
                of_saga.saga("another saga of the module has this name; give each its own");
            }
            check_saga(&mut of_saga);
            kinds::check(&mut of_saga);
            step::check(&mut of_saga);
            composition::check(&description.sagas, &mut of_saga);
        }
        triggers::check(&self.triggers(), &mut found.0);
        commands::check_known(self, &mut found.0);
        aggregates::check(self.aggregates(), &mut found.0);
        projections::check(self.projections(), &mut found.0);
        policies::check(self, &mut found.0);
        if found.0.is_empty() { Ok(()) } else { Err(found) }
    }
}

/// The rules that a module breaks, a line each; a test that returns it as its error shows them.
#[derive(Clone, PartialEq, Eq)]
pub struct Problems(Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// As people read it: a test prints the `Debug` of its error.
impl fmt::Debug for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the host would not take it:\n{self}")
    }
}

impl std::error::Error for Problems {}

/// What is found in one saga.
struct Found<'a> {
    saga: &'a Definition,
    problems: &'a mut Vec<String>,
}

impl<'a> Found<'a> {
    fn saga(&mut self, problem: impl fmt::Display) {
        self.problems.push(format!("saga `{}`: {problem}", self.saga.name));
    }

    fn step(&mut self, step: &Step, problem: impl fmt::Display) {
        self.problems.push(format!("saga `{}`, step `{}`: {problem}", self.saga.name, step.name));
    }

    /// All steps of the saga, each with the number of its stage.
    fn steps(&self) -> impl Iterator<Item = (usize, &'a Step)> + use<'a> {
        let stages = self.saga.stages.iter().enumerate();
        stages.flat_map(|(stage, of)| of.steps.iter().map(move |step| (stage, step)))
    }

    /// The step of this name, and the number of its stage.
    fn named(&self, name: &str) -> Option<(usize, &'a Step)> {
        self.steps().find(|(_, step)| step.name == name)
    }
}

fn check_saga(found: &mut Found<'_>) {
    let saga = found.saga;
    if let Err(bad) = name(&saga.name) {
        found.saga(bad);
    }
    if saga.stages.is_empty() {
        found.saga("it has no stage; add a step");
    }
    for (number, stage) in (1..).zip(&saga.stages) {
        match stage.steps.len() {
            // Said of the savepoint, which is why there is a stage.
            0 if stage.savepoint_after.is_some() => {}
            0 => found.saga(format_args!("stage {number} has no step")),
            steps if steps > STAGE_STEPS_MAX => {
                found.saga(format_args!("stage {number} has {steps} steps; at most {STAGE_STEPS_MAX} run in parallel"));
            }
            _ => {}
        }
    }
    if saga.output.as_ref().is_some_and(|name| found.named(name).is_none()) {
        found.saga("its output names a step that it does not have");
    }
    if saga.deadline_ms == Some(0) {
        found.saga("its deadline is 0 ms; leave it out for none");
    }
}

pub(super) fn name(name: &str) -> Result<(), String> {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(letters) && name.len() <= 63;
    if fits { Ok(()) } else { Err(format!("the name {name:?} is not of the form [a-z][a-z0-9-]{{0,62}}")) }
}
