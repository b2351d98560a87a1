//! The pure state machines of Amends: of each kind of thing its facts, its state as their fold, and what is decided about it.
//!
//! No clock, no randomness, no I/O, no async: times, ids and jitter are arguments.
//!
//! # Layout
//!
//! Words of all kinds:
//!
//! - [`value`]: payloads, failures, instants
//! - [`id`]: names, ids, step paths, legs and step keys
//! - [`event`]: the facts of a saga's stream, and what is recorded of who wanted something
//! - [`outcome`]: what an attempt says at its end
//! - [`denial`]: a call that the host refused
//! - [`refused`]: a refusal as facts record it
//! - [`trigger`]: which events start which sagas
//!
//! The saga, in the folder `saga`: [`Saga`] is the state; its five words are [`Saga::start`], [`Saga::replay`], [`Saga::handle`],
//! [`Saga::apply`] and [`Saga::effects`].
//!
//! - [`definition`]: what a module declares about a saga
//! - [`validate`]: the rules that a definition keeps; [`lint`]: what its author hardly means
//! - [`plan`]: a definition with those of its children; [`elements`]: the elements of a fan-out; [`command`]: steps that are commands
//! - `state`: the state; `apply` is its fold, in a tree of steps (`tree`, `run`) that settles by itself (`settle`)
//! - [`handle`](mod@handle): decisions; [`verbs`]: what an operator may do; [`moving`]: going over to another version
//! - [`locks`]: who has which lock key
//! - [`effects`]: what is wanted now; [`retry`]: when to try again
//! - [`view`]: statuses as people and programs read them; [`preview`]: what a cancel would do
//!
//! The other kinds:
//!
//! - [`schedule`]: when sagas are started
//! - [`job`]: a verb for many sagas
//! - [`aggregate`]: what a module declares of an aggregate, the facts of its stream, and how it stands
//! - [`projection`]: what a module declares of a view
//! - [`policy`]: what a module declares of a policy, the facts of its stream and of its instances, and how they stand

pub mod value;

pub mod plain;

pub mod id;

mod json;

pub mod event;

pub mod outcome;

pub mod denial;

pub mod refused;

pub mod trigger;

mod saga;

pub mod schedule;

pub mod job;

pub mod aggregate;

pub mod projection;

pub mod policy;

pub use crate::{
    event::Event,
    saga::{
        ReplayError, Saga, command,
        definition::{self, Definition},
        effects, elements,
        handle::{self, Context, Input, Room},
        lint, locks, moving,
        plan::{self, Plan},
        preview, retry, validate, verbs, view,
    },
    trigger::Trigger,
    value::{Failure, Instant, Payload},
};
