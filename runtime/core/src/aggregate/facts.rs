//! The facts of an aggregate's stream.

use serde::{Deserialize, Serialize};

use crate::{
    id::Leg,
    value::{Failure, Instant, Payload},
};

/// A fact about an aggregate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AggregateEvent {
    /// An event. It is never changed: a reader brings it into today's form.
    Recorded {
        /// Its number among the aggregate's events, from 1.
        revision: u64,
        /// `customer.opened`.
        event_type: String,
        /// The form of its data.
        version: u32,
        /// What it says; none: it was erased.
        data: Option<Payload>,
        /// What else it is about. Recorded, and read by nobody yet.
        tags: Vec<String>,
        /// Whose personal data it has. Nothing sets it yet.
        subject: Option<String>,
        /// The version of the module that decided it.
        module_version: u32,
        /// The command that led to it, with the first event of a decision.
        command: Option<Box<Command>>,
    },
    /// A command was decided, and no event came of it.
    Decided {
        /// The command.
        command: Box<Command>,
        /// Why it was refused; none: there was nothing to do.
        refused: Option<Failure>,
        /// The version of the module that decided it.
        module_version: u32,
    },
    /// The code of a version cannot fold the events: commands are refused until other code is active.
    Quarantined {
        /// The version.
        module_version: u32,
        /// SHA-256 of its component.
        digest: [u8; 32],
        /// What came of the fold.
        failure: Failure,
    },
    /// An event that another system recorded. The record's own time is that of the import.
    Imported {
        /// Its number among the aggregate's events, from 1.
        revision: u64,
        /// `customer.opened`.
        event_type: String,
        /// The form of its data.
        version: u32,
        /// What it says; none: it was erased.
        data: Option<Payload>,
        /// What else it is about.
        tags: Vec<String>,
        /// When it was decided there.
        at: Instant,
        /// Who imported it, as the client says.
        by: String,
    },
}

/// A command that was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The key under which it was sent, or one that the host made.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it said.
    pub data: Payload,
    /// What was answered beside the events.
    pub answer: Option<Payload>,
    /// Keys that it took and gave back.
    pub claims: Vec<Claim>,
    /// What sent it; none: a request from outside.
    pub sender: Option<Sender>,
}

/// What sends commands, beside requests from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sender {
    /// A step of a saga.
    Saga {
        /// The saga's id.
        id: String,
        /// The step's path, and whether it is done or undone.
        leg: Leg,
    },
    /// A policy.
    Policy {
        /// Its name.
        name: String,
        /// The key of the cause that it reacted to.
        key: String,
    },
}

/// A key that only one aggregate of a name may hold at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The key.
    pub key: String,
    /// Taken, or given back.
    pub held: bool,
}

impl AggregateEvent {
    /// The command that it records, if it is the first fact of a decision.
    pub fn command(&self) -> Option<&Command> {
        match self {
            Self::Recorded { command, .. } => command.as_deref(),
            Self::Decided { command, .. } => Some(command),
            Self::Quarantined { .. } | Self::Imported { .. } => None,
        }
    }

    /// The number of the event that it records, if it records one.
    pub fn revision(&self) -> Option<u64> {
        match self {
            Self::Recorded { revision, .. } | Self::Imported { revision, .. } => Some(*revision),
            Self::Decided { .. } | Self::Quarantined { .. } => None,
        }
    }
}
