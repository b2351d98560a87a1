//! Calls to participants over HTTP.
//!
//! The host sends them, to origins that the operator granted (`amends grant MODULE --http ORIGIN`), and adds an `Idempotency-Key`
//! to every request that may change something. The key is derived from the step's key, the method, the URL and the number of
//! earlier requests of this attempt with the same method and URL, so it is the same in every attempt. A step that sends equal
//! requests in an order that may differ between attempts should give each a [`label`](Request::label).
//!
//! Calls are refused in steps that are [effect-free](crate::Step::effect_free). An attempt may send 16 requests of at most 1 MiB
//! each, and read answers of at most 8 MiB, by default. Redirects are not followed.
//!
//! ```
//! use amends_sdk::{Call, Result, http};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize)] struct Trip { flight: String }
//! # #[derive(Serialize, Deserialize)] struct Seat { number: String }
//!
//! fn reserve_flight(trip: Trip, call: &Call) -> Result<Seat> {
//!     let response = http::post(format!("https://air.example/flights/{}/seats", trip.flight)).json(&trip).send()?;
//!     Ok(response.ok()?.json()?)
//! }
//! ```
//!
//! [`send`](Request::send) returns the answer, whatever its status. [`Response::ok`] accepts a 2xx and turns any other status
//! into the matching outcome. [`Response::refusing`] names further statuses that are refusals, as a 404 that is a decision.

pub(crate) mod url;

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::host;
use crate::stop::{Result, Stop, refused, transient, unknown};
use url::Url;

/// A `GET` of this URL.
pub fn get(url: impl Into<String>) -> Request {
    Request::new(Method::Get, url)
}

/// A `POST` to this URL.
pub fn post(url: impl Into<String>) -> Request {
    Request::new(Method::Post, url)
}

/// A `PUT` to this URL.
pub fn put(url: impl Into<String>) -> Request {
    Request::new(Method::Put, url)
}

/// A `PATCH` of this URL.
pub fn patch(url: impl Into<String>) -> Request {
    Request::new(Method::Patch, url)
}

/// A `DELETE` of this URL.
pub fn delete(url: impl Into<String>) -> Request {
    Request::new(Method::Delete, url)
}

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Reads the headers.
    Head,
    /// Asks for the allowed methods.
    Options,
    /// Changes something.
    Post,
    /// Replaces something.
    Put,
    /// Changes a part of something.
    Patch,
    /// Removes something.
    Delete,
}

impl Method {
    /// Whether the method changes nothing: `GET`, `HEAD`, `OPTIONS`. Such a request has no `Idempotency-Key`, and a check may
    /// send it.
    pub fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Options)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Options => "OPTIONS",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        })
    }
}

/// A request; build it and then [send](Request::send) it.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    method: Method,
    url: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    pub(crate) timeout: Option<Duration>,
    /// The error of a body that could not be serialized; `send` returns it.
    fault: Option<String>,
}

impl Request {
    /// A request to an `http://` or `https://` URL.
    pub fn new(method: Method, url: impl Into<String>) -> Request {
        Request { method, url: url.into(), headers: Vec::new(), body: None, timeout: None, fault: None }
    }

    /// Adds a header. `Idempotency-Key` and names that begin with `Amends-` belong to the host, and `traceparent` too if the saga
    /// was started with one: the request continues that trace.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// A name from which the `Idempotency-Key` of this request is derived, in place of method, URL and number. The host does not
    /// send the name.
    pub fn label(self, label: impl Into<String>) -> Request {
        self.header("amends-label", label)
    }

    /// Sets a JSON body.
    pub fn json(mut self, body: &impl Serialize) -> Request {
        match serde_json::to_vec(body) {
            Ok(bytes) => self = self.header("content-type", "application/json").body(bytes),
            Err(error) => self.fault = Some(error.to_string()),
        }
        self
    }

