//! Commands and aggregates.

use expect_test::expect;

use super::*;
use crate::{
    journal::{StreamId, StreamKind, keys},
    service::testing::namespace,
    store::{Store, Table},
};

fn counting() -> TestHost {
    let host = TestHost::new();
    assert_eq!(status(&host, "PUT /v1/modules/sums\n\n\0asm sums counting").split(' ').next(), Some("201"));
    host
}

/// The status, and what of the answer is worth reading.
fn told(host: &TestHost, request: &str) -> String {
    let answer = answer(host, request);
    let (status, body) = answer.split_once('\n').unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let status = status.split(' ').next().unwrap();
    match &body["error"] {
        serde_json::Value::Null => {
            let events = body["events"].as_array().into_iter().flatten();
            let events: String = events.map(|event| format!(" {} {}", text(&event["id"]), event["data"])).collect();
            let rest = ["revision", "latest_revision", "state", "duplicate"].map(|name| match &body[name] {
                serde_json::Value::Null => String::new(),
                value => format!(" {name} {}", text(value)),
            });
            format!("{status}{events}{}\n", rest.concat())
        }
        error => {
            let rest = ["revision", "data", "hint"].map(|name| match &error[name] {
                serde_json::Value::Null => String::new(),
                value => format!("; {name} {}", text(value)),
            });
            format!("{status} {}: {}{}\n", text(&error["code"]), text(&error["message"]), rest.concat())
        }
    }
}

