//! A saga, a page of sagas and their parts, as `/v1/sagas` answers them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Json, Time, definition::Kind, denial::Denial, lock::Locks, names::names, preview::CancelPreview};

/// A saga as of one committed revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Saga {
    /// Its id.
    pub id: String,
    /// The definition's name.
    pub saga: String,
    /// Its status.
    pub status: Status,
    /// Its module.
    pub module: String,
    /// The version of the module on which it runs; only a move changes it.
    pub version: u32,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// The revision of its stream, for `expect_revision`.
    pub revision: String,
    /// When its start was recorded.
    pub started_at: Time,
    /// What started it, if it was no request; missing in the answer to a start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<Starter>,
    /// When it ended.
    #[schema(required)]
    pub ended_at: Option<Time>,
    /// The deadline after which it is rolled back.
    #[schema(required)]
    pub deadline_at: Option<Time>,
    /// The host's time of this answer.
    pub as_of: Time,
    /// Its input.
    pub input: Json,
    /// Its output, once it is completed.
    #[schema(required)]
    pub output: Option<Json>,
    /// The failure for which it rolls back or rolled back.
    #[schema(required)]
    pub failure: Option<Failure>,
    /// The cause of the rollback.
    #[schema(required)]
    pub rollback: Option<Rollback>,
    /// The current round: how often a rollback has stopped at a savepoint and the saga went forward again.
    #[serde(default, skip_serializing_if = "is_first")]
    pub round: u32,
    /// The failure that ended the previous round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_after: Option<Failure>,
    /// The savepoint to which the current rollback goes; without it, the rollback goes to the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub savepoint: Option<String>,
    /// Whether a cancel was requested that the outcome of the open pivot decides.
    #[serde(default)]
    pub cancel_pending: bool,
    /// What it waits for, as text.
    #[schema(required)]
    pub reason: Option<String>,
    /// Its lock keys, if it was started with any and has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locks: Option<Locks>,
    /// The preview of a cancel; missing in the answer to a start, and after the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_preview: Option<CancelPreview>,
    /// Its steps in the order of the definition, each followed by the steps that it consists of; then elements of earlier rounds.
    pub steps: Vec<Step>,
    /// Steps whose effects have happened and are not undone.
    pub outstanding: Vec<String>,
    /// The number of steps that operators resolved.
    pub manual: u32,
    /// Legs that need an operator.
    pub stuck: Vec<Stuck>,
}

names! {
    /// The status of a saga: the first one in this list that applies.
    pub enum Status {
        /// Every step is done.
        Completed = "completed",
        /// Everything done is undone.
        Compensated = "compensated",
        /// An operator ended it.
        Abandoned = "abandoned",
        /// A leg needs an operator, and no leg can continue.
        Stuck = "stuck",
        /// A rollback has begun.
        Compensating = "compensating",
        /// Every open leg waits for an event, a timer or a long backoff, or the saga for its lock keys.
        Waiting = "waiting",
        /// None of the others.
        Running = "running",
    }
}

impl Status {
    /// The saga has ended: no verb applies any more.
    pub fn is_ended(self) -> bool {
        match self {
            Self::Completed | Self::Compensated | Self::Abandoned => true,
            Self::Stuck | Self::Compensating | Self::Waiting | Self::Running => false,
        }
    }
}

/// What started a saga, if it was no request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Starter {
    /// An event.
    Event {
        /// Its type.
        #[serde(rename = "type")]
        #[schema(example = "order.placed")]
        event_type: String,
        /// The publisher.
        source: String,
        /// The publisher's id of it.
        id: String,
    },
    /// A schedule, at its moment or by hand.
    Schedule {
        /// Its name.
        name: String,
    },
}

/// Why something did not happen, or may not have happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// For machines.
    #[schema(example = "no_car")]
    pub code: String,
    /// For people.
    pub message: String,
    /// Details, in the module's own form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Json>,
}

/// The cause of a rollback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rollback {
    /// The kind of the cause.
    pub reason: RollbackReason,
    /// The step, unless the saga was cancelled or its deadline passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

names! {
    /// The kinds of causes of a rollback.
    pub enum RollbackReason {
        /// A step was refused.
        Refused = "refused",
        /// All attempts of a step are used up.
        Exhausted = "exhausted",
        /// A step may have happened, and must not run again.
        Unknown = "unknown",
        /// An operator cancelled the saga.
        Cancelled = "cancelled",
        /// The deadline of the saga passed.
        Deadline = "deadline",
    }
}

