//! One host put together: data folder, store, engine and guests, behind what the API asks of it.
//!
//! It decides nothing: it opens the parts in their order, passes questions on, and closes the parts in reverse.

use std::{
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::{Duration, Instant as Moment},
};

use amends_core::{
    Definition,
    id::{Name, Namespace, SagaId},
    lint, trigger, validate,
    value::Instant,
};
use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{broadcast, oneshot};

use crate::{
    api::runtime::{BoxFuture, Committed, Readiness, Runtime, SagaPage, Unverified, Verified},
    clocks::Clocks,
    engine::{
        driver::{Clock, Engine, Parts, Running},
        guests::ModuleDigest,
        limits::Limits,
        metrics::Metrics,
        module::schema::Schema,
        port::{
            Candidate, Change, Job, JobPreview, JobVerb, ListFilter, Moves, OfSchedule, Offered, Origin, Refusal, RefusalCode,
            Request, SagaFilter, ScheduleView, StuckGroups,
        },
        reader::{Reader, Seen},
    },
    host::{self, Compile, Host, HostConfig},
    journal::{Actor, Record},
    marker::Marker,
    plain::escape,
    store::{
        Store, StoreError,
        folder::{Folder, FolderError},
        redb::{Options, RedbStore},
    },
    trouble::Trouble,
};

/// What a node is made of.
#[derive(Clone)]
pub struct Config {
    /// The data folder.
    pub data: PathBuf,
    /// How the journal is opened.
    pub store: Options,
    /// What guests may use.
    pub guests: host::Limits,
    /// The limits of the engine.
    pub engine: Limits,
    /// The rules of definitions.
    pub definitions: validate::Limits,
    /// The host's own listeners, which no guest may call.
    pub listening: Vec<SocketAddr>,
    /// The executable that compiles components, as `amends compile-worker`.
    pub worker: PathBuf,
    /// What tells the time.
    pub clocks: Clocks,
    /// The folder of the operator's secrets, if there is one.
    pub secrets: Option<PathBuf>,
    /// When the disk is too full for new sagas.
    pub free: Free,
    /// Lines of the log that were lost.
    pub lost_lines: Counter,
}

/// New sagas are refused when less than either is free on the disk.
#[derive(Clone, Copy, Debug)]
pub struct Free {
    /// In bytes.
    pub bytes_min: u64,
    /// In percent of the disk.
    pub percent_min: u8,
}

