//! Operator verbs, events and signals.

use amends_core::outcome::Outcome;
use expect_test::expect;

use super::{answer, check_refusals, json, status};
use crate::service::testing::{TestHost, failure};

/// A host on which T1 runs, in `charge`.
fn charging() -> TestHost {
    let host = TestHost::new();
    host.guests.hold("charge");
    start(&host, "T1");
    host.guests.wait_for("charge");
    host
}

/// A host on which T1 is stuck in the compensations of both reservations, after `charge` was refused.
fn stuck() -> TestHost {
    let host = TestHost::brittle();
    host.guests.say("charge", Outcome::Refused(failure("no_money")));
    host.guests.say("undo reserve-flight", Outcome::Transient(failure("gateway_down")));
    host.guests.say("undo reserve-hotel", Outcome::Transient(failure("gateway_down")));
    let said = status(&host, "POST /v1/definitions/trip/sagas?id=T1&wait=30s\n\n{}");
    assert!(said.starts_with("201 "), "{said}");
    host
}

fn start(host: &TestHost, id: &str) {
    let said = status(host, &format!("POST /v1/definitions/trip/sagas?id={id}\n\n{{}}"));
    assert!(said.starts_with("201 "), "{said}");
}

/// What operators did to T1, as its journal has it.
fn acts(host: &TestHost) -> String {
    let page = json(host, "GET /v1/sagas/T1/journal");
    let entries = page["records"].as_array().unwrap().iter().filter(|entry| entry["actor"] == "local");
    let said = |entry: &serde_json::Value| {
        let [step, by, note] = ["step", "by", "note"].map(|field| entry[field].as_str().unwrap_or("-").to_owned());
        format!("{} {step} by={by} note={note}\n", entry["type"].as_str().unwrap())
    };
    entries.map(said).collect()
}

