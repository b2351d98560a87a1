//! Events as projections and policies receive them.

use serde::de::DeserializeOwned;

use crate::bindings::imports::amends::module::types::RecordedEvent;
use crate::host::EventAt;
use crate::stop::Failure;
use crate::{Events, Moment, aggregate, payload};

pub(crate) type Raw = RecordedEvent;

/// An event as it was recorded: what it says, of whom, and when.
///
/// ```
/// use amends_sdk::{Event, Recorded};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize)]
/// #[event(aggregate = "club")]
/// enum Did { Joined { name: String } }
///
/// fn line(recorded: Recorded<Did>) -> String {
///     let Did::Joined { name } = recorded.event;
///     format!("{} {name} joined {}", recorded.at, recorded.key)
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Recorded<E> {
    /// What it says.
    pub event: E,
    /// The id of the aggregate, or the key with which it was published.
    pub key: String,
    /// Its type, as `customer.opened`.
    pub event_type: String,
    /// Its number in the aggregate's stream, from 1; 0: it was published.
    pub revision: u64,
    /// When it was recorded.
    pub at: Moment,
    /// Its id.
    pub id: String,
    /// Its place in the journal, as the API and the command line show it.
    pub position: String,
    /// What it belongs to: the same for all that one request has caused.
    pub correlation: String,
    /// The name of the aggregate, or who published it.
    pub source: String,
}

/// In place of what an event said whose data was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erased;

impl<E> Recorded<E> {
    pub(crate) fn new(raw: &Raw, event: E) -> Recorded<E> {
        Recorded {
            event,
            key: raw.key.clone(),
            event_type: raw.event_type.clone(),
            revision: raw.revision,
            at: Moment::from_millis(raw.at),
            id: raw.id.clone(),
            position: raw.position.clone(),
            correlation: raw.correlation.clone(),
            source: raw.source.clone(),
        }
    }
}

/// An event of an aggregate; none if its data was erased.
pub(crate) fn of_aggregate<E: Events>(raw: &Raw) -> Result<Option<E>, String> {
    let aggregate = E::AGGREGATE.unwrap_or_default();
    aggregate::recorded(aggregate, &raw.event_type, raw.version, raw.data.as_ref())
}

/// A published event, which may have come without data. Nobody knows then whether it had some.
pub(crate) fn published<T: DeserializeOwned>(raw: &Raw) -> Result<Option<T>, String> {
    match &raw.data {
        _ if raw.version != 1 => Err("this module reads its version 1".to_owned()),
        Some(data) => payload::decode(data).map(Some).map_err(|error| error.to_string()),
        None => Ok(serde_json::from_str("null").ok()),
    }
}

pub(crate) fn unreadable(raw: &Raw, why: &str) -> Failure {
    let message = format_args!("the event {} cannot be read: {}: {why}", raw.id, EventAt::from(raw));
    Failure::new("unreadable_event", message)
}
