//! Reading a saga back from its stream: recovery, parking and the API's reads all replay the same way (law 11).

use std::fmt;

use amends_core::{Event, Instant, Saga};

use super::SagaKey;
use crate::{
    engine::{
        kernel::reads::{self, Begun, PAGE},
        module::Definitions,
    },
    held::{NoRoom, Room, SMALL_RECORDS_BYTES, Share},
    journal::{Corrupt, Fact, Record, RecordId, StreamId, record},
    store::{Position, Store, StoreError, Stored, StreamRead},
};

/// Why a saga could not be read.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// There is none of this id.
    NotFound,
    /// Its stream does not make sense: quarantine it, go on with the others.
    Corrupt(String),
    /// The storage failed.
    Storage(String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such saga"),
            Self::Corrupt(why) | Self::Storage(why) => f.write_str(why),
        }
    }
}

impl From<StoreError> for LoadError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt(why) => Self::Corrupt(why),
            StoreError::Conflict(why) | StoreError::Fenced(why) | StoreError::Failed(why) => Self::Storage(why),
        }
    }
}

impl From<LoadError> for StoreError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::NotFound => Self::Corrupt(error.to_string()),
            LoadError::Corrupt(why) => Self::Corrupt(why),
            LoadError::Storage(why) => Self::Failed(why),
        }
    }
}

/// Whoever gave the room asks it what became of the read.
impl From<NoRoom> for LoadError {
    fn from(_: NoRoom) -> Self {
        Self::Storage("it is too large for the memory that this read may take".to_owned())
    }
}

/// A saga replayed from its stream.
pub(crate) struct Loaded {
    pub(crate) saga: Saga,
    /// What it was started by; none: a request.
    pub(crate) cause: Option<RecordId>,
    /// The root of its chain of causes, if that is not itself.
    pub(crate) root: Option<String>,
    /// Through how many streams that chain had led to it.
    pub(crate) depth: u16,
    pub(crate) stream: Position,
    pub(crate) position: Position,
    pub(crate) bytes: u64,
    /// The room that it takes, as long as it is there; none if it is small, or the engine's.
    pub(crate) share: Option<Share>,
}

/// Where sagas are read, and what they may take into memory: one after the other.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) definitions: &'a Definitions,
    pub(crate) room: &'a Room,
}

impl<'a> Source<'a> {
    /// For the engine itself.
    pub(crate) fn endless(store: &'a dyn Store, definitions: &'a Definitions) -> Self {
        static ENDLESS: Room = Room::endless();
        Self { store, definitions, room: &ENDLESS }
    }
}

/// Bytes of the records that are read at a time, beyond the first page. A record that is larger is read by itself.
const PAGE_BYTES: usize = 1 << 20;

/// No record is larger: its length is a number of 32 bits.
const RECORD_BYTES_MAX: usize = u32::MAX as usize;

/// What a saga takes while it is read, for each byte of its records: the values in it, and what is made of the values of children, or
/// the page that was read last.
const COPIES: u64 = 2;

/// What it takes beside that for each record: as part of the saga, of the view of it, and of an answer.
const AROUND_A_RECORD: u64 = 1 << 10;

/// A saga as of its last committed record.
pub(crate) fn saga(source: Source<'_>, key: &SagaKey) -> Result<Loaded, LoadError> {
    let loaded = sagas(source, std::slice::from_ref(key))?.next();
    loaded.unwrap_or(Err(LoadError::NotFound))
}

/// Sagas as of their last committed records: one answer for each key. At most [`AT_ONCE`] keys are given. They begin to be read
/// together, and each is read to its end when it is asked for: so no two that are large are in memory at once.
pub(crate) fn sagas<'a>(
    source: Source<'a>,
    keys: &'a [SagaKey],
) -> Result<impl Iterator<Item = Result<Loaded, LoadError>> + use<'a>, StoreError> {
    let names: Vec<StreamId> = keys.iter().map(SagaKey::stream).collect();
    let begun = reads::begun(source.store, &names.iter().collect::<Vec<_>>(), SMALL_RECORDS_BYTES)?;
    let loaded = move |((key, name), begun): ((&SagaKey, StreamId), Result<Option<Begun>, Corrupt>)| match begun {
        Ok(Some(begun)) => whole(source, key, &name, begun),
        Ok(None) => Err(LoadError::NotFound),
        Err(corrupt) => Err(LoadError::Corrupt(corrupt.0)),
    };
    Ok(keys.iter().zip(names).zip(begun).map(loaded))
}

/// Sagas that are read in one batch: enough to share the cost of a round trip, and few enough for memory: their first pages are.
pub(crate) const AT_ONCE: usize = 32;

