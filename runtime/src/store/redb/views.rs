//! The file of the views, a redb file of its own: rows by generation, and what is known of each generation.
//!
//! It can be lost: every view is built again from the journal. So most commits are not synced, and a sync now and then bounds how far a
//! view falls back when the machine stops; the allocator's state is saved with it, so that no start reads the whole file. How far a
//! generation has read is committed together with its rows: after any stop the two belong together.

use std::{fs::OpenOptions, ops::Bound, os::unix::fs::OpenOptionsExt, path::Path};

use amends_core::Instant;
use bytes::Bytes;
use redb::{
    Builder, Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    TableError, WriteTransaction,
};

use super::{FileBackend, StorageBackend, caught, failed};
use crate::store::{Position, StoreError};

/// What is known of each generation, by its number.
const GENERATIONS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("generations");

/// How far each generation has read, and how many events that was.
const PROGRESS: TableDefinition<'_, u64, (u64, u64)> = TableDefinition::new("progress");

/// Batches of a generation of which it is known when it took them. The newest ones: what happened a moment ago is what is asked about.
const BATCHES_KEPT: u64 = 4_096;

type Rows = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// A key and its value.
type Pair = (Vec<u8>, Vec<u8>);

/// The file.
#[derive(Debug)]
pub struct ViewFile {
    database: Database,
}

/// What becomes of a generation in a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// This is known of it now.
    Is(Bytes),
    /// It is gone, with its rows.
    Gone,
}

/// How far a generation has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Everything up to here that it reads is in its rows.
    pub through: Position,
    /// How many events that was.
    pub events: u64,
}

/// Events that a generation took together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Where they begin: how far it had read before.
    pub after: Position,
    /// How far it has read with them.
    pub progress: Progress,
    /// When it took them.
    pub at: Instant,
}

/// When a commit is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// When it returns, and with it all before it.
    Now,
    /// With a later one.
    Later,
}

impl ViewFile {
    /// Opens the file, or creates it.
    pub fn open(path: &Path, cache_bytes: usize) -> Result<Self, StoreError> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = file.map_err(|error| StoreError::Failed(format!("{}: {error}", path.display())))?;
        let backend = FileBackend::new(file).map_err(|error| StoreError::Failed(format!("{}: {error}", path.display())))?;
        Self::on_backend(backend, cache_bytes)
    }

    /// A file in memory, for tests.
    #[cfg(test)]
    pub fn in_memory() -> Self {
        Self::on_backend(redb::backends::InMemoryBackend::new(), 1 << 20).expect("memory does not fail")
    }

    /// On a backend.
    pub(crate) fn on_backend(backend: impl StorageBackend, cache_bytes: usize) -> Result<Self, StoreError> {
        let database = caught(|| {
            let database = Builder::new().set_cache_size(cache_bytes).create_with_backend(backend)?;
            let mut transaction = database.begin_write()?;
            // A durable commit without it forgets what the last one saved.
            transaction.set_quick_repair(true);
            transaction.open_table(GENERATIONS)?;
            transaction.open_table(PROGRESS)?;
            transaction.commit()?;
            Ok(database)
        })?;
        Ok(Self { database })
    }

    /// What is known of every generation, by number, and how far it has read.
    pub fn generations(&self) -> Result<Vec<(u64, Bytes, Progress)>, StoreError> {
        caught(|| {
            let transaction = self.database.begin_read()?;
            let (generations, progress) = (transaction.open_table(GENERATIONS)?, transaction.open_table(PROGRESS)?);
            let known = generations.iter()?.map(|entry| {
                let (number, known) = entry?;
                let number = number.value();
                let progress = progress.get(number)?.map(|progress| progress.value());
                let progress = progress.map_or(Progress::default(), |(through, events)| Progress { through, events });
                Ok((number, Bytes::copy_from_slice(known.value()), progress))
            });
            known.collect()
        })
    }

    /// Changes rows of one generation, how far it has read and when that was, together.
    pub fn advance<'a>(
        &self,
        number: u64,
        batch: Batch,
        rows: impl IntoIterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>,
        sync: Sync,
    ) -> Result<(), StoreError> {
        self.commit(sync, |transaction| {
            let name = table_of(number);
            let mut table = transaction.open_table(definition(&name))?;
            for (key, value) in rows {
                match value {
                    Some(value) => drop(table.insert(key.as_slice(), value.as_slice())?),
                    None => drop(table.remove(key.as_slice())?),
                }
            }
            let Batch { after, progress, at } = batch;
            transaction.open_table(PROGRESS)?.insert(number, (progress.through, progress.events))?;
            let name = batches_of(number);
            let mut batches = transaction.open_table(batch_definition(&name))?;
            batches.insert(progress.through, (after, at.0))?;
            if batches.len()? > BATCHES_KEPT {
                batches.pop_first()?;
            }
            Ok(())
        })
    }

    /// Changes what is known of generations, together.
    pub fn keep(&self, changes: &[(u64, Kept)]) -> Result<(), StoreError> {
        self.commit(Sync::Now, |transaction| {
            let mut generations = transaction.open_table(GENERATIONS)?;
            for (number, kept) in changes {
                match kept {
                    Kept::Is(known) => drop(generations.insert(number, known.as_ref())?),
                    Kept::Gone => {
                        generations.remove(number)?;
                        transaction.open_table(PROGRESS)?.remove(number)?;
                        transaction.delete_table(definition(&table_of(*number)))?;
                        transaction.delete_table(batch_definition(&batches_of(*number)))?;
                    }
                }
            }
            Ok(())
        })
    }

    /// Puts everything so far on the disk.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.commit(Sync::Now, |_| Ok(()))
    }

    /// The rows of a generation as they are now.
    pub fn snapshot(&self, number: u64) -> Result<Snapshot, StoreError> {
        caught(|| match self.database.begin_read()?.open_table(definition(&table_of(number))) {
            Ok(rows) => Ok(Snapshot { rows: Some(rows) }),
            // Nothing was written to it.
            Err(TableError::TableDoesNotExist(_)) => Ok(Snapshot { rows: None }),
            Err(error) => Err(failed(&error)),
        })
    }

    /// When a generation took the event at a position. None: it has not, or it is long ago.
    pub fn taken_at(&self, number: u64, position: Position) -> Result<Option<Instant>, StoreError> {
        caught(|| {
            let batches = match self.database.begin_read()?.open_table(batch_definition(&batches_of(number))) {
                Ok(batches) => batches,
                Err(TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(error) => return Err(failed(&error)),
            };
            let Some(first) = batches.range(position..)?.next() else { return Ok(None) };
            let (after, at_ms) = first?.1.value();
            // An event that is not in the oldest batch that is known was in one before it.
            Ok((after < position).then_some(Instant(at_ms)))
        })
    }

    fn commit(&self, sync: Sync, change: impl FnOnce(&WriteTransaction) -> Result<(), StoreError>) -> Result<(), StoreError> {
        caught(|| {
            let mut transaction = self.database.begin_write()?;
            let durability = match sync {
                Sync::Now => Durability::Immediate,
                Sync::Later => Durability::None,
            };
            transaction.set_durability(durability).map_err(|error| failed(&error))?;
            transaction.set_quick_repair(sync == Sync::Now);
            change(&transaction)?;
            Ok(transaction.commit()?)
        })
    }
}

