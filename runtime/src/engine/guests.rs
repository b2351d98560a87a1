//! The engine's view of guest code: one call in, one report out.
//!
//! What every call has is in [`GuestCall`], and whoever runs guests needs no more to schedule, meter and end it. What it is for is
//! [`Work`]: another kind that runs guest code has a variant there, in [`CallId`] and in [`GuestReport`], and the compiler names the
//! places that must know it.

use std::{fmt, sync::Arc, time::Duration};

use amends_core::{
    aggregate::{AggregateEvent, Claim},
    effects::Counts,
    event::{Answered, Attempt, Published, RollbackCause, Sent, Woken},
    id::{Direction, StepKey},
    outcome::{Left, Outcome, Report},
    policy::{SagaStart, State, Timer},
    value::{Failure, Instant, Payload},
};
use serde::{Deserialize, Serialize};

use super::{recorded::RecordedEvent, view::ViewRows};
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
    /// Commands for an aggregate, and the state that they are decided on.
    Decide(Box<DecideCall>),
    /// The state of an aggregate alone.
    Fold(Box<FoldCall>),
    /// Events for a projection.
    Project(Box<ProjectCall>),
    /// A question to a view.
    Query(Box<QueryCall>),
    /// A cause for a policy.
    Handle(Box<HandleCall>),
}

/// Which call it is, among those of its stream: what the crash marker and the log say of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallId {
    /// An attempt of a saga's leg.
    Step(Attempt),
    /// Commands for an aggregate that had so many events.
    Decide {
        /// Its revision before them.
        after: u64,
        /// How many.
        count: u32,
    },
    /// A fold of an aggregate's events.
    Fold {
        /// Its revision after them.
        through: u64,
    },
    /// Events for a projection.
    Project {
        /// The position of the first one.
        first: u64,
        /// How many.
        count: u32,
    },
    /// A question to a view.
    Query {
        /// Its name.
        name: String,
    },
    /// A cause for a policy.
    Handle {
        /// Its position.
        position: u64,
        /// The number of the attempt, from 1.
        attempt: u32,
    },
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
            Self::Decide(decide) => CallId::Decide { after: decide.fold.revision(), count: decide.commands.len() as u32 },
            Self::Fold(fold) => CallId::Fold { through: fold.revision() },
            Self::Project(project) => CallId::Project {
                first: project.events.first().map_or(0, |event| event.position),
                count: project.events.len() as u32,
            },
            Self::Query(query) => CallId::Query { name: query.name.clone() },
            Self::Handle(handle) => CallId::Handle { position: handle.position, attempt: handle.attempt },
        }
    }

    /// Whether it is this call.
    pub fn is(&self, id: &CallId) -> bool {
        match (self, id) {
            (Self::Step(step), CallId::Step(attempt)) => step.attempt == *attempt,
            (Self::Step(_), _) => false,
            (Self::Decide(_) | Self::Fold(_) | Self::Project(_) | Self::Query(_) | Self::Handle(_), id) => self.id() == *id,
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
            Self::Decide(decide) => Mark { key: decide.key, attempt: 1, undoes: None },
            Self::Handle(handle) => Mark { key: handle.ids, attempt: handle.attempt, undoes: None },
            Self::Fold(_) | Self::Project(_) | Self::Query(_) => Mark { key: StepKey([0; 16]), attempt: 1, undoes: None },
        }
    }

    /// It only asks: of its requests those leave that change nothing.
    pub fn only_asks(&self) -> bool {
        match self {
            Self::Step(step) => step.attempt.leg.direction == Direction::Check,
            Self::Decide(_) | Self::Fold(_) | Self::Project(_) | Self::Query(_) | Self::Handle(_) => true,
        }
    }

    /// The rows that it may read, and write if it builds them.
    pub fn rows(&self) -> Option<&Arc<dyn ViewRows>> {
        match self {
            Self::Project(project) => Some(&project.rows),
            Self::Query(query) => Some(&query.rows),
            Self::Step(_) | Self::Decide(_) | Self::Fold(_) | Self::Handle(_) => None,
        }
    }
}

