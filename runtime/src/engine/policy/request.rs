//! What may be asked of policies, and the answers.

use amends_core::{
    event::Act,
    value::{Failure, Instant},
};

use crate::store::Position;

/// Something that an operator does with a policy.
#[derive(Clone, Debug)]
pub struct PolicyRequest {
    /// Its name.
    pub name: String,
    /// What.
    pub verb: PolicyVerb,
    /// Why and who, as the client says.
    pub act: Act,
}

/// What an operator can do with a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyVerb {
    /// It takes nothing until it is resumed.
    Pause,
    /// It goes on, also if it has stopped.
    Resume,
    /// It begins anew behind a position, without its instances and without what waits; none: behind the last one.
    Reset(Option<Position>),
    /// What waits is tried again, in order.
    Redrive {
        /// With this key; none: with all keys with which something waits for an operator.
        key: Option<String>,
    },
    /// One cause that waits is left out.
    Drop {
        /// Its key.
        key: String,
        /// Its position.
        position: Position,
    },
}

/// How a policy stands.
#[derive(Clone, Debug)]
pub struct PolicyView {
    /// Its name.
    pub name: String,
    /// Its module.
    pub module: String,
    /// The version of the module that it runs on, or ran on last.
    pub version: u32,
    /// Which life it is, from 1.
    pub incarnation: u32,
    /// What it does.
    pub status: PolicyStatus,
    /// The types of the events that it takes.
    pub takes: Vec<String>,
    /// It keeps a state for each key.
    pub keeps_state: bool,
    /// Everything up to this position is taken, waits, or is not for it.
    pub cursor: Position,
    /// Events up to this position were there before it.
    pub replay_to: Position,
    /// Keys of which a cause is with its code.
    pub active: usize,
    /// Keys whose next cause could not be taken, and is tried again.
    pub failing: usize,
    /// Keys with which something waits for an operator.
    pub parked: usize,
    /// Since when the first of them does.
    pub parked_since: Option<Instant>,
    /// Causes that wait, for an operator or for their instance.
    pub waiting: usize,
    /// The position of its last record, or of the answer.
    pub position: Position,
}

/// What a policy does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyStatus {
    /// It takes causes.
    Runs,
    /// An operator holds it.
    Paused,
    /// It does not go on by itself.
    Stopped {
        /// The position of the cause that it could not take, if it was one.
        at: Option<Position>,
        /// Why.
        failure: Failure,
        /// Since when.
        since: Instant,
    },
    /// No active version has it.
    Withdrawn,
}
