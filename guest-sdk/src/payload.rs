//! Payloads to and from typed values: JSON, as modules of this SDK write it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::imports::amends::module::types::Payload;

pub(crate) fn json(text: String) -> Payload {
    Payload::Json(text)
}

pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Payload> {
    serde_json::to_string(value).map(Payload::Json)
}

/// What it says, whatever it is.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn bytes(payload: &Payload) -> &[u8] {
    match payload {
        Payload::Json(text) => text.as_bytes(),
        Payload::Bytes(bytes) => bytes,
    }
}

/// The JSON text; bytes are taken for JSON too.
pub(crate) fn text(payload: &Payload) -> Result<&str, String> {
    match payload {
        Payload::Json(text) => Ok(text),
        Payload::Bytes(bytes) => std::str::from_utf8(bytes).map_err(|error| error.to_string()),
    }
}

/// Bytes are taken for JSON too: a client may send its input as `application/octet-stream`.
pub(crate) fn decode<T: DeserializeOwned>(payload: &Payload) -> serde_json::Result<T> {
    match payload {
        Payload::Json(text) => serde_json::from_str(text),
        Payload::Bytes(bytes) => serde_json::from_slice(bytes),
    }
}
