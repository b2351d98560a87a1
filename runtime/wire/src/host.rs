//! The host itself, as `/healthz` and `/readyz` answer it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The answer of `/healthz`: the process runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alive {
    /// Always true.
    pub alive: bool,
}

/// The answer of `/readyz`: whether the host accepts work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ready {
    /// Whether the host accepts work.
    pub ready: bool,
    /// Why the host is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The number of sagas that had not ended at start-up: running, waiting, compensating or stuck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered: Option<u64>,
    /// How long recovery took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_ms: Option<u64>,
}
