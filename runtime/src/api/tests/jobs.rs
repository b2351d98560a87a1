//! Verbs for many sagas, and what is stuck in groups.

use amends_core::outcome::Outcome;
use expect_test::expect;

use super::{answer, check, check_refusals, json, status};
use crate::service::testing::{TestHost, failure};

const RETRY: &str = "POST /v1/jobs\namends-by: ann\nidempotency-key: k1\n\n{\"verb\":\"retry\",\"filter\":{\"saga\":\"trip\",\"version\":1},\"note\":\"it is back\"";

/// A host on which T1 and T2 are stuck in the compensation of `reserve-hotel`, and T3 runs, in `send-mail`.
fn troubled() -> TestHost {
    let host = TestHost::brittle();
    host.guests.say("charge", Outcome::Refused(failure("no_money")));
    host.guests.say("undo reserve-hotel", Outcome::Transient(failure("gateway_down")));
    let start = |id: &str, wait: &str| {
        let said = status(&host, &format!("POST /v1/definitions/trip/sagas?id={id}{wait}\n\n{{}}"));
        assert!(said.starts_with("201 "), "{said}");
    };
    start("T1", "&wait=30s");
    start("T2", "&wait=30s");
    host.guests.say("charge", Outcome::Done(amends_core::value::Payload::json("{}")));
    host.guests.hold("send-mail");
    start("T3", "");
    host.guests.wait_for("send-mail");
    host
}

