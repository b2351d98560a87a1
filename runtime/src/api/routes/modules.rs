//! Modules: deploy, plan, list, activate.

use std::sync::Arc;

use amends_core::{event::Act, id::Namespace};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::SemaphorePermit;
use utoipa::IntoParams;

use super::{verbs::checked_note, written};
use crate::{
    api::{
        Api,
        breaks::{self, Offer},
        caller::{self, Caller, InPath, InQuery},
        error::{ApiError, Part},
        present,
        runtime::Verified,
        wire::{
            error::ErrorBody,
            module::{Activate, Breaks, Deployed, Module, Modules, Plan},
        },
    },
    engine::port::{self, Deploy, ModuleAnswer, ModuleView, Origin, Request, VersionView, Which},
};

/// How to deploy.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct DeployQuery {
    /// Make it the version that new work starts on; true if left out.
    activate: Option<bool>,
    /// Only say what would happen.
    plan: Option<bool>,
}

/// Deploys a component under the name that is in it.
#[utoipa::path(
    post, path = "/v1/modules", tag = "modules", params(DeployQuery),
    request_body(content = Vec<u8>, content_type = "application/wasm"),
    responses(
        (status = 201, description = "a new version", body = Deployed),
        (status = 200, description = "the same bytes again, the same version", body = Deployed),
        (status = 409, description = "a name belongs to another module", body = ErrorBody),
        (status = 413, description = "too large", body = ErrorBody),
        (status = 422, description = "it does not verify; `reasons` says why", body = ErrorBody),
        (status = 503, description = "too many deploys at once, or the host cannot take it now", body = ErrorBody),
    )
)]
pub(in crate::api) async fn deploy(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InQuery(query): InQuery<DeployQuery>,
    body: Body,
) -> Result<Response, ApiError> {
    let _place = place(&api)?;
    let candidate = verify(&api, body).await?;
    go_on(&api, caller, &query, candidate).await
}

/// Deploys a component under this name, which must be the one in it. With `?plan=true` (200, a plan) it only says what would happen.
#[utoipa::path(
    put, path = "/v1/modules/{name}", tag = "modules", params(("name" = String, Path), DeployQuery),
    request_body(content = Vec<u8>, content_type = "application/wasm"),
    responses(
        (status = 201, description = "a new version", body = Deployed),
        (status = 200, description = "the same bytes again, the same version", body = Deployed),
        (status = 409, description = "a name belongs to another module", body = ErrorBody),
        (status = 413, description = "too large", body = ErrorBody),
        (status = 422, description = "it does not verify; `reasons` says why", body = ErrorBody),
        (status = 503, description = "too many deploys at once, or the host cannot take it now", body = ErrorBody),
    )
)]
pub(in crate::api) async fn deploy_as(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
    InQuery(query): InQuery<DeployQuery>,
    body: Body,
) -> Result<Response, ApiError> {
    caller::name(&name)?;
    let _place = place(&api)?;
    let candidate = verify(&api, body).await?;
    let inside = &candidate.verified.module;
    if *inside != name {
        discard(&api, candidate.verified.digest).await?;
        let message = format!("the component names itself `{inside}`, not `{name}`");
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "name_mismatch", message)
            .hint(format!("deploy it as `{inside}`, or change the name in its source")));
    }
    go_on(&api, caller, &query, candidate).await
}

/// The modules of the namespace.
#[utoipa::path(get, path = "/v1/modules", tag = "modules", responses((status = 200, body = Modules)))]
pub(in crate::api) async fn list(State(api): State<Arc<Api>>, caller: Caller) -> Result<Json<Modules>, ApiError> {
    let modules = api.ask(|answer| Request::Modules(caller.origin, answer)).await?;
    Ok(Json(Modules { modules: modules.iter().map(present::module::module).collect() }))
}

/// A module: its versions, how many sagas run on each, what it may reach.
#[utoipa::path(
    get, path = "/v1/modules/{name}", tag = "modules", params(("name" = String, Path)),
    responses((status = 200, body = Module), (status = 404, description = "no such module", body = ErrorBody))
)]
pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
) -> Result<Json<Module>, ApiError> {
    let module = find(&api, caller, &name).await?.ok_or_else(|| not_found(&name))?;
    Ok(Json(present::module::module(&module)))
}

