//! Runs guests: WebAssembly components, hostile until proven otherwise (law 12).
//!
//! The only place that names wasmtime. It knows one call at a time; it must not know records or the engine's state, and what a call
//! is for in `work` alone. A trap, a bomb, a bad module or a panic costs one attempt, never the process and never another call.

mod limits;

mod label;

mod verify;

mod compile;

pub mod compile_worker;

mod cache;

mod work;

mod attempt;

mod turn;

mod groups;

mod queue;

mod ready;

mod bell;

mod roster;

mod lanes;

mod guest;

mod budget;

mod machine;

mod messages;

mod console;

mod random;

mod secrets;

mod egress;

mod address;

mod headers;

mod connect;

mod answer;

mod traffic;

mod convert;

mod decide;

mod project;

mod handle;

mod describe;

mod json;

mod fault;

mod modules;

mod export;

mod settings;

mod bindings;

#[cfg(test)]
mod testing;

#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant as Moment},
};

use amends_core::outcome::Left;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use wasmtime::{
    Engine,
    component::{Component, Linker},
};

use self::{
    attempt::Deadline,
    budget::Budget,
    cache::Cache,
    compile::Compiler,
    egress::Gate,
    fault::{Fault, FaultCode},
    groups::Party,
    lanes::{Job, Lanes, NotRun},
    modules::{Modules, Ready},
    roster::Running,
    secrets::Secrets,
    turn::Lane,
};
pub use self::{
    compile::Compile,
    describe::Description,
    label::Label,
    lanes::Load,
    limits::Limits,
    verify::{Problem, Verified, VerifyError},
};
use crate::{
    engine::guests::{CallId, Caller, GuestCall, GuestReport, Guests, ModuleDigest},
    journal::StreamId,
    stages::{Stage, Stages},
};

/// How long this process has run, by a clock that nobody sets. Deadlines of attempts are measured by it; a guest's processor time
/// is not.
pub type Uptime = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Finds the bytes of a stored component.
pub type ModuleSource = Arc<dyn Fn(&ModuleDigest) -> std::io::Result<Bytes> + Send + Sync>;

/// How long a verification waits for `describe`, which may not wait itself: its processor time is limited.
const DESCRIBE_WAIT: Duration = Duration::from_secs(60);

/// What a host is made of.
#[derive(Clone)]
pub struct HostConfig {
    /// What guests may use.
    pub limits: Limits,
    /// What deadlines are measured by.
    pub uptime: Uptime,
    /// The stored components.
    pub modules: ModuleSource,
    /// Who compiles.
    pub compile: Compile,
    /// Where compiled code is kept between two runs, as `DIR/cache`; none keeps nothing.
    pub cache: Option<PathBuf>,
    /// The folder of the operator's secrets, a file each; none: there are none.
    pub secrets: Option<PathBuf>,
    /// What the stages of an attempt take is added to these.
    pub stages: Arc<Stages>,
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
    uptime: Uptime,
    modules: Modules,
    compiler: Compiler,
    cache: Option<Cache>,
    gate: Gate,
    secrets: Arc<Secrets>,
    memory: Arc<Budget>,
    stages: Arc<Stages>,
    // One at a time: many attempts may want the same module, and a compilation takes threads and memory.
    late_load: tokio::sync::Mutex<()>,
    late_loads: AtomicU64,
}

impl Host {
    /// Sets wasmtime up and starts the guest threads.
    pub fn new(config: HostConfig) -> Result<Self, HostError> {
        let HostConfig { limits, uptime, modules, compile, cache, secrets, stages } = config;
        let engine = settings::engine(&limits).map_err(HostError::new)?;
        let mut linker = Linker::new(&engine);
        guest::link(&mut linker).map_err(HostError::new)?;
        let lanes = Lanes::start(limits.thread_count(), limits.places()).map_err(HostError::new)?;
        let cache = cache.and_then(|folder| {
            let cache = Cache::open(&folder, &engine);
            cache
                .inspect_err(
                    |error| tracing::warn!(folder = %folder.display(), %error, "compiled code is not kept: every start compiles"),
                )
                .ok()
        });
        let shared = Shared {
            compiler: Compiler::new(compile, &limits),
            modules: Modules::new(linker, modules),
            gate: Gate::new(&limits, connect::system(), Vec::new()),
            secrets: Arc::new(Secrets::of(secrets).map_err(HostError::new)?),
            memory: Budget::new(limits.memory_for_all()),
            late_load: tokio::sync::Mutex::default(),
            late_loads: AtomicU64::new(0),
            engine,
            limits,
            uptime,
            cache,
            stages,
        };
        Ok(Self { shared: Arc::new(shared), lanes })
    }

    /// Whether these bytes are a module that can run here, and what is in it. Its code is compiled and kept. Blocks.
    pub fn verify(&self, wasm: &[u8]) -> Result<Verified, VerifyError> {
        verify::look(wasm, self.shared.limits.wasm.as_u64())?;
        let digest = ModuleDigest::from(Sha256::digest(wasm));
        let found = self.look_into(digest, wasm);
        if found.is_err() && self.shared.modules.get(&digest).is_none() {
            // Nobody will ask for the code of what cannot run.
            self.forget(&digest);
        }
        found
    }

