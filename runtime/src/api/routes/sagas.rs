//! Reading sagas: one, and a page of them.

use std::sync::Arc;

use amends_core::id::{Namespace, SagaId};
use amends_wire::{
    error::ErrorBody,
    job::Filter,
    saga::{Saga, SagaPage, Status},
};
use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Routes, filter};
use crate::{
    api::{
        Api,
        caller::{self, Caller, InPath, InQuery},
        error::ApiError,
        present,
        text::Text,
    },
    service::reader::{ListFilter, Reader},
};

pub(super) fn routes() -> Routes {
    routes![list, show]
}

/// Pages are this long unless a client says otherwise, and never longer than [`LIMIT_MAX`].
const LIMIT: usize = 100;

/// A page that fits easily into one answer.
const LIMIT_MAX: usize = 1_000;

/// How fresh a read must be.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Freshness {
    /// An `Amends-Position` that the answer must include; one that the journal has not reached is 503 `behind`.
    at_least: Option<String>,
}

/// Which sagas.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Only of this definition.
    saga: Option<String>,
    /// Only with this status.
    status: Option<Status>,
    /// Only on this module.
    module: Option<String>,
    /// Only on this version of its module.
    version: Option<u32>,
    /// Only those that are stuck in this step.
    step: Option<String>,
    /// Only those that are stuck for this failure, by its code.
    failure: Option<String>,
    /// At most so many, 1 to 1000.
    limit: Option<usize>,
    /// From the page before.
    cursor: Option<String>,
    /// An `Amends-Position` that the answer must include; one that the journal has not reached is 503 `behind`.
    at_least: Option<String>,
}

/// Lists sagas, newest first.
#[utoipa::path(
    get, operation_id = "list_sagas", path = "/v1/sagas", tag = "sagas", params(ListQuery),
    responses((status = 200, body = SagaPage), (status = 400, description = "bad filter", body = ErrorBody))
)]
async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InQuery(query): InQuery<ListQuery>,
) -> Result<Json<SagaPage>, ApiError> {
    included(&api, query.at_least.as_deref()).await?;
    let positions = api.positions();
    let filter = ListFilter {
        sagas: filter::read(Filter {
            saga: query.saga,
            status: query.status,
            module: query.module,
            version: query.version,
            step: query.step,
            failure: query.failure,
        })?,
        limit: limit(query.limit)?,
        cursor: query.cursor.as_deref().map(|cursor| positions.read(cursor)).transpose()?,
    };
    let page = api.read(move |reader| reader.sagas(&caller.origin.namespace, &filter)).await?;
    let sagas = page.lines.iter().map(present::saga::line).collect();
    Ok(Json(SagaPage { sagas, cursor: page.next.map(|next| positions.show(next)) }))
}

/// Shows a saga: every step, what it waits for and why.
#[utoipa::path(
    get, operation_id = "get_saga", path = "/v1/sagas/{id}", tag = "sagas", params(("id" = String, Path), Freshness),
    responses((status = 200, body = Saga), (status = 404, description = "no such saga", body = ErrorBody))
)]
async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(id): InPath<String>,
    InQuery(query): InQuery<Freshness>,
) -> Result<Text, ApiError> {
    included(&api, query.at_least.as_deref()).await?;
    let id = caller::saga_id(&id)?;
    let saga = as_committed(&api, caller.origin.namespace, id.clone()).await?;
    saga.ok_or_else(|| ApiError::saga_not_found(id.as_str()))
}

/// A saga as it is committed, as the text of an answer.
pub(super) async fn as_committed(api: &Api, namespace: Namespace, id: SagaId) -> Result<Option<Text>, ApiError> {
    let now = api.now();
    let text = move |reader: &Reader| {
        let Some(saga) = reader.saga(&namespace, &id)? else { return Ok::<_, ApiError>(None) };
        let text = Text::json(&present::saga::committed(&namespace, &id, &saga, now), &present::saga::values(&saga.view))?;
        Ok(Some(text.counted(saga.share)))
    };
    api.read(text).await
}

/// Reads follow commits on one host, so a position that was handed out is included; one of another life, or of another host that is
/// further, is refused.
pub(super) async fn included(api: &Api, position: Option<&str>) -> Result<(), ApiError> {
    let Some(position) = position else { return Ok(()) };
    let wanted = api.positions().read(position)?;
    api.read(move |reader| reader.includes(wanted)).await
}

pub(super) fn limit(limit: Option<usize>) -> Result<usize, ApiError> {
    match limit.unwrap_or(LIMIT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        limit => Err(ApiError::bad_request(format!("limit {limit} is out of range")).hint(format!("use 1 to {LIMIT_MAX}"))),
    }
}
