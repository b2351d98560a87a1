//! A saga's records, as `/v1/sagas/{id}/journal` and `/watch` answer them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Json, Time,
    denial::Denial,
    names::names,
    saga::{Direction, Failure, Rollback, Topic, WaitsFor, is_first},
};

/// A page of a saga's journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JournalPage {
    /// In order.
    pub records: Vec<Entry>,
    /// Ask with `?from=` for the next page; null on the last one.
    #[schema(required)]
    pub next: Option<String>,
}

names! {
    /// What a record records.
    #[derive(Default)]
    pub enum RecordType {
        /// The saga was started.
        Started = "started",
        /// An attempt begins.
        Intent = "intent",
        /// The elements of a fan-out are known.
        Listed = "listed",
        /// An attempt is done.
        Done = "done",
        /// An attempt was refused.
        Refused = "refused",
        /// An attempt failed, and nothing happened.
        Transient = "transient",
        /// An attempt failed, and may have happened.
        Unknown = "unknown",
        /// A check said that nothing happened.
        NotDone = "not_done",
        /// An attempt ended in a wait.
        Wait = "wait",
        /// The event that was waited for arrived.
        Arrived = "arrived",
        /// The moment that was waited for came.
        TimerFired = "timer_fired",
        /// The outcome of an attempt that is not open any more.
        Stale = "stale",
        /// The leg is tried again later.
        Backoff = "backoff",
        /// The saga rolls back.
        RollbackBegun = "rollback_begun",
        /// The rollback stopped at a savepoint, and the saga goes forward again.
        RoundBegun = "round_begun",
        /// A compensation is done.
        Undone = "undone",
        /// An operator said what happened.
        Resolved = "resolved",
        /// An operator gave a compensation up.
        Skipped = "skipped",
        /// An operator gave legs a fresh budget.
        Retried = "retried",
        /// A rollback was asked for, by an operator or the deadline.
        CancelRequested = "cancel_requested",
        /// A leg needs an operator.
        Stuck = "stuck",
        /// A leg does not need an operator any more.
        Unstuck = "unstuck",
        /// The saga went over to another version of its module.
        Moved = "moved",
        /// The saga waits for lock keys.
        LockQueued = "lock_queued",
        /// The saga has its lock keys.
        LockTaken = "lock_taken",
        /// An operator broke a lock key.
        LockBroken = "lock_broken",
        /// Every step is done.
        Completed = "completed",
        /// Everything is undone.
        Compensated = "compensated",
        /// An operator ended the saga.
        Abandoned = "abandoned",
        /// No record of a saga. A stream of a saga holds none.
        #[default]
        Foreign = "foreign",
    }
}

names! {
    /// What an operator says about a step.
    pub enum Resolution {
        /// It is done.
        Done = "done",
        /// It did not happen.
        NotDone = "not_done",
        /// Its compensation was done by hand.
        Undone = "undone",
    }
}

/// One record. Which of the optional fields are there depends on its type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// Its place in the saga's stream, from 1.
    pub revision: String,
    /// Its place in the host's journal; opaque.
    pub position: String,
    /// When it was decided.
    pub at: Time,
    /// `host`, `local` or `token:<id>`.
    pub actor: String,
    /// What caused it, if that was no request and no record of its own: the place of an event, or of a job's first record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caused_by: Option<String>,
    /// What it records.
    #[serde(rename = "type")]
    pub kind: RecordType,
    /// The step's path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Which leg of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Which way of doing the step, from 0; from 1 on it is an alternate. In `undo` and `check` the one that is undone or asked about.
    #[serde(default, skip_serializing_if = "is_first")]
    pub alternate: u32,
    /// Which way of undoing it, from 0.
    #[serde(default, skip_serializing_if = "is_first")]
    pub undo_alternate: u32,
    /// Which round, from 0. In `round_begun` the one that begins.
    #[serde(default, skip_serializing_if = "is_first")]
    pub round: u32,
    /// From 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The attempt can reach outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reaches_outside: Option<bool>,
    /// When the attempt, or the saga, is too late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Time>,
    /// What the step returned, or an operator said it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Json>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// When the leg is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// What the leg waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<WaitsFor>,
    /// The event that arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Arrived>,
    /// How many elements a fan-out has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elements: Option<usize>,
    /// The keys of the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub element_keys: Vec<String>,
    /// Where the round begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub savepoint: Option<String>,
    /// What decided the rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
    /// What an operator said about the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
    /// Legs that an operator gave a fresh budget.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub legs: Vec<String>,
    /// Why a leg is stuck, or an outcome stale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The refused call that a leg is stuck for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denial: Option<Denial>,
    /// An operator's note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Who, as the client says; not verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What the saga is made of, in its first record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Started>,
}

/// What a saga is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Started {
    /// The definition's name.
    pub saga: String,
    /// The module.
    pub module: String,
    /// Its version.
    pub version: u32,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// 128 random bits, in hexadecimal: which start this is.
    pub incarnation: String,
    /// W3C `traceparent` of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// What it was started with.
    pub input: Json,
}

/// An event that ended a wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Arrived {
    /// The event's id.
    pub id: String,
    /// Its type and key.
    #[serde(flatten)]
    pub topic: Topic,
    /// Its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Json>,
}