/// Makes a version the one that new work starts on. Sagas in flight stay where they are.
#[utoipa::path(
    post, path = "/v1/modules/{name}/activate", tag = "modules", params(("name" = String, Path)), request_body = Activate,
    responses((status = 200, body = Deployed), (status = 404, description = "no such module or version", body = ErrorBody))
)]
pub(in crate::api) async fn activate(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let name = String::from(caller::name(&name)?);
    let asked: Activate = caller::read_json(body, api.options.payload_bytes_max).await?;
    let which = match (asked.version, asked.previous) {
        (Some(version), None | Some(false)) => Which::Version(version),
        (None, Some(true)) => Which::Previous,
        _ => return Err(ApiError::bad_request("give `version`, or `previous`: true")),
    };
    let act = Act { note: checked_note(asked.note)?, by: caller.by.clone() };
    let before = find(&api, caller.clone(), &name).await;
    let namespace = caller.origin.namespace.clone();
    let answer = api.ask(|answer| Request::Activate(caller.origin, name, which, act, answer)).await?;
    let offer = answer.module.versions.iter().find(|version| version.version == answer.version).map(Offer::deployed);
    let breaks = match offer {
        Some(offer) => broken(&api, namespace, before, offer).await,
        None => Breaks::default(),
    };
    deployed(&api, &answer, StatusCode::OK, Vec::new(), breaks)
}

/// What stops working when this version is activated: sagas and events that it drops, and schedules that start them.
#[utoipa::path(
    get, path = "/v1/modules/{name}/versions/{version}/breaks", tag = "modules", operation_id = "breaks_of_version",
    params(("name" = String, Path), ("version" = u32, Path)),
    responses((status = 200, body = Breaks), (status = 404, description = "no such module or version", body = ErrorBody))
)]
pub(in crate::api) async fn breaks(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath((name, version)): InPath<(String, u32)>,
) -> Result<Json<Breaks>, ApiError> {
    let namespace = caller.origin.namespace.clone();
    let module = find(&api, caller, &name).await?.ok_or_else(|| not_found(&name))?;
    let next = module.versions.iter().find(|known| known.version == version).map(Offer::deployed).ok_or_else(|| {
        ApiError::new(StatusCode::NOT_FOUND, "version_not_found", format!("module `{name}` has no version {version}"))
            .hint(format!("its versions are in: amends modules {name}"))
    })?;
    Ok(Json(breaks::by(&api, namespace, active(Some(module)), next).await?))
}

/// What an activation broke that is recorded already: a failed read is no reason to answer as if it was not.
async fn broken(api: &Arc<Api>, namespace: Namespace, before: Result<Option<ModuleView>, ApiError>, offer: Offer) -> Breaks {
    let found = match before {
        Ok(module) => breaks::by(api, namespace, active(module), offer).await,
        Err(error) => Err(error),
    };
    found.unwrap_or(Breaks { what: Vec::new(), is_cut: true })
}

/// The version that new work starts on.
fn active(module: Option<ModuleView>) -> Option<VersionView> {
    let ModuleView { active, versions, .. } = module?;
    versions.into_iter().find(|version| active == Some(version.version))
}

/// Removes a version that nothing needs: it is not active and no saga in flight runs on it.
#[utoipa::path(
    delete, path = "/v1/modules/{name}/versions/{version}", tag = "modules",
    params(("name" = String, Path), ("version" = u32, Path)),
    responses(
        (status = 200, body = Module),
        (status = 404, description = "no such module or version", body = ErrorBody),
        (status = 409, description = "`version_active`: new sagas start on it; `version_in_use`: sagas run on it", body = ErrorBody),
    )
)]
pub(in crate::api) async fn remove(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath((name, version)): InPath<(String, u32)>,
) -> Result<Response, ApiError> {
    let name = String::from(caller::name(&name)?);
    let removing = Arc::clone(&api);
    let answer = in_turn(&api, async move { take_out(&removing, caller.origin, name, version).await }).await??;
    Ok(written(&api, answer.position, Json(present::module::module(&answer.module))))
}

/// The module of this name, if the namespace has one.
pub(super) async fn find(api: &Api, caller: Caller, name: &str) -> Result<Option<ModuleView>, ApiError> {
    caller::name(name)?;
    let modules = api.ask(|answer| Request::Modules(caller.origin, answer)).await?;
    Ok(modules.into_iter().find(|module| module.name == name))
}

/// 404.
pub(super) fn not_found(name: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "module_not_found", format!("no module `{name}` in this namespace"))
        .hint("`amends modules` shows the ones that there are")
}

/// Taken before the body is read: a burst of deploys is refused before it takes memory.
fn place(api: &Api) -> Result<SemaphorePermit<'_>, ApiError> {
    api.deploys.try_acquire().map_err(|_| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            "as many modules are being deployed as this host takes at once",
        )
        .hint("try again in a moment")
    })
}

/// A component that was verified, with its bytes.
struct Candidate {
    bytes: Bytes,
    verified: Verified,
}

