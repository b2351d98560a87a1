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
    expect![[""]].assert_eq(&found);
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
    expect![[""]].assert_eq(&found);
    // A saga's name belongs to one module.
    let other = Probe { saga: "order".to_owned(), ..Probe::execute(DONE) };
    let found = deployed(&api, &other.component());
    expect![[""]].assert_eq(&found);
    assert_unharmed(&host, &modules, files);
}

#[test]
fn a_component_that_takes_too_long_to_compile_is_refused() {
    let options = Options::default().with("AMENDS_GUEST_COMPILE_WALL", "20ms");
    let host = Host::start(DataFolder::empty(), options);
    let found = host.api().put("/v1/modules/order", &guest(Way::Plain, "order")).error();
    expect![[""]].assert_eq(&found);
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
    expect![[""]].assert_eq(&found);
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
    expect![[""]].assert_eq(&found);
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
        ("bytes that are not UTF-8", api.write(Method::POST, "/v1/definitions/order/sagas?id=X1", b"{\"note\": \"\xff\"}").error()),
        ("more than 1 MiB", start(&format!("{{\"note\": \"{}\"}}", "x".repeat(1 << 20)))),
    ]);
    expect![[""]].assert_eq(&found);
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
    expect![[""]].assert_eq(&found);
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
    expect![[""]].assert_eq(&found);
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
    expect![[""]].assert_eq(&found);
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
    expect![[""]].assert_eq(&found);
    let said = cli(&[], &["--host", "ftp://nowhere", "list"]);
    assert_eq!(said.code, 2);
    expect![[""]].assert_eq(&said.stderr);
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
    expect![[""]].assert_eq(&last_words(&not_ready, &[(&address, "ADDRESS")]));
    assert!(!folder.path().exists(), "nothing is half done");
}

#[test]
fn a_data_folder_in_use_is_exit_75_and_its_host_goes_on() {
    let host = host();
    let not_ready = refuses_to_start(host.folder.path(), &Options::default());
    assert_eq!(not_ready.code, Some(75));
    let (path, pid) = (host.folder.path().to_str().unwrap(), format!("process {}", host.pid()));
    expect![[""]].assert_eq(&last_words(&not_ready, &[(path, "DATA"), (&pid, "process PID")]));
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
    expect![[""]].assert_eq(&found);
    assert_eq!(fs::read_to_string(file).unwrap(), "no folder");
}

#[test]
fn a_journal_that_is_none_is_exit_74() {
    let folder = DataFolder::empty();
    fs::create_dir(folder.path()).unwrap();
    fs::write(folder.path().join("journal.redb"), "what is this").unwrap();
    let not_ready = refuses_to_start(folder.path(), &Options::default());
    assert_eq!(not_ready.code, Some(74));
    expect![[""]].assert_eq(&last_words(&not_ready, &[(folder.path().to_str().unwrap(), "DATA")]));
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
    expect![[""]].assert_eq(&found);
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
    expect![[""]].assert_eq(&found);
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
