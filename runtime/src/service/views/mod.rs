//! Views: what the events of the journal say, in the form in which readers ask for it, built by the code of modules.
//!
//! A view is a function of the journal and of a component: nothing is decided on it, and without its file it is built again. Each build
//! is a generation. New code gets a generation of its own, which is built aside while the active one answers, and becomes the active one
//! when it has read everything; the one before stays up to date, so that going back is at once.
//!
//! - `generation`, what is known of one; `state`, all that there are
//! - `keeper`, which there are to be; `builder`, which takes events; `rows`, what guests see
//! - `query`, questions and their answers; `look`, how views are shown; `reading`, which of them have an event

mod builder;

mod generation;

mod keeper;

mod look;

mod query;

mod reading;

mod rows;

mod state;

#[cfg(test)]
mod laws;

#[cfg(test)]
mod tests;

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use amends_core::{event::Act, id::Namespace};
use tokio::sync::{mpsc, oneshot, watch};

pub use self::{
    generation::{Generation, Role, Skipped, Stopped},
    keeper::Verb,
    look::{GenerationView, ProjectionView},
    query::{Answered, Question},
    reading::Readers,
};
use self::{
    keeper::{Ask, Keeper},
    state::{Live, State, ViewKey},
};
use super::reader::Reader;
use crate::{
    engine::{
        driver::{Clock, Engine},
        guests::{Guests, ModuleDigest},
        kernel::IsLow,
        module::Projection,
        refusal::{Refusal, RefusalCode, nearest},
    },
    store::{
        Store, StoreError,
        redb::views::{Progress, ViewFile},
    },
};

/// A projection of an active version.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) namespace: Namespace,
    pub(crate) module: String,
    pub(crate) version: u32,
    pub(crate) digest: ModuleDigest,
    pub(crate) projection: Projection,
}

/// What the views need of the rest of the host.
pub(crate) struct Parts {
    pub(crate) file: ViewFile,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) reader: Reader,
    pub(crate) guests: Arc<dyn Guests>,
    pub(crate) clock: Clock,
    pub(crate) is_low: IsLow,
}

/// The views of a host. Cloning shares them.
#[derive(Clone)]
pub struct Views(Arc<Shared>);

struct Shared {
    file: ViewFile,
    store: Arc<dyn Store>,
    reader: Reader,
    guests: Arc<dyn Guests>,
    clock: Clock,
    is_low: IsLow,
    state: Mutex<State>,
    /// Says that some generation has read on, or that there are others.
    progress: watch::Sender<u64>,
    asks: mpsc::UnboundedSender<Ask>,
}

/// The thread that builds views, until it is stopped.
pub struct Running {
    views: Views,
    thread: JoinHandle<()>,
}

/// The file of the views in a data folder.
const FILE: &str = "views.redb";

/// Opens the file of the views in a data folder. One that cannot be read is put aside and begun anew: it can be built again.
pub(crate) fn open(folder: &Path, cache_bytes: usize) -> Result<ViewFile, StoreError> {
    let path = folder.join(FILE);
    ViewFile::open(&path, cache_bytes).or_else(|error| {
        let aside = folder.join(format!("{FILE}.bad"));
        tracing::warn!(%error, aside = %aside.display(), "the file of the views cannot be read: it is put aside, and the views are built anew");
        std::fs::rename(&path, &aside).map_err(|error| StoreError::Failed(format!("{}: {error}", path.display())))?;
        ViewFile::open(&path, cache_bytes)
    })
}

impl Running {
    /// Starts to build the views of an engine.
    pub(crate) fn start(parts: Parts, engine: &Engine) -> Result<Self, StoreError> {
        let Parts { file, store, reader, guests, clock, is_low } = parts;
        let (asks, asked) = mpsc::unbounded_channel();
        let (progress, _) = watch::channel(0);
        let shared = Shared { file, store, reader, guests, clock, is_low, state: Mutex::default(), progress, asks };
        let views = Views(Arc::new(shared));
        let keeper = Arc::clone(&views.0);
        let (recorded, deployed) = (engine.recorded(), engine.deployed());
        let could_not = |error: std::io::Error| StoreError::Failed(format!("the views cannot be built: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(could_not)?;
        let thread = thread::Builder::new().name("views".to_owned()).spawn(move || {
            let tasks = tokio::task::LocalSet::new();
            tasks.block_on(&runtime, Keeper::new(keeper, recorded).run(asked, deployed));
        });
        Ok(Self { views, thread: thread.map_err(could_not)? })
    }

    /// The views, to ask them.
    pub fn views(&self) -> &Views {
        &self.views
    }

    /// Ends the thread, with everything on the disk.
    pub fn stop(self) {
        self.views.0.tell(Ask::End);
        // A thread that panicked has nothing left to stop.
        let _ = self.thread.join();
    }
}

impl Views {
    /// Does something with a view; answered once it is on the disk.
    pub async fn act(&self, namespace: &Namespace, name: &str, verb: Verb, act: Act) -> Result<(), Refusal> {
        let (answer, answered) = oneshot::channel();
        self.0.tell(Ask::Do((namespace.clone(), name.to_owned()), verb, act, answer));
        answered.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// The views of a namespace that need a component, by name: its code answers for them, or builds what will.
    pub fn need(&self, namespace: &Namespace, digest: &ModuleDigest) -> Vec<String> {
        let state = self.0.state();
        let needs = |((at, _), view): &(&ViewKey, &state::View)| {
            let needs = |live: &Live| live.known.digest == *digest && live.known.role != Role::Previous;
            at == namespace && view.generations.iter().any(needs)
        };
        state.views.iter().filter(needs).map(|((_, name), _)| name.clone()).collect()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the keeper, if there is one still.
    fn tell(&self, ask: Ask) {
        drop(self.asks.send(ask));
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Live)) {
        if let Some(live) = self.state().live_mut(number) {
            change(live);
        }
        self.progressed();
    }

    /// A generation has read up to here.
    fn passed(&self, number: u64, progress: Progress) {
        let mut state = self.state();
        let Some(live) = state.live_mut(number) else { return };
        let is_new = live.progress != progress || live.delayed.is_some();
        (live.progress, live.delayed) = (progress, None);
        drop(state);
        if is_new {
            self.progressed();
        }
    }

    fn progressed(&self) {
        self.progress.send_modify(|times| *times += 1);
    }

    /// The file failed: nothing is built any more, and the journal is untouched.
    fn fail(&self, error: &StoreError) {
        self.state().failed.get_or_insert_with(|| error.to_string());
        self.progressed();
    }
}

fn stopping() -> Refusal {
    Refusal::new(RefusalCode::Stopping, "the host is stopping").hint("ask again once it is back")
}

fn no_view(state: &State, (namespace, name): &ViewKey) -> Refusal {
    let refusal =
        Refusal::new(RefusalCode::NoSuchView, format!("no active module of namespace `{namespace}` has a projection `{name}`"));
    let names: Vec<&str> = state.views.keys().filter(|(at, _)| at == namespace).map(|(_, name)| name.as_str()).collect();
    match (nearest(name, names.iter().copied()), names.is_empty()) {
        (Some(name), _) => refusal.hint(format!("did you mean `{name}`?")),
        (None, false) => refusal.hint(format!("there are: {}", names.join(", "))),
        (None, true) => refusal.hint("deploy a module that has one"),
    }
}
