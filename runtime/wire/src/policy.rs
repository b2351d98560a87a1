//! Policies: how they stand, what waits of them, and what operators do with that.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Time;

/// The policies of a namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Policies {
    /// By name.
    pub policies: Vec<Policy>,
}

/// A policy: which code it runs on, and how far it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Policy {
    /// Its name.
    #[schema(example = "credit-on-order")]
    pub name: String,
    /// Its module.
    pub module: String,
    /// The version of the module that it runs on, or ran on last.
    pub version: u32,
    /// What it does.
    pub status: PolicyStatus,
    /// Why it does not go on by itself, if it stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<PolicyStop>,
    /// The types of the events that it takes.
    pub takes: Vec<String>,
    /// It keeps a state for each key.
    pub keeps_state: bool,
    /// Which life it is, from 1: +1 with each reset.
    pub incarnation: u32,
    /// Every event up to here is taken, waits, or is not for it; opaque.
    pub position: String,
    /// Events that it has not taken yet, counted up to 10,000.
    pub lag: u64,
    /// When the first of those was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Time>,
    /// Keys of which a cause is with its code now.
    pub active: u64,
    /// Keys whose next cause could not be taken, and is tried again.
    pub failing: u64,
    /// Keys with which something waits for an operator, so that what comes after it waits as well.
    pub parked: u64,
    /// Since when the first of them does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked_since: Option<Time>,
    /// Causes that wait, for an operator or for their instance.
    pub waiting: u64,
}

/// What a policy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PolicyStatus {
    /// It takes events.
    Running,
    /// An operator holds it.
    Paused,
    /// It does not go on by itself.
    Stopped,
    /// No active version has it. It keeps its place.
    Withdrawn,
}

/// Why a policy does not go on by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyStop {
    /// The position of what it could not take, if it was that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// For machines: what its code said, or what ended it, as `trap`.
    pub code: String,
    /// For people.
    pub message: String,
    /// Since when.
    pub since: Time,
}

/// What waits of the policies of a namespace, in groups that wait for the same reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LetterGroups {
    /// By policy.
    pub groups: Vec<LetterGroup>,
}

/// Causes of a policy that wait for the same reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LetterGroup {
    /// The policy.
    pub policy: String,
    /// Why they cannot be taken; without it, they wait for their instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The same for people, as it was said of the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How many keys.
    pub keys: u64,
    /// How many causes, those that wait behind others among them.
    pub causes: u64,
    /// When the first of them was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Some of the keys.
    pub examples: Vec<String>,
}

/// Letters of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Letters {
    /// By key, and in the order of the journal.
    pub letters: Vec<Letter>,
    /// Ask with `after` for those behind them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A cause of a policy that waits: an event, an answer to a command, or a timer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Letter {
    /// The key with which it waits.
    pub key: String,
    /// The position of its record; opaque.
    pub position: String,
    /// What it is.
    pub kind: LetterKind,
    /// The type of the event, the command's name, or the timer's.
    pub what: String,
    /// The event's id, or the command's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// When it was recorded.
    pub at: Time,
    /// For what it waits.
    pub waits_for: LetterWaits,
    /// Why it cannot be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Until when it is kept for its instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// The root of its chain of causes, for `trace`.
    pub correlation: String,
}

/// What a cause is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LetterKind {
    /// An event.
    Event,
    /// An answer to a command.
    Answer,
    /// A timer of an instance.
    Timer,
}

/// For what a cause waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LetterWaits {
    /// An operator; what comes after it with its key waits behind it.
    Operator,
    /// An operator; nothing else waits for it.
    OperatorAlone,
    /// The one before it with its key.
    TheOneBefore,
    /// Its instance, until a moment.
    Instance,
}

/// The body of a verb for a policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyAct {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// `reset`: `beginning`, `now`, or the position behind which it begins anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// `redrive`: only what waits with this key. `drop`: the key of what is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `drop`: the position of what is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
}
