//! What a module declares about a saga, as `/v1/definitions` answers it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::names::names;

/// The definitions that new sagas start on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Definitions {
    /// By name.
    pub definitions: Vec<Definition>,
}

names! {
    /// How a definition is shown.
    pub enum DefinitionFormat {
        /// All of it, as data.
        Json = "json",
        /// A picture for Markdown pages.
        Mermaid = "mermaid",
        /// A picture for Graphviz.
        Dot = "dot",
        /// Text for a terminal.
        Text = "text",
    }
}

/// A saga, before anything runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// The module that it belongs to.
    pub module: String,
    /// The module's version, which new sagas start on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The author's number.
    pub definition_version: u32,
    /// In order; a rollback goes through them backwards.
    pub stages: Vec<Stage>,
    /// The step whose output is the saga's.
    #[schema(required)]
    pub output: Option<String>,
    /// How many rounds may follow the first.
    #[serde(default, skip_serializing_if = "is_none")]
    pub rounds: u32,
    /// The keys that keep two sagas off the same business object; taken together with the start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<LockDefinition>,
    /// What happens to a start while another saga holds one of its keys.
    pub on_locked: OnLocked,
    /// How long a saga may take from its start.
    #[schema(required)]
    pub deadline_ms: Option<u64>,
    /// A JSON Schema of the input.
    #[schema(required)]
    pub schema: Option<String>,
    /// The types of the events that start it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub started_by: Vec<String>,
}

/// A lock: its key is its name and a value of the input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LockDefinition {
    /// What is locked.
    #[schema(example = "seat")]
    pub name: String,
    /// A JSON pointer into the input: which one.
    #[schema(example = "/seat")]
    pub pointer: String,
}

names! {
    /// What happens to a start while another saga holds one of its lock keys.
    pub enum OnLocked {
        /// It is durable and waits its turn.
        Queue = "queue",
        /// It is refused.
        Refuse = "refuse",
    }
}

/// Steps that run in parallel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stage {
    /// At least one.
    pub steps: Vec<StepDefinition>,
    /// A rollback may stop at the end of this stage, and a new round begin there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub savepoint_after: Option<String>,
}

/// A step, before anything runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepDefinition {
    /// Its name.
    pub name: String,
    /// Where it stands to the point of no return.
    pub kind: Kind,
    /// The saga of the same module whose steps it consists of; without it, it is code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<String>,
    /// It is done once for each element of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<Each>,
    /// How many alternates follow the first way of doing it.
    #[serde(default, skip_serializing_if = "is_none")]
    pub alternates: u32,
    /// It declares that it never reaches outside; its compensation has a declaration of its own.
    pub effect_free: bool,
    /// Earlier steps whose outputs it wants.
    pub needs: Vec<String>,
    /// Bounds one attempt.
    pub deadline_ms: u64,
    /// How often and when it is tried again.
    pub retry: RetryPolicy,
    /// What happens when nobody can tell whether an attempt happened.
    pub on_unknown: OnUnknown,
    /// What happens when the retries are used up.
    pub on_exhausted: OnExhausted,
    /// How it is undone.
    pub undo: Undo,
}

names! {
    /// Where a step stands to the point of no return.
    pub enum Kind {
        /// Undone if a later step fails.
        Compensatable = "compensatable",
        /// Done means forward to the end.
        Pivot = "pivot",
        /// After the point of no return: tried until done.
        Retriable = "retriable",
    }
}

names! {
    /// What to do when nobody can tell whether an attempt happened.
    pub enum OnUnknown {
        /// Try again with the same key.
        Retry = "retry",
        /// Ask the module's `check` first.
        Check = "check",
        /// Never run it again; roll back.
        OnceThenRollback = "once_then_rollback",
        /// Never run it again; stop for an operator.
        OnceThenStop = "once_then_stop",
    }
}

names! {
    /// What to do when the retries are used up.
    pub enum OnExhausted {
        /// Roll back with reason `exhausted`.
        Rollback = "rollback",
        /// Stop for an operator.
        Stuck = "stuck",
    }
}

/// A fan-out over a list that is known only at run time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Each {
    /// A JSON pointer to the list.
    #[schema(example = "/input/stays")]
    pub items: String,
    /// A JSON pointer into an element: its key. Without it, the element's index is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `fail_fast`: one refusal is the step's. `collect`: it is a result like any other.
    pub mode: EachMode,
    /// How many elements run at once.
    pub concurrency: u32,
}

names! {
    /// What one refused element means.
    pub enum EachMode {
        /// The step is refused.
        FailFast = "fail_fast",
        /// It is a result like any other.
        Collect = "collect",
    }
}

/// How a step is undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Undo {
    /// It is never undone: a pivot or a retriable step.
    None,
    /// It leaves nothing to undo.
    Nothing,
    /// By the module's compensation.
    Code {
        /// How often and when it is tried again.
        retry: RetryPolicy,
        /// Bounds one attempt.
        deadline_ms: u64,
        /// How many alternates follow the first way of undoing it.
        #[serde(default, skip_serializing_if = "is_none")]
        alternates: u32,
        /// It declares that it never reaches outside.
        #[serde(default)]
        effect_free: bool,
    },
}

/// Exponential backoff with a cap and jitter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RetryPolicy {
    /// Null is no limit.
    #[schema(required)]
    pub attempts_max: Option<u32>,
    /// The first delay.
    pub first_ms: u64,
    /// Each delay is this many percent of the one before.
    pub factor_percent: u32,
    /// No delay is longer.
    pub cap_ms: u64,
    /// How far a delay may be shifted, either way.
    pub jitter_percent: u8,
    /// How long the step may take, waits excluded.
    #[schema(required)]
    pub time_box_ms: Option<u64>,
}

fn is_none(count: &u32) -> bool {
    *count == 0
}
