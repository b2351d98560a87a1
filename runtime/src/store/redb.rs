//! The durable store: one redb file. The only file that names redb.
//!
//! It must not know what a record or a row means. One commit is one transaction and one fdatasync; quick-repair stays
//! off because it doubles the syncs. redb trusts its pages, and a damaged one can make it panic: every call into it runs
//! under `catch_unwind`, and after the first failure the store answers nothing any more (law 14).

use std::{
    any::Any,
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    fs::OpenOptions,
    ops::Bound,
    os::unix::fs::OpenOptionsExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use bytes::Bytes;
use redb::{
    Builder, Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, TableError,
    WriteTransaction,
};
pub use redb::{StorageBackend, backends::FileBackend};

use super::{Batch, Corrupt, Order, Position, Range, Row, Store, StoreError, Stored, StreamRead, Table};

/// Position to record.
const JOURNAL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("journal");

/// (stream, first version) to (first position, count): one row for each append, not for each record.
const STREAMS: TableDefinition<'_, (u64, u64), (u64, u64)> = TableDefinition::new("streams");

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
        Self::on_backend(backend, options)
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
            change_rows(&transaction, batches)?;
            transaction.commit()?;
            Ok(())
        })
    }

    fn last_position(&self) -> Result<Position, StoreError> {
        self.with(|database| {
            let journal = database.begin_read()?.open_table(JOURNAL)?;
            Ok(journal.last()?.map_or(0, |(position, _)| position.value()))
        })
    }

    fn streams(&self, reads: &[StreamRead]) -> Result<Vec<Result<Vec<Stored>, Corrupt>>, StoreError> {
        self.with(|database| {
            let transaction = database.begin_read()?;
            let (journal, streams) = (transaction.open_table(JOURNAL)?, transaction.open_table(STREAMS)?);
            reads.iter().map(|read| by_itself(read_stream(&journal, &streams, read))).collect()
        })
    }

    fn log(&self, from: Position, limit: usize) -> Result<Vec<Stored>, StoreError> {
        self.with(|database| {
            let journal = database.begin_read()?.open_table(JOURNAL)?;
            let mut records = Vec::new();
            for entry in journal.range(from..)?.take(limit) {
                let (position, record) = entry?;
                records.push(Stored { position: position.value(), record: Bytes::copy_from_slice(record.value()) });
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
                    Entry::Vacant(place) => place.insert(transaction.open_table(rows_of(*table))?),
                };
                let value = rows.get(key.as_slice())?;
                answers.push(Ok(value.map(|value| Bytes::copy_from_slice(value.value()))));
            }
            Ok(answers)
        })
    }

    fn rows(&self, range: &Range) -> Result<Vec<Row>, StoreError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        self.with(|database| {
            let table = database.begin_read()?.open_table(rows_of(range.table))?;
            let to = range.to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut found = table.range::<&[u8]>((Bound::Included(range.from.as_slice()), to))?;
            let mut rows = Vec::new();
            while rows.len() < range.limit {
                let next = match range.order {
                    Order::Ascending => found.next(),
                    Order::Descending => found.next_back(),
                };
                let Some(entry) = next else { break };
                let (key, value) = entry?;
                rows.push(Row { key: key.value().to_vec(), value: Bytes::copy_from_slice(value.value()) });
            }
            Ok(rows)
        })
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
    transaction.open_table(STREAMS)?;
    for table in Table::ALL {
        transaction.open_table(rows_of(table))?;
    }
    transaction.commit()?;
    Ok(())
}

fn append(transaction: &WriteTransaction, batches: &[Batch]) -> Result<(), StoreError> {
    if batches.iter().all(|batch| batch.appends.is_empty()) {
        return Ok(());
    }
    let mut journal = transaction.open_table(JOURNAL)?;
    let mut streams = transaction.open_table(STREAMS)?;
    let mut end = journal.last()?.map_or(0, |(position, _)| position.value());
    for append in batches.iter().flat_map(|batch| &batch.appends) {
        append.check(end, || last_version(&streams, append.stream))?;
        for record in &append.records {
            end += 1;
            journal.insert(end, record.as_ref())?;
        }
        let count = append.records.len() as u64;
        streams.insert((append.stream, append.first_version), (append.first_position, count))?;
    }
    Ok(())
}

/// The version at which a stream ends; 0 if there is none.
fn last_version(streams: &impl ReadableTable<(u64, u64), (u64, u64)>, stream: Position) -> Result<u64, StoreError> {
    let Some(last) = streams.range((stream, 0)..=(stream, u64::MAX))?.next_back() else {
        return Ok(0);
    };
    let (key, value) = last?;
    let ((_, first_version), (_, count)) = (key.value(), value.value());
    Ok(first_version + count - 1)
}

/// The last change of each key wins, and keys are written in order: a tree likes that better than the order of events.
fn change_rows(transaction: &WriteTransaction, batches: &[Batch]) -> Result<(), StoreError> {
    let mut changes: BTreeMap<Table, BTreeMap<&[u8], Option<&Bytes>>> = BTreeMap::new();
    for row in batches.iter().flat_map(|batch| &batch.rows) {
        changes.entry(row.table).or_default().insert(&row.key, row.value.as_ref());
    }
    for (table, changes) in changes {
        let mut rows = transaction.open_table(rows_of(table))?;
        for (key, value) in changes {
            match value {
                Some(value) => rows.insert(key, value.as_ref())?,
                None => rows.remove(key)?,
            };
        }
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

fn read_stream(
    journal: &impl ReadableTable<u64, &'static [u8]>,
    streams: &impl ReadableTable<(u64, u64), (u64, u64)>,
    read: &StreamRead,
) -> Result<Vec<Stored>, StoreError> {
    let StreamRead { stream, from_version, limit } = *read;
    let from_version = from_version.max(1);
    // The append that holds `from_version` may begin before it.
    let holding = match streams.range((stream, 0)..=(stream, from_version))?.next_back() {
        Some(entry) => entry?.0.value(),
        None => return Ok(Vec::new()),
    };
    let mut records = Vec::new();
    for entry in streams.range(holding..=(stream, u64::MAX))? {
        let (key, value) = entry?;
        let ((_, first_version), (first_position, count)) = (key.value(), value.value());
        let skipped = from_version.saturating_sub(first_version);
        if skipped >= count {
            // Only the last append can end before `from_version`, which a client may choose as large as it likes.
            break;
        }
        let wanted = (count - skipped).min((limit - records.len()) as u64);
        let from = first_position + skipped;
        for (entry, position) in journal.range(from..from + wanted)?.zip(from..) {
            let (at, record) = entry?;
            if at.value() != position {
                break;
            }
            records.push(Stored { position, record: Bytes::copy_from_slice(record.value()) });
        }
        if records.last().map_or(0, |last| last.position + 1) != from + wanted && wanted > 0 {
            return Err(StoreError::Corrupt(format!(
                "stream {stream}: the journal lacks a record between positions {from} and {}",
                from + wanted - 1
            )));
        }
        if records.len() >= limit {
            break;
        }
    }
    Ok(records)
}

fn rows_of(table: Table) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(table.name())
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
