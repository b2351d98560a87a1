//! Components: compiled and run by the guest host, stored in the data folder. Which of them to keep is decided in `deploy.rs`.

use std::{fmt, sync::Arc};

use crate::{
    engine::guests::ModuleDigest,
    host::{self, Host, VerifyError},
    store::modules::Modules,
};

/// Where components are verified and kept. Every function blocks. Tests of deploys replace it, for they need no compiler.
pub trait Components: Send + Sync + 'static {
    /// Compiles a component, and asks it to describe itself. Nothing of it is stored but its compiled code.
    fn verify(&self, bytes: &[u8]) -> Result<host::Verified, VerifyError>;

    /// Makes a component durable and ready to run.
    fn keep(&self, bytes: &[u8]) -> Result<(), NotKept>;

    /// Removes a component and its compiled code. One that is not there is removed already.
    fn remove(&self, digest: &ModuleDigest);
}

/// Why a component was not made durable or not made ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotKept(pub String);

impl fmt::Display for NotKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotKept {}

/// The components of a data folder, with the guest host that runs them.
pub struct Installed {
    modules: Modules,
    host: Arc<Host>,
}

impl Installed {
    /// The components of this folder, for this guest host.
    pub fn new(modules: Modules, host: Arc<Host>) -> Self {
        Self { modules, host }
    }

    /// Makes the components that some version names ready to run, and deletes the others: a deploy stores its bytes before its
    /// record, and was refused or cut off between the two. Only for the start of the host, when no deploy is under way.
    pub fn recover(&self, named: &[ModuleDigest]) {
        for digest in named {
            if let Err(error) = self.host.load(digest) {
                tracing::error!(digest = hex::encode(digest), %error, "a stored component cannot be loaded: sagas that need it wait");
            }
        }
        let stored = self.modules.digests().unwrap_or_else(|error| {
            tracing::warn!(%error, "the stored components cannot be listed");
            Vec::new()
        });
        stored.iter().filter(|digest| !named.contains(digest)).for_each(|digest| self.remove(digest));
    }
}

impl Components for Installed {
    fn verify(&self, bytes: &[u8]) -> Result<host::Verified, VerifyError> {
        self.host.verify(bytes)
    }

    fn keep(&self, bytes: &[u8]) -> Result<(), NotKept> {
        // Durable before the journal names it, and ready to run before new work starts on it.
        let digest = self.modules.put(bytes).map_err(|error| NotKept(error.to_string()))?;
        self.host.load(&digest).map_err(|error| NotKept(error.to_string()))
    }

    fn remove(&self, digest: &ModuleDigest) {
        self.host.forget(digest);
        if let Err(error) = self.modules.remove(digest) {
            tracing::warn!(digest = hex::encode(digest), %error, "a component that nothing needs was not deleted");
        }
    }
}
