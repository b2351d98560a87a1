//! The one way in which the API reads a request header: a header that has one value is accepted once.
//!
//! A repeated header is refused, because a proxy in front of the host may act on the other value. `Accept` and W3C `tracestate` are
//! lists by definition and may be repeated; the host reads neither of them.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
};

use super::error::ApiError;

/// The only value of a header.
pub(super) fn once<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a HeaderValue>, ApiError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => {
            let message = format!("header {name} is given more than once");
            Err(ApiError::new(StatusCode::BAD_REQUEST, "header_repeated", message)
                .hint("send it once, with the value that is meant"))
        }
    }
}

/// The only value of a header, as text without the spaces around it.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ApiError> {
    let Some(value) = once(headers, name)? else { return Ok(None) };
    // Header values are bytes; ours are UTF-8, so that `Amends-By` may hold a person's name.
    let text = str::from_utf8(value.as_bytes());
    text.map(|text| Some(text.trim())).map_err(|_| ApiError::bad_request(format!("header {name} is not UTF-8")))
}

/// The names of the headers that begin so.
pub(super) fn beginning<'a>(headers: &'a HeaderMap, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    headers.keys().map(HeaderName::as_str).filter(move |name| name.starts_with(prefix))
}

/// The media type of the body in lower case, without its parameters; empty if the request does not say it.
pub(super) fn media_type(headers: &HeaderMap) -> Result<String, ApiError> {
    let content_type = text(headers, header::CONTENT_TYPE.as_str())?.unwrap_or_default();
    Ok(content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// The media type of the body, as an argument of a handler: a map of all headers would be a copy of them.
pub(super) struct MediaType(pub(super) String);

impl<S: Sync> FromRequestParts<S> for MediaType {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self(media_type(&parts.headers)?))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn c2_27_a_header_that_is_given_twice_is_refused_also_with_equal_values() {
        let mut headers = HeaderMap::new();
        headers.append("amends-by", HeaderValue::from_static(" ada "));
        assert_eq!(text(&headers, "amends-by").unwrap(), Some("ada"));
        assert_eq!(text(&headers, "idempotency-key").unwrap(), None);
        headers.append("amends-by", HeaderValue::from_static("ada"));
        let refused = text(&headers, "amends-by").unwrap_err();
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "header_repeated"));
    }

    /// `HeaderMap::get` takes the first of several values without a word. Every read of a header was such a call, so that each of
    /// them could be given twice.
    #[test]
    fn c2_27_the_api_reads_headers_only_here() {
        let api = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api");
        let mut folders = vec![api];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with("api/headers.rs") && !path.ends_with("api/tests/mod.rs") {
                    let source = fs::read_to_string(&path).unwrap();
                    let reads = |line: &&str| {
                        ["headers.get(", "headers().get(", "headers.contains_key(", "headers()[", "headers["]
                            .iter()
                            .any(|call| line.contains(call))
                    };
                    found.extend(source.lines().filter(reads).map(|line| format!("{}: {}", path.display(), line.trim())));
                }
            }
        }
        assert!(found.is_empty(), "read it with `headers::once` or `headers::text`:\n{}", found.join("\n"));
    }
}
