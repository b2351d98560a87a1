//! Modules: deploy, plan, list, activate.

use std::sync::Arc;

use amends_core::{
    Trigger,
    event::Act,
    id::{Name, Namespace},
};
use amends_wire::{
    Time,
    error::ErrorBody,
    module::{
        self, Activate, ActivateAll, Activated, AggregateComparison, Breaks, Comparison, DeployAnswer, Deployed, FailedFold,
        Module, ModuleVersion, Modules, StateDifference,
    },
    value::Binary,
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

use super::{Routes, verbs::checked_note, written};
use crate::{
    api::{
        Api,
        breaks::{self, Offer},
        caller::{self, Caller, InPath, InQuery},
        error::{ApiError, Part},
        present::{self, grants},
    },
    engine::port::{ModuleAnswer, ModuleView, Refusal, RefusalCode, VersionView, Which},
    service::{
        deploy::{Plan, Recorded, Upload},
        gate::{self, Accepted},
        reader::{self, Candidate, Moves},
        verify::Verified,
    },
};

pub(super) fn routes() -> Routes {
    routes![list, deploy, show, deploy_as, activate, activate_all, compare, remove, breaks]
}

/// Modules whose versions become active together.
const TOGETHER_MAX: usize = 64;

/// How to deploy.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct DeployQuery {
    /// Make it the version that new work starts on; true if left out.
    activate: Option<bool>,
    /// Only say what would happen.
    plan: Option<bool>,
}

/// Deploys a component under the name that is in it.
#[utoipa::path(
    post, operation_id = "deploy_module", path = "/v1/modules", tag = "modules", params(DeployQuery),
    request_body(content = Binary, content_type = "application/octet-stream", description = "the component; the host does not look at the content type"),
    responses(
        (status = 201, description = "a new version", body = DeployAnswer),
        (status = 200, description = "the same bytes again, the same version; or the plan that was asked for", body = DeployAnswer),
        (status = 409, description = "a name belongs to another module", body = ErrorBody),
        (status = 413, description = "too large", body = ErrorBody),
        (status = 422, description = "it does not verify; `reasons` says why", body = ErrorBody),
        (status = 503, description = "too many deploys at once, or the host cannot take it now", body = ErrorBody),
    )
)]
async fn deploy(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InQuery(query): InQuery<DeployQuery>,
    body: Body,
) -> Result<Response, ApiError> {
    let upload = receive(&api, caller, None, body).await?;
    plan_or_deploy(&api, &query, upload).await
}

/// Deploys a component under this name, which must be the one in it. With `?plan=true` (200, a plan) it only says what would happen.
#[utoipa::path(
    put, operation_id = "deploy_module_as", path = "/v1/modules/{name}", tag = "modules", params(("name" = String, Path), DeployQuery),
    request_body(content = Binary, content_type = "application/octet-stream", description = "the component; the host does not look at the content type"),
    responses(
        (status = 201, description = "a new version", body = DeployAnswer),
        (status = 200, description = "the same bytes again, the same version; or the plan that was asked for", body = DeployAnswer),
        (status = 409, description = "a name belongs to another module", body = ErrorBody),
        (status = 413, description = "too large", body = ErrorBody),
        (status = 422, description = "it does not verify; `reasons` says why", body = ErrorBody),
        (status = 503, description = "too many deploys at once, or the host cannot take it now", body = ErrorBody),
    )
)]
async fn deploy_as(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
    InQuery(query): InQuery<DeployQuery>,
    body: Body,
) -> Result<Response, ApiError> {
    let upload = receive(&api, caller, Some(caller::name(&name)?), body).await?;
    plan_or_deploy(&api, &query, upload).await
}

/// The modules of the namespace.
#[utoipa::path(get, operation_id = "list_modules", path = "/v1/modules", tag = "modules", responses((status = 200, body = Modules)))]
async fn list(State(api): State<Arc<Api>>, caller: Caller) -> Result<Json<Modules>, ApiError> {
    let modules = api.read(move |reader| reader.modules(&caller.origin.namespace)).await?;
    Ok(Json(Modules { modules: modules.iter().map(shown).collect() }))
}

/// A module: its versions, how many sagas run on each, what it may reach.
#[utoipa::path(
    get, operation_id = "get_module", path = "/v1/modules/{name}", tag = "modules", params(("name" = String, Path)),
    responses((status = 200, body = Module), (status = 404, description = "no such module", body = ErrorBody))
)]
async fn show(State(api): State<Arc<Api>>, caller: Caller, InPath(name): InPath<String>) -> Result<Json<Module>, ApiError> {
    let module = find(&api, caller, &name).await?.ok_or_else(|| not_found(&name))?;
    Ok(Json(shown(&module)))
}

