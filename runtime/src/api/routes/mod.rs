//! Which handler answers which path. One file a thing; every handler carries its own OpenAPI description.

pub(super) mod start;

pub(super) mod sagas;

pub(super) mod watch;

pub(super) mod verbs;

pub(super) mod stuck;

pub(super) mod jobs;

mod filter;

pub(super) mod events;

pub(super) mod schedules;

pub(super) mod modules;

pub(super) mod grants;

pub(super) mod definitions;

pub(super) mod host;

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri},
    middleware,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};

use super::{Api, error::ApiError, guard, panics};

pub(super) fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/v1/modules", get(modules::list).post(modules::deploy))
        .route("/v1/modules/{name}", get(modules::show).put(modules::deploy_as))
        .route("/v1/modules/{name}/activate", post(modules::activate))
        .route("/v1/modules/{name}/versions/{version}", delete(modules::remove))
        .route("/v1/modules/{name}/versions/{version}/breaks", get(modules::breaks))
        .route("/v1/modules/{name}/grants", get(grants::show).put(grants::set))
        .route("/v1/definitions", get(definitions::list))
        .route("/v1/definitions/{saga}", get(definitions::show))
        .route("/v1/definitions/{saga}/sagas", post(start::start))
        .route("/v1/sagas", get(sagas::list))
        .route("/v1/sagas/{id}", get(sagas::show))
        .route("/v1/sagas/{id}/journal", get(sagas::journal))
        .route("/v1/sagas/{id}/watch", get(watch::saga))
        .route("/v1/sagas/{id}/cancel", post(verbs::cancel))
        .route("/v1/sagas/{id}/retry", post(verbs::retry))
        .route("/v1/sagas/{id}/skip", post(verbs::skip))
        .route("/v1/sagas/{id}/unlock", post(verbs::unlock))
        .route("/v1/sagas/{id}/move", post(verbs::move_to))
        .route("/v1/sagas/{id}/resolve", post(verbs::resolve))
        .route("/v1/sagas/{id}/abandon", post(verbs::abandon))
        .route("/v1/sagas/{id}/signals/{name}", post(events::signal))
        .route("/v1/events", post(events::publish))
        .route("/v1/schedules", get(schedules::list))
        .route("/v1/schedules/{name}", get(schedules::show).put(schedules::put).delete(schedules::remove))
        .route("/v1/schedules/{name}/pause", post(schedules::pause))
        .route("/v1/schedules/{name}/resume", post(schedules::resume))
        .route("/v1/schedules/{name}/trigger", post(schedules::trigger))
        .route("/v1/stuck", get(stuck::show))
        .route("/v1/jobs", get(jobs::list).post(jobs::ask))
        .route("/v1/jobs/{id}", get(jobs::show))
        .route("/v1/jobs/{id}/stop", post(jobs::stop))
        .route("/v1/watch", get(watch::all))
        .route("/healthz", get(host::alive))
        .route("/readyz", get(host::ready))
        .route("/metrics", get(host::metrics))
        .route("/openapi.json", get(host::openapi))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&api), guard::only_our_names))
        .layer(middleware::from_fn(panics::answered))
        .with_state(api)
}

async fn no_route(uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(120).collect();
    ApiError::new(StatusCode::NOT_FOUND, "route_not_found", format!("no route `{path}`")).hint("GET /openapi.json lists them")
}

async fn no_method(method: Method, uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(120).collect();
    let message = format!("`{path}` does not take {method}");
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message).hint("GET /openapi.json lists what it takes")
}

/// An answer to a write: it carries the position that later reads may name.
fn written(api: &Api, position: u64, response: impl IntoResponse) -> Response {
    let mut response = response.into_response();
    if let Ok(value) = HeaderValue::from_str(&api.positions().show(position)) {
        response.headers_mut().insert(HeaderName::from_static("amends-position"), value);
    }
    response
}
