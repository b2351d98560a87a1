//! What a module declares about a saga, as `/v1/definitions` answers it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::names::names;

/// The definitions of new sagas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Definitions {
    /// By name.
    pub definitions: Vec<Definition>,
}

names! {
    /// The format of a definition.
    pub enum DefinitionFormat {
        /// All of it, as JSON.
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
    /// Its module.
    pub module: String,
    /// The active version of the module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The author's number.
    pub definition_version: u32,
    /// In order; a rollback undoes them in reverse order.
    pub stages: Vec<Stage>,
    /// The step whose output is the saga's.
    #[schema(required)]
    pub output: Option<String>,
    /// How many rounds may follow the first.
    #[serde(default, skip_serializing_if = "is_none")]
    pub rounds: u32,
    /// The keys that prevent two sagas from working on the same business object; a saga gets all of them at its start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<LockDefinition>,
    /// What happens to a start while another saga holds one of its keys.
    pub on_locked: OnLocked,
    /// The time limit of a saga from its start.
    #[schema(required)]
    pub deadline_ms: Option<u64>,
    /// A JSON Schema of the input.
    #[schema(required)]
    pub schema: Option<String>,
    /// The types of the events that start it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub started_by: Vec<String>,
}

/// A lock, whose key is made of its name and a value of the input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LockDefinition {
    /// The kind of the object.
    #[schema(example = "seat")]
    pub name: String,
    /// A JSON pointer to the id of the object in the input.
    #[schema(example = "/seat")]
    pub pointer: String,
}

names! {
    /// What happens to a start while another saga holds one of its lock keys.
    pub enum OnLocked {
        /// The saga is durable and waits for the key.
        Queue = "queue",
        /// The start is refused.
        Refuse = "refuse",
    }
}

/// Steps that run in parallel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stage {
    /// At least one.
    pub steps: Vec<StepDefinition>,
    /// The savepoint at the end of this stage: a rollback may stop there, and a new round begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub savepoint_after: Option<String>,
}

/// A step, before anything runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepDefinition {
    /// Its name.
    pub name: String,
    /// Its position relative to the point of no return.
    pub kind: Kind,
    /// The child saga of the same module whose steps it consists of; null for a step with code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<String>,
    /// The command that it is, if it is one; null for a step with code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandDefinition>,
    /// The list for whose elements it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<Each>,
    /// The number of alternates after the first way of the step.
    #[serde(default, skip_serializing_if = "is_none")]
    pub alternates: u32,
    /// It declares that it does not reach outside; its compensation has its own declaration.
    pub effect_free: bool,
    /// The earlier steps whose outputs it receives.
    pub needs: Vec<String>,
    /// The time limit of one attempt.
    pub deadline_ms: u64,
    /// How often and when it is retried.
    pub retry: RetryPolicy,
    /// What the host does when an attempt may have happened.
    pub on_unknown: OnUnknown,
    /// What the host does when the retries are used up.
    pub on_exhausted: OnExhausted,
    /// How it is undone.
    pub undo: Undo,
}

/// A step that is a command to an aggregate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CommandDefinition {
    /// The aggregate's name.
    #[schema(example = "order")]
    pub aggregate: String,
    /// A JSON pointer to the aggregate's id.
    #[schema(example = "/input/order")]
    pub id: String,
    /// The command's name.
    #[schema(example = "create")]
    pub name: String,
    /// What it says.
    pub data: CommandData,
    /// The command that undoes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<CommandUndo>,
}

/// The origin of what a command says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CommandData {
    /// The value at a JSON pointer.
    At {
        /// The pointer.
        pointer: String,
    },
    /// An object of values.
    Object {
        /// Of each name the JSON pointer.
        members: BTreeMap<String, String>,
    },
}

/// A command that undoes another one, at the same aggregate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CommandUndo {
    /// The command's name.
    #[schema(example = "reject")]
    pub name: String,
    /// What it says; null: the same as the command that it undoes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<CommandData>,
}

names! {
    /// The position of a step relative to the point of no return.
    pub enum Kind {
        /// Undone if a later step fails.
        Compensatable = "compensatable",
        /// The point of no return: once it is done, the saga only goes forward.
        Pivot = "pivot",
        /// After the point of no return, and tried until it is done.
        Retriable = "retriable",
    }
}

names! {
    /// What the host does when an attempt may have happened.
    pub enum OnUnknown {
        /// Try again with the same key.
        Retry = "retry",
        /// Call the module's `check` first.
        Check = "check",
        /// Never run it again; roll back.
        OnceThenRollback = "once_then_rollback",
        /// Never run it again; stop for an operator.
        OnceThenStop = "once_then_stop",
    }
}

names! {
    /// What the host does when the retries are used up.
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
    /// A JSON pointer to the key in an element. Null: the key is the index of the element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `fail_fast`: the refusal of an element refuses the step. `collect`: it is a result.
    pub mode: EachMode,
    /// How many elements run at a time.
    pub concurrency: u32,
}

names! {
    /// The consequence of a refused element.
    pub enum EachMode {
        /// The step is refused.
        FailFast = "fail_fast",
        /// The refusal is a result of the step.
        Collect = "collect",
    }
}

/// How a step is undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Undo {
    /// It is never undone: a pivot or a retriable step.
    None,
    /// There is nothing to undo.
    Nothing,
    /// The module's compensation undoes it.
    Code {
        /// How often and when it is retried.
        retry: RetryPolicy,
        /// The time limit of one attempt.
        deadline_ms: u64,
        /// The number of alternates after the first way of the compensation.
        #[serde(default, skip_serializing_if = "is_none")]
        alternates: u32,
        /// It declares that it does not reach outside.
        #[serde(default)]
        effect_free: bool,
    },
}

/// Exponential backoff with a cap and jitter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RetryPolicy {
    /// The largest number of attempts; null: no limit.
    #[schema(required)]
    pub attempts_max: Option<u32>,
    /// The first delay.
    pub first_ms: u64,
    /// The ratio of each delay to the one before, in percent.
    pub factor_percent: u32,
    /// The longest delay.
    pub cap_ms: u64,
    /// How far a delay may be shifted in either direction, in percent.
    pub jitter_percent: u8,
    /// The time limit of the step with all attempts, without waits.
    #[schema(required)]
    pub time_box_ms: Option<u64>,
}

fn is_none(count: &u32) -> bool {
    *count == 0
}
