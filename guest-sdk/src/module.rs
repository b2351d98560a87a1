//! Modules: what one component contains.

use std::borrow::Cow;
use std::rc::Rc;

use crate::Saga;
use crate::bindings::saga::exports::amends::module::saga as wit;
use crate::saga::Definition;
use crate::step::Erased;

/// What one component contains. Give the function that makes it to [`export!`](crate::export).
#[must_use = "a module does nothing until it is exported"]
pub struct Module {
    name: Cow<'static, str>,
    sagas: Vec<Rc<Definition>>,
}

impl Module {
    /// A module under this name: `[a-z][a-z0-9-]{0,62}`. It is what operators deploy, grant to and roll back; the name of the
    /// file does not matter. `env!("CARGO_PKG_NAME")` is a good one.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Module {
        Module { name: name.into(), sagas: Vec::new() }
    }

    /// Adds a saga, and with it its [children](crate::Step::child). Two sagas that say the same under one name are one saga.
    pub fn saga<I>(mut self, saga: Saga<I>) -> Module {
        self.add(Rc::new(saga.into_definition()));
        self
    }

    /// The module's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn of(name: &'static str, saga: Rc<Definition>) -> Module {
        let mut module = Module::new(name);
        module.add(saga);
        module
    }

    fn add(&mut self, saga: Rc<Definition>) {
        let namesake = self.sagas.iter().find(|known| known.name == saga.name);
        if namesake.is_some_and(|known| known.to_wit() == saga.to_wit()) {
            return;
        }
        self.sagas.push(saga.clone());
        for child in saga.steps().filter_map(|step| step.child.clone()) {
            self.add(child);
        }
    }

    pub(crate) fn description(&self) -> wit::Description {
        let sagas = self.sagas.iter().map(|saga| saga.to_wit()).collect();
        wit::Description { module: self.name.to_string(), sagas }
    }

    pub(crate) fn step(&self, saga: &str, step: &str) -> Option<&Erased> {
        let saga = self.sagas.iter().find(|candidate| candidate.name == saga)?;
        saga.steps().find(|candidate| candidate.spec.name == step).map(AsRef::as_ref)
    }
}
