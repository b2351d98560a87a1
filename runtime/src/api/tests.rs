//! The API over a fake runtime: routes, shapes of answers, what bad input gets.

use std::sync::Arc;

use axum::{body::Body, http::Request};
use expect_test::{Expect, expect};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;

use super::{
    Options,
    fake::{self, Fake},
    router,
};
use crate::engine::port::{Refusal, RefusalCode};

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

#[test]
fn a_start_answers_with_the_saga() {
    check(
        "POST /v1/definitions/trip/sagas?id=T1&wait=30s\n\n{\"trip\":1}",
        expect![[r#"
        201 at 0-1-7
        {
          "as_of": "2026-01-01T12:00:05.000Z",
          "cancel_pending": false,
          "deadline_at": null,
          "digest": "3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f",
          "ended_at": "2026-01-01T12:00:01.300Z",
          "failure": null,
          "id": "T1",
          "input": {
            "trip": 1
          },
          "manual": 0,
          "module": "trip",
          "output": {
            "paid": true
          },
          "outstanding": [],
          "reason": null,
          "revision": "17",
          "rollback": null,
          "saga": "trip",
          "started_at": "2026-01-01T12:00:00.000Z",
          "status": "completed",
          "steps": [
            {
              "attempts": 1,
              "began_at": "2026-01-01T12:00:00.000Z",
              "ended_at": "2026-01-01T12:00:00.040Z",
              "failure": null,
              "kind": "compensatable",
              "name": "reserve-flight",
              "output": {},
              "stage": 0,
              "status": "done",
              "took_ms": 40
            },
            {
              "attempts": 1,
              "began_at": "2026-01-01T12:00:00.000Z",
              "ended_at": "2026-01-01T12:00:00.040Z",
              "failure": null,
              "kind": "compensatable",
              "name": "reserve-hotel",
              "output": {},
              "stage": 0,
              "status": "done",
              "took_ms": 40
            },
            {
              "attempts": 1,
              "began_at": "2026-01-01T12:00:00.000Z",
              "ended_at": "2026-01-01T12:00:00.040Z",
              "failure": null,
              "kind": "pivot",
              "name": "charge",
              "output": {},
              "stage": 1,
              "status": "done",
              "took_ms": 40
            },
            {
              "attempts": 1,
              "began_at": "2026-01-01T12:00:00.000Z",
              "ended_at": "2026-01-01T12:00:00.040Z",
              "failure": null,
              "kind": "retriable",
              "name": "send-mail",
              "output": {},
              "stage": 2,
              "status": "done",
              "took_ms": 40
            }
          ],
          "stuck": [],
          "version": 1
        }
    "#]],
    );
}

#[test]
fn the_same_start_again_is_the_same_saga_and_another_input_is_refused() {
    let fake = Fake::new();
    let status = |request: &str| answer(&fake, request).lines().next().unwrap().to_owned();
    assert_eq!(status("POST /v1/definitions/trip/sagas?id=T1\n\n{\"a\":1}"), "201 at 0-1-7");
    assert_eq!(status("POST /v1/definitions/trip/sagas?id=T1\n\n { \"a\" : 1.0 }"), "200 at 0-1-7");
    assert_eq!(status("POST /v1/definitions/trip/sagas?id=T1\n\n{\"a\":2}"), "409");
    assert_eq!(status("POST /v1/definitions/trip/sagas?id=T1\ncontent-type: application/octet-stream\n\n{\"a\":1}"), "409");
    assert_eq!(status("POST /v1/definitions/trip/sagas\nidempotency-key: k\n\n{\"a\":1}"), "201 at 0-1-7");
    assert_eq!(status("POST /v1/definitions/trip/sagas\nidempotency-key: k\n\n{\"a\":1}"), "200 at 0-1-7");
    assert_eq!(status("POST /v1/definitions/trip/sagas\nidempotency-key: k\n\n{\"a\":2}"), "422");
}

#[test]
fn when_the_time_is_up_the_start_is_confirmed_as_durable() {
    let fake = Fake::new();
    *fake.never_ends.lock().unwrap() = true;
    let status = answer(&fake, "POST /v1/definitions/trip/sagas?id=T1&wait=20ms\n\n{}");
    assert!(status.starts_with("202 at 0-1-7"), "{status}");
    assert_eq!(fake.take_asked(), ["start default trip T1 wait=true", "start default trip T1 wait=false"]);
}

#[test]
fn bad_starts_are_refused_before_the_engine_hears_of_them() {
    let long = format!("POST /v1/definitions/trip/sagas?id={}\n\n{{}}", "a".repeat(300));
    let deep = format!("POST /v1/definitions/trip/sagas\n\n{}{}", "[".repeat(70), "]".repeat(70));
    let large = format!("POST /v1/definitions/trip/sagas\n\n\"{}\"", "a".repeat(200));
    let requests = [
        "POST /v1/definitions/trip/sagas?id=../x\n\n{}",
        "POST /v1/definitions/trip/sagas?id=tr%E2%80%AEip\n\n{}",
        "POST /v1/definitions/trip/sagas?id=\n\n{}",
        &long,
        "POST /v1/definitions/Trip/sagas\n\n{}",
        "POST /v1/definitions/%FF/sagas\n\n{}",
        "POST /v1/definitions/trip/sagas?wiat=3s\n\n{}",
        "POST /v1/definitions/trip/sagas?wait=soon\n\n{}",
        "POST /v1/definitions/trip/sagas?wait=301s\n\n{}",
        "POST /v1/definitions/trip/sagas\namends-namespace: ../x\n\n{}",
        "POST /v1/definitions/trip/sagas\n\n{\"a\":",
        "POST /v1/definitions/trip/sagas\n\n{\"a\":1,\"a\":2}",
        "POST /v1/definitions/trip/sagas\n\n{\"cents\":9007199254740993}",
        &deep,
        &large,
    ];
    check_refusals(
        &requests,
        expect![[r#"
        400 bad_name: bad saga id "../x": use 1 to 128 of letters, digits, . _ : and -, beginning with a letter or digit
        400 bad_name: bad saga id "tr\u{202e}ip": use 1 to 128 of letters, digits, . _ : and -, beginning with a letter or digit
        400 bad_name: bad saga id "": use 1 to 128 of letters, digits, . _ : and -, beginning with a letter or digit
        400 bad_name: bad saga id "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": use 1 to 128 of letters, digits, . _ : and -, beginning with a letter or digit
        400 bad_name: bad name "Trip": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        400 bad_request: bad path: Invalid URL: Invalid UTF-8 in `saga`
        400 bad_query: bad query: wiat: unknown field `wiat`, expected `id` or `wait`
        400 bad_request: wait `soon` is no duration
        400 bad_request: wait `301s` is too long
        400 bad_name: bad namespace "../x": use 1 to 63 of a-z, 0-9 and -
        400 bad_json: bad JSON: EOF while parsing a value at line 1 column 5
        400 bad_json: bad JSON: key `a` twice in the outermost object at line 1 column 13
        400 bad_json: bad JSON: number 9007199254740993 does not survive a 64-bit float; send it as a string, at line 1 column 10
        400 bad_json: bad JSON: nested deeper than 64 levels at line 1 column 65
        413 payload_too_large: the input is larger than 200 bytes
    "#]],
    );
}

#[test]
fn unknown_routes_and_methods_and_strangers_answer_in_the_one_shape() {
    check(
        "GET /v2/sagas",
        expect![[r#"
        404
        {
          "error": {
            "code": "route_not_found",
            "hint": "GET /openapi.json lists them",
            "message": "no route `/v2/sagas`"
          }
        }
    "#]],
    );
    check(
        "DELETE /v1/sagas/T1",
        expect![[r#"
        405
        {
          "error": {
            "code": "method_not_allowed",
            "hint": "GET /openapi.json lists what it takes",
            "message": "`/v1/sagas/T1` does not take DELETE"
          }
        }
    "#]],
    );
    check_refusals(
        &[
            "GET /healthz\nhost: evil.example:8420",
            "GET /healthz\norigin: https://evil.example",
            "GET /healthz\norigin: null",
            "GET /v1/sagas/T9",
            "GET /v1/sagas/..%2Fx",
            "GET /v1/sagas?status=done",
            "GET /v1/sagas?limit=0",
            "GET /v1/sagas?limit=100000",
            "GET /v1/sagas?cursor=0-2-7",
            "GET /v1/sagas/T1?at_least=x",
            "GET /v1/definitions/none",
            "GET /v1/modules/none",
        ],
        expect![[r#"
            421 misdirected: Host "evil.example:8420" is not a name of this host
            421 misdirected: Origin "https://evil.example" is not a name of this host
            421 misdirected: Origin "null" is not a name of this host
            404 saga_not_found: no saga `T9` in this namespace
            400 bad_name: bad saga id "../x": use 1 to 128 of letters, digits, . _ : and -, beginning with a letter or digit
            400 bad_request: `done` is no status
            400 bad_request: limit 0 is out of range
            400 bad_request: limit 100000 is out of range
            409 restored: position `0-2-7` is of another life of this journal, which was restored since
            400 bad_request: `x` is no position
            404 definition_not_found: no saga `none` is deployed in this namespace
            404 module_not_found: no module `none` in this namespace
        "#]],
    );
}

#[test]
fn a_full_queue_is_503_with_a_time_to_come_back() {
    let fake = Fake::new();
    let hint = Some("come back later".to_owned());
    let refusal = Refusal { hint, fits: vec!["retry"], ..fake::refusal(RefusalCode::Overloaded, "the queue of starts is full") };
    *fake.refuse.lock().unwrap() = Some(refusal);
    expect![[r#"
        503
        {
          "error": {
            "code": "overloaded",
            "fits": [
              "retry"
            ],
            "hint": "come back later",
            "message": "the queue of starts is full"
          }
        }
    "#]]
    .assert_eq(&answer(&fake, "POST /v1/definitions/trip/sagas\n\n{}"));
}

#[test]
fn verbs_carry_who_and_why_and_answer_what_they_did() {
    let fake = Fake::new();
    let verbs = [
        "POST /v1/sagas/T1/cancel\namends-by: ann\nidempotency-key: k1\n\n{\"note\":\"wrong date\",\"expect_revision\":\"17\"}",
        "POST /v1/sagas/T1/retry",
        "POST /v1/sagas/T1/retry\n\n{\"step\":\"charge\"}",
        "POST /v1/sagas/T1/skip\n\n{\"step\":\"reserve-hotel\"}",
        "POST /v1/sagas/T1/resolve\n\n{\"step\":\"charge\",\"output\":null}",
        "POST /v1/sagas/T1/resolve\n\n{\"step\":\"charge\",\"not_done\":true}",
        "POST /v1/sagas/T1/resolve\n\n{\"step\":\"charge\",\"undone\":true}",
        "POST /v1/sagas/T1/abandon",
    ];
    for verb in verbs {
        assert!(answer(&fake, verb).starts_with("200 at 0-1-8\n"), "{verb}");
    }
    expect![[r#"
        Cancel Act { note: "wrong date", by: "ann" } key=Some("k1")
        Retry(None) Act { note: "", by: "" } key=None
        Retry(Some(StepPath("charge"))) Act { note: "", by: "" } key=None
        Skip(StepPath("reserve-hotel")) Act { note: "", by: "" } key=None
        Resolve(StepPath("charge"), Output(Payload { format: Json, bytes: b"null" })) Act { note: "", by: "" } key=None
        Resolve(StepPath("charge"), NotDone) Act { note: "", by: "" } key=None
        Resolve(StepPath("charge"), Undone) Act { note: "", by: "" } key=None
        Abandon Act { note: "", by: "" } key=None
    "#]]
    .assert_eq(&(fake.take_asked().join("\n") + "\n"));
    check(
        "POST /v1/sagas/T1/cancel",
        expect![[r#"
        200 at 0-1-8
        {
          "applied": true,
          "id": "T1",
          "revision": "17",
          "status": "completed"
        }
    "#]],
    );
}

#[test]
fn a_verb_that_says_nothing_clear_is_refused() {
    check_refusals(
        &[
            "POST /v1/sagas/T1/skip",
            "POST /v1/sagas/T1/skip\n\n{\"step\":\"\"}",
            "POST /v1/sagas/T1/resolve\n\n{\"step\":\"charge\"}",
            "POST /v1/sagas/T1/resolve\n\n{\"step\":\"charge\",\"output\":1,\"undone\":true}",
            "POST /v1/sagas/T1/cancel\n\n{\"nota\":\"x\"}",
            "POST /v1/sagas/T1/cancel\n\n{\"expect_revision\":\"x\"}",
            "POST /v1/sagas/T1/cancel\n\n[]",
            "POST /v1/sagas/T1/cancel\n\n{\"note\":\"\\u001b[2J\"}",
        ],
        expect![[r#"
            400 bad_request: the body does not fit: missing field `step` at line 1 column 2
            400 bad_request: `step` is a step's path, as `reserve-hotel`
            400 bad_request: give exactly one of `output`, `not_done` and `undone`
            400 bad_request: give exactly one of `output`, `not_done` and `undone`
            400 bad_request: the body does not fit: unknown field `nota`, expected `note` or `expect_revision` at line 1 column 7
            400 bad_request: expect_revision `x` is no revision
            400 bad_request: the body is not a JSON object
            400 bad_request: the note holds control characters
        "#]],
    );
}

#[test]
fn events_and_signals_reach_the_engine() {
    let fake = Fake::new();
    let event = "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"shop\",\"type\":\"approval\",\"subject\":\"42\",\"data\":{\"ok\":true},\"ext\":1}";
    let said = answer(&fake, &format!("POST /v1/events\ncontent-type: application/cloudevents+json\n\n{event}"));
    expect![[r#"
        202 at 0-1-9
        {
          "duplicate": false,
          "id": "1",
          "kept_until": "2026-01-01T12:00:00.000Z",
          "woke": 0
        }
    "#]]
    .assert_eq(&said);
    answer(&fake, "POST /v1/sagas/T1/signals/approval\nidempotency-key: k\n\n{\"ok\":true}");
    expect![[r#"
        Publish { source: "shop", id: "1", event_type: "approval", key: "42", to: None, data: Some(Payload { format: Json, bytes: b"{\"ok\":true}" }) }
        Publish { source: "amends:signal", id: "T1/k", event_type: "approval", key: "T1", to: Some(SagaId("T1")), data: Some(Payload { format: Json, bytes: b"{\"ok\":true}" }) }
    "#]].assert_eq(&(fake.take_asked().join("\n") + "\n"));
    check_refusals(
        &[
            "POST /v1/events\n\n{}",
            "POST /v1/events\n\n{\"specversion\":\"0.3\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\"}",
            "POST /v1/events\n\n{\"specversion\":\"1.0\",\"id\":\"\",\"source\":\"s\",\"type\":\"t\"}",
            "POST /v1/events\n\n{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"data_base64\":\"?\"}",
            "POST /v1/events\ncontent-type: application/cloudevents-batch+json\n\n[]",
            "POST /v1/sagas/T1/signals/approval\n\n{\"ok\":",
        ],
        expect![[r#"
            400 bad_request: the body does not fit: missing field `specversion` at line 1 column 2
            400 bad_request: specversion `0.3` is not 1.0
            400 bad_request: `id` has 1 to 255 printable bytes
            400 bad_request: `data_base64` is not base64
            415 not_structured: `application/cloudevents-batch+json` is not a structured CloudEvent
            400 bad_json: bad JSON: EOF while parsing a value at line 1 column 6
        "#]],
    );
}

#[test]
fn a_component_is_verified_before_it_is_a_version() {
    let fake = Fake::new();
    expect![[r#"
        201 at 0-1-9
        {
          "active": 1,
          "digest": "0101010101010101010101010101010101010101010101010101010101010101",
          "imports": [
            "wasi:http/outgoing-handler@0.2.3"
          ],
          "missing_grants": [
            {
              "command": "amends grant trip --http ORIGIN",
              "import": "wasi:http/outgoing-handler@0.2.3"
            }
          ],
          "name": "trip",
          "sagas": [
            "trip"
          ],
          "version": 1,
          "warnings": []
        }
    "#]]
    .assert_eq(&answer(&fake, "PUT /v1/modules/trip?activate=false\n\n\0asm"));
    expect![[r#"
        200
        {
          "active": 1,
          "deployed": true,
          "digest": "0101010101010101010101010101010101010101010101010101010101010101",
          "imports": [
            "wasi:http/outgoing-handler@0.2.3"
          ],
          "in_flight": [
            {
              "sagas": 3,
              "version": 1
            }
          ],
          "missing_grants": [
            {
              "command": "amends grant trip --http ORIGIN",
              "import": "wasi:http/outgoing-handler@0.2.3"
            }
          ],
          "name": "trip",
          "sagas": [
            "trip"
          ],
          "version": 1,
          "warnings": []
        }
    "#]]
    .assert_eq(&answer(&fake, "POST /v1/modules?plan=true\n\n\0asm"));
    assert_eq!(fake.take_asked(), ["deploy trip activate=false"]);
    let large = format!("PUT /v1/modules/trip\n\n{}", "a".repeat(101));
    check_refusals(
        &[
            "PUT /v1/modules/order\n\n\0asm",
            "PUT /v1/modules/trip\n\nelf",
            "PUT /v1/modules/..%2Fx\n\n\0asm",
            "POST /v1/modules",
            &large,
        ],
        expect![[r#"
            422 name_mismatch: the component names itself `trip`, not `order`
            422 not_a_component: these bytes are no WebAssembly
            400 bad_name: bad name "../x": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
            400 bad_request: the body is empty
            413 payload_too_large: the component is larger than 100 bytes
        "#]],
    );
}

#[test]
fn activation_and_grants_are_checked_and_passed_on() {
    let fake = Fake::new();
    answer(&fake, "POST /v1/modules/trip/activate\n\n{\"version\":2}");
    answer(&fake, "POST /v1/modules/trip/activate\n\n{\"previous\":true}");
    let grants = "{\"grants\":{\"http\":[{\"origin\":\"https://Hotel.example\",\"private\":true}],\"config\":{\"region\":\"eu\"},\"secrets\":[\"key\"]},\"force\":true}";
    expect![[r#"
        200 at 0-1-9
        {
          "grants": {
            "config": {
              "region": "eu"
            },
            "http": [
              {
                "origin": "https://hotel.example:443",
                "private": true
              }
            ],
            "secrets": [
              "key"
            ]
          },
          "module": "trip",
          "revision": "2"
        }
    "#]]
    .assert_eq(&answer(&fake, &format!("PUT /v1/modules/trip/grants\n\n{grants}")));
    expect![[r#"
        200
        {
          "modules": [
            {
              "active": 1,
              "grants": {
                "config": {
                  "region": "eu"
                },
                "http": [
                  {
                    "origin": "https://hotel.example:443",
                    "private": true
                  }
                ],
                "secrets": [
                  "key"
                ]
              },
              "name": "trip",
              "revision": "2",
              "versions": [
                {
                  "bytes": 8,
                  "deployed_at": "2026-01-01T12:00:00.000Z",
                  "digest": "0101010101010101010101010101010101010101010101010101010101010101",
                  "imports": [
                    "wasi:http/outgoing-handler@0.2.3"
                  ],
                  "in_flight": 3,
                  "sagas": [
                    "trip"
                  ],
                  "version": 1
                }
              ]
            }
          ]
        }
    "#]]
    .assert_eq(&answer(&fake, "GET /v1/modules"));
    assert_eq!(fake.take_asked(), ["activate trip Version(2)", "activate trip Previous", "grants trip Yes"]);
    check_refusals(
        &[
            "POST /v1/modules/trip/activate\n\n{}",
            "POST /v1/modules/trip/activate\n\n{\"version\":1,\"previous\":true}",
            "PUT /v1/modules/trip/grants\n\n{\"grants\":{\"http\":[{\"origin\":\"hotel.example\"}]}}",
            "PUT /v1/modules/trip/grants\n\n{\"grants\":{\"files\":[]}}",
        ],
        expect![[r#"
            400 bad_request: give `version`, or `previous`: true
            400 bad_request: give `version`, or `previous`: true
            400 bad_request: origin "hotel.example" is not one; write it as https://api.example.com:443
            400 bad_request: the body does not fit: unknown field `files`, expected one of `http`, `config`, `secrets` at line 1 column 18
        "#]],
    );
}

#[test]
fn lists_page_by_an_opaque_cursor() {
    let fake = Fake::new();
    answer(&fake, "POST /v1/definitions/trip/sagas?id=T1\n\n{}");
    fake.take_asked();
    expect![[r#"
        200
        {
          "cursor": "0-1-41",
          "sagas": [
            {
              "ended_at": "2026-01-01T12:00:01.300Z",
              "id": "T1",
              "module": "trip",
              "saga": "trip",
              "started_at": "2026-01-01T12:00:00.000Z",
              "status": "completed",
              "version": 1
            }
          ]
        }
    "#]]
    .assert_eq(&answer(&fake, "GET /v1/sagas?saga=trip&status=waiting&limit=5&cursor=0-1-7&at_least=0-1-3"));
    expect![[r#"ListFilter { definition: Some("trip"), status: Some(Waiting), limit: 5, cursor: Some(7) }"#]]
        .assert_eq(&fake.take_asked().join("\n"));
}

#[test]
fn the_host_says_how_it_is() {
    assert_eq!(answer(&Fake::new(), "GET /healthz"), "200\n{\n  \"alive\": true\n}\n");
    check(
        "GET /readyz",
        expect![[r#"
        200
        {
          "ready": true,
          "recovered": 12,
          "recovery_ms": 80
        }
    "#]],
    );
    check(
        "GET /metrics",
        expect![[r#"
        200
        # EOF
    "#]],
    );
}

#[test]
fn every_described_operation_is_routed_and_every_answer_to_it_is_ours() {
    let description = serde_json::to_value(super::openapi::description()).unwrap();
    let paths = description["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 23);
    for (path, operations) in paths {
        let path = path.replace("{id}", "T1").replace("{name}", "trip").replace("{saga}", "trip");
        for method in operations.as_object().unwrap().keys().map(|method| method.to_uppercase()) {
            if path == "/v1/watch" {
                continue; // It does not end.
            }
            let said = answer(&Fake::new(), &format!("{method} {path}"));
            assert!(!said.contains("route_not_found") && !said.contains("method_not_allowed"), "{method} {path}: {said}");
        }
    }
    let text = description.to_string();
    for absent in ["aggregate", "unlock", "projection"] {
        assert!(!text.contains(absent), "{absent} is described and does not exist");
    }
}