#[test]
fn a_command_is_answered_with_what_it_recorded_and_an_aggregate_with_its_state_now_and_then() {
    let host = counting();
    let requests = [
        "POST /v1/aggregates/counter/C1/begin\n\n1",
        "POST /v1/aggregates/counter/C1/count\nidempotency-key: R1\n\n{\"a\":1}",
        "POST /v1/aggregates/counter/C1/count\nidempotency-key: R2\nif-match: \"1\"\n\n7",
        "POST /v1/aggregates/counter/C1/count\nidempotency-key: R2\nif-match: \"1\"\n\n 7 ",
        "POST /v1/aggregates/counter/C1/count",
        "GET /v1/aggregates/counter/C1",
        "GET /v1/aggregates/counter/C1?at=2",
        "GET /v1/aggregates/counter/C1?at=2099-01-01T00:00:00Z",
        "GET /v1/streams/counter/C1/events?limit=2",
    ];
    expect![[r#"
        200 counter/C1/1 1 revision 1 duplicate false
        409 no_number: only numbers are counted; data {"a":1}
        200 counter/C1/2 7 revision 2 duplicate false
        200 counter/C1/2 7 revision 2 duplicate true
        200 counter/C1/3 null revision 3 duplicate false
        200 revision 3 state 3
        200 revision 2 latest_revision 3 state 2
        200 revision 3 state 3
        200 counter/C1/1 1
    "#]]
    .assert_eq(&requests.map(|request| told(&host, request)).concat());
}

#[test]
fn a_command_that_cannot_be_is_refused_by_name() {
    let host = counting();
    let requests = [
        "POST /v1/aggregates/counter/C1/count\n\n1",
        "POST /v1/aggregates/counter/C1/begin\n\n1",
        "POST /v1/aggregates/counter/C1/begin\n\n1",
        "POST /v1/aggregates/counter/C1/count\nif-match: \"7\"\n\n1",
        "POST /v1/aggregates/counter/C1/count\nif-match: *\n\n1",
        "POST /v1/aggregates/counter/C1/count\nif-match: +1\n\n1",
        "POST /v1/aggregates/counter/C1/count\nif-match: \"+1\"\n\n1",
        "POST /v1/aggregates/counter/C1/count\nif-match: \"01\"\n\n1",
        "POST /v1/aggregates/counter/C1/count\nif-match: \"1\n\n1",
        "POST /v1/aggregates/counter/C1/count\nidempotency-key: R1\n\n1",
        "POST /v1/aggregates/counter/C1/count\nidempotency-key: R1\n\n2",
        "POST /v1/aggregates/counter/C1/count\n\n13",
        "POST /v1/aggregates/counter/C1/cuont\n\n1",
        "POST /v1/aggregates/conter/C1/count\n\n1",
        "POST /v1/aggregates/ledger/C1/count\n\n1",
        "POST /v1/aggregates/counter/C%0A1/begin\n\n1",
        "POST /v1/aggregates/counter/C1/count\n\n{",
        "POST /v1/aggregates/counter/a%2Fb/begin\n\n1",
        "GET /v1/aggregates/counter/C9",
        "GET /v1/aggregates/ledger/C1",
        "POST /v1/aggregates/counter/C2/begin\n\n1",
        "GET /v1/aggregates/counter/C2?at=9",
        "GET /v1/aggregates/counter/C1?at=9",
        "GET /v1/aggregates/counter/C1?at=1970-01-01T00:00:00Z",
        "GET /v1/aggregates/counter/C1?at=soon",
        "GET /v1/streams/counter/C9/events",
    ];
    expect![[r#"
        404 no_such_aggregate: there is no counter C1 for `count`
        200 counter/C1/1 1 revision 1 duplicate false
        409 exists: counter C1 is there already, and `begin` makes a new one; hint choose another id
        412 revision_changed: counter C1 is at revision 1, not 7; revision 1; hint look at it again, and send the command with what you read
        400 bad_request: `*` in if-match is no revision; hint send one as "3"
        400 bad_request: `+1` in if-match is no revision; hint send one as "3"
        400 bad_request: `\"+1\"` in if-match is no revision; hint send one as "3"
        400 bad_request: `\"01\"` in if-match is no revision; hint send one as "3"
        400 bad_request: `\"1` in if-match is no revision; hint send one as "3"
        200 counter/C1/2 1 revision 2 duplicate false
        422 key_reused: this Idempotency-Key was used for another request; hint use a fresh key
        500 guest_failed: `sums` v1 failed on a command of counter C1: 13 is too much (trap); hint nothing was recorded; mend the module, or send another command
        404 no_handler: the aggregate `counter` has no command `cuont`; hint did you mean `count`?
        404 no_handler: no active module of namespace `default` has an aggregate `conter`; hint did you mean `counter`?
        404 no_handler: no active module of namespace `default` has an aggregate `ledger`; hint deploy a module that has it: amends deploy FILE.wasm
        400 bad_name: bad id "C\n1": use 1 to 128 printable bytes without `/`, not `.` or `..`
        400 bad_json: bad JSON: EOF while parsing an object at line 1 column 1
        400 bad_name: bad id "a/b": use 1 to 128 printable bytes without `/`, not `.` or `..`
        404 no_such_aggregate: there is no counter C9 in this namespace
        404 no_such_aggregate: there is no ledger C1 in this namespace
        200 counter/C2/1 1 revision 1 duplicate false
        404 no_such_revision: counter C2 has 1 event, and none at `9`
        404 no_such_revision: counter C1 has 2 events, and none at `9`
        404 no_such_revision: counter C1 has 2 events, and none at `1970-01-01T00:00:00Z`
        400 bad_request: at `soon` is neither a revision nor a time; hint write it as 3, or as 2026-01-01T12:00:00Z
        404 no_such_aggregate: there is no counter C9 in this namespace
    "#]].assert_eq(&requests.map(|request| told(&host, request)).concat());
}

/// What a page of events says, an event a line, and where the next one begins.
fn page(host: &TestHost, query: &str) -> (String, String) {
    let page = json(host, &format!("GET /v1/events{query}"));
    let line = |event: &serde_json::Value| {
        let text = |name: &str| event[name].as_str().unwrap_or("-").to_owned();
        let [event_type, source, key, revision, correlation] = ["type", "source", "key", "revision", "correlation"].map(text);
        format!("{event_type} of {source} {key} #{revision} for {correlation}: {}\n", event["data"])
    };
    let lines = page["events"].as_array().unwrap().iter().map(line).collect::<String>();
    let more = if page["has_more"] == true { "more\n" } else { "" };
    (lines + more, page["through"].as_str().unwrap().to_owned())
}

#[test]
fn xr_03_events_are_read_in_the_order_of_the_journal_and_none_is_skipped_or_told_twice() {
    let host = counting();
    let event = |id: &str| {
        format!(r#"{{"specversion":"1.0","id":"{id}","source":"crm","type":"approval","subject":"C1","data":{{"of":"{id}"}}}}"#)
    };
    let count = |id: &str, key: &str| format!("POST /v1/aggregates/counter/{id}/count\nidempotency-key: {key}\n\n1");
    let requests = [
        "POST /v1/aggregates/counter/C1/begin\nidempotency-key: R1\n\n1".to_owned(),
        "POST /v1/aggregates/counter/C2/begin\nidempotency-key: R2\n\n1".to_owned(),
        format!("POST /v1/events\n\n{}", event("e1")),
        count("C1", "R3"),
        "POST /v1/aggregates/counter/C1/count\nidempotency-key: R4\n\n\"no\"".to_owned(),
        format!("POST /v1/events\n\n{}", event("e2")),
        count("C2", "R5"),
    ];
    requests.iter().for_each(|request| drop(answer(&host, request)));
    expect![[r#"
        counter.counted of counter C1 #1 for R1: 1
        counter.counted of counter C2 #1 for R2: 1
        approval of crm C1 #- for e1: {"of":"e1"}
        counter.counted of counter C1 #2 for R3: 1
        approval of crm C1 #- for e2: {"of":"e2"}
        counter.counted of counter C2 #2 for R5: 1
    "#]]
    .assert_eq(&page(&host, "").0);
    expect![[r#"
        counter.counted of counter C1 #1 for R1: 1
        counter.counted of counter C1 #2 for R3: 1
    "#]]
    .assert_eq(&page(&host, "?key=C1&name=counter.counted").0);
    // Page by page it is the same, whatever is read at a time.
    for limit in 1..=4 {
        let (mut all, mut after) = (String::new(), String::new());
        loop {
            let (lines, through) = page(&host, &format!("?limit={limit}{after}"));
            all += lines.trim_end_matches("more\n");
            if !lines.ends_with("more\n") {
                break;
            }
            after = format!("&after={through}");
        }
        assert_eq!(all, page(&host, "").0, "{limit} at a time");
    }
    let (_, through) = page(&host, "");
    assert_eq!(page(&host, &format!("?after={through}")).0, "");
    drop(answer(&host, &count("C1", "R6")));
    assert_eq!(page(&host, &format!("?after={through}")).0, "counter.counted of counter C1 #3 for R6: 1\n");
    drop(answer(&host, &format!("POST /v1/events\namends-namespace: b\n\n{}", event("e3"))));
    assert!(!page(&host, "").0.contains("e3"), "another namespace");
}

/// A damaged stream made the whole page fail, as if the storage had, and who imports sent it again for half a minute and gave up.
#[test]
fn a_damaged_aggregate_is_refused_by_its_line_and_the_others_of_the_page_are_imported() {
    let host = counting();
    let line = |id: &str, revision: u64| {
        format!(r#"{{"source":"counter","key":"{id}","type":"counter.counted","revision":{revision},"data":7}}"#)
    };
    let import = |lines: &[String]| json(&host, &format!("POST /v1/import\n\n{}", lines.join("\n")));
    let before = host.store.last_position().unwrap();
    assert_eq!(import(&[line("C1", 1)])["taken"], 1);
    host.store.damage_stream(before + 1);
    assert_eq!(import(&[line("C2", 1)])["taken"], 1);
    let index = keys::by_id(&StreamId { namespace: namespace(), kind: StreamKind::Aggregate, id: "counter/C2".to_owned() });
    host.store.damage_row(Table::ById, &index);
    let answer = import(&[line("C1", 1), line("C1", 2), line("C2", 2), line("C3", 1)]);
    let told = |refused: &serde_json::Value| {
        format!("{} {} {} {}\n", refused["line"], refused["lines"], refused["event"], refused["code"])
    };
    let refused: String = answer["refusals"].as_array().unwrap().iter().map(told).collect();
    expect![[r#"
        1 2 "counter/C1/1" "unreadable"
        3 1 "counter/C2/2" "unreadable"
    "#]]
    .assert_eq(&refused);
    assert_eq!(answer["taken"], 1, "{answer}");
}
