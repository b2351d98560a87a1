//! CloudEvents 1.0 as they come over HTTP, checked, and as what the host takes of them: its source, id, type, key and data.
//!
//! An event is the same in every mode. It knows neither the engine nor what an event does.
//!
//! - `binary`: the attributes are headers, and the body is the data
//! - `batch`: the body is a list of events, each of which is judged by itself

pub(super) mod batch;

pub(super) mod binary;

use amends_core::{
    Payload,
    plain::{is_printable, shown},
    trigger::EVENT_TYPE_BYTES_MAX,
    value::Format,
};
use amends_wire::{event::CloudEvent, value::from_base64};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;

use super::{
    caller,
    error::{ApiError, Part},
    headers, strict,
};

/// Types, keys, sources and ids are parts of row keys.
const TEXT_BYTES_MAX: usize = EVENT_TYPE_BYTES_MAX;

/// The source of signals, in which no publisher can be taken for another.
pub(super) const SIGNALS: &str = "amends:signal";

/// What steps of sagas and policies publish has a source that begins so. Whoever took the id of such an event would have it dropped as
/// a duplicate.
const RESERVED: [&str; 2] = ["saga/", "policy/"];

const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

/// How events come in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// One, all of it in the body.
    Structured,
    /// One, its data in the body and its attributes in headers.
    Binary,
    /// A list of events in the body.
    Batch,
}

impl Mode {
    /// The mode that the headers of a request say.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let media_type = headers::media_type(headers)?;
        let attribute = headers::beginning(headers, binary::PREFIX).next();
        let mode = match (&*media_type, attribute) {
            (STRUCTURED, None) => Self::Structured,
            (BATCH, None) => Self::Batch,
            // Somebody in front of the host may act on the headers, and the host would act on the body.
            (STRUCTURED | BATCH, Some(header)) => {
                let message = format!("the attributes of the event are in the body, and there is a header {header} as well");
                return Err(ApiError::new(StatusCode::BAD_REQUEST, "modes_mixed", message)
                    .hint("send the event in one mode: without `ce-` headers, or with its data's own content type"));
            }
            (format, _) if format.starts_with("application/cloudevents") => {
                return Err(unknown(&media_type, "is no format of events that this host reads"));
            }
            (_, Some(_)) => Self::Binary,
            ("" | "application/json", None) => Self::Structured,
            (_, None) => return Err(unknown(&media_type, "without `ce-` headers is no event")),
        };
        Ok(mode)
    }
}

fn unknown(media_type: &str, why: &str) -> ApiError {
    let message = format!("`{}` {why}", shown(media_type).escape_debug());
    ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_an_event", message).hint(format!(
        "send an event as {STRUCTURED}, several as {BATCH}, or the data with its content type and the attributes as `ce-` headers"
    ))
}

/// What the host takes of an event.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) source: String,
    pub(super) id: String,
    pub(super) event_type: String,
    /// Empty: it has none.
    pub(super) key: String,
    pub(super) data: Option<Payload>,
    /// As that of the input of a start.
    pub(super) input_hash: [u8; 32],
}

/// The attributes that the host reads, as they came.
#[derive(Debug)]
struct Attributes {
    specversion: String,
    id: String,
    source: String,
    event_type: String,
    subject: Option<String>,
    partitionkey: Option<String>,
}

impl Attributes {
    /// They are those of an event from outside.
    fn check(&self) -> Result<(), ApiError> {
        if self.specversion != "1.0" {
            let message = format!("specversion `{}` is not 1.0", shown(&self.specversion).escape_debug());
            return Err(ApiError::bad_request(message).hint("send it as CloudEvents 1.0"));
        }
        if self.source == SIGNALS || RESERVED.iter().any(|reserved| self.source.starts_with(reserved)) {
            let message = format!("the source `{}` is the host's own", shown(&self.source).escape_debug());
            return Err(ApiError::bad_request(message).hint("send a signal to a saga, or give the source a name of your own"));
        }
        let all = [("source", Some(&self.source)), ("id", Some(&self.id)), ("type", Some(&self.event_type))];
        let keys = [("subject", self.subject.as_ref()), ("partitionkey", self.partitionkey.as_ref())];
        all.into_iter().chain(keys).try_for_each(|(what, value)| value.map_or(Ok(()), |value| text(what, value)))
    }

    fn with(self, data: Option<Payload>, payload_bytes_max: usize) -> Result<Event, ApiError> {
        let data = data.map(|data| caller::fitting(Part::Data, data, payload_bytes_max)).transpose()?;
        let input_hash = input_hash(data.as_ref())?;
        let Self { id, source, event_type, subject, partitionkey, .. } = self;
        Ok(Event { source, id, event_type, key: subject.or(partitionkey).unwrap_or_default(), data, input_hash })
    }
}

