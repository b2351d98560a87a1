//! How an attempt ends when it is not done: refused, transient, unknown, or waiting.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bindings::imports::amends::module::types as wit;
use crate::bindings::saga::exports::amends::module::saga as wit_saga;
use crate::{Moment, http, payload};

/// The result of a step function: its output, or why it stopped.
pub type Result<T = (), E = Stop> = std::result::Result<T, E>;

/// Why an attempt is not done.
///
/// The host treats the four cases differently:
///
/// | case | meaning | before the pivot the host |
/// |---|---|---|
/// | [`refused`] | a business decision: nothing happened, and nothing will happen | rolls the saga back |
/// | [`transient`] | nothing happened, and another attempt may succeed | retries |
/// | [`unknown`] | it may have happened | follows the policy of the step: retry with the same key, check, or never run it again |
/// | [`Wait`] | the step waits for an event, a moment or an answer | calls the step again with it |
///
/// After the point of no return a refusal makes the saga stuck. A compensation cannot refuse: there, `refused` counts as
/// `transient`. A panic is a trap: it counts as `transient` if the attempt sent nothing, and as `unknown` otherwise.
///
/// `?` converts errors: JSON that does not parse and HTTP calls that did not leave the host are `transient`; once the attempt has
/// sent a request that may change something, they are `unknown`.
///
/// ```
/// use amends_sdk::{Result, Stop, refused};
///
/// fn seats(left: u32) -> Result<u32> {
///     left.checked_sub(1).ok_or_else(|| refused("no_seat", "F100 has no seats left"))
/// }
/// assert!(matches!(seats(0), Err(Stop::Refused(failure)) if failure.code == "no_seat"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Stop {
    /// Nothing happened, and nothing will happen.
    Refused(Failure),
    /// Nothing happened, and another attempt may succeed.
    Transient(Failure),
    /// It may have happened.
    Unknown(Failure),
    /// The step waits for an event, a moment or an answer.
    Wait(Wait),
}

impl Stop {
    /// Adds data for machines to the failure, which the saga shows beside code and message. A wait has no failure and stays as it
    /// is.
    pub fn with(self, data: impl Serialize) -> Stop {
        let add = |failure: Failure| Failure { data: serde_json::to_value(data).ok(), ..failure };
        match self {
            Stop::Refused(failure) => Stop::Refused(add(failure)),
            Stop::Transient(failure) => Stop::Transient(add(failure)),
            Stop::Unknown(failure) => Stop::Unknown(add(failure)),
            Stop::Wait(wait) => Stop::Wait(wait),
        }
    }
}

/// A business decision: nothing happened, and nothing will happen. `code` is for machines (`no_car`), `message` for people.
pub fn refused(code: impl Into<String>, message: impl fmt::Display) -> Stop {
    Stop::Refused(Failure::new(code, message))
}

/// Nothing happened, and another attempt may succeed.
pub fn transient(code: impl Into<String>, message: impl fmt::Display) -> Stop {
    Stop::Transient(Failure::new(code, message))
}

/// It may have happened. If you are not sure that nothing happened, use this and not [`transient`].
pub fn unknown(code: impl Into<String>, message: impl fmt::Display) -> Stop {
    Stop::Unknown(Failure::new(code, message))
}

/// Why something did not happen, or may not have happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For machines: `no_car`. It is the saga's `failure.code` if this failure ended the saga.
    pub code: String,
    /// For people: `K1 has no cars left`.
    pub message: String,
    /// More for machines.
    #[serde(default)]
    pub data: Option<Value>,
}

impl Failure {
    /// A failure without data.
    pub fn new(code: impl Into<String>, message: impl fmt::Display) -> Failure {
        Failure { code: code.into(), message: message.to_string(), data: None }
    }
}

/// What a step waits for: an event, a moment, the answer to a command, or whichever comes first.
///
/// Most steps use [`Call::event`](crate::Call::event), [`Call::event_until`](crate::Call::event_until),
/// [`Call::sleep`](crate::Call::sleep) or [`Call::ask`](crate::Call::ask). While it waits a saga uses no memory of the host. A wait is at most ten years.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    event: Option<(String, String)>,
    until: Option<Moment>,
    answer: Option<String>,
}

impl Wait {
    /// Waits for the first event of this type and key that this saga has not consumed; it may have arrived before.
    pub fn event(event_type: impl Into<String>, key: impl Into<String>) -> Wait {
        Wait { event: Some((event_type.into(), key.into())), until: None, answer: None }
    }

    /// Waits for a moment.
    pub fn until(moment: Moment) -> Wait {
        Wait { event: None, until: Some(moment), answer: None }
    }

    /// Waits for the answer to a command that this step has [sent](crate::Call::send), in this attempt or an earlier one. A compensation
    /// waits for answers to its own commands, and so does each alternate and each round.
    pub fn answer(command: impl Into<String>) -> Wait {
        Wait { event: None, until: None, answer: Some(command.into()) }
    }

    /// Waits no longer than this.
    pub fn or_until(self, moment: Moment) -> Wait {
        Wait { until: Some(moment), ..self }
    }
}

impl From<Wait> for Stop {
    fn from(wait: Wait) -> Stop {
        Stop::Wait(wait)
    }
}

impl From<serde_json::Error> for Stop {
    fn from(error: serde_json::Error) -> Stop {
        match http::may_have_changed() {
            true => unknown("bad_json", error),
            false => transient("bad_json", error),
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Refused(failure) => write!(f, "refused: {failure}"),
            Stop::Transient(failure) => write!(f, "transient: {failure}"),
            Stop::Unknown(failure) => write!(f, "unknown: {failure}"),
            Stop::Wait(wait) => write!(f, "waits for {wait}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((event_type, key)) = &self.event {
            write!(f, "event {event_type}/{key}")?;
        }
        if let Some(command) = &self.answer {
            write!(f, "the answer to command {command}")?;
        }
        match (self.until, self.event.is_some() || self.answer.is_some()) {
            (Some(until), true) => write!(f, " until {until}"),
            (Some(until), false) => write!(f, "{until}"),
            (None, _) => Ok(()),
        }
    }
}

impl std::error::Error for Stop {}

impl From<Failure> for wit::Failure {
    fn from(failure: Failure) -> wit::Failure {
        let Failure { code, message, data } = failure;
        wit::Failure { code, message, data: data.map(|data| payload::json(data.to_string())) }
    }
}

impl From<&wit::Failure> for Failure {
    fn from(failure: &wit::Failure) -> Failure {
        let data = failure.data.as_ref().and_then(|data| payload::decode(data).ok());
        Failure { code: failure.code.clone(), message: failure.message.clone(), data }
    }
}

impl From<Wait> for wit_saga::Wait {
    fn from(wait: Wait) -> wit_saga::Wait {
        wit_saga::Wait {
            event: wait.event.map(|(event_type, key)| wit_saga::EventWait { event_type, key }),
            until: wait.until.map(Moment::as_millis),
            answer: wait.answer,
        }
    }
}
