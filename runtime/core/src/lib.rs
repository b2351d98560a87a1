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
//! - [`trigger`]: which events start which sagas
//! - [`plan`]: a definition with those of its children
//! - [`elements`]: the elements of a fan-out
//! - [`event`]: the facts of a saga's stream
//! - [`outcome`]: what an attempt says at its end
//! - [`denial`]: a call that the host refused
//! - [`saga`]: the state; `apply` is its fold, in a tree of steps (`tree`, `run`) that settles by itself (`settle`)
//! - [`verbs`]: what an operator may do
//! - [`moving`]: going over to another version
//! - [`locks`]: who has which lock key
//! - [`handle`](mod@handle): decisions
//! - [`effects`]: what is wanted now
//! - [`retry`]: when to try again
//! - [`lint`]: what a definition's author hardly means
//! - [`preview`]: what a cancel would do
//! - [`view`]: statuses as people and programs read them

pub mod value;

pub mod plain;

pub mod id;

pub mod definition;

pub mod trigger;

pub mod plan;

pub mod validate;

pub mod elements;

mod json;

pub mod lint;

pub mod denial;

pub mod event;

pub mod outcome;

pub mod retry;

pub mod saga;

mod run;

mod tree;

mod settle;

mod output;

mod apply;

mod apply_acts;

pub mod handle;

mod reports;

pub mod verbs;

pub mod locks;

pub mod moving;

pub mod effects;

pub mod view;

mod show;

pub mod preview;

pub use crate::{
    definition::Definition,
    event::Event,
    handle::{Context, Input, Room},
    plan::Plan,
    saga::{ReplayError, Saga},
    trigger::Trigger,
    value::{Failure, Instant, Payload},
};