/// An event that is a JSON text; `what` the text is, in words.
pub(super) fn structured(what: &str, json: &[u8], payload_bytes_max: usize) -> Result<Event, ApiError> {
    strict::check(json)?;
    match json.trim_ascii_start().first() {
        Some(b'{') => {}
        Some(b'[') if what == "body" => {
            return Err(ApiError::bad_request("the body is not a JSON object").hint(format!("send several events as {BATCH}")));
        }
        Some(_) | None => return Err(ApiError::bad_request(format!("the {what} is not a JSON object"))),
    }
    let event: CloudEvent =
        serde_json::from_slice(json).map_err(|error| ApiError::bad_request(format!("the {what} does not fit: {error}")))?;
    let CloudEvent { specversion, id, source, event_type, subject, partitionkey, datacontenttype, data, data_base64, .. } = event;
    let attributes = Attributes { specversion, id, source, event_type, subject, partitionkey };
    attributes.check()?;
    let media_type = datacontenttype.as_deref().map(|text| media_type("datacontenttype", text)).transpose()?;
    let data = match (data, data_base64) {
        (Some(_), Some(_)) => return Err(ApiError::bad_request("give `data` or `data_base64`, not both")),
        (Some(data), None) => Some(match media_type {
            Some(media_type) if !is_json(&media_type) => text_of(&media_type, data.as_str())?,
            Some(_) | None => Payload::json(data.as_str().to_owned()),
        }),
        (None, Some(text)) => {
            let bytes = from_base64(&text).ok_or_else(|| ApiError::bad_request("`data_base64` is not base64"))?;
            // Of bytes without a type it is not said that they are JSON.
            Some(payload(media_type.as_deref().unwrap_or("application/octet-stream"), bytes.into())?)
        }
        (None, None) => None,
    };
    attributes.with(data, payload_bytes_max)
}

/// Data that is not JSON is a text in JSON.
fn text_of(media_type: &str, data: &str) -> Result<Payload, ApiError> {
    match serde_json::from_str::<String>(data) {
        Ok(text) => Ok(Payload::opaque(text)),
        Err(_) => Err(ApiError::bad_request(format!("the data is `{media_type}`, and `data` is no string"))
            .hint("give a text as a string, bytes as `data_base64`, or JSON with a JSON type in `datacontenttype`")),
    }
}

/// Data of a type: JSON is to be JSON.
fn payload(media_type: &str, bytes: Bytes) -> Result<Payload, ApiError> {
    if !is_json(media_type) {
        return Ok(Payload::opaque(bytes));
    }
    match strict::check(&bytes) {
        Ok(()) => Ok(Payload::json(bytes)),
        Err(bad) => Err(ApiError::from(strict::BadJson(format!("the data is `{media_type}`: {}", bad.0)))
            .hint("correct the data, or name the type that it has")),
    }
}

/// A media type in lower case, without its parameters.
fn media_type(what: &str, text: &str) -> Result<String, ApiError> {
    let media_type = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_token = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
    match media_type.split_once('/') {
        Some((kind, subtype)) if is_token(kind) && is_token(subtype) && media_type.len() <= TEXT_BYTES_MAX => Ok(media_type),
        Some(_) | None => {
            let message = format!("`{what}` is `{}`, which is no media type", shown(text).escape_debug());
            Err(ApiError::bad_request(message).hint("write it as application/json or text/plain"))
        }
    }
}

/// `application/json` and `application/problem+json`: what the JSON format of CloudEvents calls JSON.
fn is_json(media_type: &str) -> bool {
    let subtype = media_type.split_once('/').map_or("", |(_, subtype)| subtype);
    subtype == "json" || subtype.ends_with("+json")
}

/// The hash of the input of what the event starts, as that of a start has it.
fn input_hash(data: Option<&Payload>) -> Result<[u8; 32], ApiError> {
    Ok(match data {
        None => strict::hash(b"null")?,
        Some(data) if data.format == Format::Bytes => strict::hash_opaque(&data.bytes),
        Some(data) => strict::hash(&data.bytes)?,
    })
}

/// A text that the host stores.
pub(super) fn text(what: &str, text: &str) -> Result<(), ApiError> {
    if text.is_empty() || text.len() > TEXT_BYTES_MAX || !is_printable(text) {
        return Err(ApiError::bad_request(format!("`{what}` has 1 to {TEXT_BYTES_MAX} printable bytes")));
    }
    Ok(())
}
