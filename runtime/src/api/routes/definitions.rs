//! Definitions: what sagas there are, as data and as a picture, before anything runs.

use std::sync::Arc;

use amends_wire::{
    definition::{Definition, DefinitionFormat, Definitions},
    error::ErrorBody,
};
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Routes;
use crate::api::{
    Api,
    caller::{self, Caller, InPath, InQuery},
    error::ApiError,
    graph::{self, Format},
    present,
};

pub(super) fn routes() -> Routes {
    routes![list, show]
}

/// In which form.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct FormatQuery {
    /// `json` if left out.
    #[param(inline)]
    format: Option<DefinitionFormat>,
}

/// The definitions that new sagas start on.
#[utoipa::path(get, operation_id = "list_definitions", path = "/v1/definitions", tag = "definitions", responses((status = 200, body = Definitions)))]
async fn list(State(api): State<Arc<Api>>, caller: Caller) -> Result<Json<Definitions>, ApiError> {
    let offered = api.read(move |reader| reader.definitions(&caller.origin.namespace)).await?;
    Ok(Json(Definitions { definitions: offered.iter().map(present::definition::offered).collect() }))
}

/// One definition: stages, steps, kinds and policies; with `?format=mermaid` as a picture.
#[utoipa::path(
    get, operation_id = "get_definition", path = "/v1/definitions/{saga}", tag = "definitions", params(("saga" = String, Path), FormatQuery),
    responses(
        (status = 200, description = "the definition, in the form that was asked for",
            content((Definition = "application/json"), (String = "text/plain"))),
        (status = 404, description = "no such definition", body = ErrorBody),
    )
)]
async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(saga): InPath<String>,
    InQuery(query): InQuery<FormatQuery>,
) -> Result<Response, ApiError> {
    caller::name(&saga)?;
    let format = match query.format {
        None | Some(DefinitionFormat::Json) => None,
        Some(DefinitionFormat::Mermaid) => Some(Format::Mermaid),
        Some(DefinitionFormat::Dot) => Some(Format::Dot),
        Some(DefinitionFormat::Text) => Some(Format::Text),
    };
    let offered = api.read(move |reader| reader.definitions(&caller.origin.namespace)).await?;
    let found = offered.iter().find(|offered| offered.definition.name == saga).ok_or_else(|| {
        ApiError::new(StatusCode::NOT_FOUND, "definition_not_found", format!("no saga `{saga}` is deployed in this namespace"))
            .hint("GET /v1/definitions lists the ones that are")
    })?;
    let definition = present::definition::offered(found);
    Ok(match format {
        None => Json(definition).into_response(),
        Some(format) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], graph::draw(&definition, format)).into_response(),
    })
}
