//! A verb for many sagas, as `/v1/jobs` takes and answers it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Time, names::names, saga::Status};

/// The body of `POST /v1/jobs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskJob {
    /// What to do to each of them.
    pub verb: JobVerb,
    /// What the verb needs beside the saga.
    #[serde(default, skip_serializing_if = "JobArgs::is_none")]
    pub args: JobArgs,
    /// Which sagas; at least one thing is said of them. None that have ended are among them, and none that start later.
    pub filter: Filter,
    /// Why; recorded with each saga.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Only say what would be done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

names! {
    /// A verb that can be done to many sagas.
    pub enum JobVerb {
        /// Roll it back.
        Cancel = "cancel",
        /// Try again now what is stuck or backs off.
        Retry = "retry",
        /// Give a stuck compensation up.
        Skip = "skip",
        /// Say what happened to a step.
        Resolve = "resolve",
        /// End it where it stands.
        Abandon = "abandon",
        /// Take it over to another version of its module.
        Move = "move",
    }
}

names! {
    /// Whether a job goes on.
    pub enum JobStatus {
        /// It goes on, saga by saga.
        Running = "running",
        /// It has looked at every saga.
        Ended = "ended",
        /// Somebody stopped it.
        Stopped = "stopped",
    }
}

/// What some verbs need.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobArgs {
    /// For `move`: the version of their module that they go over to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// For `resolve`: the step did not happen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_done: bool,
    /// For `resolve`: its compensation was done by hand.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undone: bool,
}

impl JobArgs {
    /// Nothing is said.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Which sagas: those that all of this is true of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Of this definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saga: Option<String>,
    /// With this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// On this module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// On this version of their module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Stuck in this step; `pay` is also said of its elements, as `pay[sku-7]`. `retry`, `skip` and `resolve` are then about it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Stuck for this failure, by its code; or `denied`, `host_died`, `journal_full`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// What a job would do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobPreview {
    /// How many sagas the verb would be applied to.
    pub count: u64,
    /// The first 20 of them, oldest first.
    pub sagas: Vec<String>,
    /// Those that the filter is about and the verb does not fit.
    pub does_not_fit: Vec<Misfit>,
    /// There are more sagas than were looked at.
    pub is_cut: bool,
}

/// Sagas that a verb does not fit, for one reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Misfit {
    /// Why not.
    #[schema(example = "it is past its point of no return")]
    pub why: String,
    /// How many.
    pub count: u64,
    /// The first five of them.
    pub sagas: Vec<String>,
}

/// A verb that is done to many sagas, one after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// The place of its first record in the host's journal: `caused_by` of the sagas' records.
    pub position: String,
    /// What it does to each saga.
    pub verb: JobVerb,
    /// What the verb needs beside the saga.
    #[serde(default, skip_serializing_if = "JobArgs::is_none")]
    pub args: JobArgs,
    /// Which sagas.
    pub filter: Filter,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Who asked, as the client said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// Whether it goes on.
    pub status: JobStatus,
    /// When it was asked for.
    pub asked_at: Time,
    /// When it ended, or was stopped.
    #[schema(required)]
    pub ended_at: Option<Time>,
    /// How many sagas it was about, so far.
    pub seen: u64,
    /// How many of them the verb was applied to.
    pub applied: u64,
    /// The others, by why the verb did not fit.
    pub does_not_fit: Vec<Misfit>,
    /// It has looked at all sagas that were started up to here.
    pub through: String,
}

/// Jobs, newest first: those that are not over, and the others for a week.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Jobs {
    /// At most a thousand.
    pub jobs: Vec<Job>,
    /// There are older ones.
    pub is_cut: bool,
}

/// The body of `POST /v1/jobs/{id}/stop`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopJob {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
