//! Schedules at start-up: who waits for the end of which saga.

use amends_core::id::SagaId;

use super::kept::Schedules;
use crate::{
    engine::saga::{self, SagaKey},
    journal::keys,
    store::{Store, StoreError},
};

/// Sagas that are looked up in one batch.
const PAGE: usize = 256;

/// Reads who waits. A schedule whose saga has ended by now is looked at in the next tick.
pub(crate) fn read(store: &dyn Store) -> Result<Schedules, StoreError> {
    let mut queued = Vec::new();
    for row in store.rows(&keys::all_queued(usize::MAX))? {
        let (namespace, saga, name) = keys::parse_queued(&row.key)?;
        let id = SagaId::new(&saga).map_err(|bad| StoreError::Corrupt(format!("a schedule waits for a saga: {bad}")))?;
        queued.push((SagaKey { namespace, id }, name));
    }
    let mut schedules = Schedules::default();
    for page in queued.chunks(PAGE) {
        let sagas: Vec<SagaKey> = page.iter().map(|(saga, _)| saga.clone()).collect();
        for ((saga, name), has_ended) in page.iter().cloned().zip(saga::recover::have_ended(store, &sagas)?) {
            match has_ended {
                true => schedules.woken.push_back((saga.namespace, name)),
                false => drop(schedules.queued.entry(saga).or_default().insert(name)),
            }
        }
    }
    Ok(schedules)
}
