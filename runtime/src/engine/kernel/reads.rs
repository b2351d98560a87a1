//! What a decision needs is read before it.
//!
//! A decision begins with [`Reads`]: each read answers from the overlay and from what was fetched, or notes what is missing. When
//! nothing is missing, [`Reads::done`] gives the [`Commit`], and from there on nothing can be read: so no decision waits for the
//! store half-way, and one that has to wait has changed nothing and is simply tried again.
//!
//! With redb the driver answers a fetch in place; a store across a network answers it in one batched round trip.

use std::{
    collections::{HashMap, HashSet},
    ops::Deref,
};

use amends_core::Instant;
use bytes::Bytes;

use super::{
    Kernel,
    commit::Commit,
    overlay::Page,
    row::{End, readable},
};
use crate::{
    journal::{Corrupt, StreamId, keys, record},
    store::{Position, Range, Row, Store, StoreError, Stored, StreamRead, Table},
};

/// One read of the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Look {
    /// One row.
    Row(Table, Vec<u8>),
    /// Rows in key order.
    Rows(Range),
    /// All records of a stream, by its name.
    Stream(Box<StreamId>),
    /// The records of a stream from this version on.
    Tail(Box<StreamId>, u64),
    /// The next records of a stream from there on, at most [`RECORDS_AT_ONCE`]. What was recorded after they were read is in the
    /// overlay.
    Next(Box<StreamId>, Since),
    /// One record.
    Record(Position),
}

/// From which record of a stream on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Since {
    /// The one of this version.
    Version(u64),
    /// The first one behind this position.
    Behind(Position),
}

/// Records of a stream that are looked through at a time.
pub(crate) const RECORDS_AT_ONCE: usize = 64;

/// What a read of the store found.
#[derive(Clone, Debug)]
pub enum Found {
    /// The row's value, if it is there.
    Row(Option<Bytes>),
    /// Rows, as many as were asked for at most.
    Rows(Vec<Row>),
    /// The stream, if there is one of this name.
    Stream(Option<Vec<Stored>>),
    /// The record, if the journal reaches so far.
    Record(Option<Stored>),
}

/// What a look found, or why the bytes cannot be what was written.
pub(crate) type Answer = Result<Found, String>;

/// Why a decision cannot be taken now.
#[derive(Debug)]
pub(crate) enum Unready {
    /// Something was noted that must be fetched, or that another input must settle first: try again then.
    Missing,
    /// What was read makes no sense.
    Corrupt(String),
}

impl From<Corrupt> for Unready {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt.0)
    }
}

/// What was fetched for inputs that wait, and what is being fetched.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    found: HashMap<Look, Answer>,
    asked: HashSet<Look>,
    /// What the decision that is being tried misses.
    missing: Vec<Look>,
}

impl Lookups {
    /// What the last decision missed.
    pub(crate) fn take_missing(&mut self) -> Vec<Look> {
        std::mem::take(&mut self.missing)
    }

    /// Those that nobody has asked for yet; they count as asked for now.
    pub(crate) fn ask(&mut self, missing: &[Look]) -> Vec<Look> {
        missing.iter().filter(|look| self.asked.insert((*look).clone())).cloned().collect()
    }

    /// An answer came.
    pub(crate) fn found(&mut self, look: Look, answer: Answer) {
        self.asked.remove(&look);
        self.found.insert(look, answer);
    }

    /// Nobody waits with this any more.
    pub(crate) fn drop_found(&mut self, look: &Look) {
        self.found.remove(look);
    }

    /// A stream grows: what was read of it is not all of it any more.
    pub(crate) fn outdated(&mut self, stream: &StreamId) {
        if !self.found.is_empty() {
            self.found.retain(|look, _| !matches!(look, Look::Stream(name) | Look::Tail(name, _) if **name == *stream));
        }
    }
}

/// The first half of a decision: it reads, and changes nothing.
pub(crate) struct Reads<'k> {
    kernel: &'k mut Kernel,
    is_missing: bool,
}

impl Deref for Reads<'_> {
    type Target = Kernel;

    fn deref(&self) -> &Kernel {
        self.kernel
    }
}

