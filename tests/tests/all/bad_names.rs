//! Bad names: an error that shows the name and the rule, and no effect.

use expect_test::expect;
use serde_json::json;

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
fn bad_names_are_refused() {
    let host = host();
    let api = host.api();
    let (long, input) = ("a".repeat(300), json!({}));
    let start = |saga: &str, id: &str| api.start(saga, id, &input).error();
    let found = answers_text([
        ("a saga that leads elsewhere", start("..%2Forder", "X1")),
        ("a saga without a name", start("", "X1")),
        ("a saga with a long name", start(&long, "X1")),
        ("a saga whose name turns the reading direction", start("or%E2%80%AEder", "X1")),
        ("an id that leads elsewhere", start("order", "..%2FX1")),
        ("an empty id", start("order", "")),
        ("a long id", start("order", &long)),
        ("an id that turns the reading direction", start("order", "X%E2%80%AE1")),
        ("an id with a line break", start("order", "X%0A1")),
        ("an id that is not UTF-8", start("order", "X%FF1")),
        ("a module that leads elsewhere", api.put("/v1/modules/..%2Forder", b"").error()),
        ("a namespace", api.in_namespace("../default").start("order", "X1", &input).error()),
        ("an id to show", api.get("/v1/sagas/..%2FX1").error()),
    ]);
    expect![[r#"
        a saga that leads elsewhere
          400 bad_name: bad name "../order": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        a saga without a name
          400 bad_name: bad name "": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        a saga with a long name
          400 bad_name: bad name "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        a saga whose name turns the reading direction
          400 bad_name: bad name "or\u{202e}der": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        an id that leads elsewhere
          400 bad_name: bad saga id "../X1": use 1 to 128 of letters, digits, . _ : and -, beginning with a letter or digit
        an empty id
          400 bad_name: bad saga id "": use 1 to 128 of letters, digits, . _ : and -, beginning with a letter or digit
        a long id
          400 bad_name: bad saga id "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": use 1 to 128 of letters, digits, . _ : and -, beginning with a letter or digit
        an id that turns the reading direction
          400 bad_name: bad saga id "X\u{202e}1": use 1 to 128 of letters, digits, . _ : and -, beginning with a letter or digit
        an id with a line break
          400 bad_name: bad saga id "X\n1": use 1 to 128 of letters, digits, . _ : and -, beginning with a letter or digit
        an id that is not UTF-8
          400 bad_name: bad saga id "X�1": use 1 to 128 of letters, digits, . _ : and -, beginning with a letter or digit
        a module that leads elsewhere
          400 bad_name: bad name "../order": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        a namespace
          400 bad_name: bad namespace "../default": use 1 to 63 of a-z, 0-9 and -
        an id to show
          400 bad_name: bad saga id "../X1": use 1 to 128 of letters, digits, . _ : and -, beginning with a letter or digit
    "#]].assert_eq(&found);
    assert_eq!(api.get("/v1/sagas").expect(200)["sagas"], json!([]));
}

/// The four ways in which any name can be bad, as they are written in a path.
fn in_a_path(path: impl Fn(&str) -> String) -> [String; 4] {
    [path("..%2Forder"), path(""), path(&"a".repeat(300)), path("or%E2%80%AEder")]
}

#[test]
fn bad_names_of_modules_and_signals_are_refused() {
    let host = host();
    let api = host.api();
    api.start("approval", "R1", &json!({})).expect(201);
    api.until_type("R1", "wait");
    let deploys = in_a_path(|name| api.put(&format!("/v1/modules/{name}"), b"(component)").error());
    let activations = in_a_path(|name| api.post(&format!("/v1/modules/{name}/activate"), &json!({"version": 1})).error());
    // The type of an event may have any form: only what does not show as what it is is refused.
    let signals = ["", &"a".repeat(300), "appr%E2%80%AEoval"]
        .map(|name| api.post(&format!("/v1/sagas/R1/signals/{name}"), &json!({})).error());
    let sagas = in_a_path(|id| api.post(&format!("/v1/sagas/{id}/cancel"), &json!({})).error());
    let steps = ["../decide", "", &"a".repeat(300), "de\u{202e}cide"].map(|step| {
        let body = json!({"step": step, "not_done": true});
        api.post("/v1/sagas/R1/resolve", &body).error()
    });
    let found = answers_text([
        ("modules to deploy", deploys.concat()),
        ("modules to activate", activations.concat()),
        ("signals", signals.concat()),
        ("sagas", sagas.concat()),
        ("steps", steps.concat()),
    ]);
    expect![[r#"
        modules to deploy
          400 bad_name: bad name "../order": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        404 route_not_found: no route `/v1/modules/`
          hint: GET /openapi.json lists them
        400 bad_name: bad name "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        400 bad_name: bad name "or\u{202e}der": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        modules to activate
          400 bad_name: bad name "../order": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        400 bad_name: bad name "": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        400 bad_name: bad name "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        400 bad_name: bad name "or\u{202e}der": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        signals
          404 route_not_found: no route `/v1/sagas/R1/signals/`
          hint: GET /openapi.json lists them
        400 bad_request: `signal` has 1 to 255 printable bytes
        400 bad_request: `signal` has 1 to 255 printable bytes
        sagas
          400 bad_name: bad saga id "../order": use 1 to 128 of letters, digits, . _ : and -, beginning with a letter or digit
        400 bad_name: bad saga id "": use 1 to 128 of letters, digits, . _ : and -, beginning with a letter or digit
        400 bad_name: bad saga id "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": use 1 to 128 of letters, digits, . _ : and -, beginning with a letter or digit
        400 bad_name: bad saga id "or\u{202e}der": use 1 to 128 of letters, digits, . _ : and -, beginning with a letter or digit
        steps
          404 step_not_found: saga R1: it has no step `../decide`
          hint: its steps are in: amends show R1
        400 bad_request: `step` is a step's path, as `reserve-hotel`
        404 step_not_found: saga R1: it has no step `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`
          hint: its steps are in: amends show R1
        400 bad_request: `step` is a step's path, as `reserve-hotel`
    "#]].assert_eq(&found);
    assert_eq!(api.saga("R1")["status"], "waiting");
}

#[test]
fn bad_names_in_events_are_refused() {
    let host = host();
    let publish = |name: &str, value: &str| {
        let mut event = json!({"specversion": "1.0", "id": "E1", "source": "test", "type": "approval", "subject": "K"});
        event[name] = json!(value);
        host.api().post("/v1/events", &event).error()
    };
    let long = "a".repeat(300);
    let each = |value: &str| ["id", "source", "type", "subject"].map(|name| publish(name, value)).concat();
    let found = answers_text([
        ("without a name", each("")),
        ("long", each(&long)),
        ("with a line break", each("a\nb")),
        ("turned", each("a\u{202e}b")),
    ]);
    expect![[r#"
        without a name
          400 bad_request: `id` has 1 to 255 printable bytes
        400 bad_request: `source` has 1 to 255 printable bytes
        400 bad_request: `type` has 1 to 255 printable bytes
        400 bad_request: `subject` has 1 to 255 printable bytes
        long
          400 bad_request: `id` has 1 to 255 printable bytes
        400 bad_request: `source` has 1 to 255 printable bytes
        400 bad_request: `type` has 1 to 255 printable bytes
        400 bad_request: `subject` has 1 to 255 printable bytes
        with a line break
          400 bad_request: `id` has 1 to 255 printable bytes
        400 bad_request: `source` has 1 to 255 printable bytes
        400 bad_request: `type` has 1 to 255 printable bytes
        400 bad_request: `subject` has 1 to 255 printable bytes
        turned
          400 bad_request: `id` has 1 to 255 printable bytes
        400 bad_request: `source` has 1 to 255 printable bytes
        400 bad_request: `type` has 1 to 255 printable bytes
        400 bad_request: `subject` has 1 to 255 printable bytes
    "#]]
    .assert_eq(&found);
}