    /// Sets the body; give its `content-type` with [`header`](Request::header).
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = Some(body.into());
        self
    }

    /// Waits no longer than this for an answer to begin, and between its parts. Without it the step's deadline is the limit.
    pub fn timeout(mut self, timeout: Duration) -> Request {
        self.timeout = Some(timeout);
        self
    }

    /// Sends the request and reads the whole answer, whatever its status.
    ///
    /// With `?` an error is `transient` if no request left the host or the method is safe, and `unknown` if the request may have
    /// arrived.
    pub fn send(self) -> std::result::Result<Response, Error> {
        if let Some(fault) = self.fault {
            return Err(Error::not_sent(format!("the body of {} {}: {fault}", self.method, self.url)));
        }
        if Url::parse(&self.url).is_none() {
            return Err(Error::not_sent(format!("{} is no http:// or https:// url with a host", self.url)));
        }
        let safe = self.method.is_safe();
        let result = match host::send(&self) {
            Ok(response) => Ok(Response { method: self.method, url: self.url, ..response }),
            Err(error) => Err(Error { may_have_happened: error.may_have_happened && !safe, ..error }),
        };
        let changed = match &result {
            Ok(response) => !matches!(response.status, 300..=499),
            Err(error) => error.may_have_happened,
        };
        if changed && !safe {
            CHANGED.set(true);
        }
        result
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL's path, without its query; empty if it has none.
    pub fn path(&self) -> &str {
        Url::parse(&self.url).map_or("", |url| url.path)
    }

    /// The first header of this name, in any case of letters.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// All headers.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The body; empty if there is none.
    pub fn body_bytes(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_default()
    }

    /// The body, read as JSON.
    pub fn body_json<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_slice(self.body_bytes())
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    method: Method,
    url: String,
    /// Statuses that the step declares as refusals.
    refusals: Vec<u16>,
}

impl Response {
    /// An answer, for the fake world of a test.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Response {
        let (headers, url, refusals) = (Vec::new(), String::new(), Vec::new());
        Response { status, headers, body: body.into(), method: Method::Get, url, refusals }
    }

    /// An answer with a JSON body, for the fake world of a test.
    pub fn of_json(status: u16, body: &impl Serialize) -> Response {
        // Bodies of tests are `json!` values and plain structs, which serialize.
        Response::new(status, serde_json::to_vec(body).unwrap_or_default()).header("content-type", "application/json")
    }

    /// Adds a header, for the fake world of a test.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Response {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The first header of this name, in any case of letters.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The body.
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body as text; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body, read as JSON.
    ///
    /// With `?` an error is `unknown` if the request may have changed something, and `transient` otherwise.
    pub fn json<T: DeserializeOwned>(&self) -> std::result::Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let message = format!("the answer of {} {} is not what was expected: {error}", self.method, self.url);
            Error { code: "bad_answer", message, may_have_happened: !self.method.is_safe() }
        })
    }

    /// Declares statuses with which this participant refuses: [`ok`](Response::ok) turns them into a refusal, too.
    ///
    /// Only a status from 300 to 499 can be one; with any other status the request may have had an effect.
    ///
    /// ```
    /// use amends_sdk::testing::given;
    /// use amends_sdk::{Call, Result, Saga, Step, http};
    ///
    /// fn reserve(sku: String, _: &Call) -> Result<String> {
    ///     let answer = http::post(format!("https://stock.example/{sku}/holds")).send()?;
    ///     // This participant knows no such article: a decision, and no reason to ask again for a day.
    ///     Ok(answer.refusing([404]).ok()?.text())
    /// }
    ///
    /// given(Saga::new("order").step(Step::pivot("reserve", reserve)))
    ///     .http(|_| http::Response::new(404, "no such article"))
    ///     .when("K9")
    ///     .then(
    ///         "reserve refused http_404
    ///          compensated http_404",
    ///     );
    /// ```
    pub fn refusing(mut self, statuses: impl IntoIterator<Item = u16>) -> Response {
        self.refusals.extend(statuses);
        self
    }

    /// Accepts a 2xx, and turns any other status into the matching outcome.
    ///
    /// | status | outcome | why |
    /// |---|---|---|
    /// | 402, 409, 410, 412, 422, and those of [`refusing`](Response::refusing) | refused | the participant decided against it |
    /// | other 4xx, 3xx | transient | nothing happened: a limit, a missing permission or a wrong address; no decision |
    /// | 5xx and the rest | unknown | it may have happened; of a safe method: transient |
    ///
    /// A 409 without a code of its own, on a request that may change something, is transient. Such a request carries an
    /// `Idempotency-Key`, and a participant answers 409 while an earlier request with the same key is in progress: of an attempt
    /// that got no answer, or of a proxy that sent the request twice. That request may still succeed, so nothing is decided. An
    /// answer whose code is about idempotency, as `idempotency_key_in_use`, is transient for the same reason. If a bare 409 is a
    /// decision of the participant, declare `refusing([409])`.
    ///
    /// Code and message come from a body `{"code": …, "message": …}`, or from this object under `error`. Without a code, and
    /// where the code is empty, longer than 128 bytes or has control characters, it is made of the status: `http_409`. Without a
    /// message it is the beginning of the body. If an earlier request of this attempt may have changed something, every failure
    /// is unknown: prefer one changing request in a step.
    pub fn ok(self) -> Result<Response> {
        if let 200..=299 = self.status {
            return Ok(self);
        }
        let failure = FailureText::of(&self);
        let in_progress = failure.is_about_the_key || (self.status == 409 && !failure.has_code && !self.method.is_safe());
        let outcome: fn(String, String) -> Stop = match self.status {
            _ if CHANGED.get() => unknown,
            300..=499 if self.refusals.contains(&self.status) => refused,
            402 | 409 | 410 | 412 | 422 if !in_progress => refused,
            300..=499 => transient,
            _ if self.method.is_safe() => transient,
            _ => unknown,
        };
        Err(outcome(failure.code, failure.message))
    }
}