async fn verify(api: &Api, body: Body) -> Result<Candidate, ApiError> {
    let bytes = caller::read_body(Part::Component, body, api.options.wasm_bytes_max).await?;
    if bytes.is_empty() {
        return Err(ApiError::bad_request("the body is empty").hint("send the bytes of a component"));
    }
    let verified = api.runtime.verify(bytes.clone()).await?;
    Ok(Candidate { bytes, verified })
}

async fn go_on(api: &Arc<Api>, caller: Caller, query: &DeployQuery, candidate: Candidate) -> Result<Response, ApiError> {
    if query.plan == Some(true) {
        let namespace = caller.origin.namespace.clone();
        let module = find(api, caller, &candidate.verified.module).await;
        discard(api, candidate.verified.digest).await?;
        let verified = candidate.verified;
        let Verified { module: name, digest, definitions, .. } = verified.clone();
        let target = port::Candidate { module: name, digest, definitions };
        let (module, at) = (module?, namespace.clone());
        let moves = api.read(move |runtime| runtime.moves(&at, &target)).await?;
        let breaks =
            breaks::by(api, namespace, active(module.clone()), Offer::verified(&verified.definitions, &verified.triggers));
        let plan: Plan = present::module::plan(&verified, module.as_ref(), &moves, breaks.await?);
        return Ok(Json(plan).into_response());
    }
    let (origin, activate) = (caller.origin.clone(), query.activate.unwrap_or(true));
    let (deploying, warnings) = (Arc::clone(api), candidate.verified.warnings.clone());
    let before = if activate { find(api, caller.clone(), &candidate.verified.module).await } else { Ok(None) };
    let offer = Offer::verified(&candidate.verified.definitions, &candidate.verified.triggers);
    // A task of its own: a client that goes away must not free the turn while the engine still decides.
    let answer = in_turn(api, async move { record(&deploying, origin, candidate, activate).await }).await??;
    let status = if answer.created { StatusCode::CREATED } else { StatusCode::OK };
    let breaks = broken(api, caller.origin.namespace, before, offer).await;
    deployed(api, &answer, status, warnings, breaks)
}

/// Keeps the component and has the deploy recorded. A deploy that was refused leaves nothing.
async fn record(api: &Api, origin: Origin, candidate: Candidate, activate: bool) -> Result<ModuleAnswer, ApiError> {
    let Candidate { bytes, verified } = candidate;
    let digest = verified.digest;
    api.runtime.keep(bytes).await?;
    let deploy = Deploy {
        module: verified.module,
        digest,
        bytes: verified.bytes,
        definitions: verified.definitions,
        triggers: verified.triggers,
        imports: verified.imports,
        activate,
    };
    let answer = api.ask(|answer| Request::Deploy(origin, deploy, answer)).await;
    // After any other error the deploy may be recorded: the next start looks what is named.
    if answer.as_ref().is_err_and(|error| error.status == StatusCode::CONFLICT) {
        api.runtime.discard(digest).await;
    }
    answer
}

/// Has the removal recorded, and drops the component unless some other version is it.
async fn take_out(api: &Api, origin: Origin, name: String, version: u32) -> Result<ModuleAnswer, ApiError> {
    let modules = api.ask(|answer| Request::Modules(origin.clone(), answer)).await?;
    let versions = modules.iter().filter(|module| module.name == name).flat_map(|module| &module.versions);
    let digest = versions.filter(|known| known.version == version).map(|known| known.digest).next();
    let answer = api.ask(|answer| Request::Remove(origin, name, version, answer)).await?;
    if let Some(digest) = digest {
        api.runtime.discard(digest).await;
    }
    Ok(answer)
}

async fn discard(api: &Arc<Api>, digest: [u8; 32]) -> Result<(), ApiError> {
    let discarding = Arc::clone(api);
    in_turn(api, async move { discarding.runtime.discard(digest).await }).await
}

/// One at a time, to its end: between keeping a component and the record that names it nobody may discard it.
async fn in_turn<T: Send + 'static>(api: &Arc<Api>, work: impl Future<Output = T> + Send + 'static) -> Result<T, ApiError> {
    let turn = Arc::clone(&api.recording).acquire_owned().await.map_err(|error| ApiError::internal(&error.to_string()))?;
    let working = tokio::spawn(async move {
        let done = work.await;
        drop(turn);
        done
    });
    working.await.map_err(|error| ApiError::internal(&error.to_string()))
}

fn deployed(
    api: &Api,
    answer: &ModuleAnswer,
    status: StatusCode,
    warnings: Vec<String>,
    breaks: Breaks,
) -> Result<Response, ApiError> {
    let body: Option<Deployed> = present::module::deployed(&answer.module, answer.version, warnings);
    let body = body.map(|deployed| Deployed { breaks, ..deployed });
    let body = body.ok_or_else(|| ApiError::internal("the module lacks the version that it answers with"))?;
    Ok(written(api, answer.position, (status, Json(body))))
}
