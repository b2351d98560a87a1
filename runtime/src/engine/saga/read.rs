//! Committed reads of sagas: their rows, pages of a list, lock keys.

use std::collections::VecDeque;

use amends_core::{
    id::{Namespace, SagaId},
    job::SagaFilter,
    view::Status,
};
use bytes::Bytes;

use super::{
    SagaKey,
    filter::admits,
    live::{self, Live},
    lockers::{self, LockRow},
    rows::{self, Summary},
};
use crate::{
    engine::kernel::{
        reads,
        row::{self, End},
    },
    journal::{Corrupt, StreamId, keys},
    store::{Position, Range, Row, Store, StoreError, Table},
};

/// A filter of `list`.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// Only these.
    pub sagas: SagaFilter,
    /// At most so many.
    pub limit: usize,
    /// Go on where the page before ended: the opaque cursor of its answer.
    pub cursor: Option<u64>,
}

/// One line of `list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaLine {
    /// The saga.
    pub id: SagaId,
    /// The definition's name.
    pub definition: String,
    /// Where it stands.
    pub status: Status,
    /// The module and version that it runs on.
    pub module: String,
    /// For people.
    pub version: u32,
    /// Milliseconds since 1970.
    pub started_at: u64,
    /// Milliseconds since 1970.
    pub ended_at: Option<u64>,
}

/// A lock key: who has it and who waits for it, as of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockKey {
    /// As `seat/12A`.
    pub key: String,
    /// Who has it. None while the first of the queue waits for another key.
    pub holder: Option<SagaId>,
    /// Who waits for it, in the order in which they came; of a long queue the first 100.
    pub queue: Vec<SagaId>,
}

/// Where a saga's stream is and how far it goes, if there is one.
pub(crate) fn end_of(store: &dyn Store, key: &SagaKey) -> Result<Option<End>, StoreError> {
    reads::end_of(store, &key.stream())
}

/// How far a saga is, as of a commit, without what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How many records its stream has.
    pub revision: u64,
    /// It has ended, at this revision or before.
    pub is_ended: bool,
}

/// How far a saga is, if there is one.
pub(crate) fn standing(store: &dyn Store, key: &SagaKey) -> Result<Option<Standing>, StoreError> {
    let Some(end) = end_of(store, key)? else { return Ok(None) };
    let summaries = summaries_at(store, &[end.start])?;
    let is_ended = summaries.into_iter().next().transpose()?.is_some_and(|summary| summary.status.is_ended());
    // Read after the status: a revision from before its end would pass for the one that it ended at.
    let revision = end_of(store, key)?.map_or(end.revision, |end| end.revision);
    Ok(Some(Standing { revision, is_ended }))
}

/// The lines of sagas. Those that are not there have none.
pub(crate) fn lines(store: &dyn Store, namespace: &Namespace, ids: &[SagaId]) -> Result<Vec<SagaLine>, StoreError> {
    let names: Vec<StreamId> = ids.iter().map(|id| SagaKey::new(namespace, id).stream()).collect();
    let ends: Result<Vec<Option<End>>, Corrupt> = reads::ends_of(store, &names.iter().collect::<Vec<_>>())?.into_iter().collect();
    let starts: Vec<Position> = ends?.into_iter().flatten().map(|end| end.start).collect();
    let summaries: Result<Vec<Summary>, Corrupt> = summaries_at(store, &starts)?.into_iter().collect();
    Ok(summaries?.into_iter().map(line).collect())
}

/// What is known of the sagas whose streams start there: one answer for each of them. A saga without a row has a damaged one.
pub(crate) fn summaries_at(store: &dyn Store, starts: &[Position]) -> Result<Vec<Result<Summary, Corrupt>>, StoreError> {
    let keys: Vec<_> = starts.iter().map(|start| (Table::Sagas, keys::saga(*start))).collect();
    let missing = |start: &Position| Corrupt(format!("the row of the saga at {start} is missing"));
    let summary =
        |(start, row): (&Position, Result<Option<Bytes>, Corrupt>)| rows::decode_summary(&row?.ok_or_else(|| missing(start))?);
    Ok(starts.iter().zip(store.rows_at(&keys)?).map(summary).collect())
}

/// Start positions of the sagas of one status, oldest first, after `after`.
pub(crate) fn of_status(store: &dyn Store, status: Status, after: Position, limit: usize) -> Result<Vec<Position>, StoreError> {
    let from = keys::by_status(rows::code(status), after.saturating_add(1));
    let rows = store.rows(&Range { from, ..keys::of_status(rows::code(status), limit) })?;
    rows.iter().map(|row| Ok(keys::parse_by_status(&row.key)?.1)).collect()
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
            let is_admitted = admits(&filter.sagas, namespace, &summary);
            if is_admitted && fits(&SagaKey::new(&summary.namespace, &summary.id))? {
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
    summaries(store, status, &rows::ascending(status, 0, before, PAGE).descending())
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

/// The sagas that rows of a status's range, or of the table of all sagas, name.
fn summaries(store: &dyn Store, status: Option<Status>, range: &Range) -> Result<Vec<(Position, Summary)>, StoreError> {
    let rows = store.rows(range)?;
    let Some(_) = status else {
        let whole = |row: &Row| Ok((keys::parse_saga(&row.key)?, rows::decode_summary(&row.value)?));
        return rows.iter().map(whole).collect();
    };
    let starts: Vec<Position> =
        rows.iter().map(|row| Ok(keys::parse_by_status(&row.key)?.1)).collect::<Result<_, StoreError>>()?;
    let summaries = summaries_at(store, &starts)?;
    starts.into_iter().zip(summaries).map(|(start, summary)| Ok((start, summary?))).collect()
}

/// Who has lock keys and who waits for them. Of a long queue the first [`QUEUE_SHOWN`].
pub(crate) fn locks(store: &dyn Store, namespace: &Namespace, keys: &[String]) -> Result<Vec<LockKey>, StoreError> {
    keys.iter().map(|key| lock(store, namespace, key)).collect()
}

/// Sagas of a queue that are named: a person reads no more, and a queue may have thousands.
pub(crate) const QUEUE_SHOWN: usize = 100;

fn lock(store: &dyn Store, namespace: &Namespace, key: &str) -> Result<LockKey, StoreError> {
    let rows = store.rows(&keys::lock_queue(namespace, key, QUEUE_SHOWN + 1))?;
    let rows: Result<Vec<LockRow>, Corrupt> = rows.iter().map(|row| lockers::decode(&row.value)).collect();
    let mut rows = VecDeque::from(rows?);
    let holder = rows.pop_front_if(|first| first.holds).map(|first| first.id);
    let queue = rows.into_iter().take(QUEUE_SHOWN).map(|row| row.id).collect();
    Ok(LockKey { key: key.to_owned(), holder, queue })
}

/// The committed counts of the versions of one namespace, for readers beside the shard.
pub(crate) fn live(store: &dyn Store, namespace: &Namespace) -> Result<Live, StoreError> {
    let under = [live::PREFIX, namespace.as_str().as_bytes(), b"/"].concat();
    let rows = store.rows(&Range::under(Table::Meta, &under, usize::MAX))?;
    let counts: Result<Vec<_>, Corrupt> = rows.iter().map(|row| row::decode(&row.value, "a live count")).collect();
    Ok(Live::of_versions(counts?))
}
