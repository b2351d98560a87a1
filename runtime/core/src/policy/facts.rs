//! The facts of a policy's stream, and of the streams of its instances.

use serde::{Deserialize, Serialize};

use crate::{
    event::{Act, Answered, Published, Sent},
    value::{Failure, Instant, Payload},
};

/// A fact about a policy in a namespace: its code, how far it was when something changed, and what waits for an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PolicyEvent {
    /// It begins, or goes on with other code.
    Installed {
        /// The module.
        module: String,
        /// The version of the module.
        module_version: u32,
        /// SHA-256 of its component.
        digest: [u8; 32],
        /// Which life it is, from 1: what follows from an event in another one is something else.
        incarnation: u32,
        /// Everything up to this position is handled, or is not for it.
        from: u64,
        /// Events up to this position were there before it.
        replay_to: u64,
    },
    /// No active version has it any more.
    Withdrawn,
    /// It takes nothing until it is resumed.
    Paused(Act),
    /// It goes on.
    Resumed(Act),
    /// It begins anew at another position.
    Reset {
        /// As in `Installed`.
        incarnation: u32,
        /// As in `Installed`.
        from: u64,
        /// As in `Installed`.
        replay_to: u64,
        /// Who wanted it, and why.
        act: Act,
    },
    /// It does not go on by itself.
    Stopped {
        /// The position of the cause that it could not take; none: too much waits for an operator.
        at: Option<u64>,
        /// Why.
        failure: Failure,
    },
    /// A cause waits for an operator, and with it what comes after it with the same key.
    Parked {
        /// The key.
        key: String,
        /// The position of the cause.
        position: u64,
        /// Why it could not be taken.
        failure: Failure,
        /// How often it was tried.
        attempts: u32,
    },
    /// What waits with a key is tried again, in order.
    Redriven {
        /// The key.
        key: String,
        /// Who wanted it, and why.
        act: Act,
    },
    /// A cause that waited is left out.
    Dropped {
        /// The key.
        key: String,
        /// The position of the cause.
        position: u64,
        /// Who wanted it, and why.
        act: Act,
    },
    /// Nothing waits with a key any more.
    Cleared {
        /// The key.
        key: String,
    },
    /// An event is for an instance that has not begun, and is kept for it.
    Kept {
        /// The key.
        key: String,
        /// The position of the event.
        position: u64,
        /// Until when.
        until: Instant,
    },
    /// A cause is a dead letter: it waits for an operator, and what comes after it with the same key does not.
    Dead {
        /// The key.
        key: String,
        /// The position of the cause.
        position: u64,
        /// Why it could not be taken.
        failure: Failure,
    },
    /// The host died while a guest had a cause, which may be why (law 11).
    HostDied {
        /// The key.
        key: String,
        /// The position of the cause.
        position: u64,
    },
}

/// A fact about an instance: what a policy did with the causes of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceEvent {
    /// A cause was taken.
    Handled(Box<Reaction>),
    /// A command that it sends. `number` counts what one reaction sends.
    Sent(Box<Sent>),
    /// An event that it publishes.
    Published(Box<Published>),
    /// A saga that it starts.
    Started(Box<SagaStart>),
    /// The answer to a command.
    Answered {
        /// The command's id.
        command: String,
        /// The command's name.
        name: String,
        /// What was decided.
        answered: Box<Answered>,
    },
    /// The moment of a timer has come.
    TimerFired(Timer),
    /// A cause came too late: after the end of the instance, or a timer that was cleared meanwhile.
    Late {
        /// Its position.
        position: u64,
        /// What it was.
        cause: Cause,
    },
}

/// What a policy did with a cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// The position of the cause's record.
    pub position: u64,
    /// What it was.
    pub cause: Cause,
    /// The life of the policy.
    pub incarnation: u32,
    /// What the ids of all that it sends are made of: the first is `<these bytes in hexadecimal digits>.0`.
    pub ids: [u8; 16],
    /// The version of the module.
    pub module_version: u32,
    /// What it wanted done was dropped: the cause was there before the policy.
    pub is_silent: bool,
    /// The state afterwards; none: as it was.
    pub state: Option<State>,
    /// Timers that it has set.
    pub set: Vec<Timer>,
    /// Names of timers that it has cleared.
    pub cleared: Vec<String>,
    /// The instance ends.
    pub ends: bool,
}

/// What a cause was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// An event.
    Event {
        /// Its id, of its source.
        id: String,
        /// Its type.
        event_type: String,
    },
    /// A timer.
    Timer {
        /// Its name.
        name: String,
    },
    /// An answer to a command.
    Answer {
        /// The command's id.
        command: String,
    },
}

/// A state, and its form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The form.
    pub version: u32,
    /// The state.
    pub data: Payload,
}

/// A named timer of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// Its name.
    pub name: String,
    /// Its moment.
    pub at: Instant,
    /// What is told when it fires.
    pub data: Option<Payload>,
    /// The root of the chain of causes in which it was set.
    pub root: String,
    /// Through how many streams that chain had led then; 0, if it fires so late that it begins a chain of its own.
    pub depth: u16,
}

/// A saga that a policy starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SagaStart {
    /// Which one of its reaction, from 0.
    pub number: u32,
    /// The definition's name.
    pub saga: String,
    /// Its id; none: one is made of the cause.
    pub id: Option<String>,
    /// Its input.
    pub input: Payload,
}
