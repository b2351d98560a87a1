//! Events from outside, as CloudEvents in JSON, and the answer; and events as they were recorded.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::{Json, Time, error::ErrorDetail};

/// A CloudEvent 1.0 in its JSON form. Of its attributes the host stores `id`, `source`, `type` and the key, which is `subject`, else
/// `partitionkey`. Everything else is accepted and not stored: `time`, `dataschema`, and all other extension attributes, among them
/// `correlationid`, `causationid`, `sequence`, `recordedtime`, `dataref` and `traceparent`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CloudEvent {
    /// `1.0`.
    #[schema(example = "1.0")]
    pub specversion: String,
    /// The publisher's id of the event; with `source` it is the deduplication key.
    pub id: String,
    /// The publisher.
    pub source: String,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The correlation key; a saga waits for a type and a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The correlation key of an event without a `subject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitionkey: Option<String>,
    /// The time of the event; the host does not use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The data's media type; JSON if it is left out. If it is not JSON, `data` is a string, and the text in it is the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacontenttype: Option<String>,
    /// The data's schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataschema: Option<String>,
    /// Its data, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Json>,
    /// Its data, if it is not JSON; in place of `data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
}

/// The answer to a batch: what became of each event. The batch itself is refused only where it is no list of events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchAnswer {
    /// How many were recorded.
    pub recorded: u32,
    /// How many were there already.
    pub duplicates: u32,
    /// How many were refused, or not taken.
    pub refused: u32,
    /// Each event, in the order of the batch.
    pub events: Vec<EventAnswer>,
}

/// What became of an event of a batch: what it is answered when it is published alone, with the HTTP status of that answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventAnswer {
    /// Its place in the batch, from 0.
    pub index: u32,
    /// Its id, if that can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// 202: it is recorded; 200: it was there already; 503 and 507: it was not taken, and is to be sent again; all others: it was
    /// refused.
    #[schema(example = 202)]
    pub http_status: u16,
    /// The answer, with 202 and 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Accepted>,
    /// The error, with all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorDetail>,
}

/// The answer to an event or a signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    /// The event's id.
    pub id: String,
    /// Whether the event was published before.
    pub duplicate: bool,
    /// The number of sagas that it woke.
    pub woke: u32,
    /// The sagas that it started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub started: Vec<StartedSaga>,
    /// The sagas that it should have started, and will not start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_started: Vec<NotStarted>,
    /// The end of the time for which the event is kept, if no saga took it at once. A signal is kept for its saga, also if the
    /// saga starts later. A published event is kept for sagas that started before it and wait for its type and key later; a saga
    /// that starts after it never gets it.
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

/// A saga that an event should have started. The event is recorded with this refusal; publish another event to start the saga.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NotStarted {
    /// The definition's name.
    pub saga: String,
    /// The code of the refusal, as of a start.
    #[schema(example = "input_does_not_fit")]
    pub code: String,
    /// The reason and the remedy.
    pub message: String,
}

/// An event as it was recorded: an aggregate decided it, or somebody published it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecordedEvent {
    /// With `source` no other event of the namespace has this id. Of an aggregate: its name, its id and the event's number.
    #[schema(example = "customer/C1/2")]
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    #[schema(example = "customer.credit-reserved")]
    pub event_type: String,
    /// The form of its data.
    pub version: u32,
    /// The aggregate's name, or the publisher.
    #[schema(example = "customer")]
    pub source: String,
    /// The aggregate's id, or the key that it was published with.
    #[schema(example = "C1")]
    pub key: String,
    /// Its number among the aggregate's events, from 1; of a published event there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Its position in the host's journal; opaque. Positions follow the order of the commits, and a reader who goes on behind the
    /// last one that it saw misses none.
    pub position: String,
    /// When it was decided.
    pub at: Time,
    /// How it came here, if another system recorded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Provenance>,
    /// The root of its chain of causes: the id of a command, of a saga, or of a published event; of an imported event of which nobody
    /// said what led to it, its own.
    pub correlation: String,
    /// Its data, as JSON; null also if it was erased. It is left out where `data_base64` is.
    #[serde(default, deserialize_with = "some_json", skip_serializing_if = "Option::is_none")]
    pub data: Option<Json>,
    /// Its data, if it is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
    /// What else it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The version of the module that decided it; of a published event, and of one that was imported, there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module_version: Option<u32>,
}

/// How an event came here that another system recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Provenance {
    /// When it was imported.
    pub at: Time,
    /// Who imported it, as the client said.
    pub by: String,
}

/// A page of events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventPage {
    /// In the order of the journal.
    pub events: Vec<RecordedEvent>,
    /// The position to go on from, with `?after=`: there is none that fits up to it that was not told.
    pub through: String,
    /// Whether there may be more now.
    pub has_more: bool,
}

/// `null` is JSON too: only what is left out is none.
fn some_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}
