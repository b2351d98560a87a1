//! How the host is: whether it takes new work, and what it counts.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use crate::{engine::metrics::Metrics, host::Load};

/// Tells how many attempts had to wait for their module.
pub type LateLoads = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Why the storage failed, once it has. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Failure(Arc<Mutex<Option<String>>>);

impl Failure {
    /// The storage failed.
    pub fn set(&self, why: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
    }

    /// Why, if it has.
    pub fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Tells how long the longest turn of a guest lasts that has not ended.
pub type LongestTurn = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Tells what the guest host has of attempts.
pub type Attempts = Arc<dyn Fn() -> Load + Send + Sync>;

/// A guest's turn that takes longer is none: its thread is blocked, and attempts wait behind it.
const TURN_MAX: Duration = Duration::from_secs(10);

/// Says how the host is.
#[derive(Clone)]
pub struct Health {
    /// How many sagas had not ended at start-up.
    pub recovered: u64,
    /// How long recovery took.
    pub recovery: Duration,
    /// Whether the storage failed.
    pub failure: Failure,
    /// The counters and gauges.
    pub metrics: Arc<Metrics>,
    /// What the guest host counts by itself.
    pub late_loads: LateLoads,
    /// Whether the guest host's threads run.
    pub longest_turn: LongestTurn,
    /// What the guest host runs, and what waits for it.
    pub attempts: Attempts,
}

/// Whether new work is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Recovered and writable.
    Ready {
        /// How many live sagas were there at start-up.
        recovered: u64,
        /// How long recovery took.
        took_ms: u64,
    },
    /// Not any more; why.
    NotReady(String),
}

impl Health {
    /// Whether new work is taken.
    pub fn readiness(&self) -> Readiness {
        let turn = (self.longest_turn)();
        match self.failure.get() {
            Some(why) => Readiness::NotReady(format!("the storage failed: {why}")),
            None if turn > TURN_MAX => Readiness::NotReady(format!("a thread for guests has been blocked for {turn:.0?}")),
            None => Readiness::Ready {
                recovered: self.recovered,
                took_ms: u64::try_from(self.recovery.as_millis()).unwrap_or(u64::MAX),
            },
        }
    }

    /// The metrics in Prometheus' text form.
    pub fn metrics(&self) -> String {
        self.metrics.starts_blocked_on_module.inner().store((self.late_loads)(), Ordering::Relaxed);
        let Load { running, waiting, queued_forward, queued_back } = (self.attempts)();
        let states =
            [("running", running), ("waiting", waiting), ("queued_forward", queued_forward), ("queued_back", queued_back)];
        states.into_iter().for_each(|(state, count)| self.metrics.guests(state, count));
        self.metrics.text()
    }
}
