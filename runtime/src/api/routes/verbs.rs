//! Operator verbs on one saga. Each is journaled with who and why, and safe to repeat.

use std::sync::Arc;

use amends_core::{
    event::{Act, Resolution},
    id::StepPath,
    plain::is_printable,
    value::Payload,
};
use amends_wire::{
    error::ErrorBody,
    verb::{self, Acted},
};
use axum::{Json, body::Body, extract::State, response::Response};

use super::written;
use crate::{
    api::{
        Api,
        caller::{self, Caller, InPath},
        error::{ApiError, Part},
        present,
    },
    engine::port::{Intervention, Request, Verb, VerbRequest},
};

/// Notes are read by people, and stored for ever.
pub(super) const NOTE_BYTES_MAX: usize = 4_096;

/// Rolls a saga back: what is done is undone, in reverse.
#[utoipa::path(
    post, operation_id = "cancel_saga", path = "/v1/sagas/{id}/cancel", tag = "verbs", params(("id" = String, Path)), request_body = Option<verb::ActRequest>,
    responses(
        (status = 200, body = Acted),
        (status = 409, description = "it does not fit; `fits` says what does", body = ErrorBody),
    )
)]
pub(in crate::api) async fn cancel(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(id): InPath<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: verb::ActRequest = read(&api, body).await?;
    act(&api, caller, &id, Verb::Cancel, asked.note, asked.expect_revision).await
}

/// Tries again now, with a fresh budget: one step, or all that are stuck or back off.
#[utoipa::path(
    post, operation_id = "retry_saga", path = "/v1/sagas/{id}/retry", tag = "verbs", params(("id" = String, Path)), request_body = Option<verb::RetryRequest>,
    responses(
        (status = 200, body = Acted),
        (status = 409, description = "it does not fit; `fits` says what does", body = ErrorBody),
    )
)]
pub(in crate::api) async fn retry(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(id): InPath<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: verb::RetryRequest = read(&api, body).await?;
    let step = asked.step.as_deref().map(step_path).transpose()?;
    act(&api, caller, &id, Verb::Retry(step), asked.note, asked.expect_revision).await
}

/// Gives a stuck compensation up; its effect stays in `outstanding`.
#[utoipa::path(
    post, operation_id = "skip_compensation", path = "/v1/sagas/{id}/skip", tag = "verbs", params(("id" = String, Path)), request_body = verb::SkipRequest,
    responses(
        (status = 200, body = Acted),
        (status = 409, description = "it does not fit; `fits` says what does", body = ErrorBody),
    )
)]
pub(in crate::api) async fn skip(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(id): InPath<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: verb::SkipRequest = read(&api, body).await?;
    act(&api, caller, &id, Verb::Skip(step_path(&asked.step)?), asked.note, asked.expect_revision).await
}

/// Says what happened to a step: it is done with this output, it did not happen, or its compensation was done by hand.
#[utoipa::path(
    post, operation_id = "resolve_step", path = "/v1/sagas/{id}/resolve", tag = "verbs", params(("id" = String, Path)), request_body = verb::ResolveRequest,
    responses(
        (status = 200, body = Acted),
        (status = 409, description = "it does not fit; `fits` says what does", body = ErrorBody),
    )
)]
pub(in crate::api) async fn resolve(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(id): InPath<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: verb::ResolveRequest = read(&api, body).await?;
    let resolution = match (asked.output, asked.not_done, asked.undone) {
        (Some(output), false, false) => {
            let output = Payload::json(output.as_str().to_owned());
            Resolution::Output(caller::fitting(Part::Output, output, api.options.payload_bytes_max)?)
        }
        (None, true, false) => Resolution::NotDone,
        (None, false, true) => Resolution::Undone,
        _ => return Err(ApiError::bad_request("give exactly one of `output`, `not_done` and `undone`")),
    };
    let verb = Verb::Resolve(step_path(&asked.step)?, resolution);
    act(&api, caller, &id, verb, asked.note, asked.expect_revision).await
}

