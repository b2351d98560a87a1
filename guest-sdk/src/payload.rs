//! Payloads to and from typed values: JSON, as modules of this SDK write it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::imports::amends::module::types::Payload;

pub(crate) fn json(text: String) -> Payload {
    Payload::Json(text)
}

pub(crate) fn encode<T: Serialize>(value: &T) -> serde_json::Result<Payload> {
    serde_json::to_string(value).map(Payload::Json)
}

/// Bytes are taken for JSON too: a client may send its input as `application/octet-stream`.
pub(crate) fn decode<T: DeserializeOwned>(payload: &Payload) -> serde_json::Result<T> {
    match payload {
        Payload::Json(text) => serde_json::from_str(text),
        Payload::Bytes(bytes) => serde_json::from_slice(bytes),
    }
}
