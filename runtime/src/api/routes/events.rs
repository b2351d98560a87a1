//! Events from outside: published by type and key, or sent to one saga as a signal.

use std::{pin::pin, sync::Arc, time::Duration};

use amends_core::{
    plain::is_printable,
    trigger::EVENT_TYPE_BYTES_MAX,
    value::{Format, Payload},
};
use amends_wire::{
    Time,
    error::ErrorBody,
    event::{Accepted, CloudEvent, NotStarted, StartedSaga},
    value::from_base64,
};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};

use super::{Routes, written};
use crate::{
    api::{
        Api,
        caller::{self, Caller, InPath},
        error::{ApiError, Part},
        headers, mint, present, strict,
    },
    engine::port::{self, Answer, Publish, PublishAnswer, Request, Seed},
};

pub(super) fn routes() -> Routes {
    routes![signal, publish]
}

/// Types, keys, sources and ids are parts of row keys.
const TEXT_BYTES_MAX: usize = EVENT_TYPE_BYTES_MAX;

/// The envelope around an event's data.
const ENVELOPE_BYTES_MAX: usize = 16 << 10;

/// The source of signals, in which no publisher can be taken for another.
const SIGNALS: &str = "amends:signal";

/// What steps of sagas publish has a source that begins so. Whoever took the id of such an event would have it dropped as a duplicate.
const SAGAS: &str = "saga/";

/// Publishes an event: every saga that waits for its type and key goes on, and every definition that its type triggers starts one
/// saga, whose input is the event's data. An event is the same by its source and id alone: whatever else is said under them later is
/// answered as the first one was. An `Idempotency-Key` is not read.
///
/// An event that nobody takes at once is kept until `kept_until` for sagas that had started before it. A saga that starts after it
/// never gets it: a key such as a customer's number is used for long, and what was said of an earlier saga is not meant for a later one.
#[utoipa::path(
    post, operation_id = "publish_event", path = "/v1/events", tag = "events",
    request_body(content = CloudEvent, content_type = "application/cloudevents+json"),
    responses(
        (status = 202, description = "durable; `woke` says how many sagas took it, `started` which it started", body = Accepted),
        (status = 200, description = "it was there already", body = Accepted),
        (status = 400, description = "not a CloudEvent", body = ErrorBody),
        (status = 415, description = "`not_structured`: the event is not one JSON object in the body", body = ErrorBody),
        (status = 503, description = "overloaded, stopping or storage failed; nothing was recorded", body = ErrorBody),
    )
)]
async fn publish(State(api): State<Arc<Api>>, caller: Caller, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    structured(&headers)?;
    let event: CloudEvent = caller::read_json(body, api.options.payload_bytes_max + ENVELOPE_BYTES_MAX, &api.held.bodies).await?;
    if event.specversion != "1.0" {
        return Err(ApiError::bad_request(format!("specversion `{}` is not 1.0", event.specversion)));
    }
    if event.source == SIGNALS || event.source.starts_with(SAGAS) {
        return Err(ApiError::bad_request(format!("the source `{}` is the host's own", event.source.escape_debug()))
            .hint("send a signal to a saga, or give the source a name of your own"));
    }
    let data = match (&event.data, &event.data_base64) {
        (Some(_), Some(_)) => return Err(ApiError::bad_request("give `data` or `data_base64`, not both")),
        (Some(data), None) => Some(Payload::json(data.as_str().to_owned())),
        (None, Some(text)) => {
            let bytes = from_base64(text).ok_or_else(|| ApiError::bad_request("`data_base64` is not base64"))?;
            Some(Payload::opaque(bytes))
        }
        (None, None) => None,
    };
    let data = data.map(|data| caller::fitting(Part::Data, data, api.options.payload_bytes_max)).transpose()?;
    let input_hash = input_hash(data.as_ref())?;
    let seed = Seed { input_hash, incarnation: mint::incarnation()?, trace_context: caller.traceparent.clone() };
    let publish = Publish {
        source: text("source", &event.source)?,
        id: text("id", &event.id)?,
        event_type: text("type", &event.event_type)?,
        key: event.subject.as_deref().map(|key| text("subject", key)).transpose()?.unwrap_or_default(),
        to: None,
        data,
        seed: Some(seed),
        cause: None,
    };
    send(&api, caller, publish).await
}

