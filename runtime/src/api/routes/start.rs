//! Starting a saga: the hot path. Parse once, ask once, answer once.

use std::{
    sync::Arc,
    time::{Duration, Instant as Moment},
};

use amends_core::{id::Namespace, value::Payload, view::View};
use amends_wire::{error::ErrorBody, saga::Saga, value::Binary};
use axum::{body::Body, extract::State, http::StatusCode, response::Response};
use bytes::Bytes;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Routes, sagas, written};
use crate::{
    api::{
        Api,
        caller::{self, Caller, InPath, InQuery},
        error::{ApiError, Part},
        headers::MediaType,
        mint, present, strict,
        text::Text,
    },
    engine::port::{Request, SagaAnswer, Start},
    held::SMALL_BYTES,
    stages::Stage,
};

pub(super) fn routes() -> Routes {
    routes![start]
}

/// How to start.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct StartQuery {
    /// The business id, and the key by which a repeated start is the same saga. Minted when left out.
    id: Option<String>,
    /// Answer when the saga has ended or is stuck, or after this long, as `30s`; at most 300 s by default, and `wait_too_long` tells
    /// the bound of this host.
    wait: Option<String>,
}

/// Starts a saga. The body is its input: JSON, or any bytes as `application/octet-stream`.
///
/// Answered once the start is durable; with `wait` once the saga has ended or is stuck. The same id, definition and
/// input again is the same saga. Without an id, an `Idempotency-Key` stands for one.
#[utoipa::path(
    post, operation_id = "start_saga", path = "/v1/definitions/{saga}/sagas", tag = "sagas",
    params(("saga" = String, Path, description = "the definition"), StartQuery),
    request_body(
        content((amends_wire::Json = "application/json"), (Binary = "application/octet-stream")),
        description = "the input; `{}` if left out",
    ),
    responses(
        (status = 201, description = "started", body = Saga),
        (status = 200, description = "it was there already", body = Saga),
        (status = 202, description = "started; the time to wait was up first, or the host stops, or too many wait", body = Saga),
        (status = 400, description = "bad id, input or wait; `wait_too_long`: `wait_ms_max` is the longest", body = ErrorBody),
        (status = 404, description = "no such definition", body = ErrorBody),
        (status = 409, description = "the id is taken by another definition or input", body = ErrorBody),
        (status = 422, description = "`input_does_not_fit`: the definition's schema says otherwise; the message says where. `key_reused`: the Idempotency-Key made the id of a start with another input", body = ErrorBody),
        (status = 503, description = "overloaded, stopping or storage failed", body = ErrorBody),
    )
)]
async fn start(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(definition): InPath<String>,
    InQuery(query): InQuery<StartQuery>,
    media_type: MediaType,
    body: Body,
) -> Result<Response, ApiError> {
    let stages = &api.health.metrics.stages;
    let began = Moment::now();
    let wait = query.wait.as_deref().map(|text| wait(text, api.options.wait_ms_max)).transpose()?;
    caller::name(&definition)?;
    let body = caller::read_body(Part::Input, body, api.options.payload_bytes_max, &api.held.bodies).await?;
    let (input, input_hash) = input(&media_type, body)?;
    let (id, from_key) = match (&query.id, &caller.origin.idempotency_key) {
        (Some(id), _) => (caller::saga_id(id)?, false),
        (None, Some(key)) => (mint::saga_id_from_key(&definition, key)?, true),
        (None, None) => (mint::saga_id(api.now())?, false),
    };
    let trace_context = caller.traceparent.clone();
    let incarnation = mint::incarnation()?;
    let start = Start { definition, id, input, input_hash, incarnation, trace_context, wait: wait.is_some() };
    stages.since(Stage::Accept, began);
    let (answer, in_time) = match wait {
        Some(wait) => start_and_wait(&api, &caller, start, wait).await,
        None => ask(&api, &caller, start).await.map(|answer| (answer, true)),
    }
    .map_err(|error| if from_key { key_reused(error) } else { error })?;
    let status = match (in_time, answer.created) {
        (false, _) => StatusCode::ACCEPTED,
        (true, true) => StatusCode::CREATED,
        (true, false) => StatusCode::OK,
    };
    let answered = Moment::now();
    let position = answer.position;
    let saga = shown(&api, caller.origin.namespace, answer).await?;
    let response = written(&api, position, (status, saga));
    stages.since(Stage::Answer, answered);
    Ok(response)
}

