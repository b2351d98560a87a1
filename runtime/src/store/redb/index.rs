//! The stream index of a redb file: one entry for each append, which says where in the journal its records are. It knows nothing
//! of what is in a record.
//!
//! An entry carries a checksum and says whether another append of its stream follows. So a reader notices every entry that was
//! changed, moved or lost: the versions of the entries that it walks have a gap, or the last one says that it is not the last.
//! The mark is set by the append that follows, on an entry beside its own, in the page that it writes anyway. Only a stream of
//! which no entry is left looks like one that never was; whoever reads it knows from a row that it was.

use std::ops::Bound;

use redb::{AccessGuard, ReadableTable, Table as RedbTable, TableDefinition};

use super::journal;
use crate::store::{
    Append, Position, StoreError, Stored, StreamRead,
    checksum::{seal, unseal},
};

/// (stream, version of the first record) to the entry of one append.
pub(super) const APPENDS: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("appends");

type Key = (u64, u64);

/// The index's number among the tables, in checksums.
const TABLE: u8 = 0;

/// One append of a stream.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    stream: Position,
    first_version: u64,
    first_position: Position,
    count: u64,
    /// Whether another append of the stream follows.
    followed: bool,
}

impl Entry {
    /// The entry of what is about to be appended.
    pub(super) fn of(append: &Append) -> Self {
        Self {
            stream: append.stream,
            first_version: append.first_version,
            first_position: append.first_position,
            count: append.records.len() as u64,
            followed: false,
        }
    }

    /// The version of its last record.
    pub(super) fn last_version(&self) -> u64 {
        self.first_version + self.count - 1
    }

    /// Writes it, and marks the one that it follows.
    pub(super) fn write(&self, appends: &mut RedbTable<'_, Key, &'static [u8]>, follows: Option<Self>) -> Result<(), StoreError> {
        if let Some(follows) = follows {
            Self { followed: true, ..follows }.put(appends)?;
        }
        self.put(appends)
    }

    fn put(&self, appends: &mut RedbTable<'_, Key, &'static [u8]>) -> Result<(), StoreError> {
        let Self { stream, first_version, first_position, count, followed } = *self;
        // The distance to the stream's start is smaller than the position: most streams are short.
        let body = postcard::to_extend(&(first_position - stream, count, followed), Vec::with_capacity(16));
        let body = body.map_err(|error| StoreError::Failed(format!("an index entry cannot be written: {error}")))?;
        appends.insert((stream, first_version), seal(TABLE, &key_bytes((stream, first_version)), &body).as_slice())?;
        Ok(())
    }

    fn read((key, sealed): &(AccessGuard<'_, Key>, AccessGuard<'_, &'static [u8]>)) -> Result<Self, StoreError> {
        let key @ (stream, first_version) = key.value();
        let read = unseal(TABLE, &key_bytes(key), sealed.value()).and_then(|body| {
            let (distance, count, followed) = postcard::from_bytes::<(u64, u64, bool)>(body).ok()?;
            // Whatever is computed from an entry is in range when these are.
            first_version.checked_add(count)?;
            let first_position = stream.checked_add(distance).filter(|first| first.checked_add(count).is_some() && count > 0)?;
            Some(Self { stream, first_version, first_position, count, followed })
        });
        read.ok_or_else(|| {
            StoreError::Corrupt(format!(
                "stream index: the entry of stream {stream}, version {first_version} does not fit its checksum"
            ))
        })
    }
}

/// The last append of a stream; none if there is no such stream.
pub(super) fn last(appends: &impl ReadableTable<Key, &'static [u8]>, stream: Position) -> Result<Option<Entry>, StoreError> {
    let Some(last) = at_most(appends, stream, u64::MAX)? else { return Ok(None) };
    match last.followed {
        false => Ok(Some(last)),
        true => Err(lost(stream, last.last_version())),
    }
}

/// The records of one stream.
pub(super) fn read(
    journal: &impl ReadableTable<u64, &'static [u8]>,
    appends: &impl ReadableTable<Key, &'static [u8]>,
    read: &StreamRead,
) -> Result<Vec<Stored>, StoreError> {
    let StreamRead { stream, from_version, limit, bytes_max } = *read;
    let from_version = from_version.max(1);
    // The append that holds `from_version` may begin before it.
    let Some(holding) = at_most(appends, stream, from_version)? else { return Ok(Vec::new()) };
    let mut records = Vec::new();
    let mut bytes_left = bytes_max;
    let mut next_version = holding.first_version;
    let mut followed = true;
    for entry in appends.range((stream, holding.first_version)..=(stream, u64::MAX))? {
        let append = Entry::read(&entry?)?;
        if !followed || (append.stream, append.first_version) != (stream, next_version) {
            return Err(lost(stream, next_version - 1));
        }
        (followed, next_version) = (append.followed, append.last_version() + 1);
        // The last append may end before `from_version`, which a client may choose as large as it likes.
        let skipped = from_version.saturating_sub(append.first_version);
        if skipped < append.count {
            let wanted = (append.count - skipped).min((limit - records.len()) as u64);
            let from = append.first_position + skipped;
            let (read, is_cut) = journal::read(journal, from, wanted, &mut bytes_left)?;
            let next = from + read.len() as u64;
            records.extend(read);
            if is_cut {
                return Ok(records);
            }
            if next != from + wanted {
                return Err(StoreError::Corrupt(format!("stream {stream}: the journal lacks its record at position {next}")));
            }
        }
        if records.len() >= limit {
            return Ok(records);
        }
    }
    match followed {
        false => Ok(records),
        true => Err(lost(stream, next_version - 1)),
    }
}

/// The last append of a stream that begins at this version, 1 or more, or before it. The entry behind the place is looked at when there is
/// none: it may be the one, under a damaged key (`rows.rs` says why it lies there).
fn at_most(
    appends: &impl ReadableTable<Key, &'static [u8]>,
    stream: Position,
    version: u64,
) -> Result<Option<Entry>, StoreError> {
    let mut place = appends.upper_bound(Bound::Included((stream, version)))?;
    match place.peek_prev()?.map(|entry| Entry::read(&entry)).transpose()? {
        Some(entry) if entry.stream == stream => Ok(Some(entry)),
        Some(_) | None => match place.peek_next()?.map(|entry| Entry::read(&entry)).transpose()? {
            Some(entry) if entry.stream == stream => Err(lost(stream, 0)),
            Some(_) | None => Ok(None),
        },
    }
}

fn lost(stream: Position, version: u64) -> StoreError {
    StoreError::Corrupt(format!(
        "stream index: stream {stream} goes on after version {version}, but the entry of what follows is lost"
    ))
}

fn key_bytes((stream, first_version): Key) -> [u8; 16] {
    ((u128::from(stream) << 64) | u128::from(first_version)).to_be_bytes()
}
