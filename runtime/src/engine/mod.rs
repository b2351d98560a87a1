//! The engine: one single-threaded value per shard that owns its sagas, and what drives it.
//!
//! - [`port`]: what the outside may ask
//! - [`guests`]: how guest code is run, seen from here
//! - [`shard`]: inputs in, actions out: decide, enqueue, apply; release when committed
//! - `requests`, `verbs`, `deploys`, `messages`: what each request means; `triggers`, `starter`: sagas that no request starts
//! - [`modules`], `schema`: what is deployed; whether an input fits
//! - `enqueue`, `tail`: records with their places, on their way to the committer
//! - `resident`, `rows`, `load`, `timers`, `live`, `release`, `waiters`: a saga in memory, its rows, and back
//! - `due`, `schedules`: what the clock makes happen; sagas that it starts
//! - `filter`, `stuck`, `jobs`: which sagas; what is stuck, in groups; a verb for many of them
//! - `lockers`: who has which lock key; `moves`: which sagas could move to another version
//! - `recover`: start-up; [`driver`]: threads and the clock; [`reader`]: committed reads; [`metrics`]: counters

pub mod port;

pub mod guests;

pub mod shard;

mod requests;

mod verbs;

mod moves;

mod filter;

mod stuck;

pub(crate) mod jobs;

mod fingerprint;

mod answers;

mod deploys;

mod messages;

mod triggers;

mod starter;

mod release;

mod resident;

mod enqueue;

mod tail;

mod rows;

mod load;

mod live;

mod timers;

mod due;

pub(crate) mod schedules;

mod lockers;

mod waiters;

mod launch;

mod failpoints;

pub mod modules;

pub(crate) mod schema;

mod recover;

pub mod driver;

pub mod reader;

pub mod metrics;

#[cfg(test)]
mod tests;
