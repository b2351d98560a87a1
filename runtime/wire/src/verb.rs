//! What operators send to a saga, and the answer.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::{Json, names::names, saga::Status};

names! {
    /// What an operator may do to a saga.
    pub enum Verb {
        /// Roll it back.
        Cancel = "cancel",
        /// Try again now what is stuck or backs off.
        Retry = "retry",
        /// Give a stuck compensation up.
        Skip = "skip",
        /// Say what happened to a step.
        Resolve = "resolve",
        /// Break a lock key that it holds.
        Unlock = "unlock",
        /// Take it over to another version of its module.
        Move = "move",
        /// End it where it stands.
        Abandon = "abandon",
    }
}

/// The body of `cancel` and `abandon`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActRequest {
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
pub struct RetryRequest {
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
pub struct SkipRequest {
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
pub struct ResolveRequest {
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
pub struct UnlockRequest {
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
pub struct MoveRequest {
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
