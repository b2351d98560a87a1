//! Modules: the content of one component.

use std::borrow::Cow;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::aggregates::exports::amends::module::aggregate as wit_aggregate;
use crate::bindings::policies::exports::amends::module::policy as wit_policy;
use crate::bindings::projections::exports::amends::module::projection as wit_projection;
use crate::bindings::saga::exports::amends::module::saga as wit;
use crate::bindings::triggers::exports::amends::module::triggers::Trigger;
use crate::policy::Memory;
use crate::projection::View;
use crate::saga::Definition;
use crate::step::Erased;
use crate::{Aggregate, Commands, Events, Policy, Projection, Saga, aggregate, policy, projection};

/// The content of one component. Pass the function that returns it to [`export!`](crate::export).
#[must_use = "a module does nothing until it is exported"]
pub struct Module {
    name: Cow<'static, str>,
    sagas: Vec<Rc<Definition>>,
    aggregates: Vec<Rc<dyn aggregate::Untyped>>,
    projections: Vec<Rc<dyn projection::Untyped>>,
    policies: Vec<Rc<dyn policy::Untyped>>,
}

impl Module {
    /// A module with this name: `[a-z][a-z0-9-]{0,62}`. Operators use the name to deploy, grant and activate; the name of the
    /// file does not matter. `env!("CARGO_PKG_NAME")` is a good name.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Module {
        let name = name.into();
        Module { name, sagas: Vec::new(), aggregates: Vec::new(), projections: Vec::new(), policies: Vec::new() }
    }

    /// Adds a saga, and with it its [children](crate::Step::child). Two equal sagas with one name are one saga.
    pub fn saga<I>(mut self, saga: Saga<I>) -> Module {
        self.add(Rc::new(saga.into_definition()));
        self
    }

    /// Adds an aggregate. [`export!`](crate::export) then needs `aggregate: module`.
    pub fn aggregate<S, C, E>(mut self, aggregate: Aggregate<S, C, E>) -> Module
    where
        S: Default + Serialize + DeserializeOwned + 'static,
        C: Commands,
        E: Events,
    {
        self.aggregates.push(Rc::new(aggregate));
        self
    }

    /// Adds a projection. [`export!`](crate::export) then needs `projection: module`.
    pub fn projection<V: View>(mut self, projection: Projection<V>) -> Module {
        self.projections.push(Rc::new(projection));
        self
    }

    /// Adds a policy. [`export!`](crate::export) then needs `policy: module`.
    pub fn policy<M: Memory>(mut self, policy: Policy<M>) -> Module {
        self.policies.push(Rc::new(policy));
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

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn of_aggregate(name: &'static str, aggregate: Rc<dyn aggregate::Untyped>) -> Module {
        Module { aggregates: vec![aggregate], ..Module::new(name) }
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn of_projection(name: &'static str, projection: Rc<dyn projection::Untyped>) -> Module {
        Module { projections: vec![projection], ..Module::new(name) }
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn of_policy(name: &'static str, policy: Rc<dyn policy::Untyped>) -> Module {
        Module { policies: vec![policy], ..Module::new(name) }
    }

    fn add(&mut self, saga: Rc<Definition>) {
        let namesake = self.sagas.iter().find(|known| known.name == saga.name);
        if namesake.is_some_and(|known| known.to_wit() == saga.to_wit() && known.started_by == saga.started_by) {
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

    pub(crate) fn aggregates(&self) -> &[Rc<dyn aggregate::Untyped>] {
        &self.aggregates
    }

    pub(crate) fn projections(&self) -> &[Rc<dyn projection::Untyped>] {
        &self.projections
    }

    pub(crate) fn policies(&self) -> &[Rc<dyn policy::Untyped>] {
        &self.policies
    }

    pub(crate) fn sagas(&self) -> &[Rc<Definition>] {
        &self.sagas
    }

    pub(crate) fn aggregates_description(&self) -> wit_aggregate::Description {
        let aggregates = self.aggregates.iter().map(|aggregate| aggregate.definition()).collect();
        wit_aggregate::Description { module: self.name.to_string(), aggregates }
    }

    pub(crate) fn projections_description(&self) -> wit_projection::Description {
        let projections = self.projections.iter().map(|projection| projection.definition()).collect();
        wit_projection::Description { module: self.name.to_string(), projections }
    }

    pub(crate) fn policies_description(&self) -> wit_policy::Description {
        let policies = self.policies.iter().map(|policy| policy.definition()).collect();
        wit_policy::Description { module: self.name.to_string(), policies }
    }

    pub(crate) fn triggers(&self) -> Vec<Trigger> {
        let of = |saga: &Rc<Definition>| {
            let saga = saga.clone();
            let types = saga.started_by.clone().into_iter();
            types.map(move |event_type| Trigger { saga: saga.name.to_string(), event_type })
        };
        self.sagas.iter().flat_map(of).collect()
    }

    /// The step at this path of a saga: `charge`, `pay[sku-7]`, `guest[ada]/reserve`.
    pub(crate) fn step(&self, saga: &str, path: &str) -> Option<&Erased> {
        let mut definition = self.sagas.iter().find(|candidate| candidate.name == saga)?;
        // Keys hold neither of the two characters: they are encoded in paths.
        let mut names = path.split('/').map(|part| part.split_once('[').map_or(part, |(name, _)| name));
        let mut name = names.next()?;
        loop {
            let step = definition.steps().find(|candidate| candidate.spec.name == name)?;
            match names.next() {
                None => return Some(step),
                Some(inner) => (definition, name) = (step.child.as_ref()?, inner),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Each, Step};

    use super::*;

    #[test]
    fn a_step_is_found_by_its_path() {
        let nothing = |name| Step::compensatable(name, |(), _| Ok(())).undo_nothing();
        let inner = Saga::new("inner").step(nothing("a")).step(nothing("b"));
        let outer: Saga<Vec<()>> = Saga::new("outer").step(Step::child("a", inner).each(Each::in_input("")));
        let module = Module::new("m").saga(outer);
        let found = |saga, path| module.step(saga, path).map(|step| step.spec.name.as_str());
        assert_eq!(found("outer", "a[0]/b"), Some("b"));
        assert_eq!(found("outer", "a[x%2Fy]/a"), Some("a"));
        assert_eq!(found("inner", "b"), Some("b"));
        assert_eq!([found("outer", "b"), found("outer", "a/c"), found("inner", "a/b"), found("other", "a")], [None; 4]);
    }
}