/// Reads the rest of a saga's stream page by page, compares all of it with its row, and replays it.
fn whole(source: Source<'_>, key: &SagaKey, name: &StreamId, Begun { end, first_page }: Begun) -> Result<Loaded, LoadError> {
    let mut history = History::default();
    history.add(first_page)?;
    let (mut share, mut page_bytes) = (None, PAGE_BYTES);
    while (history.positions.len() as u64) < end.revision {
        source.room.grow(&mut share, history.takes() + COPIES * page_bytes as u64)?;
        let from_version = history.positions.len() as u64 + 1;
        let read = StreamRead { stream: end.start, from_version, limit: PAGE, bytes_max: page_bytes };
        let page = reads::page(source.store, read)?;
        match page.is_empty() {
            // What is missing is missed below.
            true if page_bytes >= RECORD_BYTES_MAX => break,
            true => page_bytes = page_bytes.saturating_mul(4).min(RECORD_BYTES_MAX),
            false => history.add(page)?,
        }
    }
    let position_at = |index: usize| history.positions.get(index).copied();
    end.check_positions(name, history.positions.len(), position_at).map_err(|corrupt| LoadError::Corrupt(corrupt.0))?;
    if let Some(share) = &mut share {
        share.keep(history.takes());
    }
    Ok(Loaded { share, ..history.replayed(source.definitions, key)? })
}

/// A saga replayed from its records.
pub(crate) fn replayed(definitions: &Definitions, key: &SagaKey, stored: Vec<Stored>) -> Result<Loaded, LoadError> {
    let mut history = History::default();
    history.add(stored)?;
    history.replayed(definitions, key)
}

/// What was read of a saga's stream.
#[derive(Default)]
struct History {
    positions: Vec<Position>,
    bytes: u64,
    cause: Option<RecordId>,
    root: Option<String>,
    depth: u16,
    events: Vec<(Instant, Event)>,
}

impl History {
    /// The next records. They are not needed any more when this is done.
    fn add(&mut self, page: Vec<Stored>) -> Result<(), LoadError> {
        for stored in page {
            let record = record::decode_stored(&stored).map_err(|error| LoadError::Corrupt(error.0))?;
            if self.positions.is_empty() {
                self.cause = record.causation;
                self.root = record.head.as_ref().map(|head| head.correlation.clone());
                self.depth = record.depth;
            }
            self.positions.push(stored.position);
            self.bytes += stored.record.len() as u64;
            self.events.extend(saga_event(record));
        }
        Ok(())
    }

    /// The memory that it takes with what is made of it.
    fn takes(&self) -> u64 {
        COPIES * self.bytes + AROUND_A_RECORD * self.positions.len() as u64
    }

    fn replayed(self, definitions: &Definitions, key: &SagaKey) -> Result<Loaded, LoadError> {
        let Self { positions, bytes, cause, root, depth, events } = self;
        let (Some(stream), Some(position)) = (positions.first().copied(), positions.last().copied()) else {
            return Err(LoadError::NotFound);
        };
        let Some((_, Event::Started(started))) = events.first() else {
            return Err(LoadError::Corrupt(format!("the stream of saga {} does not begin with its start", key.id)));
        };
        let name = started.definition.clone();
        if definitions.find(&started.digest, &name).is_none() {
            let why = format!("saga {} runs on a component whose definition `{name}` is not here", key.id);
            return Err(LoadError::Corrupt(why));
        }
        let saga = Saga::replay_moved(|digest| definitions.find(digest, &name), events)
            .map_err(|error| LoadError::Corrupt(format!("saga {}: {error}", key.id)))?;
        let root = root.filter(|root| root != key.id.as_str());
        Ok(Loaded { saga, cause, root, depth, stream, position, bytes, share: None })
    }
}

/// Which records of a stream are read.
#[derive(Clone, Copy, Debug)]
pub struct RecordRange {
    /// The first version.
    pub from: u64,
    /// At most so many.
    pub limit: usize,
    /// They end before the first one with which they would be larger.
    pub bytes_max: usize,
}

#[cfg(test)]
impl RecordRange {
    pub(crate) const ALL: Self = Self { from: 1, limit: usize::MAX, bytes_max: usize::MAX };
}

/// Decoded records of one stream.
pub(crate) fn records(store: &dyn Store, stream: Position, range: RecordRange) -> Result<Vec<Record>, LoadError> {
    let RecordRange { from, limit, bytes_max } = range;
    let mut records = Vec::new();
    let mut bytes_left = bytes_max;
    while records.len() < limit {
        let want = PAGE.min(limit - records.len());
        let from_version = from + records.len() as u64;
        let page = reads::page(store, StreamRead { stream, from_version, limit: want, bytes_max: bytes_left })?;
        let last = page.len() < want;
        bytes_left -= page.iter().map(|stored| stored.record.len()).sum::<usize>();
        for stored in page {
            records.push(record::decode_stored(&stored).map_err(|error| LoadError::Corrupt(error.0))?);
        }
        if last {
            break;
        }
    }
    Ok(records)
}

fn saga_event(record: Record) -> Option<(Instant, Event)> {
    if let Fact::Saga(event) = record.fact { Some((record.at, event)) } else { None }
}
