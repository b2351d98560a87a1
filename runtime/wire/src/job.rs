//! A verb for many sagas, as `/v1/jobs` accepts and answers it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use super::verb::JobVerb;
use super::{Time, names::names, saga::Status};

/// The body of `POST /v1/jobs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskJob {
    /// The verb for each saga.
    pub verb: JobVerb,
    /// The arguments of the verb.
    #[serde(default, skip_serializing_if = "JobArgs::is_none")]
    pub args: JobArgs,
    /// The filter, with at least one condition. Sagas that have ended and sagas that start later are not selected.
    pub filter: Filter,
    /// The reason; recorded with each saga.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Return the preview only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

names! {
    /// The status of a job.
    pub enum JobStatus {
        /// The job runs.
        Running = "running",
        /// The job has visited every saga.
        Ended = "ended",
        /// The job was stopped.
        Stopped = "stopped",
    }
}

/// The arguments of verbs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobArgs {
    /// For `move`: the version to which the sagas move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// For `resolve`: the step did not happen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_done: bool,
    /// For `resolve`: the step was undone by hand.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undone: bool,
}

impl JobArgs {
    /// Nothing is said.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A filter: sagas that match all of these conditions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Sagas of this definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saga: Option<String>,
    /// Sagas with this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Sagas of this module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Sagas on this version of their module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Sagas that are stuck in this step; `pay` includes its elements, as `pay[sku-7]`. `retry`, `skip` and `resolve` then apply
    /// to it only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Sagas that are stuck for this failure code; or `denied`, `host_died`, `journal_full`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// The preview of a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobPreview {
    /// The number of sagas to which the verb would apply.
    pub count: u64,
    /// The first 20 of them, oldest first.
    pub sagas: Vec<String>,
    /// The sagas that match the filter and to which the verb does not apply.
    pub does_not_fit: Vec<Misfit>,
    /// Whether there are more sagas than were examined.
    pub is_cut: bool,
}

/// Sagas to which a verb does not apply, for one reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Misfit {
    /// The reason.
    #[schema(example = "it is past its point of no return")]
    pub why: String,
    /// The number of sagas.
    pub count: u64,
    /// The first five of them.
    pub sagas: Vec<String>,
}

/// A job: a verb that is applied to many sagas, one after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// The position of its first record in the host's journal: `caused_by` of the sagas' records.
    pub position: String,
    /// The verb for each saga.
    pub verb: JobVerb,
    /// The arguments of the verb.
    #[serde(default, skip_serializing_if = "JobArgs::is_none")]
    pub args: JobArgs,
    /// The filter.
    pub filter: Filter,
    /// The reason.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The user, as the client named it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// Its status.
    pub status: JobStatus,
    /// When it was requested.
    pub asked_at: Time,
    /// When it ended, or was stopped.
    #[schema(required)]
    pub ended_at: Option<Time>,
    /// The number of sagas that matched the filter so far.
    pub seen: u64,
    /// The number of sagas to which the verb was applied.
    pub applied: u64,
    /// The sagas to which the verb did not apply, by reason.
    pub does_not_fit: Vec<Misfit>,
    /// The position up to which it has visited all started sagas.
    pub through: String,
}

/// Jobs, newest first: running ones, and ended ones for a week.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Jobs {
    /// At most a thousand.
    pub jobs: Vec<Job>,
    /// Whether there are older ones.
    pub is_cut: bool,
}

/// The body of `POST /v1/jobs/{id}/stop`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopJob {
    /// The reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