impl<'k> Reads<'k> {
    pub(super) fn new(kernel: &'k mut Kernel) -> Self {
        Self { kernel, is_missing: false }
    }

    /// Everything is read: the decision may be taken.
    pub(crate) fn done(self) -> Result<Commit<'k>, Unready> {
        if self.is_missing { Err(Unready::Missing) } else { Ok(Commit::new(self.kernel)) }
    }

    /// As [`Kernel::not_before`].
    pub(crate) fn not_before(&mut self, at: Instant) {
        self.kernel.not_before(at);
    }

    /// Another input must be settled before this one.
    pub(crate) fn must_wait(&mut self) -> Unready {
        self.is_missing = true;
        Unready::Missing
    }

    /// One row as it will be when everything decided is durable.
    pub(crate) fn row(&mut self, table: Table, key: Vec<u8>) -> Result<Option<Bytes>, Unready> {
        if let Some(decided) = self.kernel.overlay.get(table, &key) {
            return Ok(decided);
        }
        match self.look(Look::Row(table, key))? {
            Found::Row(row) => Ok(row),
            other => Err(Unready::Corrupt(format!("a row was asked for, and {other:?} came"))),
        }
    }

    /// Rows in ascending order, as they will be when everything decided is durable.
    pub(crate) fn rows(&mut self, range: &Range) -> Result<Page, Unready> {
        match self.look(Look::Rows(range.clone()))? {
            Found::Rows(rows) => Ok(self.kernel.overlay.over(range, rows)),
            other => Err(Unready::Corrupt(format!("rows were asked for, and {other:?} came"))),
        }
    }

    /// All durable records of a stream.
    pub(crate) fn stream(&mut self, name: &StreamId) -> Result<Option<Vec<Stored>>, Unready> {
        match self.look(Look::Stream(Box::new(name.clone())))? {
            Found::Stream(records) => Ok(records),
            other => Err(Unready::Corrupt(format!("a stream was asked for, and {other:?} came"))),
        }
    }

    /// The durable records of a stream from this version on.
    pub(crate) fn tail(&mut self, name: &StreamId, from: u64) -> Result<Option<Vec<Stored>>, Unready> {
        match self.look(Look::Tail(Box::new(name.clone()), from))? {
            Found::Stream(records) => Ok(records),
            other => Err(Unready::Corrupt(format!("the end of a stream was asked for, and {other:?} came"))),
        }
    }

    /// The next records of a stream from there on, durable or on their way, and from where on there may be more. `start`: where the
    /// stream begins.
    pub(crate) fn next_of(
        &mut self,
        (name, start): (&StreamId, Position),
        from: Since,
    ) -> Result<(Vec<Stored>, Option<Since>), Unready> {
        let mut records = match self.look(Look::Next(Box::new(name.clone()), from))? {
            Found::Stream(records) => records.unwrap_or_default(),
            other => return Err(Unready::Corrupt(format!("records of a stream were asked for, and {other:?} came"))),
        };
        let behind = records.last().map_or(from, |last| Since::Behind(last.position));
        if records.len() >= RECORDS_AT_ONCE {
            return Ok((records, Some(behind)));
        }
        for stored in self.kernel.overlay.records_of(start) {
            let is_next = match behind {
                Since::Behind(position) => stored.position > position,
                Since::Version(version) => record::decode_stored(&stored)?.id.version >= version,
            };
            records.extend(is_next.then_some(stored));
        }
        Ok((records, None))
    }

    /// One record, durable or on its way.
    pub(crate) fn record(&mut self, position: Position) -> Result<Option<Stored>, Unready> {
        if let Some(decided) = self.kernel.overlay.record(position) {
            return Ok(Some(decided));
        }
        match self.look(Look::Record(position))? {
            Found::Record(record) => Ok(record),
            other => Err(Unready::Corrupt(format!("a record was asked for, and {other:?} came"))),
        }
    }

    /// Where a stream begins, if there is one of this name.
    pub(crate) fn start_of(&mut self, name: &StreamId) -> Result<Option<Position>, Unready> {
        let row = self.row(Table::ById, keys::by_id(name))?;
        Ok(row.map(|row| End::decode(&row)).transpose()?.map(|end| end.start))
    }

    fn look(&mut self, look: Look) -> Result<Found, Unready> {
        match self.kernel.lookups.found.get(&look) {
            Some(Ok(found)) => Ok(found.clone()),
            Some(Err(why)) => Err(Unready::Corrupt(why.clone())),
            None => {
                self.is_missing = true;
                self.kernel.lookups.missing.push(look);
                Err(Unready::Missing)
            }
        }
    }
}

