//! Sagas at start-up: those that run go on, the others stay rows (law 11).

use std::collections::BTreeMap;

use amends_core::{Input as SagaInput, id::Namespace, view::Status};

use super::{
    Resident, SagaKey, Sagas, corrupt,
    live::{self, Live},
    load,
    lockers::{self, LockRow, Lockers},
    read,
};
use crate::{
    engine::{
        guests::Suspect,
        kernel::{Kernel, row},
        metrics::Metrics,
        module::Modules,
    },
    journal::keys,
    store::{Position, Range, Store, StoreError, Table},
};

/// Sagas that are made to go on in one commit.
const PAGE: usize = 256;

/// Reads what is known of sagas without reading one.
pub(crate) fn sagas(store: &dyn Store, metrics: &Metrics) -> Result<Sagas, StoreError> {
    Ok(Sagas { live: live(store, metrics)?, lockers: lockers(store)?, ..Sagas::default() })
}

fn live(store: &dyn Store, metrics: &Metrics) -> Result<Live, StoreError> {
    let mut versions: Vec<(Namespace, String, u32, u64)> = Vec::new();
    for row in store.rows(&Range::under(Table::Meta, live::PREFIX, usize::MAX))? {
        versions.push(row::decode(&row.value, "a live count")?);
    }
    let statuses = match store.row(Table::Meta, live::BY_STATUS)? {
        Some(row) => row::decode(&row, "the live counts by status")?,
        None => [0; live::STATUSES.len()],
    };
    Ok(Live::recovered(versions, statuses, metrics))
}

/// Who came first has the earlier stream.
fn lockers(store: &dyn Store) -> Result<Lockers, StoreError> {
    let mut wants: BTreeMap<Position, (SagaKey, Vec<String>, bool)> = BTreeMap::new();
    for row in store.rows(&Range::under(Table::Locks, &[], usize::MAX))? {
        let (namespace, key, stream) = keys::parse_lock(&row.key)?;
        let LockRow { id, holds } = lockers::decode(&row.value)?;
        wants.entry(stream).or_insert_with(|| (SagaKey { namespace, id }, Vec::new(), holds)).1.push(key);
    }
    Ok(Lockers::recovered(wants.into_values()))
}

/// What recovery knows of the host before this one.
#[derive(Clone, Copy)]
pub(crate) struct Before<'a> {
    /// It ended in order.
    pub(crate) is_clean: bool,
    /// Guests that were executing when it died.
    pub(crate) suspects: &'a [Suspect],
}

/// Whether a saga has ended, as far as it is committed. One that is not there has.
pub(crate) fn has_ended(store: &dyn Store, key: &SagaKey) -> Result<bool, StoreError> {
    let stream = read::saga_stream(store, key)?;
    let summary = stream.map(|stream| read::summary_at(store, stream)).transpose()?.flatten();
    Ok(summary.is_none_or(|summary| summary.status.is_ended()))
}

impl Sagas {
    /// Makes every saga go on that was running. Sagas that hold lock keys find those in memory that may get them.
    pub(crate) fn go_on(
        &mut self,
        kernel: &mut Kernel,
        modules: &mut Modules,
        store: &dyn Store,
        before: Before<'_>,
    ) -> Result<(), StoreError> {
        for status in [Status::Running, Status::Compensating] {
            let mut after = 0;
            loop {
                let page = read::of_status(store, status, after, PAGE)?;
                for start in &page {
                    self.load_at(kernel, modules, store, *start, before)?;
                }
                kernel.hand_over();
                match page.last() {
                    Some(last) if page.len() == PAGE => after = *last,
                    _ => break,
                }
            }
        }
        Ok(())
    }

    fn load_at(
        &mut self,
        kernel: &mut Kernel,
        modules: &mut Modules,
        store: &dyn Store,
        start: Position,
        before: Before<'_>,
    ) -> Result<(), StoreError> {
        let Some(summary) = read::summary_at(store, start)? else { return Ok(()) };
        let key = SagaKey::new(&summary.namespace, &summary.id);
        if !self.load(kernel, modules, store, &key)? {
            return Ok(());
        }
        for next in self.lockers.next_in_line(&key) {
            self.load(kernel, modules, store, &next)?;
        }
        let executing = before.suspects.iter().filter(|suspect| suspect.namespace == key.namespace && suspect.saga == key.id);
        let executing = executing.map(|suspect| suspect.attempt.clone()).collect();
        if let Some(resident) = self.wake(&key) {
            resident.cautious = !before.is_clean;
        }
        let mut commit = kernel.commit();
        self.tell(&mut commit, modules, &key, SagaInput::HostStopped { executing });
        self.hand_over_locks(&mut commit, modules);
        Ok(())
    }

    fn load(&mut self, kernel: &Kernel, modules: &Modules, store: &dyn Store, key: &SagaKey) -> Result<bool, StoreError> {
        if self.resident(key).is_some() {
            return Ok(true);
        }
        match row::readable(load::saga(store, modules.definitions(), key).map_err(StoreError::from))? {
            Ok(loaded) => {
                self.warm.keep(key.clone(), Resident::loaded(loaded), kernel.now);
                Ok(true)
            }
            Err(why) => {
                corrupt(key, &why);
                Ok(false)
            }
        }
    }
}
