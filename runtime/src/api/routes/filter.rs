//! Which sagas a query or a body is about.

use amends_core::{job::SagaFilter, plain::is_printable, view::Status};
use amends_wire::{job::Filter, saga};

use crate::api::{caller, error::ApiError};

/// Failure codes are the guests' own words, and short.
const FAILURE_BYTES_MAX: usize = 255;

/// A step's path, with the keys of elements.
const STEP_BYTES_MAX: usize = 1_024;

pub(super) fn read(filter: Filter) -> Result<SagaFilter, ApiError> {
    let Filter { saga, status: in_status, module, version, step, failure } = filter;
    let name = |text: Option<String>| text.map(|text| caller::name(&text).map(Into::into)).transpose();
    if let Some(step) = &step
        && (step.is_empty() || step.len() > STEP_BYTES_MAX || !is_printable(step))
    {
        return Err(ApiError::bad_request("`step` is a step's path, as `reserve-hotel`"));
    }
    if let Some(failure) = &failure
        && (failure.len() > FAILURE_BYTES_MAX || !is_printable(failure))
    {
        return Err(ApiError::bad_request("`failure` is the code of a failure, as `gateway_down`"));
    }
    let status = in_status.map(status);
    Ok(SagaFilter { definition: name(saga)?, status, module: name(module)?, version, step, failure })
}

/// The status as the core has it.
fn status(status: saga::Status) -> Status {
    match status {
        saga::Status::Completed => Status::Completed,
        saga::Status::Compensated => Status::Compensated,
        saga::Status::Abandoned => Status::Abandoned,
        saga::Status::Stuck => Status::Stuck,
        saga::Status::Compensating => Status::Compensating,
        saga::Status::Waiting => Status::Waiting,
        saga::Status::Running => Status::Running,
    }
}
