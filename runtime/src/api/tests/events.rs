//! CloudEvents in their three modes: one event whatever it is spelled as, batches, and what bad input gets.

use axum::{body::Body, http::Request};
use expect_test::expect;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Options, answer, check_refusals, json, router, shown};
use crate::service::testing::{TestHost, run};

const BATCH: &str = "POST /v1/events\ncontent-type: application/cloudevents-batch+json\n\n";

/// An event in the binary mode: its headers behind these four, and its body.
fn binary(id: &str, headers: &str, body: &str) -> String {
    format!("POST /v1/events\nce-specversion: 1.0\nce-id: {id}\nce-source: shop\nce-type: approval{headers}\n\n{body}")
}

/// An event in JSON: further members behind these four.
fn event(id: &str, members: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"{id}","source":"shop","type":"approval"{members}}}"#)
}

fn batch(events: &[String]) -> String {
    format!("{BATCH}[{}]", events.join(","))
}

/// The events that are recorded, a line each.
fn recorded(host: &TestHost) -> String {
    let page = json(host, "GET /v1/events?limit=1000");
    let of = |event: &Value, name: &str| event.get(name).map(|value| format!(" {name}={value}")).unwrap_or_default();
    let told = |event: &Value| {
        let parts = ["key", "correlation", "data", "data_base64"].map(|name| of(event, name));
        format!("{}{}\n", event["id"].as_str().unwrap(), parts.concat())
    };
    page["events"].as_array().unwrap().iter().map(told).collect()
}

/// What became of each event of a batch.
fn told(answer: &Value) -> String {
    let of_event = |event: &Value| {
        let id = event["id"].as_str().unwrap_or("-");
        let why = match &event["error"] {
            Value::Null => String::new(),
            error => format!(" {}: {}", error["code"].as_str().unwrap(), error["message"].as_str().unwrap()),
        };
        format!("{} {id} {}{why}\n", event["index"], event["http_status"])
    };
    answer["events"].as_array().unwrap().iter().map(of_event).collect()
}

