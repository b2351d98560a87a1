//! How many sagas have not ended, by version and by status: kept as rows, so that start-up need not count.

use std::collections::HashMap;

use amends_core::{id::Namespace, view::Status};

use super::SagaKey;
use crate::{
    engine::{
        kernel::{commit::Commit, row},
        metrics::Metrics,
        module::InFlight,
    },
    store::Table,
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
pub(super) const STATUSES: [Status; 4] = [Status::Running, Status::Waiting, Status::Compensating, Status::Stuck];

pub(super) const PREFIX: &[u8] = b"live/";

pub(super) const BY_STATUS: &[u8] = b"live-by-status";

impl Live {
    /// The counts of the last commit.
    pub(super) fn recovered(
        versions: impl IntoIterator<Item = (Namespace, String, u32, u64)>,
        statuses: [u64; STATUSES.len()],
        metrics: &Metrics,
    ) -> Self {
        let live = Self { statuses, ..Self::of_versions(versions) };
        for ((namespace, module, version), count) in &live.versions {
            metrics.live(namespace, module, *version, *count);
        }
        for (status, count) in STATUSES.iter().zip(statuses) {
            metrics.live_status(*status, count);
        }
        live
    }

    /// Counts of versions alone.
    pub(super) fn of_versions(versions: impl IntoIterator<Item = (Namespace, String, u32, u64)>) -> Self {
        let versions = versions.into_iter().map(|(namespace, module, version, count)| ((namespace, module, version), count));
        Self { versions: versions.collect(), ..Self::default() }
    }

    /// All sagas that have not ended.
    pub(crate) fn total(&self) -> u64 {
        self.statuses.iter().sum()
    }

    /// A saga's rows say another status than before: the row that counts both.
    pub(crate) fn moved(&mut self, commit: &mut Commit<'_>, before: Option<Status>, after: Status) {
        if before == Some(after) {
            return;
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
            commit.metrics.live_status(STATUSES[changed], self.statuses[changed]);
        }
        // One that began and ended at once was never counted.
        if left.is_some() || entered.is_some() {
            commit.put(Table::Meta, BY_STATUS.to_vec(), row::encode(&self.statuses));
        }
    }

    /// A saga begins, moves or ends: the rows of the versions of its module that it leaves and comes to.
    pub(crate) fn went(&mut self, commit: &mut Commit<'_>, key: &SagaKey, module: &str, from: Option<u32>, to: Option<u32>) {
        if from == to {
            return;
        }
        if let Some(version) = from {
            self.count(commit, key, module, version, |count| count.saturating_sub(1));
        }
        if let Some(version) = to {
            self.count(commit, key, module, version, |count| count + 1);
        }
    }

    fn count(&mut self, commit: &mut Commit<'_>, key: &SagaKey, module: &str, version: u32, change: impl FnOnce(u64) -> u64) {
        let name = (key.namespace.clone(), module.to_owned(), version);
        let row_key = [PREFIX, format!("{}/{module}/{version}", key.namespace).as_bytes()].concat();
        let count = self.versions.entry(name).or_default();
        *count = change(*count);
        commit.metrics.live(&key.namespace, module, version, *count);
        commit.put(Table::Meta, row_key, row::encode(&(&key.namespace, module, version, *count)));
    }
}

impl InFlight for Live {
    /// Sagas of a version that have not ended.
    fn of(&self, namespace: &Namespace, module: &str, version: u32) -> u64 {
        self.versions.get(&(namespace.clone(), module.to_owned(), version)).copied().unwrap_or_default()
    }

    /// Sagas of a module that have not ended, whatever their version.
    fn of_module(&self, namespace: &Namespace, module: &str) -> u64 {
        self.versions.iter().filter(|((at, name, _), _)| at == namespace && name == module).map(|(_, count)| count).sum()
    }
}
