//! The facts of a saga's stream. State is their fold (law 1); they are never changed (law 16).
//!
//! The order of variants is no format: a record stores a type code of its own beside the body.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    denial::Denial,
    elements::Element,
    id::{Incarnation, Leg, StepPath},
    outcome::OutcomeKind,
    value::{Failure, Instant, Payload},
};

/// One fact. The time of its record is passed beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The saga exists. Always the first, and only the first.
    Started(Box<Started>),
    /// An attempt is about to run. Durable before it can reach outside (law 4).
    Intent(Intent),
    /// The elements of a fan-out, as its list was when the step's stage began. Before the first intent of an element.
    Listed(StepPath, Vec<Element>),
    /// The attempt, or a check, says that the step is done.
    Done(Attempt, Payload),
    /// Nothing happened, and will not.
    Refused(Attempt, Failure),
    /// Nothing happened; worth trying again.
    Transient(Attempt, Failure, Charge),
    /// It may have happened.
    Unknown(Attempt, Failure, Charge),
    /// A check says that the step did not happen.
    NotDone(Attempt),
    /// The attempt ended and wants to be called again later.
    Wait(Attempt, Wait),
    /// The event that a leg waited for.
    Arrived(Leg, Arrival),
    /// The moment that a leg waited for.
    TimerFired(Leg),
    /// The attempt that ends now sends a command. It leaves with the attempt's outcome.
    Sent(Attempt, Box<Sent>),
    /// The attempt that ends now publishes an event. It leaves with the attempt's outcome.
    Published(Attempt, Box<Published>),
    /// The answer to a command that a leg has sent, whether it waits for it or not.
    Answered(Leg, Box<Answered>),
    /// An outcome of an attempt that is not open. It changes nothing.
    Stale(Attempt, OutcomeKind),
    /// The leg is tried again at this moment.
    Backoff(Leg, Instant),
    /// From here on the saga only goes backward.
    RollbackBegun(Reason),
    /// The rollback has come to its savepoint: the stages after it are tried again.
    RoundBegun(Round),
    /// A compensation is done.
    Undone(Attempt),
    /// An operator said what happened.
    Resolved(StepPath, Resolution, Act),
    /// An operator gave a compensation up; its effect stays outstanding.
    Skipped(StepPath, Act),
    /// An operator gave these legs a new attempt and a fresh budget.
    Retried(Vec<Leg>, Act),
    /// A cancel, or the saga's deadline. A rollback follows at once unless the pivot decides.
    CancelRequested(Cancel),
    /// The leg cannot go on without an operator.
    Stuck(Leg, Why),
    /// What held the leg is gone, a grant was given: a new attempt now with a fresh budget.
    Unstuck(Leg),
    /// From here on it runs on another version of its module.
    Moved(Box<Moved>),
    /// Others hold these of its lock keys, or came before it: it waits its turn.
    LockQueued(Vec<String>),
    /// All its lock keys are its own: it begins.
    LockTaken,
    /// An operator broke one of its lock keys: it goes on without.
    LockBroken(String, Act),
    /// Every step is done.
    Completed,
    /// Everything that was done or may have run is undone.
    Compensated,
    /// An operator ended it where it stood.
    Abandoned(Act),
}

/// What a saga is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The module that the definition belongs to.
    pub module: String,
    /// The module's version, for people.
    pub version: u32,
    /// SHA-256 of the component: what this saga and its compensations run on (law 9).
    pub digest: [u8; 32],
    /// The definition's name.
    pub definition: String,
    /// SHA-256 of the encoded definition.
    pub definition_hash: [u8; 32],
    /// Which start this is.
    pub incarnation: Incarnation,
    /// What the client gave.
    pub input: Payload,
    /// SHA-256 of the canonical input: the same start again is the same saga.
    pub input_hash: [u8; 32],
    /// When the saga is rolled back for being late.
    pub deadline_at: Option<Instant>,
    /// W3C `traceparent` of the request that started it.
    pub trace_context: Option<String>,
    /// Lock keys, taken together with this record.
    pub lock_keys: Vec<String>,
}

