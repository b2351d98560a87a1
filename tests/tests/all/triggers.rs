//! Sagas that events start: once, also after kills and for repeated events; or not at all, with the reason in the answer.

use std::{collections::BTreeMap, fs, path::Path};

use expect_test::expect;
use participants::Control;
use serde_json::{Value, json};
use ureq::http::Method;

use crate::harness::{
    answers_text,
    api::{Api, Traffic},
    desk::Desk,
    folder::DataFolder,
    guests::{Way, guest},
    host::{Host, Options},
    laws,
    probe::Probe,
};

/// A module of one saga, both of this name, that `order.placed` starts with an object that has a `sku`.
fn started_by_orders(name: &'static str) -> Probe {
    Probe {
        module: name.to_owned(),
        saga: name.to_owned(),
        schema: Some(r#"{"type":"object","required":["sku"]}"#.to_owned()),
        triggers: vec![("order.placed", name)],
        items: r#"(data (i32.const 700) "true")"#.to_owned(),
        ..Probe::execute("(call $done (i32.const 700) (i32.const 4))")
    }
}

#[track_caller]
fn deploy(api: &Api, probe: &Probe) -> Value {
    api.put(&format!("/v1/modules/{}", probe.module), &probe.component()).expect(201)
}

fn placed(id: &str, data: &Value) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "shop", "type": "order.placed", "data": data})
}

/// The ids of the sagas that there are.
fn sagas(api: &Api) -> Vec<String> {
    let list = api.get("/v1/sagas").expect(200);
    let ids = list["sagas"].as_array().unwrap().iter();
    ids.map(|saga| saga["id"].as_str().unwrap().to_owned()).collect()
}

/// What `order.placed` of this id starts.
const O17: &str = "fulfil:e3c8e9e723ac83c5f48e07bb";

#[test]
fn an_event_starts_a_saga_once_also_when_it_comes_again_after_a_kill() {
    let mut host = Host::start(DataFolder::empty(), Options { traffic: Traffic::Twice, ..Options::default() });
    let api = host.api();
    let deployed = deploy(&api, &started_by_orders("fulfil"));
    assert_eq!(deployed["triggers"], json!([{"event_type": "order.placed", "saga": "fulfil"}]));
    let event = placed("o-17", &json!({"sku": "K1"}));
    let first = api.post("/v1/events", &event).expect(202);
    assert_eq!(
        first,
        json!({"id": "o-17", "duplicate": false, "woke": 0, "kept_until": null, "started": [{"saga": "fulfil", "id": O17}]})
    );
    host.kill();
    host.restart();
    let api = host.api();
    let again = api.post("/v1/events", &event).expect(200);
    assert_eq!((&again["duplicate"], &again["started"]), (&json!(true), &first["started"]));
    api.until_type(O17, "completed");
    laws::hold(&api, O17);
    assert_eq!(sagas(&api), [O17]);
    assert_eq!(api.saga(O17)["started_by"], json!({"kind": "event", "type": "order.placed", "source": "shop", "id": "o-17"}));
    let start = &api.journal(O17)[0];
    assert_eq!((&start["actor"], &start["started"]["input"]), (&json!("host"), &json!({"sku": "K1"})));
}

/// The event and its saga share a commit: at each point the host has both or neither, and the event that nobody was told of is
/// sent again.
#[test]
fn an_event_starts_a_saga_once_wherever_the_host_dies() {
    let mut first = Host::start(DataFolder::empty(), Options::default());
    deploy(&first.api(), &started_by_orders("fulfil"));
    assert!(first.stop().success());
    let event = placed("o-17", &json!({"sku": "K1"}));
    for point in ["accepted:1", "guest-running:1", "outcome-seen:1", "outcome-durable:1", "last-step-durable:1", "end-durable:1"]
    {
        let mut host = Host::start(DataFolder::of(first.folder.path()), Options::default().dies_at(point));
        // Whether it is answered depends on which is first, the answer or the death.
        let _ = host.api().try_send(Method::POST, "/v1/events", None, event.to_string().as_bytes());
        host.died();
        host.restart();
        let api = host.api();
        let answer = api.post("/v1/events", &event);
        assert!(answer.status == 200 || answer.status == 202, "{point}: {}", answer.body);
        assert_eq!(answer.body["started"], json!([{"saga": "fulfil", "id": O17}]), "{point}");
        api.until_type(O17, "completed");
        laws::hold(&api, O17);
        assert_eq!(sagas(&api), [O17], "{point}");
    }
}

