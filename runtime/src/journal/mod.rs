//! The journal: which streams there are, what their records say, and how a record is encoded.

pub mod record;

mod facts;

pub mod definition;

pub mod keys;

use std::fmt;

use amends_core::{
    Trigger,
    aggregate::AggregateEvent,
    event::{Act, Event as SagaEvent, Topic},
    id::{Namespace, partition_key},
    job::JobEvent,
    policy::{InstanceEvent, PolicyEvent},
    refused::Refused,
    schedule::ScheduleEvent,
    value::{Instant, Payload},
};
use serde::{Deserialize, Serialize};

pub use amends_core::event::Actor;

pub use crate::store::Corrupt;

/// Writes an enum of kinds with its list, bytes and names from one list: what is not in it is nowhere.
macro_rules! kinds {
    ($(#[$of:meta])* $kinds:ident { $($(#[$doc:meta])* $kind:ident $byte:literal $name:literal,)* }) => {
        $(#[$of])*
        pub enum $kinds {
            $($(#[$doc])* $kind,)*
        }

        impl $kinds {
            /// All of them.
            pub const ALL: [Self; [$($byte),*].len()] = [$(Self::$kind),*];

            /// Its place in keys, which never changes.
            pub fn byte(self) -> u8 {
                match self {
                    $(Self::$kind => $byte,)*
                }
            }

            /// The kind with this place in keys.
            pub fn of(byte: u8) -> Option<Self> {
                match byte {
                    $($byte => Some(Self::$kind),)*
                    _ => None,
                }
            }

            /// Its name, for logs.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// The kind of thing that a stream is about. Its byte in keys and its place in heads never change.
    ///
    /// Reserved: 11 relays.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    StreamKind {
        /// A saga.
        Saga 1 "saga",
        /// A module of a namespace.
        Module 2 "module",
        /// One published event, or a signal.
        Event 3 "event",
        /// The host itself.
        Host 4 "host",
        /// A schedule: when sagas are started.
        Schedule 5 "schedule",
        /// A job: a verb for many sagas.
        Job 6 "job",
        /// An aggregate: `customer/C1`.
        Aggregate 7 "aggregate",
        /// A policy: which code reacts to events, and what waits for an operator.
        Policy 8 "policy",
        /// What a policy did with the causes of one key: `credit-on-order/O1`.
        Instance 9 "instance",
        /// A view: its code is called for it. It has no records, for it is made of those of others.
        View 10 "view",
    }
}

kinds! {
    /// The owner of a timer. Its byte is part of stored keys and never changes.
    ///
    /// Reserved: 6 aggregates, 8 views, 9 relays.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    TimerKind {
        /// A saga: the end of a wait, of a backoff, or a deadline.
        Saga 1 "saga",
        /// The expiry of an event.
        Event 2 "event",
        /// The moment of a schedule.
        Schedule 3 "schedule",
        /// The end of the retention of a job.
        Job 4 "job",
        /// The check whether the first answer to a request is still needed.
        Answer 5 "answer",
        /// An instance of a policy: the next of its timers.
        Instance 7 "instance",
        /// The end of the time that an event is kept for an instance of a policy.
        Kept 10 "kept",
    }
}

/// The journal's life, which is part of every position that is handed out. A restored journal will have another one.
pub const GENERATION: u32 = 1;

/// One host runs one shard today.
pub const SHARD: u32 = 0;

/// A position as it is handed out: an opaque text.
pub fn position_text(position: u64) -> String {
    position_of(GENERATION, position)
}

/// The same, of a life of the journal.
pub fn position_of(generation: u32, position: u64) -> String {
    format!("{SHARD}-{generation}-{position}")
}

/// A stream's name: (namespace, kind, id). The partition key is a hash of the namespace, stored with the first record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamId {
    /// Where it lives.
    pub namespace: Namespace,
    /// What it is about.
    pub kind: StreamKind,
    /// Which one.
    pub id: String,
}

/// As `saga S1`; in which namespace is said beside it.
impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.id)
    }
}

/// A record's identity: its stream (by start position) and version. Causation uses it, never the position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecordId {
    /// The stream's start position.
    pub stream: u64,
    /// From 1.
    pub version: u64,
}

/// A decoded record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which stream it belongs to; read from the stream's first record.
    pub id: RecordId,
    /// Its place in the journal.
    pub position: u64,
    /// When it was decided.
    pub at: Instant,
    /// What caused it; none for a request from outside.
    pub causation: Option<RecordId>,
    /// The root of its chain of causes, where that is not the stream's own: a stream that lives through many chains has one a record.
    pub correlation: Option<String>,
    /// How many records of other streams led to it, one after the other: 0 for what somebody asked for. A chain that is too deep is
    /// a loop.
    pub depth: u16,
    /// Which start of the host wrote it: a dead owner is fenced by it.
    pub epoch: u32,
    /// Which life of the journal: +1 at every restore.
    pub generation: u32,
    /// Who caused it.
    pub actor: Actor,
    /// Only in a stream's first record: the stream's name, partition key and correlation id, inherited by the rest.
    pub head: Option<StreamHead>,
    /// The fact.
    pub fact: Fact,
}

/// What the records of one stream have in common, written once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamHead {
    /// The stream's name.
    pub stream: StreamId,
    /// The routing hash.
    pub partition: u32,
    /// The root of the chain of causes: a saga's id, an event's id.
    pub correlation: String,
}