/// What a saga and its compensations run on (law 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// The module's version, for people.
    pub version: u32,
    /// SHA-256 of the component.
    pub digest: [u8; 32],
    /// SHA-256 of the encoded definition.
    pub definition_hash: [u8; 32],
}

/// A move to another version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// What it runs on from here on.
    pub code: Code,
    /// Who, and why.
    pub act: Act,
}

/// An attempt that is about to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Which leg, which attempt.
    pub attempt: Attempt,
    /// Decided from the grants of `snapshot`: the attempt can reach outside.
    pub reaches_outside: bool,
    /// The revision of the module stream that holds the grants and the config.
    pub snapshot: u64,
    /// When the attempt is ended from outside, if its guest begins at once; one that waits for its place is ended that much later.
    pub deadline_at: Instant,
    /// Nothing else runs on the shard beside it: it may have taken the host down twice.
    pub solo: bool,
    /// Always none: an element's bytes are in the `listed` record, once for all its attempts.
    pub element: Option<Payload>,
}

/// One run of one leg, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// The leg.
    pub leg: Leg,
    /// From 1.
    pub number: u32,
}

/// Whether a failed attempt uses up the leg's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Charge {
    /// It does.
    Leg,
    /// The host stopped; it does not. `executing`: the guest was running at the last heartbeat.
    HostStop {
        /// The guest was executing, not awaiting the host.
        executing: bool,
    },
    /// The host could not do its part; it does not.
    HostFault,
}

/// What a leg waits for: an event, a moment, the answer to a command, or whichever comes first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// An event of this type and key.
    pub event: Option<Topic>,
    /// A moment.
    pub until: Option<Instant>,
    /// The answer to the leg's command of this number.
    pub answer: Option<u32>,
}

/// The type and correlation key of an event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Topic {
    /// As `approval`.
    pub event_type: String,
    /// As an order's number.
    pub key: String,
}

/// An event that ended a wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// Who published it.
    pub source: String,
    /// Its id, which is its publisher's; a saga consumes each event of a publisher once.
    pub id: String,
    /// Its type and key.
    pub topic: Topic,
    /// Its data.
    pub data: Option<Payload>,
}

/// What ended a wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The event came.
    Event(Arrival),
    /// The moment was reached.
    Timer,
    /// The answer came.
    Answer(Answered),
}

/// A command that an attempt sends. Its id is made of the leg's key and its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Which one of its leg, from 0.
    pub number: u32,
    /// The aggregate's name.
    pub aggregate: String,
    /// The aggregate's id.
    pub to: String,
    /// The command's name.
    pub name: String,
    /// What it says.
    pub data: Payload,
    /// Only if the aggregate has so many events.
    pub expect_revision: Option<u64>,
}

/// An event that an attempt publishes. Its id is made of the leg's key and its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Which one of its leg, from 0.
    pub number: u32,
    /// Its type and key.
    pub topic: Topic,
    /// What it says.
    pub data: Payload,
}

/// The answer to a command that an attempt has sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// Which command of its leg.
    pub number: u32,
    /// The aggregate's name.
    pub aggregate: String,
    /// The aggregate's id.
    pub from: String,
    /// What was decided.
    pub answer: Answer,
}

/// What was decided about a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It is done.
    Accepted {
        /// How many events the aggregate had then.
        revision: u64,
        /// What was recorded, in order.
        events: Vec<AnsweredEvent>,
        /// What the aggregate says beside it.
        data: Option<Payload>,
    },
    /// It is not, and will not be: the aggregate refused it, or it cannot be decided.
    Refused(Failure),
}

/// An event that a command recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnsweredEvent {
    /// Its type.
    pub event_type: String,
    /// The form of its data.
    pub version: u32,
    /// Its number among the aggregate's events.
    pub revision: u64,
    /// Its place in the journal.
    pub position: u64,
    /// When it was decided.
    pub at: Instant,
    /// None where the events of a command are larger together than what goes from step to step.
    pub data: Option<Payload>,
}

/// Why a rollback began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// A step was refused.
    Refused(StepPath, Failure),
    /// A step used up its retries.
    Exhausted(StepPath, Failure),
    /// A step that is run once may have happened.
    Unknown(StepPath, Failure),
    /// Somebody asked.
    Cancelled,
    /// The saga's deadline passed.
    Deadline,
}

