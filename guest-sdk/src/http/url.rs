//! The parts of a URL that a request needs, and no more.

#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "off wasm nothing is sent; tests look at the path only"))]

/// An `http://` or `https://` URL, taken apart.
pub(crate) struct Url<'a> {
    pub(crate) scheme: Scheme,
    pub(crate) authority: &'a str,
    /// Empty, or with a `/` in front.
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
}

pub(crate) enum Scheme {
    Http,
    Https,
}

impl<'a> Url<'a> {
    /// None for other schemes, and for a URL without a host. Whoever connects checks the rest.
    pub(crate) fn parse(url: &'a str) -> Option<Url<'a>> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        let rest = rest.split('#').next().unwrap_or(rest);
        let (before, query) = match rest.split_once('?') {
            Some((before, query)) => (before, Some(query)),
            None => (rest, None),
        };
        let (authority, path) = before.split_at(before.find('/').unwrap_or(before.len()));
        (!authority.is_empty()).then_some(Url { scheme, authority, path, query })
    }

    /// What stands in the request's first line.
    pub(crate) fn path_with_query(&self) -> String {
        let path = if self.path.is_empty() { "/" } else { self.path };
        match self.query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_come_apart() {
        let parts = |url| Url::parse(url).map(|url: Url<'_>| (url.authority.to_owned(), url.path_with_query()));
        let some = |authority: &str, path: &str| Some((authority.to_owned(), path.to_owned()));
        assert_eq!(parts("http://127.0.0.1:8430/a/b?c=d/e#f"), some("127.0.0.1:8430", "/a/b?c=d/e"));
        assert_eq!(parts("HTTPS://api.example"), some("api.example", "/"));
        assert_eq!(parts("https://api.example?x"), some("api.example", "/?x"));
        assert_eq!(parts("https://api.example#top"), some("api.example", "/"));
        assert_eq!(parts("http:///path"), None);
        assert_eq!(parts("ftp://host/"), None);
        assert_eq!(parts("host/path"), None);
    }
}
