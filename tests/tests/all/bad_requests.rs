//! Bad requests: an error that names the fault and the remedy, and no effect.

use expect_test::expect;
use serde_json::{Value, json};
use ureq::http::Method;

use crate::harness::{
    answers_text,
    folder::DataFolder,
    guests::Way,
    host::{Host, Options},
    probe::{DONE, Probe},
    without_time,
};

fn host() -> Host {
    Host::start(DataFolder::with_modules(Way::Plain), Options::default())
}

#[test]
fn what_there_is_not_is_named() {
    let host = host();
    let api = host.api();
    api.run("order", "O1", &json!({}));
    let none = json!({});
    let post = |path: &str, body: &Value| api.post(path, body).error();
    let found = answers_text([
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
          400 bad_query: bad query: status: unknown variant `done`, expected one of `completed`, `compensated`, `abandoned`, `stuck`, `compensating`, `waiting`, `running`
        a parameter
          400 bad_query: bad query: states: unknown field `states`, expected one of `saga`, `status`, `module`, `version`, `step`, `failure`, `limit`, `cursor`, `at_least`
        a cursor
          400 bad_request: `next` is no position
          hint: use one as the host handed it out
        a duration
          400 bad_request: wait `soon` is no duration
          hint: write it as 30s, at most 5m
        a long duration
          400 wait_too_long: wait `1h` is too long
          hint: ask again and again, each time for at most 5m
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
    let found = answers_text([
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
    let found = answers_text([
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
          404 step_not_found: saga waits: it has no step `decline`
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
