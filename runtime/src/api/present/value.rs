//! Values, moments and statuses of the core as JSON types.

use std::borrow::Cow;

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
use serde_json::value::RawValue;

/// A payload: its JSON text, or `{"base64":"…"}` where it is not JSON.
pub fn json(payload: &Payload) -> Json {
    let text = match payload.format {
        Format::Json => str::from_utf8(&payload.bytes).ok().map(str::trim).map(Cow::Borrowed),
        Format::Bytes => None,
    };
    // Parsed again, because a guest may claim that its output is JSON, and an answer with it must stay readable.
    let raw = text.and_then(|text| RawValue::from_string(text.into_owned()).ok());
    match raw.map_or_else(|| RawValue::from_string(format!("{{\"base64\":\"{}\"}}", base64(&payload.bytes))), Ok) {
        Ok(raw) => Json(raw),
        Err(_) => Json(RawValue::NULL.to_owned()),
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
        assert_eq!(json(&Payload::opaque("foo")).as_str(), "{\"base64\":\"Zm9v\"}");
    }
}
