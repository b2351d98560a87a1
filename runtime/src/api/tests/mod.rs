//! The API over a fake runtime: routes, shapes of answers, what bad input gets.

mod start;

mod refusals;

mod verbs;

mod jobs;

mod modules;

mod reads;

use std::sync::Arc;

use axum::{body::Body, http::Request};
use expect_test::Expect;
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;

use super::{Options, fake::Fake, router};

/// Sends a request written as `METHOD path`, header lines, an empty line and the body; returns status, position and body.
async fn send(fake: &Arc<Fake>, request: &str) -> String {
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
    let (_running, stop) = watch::channel(false);
    let service = TowerToHyperService::new(router(fake.clone(), options, stop));
    let response = service.call(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let position = response.headers().get("amends-position").map(|value| format!(" at {}", value.to_str().unwrap()));
    let head = format!("{}{}", response.status().as_u16(), position.unwrap_or_default());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    match serde_json::from_slice::<serde_json::Value>(&body) {
        Ok(json) => format!("{head}\n{}\n", serde_json::to_string_pretty(&json).unwrap()),
        Err(_) => format!("{head}\n{}", String::from_utf8_lossy(&body)),
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(future)
}

fn answer(fake: &Arc<Fake>, request: &str) -> String {
    run(send(fake, request))
}

fn check(request: &str, expected: Expect) {
    expected.assert_eq(&answer(&Fake::new(), request));
}

/// Status and code of each request, one a line.
fn check_refusals(requests: &[&str], expected: Expect) {
    let fake = Fake::new();
    let mut said = String::new();
    for request in requests {
        let answer = answer(&fake, request);
        let (status, body) = answer.split_once('\n').unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let error = &body["error"];
        said += &format!("{status} {}: {}\n", error["code"].as_str().unwrap(), error["message"].as_str().unwrap());
    }
    expected.assert_eq(&said);
}
