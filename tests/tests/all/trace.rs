//! Traces: what followed from a request, as a tree, by whatever id a client knows.

use expect_test::expect;
use serde_json::{Value, json};
use ureq::http::Method;

use crate::harness::{
    api::{Answer, Api},
    folder::DataFolder,
    guests::{Way, guest},
    host::{Host, Options},
    probe::{Kind, Probe, Step, Undo},
};

/// What is recorded: a trace without the views, which may fall back when a host is killed.
#[track_caller]
fn recorded(api: &Api, id: &str) -> Value {
    fn without_views(node: &mut Value) {
        node.as_object_mut().unwrap().remove("views");
        node["children"].as_array_mut().into_iter().flatten().for_each(without_views);
    }
    let mut trace = get(api, id).expect(200);
    without_views(&mut trace["root"]);
    trace
}

/// A host with the module `credit`, and the customer C1, whose limit is 15.00.
fn shop() -> Host {
    let host = Host::start(DataFolder::with_credit(), Options::default());
    send(&host.api(), "R1", "customer/C1/open", &json!({"limit_cents": 1500}));
    host
}

/// Sends a command under a key.
#[track_caller]
fn send(api: &Api, key: &str, command: &str, data: &Value) -> Answer {
    let path = format!("/v1/aggregates/{command}");
    api.try_send(Method::POST, &path, Some(key), data.to_string().as_bytes()).unwrap()
}

/// Places an order by a saga of its id.
#[track_caller]
fn place(api: &Api, order: &str, total_cents: u64) {
    api.run("place-order", order, &json!({"order": order, "customer": "C1", "total_cents": total_cents}));
}

#[track_caller]
fn publish(api: &Api, event_type: &str, id: &str, subject: &str, data: &Value) {
    let event = json!({
        "specversion": "1.0", "source": "https://shop.example/a", "id": id, "type": event_type, "subject": subject, "data": data,
    });
    let answer = api.post("/v1/events", &event);
    assert!(answer.status < 300, "{}", answer.body);
}

/// An event starts a saga, whose step is the command `create` to an order, with the event's data.
fn rules() -> Vec<u8> {
    let probe = Probe {
        module: "rules".to_owned(),
        saga: "rules".to_owned(),
        triggers: vec![("wish", "rules")],
        ..Probe::steps(vec![Step::command("make", "create")])
    };
    probe.component()
}

fn get(api: &Api, id: &str) -> Answer {
    let escaped: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
    api.get(&format!("/v1/trace/{escaped}"))
}

/// The tree of an id, a line a node, without times and positions.
#[track_caller]
fn tree(api: &Api, id: &str) -> String {
    let trace = get(api, id).expect(200);
    let mut text = format!("{} {}\n", trace["found"].as_str().unwrap(), trace["id"].as_str().unwrap());
    lines(&trace["root"], 1, &mut text);
    for open in trace["open"].as_array().unwrap() {
        text += &format!("open: {} {}\n", open["saga"].as_str().unwrap(), open["status"].as_str().unwrap());
    }
    text
}

fn lines(node: &Value, depth: usize, text: &mut String) {
    let part = |name: &str| node[name].as_str().map(|said| format!("  {said}")).unwrap_or_default();
    let code = node["version"].as_u64().map(|version| format!("  {} v{version}", node["module"].as_str().unwrap_or("?")));
    let failure = node["failure"]["code"].as_str().map(|code| format!("  {code}")).unwrap_or_default();
    let asked = if node["asked"] == true { "  <-" } else { "" };
    let (kind, indent) = (node["kind"].as_str().unwrap(), "  ".repeat(depth));
    *text += &format!(
        "{indent}{kind}{}{}{}{}{failure}{}{asked}\n",
        part("what"),
        part("id"),
        part("by"),
        part("outcome"),
        code.unwrap_or_default()
    );
    for child in node["children"].as_array().into_iter().flatten() {
        lines(child, depth + 1, text);
    }
}

