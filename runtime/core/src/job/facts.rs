//! The facts of a job: a verb for many sagas, which is applied saga by saga.

use serde::{Deserialize, Serialize};

use crate::{event::Act, verbs::AskedVerb, view::Status};

/// The facts of a job's stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobEvent {
    /// The job was created. It does not visit sagas whose stream begins after this record.
    Asked {
        /// The verb for each saga.
        verb: AskedVerb,
        /// The filter, applied to each saga when the job visits it.
        filter: SagaFilter,
        /// The user and the reason; also in the records of the sagas.
        act: Act,
    },
    /// The job made progress, in the commit of the changes to the sagas.
    Advanced {
        /// The position up to which the sagas were visited.
        through: u64,
        /// The number of sagas to which the verb was applied, since the record before.
        applied: u64,
        /// The sagas to which the verb did not apply, since the record before.
        misfits: Vec<Misfit>,
    },
    /// Every saga was visited.
    Ended,
    /// An operator stopped the job. Changed sagas stay changed.
    Stopped {
        /// The user and the reason.
        act: Act,
    },
}

/// A filter: sagas that match all conditions. A filter without conditions matches every saga.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SagaFilter {
    /// Sagas of this definition.
    pub definition: Option<String>,
    /// Sagas with this status.
    pub status: Option<Status>,
    /// Sagas of this module.
    pub module: Option<String>,
    /// Sagas on this version of their module.
    pub version: Option<u32>,
    /// Sagas that are stuck in this step, or in an element or child of it; `pay` includes `pay[sku-7]`.
    pub step: Option<String>,
    /// Sagas that are stuck for this failure code, or, without a failure, for this reason, as `denied`. With `step`, in the same
    /// leg.
    pub failure: Option<String>,
}

/// Sagas to which a verb did not apply, for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Misfit {
    /// The reason, as text.
    pub why: String,
    /// The number of sagas.
    pub count: u64,
    /// The first few of them.
    pub sagas: Vec<String>,
}
