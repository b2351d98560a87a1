//! Events from outside: published by type and key, or sent to one saga as a signal.

use std::{pin::pin, sync::Arc, time::Duration};

use amends_core::value::Payload;
use amends_wire::{
    Time,
    error::ErrorBody,
    event::{Accepted, BatchAnswer, CloudEvent, NotStarted, StartedSaga},
    value::Binary,
};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{Ref, RefOr, Schema, schema::AnyOfBuilder},
};

use super::{Routes, batch, written};
use crate::{
    api::{
        Api,
        caller::{self, Caller, InPath},
        cloudevents::{self, Event, Mode, SIGNALS, binary},
        error::{ApiError, Part},
        mint, present, strict,
    },
    engine::port::{self, Batch, Publish, PublishAnswer, Request, Seed},
    service::intake::Asked,
};

pub(super) fn routes() -> Routes {
    routes![signal, publish]
}

/// The envelope around an event's data.
const ENVELOPE_BYTES_MAX: usize = 16 << 10;

/// What one event may have in its structured form.
pub(super) fn event_bytes_max(api: &Api) -> usize {
    api.options.payload_bytes_max + ENVELOPE_BYTES_MAX
}

/// Publishes CloudEvents 1.0, in any of the three modes of their HTTP binding: one event as `application/cloudevents+json`; one whose
/// attributes are headers (`ce-specversion`, `ce-id`, `ce-source`, `ce-type`, `ce-subject`, …, percent-encoded), and whose body is its
/// data, of the type that `Content-Type` says; or a list of events as `application/cloudevents-batch+json`. `application/json`, or no
/// type at all, without such headers, is one event in the body. `ce-` headers beside an event in the body are refused.
///
/// Every saga that waits for an event's type and key goes on, and every definition that its type triggers starts one saga, whose input
/// is the event's data. An event is the same by its source and id alone, whatever the mode: whatever else is said under them later is
/// answered as the first one was. An `Idempotency-Key` is not read.
///
/// The key is `subject`; of an event without one it is `partitionkey`. `source`, `id`, `type` and the key have 1 to 255 printable bytes.
/// The sources `amends:signal`, `saga/…` and `policy/…` are the host's own, and refused. Data whose type is JSON (`application/json`,
/// `…+json`, or not said) is to be JSON; all other data are bytes. All other attributes are accepted and not stored, `correlationid` and
/// `causationid` among them: an event from outside begins a chain of causes of its own, under its own id.
///
/// An event that nobody takes at once is kept until `kept_until` for sagas that had started before it. A saga that starts after it
/// never gets it: a key such as a customer's number is used for long, and what was said of an earlier saga is not meant for a later one.
///
/// A batch has at most 10000 events, and 4 MiB, or as much as one event may have. Its answer is 200 and a `BatchAnswer`: each event in the
/// order of the batch, with the status and the answer, or the error, that it would have had alone. A malformed event refuses itself only.
/// Those that are taken are recorded in the order of the batch, whatever their types and keys. If the host stops or has no room half-way,
/// all events behind that have 503 or 507: send the batch again, what was taken is a duplicate then.
#[utoipa::path(
    post, operation_id = "publish_event", path = "/v1/events", tag = "events",
    params(
        ("ce-specversion" = Option<String>, Header, description = "`1.0`: the attributes of the event are headers, and the body is its data"),
        ("ce-id" = Option<String>, Header, description = "its id, percent-encoded as all of them"),
        ("ce-source" = Option<String>, Header, description = "the publisher"),
        ("ce-type" = Option<String>, Header, description = "its type"),
        ("ce-subject" = Option<String>, Header, description = "its key"),
        ("ce-partitionkey" = Option<String>, Header, description = "the key of an event without `ce-subject`"),
    ),
    request_body(content(
        (CloudEvent = "application/cloudevents+json"),
        (Vec<CloudEvent> = "application/cloudevents-batch+json"),
        (Binary = "application/octet-stream"),
    ), description = "one event, a list of events, or the data of an event whose attributes are headers, of any type"),
    responses(
        (status = 202, description = "one event: durable; `woke` says how many sagas took it, `started` which it started", body = Accepted),
        (status = 200, description = "one event: it was there already; a batch: what became of each event", body = EventOrBatchAnswer),
        (status = 400, description = "not a CloudEvent, or not a list; `modes_mixed`: `ce-` headers beside an event in the body", body = ErrorBody),
        (status = 415, description = "`not_an_event`: neither the content type nor a header says that it is an event", body = ErrorBody),
        (status = 503, description = "overloaded, stopping or storage failed; one event: nothing was recorded", body = ErrorBody),
    )
)]
async fn publish(State(api): State<Arc<Api>>, caller: Caller, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let payload_bytes_max = api.options.payload_bytes_max;
    let event = match Mode::of(&headers)? {
        Mode::Structured => {
            let body = caller::read_body(Part::Body, body, event_bytes_max(&api), &api.held.bodies).await?;
            let json: &[u8] = if body.is_empty() { b"{}" } else { &body };
            cloudevents::structured("body", json, payload_bytes_max)?
        }
        Mode::Binary => {
            let head = binary::Head::of(&headers)?;
            let body = caller::read_body(Part::Data, body, payload_bytes_max, &api.held.bodies).await?;
            head.with(body, payload_bytes_max)?
        }
        Mode::Batch => return batch::publish(&api, &caller, body).await,
    };
    let publish = from_outside(event, &caller, None)?;
    send(&api, caller, publish).await
}

