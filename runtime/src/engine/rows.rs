//! The rows of sagas, and reading them: derived state that is committed together with the records it follows from.

use std::collections::BTreeSet;

use amends_core::{
    Instant, Saga,
    event::Topic,
    id::{Namespace, SagaId},
    view::Status,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    engine::{
        lockers,
        port::{ListFilter, SagaLine},
        resident::{Flushed, SagaKey},
    },
    journal::{StreamHead, StreamId, StreamKind, keys},
    store::{Order, Position, Range, Row, RowChange, Store, StoreError, Table},
};

/// What is known of a saga without reading its stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) namespace: Namespace,
    pub(crate) id: SagaId,
    pub(crate) definition: String,
    pub(crate) module: String,
    pub(crate) version: u32,
    pub(crate) digest: [u8; 32],
    pub(crate) input_hash: [u8; 32],
    pub(crate) status: Status,
    pub(crate) started_at: Instant,
    pub(crate) ended_at: Option<Instant>,
}

/// The head of a saga's stream.
pub(crate) fn saga_head(key: &SagaKey) -> StreamHead {
    let id = key.1.as_str().to_owned();
    StreamHead::new(StreamId { namespace: key.0.clone(), kind: StreamKind::Saga, id: id.clone() }, id)
}

/// The changes of a saga's rows from one flush to the next.
pub(crate) fn of_saga(key: &SagaKey, saga: &Saga, before: Option<&Flushed>, after: &Flushed) -> Vec<RowChange> {
    let mut rows = Vec::with_capacity(6);
    if before.map(|before| (before.status, before.code)) != Some((after.status, after.code)) {
        rows.push(put(Table::Sagas, keys::saga(after.stream), encode(&summary(key, saga, after.status))));
    }
    if before.map(|before| before.status) != Some(after.status) {
        if let Some(before) = before {
            rows.push(delete(Table::ByStatus, keys::by_status(code(before.status), after.stream)));
        }
        rows.push(put(Table::ByStatus, keys::by_status(code(after.status), after.stream), Bytes::new()));
    }
    let woken = before.and_then(|before| before.wake_at);
    if woken != after.wake_at {
        rows.extend(woken.map(|due| delete(Table::Timers, keys::timer(due, after.stream))));
        rows.extend(after.wake_at.map(|due| put(Table::Timers, keys::timer(due, after.stream), Bytes::new())));
    }
    let was_denied = before.is_some_and(|before| before.is_denied);
    if was_denied != after.is_denied {
        let key = keys::denied(&key.0, &saga.started().module, after.stream);
        rows.push(if after.is_denied { put(Table::Denied, key, Bytes::new()) } else { delete(Table::Denied, key) });
    }
    let waited: BTreeSet<&Topic> = before.map_or(&[][..], |before| &before.topics).iter().collect();
    let waits: BTreeSet<&Topic> = after.topics.iter().collect();
    let row = |topic: &Topic| keys::wait(&key.0, topic, after.stream);
    rows.extend(waited.difference(&waits).map(|topic| delete(Table::Waits, row(topic))));
    rows.extend(waits.difference(&waited).map(|topic| put(Table::Waits, row(topic), Bytes::new())));
    rows.extend(lockers::rows_of(key, before, after));
    rows
}

fn summary(key: &SagaKey, saga: &Saga, status: Status) -> Summary {
    let started = saga.started();
    Summary {
        namespace: key.0.clone(),
        id: key.1.clone(),
        definition: started.definition.clone(),
        module: started.module.clone(),
        version: saga.code().version,
        digest: saga.code().digest,
        input_hash: started.input_hash,
        status,
        started_at: saga.started_at(),
        ended_at: saga.ended_at(),
    }
}

/// The start position of a stream, by its name.
pub(crate) fn stream_of(store: &dyn Store, stream: &StreamId) -> Result<Option<Position>, StoreError> {
    match store.row(Table::ById, &keys::by_id(stream))? {
        Some(value) => position(&value, "a stream's start").map(Some),
        None => Ok(None),
    }
}

/// The start position of a saga's stream.
pub(crate) fn saga_stream(store: &dyn Store, key: &SagaKey) -> Result<Option<Position>, StoreError> {
    stream_of(store, &saga_head(key).stream)
}

/// What is known of the saga whose stream starts here.
pub(crate) fn summary_at(store: &dyn Store, stream: Position) -> Result<Option<Summary>, StoreError> {
    match store.row(Table::Sagas, &keys::saga(stream))? {
        Some(value) => decode(&value, "a saga's summary").map(Some),
        None => Ok(None),
    }
}

/// The same for a look at many sagas, of which one whose row cannot be read must not stop the look at the others: why it cannot.
pub(crate) fn look_at(store: &dyn Store, stream: Position) -> Result<Result<Summary, String>, StoreError> {
    match summary_at(store, stream) {
        Ok(Some(summary)) => Ok(Ok(summary)),
        Ok(None) => Ok(Err("its row is missing".to_owned())),
        Err(StoreError::Corrupt(why)) => Ok(Err(why)),
        Err(error) => Err(error),
    }
}

