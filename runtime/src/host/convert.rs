//! Between the guest contract's types and the core's: a call going in, an outcome coming out.
//!
//! What comes out is hostile: sizes are checked, JSON is parsed, moments are bounded. An output that is not well-formed is the
//! guest's fault; a failure that is not well-formed is still that failure.

use amends_core::{
    event::{Answer, Answered, AnsweredEvent, Reason, RollbackCause, Topic, Wait, Woken},
    id::{Direction, StepKey, StepPath},
    outcome::{Outcome, WAIT_MS_MAX},
    plain::{is_hostile, shown},
    value::{Failure, Format, Instant, Payload},
};

use super::{
    bindings::{amends::module::types as wit, exports::amends::module::saga},
    fault::{Fault, FaultCode, cut},
    json,
    messages::{command_id, command_number},
};
use crate::{
    engine::guests::{GuestCall, StepCall},
    journal,
};

/// The longest code of a failure: it is for machines.
const CODE_BYTES_MAX: usize = 128;

/// The longest type or key of an event that a guest waits for.
const TOPIC_BYTES_MAX: usize = 1 << 10;

/// What a step, its compensation or its check is told.
pub(super) fn call(call: &GuestCall, step: &StepCall, payload_bytes_max: usize) -> Result<saga::Call, Fault> {
    let inward = |payload: &Payload| payload_in(payload, payload_bytes_max);
    let leg = &step.attempt.leg;
    let (direction, undo_alternate) = match leg.direction {
        Direction::Forward => (saga::Direction::Forward, 0),
        Direction::Undo(alternate) => (saga::Direction::Undo, alternate),
        Direction::Check => (saga::Direction::Check, 0),
    };
    let outputs = step.outputs.iter().map(|(name, output)| Ok(wit::Named { name: name.clone(), payload: inward(output)? }));
    Ok(saga::Call {
        saga: call.of.id.clone(),
        definition: step.definition.clone(),
        step: step.name.clone(),
        path: leg.path.to_string(),
        element: step.element.clone(),
        direction,
        alternate: leg.alternate,
        undo_alternate,
        round: leg.round,
        attempt: step.attempt.number,
        key: step.key.to_string(),
        forward_key: step.forward_key.to_string(),
        deadline_at: call.deadline_at.0,
        input: inward(&step.input)?,
        outputs: outputs.collect::<Result<_, Fault>>()?,
        own_output: step.own_output.as_ref().map(inward).transpose()?,
        last_failure: step.last_failure.as_ref().map(|failure| failure_in(failure, payload_bytes_max)).transpose()?,
        rollback_cause: step.rollback_cause.as_ref().map(|cause| cause_in(cause, payload_bytes_max)).transpose()?,
        may_have_run: step.may_have_run,
        arrived: step.arrived.as_ref().map(|woken| woken_in(woken, call, step, payload_bytes_max)).transpose()?,
    })
}

/// What came of `execute` of the step at this path.
pub(super) fn outcome(outcome: saga::Outcome, path: &str, bounds: Bounds) -> Result<Outcome, Fault> {
    Ok(match outcome {
        saga::Outcome::Done(output) => Outcome::Done(bounds.payload(output, "output")?),
        saga::Outcome::Refused(failure) => Outcome::Refused(bounds.failure(failure, "refused")),
        saga::Outcome::Transient(failure) => Outcome::Transient(bounds.failure(failure, "transient")),
        saga::Outcome::Unknown(failure) => Outcome::Unknown(bounds.failure(failure, "unknown")),
        saga::Outcome::Wait(wait) => Outcome::Wait(bounds.wait(wait, path)?),
    })
}

/// What came of `compensate` of the step at this path.
pub(super) fn undo_outcome(outcome: saga::UndoOutcome, path: &str, bounds: Bounds) -> Result<Outcome, Fault> {
    Ok(match outcome {
        saga::UndoOutcome::Done => Outcome::Done(Payload::null()),
        saga::UndoOutcome::Transient(failure) => Outcome::Transient(bounds.failure(failure, "transient")),
        saga::UndoOutcome::Unknown(failure) => Outcome::Unknown(bounds.failure(failure, "unknown")),
        saga::UndoOutcome::Wait(wait) => Outcome::Wait(bounds.wait(wait, path)?),
    })
}

