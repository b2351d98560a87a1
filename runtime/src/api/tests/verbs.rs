//! Operator verbs, events and signals.

use expect_test::expect;

use super::{answer, check, check_refusals};
use crate::{
    api::fake::{self, Fake},
    engine::port::{Refusal, RefusalCode},
};

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
        "POST /v1/sagas/T1/unlock\namends-by: ann\n\n{\"key\":\"seat/12A\",\"note\":\"sold\",\"expect_revision\":\"17\"}",
        "POST /v1/sagas/T1/move\nidempotency-key: k2\n\n{\"version\":2,\"note\":\"repaired\"}",
    ];
    for verb in verbs {
        assert!(answer(&fake, verb).starts_with("200 at 0-1-8\n"), "{verb}");
    }
    expect![[r#"
        Verb(Cancel) Act { note: "wrong date", by: "ann" } key=Some("k1")
        Verb(Retry(None)) Act { note: "", by: "" } key=None
        Verb(Retry(Some(StepPath("charge")))) Act { note: "", by: "" } key=None
        Verb(Skip(StepPath("reserve-hotel"))) Act { note: "", by: "" } key=None
        Verb(Resolve(StepPath("charge"), Output(Payload { format: Json, bytes: b"null" }))) Act { note: "", by: "" } key=None
        Verb(Resolve(StepPath("charge"), NotDone)) Act { note: "", by: "" } key=None
        Verb(Resolve(StepPath("charge"), Undone)) Act { note: "", by: "" } key=None
        Verb(Abandon) Act { note: "", by: "" } key=None
        Verb(Unlock("seat/12A")) Act { note: "sold", by: "ann" } key=None
        Move(2) Act { note: "repaired", by: "" } key=Some("k2")
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
            "POST /v1/sagas/T1/unlock",
            "POST /v1/sagas/T1/unlock\n\n{\"key\":\"\"}",
            "POST /v1/sagas/T1/unlock\n\n{\"key\":\"seat/12A\",\"keys\":[]}",
            "POST /v1/sagas/T1/unlock\n\n{\"key\":\"seat/12A\",\"note\":\"\\u001b[2J\"}",
            "POST /v1/sagas/T1/move",
            "POST /v1/sagas/T1/move\n\n{\"version\":-1}",
            "POST /v1/sagas/T1/move\n\n{\"version\":\"2\"}",
            "POST /v1/sagas/T1/move\n\n{\"version\":2,\"expect_revision\":\"x\"}",
            "POST /v1/sagas/..%2Fx/move\n\n{\"version\":2}",
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
            400 bad_request: the body does not fit: missing field `key` at line 1 column 2
            400 bad_request: `key` is a lock key that the saga holds, as `seat/12A`
            400 bad_request: the body does not fit: unknown field `keys`, expected one of `key`, `note`, `expect_revision` at line 1 column 24
            400 bad_request: the note holds control characters
            400 bad_request: the body does not fit: missing field `version` at line 1 column 2
            400 bad_request: the body does not fit: invalid value: integer `-1`, expected u32 at line 1 column 13
            400 bad_request: the body does not fit: invalid type: string "2", expected u32 at line 1 column 14
            400 bad_request: expect_revision `x` is no revision
            400 bad_name: bad saga id "../x": use 1 to 128 of letters, digits, . _ : and -, beginning with a letter or digit
        "#]],
    );
}

/// What stands against a verb comes as the engine said it: what fits instead, and each reason.
#[test]
fn a_verb_that_does_not_fit_says_which_do_and_why() {
    let fake = Fake::new();
    let reasons = vec!["step `a`: it has begun, and its kind differs; keep it".to_owned()];
    let refusal = fake::refusal(RefusalCode::VerbDoesNotFit, "T1 cannot move to version 2");
    let refusal =
        Refusal { fits: vec!["retry", "skip"], reasons, hint: Some("retry, or deploy what fits".to_owned()), ..refusal };
    *fake.refuse.lock().unwrap() = Some(refusal);
    expect![[r#"
        409
        {
          "error": {
            "code": "verb_does_not_fit",
            "fits": [
              "retry",
              "skip"
            ],
            "hint": "retry, or deploy what fits",
            "message": "T1 cannot move to version 2",
            "reasons": [
              "step `a`: it has begun, and its kind differs; keep it"
            ]
          }
        }
    "#]]
    .assert_eq(&answer(&fake, "POST /v1/sagas/T1/move\n\n{\"version\":2}"));
    assert_eq!(
        answer(&fake, "POST /v1/sagas/T1/unlock\n\n{\"key\":\"seat/12A\"}"),
        answer(&fake, "POST /v1/sagas/T1/move\n\n{\"version\":2}"),
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
        Publish { source: "shop", id: "1", event_type: "approval", key: "42", to: None, data: Some(Payload { format: Json, bytes: b"{\"ok\":true}" }), seed: None }, to start with input 4062edaf
        Publish { source: "amends:signal", id: "T1/k", event_type: "approval", key: "T1", to: Some(SagaId("T1")), data: Some(Payload { format: Json, bytes: b"{\"ok\":true}" }), seed: None }
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
