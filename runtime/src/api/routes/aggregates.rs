//! Commands to aggregates, and aggregates as they are.

use std::sync::Arc;

use amends_core::{
    aggregate::is_id,
    value::{Failure, Payload},
};
use amends_wire::{
    Time,
    aggregate::{Aggregate, AggregateEventPage, CommandAnswer},
    error::ErrorBody,
};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Routes,
    sagas::{included, limit},
    written,
};
use crate::{
    api::{
        Api,
        caller::{self, Caller, InPath, InQuery},
        error::{ApiError, Part},
        headers, mint,
        present::{recorded, value::json},
        strict,
    },
    engine::port::{self, Answered, Request, SendCommand},
    plain,
    service::reader::Until,
};

pub(super) fn routes() -> Routes {
    routes![send, show, events]
}

/// Sends a command to an aggregate: it is decided on the state that the aggregate's events have made, and what is decided is recorded as
/// further events. The body is the command's data, `null` if it is left out.
///
/// Commands to one aggregate are decided one after the other. Answered once the decision is durable. The same `Idempotency-Key` for the
/// same aggregate is the same command: it is decided once, and gets its first answer again for seven days. `If-Match` states the revision
/// that the aggregate must have.
#[utoipa::path(
    post, operation_id = "send_command", path = "/v1/aggregates/{aggregate}/{id}/{command}", tag = "aggregates",
    params(
        ("aggregate" = String, Path, description = "its name"), ("id" = String, Path, description = "1 to 128 printable bytes without `/`"),
        ("command" = String, Path), ("If-Match" = Option<String>, Header, description = "the revision, as `\"3\"`"),
    ),
    request_body(content = Option<amends_wire::Json>, description = "the command's data"),
    responses(
        (status = 200, description = "accepted; the events are recorded", body = CommandAnswer),
        (status = 400, description = "a bad id, revision or body", body = ErrorBody),
        (status = 404, description = "`no_handler`: no active module has such a command; `no_such_aggregate`: it is for one that is there", body = ErrorBody),
        (status = 409, description = "refused, with the aggregate's own code; `exists`: it is for one that is not there; `taken`: another one holds a key; `quarantined`", body = ErrorBody),
        (status = 412, description = "`revision_changed`: the aggregate has another revision, which is in the answer", body = ErrorBody),
        (status = 422, description = "`key_reused`: the key was used with other data; `input_does_not_fit`: the command's schema says otherwise", body = ErrorBody),
        (status = 500, description = "`guest_failed`: the module failed; nothing was recorded or remembered", body = ErrorBody),
        (status = 503, description = "overloaded, stopping or storage failed", body = ErrorBody),
    )
)]
async fn send(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath((aggregate, id, name)): InPath<(String, String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    which(&aggregate, &id)?;
    caller::name(&name)?;
    let expect_revision = expected(&headers)?;
    let body = caller::read_body(Part::Data, body, api.options.payload_bytes_max, &api.held.bodies).await?;
    let data = if body.is_empty() { Bytes::from_static(b"null") } else { body };
    let data_hash = strict::hash(&data)?;
    let command = match &caller.origin.idempotency_key {
        Some(key) => key.clone(),
        None => mint::fresh(api.now()).map_err(mint::no_randomness)?,
    };
    let (data, trace_context) = (Payload::json(data), caller.traceparent.clone());
    let sent = SendCommand {
        aggregate,
        id,
        name,
        data,
        data_hash,
        command,
        expect_revision,
        trace_context,
        sender: None,
        correlation: None,
        depth: 0,
        cause: None,
    };
    let of = (sent.aggregate.clone(), sent.id.clone(), sent.command.clone());
    let answer = api.ask(|answer| Request::Command(caller.origin, Box::new(sent), answer)).await?;
    answered(&api, of, answer)
}

fn answered(
    api: &Api,
    (aggregate, id, command): (String, String, String),
    answer: port::CommandAnswer,
) -> Result<Response, ApiError> {
    let port::CommandAnswer { duplicate, revision, version, position, decision } = answer;
    match decision {
        Answered::Refused(Failure { code, message, data }) => Err(ApiError::refused(&code, &message, data.as_ref().map(json))),
        Answered::Accepted { events, data } => {
            let positions = api.positions();
            let events = events.iter().map(|event| recorded::event(event, positions)).collect();
            let (revision_text, position_text) = (revision.to_string(), positions.show(position));
            let data = data.as_ref().map(json);
            let answer = CommandAnswer {
                aggregate,
                id,
                command,
                duplicate,
                revision: revision_text,
                version,
                position: position_text,
                events,
                data,
            };
            let mut response = written(api, position, Json(answer));
            tag(&mut response, revision);
            Ok(response)
        }
    }
}

/// The revision as the tag that `If-Match` takes.
fn tag(response: &mut Response, revision: u64) {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        response.headers_mut().insert(HeaderName::from_static("etag"), value);
    }
}

/// The revision that the client says the aggregate has.
fn expected(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(text) = headers::text(headers, header::IF_MATCH.as_str())? else { return Ok(None) };
    let revision = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    plain::whole(revision).map(Some).ok_or_else(|| {
        ApiError::bad_request(format!("`{}` in if-match is no revision", text.escape_debug())).hint("send one as \"3\"")
    })
}

/// A name and an id that an aggregate may have.
fn which(aggregate: &str, id: &str) -> Result<(), ApiError> {
    caller::name(aggregate)?;
    if is_id(id) {
        return Ok(());
    }
    let shown: String = id.chars().take(80).collect();
    let message = format!("bad id \"{}\": use 1 to 128 printable bytes without `/`, not `.` or `..`", shown.escape_debug());
    Err(ApiError::new(StatusCode::BAD_REQUEST, "bad_name", message))
}

