//! The reference model: a store in memory, simple enough to be obviously correct. The simulation runs on it.
//!
//! It knows nothing of files, and keeps what it was given for as long as it lives.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use super::{Batch, Corrupt, Damaged, Order, Position, Range, Row, Store, StoreError, Stored, StreamRead, Table};

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

impl MemoryStore {
    /// Fails the commit after `commits` further ones, and every later call, as a broken disk does.
    pub fn fail_after(&self, commits: u64) {
        self.lock().commits_left = Some(commits);
    }

    /// Refuses every later commit, as if another host had claimed the shard.
    pub fn fence(&self) {
        self.lock().fenced = true;
    }

    /// Damages this row, as a flipped bit does, until it is written or deleted.
    pub fn damage_row(&self, table: Table, key: &[u8]) {
        self.lock().content.damaged_rows.insert((table, key.to_vec()));
    }

    /// Damages this stream.
    pub fn damage_stream(&self, stream: Position) {
        self.lock().content.damaged_streams.insert(stream);
    }

    /// What a restart of the host finds: the same content and damage, with the failure, the fence and the close forgotten.
    pub fn reopened(&self) -> Self {
        let content = self.lock().content.clone();
        Self { state: Mutex::new(State { content, ..State::default() }) }
    }

    /// No code panics while it holds the lock, so that a poisoned lock can be used.
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
        if state.fenced {
            return Err(StoreError::Fenced("the store was told that another host took the shard".to_owned()));
        }
        match &mut state.commits_left {
            Some(0) => {
                state.ended = Some("the disk was told to break");
                return Err(StoreError::Failed("the disk was told to break".to_owned()));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        state.content.check(batches)?;
        state.content.apply(batches);
        Ok(())
    }

    fn last_position(&self) -> Result<Position, StoreError> {
        Ok(self.live()?.content.journal.len() as u64)
    }

    fn streams(&self, reads: &[StreamRead]) -> Result<Vec<Result<Vec<Stored>, Corrupt>>, StoreError> {
        let state = self.live()?;
        Ok(reads.iter().map(|read| state.content.stream(read)).collect())
    }

    fn log(&self, from: Position, limit: usize) -> Result<Vec<Stored>, StoreError> {
        let content = &self.live()?.content;
        Ok((from.max(1)..=content.journal.len() as u64).take(limit).map(|position| content.stored(position)).collect())
    }

    fn rows_at(&self, keys: &[(Table, Vec<u8>)]) -> Result<Vec<Result<Option<Bytes>, Corrupt>>, StoreError> {
        let state = self.live()?;
        Ok(keys.iter().map(|key| state.content.row(key)).collect())
    }

    fn scan(&self, range: &Range) -> Result<Vec<Result<Row, Damaged>>, StoreError> {
        let content = &self.live()?.content;
        let from_on = content.rows.range((range.table, range.from.clone())..);
        let within = from_on.take_while(|((table, key), _)| *table == range.table && range.to.as_ref().is_none_or(|to| key < to));
        let mut found: Vec<(&RowKey, &Bytes)> = within.collect();
        if range.order == Order::Descending {
            found.reverse();
        }
        let mut scanned = Vec::new();
        let mut rows = 0;
        for (at, value) in found {
            if rows == range.limit {
                break;
            }
            let key = at.1.clone();
            scanned.push(match content.row(at) {
                Ok(_) => {
                    rows += 1;
                    Ok(Row { key, value: value.clone() })
                }
                Err(corrupt) => Err(Damaged { key, corrupt }),
            });
        }
        Ok(scanned)
    }

    fn close(&self) -> Result<(), StoreError> {
        self.lock().ended.get_or_insert("the store is closed");
        Ok(())
    }
}

#[derive(Debug, Default)]
struct State {
    content: Content,
    commits_left: Option<u64>,
    fenced: bool,
    /// Why the store answers no calls any more.
    ended: Option<&'static str>,
}

type RowKey = (Table, Vec<u8>);

/// What a restart finds.
#[derive(Clone, Debug, Default)]
struct Content {
    /// Position n stands at index n - 1.
    journal: Vec<Bytes>,
    /// The positions of each stream's records, by version.
    streams: BTreeMap<Position, Vec<Position>>,
    rows: BTreeMap<RowKey, Bytes>,
    damaged_rows: BTreeSet<RowKey>,
    damaged_streams: BTreeSet<Position>,
}

impl Content {
    /// Checks everything before it writes anything, so that a commit is atomic.
    fn check(&self, batches: &[Batch]) -> Result<(), StoreError> {
        let mut journal_end = self.journal.len() as u64;
        let mut stream_ends = BTreeMap::new();
        for append in batches.iter().flat_map(|batch| &batch.appends) {
            let written = self.streams.get(&append.stream).map_or(0, Vec::len) as u64;
            let stream_end = stream_ends.entry(append.stream).or_insert(written);
            append.check(journal_end, *stream_end)?;
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
                self.damaged_rows.remove(&key);
                match &row.value {
                    Some(value) => self.rows.insert(key, value.clone()),
                    None => self.rows.remove(&key),
                };
            }
        }
    }

