//! Events as they were recorded, whoever recorded them: committed reads by type, in the order of the journal.

use amends_core::{
    aggregate::AggregateEvent,
    id::Namespace,
    value::{Instant, Payload},
};
use bytes::Bytes;

mod recent;

pub(crate) use self::recent::{Page, Recent};

use crate::{
    journal::{Corrupt, Fact, MessageEvent, Record, keys, record},
    store::{Position, Row, Store, StoreError, Stored},
};

/// An event as it is in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// The aggregate's name, or the publisher.
    pub source: String,
    /// The aggregate's id, or the key that it was published with.
    pub key: String,
    /// Which one, of its source: an aggregate's id and the event's number, or the publisher's id.
    pub id: String,
    /// Its type.
    pub event_type: String,
    /// The form of its data.
    pub version: u32,
    /// Its number among the aggregate's events; 0: it was published.
    pub revision: u64,
    /// Its place in the journal.
    pub position: Position,
    /// When it was decided.
    pub at: Instant,
    /// If another system recorded it: how it came here.
    pub imported: Option<Provenance>,
    /// The root of its chain of causes.
    pub correlation: String,
    /// What it says; none: nothing, or it was erased.
    pub data: Option<Payload>,
    /// What else it is about.
    pub tags: Vec<String>,
    /// The module's version that decided it; 0: it was published, or imported.
    pub module_version: u32,
}

/// How an event came here that another system recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// When.
    pub at: Instant,
    /// Who imported it, as the client said.
    pub by: String,
}

impl RecordedEvent {
    /// The event of an aggregate's fact, if it is one. `name` and `id` say of which.
    pub(crate) fn of_aggregate(
        (name, id): (&str, &str),
        fact: &AggregateEvent,
        position: Position,
        at: Instant,
        correlation: &str,
    ) -> Option<Self> {
        match fact {
            AggregateEvent::Recorded { revision, event_type, version, data, tags, module_version, .. } => Some(Self {
                source: name.to_owned(),
                key: id.to_owned(),
                id: format!("{name}/{id}/{revision}"),
                event_type: event_type.clone(),
                version: *version,
                revision: *revision,
                position,
                at,
                imported: None,
                correlation: correlation.to_owned(),
                data: data.clone(),
                tags: tags.clone(),
                module_version: *module_version,
            }),
            AggregateEvent::Imported { revision, event_type, version, data, tags, at: decided_at, by, .. } => {
                let event_id = format!("{name}/{id}/{revision}");
                Some(Self {
                    source: name.to_owned(),
                    key: id.to_owned(),
                    event_type: event_type.clone(),
                    version: *version,
                    revision: *revision,
                    position,
                    at: *decided_at,
                    imported: Some(Provenance { at, by: by.clone() }),
                    // If nobody said what led to it, it begins a chain.
                    correlation: if correlation.is_empty() { event_id.clone() } else { correlation.to_owned() },
                    id: event_id,
                    data: data.clone(),
                    tags: tags.clone(),
                    module_version: 0,
                })
            }
            AggregateEvent::Decided { .. } | AggregateEvent::Quarantined { .. } => None,
        }
    }

    /// When it was recorded here.
    pub fn recorded_at(&self) -> Instant {
        self.imported.as_ref().map_or(self.at, |import| import.at)
    }

    /// The event of a record of an aggregate.
    pub(crate) fn of_record(of: (&str, &str), record: &Record) -> Option<Self> {
        let Fact::Aggregate(fact) = &record.fact else { return None };
        Self::of_aggregate(of, fact, record.position, record.at, record.correlation.as_deref().unwrap_or_default())
    }

    /// The event of a record, of which a row says that there is one of this type, and which aggregate has it; empty: it was published.
    pub(crate) fn of((event_type, aggregate_id): (&str, &str), record: Record) -> Result<Self, Corrupt> {
        let position = record.position;
        let event = match aggregate_id {
            "" => Self::published(record),
            id => Self::of_record((event_type.split_once('.').map_or(event_type, |(name, _)| name), id), &record),
        };
        event.ok_or_else(|| no_event(position, event_type))
    }

