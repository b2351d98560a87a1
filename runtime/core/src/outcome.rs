//! What an attempt says at its end, and what the host saw leave meanwhile (law 5).

use crate::{
    event::{Attempt, Wait},
    value::{Failure, Payload},
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
    /// The host refused a call for which there is no grant: what was asked for, and the command that grants it.
    Denied(String),
}

impl Outcome {
    /// The outcome's name, for records of stale ones.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::Refused(_) => "refused",
            Self::Transient(_) => "transient",
            Self::Unknown(_) => "unknown",
            Self::NotDone => "not_done",
            Self::Wait(_) => "wait",
            Self::Trapped(_) => "trapped",
            Self::HostFault(_) => "host_fault",
            Self::Denied(_) => "denied",
        }
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
}
