//! Jobs: a verb for many sagas, requested once and applied saga by saga.
//!
//! A job is the fold of its facts. [`SagaFilter`] selects its sagas, and also those of lists, groups and dry runs.

mod facts;

mod filter;

mod state;

pub use self::{
    facts::{JobEvent, Misfit, SagaFilter},
    filter::failure_code,
    state::{Job, JobState},
};