/// Reads what the shard asked for: all rows in one read of the store, all streams in two. A damaged row or stream is the answer to its
/// own look; if the storage fails, there is no answer at all.
pub(crate) fn carry_out(store: &dyn Store, looks: &[Look]) -> Result<Vec<Answer>, StoreError> {
    let (mut keys, mut names) = (Vec::new(), Vec::new());
    for look in looks {
        match look {
            Look::Row(table, key) => keys.push((*table, key.clone())),
            Look::Stream(name) => names.push(&**name),
            Look::Rows(_) | Look::Record(_) | Look::Tail(..) | Look::Next(..) => {}
        }
    }
    let mut rows = if keys.is_empty() { Vec::new() } else { store.rows_at(&keys)? }.into_iter();
    let mut streams = streams(store, &names)?.into_iter();
    let answer = |look: &Look| match look {
        Look::Row(..) => Ok(next(&mut rows)?.map(Found::Row).map_err(|corrupt| corrupt.0)),
        Look::Stream(_) => Ok(next(&mut streams)?.map(Found::Stream).map_err(|corrupt| corrupt.0)),
        Look::Tail(name, from) => readable(tail(store, name, *from).map(Found::Stream)),
        Look::Next(name, from) => readable(next_of(store, name, *from).map(Found::Stream)),
        Look::Rows(range) => readable(store.rows(range).map(Found::Rows)),
        Look::Record(position) => readable(store.log(*position, 1).map(|mut records| Found::Record(records.pop()))),
    };
    looks.iter().map(answer).collect()
}

/// The answer to the next read of a batch.
fn next<T>(answers: &mut impl Iterator<Item = T>) -> Result<T, StoreError> {
    answers.next().ok_or_else(|| StoreError::Failed("the store gave fewer answers than there were reads".to_owned()))
}

/// The start, the revision and the last position of committed streams: one answer for each name.
pub(crate) fn ends_of(store: &dyn Store, names: &[&StreamId]) -> Result<Vec<Result<Option<End>, Corrupt>>, StoreError> {
    let keys: Vec<_> = names.iter().map(|name| (Table::ById, keys::by_id(name))).collect();
    let decoded = |row: Option<Bytes>| row.map(|row| End::decode(&row)).transpose();
    Ok(store.rows_at(&keys)?.into_iter().map(|row| row.and_then(decoded)).collect())
}

/// Where a stream is and how far it goes, as it is committed.
pub(crate) fn end_of(store: &dyn Store, name: &StreamId) -> Result<Option<End>, StoreError> {
    Ok(next(&mut ends_of(store, &[name])?.into_iter())??)
}

/// All committed records of a stream; none: no stream has this name.
pub(crate) type Whole = Option<Vec<Stored>>;

/// All committed records of streams: one answer for each name. The caller limits the names, because all records are in memory at once.
pub(crate) fn streams(store: &dyn Store, names: &[&StreamId]) -> Result<Vec<Result<Whole, Corrupt>>, StoreError> {
    let whole = |(name, begun): (&&StreamId, Result<Option<Begun>, Corrupt>)| match begun {
        Ok(Some(Begun { end, first_page })) => whole(store, name, end, first_page),
        Ok(None) => Ok(Ok(None)),
        Err(corrupt) => Ok(Err(corrupt)),
    };
    names.iter().zip(begun(store, names, usize::MAX)?).map(whole).collect()
}

