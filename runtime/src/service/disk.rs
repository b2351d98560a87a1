//! How much room the disk of the data folder has.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::store::folder::Folder;

/// New work is refused when less than either is free on the disk.
#[derive(Clone, Copy, Debug)]
pub struct Free {
    /// In bytes.
    pub bytes_min: u64,
    /// In percent of the disk.
    pub percent_min: u8,
}

/// How long an answer about the disk holds. What is written meanwhile is far less than what must be free.
const ANSWER_HOLDS: Duration = Duration::from_millis(250);

/// The disk of the data folder.
#[derive(Debug)]
pub struct Disk {
    folder: Arc<Folder>,
    free: Free,
    /// When the disk was asked last, and whether it was too full.
    last: Mutex<Option<(Instant, bool)>>,
}

impl Disk {
    /// The disk that this folder lies on.
    pub fn new(folder: Arc<Folder>, free: Free) -> Self {
        Self { folder, free, last: Mutex::new(None) }
    }

    /// Whether it is too full for new work. It is asked once in a while: a start is not worth a system call of its own.
    pub fn is_low(&self) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, is_low)) = *last
            && at.elapsed() < ANSWER_HOLDS
        {
            return is_low;
        }
        let is_low = self.folder.space().is_ok_and(|space| space.is_low(self.free.bytes_min, self.free.percent_min));
        *last = Some((Instant::now(), is_low));
        is_low
    }
}
