//! Schedules at start-up: who waits for the end of which saga.

use amends_core::id::SagaId;

use super::kept::Schedules;
use crate::{
    engine::saga::{self, SagaKey},
    journal::keys,
    store::{Store, StoreError},
};

/// Reads who waits. A schedule whose saga has ended by now is looked at in the next tick.
pub(crate) fn read(store: &dyn Store) -> Result<Schedules, StoreError> {
    let mut schedules = Schedules::default();
    for row in store.rows(&keys::all_queued(usize::MAX))? {
        let (namespace, saga, name) = keys::parse_queued(&row.key)?;
        let id = SagaId::new(&saga).map_err(|bad| StoreError::Corrupt(format!("a schedule waits for a saga: {bad}")))?;
        let key = SagaKey { namespace: namespace.clone(), id };
        match saga::recover::has_ended(store, &key)? {
            true => schedules.woken.push_back((namespace, name)),
            false => drop(schedules.queued.entry(key).or_default().insert(name)),
        }
    }
    Ok(schedules)
}
