//! The body of every error answer.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Json, verb::Verb};

/// `{"error":{…}}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong, for machines and for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetail {
    /// For machines, in snake case. Later versions of the host may have more codes.
    #[schema(example = "saga_not_found")]
    pub code: String,
    /// For people: what happened to which object.
    pub message: String,
    /// The remedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The verbs that apply to the saga instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fits: Vec<Verb>,
    /// Every fault of a module.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// With `wait_too_long`: the longest `wait` that this host accepts, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms_max: Option<u64>,
    /// With 412: the revision that the aggregate has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The details of an aggregate's refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Json>,
}
