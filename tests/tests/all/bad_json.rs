//! Bad JSON at every entry point: an error with the position of the fault, and no effect. XR-29: sizes.

use expect_test::expect;
use serde_json::json;
use ureq::http::Method;

use crate::harness::{
    answers_text,
    folder::DataFolder,
    guests::Way,
    host::{Host, Options},
};

fn host() -> Host {
    Host::start(DataFolder::with_modules(Way::Plain), Options::default())
}

#[test]
fn bad_json_is_refused() {
    let host = host();
    let api = host.api();
    let start = |body: &str| api.write(Method::POST, "/v1/definitions/order/sagas?id=X1", body.as_bytes()).error();
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let found = answers_text([
        ("no JSON", start("order_id=o-1")),
        ("half a value", start("{\"order_id\": ")),
        ("two values", start("{} {}")),
        ("one name twice", start("{\"qty\": 1, \"qty\": 2}")),
        ("a number that does not survive", start("{\"qty\": 9007199254740993}")),
        ("a number without a value", start("{\"qty\": NaN}")),
        ("65 levels", start(&deep(65))),
        ("100,000 levels", start(&deep(100_000))),
        ("a lone surrogate", start("{\"note\": \"\\ud800\"}")),
        (
            "bytes that are not UTF-8",
            api.write(Method::POST, "/v1/definitions/order/sagas?id=X1", b"{\"note\": \"\xff\"}").error(),
        ),
        ("more than 1 MiB", start(&format!("{{\"note\": \"{}\"}}", "x".repeat(1 << 20)))),
    ]);
    expect![[r#"
        no JSON
          400 bad_json: bad JSON: expected value at line 1 column 1
        half a value
          400 bad_json: bad JSON: EOF while parsing a value at line 1 column 13
        two values
          400 bad_json: bad JSON: trailing characters at line 1 column 4
        one name twice
          400 bad_json: bad JSON: key `qty` twice in the outermost object at line 1 column 20
        a number that does not survive
          400 bad_json: bad JSON: number 9007199254740993 does not survive a 64-bit float; send it as a string, at line 1 column 9
        a number without a value
          400 bad_json: bad JSON: expected value at line 1 column 9
        65 levels
          400 bad_json: bad JSON: nested deeper than 64 levels at line 1 column 66
        100,000 levels
          400 bad_json: bad JSON: nested deeper than 64 levels at line 1 column 65
        a lone surrogate
          400 bad_json: bad JSON: unexpected end of hex escape at line 1 column 17
        bytes that are not UTF-8
          400 bad_json: bad JSON: invalid unicode code point at line 1 column 11
        more than 1 MiB
          413 payload_too_large: the input is larger than 1048576 bytes
          hint: send a reference to what is large, or raise `payload` in [limits]
    "#]]
    .assert_eq(&found);
    assert_eq!(api.get("/v1/sagas").expect(200)["sagas"], json!([]));
    let levels = api.write(Method::POST, "/v1/definitions/order/sagas?id=X1&wait=100s", deep(64).as_bytes());
    // 64 levels are taken, and it is the module that says what it thinks of them.
    assert_eq!(levels.body["failure"]["code"], "bad_input", "{}", levels.body);
}

#[test]
fn bad_json_is_refused_at_the_other_doors_as_well() {
    let host = host();
    let api = host.api();
    api.start("approval", "R1", &json!({})).expect(201);
    api.until_type("R1", "wait");
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    let large = format!("{{\"note\": \"{}\"}}", "x".repeat((1 << 20) + (64 << 10)));
    let doors = [
        (Method::POST, "/v1/sagas/R1/signals/approval"),
        (Method::POST, "/v1/events"),
        (Method::POST, "/v1/sagas/R1/cancel"),
        (Method::POST, "/v1/modules/order/activate"),
        (Method::PUT, "/v1/modules/order/grants"),
    ];
    let mut found = String::new();
    for (method, path) in doors {
        found.push_str(&format!("{path}\n"));
        for body in ["approved", "{\"approved\": ", "{\"note\": \"a\", \"note\": \"b\"}", &deep, &large] {
            found.push_str(&api.write(method.clone(), path, body.as_bytes()).error());
        }
    }
    expect![[r#"
        /v1/sagas/R1/signals/approval
        400 bad_json: bad JSON: expected value at line 1 column 1
        400 bad_json: bad JSON: EOF while parsing a value at line 1 column 13
        400 bad_json: bad JSON: key `note` twice in the outermost object at line 1 column 26
        400 bad_json: bad JSON: nested deeper than 64 levels at line 1 column 66
        413 payload_too_large: the data is larger than 1048576 bytes
          hint: send a reference to what is large, or raise `payload` in [limits]
        /v1/events
        400 bad_json: bad JSON: expected value at line 1 column 1
        400 bad_json: bad JSON: EOF while parsing a value at line 1 column 13
        400 bad_json: bad JSON: key `note` twice in the outermost object at line 1 column 26
        400 bad_json: bad JSON: nested deeper than 64 levels at line 1 column 66
        413 payload_too_large: the body is larger than 1064960 bytes
          hint: send a reference to what is large, or raise `payload` in [limits]
        /v1/sagas/R1/cancel
        400 bad_json: bad JSON: expected value at line 1 column 1
        400 bad_json: bad JSON: EOF while parsing a value at line 1 column 13
        400 bad_json: bad JSON: key `note` twice in the outermost object at line 1 column 26
        400 bad_json: bad JSON: nested deeper than 64 levels at line 1 column 66
        413 payload_too_large: the body is larger than 1056768 bytes
          hint: send a reference to what is large, or raise `payload` in [limits]
        /v1/modules/order/activate
        400 bad_json: bad JSON: expected value at line 1 column 1
        400 bad_json: bad JSON: EOF while parsing a value at line 1 column 13
        400 bad_json: bad JSON: key `note` twice in the outermost object at line 1 column 26
        400 bad_json: bad JSON: nested deeper than 64 levels at line 1 column 66
        413 payload_too_large: the body is larger than 1048576 bytes
          hint: send a reference to what is large, or raise `payload` in [limits]
        /v1/modules/order/grants
        400 bad_json: bad JSON: expected value at line 1 column 1
        400 bad_json: bad JSON: EOF while parsing a value at line 1 column 13
        400 bad_json: bad JSON: key `note` twice in the outermost object at line 1 column 26
        400 bad_json: bad JSON: nested deeper than 64 levels at line 1 column 66
        413 payload_too_large: the body is larger than 1048576 bytes
          hint: send a reference to what is large, or raise `payload` in [limits]
    "#]]
    .assert_eq(&found);
    assert_eq!(api.saga("R1")["status"], "waiting");
}

/// A saga's input may be as large as a payload, and not larger.
#[test]
fn xr_29_inputs_are_taken_whole_or_refused() {
    let mut host = host();
    let input = |bytes: usize| {
        let frame = json!({"note": ""}).to_string().len();
        json!({"note": "x".repeat(bytes - frame)})
    };
    for (id, bytes) in [("small", 1 << 10), ("large", 1 << 20)] {
        assert_eq!(host.api().run("order", id, &input(bytes))["status"], "completed", "{id}");
    }
    let found = host.api().start("order", "larger", &input((1 << 20) + 1)).error();
    expect![[r#"
        413 payload_too_large: the input is larger than 1048576 bytes
          hint: send a reference to what is large, or raise `payload` in [limits]
    "#]]
    .assert_eq(&found);
    assert_eq!(host.api().get("/v1/sagas/larger").code(), "404 saga_not_found");
    host.restart();
    assert_eq!(host.api().saga("large")["input"]["note"].as_str().unwrap().len(), (1 << 20) - 11);
}

/// An event's envelope may be large besides its data. What was in the envelope's room was taken for room for the data: the event
/// was durable, woke the saga, and every attempt failed at handing it to the guest.
#[test]
fn xr_29_events_and_outputs_are_taken_whole_or_refused() {
    let host = host();
    let api = host.api();
    api.start("approval", "R1", &json!({"request_id": "K"})).expect(201);
    api.until_type("R1", "wait");
    let decision = |by: usize| json!({"approved": true, "by": "x".repeat(by)});
    let padded = |bytes: usize| decision(bytes - decision(0).to_string().len());
    let event = |bytes: usize| json!({"specversion": "1.0", "id": "E1", "source": "test", "type": "approval", "subject": "K", "data": padded(bytes)});
    let by_hand = json!({"step": "decide", "output": padded((1 << 20) + 1)});
    let found = answers_text([
        ("an event's data", api.post("/v1/events", &event((1 << 20) + 1)).error()),
        ("a signal's data", api.post("/v1/sagas/R1/signals/approval", &padded((1 << 20) + 1)).error()),
        ("an output by hand", api.post("/v1/sagas/R1/resolve", &by_hand).error()),
    ]);
    expect![[r#"
        an event's data
          413 payload_too_large: the data is larger than 1048576 bytes
          hint: send a reference to what is large, or raise `payload` in [limits]
        a signal's data
          413 payload_too_large: the data is larger than 1048576 bytes
          hint: send a reference to what is large, or raise `payload` in [limits]
        an output by hand
          413 payload_too_large: the output is larger than 1048576 bytes
          hint: send a reference to what is large, or raise `payload` in [limits]
    "#]]
    .assert_eq(&found);
    assert_eq!(api.saga("R1")["status"], "waiting");
    api.post("/v1/events", &event(1 << 20)).expect(202);
    // The saga's own output holds more than that, and is the module's affair.
    api.until("R1", |record| record["type"] == "done" && record["step"] == "decide");
    let taken = api.saga("R1")["steps"][1]["output"]["by"].as_str().unwrap().len();
    assert_eq!(taken, padded(1 << 20)["by"].as_str().unwrap().len());
}
