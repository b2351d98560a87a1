//! Payloads, failures and instants: the values that pass through a saga untouched.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z. Always an argument, never read from a clock here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instant(pub u64);

impl Instant {
    /// The instant `ms` later; at the end of time it stays there.
    #[must_use]
    pub fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// How many milliseconds lie between `earlier` and this; 0 if it is not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// How a payload's bytes are to be read. The core never reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Format {
    /// One JSON text.
    Json,
    /// Anything else.
    Bytes,
}

/// A value that guest and host pass to each other. Cloning costs a counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// How to read `bytes`.
    pub format: Format,
    /// The value.
    pub bytes: Bytes,
}

impl Payload {
    /// A payload of one JSON text, which the caller has checked.
    pub fn json(text: impl Into<Bytes>) -> Self {
        Self { format: Format::Json, bytes: text.into() }
    }

    /// A payload that is not JSON.
    pub fn opaque(bytes: impl Into<Bytes>) -> Self {
        Self { format: Format::Bytes, bytes: bytes.into() }
    }

    /// The JSON `null`.
    pub fn null() -> Self {
        Self::json("null")
    }
}

/// Why something did not happen, or may not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For machines, as `no_car`.
    pub code: String,
    /// For people.
    pub message: String,
    /// Details, in the guest's own form.
    pub data: Option<Payload>,
}

impl Failure {
    /// A failure without data.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), data: None }
    }
}
