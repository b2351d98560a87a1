//! A saga's lock keys, as `/v1/sagas/{id}` answers them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The lock keys of a saga that has not ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Locks {
    /// Those that it holds or waits for.
    pub keys: Vec<LockKey>,
    /// Those that an operator broke.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<String>,
}

/// A lock key: who has it and who waits for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LockKey {
    /// The lock's name and what it was in the input.
    #[schema(example = "seat/12A")]
    pub key: String,
    /// The saga that holds it; null while the first of the queue waits for another key.
    #[schema(required)]
    pub holder: Option<String>,
    /// Sagas that wait for it, in the order in which they came; of a long queue the first 100.
    pub queue: Vec<String>,
}
