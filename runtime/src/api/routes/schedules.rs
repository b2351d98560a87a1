//! Schedules: sagas that the host starts by the clock. Each write is journaled with who and why. The same again changes nothing; to
//! remove what is removed already finds nothing.

use std::{sync::Arc, time::Duration};

use amends_core::{
    event,
    id::SagaId,
    schedule::{self, Spec, When},
    value::{Instant, Payload},
};
use amends_wire::{
    error::ErrorBody,
    schedule::{Fired, Missed, Overlap, PutSchedule, Schedule, ScheduleActRequest, SchedulePage, ScheduleStatus, Waiting},
};
use axum::{Json, body::Body, extract::State, http::StatusCode, response::Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Routes,
    sagas::{included, limit},
    verbs::{checked_note, revision},
    written,
};
use crate::{
    api::{
        Api,
        caller::{self, Caller, InPath, InQuery},
        error::{ApiError, Part},
        mint,
        present::value::{json, time},
        strict,
    },
    engine::port::{self, CATCH_UP_MS, CheckedSpec, OfSchedule, Request, ScheduleRequest},
    held::Budget,
    service::reader::ScheduleView,
};

pub(super) fn routes() -> Routes {
    routes![list, show, put, remove, pause, resume, trigger]
}

/// The body around a schedule's input, and one that holds a note alone.
const ENVELOPE_BYTES_MAX: usize = 16 << 10;

/// Which schedules.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// At most so many, 1 to 1000.
    limit: Option<usize>,
    /// From the page before.
    cursor: Option<String>,
    /// An `Amends-Position` that the answer must include; one that the journal has not reached is 503 `behind`.
    at_least: Option<String>,
}

/// How fresh a read must be.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Freshness {
    /// An `Amends-Position` that the answer must include; one that the journal has not reached is 503 `behind`.
    at_least: Option<String>,
}

/// Lists schedules, by name.
#[utoipa::path(
    get, operation_id = "list_schedules", path = "/v1/schedules", tag = "schedules", params(ListQuery),
    responses((status = 200, body = SchedulePage), (status = 400, description = "bad limit or cursor", body = ErrorBody))
)]
async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InQuery(query): InQuery<ListQuery>,
) -> Result<Json<SchedulePage>, ApiError> {
    included(&api, query.at_least.as_deref()).await?;
    let limit = limit(query.limit)?;
    let after = query.cursor.as_deref().map(caller::name).transpose()?;
    let after = after.map(String::from);
    let views = api.read(move |reader| reader.schedules(&caller.origin.namespace, after.as_deref(), limit)).await?;
    let now = api.now();
    let cursor = views.last().filter(|_| views.len() == limit).map(|last| last.name.clone());
    Ok(Json(SchedulePage { schedules: views.iter().map(|view| shown(view, now)).collect(), cursor }))
}

/// Shows a schedule: what is due next, what waits and why, what it started and missed last.
#[utoipa::path(
    get, operation_id = "get_schedule", path = "/v1/schedules/{name}", tag = "schedules", params(("name" = String, Path), Freshness),
    responses((status = 200, body = Schedule), (status = 404, description = "no such schedule", body = ErrorBody))
)]
async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
    InQuery(query): InQuery<Freshness>,
) -> Result<Json<Schedule>, ApiError> {
    included(&api, query.at_least.as_deref()).await?;
    let name = String::from(caller::name(&name)?);
    let asked = name.clone();
    let view = api.read(move |reader| reader.schedule(&caller.origin.namespace, &asked)).await?;
    let view = view.ok_or_else(|| {
        let message = format!("no schedule `{name}` in this namespace");
        ApiError::new(StatusCode::NOT_FOUND, "schedule_not_found", message)
            .hint("`amends schedule list` shows the ones that there are")
    })?;
    Ok(Json(shown(&view, api.now())))
}

/// Makes a schedule, or replaces it. The same again changes nothing; `expect_revision` guards what was read. An `after` that is over
/// begins again, unless it comes with the same `Idempotency-Key`.
#[utoipa::path(
    put, operation_id = "put_schedule", path = "/v1/schedules/{name}", tag = "schedules", params(("name" = String, Path)), request_body = PutSchedule,
    responses(
        (status = 201, description = "made", body = Schedule),
        (status = 200, description = "replaced, or it was so already", body = Schedule),
        (status = 400, description = "a bad name, duration or time", body = ErrorBody),
        (status = 404, description = "`definition_not_found`: the saga is not deployed", body = ErrorBody),
        (status = 409, description = "`revision_changed`: somebody else was faster", body = ErrorBody),
        (status = 422, description = "`bad_cron`, `never_fires`, `unknown_zone`, `time_passed`, `input_does_not_fit`", body = ErrorBody),
    )
)]
async fn put(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
    body: Body,
) -> Result<Response, ApiError> {
    caller::name(&name)?;
    let asked: PutSchedule =
        caller::read_json(body, api.options.payload_bytes_max + ENVELOPE_BYTES_MAX, &api.held.bodies).await?;
    let note = asked.note.clone();
    let put = OfSchedule::Put(Box::new(checked(&api, asked).await?));
    act(&api, caller, &name, put, note).await
}

