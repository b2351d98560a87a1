//! The binary mode: each attribute of an event is a header `ce-…`, the data is the body, and its type is the content type.

use axum::http::HeaderMap;
use bytes::Bytes;

use super::{Attributes, Event, media_type, payload};
use crate::api::{error::ApiError, headers};

/// What the name of a header begins with that is an attribute.
pub(in crate::api) const PREFIX: &str = "ce-";

/// Parts of an event that are not headers of this mode.
const ELSEWHERE: [(&str, &str); 3] = [
    ("datacontenttype", "the data's type is the header content-type"),
    ("data", "the data is the body"),
    ("data_base64", "the data is the body"),
];

/// An event whose body has not come.
#[derive(Debug)]
pub(in crate::api) struct Head {
    attributes: Attributes,
    media_type: String,
}

impl Head {
    /// The attributes that the headers say. Those that the host does not store are to be well-formed too.
    pub(in crate::api) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        for name in headers::beginning(headers, PREFIX) {
            let elsewhere = ELSEWHERE.iter().find(|(attribute, _)| name.strip_prefix(PREFIX) == Some(attribute));
            if let Some((_, place)) = elsewhere {
                return Err(ApiError::bad_request(format!("{name} is no header of an event: {place}")).hint("leave it out"));
            }
            attribute(headers, name)?;
        }
        let required = |name: &str| {
            let value = attribute(headers, name)?;
            value.ok_or_else(|| {
                ApiError::bad_request(format!("the header {name} is missing"))
                    .hint("an event has the headers ce-specversion, ce-id, ce-source and ce-type")
            })
        };
        let attributes = Attributes {
            specversion: required("ce-specversion")?,
            id: required("ce-id")?,
            source: required("ce-source")?,
            event_type: required("ce-type")?,
            subject: attribute(headers, "ce-subject")?,
            partitionkey: attribute(headers, "ce-partitionkey")?,
        };
        attributes.check()?;
        // As in the other modes, data of which nobody says the type is JSON.
        let media_type = match headers::text(headers, "content-type")? {
            None => "application/json".to_owned(),
            Some(text) => media_type("content-type", text)?,
        };
        Ok(Self { attributes, media_type })
    }

    /// With its body. An empty one is no data.
    pub(in crate::api) fn with(self, body: Bytes, payload_bytes_max: usize) -> Result<Event, ApiError> {
        let data = if body.is_empty() { None } else { Some(payload(&self.media_type, body)?) };
        self.attributes.with(data, payload_bytes_max)
    }
}

/// An attribute's value, as the HTTP binding writes it.
fn attribute(headers: &HeaderMap, name: &str) -> Result<Option<String>, ApiError> {
    let Some(value) = headers::text(headers, name)? else { return Ok(None) };
    let bad = |what: &str| ApiError::bad_request(format!("the header {name} {what}"));
    let unquoted = unquoted(value).ok_or_else(|| {
        bad("has a quotation mark that does not belong to a pair around the value")
            .hint("write a quotation mark that is part of the value as %22")
    })?;
    let decoded = percent_decoded(&unquoted).ok_or_else(|| {
        bad("has a `%` without two hexadecimal digits behind it").hint("write a percent sign that is part of the value as %25")
    })?;
    let text = String::from_utf8(decoded).map_err(|_| bad("is not UTF-8 behind its percent-encoding"));
    text.map(Some)
}

/// Older senders quote a value rather than encode its spaces. None: the quotation marks do not fit.
fn unquoted(value: &str) -> Option<String> {
    let Some(quoted) = value.strip_prefix('"') else { return (!value.contains('"')).then(|| value.to_owned()) };
    let (mut text, mut rest) = (String::with_capacity(quoted.len()), quoted.chars());
    loop {
        match rest.next()? {
            '\\' => text.push(rest.next()?),
            '"' => return rest.next().is_none().then_some(text),
            other => text.push(other),
        }
    }
}

/// None: a percent sign stands before what is no byte.
fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.bytes());
    let digit = |byte: u8| char::from(byte).to_digit(16);
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => u8::try_from(digit(rest.next()?)? << 4 | digit(rest.next()?)?).ok()?,
            other => other,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};
    use expect_test::expect;

    use super::*;

    /// What an event is whose `ce-subject` has these bytes.
    fn subject(value: &[u8]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "shop"), ("ce-type", "sold")] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers.insert("ce-subject", HeaderValue::from_bytes(value).unwrap());
        match Head::of(&headers).and_then(|head| head.with(Bytes::new(), 100)) {
            Ok(event) => event.key,
            Err(error) => format!("{} {}: {}", error.status.as_u16(), error.code(), error.message()),
        }
    }

    #[test]
    fn a_header_is_decoded_once_and_says_what_is_wrong_with_it() {
        let values: [&[u8]; 20] = [
            b"42",
            b"  42 ",
            b"Euro%20%E2%82%AC%20%F0%9F%98%80",
            b"Euro%20%e2%82%ac",
            b"%34%32",
            b"100%2525",
            b"\"a \\\"b\\\" \\\\ %20c\"",
            "größe".as_bytes(),
            b"100%",
            b"100%2",
            b"100%zz",
            b"100%+1",
            b"\"a",
            b"a\"b",
            b"\"a\"b",
            b"%C0%A0",
            b"%ff",
            b"\xff",
            b"a%0Ab",
            b"",
        ];
        let told: Vec<String> = values.iter().map(|value| subject(value)).collect();
        expect![[r#"
            42
            42
            Euro € 😀
            Euro €
            42
            100%25
            a "b" \  c
            größe
            400 bad_request: the header ce-subject has a `%` without two hexadecimal digits behind it
            400 bad_request: the header ce-subject has a `%` without two hexadecimal digits behind it
            400 bad_request: the header ce-subject has a `%` without two hexadecimal digits behind it
            400 bad_request: the header ce-subject has a `%` without two hexadecimal digits behind it
            400 bad_request: the header ce-subject has a quotation mark that does not belong to a pair around the value
            400 bad_request: the header ce-subject has a quotation mark that does not belong to a pair around the value
            400 bad_request: the header ce-subject has a quotation mark that does not belong to a pair around the value
            400 bad_request: the header ce-subject is not UTF-8 behind its percent-encoding
            400 bad_request: the header ce-subject is not UTF-8 behind its percent-encoding
            400 bad_request: header ce-subject is not UTF-8
            400 bad_request: `subject` has 1 to 255 printable bytes
            400 bad_request: `subject` has 1 to 255 printable bytes"#]]
        .assert_eq(&told.join("\n"));
    }
}