impl CallId {
    /// The attempt of a saga's leg that it is, if it is one.
    pub fn attempt(&self) -> Option<&Attempt> {
        match self {
            Self::Step(attempt) => Some(attempt),
            Self::Decide { .. } | Self::Fold { .. } | Self::Project { .. } | Self::Query { .. } | Self::Handle { .. } => None,
        }
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(attempt) => write!(f, "{} attempt {}", attempt.leg, attempt.number),
            Self::Decide { after, count: 1 } => write!(f, "a command after revision {after}"),
            Self::Decide { after, count } => write!(f, "{count} commands after revision {after}"),
            Self::Fold { through } => write!(f, "the state at revision {through}"),
            Self::Project { first, count: 1 } => write!(f, "the event at {first}"),
            Self::Project { first, count } => write!(f, "{count} events from {first} on"),
            Self::Query { name } => write!(f, "query {name}"),
            Self::Handle { position, attempt } => write!(f, "the cause at {position} attempt {attempt}"),
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
    /// How many commands and events its leg has sent before.
    pub sent: Counts,
}

/// The state of an aggregate after some events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldCall {
    /// The aggregate's name.
    pub aggregate: String,
    /// Its id.
    pub id: String,
    /// The state before the events; none: it has had no event before them.
    pub base: Option<Payload>,
    /// How many events are in it.
    pub base_revision: u64,
    /// In their order.
    pub events: Vec<PastEvent>,
}

impl FoldCall {
    /// How many events are in the state that comes of it.
    pub fn revision(&self) -> u64 {
        self.base_revision + self.events.len() as u64
    }
}

/// Events for a projection.
#[derive(Clone, Debug)]
pub struct ProjectCall {
    /// The projection's name.
    pub projection: String,
    /// In the order of the journal, at least one.
    pub events: Vec<Arc<RecordedEvent>>,
    /// What they become.
    pub rows: Arc<dyn ViewRows>,
}

/// A question to a view.
#[derive(Clone, Debug)]
pub struct QueryCall {
    /// The projection's name.
    pub projection: String,
    /// Which of its queries.
    pub name: String,
    /// A JSON object.
    pub parameters: Payload,
    /// As of one moment.
    pub rows: Arc<dyn ViewRows>,
}

/// A cause for a policy.
#[derive(Clone, Debug)]
pub struct HandleCall {
    /// The policy's name.
    pub policy: String,
    /// The key of the cause.
    pub key: String,
    /// The position of its record.
    pub position: u64,
    /// What it is.
    pub cause: ToldCause,
    /// The instance's state, if there is one.
    pub state: Option<State>,
    /// It was there before the policy.
    pub is_replay: bool,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// What randomness and ids derive from, those of what it sends among them.
    pub ids: StepKey,
}

/// A cause as a policy is told it.
#[derive(Clone, Debug)]
pub enum ToldCause {
    /// An event.
    Event(Arc<RecordedEvent>),
    /// A timer that fired.
    Timer(Timer),
    /// The answer to a command.
    Answer {
        /// The command's id.
        command: String,
        /// The command's name.
        name: String,
        /// The root of its chain of causes.
        correlation: String,
        /// What was decided.
        answered: Box<Answered>,
    },
}

/// What a policy wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The state afterwards; none: as it was.
    pub state: Option<Payload>,
    /// Commands, numbered in their order.
    pub commands: Vec<Sent>,
    /// Events, numbered in their order.
    pub events: Vec<Published>,
    /// Sagas, numbered in their order.
    pub starts: Vec<SagaStart>,
    /// Timers that are set.
    pub set: Vec<Timer>,
    /// Names of timers that are not needed any more.
    pub cleared: Vec<String>,
    /// The instance ends.
    pub ends: bool,
}

/// An event as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastEvent {
    /// Its type.
    pub event_type: String,
    /// The form of its data.
    pub version: u32,
    /// Its number among the aggregate's events.
    pub revision: u64,
    /// When it was decided.
    pub at: Instant,
    /// None: it was erased.
    pub data: Option<Payload>,
}

impl PastEvent {
    /// The event that a fact records, if it records one: with the time at which it was decided, here or elsewhere.
    pub(crate) fn of(fact: &AggregateEvent, recorded_at: Instant) -> Option<Self> {
        let (revision, event_type, version, data, at) = match fact {
            AggregateEvent::Recorded { revision, event_type, version, data, .. } => {
                (revision, event_type, version, data, recorded_at)
            }
            AggregateEvent::Imported { revision, event_type, version, data, at, .. } => {
                (revision, event_type, version, data, *at)
            }
            AggregateEvent::Decided { .. } | AggregateEvent::Quarantined { .. } => return None,
        };
        Some(Self { event_type: event_type.clone(), version: *version, revision: *revision, at, data: data.clone() })
    }
}

/// Commands for an aggregate.
#[derive(Clone, Debug)]
pub struct DecideCall {
    /// The state that the first one is decided on.
    pub fold: FoldCall,
    /// In their order, each decided on what the one before it left.
    pub commands: Vec<ToldCommand>,
    /// What randomness and ids derive from.
    pub key: StepKey,
}