/// Makes a version the one that new work starts on. Sagas in flight stay where they are.
#[utoipa::path(
    post, operation_id = "activate_version", path = "/v1/modules/{name}/activate", tag = "modules", params(("name" = String, Path)), request_body = Activate,
    responses(
        (status = 200, body = Deployed), (status = 404, description = "no such module or version", body = ErrorBody),
        (status = 409, description = "`shapes_unreadable`: it cannot read events that were recorded; `states_unreadable`: nor states of a policy; `states_differ`: a comparison found so, and the number was not accepted; `name_taken`", body = ErrorBody),
    )
)]
async fn activate(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let name = String::from(caller::name(&name)?);
    let asked: Activate = caller::read_json(body, api.options.payload_bytes_max, &api.held.bodies).await?;
    let which = match (asked.version, asked.previous) {
        (Some(version), None | Some(false)) => Which::Version(version),
        (None, Some(true)) => Which::Previous,
        _ => return Err(ApiError::bad_request("give `version`, or `previous`: true")),
    };
    let act = Act { note: checked_note(asked.note)?, by: caller.by.clone() };
    let accepted = Accepted { differences: asked.accept_differences, unreadable: asked.accept_unreadable };
    let before = find(&api, caller.clone(), &name).await;
    let namespace = caller.origin.namespace.clone();
    let answers = api.deploys.activate(caller.origin, vec![(name, which)], act, accepted).await?;
    let answer = answers.into_iter().next().ok_or_else(|| ApiError::internal("an activation without an answer"))?;
    let offer = answer.module.versions.iter().find(|version| version.version == answer.version).map(Offer::deployed);
    let breaks = match offer {
        Some(offer) => broken(&api, namespace, before, offer).await,
        None => Breaks::default(),
    };
    Ok(written(&api, answer.position, Json(deployed(&answer, Vec::new(), breaks)?)))
}

/// Makes a version of each of several modules the one that new work starts on, in one commit. So an aggregate moves from one module to
/// another, and a rule goes live together with the view that shows it.
#[utoipa::path(
    post, operation_id = "activate_versions", path = "/v1/activate", tag = "modules", request_body = ActivateAll,
    responses(
        (status = 200, body = Activated), (status = 404, description = "no such module or version; nothing was changed", body = ErrorBody),
        (status = 409, description = "as for one version; nothing was changed", body = ErrorBody),
    )
)]
async fn activate_all(State(api): State<Arc<Api>>, caller: Caller, body: Body) -> Result<Response, ApiError> {
    let asked: ActivateAll = caller::read_json(body, api.options.payload_bytes_max, &api.held.bodies).await?;
    let mut wanted: Vec<(String, Which)> = Vec::with_capacity(asked.modules.len());
    for ModuleVersion { name, version } in asked.modules {
        let name = String::from(caller::name(&name)?);
        if wanted.iter().any(|(other, _)| *other == name) {
            return Err(ApiError::bad_request(format!("module `{name}` is named twice")));
        }
        wanted.push((name, Which::Version(version)));
    }
    if !(1..=TOGETHER_MAX).contains(&wanted.len()) {
        return Err(ApiError::bad_request(format!("{} modules; name 1 to {TOGETHER_MAX}", wanted.len())));
    }
    let act = Act { note: checked_note(asked.note)?, by: caller.by.clone() };
    let accepted = Accepted { differences: asked.accept_differences, unreadable: asked.accept_unreadable };
    let answers = api.deploys.activate(caller.origin, wanted, act, accepted).await?;
    let position = answers.iter().map(|answer| answer.position).max().unwrap_or_default();
    let active = answers.into_iter().map(|answer| ModuleVersion { name: answer.module.name, version: answer.version });
    Ok(written(&api, position, Json(Activated { modules: active.collect() })))
}

/// Folds every stream of a version's aggregates by its code and by the active code, and compares the states. It changes nothing, and
/// takes as long as it takes; commands go on meanwhile. What it found is remembered until the host stops: an activation of a version
/// with differences wants their number.
#[utoipa::path(
    post, operation_id = "compare_version", path = "/v1/modules/{name}/versions/{version}/compare", tag = "modules",
    params(("name" = String, Path), ("version" = u32, Path)),
    responses((status = 200, body = Comparison), (status = 404, description = "no such module or version", body = ErrorBody))
)]
async fn compare(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath((name, version)): InPath<(String, u32)>,
) -> Result<Json<Comparison>, ApiError> {
    caller::name(&name)?;
    let found = tokio::select! {
        found = api.gate.compare(&caller.origin.namespace, &name, version) => found?,
        () = api.stopped() => return Err(Refusal::new(RefusalCode::Stopping, "the host is stopping").into()),
    };
    Ok(Json(compared(name, found)))
}

