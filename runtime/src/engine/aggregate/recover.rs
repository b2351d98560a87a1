//! Start-up of aggregates: none is in memory, but which forms of events there are is known.

use super::{Aggregates, Shapes};
use crate::{
    journal::keys,
    store::{Range, Store, StoreError, Table},
};

/// Aggregates that go on where the last host stopped.
pub(crate) fn read(store: &dyn Store) -> Result<Aggregates, StoreError> {
    let mut shapes = Shapes::default();
    for row in store.rows(&Range::under(Table::Shapes, &[], usize::MAX))? {
        let (namespace, event_type, version) = keys::parse_shape(&row.key)?;
        shapes.insert(&namespace, &event_type, version);
    }
    Ok(Aggregates::new(shapes))
}
