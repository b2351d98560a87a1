//! What the outside may ask of the engine: a closed set of requests.
//!
//! Each request is answered once, after the commit that justifies the answer (law 2).

mod many;

mod refusal;

pub use amends_core::verbs::{StepVerb, Verb};

pub(crate) use super::schedules::CATCH_UP_MS;
pub use super::schedules::{check::CheckedSpec, look::ScheduleView};
use amends_core::{
    Definition, Trigger,
    event::Act,
    id::{Namespace, SagaId, StepPath},
    value::Payload,
    view::{Status, View},
};
use serde::{Deserialize, Serialize};

pub use self::many::{
    FirstStuck, Job, JobAnswer, JobPreview, JobRequest, JobState, JobVerb, Misfit, SagaFilter, StuckGroup, StuckGroups,
};
pub use self::refusal::{Refusal, RefusalCode};
use crate::{
    engine::guests::ModuleDigest,
    journal::{Actor, Grant},
};

/// Where a request comes from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Where it applies.
    pub namespace: Namespace,
    /// Who, as the host knows it.
    pub actor: Actor,
    /// The client's `Idempotency-Key`, for verbs, signals and events.
    pub idempotency_key: Option<String>,
}

/// Starts a saga.
#[derive(Clone, Debug)]
pub struct Start {
    /// The definition's name.
    pub definition: String,
    /// Chosen by the client, or minted by the API before it asks.
    pub id: SagaId,
    /// The input as the client sent it.
    pub input: Payload,
    /// SHA-256 of the canonical input.
    pub input_hash: [u8; 32],
    /// 128 random bits for the keys of its steps; unused if the saga is there already.
    pub incarnation: [u8; 16],
    /// W3C `traceparent`.
    pub trace_context: Option<String>,
    /// Answer at the end (or at `stuck`) instead of at the durable start.
    pub wait: bool,
}

/// The answer to a start.
#[derive(Clone, Debug)]
pub struct SagaAnswer {
    /// The saga.
    pub id: SagaId,
    /// It was made by this request; else it was there with the same input.
    pub created: bool,
    /// The saga as of a committed revision.
    pub view: Box<View>,
    /// The position of its last record: `Amends-Position`.
    pub position: u64,
}

/// An operator's verb on one saga.
#[derive(Clone, Debug)]
pub struct VerbRequest {
    /// The saga.
    pub id: SagaId,
    /// What to do.
    pub asked: Intervention,
    /// Why and who, as the client says.
    pub act: Act,
    /// Only if the saga is at this revision.
    pub expect_revision: Option<u64>,
}

/// What is asked of one saga.
#[derive(Clone, Debug)]
pub enum Intervention {
    /// What the saga itself decides about.
    Verb(Verb),
    /// The same of many of its steps, to each that it fits.
    Steps(StepVerb, Vec<StepPath>),
    /// Go over to this version of its module.
    Move(u32),
}

impl From<Verb> for Intervention {
    fn from(verb: Verb) -> Self {
        Self::Verb(verb)
    }
}

/// The answer to a verb. A repeated one gets what the first one got, but for `applied`.
#[derive(Clone, Debug)]
pub struct VerbAnswer {
    /// The verb changed the saga; a repeated one did not.
    pub applied: bool,
    /// Where the saga stood afterwards.
    pub status: Status,
    /// Its revision then.
    pub revision: u64,
    /// The position of its last record then.
    pub position: u64,
}

/// An event from outside.
#[derive(Clone, Debug)]
pub struct Publish {
    /// With `id` it is the deduplication key.
    pub source: String,
    /// The publisher's id of the event.
    pub id: String,
    /// Its type.
    pub event_type: String,
    /// Its correlation key.
    pub key: String,
    /// One saga only: a signal.
    pub to: Option<SagaId>,
    /// Its data.
    pub data: Option<Payload>,
    /// What the sagas that it starts begin with; none for a signal, which starts none.
    pub seed: Option<Seed>,
}

/// What the sagas that an event starts begin with, beside its data.
#[derive(Clone, Debug)]
pub struct Seed {
    /// SHA-256 of the canonical data.
    pub input_hash: [u8; 32],
    /// 128 random bits for the keys of their steps.
    pub incarnation: [u8; 16],
    /// W3C `traceparent`.
    pub trace_context: Option<String>,
}

/// The answer to an event. A repeated one gets what the first one got, but for `duplicate`.
#[derive(Clone, Debug)]
pub struct PublishAnswer {
    /// It was there already.
    pub duplicate: bool,
    /// How many sagas it woke.
    pub woke: u32,
    /// What it started.
    pub started: Vec<StartedSaga>,
    /// What it was to start, and never will.
    pub not_started: Vec<NotStarted>,
    /// Nobody took it: it is kept until then (milliseconds since 1970).
    pub kept_until: Option<u64>,
    /// The position of its record.
    pub position: u64,
}