/// The rows of a generation as of one moment.
#[derive(Debug)]
pub struct Snapshot {
    rows: Option<Rows>,
}

impl Snapshot {
    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(rows) = &self.rows else { return Ok(None) };
        caught(|| Ok(rows.get(key)?.map(|value| value.value().to_vec())))
    }

    /// Rows between two keys, both excluded if they say so, smallest key first or largest first: at most so many, and they end with the
    /// one with which they are larger than that.
    pub fn range(
        &self,
        (from, to): (Bound<&[u8]>, Bound<&[u8]>),
        reverse: bool,
        (limit, bytes_max): (usize, usize),
    ) -> Result<Vec<Pair>, StoreError> {
        let Some(rows) = self.rows.as_ref().filter(|_| !is_empty(from, to)) else { return Ok(Vec::new()) };
        caught(|| {
            let mut range = rows.range::<&[u8]>((from, to))?;
            let (mut found, mut bytes) = (Vec::new(), 0);
            while found.len() < limit
                && bytes <= bytes_max
                && let Some(row) = if reverse { range.next_back() } else { range.next() }
            {
                let (key, value) = row?;
                bytes += key.value().len() + value.value().len();
                found.push((key.value().to_vec(), value.value().to_vec()));
            }
            Ok(found)
        })
    }
}

/// A range that ends before it begins, at which redb panics as the standard library does.
fn is_empty(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => from >= to,
    }
}

fn table_of(number: u64) -> String {
    format!("rows-{number}")
}

fn batches_of(number: u64) -> String {
    format!("batches-{number}")
}

/// By how far it had read then: behind which position that began, and when it was, in milliseconds.
fn batch_definition(name: &str) -> TableDefinition<'_, u64, (u64, u64)> {
    TableDefinition::new(name)
}

