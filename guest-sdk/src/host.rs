//! The environment of a step: the imports of the host in a component, the world of the test kit elsewhere.

#[cfg_attr(target_arch = "wasm32", path = "host/wasm.rs")]
#[cfg_attr(not(target_arch = "wasm32"), path = "host/native.rs")]
mod surroundings;

use std::fmt;

use crate::bindings::aggregates::exports::amends::module::aggregate::Event;

pub(crate) use surroundings::*;

/// An event that an aggregate takes, for the words about a panic.
#[derive(Clone, Copy)]
pub(crate) struct EventAt<'a> {
    /// The aggregate's id.
    pub(crate) id: &'a str,
    pub(crate) event_type: &'a str,
    pub(crate) version: u32,
    /// None: it is about to be recorded.
    pub(crate) revision: Option<u64>,
}

impl<'a> EventAt<'a> {
    pub(crate) fn of(id: &'a str, event: &'a Event) -> EventAt<'a> {
        EventAt { id, event_type: &event.event_type, version: event.version, revision: Some(event.revision) }
    }
}

impl fmt::Display for EventAt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.revision {
            Some(revision) => write!(f, "revision {revision} of {}, ", self.id)?,
            None => write!(f, "a new event of {}, ", self.id)?,
        }
        write!(f, "{} version {}", self.event_type, self.version)
    }
}
