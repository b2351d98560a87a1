//! Events from outside, as structured CloudEvents, and the answer.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Json, Time};

/// A CloudEvent 1.0 in its structured JSON form. Extension attributes are accepted and not kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CloudEvent {
    /// `1.0`.
    #[schema(example = "1.0")]
    pub specversion: String,
    /// The publisher's id of the event; with `source` it is the deduplication key.
    pub id: String,
    /// Who publishes it.
    pub source: String,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The correlation key; a saga waits for a type and a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it happened. Not used by the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The data's media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacontenttype: Option<String>,
    /// The data's schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataschema: Option<String>,
    /// Its data, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Json>,
    /// Its data, if it is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
}

/// The answer to an event or a signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    /// The event's id.
    pub id: String,
    /// It was there already.
    pub duplicate: bool,
    /// How many sagas it woke.
    pub woke: u32,
    /// What it started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub started: Vec<StartedSaga>,
    /// What it was to start, and never will.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_started: Vec<NotStarted>,
    /// Nobody took it at once: it is kept until then. A signal is kept for its saga, also if that one starts later. A published event is
    /// kept for sagas that had started before it and come to wait for its type and key; a saga that starts after it never gets it.
    #[schema(required)]
    pub kept_until: Option<Time>,
}

/// A saga that an event started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StartedSaga {
    /// The definition's name.
    pub saga: String,
    /// Its id, made of the event's source and id.
    #[schema(example = "fulfil:44b1c6f8d8b9e1b2a3f4c5d6")]
    pub id: String,
}

/// A saga that an event was to start. The event says so in the journal; to start it, publish another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NotStarted {
    /// The definition's name.
    pub saga: String,
    /// The code of the refusal, as a start would have got it.
    #[schema(example = "input_does_not_fit")]
    pub code: String,
    /// What stands against it, and what to do.
    pub message: String,
}
