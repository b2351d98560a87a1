//! What may be asked about jobs, and the answers.

use amends_core::{
    event::Act,
    job::{Job, SagaFilter},
    verbs::AskedVerb,
};

use crate::engine::refusal::Refusal;

/// A verb for many sagas.
#[derive(Clone, Debug)]
pub struct JobRequest {
    /// Made up by the API before it asks.
    pub id: String,
    /// What to do to each.
    pub verb: AskedVerb,
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
