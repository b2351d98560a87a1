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
    /// Where it stands.
    pub status: Status,
    /// The module that it runs on.
    pub module: String,
    /// The module's version; it never changes for this saga.
    pub version: u32,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// The version of its stream, for `expect_revision`.
    pub revision: String,
    /// When its start was recorded.
    pub started_at: Time,
    /// What started it, if it was no request; left out of the answer to a start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<Starter>,
    /// When it ended.
    #[schema(required)]
    pub ended_at: Option<Time>,
    /// When it is rolled back for being late.
    #[schema(required)]
    pub deadline_at: Option<Time>,
    /// The host's time of this answer.
    pub as_of: Time,
    /// What it was started with.
    pub input: Json,
    /// What it returned, once completed.
    #[schema(required)]
    pub output: Option<Json>,
    /// Why it rolls or rolled back.
    #[schema(required)]
    pub failure: Option<Failure>,
    /// What decided the rollback.
    #[schema(required)]
    pub rollback: Option<Rollback>,
    /// The round under way: how often a rollback has stopped at a savepoint and gone forward again.
    #[serde(default, skip_serializing_if = "is_first")]
    pub round: u32,
    /// What the round before it failed for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_after: Option<Failure>,
    /// The savepoint that the rollback under way goes to; without it, it goes to the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub savepoint: Option<String>,
    /// A cancel was asked for; the open pivot decides.
    #[serde(default)]
    pub cancel_pending: bool,
    /// What it waits for, in words.
    #[schema(required)]
    pub reason: Option<String>,
    /// Its lock keys, if it was started with any and has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locks: Option<Locks>,
    /// What a cancel would do now; left out of the answer to a start, and after the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_preview: Option<CancelPreview>,
    /// Its steps in the definition's order, what a step consists of right after it; then elements of rounds that are over.
    pub steps: Vec<Step>,
    /// Steps whose effects stand and are not undone.
    pub outstanding: Vec<String>,
    /// How many steps people resolved.
    pub manual: u32,
    /// Legs that need an operator.
    pub stuck: Vec<Stuck>,
}

names! {
    /// Where a saga stands. The first that fits.
    pub enum Status {
        /// Every step is done.
        Completed = "completed",
        /// Everything done is undone.
        Compensated = "compensated",
        /// An operator ended it.
        Abandoned = "abandoned",
        /// A leg needs an operator and no leg can move.
        Stuck = "stuck",
        /// A rollback has begun.
        Compensating = "compensating",
        /// Every open leg waits for an event, a timer or a long backoff, or the saga for its lock keys.
        Waiting = "waiting",
        /// None of these.
        Running = "running",
    }
}

impl Status {
    /// The saga has ended: no verb fits it any more.
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
        /// Who published it.
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

/// Why something did not happen, or may not have.
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

/// What decided a rollback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rollback {
    /// Which kind of cause.
    pub reason: RollbackReason,
    /// The step, unless the whole saga was cancelled or late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

names! {
    /// What decides a rollback.
    pub enum RollbackReason {
        /// A step was refused.
        Refused = "refused",
        /// All attempts of a step are used up.
        Exhausted = "exhausted",
        /// A step may have happened, and is not to be run again.
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
    /// Its path, by which verbs address it: `pay`, in a child `flight/pay`, of a fan-out's element `pay[sku-7]`.
    pub name: String,
    /// The index of its stage, in its saga or child; steps of one stage run in parallel.
    pub stage: usize,
    /// What it consists of, if not of code: those steps are steps here as well, by their paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<StepBody>,
    /// The key of the element that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub element: Option<String>,
    /// Which way of doing it is in hand, from 0; from 1 on it is an alternate.
    #[serde(default, skip_serializing_if = "is_first")]
    pub alternate: u32,
    /// The round that what follows is of.
    #[serde(default, skip_serializing_if = "is_first")]
    pub round: u32,
    /// Ways and rounds that are over, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<Past>,
    /// Where it stands to the point of no return.
    pub kind: Kind,
    /// Where it stands.
    pub status: StepStatus,
    /// It is done, or was before it was undone. Its output does not say so: that may be `null`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub done: bool,
    /// What it returned.
    #[schema(required)]
    pub output: Option<Json>,
    /// Its last failure.
    #[schema(required)]
    pub failure: Option<Failure>,
    /// The forward direction.
    #[serde(flatten)]
    pub forward: Leg,
    /// The compensation, once it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Leg>,
    /// It has code that undoes it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub undo_declared: bool,
    /// An attempt of it may have happened.
    #[serde(default, skip_serializing_if = "is_false")]
    pub may_have_run: bool,
    /// People said what happened.
    #[serde(default, skip_serializing_if = "is_false")]
    pub manual: bool,
}

names! {
    /// Where a step stands.
    pub enum StepStatus {
        /// Not begun.
        Pending = "pending",
        /// An attempt is open.
        Running = "running",
        /// It waits for an event or a moment.
        Waiting = "waiting",
        /// It is tried again later.
        BackingOff = "backing_off",
        /// Done.
        Done = "done",
        /// Its compensation was given up by an operator.
        Skipped = "skipped",
        /// A decision against it.
        Refused = "refused",
        /// It may have happened.
        Unknown = "unknown",
        /// Its compensation is under way.
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
        /// All; null as long as the list is not known.
        #[schema(required)]
        all: Option<usize>,
        /// Done, or refused where that is a result.
        settled: usize,
        /// Refused where that is a result.
        refused: usize,
        /// Under way, which waiting and backing off are as well.
        moving: usize,
    },
}

/// A way of doing a step, or a round of it, that is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Past {
    /// From 0.
    pub round: u32,
    /// From 0.
    pub alternate: u32,
    /// How many attempts were begun.
    pub attempts: u32,
    /// `refused`, `done` with nothing to undo, `compensated`, or `skipped`: then its effect stands.
    pub status: StepStatus,
    /// Its last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// One direction of a step: its attempts and times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Leg {
    /// How many attempts were begun.
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
    /// Codes of failed attempts, with how often each came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<FailureCount>,
    /// The message of the last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Time>,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<WaitsFor>,
}

/// A failure code and how often it came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FailureCount {
    /// The code.
    pub code: String,
    /// How often.
    pub times: u32,
}

/// What a step waits for: an event, a moment, or whichever comes first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WaitsFor {
    /// The event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Topic>,
    /// The moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
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
        /// The question whether it happened.
        Check = "check",
    }
}

names! {
    /// Why a leg is stuck.
    pub enum StuckCode {
        /// All attempts are used up.
        Exhausted = "exhausted",
        /// It was refused where there is no way back.
        Refused = "refused",
        /// It may have happened, and is run only once.
        Unknown = "unknown",
        /// The pivot may have happened and has no compensation.
        PivotInDoubt = "pivot_in_doubt",
        /// It called what its module may not reach.
        Denied = "denied",
        /// It was running each time the host died.
        HostDied = "host_died",
        /// The saga's journal is as large as it may be.
        JournalFull = "journal_full",
    }
}

/// A leg that needs an operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stuck {
    /// The step.
    pub step: String,
    /// Which of its legs.
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
    /// Commands that help.
    pub help: Vec<String>,
}

/// A page of sagas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SagaPage {
    /// Newest first.
    pub sagas: Vec<SagaLine>,
    /// Ask with it for the next page; null on the last one.
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
    /// Where it stands.
    pub status: Status,
    /// The module that it runs on.
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

/// The first round, and the first way of doing it, go without saying.
pub(super) fn is_first(number: &u32) -> bool {
    *number == 0
}
