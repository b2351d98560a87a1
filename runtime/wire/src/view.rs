//! Views: their answers, and how they stand.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Json, Time};

/// The answer of a view to a question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ViewAnswer {
    /// The projection's name.
    #[schema(example = "order-history")]
    pub view: String,
    /// Which of its queries.
    #[schema(example = "by-customer")]
    pub query: String,
    /// What its code answered.
    pub data: Json,
    /// The answer includes every event up to here; opaque.
    pub position: String,
    /// The generation that answered: all of the answer is of this one.
    pub generation: u64,
    /// The module whose code answered.
    pub module: String,
    /// And its version.
    pub version: u32,
}

/// The views of a namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Projections {
    /// By name.
    pub projections: Vec<Projection>,
}

/// A view: what it is built of, and how far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Projection {
    /// Its name.
    #[schema(example = "order-history")]
    pub name: String,
    /// The one that answers first, then the one that is built aside, then the one that answered before.
    pub generations: Vec<Generation>,
    /// Why no view is built any more, if their file failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// A build of a view's rows by one component, from the first event on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Generation {
    /// Counted through all views of the host.
    pub number: u64,
    /// What it is for.
    pub role: GenerationRole,
    /// The module whose code builds it and answers from it.
    pub module: String,
    /// And its version.
    pub version: u32,
    /// The types of the events that it takes.
    pub reads: Vec<String>,
    /// What it can be asked.
    pub queries: Vec<ViewQuery>,
    /// When it was begun.
    pub begun_at: Time,
    /// How many events are in it.
    pub events: u64,
    /// It includes every event up to here; opaque.
    pub position: String,
    /// Events that it has not taken yet, counted up to 10,000.
    pub lag: u64,
    /// When the first of those was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Time>,
    /// Events that it took in a second, since it or the host began.
    pub rate: u64,
    /// Why it does not go on, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<GenerationStop>,
    /// Why the host cannot ask its code now; it tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delayed: Option<String>,
    /// Events that it left out, because somebody said so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkippedEvent>,
}

/// What a generation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GenerationRole {
    /// It answers.
    Active,
    /// It is built aside, and answers once it has read everything.
    Building,
    /// It answered before, and is kept up to date.
    Previous,
}

/// A query of a view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ViewQuery {
    /// Its name.
    pub name: String,
    /// The JSON Schema of its parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Json>,
}

/// Why a generation does not go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GenerationStop {
    /// The id of the event that its code cannot take; without it somebody stopped the view.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The position of that event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// For machines: what the code said, or what ended it, as `trap`; `stopped`: somebody wanted it.
    pub code: String,
    /// For people.
    pub message: String,
    /// Who stopped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// An event that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SkippedEvent {
    /// Its id.
    pub event: String,
    /// Its position.
    pub position: String,
    /// Why.
    pub note: String,
    /// Who wanted it.
    pub by: String,
    /// When.
    pub at: Time,
}

/// The body of a verb for a view.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectionAct {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// `skip`: the id of the event at which the view stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
}