/// The saga whose stream starts here.
pub(crate) fn saga_at(store: &dyn Store, stream: Position) -> Result<Option<SagaKey>, StoreError> {
    Ok(summary_at(store, stream)?.map(|summary| (summary.namespace, summary.id)))
}

/// Whether a saga has ended, as far as it is committed. One that is not there has.
pub(crate) fn has_ended(store: &dyn Store, key: &SagaKey) -> Result<bool, StoreError> {
    let stream = saga_stream(store, key)?;
    let summary = stream.map(|stream| summary_at(store, stream)).transpose()?.flatten();
    Ok(summary.is_none_or(|summary| summary.status.is_ended()))
}

/// What a saga may be until it has ended.
pub(crate) const LIVE: [Status; 4] = [Status::Stuck, Status::Compensating, Status::Waiting, Status::Running];

/// Start positions of the sagas of one status, oldest first, after `after`.
pub(crate) fn of_status(store: &dyn Store, status: Status, after: Position, limit: usize) -> Result<Vec<Position>, StoreError> {
    let from = keys::by_status(code(status), after.saturating_add(1));
    let rows = store.rows(&Range { from, ..keys::of_status(code(status), limit) })?;
    rows.iter().map(|row| Ok(keys::parse_by_status(&row.key)?.1)).collect()
}

/// Start positions of the sagas of some statuses, oldest first: those after `after` and before `before`. Each status is read for
/// itself, so that one which goes from one to another meanwhile may be among none of them, or of two.
pub(crate) fn of_statuses(
    store: &dyn Store,
    statuses: &[Status],
    after: Position,
    before: Position,
    limit: usize,
) -> Result<BTreeSet<Position>, StoreError> {
    let mut streams = BTreeSet::new();
    for status in statuses {
        let rows = store.rows(&ascending(Some(*status), after.saturating_add(1), Some(before), limit))?;
        for row in rows {
            streams.insert(keys::parse_by_status(&row.key)?.1);
        }
    }
    Ok(streams)
}

/// Sagas of one status, oldest first: those whose streams begin after `after`.
pub(crate) fn sagas_of(
    store: &dyn Store,
    status: Status,
    after: Position,
    limit: usize,
) -> Result<Vec<(Position, Summary)>, StoreError> {
    let range = ascending(Some(status), after.saturating_add(1), None, limit);
    summaries(store, Some(status), &range)
}

fn ascending(status: Option<Status>, from: Position, before: Option<Position>, limit: usize) -> Range {
    match status {
        Some(status) => {
            let all = keys::of_status(code(status), limit);
            let to = before.map(|before| keys::by_status(code(status), before)).or(all.to.clone());
            Range { from: keys::by_status(code(status), from), to, ..all }
        }
        None => {
            let to = before.map(keys::saga);
            Range { table: Table::Sagas, from: keys::saga(from), to, order: Order::Ascending, limit }
        }
    }
}

/// The sagas that rows of a status's range, or of the table of all sagas, name.
fn summaries(store: &dyn Store, status: Option<Status>, range: &Range) -> Result<Vec<(Position, Summary)>, StoreError> {
    let of_row = |row: &Row| match status {
        None => Ok((keys::parse_saga(&row.key)?, decode(&row.value, "a saga's summary")?)),
        Some(_) => {
            let (_, stream) = keys::parse_by_status(&row.key)?;
            let summary = summary_at(store, stream)?;
            let summary = summary.ok_or_else(|| StoreError::Corrupt(format!("a saga of a status is not at {stream}")))?;
            Ok((stream, summary))
        }
    };
    store.rows(range)?.iter().map(of_row).collect()
}

/// Timers from a moment on, earliest first.
pub(crate) fn timers_from(store: &dyn Store, from: Instant, limit: usize) -> Result<Vec<(Instant, Position)>, StoreError> {
    timers(store, keys::timer(from, 0), None, limit)
}

/// All timers of one moment.
pub(crate) fn timers_of(store: &dyn Store, moment: Instant) -> Result<Vec<(Instant, Position)>, StoreError> {
    timers(store, keys::timer(moment, 0), Some(keys::timer(moment.plus(1), 0)), usize::MAX)
}

fn timers(store: &dyn Store, from: Vec<u8>, to: Option<Vec<u8>>, limit: usize) -> Result<Vec<(Instant, Position)>, StoreError> {
    let rows = store.rows(&Range { table: Table::Timers, from, to, order: Order::Ascending, limit })?;
    rows.iter().map(|row| Ok(keys::parse_timer(&row.key)?)).collect()
}

/// Start positions of the sagas that wait for an event of this type and key.
pub(crate) fn waiting_for(store: &dyn Store, namespace: &Namespace, topic: &Topic) -> Result<Vec<Position>, StoreError> {
    let rows = store.rows(&keys::waits_for(namespace, topic, usize::MAX))?;
    rows.iter().map(|row| Ok(keys::parse_wait(&row.key)?.2)).collect()
}