/// What came of `check`.
pub(super) fn check_outcome(outcome: saga::CheckOutcome, bounds: Bounds) -> Result<Outcome, Fault> {
    Ok(match outcome {
        saga::CheckOutcome::Done(output) => Outcome::Done(bounds.payload(output, "output")?),
        saga::CheckOutcome::NotDone => Outcome::NotDone,
        saga::CheckOutcome::Unknown(failure) => Outcome::Unknown(bounds.failure(failure, "unknown")),
    })
}

/// What an outcome may hold.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// The size of a payload.
    pub(super) payload_bytes_max: usize,
    /// When the step became ready: a wait is counted from it.
    pub(super) now: Instant,
    /// The leg to whose commands a wait may want the answer.
    pub(super) key: StepKey,
}

impl Bounds {
    pub(super) fn payload(&self, payload: wit::Payload, what: &str) -> Result<Payload, Fault> {
        let (format, bytes) = match payload {
            wit::Payload::Json(text) => (Format::Json, text.into_bytes()),
            wit::Payload::Bytes(bytes) => (Format::Bytes, bytes),
        };
        if bytes.len() > self.payload_bytes_max {
            let message =
                format!("the {what} has {} bytes and may have {} (`payload` in [limits])", bytes.len(), self.payload_bytes_max);
            return Err(Fault::bad_output(message));
        }
        if format == Format::Json {
            json::check(&bytes).map_err(|error| Fault::bad_output(format!("the {what} says it is JSON and is not: {error}")))?;
        }
        Ok(Payload { format, bytes: bytes.into() })
    }

    /// A failure, brought into form. It never ends the attempt in another way: the outcome is what the guest is sure of, and its
    /// details are for reading. `unnamed` is the code of a failure whose code has nothing to read.
    pub(super) fn failure(&self, failure: wit::Failure, unnamed: &str) -> Failure {
        let message = cut(&failure.message);
        let code = code(&failure.code, unnamed);
        match failure.data.map(|data| self.payload(data, "failure's data")).transpose() {
            Ok(data) => Failure { code, message, data },
            Err(fault) => Failure { code, message: format!("{message} [left out: {}]", fault.message), data: None },
        }
    }

    fn wait(&self, wait: saga::Wait, path: &str) -> Result<Wait, Fault> {
        let answer = wait.answer.map(|command| {
            let unknown = || {
                let command = shown(&command).escape_debug();
                Fault::bad_output(format!(
                    "step {path} waits for the answer to the command `{command}`, which is none that it has sent"
                ))
            };
            command_number(self.key, &command).ok_or_else(unknown)
        });
        let answer = answer.transpose()?;
        if wait.event.is_none() && wait.until.is_none() && answer.is_none() {
            return Err(Fault::bad_output(
                "a wait needs an event, a moment, or the answer to a command; this one would never end",
            ));
        }
        let until = wait.until.map(Instant);
        if let Some(until) = until.filter(|until| until.since(self.now) > WAIT_MS_MAX) {
            return Err(Fault::bad_output(format!(
                "a wait until {} ms is over 10 years away; moments are milliseconds since 1970",
                until.0
            )));
        }
        let event = wait.event.map(topic).transpose()?;
        Ok(Wait { event, until, answer })
    }
}

/// A code that shows as what it is, at most [`CODE_BYTES_MAX`] long.
fn code(code: &str, unnamed: &str) -> String {
    let is_blank = |c: char| c.is_whitespace() || is_hostile(c);
    let readable: String = code.trim_matches(is_blank).chars().map(|c| if is_hostile(c) { '_' } else { c }).collect();
    let end = readable.floor_char_boundary(CODE_BYTES_MAX);
    match &readable[..end] {
        "" => unnamed.to_owned(),
        code => code.to_owned(),
    }
}

