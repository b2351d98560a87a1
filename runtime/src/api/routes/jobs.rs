//! A verb for many sagas: what it would do, and the job that does it.

use std::sync::Arc;

use amends_core::{
    event::{Act, Resolution},
    job::{self as core_job, JobState, Misfit, SagaFilter},
    verbs::{AskedVerb, Legs, Scope, Verb},
    view::Status,
};
use amends_wire::{
    error::ErrorBody,
    job::{self, AskJob, Job, JobArgs, JobPreview, JobStatus, JobVerb, Jobs, StopJob},
};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Routes, filter, start,
    verbs::{NOTE_BYTES_MAX, checked_note},
    written,
};
use crate::{
    api::{
        Api,
        caller::{self, Caller, InPath, InQuery},
        error::ApiError,
        mint,
        position::Positions,
        present::{self, value::time},
    },
    engine::port::{JobRequest, Refusal, RefusalCode, Request},
    service::reader,
};

pub(super) fn routes() -> Routes {
    routes![ask, list, show, stop]
}

/// Beside the note, a body holds some names.
const BODY_BYTES_MAX: usize = 2 * NOTE_BYTES_MAX + 8_192;

/// How long to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct JobQuery {
    /// Answer at its end, or when so much time has passed, as `30s`.
    wait: Option<String>,
}

/// Does a verb to every saga that is as the filter says, as a durable job; or only says what it would do.
#[utoipa::path(
    post, operation_id = "create_job", path = "/v1/jobs", tag = "jobs", request_body = AskJob,
    responses(
        (status = 202, description = "it is recorded, and done saga by saga", body = Job),
        (status = 200, description = "a dry run: what it would do", body = JobPreview),
        (status = 400, description = "a verb or a filter that says nothing clear", body = ErrorBody),
        (status = 422, description = "no saga is as the filter says; `key_reused`: the Idempotency-Key was used for another job", body = ErrorBody),
    )
)]
async fn ask(State(api): State<Arc<Api>>, caller: Caller, body: Body) -> Result<Response, ApiError> {
    let asked: AskJob = caller::read_json(body, BODY_BYTES_MAX, &api.held.bodies).await?;
    let filter = filter::read(asked.filter)?;
    let verb = verb(asked.verb, &asked.args, &filter)?;
    let act = Act { note: checked_note(asked.note)?, by: caller.by };
    // A dry run counts all of them; for a job one is enough to know that there is something to do.
    let enough = if asked.dry_run { u64::MAX } else { 1 };
    let (namespace, sought, looked_for) = (caller.origin.namespace.clone(), verb.clone(), filter.clone());
    let now = api.now();
    let preview = api.read(move |reader| reader.preview(&namespace, &sought, &looked_for, enough, now)).await?;
    let found = preview.count > 0 || !preview.misfits.is_empty() || preview.is_cut;
    let against = (!found).then(|| nothing(&filter, &preview));
    if asked.dry_run {
        return match against {
            Some(against) => Err(against.into()),
            None => Ok(Json(previewed(&preview)).into_response()),
        };
    }
    let id = mint::fresh(api.now()).map_err(mint::no_randomness)?;
    let request = JobRequest { id, verb, filter, act, against };
    let answer = api.ask(|answer| Request::Job(caller.origin, Box::new(request), answer)).await?;
    let job = shown(&answer.job, api.positions())?;
    Ok(written(&api, answer.position, (StatusCode::ACCEPTED, Json(job))))
}

/// Lists jobs, newest first.
#[utoipa::path(get, operation_id = "list_jobs", path = "/v1/jobs", tag = "jobs", responses((status = 200, body = Jobs)))]
async fn list(State(api): State<Arc<Api>>, caller: Caller) -> Result<Json<Jobs>, ApiError> {
    let (jobs, is_cut) = api.read(move |reader| reader.jobs(&caller.origin.namespace)).await?;
    let jobs = jobs.iter().map(|job| shown(job, api.positions())).collect::<Result<_, _>>()?;
    Ok(Json(Jobs { jobs, is_cut }))
}

