//! Jobs: a verb for many sagas, asked for once and done saga by saga.
//!
//! A job is the fold of its facts; which sagas it is about is [`SagaFilter`], the same for lists, groups and dry runs.

mod facts;

mod filter;

mod state;

pub use self::{
    facts::{JobEvent, Misfit, SagaFilter},
    filter::failure_code,
    state::{Job, JobState},
};
