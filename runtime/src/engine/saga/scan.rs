//! Going through sagas that have not ended: the one loop behind groups of stuck sagas, plans of moves and previews of jobs.
//!
//! A scan reads what is committed. It ends when its reader has enough, or when it has looked at as much as a reader may be kept
//! waiting for.

use amends_core::{Saga, id::Namespace, view::Status};

use super::{
    SagaKey,
    load::{self, LoadError, Source},
    read,
    rows::Summary,
};
use crate::{
    journal::Corrupt,
    store::{Position, Store, StoreError},
};

/// Rows that are read at a time.
const PAGE: usize = 256;

/// How much a scan looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Rows, at some microseconds each: also among the sagas of other namespaces an answer comes in time.
    pub(crate) rows_max: usize,
    /// Sagas that are replayed, at a tenth of a millisecond each.
    pub(crate) sagas_max: usize,
}

/// Whether a reader wants more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Go {
    On,
    Enough,
}

/// A saga that a scan came by.
pub(crate) enum Scanned {
    /// As of its last committed record.
    Saga(Position, Summary, Box<Saga>),
    /// It is there, and cannot be read: where it begins, its row if that can be read, and why.
    Unreadable(Position, Option<Summary>, String),
}

/// Where a saga begins, and its row if that can be read.
pub(crate) type Line = (Position, Result<Summary, Corrupt>);

/// Hands over the rows of sagas of some statuses in pages, each status by itself and its oldest saga first. True: there may be more.
pub(crate) fn rows(
    store: &dyn Store,
    statuses: impl IntoIterator<Item = Status>,
    rows_max: usize,
    mut see: impl FnMut(Vec<Line>) -> Result<Go, StoreError>,
) -> Result<bool, StoreError> {
    let mut read = 0;
    for status in statuses {
        let mut after = 0;
        loop {
            if read >= rows_max {
                return Ok(true);
            }
            let page = read::of_status(store, status, after, PAGE)?;
            let summaries = read::summaries_at(store, &page)?;
            if see(page.iter().copied().zip(summaries).collect())? == Go::Enough {
                return Ok(true);
            }
            read += page.len();
            match page.last() {
                Some(last) if page.len() == PAGE => after = *last,
                _ => break,
            }
        }
    }
    Ok(false)
}

/// Hands over the sagas of a namespace whose rows are admitted. True: there may be more.
pub(crate) fn sagas(
    source: Source<'_>,
    namespace: &Namespace,
    statuses: impl IntoIterator<Item = Status>,
    budget: Budget,
    admits: impl Fn(&Summary) -> bool,
    mut see: impl FnMut(Scanned) -> Go,
) -> Result<bool, StoreError> {
    let mut looked_at = 0;
    rows(source.store, statuses, budget.rows_max, |lines| {
        let mut admitted = Vec::new();
        for (start, summary) in lines {
            match summary {
                Ok(summary) if summary.namespace == *namespace && admits(&summary) => admitted.push((start, summary)),
                Ok(_) => {}
                Err(why) => {
                    if see(Scanned::Unreadable(start, None, why.0)) == Go::Enough {
                        return Ok(Go::Enough);
                    }
                }
            }
        }
        while !admitted.is_empty() {
            let some: Vec<(Position, Summary)> = admitted.drain(..admitted.len().min(load::AT_ONCE)).collect();
            let keys: Vec<SagaKey> = some.iter().map(|(_, summary)| SagaKey::new(namespace, &summary.id)).collect();
            for ((start, summary), loaded) in some.into_iter().zip(load::sagas(source, &keys)?) {
                looked_at += 1;
                let go = match loaded {
                    // Its share of the memory is given back behind this: what is kept of it has no values.
                    Ok(loaded) => see(Scanned::Saga(start, summary, Box::new(loaded.saga))),
                    // It was never whole.
                    Err(LoadError::NotFound) => Go::On,
                    Err(LoadError::Corrupt(why)) => see(Scanned::Unreadable(start, Some(summary), why)),
                    Err(LoadError::Storage(why)) => return Err(StoreError::Failed(why)),
                };
                if go == Go::Enough || looked_at >= budget.sagas_max {
                    return Ok(Go::Enough);
                }
            }
        }
        Ok(Go::On)
    })
}
