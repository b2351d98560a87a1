//! What may be asked about schedules, and the answers.

use amends_core::{event::Act, id::SagaId, value::Payload};

use super::{check::CheckedSpec, look::ScheduleView};

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
