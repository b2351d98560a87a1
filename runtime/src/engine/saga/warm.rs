//! Sagas that rest: nothing happens to them, and they may be needed again soon.
//!
//! A saga that is woken, signalled or asked about within seconds of its last commit need not be read again. What is here is as good as
//! its rows and records, and is dropped at any time.

use std::collections::{HashMap, VecDeque};

use amends_core::Instant;

use super::{Resident, SagaKey};

/// At some ten kilobytes each, five megabytes: a million sagas that wait cost no more than this.
const SAGAS_MAX: usize = 512;

/// The bytes of all their journals: what a saga takes in memory grows with its journal.
const JOURNAL_BYTES_MAX: u64 = 16 << 20;

/// A saga that has rested for so long is not expected to be needed soon.
const RESTS_MS_MAX: u64 = 10_000;

/// The sagas that rest, each with the number under which it stands in the queue.
#[derive(Debug, Default)]
pub(super) struct Warm {
    sagas: HashMap<SagaKey, (u64, Resident)>,
    /// The oldest first; an entry whose number is not its saga's any more means nothing.
    queue: VecDeque<(u64, Instant, SagaKey)>,
    last: u64,
    journal_bytes: u64,
}

impl Warm {
    pub(super) fn has(&self, key: &SagaKey) -> bool {
        self.sagas.contains_key(key)
    }

    pub(super) fn get(&self, key: &SagaKey) -> Option<&Resident> {
        self.sagas.get(key).map(|(_, resident)| resident)
    }

    /// It is needed: it does not rest any more.
    pub(super) fn take(&mut self, key: &SagaKey) -> Option<Resident> {
        let (_, resident) = self.sagas.remove(key)?;
        self.journal_bytes -= resident.journal_bytes;
        Some(resident)
    }

    pub(super) fn keep(&mut self, key: SagaKey, resident: Resident, now: Instant) {
        self.last += 1;
        self.queue.push_back((self.last, now, key.clone()));
        drop(self.take(&key));
        self.journal_bytes += resident.journal_bytes;
        self.sagas.insert(key, (self.last, resident));
    }

    /// Lets go of those that have rested for long, and of the oldest beyond the bounds.
    pub(super) fn cool(&mut self, now: Instant) {
        if self.queue.len() > 4 * SAGAS_MAX {
            self.queue.retain(|(number, _, key)| self.sagas.get(key).is_some_and(|(kept, _)| kept == number));
        }
        while let Some((number, since, key)) = self.queue.front() {
            let is_stale = self.sagas.get(key).is_none_or(|(kept, _)| kept != number);
            let fits = self.sagas.len() <= SAGAS_MAX && self.journal_bytes <= JOURNAL_BYTES_MAX;
            if !is_stale && fits && now.since(*since) < RESTS_MS_MAX {
                return;
            }
            if let Some((_, _, key)) = self.queue.pop_front().filter(|_| !is_stale) {
                drop(self.take(&key));
            }
        }
    }
}
