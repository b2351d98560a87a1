//! Every operation once, answered by the real engine, and each answer held against the description.

use std::collections::BTreeSet;

use amends_core::outcome::Outcome;
use serde_json::Value;

use super::{described, json, status};
use crate::{
    api::openapi::described::document,
    service::testing::{TestHost, failure},
};

/// Sends a request, which is to succeed, and notes its operation. `shown` holds the answer against the description.
fn hear(host: &TestHost, heard: &mut BTreeSet<String>, request: &str) {
    let said = status(host, request);
    assert!(said.starts_with('2'), "{request}: {said}");
    let (method, path) = request.lines().next().unwrap().split_once(' ').unwrap();
    heard.insert(described::operation_id(method, path).unwrap());
}

/// A host on which T1 to T4 are stuck in the compensation of `reserve-hotel`, and T5 waits for the outcome of `charge`.
fn troubled() -> TestHost {
    let host = TestHost::brittle();
    host.guests.say("charge", Outcome::Refused(failure("no_money")));
    host.guests.say("undo reserve-hotel", Outcome::Transient(failure("gateway_down")));
    for id in ["T1", "T2", "T3", "T4"] {
        let said = status(&host, &format!("POST /v1/definitions/trip/sagas?id={id}&wait=30s\n\nnull"));
        assert!(said.starts_with("201 "), "{said}");
    }
    host.guests.hold("charge");
    host
}

/// Fault C2-36: the description had two types of one name, a null that no value fitted, and statuses without their values, and no
/// test held it against an answer. Every answer to a test of the API is held against it now, as a client's validator would.
#[test]
fn c2_36_each_operation_answers_as_it_is_described() {
    let (host, mut heard) = (troubled(), BTreeSet::new());
    let event = r#"{"specversion":"1.0","id":"1","source":"shop","type":"approval","subject":"7","data":null}"#;
    let retry = r#"{"verb":"retry","filter":{"saga":"trip","status":"stuck"},"note":"back"}"#;
    let dry_run = r#"{"verb":"retry","filter":{"saga":"trip","status":"stuck"},"dry_run":true}"#;
    let grants =
        r#"{"grants":{"http":[{"origin":"https://hotel.example","private":true}],"config":{"a":"b"},"secrets":["key"]}}"#;
    let requests = [
        "PUT /v1/modules/trip?plan=true\n\n\0asm trip brittle again",
        "PUT /v1/modules/trip\n\n\0asm trip brittle again",
        "POST /v1/modules\n\n\0asm trip brittle thrice",
        "GET /v1/modules",
        "GET /v1/modules/trip",
        "GET /v1/modules/trip/versions/1/breaks",
        "POST /v1/modules/trip/activate\n\n{\"version\":2}",
        "DELETE /v1/modules/trip/versions/3",
        "GET /v1/modules/trip/grants",
        &format!("PUT /v1/modules/trip/grants\n\n{grants}"),
        "GET /v1/definitions",
        "GET /v1/definitions/trip",
        "GET /v1/definitions/trip?format=mermaid",
        "POST /v1/definitions/trip/sagas?id=T5\n\nnull",
        "POST /v1/definitions/trip/sagas?id=T5\n\nnull",
        "GET /v1/sagas?status=stuck",
        "GET /v1/sagas/T1",
        "GET /v1/sagas/T1/journal",
        "GET /v1/stuck",
        &format!("POST /v1/jobs\n\n{dry_run}"),
        "POST /v1/sagas/T5/signals/approval\n\nnull",
        "POST /v1/sagas/T5/cancel",
        "POST /v1/sagas/T1/skip\n\n{\"step\":\"reserve-hotel\"}",
        "POST /v1/sagas/T2/resolve\n\n{\"step\":\"reserve-hotel\",\"undone\":true}",
        "POST /v1/sagas/T3/move\n\n{\"version\":2}",
        "POST /v1/sagas/T4/retry",
        "POST /v1/sagas/T4/abandon",
        "GET /v1/sagas/T4/watch",
        &format!("POST /v1/events\n\n{event}"),
        &format!("POST /v1/events\ncontent-type: application/cloudevents-batch+json\n\n[{event},7]"),
        "PUT /v1/schedules/nightly\n\n{\"saga\":\"trip\",\"cron\":\"0 3 * * *\"}",
        "GET /v1/schedules",
        "POST /v1/schedules/nightly/pause",
        "GET /v1/schedules/nightly",
        "POST /v1/schedules/nightly/resume",
        "POST /v1/schedules/nightly/trigger",
        "DELETE /v1/schedules/nightly",
        "PUT /v1/modules/sums\n\n\0asm sums counting",
        "POST /v1/aggregates/counter/C1/begin\nidempotency-key: R1\n\n1",
        "POST /v1/aggregates/counter/C1/begin\nidempotency-key: R1\n\n1",
        "GET /v1/aggregates/counter/C1?at=1",
        "POST /v1/modules/sums/versions/1/compare",
        "POST /v1/activate\n\n{\"modules\":[{\"name\":\"sums\",\"version\":1}]}",
        "GET /v1/streams/counter/C1/events",
        "GET /v1/events?name=counter.counted,approval&limit=1",
        "POST /v1/import\n\n{\"source\":\"counter\",\"key\":\"I1\",\"type\":\"counter.counted\",\"revision\":1,\"data\":1}\nnonsense",
        "GET /v1/streams/counter/I1/events",
        "GET /v1/trace/R1",
        "GET /healthz",
        "GET /readyz",
        "GET /metrics",
        "GET /openapi.json",
    ];
    for request in requests {
        hear(&host, &mut heard, request);
    }
    let job = json(&host, &format!("POST /v1/jobs\n\n{retry}"));
    heard.insert("create_job".to_owned());
    let id = job["id"].as_str().unwrap();
    for request in ["GET /v1/jobs".to_owned(), format!("GET /v1/jobs/{id}"), format!("POST /v1/jobs/{id}/stop")] {
        hear(&host, &mut heard, &request);
    }
    hear_of_views(&host, &mut heard);
    hear_of_policies(&host, &mut heard);
    let mut unheard: BTreeSet<String> = BTreeSet::new();
    for operation in document()["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values()) {
        unheard.extend(operation.get("operationId").and_then(Value::as_str).map(str::to_owned));
    }
    unheard.retain(|id| !heard.contains(id));
    // No saga here has lock keys, and the streams of all sagas and of all events do not end.
    assert_eq!(Vec::from_iter(unheard), ["follow_events", "unlock_key", "watch_sagas"]);
}

