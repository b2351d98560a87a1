//! The store: where records and rows become durable. A narrow trait, every method fallible.
//!
//! No iterator, closure or transaction handle crosses it. It knows nothing of sagas: records are bytes under
//! a position, rows are bytes under a key. Positions follow commit order without gaps, from 1.

use std::fmt;

use bytes::Bytes;

mod table;

pub mod ownership;

pub mod committer;

pub mod memory;

pub mod redb;

pub mod folder;

mod checksum;

mod lock;

pub mod taint;

pub mod modules;

#[cfg(test)]
mod contract;

#[cfg(test)]
pub(crate) mod differential;

#[cfg(any(test, feature = "testing"))]
pub mod fault;

#[cfg(test)]
mod power_loss;

pub use self::table::{RESERVED, Table};

/// A record's place in the journal, from 1, without gaps, in commit order.
pub type Position = u64;

/// Records that follow each other in one stream.
#[derive(Clone, Debug)]
pub struct Append {
    /// The position of the stream's first record: its name inside the store.
    pub stream: Position,
    /// The version of the first of `records`; versions count from 1. The stream must end just before it.
    pub first_version: u64,
    /// The position of the first of `records`. The journal must end just before it.
    pub first_position: Position,
    /// Encoded records, each at the next position and version. At least one.
    pub records: Vec<Bytes>,
}

impl Append {
    /// The position of the last of `records`.
    pub fn last_position(&self) -> Position {
        self.first_position + (self.records.len() as u64).saturating_sub(1)
    }

    /// Whether a journal that ends at `journal_end` can take this, where the stream ends at version `stream_end`; 0 if there is
    /// no such stream. A stream's first append needs no look at its end, which its name says: it may pass 0.
    pub fn check(&self, journal_end: Position, stream_end: u64) -> Result<(), StoreError> {
        let Self { stream, first_version, first_position, records } = self;
        if records.is_empty() {
            return Err(StoreError::Conflict(format!("stream {stream}: an append without records")));
        }
        if *first_position != journal_end + 1 {
            return Err(StoreError::Conflict(format!(
                "stream {stream}: append expects position {first_position}, the journal ends at {journal_end}"
            )));
        }
        let opens = *first_version == 1;
        if opens != (stream == first_position) {
            return Err(StoreError::Conflict(format!(
                "stream {stream}: append of version {first_version} at position {first_position}, \
                 but a stream is named after the position of its version 1"
            )));
        }
        let end = if opens { 0 } else { stream_end };
        // A stream that was never opened has no version 1 to follow, whatever the append expects.
        if !opens && (end == 0 || *first_version != end + 1) {
            return Err(StoreError::Conflict(format!(
                "stream {stream}: append expects version {first_version}, the stream ends at {end}"
            )));
        }
        Ok(())
    }
}

/// One row put, or deleted if `value` is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// Which table.
    pub table: Table,
    /// Compared byte by byte.
    pub key: Vec<u8>,
    /// The row, or none to delete it.
    pub value: Option<Bytes>,
}

impl RowChange {
    /// Writes a row, over an older one of the same key.
    pub fn put(table: Table, key: impl Into<Vec<u8>>, value: impl Into<Bytes>) -> Self {
        Self { table, key: key.into(), value: Some(value.into()) }
    }

    /// Deletes a row, if it is there.
    pub fn delete(table: Table, key: impl Into<Vec<u8>>) -> Self {
        Self { table, key: key.into(), value: None }
    }
}

/// Changes that become durable together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// In the order of their positions.
    pub appends: Vec<Append>,
    /// In order: a later change of the same key wins.
    pub rows: Vec<RowChange>,
}

impl Batch {
    /// How many records it appends.
    pub fn record_count(&self) -> usize {
        self.appends.iter().map(|append| append.records.len()).sum()
    }

    /// How many bytes it brings, keys included.
    pub fn byte_count(&self) -> usize {
        let records = self.appends.iter().flat_map(|append| &append.records).map(Bytes::len);
        let rows = self.rows.iter().map(|row| row.key.len() + row.value.as_ref().map_or(0, Bytes::len));
        records.sum::<usize>() + rows.sum::<usize>()
    }
}

/// One stored record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where it stands.
    pub position: Position,
    /// The record as it was appended.
    pub record: Bytes,
}

/// Which records of one stream are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamRead {
    /// The stream, by the position of its first record.
    pub stream: Position,
    /// The version of the first record that may be returned; 0 and 1 are the beginning.
    pub from_version: u64,
    /// The largest number of records.
    pub limit: usize,
    /// The records end before the first one with which they would be larger: also the very first, so that there may be none.
    pub bytes_max: usize,
}

/// One stored row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Bytes,
}

/// One row that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The key under which it lies, which may be what is damaged. Deleting the row of this key removes the damaged entry.
    pub key: Vec<u8>,
    /// Which row, and what is wrong with it.
    pub corrupt: Corrupt,
}

impl From<Damaged> for StoreError {
    fn from(damaged: Damaged) -> Self {
        damaged.corrupt.into()
    }
}

/// The order in which rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Smallest key first.
    Ascending,
    /// Largest key first.
    Descending,
}

/// Rows of one table whose keys lie in `from..to`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    /// Which table.
    pub table: Table,
    /// The first key that may be returned.
    pub from: Vec<u8>,
    /// The first key that may not; none is the table's end.
    pub to: Option<Vec<u8>>,
    /// The order.
    pub order: Order,
    /// The largest number of rows.
    pub limit: usize,
}