    fn look_into(&self, digest: ModuleDigest, wasm: &[u8]) -> Result<Verified, VerifyError> {
        let component = self.shared.component(&digest, || Ok(Bytes::copy_from_slice(wasm)))?;
        let ty = component.component_type();
        let imports: Vec<String> = ty.imports(&self.shared.engine).map(|(name, _)| name.to_owned()).collect();
        let exports: Vec<String> = ty.exports(&self.shared.engine).map(|(name, _)| name.to_owned()).collect();
        verify::imports(&imports)?;
        verify::exports(&exports)?;
        let ready = self.shared.modules.link(&component).map_err(|error| verify::wrong_world(&error))?;
        let description = self.describe(ready).map_err(|fault| verify::not_described(&fault))?;
        Ok(Verified { digest, description, imports, exports })
    }

    fn describe(&self, ready: Ready) -> Result<Description, Fault> {
        let (send, receive) = mpsc::channel();
        let shared = self.shared.clone();
        self.lanes.run_beside(Box::new(move |lane: Arc<Lane>| {
            Box::pin(async move {
                // If nobody waits any more, nobody wants to know.
                let _ = send.send(attempt::describe(&shared, &ready, &lane).await);
            }) as Running
        }));
        let lost = |_| Fault::new(FaultCode::HostBusy, format!("no answer within {DESCRIBE_WAIT:?}"));
        receive.recv_timeout(DESCRIBE_WAIT).map_err(lost)?
    }

    /// Makes a stored component ready to run: what was compiled before is read, else it is compiled. Blocks; off the hot path.
    pub fn load(&self, digest: &ModuleDigest) -> Result<(), HostError> {
        self.shared.load(digest).map_err(HostError::new)
    }

    /// Frees what a component takes in memory. It is loaded again when an attempt needs it.
    pub fn unload(&self, digest: &ModuleDigest) {
        self.shared.modules.remove(digest);
    }

    /// Frees what a removed component takes in memory and on disk.
    pub fn forget(&self, digest: &ModuleDigest) {
        self.unload(digest);
        if let Some(cache) = &self.shared.cache {
            cache.remove(digest);
        }
    }

    /// Where the host itself listens: no guest reaches that, whatever is granted.
    pub fn set_listeners(&self, listeners: Vec<SocketAddr>) {
        self.shared.gate.set_listeners(listeners);
    }

    /// The attempts whose guests have a processor now, for the crash marker.
    pub fn running(&self) -> Vec<Arc<Label>> {
        self.lanes.running()
    }

    /// How many attempts had to wait for their module, which is otherwise ready before work starts on it.
    pub fn late_loads(&self) -> u64 {
        self.shared.late_loads.load(Ordering::Relaxed)
    }

    /// How long the guest that is longest on a thread has been there without giving it back. Turns end after some milliseconds:
    /// where one does not, a function of the host blocks.
    pub fn longest_turn(&self) -> Duration {
        self.lanes.longest_turn()
    }

    /// What there is of attempts.
    pub fn attempts(&self) -> Load {
        self.lanes.load()
    }
}

impl Guests for Host {
    fn run(&self, call: GuestCall, caller: Box<dyn Caller>) {
        let party = Party { way: work::way(&call.work), of: call.of.clone(), module: call.module.clone() };
        let (queued, handed_over) = (Moment::now(), (self.shared.uptime)());
        self.lanes.run(party, Box::new(Calls { shared: self.shared.clone(), call, caller, queued, handed_over }));
    }

    fn withdraw(&self, of: &StreamId, call: &CallId) {
        self.lanes.withdraw(of, call);
    }

    fn end(&self, of: &StreamId) {
        self.lanes.end(of);
    }
}

/// A call, and those that its caller answers.
struct Calls {
    shared: Arc<Shared>,
    call: GuestCall,
    caller: Box<dyn Caller>,
    queued: Moment,
    handed_over: Duration,
}

impl Job for Calls {
    fn run(self: Box<Self>, lane: Arc<Lane>) -> Running {
        let Self { shared, call, caller, queued, handed_over } = *self;
        Box::pin(async move {
            let mut waiting = Waiting { call: call.work.id(), caller: Some(caller), lane };
            shared.stages.since(Stage::Queue, queued);
            let waited = (shared.uptime)().saturating_sub(handed_over);
            let mut next = Some(call.later_by(waited));
            while let Some(call) = next {
                let report = match shared.module(&call.digest).await {
                    Ok(module) => work::run(&shared, &module, &call, deadline(&shared, &call), &waiting.lane).await,
                    Err(fault) => work::failed(call.work.id(), fault, Left::Nothing),
                };
                let ended = Moment::now();
                next = waiting.report(report);
                shared.stages.since(Stage::Report, ended);
                if let Some(call) = &next {
                    waiting.lane.pass(work::way(&call.work)).await;
                }
            }
        })
    }