    /// The event of the record that published it.
    fn published(record: Record) -> Option<Self> {
        let correlation = record.head.map(|head| head.correlation).unwrap_or_default();
        match record.fact {
            Fact::Message(MessageEvent::Event { source, id, topic, to: None, data }) => Some(Self {
                source,
                key: topic.key,
                id,
                event_type: topic.event_type,
                version: 1,
                revision: 0,
                position: record.position,
                at: record.at,
                imported: None,
                correlation,
                data,
                tags: Vec::new(),
                module_version: 0,
            }),
            _ => None,
        }
    }

    fn bytes(&self) -> usize {
        256 + self.data.as_ref().map_or(0, |data| data.bytes.len())
    }
}

/// The value of the row that finds an event: the id of its aggregate; empty, if it was published.
pub(crate) fn row(aggregate_id: Option<&str>) -> Bytes {
    aggregate_id.map_or_else(Bytes::new, |id| Bytes::copy_from_slice(id.as_bytes()))
}

/// Which events are read.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Of these types; none: of all.
    pub types: Vec<String>,
    /// Of this aggregate, or with this key.
    pub key: Option<String>,
    /// Behind this position.
    pub after: Position,
    /// At most so many.
    pub limit: usize,
    /// They end where they would be larger than this; there is at least one.
    pub bytes_max: usize,
}

/// Events, and how far the journal was looked at.
#[derive(Clone, Debug, Default)]
pub struct RecordedEvents {
    /// In the order of the journal.
    pub events: Vec<RecordedEvent>,
    /// Every event up to here that was asked for is among these, or was before them.
    pub through: Position,
    /// There may be more.
    pub has_more: bool,
}

/// Rows that are looked at in one read, where few of them fit the key.
const ROWS_MAX: usize = 10_000;

/// Event types of a namespace whose events are read together.
const TYPES_MAX: usize = 4_096;

/// Reads events in the order of the journal.
pub(crate) fn events(store: &dyn Store, namespace: &Namespace, query: &EventQuery) -> Result<RecordedEvents, StoreError> {
    // What is committed meanwhile is for the next read: of all types the same part of the journal is seen.
    let last = store.last_position()?;
    let types = if query.types.is_empty() { types_of(store, namespace)? } else { query.types.clone() };
    let types = deduplicated(types);
    let mut places = places(store, namespace, &types, query.after, query.limit.min(ROWS_MAX))?;
    places.found.retain(|(position, ..)| *position <= last);
    let (mut read, mut bytes) =
        (RecordedEvents { through: places.complete_to.unwrap_or(last).min(last).max(query.after), ..Default::default() }, 0);
    read.has_more = places.complete_to.is_some();
    for (position, event_type, value) in places.found {
        let id = str::from_utf8(&value).map_err(|_| Corrupt(format!("who has the event at {position} is no text")))?;
        let is_of_key = query.key.as_deref().is_none_or(|key| id.is_empty() || key == id);
        if !is_of_key {
            continue;
        }
        let event = one(store, position, &event_type, id)?;
        if query.key.as_ref().is_some_and(|key| event.key != *key) {
            continue;
        }
        bytes += event.bytes();
        if read.events.len() >= query.limit || (bytes > query.bytes_max && !read.events.is_empty()) {
            (read.through, read.has_more) = (read.events.last().map_or(query.after, |last| last.position), true);
            break;
        }
        read.events.push(event);
    }
    Ok(read)
}

fn deduplicated(mut types: Vec<String>) -> Vec<String> {
    types.sort_unstable();
    types.dedup();
    types
}

/// Where events of some types are.
struct Places {
    /// Position, type and row of each, in order.
    found: Vec<(Position, String, Bytes)>,
    /// These are all up to here; `None`: all there are.
    complete_to: Option<Position>,
}

