//! The HTTP API: requests checked and turned into questions, answers turned into JSON.
//!
//! It decides nothing about sagas, and everything that it shows is committed. It must not know redb or wasmtime.

pub mod present;

pub mod graph;

pub mod strict;

pub mod position;

pub mod error;

mod breaks;

mod caller;

mod cloudevents;

mod guard;

mod headers;

mod panics;

mod places;

mod pace;

mod reads;

mod text;

mod waits;

pub mod mint;

pub mod routes;

pub mod openapi;

pub mod server;

#[cfg(any(test, feature = "testing"))]
pub mod samples;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use amends_core::Instant;
use axum::Router;
use tokio::sync::watch;

use self::{error::ApiError, position::Positions, reads::Reads, routes::batch::Batches, waits::Waits};
use crate::{
    engine::{
        driver::Clock,
        port::{Answer, Request},
    },
    held::Held,
    journal,
    service::{
        Services, deploy::Deploys, folds::Folds, gate::Gate, health::Health, import::Imports, intake::Intake, reader::Reader,
        views::Views,
    },
};

/// What every handler has: the services of the host, and what only the API needs.
pub struct Api {
    intake: Intake,
    reader: Reader,
    folds: Folds,
    views: Views,
    gate: Gate,
    imports: Imports,
    deploys: Deploys,
    health: Health,
    clock: Clock,
    options: Options,
    stop: watch::Receiver<bool>,
    /// Places of those who wait and of those who follow.
    waits: Waits,
    /// Places of those who read.
    reads: Reads,
    /// Places of those who send many events at once.
    batches: Batches,
    /// The memory that all of them may take.
    held: Held,
}

/// What the operator may set.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names beside the loopback ones that may stand in `Host` and `Origin`.
    pub hosts: Vec<String>,
    /// The largest input, output or event.
    pub payload_bytes_max: usize,
    /// The largest component.
    pub wasm_bytes_max: usize,
    /// The longest `?wait=`.
    pub wait_ms_max: u64,
    /// What is held for all clients together.
    pub held_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            payload_bytes_max: 1 << 20,
            wasm_bytes_max: 16 << 20,
            wait_ms_max: 300_000,
            // A saga of 60 MiB is read in its part of this, and so is a component.
            held_bytes_max: 160 << 20,
        }
    }
}

/// The routes over a running host. When `stop` turns true, waiting requests are answered and streams end.
pub fn router(services: Services, options: Options, stop: watch::Receiver<bool>) -> Router {
    let Services { intake, reader, folds, views, gate, imports, deploys, health, clock } = services;
    let waits = Waits::new(waits::WAITS_MAX, waits::WATCHES_MAX);
    let held = Held::new(options.held_bytes_max);
    routes::router(Arc::new(Api {
        intake,
        reader,
        folds,
        views,
        gate,
        imports,
        deploys,
        health,
        clock,
        options,
        stop,
        waits,
        reads: Reads::new(),
        batches: Batches::new(),
        held,
    }))
}

impl Api {
    fn positions(&self) -> Positions {
        Positions { generation: journal::GENERATION }
    }

    fn now(&self) -> Instant {
        (self.clock)()
    }

    /// Asks the engine and waits for the committed answer.
    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, ApiError> {
        Ok(self.intake.ask(request).await?)
    }

    /// Ends when the host stops.
    async fn stopped(&self) {
        server::turned(&mut self.stop.clone()).await;
    }
}
