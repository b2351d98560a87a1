//! What may be asked about many sagas at once: what is stuck, in groups, and a verb for all that a filter is about.

use amends_core::{
    event::Act,
    id::SagaId,
    value::Instant,
    view::{Status, StuckView, View},
};

use crate::engine::port::Refusal;
pub use crate::{
    engine::jobs::{Job, JobState},
    journal::job::{JobVerb, Misfit, SagaFilter},
};

/// Sagas that are stuck in the same step of the same version for the same failure.
#[derive(Clone, Debug)]
pub struct StuckGroup {
    /// The step, without the keys of elements.
    pub step: String,
    /// The failure's code, or where there is no failure the reason.
    pub failure: String,
    /// How many sagas.
    pub count: u64,
    /// Since when the first of them is stuck.
    pub since: Instant,
    /// The first few of them, oldest first.
    pub sagas: Vec<SagaId>,
    /// The one that was started first, which stands for the others.
    pub first: FirstStuck,
}

/// A stuck leg, and the saga that it is of.
#[derive(Clone, Debug)]
pub struct FirstStuck {
    /// The saga.
    pub view: Box<View>,
    /// The leg.
    pub stuck: StuckView,
}

/// What is stuck, in groups.
#[derive(Clone, Debug, Default)]
pub struct StuckGroups {
    /// The largest first.
    pub groups: Vec<StuckGroup>,
    /// Sagas that cannot be read.
    pub unreadable: Vec<SagaId>,
    /// More sagas are stuck than were looked at.
    pub is_cut: bool,
}

/// A verb for many sagas.
#[derive(Clone, Debug)]
pub struct JobRequest {
    /// Made up by the API before it asks.
    pub id: String,
    /// What to do to each.
    pub verb: JobVerb,
    /// To which sagas.
    pub filter: SagaFilter,
    /// Why and who, as the client says.
    pub act: Act,
    /// What the committed state says against it. The repeat of a request that was taken is answered as that was.
    pub against: Option<Refusal>,
}

/// The answer to a request about a job.
#[derive(Clone, Debug)]
pub struct JobAnswer {
    /// The job as of its last record.
    pub job: Box<Job>,
    /// The position of that record.
    pub position: u64,
}

/// What a job would do.
#[derive(Clone, Debug, Default)]
pub struct JobPreview {
    /// How many sagas the verb would be applied to.
    pub count: u64,
    /// The first of them, oldest first.
    pub sagas: Vec<SagaId>,
    /// Those that the filter is about and the verb does not fit.
    pub misfits: Vec<Misfit>,
    /// There are more sagas than were looked at.
    pub is_cut: bool,
    /// Sagas that have not ended, by definition, version and status, with how many: what there is, where nothing fits the filter.
    pub live: Vec<(String, u32, Status, u64)>,
}