fn compared(name: String, found: gate::Comparison) -> Comparison {
    let (differences, unreadable) = (found.differences(), found.unreadable());
    let aggregate = |found: gate::OfAggregate| AggregateComparison {
        aggregate: found.aggregate,
        streams: found.streams,
        events: found.events,
        equal: found.equal,
        different: found.different,
        trapped: found.trapped,
        broken: found.broken,
        unreadable: found.unreadable,
        first_different: found.first_different.map(|first| StateDifference {
            id: first.id,
            revision: first.revision.to_string(),
            path: first.path,
            active: first.active,
            compared: first.compared,
        }),
        first_trapped: found.first_trapped.map(|first| FailedFold {
            id: first.id,
            revision: first.revision.to_string(),
            why: first.why,
        }),
    };
    Comparison {
        name,
        version: found.version,
        against: found.against,
        aggregates: found.aggregates.into_iter().map(aggregate).collect(),
        differences,
        unreadable,
        took_ms: u64::try_from(found.took.as_millis()).unwrap_or(u64::MAX),
    }
}

/// What stops working when this version is activated: sagas and events that it drops, and schedules that start them.
#[utoipa::path(
    get, operation_id = "get_breaks", path = "/v1/modules/{name}/versions/{version}/breaks", tag = "modules",
    params(("name" = String, Path), ("version" = u32, Path)),
    responses((status = 200, body = Breaks), (status = 404, description = "no such module or version", body = ErrorBody))
)]
async fn breaks(
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
    delete, operation_id = "remove_version", path = "/v1/modules/{name}/versions/{version}", tag = "modules",
    params(("name" = String, Path), ("version" = u32, Path)),
    responses(
        (status = 200, body = Module),
        (status = 404, description = "no such module or version", body = ErrorBody),
        (status = 409, description = "`version_active`: new sagas start on it; `version_in_use`: sagas run on it", body = ErrorBody),
    )
)]
async fn remove(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath((name, version)): InPath<(String, u32)>,
) -> Result<Response, ApiError> {
    let name = String::from(caller::name(&name)?);
    let answer = api.deploys.remove(caller.origin, name, version).await?;
    Ok(written(&api, answer.position, Json(shown(&answer.module))))
}

/// The module of this name, if the namespace has one.
pub(super) async fn find(api: &Api, caller: Caller, name: &str) -> Result<Option<ModuleView>, ApiError> {
    let name = String::from(caller::name(name)?);
    api.read(move |reader| reader.module(&caller.origin.namespace, &name)).await
}

/// 404.
pub(super) fn not_found(name: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "module_not_found", format!("no module `{name}` in this namespace"))
        .hint("`amends modules` shows the ones that there are")
}

/// Reads the component. Its place among the deploys is taken before that.
async fn receive(api: &Api, caller: Caller, name: Option<Name>, body: Body) -> Result<Upload, ApiError> {
    let place = api.deploys.place()?;
    let bytes = caller::read_body(Part::Component, body, api.options.wasm_bytes_max, &api.held.bodies).await?;
    if bytes.is_empty() {
        return Err(ApiError::bad_request("the body is empty").hint("send the bytes of a component"));
    }
    Ok(Upload { place, bytes, name, origin: caller.origin })
}

/// Deploys what came, or only says what that would do.
async fn plan_or_deploy(api: &Arc<Api>, query: &DeployQuery, upload: Upload) -> Result<Response, ApiError> {
    let namespace = upload.origin.namespace.clone();
    if query.plan == Some(true) {
        let Plan { verified, module } = api.deploys.plan(upload).await?;
        let (digest, definitions) = (verified.digest, verified.definitions.clone());
        let candidate = Candidate { module: verified.module.clone(), digest, definitions };
        let of_moves = namespace.clone();
        let moves = api.read(move |reader| reader.moves(&of_moves, &candidate)).await?;
        let offer = Offer::verified(&verified.definitions, &verified.triggers);
        let breaks = breaks::by(api, namespace, active(module.clone()), offer).await?;
        let plan = planned(&verified, module.as_ref(), &moves, breaks);
        return Ok(Json(DeployAnswer::Plan(plan)).into_response());
    }
    let activate = query.activate.unwrap_or(true);
    let Recorded { answer, verified, before } = api.deploys.deploy(upload, activate).await?;
    let offer = Offer::verified(&verified.definitions, &verified.triggers);
    let breaks = broken(api, namespace, Ok(before.filter(|_| activate)), offer).await;
    let status = if answer.created { StatusCode::CREATED } else { StatusCode::OK };
    let answered = DeployAnswer::Deployed(deployed(&answer, verified.warnings, breaks)?);
    Ok(written(api, answer.position, (status, Json(answered))))
}