/// Sagas that a grant to this module would let go on.
pub(crate) fn denied(store: &dyn Store, namespace: &Namespace, module: &str) -> Result<Vec<SagaKey>, StoreError> {
    let mut keys = Vec::new();
    for row in store.rows(&keys::denied_of(namespace, module, usize::MAX))? {
        keys.extend(saga_at(store, keys::parse_denied(&row.key)?)?);
    }
    Ok(keys)
}

/// One page of `list`, newest first, with the cursor of the next. It may be shorter than asked for, also empty, and not the last.
/// `fits` says what the rows do not.
pub(crate) fn list(
    store: &dyn Store,
    namespace: &Namespace,
    filter: &ListFilter,
    fits: impl Fn(&SagaKey) -> Result<bool, StoreError>,
) -> Result<(Vec<SagaLine>, Option<u64>), StoreError> {
    let mut lines = Vec::new();
    let mut end = filter.cursor;
    for _ in 0..SCANS_MAX {
        let page = page(store, filter.sagas.status, end)?;
        let last_page = page.len() < PAGE;
        for (stream, summary) in page {
            end = Some(stream);
            let admits = filter.sagas.admits(namespace, &summary);
            if admits && fits(&(summary.namespace.clone(), summary.id.clone()))? {
                lines.push(line(summary));
                if lines.len() == filter.limit {
                    return Ok((lines, end));
                }
            }
        }
        if last_page {
            return Ok((lines, None));
        }
    }
    Ok((lines, end))
}

/// Sagas read at a time.
const PAGE: usize = 256;

/// Pages read for one answer: a filter that fits nothing costs no more, and says where to go on.
const SCANS_MAX: usize = 16;

fn page(store: &dyn Store, status: Option<Status>, before: Option<Position>) -> Result<Vec<(Position, Summary)>, StoreError> {
    summaries(store, status, &ascending(status, 0, before, PAGE).descending())
}

fn line(summary: Summary) -> SagaLine {
    SagaLine {
        id: summary.id,
        definition: summary.definition,
        status: summary.status,
        module: summary.module,
        version: summary.version,
        started_at: summary.started_at.0,
        ended_at: summary.ended_at.map(|at| at.0),
    }
}

/// A row to put.
pub(crate) fn put(table: Table, key: Vec<u8>, value: Bytes) -> RowChange {
    RowChange { table, key, value: Some(value) }
}

/// A row to delete.
pub(crate) fn delete(table: Table, key: Vec<u8>) -> RowChange {
    RowChange { table, key, value: None }
}

/// The encoding of a row's value: a version byte, then postcard.
pub(crate) fn encode<T: Serialize>(value: &T) -> Bytes {
    match postcard::to_extend(value, vec![ROW_VERSION]) {
        Ok(bytes) => bytes.into(),
        Err(error) => panic!("rows are plain data, which postcard encodes: {error}"),
    }
}

/// Reads what `encode` wrote.
pub(crate) fn decode<'a, T: Deserialize<'a>>(value: &'a [u8], what: &str) -> Result<T, StoreError> {
    postcard::from_bytes(body(value, what)?).map_err(|error| StoreError::Corrupt(format!("{what} is unreadable: {error}")))
}

/// Reads what `encode` wrote of a pair whose second part older builds did not write.
pub(crate) fn decode_grown<'a, T, U>(value: &'a [u8], what: &str) -> Result<(T, U), StoreError>
where
    T: Deserialize<'a>,
    U: Deserialize<'a> + Default,
{
    let unreadable = |error| StoreError::Corrupt(format!("{what} is unreadable: {error}"));
    let (first, rest) = postcard::take_from_bytes(body(value, what)?).map_err(unreadable)?;
    let second = if rest.is_empty() { U::default() } else { postcard::from_bytes(rest).map_err(unreadable)? };
    Ok((first, second))
}

fn body<'a>(value: &'a [u8], what: &str) -> Result<&'a [u8], StoreError> {
    match value.split_first() {
        Some((&ROW_VERSION, body)) => Ok(body),
        Some((version, _)) => Err(StoreError::Corrupt(format!("{what} has version {version}; this host reads {ROW_VERSION}"))),
        None => Err(StoreError::Corrupt(format!("{what} is empty"))),
    }
}

const ROW_VERSION: u8 = 1;

fn position(value: &[u8], what: &str) -> Result<Position, StoreError> {
    let bytes = value.try_into().map_err(|_| StoreError::Corrupt(format!("{what} has {} bytes, not 8", value.len())))?;
    Ok(Position::from_be_bytes(bytes))
}

/// A status's place in keys, which never changes.
fn code(status: Status) -> u8 {
    match status {
        Status::Running => 1,
        Status::Waiting => 2,
        Status::Compensating => 3,
        Status::Stuck => 4,
        Status::Completed => 5,
        Status::Compensated => 6,
        Status::Abandoned => 7,
    }
}