/// Whether a text may be the key of an event.
pub(super) fn is_key(text: &str) -> bool {
    text.len() <= TOPIC_BYTES_MAX && !text.chars().any(char::is_control)
}

fn topic(event: saga::EventWait) -> Result<Topic, Fault> {
    if event.event_type.is_empty() || !is_key(&event.event_type) || !is_key(&event.key) {
        return Err(Fault::bad_output(format!(
            "the type and key of an awaited event have at most {TOPIC_BYTES_MAX} bytes without control characters, and the type is not empty"
        )));
    }
    Ok(Topic { event_type: event.event_type, key: event.key })
}

pub(super) fn payload_in(payload: &Payload, bytes_max: usize) -> Result<wit::Payload, Fault> {
    let bytes = &payload.bytes;
    if bytes.len() > bytes_max {
        return Err(Fault::new(
            FaultCode::BadInput,
            format!("a payload of {} bytes is over the limit of {bytes_max} (`payload` in [limits])", bytes.len()),
        ));
    }
    match payload.format {
        Format::Bytes => Ok(wit::Payload::Bytes(bytes.to_vec())),
        Format::Json => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(wit::Payload::Json(text.to_owned())),
            Err(_) => Err(Fault::new(FaultCode::BadInput, "a recorded JSON payload is not UTF-8")),
        },
    }
}

fn failure_in(failure: &Failure, bytes_max: usize) -> Result<wit::Failure, Fault> {
    let data = failure.data.as_ref().map(|data| payload_in(data, bytes_max)).transpose()?;
    Ok(wit::Failure { code: failure.code.clone(), message: failure.message.clone(), data })
}

fn cause_in(cause: &RollbackCause, bytes_max: usize) -> Result<saga::RollbackCause, Fault> {
    let failed = |step: &StepPath, failure: &Failure| {
        Ok(saga::FailedStep { step: step.to_string(), failure: failure_in(failure, bytes_max)? })
    };
    Ok(match cause {
        RollbackCause::Saga(reason) => match &**reason {
            Reason::Refused(step, failure) => saga::RollbackCause::Refused(failed(step, failure)?),
            Reason::Exhausted(step, failure) => saga::RollbackCause::Exhausted(failed(step, failure)?),
            Reason::Unknown(step, failure) => saga::RollbackCause::Unknown(failed(step, failure)?),
            Reason::Cancelled => saga::RollbackCause::Cancelled,
            Reason::Deadline => saga::RollbackCause::Deadline,
        },
        RollbackCause::AlternateRefused(failure) => saga::RollbackCause::AlternateRefused(failure_in(failure, bytes_max)?),
    })
}

fn woken_in(woken: &Woken, call: &GuestCall, step: &StepCall, bytes_max: usize) -> Result<saga::Arrival, Fault> {
    Ok(match woken {
        Woken::Answer(answered) => saga::Arrival::Answer(answered_in(answered, call, step, bytes_max)?),
        Woken::Timer => saga::Arrival::Timer,
        Woken::Event(arrival) => saga::Arrival::Event(saga::EventArrival {
            id: arrival.id.clone(),
            event_type: arrival.topic.event_type.clone(),
            key: arrival.topic.key.clone(),
            data: arrival.data.as_ref().map(|data| payload_in(data, bytes_max)).transpose()?,
        }),
    })
}

fn answered_in(answered: &Answered, call: &GuestCall, step: &StepCall, bytes_max: usize) -> Result<wit::Answered, Fault> {
    let answer = answer_in(answered, &call.of.id, bytes_max)?;
    Ok(wit::Answered { command: command_id(step.key, answered.number), answer })
}

