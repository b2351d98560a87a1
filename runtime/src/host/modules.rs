//! The components that are ready to run, by digest. A guest's link to the host is made once, not for each attempt.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use bytes::Bytes;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};

use super::{
    ModuleSource,
    bindings::{SagaModulePre, exports::amends::module::saga},
    export::Export,
    guest::Guest,
};
use crate::engine::guests::ModuleDigest;

/// The interface that a module exports, and the one that it may export.
const SAGA: &str = "amends:module/saga@0.1.0";
const TRIGGERS: &str = "amends:module/triggers@0.1.0";

/// A component with its imports resolved and its exports found.
///
/// The generated bindings look all exports up for every instance and check their types; an attempt calls one.
pub(super) struct Ready {
    pub(super) component: InstancePre<Guest>,
    pub(super) describe: ComponentExportIndex,
    pub(super) execute: Export<saga::Call, saga::Outcome>,
    pub(super) compensate: Export<saga::Call, saga::UndoOutcome>,
    pub(super) check: Export<saga::Call, saga::CheckOutcome>,
    /// None: no event starts its sagas, or it was built before there was this.
    pub(super) triggers: Option<ComponentExportIndex>,
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
        // Everything is checked once, here.
        let checked = SagaModulePre::new(self.linker.instantiate_pre(component)?)?;
        let missing = |name: &str| wasmtime::format_err!("the export {name} is missing");
        let saga = component.get_export_index(None, SAGA).ok_or_else(|| missing(SAGA))?;
        let triggers = component.get_export_index(None, TRIGGERS);
        let find_in = |interface: &ComponentExportIndex, name: &str| {
            component.get_export_index(Some(interface), name).ok_or_else(|| missing(name))
        };
        let find = |name: &str| find_in(&saga, name);
        Ok(Ready {
            component: checked.instance_pre().clone(),
            describe: find("describe")?,
            execute: Export::new(find("execute")?),
            compensate: Export::new(find("compensate")?),
            check: Export::new(find("check")?),
            triggers: triggers.map(|interface| find_in(&interface, "triggers")).transpose()?,
        })
    }

    pub(super) fn source(&self, digest: &ModuleDigest) -> std::io::Result<Bytes> {
        (self.source)(digest)
    }
}