#[test]
fn one_event_starts_sagas_of_two_modules_and_only_active_versions_count() {
    let host = Host::start(DataFolder::empty(), Options::default());
    let api = host.api();
    deploy(&api, &started_by_orders("fulfil"));
    deploy(&api, &started_by_orders("invoice"));
    let started = |id: &str| {
        let answer = api.post("/v1/events", &placed(id, &json!({"sku": "K1"}))).expect(202);
        let sagas = answer["started"].as_array().cloned().unwrap_or_default();
        sagas.iter().map(|saga| saga["saga"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(started("E1"), ["fulfil", "invoice"]);
    deploy(&api, &Probe { triggers: Vec::new(), ..started_by_orders("invoice") });
    assert_eq!(started("E2"), ["fulfil"]);
    api.post("/v1/modules/invoice/activate", &json!({"previous": true})).expect(200);
    assert_eq!(started("E3"), ["fulfil", "invoice"]);
    // Another namespace has its own.
    let elsewhere = api.in_namespace("elsewhere").post("/v1/events", &placed("E4", &json!({}))).expect(202);
    assert_eq!(elsewhere["started"], Value::Null);
}

#[test]
fn an_event_whose_data_does_not_fit_is_taken_and_says_what_it_did_not_start() {
    let host = Host::start(DataFolder::empty(), Options::default());
    let api = host.api();
    deploy(&api, &started_by_orders("fulfil"));
    let event = placed("o-17", &json!({"qty": 1}));
    let first = api.post("/v1/events", &event).expect(202);
    let refused = |answer: &Value| {
        let all = answer["not_started"].as_array().cloned().unwrap_or_default();
        let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
        let line = |one: &Value| format!("{}: {}: {}\n", text(one, "saga"), text(one, "code"), text(one, "message"));
        all.iter().map(line).collect::<String>()
    };
    expect![[r#"
        fulfil: input_does_not_fit: the input does not fit saga `fulfil`: missing properties 'sku'; its schema is in GET /v1/definitions/fulfil
    "#]].assert_eq(&refused(&first));
    assert_eq!((&first["started"], first["kept_until"].is_string()), (&Value::Null, true), "{first}");
    let again = api.post("/v1/events", &event).expect(200);
    assert_eq!(refused(&again), refused(&first));
    assert_eq!(api.metric("amends_dead_letters_total"), 1.0);
    assert_eq!(sagas(&api), Vec::<String>::new());
    // Without data the input is `null`, which does not fit either.
    let nothing = json!({"specversion": "1.0", "id": "o-18", "source": "shop", "type": "order.placed"});
    assert_eq!(api.post("/v1/events", &nothing).expect(202)["not_started"][0]["code"], "input_does_not_fit");
}

#[test]
fn triggers_that_break_a_rule_are_refused_with_the_saga_and_the_rule() {
    let host = Host::start(DataFolder::empty(), Options::default());
    let api = host.api();
    let refused = |triggers: Vec<(&'static str, &'static str)>| {
        api.put("/v1/modules/fulfil", &Probe { triggers, ..started_by_orders("fulfil") }.component()).error()
    };
    let found = answers_text([
        ("a saga that is not there", refused(vec![("order.placed", "fulfill")])),
        ("a type that nobody can publish", refused(vec![("order\u{7}placed", "fulfil")])),
        ("the same twice", refused(vec![("order.placed", "fulfil"), ("order.placed", "fulfil")])),
    ]);
    expect![[r#"
        a saga that is not there
          422 bad_definition: saga `fulfill`: an event `order.placed` is to start it, and the module has no such saga
          hint: mend the definition and deploy again; nothing was stored
        a type that nobody can publish
          422 bad_definition: saga `fulfil`: nobody can publish an event `order\u{7}placed`; a type has 1 to 255 printable bytes
          hint: mend the definition and deploy again; nothing was stored
        the same twice
          422 bad_definition: saga `fulfil`: the event `order.placed` starts it twice; say it once
          hint: mend the definition and deploy again; nothing was stored
    "#]]
    .assert_eq(&found);
    assert_eq!(api.get("/v1/modules").expect(200)["modules"], json!([]));
}

#[test]
fn a_component_that_was_built_before_there_were_triggers_is_deployed_and_runs() {
    let host = Host::start(DataFolder::empty(), Options::default());
    let api = host.api();
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/data-folder-2/modules");
    let components = fs::read_dir(modules).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    for component in components {
        let deployed = api.write(Method::POST, "/v1/modules", &component).expect(201);
        assert_eq!(deployed["triggers"], Value::Null, "{deployed}");
    }
    assert_eq!(api.run("order", "O1", &json!({}))["status"], "completed");
}

#[test]
fn the_command_line_says_what_starts_a_saga_and_what_an_event_started() {
    let host = Host::start(DataFolder::empty(), Options::default());
    let file = host.folder.path().join("fulfil.wasm");
    fs::write(&file, started_by_orders("fulfil").component()).unwrap();
    let file = file.display().to_string();
    let run = |arguments: &[&str]| {
        let output = host.cli(arguments);
        assert_eq!(output.code, 0, "{}", output.stderr);
        output.stdout
    };
    let plan = run(&["deploy", &file, "--plan"]);
    assert!(plan.contains("started by: order.placed → fulfil\n"), "{plan}");
    let deployed = run(&["deploy", &file]);
    assert!(deployed.ends_with("sagas: fulfil\nstarted by: order.placed → fulfil\n"), "{deployed}");
    let modules = run(&["modules", "fulfil"]);
    assert!(modules.ends_with("\nstarted by: order.placed → fulfil\nmay reach nothing\n"), "{modules}");
    expect![[r#"
        saga fulfil (module fulfil, definition 1)
          started by order.placed
          takes input that fits {"required":["sku"],"type":"object"}
          1  poke  compensatable  nothing to undo, effect-free
          attempts: 30s each, at most 2, 1ms apart ×1 up to 1ms, then rolled back: poke
    "#]]
    .assert_eq(&run(&["graph", &file]));
    let publish = |data: &str| run(&["publish", "order.placed", "--id", "o-17", "--source", "shop", "--data", data]);
    let first = publish(r#"{"sku":"K1"}"#);
    host.api().until_type(O17, "completed");
    let shown = run(&["show", O17]);
    assert!(shown.contains("\nstarted by event order.placed (o-17 from shop)\n"), "{shown}");
    expect![[r#"
        event o-17 started 1 saga
          fulfil  fulfil:e3c8e9e723ac83c5f48e07bb
        event o-17 was there already
          fulfil  fulfil:e3c8e9e723ac83c5f48e07bb
    "#]]
    .assert_eq(&(first + &publish("{}")));
}

/// A module made with the SDK, in both ways that users build one.
#[test]
fn a_transfer_that_an_event_asks_for_moves_the_money_once() {
    for way in [Way::Plain, Way::Component] {
        let desk = Desk::on(DataFolder::empty(), Options { traffic: Traffic::Twice, ..Options::default() });
        let api = desk.api();
        let deployed = api.write(Method::POST, "/v1/modules", &guest(way, "transfer")).expect(201);
        assert_eq!(deployed["triggers"], json!([{"event_type": "transfer.requested", "saga": "transfer"}]), "{way:?}");
        api.grant("transfer", &[&desk.url()]);
        let accounts = BTreeMap::from(["A", "B"].map(|name| (name.to_owned(), 10_000)));
        desk.participants.control(Control { accounts, ..Control::default() });
        let data = json!({"participants": desk.url(), "from": "A", "to": "B", "amount_cents": 4_000});
        let event = json!({"specversion": "1.0", "id": "R1", "source": "shop", "type": "transfer.requested", "data": data});
        let started = api.post("/v1/events", &event).expect(202)["started"].clone();
        let id = started[0]["id"].as_str().unwrap().to_owned();
        api.until_type(&id, "completed");
        assert_eq!(api.post("/v1/events", &event).expect(200)["started"], started);
        desk.settle_down();
        laws::hold(&api, &id);
        let state = desk.participants.state();
        assert_eq!((state.accounts["A"], state.accounts["B"]), (6_000, 14_000), "{way:?}");
    }
}
