//! The HTTP API: requests checked and turned into questions, answers turned into JSON.
//!
//! It decides nothing about sagas, and everything that it shows is committed. It must not know redb or wasmtime.

pub mod runtime;

pub mod wire;

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

pub(crate) mod mint;

mod routes;

pub mod openapi;

pub mod server;

#[cfg(test)]
pub(crate) mod fake;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use tokio::sync::{Semaphore, oneshot, watch};

use self::{error::ApiError, position::Positions, runtime::Runtime, waits::Waits};
use crate::engine::port::{Answer, Request};

/// What every handler has.
pub struct Api {
    runtime: Arc<dyn Runtime>,
    options: Options,
    stop: watch::Receiver<bool>,
    /// Places of deploys, from their body to their answer.
    deploys: Semaphore,
    /// The turn of the deploy that is being recorded.
    recording: Arc<Semaphore>,
    /// Places of those who wait and of those who follow.
    waits: Waits,
}

/// Deploys at a time, plans included: each holds a component of up to `wasm_bytes_max`, a thread, and while it describes itself one
/// of the host's few places for guests beside the attempts.
const DEPLOYS_MAX: usize = 4;

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
pub fn router(runtime: Arc<dyn Runtime>, options: Options, stop: watch::Receiver<bool>) -> Router {
    let (deploys, recording) = (Semaphore::new(DEPLOYS_MAX), Arc::new(Semaphore::new(1)));
    let waits = Waits::new(waits::WAITS_MAX, waits::WATCHES_MAX);
    routes::router(Arc::new(Api { runtime, options, stop, deploys, recording, waits }))
}

impl Api {
    fn positions(&self) -> Positions {
        Positions { generation: self.runtime.generation() }
    }

    /// Asks the engine and waits for the committed answer.
    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, ApiError> {
        let (answer, answered) = oneshot::channel();
        self.runtime.ask(request(answer))?;
        // A dropped channel is a stopping host: what was asked may or may not be durable, and asking again is safe.
        Ok(answered.await.map_err(|_| ApiError::stopping())??)
    }

    /// Reads committed state, off the threads that serve connections.
    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&dyn Runtime) -> Result<T, crate::engine::port::Refusal> + Send + 'static,
    ) -> Result<T, ApiError> {
        let runtime = Arc::clone(&self.runtime);
        let reading = tokio::task::spawn_blocking(move || read(runtime.as_ref()));
        Ok(reading.await.map_err(|error| ApiError::internal(&error.to_string()))??)
    }

    /// Ends when the host stops.
    async fn stopped(&self) {
        server::turned(&mut self.stop.clone()).await;
    }
}