/// Commands of sagas have keys that are digests.
fn without_keys(text: &str) -> String {
    let word = |word: &str| {
        if word.len() >= 32 && word.chars().all(|c| c.is_ascii_hexdigit()) { "KEY".to_owned() } else { word.to_owned() }
    };
    text.lines().map(|line| line.split(' ').map(word).collect::<Vec<_>>().join(" ") + "\n").collect()
}

/// The tree without what was asked for: it is the same from each of its ends.
fn body(text: &str) -> String {
    text.lines().skip(1).map(|line| line.trim_end_matches("  <-").to_owned() + "\n").collect()
}

#[test]
fn a_command_is_a_tree_of_its_events_by_its_key_its_aggregate_and_its_event() {
    let host = shop();
    let api = host.api();
    expect![[r#"
        command customer/C1/R1
          request  send customer/C1/open  R1  local  accepted  credit v1  <-
            event  customer.opened  customer/C1/1  credit v1
    "#]]
    .assert_eq(&tree(&api, "R1"));
    expect![[r#"
        aggregate customer/C1
          request  send customer/C1/open  R1  local  accepted  credit v1  <-
            event  customer.opened  customer/C1/1  credit v1
    "#]]
    .assert_eq(&tree(&api, "customer/C1"));
    expect![[r#"
        event customer/C1/1
          request  send customer/C1/open  R1  local  accepted  credit v1
            event  customer.opened  customer/C1/1  credit v1  <-
    "#]]
    .assert_eq(&tree(&api, "customer/C1/1"));
    expect![[r#"
        command customer/C1/R1
          request  send customer/C1/open  R1  local  accepted  credit v1  <-
            event  customer.opened  customer/C1/1  credit v1
    "#]]
    .assert_eq(&tree(&api, "customer/C1/R1"));
    // What was refused under a key is recorded too.
    let refused = send(&api, "R2", "customer/C1/reserve-credit", &json!({"order": "O1", "total_cents": 5000}));
    assert_eq!(refused.code(), "409 credit_limit_exceeded");
    expect![[r#"
        command customer/C1/R2
          request  send customer/C1/reserve-credit  R2  local  refused  credit_limit_exceeded  credit v1  <-
    "#]]
    .assert_eq(&tree(&api, "R2"));
    // A command without a key has one that is in its answer.
    let answer = api.try_send(Method::POST, "/v1/aggregates/customer/C2/open", None, br#"{"limit_cents": 1}"#).unwrap();
    let key = answer.expect(200)["command"].as_str().unwrap().to_owned();
    assert!(tree(&api, &key).contains("event  customer.opened  customer/C2/1  credit v1"));
}

#[test]
fn a_saga_over_aggregates_is_a_tree_of_its_steps_with_their_commands() {
    let host = shop();
    let api = host.api();
    place(&api, "O1", 1234);
    let whole = without_keys(&tree(&api, "O1"));
    expect![[r#"
        saga O1
          request  start place-order  O1  local
            saga  place-order  O1  completed  credit v1  <-
              step  create  done  credit v1
                command  order/O1/create  KEY  accepted  credit v1
                  event  order.created  order/O1/1  credit v1
              step  reserve-credit  done  credit v1
                command  customer/C1/reserve-credit  KEY  accepted  credit v1
                  event  customer.credit-reserved  customer/C1/2  credit v1
              step  approve  done  credit v1
                command  order/O1/approve  KEY  accepted  credit v1
                  event  order.approved  order/O1/2  credit v1
    "#]]
    .assert_eq(&whole);
    // An event of it leads to the same tree.
    let of_event = without_keys(&tree(&api, "customer/C1/2"));
    assert_eq!(body(&of_event), body(&whole));
}

#[test]
fn a_saga_that_is_refused_is_shown_with_its_undo() {
    let host = shop();
    let api = host.api();
    place(&api, "O1", 12340);
    expect![[r#"
        saga O1
          request  start place-order  O1  local
            saga  place-order  O1  compensated  credit v1  <-
              step  create  done  credit v1
                command  order/O1/create  KEY  accepted  credit v1
                  event  order.created  order/O1/1  credit v1
              step  reserve-credit  refused  credit_limit_exceeded  credit v1
              rollback  reserve-credit was refused  credit_limit_exceeded
              undo  create  undone  credit v1
                command  order/O1/reject  KEY  accepted  credit v1
                  event  order.rejected  order/O1/2  credit v1
    "#]]
    .assert_eq(&without_keys(&tree(&api, "O1")));
}

#[test]
fn an_event_that_starts_a_saga_that_sends_a_command_is_one_tree_from_each_of_its_ends() {
    let host = shop();
    let api = host.api();
    api.put("/v1/modules/rules", &rules()).expect(201);
    publish(&api, "wish", "e-1", "K", &json!({"id": "O7", "customer": "C1", "total_cents": 100}));
    let sagas = api.get("/v1/sagas").expect(200)["sagas"].clone();
    let saga = sagas[0]["id"].as_str().unwrap().to_owned();
    api.until_type(&saga, "completed");
    let whole = without_keys(&tree(&api, "https://shop.example/a/e-1"));
    expect![[r#"
        published https://shop.example/a/e-1
          request  publish wish  https://shop.example/a/e-1  local
            published  wish/K  https://shop.example/a/e-1  <-
              saga  rules  rules:20ae05a8e5bd8adfe7158237  completed  rules v1
                step  make  done  rules v1
                  command  order/O7/create  KEY  accepted  credit v1
                    event  order.created  order/O7/1  credit v1
    "#]]
    .assert_eq(&whole);
    for id in ["e-1", &saga, "order/O7", "order/O7/1"] {
        assert_eq!(body(&without_keys(&tree(&api, id))), body(&whole), "{id}");
    }
    // A revision has one spelling: these were read as 1.
    for id in ["order/O7/01", "order/O7/+1"] {
        assert_eq!(api.get(&format!("/v1/trace/{}", urlencoded(id))).status, 404, "{id}");
    }
}

#[test]
fn an_event_names_the_saga_that_it_woke_and_the_saga_names_the_event() {
    let host = shop();
    let api = host.api();
    place(&api, "O1", 1234);
    api.start("cancel-order", "X1", &json!({"order": "O1"})).expect(201);
    api.until_type("X1", "wait");
    assert!(tree(&api, "X1").ends_with("open: X1 waiting\n"));
    publish(&api, "delivery", "d-1", "O1", &json!({"stopped": true}));
    api.until_type("X1", "completed");
    expect![[r#"
        published https://shop.example/a/d-1
          request  publish delivery  https://shop.example/a/d-1  local
            published  delivery/O1  https://shop.example/a/d-1  <-
              woke  stop-delivery  X1
    "#]]
    .assert_eq(&tree(&api, "d-1"));
    expect![[r#"
        saga X1
          request  start cancel-order  X1  local
            saga  cancel-order  X1  completed  credit v1  <-
              step  begin  done  credit v1
                command  order/O1/begin-cancel  KEY  accepted  credit v1
                  event  order.cancel-begun  order/O1/3  credit v1
              step  stop-delivery  done  credit v1
                arrived  delivery/O1  https://shop.example/a/d-1
              step  cancel  done  credit v1
                command  order/O1/cancel  KEY  accepted  credit v1
                  event  order.cancelled  order/O1/4  credit v1
              step  release-credit  done  credit v1
                command  customer/C1/release-credit  KEY  accepted  credit v1
                  event  customer.credit-released  customer/C1/3  credit v1
    "#]]
    .assert_eq(&without_keys(&tree(&api, "X1")));
}

#[test]
fn a_saga_of_a_schedule_is_a_tree_from_the_schedule_on() {
    let host = shop();
    let api = host.api();
    let spec = json!({"saga": "place-order", "cron": "@yearly", "input": {"order": "O1", "customer": "C1", "total_cents": 1}});
    api.put("/v1/schedules/nightly", spec.to_string().as_bytes()).expect(201);
    let fired = api.post("/v1/schedules/nightly/trigger", &json!({"note": "now"})).expect(200);
    let saga = fired["last_fired"]["saga"].as_str().unwrap_or_else(|| panic!("{fired}")).to_owned();
    api.until_type(&saga, "completed");
    let told = tree(&api, &saga).replace(&saga, "ID");
    assert!(
        told.starts_with("saga ID\n  schedule  nightly  local\n    saga  place-order  ID  completed  credit v1  <-\n"),
        "{told}"
    );
}

#[test]
fn what_an_event_should_have_started_and_did_not_is_shown_with_the_reason() {
    let host = shop();
    let api = host.api();
    let rules = Probe {
        module: "rules".to_owned(),
        saga: "rules".to_owned(),
        schema: Some(r#"{"type":"object","required":["sku"]}"#.to_owned()),
        triggers: vec![("wish", "rules")],
        ..Probe::steps(vec![Step::new("poke", Kind::Compensatable, Undo::Nothing)])
    };
    api.put("/v1/modules/rules", &rules.component()).expect(201);
    publish(&api, "wish", "e-1", "K", &json!({}));
    expect![[r#"
        published https://shop.example/a/e-1
          request  publish wish  https://shop.example/a/e-1  local
            published  wish/K  https://shop.example/a/e-1  kept  <-
              not_started  rules  input_does_not_fit
    "#]]
    .assert_eq(&tree(&api, "https://shop.example/a/e-1"));
}

/// Two publishers may call their events alike: what one of them started is not the other's.
#[test]
fn events_of_one_id_and_two_publishers_are_two_trees() {
    let host = shop();
    let api = host.api();
    api.put("/v1/modules/rules", &rules()).expect(201);
    for (source, order) in [("a", "O7"), ("b", "O8")] {
        let data = json!({"id": order, "customer": "C1", "total_cents": 100});
        let event = json!({"specversion": "1.0", "source": source, "id": "e", "type": "wish", "subject": "K", "data": data});
        let answer = api.post("/v1/events", &event).expect(202);
        api.until_type(answer["started"][0]["id"].as_str().unwrap(), "completed");
    }
    let (a, b) = (tree(&api, "a/e"), tree(&api, "b/e"));
    assert!(a.contains("order/O7/1") && !a.contains("O8") && b.contains("order/O8/1") && !b.contains("O7"), "{a}{b}");
    expect![[r#"
        409 ambiguous: `e` is the id of 2 things: published a/e, published b/e
          hint: name one in full, as a/e
    "#]]
    .assert_eq(&get(&api, "e").error());
}

#[test]
fn equal_ids_of_two_namespaces_never_meet() {
    let host = shop();
    let (api, other) = (host.api(), host.api().in_namespace("other"));
    assert_eq!(get(&other, "R1").code(), "404 trace_not_found");
    other.put("/v1/modules/credit", &guest(Way::Plain, "credit")).expect(201);
    send(&other, "R1", "customer/C1/open", &json!({"limit_cents": 9}));
    place(&api, "O1", 1234);
    other.run("place-order", "O1", &json!({"order": "O1", "customer": "C1", "total_cents": 1000}));
    let (here, there) = (tree(&api, "O1"), tree(&other, "O1"));
    assert!(here.contains("saga  place-order  O1  completed") && here.contains("customer/C1/2"), "{here}");
    assert!(there.contains("saga  place-order  O1  compensated") && !there.contains("customer/C1/2"), "{there}");
    assert!(tree(&other, "R1").contains("customer/C1/1"));
}

#[test]
fn an_id_of_several_things_is_refused_with_their_names() {
    let host = shop();
    let api = host.api();
    // Another command of the same key, and a saga of this id.
    send(&api, "R1", "customer/C2/open", &json!({"limit_cents": 1500}));
    expect![[r#"
        409 ambiguous: `R1` is the id of 2 things: command customer/C1/R1, command customer/C2/R1
          hint: name one in full, as customer/C1/R1
    "#]]
    .assert_eq(&get(&api, "R1").error());
    assert!(tree(&api, "customer/C2/R1").contains("customer/C2/1"));
    send(&api, "O1", "customer/C3/open", &json!({"limit_cents": 1500}));
    place(&api, "O1", 1234);
    expect![[r#"
        409 ambiguous: `O1` is the id of 2 things: saga O1, command customer/C3/O1
          hint: say which, as `--as saga` (`?as=saga`)
    "#]]
    .assert_eq(&get(&api, "O1").error());
    let chosen = |kind: &str| api.get(&format!("/v1/trace/O1?as={kind}"));
    assert_eq!(chosen("saga").expect(200)["root"]["what"], "start place-order");
    assert_eq!(chosen("command").expect(200)["root"]["what"], "send customer/C3/open");
    assert_eq!(chosen("event").code(), "404 trace_not_found");
    expect![[r#"
        400 bad_request: `thing` is nothing that an id is of
          hint: use one of saga, command, aggregate, event, published
    "#]]
    .assert_eq(&chosen("thing").error());
}

#[test]
fn what_nothing_has_as_its_id_is_404_and_says_what_an_id_is() {
    let host = shop();
    expect![[r#"
        404 trace_not_found: nothing that is recorded in this namespace has the id `R9`
          hint: give a saga's id, the key of a command, an aggregate as TYPE/ID, its event as TYPE/ID/NUMBER, or an event as SOURCE/ID; `amends events` and `amends list` show what there is
    "#]].assert_eq(&get(&host.api(), "R9").error());
    for id in
        ["customer/C9", "customer/C1/9", "customer/C1/0", "customer/C1/99999999999999999999", "a/b/c/d", "/", "//", "..", "%"]
    {
        assert_eq!(get(&host.api(), id).code(), "404 trace_not_found", "{id}");
    }
    assert_eq!(get(&host.api(), &"x".repeat(5_000)).status, 400);
}

#[test]
fn a_start_is_found_by_its_idempotency_key() {
    let host = shop();
    let api = host.api();
    let input = json!({"order": "O1", "customer": "C1", "total_cents": 1});
    let path = "/v1/definitions/place-order/sagas";
    let started = api.try_send(Method::POST, path, Some("K 1/x"), input.to_string().as_bytes()).unwrap();
    let Some(id) = started.body["id"].as_str() else { panic!("{}", started.body) };
    api.until_type(id, "completed");
    assert!(tree(&api, "K 1/x").starts_with(&format!("saga {id}\n  request  start place-order  {id}  local\n")));
}

#[test]
fn ids_with_odd_characters_are_found() {
    let host = shop();
    let api = host.api();
    let keys = ["a/b", "ключ 1", "%2F", "x?y#z", "customer/C1/1"];
    for (number, key) in keys.iter().enumerate() {
        send(&api, key, &format!("customer/odd%20%C3%A4%25{number}/open"), &json!({"limit_cents": 1500})).expect(200);
        let found = api.get(&format!("/v1/trace/{}?as=command", urlencoded(key))).expect(200);
        assert_eq!(found["root"]["what"], format!("send customer/odd ä%{number}/open"), "{key}");
        assert!(tree(&api, &format!("customer/odd ä%{number}/1")).contains("customer.opened"));
    }
    for id in ["1/2", "%", "ä b", "\u{1F600}"] {
        publish(&api, "odd", id, "K", &json!({}));
        assert!(tree(&api, &format!("https://shop.example/a/{id}")).contains("published  odd/K"), "{id}");
    }
}

fn urlencoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn a_long_chain_is_cut_and_says_so() {
    let host = shop();
    let api = host.api();
    let many = Step::new("poke", Kind::Compensatable, Undo::Nothing).each("/input/items");
    let probe = Probe::steps(vec![many, Step::command("make", "create")]);
    api.put("/v1/modules/probe", &probe.component()).expect(201);
    let items: Vec<Value> = (0..1_100).map(|id| json!({"id": format!("i{id}")})).collect();
    api.start("probe", "L1", &json!({"items": items, "id": "O7", "customer": "C1", "total_cents": 1})).expect(201);
    api.until_type("L1", "completed");
    let trace = get(&api, "L1").expect(200);
    assert_eq!((&trace["cut"], &trace["nodes"]), (&json!(true), &json!(1_000)));
    assert_eq!(trace["root"]["children"][0]["outcome"], "completed");
    let told = host.cli(&["trace", "L1"]).stdout;
    assert!(told.ends_with("cut after 1000 nodes; trace a part by its own id\n"), "{told}");
    assert_eq!(told.lines().count(), 1_001);
    // What was asked for is shown, however much comes before it.
    let last = tree(&api, "order/O7/1");
    assert!(last.contains("event  order.created  order/O7/1  credit v1  <-\n"), "{last}");
}

#[test]
fn a_tree_is_the_same_after_a_kill() {
    let mut host = shop();
    let api = host.api();
    api.put("/v1/modules/rules", &rules()).expect(201);
    publish(&api, "wish", "e-1", "K", &json!({"id": "O7", "customer": "C1", "total_cents": 100}));
    place(&api, "O1", 12340);
    let saga = api.get("/v1/sagas?saga=rules").expect(200)["sagas"][0]["id"].as_str().unwrap().to_owned();
    api.until_type(&saga, "completed");
    let ids = ["R1", "O1", "e-1", "customer/C1"];
    let before = ids.map(|id| recorded(&api, id));
    host.kill();
    host.restart();
    assert_eq!(ids.map(|id| recorded(&host.api(), id)), before);
}

#[test]
fn the_command_line_prints_the_tree_with_times_and_versions() {
    let host = shop();
    place(&host.api(), "O1", 12340);
    let events = host.api().get("/v1/streams/order/O1/events").expect(200)["events"].clone();
    let last = events.as_array().unwrap().last().unwrap()["position"].as_str().unwrap().to_owned();
    host.api().get(&format!("/v1/views/order-history/by-order?order=O1&at_least={last}")).expect(200);
    let told = host.cli(&["trace", "O1"]);
    let time = |word: &str| {
        let clock = word.len() == 12 && word.matches(':').count() == 2;
        if clock {
            "CLOCK".to_owned()
        } else if word.starts_with('+') {
            "+TIME".to_owned()
        } else if word.ends_with("ms;") {
            "TIME;".to_owned()
        } else {
            word.to_owned()
        }
    };
    let line = |line: &str| line.split_whitespace().map(time).collect::<Vec<_>>().join(" ") + "\n";
    expect![[r#"
        start place-order O1 by local CLOCK
        └─ saga O1 place-order compensated ← +TIME credit v1
        ├─ create done +TIME credit v1
        │ └─ → order/O1/create +TIME credit v1
        │ └─ event order/O1/1 order.created +TIME credit v1
        │ └─ view order-history generation 2 +TIME
        ├─ reserve-credit refused credit_limit_exceeded: 1500 cents are left +TIME credit v1
        ├─ goes back: reserve-credit was refused +TIME
        └─ undo create undone +TIME credit v1
        └─ → order/O1/reject +TIME credit v1
        └─ event order/O1/2 order.rejected +TIME credit v1
        └─ view order-history generation 2 +TIME
        all within TIME; nothing is open
    "#]]
    .assert_eq(&told.stdout.lines().map(line).collect::<String>());
    let unknown = host.cli(&["trace", "R9"]);
    expect![[r#"
        amends: nothing that is recorded in this namespace has the id `R9`; give a saga's id, the key of a command, an aggregate as TYPE/ID, its event as TYPE/ID/NUMBER, or an event as SOURCE/ID; `amends events` and `amends list` show what there is
    "#]].assert_eq(&unknown.stderr);
    let json: Value = serde_json::from_str(&host.cli(&["trace", "R1", "--json"]).stdout).unwrap();
    assert_eq!(json["found"], "command");
}