/// The answer to a deploy or an activation.
fn deployed(answer: &ModuleAnswer, warnings: Vec<String>, breaks: Breaks) -> Result<Deployed, ApiError> {
    let ModuleAnswer { module, version, .. } = answer;
    let about = module.versions.iter().find(|candidate| candidate.version == *version);
    let about = about.ok_or_else(|| ApiError::internal("the module lacks the version that it answers with"))?;
    Ok(Deployed {
        name: module.name.clone(),
        version: *version,
        digest: hex::encode(about.digest),
        active: module.active,
        sagas: about.sagas.clone(),
        triggers: triggers(&about.triggers),
        aggregates: about.aggregates.clone(),
        projections: about.projections.clone(),
        policies: about.policies.clone(),
        imports: about.imports.clone(),
        missing_grants: grants::missing(&module.name, &about.imports, &module.grants),
        warnings,
        breaks,
    })
}

/// What a deploy of these bytes would do to a module, or to a namespace that has none of this name.
fn planned(verified: &Verified, module: Option<&ModuleView>, moves: &Moves, breaks: Breaks) -> module::Plan {
    let versions = module.map_or(&[][..], |module| &module.versions);
    let same = versions.iter().find(|version| version.digest == verified.digest);
    let next = module.map_or(1, |module| module.next_version);
    module::Plan {
        name: verified.module.clone(),
        digest: hex::encode(verified.digest),
        version: same.map_or(next, |version| version.version),
        deployed: same.is_some(),
        active: module.and_then(|module| module.active),
        in_flight: versions
            .iter()
            .filter(|version| version.in_flight > 0)
            .map(|version| module::InFlight { version: version.version, sagas: version.in_flight })
            .collect(),
        moves: moves.sagas.iter().map(moved).collect(),
        moves_cut: moves.is_cut,
        sagas: verified.definitions.iter().map(|definition| definition.name.clone()).collect(),
        triggers: triggers(&verified.triggers),
        aggregates: verified.aggregates.iter().map(|aggregate| aggregate.name.clone()).collect(),
        projections: verified.projections.iter().map(|projection| projection.name.clone()).collect(),
        policies: verified.policies.iter().map(|policy| policy.name.clone()).collect(),
        imports: verified.imports.clone(),
        missing_grants: grants::missing(&verified.module, &verified.imports, module.map_or(&[], |module| &module.grants)),
        warnings: verified.warnings.clone(),
        breaks,
    }
}

fn moved(reader::Move { id, version, status, obstacles, misfit }: &reader::Move) -> module::Move {
    module::Move {
        id: id.as_str().to_owned(),
        version: *version,
        status: present::value::status(*status),
        obstacles: obstacles.clone(),
        input_does_not_fit: misfit.clone(),
    }
}

/// A module.
fn shown(view: &ModuleView) -> Module {
    Module {
        name: view.name.clone(),
        active: view.active,
        versions: view.versions.iter().map(version).collect(),
        grants: super::grants::shown(&view.grants),
        revision: view.revision.to_string(),
    }
}

fn version(view: &VersionView) -> module::Version {
    module::Version {
        version: view.version,
        digest: hex::encode(view.digest),
        bytes: view.bytes,
        deployed_at: Time::from_ms(view.deployed_at),
        sagas: view.sagas.clone(),
        triggers: triggers(&view.triggers),
        aggregates: view.aggregates.clone(),
        projections: view.projections.clone(),
        policies: view.policies.clone(),
        imports: view.imports.clone(),
        in_flight: view.in_flight,
        quarantined: view.quarantined.map(|why| why.to_string()),
    }
}

fn triggers(triggers: &[Trigger]) -> Vec<module::Trigger> {
    let trigger = |Trigger { saga, event_type }: &Trigger| module::Trigger { event_type: event_type.clone(), saga: saga.clone() };
    triggers.iter().map(trigger).collect()
}
