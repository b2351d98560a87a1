//! Events as they were recorded.

use amends_wire::event;

use super::value::{json, time};
use crate::{api::position::Positions, engine::port::RecordedEvent};

/// One event.
pub fn event(event: &RecordedEvent, positions: Positions) -> event::RecordedEvent {
    let is_of_aggregate = event.revision > 0;
    event::RecordedEvent {
        id: event.id.clone(),
        event_type: event.event_type.clone(),
        version: event.version,
        source: event.source.clone(),
        key: event.key.clone(),
        revision: is_of_aggregate.then(|| event.revision.to_string()),
        position: positions.show(event.position),
        at: time(event.at),
        imported: event.imported.as_ref().map(|import| event::Import { at: time(import.at), by: import.by.clone() }),
        correlation: event.correlation.clone(),
        data: event.data.as_ref().map(json),
        tags: event.tags.clone(),
        module_version: (is_of_aggregate && event.imported.is_none()).then_some(event.module_version),
    }
}
