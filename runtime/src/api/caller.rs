//! What every request says about itself: headers, path, query and body, each checked and refused in the one error shape.

use std::{sync::Arc, time::Duration};

use amends_core::{
    Payload,
    id::{BadName, Name, Namespace, SagaId},
    plain::is_printable,
};
use axum::{
    body::{Body, HttpBody as _},
    extract::{FromRequestParts, Path, Query},
    http::{StatusCode, request::Parts},
};
use bytes::{Bytes, BytesMut};

use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use super::{
    error::{ApiError, Part},
    headers, strict,
};
use crate::{
    engine::port::Origin,
    held::{Budget, SMALL_BYTES, Share, UsedUp},
    journal::Actor,
};

/// A body that takes longer is given up: a slow sender must not hold a connection for ever.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// What is read of a body that is too large, beyond its limit.
const DROPPED_BYTES_MAX: usize = 64 << 20;

/// Idempotency keys are kept in rows; longer ones are refused.
const KEY_BYTES_MAX: usize = 255;

/// A name that the client gives itself; it is recorded with every verb.
const BY_BYTES_MAX: usize = 128;

/// Who asks, and where it applies.
#[derive(Clone, Debug)]
pub(in crate::api) struct Caller {
    /// As the engine wants it.
    pub(in crate::api) origin: Origin,
    /// `Amends-By`: who, as the client says.
    pub(in crate::api) by: String,
    /// A well-formed W3C `traceparent`.
    pub(in crate::api) traceparent: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let namespace = match headers::text(&parts.headers, "amends-namespace")? {
            Some(name) => Namespace::new(name).map_err(|bad| bad_name(name, &bad))?,
            None => Namespace::new("default")?,
        };
        let idempotency_key = headers::text(&parts.headers, "idempotency-key")?;
        if idempotency_key.is_some_and(|key| key.is_empty() || key.len() > KEY_BYTES_MAX) {
            return Err(ApiError::bad_request(format!("header idempotency-key has 1 to {KEY_BYTES_MAX} characters")));
        }
        let by = headers::text(&parts.headers, "amends-by")?.unwrap_or_default();
        if by.len() > BY_BYTES_MAX || !is_printable(by) {
            return Err(ApiError::bad_request(format!("header amends-by has at most {BY_BYTES_MAX} printable bytes")));
        }
        // As the W3C says: a malformed one is ignored, and a new trace begins. Two of them are no malformed one.
        let traceparent = headers::once(&parts.headers, "traceparent")?.and_then(|value| value.to_str().ok());
        let traceparent = traceparent.map(str::trim).filter(|text| is_traceparent(text));
        Ok(Self {
            origin: Origin { namespace, actor: Actor::Local, idempotency_key: idempotency_key.map(str::to_owned) },
            by: by.to_owned(),
            traceparent: traceparent.map(str::to_owned),
        })
    }
}

/// Path parameters.
#[derive(Debug)]
pub(in crate::api) struct InPath<T>(pub(in crate::api) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(value)| Self(value)).map_err(|bad| ApiError::bad_request(format!("bad path: {}", bad.body_text())))
    }
}

/// Query parameters. Unknown ones are refused by the types, so that a typing error does not pass for a default.
#[derive(Debug)]
pub(in crate::api) struct InQuery<T>(pub(in crate::api) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(value)| Self(value)).map_err(|bad| {
            let cause = std::error::Error::source(&bad).map_or_else(|| bad.body_text(), ToString::to_string);
            ApiError::new(StatusCode::BAD_REQUEST, "bad_query", format!("bad query: {cause}"))
        })
    }
}

/// A saga's id from a path or a query.
pub(in crate::api) fn saga_id(text: &str) -> Result<SagaId, ApiError> {
    SagaId::new(text).map_err(|bad| bad_name(text, &bad))
}

/// A module's, definition's or step's name from a path.
pub(in crate::api) fn name(text: &str) -> Result<Name, ApiError> {
    Name::new(text).map_err(|bad| bad_name(text, &bad))
}

