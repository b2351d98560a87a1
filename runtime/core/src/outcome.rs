//! What an attempt says at its end, and what the host saw leave meanwhile (law 5).

use serde::{Deserialize, Serialize};

use crate::{
    denial::Denial,
    event::{Attempt, Published, Sent, Wait},
    id::Direction,
    value::{Failure, Instant, Payload},
};

/// What came of one attempt, before the laws are applied to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done. A compensation's payload is `null`.
    Done(Payload),
    /// A decision: nothing happened, and will not.
    Refused(Failure),
    /// Nothing happened; worth trying again.
    Transient(Failure),
    /// It may have happened.
    Unknown(Failure),
    /// A check found that it did not happen.
    NotDone,
    /// Call again later.
    Wait(Wait),
    /// The guest trapped, went over a limit, ran past its deadline or returned garbage; the host says which.
    Trapped(Failure),
    /// The host could not do its part, as when it has no place for the guest or cannot load its code.
    HostFault(Failure),
    /// The host refused a call.
    Denied(Denial),
}

/// What kind of outcome it was: all that is recorded of an outcome that came too late. New kinds go at the end: a record stores
/// the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutcomeKind {
    /// [`Outcome::Done`].
    Done,
    /// [`Outcome::Refused`].
    Refused,
    /// [`Outcome::Transient`].
    Transient,
    /// [`Outcome::Unknown`].
    Unknown,
    /// [`Outcome::NotDone`].
    NotDone,
    /// [`Outcome::Wait`].
    Wait,
    /// [`Outcome::Trapped`].
    Trapped,
    /// [`Outcome::HostFault`].
    HostFault,
    /// [`Outcome::Denied`].
    Denied,
}

impl OutcomeKind {
    /// Its name for machines, which never changes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Transient => "transient",
            Self::Unknown => "unknown",
            Self::NotDone => "not_done",
            Self::Wait => "wait",
            Self::Trapped => "trapped",
            Self::HostFault => "host_fault",
            Self::Denied => "denied",
        }
    }
}

impl Outcome {
    /// What kind of outcome it is.
    pub fn kind(&self) -> OutcomeKind {
        match self {
            Self::Done(_) => OutcomeKind::Done,
            Self::Refused(_) => OutcomeKind::Refused,
            Self::Transient(_) => OutcomeKind::Transient,
            Self::Unknown(_) => OutcomeKind::Unknown,
            Self::NotDone => OutcomeKind::NotDone,
            Self::Wait(_) => OutcomeKind::Wait,
            Self::Trapped(_) => OutcomeKind::Trapped,
            Self::HostFault(_) => OutcomeKind::HostFault,
            Self::Denied(_) => OutcomeKind::Denied,
        }
    }

    /// The name of its kind.
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }
}

/// What the host saw leave during an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// No request with an unsafe method was sent.
    Nothing,
    /// Each request with an unsafe method got a complete response.
    Answered,
    /// At least one did not.
    Unanswered,
}

/// The end of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which attempt.
    pub attempt: Attempt,
    /// What came of it.
    pub outcome: Outcome,
    /// What left meanwhile.
    pub left: Left,
    /// What leaves with the outcome, if that is done or a wait, in order; with every other one nothing does.
    pub messages: Vec<Message>,
}

/// What an attempt sends inside the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A command to an aggregate.
    Command(Sent),
    /// An event for whoever waits for it.
    Event(Published),
}

/// An outcome after law 5.
pub(crate) enum Recorded {
    Done(Payload),
    Refused(Failure),
    Transient(Failure),
    Unknown(Failure),
    NotDone,
    Wait(Wait),
    Denied(Denial),
}

/// A wait is at most ten years long, in milliseconds: a longer one is a mistake in a unit.
pub const WAIT_MS_MAX: u64 = 3_653 * 86_400_000;

/// Law 5: what the host knows of what left decides between `unknown` and the rest. Only a step can be refused, only a check
/// can say not-done, and a check does not wait: else the guest returned garbage.
pub(crate) fn recorded(direction: Direction, outcome: Outcome, left: Left, reached: bool, now: Instant) -> Recorded {
    let trapped = |failure| if left == Left::Nothing { Recorded::Transient(failure) } else { Recorded::Unknown(failure) };
    match (outcome, direction) {
        (Outcome::Done(output), _) => Recorded::Done(output),
        (Outcome::Denied(denial), _) => Recorded::Denied(denial),
        (Outcome::NotDone, Direction::Check) => Recorded::NotDone,
        (Outcome::Wait(wait), Direction::Forward | Direction::Undo(_)) if is_bounded(&wait, now) => Recorded::Wait(wait),
        (Outcome::Refused(failure) | Outcome::Transient(failure), _) if left == Left::Unanswered => Recorded::Unknown(failure),
        (Outcome::Refused(failure), Direction::Forward) => Recorded::Refused(failure),
        (Outcome::Refused(failure) | Outcome::Transient(failure), _) => Recorded::Transient(failure),
        (Outcome::Unknown(failure), _) if !reached => Recorded::Transient(failure),
        (Outcome::Unknown(failure), _) => Recorded::Unknown(failure),
        (Outcome::Trapped(failure) | Outcome::HostFault(failure), _) => trapped(failure),
        (Outcome::NotDone, _) => trapped(Failure::new("bad_output", "only a check may say not-done")),
        (Outcome::Wait(_), Direction::Check) => trapped(Failure::new("bad_output", "a check does not wait")),
        (Outcome::Wait(_), _) => {
            trapped(Failure::new("bad_wait", "wait for an event, for an answer, or for a moment within ten years"))
        }
    }
}

fn is_bounded(wait: &Wait, now: Instant) -> bool {
    (wait.event.is_some() || wait.until.is_some() || wait.answer.is_some())
        && wait.until.is_none_or(|until| until <= now.plus(WAIT_MS_MAX))
}
