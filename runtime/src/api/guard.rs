//! Keeps web pages of strangers out: only names that belong to this host may be in `Host` and `Origin` (DNS rebinding).

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{Api, error::ApiError};

/// Refuses a request that names another host with 421.
pub(super) async fn only_our_names(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    match check(request.headers(), request.uri(), &api.options.hosts) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

fn check(headers: &HeaderMap, uri: &Uri, ours: &[String]) -> Result<(), ApiError> {
    let host = match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(header::HOST).and_then(|value| value.to_str().ok()),
    };
    let host = host.unwrap_or_default();
    if !is_ours(host, ours) {
        return Err(misdirected("Host", host));
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let named = origin.split_once("://").map_or("", |(_, authority)| authority);
    // A page of another server on this machine is a stranger as well: it comes from another port.
    let is_own = named.eq_ignore_ascii_case(host) || ours.iter().any(|known| known.eq_ignore_ascii_case(without_port(named)));
    if is_own { Ok(()) } else { Err(misdirected("Origin", origin)) }
}

fn misdirected(header: &str, value: &str) -> ApiError {
    let shown: String = value.chars().take(80).collect();
    let message = format!("{header} \"{}\" is not a name of this host", shown.escape_debug());
    ApiError::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", message)
        .hint("use localhost, or add the name to `hosts` in [server]")
}

fn is_ours(authority: &str, ours: &[String]) -> bool {
    let name = without_port(authority);
    let loopback = |name: &str| name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    name.eq_ignore_ascii_case("localhost") || loopback(name) || ours.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn without_port(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => authority.rsplit_once(':').map_or(authority, |(name, _)| name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_ask_only_the_host_that_it_came_from() {
        let asked = |host: &str, origin: &str| {
            let headers = [(header::HOST, host), (header::ORIGIN, origin)];
            let headers = headers.into_iter().map(|(name, value)| (name, value.parse().unwrap())).collect();
            check(&headers, &Uri::from_static("/v1/modules"), &["amends.internal".to_owned()]).is_ok()
        };
        assert!(asked("localhost:8420", "http://localhost:8420"));
        assert!(asked("127.0.0.1:8420", "https://amends.internal"));
        for stranger in ["http://localhost:3000", "http://127.0.0.1:8420", "https://evil.example", "null"] {
            assert!(!asked("localhost:8420", stranger), "{stranger}");
        }
    }

    #[test]
    fn only_loopback_and_configured_names_are_ours() {
        let ours = ["amends.internal".to_owned()];
        for good in ["localhost", "LOCALHOST:8420", "127.0.0.1:1", "127.9.9.9", "[::1]:8420", "amends.internal:80"] {
            assert!(is_ours(good, &ours), "{good}");
        }
        for bad in ["", "evil.example", "localhost.evil.example", "10.0.0.1", "[::2]:1", "[::1", "1.2.3.4:127", "xlocalhost"] {
            assert!(!is_ours(bad, &ours), "{bad}");
        }
    }
}
