//! Policies: what follows from events, by code that the core does not know.
//!
//! The core knows what does not need that code: what a module declares, the facts of a policy's stream and of its instances' streams,
//! and how both stand.

mod definition;

mod facts;

mod standing;

pub use self::{
    definition::{Definition, OnPoison, Replay, Route, StartAt, StateForm, Subscription, problems},
    facts::{Cause, InstanceEvent, PolicyEvent, Reaction, SagaStart, State, Timer},
    standing::{DEATHS_MAX, Instance, Parked, PolicyState, Stop},
};

/// The longest key of an instance: it is a part of its stream's name.
pub const KEY_BYTES_MAX: usize = 1 << 10;

/// The most timers of an instance.
pub const TIMERS_MAX: usize = 64;

/// What the timers of an instance say together, in bytes: its row is written with each reaction.
pub const TIMERS_BYTES_MAX: usize = 64 << 10;

/// How many streams a chain of causes may lead through: a longer one is a loop.
pub const DEPTH_MAX: u16 = 64;
