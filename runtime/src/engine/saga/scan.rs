//! Going through sagas that have not ended: the one loop behind groups of stuck sagas, plans of moves and previews of jobs.
//!
//! A scan reads what is committed. It ends when its reader has enough, or when it has looked at as much as a reader may be kept
//! waiting for.

use amends_core::{Saga, id::Namespace, view::Status};

use super::{
    SagaKey,
    load::{self, LoadError},
    read,
    rows::Summary,
};
use crate::{
    engine::module::Definitions,
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

/// Hands over the rows of sagas of some statuses, each status by itself and its oldest saga first. True: there may be more.
pub(crate) fn rows(
    store: &dyn Store,
    statuses: impl IntoIterator<Item = Status>,
    rows_max: usize,
    mut see: impl FnMut(Position, Result<Summary, String>) -> Result<Go, StoreError>,
) -> Result<bool, StoreError> {
    let mut read = 0;
    for status in statuses {
        let mut after = 0;
        loop {
            if read >= rows_max {
                return Ok(true);
            }
            let page = read::of_status(store, status, after, PAGE)?;
            for start in &page {
                if see(*start, read::readable_at(store, *start)?)? == Go::Enough {
                    return Ok(true);
                }
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
    store: &dyn Store,
    definitions: &Definitions,
    namespace: &Namespace,
    statuses: impl IntoIterator<Item = Status>,
    budget: Budget,
    admits: impl Fn(&Summary) -> bool,
    mut see: impl FnMut(Scanned) -> Go,
) -> Result<bool, StoreError> {
    let mut looked_at = 0;
    rows(store, statuses, budget.rows_max, |start, summary| {
        let summary = match summary {
            Ok(summary) if summary.namespace != *namespace || !admits(&summary) => return Ok(Go::On),
            Ok(summary) => summary,
            Err(why) => return Ok(see(Scanned::Unreadable(start, None, why))),
        };
        looked_at += 1;
        let go = match load::saga(store, definitions, &SagaKey::new(namespace, &summary.id)) {
            Ok(loaded) => see(Scanned::Saga(start, summary, Box::new(loaded.saga))),
            // It was never whole.
            Err(LoadError::NotFound) => Go::On,
            Err(LoadError::Corrupt(why)) => see(Scanned::Unreadable(start, Some(summary), why)),
            Err(LoadError::Storage(why)) => return Err(StoreError::Failed(why)),
        };
        Ok(if looked_at < budget.sagas_max { go } else { Go::Enough })
    })
}
