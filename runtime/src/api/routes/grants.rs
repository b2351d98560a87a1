//! What a module may reach: nothing, until it is granted.

use std::{collections::BTreeSet, sync::Arc};

use amends_core::event::Act;
use amends_wire::{
    error::ErrorBody,
    module::{Grants, HttpGrant, ModuleGrants, SetGrants},
};
use axum::{Json, body::Body, extract::State, response::Response};

use super::{
    Routes,
    modules::{find, not_found},
    verbs::{checked_note, revision},
    written,
};
use crate::{
    api::{
        Api,
        caller::{self, Caller, InPath},
        error::ApiError,
    },
    engine::port::{self, Force, ModuleView, Request},
    journal::Grant,
    origin::Origin,
};

pub(super) fn routes() -> Routes {
    routes![show, set]
}

/// More is a mistake, and each is looked at on every outgoing call.
const GRANTS_MAX: usize = 256;

/// What a module may reach.
#[utoipa::path(
    get, operation_id = "get_grants", path = "/v1/modules/{name}/grants", tag = "modules", params(("name" = String, Path)),
    responses((status = 200, body = ModuleGrants), (status = 404, description = "no such module", body = ErrorBody))
)]
async fn show(State(api): State<Arc<Api>>, caller: Caller, InPath(name): InPath<String>) -> Result<Json<ModuleGrants>, ApiError> {
    let module = find(&api, caller, &name).await?.ok_or_else(|| not_found(&name))?;
    Ok(Json(of(&module)))
}

/// Replaces what a module may reach. Revoking what live sagas may need takes `force`; `expect_revision` guards what was read.
#[utoipa::path(
    put, operation_id = "set_grants", path = "/v1/modules/{name}/grants", tag = "modules", params(("name" = String, Path)), request_body = SetGrants,
    responses(
        (status = 200, body = ModuleGrants),
        (status = 400, description = "a bad origin, key or name", body = ErrorBody),
        (status = 404, description = "no such module", body = ErrorBody),
        (status = 409, description = "`grant_in_use`: live sagas may need what is revoked; `revision_changed`: somebody else was faster", body = ErrorBody),
    )
)]
async fn set(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let name = String::from(caller::name(&name)?);
    let asked: SetGrants = caller::read_json(body, api.options.payload_bytes_max, &api.held.bodies).await?;
    let grants = grants(&asked.grants)?;
    let act = Act { note: checked_note(asked.note)?, by: caller.by };
    let force = if asked.force { Force::Yes } else { Force::No };
    let expect_revision = asked.expect_revision.as_deref().map(revision).transpose()?;
    let set = port::SetGrants { module: name, grants, act, force, expect_revision };
    let answer = api.ask(|answer| Request::SetGrants(caller.origin, set, answer)).await?;
    Ok(written(&api, answer.position, Json(of(&answer.module))))
}

fn grants(asked: &Grants) -> Result<Vec<Grant>, ApiError> {
    if asked.http.len() + asked.config.len() + asked.secrets.len() > GRANTS_MAX {
        return Err(ApiError::bad_request(format!("a module has at most {GRANTS_MAX} grants")));
    }
    let mut grants: Vec<Grant> = Vec::new();
    for http in &asked.http {
        let origin = Origin::parse(&http.origin).map_err(|bad| ApiError::bad_request(bad.to_string()))?;
        let grant = Grant::Http { origin: origin.spelled_out(), private: http.private };
        if !grants.contains(&grant) {
            grants.push(grant);
        }
    }
    for (key, value) in &asked.config {
        grants.push(Grant::Config { key: label(key)?, value: value.clone() });
    }
    let secrets: BTreeSet<&String> = asked.secrets.iter().collect();
    if let Some(bad) = secrets.iter().find(|name| !Grant::is_secret_name(name)) {
        let message = format!("\"{}\" is no name of a secret", bad.escape_debug());
        return Err(ApiError::bad_request(message).hint("use 1 to 128 of letters, digits, . _ and -, not beginning with a dot"));
    }
    grants.extend(secrets.into_iter().map(|name| Grant::Secret { name: name.clone() }));
    Ok(grants)
}

fn label(text: &str) -> Result<String, ApiError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if text.is_empty() || text.len() > 128 || !text.chars().all(fits) {
        return Err(ApiError::bad_request("keys are 1 to 128 of letters, digits, . _ - and /"));
    }
    Ok(text.to_owned())
}

/// What a module may reach.
fn of(view: &ModuleView) -> ModuleGrants {
    ModuleGrants { module: view.name.clone(), revision: view.revision.to_string(), grants: shown(&view.grants) }
}

pub(super) fn shown(grants: &[Grant]) -> Grants {
    let mut shown = Grants::default();
    for grant in grants {
        match grant {
            Grant::Http { origin, private } => {
                shown.http.push(HttpGrant { origin: origin.clone(), private: *private });
            }
            Grant::Config { key, value } => {
                shown.config.insert(key.clone(), value.clone());
            }
            Grant::Secret { name } => shown.secrets.push(name.clone()),
        }
    }
    shown
}
