//! Policies: how they stand, what waits of them, and what operators do with that. Each act is journaled with who and why.

use std::sync::Arc;

use amends_core::{event::Act, id::Namespace};
use amends_wire::{
    error::ErrorBody,
    policy::{
        self as wire, Letter, LetterGroup, LetterGroups, LetterKind, Letters, Policies, Policy, PolicyAct, PolicyStatus,
        PolicyStop,
    },
};
use axum::{Json, body::Body, extract::State, response::Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Routes,
    sagas::limit,
    verbs::{NOTE_BYTES_MAX, checked_note},
    written,
};
use crate::{
    api::{
        Api,
        caller::{self, Caller, InPath, InQuery},
        error::ApiError,
        position::Positions,
        present::value::time,
    },
    engine::port::{self, PolicyRequest, PolicyVerb, PolicyView, Refusal, Request},
    service::reader::{self, LetterOf, LetterWaits, Reader},
};

pub(super) fn routes() -> Routes {
    routes![list, show, pause, resume, reset, redrive, drop_letter, letters, groups]
}

/// Beside the note, a body holds a key.
const BODY_BYTES_MAX: usize = 2 * NOTE_BYTES_MAX + 8_192;

/// Lists the policies, by name.
#[utoipa::path(
    get, operation_id = "list_policies", path = "/v1/policies", tag = "policies", responses((status = 200, body = Policies))
)]
async fn list(State(api): State<Arc<Api>>, caller: Caller) -> Result<Json<Policies>, ApiError> {
    let namespace = caller.origin.namespace.clone();
    let views = api.ask(|answer| Request::Policies(caller.origin, answer)).await?;
    let positions = api.positions();
    let policies = api.read(move |reader| views.iter().map(|view| shown(reader, &namespace, view, positions)).collect());
    Ok(Json(Policies { policies: policies.await? }))
}

/// Shows a policy: which code it runs on, how far it is, and what stands in its way.
#[utoipa::path(
    get, operation_id = "get_policy", path = "/v1/policies/{name}", tag = "policies", params(("name" = String, Path)),
    responses((status = 200, body = Policy), (status = 404, description = "`no_such_policy`", body = ErrorBody))
)]
async fn show(State(api): State<Arc<Api>>, caller: Caller, InPath(name): InPath<String>) -> Result<Json<Policy>, ApiError> {
    caller::name(&name)?;
    let namespace = caller.origin.namespace.clone();
    let view = api.ask(|answer| Request::Policy(caller.origin, name, answer)).await?;
    let positions = api.positions();
    Ok(Json(api.read(move |reader| shown(reader, &namespace, &view, positions)).await?))
}

/// Lets a policy take nothing until it is resumed. It keeps its place, and misses nothing.
#[utoipa::path(
    post, operation_id = "pause_policy", path = "/v1/policies/{name}/pause", tag = "policies", params(("name" = String, Path)),
    request_body = Option<PolicyAct>,
    responses((status = 200, body = Policy), (status = 404, description = "`no_such_policy`", body = ErrorBody))
)]
async fn pause(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
    body: Body,
) -> Result<Response, ApiError> {
    act(&api, caller, name, body, |_, _| Ok(PolicyVerb::Pause)).await
}

/// Lets a policy go on that is paused or has stopped. What it stopped at is tried again.
#[utoipa::path(
    post, operation_id = "resume_policy", path = "/v1/policies/{name}/resume", tag = "policies", params(("name" = String, Path)),
    request_body = Option<PolicyAct>,
    responses((status = 200, body = Policy), (status = 404, description = "`no_such_policy`", body = ErrorBody))
)]
async fn resume(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
    body: Body,
) -> Result<Response, ApiError> {
    act(&api, caller, name, body, |_, _| Ok(PolicyVerb::Resume)).await
}

/// Begins a policy anew: without its instances, without what waits, and behind another position. Events up to now are a replay for it,
/// whose effects it drops if it does not declare otherwise. What it did before stands, and what it does from now on is something else,
/// also for the same event.
#[utoipa::path(
    post, operation_id = "reset_policy", path = "/v1/policies/{name}/reset", tag = "policies", params(("name" = String, Path)),
    request_body = PolicyAct,
    responses(
        (status = 200, body = Policy),
        (status = 400, description = "`from` is missing or no position", body = ErrorBody),
        (status = 404, description = "`no_such_policy`", body = ErrorBody),
        (status = 409, description = "`verb_does_not_fit`: the journal does not reach so far", body = ErrorBody),
    )
)]
async fn reset(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
    body: Body,
) -> Result<Response, ApiError> {
    act(&api, caller, name, body, |asked, positions| match asked.from.as_deref() {
        Some("beginning") => Ok(PolicyVerb::Reset(Some(0))),
        Some("now") => Ok(PolicyVerb::Reset(None)),
        Some(position) => Ok(PolicyVerb::Reset(Some(positions.read(position)?))),
        None => Err(ApiError::bad_request("`from` is missing: `beginning`, `now`, or a position".to_owned())),
    })
    .await
}