/// What started a saga, where it was no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Starter {
    /// An event.
    Event(EventName),
    /// A schedule, at its moment or by hand: its name. It may be gone.
    Schedule(String),
}

/// Which event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventName {
    /// Who published it.
    pub source: String,
    /// The publisher's id of it.
    pub id: String,
    /// Its type.
    pub event_type: String,
}

/// A saga that an event started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedSaga {
    /// The definition's name.
    pub saga: String,
    /// Its id.
    pub id: SagaId,
}

/// A saga that an event was to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotStarted {
    /// The definition's name.
    pub saga: String,
    /// The code of the refusal, as the API shows it.
    pub code: String,
    /// What stands against it, and what to do.
    pub message: String,
}

/// A verified component, stored under its digest before the engine hears of it.
#[derive(Clone, Debug)]
pub struct Deploy {
    /// The name in the component, equal to the name in the request.
    pub module: String,
    /// SHA-256 of the bytes.
    pub digest: ModuleDigest,
    /// Their size.
    pub bytes: u64,
    /// Its sagas, validated.
    pub definitions: Vec<Definition>,
    /// Which events start which of them, validated.
    pub triggers: Vec<Trigger>,
    /// Interfaces that it imports, by name.
    pub imports: Vec<String>,
    /// Make it the version that new work starts on.
    pub activate: bool,
}

/// Replaces what a module may reach.
#[derive(Clone, Debug)]
pub struct SetGrants {
    /// The module.
    pub module: String,
    /// All that it may reach from now on.
    pub grants: Vec<Grant>,
    /// Why and who, as the client says.
    pub act: Act,
    /// Whether to revoke what live sagas may need.
    pub force: Force,
    /// Only if the module is at this revision, or has these grants already.
    pub expect_revision: Option<u64>,
}

/// The answer to a deploy or an activation.
#[derive(Clone, Debug)]
pub struct ModuleAnswer {
    /// The module as it is now.
    pub module: ModuleView,
    /// The version that the request was about.
    pub version: u32,
    /// Something was recorded; the same bytes again are no new version.
    pub created: bool,
    /// The position of the last record.
    pub position: u64,
}

/// A module, its versions and what it may reach.
#[derive(Clone, Debug)]
pub struct ModuleView {
    /// Its name.
    pub name: String,
    /// The version that new work starts on.
    pub active: Option<u32>,
    /// Oldest first.
    pub versions: Vec<VersionView>,
    /// The number that the next version gets: one more than any version ever had.
    pub next_version: u32,
    /// What it may reach.
    pub grants: Vec<Grant>,
    /// The revision of its stream; grants and config are read from a numbered snapshot.
    pub revision: u64,
}

/// One version of a module.
#[derive(Clone, Debug)]
pub struct VersionView {
    /// 1, 2, 3…
    pub version: u32,
    /// SHA-256 of the component.
    pub digest: ModuleDigest,
    /// Its size.
    pub bytes: u64,
    /// When it was deployed (milliseconds since 1970).
    pub deployed_at: u64,
    /// Names of its sagas.
    pub sagas: Vec<String>,
    /// Interfaces that it imports.
    pub imports: Vec<String>,
    /// Which events start which of its sagas while it is active.
    pub triggers: Vec<Trigger>,
    /// Sagas that run on it and have not ended.
    pub in_flight: u64,
    /// No new work starts on it, and why.
    pub quarantined: Option<String>,
}

/// Which version to activate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// By number.
    Version(u32),
    /// The one that was active before this one.
    Previous,
}

/// What is asked of one schedule.
#[derive(Clone, Debug)]
pub struct ScheduleRequest {
    /// The schedule.
    pub name: String,
    /// What to do.
    pub asked: OfSchedule,
    /// Why and who, as the client says.
    pub act: Act,
}

/// What can be done with a schedule.
#[derive(Clone, Debug)]
pub enum OfSchedule {
    /// Make it, or replace it.
    Put(Box<PutSchedule>),
    /// Let nothing be due until it is resumed.
    Pause,
    /// Let it go on. What was due in the pause is missed.
    Resume,
    /// Start a saga of this id now, beside what is due and whatever runs.
    Trigger(SagaId),
    /// Remove it. Sagas that it started go on.
    Remove,
}

/// A schedule to be made.
#[derive(Clone, Debug)]
pub struct PutSchedule {
    /// What and when.
    pub spec: CheckedSpec,
    /// What each saga is started with.
    pub input: Payload,
    /// It waits to be resumed. A schedule that is paused stays so when it is replaced.
    pub paused: bool,
    /// Only if it is at this revision; 0: only if it is not there.
    pub expect_revision: Option<u64>,
}

