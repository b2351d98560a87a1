//! The durable store: one redb file. redb is named in this file and in those below it.
//!
//! It must not know what a record or a row means. What is read is verified: rows and the stream index by checksums (`rows.rs`,
//! `index.rs`, and `checksum.rs` beside this file), the journal by its positions. One commit is one transaction and one
//! fdatasync; quick-repair stays off because it doubles the syncs. redb trusts its pages, and a damaged one can make it panic:
//! every call into it runs under `catch_unwind`, and after the first failure the store answers nothing any more (law 14).

mod ahead;

mod index;

mod journal;

mod rows;

pub mod views;

use std::{
    any::Any,
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use bytes::Bytes;
use redb::{Builder, Database, Durability, ReadableDatabase, TableError, WriteTransaction};
pub use redb::{StorageBackend, backends::FileBackend};

use self::{ahead::Ahead, index::APPENDS, journal::JOURNAL};
use super::{Batch, Corrupt, Damaged, Position, Range, Row, Store, StoreError, Stored, StreamRead, Table};

/// How a redb file is opened.
#[derive(Clone)]
pub struct Options {
    /// Memory for pages, read and dirty ones together.
    pub cache_bytes: usize,
    /// Verify every page's checksum first. Reads the whole file.
    pub check_integrity: bool,
    /// Told how far a repair after an unclean stop is, from 0 to 1.
    pub on_repair: Option<Arc<dyn Fn(f64) + Send + Sync>>,
}

impl Default for Options {
    fn default() -> Self {
        // 64 MiB: the live part of the tree at 10,000 sagas in flight fits several times.
        Self { cache_bytes: 64 << 20, check_integrity: false, on_repair: None }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Options {{ cache_bytes: {}, check_integrity: {} }}", self.cache_bytes, self.check_integrity)
    }
}

/// A store in one redb file.
#[derive(Debug)]
pub struct RedbStore {
    /// None once it is closed.
    database: RwLock<Option<Database>>,
    /// The first failure. Nothing is answered after it.
    failed: OnceLock<String>,
}

impl RedbStore {
    /// Opens a file, repairing it if the last stop was unclean; an empty or missing one becomes an empty journal.
    ///
    /// Creation is not atomic: a new journal belongs under a temporary name until it is closed and synced.
    pub fn open(path: &Path, options: &Options) -> Result<Self, StoreError> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = file.map_err(|error| StoreError::Failed(format!("{}: {error}", path.display())))?;
        let backend = FileBackend::new(file).map_err(|error| StoreError::Failed(format!("{}: {error}", path.display())))?;
        let (ahead, told) = (Arc::new(Ahead::of(path)), options.on_repair.clone());
        let repairs = {
            let ahead = Arc::downgrade(&ahead);
            move |progress| {
                ahead.upgrade().iter().for_each(|ahead| ahead.goes_on());
                told.iter().for_each(|told| told(progress));
            }
        };
        let opened = Self::on_backend(backend, &Options { on_repair: Some(Arc::new(repairs)), ..options.clone() });
        drop(ahead);
        opened
    }

    /// The same on any backend: where faults are injected.
    pub fn on_backend(backend: impl StorageBackend, options: &Options) -> Result<Self, StoreError> {
        let mut builder = Builder::new();
        builder.set_cache_size(options.cache_bytes);
        builder.set_check_integrity_on_open(options.check_integrity);
        if let Some(told) = options.on_repair.clone() {
            builder.set_repair_callback(move |session| told(session.progress()));
        }
        let database = caught(|| {
            let database = builder.create_with_backend(backend)?;
            create_tables(&database)?;
            Ok(database)
        })?;
        Ok(Self { database: RwLock::new(Some(database)), failed: OnceLock::new() })
    }

    /// The one way into redb.
    fn with<T>(&self, call: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if let Some(first) = self.failed.get() {
            return Err(StoreError::Failed(format!("{first} (the store stopped there; restart the host)")));
        }
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = database.as_ref() else {
            return Err(StoreError::Failed("the store is closed".to_owned()));
        };
        let result = caught(|| call(database));
        if let Err(StoreError::Failed(why)) = &result {
            self.failed.get_or_init(|| why.clone());
        }
        result
    }
}