/// What was decided about a command, in the chain of causes of this root.
pub(super) fn answer_in(answered: &Answered, root: &str, bytes_max: usize) -> Result<wit::Answer, Fault> {
    let Answered { aggregate, from, answer, .. } = answered;
    Ok(match answer {
        Answer::Refused(failure) => wit::Answer::Refused(failure_in(failure, bytes_max)?),
        Answer::Accepted { revision, events, data } => {
            let event = |event: &AnsweredEvent| {
                Ok(wit::RecordedEvent {
                    id: format!("{aggregate}/{from}/{}", event.revision),
                    event_type: event.event_type.clone(),
                    version: event.version,
                    source: aggregate.clone(),
                    key: from.clone(),
                    revision: event.revision,
                    position: journal::position_text(event.position),
                    at: event.at.0,
                    correlation: root.to_owned(),
                    data: event.data.as_ref().map(|data| payload_in(data, bytes_max)).transpose()?,
                })
            };
            let events = events.iter().map(event).collect::<Result<_, Fault>>()?;
            let data = data.as_ref().map(|data| payload_in(data, bytes_max)).transpose()?;
            wit::Answer::Accepted(wit::Accepted { revision: *revision, events, data })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { payload_bytes_max: 16, now: Instant(0), key: StepKey([0; 16]) };

    fn failure(code: &str, data: Option<wit::Payload>) -> wit::Failure {
        wit::Failure { code: code.to_owned(), message: "sold out".to_owned(), data }
    }

    /// The kind: a sure answer turned into doubt by the form of its details. A refusal with an empty code became a trap, hence
    /// `unknown`, and was tried for a day.
    #[test]
    fn c2_06_a_failure_that_is_not_well_formed_is_still_that_failure() {
        let refused = |code: &str| match outcome(saga::Outcome::Refused(failure(code, None)), "a", BOUNDS) {
            Ok(Outcome::Refused(failure)) => failure.code,
            other => format!("{other:?}"),
        };
        assert_eq!(refused("no_car"), "no_car");
        for (code, kept) in [("", "refused"), (" \n\u{202e}", "refused"), ("sold\nout\t", "sold_out"), ("\u{1b}[2Jx", "[2Jx")] {
            assert_eq!(refused(code), kept, "{code:?}");
        }
        assert_eq!(refused(&"x".repeat(300)), "x".repeat(128));
        assert_eq!(refused(&"é".repeat(300)), "é".repeat(64));
        let of = |failed: saga::Outcome| outcome(failed, "a", BOUNDS);
        let coded = |code: &str| Failure::new(code, "sold out");
        assert_eq!(of(saga::Outcome::Transient(failure("", None))), Ok(Outcome::Transient(coded("transient"))));
        assert_eq!(of(saga::Outcome::Unknown(failure("", None))), Ok(Outcome::Unknown(coded("unknown"))));
        let undo = undo_outcome(saga::UndoOutcome::Transient(failure("\n", None)), "a", BOUNDS);
        assert_eq!(undo, Ok(Outcome::Transient(coded("transient"))));
        let check = check_outcome(saga::CheckOutcome::Unknown(failure("", None)), BOUNDS);
        assert_eq!(check, Ok(Outcome::Unknown(coded("unknown"))));
    }

    #[test]
    fn c2_06_data_that_cannot_be_kept_is_left_out_and_the_failure_says_so() {
        let refused = |data: wit::Payload| match outcome(saga::Outcome::Refused(failure("no", Some(data))), "a", BOUNDS) {
            Ok(Outcome::Refused(failure)) => (failure.message, failure.data),
            other => (format!("{other:?}"), None),
        };
        assert_eq!(refused(wit::Payload::Json("[1]".to_owned())), ("sold out".to_owned(), Some(Payload::json("[1]"))));
        let (message, data) = refused(wit::Payload::Json("{".to_owned()));
        assert!(message.starts_with("sold out [left out: the failure's data says it is JSON and is not"), "{message}");
        assert_eq!(data, None);
        let too_long = "sold out [left out: the failure's data has 17 bytes and may have 16 (`payload` in [limits])]";
        assert_eq!(refused(wit::Payload::Bytes(vec![0; 17])), (too_long.to_owned(), None));
    }
}
