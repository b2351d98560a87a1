//! The crash marker: which guests had a processor at the last heartbeat. No source of truth, only a suspicion.
//!
//! A host that dies leaves it behind; the next one counts its attempts as suspects (law 11: a guest that took the host
//! down is not run for ever). It is written to the page cache, which outlives the process and not the machine: after a
//! power loss nobody is suspected.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use amends_core::{
    event::Attempt,
    id::{Namespace, SagaId},
};
use serde::{Deserialize, Serialize};

use crate::host::{Host, Label};

/// A guest that was executing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// Where its saga lives.
    pub namespace: Namespace,
    /// Its saga.
    pub saga: SagaId,
    /// Which leg, which attempt.
    pub attempt: Attempt,
}

/// The thread that keeps the marker; dropping it ends the thread and removes the marker.
#[derive(Debug)]
pub struct Marker {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Between two heartbeats: longer than most attempts, so that the file is seldom written, and shorter than it takes a
/// guest to exhaust a machine.
const HEARTBEAT: Duration = Duration::from_millis(20);

const FILE: &str = "executing";

impl Marker {
    /// Whom the host before this one left executing.
    pub fn read(folder: &Path) -> Vec<Suspect> {
        let read = fs::read(folder.join(FILE)).ok().and_then(|bytes| postcard::from_bytes(&bytes).ok());
        read.unwrap_or_default()
    }

    /// Starts the heartbeat.
    pub fn start(folder: &Path, host: Arc<Host>) -> io::Result<Self> {
        let path = folder.join(FILE);
        let stop = Arc::new(AtomicBool::new(false));
        let (of_thread, stopped) = (path.clone(), Arc::clone(&stop));
        let thread = thread::Builder::new().name("marker".to_owned()).spawn(move || beat(&of_thread, &host, &stopped))?;
        Ok(Self { path, stop, thread: Some(thread) })
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A heartbeat that panicked has nothing left to say.
            let _ = thread.join();
        }
        // A host that ends in order suspects nobody; one that is left behind is read as a suspicion only.
        let _ = fs::remove_file(&self.path);
    }
}

fn beat(path: &Path, host: &Host, stopped: &AtomicBool) {
    let mut written = Vec::new();
    while !stopped.load(Ordering::Relaxed) {
        let executing: Vec<Suspect> = host.running().iter().filter_map(|label| suspect(label)).collect();
        if executing != written {
            if let Err(error) = write(path, &executing) {
                tracing::warn!(%error, "the crash marker cannot be written");
            }
            written = executing;
        }
        thread::park_timeout(HEARTBEAT);
    }
}

fn suspect(label: &Label) -> Option<Suspect> {
    let (namespace, attempt) = (label.namespace.clone(), label.attempt.clone());
    label.saga.clone().map(|saga| Suspect { namespace, saga, attempt })
}

fn write(path: &Path, executing: &[Suspect]) -> io::Result<()> {
    let bytes = postcard::to_allocvec(executing).map_err(io::Error::other)?;
    fs::write(path, bytes)
}
