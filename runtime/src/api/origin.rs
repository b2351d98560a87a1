//! Origins of outgoing HTTP in their one spelling: scheme, lower-case host, explicit port.

use std::net::IpAddr;

use url::{Host, Url};

/// `https://API.example.com` as `https://api.example.com:443`; or what is wrong with it.
pub fn normal(text: &str) -> Result<String, String> {
    let bad = |why: &str| {
        let shown = text.chars().take(120).collect::<String>().escape_debug().to_string();
        format!("origin \"{shown}\" {why}; write it as https://api.example.com:443")
    };
    let (wildcard, plain) = match text.split_once("://*.") {
        Some((scheme, rest)) => (true, format!("{scheme}://{rest}")),
        None => (false, text.to_owned()),
    };
    let url = Url::parse(&plain).map_err(|_| bad("is not one"))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(bad("is neither http nor https"));
    }
    let has_more = url.path() != "/" || url.query().is_some() || url.fragment().is_some();
    if has_more || !url.username().is_empty() || url.password().is_some() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_one_spelling() {
        let read = |text| normal(text).unwrap();
        assert_eq!(read("HTTPS://API.Example.com"), "https://api.example.com:443");
        assert_eq!(read("http://127.0.0.1:8080/"), "http://127.0.0.1:8080");
        assert_eq!(read("http://[::1]:80"), "http://[::1]:80");
        assert_eq!(read("https://*.example.com"), "https://*.example.com:443");
    }

    #[test]
    fn what_is_wider_or_other_than_an_origin_is_refused() {
        let bad = ["", "example.com", "ftp://example.com", "https://example.com/path", "https://a@example.com", "https://*.com"];
        let worse = ["https://a.*.example.com", "https://*", "https://*.10.0.0.1", "https://example.com?x", "file:///etc/passwd"];
        for bad in bad.into_iter().chain(worse) {
            assert!(normal(bad).is_err(), "{bad}");
        }
    }
}
