//! Keeps web pages of strangers out: only names that belong to this host may be in `Host` and `Origin` (DNS rebinding).
//!
//! Probes are excepted: a cluster asks a pod by its address, and load balancers ask with HTTP/1.0 and no `Host` at all.

use std::net::IpAddr;

use axum::http::{HeaderMap, StatusCode, Uri, header};

use super::{error::ApiError, headers};

/// Paths that any machine may ask under any name. What they answer holds no data of a saga, and they change nothing.
const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// Refuses a request that names another host with 421. `ours` are names beside the loopback ones.
pub(super) fn check(headers: &HeaderMap, uri: &Uri, ours: &[String]) -> Result<(), ApiError> {
    let named = headers::once(headers, header::HOST.as_str())?;
    let host = match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => named.and_then(|value| value.to_str().ok()),
    };
    let host = host.unwrap_or_default();
    let is_host_ours = is_ours(host, ours);
    if !is_host_ours && !PROBES.contains(&uri.path()) {
        return Err(misdirected("Host", host));
    }
    let Some(origin) = headers::once(headers, header::ORIGIN.as_str())? else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let named = origin.split_once("://").map_or("", |(_, authority)| authority);
    // A page of another server on this machine is a stranger as well: it comes from another port. So is a page whose name was made
    // to lead here, also where its `Host` was let through.
    let is_own = (is_host_ours && named.eq_ignore_ascii_case(host))
        || ours.iter().any(|known| known.eq_ignore_ascii_case(without_port(named)));
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

    /// Probes were guarded as everything else, so that a cluster took a healthy host for a dead one.
    #[test]
    fn c2_26_probes_are_answered_under_any_name_and_nothing_else_is() {
        let asked = |path: &'static str, headers: &[(header::HeaderName, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
            check(&headers, &Uri::from_static(path), &[]).is_ok()
        };
        let pod = [(header::HOST, "10.1.2.3:8420")];
        let rebound = [(header::HOST, "evil.example"), (header::ORIGIN, "http://evil.example")];
        for probe in PROBES {
            assert!(asked(probe, &[]) && asked(probe, &pod), "{probe}");
            assert!(!asked(probe, &rebound), "{probe}");
        }
        for other in ["/v1/sagas", "/openapi.json", "/healthz/", "/%68ealthz", "/v1/sagas?x=/healthz"] {
            assert!(!asked(other, &[]) && !asked(other, &pod), "{other}");
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