fn definition(name: &str) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
    TableDefinition::new(name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn rows(rows: &[(&str, Option<&str>)]) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        rows.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.map(|value| value.as_bytes().to_vec()))).collect()
    }

    fn shown(pairs: &[Pair]) -> String {
        pairs.iter().map(|(key, value)| format!("{}={} ", key.escape_ascii(), value.escape_ascii())).collect()
    }

    /// One event a position.
    fn to(through: Position) -> Progress {
        Progress { through, events: through }
    }

    /// The one event at a position, as many milliseconds after the beginning of time.
    fn batch(through: Position) -> Batch {
        Batch { after: through - 1, progress: to(through), at: Instant(through) }
    }

    fn known(known: &'static str) -> Kept {
        Kept::Is(Bytes::from_static(known.as_bytes()))
    }

    #[test]
    fn rows_and_how_far_their_generation_has_read_are_kept_together_and_apart_from_others() {
        let file = ViewFile::in_memory();
        file.keep(&[(1, known("one")), (2, known("two"))]).unwrap();
        file.advance(1, batch(3), &rows(&[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]), Sync::Later).unwrap();
        file.advance(2, batch(1), &rows(&[("a", Some("9"))]), Sync::Later).unwrap();
        file.advance(1, batch(4), &rows(&[("b", None)]), Sync::Now).unwrap();
        let one = file.snapshot(1).unwrap();
        assert_eq!(shown(&one.range((Bound::Unbounded, Bound::Unbounded), false, (9, 1_000)).unwrap()), "a=1 c=3 ");
        assert_eq!(shown(&one.range((Bound::Included(b"a"), Bound::Excluded(b"c")), true, (9, 1_000)).unwrap()), "a=1 ");
        assert_eq!(shown(&one.range((Bound::Excluded(b"c"), Bound::Excluded(b"a")), true, (9, 1_000)).unwrap()), "");
        assert_eq!(shown(&one.range((Bound::Unbounded, Bound::Unbounded), false, (9, 1)).unwrap()), "a=1 ");
        assert_eq!(one.get(b"b").unwrap(), None);
        let all = [(1, Bytes::from_static(b"one"), to(4)), (2, Bytes::from_static(b"two"), to(1))];
        assert_eq!(file.generations().unwrap(), all);
        // What was read as of one moment stays as it was, also when the generation goes.
        file.keep(&[(1, Kept::Gone), (2, known("active"))]).unwrap();
        assert_eq!(one.get(b"a").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(file.snapshot(1).unwrap().get(b"a").unwrap(), None);
        assert_eq!(file.generations().unwrap(), [(2, Bytes::from_static(b"active"), to(1))]);
    }

    #[test]
    fn of_the_newest_batches_it_is_known_when_they_were_taken() {
        let file = ViewFile::in_memory();
        assert_eq!(file.taken_at(1, 1).unwrap(), None);
        let taken = |after, through, at_ms| Batch { after, progress: to(through), at: Instant(at_ms) };
        let nothing: [(&Vec<u8>, &Option<Vec<u8>>); 0] = [];
        file.advance(1, taken(0, 10, 7), nothing, Sync::Later).unwrap();
        file.advance(1, taken(14, 20, 8), nothing, Sync::Later).unwrap();
        let at = |position| file.taken_at(1, position).unwrap().map(|at| at.0);
        // It had read up to 14 when it took what is behind it: at 11 to 14 there was nothing for it.
        assert_eq!([1, 10, 14, 15, 20, 21].map(at), [Some(7), Some(7), None, Some(8), Some(8), None]);
        for more in 0..BATCHES_KEPT - 1 {
            file.advance(1, taken(20 + more, 21 + more, 100 + more), nothing, Sync::Later).unwrap();
        }
        assert_eq!([10, 15, 21].map(at), [None, Some(8), Some(100)]);
        file.keep(&[(1, Kept::Gone)]).unwrap();
        assert_eq!(at(21), None);
    }

    /// A crash between two syncs: what was committed later is gone, rows and position alike.
    #[test]
    fn after_a_crash_a_generation_is_as_it_was_at_a_sync_rows_and_position_alike() {
        let folder = tempfile::tempdir().unwrap();
        let (path, crashed) = (folder.path().join("views.redb"), folder.path().join("crashed.redb"));
        let file = ViewFile::open(&path, 1 << 20).unwrap();
        file.keep(&[(1, known("one"))]).unwrap();
        file.advance(1, batch(1), &rows(&[("a", Some("1"))]), Sync::Now).unwrap();
        file.advance(1, batch(2), &rows(&[("a", Some("2"))]), Sync::Later).unwrap();
        std::fs::copy(&path, &crashed).unwrap();
        let again = ViewFile::open(&crashed, 1 << 20).unwrap();
        assert_eq!(again.generations().unwrap(), [(1, Bytes::from_static(b"one"), to(1))]);
        assert_eq!(again.snapshot(1).unwrap().get(b"a").unwrap().as_deref(), Some(&b"1"[..]));
    }
}
