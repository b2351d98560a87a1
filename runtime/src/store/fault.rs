//! A disk that loses power, tears writes and fails on demand. For tests.
//!
//! What was written since the last sync is only a promise: at a power loss each of its 512-byte sectors is kept or lost by
//! itself, and so is each change of the file's length. It knows nothing of what is written.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::redb::StorageBackend;

/// Disks write a sector whole or not at all.
const SECTOR_BYTES: usize = 512;

/// The fault of an operation that changes the disk: a write, a change of length, or a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operation and all later ones fail.
    PowerOff,
    /// The operation fails, and later ones succeed: a failed sync loses the writes that it should have made durable, as kernels
    /// do.
    FailOnce,
}

/// A file in memory. Clones are the same file.
#[derive(Clone, Debug, Default)]
pub struct FaultDisk {
    state: Arc<Mutex<State>>,
}

impl FaultDisk {
    /// A disk with this content, all of it durable.
    pub fn with(content: Vec<u8>) -> Self {
        let disk = Self::default();
        disk.lock().durable.clone_from(&content);
        disk.lock().live = content;
        disk
    }

    /// Flips one bit, by its number from the start of the file, as a worn cell does. A second flip restores it.
    pub fn flip(&self, bit: usize) {
        let mut state = self.lock();
        let mask = 1 << (bit % 8);
        let state = &mut *state;
        for content in [&mut state.durable, &mut state.live] {
            if let Some(byte) = content.get_mut(bit / 8) {
                *byte ^= mask;
            }
        }
    }

    /// The content for reads.
    pub fn content(&self) -> Vec<u8> {
        self.lock().live.clone()
    }

    /// The number of operations that changed it or tried to change it.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Injects a fault into the operation of this number, from 0.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.lock().fault = Some((operation, fault));
    }

    /// The disk after a power loss. `survives` decides for every sector and length that was not synced.
    pub fn after_power_loss(&self, mut survives: impl FnMut() -> bool) -> Vec<u8> {
        let state = self.lock();
        let mut content = state.durable.clone();
        for change in &state.unsynced {
            match change {
                Change::Length(length) if survives() => content.resize(*length, 0),
                Change::Length(_) => {}
                Change::Write(offset, bytes) => {
                    for (at, sector) in sectors(*offset, bytes) {
                        // What lies behind the end of the file is not in it, whatever reached the disk.
                        if survives() && at + sector.len() <= content.len() {
                            content[at..at + sector.len()].copy_from_slice(sector);
                        }
                    }
                }
            }
        }
        content
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let mut state = self.lock();
        state.operate()?;
        change.apply(&mut state.live);
        state.unsynced.push(change);
        Ok(())
    }
}

impl StorageBackend for FaultDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.lock();
        if state.off {
            return Err(off());
        }
        let offset = offset as usize;
        let bytes = state.live.get(offset..offset + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.change(Change::Length(length as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.operate()?;
        let changes = std::mem::take(&mut state.unsynced);
        changes.iter().for_each(|change| change.apply(&mut state.durable));
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(Change::Write(offset as usize, bytes.to_vec()))
    }
}

#[derive(Debug, Default)]
struct State {
    /// The durable content.
    durable: Vec<u8>,
    /// The content for reads.
    live: Vec<u8>,
    /// The operations from the durable content to the content for reads, in order.
    unsynced: Vec<Change>,
    operations: u64,
    fault: Option<(u64, Fault)>,
    off: bool,
}

impl State {
    fn operate(&mut self) -> io::Result<()> {
        let number = self.operations;
        self.operations += 1;
        match self.fault {
            _ if self.off => Err(off()),
            Some((at, Fault::PowerOff)) if at == number => {
                self.off = true;
                Err(off())
            }
            Some((at, Fault::FailOnce)) if at == number => Err(io::Error::other("the disk was told to fail")),
            Some(_) | None => Ok(()),
        }
    }
}

#[derive(Debug)]
enum Change {
    Length(usize),
    Write(usize, Vec<u8>),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Length(length) => content.resize(*length, 0),
            Self::Write(offset, bytes) => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
        }
    }
}

fn off() -> io::Error {
    io::Error::other("the power is off")
}

/// The parts of a write that the disk writes whole.
fn sectors(offset: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let first = (SECTOR_BYTES - offset % SECTOR_BYTES).min(bytes.len());
    let (head, tail) = bytes.split_at(first);
    let rest = tail.chunks(SECTOR_BYTES).enumerate().map(move |(n, part)| (offset + first + n * SECTOR_BYTES, part));
    std::iter::once((offset, head)).chain(rest)
}
