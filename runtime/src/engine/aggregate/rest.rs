//! Aggregates that are asked nothing: the last of them stay in memory, so that the next command reads nothing.
//!
//! What is here is as good as the journal, and may be dropped once that is durable.

use std::collections::BTreeMap;

use super::{
    Aggregates,
    resident::{AggregateKey, Resident},
};
use crate::engine::kernel::Kernel;

/// How many aggregates rest in memory: at a kilobyte or so each, some megabytes.
const AGGREGATES_MAX: usize = 16_384;

/// What they take at most: their states, and the events that are in no state yet.
const BYTES_MAX: usize = 32 << 20;

/// Those that rest, the longest first.
#[derive(Debug, Default)]
pub(super) struct Rest {
    queue: BTreeMap<u64, AggregateKey>,
    last: u64,
    bytes: usize,
}

impl Rest {
    /// Puts an aggregate that is asked nothing any more behind those that rest.
    fn lie_down(&mut self, key: &AggregateKey, resident: &mut Resident) {
        self.last += 1;
        resident.rests = self.last;
        resident.bytes = resident.weigh();
        self.bytes += resident.bytes;
        self.queue.insert(self.last, key.clone());
    }

    /// Takes an aggregate out that is asked something, or leaves memory.
    pub(super) fn forget(&mut self, resident: &mut Resident) {
        if self.queue.remove(&resident.rests).is_some() {
            resident.rests = 0;
            self.bytes -= resident.bytes;
        }
    }

    fn is_full(&self) -> bool {
        self.queue.len() > AGGREGATES_MAX || self.bytes > BYTES_MAX
    }
}

impl Aggregates {
    /// Lets an aggregate rest that no command waits for and no call decides about.
    pub(super) fn settle(&mut self, key: &AggregateKey) {
        if let Some(resident) = self.residents.get_mut(key)
            && resident.is_idle()
            && resident.rests == 0
        {
            self.rest.lie_down(key, resident);
        }
    }

    /// Lets go of those that have rested longest, beyond the bounds.
    pub(crate) fn cool(&mut self, kernel: &Kernel) {
        while self.rest.is_full()
            && let Some(key) = self.rest.queue.first_key_value().map(|(_, key)| key.clone())
            && let Some(mut resident) = self.residents.remove(&key)
        {
            if resident.last > kernel.durable() {
                // Those that have rested for less are not durable either.
                self.residents.insert(key, resident);
                return;
            }
            self.rest.forget(&mut resident);
        }
    }
}
