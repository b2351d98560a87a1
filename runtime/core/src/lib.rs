//! The pure saga state machine of Amends.
//!
//! No clock, no randomness, no I/O, no async: times, ids and jitter are arguments.
//! A saga is the fold of its events. The whole of it is five words:
//!
//! | word | meaning |
//! |---|---|
//! | [`Saga::start`] | decides the first events of a new saga |
//! | [`Saga::replay`] | folds recorded events back into a saga |
//! | [`Saga::handle`] | decides what an input means, and applies it |
//! | [`Saga::apply`] | the only mutator: one event onto the state |
//! | [`Saga::effects`] | what the state wants from the outside now; asked, never remembered |
//!
//! # Layout
//!
//! - [`value`]: payloads, failures, instants
//! - [`id`]: names, ids, step paths, legs and step keys
//! - [`definition`]: what a module declares about a saga
//! - [`validate`]: the rules that a definition keeps
//! - [`event`]: the facts of a saga's stream
//! - [`outcome`]: what an attempt says at its end
//! - [`saga`]: the state; `apply` is its fold
//! - [`verbs`]: what an operator may do
//! - [`handle`](mod@handle): decisions
//! - [`effects`]: what is wanted now
//! - [`retry`]: when to try again
//! - [`view`]: statuses as people and programs read them

pub mod value;

pub mod id;

pub mod definition;

pub mod validate;

pub mod event;

pub mod outcome;

pub mod retry;

pub mod saga;

mod apply;

pub mod handle;

pub mod verbs;

pub mod effects;

pub mod view;

pub use crate::{
    definition::Definition,
    event::Event,
    handle::{Context, Input, Room},
    saga::{ReplayError, Saga},
    value::{Failure, Instant, Payload},
};