#[test]
fn a_verb_answers_what_it_did_and_the_same_key_gets_the_same_answer() {
    let host = charging();
    let cancel = "POST /v1/sagas/T1/cancel\namends-by: ann\nidempotency-key: k1\n\n{\"note\":\"wrong date\"}";
    let first = answer(&host, cancel);
    expect![[r#"
        200 at 0-1-11
        {
          "applied": true,
          "id": "T1",
          "revision": "7",
          "status": "running"
        }
    "#]]
    .assert_eq(&first);
    assert_eq!(answer(&host, cancel), first.replace("\"applied\": true", "\"applied\": false"));
    expect![[r#"
        started - by=- note=-
        intent reserve-flight by=- note=-
        intent reserve-hotel by=- note=-
        cancel_requested - by=ann note=wrong date
    "#]]
    .assert_eq(&acts(&host));
}

#[test]
fn every_verb_is_journaled_with_who_and_why() {
    let host = stuck();
    let verbs = [
        "POST /v1/sagas/T1/retry\namends-by: ann\n\n{\"note\":\"it is back\"}",
        "POST /v1/sagas/T1/retry\n\n{\"step\":\"reserve-hotel\"}",
        "POST /v1/sagas/T1/resolve\namends-by: bob\n\n{\"step\":\"reserve-flight\",\"undone\":true,\"note\":\"by phone\"}",
        "POST /v1/sagas/T1/skip\n\n{\"step\":\"reserve-hotel\",\"note\":\"paid\"}",
    ];
    let said = verbs.map(|verb| status(&host, verb) + "\n");
    expect![[r#"
        200 at 0-1-21
        200 at 0-1-27
        200 at 0-1-30
        200 at 0-1-32
    "#]]
    .assert_eq(&said.concat());
    expect![[r#"
        started - by=- note=-
        intent reserve-flight by=- note=-
        intent reserve-hotel by=- note=-
        retried - by=ann note=it is back
        intent reserve-flight by=- note=-
        intent reserve-hotel by=- note=-
        retried - by=- note=-
        intent reserve-hotel by=- note=-
        resolved reserve-flight by=bob note=by phone
        skipped reserve-hotel by=- note=paid
        compensated - by=- note=-
    "#]]
    .assert_eq(&acts(&host));
    let host = stuck();
    host.deploy(b"\0asm trip brittle again");
    let moved = answer(&host, "POST /v1/sagas/T1/move\nidempotency-key: k2\n\n{\"version\":2,\"note\":\"repaired\"}");
    expect![[r#"
        200 at 0-1-25
        {
          "applied": true,
          "id": "T1",
          "revision": "18",
          "status": "compensating"
        }
    "#]]
    .assert_eq(&moved);
    let abandoned = status(&host, "POST /v1/sagas/T1/abandon\namends-by: ann\n\n{\"note\":\"enough\"}");
    expect![[r#"
        200 at 0-1-30
        started - by=- note=-
        intent reserve-flight by=- note=-
        intent reserve-hotel by=- note=-
        moved - by=- note=repaired
        retried - by=- note=repaired
        intent reserve-flight by=- note=-
        intent reserve-hotel by=- note=-
        abandoned - by=ann note=enough
    "#]]
    .assert_eq(&(abandoned + "\n" + &acts(&host)));
}

#[test]
fn an_operator_says_what_a_step_in_doubt_returned() {
    for (body, outcome) in [
        ("{\"step\":\"charge\",\"output\":null}", "completed null"),
        ("{\"step\":\"charge\",\"output\":{\"paid\": 3.0}}", "completed {\"paid\":3.0}"),
        ("{\"step\":\"charge\",\"not_done\":true}", "compensated null"),
    ] {
        let host = TestHost::brittle();
        // Only of an attempt that may have reached outside nobody knows whether it happened.
        let grants = r#"{"grants":{"http":[{"origin":"https://bank.example"}]}}"#;
        assert!(status(&host, &format!("PUT /v1/modules/trip/grants\n\n{grants}")).starts_with("200 "));
        host.guests.say("charge", Outcome::Unknown(failure("no_answer")));
        let stuck = json(&host, "POST /v1/definitions/trip/sagas?id=T1&wait=30s\n\n{}");
        assert_eq!(stuck["status"], "stuck", "{stuck}");
        // What did not happen is tried once more, and the bank has an answer by then.
        host.guests.say("charge", Outcome::Refused(failure("no_funds")));
        let said = status(&host, &format!("POST /v1/sagas/T1/resolve\n\n{body}"));
        assert!(said.starts_with("200 "), "{said}");
        // Asked again, a start that waits answers at the end.
        let saga = json(&host, "POST /v1/definitions/trip/sagas?id=T1&wait=30s\n\n{}");
        assert_eq!(format!("{} {}", saga["status"].as_str().unwrap(), saga["output"]), outcome, "{body}");
    }
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
            "POST /v1/sagas/T1/cancel\n\n{\"expect_revision\":\"+1\"}",
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
            400 bad_request: expect_revision `+1` is no revision
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
    let host = stuck();
    expect![[r#"
        409
        {
          "error": {
            "code": "revision_changed",
            "hint": "look again: amends show T1",
            "message": "saga T1 is at revision 14, not 1"
          }
        }
    "#]]
    .assert_eq(&answer(&host, "POST /v1/sagas/T1/cancel\n\n{\"expect_revision\":\"1\"}"));
    expect![[r#"
        409
        {
          "error": {
            "code": "verb_does_not_fit",
            "fits": [
              "retry",
              "resolve",
              "skip",
              "abandon"
            ],
            "hint": "these fit: retry, resolve, skip, abandon",
            "message": "saga T1: `charge` is not stuck or in doubt, or an attempt is open"
          }
        }
    "#]]
    .assert_eq(&answer(&host, "POST /v1/sagas/T1/resolve\n\n{\"step\":\"charge\",\"not_done\":true}"));
    expect![[r#"
        404
        {
          "error": {
            "code": "version_not_found",
            "hint": "its versions are in: amends modules trip",
            "message": "module `trip` has no version 2"
          }
        }
    "#]]
    .assert_eq(&answer(&host, "POST /v1/sagas/T1/move\n\n{\"version\":2}"));
    expect![[r#"
        409
        {
          "error": {
            "code": "verb_does_not_fit",
            "fits": [
              "retry",
              "resolve",
              "skip",
              "abandon"
            ],
            "hint": "these fit: retry, resolve, skip, abandon",
            "message": "saga T1: it does not hold the lock key `seat/12A`; it holds none"
          }
        }
    "#]]
    .assert_eq(&answer(&host, "POST /v1/sagas/T1/unlock\n\n{\"key\":\"seat/12A\"}"));
}

#[test]
fn an_event_starts_what_it_triggers_and_is_known_when_it_comes_again() {
    let host = TestHost::new();
    let event =
        r#"{"specversion":"1.0","id":"1","source":"shop","type":"trip.wanted","subject":"42","data":{"ok":true},"ext":1}"#;
    let event = format!("POST /v1/events\ncontent-type: application/cloudevents+json\n\n{event}");
    expect![[r#"
        202 at 0-1-8
        {
          "duplicate": false,
          "id": "1",
          "kept_until": null,
          "started": [
            {
              "id": "trip:a50b8015f00a48718e4601c5",
              "saga": "trip"
            }
          ],
          "woke": 0
        }
    "#]]
    .assert_eq(&answer(&host, &event));
    expect![[r#"
        200 at 0-1-8
        {
          "duplicate": true,
          "id": "1",
          "kept_until": null,
          "started": [
            {
              "id": "trip:a50b8015f00a48718e4601c5",
              "saga": "trip"
            }
          ],
          "woke": 0
        }
    "#]]
    .assert_eq(&answer(&host, &event));
    let started = json(&host, "GET /v1/sagas");
    let id = started["sagas"][0]["id"].as_str().unwrap();
    let saga = json(&host, &format!("GET /v1/sagas/{id}"));
    expect![[r#"{"ok":true} {"id":"1","kind":"event","source":"shop","type":"trip.wanted"}"#]]
        .assert_eq(&format!("{} {}", saga["input"], saga["started_by"]));
    let other = r#"{"specversion":"1.0","id":"2","source":"shop","type":"approval","subject":"42"}"#;
    expect![[r#"
        202 at 0-1-17
        {
          "duplicate": false,
          "id": "2",
          "kept_until": "2026-01-08T12:00:00.000Z",
          "woke": 0
        }
    "#]]
    .assert_eq(&answer(&host, &format!("POST /v1/events\n\n{other}")));
}

/// The description promised `key_reused` for another event under the same key.
#[test]
fn an_event_is_the_same_by_its_source_and_id_whatever_key_and_data_it_comes_with() {
    let host = TestHost::new();
    let publish = |id: &str, key: &str, data: &str| {
        let event = format!(r#"{{"specversion":"1.0","id":"{id}","source":"shop","type":"approval","data":{data}}}"#);
        let told = answer(&host, &format!("POST /v1/events\nidempotency-key: {key}\n\n{event}"));
        told.split_whitespace().next().unwrap_or_default().to_owned()
    };
    let told = [publish("1", "k", "1"), publish("2", "k", "1"), publish("1", "l", "1"), publish("1", "k", "2")];
    assert_eq!(told, ["202", "202", "200", "200"]);
}

#[test]
fn a_signal_is_for_one_saga_and_kept_until_that_waits_for_it() {
    let host = charging();
    let signal = "POST /v1/sagas/T1/signals/approval\nidempotency-key: k\n\n{\"ok\":true}";
    expect![[r#"
        202 at 0-1-9
        {
          "duplicate": false,
          "id": "T1/k",
          "kept_until": "2026-01-08T12:00:00.000Z",
          "woke": 0
        }
    "#]]
    .assert_eq(&answer(&host, signal));
    expect![[r#"
        200 at 0-1-9
        {
          "duplicate": true,
          "id": "T1/k",
          "kept_until": "2026-01-08T12:00:00.000Z",
          "woke": 0
        }
    "#]]
    .assert_eq(&answer(&host, signal));
    assert_eq!(status(&host, "POST /v1/sagas/T1/signals/approval\nidempotency-key: k\n\n{\"ok\":false}"), "422");
}

#[test]
fn an_event_that_says_nothing_clear_is_refused() {
    check_refusals(
        &[
            "POST /v1/events\n\n{}",
            "POST /v1/events\n\n{\"specversion\":\"0.3\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\"}",
            "POST /v1/events\n\n{\"specversion\":\"1.0\",\"id\":\"\",\"source\":\"s\",\"type\":\"t\"}",
            "POST /v1/events\n\n{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"data_base64\":\"?\"}",
            "POST /v1/sagas/T1/signals/approval\n\n{\"ok\":",
        ],
        expect![[r#"
            400 bad_request: the body does not fit: missing field `specversion` at line 1 column 2
            400 bad_request: specversion `0.3` is not 1.0
            400 bad_request: `id` has 1 to 255 printable bytes
            400 bad_request: `data_base64` is not base64
            400 bad_json: bad JSON: EOF while parsing a value at line 1 column 6
        "#]],
    );
}
