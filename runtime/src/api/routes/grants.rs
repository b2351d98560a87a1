//! What a module may reach: nothing, until it is granted.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use amends_core::event::Act;
use axum::{Json, body::Body, extract::State, response::Response};
use url::{Host, Url};

use super::{
    modules::{find, not_found},
    verbs::checked_note,
    written,
};
use crate::{
    api::{
        Api,
        caller::{self, Caller, InPath},
        error::ApiError,
        present,
        wire::{
            error::ErrorBody,
            module::{Grants, ModuleGrants, SetGrants},
        },
    },
    engine::port::{Force, Request},
    journal::Grant,
};

/// More is a mistake, and each is looked at on every outgoing call.
const GRANTS_MAX: usize = 256;

/// What a module may reach.
#[utoipa::path(
    get, path = "/v1/modules/{name}/grants", tag = "modules", params(("name" = String, Path)),
    responses((status = 200, body = ModuleGrants), (status = 404, description = "no such module", body = ErrorBody))
)]
pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
) -> Result<Json<ModuleGrants>, ApiError> {
    let module = find(&api, caller, &name).await?.ok_or_else(|| not_found(&name))?;
    Ok(Json(present::module::module_grants(&module)))
}

/// Replaces what a module may reach. Revoking what live sagas declare needs `force`.
#[utoipa::path(
    put, path = "/v1/modules/{name}/grants", tag = "modules", params(("name" = String, Path)), request_body = SetGrants,
    responses(
        (status = 200, body = ModuleGrants),
        (status = 400, description = "a bad origin, key or name", body = ErrorBody),
        (status = 404, description = "no such module", body = ErrorBody),
        (status = 409, description = "live sagas declare what is revoked", body = ErrorBody),
    )
)]
pub(in crate::api) async fn set(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let name = String::from(caller::name(&name)?);
    let asked: SetGrants = caller::read_json(body, api.options.payload_bytes_max).await?;
    let grants = grants(&asked.grants)?;
    let act = Act { note: checked_note(asked.note)?, by: caller.by };
    let force = if asked.force { Force::Yes } else { Force::No };
    let answer = api.ask(|answer| Request::SetGrants(caller.origin, name, grants, act, force, answer)).await?;
    Ok(written(&api, answer.position, Json(present::module::module_grants(&answer.module))))
}

fn grants(asked: &Grants) -> Result<Vec<Grant>, ApiError> {
    if asked.http.len() + asked.config.len() + asked.secrets.len() > GRANTS_MAX {
        return Err(ApiError::bad_request(format!("a module has at most {GRANTS_MAX} grants")));
    }
    let mut grants: Vec<Grant> = Vec::new();
    for http in &asked.http {
        let grant = Grant::Http { origin: origin(&http.origin)?, private: http.private };
        if !grants.contains(&grant) {
            grants.push(grant);
        }
    }
    for (key, value) in &asked.config {
        grants.push(Grant::Config { key: label(key)?, value: value.clone() });
    }
    let secrets: BTreeSet<String> = asked.secrets.iter().map(|name| label(name)).collect::<Result<_, _>>()?;
    grants.extend(secrets.into_iter().map(|name| Grant::Secret { name }));
    Ok(grants)
}

/// An origin in its one spelling: scheme, lower-case host, explicit port.
fn origin(text: &str) -> Result<String, ApiError> {
    let bad = |why: &str| {
        let shown = text.chars().take(120).collect::<String>().escape_debug().to_string();
        ApiError::bad_request(format!("origin \"{shown}\" {why}")).hint("write it as https://api.example.com:443")
    };
    let (wildcard, plain) = match text.split_once("://*.") {
        Some((scheme, rest)) => (true, format!("{scheme}://{rest}")),
        None => (false, text.to_owned()),
    };
    let url = Url::parse(&plain).map_err(|_| bad("is not one"))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(bad("is neither http nor https"));
    }
    if url.path() != "/"
        || url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return Err(bad("has more than scheme, host and port"));
    }
    let port = url.port_or_known_default().ok_or_else(|| bad("has no port"))?;
    let host = match url.host() {
        Some(Host::Domain(name)) if name.contains('*') => return Err(bad("has `*` elsewhere than in its first label")),
        Some(Host::Domain(name)) if wildcard && !name.contains('.') => return Err(bad("is too wide")),
        Some(Host::Domain(name)) => name.trim_end_matches('.').to_owned(),
        Some(_) if wildcard => return Err(bad("has `*` before an address")),
        Some(Host::Ipv4(address)) => IpAddr::from(address).to_string(),
        Some(Host::Ipv6(address)) => format!("[{address}]"),
        None => return Err(bad("has no host")),
    };
    Ok(format!("{}://{}{host}:{port}", url.scheme(), if wildcard { "*." } else { "" }))
}

fn label(text: &str) -> Result<String, ApiError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if text.is_empty() || text.len() > 128 || !text.chars().all(fits) {
        return Err(ApiError::bad_request("keys and names are 1 to 128 of letters, digits, . _ - and /"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_one_spelling() {
        let read = |text| origin(text).unwrap();
        assert_eq!(read("HTTPS://API.Example.com"), "https://api.example.com:443");
        assert_eq!(read("http://127.0.0.1:8080/"), "http://127.0.0.1:8080");
        assert_eq!(read("http://[::1]:80"), "http://[::1]:80");
        assert_eq!(read("https://*.example.com"), "https://*.example.com:443");
    }

    #[test]
    fn what_is_wider_or_other_than_an_origin_is_refused() {
        for bad in [
            "",
            "example.com",
            "ftp://example.com",
            "https://example.com/path",
            "https://a@example.com",
            "https://*.com",
            "https://a.*.example.com",
            "https://*",
            "https://*.10.0.0.1",
            "https://example.com?x",
            "file:///etc/passwd",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
