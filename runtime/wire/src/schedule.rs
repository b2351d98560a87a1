//! Schedules, as `/v1/schedules` accepts and answers them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Json, Time, names::names};

/// A schedule to create, with exactly one of `at`, `after` and `cron`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutSchedule {
    /// The definition of the sagas.
    pub saga: String,
    /// Once, at this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// Once, after this delay, as `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Repeatedly, by a cron expression: minute, hour, day of month, month, day of week; or a name as `@daily`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "0 3 * * mon-fri")]
    pub cron: Option<String>,
    /// The IANA time zone of `cron`; `UTC` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Europe/Berlin")]
    pub zone: Option<String>,
    /// The input of each saga; `{}` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Json>,
    /// The saga's id, for a schedule that starts one saga; by default the name and the moment, as `nightly:20261122T030000Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What happens if the previous saga has not ended: `skip`, `queue` or `allow`; `skip` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Overlap>,
    /// Each start is delayed by a random time up to this, as `30s`; at most `1h`. None by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<String>,
    /// A start that is later than its moment by more than this is skipped; `1h` by default, 10s to 31d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<String>,
    /// It waits to be resumed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Only if the schedule is at this revision; `0`: only if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_revision: Option<String>,
}

names! {
    /// What happens when the saga before has not ended.
    pub enum Overlap {
        /// The start is missed.
        Skip = "skip",
        /// It waits for the end; at most one does.
        Queue = "queue",
        /// It is started beside it.
        Allow = "allow",
    }
}

/// The body of `pause`, `resume` and `trigger`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleActRequest {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

names! {
    /// Whether a schedule starts sagas.
    pub enum ScheduleStatus {
        /// It does.
        Active = "active",
        /// It waits to be resumed.
        Paused = "paused",
        /// Nothing is due any more.
        Over = "over",
    }
}

/// A schedule as of one committed revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// The definition of its sagas.
    pub saga: String,
    /// Whether it starts sagas.
    pub status: ScheduleStatus,
    /// The moment of a schedule that fires once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// The expression of one that fires more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// Its time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// What each saga is started with; left out of pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Json>,
    /// The saga's id, if it was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What happens when the saga before has not ended.
    pub overlap: Overlap,
    /// By how much a start may come later than its moment, as `30s`.
    pub jitter: String,
    /// What could not be started by so long after its moment is missed.
    pub catch_up: String,
    /// The version of its stream, for `expect_revision`.
    pub revision: String,
    /// When it was made, replaced, paused or resumed last.
    pub since: Time,
    /// Why, as who did it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Who, as the client said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The host's time of this answer.
    pub as_of: Time,
    /// The moments that are due next, at most five; none while it is paused.
    pub next: Vec<Time>,
    /// A start that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// The last start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_fired: Option<Fired>,
    /// What was missed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_missed: Option<Missed>,
    /// How many sagas it has started.
    pub fired: u64,
    /// How many moments it has missed; of a long time without a host the first 1,000 are counted.
    pub missed: u64,
}

/// A start that waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Waiting {
    /// The moment that it was due at.
    pub due: Time,
    /// It is tried again then; left out: when the saga before it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// For machines: `overlap`, or the code of the refusal.
    pub code: String,
    /// For people.
    pub message: String,
}

/// A start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Fired {
    /// The moment that it was due at; left out for one by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Time>,
    /// When it happened.
    pub at: Time,
    /// The saga.
    pub saga: String,
}

/// Moments that no saga was started for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Missed {
    /// The first of them.
    pub due: Time,
    /// When that was recorded.
    pub at: Time,
    /// How many; of more than 1,000, so many.
    pub count: u64,
    /// For machines: `late`, `overlap`, `paused`, or the code of the refusal.
    pub code: String,
    /// For people.
    pub message: String,
}

/// A page of schedules, by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SchedulePage {
    /// In the order of their names.
    pub schedules: Vec<Schedule>,
    /// For the next page; left out on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}
