//! Commands to aggregates, their answers, and aggregates as they are shown.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Json, event::RecordedEvent};

/// The answer to a command that was accepted. A refused one is an error answer with the aggregate's own code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CommandAnswer {
    /// The aggregate's name.
    #[schema(example = "customer")]
    pub aggregate: String,
    /// Its id.
    #[schema(example = "C1")]
    pub id: String,
    /// The command's id: its `Idempotency-Key`, or one that the host made.
    pub command: String,
    /// Whether it was decided before, under the same key: then this is the first answer again.
    pub duplicate: bool,
    /// How many events the aggregate has after it.
    pub revision: String,
    /// The version of the module that decided it.
    pub version: u32,
    /// The position of the decision; opaque.
    pub position: String,
    /// What it recorded, in order; nothing, if there was nothing to do.
    pub events: Vec<RecordedEvent>,
    /// What the aggregate answers beside it.
    #[schema(required)]
    pub data: Option<Json>,
}

/// An aggregate: the state that its events make by the active version of its module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Aggregate {
    /// Its name.
    #[schema(example = "customer")]
    pub aggregate: String,
    /// Its id.
    #[schema(example = "C1")]
    pub id: String,
    /// How many events are in the state.
    pub revision: String,
    /// How many events there are, if it is shown as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_revision: Option<String>,
    /// The state, as the module folds it.
    pub state: Json,
    /// The module.
    pub module: String,
    /// Its active version, which made the state.
    pub version: u32,
    /// The keys that it holds now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
    /// The position of its last record; opaque.
    pub position: String,
}

/// A page of an aggregate's events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AggregateEventPage {
    /// In order.
    pub events: Vec<RecordedEvent>,
    /// The value of `?from=` for the next page; null on the last page, and on no other.
    #[schema(required)]
    pub next: Option<String>,
}