/// What is answered with 200, by what was sent. An event has no `events`, and a batch no `id`.
struct EventOrBatchAnswer;

impl PartialSchema for EventOrBatchAnswer {
    fn schema() -> RefOr<Schema> {
        let of = |name: String| Ref::from_schema_name(name);
        let either = AnyOfBuilder::new().item(of(Accepted::name().into())).item(of(BatchAnswer::name().into()));
        RefOr::T(Schema::AnyOf(either.build()))
    }
}

impl ToSchema for EventOrBatchAnswer {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((BatchAnswer::name().into(), BatchAnswer::schema()));
        <Accepted as ToSchema>::schemas(schemas);
        <BatchAnswer as ToSchema>::schemas(schemas);
    }
}

/// An event as the engine takes it.
pub(super) fn from_outside(event: Event, caller: &Caller, batch: Option<Batch>) -> Result<Publish, ApiError> {
    let Event { source, id, event_type, key, data, input_hash } = event;
    let seed = Seed { input_hash, incarnation: mint::incarnation()?, trace_context: caller.traceparent.clone() };
    // A correlation id that the publisher names is not the root of the chain: it may be the id of a saga or of a command of somebody
    // else, who would have the event and all that follows from it for his own.
    Ok(Publish { source, id, event_type, key, to: None, data, seed: Some(seed), cause: None, batch })
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
    cloudevents::text("signal", &name)?;
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
    let (source, to) = (SIGNALS.to_owned(), Some(saga));
    let publish = Publish { source, id: event_id, event_type: name, key, to, data, seed: None, cause: None, batch: None };
    send(&api, caller, publish).await
}

async fn send(api: &Api, caller: Caller, publish: Publish) -> Result<Response, ApiError> {
    let id = publish.id.clone();
    let asked = api.intake.put(|answer| Request::Publish(caller.origin, publish, answer))?;
    let answer = Answers::of(api).next(asked).await?;
    let status = status(&answer);
    let position = answer.position;
    Ok(written(api, position, (status, Json(accepted(id, answer)))))
}

/// 200: it was there already.
pub(super) fn status(answer: &PublishAnswer) -> StatusCode {
    if answer.duplicate { StatusCode::OK } else { StatusCode::ACCEPTED }
}

pub(super) fn accepted(id: String, answer: PublishAnswer) -> Accepted {
    Accepted {
        id,
        duplicate: answer.duplicate,
        woke: answer.woke,
        started: answer.started.iter().map(started).collect(),
        not_started: answer.not_started.into_iter().map(not_started).collect(),
        kept_until: answer.kept_until.map(Time::from_ms),
    }
}

/// An answer at once takes no longer than this; one that comes when many were told may.
const AT_ONCE: Duration = Duration::from_millis(250);

/// Answers to events, one after the other. A host that stops does not wait until everybody was told: the next one goes on with that.
pub(super) struct Answers<'a> {
    api: &'a Api,
    /// The host stops: who has no answer by then gets none.
    until: Option<tokio::time::Instant>,
}

impl<'a> Answers<'a> {
    pub(super) fn of(api: &'a Api) -> Self {
        Self { api, until: None }
    }

    /// Whether the host stops, as far as it was seen.
    pub(super) fn are_ending(&self) -> bool {
        self.until.is_some()
    }

    /// The answer to what was asked.
    pub(super) async fn next(&mut self, asked: Asked<PublishAnswer>) -> Result<PublishAnswer, ApiError> {
        let mut asked = pin!(asked.answer());
        let until = match self.until {
            Some(until) => until,
            None => tokio::select! {
                answer = &mut asked => return Ok(answer?),
                () = self.api.stopped() => *self.until.insert(tokio::time::Instant::now() + AT_ONCE),
            },
        };
        match tokio::time::timeout_at(until, asked).await {
            Ok(answer) => Ok(answer?),
            Err(_) => {
                let message =
                    "the host is stopping; if the event was recorded, the next host tells it to the sagas that are left";
                Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", message).hint("publish it again with the same id"))
            }
        }
    }
}

fn started(started: &port::StartedSaga) -> StartedSaga {
    StartedSaga { saga: started.saga.clone(), id: started.id.to_string() }
}

/// An answer with several of these has no place for each one's hint but its message.
fn not_started(port::NotStarted { saga, code, message, hints }: port::NotStarted) -> NotStarted {
    let hint = present::remedy::hint(&hints).map(|hint| format!("; {hint}"));
    NotStarted { saga, code: code.as_str().to_owned(), message: message + &hint.unwrap_or_default() }
}