impl StreamHead {
    /// The head of a stream: it is routed by its namespace.
    pub fn new(stream: StreamId, correlation: impl Into<String>) -> Self {
        let partition = partition_key(&stream.namespace);
        Self { stream, partition, correlation: correlation.into() }
    }

    /// The same, with another root of its chain of causes, if there is one.
    #[must_use]
    pub fn rooted(self, root: Option<String>) -> Self {
        Self { correlation: root.unwrap_or(self.correlation), ..self }
    }
}

/// A fact of any stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Of a saga.
    Saga(SagaEvent),
    /// Of a module.
    Module(ModuleEvent),
    /// Of an event.
    Message(MessageEvent),
    /// Of the host.
    Host(HostEvent),
    /// Of a schedule.
    Schedule(ScheduleEvent),
    /// Of a job.
    Job(JobEvent),
    /// Of an aggregate.
    Aggregate(AggregateEvent),
    /// Of a policy.
    Policy(PolicyEvent),
    /// Of an instance of a policy.
    Instance(InstanceEvent),
}

/// The facts of a module's stream. Its revision numbers the snapshots of grants and config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModuleEvent {
    /// A version was verified and stored. The description is the JSON of its definitions.
    Deployed {
        /// 1, 2, 3…
        version: u32,
        /// SHA-256 of the component.
        digest: [u8; 32],
        /// Its size.
        bytes: u64,
        /// What it contains, as recorded JSON.
        description: String,
        /// Interfaces that it imports, by name.
        imports: Vec<String>,
    },
    /// New work starts on this version.
    Activated {
        /// Which version.
        version: u32,
        /// Who wanted it, and why.
        act: Act,
    },
    /// Something that the module may reach.
    Granted(Grant, Act),
    /// Something that it may no longer reach.
    Revoked(Grant, Act),
    /// A version took the host down; no new work starts on it.
    Quarantined {
        /// Which version.
        version: u32,
        /// Why.
        reason: Quarantine,
    },
    /// A version that nothing needs was removed.
    Removed {
        /// Which version.
        version: u32,
    },
    /// Events start sagas of a version, as long as it is active. Recorded with its deploy; without it, none does.
    Triggers {
        /// Which version.
        version: u32,
        /// All of them.
        triggers: Vec<Trigger>,
    },
    /// A version has aggregates. Recorded with its deploy; without it, it has none.
    Aggregates {
        /// Which version.
        version: u32,
        /// The JSON of their definitions.
        description: String,
    },
    /// A version has projections. Recorded with its deploy; without it, it has none.
    Projections {
        /// Which version.
        version: u32,
        /// The JSON of their definitions.
        description: String,
    },
    /// A version has policies. Recorded with its deploy; without it, it has none.
    Policies {
        /// Which version.
        version: u32,
        /// The JSON of their definitions.
        description: String,
    },
}

/// What a module may reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Grant {
    /// Outgoing HTTP to an origin (scheme, host, port).
    Http {
        /// As `https://api.example.com:443`; `*.` only as the leftmost label.
        origin: String,
        /// The name may lead to a private address.
        private: bool,
    },
    /// A configuration value.
    Config {
        /// The key.
        key: String,
        /// The value; empty when revoking.
        value: String,
    },
    /// A secret of the host's, by name.
    Secret {
        /// Its name.
        name: String,
    },
}

impl Grant {
    /// A secret's name is the name of a file: 1 to 128 of letters, digits, `.`, `_` and `-`, and no dot at its beginning.
    pub fn is_secret_name(name: &str) -> bool {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        (1..=128).contains(&name.len()) && !name.starts_with('.') && name.chars().all(fits)
    }

    /// Both are about the same origin, key or secret: the later one replaces the earlier.
    pub fn same_target(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http { origin: a, .. }, Self::Http { origin: b, .. }) => a == b,
            (Self::Config { key: a, .. }, Self::Config { key: b, .. }) => a == b,
            (Self::Secret { name: a }, Self::Secret { name: b }) => a == b,
            _ => false,
        }
    }
}

/// The facts of an event's stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageEvent {
    /// It was published, or sent to one saga.
    Event {
        /// Who published it; with `id` it is the deduplication key.
        source: String,
        /// The publisher's id.
        id: String,
        /// Its type and correlation key.
        topic: Topic,
        /// The saga that it is addressed to, for a signal.
        to: Option<String>,
        /// Its data.
        data: Option<Payload>,
    },
    /// It stays findable until then.
    Kept {
        /// The end of its park time.
        until: Instant,
    },
    /// It was addressed to one saga that never took it.
    Dead {
        /// Why.
        reason: Death,
    },
    /// It was to start a saga, and never will.
    NotStarted {
        /// The saga's name.
        saga: String,
        /// Why.
        why: Refused,
    },
}

/// Why a version starts nothing until somebody activates it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quarantine {
    /// It was executing each time the host died.
    HostDied,
}

impl fmt::Display for Quarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostDied => f.write_str("it was executing each time the host died"),
        }
    }
}

/// Why an event that was kept is not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Death {
    /// Nobody took it in the time that it was kept.
    NotTaken,
}

/// The facts of the host's stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostEvent {
    /// The host started.
    Opened {
        /// +1 at every start.
        epoch: u32,
        /// The start before ended in order.
        clean: bool,
    },
    /// The journal was restored from a backup.
    Restored {
        /// +1 at every restore.
        generation: u32,
    },
}