/// A policy that cannot take an event, and what can be done with that.
fn hear_of_policies(host: &TestHost, heard: &mut BTreeSet<String>) {
    hear(host, heard, "PUT /v1/modules/rules\n\n\0asm rules ruling");
    hear(host, heard, "POST /v1/aggregates/counter/P1/begin\n\n777");
    let until = |wanted: &dyn Fn(&Value) -> bool| {
        while !wanted(&json(host, "GET /v1/policies/rule")) {
            std::thread::yield_now();
        }
    };
    until(&|shown| shown["parked"] == 1);
    for request in [
        "GET /v1/policies",
        "GET /v1/policies/rule",
        "GET /v1/letters",
        "GET /v1/policies/rule/letters?key=P1&limit=1",
        "POST /v1/policies/rule/pause\n\n{\"note\":\"a look\"}",
        "POST /v1/policies/rule/resume",
        "POST /v1/policies/rule/redrive",
    ] {
        hear(host, heard, request);
    }
    until(&|shown| shown["parked"] == 1 && shown["active"] == 0);
    let letters = json(host, "GET /v1/policies/rule/letters");
    let position = letters["letters"][0]["position"].as_str().unwrap();
    let drop = format!("POST /v1/policies/rule/drop\n\n{{\"key\":\"P1\",\"position\":\"{position}\",\"note\":\"too much\"}}");
    hear(host, heard, &drop);
    hear(host, heard, "POST /v1/policies/rule/reset\n\n{\"from\":\"now\"}");
}

/// A view that stops at its second event, and what can be done with it.
fn hear_of_views(host: &TestHost, heard: &mut BTreeSet<String>) {
    hear(host, heard, "POST /v1/aggregates/counter/C1/count\n\n666");
    hear(host, heard, "PUT /v1/modules/view\n\n\0asm view viewing");
    let until = |wanted: &dyn Fn(&Value) -> bool| {
        while !wanted(&json(host, "GET /v1/projections/counts")) {
            std::thread::yield_now();
        }
    };
    until(&|shown| !shown["generations"][0]["stopped"].is_null());
    hear(host, heard, "POST /v1/projections/counts/skip\n\n{\"event\":\"counter/C1/2\",\"note\":\"too much\"}");
    until(&|shown| shown["generations"][0]["lag"] == 0);
    for request in [
        "GET /v1/projections",
        "GET /v1/projections/counts",
        "GET /v1/views/counts/all",
        "POST /v1/projections/counts/stop",
        "POST /v1/projections/counts/resume\n\n{\"note\":\"again\"}",
        "POST /v1/projections/counts/rebuild",
    ] {
        hear(host, heard, request);
    }
    // The build stops at the event: nothing switches to it, and it is ended.
    until(&|shown| !shown["generations"][1]["stopped"].is_null());
    hear(host, heard, "POST /v1/projections/counts/skip\n\n{\"event\":\"counter/C1/2\",\"note\":\"too much\"}");
    until(&|shown| shown["generations"][1]["role"] == "previous");
    hear(host, heard, "POST /v1/projections/counts/switch");
}
