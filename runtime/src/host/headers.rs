//! The headers of outgoing requests: what the host adds, what a guest may not say, and how keys are derived.

use amends_core::id::StepKey;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{CONTENT_LENGTH, FORWARDED, HOST, USER_AGENT, VIA},
};
use sha2::{Digest, Sha256};

use super::guest::Facts;
use crate::engine::guests::Mark;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const LABEL: HeaderName = HeaderName::from_static("amends-label");
const STEP_KEY: HeaderName = HeaderName::from_static("amends-step-key");
const ATTEMPT: HeaderName = HeaderName::from_static("amends-attempt");
const UNDOES: HeaderName = HeaderName::from_static("amends-undoes");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A request with one of these changes nothing. Others carry a key and are never sent out of a check.
pub(super) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// Takes out what only the host may say: who sends, for whom, how the message is framed, and under which key.
pub(super) fn strip(headers: &mut HeaderMap) {
    let forbidden = |name: &HeaderName| {
        [IDEMPOTENCY_KEY, HOST, CONTENT_LENGTH, FORWARDED, VIA].contains(name)
            || ["amends-", "x-forwarded-", "proxy-"].iter().any(|prefix| name.as_str().starts_with(prefix))
            || ["connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "expect", "http2-settings"]
                .contains(&name.as_str())
    };
    let names: Vec<HeaderName> = headers.keys().filter(|name| forbidden(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// The guest's own name for a request, which takes the place of its method, URL and number.
pub(super) fn label(headers: &HeaderMap) -> Option<Vec<u8>> {
    headers.get(LABEL).map(|label| label.as_bytes().to_vec())
}

/// Adds what participants need to recognise a repeated request, and a compensation of one.
pub(super) fn mark(headers: &mut HeaderMap, facts: &Facts, method: &Method, key: &str) {
    let mut set = |name: HeaderName, text: &str| {
        // Keys and numbers are ASCII.
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    if !is_safe(method) {
        set(IDEMPOTENCY_KEY, key);
    }
    set(STEP_KEY, &facts.mark.key.to_string());
    set(ATTEMPT, &facts.mark.attempt.to_string());
    if let Some(undone) = facts.mark.undoes {
        set(UNDOES, &undone.to_string());
    }
    if let Some(traceparent) = &facts.traceparent {
        // What the guest says of a trace belongs to another one: the two headers go together.
        headers.remove(TRACESTATE);
        headers.insert(TRACEPARENT, traceparent.clone());
    }
    if !headers.contains_key(USER_AGENT) {
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("amends/", env!("CARGO_PKG_VERSION"))));
    }
}

/// The `traceparent` of what an attempt sends: in the trace of the request that led to it, with the attempt as parent.
///
/// The attempt's span id is derived, so that it needs no record and is the same for all requests of the attempt. `None` if the
/// context is not one of version 00 or of a later version that begins as 00 does.
pub(super) fn traceparent(context: &str, mark: Mark) -> Option<HeaderValue> {
    let mut parts = context.split('-').skip(1);
    let (trace, _parent, flags) = (parts.next()?, parts.next()?, parts.next()?);
    let mut hash = Sha256::new();
    hash.update(b"amends span 1");
    hash.update(mark.key.0);
    hash.update(mark.attempt.to_le_bytes());
    // All zeros would be no span; of a hash that is as unlikely as two equal ones.
    let span = hex::encode(&hash.finalize()[..8]);
    // Version 00: its fields are what is passed on of a later one.
    HeaderValue::from_str(&format!("00-{trace}-{span}-{flags}")).ok()
}

/// The key of one request: the same when the step is run again, whichever attempt it is.
pub(super) fn idempotency_key(step: StepKey, name: Name<'_>) -> String {
    let mut hash = Sha256::new();
    hash.update(step.0);
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    match name {
        Name::Labelled(label) => {
            part(b"label");
            part(label);
        }
        Name::Counted { method, url, repeats } => {
            part(b"request");
            part(method.as_str().as_bytes());
            part(url.as_bytes());
            part(&repeats.to_le_bytes());
        }
    }
    hex::encode(&hash.finalize()[..16])
}

/// What tells a request from the others of its step.
pub(super) enum Name<'a> {
    /// The guest says.
    Labelled(&'a [u8]),
    /// Its method and URL, and how many earlier requests of the attempt had the same two.
    Counted {
        /// The method.
        method: &'a Method,
        /// The URL.
        url: &'a str,
        /// How many came before.
        repeats: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_step_method_url_and_number_and_are_recorded() {
        let counted =
            |method: &Method, url: &str, repeats| idempotency_key(StepKey([1; 16]), Name::Counted { method, url, repeats });
        let first = counted(&Method::POST, "http://a/pay", 0);
        assert_eq!(first, counted(&Method::POST, "http://a/pay", 0));
        // Participants of running sagas hold this key: a change of the derivation would charge them twice.
        expect_test::expect!["6febaea061402058a95dd96c6275f504"].assert_eq(&first);
        let labelled = |label: &[u8]| idempotency_key(StepKey([1; 16]), Name::Labelled(label));
        let others = [
            counted(&Method::PUT, "http://a/pay", 0),
            counted(&Method::POST, "http://a/pay2", 0),
            counted(&Method::POST, "http://a/pay", 1),
            idempotency_key(StepKey([2; 16]), Name::Counted { method: &Method::POST, url: "http://a/pay", repeats: 0 }),
            labelled(b"pay"),
            labelled(b"request"),
        ];
        for (index, other) in others.iter().enumerate() {
            assert_ne!(*other, first);
            assert!(!others[..index].contains(other));
        }
    }

    #[test]
    fn an_attempt_is_a_span_of_its_own_in_the_trace_of_the_start() {
        let context = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let sent = |context: &str, key: u8, attempt| {
            let mark = Mark { key: StepKey([key; 16]), attempt, undoes: None };
            traceparent(context, mark).map(|value| value.to_str().unwrap().to_owned())
        };
        let first = sent(context, 1, 1).unwrap();
        expect_test::expect!["00-4bf92f3577b34da6a3ce929d0e0e4736-e147115645d5b69e-01"].assert_eq(&first);
        let (again, second, other) = (sent(context, 1, 1), sent(context, 1, 2), sent(context, 2, 1));
        assert_eq!(again, Some(first.clone()));
        assert!(second.is_some() && second != Some(first.clone()) && other != Some(first) && other != second);
        // A trace that is not recorded stays so, and a later version is sent on as what is known of it.
        let unsampled = sent("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-more", 1, 1).unwrap();
        assert!(unsampled.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && unsampled.ends_with("-00"), "{unsampled}");
        assert_eq!(sent("nonsense", 1, 1), None);
    }

    #[test]
    fn a_guest_cannot_forge_what_the_host_says() {
        let mut headers = HeaderMap::new();
        for name in [
            "idempotency-key",
            "host",
            "forwarded",
            "x-forwarded-for",
            "via",
            "amends-step-key",
            "amends-label",
            "transfer-encoding",
            "content-length",
            "proxy-authorization",
            "expect",
        ] {
            headers.insert(name, HeaderValue::from_static("forged"));
        }
        headers.insert("authorization", HeaderValue::from_static("kept"));
        headers.insert("content-type", HeaderValue::from_static("kept"));
        strip(&mut headers);
        assert_eq!(headers.len(), 2);
        assert!(headers.values().all(|value| value == "kept"));
    }
}
