//! What may be asked about jobs, and the answers.

use amends_core::{
    event::Act,
    id::SagaId,
    job::{Job, JobVerb, Misfit, SagaFilter},
    view::Status,
};

use crate::engine::refusal::Refusal;

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
