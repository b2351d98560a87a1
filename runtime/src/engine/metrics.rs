//! The engine's counters, under the names of the docs. Never a saga id as a label.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, atomic::AtomicU64},
    time::Duration,
};

use amends_core::{
    id::{Direction, Namespace},
    outcome::{Outcome, Report},
    schedule::ScheduleEvent,
    view::Status,
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

use crate::{
    engine::refusal::RefusalCode,
    stages::{Stage, Stages},
    store::committer::Totals,
};

/// What is to be counted once it is durable.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) definition: String,
    /// The saga was started.
    pub(crate) begins: bool,
    /// The status that it ended in.
    pub(crate) ended: Option<&'static str>,
}

/// What the host counts since it started, but for what is live: that is set to what there is. An attempt is counted when it ends:
/// it has happened, whatever the journal will say.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    started: Family<BySaga, Counter>,
    ended: Family<ByStatus, Counter>,
    attempts: Family<ByOutcome, Counter>,
    commands: Family<ByDecision, Counter>,
    longest_streams: Family<ByAggregate, Gauge>,
    /// The counters of these four families that were used before, by name, so that counting makes no set of labels.
    known: Known,
    attempt_seconds: Histogram,
    refused: Family<ByReason, Counter>,
    guest_kills: Family<ByReason, Counter>,
    egress_denied: Counter,
    dead_letters: Counter,
    schedules_fired: Counter,
    schedules_missed: Family<ByReason, Counter>,
    policy_causes: Family<ByPolicy, Counter>,
    timer_lag: Histogram,
    live: Family<ByLiveStatus, Gauge>,
    module_sagas: Family<ByVersion, Gauge>,
    queue_depth: Family<ByQueue, Gauge>,
    guests: Family<ByState, Gauge>,
    held: Family<ByKind, Gauge>,
    held_max: Family<ByKind, Gauge>,
    /// Starts that had to wait for a compilation or an activation: it stays 0.
    pub starts_blocked_on_module: Counter,
    /// Commits that the committer made durable.
    pub commits: Counter,
    /// Records of all commits.
    pub commit_records: Counter,
    /// Seconds spent in commits.
    pub commit_seconds: Gauge<f64, AtomicU64>,
    /// What the stages of a saga's way take.
    pub stages: Arc<Stages>,
    stage_seconds: Family<ByStage, Gauge<f64, AtomicU64>>,
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
struct ByLiveStatus {
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    module: String,
    direction: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByDecision {
    aggregate: String,
    decision: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByAggregate {
    aggregate: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByPolicy {
    policy: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByVersion {
    namespace: String,
    module: String,
    version: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStage {
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByQueue {
    queue: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    of: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("amends");
        let seconds = || Histogram::new(exponential_buckets(0.000_1, 2.0, 18));
        let metrics = Self {
            started: Family::default(),
            ended: Family::default(),
            attempts: Family::default(),
            commands: Family::default(),
            longest_streams: Family::default(),
            known: Known::default(),
            attempt_seconds: seconds(),
            refused: Family::default(),
            guest_kills: Family::default(),
            egress_denied: Counter::default(),
            live: Family::default(),
            module_sagas: Family::default(),
            queue_depth: Family::default(),
            guests: Family::default(),
            held: Family::default(),
            held_max: Family::default(),
            dead_letters: Counter::default(),
            schedules_fired: Counter::default(),
            schedules_missed: Family::default(),
            policy_causes: Family::default(),
            timer_lag: seconds(),
            starts_blocked_on_module: Counter::default(),
            commits: Counter::default(),
            commit_records: Counter::default(),
            commit_seconds: Gauge::default(),
            recovery_seconds: Gauge::default(),
            stages: Arc::default(),
            stage_seconds: Family::default(),
            registry: Registry::default(),
        };
        registry.register("sagas_started", "Sagas started", metrics.started.clone());
        registry.register("sagas_ended", "Sagas ended, by status", metrics.ended.clone());
        registry.register("sagas_live", "Sagas that have not ended, by status", metrics.live.clone());
        registry.register("attempts", "Attempts ended, by direction and outcome", metrics.attempts.clone());
        registry.register("commands", "Commands that aggregates decided, by decision", metrics.commands.clone());
        registry.register(
            "policy_causes",
            "Causes that policies read, and what came of them: handled, failed, parked, kept, late, stopped, not_for_it",
            metrics.policy_causes.clone(),
        );
        registry.register(
            "longest_stream_events",
            "Events of the longest stream of an aggregate's name that was written since start, in hundreds",
            metrics.longest_streams.clone(),
        );
        registry.register("attempt_seconds", "How long attempts took, from their intent", metrics.attempt_seconds.clone());
        registry.register("guest_kills", "Attempts that the host ended, by reason", metrics.guest_kills.clone());
        registry.register("egress_denied", "Outgoing calls without a grant", metrics.egress_denied.clone());
        registry.register(
            "module_sagas",
            "Sagas that have not ended, by the version that they run on",
            metrics.module_sagas.clone(),
        );
        registry.register("queue_depth", "What waits in each queue", metrics.queue_depth.clone());
        registry.register(
            "guests",
            "Attempts that run, that wait for the network, and that wait for a place, forward or back",
            metrics.guests.clone(),
        );
        registry.register(
            "held_bytes",
            "Memory that is held for clients: sagas and pages that are read for them or that they have not taken, bodies that come",
            metrics.held.clone(),
        );
        registry.register("held_bytes_max", "The most that may be held for clients", metrics.held_max.clone());
        registry.register("refused", "Requests refused, by reason", metrics.refused.clone());
        registry.register("schedules_fired", "Sagas that schedules started", metrics.schedules_fired.clone());
        registry.register(
            "schedules_missed",
            "Moments of schedules that no saga was started for, by reason",
            metrics.schedules_missed.clone(),
        );
        registry.register(
            "dead_letters",
            "Events that the saga they were addressed to never took, sagas that an event or a policy did not start, dead letters of policies, and commands of theirs that were refused and not answered to them",
            metrics.dead_letters.clone(),
        );
        registry.register("timer_lag_seconds", "How late timers fired", metrics.timer_lag.clone());
        registry.register(
            "starts_blocked_on_module",
            "Starts that waited for a compilation or an activation",
            metrics.starts_blocked_on_module.clone(),
        );
        registry.register("commits", "Durable commits", metrics.commits.clone());
        registry.register("commit_records", "Records made durable", metrics.commit_records.clone());
        registry.register("commit_seconds", "Seconds spent in commits since start", metrics.commit_seconds.clone());
        registry.register(
            "stage_seconds",
            "Seconds that the host's threads spent in each stage of sagas since start",
            metrics.stage_seconds.clone(),
        );
        registry.register("recovery_seconds", "How long start-up took", metrics.recovery_seconds.clone());
        Self { registry, ..metrics }
    }
}

/// Counters by a saga or a module and by two words of what is counted.
#[derive(Debug, Default)]
struct Known(RwLock<HashMap<String, Vec<Counted>>>);

/// What is counted, how it went, and how often.
type Counted = (&'static str, &'static str, Counter);

impl Known {
    /// Counts one more. `make` finds the counter the first time.
    fn count(&self, of: &str, what: &'static str, how: &'static str, make: impl FnOnce() -> Counter) {
        let is_it = |(known_what, known_how, _): &&Counted| (*known_what, *known_how) == (what, how);
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((.., counter)) = known.get(of).and_then(|counters| counters.iter().find(is_it)) {
            counter.inc();
            return;
        }
        drop(known);
        let counter = make();
        counter.inc();
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Two that came at once put the same counter in twice, and the first is found from then on.
        known.entry(of.to_owned()).or_default().push((what, how, counter));
    }
}

impl Metrics {
    /// Shows a counter of the host's log, which counts by itself.
    pub fn show_lost_lines(&mut self, lost: Counter) {
        self.registry.register("log_lines_lost", "Lines of the log that could not be written", lost);
    }

    /// The counters in the OpenMetrics text form.
    pub fn text(&self) -> String {
        for stage in Stage::ALL {
            self.stage_seconds.get_or_create(&ByStage { stage: stage.name() }).set(self.stages.of(stage).as_secs_f64());
        }
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

    /// A saga began or ended, and that is durable.
    pub(crate) fn counted(&self, Counts { definition: saga, begins, ended }: Counts) {
        if begins {
            self.known.count(&saga, "started", "", || self.started.get_or_create_owned(&BySaga { saga: saga.clone() }));
        }
        if let Some(status) = ended {
            let by = || ByStatus { saga: saga.clone(), status: status.to_owned() };
            self.known.count(&saga, "ended", status, || self.ended.get_or_create_owned(&by()));
        }
    }

    pub(crate) fn attempt_ended(&self, module: &str, report: &Report, took_ms: u64) {
        let direction = match report.attempt.leg.direction {
            Direction::Forward => "forward",
            Direction::Undo(_) => "undo",
            Direction::Check => "check",
        };
        let outcome = report.outcome.name();
        let by = || ByOutcome { module: module.to_owned(), direction, outcome };
        self.known.count(module, direction, outcome, || self.attempts.get_or_create_owned(&by()));
        self.attempt_seconds.observe(Duration::from_millis(took_ms).as_secs_f64());
        match &report.outcome {
            // The codes of traps are the host's own, and few.
            Outcome::Trapped(failure) => drop(self.guest_kills.get_or_create(&ByReason { reason: failure.code.clone() }).inc()),
            Outcome::Denied(_) => drop(self.egress_denied.inc()),
            _ => {}
        }
    }

    /// A policy of this name was given a cause.
    pub(crate) fn handled(&self, policy: &str, outcome: &'static str) {
        self.policy_causes.get_or_create(&ByPolicy { policy: policy.to_owned(), outcome }).inc();
    }

    /// An aggregate of this name decided a command.
    pub(crate) fn decided(&self, aggregate: &str, decision: &'static str) {
        let by = || ByDecision { aggregate: aggregate.to_owned(), decision };
        self.known.count(aggregate, "command", decision, || self.commands.get_or_create_owned(&by()));
    }

    /// A stream of this aggregate's name has so many events.
    pub(crate) fn stream_grew(&self, aggregate: &str, events: u64) {
        let gauge = self.longest_streams.get_or_create_owned(&ByAggregate { aggregate: aggregate.to_owned() });
        let events = i64::try_from(events).unwrap_or(i64::MAX);
        if gauge.get() < events {
            gauge.set(events);
        }
    }

    pub(crate) fn live(&self, namespace: &Namespace, module: &str, version: u32, count: u64) {
        let by = ByVersion { namespace: namespace.to_string(), module: module.to_owned(), version };
        self.module_sagas.get_or_create(&by).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(crate) fn live_status(&self, status: Status, count: u64) {
        let by = ByLiveStatus { status: status.as_str() };
        self.live.get_or_create(&by).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(crate) fn queue(&self, queue: &'static str, depth: usize) {
        self.queue_depth.get_or_create(&ByQueue { queue }).set(i64::try_from(depth).unwrap_or(i64::MAX));
    }

    /// How many attempts the guest host has in this state.
    pub fn guests(&self, state: &'static str, count: u64) {
        self.guests.get_or_create(&ByState { state }).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// What is held for clients of one kind, and the most that may be.
    pub fn held(&self, of: &'static str, bytes: u64, bytes_max: u64) {
        let set = |family: &Family<ByKind, Gauge>, bytes: u64| {
            family.get_or_create(&ByKind { of }).set(i64::try_from(bytes).unwrap_or(i64::MAX));
        };
        set(&self.held, bytes);
        set(&self.held_max, bytes_max);
    }

    pub(crate) fn refused(&self, code: RefusalCode) {
        self.refused.get_or_create(&ByReason { reason: format!("{code:?}") }).inc();
    }

    /// A schedule started a saga, or missed some. The codes of why are the host's own, and few.
    pub(crate) fn schedule(&self, event: &ScheduleEvent) {
        match event {
            ScheduleEvent::Fired { .. } | ScheduleEvent::Triggered { .. } => {
                self.schedules_fired.inc();
            }
            ScheduleEvent::Missed { count, reason, .. } => {
                self.schedules_missed.get_or_create(&ByReason { reason: reason.code().to_owned() }).inc_by(*count);
            }
            ScheduleEvent::Scheduled { .. }
            | ScheduleEvent::Postponed { .. }
            | ScheduleEvent::Paused(_)
            | ScheduleEvent::Resumed { .. }
            | ScheduleEvent::Unscheduled(_) => {}
        }
    }

    pub(crate) fn dead_letter(&self) {
        self.dead_letters.inc();
    }

    pub(crate) fn timer_lag(&self, ms: u64) {
        self.timer_lag.observe(Duration::from_millis(ms).as_secs_f64());
    }
}
