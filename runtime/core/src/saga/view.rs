//! A saga as people and programs read it: statuses, durations, what it waits for and why.

use serde::{Deserialize, Serialize};

use super::{definition::Kind, verbs::Offer};
use crate::{
    event::{Reason, Wait, Why},
    id::{Leg, StepPath},
    value::{Failure, Instant, Payload},
};

/// Where a saga stands. The first that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Every step is done.
    Completed,
    /// Everything done is undone.
    Compensated,
    /// An operator ended it.
    Abandoned,
    /// A leg needs an operator and no leg can move.
    Stuck,
    /// A rollback has begun.
    Compensating,
    /// Every open leg waits for an event, a timer or a long backoff, or the saga for its lock keys.
    Waiting,
    /// None of these.
    Running,
}

impl Status {
    /// As the API and the command line say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Compensated => "compensated",
            Self::Abandoned => "abandoned",
            Self::Stuck => "stuck",
            Self::Compensating => "compensating",
            Self::Waiting => "waiting",
            Self::Running => "running",
        }
    }

    /// No record but audit follows.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Compensated | Self::Abandoned)
    }
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Not begun.
    Pending,
    /// An attempt is open.
    Running,
    /// It waits for an event or a moment.
    Waiting,
    /// It is tried again later.
    BackingOff,
    /// Done.
    Done,
    /// Its compensation was given up by an operator.
    Skipped,
    /// A decision against it.
    Refused,
    /// It may have happened.
    Unknown,
    /// Its compensation is under way.
    Compensating,
    /// Its compensation is done.
    Compensated,
    /// It needs an operator.
    Stuck,
}

impl StepStatus {
    /// As the API and the command line say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::BackingOff => "backing_off",
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Compensating => "compensating",
            Self::Compensated => "compensated",
            Self::Stuck => "stuck",
        }
    }
}

/// A saga, seen at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The definition's name.
    pub definition: String,
    /// The module, its version and digest.
    pub module: String,
    /// For people.
    pub version: u32,
    /// SHA-256 of the component.
    pub digest: [u8; 32],
    /// The version of the saga's stream.
    pub revision: u64,
    /// Where it stands.
    pub status: Status,
    /// When the start was recorded.
    pub started_at: Instant,
    /// When it ended.
    pub ended_at: Option<Instant>,
    /// When it is rolled back for being late.
    pub deadline_at: Option<Instant>,
    /// What it was started with.
    pub input: Payload,
    /// What it returned, once completed.
    pub output: Option<Payload>,
    /// Why it rolls or rolled back.
    pub rollback: Option<Reason>,
    /// Its lock keys, if it wants any.
    pub locks: Option<LocksView>,
    /// The round under way, from 0.
    pub round: u32,
    /// What the round before it failed for.
    pub cause: Option<Failure>,
    /// The savepoint that the rollback under way goes to; none is the start.
    pub savepoint: Option<String>,
    /// The pivot is done, or a retriable step was begun where there is no pivot: nothing rolls the saga back any more.
    pub past_point_of_no_return: bool,
    /// A cancel that the pivot's outcome decides.
    pub cancel_pending: bool,
    /// Steps in the definition's order, what a step consists of right after it; then elements of rounds that are over.
    pub steps: Vec<StepView>,
    /// Steps whose effects stand and are not undone. Of a completed saga, those whose compensations an operator gave up.
    pub outstanding: Vec<StepPath>,
    /// How many steps people resolved.
    pub manual: u32,
    /// Legs that need an operator.
    pub stuck: Vec<StuckView>,
}

/// A saga's lock keys, seen from the saga. Who else holds and waits is in [`crate::locks::Locks`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocksView {
    /// Held, or waited for; none after its end.
    pub keys: Vec<String>,
    /// Broken by an operator.
    pub broken: Vec<String>,
    /// Since when it waits, and which of its keys were not free then.
    pub waits: Option<(Instant, Vec<String>)>,
}

/// A step, seen at one revision of its saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepView {
    /// Its path.
    pub path: StepPath,
    /// The index of its stage, in its saga or child.
    pub stage: usize,
    /// What it consists of.
    pub body: BodyView,
    /// The key of the element that it is.
    pub element: Option<String>,
    /// Where it stands to the point of no return.
    pub kind: Kind,
    /// Where it stands.
    pub status: StepStatus,
    /// The alternate in hand, from 0.
    pub alternate: u32,
    /// The round of the legs below.
    pub round: u32,
    /// Alternates and rounds that are over, in order.
    pub past: Vec<PastView>,
    /// The forward leg.
    pub forward: LegView,
    /// The compensation's leg, once it was begun.
    pub undo: Option<LegView>,
    /// It is done, or was before it was undone.
    pub done: bool,
    /// What it returned.
    pub output: Option<Payload>,
    /// The last failure of its forward leg, else of the alternate before.
    pub failure: Option<Failure>,
    /// An attempt of it may have happened.
    pub may_have_run: bool,
    /// It has code that undoes it.
    pub undo_declared: bool,
    /// People said what happened.
    pub manual: bool,
}

/// What a step consists of. The steps of a child and the elements of a fan-out are steps of the view too, by their paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyView {
    /// Code.
    Code,
    /// A saga of the module, expanded in place.
    Child,
    /// A fan-out whose list is not known yet.
    Unlisted,
    /// A fan-out over so many elements.
    Each {
        /// All.
        elements: usize,
        /// Done, or refused where that is a result.
        settled: usize,
        /// Refused where that is a result.
        refused: usize,
        /// An attempt is open, waits or backs off; in a rollback, of the compensation.
        moving: usize,
    },
}

/// What an alternate, or a round, came to before the next one took its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastView {
    /// From 0.
    pub round: u32,
    /// From 0.
    pub alternate: u32,
    /// How many forward attempts were begun.
    pub attempts: u32,
    /// Its last failure.
    pub failure: Option<Failure>,
    /// Refused, done with nothing to undo, compensated, or skipped: then its effect stands.
    pub status: StepStatus,
}

/// One leg's counters and times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LegView {
    /// How many attempts were begun.
    pub attempts: u32,
    /// The first intent.
    pub began_at: Option<Instant>,
    /// The outcome that closed it.
    pub ended_at: Option<Instant>,
    /// Failure codes of the attempts that failed, with how often each came, in order of first appearance.
    pub failures: Vec<(String, u32)>,
    /// The last failure.
    pub last_failure: Option<Failure>,
    /// When it is tried again.
    pub retry_at: Option<Instant>,
    /// What it waits for.
    pub waits_for: Option<Wait>,
    /// The command whose answer that is, if it waits for one.
    pub answer_from: Option<AwaitedAnswer>,
}

/// A command that a step has sent, and whose answer it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwaitedAnswer {
    /// The aggregate's name.
    pub aggregate: String,
    /// Its id.
    pub id: String,
    /// The command's name.
    pub command: String,
}

/// A leg that needs an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckView {
    /// The leg.
    pub leg: Leg,
    /// Since when.
    pub since: Instant,
    /// Why.
    pub why: Why,
    /// What an operator may do about it now.
    pub offers: Vec<Offer>,
}
