//! Histories that another system recorded: a line of them, and the answer to a page of lines.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::ToSchema;

use super::{Json, Time, event::Provenance, time::LAST_MS};

/// A line of an import: one event of an aggregate, as a `RecordedEvent` is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportLine {
    /// The aggregate's name.
    pub source: String,
    /// The aggregate's id.
    pub key: String,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The form of its data; 1, if it is left out.
    #[serde(default = "first_version")]
    pub version: u32,
    /// Its number among the aggregate's events, from 1; also as a number.
    #[serde(default, deserialize_with = "revision")]
    pub revision: Option<String>,
    /// When it was decided, from 1970 on; if it is left out, when it is imported.
    #[serde(default, deserialize_with = "recordable", skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// Its data, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Json>,
    /// Its data, if it is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
    /// What else it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The root of its chain of causes; if it is left out, the event itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
    /// As an event is shown; not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// As an event is shown; not read: the event gets a position of this journal. A line that has one and no `revision` is an event that
    /// was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// As an event is shown; not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module_version: Option<u32>,
    /// As an event is shown that was imported before; not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Provenance>,
}

/// What came of a page of lines. Each line was taken, repeated, left out or refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Imported {
    /// How many aggregates began with these lines.
    pub begun: u32,
    /// How many events were recorded.
    pub taken: u32,
    /// How many lines were recorded before, as they are.
    pub repeated: u32,
    /// How many lines were left out: events that a host shows and that were published, which are no part of an aggregate's history.
    #[serde(default)]
    pub left_out: u32,
    /// How many lines were not taken.
    pub refused: u32,
    /// Why: at most a thousand reasons, in the order of the lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<RefusedLines>,
}

/// Lines that were not taken, for one reason: a line that cannot be read, or the lines of an aggregate.
///
/// The reasons: `bad_line` and `payload_too_large` (of the line itself), `no_handler` (no active module has the aggregate), `not_declared`
/// (it does not read the event), `gap`, `exists` (another event of this number is recorded, or the events behind which it would come were
/// decided here), `guest_failed` (the module cannot fold the events), `changed_meanwhile` (commands are being decided about the aggregate),
/// and `unreadable` (what is recorded of it is damaged).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedLines {
    /// The line that cannot be taken, from 1. With `guest_failed` it is the first one of the aggregate that is not recorded, and the one at
    /// fault may be behind it: the module folds them together.
    pub line: u32,
    /// How many lines are not taken because of it: all of its aggregate, but those that were taken before, where it has more than a thousand.
    pub lines: u32,
    /// The event, as the line names it; none: the line cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "customer/C1/2")]
    pub event: Option<String>,
    /// The reason, for machines.
    #[schema(example = "gap")]
    pub code: String,
    /// The reason, for people.
    pub message: String,
}

fn first_version() -> u32 {
    1
}

/// A moment that can be recorded: it is no other one afterwards.
fn recordable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    let Some(text) = Option::<Cow<'_, str>>::deserialize(deserializer)? else { return Ok(None) };
    let ms = Time::ms_of(&text).map_err(de::Error::custom)?;
    let ms = u64::try_from(ms).map_err(|_| de::Error::custom("`at` is before 1970, and no such time can be recorded"))?;
    if ms > LAST_MS {
        return Err(de::Error::custom("`at` is after the year 9999, and no such time can be shown"));
    }
    Ok(Some(Time::from_ms(ms)))
}

/// A number, or a text of digits.
fn revision<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct Revision;

    impl de::Visitor<'_> for Revision {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number from 1 on")
        }

        fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
            Ok(Some(number.to_string()))
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(text.to_owned()))
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    deserializer.deserialize_any(Revision)
}
