//! Origins: what a grant names and what a request goes to. Scheme, host and port, in one normal form.
//!
//! One parser reads both, for the API, the command line and the host, so that a grant and a request cannot mean two things by the
//! same text. It knows neither.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use url::{Host, Url};

/// A scheme, a host and a port, as `https://api.example.com` or `http://127.0.0.1:9000`. The port of the scheme is not shown.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: Scheme,
    host: Name,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    Http,
    Https,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name {
    Domain(String),
    /// Any one label in front of this domain.
    Under(String),
    Address(IpAddr),
}

/// Why a text is no origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadOrigin {
    text: String,
    rule: &'static str,
}

impl fmt::Display for BadOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&not_an_origin(self.text.escape_debug(), self.rule))
    }
}

/// The sentence about a text that is no origin, and the rule that it breaks. The text must be fit to be shown.
pub(crate) fn not_an_origin(text: impl fmt::Display, rule: &str) -> String {
    format!("`{text}` is no origin: {rule}; write it as https://api.example.com or http://127.0.0.1:9000")
}

impl std::error::Error for BadOrigin {}

impl BadOrigin {
    /// The text, up to 200 characters of it, as it was given.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The rule that it breaks.
    pub(crate) fn rule(&self) -> &'static str {
        self.rule
    }
}

