//! Aggregates in the real binary: customers and their credit, crowds of callers, kills, hostile modules, odd ids.

use std::{sync::Barrier, thread};

use serde_json::{Value, json};
use ureq::http::Method;

use crate::harness::{
    api::{Answer, Api},
    folder::DataFolder,
    guests::Way,
    host::{Host, Options},
    ledger::Ledger,
};

mod gate;

mod claims;
mod credit;
mod crowds;
mod hostile;
mod ids;
mod import;
mod kills;
mod modules;
mod rules;
mod versions;

/// A host with the examples, `credit` among them.
fn host() -> Host {
    Host::start(DataFolder::with_modules(Way::Plain), Options::default())
}

/// A host with the examples and this module.
fn host_with(ledger: &Ledger) -> Host {
    let host = Host::start(DataFolder::with_modules(Way::Plain), Options::default().with("AMENDS_GUEST_CPU", "300ms"));
    host.api().put(&format!("/v1/modules/{}", ledger.module), &ledger.component()).expect(201);
    host
}

/// Sends a command to an aggregate, as `customer/C1`, under a key of its own.
#[track_caller]
fn send(api: &Api, aggregate: &str, command: &str, data: &Value) -> Answer {
    api.post(&format!("/v1/aggregates/{aggregate}/{command}"), data)
}

/// Sends a command under this key.
#[track_caller]
fn send_under(api: &Api, key: &str, aggregate: &str, command: &str, data: &Value) -> Answer {
    try_send_under(api, key, aggregate, command, data).unwrap()
}

/// The same; an error if there is no answer.
fn try_send_under(api: &Api, key: &str, aggregate: &str, command: &str, data: &Value) -> Result<Answer, ureq::Error> {
    api.try_send(Method::POST, &format!("/v1/aggregates/{aggregate}/{command}"), Some(key), data.to_string().as_bytes())
}

/// Sends a command to an aggregate that must be at this revision.
#[track_caller]
fn send_at(api: &Api, revision: &str, aggregate: &str, command: &str, data: &Value) -> Answer {
    let path = format!("/v1/aggregates/{aggregate}/{command}");
    api.try_send_with(Method::POST, &path, &[("if-match", revision)], data.to_string().as_bytes()).unwrap()
}

fn show(api: &Api, aggregate: &str) -> Answer {
    api.get(&format!("/v1/aggregates/{aggregate}"))
}

/// The state, as its module folds it.
#[track_caller]
fn state(api: &Api, aggregate: &str) -> Value {
    show(api, aggregate).expect(200)["state"].clone()
}

/// All events of an aggregate; none if there is no such stream. They are numbered from 1, without a gap.
#[track_caller]
fn events(api: &Api, aggregate: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut next = Some("1".to_owned());
    while let Some(from) = next {
        let page = api.get(&format!("/v1/streams/{aggregate}/events?limit=1000&from={from}"));
        if page.status == 404 {
            return found;
        }
        let page = page.expect(200);
        found.extend(page["events"].as_array().cloned().unwrap_or_default());
        next = page["next"].as_str().map(str::to_owned);
    }
    let revisions: Vec<String> = found.iter().map(|event| event["revision"].as_str().unwrap().to_owned()).collect();
    let contiguous: Vec<String> = (1..=found.len()).map(|revision| revision.to_string()).collect();
    assert_eq!(revisions, contiguous, "{aggregate}");
    found
}

/// The types of all events, as `opened, credit-reserved`.
fn story(api: &Api, aggregate: &str) -> String {
    let kinds = events(api, aggregate).into_iter().map(|event| event["type"].as_str().unwrap_or_default().to_owned());
    let kinds: Vec<String> = kinds.map(|kind| kind.split_once('.').map_or(kind.clone(), |(_, name)| name.to_owned())).collect();
    kinds.join(", ")
}

/// Calls `act` for each number below `count`, all at the same moment, and gives what came of it in their order.
fn at_once<T: Send>(count: usize, act: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let gate = Barrier::new(count);
    thread::scope(|scope| {
        let acting = |number| {
            let (gate, act) = (&gate, &act);
            scope.spawn(move || {
                gate.wait();
                act(number)
            })
        };
        let threads: Vec<_> = (0..count).map(acting).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// What was answered beside that it was said before.
fn first_answer(answer: &Answer) -> Value {
    let mut body = answer.body.clone();
    if let Some(body) = body.as_object_mut() {
        body.remove("duplicate");
    }
    json!({"status": answer.status, "body": body})
}

/// The host lives, and takes commands and sagas as before.
#[track_caller]
fn assert_unharmed(host: &Host) {
    let api = host.api();
    assert_eq!(api.get("/healthz").expect(200), json!({"alive": true}));
    send(&api, "customer/unharmed", "open", &json!({"limit_cents": 1})).expect(200);
    assert_eq!(api.run("order", "unharmed", &json!({}))["status"], "completed");
}
