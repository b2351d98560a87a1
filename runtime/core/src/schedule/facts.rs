//! What a schedule is made of, and the facts of its stream.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    event::Act,
    refused::Refused,
    value::{Instant, Payload},
};

/// What is to be started, and when. Its input is beside it, in the same record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The definition's name.
    pub saga: String,
    /// When.
    pub when: When,
    /// The saga's id, for a schedule that fires once; else it is made of the schedule's name and the moment.
    pub id: Option<String>,
    /// What happens when the saga before has not ended.
    pub overlap: Overlap,
    /// Each start comes later than its moment by up to so many milliseconds, by how many follows from the moment.
    pub jitter_ms: u64,
    /// What could not be started by so long after its moment is missed.
    pub catch_up_ms: u64,
    /// SHA-256 of the canonical input.
    pub input_hash: [u8; 32],
    /// 128 random bits, for the keys of the steps of all its sagas.
    pub incarnation: [u8; 16],
}

/// When a schedule fires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// Once.
    At(Instant),
    /// Once, so long after it was asked for.
    After {
        /// As it was asked for.
        delay_ms: u64,
        /// The moment that follows from it.
        at: Instant,
    },
    /// As often as the expression says.
    Cron {
        /// Five fields, or a name as `@daily`.
        expression: String,
        /// An IANA time zone.
        zone: String,
    },
}

/// What happens to a start whose schedule's last saga has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overlap {
    /// It is missed.
    Skip,
    /// It waits for the end; at most one does, and others are missed.
    Queue,
    /// It is started beside it.
    Allow,
}

/// The facts of a schedule's stream. Where one says `next`, it is the moment that is due after it, by the zone's rules of that
/// day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScheduleEvent {
    /// It was made, or replaced: nothing of what was due before is.
    Scheduled {
        /// What and when.
        spec: Box<Spec>,
        /// What each saga is started with.
        input: Payload,
        /// The first moment.
        next: Option<Instant>,
        /// It waits to be resumed.
        paused: bool,
        /// Who wanted it, and why.
        act: Act,
        /// The idempotency key of the request: delivered again, it makes nothing begin again.
        key: Option<String>,
    },
    /// A saga was started, in the same commit.
    Fired {
        /// The moment that it was due at.
        due: Instant,
        /// Its id.
        saga: String,
        /// What is due then.
        next: Option<Instant>,
    },
    /// A saga was started by hand, in the same commit, beside what is due.
    Triggered {
        /// Its id.
        saga: String,
        /// Who wanted it, and why.
        act: Act,
    },
    /// What is due waits.
    Postponed {
        /// The moment that it was due at.
        due: Instant,
        /// It is tried again then; none: when the saga before it has ended.
        until: Option<Instant>,
        /// Why.
        reason: Reason,
        /// What is due then.
        next: Option<Instant>,
    },
    /// What was due is not started any more.
    Missed {
        /// The first moment that was missed.
        due: Instant,
        /// How many, as far as they were counted.
        count: u64,
        /// Why.
        reason: Reason,
        /// What is due then.
        next: Option<Instant>,
    },
    /// Nothing is due until it is resumed.
    Paused(Act),
    /// It goes on.
    Resumed {
        /// What is due then.
        next: Option<Instant>,
        /// Who wanted it, and why.
        act: Act,
    },
    /// It was removed. Sagas that it started go on.
    Unscheduled(Act),
}

/// Why a start did not happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The host was not there, or too busy, for longer than the catch-up window.
    Late,
    /// The saga before had not ended.
    Overlap {
        /// Its id.
        saga: String,
    },
    /// It was due while the schedule was paused.
    Paused,
    /// It was refused.
    Refused(Refused),
}

impl Reason {
    /// For machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Overlap { .. } => "overlap",
            Self::Paused => "paused",
            Self::Refused(refused) => refused.code.as_str(),
        }
    }
}

/// For people.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("the host was not there, or too busy, for longer than the catch-up window"),
            Self::Overlap { saga } => write!(f, "saga {saga}, which it started before, had not ended"),
            Self::Paused => f.write_str("it was due while the schedule was paused"),
            Self::Refused(refused) => f.write_str(&refused.message),
        }
    }
}