impl Origin {
    /// Reads what an operator grants. The leftmost label may be `*`, which stands for exactly one label.
    ///
    /// ```
    /// use amends_host::origin::Origin;
    /// assert_eq!(Origin::parse("HTTPS://API.Example.com:443/").unwrap().to_string(), "https://api.example.com");
    /// assert_eq!(Origin::parse("http://[::1]:9000").unwrap().to_string(), "http://[::1]:9000");
    /// assert!(Origin::parse("https://*.example.com").is_ok());
    /// assert!(Origin::parse("https://user@example.com").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, BadOrigin> {
        let bad = |rule| BadOrigin { text: text.chars().take(200).collect(), rule };
        let plain = text.replacen("://*.", "://", 1);
        let url = Url::parse(&plain).map_err(|_| bad("it does not parse as a URL"))?;
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || plain.ends_with(['?', '#']) {
            return Err(bad("it goes on after the port"));
        }
        let origin = Self::of(&url, &plain).map_err(bad)?;
        if plain.len() == text.len() {
            return Ok(origin);
        }
        match origin.host {
            Name::Domain(domain) if domain.contains('.') => Ok(Self { host: Name::Under(domain), ..origin }),
            Name::Domain(_) | Name::Under(_) | Name::Address(_) => Err(bad("`*.` stands before a domain of at least two labels")),
        }
    }

    /// Reads where a request goes.
    pub(crate) fn of_request(uri: &http::Uri) -> Result<Self, BadOrigin> {
        let text = uri.to_string();
        let bad = |rule| BadOrigin { text: text.chars().take(200).collect(), rule };
        let url = Url::parse(&text).map_err(|_| bad("it does not parse as a URL"))?;
        Self::of(&url, &text).map_err(bad)
    }

    fn of(url: &Url, text: &str) -> Result<Self, &'static str> {
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err("only http and https are known"),
        };
        let authority = text.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?', '#', '\\']).next().unwrap_or(""));
        if authority.contains('@') || !url.username().is_empty() || url.password().is_some() {
            return Err("a user name or password has no place in it");
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("it holds a space or a control character");
        }
        let port = url.port_or_known_default().filter(|&port| port != 0).ok_or("port 0 is none")?;
        let host = match url.host() {
            Some(Host::Ipv4(address)) => Name::Address(address.into()),
            Some(Host::Ipv6(address)) => Name::Address(canonical(address)),
            Some(Host::Domain(domain)) if domain.ends_with('.') => return Err("its host ends with a dot"),
            Some(Host::Domain(domain)) if domain.is_empty() || domain.contains('*') => return Err("its host is no name"),
            Some(Host::Domain(domain)) => Name::Domain(domain.to_owned()),
            None => return Err("it has no host"),
        };
        Ok(Self { scheme, host, port })
    }

    /// A grant of this origin allows a request to `other`.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let host = match (&self.host, &other.host) {
            (Name::Under(domain), Name::Domain(name)) => name
                .strip_suffix(domain.as_str())
                .and_then(|label| label.strip_suffix('.'))
                .is_some_and(|label| !label.is_empty() && !label.contains('.')),
            (granted, asked) => granted == asked,
        };
        host && self.scheme == other.scheme && self.port == other.port
    }

    /// Its one spelling in records and on the wire, the port always shown: `https://api.example.com:443`.
    pub fn spelled_out(&self) -> String {
        let host = self.host_in_authority();
        format!("{}://{host}:{}", self.scheme.as_str(), self.port)
    }

    /// Its scheme.
    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The address, if the host is written as one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        match self.host {
            Name::Address(address) => Some(address),
            Name::Domain(_) | Name::Under(_) => None,
        }
    }

    /// The host as DNS and TLS want it, without brackets.
    pub(crate) fn host(&self) -> String {
        match &self.host {
            Name::Domain(domain) => domain.clone(),
            Name::Under(domain) => format!("*.{domain}"),
            Name::Address(address) => address.to_string(),
        }
    }

    /// The value of the `Host` header: the port only if it is not the scheme's.
    pub(crate) fn authority(&self) -> String {
        let host = self.host_in_authority();
        match (self.scheme, self.port) {
            (Scheme::Http, 80) | (Scheme::Https, 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    fn host_in_authority(&self) -> String {
        match &self.host {
            Name::Address(IpAddr::V6(address)) => format!("[{address}]"),
            Name::Domain(_) | Name::Under(_) | Name::Address(IpAddr::V4(_)) => self.host(),
        }
    }
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// An IPv4 address in the clothes of an IPv6 one is the IPv4 one.
fn canonical(address: Ipv6Addr) -> IpAddr {
    address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4)
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(text: &str) -> String {
        Origin::parse(text).map_or_else(|error| error.rule.to_owned(), |origin| origin.to_string())
    }

    #[test]
    fn every_way_of_writing_an_origin_has_one_normal_form() {
        assert_eq!(normal("https://api.example.com"), "https://api.example.com");
        assert_eq!(normal("HTTPS://API.EXAMPLE.COM:443/"), "https://api.example.com");
        assert_eq!(normal("http://example.com:8080"), "http://example.com:8080");
        assert_eq!(normal("http://bücher.example"), "http://xn--bcher-kva.example");
        assert_eq!(normal("http://0x7f.1:9000"), "http://127.0.0.1:9000");
        assert_eq!(normal("http://2130706433"), "http://127.0.0.1");
        assert_eq!(normal("http://0177.0.0.1"), "http://127.0.0.1");
        assert_eq!(normal("http://[::ffff:10.0.0.1]"), "http://10.0.0.1");
        assert_eq!(normal("http://[0:0::1]:80"), "http://[::1]");
        assert_eq!(normal("https://*.example.com"), "https://*.example.com");
    }

    #[test]
    fn an_origin_has_one_spelling_in_records() {
        let read = |text| Origin::parse(text).unwrap().spelled_out();
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
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_could_mean_two_things_is_no_origin() {
        let user = "a user name or password has no place in it";
        for (text, rule) in [
            ("https://user@example.com", user),
            ("https://@example.com", user),
            ("http://good.example\\@evil.example", "it goes on after the port"),
            ("https://example.com.", "its host ends with a dot"),
            ("https://example.com/path", "it goes on after the port"),
            ("https://example.com?", "it goes on after the port"),
            ("https://example.com#", "it goes on after the port"),
            ("http://example.com:0", "port 0 is none"),
            ("ftp://example.com", "only http and https are known"),
            ("example.com", "it does not parse as a URL"),
            ("http://[fe80::1%25eth0]", "it does not parse as a URL"),
            ("https://*.com", "`*.` stands before a domain of at least two labels"),
            ("https://*.127.0.0.1", "`*.` stands before a domain of at least two labels"),
            ("https://*", "its host is no name"),
            ("https://a.*.example.com", "its host is no name"),
            ("http://exa mple.com", "it does not parse as a URL"),
            ("http://example.com\n", "it holds a space or a control character"),
        ] {
            assert_eq!(normal(text), rule, "{text}");
        }
    }

    #[test]
    fn a_star_covers_one_label_and_everything_else_is_exact() {
        let covers = |granted: &str, asked: &str| {
            Origin::parse(granted).unwrap().covers(&Origin::of_request(&asked.parse().unwrap()).unwrap())
        };
        assert!(covers("https://*.example.com", "https://api.example.com/v1?x=1"));
        for other in [
            "https://example.com/",
            "https://a.b.example.com/",
            "https://badexample.com/",
            "http://api.example.com/",
            "https://api.example.com:8443/",
        ] {
            assert!(!covers("https://*.example.com", other), "{other}");
        }
        assert!(covers("http://127.0.0.1:9000", "http://127.1:9000/x"));
        assert!(!covers("http://127.0.0.1:9000", "http://127.0.0.1/x"));
        assert!(!covers("http://localhost:9000", "http://127.0.0.1:9000/"));
    }

    #[test]
    fn a_request_to_a_disguised_host_is_refused() {
        for text in ["http://user:pw@127.0.0.1/", "http://example.com./", "http://example.com:0/"] {
            assert!(Origin::of_request(&text.parse().unwrap()).is_err(), "{text}");
        }
    }
}
