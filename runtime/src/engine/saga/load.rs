//! Reading a saga back from its stream: recovery, parking and the API's reads all replay the same way (law 11).

use std::fmt;

use amends_core::{Event, Instant, Saga};

use super::SagaKey;
use crate::{
    engine::{kernel::reads, module::Definitions},
    journal::{Corrupt, Fact, Record, RecordId, StreamId, record},
    store::{Position, Store, StoreError, Stored},
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

/// A saga replayed from its stream.
pub(crate) struct Loaded {
    pub(crate) saga: Saga,
    /// What it was started by; none: a request.
    pub(crate) cause: Option<RecordId>,
    pub(crate) stream: Position,
    pub(crate) position: Position,
    pub(crate) bytes: u64,
}

/// Records of a stream that are read at a time, so that no read holds the store's pages for long.
const PAGE: usize = 1_024;

/// A saga as of its last committed record.
pub(crate) fn saga(store: &dyn Store, definitions: &Definitions, key: &SagaKey) -> Result<Loaded, LoadError> {
    replayed(definitions, key, reads::stream(store, &key.stream())?.ok_or(LoadError::NotFound)?)
}

/// Sagas as of their last committed records: one answer for each key. At most [`AT_ONCE`] keys are given.
pub(crate) fn sagas(
    store: &dyn Store,
    definitions: &Definitions,
    keys: &[SagaKey],
) -> Result<Vec<Result<Loaded, LoadError>>, StoreError> {
    let names: Vec<StreamId> = keys.iter().map(SagaKey::stream).collect();
    let streams = reads::streams(store, &names.iter().collect::<Vec<_>>())?;
    let loaded = |(key, records): (&SagaKey, Result<reads::Whole, Corrupt>)| match records {
        Ok(Some(records)) => replayed(definitions, key, records),
        Ok(None) => Err(LoadError::NotFound),
        Err(corrupt) => Err(LoadError::Corrupt(corrupt.0)),
    };
    Ok(keys.iter().zip(streams).map(loaded).collect())
}

/// Sagas that are read in one batch: enough to share the cost of a round trip, and few enough for memory if all have long journals.
pub(crate) const AT_ONCE: usize = 32;

/// A saga replayed from its records.
pub(crate) fn replayed(definitions: &Definitions, key: &SagaKey, stored: Vec<Stored>) -> Result<Loaded, LoadError> {
    let Some(first) = stored.first() else { return Err(LoadError::NotFound) };
    let stream = first.position;
    let bytes = stored.iter().map(|stored| stored.record.len() as u64).sum();
    let position = stored.last().map_or(0, |stored| stored.position);
    let records = stored.iter().map(record::decode_stored).collect::<Result<Vec<Record>, _>>();
    let records = records.map_err(|error| LoadError::Corrupt(error.0))?;
    let cause = records.first().and_then(|record| record.causation);
    let events: Vec<(Instant, Event)> = records.into_iter().filter_map(saga_event).collect();
    let Some((_, Event::Started(started))) = events.first() else {
        return Err(LoadError::Corrupt(format!("the stream of saga {} does not begin with its start", key.id)));
    };
    let name = started.definition.clone();
    if definitions.find(&started.digest, &name).is_none() {
        return Err(LoadError::Corrupt(format!("saga {} runs on a component whose definition `{name}` is not here", key.id)));
    }
    let saga = Saga::replay_moved(|digest| definitions.find(digest, &name), events)
        .map_err(|error| LoadError::Corrupt(format!("saga {}: {error}", key.id)))?;
    Ok(Loaded { saga, cause, stream, position, bytes })
}

/// Decoded records of one stream from a version on.
pub(crate) fn records(store: &dyn Store, stream: Position, from: u64, limit: usize) -> Result<Vec<Record>, LoadError> {
    let mut records = Vec::new();
    while records.len() < limit {
        let want = PAGE.min(limit - records.len());
        let page = store.stream(stream, from + records.len() as u64, want)?;
        let last = page.len() < want;
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