/// Escaped, so that marks that turn the reading direction show as what they are.
fn bad_name(text: &str, bad: &BadName) -> ApiError {
    let shown: String = text.chars().take(80).collect();
    let message = format!("bad {} \"{}\": use {}", bad.what, shown.escape_debug(), bad.rule);
    ApiError::new(StatusCode::BAD_REQUEST, "bad_name", message)
}

/// A part of a body as a payload, if it is not larger than one may be.
pub(in crate::api) fn fitting(part: Part, payload: Payload, bytes_max: usize) -> Result<Payload, ApiError> {
    if payload.bytes.len() > bytes_max { Err(ApiError::too_large(part, bytes_max)) } else { Ok(payload) }
}

/// The whole body, if it is not larger than allowed. While it comes, one that is not small has its share of the memory for bodies.
pub(in crate::api) async fn read_body(part: Part, body: Body, bytes_max: usize, memory: &Arc<Budget>) -> Result<Bytes, ApiError> {
    Ok(read_counted(part, body, bytes_max, memory).await?.0)
}

/// The same, with its share, for who waits with it for something else.
pub(in crate::api) async fn read_counted(
    part: Part,
    body: Body,
    bytes_max: usize,
    memory: &Arc<Budget>,
) -> Result<(Bytes, Option<Share>), ApiError> {
    match tokio::time::timeout(BODY_TIMEOUT, collect(body, bytes_max, memory)).await {
        Ok(collected) => collected?.ok_or_else(|| ApiError::too_large(part, bytes_max)),
        Err(_) => Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", format!("the {} came too slowly", part.name()))),
    }
}

/// None if it is too large. Such a body is read and dropped up to a point: a client that still sends would not read the answer.
async fn collect(mut body: Body, bytes_max: usize, memory: &Arc<Budget>) -> Result<Option<(Bytes, Option<Share>)>, ApiError> {
    let mut whole = BytesMut::new();
    let mut dropped = 0;
    // Taken once, for all that may come: two that each wait for what the other one has would wait in vain.
    let most = body.size_hint().upper().map_or(bytes_max, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let mut share = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ApiError::bad_request(format!("the body broke off: {error}")))?;
        let Ok(chunk) = frame.into_data() else { continue };
        if dropped == 0 && whole.len() + chunk.len() <= bytes_max {
            if whole.is_empty() && body.is_end_stream() {
                return Ok(Some((chunk, None)));
            }
            if whole.len() + chunk.len() > SMALL_BYTES && share.is_none() {
                let most = most.min(bytes_max);
                share = Some(memory.take(most as u64).await.map_err(|UsedUp| busy())?);
                // A buffer that grew by doubling would be twice as large.
                whole.reserve(most.saturating_sub(whole.len()));
            }
            whole.extend_from_slice(&chunk);
            continue;
        }
        (whole, share) = (BytesMut::new(), None);
        dropped += chunk.len();
        if dropped > DROPPED_BYTES_MAX {
            break;
        }
    }
    Ok((dropped == 0).then(|| (whole.freeze(), share)))
}

/// 503: others send as much as there is memory for.
fn busy() -> ApiError {
    let message = "this body is large, and the memory for bodies is held by others";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message)
        .hint("send it again in a moment; `held_max` in [server] is how much there is for all")
}

/// A body of ours: strict JSON of a known shape. An empty one is `{}`.
pub(in crate::api) async fn read_json<T: DeserializeOwned>(
    body: Body,
    bytes_max: usize,
    memory: &Arc<Budget>,
) -> Result<T, ApiError> {
    let bytes = read_body(Part::Body, body, bytes_max, memory).await?;
    let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
    strict::check(text)?;
    // Without this, `[]` would pass for an object whose every field is left out.
    if !text.trim_ascii_start().starts_with(b"{") {
        return Err(ApiError::bad_request("the body is not a JSON object"));
    }
    serde_json::from_slice(text).map_err(|error| ApiError::bad_request(format!("the body does not fit: {error}")))
}

/// `00-<32 hex>-<16 hex>-<2 hex>`, ids not all zero.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags] = parts[..] else { return false };
    let hex = |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let some = |part: &str| part.bytes().any(|b| b != b'0');
    hex(version, 2) && version != "ff" && hex(trace, 32) && some(trace) && hex(parent, 16) && some(parent) && hex(flags, 2)
}
