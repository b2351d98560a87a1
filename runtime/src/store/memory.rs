//! The reference model: a store in memory, simple enough to be believed. The simulation runs on it.
//!
//! It knows nothing of files, and keeps what it was given for as long as it lives.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use super::{Batch, Order, Position, Range, Row, Store, StoreError, Stored, Table};

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

impl MemoryStore {
    /// The commit after `commits` more ones fails, and every call after it: a disk that breaks.
    pub fn fail_after(&self, commits: u64) {
        self.lock().commits_left = Some(commits);
    }

    /// What a restart of the host finds: the same content, with the failure and the close forgotten.
    pub fn reopened(&self) -> Self {
        let state = self.lock();
        let (journal, streams, rows) = (state.journal.clone(), state.streams.clone(), state.rows.clone());
        Self { state: Mutex::new(State { journal, streams, rows, ..State::default() }) }
    }

    /// Nothing panics while it holds the lock, so that a poisoned one is as good as new.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.lock();
        match state.ended {
            Some(why) => Err(StoreError::Failed(why.to_owned())),
            None => Ok(state),
        }
    }
}

impl Store for MemoryStore {
    fn commit(&self, batches: &[Batch]) -> Result<(), StoreError> {
        let mut state = self.live()?;
        match &mut state.commits_left {
            Some(0) => {
                state.ended = Some("the disk was told to break");
                return Err(StoreError::Failed("the disk was told to break".to_owned()));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        state.check(batches)?;
        state.apply(batches);
        Ok(())
    }

    fn last_position(&self) -> Result<Position, StoreError> {
        Ok(self.live()?.journal.len() as u64)
    }

    fn stream(&self, stream: Position, from_version: u64, limit: usize) -> Result<Vec<Stored>, StoreError> {
        let state = self.live()?;
        let positions = state.streams.get(&stream).map_or(&[][..], Vec::as_slice);
        let skipped = usize::try_from(from_version.saturating_sub(1)).unwrap_or(usize::MAX);
        Ok(positions.iter().skip(skipped).take(limit).map(|position| state.stored(*position)).collect())
    }

    fn log(&self, from: Position, limit: usize) -> Result<Vec<Stored>, StoreError> {
        let state = self.live()?;
        Ok((from.max(1)..=state.journal.len() as u64).take(limit).map(|position| state.stored(position)).collect())
    }

    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.live()?.rows.get(&(table, key.to_vec())).cloned())
    }

    fn rows(&self, range: &Range) -> Result<Vec<Row>, StoreError> {
        let state = self.live()?;
        let from_on = state.rows.range((range.table, range.from.clone())..);
        let within = from_on.take_while(|((table, key), _)| *table == range.table && range.to.as_ref().is_none_or(|to| key < to));
        let mut rows: Vec<Row> = within.map(|((_, key), value)| Row { key: key.clone(), value: value.clone() }).collect();
        if range.order == Order::Descending {
            rows.reverse();
        }
        rows.truncate(range.limit);
        Ok(rows)
    }

    fn close(&self) -> Result<(), StoreError> {
        self.lock().ended.get_or_insert("the store is closed");
        Ok(())
    }
}

#[derive(Debug, Default)]
struct State {
    /// Position n stands at index n - 1.
    journal: Vec<Bytes>,
    /// The positions of each stream's records, by version.
    streams: BTreeMap<Position, Vec<Position>>,
    rows: BTreeMap<(Table, Vec<u8>), Bytes>,
    commits_left: Option<u64>,
    /// Why nothing is answered any more.
    ended: Option<&'static str>,
}

impl State {
    /// All of it before any of it is written: that is what makes a commit atomic here.
    fn check(&self, batches: &[Batch]) -> Result<(), StoreError> {
        let mut journal_end = self.journal.len() as u64;
        let mut stream_ends = BTreeMap::new();
        for append in batches.iter().flat_map(|batch| &batch.appends) {
            let written = self.streams.get(&append.stream).map_or(0, Vec::len) as u64;
            let stream_end = stream_ends.entry(append.stream).or_insert(written);
            append.check(journal_end, || Ok(*stream_end))?;
            journal_end += append.records.len() as u64;
            *stream_end += append.records.len() as u64;
        }
        Ok(())
    }

    fn apply(&mut self, batches: &[Batch]) {
        for batch in batches {
            for append in &batch.appends {
                for record in &append.records {
                    self.journal.push(record.clone());
                    self.streams.entry(append.stream).or_default().push(self.journal.len() as u64);
                }
            }
            for row in &batch.rows {
                let key = (row.table, row.key.clone());
                match &row.value {
                    Some(value) => self.rows.insert(key, value.clone()),
                    None => self.rows.remove(&key),
                };
            }
        }
    }

    fn stored(&self, position: Position) -> Stored {
        Stored { position, record: self.journal[position as usize - 1].clone() }
    }
}
