//! Modules: deploy, plan, list, activate.

use std::sync::Arc;

use amends_core::event::Act;
use axum::{
    Json,
    body::Body,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{verbs::checked_note, written};
use crate::{
    api::{
        Api,
        caller::{self, Caller, InPath, InQuery},
        error::ApiError,
        present,
        runtime::Verified,
        wire::{
            error::ErrorBody,
            module::{Activate, Deployed, Module, Modules, Plan},
        },
    },
    engine::port::{Deploy, ModuleAnswer, ModuleView, Request, Which},
};

/// How to deploy.
#[derive(Debug, Deserialize, IntoParams)]
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
    )
)]
pub(in crate::api) async fn deploy(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InQuery(query): InQuery<DeployQuery>,
    body: Body,
) -> Result<Response, ApiError> {
    let verified = verify(&api, body).await?;
    go_on(&api, caller, &query, verified).await
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
    let verified = verify(&api, body).await?;
    if verified.module != name {
        let message = format!("the component names itself `{}`, not `{name}`", verified.module);
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "name_mismatch", message)
            .hint(format!("deploy it as `{}`, or change the name in its source", verified.module)));
    }
    go_on(&api, caller, &query, verified).await
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
    let act = Act { note: checked_note(asked.note)?, by: caller.by };
    let answer = api.ask(|answer| Request::Activate(caller.origin, name, which, act, answer)).await?;
    deployed(&api, &answer, StatusCode::OK, Vec::new())
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
    let answer = api.ask(|answer| Request::Remove(caller.origin, name, version, answer)).await?;
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

async fn verify(api: &Api, body: Body) -> Result<Verified, ApiError> {
    let bytes = caller::read_body("the component", body, api.options.wasm_bytes_max).await?;
    if bytes.is_empty() {
        return Err(ApiError::bad_request("the body is empty").hint("send the bytes of a component"));
    }
    Ok(api.runtime.verify(bytes).await?)
}

async fn go_on(api: &Api, caller: Caller, query: &DeployQuery, verified: Verified) -> Result<Response, ApiError> {
    if query.plan == Some(true) {
        let module = find(api, caller, &verified.module).await?;
        let plan: Plan = present::module::plan(&verified, module.as_ref());
        return Ok(Json(plan).into_response());
    }
    let deploy = Deploy {
        module: verified.module,
        digest: verified.digest,
        bytes: verified.bytes,
        definitions: verified.definitions,
        imports: verified.imports,
        activate: query.activate.unwrap_or(true),
    };
    let answer = api.ask(|answer| Request::Deploy(caller.origin, deploy, answer)).await?;
    let status = if answer.created { StatusCode::CREATED } else { StatusCode::OK };
    deployed(api, &answer, status, verified.warnings)
}

fn deployed(api: &Api, answer: &ModuleAnswer, status: StatusCode, warnings: Vec<String>) -> Result<Response, ApiError> {
    let body: Option<Deployed> = present::module::deployed(&answer.module, answer.version, warnings);
    let body = body.ok_or_else(|| ApiError::internal("the module lacks the version that it answers with"))?;
    Ok(written(api, answer.position, (status, Json(body))))
}
