//! The host itself: alive, ready, metrics, and the description of this API.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::{Api, openapi, runtime::Readiness};

/// Whether new work is taken.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(in crate::api) struct Ready {
    /// It is.
    ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// How many sagas had not ended at start-up: running, waiting, compensating or stuck.
    #[serde(skip_serializing_if = "Option::is_none")]
    recovered: Option<u64>,
    /// How long recovery took.
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_ms: Option<u64>,
}

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "host", responses((status = 200, description = "alive")))]
pub(in crate::api) async fn alive() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], "{\"alive\":true}").into_response()
}

/// The host has recovered and its storage takes writes.
#[utoipa::path(
    get, path = "/readyz", tag = "host",
    responses((status = 200, body = Ready), (status = 503, description = "not yet, or not any more", body = Ready))
)]
pub(in crate::api) async fn ready(State(api): State<Arc<Api>>) -> Response {
    match api.runtime.readiness() {
        Readiness::Ready { recovered, took_ms } => {
            Json(Ready { ready: true, reason: None, recovered: Some(recovered), recovery_ms: Some(took_ms) }).into_response()
        }
        Readiness::NotReady(reason) => {
            let ready = Ready { ready: false, reason: Some(reason), recovered: None, recovery_ms: None };
            (StatusCode::SERVICE_UNAVAILABLE, Json(ready)).into_response()
        }
    }
}

/// Counters and gauges, as Prometheus reads them.
#[utoipa::path(get, path = "/metrics", tag = "host", responses((status = 200, content_type = "application/openmetrics-text", body = String)))]
pub(in crate::api) async fn metrics(State(api): State<Arc<Api>>) -> Response {
    let text = api.runtime.metrics();
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "host", responses((status = 200, description = "OpenAPI 3.1")))]
pub(in crate::api) async fn openapi() -> Response {
    Json(openapi::description()).into_response()
}
