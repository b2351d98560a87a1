//! The components that are ready to run, by digest. A guest's link to the host is made once, not for each attempt.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use bytes::Bytes;
use wasmtime::component::{Component, Linker};

use super::{ModuleSource, bindings::SagaModulePre, guest::Guest};
use crate::engine::guests::ModuleDigest;

/// A component with its imports resolved and its exports found.
pub(super) type Ready = SagaModulePre<Guest>;

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
        SagaModulePre::new(self.linker.instantiate_pre(component)?)
    }

    pub(super) fn source(&self, digest: &ModuleDigest) -> std::io::Result<Bytes> {
        (self.source)(digest)
    }
}
