//! Sagas at start-up: those that run go on, the others stay rows (law 11).

use std::collections::BTreeMap;

use amends_core::{Input as SagaInput, id::Namespace, view::Status};

use super::{
    Resident, SagaKey, Sagas, corrupt,
    live::{self, Live},
    load::{self, Source},
    lockers::{self, LockRow, Lockers},
    read,
};
use crate::{
    engine::{
        guests::Suspect,
        kernel::{
            Kernel, reads,
            row::{self, End},
        },
        metrics::Metrics,
        module::Modules,
    },
    journal::{StreamId, keys},
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

/// Whether sagas have ended, as far as they are committed: one answer for each key. One that is not there has.
pub(crate) fn have_ended(store: &dyn Store, keys: &[SagaKey]) -> Result<Vec<bool>, StoreError> {
    let names: Vec<StreamId> = keys.iter().map(SagaKey::stream).collect();
    let ends = reads::ends_of(store, &names.iter().collect::<Vec<_>>())?;
    let ends: Vec<Option<End>> = ends.into_iter().collect::<Result<_, _>>()?;
    let starts: Vec<Position> = ends.iter().flatten().map(|end| end.start).collect();
    let mut summaries = read::summaries_at(store, &starts)?.into_iter();
    let has_ended = |end: Option<End>| match end.and_then(|_| summaries.next()) {
        Some(summary) => Ok(summary?.status.is_ended()),
        None => Ok(true),
    };
    ends.into_iter().map(has_ended).collect()
}

impl Sagas {
    /// Resumes every saga that was running. A saga at rest that receives lock keys is told after all sagas are resumed.
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
                for starts in page.chunks(load::AT_ONCE) {
                    self.load_at(kernel, modules, store, starts, before)?;
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
        starts: &[Position],
        before: Before<'_>,
    ) -> Result<(), StoreError> {
        let mut keys = Vec::with_capacity(starts.len());
        for (start, summary) in starts.iter().zip(read::summaries_at(store, starts)?) {
            match summary {
                Ok(summary) => keys.push(SagaKey::new(&summary.namespace, &summary.id)),
                Err(why) => tracing::error!(start, %why, "a saga is corrupt: it is left as it is"),
            }
        }
        self.load(kernel, modules, store, &keys)?;
        for key in &keys {
            let Some(resident) = self.wake(key) else { continue };
            resident.cautious = !before.is_clean;
            let of = key.stream();
            let suspects = before.suspects.iter().filter(|suspect| suspect.of == of);
            let executing = suspects.filter_map(|suspect| suspect.call.attempt().cloned()).collect();
            let mut commit = kernel.commit();
            self.tell(&mut commit, modules, key, SagaInput::HostStopped { executing });
            self.hand_over_locks(&mut commit, modules);
        }
        Ok(())
    }

    /// Reads sagas into memory; a damaged saga is logged and left as it is.
    fn load(&mut self, kernel: &Kernel, modules: &Modules, store: &dyn Store, keys: &[SagaKey]) -> Result<(), StoreError> {
        let keys: Vec<SagaKey> = keys.iter().filter(|key| self.resident(key).is_none()).cloned().collect();
        let loaded = load::sagas(Source::endless(store, modules.definitions()), &keys)?;
        for (key, loaded) in keys.iter().zip(loaded) {
            match row::readable(loaded.map_err(StoreError::from))? {
                Ok(loaded) => self.warm.keep(key.clone(), Resident::loaded(loaded), kernel.now),
                Err(why) => corrupt(key, &why),
            }
        }
        Ok(())
    }
}
