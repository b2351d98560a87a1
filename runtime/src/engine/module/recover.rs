//! Modules at start-up: every module's stream, folded.

use super::Modules;
use crate::{
    engine::kernel::reads,
    journal::{Fact, StreamId, StreamKind, keys, record},
    store::{Order, Range, Store, StoreError, Table},
};

/// Reads the streams of all modules.
pub(crate) fn read(store: &dyn Store) -> Result<Modules, StoreError> {
    let range = Range { table: Table::Modules, from: Vec::new(), to: None, order: Order::Ascending, limit: usize::MAX };
    let mut names = Vec::new();
    for row in store.rows(&range)? {
        let (namespace, name, _) = keys::parse_module(&row.key)?;
        names.push((namespace, name));
    }
    names.dedup();
    let mut modules = Modules::default();
    for (namespace, name) in names {
        let id = StreamId { namespace: namespace.clone(), kind: StreamKind::Module, id: name.as_str().to_owned() };
        let records = reads::stream(store, &id)?.unwrap_or_default();
        let stream = records.first().map_or(0, |first| first.position);
        for stored in records {
            let record = record::decode_stored(&stored)?;
            if let Fact::Module(event) = &record.fact {
                modules.apply(&namespace, name.as_str(), stream, event, record.at).map_err(StoreError::Corrupt)?;
            }
        }
    }
    Ok(modules)
}
