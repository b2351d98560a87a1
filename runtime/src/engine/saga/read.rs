//! Committed reads of sagas: pages of a list.

use amends_core::{id::Namespace, view::Status};

use super::{
    SagaKey,
    request::{ListFilter, SagaLine},
    rows::{self, Summary},
};
use crate::{
    journal::keys,
    store::{Position, Range, Row, Store, StoreError},
};

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
            if admits && fits(&SagaKey::new(&summary.namespace, &summary.id))? {
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
    let of_row = |row: &Row| match status {
        None => Ok((keys::parse_saga(&row.key)?, rows::decode_summary(&row.value)?)),
        Some(_) => {
            let (_, stream) = keys::parse_by_status(&row.key)?;
            let summary = rows::summary_at(store, stream)?;
            let summary = summary.ok_or_else(|| StoreError::Corrupt(format!("a saga of a status is not at {stream}")))?;
            Ok((stream, summary))
        }
    };
    store.rows(range)?.iter().map(of_row).collect()
}