/// Lets nothing be due until it is resumed.
#[utoipa::path(
    post, operation_id = "pause_schedule", path = "/v1/schedules/{name}/pause", tag = "schedules", params(("name" = String, Path)), request_body = Option<ScheduleActRequest>,
    responses((status = 200, body = Schedule), (status = 404, description = "no such schedule", body = ErrorBody))
)]
async fn pause(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: ScheduleActRequest = read(body, &api.held.bodies).await?;
    act(&api, caller, &name, OfSchedule::Pause, asked.note).await
}

/// Lets it go on. What was due in the pause is missed.
#[utoipa::path(
    post, operation_id = "resume_schedule", path = "/v1/schedules/{name}/resume", tag = "schedules", params(("name" = String, Path)), request_body = Option<ScheduleActRequest>,
    responses((status = 200, body = Schedule), (status = 404, description = "no such schedule", body = ErrorBody))
)]
async fn resume(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: ScheduleActRequest = read(body, &api.held.bodies).await?;
    act(&api, caller, &name, OfSchedule::Resume, asked.note).await
}

/// Starts a saga now, beside what is due and whatever runs; `last_fired` says which.
#[utoipa::path(
    post, operation_id = "trigger_schedule", path = "/v1/schedules/{name}/trigger", tag = "schedules", params(("name" = String, Path)), request_body = Option<ScheduleActRequest>,
    responses(
        (status = 200, description = "started, or it was by the same key", body = Schedule),
        (status = 404, description = "no such schedule, or its saga is not deployed any more", body = ErrorBody),
        (status = 409, description = "`locked`, `quarantined`", body = ErrorBody),
        (status = 503, description = "overloaded or stopping", body = ErrorBody),
    )
)]
async fn trigger(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: ScheduleActRequest = read(body, &api.held.bodies).await?;
    // Sent again with the same key it is the same saga.
    let of_it = match &caller.origin.idempotency_key {
        Some(key) => mint::saga_id_from_key(&name, key)?.as_str().to_owned(),
        None => mint::fresh(api.now()).map_err(mint::no_randomness)?,
    };
    let id = SagaId::new(&format!("{name}:{of_it}"))?;
    act(&api, caller, &name, OfSchedule::Trigger(id), asked.note).await
}

/// Removes a schedule. Sagas that it started go on.
#[utoipa::path(
    delete, operation_id = "remove_schedule", path = "/v1/schedules/{name}", tag = "schedules", params(("name" = String, Path)), request_body = Option<ScheduleActRequest>,
    responses((status = 200, description = "as it was", body = Schedule), (status = 404, description = "no such schedule", body = ErrorBody))
)]
async fn remove(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: ScheduleActRequest = read(body, &api.held.bodies).await?;
    act(&api, caller, &name, OfSchedule::Remove, asked.note).await
}

async fn read(body: Body, memory: &Arc<Budget>) -> Result<ScheduleActRequest, ApiError> {
    caller::read_json(body, ENVELOPE_BYTES_MAX, memory).await
}

async fn act(api: &Arc<Api>, caller: Caller, name: &str, asked: OfSchedule, note: Option<String>) -> Result<Response, ApiError> {
    let name = String::from(caller::name(name)?);
    let act = event::Act { note: checked_note(note)?, by: caller.by };
    let request = ScheduleRequest { name, asked, act };
    let answer = api.ask(|answer| Request::Schedule(caller.origin, request, answer)).await?;
    let status = if answer.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(written(api, answer.position, (status, Json(shown(&answer.view, api.now())))))
}