fn places(
    store: &dyn Store,
    namespace: &Namespace,
    types: &[String],
    after: Position,
    limit: usize,
) -> Result<Places, StoreError> {
    let (mut found, mut complete_to) = (Vec::new(), None::<Position>);
    for event_type in types {
        let rows = store.rows(&keys::events_named(namespace, event_type, after, limit))?;
        let is_cut = rows.len() == limit;
        let mut last = after;
        for Row { key, value } in rows {
            let (.., position) = keys::parse_event_name(&key)?;
            last = position;
            found.push((position, event_type.clone(), value));
        }
        if is_cut {
            complete_to = Some(complete_to.map_or(last, |end| end.min(last)));
        }
    }
    found.sort_unstable_by_key(|(position, ..)| *position);
    found.retain(|(position, ..)| complete_to.is_none_or(|end| *position <= end));
    Ok(Places { found, complete_to })
}

/// The types of a namespace's events.
fn types_of(store: &dyn Store, namespace: &Namespace) -> Result<Vec<String>, StoreError> {
    let mut types: Vec<String> = Vec::new();
    while types.len() < TYPES_MAX
        && let Some(row) = store.rows(&keys::next_event_type(namespace, types.last().map(String::as_str)))?.pop()
    {
        let (_, event_type, _) = keys::parse_event_name(&row.key)?;
        types.push(event_type);
    }
    Ok(types)
}

/// Rows that are in memory while events are counted.
const COUNTED_AT_ONCE: usize = 4_096;

/// And what the events take whose data must be looked at.
const COUNTED_BYTES: usize = 4 << 20;

/// How many events of some types there are behind a position; it stops to count at a number, where there are as many.
pub(crate) fn count(
    store: &dyn Store,
    namespace: &Namespace,
    types: &[String],
    after: Position,
    enough: usize,
) -> Result<usize, StoreError> {
    let mut count = 0;
    for event_type in types {
        let mut behind = after;
        while count < enough {
            let rows = store.rows(&keys::events_named(namespace, event_type, behind, COUNTED_AT_ONCE.min(enough - count)))?;
            count += rows.len();
            match rows.last() {
                Some(last) if rows.len() == COUNTED_AT_ONCE => (_, _, behind) = keys::parse_event_name(&last.key)?,
                Some(_) | None => break,
            }
        }
    }
    Ok(count)
}

/// Events that are looked at while those of a form are counted.
const LOOKED_AT_MAX: usize = 1_000_000;

/// How many events of a type there are in one form; it stops to count at a number, and after a million events of the type.
pub(crate) fn count_of(
    store: &dyn Store,
    namespace: &Namespace,
    (event_type, version): (&str, u32),
    enough: usize,
) -> Result<usize, StoreError> {
    let (types, mut recent, mut after, mut count) = ([event_type.to_owned()], Recent::default(), 0, 0);
    let mut looked_at = 0;
    while count < enough {
        let page = recent.page(store, namespace, &types, after, (COUNTED_AT_ONCE, COUNTED_BYTES))?;
        // Somebody may have published an event of this type.
        count += page.events.iter().filter(|event| event.version == version && event.revision > 0).count();
        looked_at += page.events.len();
        if !page.has_more || looked_at >= LOOKED_AT_MAX {
            break;
        }
        after = page.through;
    }
    Ok(count.min(enough))
}

/// When the first event of some types behind a position was recorded.
pub(crate) fn first_at(
    store: &dyn Store,
    namespace: &Namespace,
    types: &[String],
    after: Position,
) -> Result<Option<Instant>, StoreError> {
    let query = EventQuery { types: types.to_vec(), key: None, after, limit: 1, bytes_max: usize::MAX };
    Ok(events(store, namespace, &query)?.events.first().map(RecordedEvent::recorded_at))
}

fn one(store: &dyn Store, position: Position, event_type: &str, aggregate_id: &str) -> Result<RecordedEvent, StoreError> {
    let stored = store.log(position, 1)?.pop();
    let event = stored.map(|stored| decoded(&stored, event_type, aggregate_id)).transpose()?;
    event.ok_or_else(|| no_event(position, event_type).into())
}

fn no_event(position: Position, event_type: &str) -> Corrupt {
    Corrupt(format!("position {position} is no event `{event_type}`, though a row says so"))
}

/// The event of a record, of which a row says that it is there.
fn decoded(stored: &Stored, event_type: &str, aggregate_id: &str) -> Result<RecordedEvent, Corrupt> {
    RecordedEvent::of((event_type, aggregate_id), record::decode_stored(stored)?)
}