/// Tries what waits again, in its order, with the code of today: what waits with a key, or with
/// the first 1,000 keys with which something waits for an operator.
#[utoipa::path(
    post, operation_id = "redrive_letters", path = "/v1/policies/{name}/redrive", tag = "policies", params(("name" = String, Path)),
    request_body = Option<PolicyAct>,
    responses(
        (status = 200, body = Policy), (status = 404, description = "`no_such_policy`", body = ErrorBody),
        (status = 409, description = "`verb_does_not_fit`: nothing waits with this key", body = ErrorBody),
    )
)]
async fn redrive(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
    body: Body,
) -> Result<Response, ApiError> {
    act(&api, caller, name, body, |asked, _| Ok(PolicyVerb::Redrive { key: asked.key.clone() })).await
}

/// Leaves one cause out that waits. The note says why. What waits behind it goes on when it is redriven.
#[utoipa::path(
    post, operation_id = "drop_letter", path = "/v1/policies/{name}/drop", tag = "policies", params(("name" = String, Path)),
    request_body = PolicyAct,
    responses(
        (status = 200, body = Policy),
        (status = 400, description = "the key, the position or the note is missing", body = ErrorBody),
        (status = 404, description = "`no_such_policy`", body = ErrorBody),
        (status = 409, description = "`verb_does_not_fit`: it does not wait, or is being tried again", body = ErrorBody),
    )
)]
async fn drop_letter(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
    body: Body,
) -> Result<Response, ApiError> {
    act(&api, caller, name, body, |asked, positions| {
        let missing =
            |what: &str| ApiError::bad_request(format!("`{what}` is missing: one cause is left out, and with a reason"));
        if asked.note.as_deref().unwrap_or_default().is_empty() {
            return Err(missing("note"));
        }
        let key = asked.key.clone().ok_or_else(|| missing("key"))?;
        let position = positions.read(asked.position.as_deref().ok_or_else(|| missing("position"))?)?;
        Ok(PolicyVerb::Drop { key, position })
    })
    .await
}

async fn act(
    api: &Api,
    caller: Caller,
    name: String,
    body: Body,
    verb: impl FnOnce(&PolicyAct, Positions) -> Result<PolicyVerb, ApiError>,
) -> Result<Response, ApiError> {
    caller::name(&name)?;
    let asked: PolicyAct = caller::read_json(body, BODY_BYTES_MAX, &api.held.bodies).await?;
    let positions = api.positions();
    let verb = verb(&asked, positions)?;
    let act = Act { note: checked_note(asked.note)?, by: caller.by };
    let namespace = caller.origin.namespace.clone();
    let request = Box::new(PolicyRequest { name, verb, act });
    let view = api.ask(|answer| Request::ActOnPolicy(caller.origin, request, answer)).await?;
    let position = view.position;
    let shown = api.read(move |reader| shown(reader, &namespace, &view, positions)).await?;
    Ok(written(api, position, Json(shown)))
}

/// Which letters.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct LetterQuery {
    /// Only with this key.
    key: Option<String>,
    /// At most so many, 1 to 1000.
    limit: Option<usize>,
    /// From the page before.
    cursor: Option<String>,
}

/// Lists the causes of a policy that wait, by key and in the order of the journal.
#[utoipa::path(
    get, operation_id = "list_letters", path = "/v1/policies/{name}/letters", tag = "policies",
    params(("name" = String, Path), LetterQuery),
    responses(
        (status = 200, body = Letters), (status = 400, description = "bad limit or cursor", body = ErrorBody),
        (status = 404, description = "`no_such_policy`", body = ErrorBody),
    )
)]
async fn letters(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
    InQuery(query): InQuery<LetterQuery>,
) -> Result<Json<Letters>, ApiError> {
    caller::name(&name)?;
    let LetterQuery { key, limit: most, cursor } = query;
    let (most, after) = (limit(most)?, cursor.as_deref().map(read_cursor).transpose()?);
    let namespace = caller.origin.namespace.clone();
    let view = api.ask(|answer| Request::Policy(caller.origin, name, answer)).await?;
    let found = api
        .read(move |reader| reader.letters(&namespace, (&view.name, view.incarnation), key.as_deref(), after.clone(), most))
        .await?;
    let positions = api.positions();
    let next = found.next.map(|(key, position)| format!("{position}.{key}"));
    Ok(Json(Letters { letters: found.letters.into_iter().map(|found| letter(found, positions)).collect(), next }))
}

