//! What bad input gets: a clear error that names the thing and the remedy, and nothing lost or half done.

use std::fs;

use expect_test::expect;
use serde_json::{Value, json};
use ureq::http::Method;

use crate::harness::{
    api::Api,
    folder::DataFolder,
    guests::{Way, guest, guest_path},
    host::{Host, NotReady, Options, cli, refuses_to_start},
    probe::{DONE, Kind, Probe, Step, Undo},
};

fn host() -> Host {
    Host::start(DataFolder::with_modules(Way::Plain), Options::default())
}

/// What each of these gets, one after the other.
fn said<const N: usize>(answers: [(&str, String); N]) -> String {
    answers.map(|(what, error)| format!("{what}\n  {error}")).concat()
}

/// The errors that a deploy of these bytes gets, under the name `probe`.
fn deployed(api: &Api, bytes: &[u8]) -> String {
    api.put("/v1/modules/probe", bytes).error()
}

/// After whatever was refused: the same modules, nothing new on the disk, and new work is taken.
fn assert_unharmed(host: &Host, modules: &Value, files: usize) {
    assert_eq!(host.api().get("/v1/modules").expect(200), *modules);
    assert_eq!(stored(host), files);
    assert_eq!(host.api().run("order", "unharmed", &json!({}))["status"], "completed");
}

fn stored(host: &Host) -> usize {
    fs::read_dir(host.folder.path().join("modules")).unwrap().count()
}