#[test]
fn an_event_is_the_same_in_every_mode_and_spelling() {
    let host = TestHost::new();
    let first = event("1", r#","subject":"42","data":{"amount":1.0,"sku":"K"}"#);
    let turned =
        r#"{"data":{"sku":"K","amount":1},"subject":"42","type":"approval","source":"shop","id":"1","specversion":"1.0"}"#;
    let requests = [
        format!("POST /v1/events\ncontent-type: application/cloudevents+json; charset=utf-8\n\n{first}"),
        format!("POST /v1/events\n\n{turned}"),
        binary("1", "\nce-subject: 42\ncontent-type: application/json", r#"{"sku":"K","amount":1}"#),
        binary("%31", "\ncontent-type: text/plain", "something else"),
        format!("POST /v1/events\n\n{}", event("1", r#","subject":"43","data":2"#)),
    ];
    let statuses = requests.map(|request| answer(&host, &request).split_whitespace().next().unwrap().to_owned());
    assert_eq!(statuses, ["202", "200", "200", "200", "200"]);
    let again = json(&host, &batch(&[first, turned.to_owned(), event("2", ""), event("2", "")]));
    assert_eq!(told(&again), "0 1 200\n1 1 200\n2 2 202\n3 2 200\n");
    expect![[r#"
        1 key="42" correlation="1" data={"amount":1.0,"sku":"K"}
        2 key="" correlation="2" data=null
    "#]]
    .assert_eq(&recorded(&host));
}

#[test]
fn data_is_json_or_bytes_as_its_type_says_in_every_mode() {
    let host = TestHost::new();
    let requests = [
        binary("b1", "\ncontent-type: application/json; charset=utf-8", "{\"a\": 1}"),
        binary("b2", "\ncontent-type: Application/Problem+JSON", "7"),
        binary("b3", "", "[true]"),
        binary("b4", "\ncontent-type: text/plain", "ü"),
        binary("b5", "\ncontent-type: application/octet-stream", "{}"),
        binary("b6", "\ncontent-type: application/json", ""),
        binary("b7", "\ncontent-type: application/xml", ""),
        batch(&[
            event("s1", r#","data":{"a": 1}"#),
            event("s2", r#","datacontenttype":"application/problem+json","data":7"#),
            event("s3", r#","datacontenttype":"application/json","data":"text""#),
            event("s4", r#","datacontenttype":"text/plain","data":"\u00fc""#),
            event("s5", r#","datacontenttype":"application/octet-stream","data_base64":"e30=""#),
            event("s6", r#","data_base64":"e30=""#),
            event("s7", r#","datacontenttype":"application/json","data_base64":"e30=""#),
            event("s8", r#","datacontenttype":"text/plain","data":null"#),
        ]),
    ];
    for request in requests {
        let told = answer(&host, &request);
        assert!(told.starts_with("20") && !told.contains("error"), "{request}: {told}");
    }
    expect![[r#"
        b1 key="" correlation="b1" data={"a":1}
        b2 key="" correlation="b2" data=7
        b3 key="" correlation="b3" data=[true]
        b4 key="" correlation="b4" data_base64="w7w="
        b5 key="" correlation="b5" data_base64="e30="
        b6 key="" correlation="b6" data=null
        b7 key="" correlation="b7" data=null
        s1 key="" correlation="s1" data={"a":1}
        s2 key="" correlation="s2" data=7
        s3 key="" correlation="s3" data="text"
        s4 key="" correlation="s4" data_base64="w7w="
        s5 key="" correlation="s5" data_base64="e30="
        s6 key="" correlation="s6" data_base64="e30="
        s7 key="" correlation="s7" data={}
        s8 key="" correlation="s8" data=null
    "#]]
    .assert_eq(&recorded(&host));
}

/// The key is the subject, else the partition key. The other extensions are accepted: what a publisher says of causes stands nowhere,
/// because it may be the id of a saga or of a command of somebody else.
#[test]
fn of_the_extensions_the_partition_key_is_read_and_no_publisher_takes_another_s_chain() {
    let host = TestHost::new();
    let others = r#","time":"2026-01-01T00:00:00Z","dataschema":"x:y","correlationid":"T1","causationid":"T1","sequence":"7","recordedtime":"2026-01-01T00:00:00Z","dataref":"x:z","traceparent":"-","mine":[7]"#;
    let requests = [
        binary("b1", "\nce-subject: S\nce-partitionkey: P\nce-correlationid: T1\nce-causationid: T1", ""),
        binary("b2", "\nce-partitionkey: P%20P\nce-sequence: 7\nce-dataref: x:z\nce-mine: 7", ""),
        batch(&[
            event("s1", &format!(r#","subject":"S","partitionkey":"P"{others}"#)),
            event("s2", &format!(r#","subject":null,"partitionkey":"P P"{others}"#)),
        ]),
    ];
    for request in requests {
        let told = answer(&host, &request);
        assert!(told.starts_with("20") && !told.contains("error"), "{request}: {told}");
    }
    expect![[r#"
        b1 key="S" correlation="b1" data=null
        b2 key="P P" correlation="b2" data=null
        s1 key="S" correlation="s1" data=null
        s2 key="P P" correlation="s2" data=null
    "#]]
    .assert_eq(&recorded(&host));
}

#[test]
fn a_batch_says_of_each_event_what_became_of_it() {
    let events = [event("1", ""), event("2", r#","data":1,"data_base64":"""#), event("1", ""), "7".to_owned()];
    expect![[r#"
        200 at 0-1-6
        {
          "duplicates": 1,
          "events": [
            {
              "accepted": {
                "duplicate": false,
                "id": "1",
                "kept_until": "2026-01-08T12:00:00.000Z",
                "woke": 0
              },
              "http_status": 202,
              "id": "1",
              "index": 0
            },
            {
              "error": {
                "code": "bad_request",
                "message": "give `data` or `data_base64`, not both"
              },
              "http_status": 400,
              "id": "2",
              "index": 1
            },
            {
              "accepted": {
                "duplicate": true,
                "id": "1",
                "kept_until": "2026-01-08T12:00:00.000Z",
                "woke": 0
              },
              "http_status": 200,
              "id": "1",
              "index": 2
            },
            {
              "error": {
                "code": "bad_request",
                "message": "the event is not a JSON object"
              },
              "http_status": 400,
              "index": 3
            }
          ],
          "recorded": 1,
          "refused": 2
        }
    "#]]
    .assert_eq(&answer(&TestHost::new(), &batch(&events)));
    // Of nothing nothing is recorded, and there is no position.
    expect![[r#"
        200
        {
          "duplicates": 0,
          "events": [],
          "recorded": 0,
          "refused": 0
        }
    "#]]
    .assert_eq(&answer(&TestHost::new(), &batch(&[])));
}

#[test]
fn a_request_that_is_no_event_and_no_batch_is_refused() {
    let structured = "POST /v1/events\ncontent-type: application/cloudevents+json";
    let whole = event("1", "");
    let many = vec!["1"; 10_001].join(",");
    check_refusals(
        &[
            &format!("{structured}\nce-id: 1\n\n{whole}"),
            &format!("POST /v1/events\ncontent-type: application/cloudevents-batch+json\nce-specversion: 1.0\n\n[{whole}]"),
            "POST /v1/events\ncontent-type: application/cloudevents+avro\nce-specversion: 1.0\n\nx",
            "POST /v1/events\ncontent-type: application/cloudevents-batch+avro\n\nx",
            &format!("POST /v1/events\ncontent-type: text/plain\n\n{whole}"),
            &format!("{structured}\ncontent-type: application/json\n\n{whole}"),
            &format!("{structured}\n\n[{whole}]"),
            &format!("{BATCH}{whole}"),
            BATCH,
            &format!("{BATCH}7"),
            &format!("{BATCH}[{whole},{{\"id\":]"),
            &format!("{BATCH}[{whole}"),
            &format!("{BATCH}[{whole}] []"),
            &format!("{BATCH}[{many}]"),
            &format!("{BATCH}[\"{}\"]", "x".repeat(4 << 20)),
        ],
        expect![[r#"
            400 modes_mixed: the attributes of the event are in the body, and there is a header ce-id as well
            400 modes_mixed: the attributes of the event are in the body, and there is a header ce-specversion as well
            415 not_an_event: `application/cloudevents+avro` is no format of events that this host reads
            415 not_an_event: `application/cloudevents-batch+avro` is no format of events that this host reads
            415 not_an_event: `text/plain` without `ce-` headers is no event
            400 header_repeated: header content-type is given more than once
            400 bad_request: the body is not a JSON object
            400 bad_request: the batch is not a JSON array of events
            400 bad_request: the batch is not a JSON array of events
            400 bad_request: the batch is not a JSON array of events
            400 bad_json: bad JSON: the batch cannot be read from event 1 on: expected value at line 1 column 73
            400 bad_json: bad JSON: the batch cannot be read from event 1 on: EOF while parsing a list at line 1 column 65
            400 bad_json: bad JSON: the batch cannot be read from event 1 on: trailing characters at line 1 column 68
            413 payload_too_large: the batch has more than 10000 events
            413 payload_too_large: the batch is larger than 4194304 bytes
        "#]],
    );
}

#[test]
fn an_event_in_headers_that_says_nothing_clear_is_refused() {
    let long = "x".repeat(256);
    let large = format!("\"{}\"", "x".repeat(200));
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    let json = "\ncontent-type: application/json";
    check_refusals(
        &[
            "POST /v1/events\nce-id: 1\n\n{}",
            "POST /v1/events\nce-specversion: 1.0\nce-source: shop\nce-type: t\n\n{}",
            "POST /v1/events\nce-specversion: 1.0\nce-id: 1\nce-type: t\n\n{}",
            "POST /v1/events\nce-specversion: 1.0\nce-id: 1\nce-source: shop\n\n{}",
            "POST /v1/events\nce-specversion: 0.3\nce-id: 1\nce-source: shop\nce-type: t\n\n{}",
            "POST /v1/events\nce-specversion: 1.0\nce-id: 1\nce-source: saga/T1\nce-type: t\n\n{}",
            "POST /v1/events\nce-specversion: 1.0\nce-id: 1\nce-source: policy%2Frule\nce-type: t\n\n{}",
            "POST /v1/events\nce-specversion: 1.0\nce-id: 1\nce-source: amends:signal\nce-type: t\n\n{}",
            &binary("\"\"", "", ""),
            &binary(&long, "", ""),
            &binary("a%0Ab", "", ""),
            &binary("%e2%80%ae", "", ""),
            &binary("%", "", ""),
            &binary("%ff", "", ""),
            &binary("a\"b", "", ""),
            &binary("1", "\nce-subject: \"\"", ""),
            &binary("1", "\nce-partitionkey: %00", ""),
            &binary("1", "\nce-mine: 100%", ""),
            &binary("1", "\nce-id: 1", ""),
            &binary("1", "\nce-time: 1\nce-time: 2", ""),
            &binary("1", "\nce-datacontenttype: text/plain", ""),
            &binary("1", "\nce-data: 1", ""),
            &binary("1", "\nce-data_base64: AA==", ""),
            &binary("1", "\ncontent-type: json", "{}"),
            &binary("1", "\ncontent-type: application/json\ncontent-type: text/plain", "{}"),
            &binary("1", json, "{\"a\":"),
            &binary("1", json, "{\"a\":1,\"a\":2}"),
            &binary("1", json, "9007199254740993"),
            &binary("1", json, &deep),
            &binary("1", "\ncontent-type: application/problem+json", "oh"),
            &binary("1", "", "not said to be text"),
            &binary("1", "\ncontent-type: text/plain", &large),
        ],
        expect![[r#"
            400 bad_request: the header ce-specversion is missing
            400 bad_request: the header ce-id is missing
            400 bad_request: the header ce-source is missing
            400 bad_request: the header ce-type is missing
            400 bad_request: specversion `0.3` is not 1.0
            400 bad_request: the source `saga/T1` is the host's own
            400 bad_request: the source `policy/rule` is the host's own
            400 bad_request: the source `amends:signal` is the host's own
            400 bad_request: `id` has 1 to 255 printable bytes
            400 bad_request: `id` has 1 to 255 printable bytes
            400 bad_request: `id` has 1 to 255 printable bytes
            400 bad_request: `id` has 1 to 255 printable bytes
            400 bad_request: the header ce-id has a `%` without two hexadecimal digits behind it
            400 bad_request: the header ce-id is not UTF-8 behind its percent-encoding
            400 bad_request: the header ce-id has a quotation mark that does not belong to a pair around the value
            400 bad_request: `subject` has 1 to 255 printable bytes
            400 bad_request: `partitionkey` has 1 to 255 printable bytes
            400 bad_request: the header ce-mine has a `%` without two hexadecimal digits behind it
            400 header_repeated: header ce-id is given more than once
            400 header_repeated: header ce-time is given more than once
            400 bad_request: ce-datacontenttype is no header of an event: the data's type is the header content-type
            400 bad_request: ce-data is no header of an event: the data is the body
            400 bad_request: ce-data_base64 is no header of an event: the data is the body
            400 bad_request: `content-type` is `json`, which is no media type
            400 header_repeated: header content-type is given more than once
            400 bad_json: bad JSON: the data is `application/json`: EOF while parsing a value at line 1 column 5
            400 bad_json: bad JSON: the data is `application/json`: key `a` twice in the outermost object at line 1 column 13
            400 bad_json: bad JSON: the data is `application/json`: number 9007199254740993 does not survive a 64-bit float; send it as a string, at line 1 column 1
            400 bad_json: bad JSON: the data is `application/json`: nested deeper than 64 levels at line 1 column 66
            400 bad_json: bad JSON: the data is `application/problem+json`: expected value at line 1 column 1
            400 bad_json: bad JSON: the data is `application/json`: expected ident at line 1 column 2
            413 payload_too_large: the data is larger than 200 bytes
        "#]],
    );
}

#[test]
fn an_event_of_a_batch_that_says_nothing_clear_is_refused_and_the_others_are_not() {
    let long = "x".repeat(256);
    let large = "x".repeat(200);
    let deep = format!("{}{}", "[".repeat(64), "]".repeat(64));
    let with = |members: &str| event("1", members);
    let events = [
        event("first", ""),
        "7".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "{}".to_owned(),
        r#"{"id":"4"}"#.to_owned(),
        r#"{"specversion":"1.0","id":7,"source":"s","type":"t"}"#.to_owned(),
        r#"{"specversion":"1.0","id":"6","source":"s"}"#.to_owned(),
        r#"{"specversion":"0.3","id":"7","source":"s","type":"t"}"#.to_owned(),
        r#"{"specversion":"1.0","id":"8","source":"policy/rule","type":"t"}"#.to_owned(),
        r#"{"specversion":"1.0","id":"9","source":"saga/","type":"t"}"#.to_owned(),
        event("", ""),
        event(&long, ""),
        event("a\\nb", ""),
        event("\\ud800", ""),
        with(r#","subject":"""#),
        with(r#","partitionkey":7"#),
        with(r#","data":1,"data_base64":"AA==""#),
        with(r#","data_base64":"?""#),
        with(r#","datacontenttype":"","data":1"#),
        with(r#","datacontenttype":"text/plain","data":1"#),
        with(r#","datacontenttype":"application/json","data_base64":"AA==""#),
        with(r#","data":1,"data":2"#),
        with(r#","data":9007199254740993"#),
        with(&format!(r#","data":{deep}"#)),
        with(&format!(r#","data":"{large}""#)),
        event("last", ""),
    ];
    let host = TestHost::new();
    expect![[r#"
        0 first 202
        1 - 400 bad_request: the event is not a JSON object
        2 - 400 bad_request: the event is not a JSON object
        3 - 400 bad_request: the event is not a JSON object
        4 - 400 bad_request: the event does not fit: missing field `specversion` at line 1 column 2
        5 4 400 bad_request: the event does not fit: missing field `specversion` at line 1 column 10
        6 - 400 bad_request: the event does not fit: invalid type: integer `7`, expected a string at line 1 column 27
        7 6 400 bad_request: the event does not fit: missing field `type` at line 1 column 43
        8 7 400 bad_request: specversion `0.3` is not 1.0
        9 8 400 bad_request: the source `policy/rule` is the host's own
        10 9 400 bad_request: the source `saga/` is the host's own
        11 - 400 bad_request: `id` has 1 to 255 printable bytes
        12 - 400 bad_request: `id` has 1 to 255 printable bytes
        13 - 400 bad_request: `id` has 1 to 255 printable bytes
        14 - 400 bad_json: bad JSON: unexpected end of hex escape at line 1 column 34
        15 1 400 bad_request: `subject` has 1 to 255 printable bytes
        16 1 400 bad_request: the event does not fit: invalid type: integer `7`, expected a string at line 1 column 80
        17 1 400 bad_request: give `data` or `data_base64`, not both
        18 1 400 bad_request: `data_base64` is not base64
        19 1 400 bad_request: `datacontenttype` is ``, which is no media type
        20 1 400 bad_request: the data is `text/plain`, and `data` is no string
        21 1 400 bad_json: bad JSON: the data is `application/json`: expected value at line 1 column 1
        22 1 400 bad_json: bad JSON: key `data` twice in the outermost object at line 1 column 82
        23 1 400 bad_json: bad JSON: number 9007199254740993 does not survive a 64-bit float; send it as a string, at line 1 column 72
        24 1 400 bad_json: bad JSON: nested deeper than 64 levels at line 1 column 136
        25 1 413 payload_too_large: the data is larger than 200 bytes
        26 last 202
    "#]].assert_eq(&told(&json(&host, &batch(&events))));
    expect![[r#"
        first key="" correlation="first" data=null
        last key="" correlation="last" data=null
    "#]]
    .assert_eq(&recorded(&host));
}

#[test]
fn of_ten_thousand_events_one_that_is_malformed_refuses_itself_and_the_rest_keep_their_order() {
    let host = TestHost::new();
    let of = |number: u32| match number {
        5_000 => event("", ""),
        // Types and keys are mixed: each would have its own line otherwise.
        _ => format!(
            r#"{{"specversion":"1.0","id":"{number}","source":"shop","type":"t{}","subject":"{}"}}"#,
            number % 7,
            number % 11
        ),
    };
    let events: Vec<String> = (0..10_000).map(of).collect();
    let first = json(&host, &batch(&events));
    let counts = |answer: &Value| ["recorded", "duplicates", "refused"].map(|name| answer[name].as_u64().unwrap());
    assert_eq!(counts(&first), [9_999, 0, 1]);
    assert_eq!(first["events"][5_000]["error"]["message"], "`id` has 1 to 255 printable bytes");
    let (mut after, mut found) = (String::new(), Vec::new());
    loop {
        let page = json(&host, &format!("GET /v1/events?limit=1000{after}"));
        let ids = page["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().parse::<u32>().unwrap());
        found.extend(ids);
        if page["has_more"] == false {
            break;
        }
        after = format!("&after={}", page["through"].as_str().unwrap());
    }
    assert_eq!(found, (0..10_000).filter(|number| *number != 5_000).collect::<Vec<_>>());
    assert_eq!(counts(&json(&host, &batch(&events))), [0, 9_999, 1]);
}

#[test]
fn an_event_of_a_batch_starts_a_saga_as_one_alone_does() {
    let host = TestHost::new();
    let wanted = r#"{"specversion":"1.0","id":"1","source":"shop","type":"trip.wanted","data":{"ok":true}}"#;
    let answer = json(&host, &batch(&[wanted.to_owned(), wanted.to_owned()]));
    let started = |index: usize| answer["events"][index]["accepted"]["started"].clone();
    assert_eq!((started(0)[0]["saga"].clone(), started(0)), (json!("trip"), started(1)));
}

#[test]
fn while_the_disk_is_nearly_full_no_event_of_a_batch_is_taken() {
    let host = TestHost::new();
    host.set_disk_is_low(true);
    let told_low = told(&json(&host, &batch(&[event("1", ""), event("", ""), event("2", "")])));
    expect![[r#"
        0 1 507 low_space: the disk is nearly full: no new sagas, events and modules are taken
        1 - 400 bad_request: `id` has 1 to 255 printable bytes
        2 2 507 low_space: an event before it in the batch was not taken, so this one was not either
    "#]]
    .assert_eq(&told_low);
    host.set_disk_is_low(false);
    assert_eq!(told(&json(&host, &batch(&[event("1", ""), event("2", "")]))), "0 1 202\n1 2 202\n");
}

/// The host stops after the first events were asked for: each event says whether it may have been, and sent again, each is recorded once.
#[test]
fn a_host_that_stops_says_of_each_event_of_a_batch_that_it_was_not_taken() {
    let host = TestHost::new();
    let events: Vec<String> = (0..600).map(|number| event(&number.to_string(), "")).collect();
    let (_stop, stopping) = watch::channel(true);
    let service = TowerToHyperService::new(router(host.services.clone(), Options::default(), stopping));
    let request = Request::post("/v1/events").header("host", "localhost");
    let request = request.header("content-type", "application/cloudevents-batch+json");
    let request = request.body(Body::from(format!("[{}]", events.join(",")))).unwrap();
    host.hold_engine();
    let answer = run(async { shown(service.call(request).await.unwrap()).await });
    host.let_engine_go();
    let answer: Value = serde_json::from_str(answer.split_once('\n').unwrap().1).unwrap();
    let all = answer["events"].as_array().unwrap();
    let why = |index: usize| format!("{}: {}\n", all[index]["http_status"], all[index]["error"]["message"].as_str().unwrap());
    assert_eq!((all.len(), answer["refused"].as_u64()), (600, Some(600)));
    expect![[r#"
        503: the host is stopping; if the event was recorded, the next host tells it to the sagas that are left
        503: an event before it in the batch was not taken, so this one was not either
    "#]]
    .assert_eq(&(why(0) + &why(599)));
    let again = json(&host, &batch(&events));
    let taken = again["recorded"].as_u64().unwrap() + again["duplicates"].as_u64().unwrap();
    assert_eq!((taken, recorded(&host).lines().count()), (600, 600));
}

/// Ten thousand zeros are 20 KB and megabytes of refusals: what counts is what a batch becomes.
#[test]
fn a_batch_that_is_not_small_has_its_place_until_its_answer_is_taken_and_a_small_one_needs_none() {
    let host = TestHost::new();
    let (_stop, stopping) = watch::channel(false);
    let service = TowerToHyperService::new(router(host.services.clone(), Options::default(), stopping));
    let ask = |body: &str| {
        let request = Request::post("/v1/events").header("host", "localhost");
        let request = request.header("content-type", "application/cloudevents-batch+json");
        service.call(request.body(Body::from(body.to_owned())).unwrap())
    };
    let of_many = format!("[{}]", vec!["0"; 101].join(","));
    let of_bytes = format!("[{}]", event("1", &format!(r#","mine":"{}""#, "x".repeat(64 << 10))));
    run(async {
        let mut untaken = Vec::new();
        for body in [&of_many, &of_bytes, &of_many, &of_bytes] {
            untaken.push(ask(body).await.unwrap());
        }
        let fifth = tokio::spawn(ask(&of_many));
        assert_eq!(ask(&format!("[{}]", event("2", ""))).await.unwrap().status(), 200);
        assert!(!fifth.is_finished());
        drop(untaken.pop());
        assert_eq!(fifth.await.unwrap().unwrap().status(), 200);
    });
}