#[test]
fn a_verb_for_many_is_a_job_and_a_dry_run_only_says_what_it_would_do() {
    let host = troubled();
    expect![[r#"
        200
        {
          "count": 2,
          "does_not_fit": [
            {
              "count": 1,
              "sagas": [
                "T3"
              ],
              "why": "no step is stuck or backing off"
            }
          ],
          "is_cut": false,
          "sagas": [
            "T1",
            "T2"
          ]
        }
    "#]]
    .assert_eq(&answer(&host, &format!("{RETRY},\"dry_run\":true}}")));
    assert_eq!(json(&host, "GET /v1/jobs")["jobs"].as_array().unwrap().len(), 0, "a dry run records nothing");
    host.guests.say("undo reserve-hotel", Outcome::Done(amends_core::value::Payload::json("null")));
    let taken = json(&host, &format!("{RETRY}}}"));
    let id = taken["id"].as_str().unwrap();
    assert_eq!(json(&host, &format!("{RETRY}}}"))["id"], taken["id"], "the same key is the same job");
    let ended = answer(&host, &format!("GET /v1/jobs/{id}?wait=30s"));
    expect![[r#"
        200
        {
          "applied": 2,
          "asked_at": "2026-01-01T12:00:00.000Z",
          "by": "ann",
          "does_not_fit": [
            {
              "count": 1,
              "sagas": [
                "T3"
              ],
              "why": "no step is stuck or backing off"
            }
          ],
          "ended_at": "2026-01-01T12:00:00.000Z",
          "filter": {
            "saga": "trip",
            "version": 1
          },
          "id": "JOB",
          "note": "it is back",
          "position": "0-1-34",
          "seen": 3,
          "status": "ended",
          "through": "0-1-31",
          "verb": "retry"
        }
    "#]]
    .assert_eq(&ended.replace(id, "JOB"));
    let sagas = json(&host, "GET /v1/sagas");
    let statuses = sagas["sagas"].as_array().unwrap().iter().map(|saga| format!("{} {}\n", saga["id"], saga["status"]));
    expect![[r#"
        "T3" "running"
        "T2" "compensated"
        "T1" "compensated"
    "#]]
    .assert_eq(&statuses.collect::<String>());
}

#[test]
fn a_verb_over_nothing_says_what_there_is_instead() {
    let host = troubled();
    let retry = RETRY.replace("\"version\":1", "\"version\":7");
    let said = expect![[r#"
        422
        {
          "error": {
            "code": "nothing_matches",
            "hint": "what has not ended: 2 stuck of trip v1, 1 running of trip v1; look at them with `amends list`",
            "message": "no saga that has not ended is as the filter says (saga trip, version 7)"
          }
        }
    "#]];
    said.assert_eq(&answer(&host, &format!("{retry},\"dry_run\":true}}")));
    said.assert_eq(&answer(&host, &format!("{retry}}}")));
}

#[test]
fn a_verb_for_many_that_says_nothing_clear_is_refused() {
    let bodies = [
        "{}",
        r#"{"verb":"retry","filter":{}}"#,
        r#"{"verb":"unlock","filter":{"saga":"trip"}}"#,
        r#"{"verb":"retry","filter":{"saga":"trip"},"args":{"version":2}}"#,
        r#"{"verb":"move","filter":{"saga":"trip"}}"#,
        r#"{"verb":"skip","filter":{"saga":"trip"}}"#,
        r#"{"verb":"resolve","filter":{"step":"charge"},"args":{"output":1}}"#,
        r#"{"verb":"resolve","filter":{"step":"charge"}}"#,
        r#"{"verb":"abandon","filter":{"status":"completed"}}"#,
        r#"{"verb":"abandon","filter":{"status":"done"}}"#,
        r#"{"verb":"abandon","filter":{"stage":1}}"#,
        r#"{"verb":"abandon","filter":{"failure":"\u001b[2J"}}"#,
    ];
    let requests: Vec<String> = bodies.iter().map(|body| format!("POST /v1/jobs\n\n{body}")).collect();
    let ids = ["GET /v1/jobs/%1B%5B2J", "GET /v1/jobs/J1?wait=long", "POST /v1/jobs/J-1/stop", "GET /v1/stuck?stage=1"];
    let requests: Vec<&str> = requests.iter().map(String::as_str).chain(ids).collect();
    check_refusals(
        &requests,
        expect![[r#"
            400 bad_request: the body does not fit: missing field `verb` at line 1 column 2
            400 bad_request: the filter says nothing
            400 bad_request: the body does not fit: unknown variant `unlock`, expected one of `cancel`, `retry`, `skip`, `resolve`, `abandon`, `move` at line 1 column 16
            400 bad_request: `retry` takes no `args`
            400 bad_request: `move` takes a `version`
            400 bad_request: `skip` is about one step of each saga
            400 bad_request: the body does not fit: unknown field `output`, expected one of `version`, `not_done`, `undone` at line 1 column 61
            400 bad_request: `resolve` takes exactly one of `not_done` and `undone`
            400 bad_request: a saga that has ended takes no verbs
            400 bad_request: the body does not fit: unknown variant `done`, expected one of `completed`, `compensated`, `abandoned`, `stuck`, `compensating`, `waiting`, `running` at line 1 column 43
            400 bad_request: the body does not fit: unknown field `stage`, expected one of `saga`, `status`, `module`, `version`, `step`, `failure` at line 1 column 35
            400 bad_request: `failure` is the code of a failure, as `gateway_down`
            400 bad_request: a job's id is letters and digits, as `amends jobs` shows it
            400 bad_request: wait `long` is no duration
            400 bad_request: a job's id is letters and digits, as `amends jobs` shows it
            400 bad_query: bad query: stage: unknown field `stage`, expected one of `saga`, `module`, `version`, `step`, `failure`
        "#]],
    );
}

#[test]
fn a_job_is_listed_and_stopping_one_that_has_ended_changes_nothing() {
    let host = troubled();
    let taken = json(&host, &format!("{RETRY}}}"));
    let id = taken["id"].as_str().unwrap();
    let ended = json(&host, &format!("GET /v1/jobs/{id}?wait=30s"));
    assert_eq!(ended["status"], "ended", "{ended}");
    assert_eq!(json(&host, &format!("GET /v1/jobs/{id}")), ended);
    let listed = json(&host, "GET /v1/jobs");
    assert_eq!((&listed["jobs"][0], &listed["is_cut"]), (&ended, &false.into()));
    assert_eq!(json(&host, &format!("POST /v1/jobs/{id}/stop\n\n{{\"note\":\"enough\"}}"))["status"], "ended");
    check(
        "GET /v1/jobs/J2",
        expect![[r#"
            404
            {
              "error": {
                "code": "job_not_found",
                "hint": "look for it: amends jobs",
                "message": "there is no job J2, or it ended more than a week ago"
              }
            }
        "#]],
    );
}

#[test]
fn what_is_stuck_comes_in_groups_that_the_filter_is_about() {
    let host = troubled();
    expect![[r#"
        200
        {
          "groups": [
            {
              "code": "exhausted",
              "count": 2,
              "direction": "undo",
              "failure": "gateway_down",
              "help": [
                "amends retry --all --saga trip --version 1 --step reserve-hotel --failure gateway_down --dry-run",
                "amends move --to VERSION --all --saga trip --version 1 --step reserve-hotel --failure gateway_down --dry-run",
                "amends show T1"
              ],
              "module": "trip",
              "saga": "trip",
              "sagas": [
                "T1",
                "T2"
              ],
              "since": "2026-01-01T12:00:00.000Z",
              "step": "reserve-hotel",
              "version": 1,
              "why": "all attempts are used up; the last: gateway_down: it said no"
            }
          ],
          "is_cut": false
        }
    "#]]
    .assert_eq(&answer(&host, "GET /v1/stuck?saga=trip&version=1&failure=gateway_down"));
    let none = "200\n{\n  \"groups\": [],\n  \"is_cut\": false\n}\n";
    assert_eq!(answer(&host, "GET /v1/stuck?step=charge"), none);
    assert_eq!(answer(&host, "GET /v1/stuck?version=2"), none);
}
