//! One host put together: it opens data folder, store, guest host and engine in this order, builds the services on them, and closes
//! the parts in reverse. It decides nothing.

use std::{fmt, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Instant as Moment};

use amends_core::validate;
use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::oneshot;

use crate::{
    clocks::Clocks,
    engine::{
        driver::{Engine, OnEnd, Parts, Running},
        guests::Guests,
        kernel::{IsLow, action::Ending},
        limits::Limits,
        metrics::Metrics,
    },
    host::{self, Compile, Host, HostConfig},
    marker::Marker,
    service::{
        Services,
        components::Installed,
        deploy::{self, Deploys},
        disk::{Disk, Free},
        folds::Folds,
        gate::Gate,
        health::{Failure, Health},
        import::Imports,
        intake::Intake,
        reader::Reader,
        views,
    },
    stages::Stages,
    store::{
        Store, StoreError,
        folder::{Folder, FolderError},
        ownership::ByLock,
        redb::{Options, RedbStore},
    },
};

/// What a node is made of.
#[derive(Clone)]
pub struct Config {
    /// The data folder.
    pub data: PathBuf,
    /// How the journal is opened.
    pub store: Options,
    /// Memory for pages of the file of the views.
    pub views_cache_bytes: usize,
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

/// A host that has recovered and takes requests.
pub struct Node {
    services: Services,
    running: Running,
    views: views::Running,
    marker: Marker,
    store: Arc<RedbStore>,
    failure: Failure,
    failed: Option<oneshot::Receiver<String>>,
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
        let host = Arc::new(open_host(&config, &folder, Arc::clone(&metrics.stages))?);
        let suspects = Marker::read(&config.data);
        let (metrics, failure) = (Arc::new(metrics), Failure::default());
        let (on_end, failed) = on_end(&folder, &failure);
        let disk = Disk::new(Arc::clone(&folder), config.free);
        let is_low: IsLow = Arc::new(move || disk.is_low());
        let running = Running::start(Parts {
            store: Arc::clone(&store) as Arc<dyn Store>,
            ownership: Arc::new(ByLock::new(Arc::clone(&store) as Arc<dyn Store>, Arc::clone(&folder))),
            guests: Arc::clone(&host) as Arc<dyn Guests>,
            clock: Arc::clone(&config.clocks.wall),
            limits: config.engine,
            metrics: Arc::clone(&metrics),
            seed: seed()?,
            suspects,
            is_low: Arc::clone(&is_low),
            on_end,
        })?;
        let marker =
            Marker::start(&config.data, Arc::clone(&host)).map_err(|error| NodeError::Other(format!("no heartbeat: {error}")))?;
        let engine = running.engine();
        let components = Installed::new(folder.modules(), Arc::clone(&host));
        components.recover(&engine.definitions().digests());
        let recovery = began.elapsed();
        metrics.recovery_seconds.set(recovery.as_secs_f64());
        let guests = Arc::clone(&host) as Arc<dyn Guests>;
        let (of_loads, of_attempts) = (Arc::clone(&host), Arc::clone(&host));
        let health = Health {
            recovered: engine.recovered,
            recovery,
            failure: failure.clone(),
            metrics,
            late_loads: Arc::new(move || of_loads.late_loads()),
            longest_turn: Arc::new(move || host.longest_turn()),
            attempts: Arc::new(move || of_attempts.attempts()),
        };
        let folds = Folds::new(Arc::clone(&guests), Arc::clone(&config.clocks.wall));
        let reader = Reader::new(Arc::clone(&store) as Arc<dyn Store>, engine.definitions().clone());
        let views = views::Parts {
            file: views::open(&config.data, config.views_cache_bytes)?,
            store: Arc::clone(&store) as Arc<dyn Store>,
            reader: reader.clone(),
            guests,
            clock: Arc::clone(&config.clocks.wall),
            is_low: Arc::clone(&is_low),
        };
        let views = views::Running::start(views, engine)?;
        let of_readers = Readers { reader, folds, views: views.views().clone() };
        let services = services(&config, engine, is_low, components, of_readers, health);
        Ok(Self { services, running, views, marker, store, failure, failed: Some(failed) })
    }

    /// What the host offers.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Ends if the storage fails, and says why. Asked once.
    pub fn failed(&mut self) -> impl Future<Output = String> + Send + 'static {
        let failed = self.failed.take();
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
    pub fn close(self, until: Moment) -> Result<(), NodeError> {
        self.running.stop(until);
        self.views.stop();
        drop(self.marker);
        match self.failure.get() {
            Some(why) => Err(NodeError::Storage(why)),
            None => Ok(self.store.close()?),
        }
    }
}

/// What the engine calls when its shard ends by itself, and what is told then. A node has one shard: without it the node ends.
fn on_end(folder: &Arc<Folder>, failure: &Failure) -> (OnEnd, oneshot::Receiver<String>) {
    let (tell, failed) = oneshot::channel();
    let (folder, failure) = (Arc::clone(folder), failure.clone());
    let on_end = Box::new(move |why: Ending| {
        if let Ending::Fenced(_) = why {
            tracing::error!(%why, "the shard ended: nothing is acknowledged here any more");
        } else {
            tracing::error!(%why, "the storage failed: nothing is acknowledged any more");
            folder.mark_tainted(&StoreError::Failed(why.to_string()));
        }
        let why = why.to_string();
        failure.set(&why);
        // Nobody waits for it any more only when the host is stopping anyway.
        let _ = tell.send(why);
    });
    (on_end, failed)
}

/// The services that only read.
struct Readers {
    reader: Reader,
    folds: Folds,
    views: views::Views,
}

fn services(
    config: &Config,
    engine: &Engine,
    is_low: IsLow,
    components: Installed,
    Readers { reader, folds, views }: Readers,
    health: Health,
) -> Services {
    let intake = Intake::new(engine.clone(), is_low);
    let gate = Gate::new(reader.clone(), folds.clone());
    let clock = Arc::clone(&config.clocks.wall);
    let imports = Imports::new(reader.clone(), folds.clone(), intake.clone(), Arc::clone(&clock));
    let deploys = Deploys::new(deploy::Parts {
        components: Arc::new(components),
        intake: intake.clone(),
        reader: reader.clone(),
        definitions: engine.definitions().clone(),
        limits: config.definitions,
        views: views.clone(),
        gate: gate.clone(),
    });
    Services { intake, reader, folds, views, gate, imports, deploys, health, clock }
}

fn open_host(config: &Config, folder: &Folder, stages: Arc<Stages>) -> Result<Host, NodeError> {
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
        stages,
    })
    .map_err(|error| NodeError::Other(error.to_string()))?;
    host.set_listeners(config.listening.clone());
    Ok(host)
}

fn seed() -> Result<u64, NodeError> {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(|error| NodeError::Other(format!("no randomness: {error}")))?;
    Ok(u64::from_le_bytes(seed))
}