#[test]
fn bytes_that_are_no_module_are_refused() {
    let host = host();
    let (api, files) = (host.api(), stored(&host));
    let modules = api.get("/v1/modules").expect(200);
    let order = guest(Way::Plain, "order");
    let wat = |text: &str| wat::parse_str(text).unwrap();
    let unknown = wat("(component (import \"wasi:keyvalue/store@0.2.0\" (instance)) (import \"env\" (func)))");
    let precompiled = [b"\x7fELF\x02\x01\x01\x00".as_slice(), &[0; 4096]].concat();
    let found = said([
        ("nothing", deployed(&api, b"")),
        ("text", deployed(&api, b"(component)")),
        ("a truncated component", deployed(&api, &order[..order.len() / 2])),
        ("the first bytes of one", deployed(&api, &order[..6])),
        ("a core module", deployed(&api, &wat("(module)"))),
        ("compiled code", deployed(&api, &precompiled)),
        ("a component of another world", deployed(&api, &wat("(component)"))),
        ("a component with unknown imports", deployed(&api, &unknown)),
        ("a component under another name", deployed(&api, &order)),
        ("a component that is too large", deployed(&api, &vec![0; (16 << 20) + 1])),
    ]);
    // Where a cut component ends depends on the compiler that built it.
    let found: String = found
        .lines()
        .map(|line| line.split_once(": section range ").map_or(line, |(before, _)| before))
        .fold(String::new(), |text, line| text + line + "\n");
    expect![[r#"
        nothing
          400 bad_request: the body is empty
          hint: send the bytes of a component
        text
          422 text_wasm: this is WebAssembly text
          hint: make it binary with `wasm-tools parse FILE -o FILE.wasm`
        a truncated component
          422 truncated: the component is cut off: failed to parse WebAssembly module: wasm component contains an invalid module section
          hint: copy or build it again
        the first bytes of one
          422 truncated: the file ends after 6 bytes
          hint: copy or build it again
        a core module
          422 core_module: this is a core WebAssembly module, and Amends runs components
          hint: build it with `cargo component build --release`, or with `cargo build --release --target wasm32-wasip2`
        compiled code
          422 precompiled: this is machine code (a precompiled .cwasm or an ELF file), which is never accepted
          hint: deploy the .wasm that it was made from; the host compiles it
        a component of another world
          422 no_saga_export: the component exports nothing; a module exports amends:module/saga@0.1.0
          hint: call `amends_sdk::export!` in it, or target the world `amends:module/saga-module`
        a component with unknown imports
          422 unknown_import: the component imports what no host of Amends offers: wasi:keyvalue/store@0.2.0, env
          hint: a module may import amends:module@0.1 and wasi:{io,cli,clocks,random,filesystem,sockets,http}@0.2; remove the dependency that needs more
        a component under another name
          422 name_mismatch: the component names itself `order`, not `probe`
          hint: deploy it as `order`, or change the name in its source
        a component that is too large
          413 payload_too_large: the component is larger than 16777216 bytes
    "#]].assert_eq(&found);
    assert_unharmed(&host, &modules, files);
}

#[test]
fn definitions_that_break_the_rules_are_refused_with_every_reason() {
    let host = host();
    let (api, files) = (host.api(), stored(&host));
    let modules = api.get("/v1/modules").expect(200);
    let compensatable = |name: &str| Step::new(name, Kind::Compensatable, Undo::Code);
    let pivot = |name: &str| Step::new(name, Kind::Pivot, Undo::None);
    let retriable = |name: &str| Step::new(name, Kind::Retriable, Undo::None);
    let steps = |steps: Vec<Step>| deployed(&api, &Probe::steps(steps).component());
    let describe = |body: &str| Probe { describe: Some(body.to_owned()), ..Probe::execute(DONE) }.component();
    let named = |module: &str, saga: &str, step: &str| {
        let probe = Probe { module: module.to_owned(), saga: saga.to_owned(), ..Probe::steps(vec![compensatable(step)]) };
        deployed(&api, &probe.component())
    };
    let long = "a".repeat(300);
    let found = said([
        ("a compensatable step after the pivot", steps(vec![pivot("pay"), compensatable("reserve")])),
        ("two pivots", steps(vec![pivot("pay"), pivot("ship")])),
        ("a pivot after a retriable step", steps(vec![retriable("email"), pivot("pay")])),
        ("a compensatable step without undo", steps(vec![Step::new("reserve", Kind::Compensatable, Undo::None)])),
        ("a retriable step with undo", steps(vec![Step::new("email", Kind::Retriable, Undo::Code)])),
        ("one name for two steps", steps(vec![compensatable("reserve"), compensatable("reserve")])),
        ("no step", steps(Vec::new())),
        ("a bad module name", named("../probe", "probe", "poke")),
        ("a bad saga name", named("probe", "pr\u{202e}obe", "poke")),
        ("a bad step name", named("probe", "probe", "")),
        ("a long step name", named("probe", "probe", &long)),
        ("a description that traps", deployed(&api, &describe("unreachable"))),
        ("a description that is garbage", deployed(&api, &describe("(i32.const -8)"))),
    ]);
    expect![[r#"
        a compensatable step after the pivot
          422 bad_definition: saga `probe`, step `reserve`: it is compensatable after the pivot `pay`; put it before, or make it retriable
          hint: mend the definition and deploy again; nothing was stored
        two pivots
          422 bad_definition: saga `probe`, step `ship`: it is a second pivot after `pay`; a saga has at most one
          hint: mend the definition and deploy again; nothing was stored
        a pivot after a retriable step
          422 bad_definition: saga `probe`, step `pay`: it is a pivot after the retriable step `email`; put it before
          hint: mend the definition and deploy again; nothing was stored
        a compensatable step without undo
          422 bad_definition: saga `probe`, step `reserve`: it is compensatable and has no compensation; give it one, or say that it leaves nothing to undo
          hint: mend the definition and deploy again; nothing was stored
        a retriable step with undo
          422 bad_definition: saga `probe`, step `email`: it is retriable and has a compensation that can never run; leave it out
          hint: mend the definition and deploy again; nothing was stored
        one name for two steps
          422 bad_definition: saga `probe`, step `reserve`: an earlier step has this name; names are unique in a saga
          hint: mend the definition and deploy again; nothing was stored
        no step
          422 bad_definition: saga `probe`: it has no stage; add a step
          hint: mend the definition and deploy again; nothing was stored
        a bad module name
          422 bad_definition: module name `../probe`: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter
          hint: mend the definition and deploy again; nothing was stored
        a bad saga name
          422 bad_definition: saga `pr\u{202e}obe`: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter
          hint: mend the definition and deploy again; nothing was stored
        a bad step name
          422 bad_definition: saga `probe`, step ``: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter
          hint: mend the definition and deploy again; nothing was stored
        a long step name
          422 bad_definition: saga `probe`, step `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter
          hint: mend the definition and deploy again; nothing was stored
        a description that traps
          422 describe_failed: the module cannot describe itself (trap): the guest panicked or aborted (`unreachable` executed)
          hint: `describe` runs without time, network or grants and returns data only
        a description that is garbage
          422 describe_failed: the module cannot describe itself (trap): pointer out of bounds of memory
          hint: `describe` runs without time, network or grants and returns data only
    "#]].assert_eq(&found);
    assert_unharmed(&host, &modules, files);
}

/// The bytes of a module whose saga's name was taken stayed on the disk for ever, because they are stored before the names are
/// looked at. Nothing shows them, and the next start deletes them.
#[test]
fn a_sagas_name_belongs_to_one_module() {
    let mut host = host();
    let (api, files) = (host.api(), stored(&host));
    let modules = api.get("/v1/modules").expect(200);
    let other = Probe { saga: "order".to_owned(), ..Probe::execute(DONE) };
    let found = deployed(&api, &other.component());
    expect![[r#"
        409 name_taken: saga `order` belongs to module `order` in namespace `default`
          hint: give the saga another name, or use another namespace
    "#]]
    .assert_eq(&found);
    host.restart();
    assert_unharmed(&host, &modules, files);
}

#[test]
fn a_component_that_takes_too_long_to_compile_is_refused() {
    let options = Options::default().with("AMENDS_GUEST_COMPILE_WALL", "20ms");
    let host = Host::start(DataFolder::empty(), options);
    let found = host.api().put("/v1/modules/order", &guest(Way::Plain, "order")).error();
    expect![[r#"
        422 compile_limit: compiling it takes over 20ms (`compile_wall` in [guest])
          hint: make its functions fewer and smaller, or raise the limit
    "#]]
    .assert_eq(&found);
    assert_eq!(host.api().get("/v1/modules").expect(200), json!({"modules": []}));
    assert_eq!(stored(&host), 0);
}

#[test]
fn the_command_line_says_the_same_and_exits_with_1() {
    let host = host();
    let folder = crate::harness::folder::in_memory();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let core = file("core.wasm", &wat::parse_str("(module)").unwrap());
    let text = file("text.wat", b"(component)");
    let pivot = vec![Step::new("pay", Kind::Pivot, Undo::None), Step::new("reserve", Kind::Compensatable, Undo::Code)];
    let pivot = file("pivot.wasm", &Probe::steps(pivot).component());
    let missing = folder.path().join("missing.wasm").to_str().unwrap().to_owned();
    let mut found = String::new();
    for file in [&core, &text, &pivot, &missing] {
        for said in [host.cli(&["deploy", file]), cli(&[], &["check", file])] {
            assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{}", said.stderr);
            found.push_str(&said.stderr.replace(folder.path().to_str().unwrap(), "DIR"));
        }
    }
    expect![[r#"
        uploading DIR/core.wasm (8 B), then the host verifies it …
        amends: this is a core WebAssembly module, and Amends runs components; build it with `cargo component build --release`, or with `cargo build --release --target wasm32-wasip2`
        amends: DIR/core.wasm does not verify: this is a core WebAssembly module, and Amends runs components; build it with `cargo component build --release`, or with `cargo build --release --target wasm32-wasip2`
        uploading DIR/text.wat (11 B), then the host verifies it …
        amends: this is WebAssembly text; make it binary with `wasm-tools parse FILE -o FILE.wasm`
        amends: DIR/text.wat does not verify: this is WebAssembly text; make it binary with `wasm-tools parse FILE -o FILE.wasm`
        uploading DIR/pivot.wasm (8.0 KiB), then the host verifies it …
        amends: saga `probe`, step `reserve`: it is compensatable after the pivot `pay`; put it before, or make it retriable; mend the definition and deploy again; nothing was stored
        amends: DIR/pivot.wasm does not verify: saga `probe`, step `reserve`: it is compensatable after the pivot `pay`; put it before, or make it retriable; mend the definition and deploy again; nothing was stored
        amends: cannot read DIR/missing.wasm: No such file or directory (os error 2)
        amends: cannot read DIR/missing.wasm: No such file or directory (os error 2)
    "#]].assert_eq(&found);
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
    let act = |id: &str, verb: &str, body: Value| api.post(&format!("/v1/sagas/{id}/{verb}"), &body).error();
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
          409 saga_ended: saga ended: the saga has ended
        abandon of an ended saga
          409 saga_ended: saga ended: the saga has ended
        a signal to an ended saga
          409 saga_ended: saga ended has ended: nothing in it waits for a signal
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

#[test]
fn a_host_that_is_down_is_named() {
    let mut host = host();
    let url = host.ready.url.clone();
    host.kill();
    let said = cli(&[("AMENDS_HOST", &url)], &["list"]);
    assert_eq!(said.code, 1);
    let found = said.stderr.replace(&url, "URL");
    expect![[r#"
        amends: no host answers at URL (Connection refused (os error 111)); start one with `amends serve`, or name another with --host
    "#]].assert_eq(&found);
    let said = cli(&[], &["--host", "ftp://nowhere", "list"]);
    assert_eq!(said.code, 2);
    expect![[r#"
        amends: bad host address `ftp://nowhere`; write it as http://127.0.0.1:8420
    "#]]
    .assert_eq(&said.stderr);
}

/// What a host that does not start says, without the moment at which it says it.
fn last_words(not_ready: &NotReady, places: &[(&str, &str)]) -> String {
    let words = not_ready.stderr.lines().last().unwrap_or_default();
    places.iter().fold(words.to_owned(), |words, (place, name)| words.replace(place, name)) + "\n"
}

#[test]
fn a_port_in_use_is_exit_76() {
    let host = host();
    let address = host.ready.url.trim_start_matches("http://").to_owned();
    let folder = DataFolder::empty();
    let not_ready = refuses_to_start(folder.path(), &Options::default().with("AMENDS_LISTEN", &address));
    assert_eq!(not_ready.code, Some(76));
    expect![[r#"
        amends: cannot listen on ADDRESS: something else does; choose another with --listen, or 127.0.0.1:0 for a free one
    "#]]
    .assert_eq(&last_words(&not_ready, &[(&address, "ADDRESS")]));
    assert!(!folder.path().exists(), "nothing is half done");
}

#[test]
fn a_data_folder_in_use_is_exit_75_and_its_host_goes_on() {
    let host = host();
    let not_ready = refuses_to_start(host.folder.path(), &Options::default());
    assert_eq!(not_ready.code, Some(75));
    let (path, pid) = (host.folder.path().to_str().unwrap(), format!("process {}", host.pid()));
    let machine = format!(" on {};", rustix::system::uname().nodename().to_str().unwrap());
    expect![[r#"
        amends: data folder DATA is in use by process PID on MACHINE; stop it, or choose another folder with --data
    "#]]
    .assert_eq(&last_words(&not_ready, &[(path, "DATA"), (&pid, "process PID"), (&machine, " on MACHINE;")]));
    assert_eq!(host.api().run("order", "O1", &json!({}))["status"], "completed");
}

#[test]
fn a_data_folder_that_cannot_be_made_is_exit_74() {
    let folder = crate::harness::folder::in_memory();
    let file = folder.path().join("file");
    fs::write(&file, "no folder").unwrap();
    let path = folder.path().to_str().unwrap();
    let below = refuses_to_start(&file.join("data"), &Options::default());
    let itself = refuses_to_start(&file, &Options::default());
    assert_eq!((below.code, itself.code), (Some(74), Some(74)));
    let found = last_words(&below, &[(path, "DIR")]) + &last_words(&itself, &[(path, "DIR")]);
    expect![[r#"
        amends: DIR/file/data cannot be used: Not a directory (os error 20)
        amends: DIR/file is not a folder
    "#]]
    .assert_eq(&found);
    assert_eq!(fs::read_to_string(file).unwrap(), "no folder");
}

#[test]
fn a_journal_that_is_none_is_exit_74() {
    let folder = DataFolder::empty();
    fs::create_dir(folder.path()).unwrap();
    fs::write(folder.path().join("journal.redb"), "what is this").unwrap();
    let not_ready = refuses_to_start(folder.path(), &Options::default());
    assert_eq!(not_ready.code, Some(74));
    expect![[r#"
        amends: DATA/journal.redb: storage failed: I/O error: Not a redb database: magic number mismatch; mend the disk or restore it from a backup, or choose another folder with --data
    "#]].assert_eq(&last_words(&not_ready, &[(folder.path().to_str().unwrap(), "DATA")]));
}

#[test]
fn a_bad_setting_is_wrong_usage_and_names_the_nearest() {
    let folder = DataFolder::empty();
    let start = |name: &str, value: &str| {
        let not_ready = refuses_to_start(folder.path(), &Options::default().with(name, value));
        assert_eq!(not_ready.code, Some(2), "{}", not_ready.stderr);
        last_words(&not_ready, &[])
    };
    let found = [
        start("AMENDS_LISTEN", "0.0.0.0:0"),
        start("AMENDS_LISTEN", "here"),
        start("AMENDS_GUEST_MEMROY", "1GiB"),
        start("AMENDS_GUEST_CPU", "fast"),
        start("AMENDS_CONFIG", "/no/such/amends.toml"),
    ]
    .concat();
    expect![[r#"
        amends: will not listen on 0.0.0.0:0: others could reach it, and there is no login yet; use 127.0.0.1:0
        amends: bad address `here`; write it as 127.0.0.1:8420
        amends: bad environment: AMENDS_GUEST_MEMROY names unknown key `memroy` of [guest]; did you mean `memory`?
        amends: bad configuration: "fast" is no duration; write it as 30s
        amends: cannot read configuration /no/such/amends.toml: No such file or directory (os error 2)
    "#]]
    .assert_eq(&found);
    assert!(!folder.path().exists());
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

/// Paths are those of the example modules as they were built.
#[test]
fn what_is_not_built_says_how_to_build_it() {
    let missing = guest_path(Way::Plain, "no-such-module");
    let said = std::panic::catch_unwind(|| guest(Way::Plain, "no-such-module")).unwrap_err();
    let said = said.downcast_ref::<String>().unwrap();
    assert!(said.starts_with(missing.to_str().unwrap()) && said.ends_with("run `cargo xtask guests`"), "{said}");
}
