//! Reading a file in order while redb repairs it.
//!
//! A repair reads every page, a page at a time and in the order of the keys. Where nothing of the file is in the system's memory, as
//! after a loss of power, each of these reads waits for the disk. Read in order and in large pieces the file comes as fast as the disk
//! can give it, and the repair finds its pages in memory.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::{
        Arc, Once,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// Bytes that are read at once.
const PIECE: usize = 4 << 20;

/// Reads a file ahead of its repair, until it is dropped.
#[derive(Debug)]
pub(super) struct Ahead {
    path: PathBuf,
    begun: Once,
    is_over: Arc<AtomicBool>,
}

impl Ahead {
    pub(super) fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), begun: Once::new(), is_over: Arc::default() }
    }

    /// The repair goes on: from its first sign on the file is read, by a thread of its own.
    pub(super) fn goes_on(&self) {
        self.begun.call_once(|| {
            let (path, is_over) = (self.path.clone(), Arc::clone(&self.is_over));
            // Without the thread, or where it cannot read, the repair only takes longer.
            let _ = thread::Builder::new().name("read-ahead".to_owned()).spawn(move || read(&path, &is_over));
        });
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn read(path: &Path, is_over: &AtomicBool) {
    let Ok(mut file) = File::open(path) else { return };
    let mut piece = vec![0; PIECE];
    while !is_over.load(Ordering::Relaxed) && file.read(&mut piece).is_ok_and(|read| read > 0) {}
}
