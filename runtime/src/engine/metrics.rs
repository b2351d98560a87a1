//! The engine's counters, under the names of the docs. Never a saga id as a label.

use std::sync::atomic::AtomicU64;

use amends_core::{
    Event, Saga,
    id::Direction,
    outcome::{Outcome, Report},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::{engine::port::RefusalCode, store::committer::Totals};

/// What the host counts. Cloning shares the counters.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    started: Family<BySaga, Counter>,
    ended: Family<ByStatus, Counter>,
    attempts: Family<ByOutcome, Counter>,
    refused: Family<ByReason, Counter>,
    dead_letters: Counter,
    timer_lag: Histogram,
    /// Starts that had to wait for a compilation or an activation: it stays 0.
    pub starts_blocked_on_module: Counter,
    /// What the committer made durable: commits, records and the seconds that it took.
    pub commits: Counter,
    /// Records of all commits.
    pub commit_records: Counter,
    /// Seconds spent in commits.
    pub commit_seconds: Gauge<f64, AtomicU64>,
    /// How long start-up took until the host was ready.
    pub recovery_seconds: Gauge<f64, AtomicU64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BySaga {
    saga: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStatus {
    saga: String,
    status: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    direction: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: String,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("amends");
        let seconds = || Histogram::new(exponential_buckets(0.000_1, 2.0, 18));
        let metrics = Self {
            started: Family::default(),
            ended: Family::default(),
            attempts: Family::default(),
            refused: Family::default(),
            dead_letters: Counter::default(),
            timer_lag: seconds(),
            starts_blocked_on_module: Counter::default(),
            commits: Counter::default(),
            commit_records: Counter::default(),
            commit_seconds: Gauge::default(),
            recovery_seconds: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register("sagas_started", "Sagas started", metrics.started.clone());
        registry.register("sagas_ended", "Sagas ended, by status", metrics.ended.clone());
        registry.register("attempts", "Attempts ended, by direction and outcome", metrics.attempts.clone());
        registry.register("refused", "Requests refused, by reason", metrics.refused.clone());
        registry.register("dead_letters", "Events that the saga they were addressed to never took", metrics.dead_letters.clone());
        registry.register("timer_lag_seconds", "How late timers fired", metrics.timer_lag.clone());
        registry.register(
            "starts_blocked_on_module",
            "Starts that waited for a compilation or an activation",
            metrics.starts_blocked_on_module.clone(),
        );
        registry.register("commits", "Durable commits", metrics.commits.clone());
        registry.register("commit_records", "Records made durable", metrics.commit_records.clone());
        registry.register("commit_seconds", "Seconds spent in commits since start", metrics.commit_seconds.clone());
        registry.register("recovery_seconds", "How long start-up took", metrics.recovery_seconds.clone());
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// The counters in the OpenMetrics text form.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// The committer's totals since start.
    pub(crate) fn committed(&self, totals: Totals) {
        let add = |counter: &Counter, total: u64| counter.inc_by(total.saturating_sub(counter.get()));
        add(&self.commits, totals.commits);
        add(&self.commit_records, totals.records);
        self.commit_seconds.set(totals.seconds);
    }

    pub(crate) fn decided(&self, saga: &Saga, events: &[Event]) {
        for event in events {
            let name = || saga.started().definition.clone();
            match event {
                Event::Started(_) => drop(self.started.get_or_create(&BySaga { saga: name() }).inc()),
                event if event.is_terminal() => {
                    let by = ByStatus { saga: name(), status: event.name().to_owned() };
                    self.ended.get_or_create(&by).inc();
                }
                _ => {}
            }
        }
    }

    pub(crate) fn attempt_ended(&self, report: &Report) {
        let direction = match report.attempt.leg.direction {
            Direction::Forward => "forward",
            Direction::Undo(_) => "undo",
            Direction::Check => "check",
        };
        let outcome: &Outcome = &report.outcome;
        self.attempts.get_or_create(&ByOutcome { direction, outcome: outcome.name() }).inc();
    }

    pub(crate) fn refused(&self, code: RefusalCode) {
        self.refused.get_or_create(&ByReason { reason: format!("{code:?}") }).inc();
    }

    pub(crate) fn dead_letter(&self) {
        self.dead_letters.inc();
    }

    pub(crate) fn timer_lag(&self, ms: u64) {
        self.timer_lag.observe(std::time::Duration::from_millis(ms).as_secs_f64());
    }
}
