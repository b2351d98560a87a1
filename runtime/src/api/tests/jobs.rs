//! Verbs for many sagas, and what is stuck in groups.

use amends_core::{
    denial::{Denial, DenialReason},
    event::Why,
    id::{Direction, SagaId},
    view::{Status, StuckView},
};
use expect_test::expect;

use super::{answer, check, check_refusals};
use crate::{
    api::fake::{self, Fake, NOON},
    engine::port::{FirstStuck, JobPreview, Misfit, StuckGroup, StuckGroups},
};

const RETRY: &str = "POST /v1/jobs\namends-by: ann\nidempotency-key: k1\n\n{\"verb\":\"retry\",\"filter\":{\"saga\":\"trip\",\"version\":1},\"note\":\"it is back\"";

fn saga(id: &str) -> SagaId {
    SagaId::new(id).unwrap()
}

#[test]
fn a_verb_for_many_is_a_job_and_a_dry_run_only_says_what_it_would_do() {
    let fake = Fake::new();
    let misfits = vec![Misfit { why: "it is past its point of no return".into(), count: 1, sagas: vec!["T9".into()] }];
    *fake.preview.lock().unwrap() =
        JobPreview { count: 300, sagas: vec![saga("T1"), saga("T2")], misfits, ..JobPreview::default() };
    expect![[r#"
        200
        {
          "count": 300,
          "does_not_fit": [
            {
              "count": 1,
              "sagas": [
                "T9"
              ],
              "why": "it is past its point of no return"
            }
          ],
          "is_cut": false,
          "sagas": [
            "T1",
            "T2"
          ]
        }
    "#]]
    .assert_eq(&answer(&fake, &format!("{RETRY},\"dry_run\":true}}")));
    expect![[r#"
        202 at 0-1-9
        {
          "applied": 99,
          "asked_at": "2026-01-01T12:00:00.000Z",
          "by": "ann",
          "does_not_fit": [
            {
              "count": 1,
              "sagas": [
                "T9"
              ],
              "why": "it is past its point of no return"
            }
          ],
          "ended_at": null,
          "filter": {
            "saga": "trip",
            "version": 1
          },
          "id": "J1",
          "note": "it is back",
          "position": "0-1-7",
          "seen": 100,
          "status": "running",
          "through": "0-1-40",
          "verb": "retry"
        }
    "#]]
    .assert_eq(&answer(&fake, &format!("{RETRY}}}")));
    expect![[r#"
        preview Retry of 18446744073709551615
        preview Retry of 1
        job Retry Act { note: "it is back", by: "ann" } key=Some("k1")
    "#]]
    .assert_eq(&(fake.take_asked().join("\n") + "\n"));
}

#[test]
fn a_verb_over_nothing_says_what_there_is_instead() {
    let fake = Fake::new();
    *fake.preview.lock().unwrap() = JobPreview {
        live: vec![("trip".into(), 2, Status::Stuck, 200), ("order".into(), 1, Status::Waiting, 3)],
        ..JobPreview::default()
    };
    let said = expect![[r#"
        422
        {
          "error": {
            "code": "nothing_matches",
            "hint": "what has not ended: 200 stuck of trip v2, 3 waiting of order v1; look at them with `amends list`",
            "message": "no saga that has not ended is as the filter says (saga trip, version 1)"
          }
        }
    "#]];
    said.assert_eq(&answer(&fake, &format!("{RETRY},\"dry_run\":true}}")));
    said.assert_eq(&answer(&fake, &format!("{RETRY}}}")));
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
            400 bad_request: `unlock` is no verb
            400 bad_request: `retry` takes no `args`
            400 bad_request: `move` takes a `version`
            400 bad_request: `skip` is about one step of each saga
            400 bad_request: the body does not fit: unknown field `output`, expected one of `version`, `not_done`, `undone` at line 1 column 61
            400 bad_request: `resolve` takes exactly one of `not_done` and `undone`
            400 bad_request: a saga that has ended takes no verbs
            400 bad_request: `done` is no status
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
fn a_job_is_shown_awaited_and_stopped() {
    let fake = Fake::new();
    let status = |request: &str| -> String {
        let said = answer(&fake, request);
        let (head, body) = said.split_once('\n').unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        format!("{head} {} {}", body["status"], body["ended_at"])
    };
    assert_eq!(status("GET /v1/jobs/J1"), "200 \"running\" null");
    assert_eq!(status("GET /v1/jobs/J1?wait=5s"), "200 \"ended\" \"2026-01-01T12:00:03.000Z\"");
    let stopped = status("POST /v1/jobs/J1/stop\n\n{\"note\":\"enough\"}");
    assert_eq!(stopped, "200 at 0-1-9 \"stopped\" \"2026-01-01T12:00:02.000Z\"");
    let listed = answer(&fake, "GET /v1/jobs");
    assert!(listed.contains("\"id\": \"J1\"") && listed.contains("\"is_cut\": true"), "{listed}");
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

/// So many sagas, of which the first is stuck in this leg.
fn group(count: u64, direction: Direction, why: Why, failure: &str) -> StuckGroup {
    let stuck = StuckView { leg: fake::leg("reserve-hotel").turned(direction), since: NOON, why };
    StuckGroup {
        step: "reserve-hotel".into(),
        failure: failure.into(),
        count,
        since: NOON,
        sagas: (1..=count.min(5)).map(|number| saga(&format!("T{number}"))).collect(),
        first: FirstStuck { view: Box::new(fake::completed()), stuck },
    }
}

#[test]
fn a_group_comes_with_the_commands_that_help_all_of_it() {
    let fake = Fake::new();
    let down = || fake::failure("gateway_down", "no route");
    let denied = Denial::new("https://hotel.example", DenialReason::NotGranted);
    *fake.stuck.lock().unwrap() = StuckGroups {
        groups: vec![
            group(100, Direction::Undo(0), Why::Exhausted(down()), "gateway_down"),
            group(40, Direction::Forward, Why::Denied(denied), "denied"),
            group(2, Direction::Forward, Why::Unknown(fake::failure("it's odd", "")), "it's odd"),
            group(2, Direction::Forward, Why::PivotInDoubt(down()), "gateway_down"),
            group(2, Direction::Forward, Why::JournalFull, "journal_full"),
            group(1, Direction::Undo(0), Why::HostDied, "host_died"),
        ],
        unreadable: Vec::new(),
        is_cut: false,
    };
    let said = answer(&fake, "GET /v1/stuck?saga=trip&version=1&failure=gateway_down");
    let body: serde_json::Value = serde_json::from_str(said.split_once('\n').unwrap().1).unwrap();
    let groups = body["groups"].as_array().unwrap().iter().map(|group| {
        let help: Vec<&str> = group["help"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        format!("{} {}: {}\n  {}\n", group["count"], group["direction"], group["why"], help.join("\n  "))
    });
    expect![[r#"
        100 "undo": "all attempts are used up; the last: gateway_down: no route"
          amends retry --all --saga trip --version 1 --step reserve-hotel --failure gateway_down --dry-run
          amends move --to VERSION --all --saga trip --version 1 --step reserve-hotel --failure gateway_down --dry-run
          amends show T1
        40 "forward": "denied: https://hotel.example"
          amends grant trip --http https://hotel.example
        2 "forward": "it may have happened, and is run once only: it's odd"
          amends retry --all --saga trip --version 1 --step reserve-hotel --failure 'it'\''s odd' --dry-run
          amends show T1
        2 "forward": "the pivot may have happened and has no compensation: gateway_down: no route"
          amends show T1
        2 "forward": "the saga's journal is as large as it may be"
          amends abandon --all --saga trip --version 1 --step reserve-hotel --failure journal_full --dry-run
          amends show T1
        1 "undo": "it was running each time the host died"
          amends retry T1
          amends move T1 --to VERSION
          amends resolve T1 reserve-hotel --undone
          amends skip T1 reserve-hotel
    "#]]
    .assert_eq(&groups.collect::<String>());
    expect![[r#"stuck SagaFilter { definition: Some("trip"), status: None, module: None, version: Some(1), step: None, failure: Some("gateway_down") }"#]].assert_eq(&fake.take_asked().join("\n"));
}