/// The committed records of a stream from a version on; none: no stream has this name.
pub(crate) fn tail(store: &dyn Store, name: &StreamId, from: u64) -> Result<Whole, StoreError> {
    let Some(end) = end_of(store, name)? else { return Ok(None) };
    let mut records = Vec::new();
    loop {
        let from = from + records.len() as u64;
        let page = store.stream(end.start, from, PAGE)?;
        let is_last = page.len() < PAGE;
        records.extend(page);
        if is_last {
            break;
        }
    }
    let index = |index: usize| u64::try_from(index).map_or(0, |index| index + 1);
    // Those before are not looked at.
    let position_at = |at: usize| match index(at) {
        1 => Some(end.start),
        version => records.get(usize::try_from(version.checked_sub(from)?).ok()?).map(|stored| stored.position),
    };
    if end.revision >= from {
        end.check_positions(name, records.len(), position_at)?;
    }
    Ok(Some(records))
}

/// The next committed records of a stream from there on; none: no stream has this name.
fn next_of(store: &dyn Store, name: &StreamId, from: Since) -> Result<Whole, StoreError> {
    let Some(end) = end_of(store, name)? else { return Ok(None) };
    let version = match from {
        Since::Version(version) => version,
        Since::Behind(position) => first_behind(store, end, position)?,
    };
    store.stream(end.start, version, RECORDS_AT_ONCE).map(Some)
}

/// The version of the first record behind a position, found by halves: positions grow with versions.
fn first_behind(store: &dyn Store, end: End, position: Position) -> Result<u64, StoreError> {
    let (mut low, mut high) = (1, end.revision + 1);
    while low < high {
        let middle = low.midpoint(high);
        match store.stream(end.start, middle, 1)?.first() {
            Some(stored) if stored.position <= position => low = middle + 1,
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

/// Where a stream is, and its first records.
pub(crate) struct Begun {
    pub(crate) end: End,
    pub(crate) first_page: Vec<Stored>,
}

/// The first committed records of streams, of each at most so many bytes: one answer for each name; none: no stream has this name.
pub(crate) fn begun(
    store: &dyn Store,
    names: &[&StreamId],
    bytes_max: usize,
) -> Result<Vec<Result<Option<Begun>, Corrupt>>, StoreError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let ends = ends_of(store, names)?;
    let is_there = |end: &Result<Option<End>, Corrupt>| end.as_ref().ok().copied().flatten();
    let first = |end: End| StreamRead { stream: end.start, from_version: 1, limit: PAGE, bytes_max };
    let reads: Vec<StreamRead> = ends.iter().filter_map(is_there).map(first).collect();
    // A start looks for a stream that is not there: it costs one read, and not two.
    let mut pages = if reads.is_empty() { Vec::new() } else { store.streams(&reads)? }.into_iter();
    let begun = |end: Result<Option<End>, Corrupt>| match end {
        Ok(Some(end)) => Ok(next(&mut pages)?.map(|first_page| Some(Begun { end, first_page }))),
        Ok(None) => Ok(Ok(None)),
        Err(corrupt) => Ok(Err(corrupt)),
    };
    ends.into_iter().map(begun).collect()
}

/// Records of one stream.
pub(crate) fn page(store: &dyn Store, read: StreamRead) -> Result<Vec<Stored>, StoreError> {
    Ok(next(&mut store.streams(&[read])?.into_iter())??)
}

/// All committed records of a stream, if there is one of this name.
#[cfg(test)]
pub(crate) fn stream(store: &dyn Store, name: &StreamId) -> Result<Whole, StoreError> {
    Ok(next(&mut streams(store, &[name])?.into_iter())??)
}

/// Records of a stream that are read at a time, so that no read holds the store's pages for long.
pub(crate) const PAGE: usize = 1_024;

/// Reads the rest of a stream page by page, and compares all of it with its row.
fn whole(store: &dyn Store, name: &StreamId, end: End, first: Vec<Stored>) -> Result<Result<Whole, Corrupt>, StoreError> {
    let (mut records, mut read) = (Vec::new(), first);
    loop {
        let is_last = read.len() < PAGE;
        records.append(&mut read);
        if is_last {
            return Ok(end.check(name, &records).map(|()| Some(records)));
        }
        read = match readable(store.stream(end.start, records.len() as u64 + 1, PAGE))? {
            Ok(page) => page,
            Err(why) => return Ok(Err(Corrupt(why))),
        };
    }
}