/// The answer to what was asked of a schedule.
#[derive(Clone, Debug)]
pub struct ScheduleAnswer {
    /// It was made by this request.
    pub created: bool,
    /// Something was recorded; what is so already is not done again.
    pub applied: bool,
    /// The schedule as it is now; a removed one as it was.
    pub view: ScheduleView,
    /// The position of its last record.
    pub position: u64,
}

/// A request with the channel for its answer.
pub type Answer<T> = tokio::sync::oneshot::Sender<Result<T, Refusal>>;

/// The closed set of what may be asked.
#[derive(Debug)]
pub enum Request {
    /// Starts a saga.
    Start(Origin, Start, Answer<SagaAnswer>),
    /// An operator's verb.
    Verb(Origin, VerbRequest, Answer<VerbAnswer>),
    /// An event, or a signal.
    Publish(Origin, Publish, Answer<PublishAnswer>),
    /// A verified component.
    Deploy(Origin, Deploy, Answer<ModuleAnswer>),
    /// Makes a version the one that new work starts on.
    Activate(Origin, String, Which, Act, Answer<ModuleAnswer>),
    /// Replaces what a module may reach.
    SetGrants(Origin, SetGrants, Answer<ModuleAnswer>),
    /// What is asked of one schedule.
    Schedule(Origin, ScheduleRequest, Answer<Box<ScheduleAnswer>>),
    /// Removes a version that nothing needs.
    Remove(Origin, String, u32, Answer<ModuleAnswer>),
    /// A verb for many sagas.
    Job(Origin, JobRequest, Answer<JobAnswer>),
    /// Stops a job, by its id.
    StopJob(Origin, String, Act, Answer<JobAnswer>),
    /// Answers when the job of this id has ended.
    AwaitJob(Origin, String, Answer<JobAnswer>),
    /// The modules of a namespace.
    Modules(Origin, Answer<Vec<ModuleView>>),
    /// The definitions that new sagas of a namespace start on.
    Definitions(Origin, Answer<Vec<Offered>>),
}

/// A definition that new sagas start on.
#[derive(Clone, Debug)]
pub struct Offered {
    /// The module that it belongs to.
    pub module: String,
    /// The active version.
    pub version: u32,
    /// The definition.
    pub definition: Definition,
    /// The types of the events that start it.
    pub started_by: Vec<String>,
}

/// One committed change of a saga.
#[derive(Clone, Debug)]
pub struct Change {
    /// Where the saga lives.
    pub namespace: Namespace,
    /// The saga.
    pub id: SagaId,
    /// The version of its stream after the commit.
    pub revision: u64,
}

/// Whether to revoke what live sagas declare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// Refuse, and list them.
    No,
    /// Revoke all the same.
    Yes,
}

/// A component to which sagas might move.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The module.
    pub module: String,
    /// SHA-256 of the component; sagas that run on it are no matter.
    pub digest: ModuleDigest,
    /// Its sagas, validated.
    pub definitions: Vec<Definition>,
}

/// Which sagas in flight could move to a component.
#[derive(Clone, Debug, Default)]
pub struct Moves {
    /// Those that are stuck first, of each status the oldest first.
    pub sagas: Vec<Move>,
    /// There are more.
    pub is_cut: bool,
}

/// Whether one saga could move.
#[derive(Clone, Debug)]
pub struct Move {
    /// The saga.
    pub id: SagaId,
    /// The version that it runs on.
    pub version: u32,
    /// Where it stands.
    pub status: Status,
    /// What stands against it; none, and it could move now.
    pub obstacles: Vec<String>,
    /// Where its recorded input does not fit the schema of the new version. It is kept all the same.
    pub misfit: Option<String>,
}

/// A lock key: who has it and who waits for it, as of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockKey {
    /// As `seat/12A`.
    pub key: String,
    /// Who has it. None while the first of the queue waits for another key.
    pub holder: Option<SagaId>,
    /// Who waits for it, in the order in which they came; of a long queue the first 100.
    pub queue: Vec<SagaId>,
}

/// One line of `list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaLine {
    /// The saga.
    pub id: SagaId,
    /// The definition's name.
    pub definition: String,
    /// Where it stands.
    pub status: Status,
    /// The module and version that it runs on.
    pub module: String,
    /// For people.
    pub version: u32,
    /// Milliseconds since 1970.
    pub started_at: u64,
    /// Milliseconds since 1970.
    pub ended_at: Option<u64>,
}

/// A filter of `list`.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// Only these.
    pub sagas: SagaFilter,
    /// At most so many.
    pub limit: usize,
    /// Go on where the page before ended: the opaque cursor of its answer.
    pub cursor: Option<u64>,
}
