//! One change of a definition: what makes the next version, to which a saga moves.

use std::{fmt, sync::Arc};

use amends_core::{
    Definition,
    definition::{Stage, Step},
    validate::{Limits, problems},
};

use crate::{
    script::{Given, step},
    written::step_text,
};

/// `move SAGA without STEP`, `move SAGA as STEP(…)`, `move SAGA with N STEP(…)`, `move SAGA puts N STEP`, `move SAGA rounds N`.
/// Stages count from 0; one more than there are is a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    /// The definition that is changed: the saga's own, or a child.
    pub(crate) saga: String,
    pub(crate) change: Change,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Without(String),
    /// The step of this name is this one.
    As(Box<Step>),
    /// The stage has this step too.
    With(usize, Box<Step>),
    /// The step is in this stage.
    Puts(usize, String),
    Rounds(u32),
}

impl Edit {
    pub(crate) fn new(text: &str) -> Self {
        let (saga, change) = text.split_once(' ').unwrap_or_else(|| panic!("no edit: {text}"));
        let (verb, what) = change.split_once(' ').unwrap_or_else(|| panic!("no edit: {text}"));
        let numbered = || {
            let (n, rest) = what.split_once(' ').unwrap_or_else(|| panic!("no stage: {text}"));
            (n.parse().unwrap(), rest)
        };
        let change = match verb {
            "without" => Change::Without(what.into()),
            "as" => Change::As(Box::new(step(what))),
            "with" => Change::With(numbered().0, Box::new(step(numbered().1))),
            "puts" => Change::Puts(numbered().0, numbered().1.into()),
            "rounds" => Change::Rounds(what.parse().unwrap()),
            _ => panic!("no edit: {text}"),
        };
        Self { saga: saga.into(), change }
    }

    /// The next version; none if it is the same, or would not keep the rules.
    pub(crate) fn of(&self, given: &Given) -> Option<Given> {
        let changed = |it: &Arc<Definition>| match it.name == self.saga {
            true => Arc::new(self.change.of(it)),
            false => Arc::clone(it),
        };
        let module = given.module.iter().map(changed).collect();
        let next = Given { definition: changed(&given.definition), module, input: given.input.clone() };
        let differs = next.definition != given.definition || next.module != given.module;
        (differs && is_legal(&next)).then_some(next)
    }
}

impl Change {
    fn of(&self, definition: &Definition) -> Definition {
        let mut next = definition.clone();
        match self {
            Self::Without(name) => drop(taken_out(&mut next, name)),
            Self::As(step) => {
                let known = next.stages.iter_mut().flat_map(|stage| &mut stage.steps).find(|known| known.name == step.name);
                known.into_iter().for_each(|known| *known = (**step).clone());
            }
            Self::With(stage, step) => put_in(&mut next, *stage, (**step).clone()),
            Self::Puts(stage, name) => {
                if let Some(step) = taken_out(&mut next, name) {
                    put_in(&mut next, *stage, step);
                }
            }
            Self::Rounds(rounds) => next.rounds = *rounds,
        }
        next.stages.retain(|stage| !stage.steps.is_empty());
        next
    }
}

fn taken_out(definition: &mut Definition, name: &str) -> Option<Step> {
    definition.stages.iter_mut().find_map(|stage| {
        let at = stage.steps.iter().position(|step| step.name == name)?;
        Some(stage.steps.remove(at))
    })
}

fn put_in(definition: &mut Definition, stage: usize, step: Step) {
    match definition.stages.get_mut(stage) {
        Some(stage) => stage.steps.push(step),
        None => definition.stages.push(Stage { steps: vec![step], savepoint_after: None }),
    }
}

/// Every definition keeps the rules.
pub(crate) fn is_legal(given: &Given) -> bool {
    let mut all = std::iter::once(&given.definition).chain(&given.module);
    all.all(|it| problems(it, &given.module, &Limits::default()).is_empty())
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.saga)?;
        match &self.change {
            Change::Without(name) => write!(f, "without {name}"),
            Change::As(step) => write!(f, "as {}", step_text(step)),
            Change::With(stage, step) => write!(f, "with {stage} {}", step_text(step)),
            Change::Puts(stage, name) => write!(f, "puts {stage} {name}"),
            Change::Rounds(rounds) => write!(f, "rounds {rounds}"),
        }
    }
}
