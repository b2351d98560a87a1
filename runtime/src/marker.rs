//! The crash marker: which guests had a processor at the last heartbeat. No source of truth, only a suspicion.
//!
//! A host that dies leaves it behind; the next one counts its calls as suspects (law 11: a guest that took the host
//! down is not run for ever). It is written to the page cache, which outlives the process and not the machine: after a
//! power loss nobody is suspected.
//!
//! Each heartbeat writes a file beside it and renames that over it, so that a kill at any moment leaves the suspects of one
//! heartbeat or of the next, and never none. Nothing is synced: the kernel shows what was renamed to whoever opens the file
//! next, as long as the machine lives, and a suspicion that dies with the machine is no loss.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    engine::guests::Suspect,
    host::{Host, Label},
};

/// The thread that keeps the marker; dropping it ends the thread and removes the marker.
#[derive(Debug)]
pub struct Marker {
    folder: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Between two heartbeats: longer than most attempts, so that the file is seldom written, and shorter than it takes a
/// guest to exhaust a machine.
const HEARTBEAT: Duration = Duration::from_millis(20);

const FILE: &str = "executing";

/// The next heartbeat's, while it is written. One that a kill left behind is written over.
const NEXT: &str = "executing.new";

impl Marker {
    /// Whom the host before this one left executing.
    pub fn read(folder: &Path) -> Vec<Suspect> {
        let read = fs::read(folder.join(FILE)).ok().and_then(|bytes| postcard::from_bytes(&bytes).ok());
        read.unwrap_or_default()
    }

    /// Starts the heartbeat.
    pub fn start(folder: &Path, host: Arc<Host>) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (of_thread, stopped) = (folder.to_owned(), Arc::clone(&stop));
        let thread = thread::Builder::new().name("marker".to_owned()).spawn(move || beat(&of_thread, &host, &stopped))?;
        Ok(Self { folder: folder.to_owned(), stop, thread: Some(thread) })
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
        let _ = fs::remove_file(self.folder.join(FILE));
    }
}

fn beat(folder: &Path, host: &Host, stopped: &AtomicBool) {
    let mut written = Vec::new();
    while !stopped.load(Ordering::Relaxed) {
        let executing: Vec<Suspect> = host.running().iter().filter_map(|label| suspect(label)).collect();
        if executing != written {
            if let Err(error) = write(folder, &executing) {
                tracing::warn!(%error, "the crash marker cannot be written");
            }
            written = executing;
        }
        thread::park_timeout(HEARTBEAT);
    }
}

fn suspect(label: &Label) -> Option<Suspect> {
    label.of.clone().map(|(of, call)| Suspect { of, call })
}

fn write(folder: &Path, executing: &[Suspect]) -> io::Result<()> {
    let bytes = postcard::to_allocvec(executing).map_err(io::Error::other)?;
    let next = folder.join(NEXT);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    file.write_all(&bytes)?;
    fs::rename(&next, folder.join(FILE))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use amends_core::{
        event::Attempt,
        id::{Leg, Namespace, StepPath},
    };

    use super::*;
    use crate::{
        engine::guests::CallId,
        journal::{StreamId, StreamKind},
    };

    fn suspects(sagas: &[&str]) -> Vec<Suspect> {
        let suspect = |saga: &&str| Suspect {
            of: StreamId { namespace: Namespace::new("default").unwrap(), kind: StreamKind::Saga, id: (*saga).to_owned() },
            call: CallId::Step(Attempt { leg: Leg::forward(StepPath::new("charge")), number: 2 }),
        };
        sagas.iter().map(suspect).collect()
    }

    #[test]
    fn the_next_host_reads_whom_this_one_left_executing_and_nobody_else_can() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Marker::read(folder.path()), []);
        write(folder.path(), &suspects(&["A", "B"])).unwrap();
        write(folder.path(), &suspects(&["B"])).unwrap();
        assert_eq!(Marker::read(folder.path()), suspects(&["B"]));
        let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    /// The file used to be emptied and written again in place: a host that was killed in between left an empty one, and the
    /// guest that had killed it was run again as if nothing had been. What is half written now lies beside it.
    #[test]
    fn a_kill_in_the_middle_of_a_heartbeat_leaves_the_suspects_of_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &suspects(&["A"])).unwrap();
        let before = fs::File::open(folder.path().join(FILE)).unwrap();
        fs::write(folder.path().join(NEXT), [1]).unwrap();
        assert_eq!(Marker::read(folder.path()), suspects(&["A"]));
        write(folder.path(), &suspects(&["B"])).unwrap();
        assert_eq!(Marker::read(folder.path()), suspects(&["B"]));
        let kept: Vec<Suspect> = postcard::from_bytes(&io::read_to_string(before).unwrap().into_bytes()).unwrap();
        assert_eq!(kept, suspects(&["A"]), "a heartbeat never writes into the file that a reader may have");
    }
}
