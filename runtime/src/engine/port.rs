//! What the outside may ask of the engine: a closed set of requests.
//!
//! Each request is answered once, after the commit that justifies the answer (law 2).

mod many;

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

/// Why a request was refused. Variants are decisions for the client; the text says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which HTTP status and error code fit.
    pub code: RefusalCode,
    /// What happened, to which thing.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The verbs that fit instead.
    pub fits: Vec<&'static str>,
    /// Each thing that stands against it, where there may be several.
    pub reasons: Vec<String>,
}

impl Refusal {
    /// A refusal without a hint.
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, fits: Vec::new(), reasons: Vec::new() }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// The codes of refusals, as the API shows them in snake case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// 404.
    SagaNotFound,
    /// 404.
    DefinitionNotFound,
    /// 404.
    ModuleNotFound,
    /// 404.
    VersionNotFound,
    /// 404.
    StepNotFound,
    /// 409: the id is taken by another definition or input.
    IdTaken,
    /// 409.
    SagaEnded,
    /// 409, with `fits`.
    VerbDoesNotFit,
    /// 409.
    PastPointOfNoReturn,
    /// 409.
    RevisionChanged,
    /// 409: a saga's name belongs to another module of the namespace.
    NameTaken,
    /// 409: live sagas declare the grant.
    GrantInUse,
    /// 409: new sagas start on the version.
    VersionActive,
    /// 409: sagas that have not ended run on the version.
    VersionInUse,
    /// 409.
    Quarantined,
    /// 422: a key used again with another body.
    KeyReused,
    /// 413.
    PayloadTooLarge,
    /// 409: another saga has a lock key, and the definition does not queue.
    Locked,
    /// 422: a lock pointer finds no key in the input.
    NoLockKey,
    /// 422: the input does not fit the definition's schema.
    InputDoesNotFit,
    /// 422: what was sent cannot be recorded.
    InputRefused,
    /// 404.
    ScheduleNotFound,
    /// 422: a schedule that cannot be, as with two kinds of moments.
    BadSchedule,
    /// 422: no cron expression.
    BadCron,
    /// 422: a cron expression of a day that does not exist.
    NeverFires,
    /// 422: no time zone.
    UnknownZone,
    /// 422: the only moment of a schedule is past.
    TimePassed,
    /// 409: a namespace has as many schedules as it may.
    TooManySchedules,
    /// 404.
    JobNotFound,
    /// 422: a verb for many sagas, and there is none that it is about.
    NothingMatches,
    /// 503: a queue is full; try again later.
    Overloaded,
    /// 507: the disk is nearly full.
    LowSpace,
    /// 503: the host is stopping.
    Stopping,
    /// 503: the storage failed; nothing is acknowledged any more.
    StorageFailed,
}

impl RefusalCode {
    /// Its name for machines, which never changes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SagaNotFound => "saga_not_found",
            Self::DefinitionNotFound => "definition_not_found",
            Self::ModuleNotFound => "module_not_found",
            Self::VersionNotFound => "version_not_found",
            Self::StepNotFound => "step_not_found",
            Self::IdTaken => "id_taken",
            Self::SagaEnded => "saga_ended",
            Self::VerbDoesNotFit => "verb_does_not_fit",
            Self::PastPointOfNoReturn => "past_point_of_no_return",
            Self::RevisionChanged => "revision_changed",
            Self::NameTaken => "name_taken",
            Self::GrantInUse => "grant_in_use",
            Self::VersionActive => "version_active",
            Self::VersionInUse => "version_in_use",
            Self::Quarantined => "quarantined",
            Self::KeyReused => "key_reused",
            Self::PayloadTooLarge => "payload_too_large",
            Self::Locked => "locked",
            Self::NoLockKey => "no_lock_key",
            Self::InputDoesNotFit => "input_does_not_fit",
            Self::InputRefused => "input_refused",
            Self::ScheduleNotFound => "schedule_not_found",
            Self::BadSchedule => "bad_schedule",
            Self::BadCron => "bad_cron",
            Self::NeverFires => "never_fires",
            Self::UnknownZone => "unknown_zone",
            Self::TimePassed => "time_passed",
            Self::TooManySchedules => "too_many_schedules",
            Self::JobNotFound => "job_not_found",
            Self::NothingMatches => "nothing_matches",
            Self::Overloaded => "overloaded",
            Self::LowSpace => "low_space",
            Self::Stopping => "stopping",
            Self::StorageFailed => "storage_failed",
        }
    }
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
