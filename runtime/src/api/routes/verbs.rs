//! Operator verbs on one saga. Each is journaled with who and why, and safe to repeat.

use std::sync::Arc;

use amends_core::{
    event::{Act, Resolution},
    id::StepPath,
    plain::is_printable,
    value::Payload,
    verbs::{AskedVerb, Legs, Verb},
};
use amends_wire::{
    error::ErrorBody,
    verb::{self, Acted, Reason, VerbBody},
};
use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Request},
    response::Response,
};

use super::{Routes, written};
use crate::{
    api::{
        Api, Options,
        caller::{self, Caller, InPath},
        error::{ApiError, Part},
        present,
    },
    engine::port::{self, VerbRequest},
    plain,
};

pub(super) fn routes() -> Routes {
    routes![cancel, retry, skip, unlock, move_to, resolve, abandon]
}

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
async fn cancel(asked: Asked<verb::ActRequest>) -> Result<Response, ApiError> {
    asked.act(|_, _| Ok(Verb::Cancel)).await
}

/// Tries again now, with a fresh budget: one step, or all that are stuck or back off.
#[utoipa::path(
    post, operation_id = "retry_saga", path = "/v1/sagas/{id}/retry", tag = "verbs", params(("id" = String, Path)), request_body = Option<verb::RetryRequest>,
    responses(
        (status = 200, body = Acted),
        (status = 409, description = "it does not fit; `fits` says what does", body = ErrorBody),
    )
)]
async fn retry(asked: Asked<verb::RetryRequest>) -> Result<Response, ApiError> {
    asked.act(|body, _| Ok(Verb::Retry(body.step.as_deref().map_or(Ok(Legs::All), step)?))).await
}

/// Gives a stuck compensation up; its effect stays in `outstanding`.
#[utoipa::path(
    post, operation_id = "skip_compensation", path = "/v1/sagas/{id}/skip", tag = "verbs", params(("id" = String, Path)), request_body = verb::SkipRequest,
    responses(
        (status = 200, body = Acted),
        (status = 409, description = "it does not fit; `fits` says what does", body = ErrorBody),
    )
)]
async fn skip(asked: Asked<verb::SkipRequest>) -> Result<Response, ApiError> {
    asked.act(|body, _| Ok(Verb::Skip(step(&body.step)?))).await
}

/// Says what happened to a step: it is done with this output, it did not happen, or its compensation was done by hand.
#[utoipa::path(
    post, operation_id = "resolve_step", path = "/v1/sagas/{id}/resolve", tag = "verbs", params(("id" = String, Path)), request_body = verb::ResolveRequest,
    responses(
        (status = 200, body = Acted),
        (status = 409, description = "it does not fit; `fits` says what does", body = ErrorBody),
    )
)]
async fn resolve(asked: Asked<verb::ResolveRequest>) -> Result<Response, ApiError> {
    asked.act(|body, options| Ok(Verb::Resolve(step(&body.step)?, resolution(body, options)?))).await
}

/// Breaks a lock key that a saga holds: the next one has it, and this saga goes on without.
#[utoipa::path(
    post, operation_id = "unlock_key", path = "/v1/sagas/{id}/unlock", tag = "verbs", params(("id" = String, Path)), request_body = verb::UnlockRequest,
    responses(
        (status = 200, body = Acted),
        (status = 409, description = "it does not fit; `fits` says what does", body = ErrorBody),
    )
)]
async fn unlock(asked: Asked<verb::UnlockRequest>) -> Result<Response, ApiError> {
    asked.act(|body, _| Ok(Verb::Unlock(lock_key(&body.key)?))).await
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
async fn move_to(asked: Asked<verb::MoveRequest>) -> Result<Response, ApiError> {
    asked.act(|body, _| Ok(Verb::Move(body.version))).await
}

/// Ends a saga where it stands; what is not undone stays, and is listed in `outstanding`. Attempts of it that run are ended.
#[utoipa::path(
    post, operation_id = "abandon_saga", path = "/v1/sagas/{id}/abandon", tag = "verbs", params(("id" = String, Path)), request_body = Option<verb::ActRequest>,
    responses(
        (status = 200, body = Acted),
        (status = 409, description = "it does not fit; `fits` says what does", body = ErrorBody),
    )
)]
async fn abandon(asked: Asked<verb::ActRequest>) -> Result<Response, ApiError> {
    asked.act(|_, _| Ok(Verb::Abandon)).await
}

/// A verb that somebody asks of one saga: who asks, of which saga, and the body.
struct Asked<B> {
    api: Arc<Api>,
    caller: Caller,
    id: String,
    body: B,
}

impl<B: VerbBody> FromRequest<Arc<Api>> for Asked<B> {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, api).await?;
        let InPath(id) = InPath::from_request_parts(&mut parts, api).await?;
        // An output may be as large as a payload; the rest of the body is small.
        let body = caller::read_json(body, api.options.payload_bytes_max + 2 * NOTE_BYTES_MAX, &api.held.bodies).await?;
        Ok(Self { api: Arc::clone(api), caller, id, body })
    }
}

impl<B: VerbBody> Asked<B> {
    /// Reads the verb out of the body, has the engine do it, and answers where the saga stands then.
    async fn act(self, read: impl FnOnce(&B, &Options) -> Result<AskedVerb, ApiError>) -> Result<Response, ApiError> {
        let Self { api, caller, id, body } = self;
        let asked = read(&body, &api.options)?;
        let id = caller::saga_id(&id)?;
        let Reason { note, expect_revision } = body.into_reason();
        let act = Act { note: checked_note(note)?, by: caller.by };
        let expect_revision = expect_revision.as_deref().map(revision).transpose()?;
        let request = VerbRequest { id: id.clone(), asked, act, expect_revision };
        let answer = api.ask(|answer| port::Request::Verb(caller.origin, request, answer)).await?;
        let acted = Acted {
            id: id.into(),
            status: present::value::status(answer.status),
            revision: answer.revision.to_string(),
            applied: answer.applied,
        };
        Ok(written(&api, answer.position, Json(acted)))
    }
}

/// What the body says about the step.
fn resolution(body: &verb::ResolveRequest, options: &Options) -> Result<Resolution, ApiError> {
    match (&body.output, body.not_done, body.undone) {
        (Some(output), false, false) => {
            let output = Payload::json(output.as_str().to_owned());
            Ok(Resolution::Output(caller::fitting(Part::Output, output, options.payload_bytes_max)?))
        }
        (None, true, false) => Ok(Resolution::NotDone),
        (None, false, true) => Ok(Resolution::Undone),
        (Some(_), _, _) | (None, true, true) | (None, false, false) => {
            Err(ApiError::bad_request("give exactly one of `output`, `not_done` and `undone`"))
        }
    }
}

fn lock_key(text: &str) -> Result<String, ApiError> {
    match text {
        "" => Err(ApiError::bad_request("`key` is a lock key that the saga holds, as `seat/12A`")),
        key => Ok(key.to_owned()),
    }
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

fn step(text: &str) -> Result<Legs, ApiError> {
    // Whether there is such a step the engine knows; this only bounds what it is asked.
    if text.is_empty() || text.len() > 1_024 || !is_printable(text) {
        return Err(ApiError::bad_request("`step` is a step's path, as `reserve-hotel`"));
    }
    Ok(Legs::Of(StepPath::new(text)))
}

pub(super) fn revision(text: &str) -> Result<u64, ApiError> {
    plain::whole(text).ok_or_else(|| ApiError::bad_request(format!("expect_revision `{text}` is no revision")))
}
