//! Values, moments and statuses of the core as JSON types.

use std::sync::Arc;

use amends_core::{
    definition,
    event::Why,
    id,
    value::{Format, Instant, Payload},
    view,
};
use amends_wire::{
    Json, Time,
    definition::Kind,
    saga::{Direction, Status, StepStatus, StuckCode},
    value::base64,
};
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::api::text::SHARED_BYTES_MIN;

/// A payload: its JSON text, or `{"base64":"…"}` where it is not JSON.
pub fn json(payload: &Payload) -> Json {
    // Parsed again, because a guest may claim that its output is JSON, and an answer with it must stay readable.
    if let Some(json) = Some(payload).filter(|payload| payload.format == Format::Json).and_then(of_text) {
        return json;
    }
    let base64 = RawValue::from_string(format!("{{\"base64\":\"{}\"}}", base64(&payload.bytes)));
    Json::from(base64.unwrap_or_else(|_| RawValue::NULL.to_owned()))
}

fn of_text(payload: &Payload) -> Option<Json> {
    let text = str::from_utf8(&payload.bytes).ok()?.trim();
    match text.len() >= SHARED_BYTES_MIN {
        true => Json::shared(Arc::new(Text(payload.bytes.slice_ref(text.as_bytes())))),
        false => RawValue::from_string(text.to_owned()).ok().map(Json::from),
    }
}

/// Bytes that were found to be a text.
struct Text(Bytes);

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// A moment.
pub fn time(instant: Instant) -> Time {
    Time::from_ms(instant.0)
}

/// The status of a saga.
pub fn status(status: view::Status) -> Status {
    match status {
        view::Status::Completed => Status::Completed,
        view::Status::Compensated => Status::Compensated,
        view::Status::Abandoned => Status::Abandoned,
        view::Status::Stuck => Status::Stuck,
        view::Status::Compensating => Status::Compensating,
        view::Status::Waiting => Status::Waiting,
        view::Status::Running => Status::Running,
    }
}

/// The status of a step.
pub fn step_status(status: view::StepStatus) -> StepStatus {
    match status {
        view::StepStatus::Pending => StepStatus::Pending,
        view::StepStatus::Running => StepStatus::Running,
        view::StepStatus::Waiting => StepStatus::Waiting,
        view::StepStatus::BackingOff => StepStatus::BackingOff,
        view::StepStatus::Done => StepStatus::Done,
        view::StepStatus::Skipped => StepStatus::Skipped,
        view::StepStatus::Refused => StepStatus::Refused,
        view::StepStatus::Unknown => StepStatus::Unknown,
        view::StepStatus::Compensating => StepStatus::Compensating,
        view::StepStatus::Compensated => StepStatus::Compensated,
        view::StepStatus::Stuck => StepStatus::Stuck,
    }
}

/// The kind of a step.
pub fn kind(kind: definition::Kind) -> Kind {
    match kind {
        definition::Kind::Compensatable => Kind::Compensatable,
        definition::Kind::Pivot => Kind::Pivot,
        definition::Kind::Retriable => Kind::Retriable,
    }
}

/// The leg of a step.
pub fn direction(direction: id::Direction) -> Direction {
    match direction {
        id::Direction::Forward => Direction::Forward,
        id::Direction::Undo(_) => Direction::Undo,
        id::Direction::Check => Direction::Check,
    }
}

/// Why a leg is stuck, for machines.
pub fn stuck_code(why: &Why) -> StuckCode {
    match why {
        Why::Exhausted(_) => StuckCode::Exhausted,
        Why::Refused(_) => StuckCode::Refused,
        Why::Unknown(_) => StuckCode::Unknown,
        Why::PivotInDoubt(_) => StuckCode::PivotInDoubt,
        Why::Denied(_) => StuckCode::Denied,
        Why::HostDied => StuckCode::HostDied,
        Why::JournalFull => StuckCode::JournalFull,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_claims_to_be_json_is_shown_as_bytes() {
        assert_eq!(json(&Payload::json(" {\"a\": 1} ")).as_str(), "{\"a\": 1}");
        assert_eq!(json(&Payload::json("{oops")).as_str(), "{\"base64\":\"e29vcHM=\"}");
        let long = format!("\"{}\"", "x".repeat(2_000));
        assert_eq!(json(&Payload::json(format!("  {long}\n"))).as_str(), long);
        assert!(json(&Payload::json(format!("{long}x"))).as_str().starts_with("{\"base64\":"));
        assert_eq!(json(&Payload::opaque("foo")).as_str(), "{\"base64\":\"Zm9v\"}");
    }
}
