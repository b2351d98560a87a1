//! A refusal as facts hold it: which, and in words what stood against it. What to do about it is for whoever asked, and not recorded.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that was refused, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Which refusal.
    pub code: RefusalCode,
    /// What stood against it.
    pub message: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

/// The codes of refusals, as the API shows them in snake case. Facts hold them: the place of one never changes, and new ones come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// 404: no active module has an aggregate with such a command.
    NoHandler,
    /// 404: the command is for an aggregate that is there.
    NoSuchAggregate,
    /// 409: the command is for an aggregate that is not there yet.
    Exists,
    /// 500: the module's code failed, and nothing was recorded.
    GuestFailed,
    /// 404.
    NoSuchView,
    /// 404.
    NoSuchQuery,
    /// 503: a view has not read so far yet.
    Behind,
    /// 409: the code cannot read events that were recorded.
    ShapesUnreadable,
    /// 409: the code makes other states of recorded events.
    StatesDiffer,
    /// 404.
    NoSuchPolicy,
    /// 409: the code cannot read the states of instances of a policy.
    StatesUnreadable,
    /// 409: the chain of causes is so long that it is probably a loop.
    TooDeep,
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
            Self::NoHandler => "no_handler",
            Self::NoSuchAggregate => "no_such_aggregate",
            Self::Exists => "exists",
            Self::GuestFailed => "guest_failed",
            Self::NoSuchView => "no_such_view",
            Self::NoSuchQuery => "no_such_query",
            Self::Behind => "behind",
            Self::ShapesUnreadable => "shapes_unreadable",
            Self::StatesDiffer => "states_differ",
            Self::NoSuchPolicy => "no_such_policy",
            Self::StatesUnreadable => "states_unreadable",
            Self::TooDeep => "too_deep",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records and rows hold the places: later builds read them.
    #[test]
    fn a_code_keeps_its_place() {
        let codes = [
            RefusalCode::SagaNotFound,
            RefusalCode::DefinitionNotFound,
            RefusalCode::ModuleNotFound,
            RefusalCode::VersionNotFound,
            RefusalCode::StepNotFound,
            RefusalCode::IdTaken,
            RefusalCode::SagaEnded,
            RefusalCode::VerbDoesNotFit,
            RefusalCode::PastPointOfNoReturn,
            RefusalCode::RevisionChanged,
            RefusalCode::NameTaken,
            RefusalCode::GrantInUse,
            RefusalCode::VersionActive,
            RefusalCode::VersionInUse,
            RefusalCode::Quarantined,
            RefusalCode::KeyReused,
            RefusalCode::PayloadTooLarge,
            RefusalCode::Locked,
            RefusalCode::NoLockKey,
            RefusalCode::InputDoesNotFit,
            RefusalCode::InputRefused,
            RefusalCode::ScheduleNotFound,
            RefusalCode::BadSchedule,
            RefusalCode::BadCron,
            RefusalCode::NeverFires,
            RefusalCode::UnknownZone,
            RefusalCode::TimePassed,
            RefusalCode::TooManySchedules,
            RefusalCode::JobNotFound,
            RefusalCode::NothingMatches,
            RefusalCode::Overloaded,
            RefusalCode::LowSpace,
            RefusalCode::Stopping,
            RefusalCode::StorageFailed,
            RefusalCode::NoHandler,
            RefusalCode::NoSuchAggregate,
            RefusalCode::Exists,
            RefusalCode::GuestFailed,
            RefusalCode::NoSuchView,
            RefusalCode::NoSuchQuery,
            RefusalCode::Behind,
            RefusalCode::ShapesUnreadable,
            RefusalCode::StatesDiffer,
            RefusalCode::NoSuchPolicy,
            RefusalCode::StatesUnreadable,
            RefusalCode::TooDeep,
        ];
        let places: Vec<u8> = codes.iter().flat_map(|code| postcard::to_allocvec(code).unwrap()).collect();
        assert_eq!(places, (0..codes.len() as u8).collect::<Vec<_>>());
    }
}
