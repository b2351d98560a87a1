//! Events from outside, in the three modes of CloudEvents: one alone, in headers, and many at once, also across a kill.

use std::{fs, thread, time::Instant};

use expect_test::expect;
use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::http::Method;

use crate::harness::{
    api::{Api, PATIENCE},
    folder::DataFolder,
    host::{Host, Options},
};

const BATCH: [(&str, &str); 1] = [("content-type", "application/cloudevents-batch+json")];

fn host() -> Host {
    Host::start(DataFolder::empty(), Options::default())
}

/// An event of one of a few types and keys.
fn event(number: usize) -> Value {
    let (event_type, key) = (format!("shop.sold-{}", number % 3), (number % 5).to_string());
    json!({"specversion": "1.0", "id": number.to_string(), "source": "shop", "type": event_type, "subject": key, "data": number})
}

/// What is recorded: id, key and data.
fn recorded(api: &Api) -> Vec<String> {
    let part = |event: &Value, name: &str| event.get(name).map(|value| format!(" {value}")).unwrap_or_default();
    let told = |event: Value| {
        format!("{}{}{}{}", event["id"].as_str().unwrap(), part(&event, "key"), part(&event, "data"), part(&event, "data_base64"))
    };
    api.log().into_iter().map(told).collect()
}

#[test]
fn an_event_in_headers_is_the_one_that_its_attributes_say() {
    let host = host();
    let api = host.api();
    let send = |id: &str, content_type: &str, body: &[u8]| {
        let headers = [
            ("ce-specversion", "1.0"),
            ("CE-ID", id),
            ("ce-source", "/shops/k%C3%B6ln"),
            ("ce-type", "shop.sold"),
            ("ce-subject", "Euro%20%E2%82%AC"),
            ("ce-time", "2026-01-01T00:00:00Z"),
            ("content-type", content_type),
        ];
        api.try_send_with(Method::POST, "/v1/events", &headers, body).unwrap()
    };
    assert_eq!(send("1", "application/json", b"{\"cents\": 7}").status, 202);
    assert_eq!(send("2", "image/png", b"\x89PNG\0\xff").status, 202);
    let spelled = json!({"id": "1", "source": "/shops/k\u{f6}ln", "specversion": "1.0", "type": "shop.sold"});
    assert_eq!(api.post("/v1/events", &spelled).expect(200)["duplicate"], true);
    expect![[r#"
        1 "Euro €" {"cents":7}
        2 "Euro €" "iVBORwD/""#]]
    .assert_eq(&recorded(&api).join("\n"));
}

/// A batch is taken while it is being recorded, and a kill cuts it anywhere: what is recorded is its beginning, and sent again, it is
/// recorded to its end.
#[test]
fn a_batch_that_a_kill_cut_is_sent_again_and_recorded_once_and_in_its_order() {
    let mut host = host();
    let events = Value::from((0..9_000).map(event).collect::<Vec<_>>()).to_string();
    let expected: Vec<String> = (0..9_000).map(|number| format!("{number} \"{}\" {number}", number % 5)).collect();
    let (api, body) = (host.api(), events.clone());
    let sending = thread::spawn(move || drop(api.try_send_with(Method::POST, "/v1/events", &BATCH, body.as_bytes())));
    let deadline = Instant::now() + PATIENCE;
    while host.api().get("/v1/events?limit=1").expect(200)["events"] == json!([]) {
        assert!(Instant::now() < deadline, "nothing is recorded");
    }
    host.kill();
    sending.join().unwrap();
    host.restart();
    let before = recorded(&host.api());
    assert_eq!(before, expected[..before.len()]);
    let again = host.api().try_send_with(Method::POST, "/v1/events", &BATCH, events.as_bytes()).unwrap().expect(200);
    assert_eq!(
        (again["duplicates"].as_u64().unwrap() as usize, again["refused"].as_u64()),
        (before.len(), Some(0)),
        "of {} events",
        expected.len()
    );
    assert_eq!(recorded(&host.api()), expected);
}

#[test]
fn the_command_line_publishes_a_file_and_names_what_was_refused() {
    let host = host();
    let folder = TempDir::new().unwrap();
    let of = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let bad = json!({"specversion": "1.0", "id": "x", "source": "policy/rule", "type": "shop.sold"});
    let lines = of("events.jsonl", format!("{}\n\n{}\nnonsense\n{bad}\n{}\n", event(1), event(2), event(1)));
    let array = of("events.json", Value::from(vec![event(2), event(3)]).to_string());
    let mut found = String::new();
    for arguments in [["publish", "--batch", &lines], ["publish", "--batch", &array]] {
        let said = host.cli(&arguments);
        found += &format!("{}{}exit {}\n", said.stderr, said.stdout, said.code);
    }
    let said = host.cli(&["publish", "--batch", &lines, "--json"]);
    found += &said.stdout;
    expect![[r#"
        event 4: it is no JSON: expected ident at column 2 (bad_json)
        event 5 (x): the source `policy/rule` is the host's own; send a signal to a saga, or give the source a name of your own (bad_request)
        2 events recorded, 1 there already, 2 refused
        exit 1
        1 event recorded, 1 there already, 0 refused
        exit 0
        {"recorded":0,"duplicates":3,"refused":2,"not_taken":0,"refusals":[{"number":4,"code":"bad_json","message":"it is no JSON: expected ident at column 2"},{"number":5,"id":"x","code":"bad_request","message":"the source `policy/rule` is the host's own; send a signal to a saga, or give the source a name of your own"}]}
    "#]].assert_eq(&found);
    assert_eq!(host.cli(&["publish", "shop.sold", "--batch", &lines]).code, 2);
    assert_eq!(host.cli(&["publish"]).code, 2);
    assert_eq!(recorded(&host.api()), ["1 \"1\" 1", "2 \"2\" 2", "3 \"3\" 3"]);
}