/// A step of a saga.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// Its path, with which verbs address it: `pay`, in a child `flight/pay`, of a fan-out's element `pay[sku-7]`.
    pub name: String,
    /// The index of its stage, in its saga or child; steps of one stage run in parallel.
    pub stage: usize,
    /// The steps that it consists of, if it has no code; they are in this list as well, by their paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<StepBody>,
    /// The key of its element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub element: Option<String>,
    /// The current way of the step, from 0; from 1 on it is an alternate.
    #[serde(default, skip_serializing_if = "is_first")]
    pub alternate: u32,
    /// The round of the following fields.
    #[serde(default, skip_serializing_if = "is_first")]
    pub round: u32,
    /// The ended ways and rounds, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<Past>,
    /// Its position relative to the point of no return.
    pub kind: Kind,
    /// Its status.
    pub status: StepStatus,
    /// Whether it is done, or was done before it was undone. The output of a done step may be `null`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub done: bool,
    /// Its output.
    #[schema(required)]
    pub output: Option<Json>,
    /// Its last failure.
    #[schema(required)]
    pub failure: Option<Failure>,
    /// The forward direction.
    #[serde(flatten)]
    pub forward: Leg,
    /// The compensation, once it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Leg>,
    /// Whether it has a compensation.
    #[serde(default, skip_serializing_if = "is_false")]
    pub undo_declared: bool,
    /// Whether an attempt of it may have happened.
    #[serde(default, skip_serializing_if = "is_false")]
    pub may_have_run: bool,
    /// Whether an operator recorded its result.
    #[serde(default, skip_serializing_if = "is_false")]
    pub manual: bool,
}

names! {
    /// The status of a step.
    pub enum StepStatus {
        /// Not begun.
        Pending = "pending",
        /// An attempt is open.
        Running = "running",
        /// It waits for an event or a moment.
        Waiting = "waiting",
        /// It is retried later.
        BackingOff = "backing_off",
        /// Done.
        Done = "done",
        /// An operator gave up its compensation.
        Skipped = "skipped",
        /// It was refused.
        Refused = "refused",
        /// It may have happened.
        Unknown = "unknown",
        /// Its compensation runs.
        Compensating = "compensating",
        /// Its compensation is done.
        Compensated = "compensated",
        /// It needs an operator.
        Stuck = "stuck",
    }
}

/// What a step consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StepBody {
    /// The steps of a saga of the same module.
    Child,
    /// One step for each element of a list.
    Elements {
        /// The number of elements; null while the list is not known.
        #[schema(required)]
        all: Option<usize>,
        /// The number of elements that are done, or refused with `collect`.
        settled: usize,
        /// The number of refused elements with `collect`.
        refused: usize,
        /// The number of elements that run, wait, or wait for a retry.
        moving: usize,
    },
}

/// An ended way or round of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Past {
    /// From 0.
    pub round: u32,
    /// From 0.
    pub alternate: u32,
    /// The number of attempts.
    pub attempts: u32,
    /// `refused`, `done` with nothing to undo, `compensated`, or `skipped`, whose effect remains.
    pub status: StepStatus,
    /// Its last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// One direction of a step: its attempts and times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Leg {
    /// The number of attempts.
    pub attempts: u32,
    /// The first attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<Time>,
    /// The end of the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// From the first attempt to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// The codes of failed attempts, with the number of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<FailureCount>,
    /// The message of the last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// When it is retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Time>,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<WaitsFor>,
}

/// A failure code and its number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FailureCount {
    /// The code.
    pub code: String,
    /// The number of failures.
    pub times: u32,
}

/// What a step waits for: an event, a moment, the answer to a command, or whichever comes first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WaitsFor {
    /// The event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Topic>,
    /// The moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// The command whose answer it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<AwaitedAnswer>,
}

/// A command that the step has sent, and whose answer it waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AwaitedAnswer {
    /// Which command of its leg, from 0.
    pub number: u32,
    /// The aggregate, as `customer/C1`; not in the record of a wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The command's name; not in the record of a wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// The type and correlation key of an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Topic {
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its correlation key.
    pub key: String,
}

names! {
    /// A leg of a step.
    pub enum Direction {
        /// The step itself.
        Forward = "forward",
        /// Its compensation.
        Undo = "undo",
        /// Its check.
        Check = "check",
    }
}

names! {
    /// Why a leg is stuck.
    pub enum StuckCode {
        /// All attempts are used up.
        Exhausted = "exhausted",
        /// It was refused after the point of no return.
        Refused = "refused",
        /// It may have happened, and must not run again.
        Unknown = "unknown",
        /// The pivot may have happened and has no compensation.
        PivotInDoubt = "pivot_in_doubt",
        /// It called what is not granted to its module.
        Denied = "denied",
        /// It was running each time the host died.
        HostDied = "host_died",
        /// The saga's journal has reached its limit.
        JournalFull = "journal_full",
    }
}

/// A leg that needs an operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stuck {
    /// The step.
    pub step: String,
    /// Its leg.
    pub direction: Direction,
    /// Since when.
    pub since: Time,
    /// For machines.
    pub code: StuckCode,
    /// For people.
    pub why: String,
    /// The refused call, if the code is `denied`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denial: Option<Denial>,
    /// Commands that resolve it.
    pub help: Vec<String>,
}

/// A page of sagas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SagaPage {
    /// Newest first.
    pub sagas: Vec<SagaLine>,
    /// The cursor of the next page; null on the last page.
    #[schema(required)]
    pub cursor: Option<String>,
}

/// One saga of a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SagaLine {
    /// Its id.
    pub id: String,
    /// The definition's name.
    pub saga: String,
    /// Its status.
    pub status: Status,
    /// Its module.
    pub module: String,
    /// The module's version.
    pub version: u32,
    /// When its start was recorded.
    pub started_at: Time,
    /// When it ended.
    #[schema(required)]
    pub ended_at: Option<Time>,
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Omits the first round and the first way.
pub(super) fn is_first(number: &u32) -> bool {
    *number == 0
}