/// As it was.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ShowQuery {
    /// A revision, or a time as `2026-01-01T12:00:00Z`: the aggregate as it was then.
    at: Option<String>,
    /// An `Amends-Position` that the answer must include; one that the journal has not reached is 503 `behind`.
    at_least: Option<String>,
}

/// Shows an aggregate: the state that its events make by the active version of its module.
///
/// The module is asked for the state; for an aggregate of many events that takes as long as folding them. A page that shows many of
/// them is better made by a view.
#[utoipa::path(
    get, operation_id = "get_aggregate", path = "/v1/aggregates/{aggregate}/{id}", tag = "aggregates",
    params(("aggregate" = String, Path), ("id" = String, Path), ShowQuery),
    responses(
        (status = 200, body = Aggregate),
        (status = 400, description = "`at` is neither a revision nor a time", body = ErrorBody),
        (status = 404, description = "`no_such_aggregate`; `no_such_revision`: it has fewer events, or none by then; `no_handler`: it is there, and no active module can fold it", body = ErrorBody),
        (status = 500, description = "`guest_failed`: the module cannot fold the events", body = ErrorBody),
    )
)]
async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath((aggregate, id)): InPath<(String, String)>,
    InQuery(query): InQuery<ShowQuery>,
) -> Result<Response, ApiError> {
    which(&aggregate, &id)?;
    included(&api, query.at_least.as_deref()).await?;
    let until = query.at.as_deref().map(until).transpose()?.unwrap_or(Until::Now);
    let (name, of) = (aggregate.clone(), id.clone());
    let namespace = caller.origin.namespace;
    let read = api.read(move |reader| {
        reader.aggregate(&namespace, (&name, &of), until).and_then(|found| {
            let is_without_code = found.is_none() && reader.is_without_code(&namespace, (&name, &of))?;
            Ok((found, is_without_code))
        })
    });
    let found = match read.await? {
        (Some(found), _) => found,
        (None, true) => return Err(without_code(&aggregate, &id)),
        (None, false) => return Err(not_found(&aggregate, &id)),
    };
    let is_short = matches!(until, Until::Revision(revision) if revision > found.revision);
    if is_short || found.revision == 0 {
        let events = match found.standing.revision {
            1 => "1 event".to_owned(),
            count => format!("{count} events"),
        };
        let message = format!("{aggregate} {id} has {events}, and none at `{}`", query.at.unwrap_or_default());
        return Err(ApiError::new(StatusCode::NOT_FOUND, "no_such_revision", message));
    }
    let found = api.folds.complete(found).await?;
    let state = found.state().map(json).ok_or_else(|| ApiError::internal("a state is missing"))?;
    let latest = found.standing.revision;
    let shown = Aggregate {
        aggregate,
        id,
        revision: found.revision.to_string(),
        latest_revision: (latest != found.revision).then(|| latest.to_string()),
        state,
        module: found.module,
        version: found.version,
        claims: found.standing.claims.into_iter().collect(),
        position: api.positions().show(found.position),
    };
    let mut response = written(&api, found.position, Json(shown));
    tag(&mut response, found.revision);
    Ok(response)
}

fn until(text: &str) -> Result<Until, ApiError> {
    let moment = || text.parse::<Time>().ok().map(|time| Until::Time(amends_core::Instant(time.ms())));
    plain::whole(text).map(Until::Revision).or_else(moment).ok_or_else(|| {
        ApiError::bad_request(format!("at `{}` is neither a revision nor a time", text.escape_debug()))
            .hint("write it as 3, or as 2026-01-01T12:00:00Z")
    })
}

fn without_code(aggregate: &str, id: &str) -> ApiError {
    let message =
        format!("no active module of this namespace has an aggregate `{aggregate}`; the events of {aggregate} {id} are there");
    ApiError::new(StatusCode::NOT_FOUND, "no_handler", message).hint("activate a version of its module that has it")
}

fn not_found(aggregate: &str, id: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "no_such_aggregate", format!("there is no {aggregate} {id} in this namespace"))
}

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    /// The `next` of the page before.
    from: Option<u64>,
    /// At most so many, 1 to 1000.
    limit: Option<usize>,
    /// An `Amends-Position` that the answer must include; one that the journal has not reached is 503 `behind`.
    at_least: Option<String>,
}

/// An aggregate's events, oldest first, as they were recorded.
#[utoipa::path(
    get, operation_id = "get_aggregate_events", path = "/v1/streams/{aggregate}/{id}/events", tag = "aggregates",
    params(("aggregate" = String, Path), ("id" = String, Path), EventsQuery),
    responses((status = 200, body = AggregateEventPage), (status = 404, description = "`no_such_aggregate`", body = ErrorBody))
)]
async fn events(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath((aggregate, id)): InPath<(String, String)>,
    InQuery(query): InQuery<EventsQuery>,
) -> Result<Json<AggregateEventPage>, ApiError> {
    which(&aggregate, &id)?;
    included(&api, query.at_least.as_deref()).await?;
    let (from, limit) = (query.from.unwrap_or(1), limit(query.limit)?);
    let (name, of) = (aggregate.clone(), id.clone());
    let page = api.read(move |reader| reader.events_of(&caller.origin.namespace, (&name, &of), from, limit)).await?;
    let page = page.ok_or_else(|| not_found(&aggregate, &id))?;
    let positions = api.positions();
    let events = page.events.iter().map(|event| recorded::event(event, positions)).collect();
    Ok(Json(AggregateEventPage { events, next: page.next.map(|next| next.to_string()) }))
}