/// Why a node did not start, or cannot go on.
#[derive(Debug)]
pub enum NodeError {
    /// Another host has the data folder.
    InUse(String),
    /// The data folder holds something else, which is left alone.
    NotOurs(String),
    /// The storage failed.
    Storage(String),
    /// Anything else.
    Other(String),
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(what) | Self::NotOurs(what) | Self::Storage(what) | Self::Other(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for NodeError {}

impl From<FolderError> for NodeError {
    fn from(error: FolderError) -> Self {
        match error {
            FolderError::InUse(what) => Self::InUse(what),
            FolderError::NotOurs(what) => Self::NotOurs(what),
            FolderError::Failed(what) => Self::Storage(what),
        }
    }
}

impl From<StoreError> for NodeError {
    fn from(error: StoreError) -> Self {
        Self::Storage(error.to_string())
    }
}

/// How long an answer about the disk holds. What is written meanwhile is far less than what must be free.
const SPACE_HOLDS: Duration = Duration::from_millis(250);

/// A guest's turn that takes longer is none: its thread is blocked, and attempts wait behind it.
const TURN_MAX: Duration = Duration::from_secs(10);

/// A host that has recovered and takes requests.
pub struct Node {
    folder: Arc<Folder>,
    host: Arc<Host>,
    engine: Engine,
    reader: Reader,
    metrics: Arc<Metrics>,
    clock: Clock,
    definitions: validate::Limits,
    room: Arc<Room>,
    marker: Mutex<Option<Marker>>,
    running: Mutex<Option<Running>>,
    store: Arc<RedbStore>,
    failed: Mutex<Option<oneshot::Receiver<String>>>,
    recovery: Duration,
    failure: Arc<Mutex<Option<String>>>,
}

/// How much room the disk has.
struct Room {
    folder: Arc<Folder>,
    free: Free,
    /// When the disk was looked at last, and whether it was too full.
    low: Mutex<Option<(Moment, bool)>>,
}

impl Room {
    /// Asks the disk once in a while: a start is not worth a system call of its own.
    fn is_low(&self) -> bool {
        let mut looked = self.low.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.is_none_or(|(at, _)| at.elapsed() >= SPACE_HOLDS) {
            let low = self.folder.space().is_ok_and(|space| space.is_low(self.free.bytes_min, self.free.percent_min));
            *looked = Some((Moment::now(), low));
        }
        looked.is_some_and(|(_, low)| low)
    }
}

impl Node {
    /// Opens the folder, recovers, and starts the threads. Blocks.
    pub fn open(config: Config) -> Result<Self, NodeError> {
        let began = Moment::now();
        let folder = Arc::new(Folder::open(&config.data)?);
        let opened = folder.open_store(&config.store)?;
        if let Some(taint) = &opened.taint {
            tracing::warn!(error = %taint.error, "the last host stopped because its storage failed; every page was read again");
        }
        let store = Arc::new(opened.store);
        let mut metrics = Metrics::default();
        metrics.show_lost_lines(config.lost_lines.clone());
        let metrics = Arc::new(metrics);
        let host = Arc::new(open_host(&config, &folder)?);
        let suspects = Marker::read(&config.data);
        let (tell, failed) = oneshot::channel();
        let failure = Arc::new(Mutex::new(None));
        let on_failure = {
            let (folder, failure) = (Arc::clone(&folder), Arc::clone(&failure));
            Box::new(move |why: &str| {
                tracing::error!(why, "the storage failed: nothing is acknowledged any more");
                folder.mark_tainted(&StoreError::Failed(why.to_owned()));
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
                // Nobody waits for it any more only when the host is stopping anyway.
                let _ = tell.send(why.to_owned());
            })
        };
        let room = Arc::new(Room { folder: Arc::clone(&folder), free: config.free, low: Mutex::new(None) });
        let looks = Arc::clone(&room);
        let running = Running::start(Parts {
            store: Arc::clone(&store) as Arc<dyn Store>,
            guests: Arc::clone(&host) as Arc<dyn crate::engine::guests::Guests>,
            clock: Arc::clone(&config.clocks.wall),
            limits: config.engine,
            metrics: Arc::clone(&metrics),
            seed: seed()?,
            suspects,
            is_low: Arc::new(move || looks.is_low()),
            on_failure,
        })?;
        let engine = running.engine().clone();
        let marker =
            Marker::start(&config.data, Arc::clone(&host)).map_err(|error| NodeError::Other(format!("no heartbeat: {error}")))?;
        for digest in engine.definitions().digests() {
            if let Err(error) = host.load(&digest) {
                tracing::error!(digest = hex::encode(digest), %error, "a stored component cannot be loaded: sagas that need it wait");
            }
        }
        forget_unnamed(&folder, &host, &engine.definitions().digests());
        let recovery = began.elapsed();
        metrics.recovery_seconds.set(recovery.as_secs_f64());
        Ok(Self {
            reader: Reader::new(Arc::clone(&store) as Arc<dyn Store>, engine.definitions().clone()),
            folder,
            host,
            engine,
            metrics,
            clock: config.clocks.wall,
            definitions: config.definitions,
            room,
            marker: Mutex::new(Some(marker)),
            running: Mutex::new(Some(running)),
            failed: Mutex::new(Some(failed)),
            recovery,
            failure,
            store,
        })
    }

    /// How many sagas had not ended when the host before this one stopped: running, waiting, compensating or stuck.
    pub fn recovered(&self) -> u64 {
        self.engine.recovered
    }

    /// Ends if the storage fails, and says why. Asked once.
    pub fn failed(&self) -> impl Future<Output = String> + Send + 'static {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            match failed {
                Some(failed) => match failed.await {
                    Ok(why) => why,
                    Err(_) => std::future::pending().await,
                },
                None => std::future::pending().await,
            }
        }
    }

    /// No new starts, time for open attempts until this moment, commit, close. Blocks.
    pub fn close(&self, until: Moment) -> Result<(), NodeError> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running {
            running.stop(until);
        }
        drop(self.marker.lock().unwrap_or_else(PoisonError::into_inner).take());
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(why) => Err(NodeError::Storage(why.clone())),
            None => Ok(self.store.close()?),
        }
    }

    fn check(&self, bytes: &Bytes) -> Result<Verified, Unverified> {
        let found = self.host.verify(bytes).map_err(unverified)?;
        let digest = found.digest;
        verified(found, bytes.len() as u64, &self.definitions).inspect_err(|_| {
            if !self.is_named(&digest) {
                self.host.forget(&digest);
            }
        })
    }

    /// Some version is these bytes.
    fn is_named(&self, digest: &ModuleDigest) -> bool {
        self.engine.definitions().digests().contains(digest)
    }
}