/// Shows a job: how far it is.
#[utoipa::path(
    get, operation_id = "get_job", path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path), JobQuery),
    responses((status = 200, body = Job), (status = 404, description = "no such job", body = ErrorBody))
)]
async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(id): InPath<String>,
    InQuery(query): InQuery<JobQuery>,
) -> Result<Json<Job>, ApiError> {
    let id = job_id(id)?;
    if let Some(wait) = query.wait {
        let wait = start::wait(&wait, api.options.wait_ms_max)?;
        let (origin, id) = (caller.origin.clone(), id.clone());
        let ended = async { api.ask(|answer| Request::AwaitJob(origin, id, answer)).await };
        if let Some(ended) = api.waits.wait(ended, wait, api.stopped()).await {
            return Ok(Json(shown(&ended?.job, api.positions())?));
        }
    }
    let asked = id.clone();
    let job = api.read(move |reader| reader.job(&caller.origin.namespace, &asked)).await?;
    let job = job.ok_or_else(|| ApiError::from(crate::engine::job::not_found(&id)))?;
    Ok(Json(shown(&job, api.positions())?))
}

/// Stops a job. What it has done stays.
#[utoipa::path(
    post, operation_id = "stop_job", path = "/v1/jobs/{id}/stop", tag = "jobs", params(("id" = String, Path)), request_body = Option<StopJob>,
    responses((status = 200, body = Job), (status = 404, description = "no such job", body = ErrorBody))
)]
async fn stop(State(api): State<Arc<Api>>, caller: Caller, InPath(id): InPath<String>, body: Body) -> Result<Response, ApiError> {
    let id = job_id(id)?;
    let asked: StopJob = caller::read_json(body, BODY_BYTES_MAX, &api.held.bodies).await?;
    let act = Act { note: checked_note(asked.note)?, by: caller.by };
    let answer = api.ask(|answer| Request::StopJob(caller.origin, id, act, answer)).await?;
    Ok(written(&api, answer.position, Json(shown(&answer.job, api.positions())?)))
}

/// As this host makes them up.
fn job_id(text: String) -> Result<String, ApiError> {
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if fits { Ok(text) } else { Err(ApiError::bad_request("a job's id is letters and digits, as `amends jobs` shows it")) }
}

fn verb(verb: JobVerb, args: &JobArgs, filter: &SagaFilter) -> Result<AskedVerb, ApiError> {
    let bad = |said: &str, hint: &str| Err(ApiError::bad_request(said).hint(hint));
    let name = verb.as_str();
    let verb = match (verb, args) {
        (JobVerb::Resolve, JobArgs { version: None, not_done: true, undone: false }) => {
            Verb::Resolve(Legs::All, Resolution::NotDone)
        }
        (JobVerb::Resolve, JobArgs { version: None, not_done: false, undone: true }) => {
            Verb::Resolve(Legs::All, Resolution::Undone)
        }
        (JobVerb::Resolve, _) => {
            return bad(
                "`resolve` takes exactly one of `not_done` and `undone`",
                "an output is one saga's: resolve each by itself",
            );
        }
        (JobVerb::Move, JobArgs { version: Some(version), not_done: false, undone: false }) => Verb::Move(*version),
        (JobVerb::Move, _) => return bad("`move` takes a `version`", "write \"args\":{\"version\":2}"),
        (_, args) if !args.is_none() => return bad(&format!("`{name}` takes no `args`"), "leave them out"),
        (JobVerb::Cancel, _) => Verb::Cancel,
        (JobVerb::Retry, _) => Verb::Retry(Legs::All),
        (JobVerb::Skip, _) => Verb::Skip(Legs::All),
        (JobVerb::Abandon, _) => Verb::Abandon,
    };
    if *filter == SagaFilter::default() {
        return bad(
            "the filter says nothing",
            "say which sagas, by at least one of saga, status, module, version, step and failure",
        );
    }
    if filter.status.is_some_and(Status::is_ended) {
        return bad("a saga that has ended takes no verbs", "use status running, waiting, compensating or stuck");
    }
    if filter.step.is_none() && verb.scope() == Scope::Steps {
        return bad(&format!("`{name}` is about one step of each saga"), "say which, with `step` in the filter");
    }
    Ok(verb)
}