/// A command as the module is told it.
#[derive(Clone, Debug)]
pub struct ToldCommand {
    /// The key under which it was sent, or one that the host made.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it says.
    pub data: Payload,
    /// Who sent it.
    pub actor: String,
}

/// What a module decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// One for each command.
    pub decisions: Vec<Decision>,
    /// After the last one.
    pub state: Payload,
}

/// What a module decided about one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// These events are to be recorded, none if there is nothing to do.
    Accepted {
        /// In their order.
        events: Vec<NewEvent>,
        /// Keys that are taken and given back with them.
        claims: Vec<Claim>,
        /// Data for whoever sent the command.
        answer: Option<Payload>,
    },
    /// A business decision.
    Refused(Failure),
}

/// An event that is to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Its type.
    pub event_type: String,
    /// The form of its data.
    pub version: u32,
    /// What it says.
    pub data: Payload,
    /// What else it is about.
    pub tags: Vec<String>,
}

/// Why a call came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFault {
    /// What happened.
    pub failure: Failure,
    /// The host could not make the call, and it says nothing of the module's code.
    pub is_hosts: bool,
}

/// What came of a call, for the kind that asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuestReport {
    /// Of a step, its compensation or its check.
    Step(Report),
    /// Of commands for an aggregate.
    Decided(Result<Decided, CallFault>),
    /// Of a fold: the state.
    Folded(Result<Payload, CallFault>),
    /// Of events for a projection.
    Projected(Result<(), CallFault>),
    /// Of a question to a view: the answer, or why there is none.
    Queried(Result<Result<Payload, Failure>, CallFault>),
    /// Of a cause for a policy: what it wants, or why it cannot take it.
    Handled(Result<Wishes, CallFault>),
}

impl GuestReport {
    /// Of a call that was withdrawn before its guest began: it did not happen, and charges nothing.
    pub fn withdrawn(call: CallId) -> Self {
        let failure = Failure::new("withdrawn", "the attempt had not begun when its saga had no use for it any more");
        match call {
            CallId::Step(attempt) => {
                Self::Step(Report { attempt, outcome: Outcome::HostFault(failure), left: Left::Nothing, messages: Vec::new() })
            }
            CallId::Decide { .. } => Self::Decided(Err(CallFault { failure, is_hosts: true })),
            CallId::Fold { .. } => Self::Folded(Err(CallFault { failure, is_hosts: true })),
            CallId::Project { .. } => Self::Projected(Err(CallFault { failure, is_hosts: true })),
            CallId::Query { .. } => Self::Queried(Err(CallFault { failure, is_hosts: true })),
            CallId::Handle { .. } => Self::Handled(Err(CallFault { failure, is_hosts: true })),
        }
    }

    /// Of a call that was ended because nothing needs its stream any more. What had left by then nobody asks.
    pub fn ended(call: CallId) -> Self {
        let failure = Failure::new("ended", "the attempt was ended, because its saga has ended");
        match call {
            CallId::Step(attempt) => {
                Self::Step(Report { attempt, outcome: Outcome::HostFault(failure), left: Left::Unanswered, messages: Vec::new() })
            }
            CallId::Decide { .. } => Self::Decided(Err(CallFault { failure, is_hosts: true })),
            CallId::Fold { .. } => Self::Folded(Err(CallFault { failure, is_hosts: true })),
            CallId::Project { .. } => Self::Projected(Err(CallFault { failure, is_hosts: true })),
            CallId::Query { .. } => Self::Queried(Err(CallFault { failure, is_hosts: true })),
            CallId::Handle { .. } => Self::Handled(Err(CallFault { failure, is_hosts: true })),
        }
    }

    /// What came of a step, its compensation or its check, if it was one.
    pub fn into_step(self) -> Option<Report> {
        match self {
            Self::Step(report) => Some(report),
            Self::Decided(_) | Self::Folded(_) | Self::Projected(_) | Self::Queried(_) | Self::Handled(_) => None,
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

    /// Ends every call of a stream that needs none any more, whether its guest has begun or not: its caller gets
    /// [`GuestReport::ended`] as the last report, or [`GuestReport::withdrawn`], and its place goes to the next one. A guest is ended
    /// when it gives its thread back, at the latest after a slice.
    ///
    /// It never blocks, and may be asked for on the thread that takes the reports.
    fn end(&self, of: &StreamId);
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
            other => panic!("a step was expected: {other:?}"),
        }
    }

    /// The same, to be changed.
    pub(crate) fn step_mut(&mut self) -> &mut StepCall {
        match &mut self.work {
            Work::Step(step) => step,
            other => panic!("a step was expected: {other:?}"),
        }
    }
}
