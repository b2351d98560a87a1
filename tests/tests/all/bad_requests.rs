//! What bad requests get: a clear error that names the thing and the remedy, and nothing begun.

use expect_test::expect;
use serde_json::{Value, json};
use ureq::http::Method;

use crate::harness::{
    folder::DataFolder,
    guests::Way,
    host::{Host, Options},
    probe::{DONE, Probe},
    said,
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
    let found = said([
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

#[test]
fn bad_json_is_refused() {
    let host = host();
    let api = host.api();
    let start = |body: &str| api.write(Method::POST, "/v1/definitions/order/sagas?id=X1", body.as_bytes()).error();
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let found = said([
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
    "#]]
    .assert_eq(&found);
    assert_eq!(api.get("/v1/sagas").expect(200)["sagas"], json!([]));
    let levels = api.write(Method::POST, "/v1/definitions/order/sagas?id=X1&wait=100s", deep(64).as_bytes());
    // 64 levels are taken, and it is the module that says what it thinks of them.
    assert_eq!(levels.body["failure"]["code"], "bad_input", "{}", levels.body);
}

#[test]
fn what_there_is_not_is_named() {
    let host = host();
    let api = host.api();
    api.run("order", "O1", &json!({}));
    let none = json!({});
    let post = |path: &str, body: &Value| api.post(path, body).error();
    let found = said([
        ("a saga's definition", api.start("ordr", "X1", &none).error()),
        ("a definition in another namespace", api.in_namespace("elsewhere").start("order", "X1", &none).error()),
        ("a definition to show", api.get("/v1/definitions/ordr").error()),
        ("a saga", api.get("/v1/sagas/X1").error()),
        ("its journal", api.get("/v1/sagas/X1/journal").error()),
        ("a saga to follow", api.get("/v1/sagas/X1/watch").error()),
        ("a saga to cancel", post("/v1/sagas/X1/cancel", &none)),
        ("a module", api.get("/v1/modules/ordr").error()),
        ("a module to activate", post("/v1/modules/ordr/activate", &json!({"version": 1}))),
        ("a version", post("/v1/modules/order/activate", &json!({"version": 7}))),
        ("a version before the first", post("/v1/modules/order/activate", &json!({"previous": true}))),
        ("a module's grants", api.put("/v1/modules/ordr/grants", b"{\"grants\": {}}").error()),
        ("a route", api.get("/v1/saga").error()),
        ("a method", post("/v1/definitions/order", &none)),
        ("a status", api.get("/v1/sagas?status=done").error()),
        ("a parameter", api.get("/v1/sagas?states=done").error()),
        ("a cursor", api.get("/v1/sagas?cursor=next").error()),
        ("a duration", api.start("order", "X1&wait=soon", &none).error()),
        ("a long duration", api.start("order", "X1&wait=1h", &none).error()),
    ]);
    expect![[r#"
        a saga's definition
          404 definition_not_found: no saga `ordr` is deployed in namespace `default`
          hint: did you mean `order`?
        a definition in another namespace
          404 definition_not_found: no saga `order` is deployed in namespace `elsewhere`
          hint: deploy a module first: amends deploy FILE.wasm
        a definition to show
          404 definition_not_found: no saga `ordr` is deployed in this namespace
          hint: GET /v1/definitions lists the ones that are
        a saga
          404 saga_not_found: no saga `X1` in this namespace
          hint: `amends list` shows the sagas that there are
        its journal
          404 saga_not_found: no saga `X1` in this namespace
          hint: `amends list` shows the sagas that there are
        a saga to follow
          404 saga_not_found: no saga `X1` in this namespace
          hint: `amends list` shows the sagas that there are
        a saga to cancel
          404 saga_not_found: there is no saga X1
          hint: look for it: amends list
        a module
          404 module_not_found: no module `ordr` in this namespace
          hint: `amends modules` shows the ones that there are
        a module to activate
          404 module_not_found: there is no module `ordr` in this namespace
          hint: deploy it first: amends deploy FILE.wasm
        a version
          404 version_not_found: module `order` has no version 7
          hint: its versions are in: amends modules order
        a version before the first
          404 version_not_found: no version of `order` was active before this one
          hint: choose one: amends modules order
        a module's grants
          404 module_not_found: there is no module `ordr` in this namespace
          hint: deploy it first: amends deploy FILE.wasm
        a route
          404 route_not_found: no route `/v1/saga`
          hint: GET /openapi.json lists them
        a method
          405 method_not_allowed: `/v1/definitions/order` does not take POST
          hint: GET /openapi.json lists what it takes
        a status
          400 bad_request: `done` is no status
          hint: use running, waiting, compensating, completed, compensated, stuck or abandoned
        a parameter
          400 bad_query: bad query: states: unknown field `states`, expected one of `saga`, `status`, `limit`, `cursor`, `at_least`
        a cursor
          400 bad_request: `next` is no position
          hint: use one as the host handed it out
        a duration
          400 bad_request: wait `soon` is no duration
          hint: write it as 30s, at most 300s
        a long duration
          400 bad_request: wait `1h` is too long
          hint: write it as 30s, at most 300s
    "#]].assert_eq(&found);
}

#[test]
fn an_id_is_never_used_twice() {
    let host = host();
    let api = host.api();
    let (input, other) = (json!({"order_id": "o-1", "qty": 1}), json!({"order_id": "o-2"}));
    let first = api.start("order", "O1", &input).expect(201);
    // The same input, written otherwise.
    let again = api.write(Method::POST, "/v1/definitions/order/sagas?id=O1", b" {\"qty\" : 1.0, \"order_id\":\"o-\\u0031\"} ");
    assert_eq!((again.status, &again.body["started_at"]), (200, &first["started_at"]), "{}", again.body);
    let found = said([
        ("another input", api.start("order", "O1", &other).error()),
        ("another definition", api.start("approval", "O1", &input).error()),
    ]);
    expect![[r#"
        another input
          409 id_taken: saga id O1 is taken by another definition or input
          hint: an id is never used twice: choose another, or send the same input again
        another definition
          409 id_taken: saga id O1 is taken by another definition or input
          hint: an id is never used twice: choose another, or send the same input again
    "#]]
    .assert_eq(&found);
    // It is another saga in another namespace.
    assert_eq!(api.in_namespace("shelf").start("order", "O1", &other).status, 201);
}

#[test]
fn verbs_that_do_not_fit_say_which_do() {
    let host = host();
    let api = host.api();
    api.run("order", "ended", &json!({}));
    api.start("approval", "waits", &json!({"subject": "a desk"})).expect(201);
    api.until_type("waits", "wait");
    let act = |id: &str, verb: &str, body: Value| without_time(api.post(&format!("/v1/sagas/{id}/{verb}"), &body).error());
    let found = said([
        ("cancel of an ended saga", act("ended", "cancel", json!({}))),
        ("abandon of an ended saga", act("ended", "abandon", json!({}))),
        ("a signal to an ended saga", act("ended", "signals/approval", json!({}))),
        ("retry of what waits", act("waits", "retry", json!({}))),
        ("skip of what waits", act("waits", "skip", json!({"step": "decide"}))),
        ("resolve of a step that is done", act("waits", "resolve", json!({"step": "request", "not_done": true}))),
        ("resolve of no step", act("waits", "resolve", json!({"step": "decline", "not_done": true}))),
        ("resolve of nothing", act("waits", "resolve", json!({"step": "decide"}))),
        ("resolve of both", act("waits", "resolve", json!({"step": "decide", "not_done": true, "undone": true}))),
        ("an unknown field", act("waits", "cancel", json!({"because": "of it"}))),
        ("another revision", act("waits", "cancel", json!({"expect_revision": "3"}))),
        ("a note that is too long", act("waits", "cancel", json!({"note": "x".repeat(5_000)}))),
    ]);
    expect![[r#"
        cancel of an ended saga
          409 saga_ended: saga ended completed at … and takes no more verbs or signals
          hint: what it did is undone by another saga, as a refund
        abandon of an ended saga
          409 saga_ended: saga ended completed at … and takes no more verbs or signals
          hint: what it did is undone by another saga, as a refund
        a signal to an ended saga
          409 saga_ended: saga ended completed at … and takes no more verbs or signals
          hint: what it did is undone by another saga, as a refund
        retry of what waits
          409 verb_does_not_fit: saga waits: no step is stuck or backing off
          hint: these fit: resolve, cancel, abandon
        skip of what waits
          409 verb_does_not_fit: saga waits: only a stuck compensation can be skipped, and `decide` has none
          hint: these fit: resolve, cancel, abandon
        resolve of a step that is done
          409 verb_does_not_fit: saga waits: `request` is not stuck or in doubt, or an attempt is open
          hint: these fit: resolve, cancel, abandon
        resolve of no step
          404 step_not_found: saga waits: the saga has no step `decline`
          hint: its steps are in: amends show waits
        resolve of nothing
          400 bad_request: give exactly one of `output`, `not_done` and `undone`
        resolve of both
          400 bad_request: give exactly one of `output`, `not_done` and `undone`
        an unknown field
          400 bad_request: the body does not fit: unknown field `because`, expected `note` or `expect_revision` at line 1 column 10
        another revision
          409 revision_changed: saga waits is at revision 5, not 3
          hint: look again: amends show waits
        a note that is too long
          400 bad_request: the note is longer than 4096 bytes
    "#]].assert_eq(&found);
    assert_eq!(api.saga("waits")["status"], "waiting");
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
    "#]]
    .assert_eq(&found);
    assert_eq!(host.api().get("/v1/sagas/larger").code(), "404 saga_not_found");
    host.restart();
    assert_eq!(host.api().saga("large")["input"]["note"].as_str().unwrap().len(), (1 << 20) - 11);
}

#[test]
fn an_input_that_does_not_fit_the_sagas_schema_is_refused_with_the_place() {
    let host = Host::start(DataFolder::empty(), Options::default());
    let api = host.api();
    let schema = json!({"type": "object", "required": ["sku"], "properties": {"qty": {"type": "integer", "minimum": 1}}});
    let probe = Probe { schema: Some(schema.to_string()), ..Probe::execute(DONE) };
    api.put("/v1/modules/probe", &probe.component()).expect(201);
    let refused = |input: Value| api.start("probe", "P1", &input).error();
    expect![[r#"
        422 input_does_not_fit: the input does not fit saga `probe`: at /qty: must be >=1, but got 0
          hint: its schema is in GET /v1/definitions/probe
    "#]]
    .assert_eq(&refused(json!({"sku": "K1", "qty": 0})));
    expect![[r#"
        422 input_does_not_fit: the input does not fit saga `probe`: missing properties 'sku'
          hint: its schema is in GET /v1/definitions/probe
    "#]]
    .assert_eq(&refused(json!({})));
    assert_eq!(api.run("probe", "P1", &json!({"sku": "K1"}))["status"], "completed", "what was refused has taken no id");
}

/// A moment as `…`.
fn without_time(said: String) -> String {
    let Some((before, after)) = said.split_once(" at 2") else { return said };
    let after = after.split_once("Z ").map_or("", |(_, after)| after);
    format!("{before} at … {after}")
}
