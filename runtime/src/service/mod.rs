//! What a running host offers to those who ask it: requests to the engine, committed reads, deploys, and how the host is.
//!
//! The parts are concrete values and cheap to clone. They know neither HTTP nor the command line; `node.rs` puts them together.

pub mod intake;

pub mod reader;

mod catalogue;

pub mod deploy;

pub mod components;

pub mod verify;

pub mod disk;

pub mod folds;

mod alone;

mod patience;

pub mod views;

pub mod gate;

pub mod import;

pub mod health;

#[cfg(test)]
pub(crate) mod testing;

use self::{
    deploy::Deploys, folds::Folds, gate::Gate, health::Health, import::Imports, intake::Intake, reader::Reader, views::Views,
};
use crate::engine::driver::Clock;

/// The services of one running host.
#[derive(Clone)]
pub struct Services {
    /// Takes requests for the engine.
    pub intake: Intake,
    /// Reads what is committed.
    pub reader: Reader,
    /// Computes the states of aggregates.
    pub folds: Folds,
    /// Builds views, and answers from them.
    pub views: Views,
    /// Compares what versions make of recorded events.
    pub gate: Gate,
    /// Brings in what another system recorded.
    pub imports: Imports,
    /// Verifies, deploys and removes components.
    pub deploys: Deploys,
    /// Says how the host is.
    pub health: Health,
    /// The host's clock.
    pub clock: Clock,
}
