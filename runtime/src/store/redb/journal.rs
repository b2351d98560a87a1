//! The journal of a redb file: one entry for the records of an append, under the position of the first of them. It knows nothing of
//! what is in a record.
//!
//! Most of what a commit costs is the number of entries that it writes, and a saga that runs ahead appends all its records at once.
//! An entry says how many records it has and how long each is, under a checksum; the records bring their own. Entries are numbered
//! without gaps, so that the last one says how many there must be.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | crc32c of the position and of what follows up to the records |
//! | 4 | 8 | the number of the entry, from 1 |
//! | 12 | 4 | how many records it has |
//! | 16 | 4 each | the length of each record |
//! | | | the records |
//!
//! All numbers are big-endian.

use std::ops::Bound;

use bytes::Bytes;
use redb::{AccessGuard, ReadableTable, Table as RedbTable, TableDefinition};

use crate::store::{Position, StoreError, Stored};

/// The position of the first record to an entry.
pub(super) const JOURNAL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("journal");

/// An append of more bytes becomes several entries: who wants one of its records reads one entry.
const ENTRY_BYTES_MAX: usize = 256 << 10;

const HEAD_BYTES: usize = 16;
const LENGTH_BYTES: usize = 4;

/// Where the journal ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The position of the last record; 0 in an empty journal.
    pub(super) position: Position,
    /// The number of the last entry.
    entry: u64,
}

/// The end of the journal. Entries have no gaps in their numbers, so that the last number is how many there are, which redb counts in
/// another page: without that, a journal that lost its last entries would be a shorter one, and a commit would write over them.
pub(super) fn end(journal: &impl ReadableTable<u64, &'static [u8]>) -> Result<End, StoreError> {
    let end = match journal.last()? {
        Some(last) => {
            let entry = Entry::read(&last)?;
            End { position: entry.last(), entry: entry.number }
        }
        None => End { position: 0, entry: 0 },
    };
    match journal.len()? {
        count if count == end.entry => Ok(end),
        count => {
            Err(StoreError::Corrupt(format!("the journal has {count} entries, and the last one has the number {}", end.entry)))
        }
    }
}

/// Writes records behind the end, and returns the new end.
pub(super) fn append(
    journal: &mut RedbTable<'_, u64, &'static [u8]>,
    mut end: End,
    mut records: &[Bytes],
) -> Result<End, StoreError> {
    while !records.is_empty() {
        let mut bytes = 0;
        let fitting = records.iter().take_while(|record| {
            bytes += record.len();
            bytes <= ENTRY_BYTES_MAX
        });
        // A record that is larger by itself has an entry of its own.
        let (these, rest) = records.split_at(fitting.count().max(1));
        let first = end.position + 1;
        end = End { position: end.position + these.len() as u64, entry: end.entry + 1 };
        let head = HEAD_BYTES + LENGTH_BYTES * these.len();
        let length = head + these.iter().map(Bytes::len).sum::<usize>();
        // Written where it is stored, and not copied there.
        let mut place = journal.insert_reserve(first, length)?;
        let place = place.as_mut();
        let mut written = Vec::with_capacity(head - LENGTH_BYTES);
        written.extend(end.entry.to_be_bytes());
        written.extend((these.len() as u32).to_be_bytes());
        these.iter().for_each(|record| written.extend((record.len() as u32).to_be_bytes()));
        place[..4].copy_from_slice(&sum(first, &written).to_be_bytes());
        place[4..head].copy_from_slice(&written);
        let mut at = head;
        for record in these {
            place[at..at + record.len()].copy_from_slice(record);
            at += record.len();
        }
        records = rest;
    }
    Ok(end)
}

/// Reads up to `count` records from a position on, as far as they follow each other without a gap and are not larger than
/// `bytes_left`, from which they are taken. True: the next one would be.
pub(super) fn read(
    journal: &impl ReadableTable<u64, &'static [u8]>,
    from: Position,
    count: u64,
    bytes_left: &mut usize,
) -> Result<(Vec<Stored>, bool), StoreError> {
    let mut found = Vec::new();
    let mut place = journal.upper_bound(Bound::Included(from))?;
    let mut next = place.peek_prev()?;
    while let Some(entry) = next {
        let entry = Entry::read(&entry)?;
        let wanted = from + found.len() as u64;
        if entry.first > wanted || entry.last() < wanted {
            break;
        }
        let skipped = (wanted - entry.first) as usize;
        let left = (count as usize).saturating_sub(found.len());
        for (position, record) in (entry.first..).zip(entry.records()).skip(skipped).take(left) {
            let Some(rest) = bytes_left.checked_sub(record.len()) else { return Ok((found, true)) };
            *bytes_left = rest;
            found.push(Stored { position, record: Bytes::copy_from_slice(record) });
        }
        if found.len() as u64 >= count {
            break;
        }
        next = place.next()?;
    }
    Ok((found, false))
}

/// One entry, whose head is whole.
struct Entry<'a> {
    first: Position,
    number: u64,
    lengths: &'a [u8],
    records: &'a [u8],
}

impl<'a> Entry<'a> {
    fn read((key, value): &'a (AccessGuard<'_, u64>, AccessGuard<'_, &'static [u8]>)) -> Result<Self, StoreError> {
        let first = key.value();
        Self::parse(first, value.value())
            .ok_or_else(|| StoreError::Corrupt(format!("the journal's entry at position {first} does not fit its checksum")))
    }

    fn parse(first: Position, value: &'a [u8]) -> Option<Self> {
        let (stored, rest) = value.split_first_chunk::<4>()?;
        let (number, _) = rest.split_first_chunk::<8>()?;
        let count = u32::from_be_bytes(*rest.get(8..)?.first_chunk::<4>()?) as usize;
        let head = (HEAD_BYTES - 4).checked_add(count.checked_mul(LENGTH_BYTES)?)?;
        let summed = rest.get(..head)?;
        let (lengths, records) = (&summed[HEAD_BYTES - 4..], &rest[head..]);
        let entry = Self { first, number: u64::from_be_bytes(*number), lengths, records };
        let is_whole = u32::from_be_bytes(*stored) == sum(first, summed) && count > 0;
        (is_whole && first.checked_add(count as u64).is_some()).then_some(entry)
    }

    fn last(&self) -> Position {
        self.first + (self.lengths.len() / LENGTH_BYTES) as u64 - 1
    }

    /// Its records. Where bytes are missing the last ones are shorter than they were, which their checksums tell.
    fn records(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.records;
        self.lengths.as_chunks::<LENGTH_BYTES>().0.iter().map(move |length| {
            let length = (u32::from_be_bytes(*length) as usize).min(rest.len());
            let (record, behind) = rest.split_at(length);
            rest = behind;
            record
        })
    }
}

fn sum(first: Position, head: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&first.to_be_bytes()), head)
}
