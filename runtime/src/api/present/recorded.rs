//! Events as they were recorded.

use amends_core::value::{Format, Payload};
use amends_wire::{event, value::base64};

use super::value::{json, time};
use crate::{api::position::Positions, engine::port::RecordedEvent};

/// One event.
pub fn event(event: &RecordedEvent, positions: Positions) -> event::RecordedEvent {
    let is_of_aggregate = event.revision > 0;
    let recorded = event.data.clone().unwrap_or_else(Payload::null);
    let (data, bytes) = match recorded.format {
        Format::Json => (Some(&recorded), None),
        Format::Bytes => (None, Some(&recorded)),
    };
    event::RecordedEvent {
        id: event.id.clone(),
        event_type: event.event_type.clone(),
        version: event.version,
        source: event.source.clone(),
        key: event.key.clone(),
        revision: is_of_aggregate.then(|| event.revision.to_string()),
        position: positions.show(event.position),
        at: time(event.at),
        imported: event.imported.as_ref().map(|import| event::Provenance { at: time(import.at), by: import.by.clone() }),
        correlation: event.correlation.clone(),
        data: data.map(json),
        data_base64: bytes.map(|bytes| base64(&bytes.bytes)),
        tags: event.tags.clone(),
        module_version: (is_of_aggregate && event.imported.is_none()).then_some(event.module_version),
    }
}
