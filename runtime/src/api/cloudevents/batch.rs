//! The batched mode: a JSON array of events, each judged by itself.

use axum::http::StatusCode;
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Event, STRUCTURED, structured, text};
use crate::api::{error::ApiError, strict::BadJson};

/// Events of a batch. With the least that an event can be, that many are a quarter of the bytes of a batch.
pub const EVENTS_MAX: usize = 10_000;

/// An event that cannot be taken.
#[derive(Debug)]
pub(in crate::api) struct Refused {
    /// Its id, if that can be read.
    pub(in crate::api) id: Option<String>,
    /// What stands against it.
    pub(in crate::api) why: ApiError,
}

/// The events of a batch, in their order.
pub(in crate::api) fn events(body: &[u8], payload_bytes_max: usize) -> Result<Vec<Result<Event, Refused>>, ApiError> {
    let judged = |json: &RawValue| {
        structured("event", json.get().as_bytes(), payload_bytes_max).map_err(|why| Refused { id: id(json), why })
    };
    Ok(elements(body)?.into_iter().map(judged).collect())
}

/// The elements of a JSON array, as they stand there.
pub(in crate::api) fn elements(body: &[u8]) -> Result<Vec<&RawValue>, ApiError> {
    let mut elements = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = Elements(&mut elements).deserialize(&mut reader).and_then(|()| reader.end());
    match read {
        Ok(()) => Ok(elements),
        Err(_) if elements.len() > EVENTS_MAX => {
            let message = format!("the batch has more than {EVENTS_MAX} events");
            Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message).hint("send them in several batches"))
        }
        Err(error) if body.trim_ascii_start().starts_with(b"[") => {
            let bad = BadJson(format!("the batch cannot be read from event {} on: {error}", elements.len()));
            Err(ApiError::from(bad).hint("nothing of it is taken: correct it, and send it again"))
        }
        Err(_) => Err(ApiError::bad_request("the batch is not a JSON array of events")
            .hint(format!("put the events into an array, or send one event as {STRUCTURED}"))),
    }
}

/// Takes at most one event too many.
struct Elements<'a, 'de>(&'a mut Vec<&'de RawValue>);

impl<'de> DeserializeSeed<'de> for Elements<'_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(element) = list.next_element()? {
            self.0.push(element);
            if self.0.len() > EVENTS_MAX {
                return Err(A::Error::custom("too many events"));
            }
        }
        Ok(())
    }
}

/// The id of what may be no event at all, for who looks for it.
fn id(json: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    let Named { id } = serde_json::from_str(json.get()).ok()?;
    text("id", &id).ok().map(|()| id)
}
