//! Between the guest contract's types and the engine's, of projections: events and questions going in, and the rows that they ask for.

use std::sync::Arc;

use super::{
    bindings::{
        amends::module::types::RecordedEvent as WitEvent,
        projections::{amends::module::view, exports::amends::module::projection as wit},
    },
    convert::payload_in,
    fault::{Fault, FaultCode},
    guest::Guest,
};
use crate::{
    engine::{
        guests::{ProjectCall, QueryCall},
        recorded::RecordedEvent,
        view::{RowPair, RowScan, RowsFault, ViewRows},
    },
    journal,
};

/// What `project` is told.
pub(super) fn batch(call: &ProjectCall, payload_bytes_max: usize) -> Result<wit::Batch, Fault> {
    let events = call.events.iter().map(|event| event_in(event, payload_bytes_max));
    Ok(wit::Batch { projection: call.projection.clone(), events: events.collect::<Result<_, Fault>>()? })
}

/// What `query` is told.
pub(super) fn question(call: &QueryCall, payload_bytes_max: usize) -> Result<wit::Question, Fault> {
    let parameters = payload_in(&call.parameters, payload_bytes_max)?;
    Ok(wit::Question { projection: call.projection.clone(), name: call.name.clone(), parameters })
}

pub(super) fn event_in(event: &RecordedEvent, payload_bytes_max: usize) -> Result<WitEvent, Fault> {
    Ok(WitEvent {
        id: event.id.clone(),
        event_type: event.event_type.clone(),
        version: event.version,
        source: event.source.clone(),
        key: event.key.clone(),
        revision: event.revision,
        position: journal::position_text(event.position),
        at: event.at.0,
        correlation: event.correlation.clone(),
        data: event.data.as_ref().map(|data| payload_in(data, payload_bytes_max)).transpose()?,
    })
}

/// Reads of rows may wait for the disk, as those of the host's own threads do: rows of a view are read often, and are mostly in memory.
impl view::Host for Guest {
    fn get(&mut self, key: Vec<u8>) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(rows(self)?.get(&key).map_err(fault)?)
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> wasmtime::Result<()> {
        Ok(rows(self)?.change(key, Some(value)).map_err(fault)?)
    }

    fn delete(&mut self, key: Vec<u8>) -> wasmtime::Result<()> {
        Ok(rows(self)?.change(key, None).map_err(fault)?)
    }

    fn scan(&mut self, prefix: Vec<u8>, after: Option<Vec<u8>>, limit: u32, reverse: bool) -> wasmtime::Result<Vec<RowPair>> {
        Ok(rows(self)?.scan(&RowScan { prefix, after, limit, reverse }).map_err(fault)?)
    }
}

fn rows(guest: &Guest) -> Result<&Arc<dyn ViewRows>, Fault> {
    guest.rows().ok_or_else(|| {
        Fault::new(FaultCode::Trap, "the guest asked for rows of a view, which only `project` and `query` of a projection may")
    })
}

fn fault(fault: RowsFault) -> Fault {
    match fault {
        RowsFault::Guest(why) => Fault::new(FaultCode::Trap, why),
        RowsFault::Host(why) => Fault::new(FaultCode::HostBusy, why),
    }
}