/// Breaks a lock key that a saga holds: the next one has it, and this saga goes on without.
#[utoipa::path(
    post, operation_id = "unlock_key", path = "/v1/sagas/{id}/unlock", tag = "verbs", params(("id" = String, Path)), request_body = verb::UnlockRequest,
    responses(
        (status = 200, body = Acted),
        (status = 409, description = "it does not fit; `fits` says what does", body = ErrorBody),
    )
)]
pub(in crate::api) async fn unlock(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(id): InPath<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: verb::UnlockRequest = read(&api, body).await?;
    if asked.key.is_empty() {
        return Err(ApiError::bad_request("`key` is a lock key that the saga holds, as `seat/12A`"));
    }
    act(&api, caller, &id, Verb::Unlock(asked.key), asked.note, asked.expect_revision).await
}

/// Takes a saga over to another version of its module; what is stuck is tried again at once.
#[utoipa::path(
    post, operation_id = "move_saga", path = "/v1/sagas/{id}/move", tag = "verbs", params(("id" = String, Path)), request_body = verb::MoveRequest,
    responses(
        (status = 200, body = Acted),
        (status = 404, description = "no such saga, or no such version of its module", body = ErrorBody),
        (status = 409, description = "it does not fit; `reasons` says what stands against it", body = ErrorBody),
    )
)]
pub(in crate::api) async fn move_to(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(id): InPath<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: verb::MoveRequest = read(&api, body).await?;
    act(&api, caller, &id, Intervention::Move(asked.version), asked.note, asked.expect_revision).await
}

/// Ends a saga where it stands; what is not undone stays, and is listed in `outstanding`.
#[utoipa::path(
    post, operation_id = "abandon_saga", path = "/v1/sagas/{id}/abandon", tag = "verbs", params(("id" = String, Path)), request_body = Option<verb::ActRequest>,
    responses(
        (status = 200, body = Acted),
        (status = 409, description = "it does not fit; `fits` says what does", body = ErrorBody),
    )
)]
pub(in crate::api) async fn abandon(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(id): InPath<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: verb::ActRequest = read(&api, body).await?;
    act(&api, caller, &id, Verb::Abandon, asked.note, asked.expect_revision).await
}

async fn read<T: serde::de::DeserializeOwned>(api: &Api, body: Body) -> Result<T, ApiError> {
    // An output may be as large as a payload; the rest of the body is small.
    caller::read_json(body, api.options.payload_bytes_max + 2 * NOTE_BYTES_MAX).await
}

async fn act(
    api: &Arc<Api>,
    caller: Caller,
    id: &str,
    asked: impl Into<Intervention>,
    note: Option<String>,
    expect_revision: Option<String>,
) -> Result<Response, ApiError> {
    let id = caller::saga_id(id)?;
    let act = Act { note: checked_note(note)?, by: caller.by };
    let expect_revision = expect_revision.as_deref().map(revision).transpose()?;
    let request = VerbRequest { id: id.clone(), asked: asked.into(), act, expect_revision };
    let answer = api.ask(|answer| Request::Verb(caller.origin, request, answer)).await?;
    let acted = Acted {
        id: id.into(),
        status: present::value::status(answer.status),
        revision: answer.revision.to_string(),
        applied: answer.applied,
    };
    Ok(written(api, answer.position, Json(acted)))
}

/// A note that is neither a novel nor a terminal's control sequence.
pub(super) fn checked_note(note: Option<String>) -> Result<String, ApiError> {
    let note = note.unwrap_or_default();
    if note.len() > NOTE_BYTES_MAX {
        return Err(ApiError::bad_request(format!("the note is longer than {NOTE_BYTES_MAX} bytes")));
    }
    if note.contains(|c: char| c.is_control() && c != '\n' && c != '\t') {
        return Err(ApiError::bad_request("the note holds control characters"));
    }
    Ok(note)
}

fn step_path(text: &str) -> Result<StepPath, ApiError> {
    // Whether there is such a step the engine knows; this only bounds what it is asked.
    if text.is_empty() || text.len() > 1_024 || !is_printable(text) {
        return Err(ApiError::bad_request("`step` is a step's path, as `reserve-hotel`"));
    }
    Ok(StepPath::new(text))
}

pub(super) fn revision(text: &str) -> Result<u64, ApiError> {
    text.parse().map_err(|_| ApiError::bad_request(format!("expect_revision `{text}` is no revision")))
}