    fn row(&self, at: &RowKey) -> Result<Option<Bytes>, Corrupt> {
        if self.damaged_rows.contains(at) {
            return Err(Corrupt(format!("row `{}` of table {:?} was told to be damaged", at.1.escape_ascii(), at.0)));
        }
        Ok(self.rows.get(at).cloned())
    }

    fn stream(&self, read: &StreamRead) -> Result<Vec<Stored>, Corrupt> {
        if self.damaged_streams.contains(&read.stream) {
            return Err(Corrupt(format!("stream {} was told to be damaged", read.stream)));
        }
        let positions = self.streams.get(&read.stream).map_or(&[][..], Vec::as_slice);
        let skipped = usize::try_from(read.from_version.saturating_sub(1)).unwrap_or(usize::MAX);
        let mut bytes_left = read.bytes_max;
        let stored = positions.iter().skip(skipped).take(read.limit).map(|position| self.stored(*position));
        let fits = |stored: &Stored| {
            let left = bytes_left.checked_sub(stored.record.len());
            bytes_left = left.unwrap_or(0);
            left.is_some()
        };
        Ok(stored.take_while(fits).collect())
    }

    fn stored(&self, position: Position) -> Stored {
        Stored { position, record: self.journal[position as usize - 1].clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Append, RowChange};

    /// A zombie's commit must change nothing, the rows that it deletes included: Temporal's stale owners deleted tasks of the new
    /// one, though their other writes were fenced.
    #[test]
    fn a_fenced_commit_changes_nothing_and_reads_go_on() {
        let store = MemoryStore::default();
        let row = RowChange::put(Table::Timers, *b"due", Bytes::new());
        store.commit(&[Batch { appends: Vec::new(), rows: vec![row] }]).unwrap();
        store.fence();
        let delete = Batch { appends: Vec::new(), rows: vec![RowChange::delete(Table::Timers, *b"due")] };
        for _ in 0..2 {
            assert!(matches!(store.commit(std::slice::from_ref(&delete)), Err(StoreError::Fenced(_))));
        }
        assert_eq!(store.row(Table::Timers, b"due").unwrap(), Some(Bytes::new()));
        let next = store.reopened();
        next.commit(&[delete]).unwrap();
        assert_eq!(next.row(Table::Timers, b"due").unwrap(), None);
    }

    /// The engine's tests damage a row or a stream to see what is quarantined: the others must stay readable.
    #[test]
    fn what_is_damaged_leaves_the_others_readable() {
        let store = MemoryStore::default();
        let opens = |position| Append {
            stream: position,
            first_version: 1,
            first_position: position,
            records: vec![Bytes::from_static(b"record")],
        };
        let rows = [b"a", b"b"].map(|key| RowChange::put(Table::Waits, *key, Bytes::from_static(b"row"))).to_vec();
        store.commit(&[Batch { appends: vec![opens(1), opens(2)], rows: rows.clone() }]).unwrap();
        store.damage_stream(1);
        store.damage_row(Table::Waits, b"a");
        let store = store.reopened();

        let reads = [1, 2].map(|stream| StreamRead { stream, from_version: 1, limit: 9, bytes_max: usize::MAX });
        let streams = store.streams(&reads).unwrap();
        assert_eq!(streams[0], Err(Corrupt("stream 1 was told to be damaged".to_owned())));
        assert_eq!(streams[1].as_ref().unwrap().len(), 1);
        assert!(matches!(store.stream(1, 1, 9), Err(StoreError::Corrupt(_))));
        let keys = [b"a", b"b"].map(|key| (Table::Waits, key.to_vec()));
        let answers = store.rows_at(&keys).unwrap();
        assert_eq!(answers[0], Err(Corrupt("row `a` of table Waits was told to be damaged".to_owned())));
        assert_eq!(answers[1], Ok(Some(Bytes::from_static(b"row"))));
        assert!(matches!(store.rows(&Range::under(Table::Waits, b"", 9)), Err(StoreError::Corrupt(_))));

        store.commit(&[Batch { appends: Vec::new(), rows }]).unwrap();
        assert_eq!(store.rows(&Range::under(Table::Waits, b"", 9)).unwrap().len(), 2);
    }
}
