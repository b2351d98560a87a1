//! What holds for the commands of every aggregate: revisions, first commands, retries, sizes, namespaces.

use std::sync::atomic::{AtomicUsize, Ordering};

use expect_test::expect;
use serde_json::{Value, json};

use super::{at_once, events, first_answer, host, host_with, send, send_at, send_under, show, state};
use crate::harness::{answers_text, api::Answer, ledger::Ledger};

#[test]
fn xr_12_a_command_for_another_revision_is_told_the_one_that_there_is() {
    let host = host_with(&Ledger::default());
    let api = host.api();
    for _ in 0..5 {
        send(&api, "ledger/L1", "note", &json!("some")).expect(200);
    }
    let refused = send_at(&api, "\"3\"", "ledger/L1", "note", &json!("late"));
    expect![[r#"
        412 revision_changed: ledger L1 is at revision 5, not 3
          hint: look at it again, and send the command with what you read
    "#]]
    .assert_eq(&refused.error());
    assert_eq!(refused.body["error"]["revision"], "5", "{}", refused.body);
    assert_eq!(send_at(&api, "\"5\"", "ledger/L1", "note", &json!("in time")).expect(200)["revision"], "6");
    // None yet is a revision as well.
    assert_eq!(send_at(&api, "\"1\"", "ledger/L2", "note", &json!("x")).code(), "412 revision_changed");
    assert_eq!(send_at(&api, "\"0\"", "ledger/L2", "note", &json!("x")).expect(200)["revision"], "1");
    let bad = |revision: &str| send_at(&api, revision, "ledger/L1", "note", &json!("x")).code();
    for revision in ["", "*", "-1", "W/\"6\"", "6, 7", "18446744073709551616", "six"] {
        assert_eq!(bad(revision), "400 bad_request", "{revision}");
    }
    assert_eq!(events(&api, "ledger/L1").len(), 6);
}

/// Each reads a revision and sends a command for it, until it is the first to do so.
#[test]
fn xr_12_who_decides_again_on_what_there_is_loses_nothing_to_others() {
    let host = host_with(&Ledger::default());
    let api = host.api();
    let conflicts = AtomicUsize::new(0);
    at_once(16, |number| {
        for turn in 0..5 {
            loop {
                let revision = match show(&api, "ledger/L1") {
                    Answer { status: 404, .. } => 0,
                    shown => shown.expect(200)["revision"].as_str().unwrap().parse::<u64>().unwrap(),
                };
                let note = json!(format!("note {number} {turn}"));
                let answer = send_at(&api, &format!("\"{revision}\""), "ledger/L1", "note", &note);
                if answer.status == 200 {
                    assert_eq!(answer.body["revision"], (revision + 1).to_string());
                    break;
                }
                let actual = answer.body["error"]["revision"].as_str().unwrap_or_default().parse::<u64>().unwrap();
                assert!(answer.status == 412 && actual > revision, "{}", answer.body);
                conflicts.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    assert!(conflicts.into_inner() > 0, "nobody was late");
    assert_eq!(events(&api, "ledger/L1").len(), 80);
}

#[test]
fn xr_13_of_two_that_make_one_aggregate_one_does_and_the_other_is_told() {
    let host = host();
    let api = host.api();
    for round in 0..50 {
        let customer = format!("customer/C{round}");
        let answers = at_once(2, |number| send(&api, &customer, "open", &json!({"limit_cents": number})));
        let winner = usize::from(answers[1].status == 200);
        assert_eq!(answers[winner].status, 200, "{answers:?}");
        assert_eq!(answers[1 - winner].code(), "409 exists");
        assert_eq!(state(&api, &customer)["limit_cents"], winner);
        assert_eq!(events(&api, &customer).len(), 1);
    }
    assert_eq!(
        send(&api, "customer/C0", "open", &json!({"limit_cents": 9})).error(),
        "409 exists: customer C0 is there already, and `open` makes a new one\n  hint: choose another id\n"
    );
}

/// A failed attempt is not remembered as an answer: a retry under its key is decided.
#[test]
fn es_07_a_retry_after_a_technical_failure_is_decided_and_then_remembered() {
    let host = host_with(&Ledger::default());
    let api = host.api();
    let retry = || send_under(&api, "R1", "ledger/L1", "note", &json!("t:"));
    for _ in 0..2 {
        assert_eq!(retry().code(), "500 guest_failed");
    }
    assert_eq!(events(&api, "ledger/L1"), Vec::<Value>::new());
    api.put("/v1/modules/ledger", &Ledger { trap: "nop", ..Ledger::default() }.component()).expect(201);
    let (second, third) = (retry(), retry());
    assert_eq!((second.status, &second.body["duplicate"], &second.body["version"]), (200, &json!(false), &json!(2)));
    assert_eq!((third.status, &third.body["duplicate"]), (200, &json!(true)));
    assert_eq!(first_answer(&third), first_answer(&second));
    assert_eq!(events(&api, "ledger/L1").len(), 1);
}

#[test]
fn xr_29_the_data_of_a_command_is_taken_whole_or_refused() {
    let host = host_with(&Ledger::default());
    let api = host.api();
    // Nothing is recorded of it but the command.
    let of_bytes = |bytes: usize| json!(format!("-:{}", "x".repeat(bytes - 4)));
    let largest = of_bytes(1 << 20);
    let answer = send_under(&api, "R1", "ledger/L1", "note", &largest).expect(200);
    assert!(answer["data"] == largest, "it came back as something else");
    assert!(send_under(&api, "R1", "ledger/L1", "note", &largest).expect(200)["data"] == largest);
    let refused = send(&api, "ledger/L1", "note", &of_bytes((1 << 20) + 1));
    expect![[r#"
        413 payload_too_large: the data is larger than 1048576 bytes
          hint: send a reference to what is large, or raise `payload` in [limits]
    "#]]
    .assert_eq(&refused.error());
    // Many of them at once are decided in more calls than one.
    let answers = at_once(16, |_| send(&api, "ledger/L2", "note", &largest).status);
    assert_eq!(answers, [200; 16]);
    // A quarter of that is an event.
    send(&api, "ledger/L1", "note", &json!("x".repeat((256 << 10) - 2))).expect(200);
    assert_eq!(send(&api, "ledger/L1", "note", &json!("x".repeat((256 << 10) - 1))).code(), "500 guest_failed");
    assert_eq!(events(&api, "ledger/L1").len(), 1);
}

#[test]
fn data_that_is_no_json_is_refused_and_no_data_is_null() {
    let host = host_with(&Ledger::default());
    let api = host.api();
    let raw = |body: &[u8]| api.try_send(ureq::http::Method::POST, "/v1/aggregates/ledger/L1/note", None, body).unwrap();
    let deep = "[".repeat(200) + &"]".repeat(200);
    let found = answers_text([
        ("half of it", raw(b"{").error()),
        ("one name twice", raw(br#"{"a": 1, "a": 2}"#).error()),
        ("no UTF-8", raw(b"\"\xff\"").error()),
        ("too deep", raw(deep.as_bytes()).error()),
    ]);
    expect![[r#"
        half of it
          400 bad_json: bad JSON: EOF while parsing an object at line 1 column 1
        one name twice
          400 bad_json: bad JSON: key `a` twice in the outermost object at line 1 column 16
        no UTF-8
          400 bad_json: bad JSON: invalid unicode code point at line 1 column 2
        too deep
          400 bad_json: bad JSON: nested deeper than 64 levels at line 1 column 65
    "#]]
    .assert_eq(&found);
    assert_eq!(raw(b"").expect(200)["events"][0]["data"], Value::Null);
    assert_eq!(events(&api, "ledger/L1").len(), 1);
}

/// Equal ids, keys and claims of two namespaces.
#[test]
fn aggregates_of_two_namespaces_never_meet() {
    let host = host_with(&Ledger::default());
    let (ours, theirs) = (host.api(), host.api().in_namespace("theirs"));
    let nobody = send_under(&theirs, "R1", "ledger/L1", "note", &json!("c:mail"));
    assert_eq!(
        nobody.error(),
        "404 no_handler: no active module of namespace `theirs` has an aggregate `ledger`\n  hint: deploy a module that has it: amends deploy FILE.wasm\n"
    );
    theirs.put("/v1/modules/ledger", &Ledger::default().component()).expect(201);
    let first = send_under(&ours, "R1", "ledger/L1", "note", &json!("c:mail"));
    assert_eq!(first.status, 200, "{}", first.body);
    assert_eq!(show(&theirs, "ledger/L1").status, 404);
    assert_eq!(theirs.get("/v1/streams/ledger/L1/events").status, 404);
    // The same key with other data, and the same claim for another id.
    assert_eq!(send_under(&theirs, "R1", "ledger/L1", "note", &json!("theirs")).expect(200)["duplicate"], false);
    send(&theirs, "ledger/L2", "note", &json!("c:mail")).expect(200);
    send(&ours, "ledger/L1", "note", &json!("ours")).expect(200);
    send(&ours, "ledger/L1", "note", &json!("ours")).expect(200);
    let said = |api, ledger| events(api, ledger).iter().map(|event| event["data"].clone()).collect::<Vec<_>>();
    assert_eq!(said(&ours, "ledger/L1"), ["c:mail", "ours", "ours"]);
    assert_eq!(said(&theirs, "ledger/L1"), ["theirs"]);
    assert_eq!((show(&ours, "ledger/L2").status, state(&theirs, "ledger/L1")), (404, json!("1")));
    assert_eq!(send(&ours, "ledger/L3", "note", &json!("c:mail")).code(), "409 taken");
}

#[test]
fn xr_10_a_command_without_a_handler_is_an_error_and_a_second_handler_is_refused() {
    let host = host_with(&Ledger::default());
    let api = host.api();
    let told = answers_text([
        ("no aggregate", send(&api, "legder/L1", "note", &json!("x")).error()),
        ("no command", send(&api, "ledger/L1", "nota", &json!("x")).error()),
        ("a second handler", {
            let second = Ledger { module: "books".to_owned(), ..Ledger::default() };
            api.put("/v1/modules/books", &second.component()).error()
        }),
    ]);
    expect![[r#"
        no aggregate
          404 no_handler: no active module of namespace `default` has an aggregate `legder`
          hint: did you mean `ledger`?
        no command
          404 no_handler: the aggregate `ledger` has no command `nota`
          hint: did you mean `note`?
        a second handler
          409 name_taken: aggregate `ledger` belongs to module `ledger` in namespace `default`
          hint: give the aggregate another name, or use another namespace
    "#]]
    .assert_eq(&told);
    // An event that nobody handles is recorded all the same.
    send(&api, "ledger/L1", "note", &json!("heard by nobody")).expect(200);
    assert_eq!(events(&api, "ledger/L1").len(), 1);
}

#[test]
fn decisions_are_counted_and_a_stream_that_grows_long_is_shown_and_said() {
    let host = host_with(&Ledger::default());
    // What fails fails again when it comes again, and is counted twice.
    let api = host.api().once();
    for _ in 0..10 {
        send(&api, "ledger/L1", "note", &json!("k:")).expect(200);
    }
    send(&api, "ledger/L2", "note", &json!("r:")).expect(409);
    send(&api, "ledger/L2", "note", &json!("t:")).expect(500);
    let counted = |decision: &str| api.metric(&format!("amends_commands_total{{aggregate=\"ledger\",decision=\"{decision}\"}}"));
    assert_eq!(["accepted", "refused", "failed"].map(counted), [10.0, 1.0, 1.0]);
    assert_eq!(api.metric("amends_longest_stream_events"), 10_000.0);
    let log = host.log();
    let said: Vec<&str> = log.lines().filter(|line| line.contains("the stream of an aggregate has grown long")).collect();
    assert!(said.len() == 1 && said[0].contains("ledger L1") && said[0].contains("events=10000"), "{log}");
}

/// Every read took any number as a position of its own, also one from a host that was further, and answered without what was asked for.
#[test]
fn a_position_that_the_journal_has_not_reached_is_not_included_in_any_answer() {
    let host = host_with(&Ledger::default());
    let api = host.api();
    let noted = send(&api, "ledger/L1", "note", &json!("one")).expect(200);
    let own = noted["position"].as_str().unwrap();
    for path in ["/v1/aggregates/ledger/L1", "/v1/streams/ledger/L1/events", "/v1/events", "/v1/trace/ledger%2FL1", "/v1/sagas"] {
        assert_eq!(api.get(&format!("{path}?at_least={own}")).status, 200, "{path}");
        let beyond = api.get(&format!("{path}?at_least=0-1-999999"));
        assert_eq!(beyond.code(), "503 behind", "{path}: {}", beyond.body);
    }
}
