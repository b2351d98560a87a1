//! The JSON types of the HTTP API: what the host answers and what clients send, with their OpenAPI schemas.
//!
//! The types hold data and no logic. This crate knows neither the engine nor a web framework, so that the host, the command line and
//! other clients can all use it. The host converts its own types to these in `api/present/`.

pub mod value;

pub mod time;

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

pub use time::Time;
pub use value::Json;
