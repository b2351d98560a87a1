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

mod guard;

mod headers;

mod panics;

mod places;

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

use self::{error::ApiError, position::Positions, waits::Waits};
use crate::{
    engine::{
        driver::Clock,
        port::{Answer, Refusal, Request},
    },
    service::{Services, deploy::Deploys, health::Health, intake::Intake, reader::Reader},
};

/// What every handler has: the services of the host, and what only the API needs.
pub struct Api {
    intake: Intake,
    reader: Reader,
    deploys: Deploys,
    health: Health,
    clock: Clock,
    options: Options,
    stop: watch::Receiver<bool>,
    /// Places of those who wait and of those who follow.
    waits: Waits,
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
}

impl Default for Options {
    fn default() -> Self {
        Self { hosts: Vec::new(), payload_bytes_max: 1 << 20, wasm_bytes_max: 16 << 20, wait_ms_max: 300_000 }
    }
}

/// The routes over a running host. When `stop` turns true, waiting requests are answered and streams end.
pub fn router(services: Services, options: Options, stop: watch::Receiver<bool>) -> Router {
    let Services { intake, reader, deploys, health, clock } = services;
    let waits = Waits::new(waits::WAITS_MAX, waits::WATCHES_MAX);
    routes::router(Arc::new(Api { intake, reader, deploys, health, clock, options, stop, waits }))
}

/// The journal's generation, which is part of every position that is handed out. A restored journal will have another one.
const GENERATION: u32 = 1;

impl Api {
    fn positions(&self) -> Positions {
        Positions { generation: GENERATION }
    }

    fn now(&self) -> Instant {
        (self.clock)()
    }

    /// Asks the engine and waits for the committed answer.
    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, ApiError> {
        Ok(self.intake.ask(request).await?)
    }

    /// Reads committed state, off the threads that serve connections.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, ApiError> {
        let reader = self.reader.clone();
        let reading = tokio::task::spawn_blocking(move || read(&reader));
        Ok(reading.await.map_err(|error| ApiError::internal(&error.to_string()))??)
    }

    /// Ends when the host stops.
    async fn stopped(&self) {
        server::turned(&mut self.stop.clone()).await;
    }
}
