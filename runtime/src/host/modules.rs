//! The components that are ready to run, by digest. A guest's link to the host is made once, not for each attempt.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use bytes::Bytes;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};

use super::{
    ModuleSource,
    bindings::{
        SagaModulePre,
        aggregates::{AggregatesModulePre, exports::amends::module::aggregate},
        amends::module::types::{Failure, Payload},
        exports::amends::module::saga,
        policies::{PoliciesModulePre, exports::amends::module::policy},
        projections::{ProjectionsModulePre, exports::amends::module::projection},
    },
    export::Export,
    fault::{Fault, FaultCode},
    guest::Guest,
};
use crate::engine::guests::ModuleDigest;

/// The interfaces that a module exports at least one of, and the one that it may export beside its sagas.
const SAGA: &str = "amends:module/saga@0.1.0";
const AGGREGATE: &str = "amends:module/aggregate@0.1.0";
const PROJECTION: &str = "amends:module/projection@0.1.0";
const POLICY: &str = "amends:module/policy@0.1.0";
const TRIGGERS: &str = "amends:module/triggers@0.1.0";

/// A component with its imports resolved and its exports found.
///
/// The generated bindings look all exports up for every instance and check their types; an attempt calls one.
pub(super) struct Ready {
    pub(super) component: InstancePre<Guest>,
    sagas: Option<Sagas>,
    aggregates: Option<Aggregates>,
    projections: Option<Projections>,
    policies: Option<Policies>,
    /// None: no event starts its sagas, or it was built before there was this.
    pub(super) triggers: Option<ComponentExportIndex>,
}

/// The exports of a module with sagas.
pub(super) struct Sagas {
    pub(super) describe: ComponentExportIndex,
    pub(super) execute: Export<saga::Call, saga::Outcome>,
    pub(super) compensate: Export<saga::Call, saga::UndoOutcome>,
    pub(super) check: Export<saga::Call, saga::CheckOutcome>,
}

/// The exports of a module with aggregates.
pub(super) struct Aggregates {
    pub(super) describe: ComponentExportIndex,
    pub(super) decide: Export<aggregate::Call, aggregate::Decided>,
    pub(super) evolve: Export<aggregate::Fold, Payload>,
}

/// The exports of a module with projections.
pub(super) struct Projections {
    pub(super) describe: ComponentExportIndex,
    pub(super) project: Export<projection::Batch, Result<(), Failure>>,
    pub(super) query: Export<projection::Question, Result<Payload, Failure>>,
}

/// The exports of a module with policies.
pub(super) struct Policies {
    pub(super) describe: ComponentExportIndex,
    pub(super) handle: Export<policy::Call, Result<policy::Reaction, Failure>>,
}

impl Ready {
    /// Its sagas, if it has some.
    pub(super) fn sagas(&self) -> Option<&Sagas> {
        self.sagas.as_ref()
    }

    /// Its aggregates, if it has some.
    pub(super) fn aggregates(&self) -> Option<&Aggregates> {
        self.aggregates.as_ref()
    }

    /// Its projections, if it has some.
    pub(super) fn projections(&self) -> Option<&Projections> {
        self.projections.as_ref()
    }

    /// Its policies, if it has some.
    pub(super) fn policies(&self) -> Option<&Policies> {
        self.policies.as_ref()
    }
}

/// What is called of a component that does not export it. The engine calls only what was described at the deploy.
pub(super) fn not_exported(interface: &str) -> Fault {
    Fault::new(FaultCode::Trap, format!("the component does not export {interface}"))
}

/// The ready components.
pub(super) struct Modules {
    linker: Linker<Guest>,
    source: ModuleSource,
    ready: RwLock<HashMap<ModuleDigest, Arc<Ready>>>,
}

impl Modules {
    pub(super) fn new(linker: Linker<Guest>, source: ModuleSource) -> Self {
        Self { linker, source, ready: RwLock::default() }
    }

    pub(super) fn get(&self, digest: &ModuleDigest) -> Option<Arc<Ready>> {
        self.ready.read().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    pub(super) fn insert(&self, digest: ModuleDigest, component: &Component) -> wasmtime::Result<()> {
        let ready = Arc::new(self.link(component)?);
        self.ready.write().unwrap_or_else(PoisonError::into_inner).insert(digest, ready);
        Ok(())
    }

    pub(super) fn remove(&self, digest: &ModuleDigest) {
        self.ready.write().unwrap_or_else(PoisonError::into_inner).remove(digest);
    }

    pub(super) fn link(&self, component: &Component) -> wasmtime::Result<Ready> {
        let checked = self.linker.instantiate_pre(component)?;
        let exported = |interface: &str| component.get_export_index(None, interface);
        let find = |interface: &ComponentExportIndex, name: &str| {
            let found = component.get_export_index(Some(interface), name);
            found.ok_or_else(|| wasmtime::format_err!("the export {name} is missing"))
        };
        // The types of all exports are checked once, here.
        let sagas = match exported(SAGA) {
            Some(saga) => {
                SagaModulePre::new(checked.clone())?;
                Some(Sagas {
                    describe: find(&saga, "describe")?,
                    execute: Export::new(find(&saga, "execute")?),
                    compensate: Export::new(find(&saga, "compensate")?),
                    check: Export::new(find(&saga, "check")?),
                })
            }
            None => None,
        };
        let aggregates = match exported(AGGREGATE) {
            Some(aggregate) => {
                AggregatesModulePre::new(checked.clone())?;
                Some(Aggregates {
                    describe: find(&aggregate, "describe")?,
                    decide: Export::new(find(&aggregate, "decide")?),
                    evolve: Export::new(find(&aggregate, "evolve")?),
                })
            }
            None => None,
        };
        let projections = match exported(PROJECTION) {
            Some(projection) => {
                ProjectionsModulePre::new(checked.clone())?;
                Some(Projections {
                    describe: find(&projection, "describe")?,
                    project: Export::new(find(&projection, "project")?),
                    query: Export::new(find(&projection, "query")?),
                })
            }
            None => None,
        };
        let policies = match exported(POLICY) {
            Some(policy) => {
                PoliciesModulePre::new(checked.clone())?;
                Some(Policies { describe: find(&policy, "describe")?, handle: Export::new(find(&policy, "handle")?) })
            }
            None => None,
        };
        let triggers = exported(TRIGGERS).map(|triggers| find(&triggers, "triggers")).transpose()?;
        Ok(Ready { component: checked, sagas, aggregates, projections, policies, triggers })
    }

    pub(super) fn source(&self, digest: &ModuleDigest) -> std::io::Result<Bytes> {
        (self.source)(digest)
    }
}
