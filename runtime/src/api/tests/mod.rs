//! The API over a real engine on a store in memory: routes, shapes of answers, what bad input gets.

mod start;

mod refusals;

mod verbs;

mod events;

mod aggregates;

mod jobs;

mod modules;

mod reads;

mod held;

mod description;

use axum::{body::Body, http::Request, response::Response};
use expect_test::Expect;
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;

use super::{
    Options,
    openapi::described::{self, Answered},
    router,
};
use crate::service::testing::{TestHost, run};

/// Sends a request written as `METHOD path`, header lines, an empty line and the body. Streams end when the sender is dropped.
async fn send(host: &TestHost, request: &str) -> (Response, watch::Sender<bool>) {
    let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
    let mut lines = head.lines().map(str::trim);
    let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path);
    let headers: Vec<(&str, &str)> = lines.map(|line| line.split_once(": ").unwrap()).collect();
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "localhost");
    }
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let options = Options { payload_bytes_max: 200, wasm_bytes_max: 100, wait_ms_max: 300_000, ..Options::default() };
    let (running, stop) = watch::channel(false);
    let service = TowerToHyperService::new(router(host.services.clone(), options, stop));
    let mut response = service.call(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    response.extensions_mut().insert(Asked { method: method.to_owned(), path: path.to_owned() });
    (response, running)
}

/// What a response answers; a test that made the response itself says nothing of it.
#[derive(Clone)]
struct Asked {
    method: String,
    path: String,
}

/// Sends a request and shows the whole answer.
async fn send_and_show(host: &TestHost, request: &str) -> String {
    let (response, _running) = send(host, request).await;
    shown(response).await
}

/// An answer as text: its status, its position, its body. Whatever a test asks, the answer is as the description says (C2-36).
async fn shown(response: Response) -> String {
    let asked = response.extensions().get::<Asked>().cloned();
    let position = response.headers().get("amends-position").map(|value| format!(" at {}", value.to_str().unwrap()));
    let status = response.status().as_u16();
    let head = format!("{status}{}", position.unwrap_or_default());
    let content_type = response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    if let Some(Asked { method, path }) = asked {
        let answered = Answered { method: &method, path: &path, status, content_type: &content_type, body: &body };
        described::answer(&answered).unwrap_or_else(|wrong| panic!("{method} {path} is not answered as described: {wrong}"));
    }
    match serde_json::from_slice::<serde_json::Value>(&body) {
        Ok(json) => format!("{head}\n{}\n", serde_json::to_string_pretty(&json).unwrap()),
        Err(_) => format!("{head}\n{}", String::from_utf8_lossy(&body)),
    }
}

/// When a client may try again, in seconds.
fn retry_after(response: &Response) -> Option<&str> {
    response.headers().get("retry-after").map(|value| value.to_str().unwrap())
}

fn answer(host: &TestHost, request: &str) -> String {
    run(send_and_show(host, request))
}

/// The first line of an answer: its status and its position.
fn status(host: &TestHost, request: &str) -> String {
    answer(host, request).lines().next().unwrap().to_owned()
}

/// The body of an answer.
fn json(host: &TestHost, request: &str) -> serde_json::Value {
    let answer = answer(host, request);
    serde_json::from_str(answer.split_once('\n').unwrap().1).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// On a host with the module `trip`.
fn check(request: &str, expected: Expect) {
    expected.assert_eq(&answer(&TestHost::new(), request));
}

/// Status and code of each request, one a line.
fn check_refusals(requests: &[&str], expected: Expect) {
    let host = TestHost::new();
    let mut said = String::new();
    for request in requests {
        let answer = answer(&host, request);
        let (status, body) = answer.split_once('\n').unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let error = &body["error"];
        said += &format!("{status} {}: {}\n", error["code"].as_str().unwrap(), error["message"].as_str().unwrap());
    }
    expected.assert_eq(&said);
}
