//! The environment of a step: the imports of the host in a component, the world of the test kit elsewhere.

#[cfg_attr(target_arch = "wasm32", path = "host/wasm.rs")]
#[cfg_attr(not(target_arch = "wasm32"), path = "host/native.rs")]
mod surroundings;

use std::fmt;

use crate::bindings::aggregates::exports::amends::module::aggregate::Event;
use crate::bindings::imports::amends::module::types::RecordedEvent;

pub(crate) use surroundings::*;

/// A row of a projection: its key and its value.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// An event that an aggregate, a projection or a policy takes, for the words about a panic.
#[derive(Clone, Copy)]
pub(crate) struct EventAt<'a> {
    /// The aggregate's id, or the key with which it was published.
    pub(crate) id: &'a str,
    pub(crate) event_type: &'a str,
    pub(crate) version: u32,
    /// None: it is about to be recorded. 0: it was published.
    pub(crate) revision: Option<u64>,
}

impl<'a> EventAt<'a> {
    pub(crate) fn of(id: &'a str, event: &'a Event) -> EventAt<'a> {
        EventAt { id, event_type: &event.event_type, version: event.version, revision: Some(event.revision) }
    }
}

impl<'a> From<&'a RecordedEvent> for EventAt<'a> {
    fn from(event: &'a RecordedEvent) -> EventAt<'a> {
        let (id, event_type) = (&event.key, &event.event_type);
        EventAt { id, event_type, version: event.version, revision: Some(event.revision) }
    }
}

impl fmt::Display for EventAt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.revision {
            Some(0) => write!(f, "an event with the key {}, ", self.id)?,
            Some(revision) => write!(f, "revision {revision} of {}, ", self.id)?,
            None => write!(f, "a new event of {}, ", self.id)?,
        }
        write!(f, "{} version {}", self.event_type, self.version)
    }
}