impl Store for RedbStore {
    fn commit(&self, batches: &[Batch]) -> Result<(), StoreError> {
        if batches.iter().all(|batch| batch.appends.is_empty() && batch.rows.is_empty()) {
            return Ok(());
        }
        self.with(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate).map_err(|error| failed(&error))?;
            append(&transaction, batches)?;
            rows::change(&transaction, batches)?;
            transaction.commit()?;
            Ok(())
        })
    }

    fn last_position(&self) -> Result<Position, StoreError> {
        self.with(|database| Ok(journal::end(&database.begin_read()?.open_table(JOURNAL)?)?.position))
    }

    fn streams(&self, reads: &[StreamRead]) -> Result<Vec<Result<Vec<Stored>, Corrupt>>, StoreError> {
        self.with(|database| {
            let transaction = database.begin_read()?;
            let (journal, appends) = (transaction.open_table(JOURNAL)?, transaction.open_table(APPENDS)?);
            reads.iter().map(|read| by_itself(index::read(&journal, &appends, read))).collect()
        })
    }

    fn log(&self, from: Position, limit: usize) -> Result<Vec<Stored>, StoreError> {
        self.with(|database| {
            let journal = database.begin_read()?.open_table(JOURNAL)?;
            let from = from.max(1);
            let mut bytes_left = usize::MAX;
            let (records, _) = journal::read(&journal, from, limit as u64, &mut bytes_left)?;
            if records.is_empty() && limit > 0 && from <= journal::end(&journal)?.position {
                return Err(StoreError::Corrupt(format!("the journal lacks the record at position {from}")));
            }
            Ok(records)
        })
    }

    fn rows_at(&self, keys: &[(Table, Vec<u8>)]) -> Result<Vec<Result<Option<Bytes>, Corrupt>>, StoreError> {
        self.with(|database| {
            let transaction = database.begin_read()?;
            let mut opened = BTreeMap::new();
            let mut answers = Vec::with_capacity(keys.len());
            for (table, key) in keys {
                let rows = match opened.entry(*table) {
                    Entry::Occupied(rows) => rows.into_mut(),
                    Entry::Vacant(place) => place.insert(transaction.open_table(rows::definition(*table))?),
                };
                answers.push(by_itself(rows::get(*table, rows, key))?);
            }
            Ok(answers)
        })
    }

    fn scan(&self, range: &Range) -> Result<Vec<Result<Row, Damaged>>, StoreError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        self.with(|database| rows::scan(&database.begin_read()?.open_table(rows::definition(range.table))?, range))
    }

    fn close(&self) -> Result<(), StoreError> {
        let taken = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        taken.map_or(Ok(()), |database| caught(|| Ok(database.close()?)))
    }
}

/// Opens every table once, so that one of another type is found at start and not at 3 am.
fn create_tables(database: &Database) -> Result<(), StoreError> {
    let transaction = database.begin_write()?;
    transaction.open_table(JOURNAL)?;
    transaction.open_table(APPENDS)?;
    for table in Table::ALL {
        transaction.open_table(rows::definition(table))?;
    }
    transaction.commit()?;
    Ok(())
}

fn append(transaction: &WriteTransaction, batches: &[Batch]) -> Result<(), StoreError> {
    if batches.iter().all(|batch| batch.appends.is_empty()) {
        return Ok(());
    }
    let mut journal = transaction.open_table(JOURNAL)?;
    let mut appends = transaction.open_table(APPENDS)?;
    let mut end = journal::end(&journal)?;
    for append in batches.iter().flat_map(|batch| &batch.appends) {
        let follows = match append.first_version {
            1 => None,
            _ => index::last(&appends, append.stream)?,
        };
        append.check(end.position, follows.map_or(0, |last| last.last_version()))?;
        end = journal::append(&mut journal, end, &append.records)?;
        index::Entry::of(append).write(&mut appends, follows)?;
    }
    Ok(())
}

/// Keeps what is wrong with one entry apart from what is wrong with the store.
fn by_itself<T>(answer: Result<T, StoreError>) -> Result<Result<T, Corrupt>, StoreError> {
    match answer {
        Ok(value) => Ok(Ok(value)),
        Err(StoreError::Corrupt(what)) => Ok(Err(Corrupt(what))),
        Err(error @ (StoreError::Conflict(_) | StoreError::Fenced(_) | StoreError::Failed(_))) => Err(error),
    }
}

/// A panic in redb is a failed storage, not a failed host.
fn caught<T>(call: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|panic| Err(StoreError::Failed(format!("redb panicked: {}", message(panic.as_ref())))))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

/// Whatever redb reports is the whole file's failure, never one stream's: a damaged page has no owner that we know.
fn failed(error: &dyn fmt::Display) -> StoreError {
    StoreError::Failed(error.to_string())
}

macro_rules! fails_with {
    ($($error:ty),*) => {$(
        impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                failed(&error)
            }
        }
    )*};
}
fails_with!(redb::StorageError, TableError, redb::TransactionError, redb::CommitError, redb::DatabaseError);

#[cfg(test)]
mod tests;