/// Sends a signal to one saga. Kept if it does not wait for it yet; refused if it has ended.
#[utoipa::path(
    post, operation_id = "send_signal", path = "/v1/sagas/{id}/signals/{name}", tag = "events",
    params(("id" = String, Path), ("name" = String, Path, description = "the event type that the saga waits for")),
    request_body(content = Option<amends_wire::Json>, description = "data for the saga"),
    responses(
        (status = 202, description = "durable; `kept_until` if the saga did not take it at once", body = Accepted),
        (status = 200, description = "it was there already", body = Accepted),
        (status = 409, description = "the saga has ended", body = ErrorBody),
        (status = 422, description = "`key_reused`: the Idempotency-Key was used for another signal to this saga", body = ErrorBody),
    )
)]
async fn signal(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath((id, name)): InPath<(String, String)>,
    body: Body,
) -> Result<Response, ApiError> {
    let saga = caller::saga_id(&id)?;
    let event_type = text("signal", &name)?;
    let body = caller::read_body(Part::Data, body, api.options.payload_bytes_max, &api.held.bodies).await?;
    let data = match body.is_empty() {
        true => None,
        false => strict::check(&body).map(|()| Some(Payload::json(body)))?,
    };
    // Sent again with the same key it is the same signal. The saga is part of the id: one key may go to many.
    let event_id = match &caller.origin.idempotency_key {
        Some(key) => format!("{saga}/{key}"),
        None => mint::fresh(api.now()).map_err(mint::no_randomness)?,
    };
    let key = saga.as_str().to_owned();
    let publish =
        Publish { source: SIGNALS.to_owned(), id: event_id, event_type, key, to: Some(saga), data, seed: None, cause: None };
    send(&api, caller, publish).await
}

async fn send(api: &Api, caller: Caller, publish: Publish) -> Result<Response, ApiError> {
    let id = publish.id.clone();
    let answer = asked(api, |answer| Request::Publish(caller.origin, publish, answer)).await?;
    let status = if answer.duplicate { StatusCode::OK } else { StatusCode::ACCEPTED };
    let accepted = Accepted {
        id,
        duplicate: answer.duplicate,
        woke: answer.woke,
        started: answer.started.iter().map(started).collect(),
        not_started: answer.not_started.into_iter().map(not_started).collect(),
        kept_until: answer.kept_until.map(Time::from_ms),
    };
    Ok(written(api, answer.position, (status, Json(accepted))))
}

/// An answer at once takes no longer than this; one that comes when many were told may.
const AT_ONCE: Duration = Duration::from_millis(250);

/// The answer. A host that stops does not wait until everybody was told: the next one goes on with that.
async fn asked(api: &Api, request: impl FnOnce(Answer<PublishAnswer>) -> Request) -> Result<PublishAnswer, ApiError> {
    let mut answer = pin!(api.ask(request));
    tokio::select! {
        answer = &mut answer => return answer,
        () = api.stopped() => {}
    }
    tokio::time::timeout(AT_ONCE, answer).await.unwrap_or_else(|_| {
        let message = "the host is stopping; if the event was recorded, the next host tells it to the sagas that are left";
        Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", message).hint("publish it again with the same id"))
    })
}

fn started(started: &port::StartedSaga) -> StartedSaga {
    StartedSaga { saga: started.saga.clone(), id: started.id.to_string() }
}

/// An answer with several of these has no place for each one's hint but its message.
fn not_started(port::NotStarted { saga, code, message, hints }: port::NotStarted) -> NotStarted {
    let hint = present::remedy::hint(&hints).map(|hint| format!("; {hint}"));
    NotStarted { saga, code: code.as_str().to_owned(), message: message + &hint.unwrap_or_default() }
}

/// The hash of the input of what the event starts, as that of a start has it.
fn input_hash(data: Option<&Payload>) -> Result<[u8; 32], ApiError> {
    Ok(match data {
        None => strict::hash(b"null")?,
        Some(data) if data.format == Format::Bytes => strict::hash_opaque(&data.bytes),
        Some(data) => strict::hash(&data.bytes)?,
    })
}

/// One event a request, all of it in the body.
fn structured(headers: &HeaderMap) -> Result<(), ApiError> {
    let media_type = headers::media_type(headers)?;
    let is_binary = headers::once(headers, "ce-specversion")?.is_some();
    if is_binary || !["", "application/json", "application/cloudevents+json"].contains(&&*media_type) {
        let message = format!("`{media_type}` is not a structured CloudEvent");
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_structured", message)
            .hint("send the whole event as application/cloudevents+json, one a request"));
    }
    Ok(())
}

fn text(what: &str, text: &str) -> Result<String, ApiError> {
    if text.is_empty() || text.len() > TEXT_BYTES_MAX || !is_printable(text) {
        return Err(ApiError::bad_request(format!("`{what}` has 1 to {TEXT_BYTES_MAX} printable bytes")));
    }
    Ok(text.to_owned())
}
