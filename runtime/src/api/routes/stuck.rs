//! What is stuck, in groups.

use std::sync::Arc;

use amends_wire::{error::ErrorBody, job::Filter, stuck::StuckGroups};
use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Routes, filter};
use crate::api::{
    Api,
    caller::{Caller, InQuery},
    error::ApiError,
    present,
};

pub(super) fn routes() -> Routes {
    routes![show]
}

/// Which of what is stuck.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct StuckQuery {
    /// Only of this definition.
    saga: Option<String>,
    /// Only on this module.
    module: Option<String>,
    /// Only on this version of its module.
    version: Option<u32>,
    /// Only in this step.
    step: Option<String>,
    /// Only for this failure, by its code.
    failure: Option<String>,
}

/// Says what is stuck, in groups: the same step of the same version, for the same failure.
#[utoipa::path(
    get, operation_id = "list_stuck", path = "/v1/stuck", tag = "sagas", params(StuckQuery),
    responses((status = 200, body = StuckGroups), (status = 400, description = "bad filter", body = ErrorBody))
)]
async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InQuery(query): InQuery<StuckQuery>,
) -> Result<Json<StuckGroups>, ApiError> {
    let StuckQuery { saga, module, version, step, failure } = query;
    let filter = filter::read(Filter { saga, module, version, step, failure, status: None })?;
    let namespace = caller.origin.namespace.clone();
    let groups = api.read(move |reader| reader.stuck(&caller.origin.namespace, &filter)).await?;
    Ok(Json(present::stuck::groups(&namespace, &groups)))
}