/// A job as of its last record.
pub fn shown(job: &core_job::Job, positions: Positions) -> Result<Job, ApiError> {
    let (status, ended_at) = match &job.state {
        JobState::Running => (JobStatus::Running, None),
        JobState::Ended(at) => (JobStatus::Ended, Some(*at)),
        JobState::Stopped(at, _) => (JobStatus::Stopped, Some(*at)),
    };
    let Some((verb, args)) = said(&job.verb) else {
        return Err(ApiError::internal(&format!("job {} is of a verb that nobody can ask for many sagas", job.id)));
    };
    Ok(Job {
        id: job.id.clone(),
        position: positions.show(job.stream),
        verb,
        args,
        filter: only(&job.filter),
        note: job.act.note.clone(),
        by: job.act.by.clone(),
        status,
        asked_at: time(job.asked_at),
        ended_at: ended_at.map(time),
        seen: job.seen(),
        applied: job.applied,
        does_not_fit: job.misfits.iter().map(misfit).collect(),
        through: positions.show(job.through),
    })
}

/// What a job would do.
fn previewed(preview: &reader::JobPreview) -> JobPreview {
    JobPreview {
        count: preview.count,
        sagas: preview.sagas.iter().map(|id| id.as_str().to_owned()).collect(),
        does_not_fit: preview.misfits.iter().map(misfit).collect(),
        is_cut: preview.is_cut,
    }
}

/// Nothing is as the filter says: what there is instead.
fn nothing(filter: &SagaFilter, preview: &reader::JobPreview) -> Refusal {
    let hint = match preview.live.as_slice() {
        [] => "there is no saga that has not ended".to_owned(),
        live => {
            let kinds =
                live.iter().map(|(saga, version, status, count)| format!("{count} {} of {saga} v{version}", status.as_str()));
            format!("what has not ended: {}; look at them with `amends list`", kinds.collect::<Vec<_>>().join(", "))
        }
    };
    Refusal::new(RefusalCode::NothingMatches, format!("no saga that has not ended is as the filter says ({})", words(filter)))
        .hint(hint)
}

/// A filter in words, as its parts are called everywhere.
fn words(filter: &SagaFilter) -> String {
    let SagaFilter { definition, status, module, version, step, failure } = filter;
    let version = version.map(|version| version.to_string());
    let parts = [
        ("saga", definition.as_deref()),
        ("status", status.map(Status::as_str)),
        ("module", module.as_deref()),
        ("version", version.as_deref()),
        ("step", step.as_deref()),
        ("failure", failure.as_deref()),
    ];
    parts.iter().filter_map(|(name, value)| Some(format!("{name} {}", (*value)?))).collect::<Vec<_>>().join(", ")
}

fn only(filter: &SagaFilter) -> job::Filter {
    let SagaFilter { definition, status, module, version, step, failure } = filter.clone();
    let status = status.map(present::value::status);
    job::Filter { saga: definition, status, module, version, step, failure }
}

/// As it is asked for; `None` of a verb that nobody can ask for many sagas.
fn said(verb: &AskedVerb) -> Option<(JobVerb, JobArgs)> {
    let args = JobArgs {
        version: if let Verb::Move(version) = verb { Some(*version) } else { None },
        not_done: matches!(verb, Verb::Resolve(_, Resolution::NotDone)),
        undone: matches!(verb, Verb::Resolve(_, Resolution::Undone)),
    };
    Some((JobVerb::named(verb.name())?, args))
}

fn misfit(misfit: &Misfit) -> job::Misfit {
    let Misfit { why, count, sagas } = misfit.clone();
    job::Misfit { why, count, sagas }
}
