//! Starting sagas.

use expect_test::expect;

use super::{answer, check};
use crate::api::fake::Fake;

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
                  "took_ms": 40,
                  "undo_declared": true
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
                  "took_ms": 40,
                  "undo_declared": true
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