    fn is(&self, call: &CallId) -> bool {
        self.call.work.is(call)
    }

    fn give_up(self: Box<Self>, why: NotRun) {
        let Self { call, caller, .. } = *self;
        caller.last_report(match why {
            NotRun::NoPlace(waited) => work::failed(call.work.id(), no_place(&call.module, waited), Left::Nothing),
            NotRun::Withdrawn => GuestReport::withdrawn(call.work.id()),
        });
    }
}

fn no_place(module: &str, waited: Duration) -> Fault {
    let message = format!(
        "the attempt found no place within {waited:?}: others of the module {module} have all that it may have, or the host is full (`in_flight` and `waiting` in [guest])"
    );
    Fault::new(FaultCode::HostBusy, message)
}

/// When an attempt is over time whose guest begins now: what it waited for its place or its module is the host's time, not its own.
///
/// The engine's moments are those of the wall clock, which may be set while the attempt runs. Only their distance counts.
fn deadline(shared: &Shared, call: &GuestCall) -> Deadline {
    let allowed = Duration::from_millis(call.deadline_at.since(call.started_at));
    Deadline { at: (shared.uptime)().saturating_add(allowed), allowed }
}

/// Who waits for a report gets one, also if the attempt is ended before its time, or the host itself panics beside the guest.
struct Waiting {
    call: CallId,
    caller: Option<Box<dyn Caller>>,
    lane: Arc<Lane>,
}

impl Waiting {
    fn report(&mut self, report: GuestReport) -> Option<GuestCall> {
        let next = self.caller.as_mut()?.report(report);
        match &next {
            Some(call) => self.call = call.work.id(),
            None => self.caller = None,
        }
        next
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(caller) = self.caller.take() else { return };
        if std::thread::panicking() {
            let fault = Fault::new(FaultCode::HostBug, "the host panicked while it ran the attempt; please report it");
            // What had left is not known here.
            caller.last_report(work::failed(self.call.clone(), fault, Left::Unanswered));
        } else if self.lane.ends() {
            caller.last_report(GuestReport::ended(self.call.clone()));
        }
        // Any other job that is dropped belongs to a host that closes: its attempts stay open in the journal.
    }
}

impl Shared {
    /// A ready module; one that was never loaded, or unloaded, is loaded on a thread that may block.
    async fn module(self: &Arc<Self>, digest: &ModuleDigest) -> Result<Arc<Ready>, Fault> {
        if let Some(ready) = self.modules.get(digest) {
            return Ok(ready);
        }
        self.late_loads.fetch_add(1, Ordering::Relaxed);
        let _one_at_a_time = self.late_load.lock().await;
        let (shared, digest) = (self.clone(), *digest);
        let loaded = tokio::task::spawn_blocking(move || shared.load(&digest)).await;
        let error = match (loaded, self.modules.get(&digest)) {
            (Ok(Ok(())), Some(ready)) => return Ok(ready),
            (Ok(Ok(())), None) => "it was unloaded again".to_owned(),
            (Ok(Err(error)), _) => error.to_string(),
            (Err(error), _) => error.to_string(),
        };
        Err(Fault::new(FaultCode::ModuleNotLoaded, format!("module {} cannot be loaded: {error}", hex::encode(digest))))
    }

    fn load(&self, digest: &ModuleDigest) -> Result<(), VerifyError> {
        if self.modules.get(digest).is_some() {
            return Ok(());
        }
        let component = self.component(digest, || {
            let wasm = self.modules.source(digest)?;
            match ModuleDigest::from(Sha256::digest(&wasm)) == *digest {
                true => Ok(wasm),
                false => Err(std::io::Error::other("its stored bytes are corrupt: they have another digest")),
            }
        })?;
        self.modules.insert(*digest, &component).map_err(|error| verify::wrong_world(&error))
    }

    /// The component of these bytes: from the cache, or compiled and kept there.
    fn component(&self, digest: &ModuleDigest, wasm: impl FnOnce() -> std::io::Result<Bytes>) -> Result<Component, VerifyError> {
        if let Some(component) =
            self.cache.as_ref().and_then(|cache| cache.read(digest)).and_then(|code| self.trusted(&code).ok())
        {
            return Ok(component);
        }
        let wasm = wasm().map_err(|error| VerifyError::of_host(error.to_string()))?;
        let code = self.compiler.compile(&wasm, &self.limits)?;
        let component = self.trusted(&code).map_err(|error| verify::not_loaded(&error))?;
        if let Some(cache) = &self.cache {
            cache.write(digest, &code);
        }
        Ok(component)
    }

    #[expect(
        unsafe_code,
        reason = "machine code is run as it is: it comes from our own compiler, through a pipe or from the authenticated cache"
    )]
    fn trusted(&self, code: &[u8]) -> wasmtime::Result<Component> {
        // SAFETY: the callers pass what this version of the engine compiled: a worker's output, or a file whose MAC was checked.
        unsafe { Component::deserialize(&self.engine, code) }
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