/// The rules beside the bytes: names, and what each definition must keep.
pub fn verified(found: host::Verified, bytes: u64, limits: &validate::Limits) -> Result<Verified, Unverified> {
    let host::Verified { digest, description, imports, .. } = found;
    let module = Name::new(&description.module)
        .map_err(|bad| bad_definition(vec![format!("module name `{}`: {bad}", description.module)]))?;
    let sagas: Vec<Arc<Definition>> = description.sagas.iter().cloned().map(Arc::new).collect();
    let problems = sagas.iter().flat_map(|saga| validate::problems(saga, &sagas, limits));
    let problems = problems.chain(trigger::problems(&description.triggers, &sagas));
    let mut reasons: Vec<String> = problems.map(|problem| problem.to_string()).collect();
    reasons.extend(description.sagas.iter().filter_map(|saga| {
        let why = Schema::read(saga.schema.as_deref()?).err()?;
        Some(format!("saga `{}`: the schema of its input cannot be used: {why}", saga.name))
    }));
    let mut names: Vec<&str> = description.sagas.iter().map(|saga| saga.name.as_str()).collect();
    names.sort_unstable();
    reasons.extend(names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| format!("saga `{}` is defined twice", pair[0])));
    if description.sagas.is_empty() {
        reasons.push(format!("module `{module}` has no saga; add one to its description"));
    }
    if !reasons.is_empty() {
        return Err(bad_definition(reasons));
    }
    let warnings = sagas.iter().flat_map(|saga| lint::warnings(saga, &sagas));
    let warnings = warnings.map(|warning| escape(&warning.to_string())).collect();
    let host::Description { sagas: definitions, triggers, .. } = description;
    Ok(Verified { module: module.to_string(), digest, bytes, definitions, triggers, imports, warnings })
}

/// Names in it come from a guest, and are read on terminals: marks that turn the reading direction show as what they are.
fn bad_definition(reasons: Vec<String>) -> Unverified {
    Unverified {
        trouble: Trouble::Component,
        code: "bad_definition",
        reasons: reasons.iter().map(|reason| escape(reason)).collect(),
        hint: Some("mend the definition and deploy again; nothing was stored".to_owned()),
    }
}

/// What the host says of bytes that it cannot run.
pub fn unverified(error: host::VerifyError) -> Unverified {
    Unverified { trouble: error.trouble, code: error.code, reasons: vec![error.message], hint: Some(error.hint) }
}

fn not_stored(why: &str) -> Unverified {
    let hint = Some("look at the host's log and its disk, and try again".to_owned());
    Unverified { trouble: Trouble::Host, code: "not_stored", reasons: vec![why.to_owned()], hint }
}

fn open_host(config: &Config, folder: &Folder) -> Result<Host, NodeError> {
    let modules = folder.modules();
    let source = move |digest: &[u8; 32]| match modules.get(digest) {
        Ok(Some(bytes)) => Ok(Bytes::from(bytes)),
        Ok(None) => Err(io::Error::new(io::ErrorKind::NotFound, "the component is not in the data folder")),
        Err(error) => Err(io::Error::other(error.to_string())),
    };
    let host = Host::new(HostConfig {
        limits: config.guests.clone(),
        uptime: Arc::clone(&config.clocks.uptime),
        modules: Arc::new(source),
        compile: Compile::Worker { program: config.worker.clone(), args: vec![host::compile_worker::ARGUMENT.into()] },
        cache: Some(config.data.join("cache")),
        secrets: config.secrets.clone(),
    })
    .map_err(|error| NodeError::Other(error.to_string()))?;
    host.set_listeners(config.listening.clone());
    Ok(host)
}

fn forget(folder: &Folder, host: &Host, digest: &ModuleDigest) {
    host.forget(digest);
    if let Err(error) = folder.modules().remove(digest) {
        tracing::warn!(digest = hex::encode(digest), %error, "a component that nothing needs was not deleted");
    }
}

/// Deletes components that no record names: a deploy stores its bytes first, and was refused or cut off after that.
///
/// Done before the first request is taken, so that no deploy can be counting on them.
fn forget_unnamed(folder: &Folder, host: &Host, named: &[ModuleDigest]) {
    let stored = folder.modules().digests().unwrap_or_else(|error| {
        tracing::warn!(%error, "the stored components cannot be listed");
        Vec::new()
    });
    stored.iter().filter(|digest| !named.contains(digest)).for_each(|digest| forget(folder, host, digest));
}

fn seed() -> Result<u64, NodeError> {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(|error| NodeError::Other(format!("no randomness: {error}")))?;
    Ok(u64::from_le_bytes(seed))
}

impl Runtime for Node {
    fn now(&self) -> Instant {
        (self.clock)()
    }

    fn generation(&self) -> u32 {
        1
    }