async fn checked(api: &Arc<Api>, asked: PutSchedule) -> Result<port::PutSchedule, ApiError> {
    let PutSchedule { saga, at, after, cron, zone, input, id, overlap, jitter, catch_up, paused, note: _, expect_revision } =
        asked;
    if zone.is_some() && cron.is_none() {
        return Err(ApiError::bad_request("`zone` goes with `cron`")
            .hint("write the zone's offset into `at`, as 2026-11-22T03:00:00+01:00"));
    }
    let when = match (at, after, cron) {
        (Some(at), None, None) => When::At(Instant(at.ms())),
        (None, Some(after), None) => {
            let delay_ms = duration("after", &after)?;
            When::After { delay_ms, at: api.now().plus(delay_ms) }
        }
        (None, None, Some(expression)) => When::Cron { expression, zone: zone.unwrap_or_else(|| "UTC".to_owned()) },
        _ => return Err(ApiError::bad_request("give exactly one of `at`, `after` and `cron`")),
    };
    let input = input.map_or_else(|| Payload::json("{}"), |input| Payload::json(input.as_str().to_owned()));
    let input = caller::fitting(Part::Input, input, api.options.payload_bytes_max)?;
    let spec = Spec {
        saga: caller::name(&saga)?.into(),
        when,
        id: id.as_deref().map(caller::saga_id).transpose()?.map(|id| id.as_str().to_owned()),
        overlap: match overlap.unwrap_or(Overlap::Skip) {
            Overlap::Skip => schedule::Overlap::Skip,
            Overlap::Queue => schedule::Overlap::Queue,
            Overlap::Allow => schedule::Overlap::Allow,
        },
        jitter_ms: jitter.map_or(Ok(0), |text| duration("jitter", &text))?,
        catch_up_ms: catch_up.map_or(Ok(CATCH_UP_MS), |text| duration("catch_up", &text))?,
        input_hash: strict::hash(&input.bytes)?,
        incarnation: mint::incarnation()?,
    };
    let expect_revision = expect_revision.as_deref().map(revision).transpose()?;
    let spec = api.read(move |_| CheckedSpec::new(spec.clone())).await?;
    Ok(port::PutSchedule { spec, input, paused, expect_revision })
}

fn duration(what: &str, text: &str) -> Result<u64, ApiError> {
    let duration = humantime::parse_duration(text).ok().and_then(|duration| u64::try_from(duration.as_millis()).ok());
    duration.ok_or_else(|| ApiError::bad_request(format!("{what} `{text}` is no duration")).hint("write it as 30s, 10m or 2h"))
}

/// A schedule with what follows from it.
fn shown(view: &ScheduleView, now: Instant) -> Schedule {
    let (of, spec) = (&view.schedule, &view.schedule.spec);
    let (at, cron, zone) = match &spec.when {
        When::At(at) | When::After { at, .. } => (Some(*at), None, None),
        When::Cron { expression, zone } => (None, Some(expression.clone()), Some(zone.clone())),
    };
    let is_over = of.next.is_none() && of.waiting.is_none();
    let status = match (is_over, of.paused) {
        (true, _) => ScheduleStatus::Over,
        (false, true) => ScheduleStatus::Paused,
        (false, false) => ScheduleStatus::Active,
    };
    Schedule {
        name: view.name.clone(),
        saga: spec.saga.clone(),
        status,
        at: at.map(time),
        cron,
        zone,
        input: view.input.as_ref().map(json),
        id: spec.id.clone(),
        overlap: overlap(spec.overlap),
        jitter: in_words(spec.jitter_ms),
        catch_up: in_words(spec.catch_up_ms),
        revision: of.revision.to_string(),
        since: time(of.since),
        note: said(&of.act.note),
        by: said(&of.act.by),
        as_of: time(now),
        next: if of.paused { Vec::new() } else { view.next.iter().copied().map(time).collect() },
        waiting: of.waiting.as_ref().map(|waiting| Waiting {
            due: time(waiting.due),
            until: waiting.until.map(time),
            code: waiting.reason.code().to_owned(),
            message: waiting.reason.to_string(),
        }),
        last_fired: of.last_fired.as_ref().map(|fired| Fired {
            due: fired.due.map(time),
            at: time(fired.at),
            saga: fired.saga.clone(),
        }),
        last_missed: of.last_missed.as_ref().map(|missed| Missed {
            due: time(missed.due),
            at: time(missed.at),
            count: missed.count,
            code: missed.reason.code().to_owned(),
            message: missed.reason.to_string(),
        }),
        fired: of.fired,
        missed: of.missed,
    }
}

fn overlap(overlap: schedule::Overlap) -> Overlap {
    match overlap {
        schedule::Overlap::Skip => Overlap::Skip,
        schedule::Overlap::Queue => Overlap::Queue,
        schedule::Overlap::Allow => Overlap::Allow,
    }
}

fn said(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn in_words(ms: u64) -> String {
    humantime::format_duration(Duration::from_millis(ms)).to_string()
}
