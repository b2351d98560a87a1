//! What a module declares about a saga, as `/v1/definitions` answers it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The definitions that new sagas start on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Definitions {
    /// By name.
    pub definitions: Vec<Definition>,
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
    pub output: Option<String>,
    /// How many rounds may follow the first.
    #[serde(default, skip_serializing_if = "is_none")]
    pub rounds: u32,
    /// How long a saga may take from its start.
    pub deadline_ms: Option<u64>,
    /// A JSON Schema of the input.
    pub schema: Option<String>,
    /// The types of the events that start it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub started_by: Vec<String>,
}

/// Steps that run in parallel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stage {
    /// At least one.
    pub steps: Vec<Step>,
    /// A rollback may stop at the end of this stage, and a new round begin there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub savepoint_after: Option<String>,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Step {
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
    pub retry: Retry,
    /// What happens when nobody can tell whether an attempt happened.
    pub on_unknown: OnUnknown,
    /// What happens when the retries are used up.
    pub on_exhausted: OnExhausted,
    /// How it is undone.
    pub undo: Undo,
}

/// Where a step stands to the point of no return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Undone if a later step fails.
    Compensatable,
    /// Done means forward to the end.
    Pivot,
    /// After the point of no return: tried until done.
    Retriable,
}

/// What to do when nobody can tell whether an attempt happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknown {
    /// Try again with the same key.
    Retry,
    /// Ask the module's `check` first.
    Check,
    /// Never run it again; roll back.
    OnceThenRollback,
    /// Never run it again; stop for an operator.
    OnceThenStop,
}

/// What to do when the retries are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnExhausted {
    /// Roll back with reason `exhausted`.
    Rollback,
    /// Stop for an operator.
    Stuck,
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

/// What one refused element means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EachMode {
    /// The step is refused.
    FailFast,
    /// It is a result like any other.
    Collect,
}

/// How a step is undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Undo {
    /// It is never undone: a pivot or a retriable step.
    None,
    /// It leaves nothing to undo.
    Nothing,
    /// By the module's compensation.
    Code {
        /// How often and when it is tried again.
        retry: Retry,
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
pub struct Retry {
    /// Null is no limit.
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
    pub time_box_ms: Option<u64>,
}

fn is_none(count: &u32) -> bool {
    *count == 0
}
