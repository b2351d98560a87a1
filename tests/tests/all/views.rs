//! Views in the real binary: histories of orders, folds of the log, new versions, poison, hostile projections and queries, kills.
//!
//! The events are those of the example `credit`, or of a [`Ledger`], whose notes a [`Viewer`] shows: each value as the version of the
//! module that made it, a digit, before the note.

use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{
    api::{Answer, Api, PATIENCE},
    folder::DataFolder,
    guests::Way,
    host::{Host, Options},
    ledger::Ledger,
    viewer::Viewer,
};

mod folds;
mod history;
mod hostile;
mod kills;
mod places;
mod poison;
mod traces;
mod versions;

/// A host with the ledger and this module.
fn host_with(viewer: &Viewer) -> Host {
    host_with_cpu(viewer, "100ms")
}

/// The same, whose guests have this processor time.
fn host_with_cpu(viewer: &Viewer, cpu: &str) -> Host {
    let host = Host::start(DataFolder::with_modules(Way::Plain), Options::default().with("AMENDS_GUEST_CPU", cpu));
    deploy(&host.api(), "ledger", &Ledger::default().component());
    deploy(&host.api(), &viewer.module, &viewer.component());
    host
}

#[track_caller]
fn deploy(api: &Api, module: &str, component: &[u8]) {
    let answer = api.put(&format!("/v1/modules/{module}"), component);
    assert!(answer.status < 300, "{}", answer.body);
}

#[track_caller]
fn activate(api: &Api, module: &str, version: u32) {
    api.post(&format!("/v1/modules/{module}/activate"), &json!({"version": version})).expect(200);
}

/// Notes something in a ledger; gives the position.
#[track_caller]
fn note(api: &Api, ledger: &str, text: &str) -> String {
    let answer = api.post(&format!("/v1/aggregates/ledger/{ledger}/note"), &json!(text)).expect(200);
    answer["position"].as_str().unwrap().to_owned()
}

/// Notes these, and more; gives the position of the last.
#[track_caller]
fn notes(api: &Api, ledger: &str, texts: &[&str]) -> String {
    let positions: Vec<String> = texts.iter().map(|text| note(api, ledger, text)).collect();
    positions.last().unwrap().clone()
}

/// Asks a view for its rows as of this position or later.
fn list_at(api: &Api, view: &str, position: &str) -> Answer {
    api.get(&format!("/v1/views/{view}/list?at_least={position}"))
}

/// The values of a view's rows, sorted, as of this position or later. A busy machine may take longer than the host waits.
#[track_caller]
fn rows_at(api: &Api, view: &str, position: &str) -> Vec<String> {
    let began = Instant::now();
    loop {
        let answer = list_at(api, view, position);
        if answer.status != 503 || began.elapsed() > PATIENCE {
            return values(&answer.expect(200)["data"]);
        }
    }
}

/// The values of its rows as it is now.
#[track_caller]
fn rows(api: &Api, view: &str) -> Vec<String> {
    values(&api.get(&format!("/v1/views/{view}/list")).expect(200)["data"])
}

#[track_caller]
fn values(data: &Value) -> Vec<String> {
    let values = data.as_array().unwrap_or_else(|| panic!("no list: {data}"));
    let mut values: Vec<String> = values.iter().map(|value| value.as_str().unwrap_or_default().to_owned()).collect();
    values.sort_unstable();
    values
}

/// A view as operators see it.
#[track_caller]
fn shown(api: &Api, view: &str) -> Value {
    api.get(&format!("/v1/projections/{view}")).expect(200)
}

/// Waits until a view is so.
#[track_caller]
fn until(api: &Api, view: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let shown = shown(api, view);
        if wanted(&shown) {
            return shown;
        }
        assert!(began.elapsed() < PATIENCE, "it does not come to it: {shown}");
    }
}

/// The generation of a role; null if there is none.
fn generation<'s>(shown: &'s Value, role: &str) -> &'s Value {
    let found = shown["generations"].as_array().into_iter().flatten().find(|generation| generation["role"] == role);
    found.unwrap_or(&Value::Null)
}

/// Its generations as `active v2, previous v1`.
fn generations(shown: &Value) -> String {
    let all = shown["generations"].as_array().cloned().unwrap_or_default();
    let one = |generation: &Value| {
        let text = |name: &str| generation[name].as_str().unwrap_or_default().to_owned();
        let stopped = if generation["stopped"].is_null() { "" } else { " stopped" };
        format!("{} v{}{stopped}", text("role"), generation["version"])
    };
    all.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Waits until a view stopped at an event; gives the generation.
#[track_caller]
fn until_stopped(api: &Api, view: &str) -> Value {
    generation(&until(api, view, |shown| !generation(shown, "active")["stopped"].is_null()), "active").clone()
}

#[track_caller]
fn act(api: &Api, view: &str, verb: &str, body: &Value) -> Answer {
    let nothing = json!({});
    api.post(&format!("/v1/projections/{view}/{verb}"), if body.is_null() { &nothing } else { body })
}

/// What a view of the ledger's notes has to show: the log, folded here.
#[track_caller]
fn folded(api: &Api, digit: u8) -> Vec<String> {
    let notes = api.log().into_iter().filter(|event| event["type"] == "ledger.noted");
    let mut values: Vec<String> = notes.map(|event| value(digit, event["data"].as_str().unwrap_or_default())).collect();
    values.sort_unstable();
    values
}

fn value(digit: u8, note: &str) -> String {
    if note.len() > 998 { format!("{digit}long") } else { format!("{digit}{note}") }
}

/// The host lives, and takes commands as before.
#[track_caller]
fn assert_unharmed(host: &Host) {
    let api = host.api();
    assert_eq!(api.get("/healthz").expect(200), json!({"alive": true}));
    let opened = api.post("/v1/aggregates/customer/unharmed/open", &json!({"limit_cents": 1})).expect(200);
    let position = opened["position"].as_str().unwrap();
    let path = format!("/v1/views/customer-overview/by-customer?customer=unharmed&at_least={position}");
    assert_eq!(api.get(&path).expect(200)["data"]["available_cents"], 1);
}
