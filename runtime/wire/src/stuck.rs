//! What is stuck, in groups, as `/v1/stuck` answers it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Time,
    denial::Denial,
    saga::{Direction, StuckCode},
};

/// What is stuck, in groups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StuckGroups {
    /// The largest first.
    pub groups: Vec<StuckGroup>,
    /// Sagas whose records cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
    /// More sagas are stuck than were looked at, which are the oldest 10000.
    pub is_cut: bool,
}

/// Sagas that are stuck in the same step of the same version for the same failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StuckGroup {
    /// The definition's name.
    pub saga: String,
    /// The module that they run on.
    pub module: String,
    /// Its version.
    pub version: u32,
    /// The step, without the keys of elements.
    pub step: String,
    /// Which of its legs.
    pub direction: Direction,
    /// For machines, why.
    pub code: StuckCode,
    /// The failure's code, or where there is no failure the code above: what a filter takes.
    pub failure: String,
    /// For people, of the saga among them that was started first.
    pub why: String,
    /// The refused call, the same of all of them, if the code is `denied`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denial: Option<Denial>,
    /// How many sagas.
    pub count: u64,
    /// Since when the first of them is stuck.
    pub since: Time,
    /// The first five of them.
    pub sagas: Vec<String>,
    /// Commands that help all of them.
    pub help: Vec<String>,
}
