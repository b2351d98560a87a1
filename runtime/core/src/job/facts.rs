//! The facts of a job: a verb for many sagas, asked for once and done saga by saga.

use serde::{Deserialize, Serialize};

use crate::{event::Act, view::Status};

/// The facts of a job's stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobEvent {
    /// It was asked for. Sagas whose stream begins after this record are none of its.
    Asked {
        /// What to do to each.
        verb: JobVerb,
        /// To which sagas, as each is when the job comes to it.
        filter: SagaFilter,
        /// Who, and why; also in the records of the sagas.
        act: Act,
    },
    /// It went on, in the commit that holds what it did to the sagas.
    Advanced {
        /// Sagas whose stream begins up to here were looked at.
        through: u64,
        /// How many the verb was applied to, since the record before.
        applied: u64,
        /// What the verb did not fit, since the record before.
        misfits: Vec<Misfit>,
    },
    /// Every saga was looked at.
    Ended,
    /// An operator stopped it. What is done stays.
    Stopped {
        /// Who, and why.
        act: Act,
    },
}

/// A verb that many sagas can be told at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobVerb {
    /// Roll back.
    Cancel,
    /// A new attempt now with a fresh budget.
    Retry,
    /// Give the stuck compensation up; its effect stays outstanding.
    Skip,
    /// The step did not happen.
    NotDone,
    /// The compensation was done by hand.
    Undone,
    /// End it where it stands.
    Abandon,
    /// Go over to this version of its module.
    Move(u32),
}

/// Which sagas: those that all of this is true of. Nothing said is true of every saga.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SagaFilter {
    /// Of this definition.
    pub definition: Option<String>,
    /// With this status.
    pub status: Option<Status>,
    /// On this module.
    pub module: Option<String>,
    /// On this version of its module.
    pub version: Option<u32>,
    /// Stuck in this step, or in something in it. `pay` is also said of its elements, as `pay[sku-7]`.
    pub step: Option<String>,
    /// Stuck for this: the failure's code, or where there is no failure the reason, as `denied`. With `step`, in the same leg.
    pub failure: Option<String>,
}

/// Sagas that a verb did not fit, for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Misfit {
    /// Why not, in words.
    pub why: String,
    /// How many.
    pub count: u64,
    /// The first few of them.
    pub sagas: Vec<String>,
}
