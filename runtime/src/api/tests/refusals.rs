//! What bad input gets, and strangers.

use axum::response::IntoResponse;
use expect_test::expect;

use super::{answer, check, check_refusals, retry_after, shown, status};
use crate::{
    api::error::ApiError,
    engine::port::{Refusal, RefusalCode},
    service::testing::{TestHost, run},
    store::Store,
};

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
        400 wait_too_long: wait `301s` is too long
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
            "GET /v1/sagas\nhost: evil.example:8420",
            "GET /healthz\norigin: https://evil.example",
            "GET /healthz\norigin: null",
            "GET /v1/sagas\nhost: 10.1.2.3:8420",
            "GET /v1/sagas\nhost: localhost\nhost: evil.example",
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
            421 misdirected: Host "10.1.2.3:8420" is not a name of this host
            400 header_repeated: header host is given more than once
            404 saga_not_found: no saga `T9` in this namespace
            400 bad_name: bad saga id "../x": use 1 to 128 of letters, digits, . _ : and -, beginning with a letter or digit
            400 bad_query: bad query: status: unknown variant `done`, expected one of `completed`, `compensated`, `abandoned`, `stuck`, `compensating`, `waiting`, `running`
            400 bad_request: limit 0 is out of range
            400 bad_request: limit 100000 is out of range
            409 restored: position `0-2-7` is of another life of this journal, which was restored since
            400 bad_request: `x` is no position
            404 definition_not_found: no saga `none` is deployed in this namespace
            404 module_not_found: no module `none` in this namespace
        "#]],
    );
}

/// The first of two values counted and the other was dropped, so that two proxies could take one request for different ones.
#[test]
fn c2_27_a_header_that_the_host_reads_is_refused_when_it_is_given_twice() {
    let start = |headers: &str| format!("POST /v1/definitions/trip/sagas\n{headers}\n\n{{}}");
    let parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let requests = [
        start("idempotency-key: a\nidempotency-key: b"),
        start("amends-by: ada\namends-by: bob"),
        start("amends-namespace: default\namends-namespace: other"),
        start("content-type: application/json\ncontent-type: application/octet-stream"),
        start(&format!("{parent}\n{parent}")),
        start("origin: http://localhost\norigin: http://localhost"),
        "POST /v1/events\ncontent-type: application/json\ncontent-type: text/plain\n\n{}".to_owned(),
        "POST /v1/events\nce-specversion: 1.0\nce-specversion: 1.0\n\n{}".to_owned(),
        "GET /v1/sagas/T1/watch\nlast-event-id: 1\nlast-event-id: 2".to_owned(),
    ];
    check_refusals(
        &requests.each_ref().map(String::as_str),
        expect![[r#"
            400 header_repeated: header idempotency-key is given more than once
            400 header_repeated: header amends-by is given more than once
            400 header_repeated: header amends-namespace is given more than once
            400 header_repeated: header content-type is given more than once
            400 header_repeated: header traceparent is given more than once
            400 header_repeated: header origin is given more than once
            400 header_repeated: header content-type is given more than once
            400 header_repeated: header ce-specversion is given more than once
            400 header_repeated: header last-event-id is given more than once
        "#]],
    );
    let lists = start("accept: application/json\naccept: text/plain\ntracestate: a=1\ntracestate: b=2");
    assert!(answer(&TestHost::new(), &lists).starts_with("201 "));
}

#[test]
fn a_full_queue_is_503_with_a_time_to_come_back() {
    let refusal = Refusal {
        fits: vec!["retry"],
        reasons: vec!["there are 9 of them".to_owned()],
        ..Refusal::new(RefusalCode::Overloaded, "the queue of starts is full").hint("come back later")
    };
    let response = ApiError::from(refusal).into_response();
    assert_eq!(retry_after(&response), Some("1"));
    expect![[r#"
        503
        {
          "error": {
            "code": "overloaded",
            "fits": [
              "retry"
            ],
            "hint": "come back later",
            "message": "the queue of starts is full",
            "reasons": [
              "there are 9 of them"
            ]
          }
        }
    "#]]
    .assert_eq(&run(shown(response)));
}

#[test]
fn a_disk_that_is_nearly_full_takes_nothing_new_and_ends_what_there_is() {
    let host = TestHost::new();
    host.guests.hold("charge");
    status(&host, "POST /v1/definitions/trip/sagas?id=T1\n\n{}");
    host.set_disk_is_low(true);
    let event = r#"{"specversion":"1.0","id":"1","source":"shop","type":"approval"}"#;
    let requests = [
        "POST /v1/definitions/trip/sagas?id=T2\n\n{}",
        &format!("POST /v1/events\n\n{event}"),
        "POST /v1/modules\n\n\0asm trip again",
        "PUT /v1/schedules/nightly\n\n{\"saga\":\"trip\",\"cron\":\"0 3 * * *\"}",
        "POST /v1/sagas/T1/signals/approval\n\n{}",
        "POST /v1/sagas/T1/cancel",
        "GET /v1/sagas/T1",
    ];
    let said = requests.map(|request| format!("{} {}\n", &status(&host, request)[..3], request.lines().next().unwrap()));
    expect![[r#"
        507 POST /v1/definitions/trip/sagas?id=T2
        507 POST /v1/events
        507 POST /v1/modules
        507 PUT /v1/schedules/nightly
        202 POST /v1/sagas/T1/signals/approval
        200 POST /v1/sagas/T1/cancel
        200 GET /v1/sagas/T1
    "#]]
    .assert_eq(&said.concat());
}

#[test]
fn no_publisher_passes_for_a_signal() {
    let event = r#"{"specversion":"1.0","id":"T1/k","source":"amends:signal","type":"approval"}"#;
    let host = TestHost::new();
    let before = host.store.last_position().unwrap();
    expect![[r#"
        400
        {
          "error": {
            "code": "bad_request",
            "hint": "send a signal to a saga, or give the source a name of your own",
            "message": "the source `amends:signal` is the host's own"
          }
        }
    "#]]
    .assert_eq(&answer(&host, &format!("POST /v1/events\n\n{event}")));
    assert_eq!(host.store.last_position().unwrap(), before);
}

/// A panic used to end the connection's task: the client saw a closed connection, and no word of why.
#[test]
fn a_handler_that_panics_is_500_with_a_body_and_the_host_goes_on() {
    let host = TestHost::new();
    host.break_api_clock();
    let answered = answer(&host, "POST /v1/definitions/trip/sagas?id=T1\n\n{}");
    expect![[r#"
        500
        {
          "error": {
            "code": "internal",
            "hint": "its log says more; this is a bug",
            "message": "the host failed: it panicked while it answered"
          }
        }
    "#]]
    .assert_eq(&answered);
    host.mend_api_clock();
    // The saga had been started when the handler panicked, so that it is the same one now.
    assert!(answer(&host, "POST /v1/definitions/trip/sagas?id=T1\n\n{}").starts_with("200 "));
}
