//! Why a request is refused: a code for machines, words and a remedy for people. It knows no command line and no HTTP.

use amends_core::id::SagaId;
use serde::{Deserialize, Serialize};

/// Why a request was refused. Variants are decisions for the client; the text says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which HTTP status and error code fit.
    pub code: RefusalCode,
    /// What happened, to which thing.
    pub message: String,
    /// What to do about it.
    pub hints: Vec<Hint>,
    /// The verbs that fit instead.
    pub fits: Vec<&'static str>,
    /// Each thing that stands against it, where there may be several.
    pub reasons: Vec<String>,
}

impl Refusal {
    /// A refusal without a hint.
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hints: Vec::new(), fits: Vec::new(), reasons: Vec::new() }
    }

    /// With what to do about it, in words without commands.
    #[must_use]
    pub fn hint(mut self, words: impl Into<String>) -> Self {
        self.hints.push(Hint { words: words.into(), remedy: None });
        self
    }

    /// With what to do about it, and the request that does it. Who shows the refusal to people names the command that makes it.
    #[must_use]
    pub fn remedy(mut self, words: impl Into<String>, remedy: Remedy) -> Self {
        self.hints.push(Hint { words: words.into(), remedy: Some(remedy) });
        self
    }
}

/// Something to do about a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// What to do, in words without commands.
    pub words: String,
    /// The request that does it.
    pub remedy: Option<Remedy>,
}

/// A request that helps after a refusal, or that shows what helps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Remedy {
    /// List the sagas of the namespace.
    ListSagas,
    /// Show this saga: its steps, its status, what is outstanding.
    ShowSaga(SagaId),
    /// Start the saga.
    StartSaga,
    /// Deploy a module.
    Deploy,
    /// Show this module: its versions and what runs on them.
    ShowModule(String),
    /// Activate a version of this module.
    Activate(String),
    /// Revoke grants of this module although sagas in flight declare them.
    RevokeByForce(String),
    /// Show this saga definition with the schema of its input.
    ShowDefinition(String),
    /// List the schedules of the namespace.
    ListSchedules,
    /// Show this schedule.
    ShowSchedule(String),
    /// List the jobs of the namespace.
    ListJobs,
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
