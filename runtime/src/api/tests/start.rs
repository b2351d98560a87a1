//! Starting sagas.

use expect_test::expect;

use super::{check, json, status};
use crate::service::testing::TestHost;

#[test]
fn a_start_answers_with_the_saga() {
    check(
        "POST /v1/definitions/trip/sagas?id=T1&wait=30s\n\n{\"trip\":1}",
        expect![[r#"
            201 at 0-1-14
            {
              "as_of": "2026-01-01T12:00:00.000Z",
              "cancel_pending": false,
              "deadline_at": null,
              "digest": "67ec2fd85f0470dd0cca128c643acbfae7975e3586b7ac0a8ef1b8fdd63ae7f4",
              "ended_at": "2026-01-01T12:00:00.000Z",
              "failure": null,
              "id": "T1",
              "input": {
                "trip": 1
              },
              "manual": 0,
              "module": "trip",
              "output": {},
              "outstanding": [],
              "reason": null,
              "revision": "10",
              "rollback": null,
              "saga": "trip",
              "started_at": "2026-01-01T12:00:00.000Z",
              "status": "completed",
              "steps": [
                {
                  "attempts": 1,
                  "began_at": "2026-01-01T12:00:00.000Z",
                  "done": true,
                  "ended_at": "2026-01-01T12:00:00.000Z",
                  "failure": null,
                  "kind": "compensatable",
                  "name": "reserve-flight",
                  "output": {},
                  "stage": 0,
                  "status": "done",
                  "took_ms": 0,
                  "undo_declared": true
                },
                {
                  "attempts": 1,
                  "began_at": "2026-01-01T12:00:00.000Z",
                  "done": true,
                  "ended_at": "2026-01-01T12:00:00.000Z",
                  "failure": null,
                  "kind": "compensatable",
                  "name": "reserve-hotel",
                  "output": {},
                  "stage": 0,
                  "status": "done",
                  "took_ms": 0,
                  "undo_declared": true
                },
                {
                  "attempts": 1,
                  "began_at": "2026-01-01T12:00:00.000Z",
                  "done": true,
                  "ended_at": "2026-01-01T12:00:00.000Z",
                  "failure": null,
                  "kind": "pivot",
                  "name": "charge",
                  "output": {},
                  "stage": 1,
                  "status": "done",
                  "took_ms": 0
                },
                {
                  "attempts": 1,
                  "began_at": "2026-01-01T12:00:00.000Z",
                  "done": true,
                  "ended_at": "2026-01-01T12:00:00.000Z",
                  "failure": null,
                  "kind": "retriable",
                  "name": "send-mail",
                  "output": {},
                  "stage": 2,
                  "status": "done",
                  "took_ms": 0
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
    let host = TestHost::new();
    let said = [
        "POST /v1/definitions/trip/sagas?id=T1&wait=30s\n\n{\"a\":1}",
        "POST /v1/definitions/trip/sagas?id=T1\n\n { \"a\" : 1.0 }",
        "POST /v1/definitions/trip/sagas?id=T1\n\n{\"a\":2}",
        "POST /v1/definitions/trip/sagas?id=T1\ncontent-type: application/octet-stream\n\n{\"a\":1}",
        "POST /v1/definitions/trip/sagas?wait=30s\nidempotency-key: k\n\n{\"a\":1}",
        "POST /v1/definitions/trip/sagas\nidempotency-key: k\n\n{\"a\":1}",
        "POST /v1/definitions/trip/sagas\nidempotency-key: k\n\n{\"a\":2}",
    ]
    .map(|request| status(&host, request) + "\n");
    expect![[r#"
        201 at 0-1-14
        200 at 0-1-14
        409
        409
        201 at 0-1-24
        200 at 0-1-24
        422
    "#]]
    .assert_eq(&said.concat());
}

#[test]
fn when_the_time_is_up_the_start_is_confirmed_as_durable() {
    let host = TestHost::new();
    host.guests.hold("charge");
    let said = status(&host, "POST /v1/definitions/trip/sagas?id=T1&wait=20ms\n\n{}");
    assert!(said.starts_with("202 at 0-1-"), "{said}");
    assert_eq!(json(&host, "GET /v1/sagas/T1")["status"], "running");
}