/// A step as text, without its output.
const AROUND_A_STEP: usize = 512;

/// The saga as it was answered. One with lock keys as it is read now, since its answer holds only what its own stream says, and not
/// who has the keys and who waits for them. And one that is not small, since its values must not wait in memory until it is the turn
/// of this client; its answer may be an outline.
async fn shown(api: &Api, namespace: Namespace, answer: SagaAnswer) -> Result<Text, ApiError> {
    let SagaAnswer { id, view, is_outline, .. } = answer;
    let has_locks = view.locks.is_some() && !view.status.is_ended();
    let values = present::saga::values(&view);
    let is_small = !is_outline && values.iter().map(Bytes::len).sum::<usize>() + AROUND_A_STEP * view.steps.len() <= SMALL_BYTES;
    if is_small && !has_locks {
        return Text::json(&present::saga::saga(&namespace, &id, &view, api.now()), &values);
    }
    drop(values);
    let kept = if is_small { Some(view) } else { without_steps(view) };
    // The answer left after its commit, so that the read finds at least that. The start is durable: a read that fails does not make a
    // refusal of it, if there is another answer.
    match (sagas::as_committed(api, namespace.clone(), id.clone()).await, kept) {
        (Ok(Some(saga)), _) => Ok(saga),
        (_, Some(view)) => Text::json(&present::saga::saga(&namespace, &id, &view, api.now()), &[]),
        (Ok(None), None) => Err(ApiError::saga_not_found(id.as_str())),
        (Err(error), None) => Err(error.hint(format!("the saga was started; look at it: amends show {id}"))),
    }
}

/// What can be kept of a large saga while its turn to be read is awaited: whoever started it is told that it was, whatever comes of that.
fn without_steps(view: Box<View>) -> Option<Box<View>> {
    let values = view.input.bytes.len() + view.output.as_ref().map_or(0, |output| output.bytes.len());
    let outline = View { steps: Vec::new(), outstanding: Vec::new(), stuck: Vec::new(), ..*view };
    (values <= SMALL_BYTES).then(|| Box::new(outline))
}

async fn ask(api: &Api, caller: &Caller, start: Start) -> Result<SagaAnswer, ApiError> {
    let origin = caller.origin.clone();
    api.ask(|answer| Request::Start(origin, start, answer)).await
}

/// The answer at the end, or the durable start when the time is up, the host stops, or as many wait already as may.
async fn start_and_wait(api: &Api, caller: &Caller, start: Start, wait: Duration) -> Result<(SagaAnswer, bool), ApiError> {
    let again = Start { wait: false, ..start.clone() };
    match api.waits.wait(ask(api, caller, start), wait, api.stopped()).await {
        Some(answer) => Ok((answer?, true)),
        // The same start again is the same saga; it is answered once the start is durable, which 202 promises.
        None => Ok((ask(api, caller, again).await?, false)),
    }
}

/// The input and its hash. Whatever the content type says, a body is JSON, unless it says bytes.
fn input(media_type: &MediaType, body: Bytes) -> Result<(Payload, [u8; 32]), ApiError> {
    if media_type.0 == "application/octet-stream" {
        let hash = strict::hash_opaque(&body);
        return Ok((Payload::opaque(body), hash));
    }
    let body = if body.is_empty() { Bytes::from_static(b"{}") } else { body };
    let hash = strict::hash(&body)?;
    Ok((Payload::json(body), hash))
}

pub(super) fn wait(text: &str, ms_max: u64) -> Result<Duration, ApiError> {
    let wait = humantime::parse_duration(text);
    let wait = wait.map_err(|_| {
        let bound = humantime::format_duration(Duration::from_millis(ms_max));
        ApiError::bad_request(format!("wait `{text}` is no duration")).hint(format!("write it as 30s, at most {bound}"))
    })?;
    if wait.as_millis() > u128::from(ms_max) { Err(ApiError::wait_too_long(text, ms_max)) } else { Ok(wait) }
}

/// An id that came from a key was not chosen by the client: say what it did choose.
fn key_reused(error: ApiError) -> ApiError {
    if error.status != StatusCode::CONFLICT || error.code() != "id_taken" {
        return error;
    }
    let message = "this idempotency-key was used with another input";
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "key_reused", message).hint("use a fresh key for another saga")
}
