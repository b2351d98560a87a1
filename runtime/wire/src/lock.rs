//! A saga's lock keys, as `/v1/sagas/{id}` answers them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The lock keys of a saga that has not ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Locks {
    /// The keys that it holds or waits for.
    pub keys: Vec<LockKey>,
    /// The keys that an operator took from it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<String>,
}

/// A lock key with its holder and its queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LockKey {
    /// The lock's name and the value in the input.
    #[schema(example = "seat/12A")]
    pub key: String,
    /// The holder; null while the first saga of the queue waits for another key.
    #[schema(required)]
    pub holder: Option<String>,
    /// The sagas that wait for it, in order; of a long queue the first 100.
    pub queue: Vec<String>,
}
