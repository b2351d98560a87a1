//! Runs guests: WebAssembly components, hostile until proven otherwise (law 12).
//!
//! The only place that names wasmtime. It knows one attempt at a time; it must not know sagas, records or the engine's state.
//! A trap, a bomb, a bad module or a panic costs one attempt, never the process and never another saga.

mod limits;

mod label;

mod attempt;

mod turn;

mod lanes;

mod guest;

mod console;

mod random;

mod egress;

mod traffic;

mod convert;

mod describe;

mod json;

mod fault;

mod modules;

mod settings;

mod bindings;

#[cfg(test)]
mod testing;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use amends_core::{outcome::Report, value::Instant};
use bytes::Bytes;
use wasmtime::{Engine, component::Linker};

use self::{
    fault::Fault,
    lanes::{Job, Lanes},
    modules::Modules,
};
pub use self::{label::Label, limits::Limits};
use crate::engine::guests::{AttemptCall, Guests, ModuleDigest};

/// The host's wall clock. Deadlines are measured by it; a guest's processor time is not.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// Finds the bytes of a stored component.
pub type ModuleSource = Arc<dyn Fn(&ModuleDigest) -> std::io::Result<Bytes> + Send + Sync>;

/// What a host is made of.
#[derive(Clone)]
pub struct HostConfig {
    /// What guests may use.
    pub limits: Limits,
    /// The wall clock.
    pub clock: Clock,
    /// The stored components.
    pub modules: ModuleSource,
}

/// Runs guests on threads of its own. Dropping it stops them; attempts in flight are dropped without a report.
pub struct Host {
    shared: Arc<Shared>,
    lanes: Lanes,
}

/// What all attempts share.
struct Shared {
    engine: Engine,
    limits: Limits,
    clock: Clock,
    modules: Modules,
    gate: egress::Gate,
}

impl Host {
    /// Sets wasmtime up and starts the guest threads.
    pub fn new(config: HostConfig) -> Result<Self, HostError> {
        let HostConfig { limits, clock, modules } = config;
        let engine = settings::engine(&limits).map_err(HostError::new)?;
        let mut linker = Linker::new(&engine);
        guest::link(&mut linker).map_err(HostError::new)?;
        let lanes = Lanes::start(limits.thread_count(), limits.in_flight_max as usize).map_err(HostError::new)?;
        let modules = Modules::new(linker, modules);
        Ok(Self { shared: Arc::new(Shared { engine, limits, clock, modules, gate: egress::Gate }), lanes })
    }

    /// Makes a stored component ready to run: what was compiled before is read, else it is compiled. Blocks; off the hot path.
    pub fn load(&self, digest: &ModuleDigest) -> Result<(), HostError> {
        self.shared.load(digest).map_err(HostError::new)
    }

    /// Frees what a component takes in memory. It is loaded again when an attempt needs it.
    pub fn unload(&self, digest: &ModuleDigest) {
        self.shared.modules.remove(digest);
    }

    /// The attempts whose guests have a processor now, for the crash marker.
    pub fn running(&self) -> Vec<Arc<Label>> {
        self.lanes.running()
    }

    /// How many attempts are in flight, and how many wait for their turn.
    pub fn depth(&self) -> (usize, usize) {
        self.lanes.depth()
    }
}

impl Guests for Host {
    fn run(&self, call: AttemptCall, done: Box<dyn FnOnce(Report) + Send>) {
        let shared = self.shared.clone();
        let job: Job = Box::new(move |lane| {
            Box::pin(async move {
                let report = match shared.module(&call.digest).await {
                    Ok(module) => attempt::run(&shared, &module, &call, &lane).await,
                    Err(fault) => Report {
                        attempt: call.attempt.clone(),
                        outcome: fault.into_outcome(),
                        left: amends_core::outcome::Left::Nothing,
                    },
                };
                done(report);
            })
        });
        self.lanes.run(job);
    }
}

impl Shared {
    /// A ready module; one that was never loaded, or unloaded, is loaded on a thread that may block.
    async fn module(self: &Arc<Self>, digest: &ModuleDigest) -> Result<Arc<modules::Ready>, Fault> {
        if let Some(ready) = self.modules.get(digest) {
            return Ok(ready);
        }
        let (shared, digest) = (self.clone(), *digest);
        let missing =
            |error: String| Fault::new("module_not_loaded", format!("module {} cannot be loaded: {error}", hex::encode(digest)));
        match tokio::task::spawn_blocking(move || shared.load(&digest)).await {
            Ok(Ok(())) => self.modules.get(&digest).ok_or_else(|| missing("it was unloaded again".to_owned())),
            Ok(Err(error)) => Err(missing(format!("{error:#}"))),
            Err(error) => Err(missing(error.to_string())),
        }
    }

    fn load(&self, digest: &ModuleDigest) -> wasmtime::Result<()> {
        if self.modules.get(digest).is_some() {
            return Ok(());
        }
        let wasm = self.modules.source(digest)?;
        let component = wasmtime::component::Component::from_binary(&self.engine, &wasm)?;
        self.modules.insert(*digest, &component)
    }
}

/// The host cannot do its part. It is nobody's attempt that failed.
#[derive(Debug)]
pub struct HostError(String);

impl HostError {
    fn new(error: impl std::fmt::Display) -> Self {
        Self(format!("{error:#}"))
    }
}

impl std::fmt::Display for HostError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for HostError {}
