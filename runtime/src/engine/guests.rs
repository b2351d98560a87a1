//! The engine's view of guest code: one call in, one report out.
//!
//! What every call has is in [`GuestCall`], and whoever runs guests needs no more to schedule, meter and end it. What it is for is
//! [`Work`]: another kind that runs guest code has a variant there, in [`CallId`] and in [`GuestReport`], and the compiler names the
//! places that must know it.

use std::{fmt, sync::Arc, time::Duration};

use amends_core::{
    event::{Attempt, RollbackCause, Woken},
    id::{Direction, StepKey},
    outcome::{Left, Outcome, Report},
    value::{Failure, Instant, Payload},
};
use serde::{Deserialize, Serialize};

use crate::journal::{Grant, StreamId};

/// The SHA-256 of a component.
pub type ModuleDigest = [u8; 32];

/// One call of guest code, with everything that the guest and the host's functions need to know.
#[derive(Clone, Debug)]
pub struct GuestCall {
    /// The stream that it runs for: the report goes back to it.
    pub of: StreamId,
    /// The module's name, for logs.
    pub module: String,
    /// The module's version, for logs.
    pub version: u32,
    /// The component to run (law 9).
    pub digest: ModuleDigest,
    /// Law-bound time: when what is to be done became ready. The guest's clock stands still at it.
    pub now: Instant,
    /// When this call began.
    pub started_at: Instant,
    /// When it is ended from outside.
    pub deadline_at: Instant,
    /// It may reach outside, as is recorded. If not, every outgoing call is denied.
    pub reaches_outside: bool,
    /// Its definition declares that it does not reach outside; a denial names that.
    pub effect_free: bool,
    /// What the module may reach and its config, as of the snapshot that the call was decided under.
    pub grants: Arc<[Grant]>,
    /// W3C `traceparent` of the request that led to it.
    pub trace_context: Option<String>,
    /// What it is for.
    pub work: Work,
}

impl GuestCall {
    /// The same call, which begins later than it was meant to: its time begins with its guest.
    pub fn later_by(self, waited: Duration) -> Self {
        let ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        Self { started_at: self.started_at.plus(ms), deadline_at: self.deadline_at.plus(ms), ..self }
    }
}

/// What guest code is called for.
#[derive(Clone, Debug)]
pub enum Work {
    /// A step of a saga, its compensation or its check.
    Step(Box<StepCall>),
}

/// Which call it is, among those of its stream: what the crash marker and the log say of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallId {
    /// An attempt of a saga's leg.
    Step(Attempt),
}

/// What participants are told about the caller, so that they recognise a request that is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The same however often the call is tried: randomness, ids and the keys of its requests derive from it (law 10).
    pub key: StepKey,
    /// Which try it is, from 1.
    pub attempt: u32,
    /// The key of what it undoes, if it undoes something.
    pub undoes: Option<StepKey>,
}

impl Work {
    /// Which call it is, among those of its stream.
    pub fn id(&self) -> CallId {
        match self {
            Self::Step(step) => CallId::Step(step.attempt.clone()),
        }
    }

    /// Whether it is this call.
    pub fn is(&self, id: &CallId) -> bool {
        match (self, id) {
            (Self::Step(step), CallId::Step(attempt)) => step.attempt == *attempt,
        }
    }

    /// What its requests say about it.
    pub fn mark(&self) -> Mark {
        match self {
            Self::Step(step) => {
                let undoes = match step.attempt.leg.direction {
                    Direction::Undo(_) => Some(step.forward_key),
                    Direction::Forward | Direction::Check => None,
                };
                Mark { key: step.key, attempt: step.attempt.number, undoes }
            }
        }
    }

    /// It only asks: of its requests those leave that change nothing.
    pub fn only_asks(&self) -> bool {
        match self {
            Self::Step(step) => step.attempt.leg.direction == Direction::Check,
        }
    }
}

impl CallId {
    /// The attempt of a saga's leg that it is, if it is one.
    pub fn attempt(&self) -> Option<&Attempt> {
        match self {
            Self::Step(attempt) => Some(attempt),
        }
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(attempt) => write!(f, "{} attempt {}", attempt.leg, attempt.number),
        }
    }
}

