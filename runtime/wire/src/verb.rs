//! What operators send to a saga, and the answer.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::{Json, saga::Status};

/// The body of `cancel` and `abandon`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Only if the saga is at this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_revision: Option<String>,
}

/// The body of `retry`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// One step; without it, every one that is stuck or backs off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Only if the saga is at this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_revision: Option<String>,
}

/// The body of `skip`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Skip {
    /// The step whose compensation is given up.
    pub step: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Only if the saga is at this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_revision: Option<String>,
}

/// The body of `resolve`: exactly one of `output`, `not_done` and `undone`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resolve {
    /// The step.
    pub step: String,
    /// It is done, and returned this. `null` is an output too.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub output: Option<Json>,
    /// It did not happen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_done: bool,
    /// Its compensation was done by hand.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undone: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Only if the saga is at this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_revision: Option<String>,
}

/// The body of `unlock`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Unlock {
    /// The lock key that is broken, as `seat/12A`.
    pub key: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Only if the saga is at this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_revision: Option<String>,
}

/// The body of `move`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// The version of its module that it goes over to.
    pub version: u32,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Only if the saga is at this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_revision: Option<String>,
}

/// The answer to a verb.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Acted {
    /// The saga.
    pub id: String,
    /// Where it stands afterwards.
    pub status: Status,
    /// The version of its stream afterwards.
    pub revision: String,
    /// The verb changed the saga; a repeated one did not.
    pub applied: bool,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}
