//! How many sagas of each version have not ended: kept as rows, so that start-up need not count.

use std::collections::HashMap;

use amends_core::{event::Started, id::Namespace};
use bytes::Bytes;

use crate::{
    engine::{metrics::Metrics, resident::SagaKey, rows},
    store::{Order, Range, RowChange, Store, StoreError, Table},
};

/// Counts by (namespace, module, version).
#[derive(Debug, Default)]
pub(crate) struct Live(HashMap<(Namespace, String, u32), u64>);

const PREFIX: &[u8] = b"live/";

impl Live {
    /// Reads the counts of the last commit.
    pub(crate) fn read(store: &dyn Store, metrics: &Metrics) -> Result<Self, StoreError> {
        let mut end = PREFIX.to_vec();
        end.extend([u8::MAX; 4]);
        let range =
            Range { table: Table::Meta, from: PREFIX.to_vec(), to: Some(end), order: Order::Ascending, limit: usize::MAX };
        let mut counts = HashMap::new();
        for row in store.rows(&range)? {
            let (namespace, module, version, count): (Namespace, String, u32, u64) = rows::decode(&row.value, "a live count")?;
            metrics.live(&namespace, &module, version, count);
            counts.insert((namespace, module, version), count);
        }
        Ok(Self(counts))
    }

    /// A saga begins, or ends: the row that says so.
    pub(crate) fn count(&mut self, key: &SagaKey, started: &Started, begins: bool, metrics: &Metrics) -> RowChange {
        let name = (key.0.clone(), started.module.clone(), started.version);
        let count = self.0.entry(name.clone()).or_default();
        *count = if begins { *count + 1 } else { count.saturating_sub(1) };
        metrics.live(&name.0, &name.1, name.2, *count);
        let row: Bytes = rows::encode(&(&name.0, &name.1, name.2, *count));
        let mut row_key = PREFIX.to_vec();
        row_key.extend(format!("{}/{}/{}", name.0, name.1, name.2).into_bytes());
        rows::put(Table::Meta, row_key, row)
    }

    /// Sagas of a version that have not ended.
    pub(crate) fn of(&self, namespace: &Namespace, module: &str, version: u32) -> u64 {
        self.0.get(&(namespace.clone(), module.to_owned(), version)).copied().unwrap_or_default()
    }

    /// Sagas of a module that have not ended, whatever their version.
    pub(crate) fn of_module(&self, namespace: &Namespace, module: &str) -> u64 {
        self.0.iter().filter(|((at, name, _), _)| at == namespace && name == module).map(|(_, count)| count).sum()
    }
}
