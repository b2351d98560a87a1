//! Chains of causes, as trees.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Time, names::names, saga::Status};

names! {
    /// What an id is of.
    pub enum TraceIdKind {
        /// A saga.
        Saga = "saga",
        /// A command, by its idempotency key, or as TYPE/ID/KEY.
        Command = "command",
        /// An aggregate, as TYPE/ID: its last command.
        Aggregate = "aggregate",
        /// An event of an aggregate, as TYPE/ID/NUMBER.
        Event = "event",
        /// A published event, as SOURCE/ID.
        Published = "published",
    }
}

names! {
    /// What a node of a trace is.
    pub enum TraceNodeKind {
        /// A request from outside: a command, a start, an event.
        Request = "request",
        /// A moment of a schedule.
        Schedule = "schedule",
        /// The command of a step.
        Command = "command",
        /// An event that an aggregate decided.
        Event = "event",
        /// An event that was published, or a signal.
        Published = "published",
        /// A saga.
        Saga = "saga",
        /// A step of the saga.
        Step = "step",
        /// The compensation of a step.
        Undo = "undo",
        /// The check whether a step happened.
        Check = "check",
        /// The saga goes back from here on; of a savepoint: it begins again here.
        Rollback = "rollback",
        /// An operator did something with the saga.
        Act = "act",
        /// An event came for which the step waited. It has a trace of its own.
        Arrived = "arrived",
        /// A saga took the event. It has a trace of its own.
        Woke = "woke",
        /// A saga that the event should have started, and did not.
        NotStarted = "not_started",
        /// What a policy did with an event, an answer or a timer, or that this waits.
        Policy = "policy",
    }
}

names! {
    /// Whether a view has an event.
    pub enum TraceViewState {
        /// It has it.
        Taken = "taken",
        /// An operator had it leave the event out.
        Skipped = "skipped",
        /// It has not come to it.
        Behind = "behind",
        /// It stopped at it, or before it.
        Stopped = "stopped",
    }
}

/// What followed from one request, as a tree. It is of what is recorded: a command that nothing was recorded of is not in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Trace {
    /// The id that was asked for, in its full form.
    #[schema(example = "customer/C1/R1")]
    pub id: String,
    /// What the id is of.
    pub found: TraceIdKind,
    /// The number of nodes; at most 1000 with the views that are named, and those on the way to what was asked for.
    pub nodes: usize,
    /// Whether there are more than these. What is missing is found by its own id.
    pub cut: bool,
    /// The sagas among these that have not ended.
    pub open: Vec<TraceOpen>,
    /// What began it.
    pub root: TraceNode,
}

/// A saga of a trace that has not ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TraceOpen {
    /// The saga.
    pub saga: String,
    /// How it stands.
    pub status: Status,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TraceNode {
    /// What it is.
    pub kind: TraceNodeKind,
    /// Its name: of a command the aggregate and the command, of an event its type, of a saga its definition, of a leg the step.
    #[schema(example = "customer/C1/reserve-credit")]
    pub what: String,
    /// Its id: of a command its key, of an event its id, of a saga its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The module that decided it, if it is known which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// The version of the module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// When it was decided, or began.
    pub at: Time,
    /// When it came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// The position of its record in the host's journal; opaque.
    pub position: String,
    /// Who asked for it: `local`, `host`, or `token:` and its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// How it stands: of a saga its status; of a leg `running`, `done`, `undone`, `not_done`, `refused`, `transient`, `unknown`,
    /// `waiting`, `backoff` or `stuck`; of a command `accepted`, `refused` or `undecided`; of a published event `kept` or `dead`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<TraceFailure>,
    /// The number of attempts, of a leg.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// It is what was asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asked: bool,
    /// The views that read it, by name; of an event. They are as they are now: the journal does not say what they have read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<TraceView>,
    /// What followed from it, in the order of the journal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub children: Vec<TraceNode>,
}

/// A view that reads an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TraceView {
    /// Its name.
    #[schema(example = "order-history")]
    pub view: String,
    /// The generation that answers.
    pub generation: u64,
    /// The module whose code builds that now, and answers.
    pub module: String,
    /// The version of the module.
    pub version: u32,
    /// Whether it has the event.
    pub state: TraceViewState,
    /// When it took the event; missing, if it has not, or if that is long ago. A view that was built again took it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<Time>,
    /// Why it does not have the event, if there is a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Why something is as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TraceFailure {
    /// For machines.
    pub code: String,
    /// For people.
    pub message: String,
}
