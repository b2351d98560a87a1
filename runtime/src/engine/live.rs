//! How many sagas have not ended, by version and by status: kept as rows, so that start-up need not count.

use std::collections::HashMap;

use amends_core::{id::Namespace, view::Status};
use bytes::Bytes;

use crate::{
    engine::{metrics::Metrics, resident::SagaKey, rows},
    store::{Order, Range, RowChange, Store, StoreError, Table},
};

/// The counts.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// By namespace, module and version.
    versions: HashMap<(Namespace, String, u32), u64>,
    /// In the order of [`STATUSES`].
    statuses: [u64; STATUSES.len()],
}

/// What a saga may be until it has ended. The row of counts has this order.
const STATUSES: [Status; 4] = [Status::Running, Status::Waiting, Status::Compensating, Status::Stuck];

const PREFIX: &[u8] = b"live/";

const BY_STATUS: &[u8] = b"live-by-status";

impl Live {
    /// Reads the counts of the last commit.
    pub(crate) fn read(store: &dyn Store, metrics: &Metrics) -> Result<Self, StoreError> {
        let mut end = PREFIX.to_vec();
        end.extend([u8::MAX; 4]);
        let range =
            Range { table: Table::Meta, from: PREFIX.to_vec(), to: Some(end), order: Order::Ascending, limit: usize::MAX };
        let mut versions = HashMap::new();
        for row in store.rows(&range)? {
            let (namespace, module, version, count): (Namespace, String, u32, u64) = rows::decode(&row.value, "a live count")?;
            metrics.live(&namespace, &module, version, count);
            versions.insert((namespace, module, version), count);
        }
        let statuses = match store.row(Table::Meta, BY_STATUS)? {
            Some(row) => rows::decode(&row, "the live counts by status")?,
            // A new folder, or one of a host that did not count.
            None => counted(store)?,
        };
        for (status, count) in STATUSES.iter().zip(statuses) {
            metrics.live_status(*status, count);
        }
        Ok(Self { versions, statuses })
    }

    /// All sagas that have not ended.
    pub(crate) fn total(&self) -> u64 {
        self.statuses.iter().sum()
    }

    /// A saga's rows say another status than before: the row that counts both.
    pub(crate) fn moved(&mut self, before: Option<Status>, after: Status, metrics: &Metrics) -> Option<RowChange> {
        if before == Some(after) {
            return None;
        }
        let place = |status| STATUSES.iter().position(|live| *live == status);
        let (left, entered) = (before.and_then(place), place(after));
        if let Some(left) = left {
            self.statuses[left] = self.statuses[left].saturating_sub(1);
        }
        if let Some(entered) = entered {
            self.statuses[entered] += 1;
        }
        for changed in left.into_iter().chain(entered) {
            metrics.live_status(STATUSES[changed], self.statuses[changed]);
        }
        // One that began and ended at once was never counted.
        (left.is_some() || entered.is_some()).then(|| rows::put(Table::Meta, BY_STATUS.to_vec(), rows::encode(&self.statuses)))
    }

    /// A saga begins, moves or ends: the rows of the versions of its module that it leaves and comes to.
    pub(crate) fn went(
        &mut self,
        key: &SagaKey,
        module: &str,
        from: Option<u32>,
        to: Option<u32>,
        metrics: &Metrics,
    ) -> Vec<RowChange> {
        if from == to {
            return Vec::new();
        }
        let left = from.map(|version| self.count(key, module, version, false, metrics));
        left.into_iter().chain(to.map(|version| self.count(key, module, version, true, metrics))).collect()
    }

    fn count(&mut self, key: &SagaKey, module: &str, version: u32, begins: bool, metrics: &Metrics) -> RowChange {
        let name = (key.0.clone(), module.to_owned(), version);
        let count = self.versions.entry(name.clone()).or_default();
        *count = if begins { *count + 1 } else { count.saturating_sub(1) };
        metrics.live(&name.0, &name.1, name.2, *count);
        let row: Bytes = rows::encode(&(&name.0, &name.1, name.2, *count));
        let mut row_key = PREFIX.to_vec();
        row_key.extend(format!("{}/{}/{}", name.0, name.1, name.2).into_bytes());
        rows::put(Table::Meta, row_key, row)
    }

    /// Sagas of a version that have not ended.
    pub(crate) fn of(&self, namespace: &Namespace, module: &str, version: u32) -> u64 {
        self.versions.get(&(namespace.clone(), module.to_owned(), version)).copied().unwrap_or_default()
    }

    /// Sagas of a module that have not ended, whatever their version.
    pub(crate) fn of_module(&self, namespace: &Namespace, module: &str) -> u64 {
        self.versions.iter().filter(|((at, name, _), _)| at == namespace && name == module).map(|(_, count)| count).sum()
    }
}

fn counted(store: &dyn Store) -> Result<[u64; STATUSES.len()], StoreError> {
    let mut counts = [0; STATUSES.len()];
    for (count, status) in counts.iter_mut().zip(STATUSES) {
        *count = rows::of_status(store, status, 0, usize::MAX)?.len() as u64;
    }
    Ok(counts)
}
