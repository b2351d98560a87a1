//! Which forms of events there are in the journal: code that cannot read one of them is not activated.

use std::collections::{BTreeMap, HashMap};

use amends_core::id::Namespace;

use super::resident::AggregateKey;
use crate::{
    engine::kernel::{commit::Commit, row},
    journal::keys,
    store::{Position, Range, Store, StoreError, Table},
};

/// The forms that have a row.
#[derive(Debug, Default)]
pub(crate) struct Shapes(BTreeMap<Namespace, HashMap<String, Vec<u32>>>);

impl Shapes {
    /// What was recorded before this start.
    pub(crate) fn recover(store: &dyn Store) -> Result<Self, StoreError> {
        let mut shapes = Self::default();
        for row in store.rows(&Range::under(Table::Shapes, &[], usize::MAX))? {
            let (namespace, event_type, version) = keys::parse_shape(&row.key)?;
            shapes.insert(&namespace, &event_type, version);
        }
        Ok(shapes)
    }

    /// An event is recorded: the first one of its form has a row.
    pub(super) fn record(&mut self, commit: &mut Commit<'_>, key: &AggregateKey, event_type: &str, version: u32, at: Position) {
        let known = self.0.get(&key.namespace).and_then(|types| types.get(event_type));
        if known.is_some_and(|versions| versions.contains(&version)) {
            return;
        }
        self.insert(&key.namespace, event_type, version);
        commit.put(Table::Shapes, keys::shape(&key.namespace, event_type, version), row::encode(&at));
    }

    fn insert(&mut self, namespace: &Namespace, event_type: &str, version: u32) {
        self.0.entry(namespace.clone()).or_default().entry(event_type.to_owned()).or_default().push(version);
    }
}
