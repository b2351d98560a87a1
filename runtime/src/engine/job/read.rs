//! Committed reads of jobs, and those that the host before this one left.

use std::collections::BTreeMap;

use amends_core::{id::Namespace, job::Job};

use super::Jobs;
use crate::{
    engine::kernel::{reads, row},
    journal::{StreamId, StreamKind, keys},
    store::{Order, Range, Store, StoreError, Table},
};

/// Jobs of a namespace that are listed, newest first: of one that is over, for a week.
const LISTED_MAX: usize = 1_000;

fn decode(row: &[u8]) -> Result<Job, StoreError> {
    Ok(row::decode(row, "a job's row")?)
}

/// The jobs that are not over.
pub(crate) fn running(store: &dyn Store) -> Result<Jobs, StoreError> {
    let range = Range { table: Table::Jobs, from: Vec::new(), to: None, order: Order::Ascending, limit: usize::MAX };
    let mut running = BTreeMap::new();
    for row in store.rows(&range)? {
        let (_, stream) = keys::parse_job(&row.key)?;
        let job = decode(&row.value)?;
        if !job.is_over() {
            running.insert(stream, job);
        }
    }
    Ok(Jobs { running, waiters: Vec::new() })
}

/// The jobs of a namespace, newest first, and whether there are more.
pub(crate) fn list(store: &dyn Store, namespace: &Namespace) -> Result<(Vec<Job>, bool), StoreError> {
    let rows = store.rows(&keys::jobs_of(namespace, LISTED_MAX + 1).descending())?;
    let jobs: Result<Vec<Job>, StoreError> = rows.iter().take(LISTED_MAX).map(|row| decode(&row.value)).collect();
    Ok((jobs?, rows.len() > LISTED_MAX))
}

/// The job of an id, if there is one.
pub(crate) fn find(store: &dyn Store, namespace: &Namespace, id: &str) -> Result<Option<Job>, StoreError> {
    let name = StreamId { namespace: namespace.clone(), kind: StreamKind::Job, id: id.to_owned() };
    let Some(end) = reads::end_of(store, &name)? else { return Ok(None) };
    store.row(Table::Jobs, &keys::job(namespace, end.start))?.map(|row| decode(&row)).transpose()
}
