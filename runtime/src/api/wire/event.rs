//! Events from outside, as structured CloudEvents, and the answer.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::value::{Json, Time};

/// A CloudEvent 1.0 in its structured JSON form. Extension attributes are accepted and not kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CloudEvent {
    /// `1.0`.
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
    /// Nobody took it: it is kept until then.
    pub kept_until: Option<Time>,
}
