//! The engine: one single-threaded value per shard that owns its sagas, and what drives it.
//!
//! A folder for each kind of stream, over a kernel that names none of them:
//!
//! - [`port`]: what the outside may ask; [`guests`]: how guest code is run, seen from here
//! - [`shard`]: inputs in, actions out: decide, enqueue, apply; release when committed. It says who gets which input
//! - [`refusal`]: why a request is refused
//! - `kernel`: reads before a decision, the commit of it, what leaves afterwards, timers, first answers, followers
//! - `messages`: what is recorded and has not reached everybody that it is for
//! - `module`, `saga`, `aggregate`, `event`, `policy`, `schedule`, `job`: the kinds; each knows the kernel and the kinds before it
//! - `broadcast`: what many sagas are told, some of them in a turn
//! - `recorded`, `starter`, `trace`: committed reads over the kinds
//! - `recover`: start-up; [`driver`]: threads and the clock
//! - [`limits`]: what a shard takes; [`metrics`]: counters

pub mod port;

pub mod guests;

pub mod shard;

pub mod refusal;

pub(crate) mod kernel;

pub mod module;

pub(crate) mod saga;

mod event;

mod broadcast;

pub(crate) mod schedule;

pub(crate) mod job;

pub(crate) mod aggregate;

pub(crate) mod policy;

pub(crate) mod messages;

pub(crate) mod starter;

pub mod recorded;

pub(crate) mod trace;

pub mod view;

mod failpoints;

mod recover;

pub mod limits;

pub mod driver;

pub mod metrics;

#[cfg(test)]
mod tests;
