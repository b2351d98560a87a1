//! Modules at start-up: every module's stream, folded.

use amends_core::id::{Name, Namespace};

use super::Modules;
use crate::{
    engine::kernel::reads,
    journal::{Fact, StreamId, StreamKind, keys, record},
    store::{Order, Range, Store, StoreError, Table},
};

/// Modules that are read in one batch.
const PAGE: usize = 32;

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
    for page in names.chunks(PAGE) {
        let streams: Vec<StreamId> = page.iter().map(|(namespace, name)| stream_of(namespace, name)).collect();
        let all = reads::streams(store, &streams.iter().collect::<Vec<_>>())?;
        for ((namespace, name), records) in page.iter().zip(all) {
            let records = records?.unwrap_or_default();
            let stream = records.first().map_or(0, |first| first.position);
            for stored in records {
                let record = record::decode_stored(&stored)?;
                if let Fact::Module(event) = &record.fact {
                    modules.apply(namespace, name.as_str(), stream, event, record.at).map_err(StoreError::Corrupt)?;
                }
            }
        }
    }
    Ok(modules)
}

fn stream_of(namespace: &Namespace, name: &Name) -> StreamId {
    StreamId { namespace: namespace.clone(), kind: StreamKind::Module, id: name.as_str().to_owned() }
}