/// What a step, its compensation or its check is told.
#[derive(Clone, Debug)]
pub struct StepCall {
    /// The definition's name.
    pub definition: String,
    /// The step's name; its path is in `attempt`.
    pub name: String,
    /// The key of the `each` element.
    pub element: Option<String>,
    /// Which leg, which attempt.
    pub attempt: Attempt,
    /// The leg's key (law 10).
    pub key: StepKey,
    /// The forward leg's key.
    pub forward_key: StepKey,
    /// The saga's input.
    pub input: Payload,
    /// The outputs that the step needs, in its order.
    pub outputs: Vec<(String, Payload)>,
    /// What the step had returned, when undoing or checking.
    pub own_output: Option<Payload>,
    /// The last failure of this leg; in a first compensation the forward one.
    pub last_failure: Option<Failure>,
    /// Why, in a compensation: the same in every attempt and alternate.
    pub rollback_cause: Option<RollbackCause>,
    /// An earlier attempt may have happened.
    pub may_have_run: bool,
    /// What ended the wait before this attempt.
    pub arrived: Option<Woken>,
}

/// What came of a call, for the kind that asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuestReport {
    /// Of a step, its compensation or its check.
    Step(Report),
}

impl GuestReport {
    /// Of a call that was withdrawn before its guest began: it did not happen, and charges nothing.
    pub fn withdrawn(call: CallId) -> Self {
        let failure = Failure::new("withdrawn", "the attempt had not begun when its saga had no use for it any more");
        match call {
            CallId::Step(attempt) => Self::Step(Report { attempt, outcome: Outcome::HostFault(failure), left: Left::Nothing }),
        }
    }

    /// What came of a step, its compensation or its check, if it was one.
    pub fn into_step(self) -> Option<Report> {
        match self {
            Self::Step(report) => Some(report),
        }
    }
}

/// Runs guests, apart from the engine, the API and the committer.
pub trait Guests: Send + Sync + 'static {
    /// Makes one call and gives its report to `caller`, and so on with the calls that `caller` answers, from any thread.
    ///
    /// It never blocks: beyond the number of guests in flight a call waits its turn.
    fn run(&self, call: GuestCall, caller: Box<dyn Caller>);

    /// Makes this call of a stream no more if its guest has not begun: its caller gets [`GuestReport::withdrawn`] as the last report.
    /// A call that has begun goes on, and one that is not known changes nothing.
    ///
    /// It never blocks, and may be asked for on the thread that takes the reports.
    fn withdraw(&self, of: &StreamId, call: &CallId);
}

/// Takes the reports of calls. What wants to go on without the engine answers a report with its next call.
pub trait Caller: Send {
    /// Takes the report of a call: exactly one for each. The next call, if there is one, is made on the same thread.
    fn report(&mut self, report: GuestReport) -> Option<GuestCall>;

    /// Takes the report of a call after which this thread makes no other one.
    fn last_report(self: Box<Self>, report: GuestReport);
}

/// Somebody who goes on with a report where its guest ran, without the shard. The shard and the thread of the guest share it.
pub trait Ahead: fmt::Debug + Send + Sync {
    /// Takes the report of a call, on the thread of its guest.
    fn report(&self, report: GuestReport, now: Instant) -> Next;

    /// A bug ended a decision half-way, so that it cannot go on anywhere.
    fn is_lost(&self) -> bool;
}

/// What follows from a report.
#[derive(Debug)]
pub enum Next {
    /// The next call.
    Call(Box<GuestCall>),
    /// It has ended what it could: `Returned` is due.
    Return,
    /// It was called back before: the report is the shard's.
    Report(GuestReport),
}

/// A guest that was executing when the host died.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// The stream that it ran for.
    pub of: StreamId,
    /// Which call.
    pub call: CallId,
}

#[cfg(test)]
impl GuestCall {
    /// The call of a step: what most tests are about.
    pub(crate) fn step(&self) -> &StepCall {
        match &self.work {
            Work::Step(step) => step,
        }
    }

    /// The same, to be changed.
    pub(crate) fn step_mut(&mut self) -> &mut StepCall {
        match &mut self.work {
            Work::Step(step) => step,
        }
    }
}