/// The longest code of a failure that the host does not shorten.
const CODE_BYTES_MAX: usize = 128;

/// The failure in an answer that is not a 2xx.
struct FailureText {
    /// Of the body if it is well-formed, else of the status.
    code: String,
    message: String,
    /// The body has a code, well-formed or not.
    has_code: bool,
    /// The code speaks of the request's `Idempotency-Key`, and not of the business.
    is_about_the_key: bool,
}

impl FailureText {
    fn of(response: &Response) -> FailureText {
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let error = [&body, &body["error"]].into_iter().find(|value| code_of(value).is_some()).unwrap_or(&Value::Null);
        let own_code = code_of(error);
        let is_well_formed = |code: &String| (1..=CODE_BYTES_MAX).contains(&code.len()) && !code.contains(char::is_control);
        let message = match error["message"].as_str() {
            Some(message) => message.to_owned(),
            None => {
                let Response { status, method, url, .. } = response;
                let beginning: String = response.text().chars().take(200).collect();
                format!("{method} {url} answered {status}: {beginning}")
            }
        };
        FailureText {
            message,
            has_code: own_code.is_some(),
            is_about_the_key: own_code.as_ref().is_some_and(|code| code.to_ascii_lowercase().contains("idempoten")),
            code: own_code.filter(is_well_formed).unwrap_or_else(|| format!("http_{}", response.status)),
        }
    }
}

/// The code of `{"code": …}`: a text, or a number.
fn code_of(error: &Value) -> Option<String> {
    match &error["code"] {
        Value::String(code) => Some(code.clone()),
        Value::Number(code) => Some(code.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A request that got no answer, or none that could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: &'static str,
    message: String,
    may_have_happened: bool,
}

impl Error {
    /// No request left the host: unknown name, no connection, no grant. `transient` with `?`.
    pub fn not_sent(message: impl Into<String>) -> Error {
        Error { code: "not_sent", message: message.into(), may_have_happened: false }
    }

    /// The request left, and no complete answer came. `unknown` with `?`, of a safe method `transient`.
    pub fn no_answer(message: impl Into<String>) -> Error {
        Error { code: "no_answer", message: message.into(), may_have_happened: true }
    }

    /// Whether the participant may have carried out the request.
    pub fn may_have_happened(&self) -> bool {
        self.may_have_happened
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        match error.may_have_happened || CHANGED.get() {
            true => unknown(error.code, error.message),
            false => transient(error.code, error.message),
        }
    }
}

thread_local! {
    /// Whether this attempt has sent a request that may have changed something.
    static CHANGED: Cell<bool> = const { Cell::new(false) };
}

/// Begins an attempt, which has sent no request yet.
pub(crate) fn begin() {
    CHANGED.set(false);
}

/// This attempt has sent a request that may have changed something.
pub(crate) fn may_have_changed() -> bool {
    CHANGED.get()
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(candidate, _)| candidate.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}