impl Range {
    /// Every row of a table whose key begins with `prefix`, smallest key first.
    pub fn under(table: Table, prefix: &[u8], limit: usize) -> Self {
        Self { table, from: prefix.to_vec(), to: after_prefix(prefix), order: Order::Ascending, limit }
    }

    /// The same rows, largest key first.
    #[must_use]
    pub fn descending(self) -> Self {
        Self { order: Order::Descending, ..self }
    }

    /// The rest of this range after `key`.
    #[must_use]
    pub fn after(self, key: &[u8]) -> Self {
        match self.order {
            Order::Ascending => Self { from: [key, &[0]].concat(), ..self },
            Order::Descending => Self { to: Some(key.to_vec()), ..self },
        }
    }

    /// Whether the range is empty.
    pub fn is_empty(&self) -> bool {
        self.limit == 0 || self.to.as_ref().is_some_and(|to| *to <= self.from)
    }
}

/// The smallest key above every key that begins with `prefix`; none if there is no such key.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut after = prefix[..=kept].to_vec();
    after[kept] += 1;
    Some(after)
}

/// Why a call failed. Each variant determines what the caller must do.
#[derive(Debug)]
pub enum StoreError {
    /// A stream or the journal does not end where the batch expects it, though this host owns the shard: one of our own bugs.
    /// Nothing was written. End the shard.
    Conflict(String),
    /// Another owner holds the shard. Nothing was written, and nothing that is decided here can be written any more. End the
    /// shard and drop what it decided; the host, its other shards and its storage are well. A store that is owned by a lock for
    /// as long as the process lives, as a data folder is, never answers it.
    Fenced(String),
    /// The storage failed, and what became of a commit is unknown. Nothing may be acknowledged any more (law 14): end the host.
    Failed(String),
    /// These bytes are not what was written. Quarantine what they belong to, and go on with everything else. A commit that
    /// answers it has written nothing.
    Corrupt(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(what) => write!(f, "journal conflict: {what}"),
            Self::Fenced(what) => write!(f, "another host owns the shard: {what}"),
            Self::Failed(what) => write!(f, "storage failed: {what}"),
            Self::Corrupt(what) => write!(f, "corrupt data: {what}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// Bytes of the journal or of a row that are not what was written: which, and what is wrong. Quarantine what they belong to.
///
/// It is the answer about one entry, where [`StoreError`] is the answer to a whole call: in a batch of reads the other answers
/// stand, and the caller goes on with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt(pub String);

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Corrupt {}

impl From<Corrupt> for StoreError {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt.0)
    }
}

/// The interface of a store for the engine, the committer and the readers. One contract suite runs on every implementation.
///
/// A read of many keys or streams is one call: with a store across a network that is one round trip. The callers bound how many.
pub trait Store: Send + Sync + 'static {
    /// Makes all batches durable in one atomic commit, in order; or none of them.
    ///
    /// After `Failed` nobody knows which: the store answers `Failed` to every later call, until it is opened again. After
    /// `Fenced` every later commit is `Fenced` too, deletions of rows included; reads may still be answered.
    fn commit(&self, batches: &[Batch]) -> Result<(), StoreError>;

    /// The position of the last record; 0 when the journal is empty.
    fn last_position(&self) -> Result<Position, StoreError>;

    /// The records of many streams, one answer for each read, in the order of `reads`, all as of one moment. A stream that does
    /// not exist has no records: one that a row names, and that has none, is damaged. A damaged stream is the answer to its own
    /// read only.
    fn streams(&self, reads: &[StreamRead]) -> Result<Vec<Result<Vec<Stored>, Corrupt>>, StoreError>;

    /// The records of one stream from a version on, at most `limit`. A stream that does not exist has none.
    fn stream(&self, stream: Position, from_version: u64, limit: usize) -> Result<Vec<Stored>, StoreError> {
        only(self.streams(&[StreamRead { stream, from_version, limit, bytes_max: usize::MAX }])?)
    }

    /// The journal from a position on, at most `limit` records. Where a record is lost the answer ends before it, and a read that
    /// begins there is `Corrupt`: who reads page by page meets it, may go on behind it, and takes only an empty page for the end.
    fn log(&self, from: Position, limit: usize) -> Result<Vec<Stored>, StoreError>;

    /// Many rows, one answer for each key, in the order of `keys`, all as of one moment. A damaged row is the answer to its own
    /// key, and to a key that is not found because of it.
    fn rows_at(&self, keys: &[(Table, Vec<u8>)]) -> Result<Vec<Result<Option<Bytes>, Corrupt>>, StoreError>;

    /// One row.
    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        only(self.rows_at(&[(table, key.to_vec())])?)
    }

    /// Rows in key order, and damaged entries: those met on the way, and those that lie just outside the range. Where there is a
    /// damaged entry, rows of the range may be hidden. The limit counts rows; who goes on does so after the last row.
    fn scan(&self, range: &Range) -> Result<Vec<Result<Row, Damaged>>, StoreError>;

    /// Rows in key order, none of them damaged. For tables in which one damaged row makes the others useless.
    fn rows(&self, range: &Range) -> Result<Vec<Row>, StoreError> {
        self.scan(range)?.into_iter().map(|row| row.map_err(StoreError::from)).collect()
    }

    /// Closes the store. Every later call is `Failed`; closing twice is no error.
    fn close(&self) -> Result<(), StoreError>;
}

/// The answer to a batch of one read.
fn only<T>(answers: Vec<Result<T, Corrupt>>) -> Result<T, StoreError> {
    match <[Result<T, Corrupt>; 1]>::try_from(answers) {
        Ok([answer]) => Ok(answer?),
        Err(answers) => Err(StoreError::Failed(format!("the store gave {} answers to one read", answers.len()))),
    }
}