fn read_cursor(text: &str) -> Result<(String, u64), ApiError> {
    let read = text.split_once('.').and_then(|(position, key)| Some((key.to_owned(), position.parse().ok()?)));
    read.ok_or_else(|| ApiError::bad_request("bad cursor: use `next` of the page before, as it is".to_owned()))
}

/// Says what waits of the policies, in groups: of the same policy, for the same reason.
#[utoipa::path(
    get, operation_id = "list_letter_groups", path = "/v1/letters", tag = "policies", responses((status = 200, body = LetterGroups))
)]
async fn groups(State(api): State<Arc<Api>>, caller: Caller) -> Result<Json<LetterGroups>, ApiError> {
    let namespace = caller.origin.namespace.clone();
    let views = api.ask(|answer| Request::Policies(caller.origin, answer)).await?;
    let waiting = views.into_iter().filter(|view| view.waiting > 0);
    let policies: Vec<(String, u32)> = waiting.map(|view| (view.name, view.incarnation)).collect();
    let found = api.read(move |reader| {
        let of = |(policy, incarnation): &(String, u32)| reader.letter_groups(&namespace, (policy, *incarnation));
        policies.iter().map(of).collect::<Result<Vec<_>, _>>()
    });
    Ok(Json(LetterGroups { groups: found.await?.into_iter().flatten().map(group).collect() }))
}

fn group(found: reader::LetterGroup) -> LetterGroup {
    let (code, message) = found.failure.map(|failure| (failure.code, failure.message)).unzip();
    LetterGroup {
        policy: found.policy,
        code,
        message,
        keys: found.keys as u64,
        causes: found.causes as u64,
        since: found.since.map(time),
        examples: found.some.into_iter().map(|(key, _)| key).collect(),
    }
}

fn letter(found: reader::Letter, positions: Positions) -> Letter {
    let (kind, what, id) = match found.what {
        LetterOf::Event { id, event_type } => (LetterKind::Event, event_type, Some(id)),
        LetterOf::Timer { name } => (LetterKind::Timer, name, None),
        LetterOf::Answer { command, name } => (LetterKind::Answer, name, Some(command)),
    };
    let (waits_for, failure, until) = match found.waits {
        LetterWaits::Operator(failure) => (wire::LetterWaits::Operator, Some(failure), None),
        LetterWaits::Alone(failure) => (wire::LetterWaits::OperatorAlone, Some(failure), None),
        LetterWaits::Behind => (wire::LetterWaits::TheOneBefore, None, None),
        LetterWaits::Instance(until) => (wire::LetterWaits::Instance, None, Some(time(until))),
    };
    let (code, message) = failure.map(|failure| (failure.code, failure.message)).unzip();
    Letter {
        key: found.key,
        position: positions.show(found.position),
        kind,
        what,
        id,
        at: time(found.at),
        waits_for,
        code,
        message,
        until,
        correlation: found.correlation,
    }
}

fn shown(reader: &Reader, namespace: &Namespace, view: &PolicyView, positions: Positions) -> Result<Policy, Refusal> {
    let lag = reader.lag(namespace, &view.takes, view.cursor)?;
    let (status, stopped) = match &view.status {
        port::PolicyStatus::Runs => (PolicyStatus::Running, None),
        port::PolicyStatus::Paused => (PolicyStatus::Paused, None),
        port::PolicyStatus::Withdrawn => (PolicyStatus::Withdrawn, None),
        port::PolicyStatus::Stopped { at, failure, since } => {
            let (code, message) = (failure.code.clone(), failure.message.clone());
            let stop = PolicyStop { position: at.map(|at| positions.show(at)), code, message, since: time(*since) };
            (PolicyStatus::Stopped, Some(stop))
        }
    };
    Ok(Policy {
        name: view.name.clone(),
        module: view.module.clone(),
        version: view.version,
        status,
        stopped,
        takes: view.takes.clone(),
        keeps_state: view.keeps_state,
        incarnation: view.incarnation,
        position: positions.show(view.cursor),
        lag: lag.events,
        waiting_since: lag.since.map(time),
        active: view.active as u64,
        failing: view.failing as u64,
        parked: view.parked as u64,
        parked_since: view.parked_since.map(time),
        waiting: view.waiting as u64,
    })
}
