//! Start-up: the broadcasts that the host before this one left.

use std::collections::BTreeMap;

use super::Broadcasts;
use crate::{
    engine::kernel::row,
    journal::keys,
    store::{Order, Range, Store, StoreError, Table},
};

/// The broadcasts that are under way.
pub(crate) fn read(store: &dyn Store) -> Result<Broadcasts, StoreError> {
    let range = Range { table: Table::Broadcasts, from: Vec::new(), to: None, order: Order::Ascending, limit: usize::MAX };
    let mut under_way = BTreeMap::new();
    for found in store.rows(&range)? {
        under_way.insert(keys::parse_broadcast(&found.key)?, row::decode(&found.value, "a broadcast's row")?);
    }
    Ok(Broadcasts { under_way, ..Broadcasts::default() })
}
