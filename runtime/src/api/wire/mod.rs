//! What crosses the wire: serde types that the API writes and the command line reads. No logic, no engine, no HTTP.

pub mod value;

pub mod error;

pub mod denial;

pub mod saga;

pub mod lock;

pub mod preview;

pub mod journal;

pub mod module;

pub mod definition;

pub mod verb;

pub mod stuck;

pub mod job;

pub mod event;

pub mod schedule;

pub use value::{Json, Time};