/// Why a compensation runs: the same in every attempt and alternate of it. It is decided with the first attempt, because a rollback
/// to a savepoint may be cancelled, and then goes on for another reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RollbackCause {
    /// The saga rolls back.
    Saga(Arc<Reason>),
    /// The alternate in hand was refused and may have run: it is undone before the next one begins.
    AlternateRefused(Failure),
}

/// A round, begun where a rollback stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// From 1; the first is 0 and has no record.
    pub number: u32,
    /// The savepoint.
    pub savepoint: String,
}

/// Who asked for a cancel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cancel {
    /// A client or an operator.
    Asked(Act),
    /// The saga's deadline.
    Deadline,
}

/// What an operator said about a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resolution {
    /// It is done, with this output.
    Output(Payload),
    /// It did not happen: the mark is cleared.
    NotDone,
    /// Its compensation was done by hand.
    Undone,
}

/// Who caused a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Actor {
    /// The host itself.
    Host,
    /// A client on this machine, without a token.
    Local,
    /// A token, by its id.
    Token(String),
}

/// An operator's note, and the name that the client gave (not verified). The actor is in the record's header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// Why.
    pub note: String,
    /// Who, as the client says.
    pub by: String,
}

/// Why a leg is stuck.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// The retries are used up.
    Exhausted(Failure),
    /// It was refused where there is no way back.
    Refused(Failure),
    /// It may have happened, and is run once only.
    Unknown(Failure),
    /// The pivot may have happened and has no compensation: neither way is safe.
    PivotInDoubt(Failure),
    /// The host refused a call.
    Denied(Denial),
    /// It was running each time the host died.
    HostDied,
    /// The saga's journal is as large as it may be.
    JournalFull,
}

impl Reason {
    /// The failure of the step that it was begun for.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Refused(_, failure) | Self::Exhausted(_, failure) | Self::Unknown(_, failure) => Some(failure),
            Self::Cancelled | Self::Deadline => None,
        }
    }
}

impl Event {
    /// The attempt that was open until this record.
    pub fn closes(&self) -> Option<&Attempt> {
        match self {
            Self::Done(attempt, _)
            | Self::Refused(attempt, _)
            | Self::Transient(attempt, ..)
            | Self::Unknown(attempt, ..)
            | Self::NotDone(attempt)
            | Self::Wait(attempt, _)
            | Self::Undone(attempt) => Some(attempt),
            _ => None,
        }
    }

    /// The saga ends with this record.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Completed | Self::Compensated | Self::Abandoned(_))
    }

    /// The record type's name, which never changes.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Started(_) => "started",
            Self::Intent(_) => "intent",
            Self::Listed(..) => "listed",
            Self::Done(..) => "done",
            Self::Refused(..) => "refused",
            Self::Transient(..) => "transient",
            Self::Unknown(..) => "unknown",
            Self::NotDone(_) => "not_done",
            Self::Wait(..) => "wait",
            Self::Arrived(..) => "arrived",
            Self::TimerFired(_) => "timer_fired",
            Self::Sent(..) => "sent",
            Self::Published(..) => "published",
            Self::Answered(..) => "answered",
            Self::Stale(..) => "stale",
            Self::Backoff(..) => "backoff",
            Self::RollbackBegun(_) => "rollback_begun",
            Self::RoundBegun(_) => "round_begun",
            Self::Undone(_) => "undone",
            Self::Resolved(..) => "resolved",
            Self::Skipped(..) => "skipped",
            Self::Retried(..) => "retried",
            Self::CancelRequested(_) => "cancel_requested",
            Self::Stuck(..) => "stuck",
            Self::Unstuck(_) => "unstuck",
            Self::Moved(_) => "moved",
            Self::LockQueued(_) => "lock_queued",
            Self::LockTaken => "lock_taken",
            Self::LockBroken(..) => "lock_broken",
            Self::Completed => "completed",
            Self::Compensated => "compensated",
            Self::Abandoned(_) => "abandoned",
        }
    }
}