    fn ask(&self, request: Request) -> Result<(), Refusal> {
        let is_new = match &request {
            Request::Start(..) | Request::Deploy(..) => true,
            Request::Schedule(_, request, _) => matches!(request.asked, OfSchedule::Put(_)),
            // What is addressed to a saga may be what it needs to end.
            Request::Publish(_, publish, _) => publish.to.is_none(),
            Request::Verb(..)
            | Request::Activate(..)
            | Request::SetGrants(..)
            | Request::Remove(..)
            // They end what there is.
            | Request::Job(..)
            | Request::StopJob(..)
            | Request::AwaitJob(..)
            | Request::Modules(..)
            | Request::Definitions(..) => false,
        };
        if is_new && self.room.is_low() {
            return Err(Refusal::new(
                RefusalCode::LowSpace,
                "the disk is nearly full: no new sagas, events and modules are taken",
            )
            .hint("make room on the disk of the data folder"));
        }
        self.engine.ask(request)
    }

    fn saga(&self, namespace: &Namespace, id: &SagaId) -> Result<Option<Committed>, Refusal> {
        let seen = self.reader.saga(namespace, id)?;
        let committed =
            |Seen { view, started_by, position, locks, on_cancel }| Committed { view, started_by, position, locks, on_cancel };
        Ok(seen.map(committed))
    }

    fn sagas(&self, namespace: &Namespace, filter: &ListFilter) -> Result<SagaPage, Refusal> {
        let (lines, next) = self.reader.sagas(namespace, filter)?;
        Ok(SagaPage { lines, next })
    }

    fn stuck(&self, namespace: &Namespace, filter: &SagaFilter) -> Result<StuckGroups, Refusal> {
        self.reader.stuck(namespace, filter)
    }

    fn preview(&self, namespace: &Namespace, verb: JobVerb, filter: &SagaFilter, enough: u64) -> Result<JobPreview, Refusal> {
        self.reader.preview(namespace, verb, filter, enough, (self.clock)())
    }

    fn jobs(&self, namespace: &Namespace) -> Result<(Vec<Job>, bool), Refusal> {
        self.reader.jobs(namespace)
    }

    fn job(&self, namespace: &Namespace, id: &str) -> Result<Option<Job>, Refusal> {
        self.reader.job(namespace, id)
    }

    fn schedule(&self, namespace: &Namespace, name: &str) -> Result<Option<ScheduleView>, Refusal> {
        self.reader.schedule(namespace, name)
    }

    fn schedules(&self, namespace: &Namespace, after: Option<&str>, limit: usize) -> Result<Vec<ScheduleView>, Refusal> {
        self.reader.schedules(namespace, after, limit)
    }

    fn moves(&self, namespace: &Namespace, candidate: &Candidate) -> Result<Moves, Refusal> {
        self.reader.moves(namespace, candidate)
    }

    fn journal(&self, namespace: &Namespace, id: &SagaId, from: u64, limit: usize) -> Result<Option<Vec<Record>>, Refusal> {
        self.reader.journal(namespace, id, from, limit)
    }

    fn definitions(&self, namespace: &Namespace) -> Result<Vec<Offered>, Refusal> {
        let (answer, answered) = oneshot::channel();
        let origin = Origin { namespace: namespace.clone(), actor: Actor::Host, idempotency_key: None };
        self.engine.ask(Request::Definitions(origin, answer))?;
        answered.blocking_recv().map_err(|_| Refusal::new(RefusalCode::Stopping, "the host has stopped"))?
    }

    fn verify(&self, bytes: Bytes) -> BoxFuture<'_, Result<Verified, Unverified>> {
        Box::pin(async move { tokio::task::block_in_place(|| self.check(&bytes)) })
    }

    fn keep(&self, bytes: Bytes) -> BoxFuture<'_, Result<(), Unverified>> {
        let keep = move || {
            // Durable before the journal names it, and ready to run before new work starts on it.
            let digest = self.folder.modules().put(&bytes).map_err(|error| not_stored(&error.to_string()))?;
            self.host.load(&digest).map_err(|error| not_stored(&error.to_string()))
        };
        Box::pin(async move { tokio::task::block_in_place(keep) })
    }

    fn discard(&self, digest: ModuleDigest) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if !self.is_named(&digest) {
                tokio::task::block_in_place(|| forget(&self.folder, &self.host, &digest));
            }
        })
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.engine.changes()
    }

    fn readiness(&self) -> Readiness {
        let turn = self.host.longest_turn();
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(why) => Readiness::NotReady(format!("the storage failed: {why}")),
            None if turn > TURN_MAX => Readiness::NotReady(format!("a thread for guests has been blocked for {turn:.0?}")),
            None => Readiness::Ready {
                recovered: self.engine.recovered,
                took_ms: u64::try_from(self.recovery.as_millis()).unwrap_or(u64::MAX),
            },
        }
    }

    fn metrics(&self) -> String {
        self.metrics.starts_blocked_on_module.inner().store(self.host.late_loads(), Ordering::Relaxed);
        self.metrics.text()
    }
}
