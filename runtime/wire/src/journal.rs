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
    /// In order. There may be fewer than `limit` on a page that is not the last: pages are limited in bytes too.
    pub records: Vec<Entry>,
    /// The value of `?from=` for the next page; null on the last page, and on no other.
    #[schema(required)]
    pub next: Option<String>,
}

names! {
    /// The type of a record.
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
        /// A check found that nothing happened.
        NotDone = "not_done",
        /// An attempt ended in a wait.
        Wait = "wait",
        /// The awaited event arrived.
        Arrived = "arrived",
        /// The awaited moment was reached.
        TimerFired = "timer_fired",
        /// An attempt sent a command, with its outcome.
        Sent = "sent",
        /// An attempt published an event, with its outcome.
        Published = "published",
        /// A command that was sent has its answer.
        Answered = "answered",
        /// The outcome of an attempt that is not open any more.
        Stale = "stale",
        /// The leg is retried later.
        Backoff = "backoff",
        /// The saga rolls back.
        RollbackBegun = "rollback_begun",
        /// The rollback stopped at a savepoint, and the saga goes forward again.
        RoundBegun = "round_begun",
        /// A compensation is done.
        Undone = "undone",
        /// An operator recorded the result of a step.
        Resolved = "resolved",
        /// An operator gave up a compensation.
        Skipped = "skipped",
        /// An operator made all attempts of legs available again.
        Retried = "retried",
        /// A rollback was requested, by an operator or by the deadline.
        CancelRequested = "cancel_requested",
        /// A leg needs an operator.
        Stuck = "stuck",
        /// A leg is no longer stuck.
        Unstuck = "unstuck",
        /// The saga moved to another version of its module.
        Moved = "moved",
        /// The saga waits for lock keys.
        LockQueued = "lock_queued",
        /// The saga got its lock keys.
        LockTaken = "lock_taken",
        /// An operator took a lock key from the saga.
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
    /// The result of a step that an operator recorded.
    pub enum Resolution {
        /// It is done.
        Done = "done",
        /// It did not happen.
        NotDone = "not_done",
        /// It was undone by hand.
        Undone = "undone",
    }
}

/// One record. Its type determines which optional fields are present.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// Its number in the saga's stream, from 1.
    pub revision: String,
    /// Its position in the host's journal; opaque.
    pub position: String,
    /// When it was decided.
    pub at: Time,
    /// `host`, `local` or `token:<id>`.
    pub actor: String,
    /// The cause, if it was an event or a job: the position of the event's record, or of the job's first record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caused_by: Option<String>,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: RecordType,
    /// The step's path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Which leg of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// The way of the step, from 0; from 1 on it is an alternate. In `undo` and `check` the way that is undone or checked.
    #[serde(default, skip_serializing_if = "is_first")]
    pub alternate: u32,
    /// The way of the compensation, from 0.
    #[serde(default, skip_serializing_if = "is_first")]
    pub undo_alternate: u32,
    /// The round, from 0. In `round_begun` the round that begins.
    #[serde(default, skip_serializing_if = "is_first")]
    pub round: u32,
    /// The number of the attempt, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The attempt can reach outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reaches_outside: Option<bool>,
    /// The deadline of the attempt or of the saga. The time of an attempt begins with its guest: one that waits for its place may end
    /// that much later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Time>,
    /// The output of the step, or the output that an operator recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Json>,
    /// The failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// When the leg is retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// What the leg waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<WaitsFor>,
    /// The event that arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Arrived>,
    /// The command that was sent, or that has its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<SentCommand>,
    /// The event that was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<PublishedEvent>,
    /// How many elements a fan-out has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elements: Option<usize>,
    /// The keys of the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub element_keys: Vec<String>,
    /// The savepoint at which the round begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub savepoint: Option<String>,
    /// What decided the rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
    /// The result of the step that an operator recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
    /// The legs whose attempts an operator made available again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub legs: Vec<String>,
    /// Why a leg is stuck, or an outcome is stale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The refused call for which a leg is stuck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denial: Option<Denial>,
    /// An operator's note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The user, as the client named it; not verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The start of the saga, in its first record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Started>,
}

/// The start of a saga.
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
    /// 128 random bits that identify this start, in hexadecimal.
    pub incarnation: String,
    /// W3C `traceparent` of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The input.
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

/// A command that an attempt sent, and its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SentCommand {
    /// Which command of its leg, from 0.
    pub number: u32,
    /// The aggregate, as `customer/C1`.
    pub to: String,
    /// The command's name; not with the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// What it says; with the answer, what the aggregate says beside its events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Json>,
    /// With the answer: the aggregate's revision afterwards. None: the command was refused, and `failure` says why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

/// An event that an attempt published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PublishedEvent {
    /// Its type and key.
    #[serde(flatten)]
    pub topic: Topic,
    /// Its data.
    pub data: Json,
}
