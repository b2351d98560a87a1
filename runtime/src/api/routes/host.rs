//! The host itself: alive, ready, metrics, and the description of this API.

use std::{sync::Arc, time::Duration};

use amends_core::id::Namespace;
use amends_wire::host::{Alive, Ready};
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio::time::timeout;

use super::Routes;
use crate::{
    api::{Api, openapi},
    engine::port::{Origin, Request},
    journal::Actor,
    service::health::Readiness,
};

pub(super) fn routes() -> Routes {
    routes![alive, ready, metrics, openapi]
}

/// A busy engine answers within milliseconds.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// The process lives.
#[utoipa::path(get, operation_id = "get_health", path = "/healthz", tag = "host", responses((status = 200, body = Alive)))]
async fn alive() -> Response {
    Json(Alive { alive: true }).into_response()
}

/// The host has recovered, its engine answers, its storage takes writes, and guests run.
#[utoipa::path(
    get, operation_id = "get_readiness", path = "/readyz", tag = "host",
    responses((status = 200, body = Ready), (status = 503, description = "not yet, or not any more", body = Ready))
)]
async fn ready(State(api): State<Arc<Api>>) -> Response {
    match readiness(&api).await {
        Readiness::Ready { recovered, took_ms } => {
            let (recovered, recovery_ms) = (Some(recovered), Some(took_ms));
            Json(Ready { ready: true, reason: None, recovered, recovery_ms }).into_response()
        }
        Readiness::NotReady(reason) => {
            let ready = Ready { ready: false, reason: Some(reason), ..Ready::default() };
            (StatusCode::SERVICE_UNAVAILABLE, Json(ready)).into_response()
        }
    }
}

/// The engine's answer to a question that waits for its last commit: one that cannot answer takes no work either.
async fn readiness(api: &Api) -> Readiness {
    if *api.stop.borrow() {
        return Readiness::NotReady("the host is stopping".to_owned());
    }
    let known = api.health.readiness();
    // Hardly anybody has modules in a namespace of this name.
    let (Readiness::Ready { .. }, Ok(namespace)) = (&known, Namespace::new("readyz")) else { return known };
    let origin = Origin { namespace, actor: Actor::Host, idempotency_key: None };
    match timeout(ANSWER_MAX, api.ask(|answer| Request::Modules(origin, answer))).await {
        Ok(Ok(_)) => known,
        Ok(Err(error)) => Readiness::NotReady(error.message().to_owned()),
        Err(_) => Readiness::NotReady(format!("the engine has not answered for {ANSWER_MAX:?}")),
    }
}

/// Counters and gauges, as Prometheus reads them.
#[utoipa::path(get, operation_id = "get_metrics", path = "/metrics", tag = "host", responses((status = 200, description = "text in the form of OpenMetrics, which this description does not describe")))]
async fn metrics(State(api): State<Arc<Api>>) -> Response {
    for (of, budget) in api.held.all() {
        api.health.metrics.held(of, budget.bytes(), budget.bytes_max());
    }
    let text = api.health.metrics();
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}

/// This description.
#[utoipa::path(get, operation_id = "get_description", path = "/openapi.json", tag = "host", responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
async fn openapi() -> Response {
    Json(openapi::description()).into_response()
}
