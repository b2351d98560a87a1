//! C2-29: what is held for clients is counted in bytes, whatever it is held for.

use amends_core::{outcome::Outcome, value::Payload};
use axum::{
    body::{Body, Bytes},
    http::Request,
    response::Response,
};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;

use super::{Options, json, router, status};
use crate::{
    api::{caller, error::Part},
    held::Held,
    service::testing::{TestHost, run},
};

/// A host with a completed saga, each of whose three large outputs is not small and less than a page.
fn host() -> TestHost {
    let host = TestHost::new();
    for step in ["reserve-flight", "reserve-hotel", "charge"] {
        host.guests.say(step, Outcome::Done(Payload::json(format!("\"{}\"", "x".repeat(700_000)))));
    }
    let said = status(&host, "POST /v1/definitions/trip/sagas?id=T1&wait=30s\n\n{}");
    assert!(said.starts_with("201 "), "{said}");
    host
}

/// A server that holds so many bytes for all its clients.
struct Server {
    router: TowerToHyperService<axum::Router>,
    _running: watch::Sender<bool>,
}

impl Server {
    fn of(host: &TestHost, held_bytes_max: u64) -> Self {
        let (running, stop) = watch::channel(false);
        let router = router(host.services.clone(), Options { held_bytes_max, ..Options::default() }, stop);
        Self { router: TowerToHyperService::new(router), _running: running }
    }

    async fn get(&self, path: &str) -> Response {
        let request = Request::builder().uri(path).header("host", "localhost").body(Body::empty()).unwrap();
        self.router.call(request).await.unwrap()
    }

    /// What is held of each kind.
    async fn held(&self) -> String {
        let text = whole(self.get("/metrics").await).await;
        let mut lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("amends_held_bytes{of=")).collect();
        lines.sort_unstable();
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// What an answer says. Each piece is dropped when it is read, as a connection does it: it holds its share of the memory.
async fn whole(response: Response) -> String {
    let (mut body, mut said) = (response.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        said.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    String::from_utf8(said).unwrap()
}

const PLENTY: u64 = 160 << 20;

/// Less than the saga, and less than any of its outputs.
const LITTLE: u64 = 800 << 10;

/// `limit` counted records, and a thousand of them may be a thousand megabytes.
#[test]
fn c2_29_a_page_of_a_journal_ends_before_it_is_too_large_and_says_so() {
    let host = host();
    let mut said = String::new();
    let mut revisions = Vec::new();
    let mut from = "1".to_owned();
    loop {
        let page = json(&host, &format!("GET /v1/sagas/T1/journal?limit=1000&from={from}"));
        let records = page["records"].as_array().unwrap();
        revisions.extend(records.iter().map(|record| record["revision"].as_str().unwrap().parse::<u64>().unwrap()));
        let bytes = page.to_string().len() >> 10;
        said += &format!("from {from}: less than {} KiB, next {}\n", bytes.next_multiple_of(700), page["next"]);
        match page["next"].as_str() {
            Some(next) => from = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(revisions, (1..=revisions.len() as u64).collect::<Vec<_>>());
    assert!(said.lines().count() >= 3 && !said.contains("than 1400"), "{said}");
}

/// A page that has as many records as were asked for named a next one that was empty.
#[test]
fn a_page_has_a_next_one_only_if_there_are_more_records() {
    let host = host();
    let all = json(&host, "GET /v1/sagas/T1/journal?from=1&limit=1000");
    let last = json(&host, "GET /v1/sagas/T1")["revision"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(all["next"].is_string());
    let end = json(&host, &format!("GET /v1/sagas/T1/journal?from={last}&limit=1"));
    assert_eq!((end["records"].as_array().unwrap().len(), &end["next"]), (1, &serde_json::Value::Null));
}

#[test]
fn c2_29_what_is_larger_than_all_that_may_be_held_is_answered_alone() {
    let host = host();
    run(async {
        let (server, rich) = (Server::of(&host, LITTLE), Server::of(&host, PLENTY));
        for path in ["/v1/sagas/T1", "/v1/sagas/T1/watch"] {
            let (answer, expected) = (server.get(path).await, rich.get(path).await);
            assert_eq!(answer.status(), 200);
            let (answer, expected) = (whole(answer).await, whole(expected).await);
            assert!(answer.len() > 2_000_000 && answer == expected, "{path}: {} bytes", answer.len());
        }
        assert_eq!(server.held().await, "\"bodies\"} 0\n\"pages\"} 0\n\"sagas\"} 0\n");
    });
}

/// Twenty clients that showed a saga of 60 MB at once had a gigabyte and more in memory together.
#[test]
fn c2_29_who_finds_the_memory_for_sagas_held_waits_until_the_answer_before_is_taken() {
    let host = host();
    run(async {
        let server = Server::of(&host, LITTLE);
        let first = server.get("/v1/sagas/T1").await;
        assert_eq!(server.held().await, "\"bodies\"} 0\n\"pages\"} 0\n\"sagas\"} 614400\n");
        let second = server.get("/v1/sagas/T1");
        tokio::pin!(second);
        tokio::select! {
            biased;
            _ = &mut second => panic!("there was no memory for it"),
            // Somebody who asks for what is small waits for nobody.
            small = server.get("/v1/sagas") => assert_eq!(small.status(), 200),
        }
        drop(first);
        let second = whole(second.await).await;
        assert!(second.ends_with('}') && second.len() > 2_000_000, "{} bytes", second.len());
    });
}

/// Followers that did not read had a batch of 256 records each.
#[test]
fn c2_29_a_follower_that_does_not_read_holds_one_record_and_the_next_one_waits_for_it() {
    let host = host();
    run(async {
        let server = Server::of(&host, LITTLE);
        let mut first = server.get("/v1/sagas/T1/watch").await.into_body();
        let mut frames = Vec::new();
        while server.held().await.contains("\"pages\"} 0\n") {
            frames.push(first.frame().await.unwrap().unwrap());
        }
        let page = server.get("/v1/sagas/T1/journal?from=4&limit=1000");
        tokio::pin!(page);
        tokio::select! {
            biased;
            _ = &mut page => panic!("there was no memory for it"),
            small = server.get("/v1/sagas/T1/journal?limit=1") => assert_eq!(small.status(), 200),
        }
        // What was told is held by the message itself, also when nobody follows any more.
        drop(first);
        assert!(!server.held().await.contains("\"pages\"} 0\n"));
        drop(frames);
        assert_eq!(page.await.status(), 200);
    });
}

/// Each of 900 clients could send a payload, slowly, and four of them a component.
#[test]
fn c2_29_a_body_that_is_not_small_has_its_share_of_the_memory_for_bodies_while_it_comes() {
    run(async {
        let held = Held::new(1 << 20);
        let begun = |bytes: usize| {
            let come = stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![b' '; bytes]))]);
            Body::from_stream(come.chain(stream::pending()))
        };
        for (bytes, counted) in [(60 << 10, 0), (100 << 10, 128 << 10)] {
            let reading = caller::read_body(Part::Input, begun(bytes), 1 << 20, &held.bodies);
            tokio::pin!(reading);
            tokio::select! {
                biased;
                _ = &mut reading => panic!("more is to come"),
                () = std::future::ready(()) => assert_eq!(held.bodies.bytes(), counted),
            }
        }
        assert_eq!(held.bodies.bytes(), 0);
    });
}
