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

use super::{SagaKey, lockers, resident::Flushed};
use crate::{
    engine::kernel::{
        commit::Commit,
        reads::{Reads, Unready},
        row,
    },
    journal::{Corrupt, StreamHead, TimerKind, keys},
    store::{Order, Position, Range, Row, Table},
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
    StreamHead::new(key.stream(), key.id.as_str())
}

/// Writes the rows of a saga that changed from one flush to the next.
pub(super) fn write(commit: &mut Commit<'_>, key: &SagaKey, saga: &Saga, before: Option<&Flushed>, after: &Flushed) {
    let start = after.stream;
    if before.map(|before| (before.status, before.code)) != Some((after.status, after.code)) {
        commit.put(Table::Sagas, keys::saga(start), row::encode(&summed_up(key, saga, after.status)));
    }
    if before.map(|before| before.status) != Some(after.status) {
        if let Some(before) = before {
            commit.delete(Table::ByStatus, keys::by_status(code(before.status), start));
        }
        commit.put(Table::ByStatus, keys::by_status(code(after.status), start), Bytes::new());
    }
    commit.timer(TimerKind::Saga, start, before.and_then(|before| before.wake_at), after.wake_at);
    let was_denied = before.is_some_and(|before| before.is_denied);
    let was_undecided = before.is_some_and(|before| before.is_undecided);
    let mut held_up = |was: bool, is: bool, row_key: Vec<u8>| match (was, is) {
        (false, true) => commit.put(Table::Denied, row_key, row::encode(&key.id)),
        (true, false) => commit.delete(Table::Denied, row_key),
        (false, false) | (true, true) => {}
    };
    held_up(was_denied, after.is_denied, keys::denied(&key.namespace, &saga.started().module, start));
    held_up(was_undecided, after.is_undecided, keys::undecided(&key.namespace, start));
    let waited: BTreeSet<&Topic> = before.map_or(&[][..], |before| &before.topics).iter().collect();
    let waits: BTreeSet<&Topic> = after.topics.iter().collect();
    for gone in waited.difference(&waits) {
        commit.delete(Table::Waits, keys::wait(&key.namespace, gone, start));
    }
    for new in waits.difference(&waited) {
        commit.put(Table::Waits, keys::wait(&key.namespace, new, start), row::encode(&key.id));
    }
    lockers::write(commit, key, before, after);
}

fn summed_up(key: &SagaKey, saga: &Saga, status: Status) -> Summary {
    let started = saga.started();
    Summary {
        namespace: key.namespace.clone(),
        id: key.id.clone(),
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

/// What is known of the saga whose stream starts there, as it will be when everything decided is durable.
pub(crate) fn summary(reads: &mut Reads<'_>, start: Position) -> Result<Option<Summary>, Unready> {
    let row = reads.row(Table::Sagas, keys::saga(start))?;
    Ok(row.map(|row| decode_summary(&row)).transpose()?)
}

/// The saga whose stream starts there, if one does.
pub(crate) fn key_at(reads: &mut Reads<'_>, start: Position) -> Result<Option<SagaKey>, Unready> {
    Ok(summary(reads, start)?.map(|summary| SagaKey { namespace: summary.namespace, id: summary.id }))
}

pub(super) fn decode_summary(row: &[u8]) -> Result<Summary, Corrupt> {
    row::decode(row, "a saga's summary")
}

/// Sagas that are told something in one turn: a tenth of a millisecond each, so that a request waits for some milliseconds at most.
pub(crate) const TOLD_AT_ONCE: usize = 32;

/// The first sagas that are to be told something: one page of them.
pub(crate) struct Recipients {
    /// Those that came first, first.
    pub(crate) keys: Vec<SagaKey>,
    /// There may be more that began after this position.
    pub(crate) more_after: Option<Position>,
}

/// Sagas of a namespace that wait for an event of this topic, of those that began between these positions.
pub(crate) fn waiting_for(
    reads: &mut Reads<'_>,
    namespace: &Namespace,
    topic: &Topic,
    between: (Position, Position),
) -> Result<Recipients, Unready> {
    let start = |key: &[u8]| Ok(keys::parse_wait(key)?.2);
    recipients(reads, namespace, &keys::waits_for(namespace, topic, between, TOLD_AT_ONCE), start)
}

/// Sagas that a grant to this module would let go on, of those that began between these positions.
pub(crate) fn denied(
    reads: &mut Reads<'_>,
    namespace: &Namespace,
    module: &str,
    between: (Position, Position),
) -> Result<Recipients, Unready> {
    recipients(reads, namespace, &keys::denied_of(namespace, module, between, TOLD_AT_ONCE), keys::parse_denied)
}

/// Sagas whose commands wait for code that decides for their aggregates, of those that began between these positions.
pub(crate) fn undecided(
    reads: &mut Reads<'_>,
    namespace: &Namespace,
    between: (Position, Position),
) -> Result<Recipients, Unready> {
    recipients(reads, namespace, &keys::undecided_of(namespace, between, TOLD_AT_ONCE), keys::parse_denied)
}

/// The sagas that the values of rows name.
fn recipients(
    reads: &mut Reads<'_>,
    namespace: &Namespace,
    range: &Range,
    start: impl Fn(&[u8]) -> Result<Position, Corrupt>,
) -> Result<Recipients, Unready> {
    let mut page = reads.rows(range)?;
    // What is decided and not durable yet comes on top of what the store was asked for.
    if page.rows.len() > TOLD_AT_ONCE {
        page.rows.truncate(TOLD_AT_ONCE);
        page.end = page.rows.last().map(|row| row.key.clone());
    }
    let key = |row: &Row| {
        let id: SagaId = row::decode(&row.value, "a row that names a saga")?;
        Ok::<_, Unready>(SagaKey { namespace: namespace.clone(), id })
    };
    let keys = page.rows.iter().map(key).collect::<Result<_, _>>()?;
    Ok(Recipients { keys, more_after: page.end.as_deref().map(start).transpose()? })
}

/// What a saga may be until it has ended.
pub(crate) const LIVE: [Status; 4] = [Status::Stuck, Status::Compensating, Status::Waiting, Status::Running];

/// The rows of sagas of one status whose streams begin after `after` and before `before`, oldest first.
pub(crate) fn between(status: Status, after: Position, before: Position, limit: usize) -> Range {
    ascending(Some(status), after.saturating_add(1), Some(before), limit)
}

/// Where the saga begins that the key of a row of a status names.
pub(crate) fn start_of(key: &[u8]) -> Result<Position, Corrupt> {
    Ok(keys::parse_by_status(key)?.1)
}

/// Rows of sagas, of one status or of all, whose streams begin within the bounds.
pub(crate) fn ascending(status: Option<Status>, from: Position, before: Option<Position>, limit: usize) -> Range {
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

/// A status's place in keys, which never changes.
pub(super) fn code(status: Status) -> u8 {
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
