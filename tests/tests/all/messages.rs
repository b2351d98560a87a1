//! What code of steps sends, waits for answers, and events of aggregates that wake and start sagas: the example `basket` over the
//! aggregates of `credit`, in the real binary.

use serde_json::{Value, json};
use ureq::http::Method;

use crate::harness::{
    api::Api,
    folder::DataFolder,
    guests::{Way, guest},
    host::{Host, Options},
    laws,
};

const HOUR_MS: u64 = 3_600_000;

/// A host with both modules, and the customer C1, whose limit is 15.00.
fn shop() -> Host {
    let host = Host::start(DataFolder::with_credit(), Options::default());
    host.api().put("/v1/modules/basket", &guest(Way::Plain, "basket")).expect(201);
    host.api().post("/v1/aggregates/customer/C1/open", &json!({"limit_cents": 1500})).expect(200);
    host
}

fn basket(order: &str, cents: u64) -> Value {
    json!({"order": order, "customer": "C1", "lines": [{"cents": cents, "count": 2}]})
}

fn status(api: &Api, order: &str) -> Value {
    api.get(&format!("/v1/aggregates/order/{order}")).expect(200)["state"]["status"].clone()
}

/// The types of a saga's records, without those of commands that are data.
fn types(api: &Api, saga: &str) -> String {
    let records = api.journal(saga);
    let types: Vec<&str> = records.iter().map(|record| record["type"].as_str().unwrap()).collect();
    types.join(" ")
}

/// The saga `grace` that the approval of an order started.
#[track_caller]
fn grace(api: &Api, expected: usize) -> Vec<String> {
    let began = std::time::Instant::now();
    loop {
        let listed = api.get("/v1/sagas?saga=grace").expect(200);
        let ids: Vec<String> =
            listed["sagas"].as_array().unwrap().iter().map(|saga| saga["id"].as_str().unwrap().to_owned()).collect();
        if ids.len() == expected {
            return ids;
        }
        assert!(began.elapsed() < crate::harness::api::PATIENCE, "{listed}");
    }
}

#[test]
fn a_step_asks_an_aggregate_waits_for_the_answer_and_the_saga_goes_on_with_it() {
    let host = shop();
    let api = host.api();
    let ended = api.run("checkout", "B1", &basket("O1", 600));
    assert_eq!((&ended["status"], &ended["output"]["total_cents"]), (&json!("completed"), &json!(1200)), "{ended}");
    assert_eq!(status(&api, "O1"), "Approved");
    assert!(types(&api, "B1").starts_with("started intent sent wait answered intent done intent done"), "{}", types(&api, "B1"));
    let journal = api.journal("B1");
    assert_eq!((&journal[2]["command"]["to"], &journal[2]["command"]["command"]), (&json!("order/O1"), &json!("create")));
    assert_eq!((&journal[4]["command"]["to"], &journal[4]["command"]["revision"]), (&json!("order/O1"), &json!("1")));
    laws::hold(&api, "B1");
    let shown = host.cli(&["journal", "B1"]).stdout;
    assert!(shown.contains("price #1  command 0 create to order/O1"), "{shown}");
    assert!(shown.contains("price  command 0 order/O1  accepted, revision 1"), "{shown}");
}

#[test]
fn what_a_compensation_sends_is_decided_though_the_saga_has_ended_by_then() {
    let host = shop();
    let api = host.api();
    let ended = api.run("checkout", "B1", &basket("O1", 5000));
    assert_eq!((&ended["status"], &ended["failure"]["code"]), (&json!("compensated"), &json!("credit_limit_exceeded")));
    let began = std::time::Instant::now();
    while status(&api, "O1") == "Pending" {
        assert!(began.elapsed() < crate::harness::api::PATIENCE);
    }
    assert_eq!(status(&api, "O1"), json!({"Rejected": "insufficient_credit"}));
}

/// The compensation of the example said `insufficient_credit`, whatever its saga rolled back for.
#[test]
fn an_order_says_for_which_failure_of_its_saga_it_was_rejected() {
    let host = shop();
    let api = host.api();
    let of_nobody = json!({"order": "O1", "customer": "C9", "lines": [{"cents": 100, "count": 2}]});
    assert_eq!(api.run("checkout", "B1", &of_nobody)["failure"]["code"], "no_such_aggregate");
    let began = std::time::Instant::now();
    while status(&api, "O1") == "Pending" {
        assert!(began.elapsed() < crate::harness::api::PATIENCE);
    }
    assert_eq!(status(&api, "O1"), json!({"Rejected": "unknown_customer"}));
}

#[test]
fn what_an_aggregate_refuses_is_the_steps_refusal_and_nothing_is_to_be_undone() {
    let host = shop();
    let api = host.api();
    assert_eq!(api.run("checkout", "B1", &basket("O1", 600))["status"], "completed");
    let again = api.run("checkout", "B2", &basket("O1", 100));
    assert_eq!((&again["status"], &again["failure"]["code"]), (&json!("compensated"), &json!("exists")), "{again}");
    assert_eq!(types(&api, "B2"), "started intent sent wait answered intent refused rollback_begun compensated");
    assert_eq!(status(&api, "O1"), "Approved");
}

#[test]
fn a_command_that_nobody_can_decide_is_decided_when_somebody_can() {
    let host = Host::start(DataFolder::empty(), Options::default());
    let api = host.api();
    api.put("/v1/modules/basket", &guest(Way::Plain, "basket")).expect(201);
    api.start("checkout", "B1", &basket("O1", 600)).expect(201);
    let waiting = api.until("B1", |record| record["type"] == "wait");
    assert_eq!(waiting["waits_for"]["answer"]["number"], 0);
    let shown = host.cli(&["show", "B1"]).stdout;
    assert!(shown.contains("waits for the answer of order/O1 to create"), "{shown}");
    api.put("/v1/modules/credit", &guest(Way::Plain, "credit")).expect(201);
    let answered = api.until("B1", |record| record["type"] == "answered");
    assert_eq!(answered["command"]["revision"], "1");
    // C1 is not there.
    api.until_type("B1", "compensated");
}

#[test]
fn the_event_of_an_aggregate_starts_a_saga_that_waits_for_another_one_of_it() {
    let mut host = shop();
    assert_eq!(host.api().run("checkout", "B1", &basket("O1", 100))["status"], "completed");
    assert_eq!(host.api().run("checkout", "B2", &basket("O2", 100))["status"], "completed");
    let ids = grace(&host.api(), 2);
    for id in &ids {
        host.api().until_type(id, "wait");
    }
    host.api().post("/v1/aggregates/order/O2/begin-cancel", &json!(null)).expect(200);
    let api = host.api();
    let of = |order: &str| {
        let is_it = |id: &&String| api.journal(id)[0]["started"]["input"]["key"] == order;
        ids.iter().find(is_it).unwrap().clone()
    };
    let (first, second) = (of("O1"), of("O2"));
    api.until_type(&second, "completed");
    assert_eq!(api.saga(&second)["output"], "cancelled");
    assert_eq!(api.saga(&first)["status"], "waiting");
    assert_eq!(api.saga(&first)["started_by"]["kind"], "event");
    host.kill();
    host.restart();
    host.advance_ms(HOUR_MS);
    let api = host.api();
    api.until_type(&first, "completed");
    assert_eq!(api.saga(&first)["output"], "confirmed");
    let began = std::time::Instant::now();
    let published = loop {
        let listed = api.get("/v1/events?name=confirmation").expect(200)["events"].clone();
        if listed != json!([]) {
            break listed;
        }
        assert!(began.elapsed() < crate::harness::api::PATIENCE);
    };
    laws::chains(&api);
    assert_eq!((published.as_array().unwrap().len(), &published[0]["key"]), (1, &json!("O1")), "{published}");
    assert_eq!(published[0]["source"], format!("saga/{first}"));
}

/// As `AMENDS_FAILPOINT` knows them.
const POINTS: [&str; 6] = ["accepted", "outcome-seen", "outcome-durable", "rollback-durable", "end-durable", "intent-durable"];

/// Checks a basket out on copies of one shop, each of which dies at another point, and says how often they did.
fn killed_at_every_point(cents: u64, expected: &Value) -> usize {
    let mut first = shop();
    assert!(first.stop().success());
    let was_killed = |point: &str, nth: usize| {
        let options = Options::default().dies_at(&format!("{point}:{nth}"));
        let mut host = Host::start(DataFolder::of(first.folder.path()), options);
        let (path, input) = ("/v1/definitions/checkout/sagas?id=B1&wait=100s", basket("O1", cents).to_string());
        let died = host.api().try_send(Method::POST, path, None, input.as_bytes()).is_err();
        if died {
            host.died();
            host.restart();
        }
        let api = host.api();
        api.run("checkout", "B1", &basket("O1", cents));
        laws::hold(&api, "B1");
        let began = std::time::Instant::now();
        while status(&api, "O1") == "Pending" {
            assert!(began.elapsed() < crate::harness::api::PATIENCE, "{point}:{nth}");
        }
        let events = api.get("/v1/streams/order/O1/events").expect(200)["events"].as_array().unwrap().len();
        assert_eq!((&status(&api, "O1"), events), (expected, 2), "{point}:{nth}");
        let commands = types(&api, "B1").split(' ').filter(|kind| *kind == "answered").count();
        assert!((1..=2).contains(&commands), "{point}:{nth}: {}", types(&api, "B1"));
        died
    };
    POINTS.iter().map(|point| (1..8).take_while(|nth| was_killed(point, *nth)).count()).sum()
}

#[test]
fn a_kill_at_every_point_leaves_each_command_decided_once() {
    let kills = killed_at_every_point(600, &json!("Approved"));
    assert!(kills >= 5, "only {kills} kills");
    let kills = killed_at_every_point(5000, &json!({"Rejected": "insufficient_credit"}));
    assert!(kills >= 5, "only {kills} kills");
}

#[test]
fn xr_19_a_tree_goes_from_a_basket_over_the_order_to_what_its_approval_starts_and_that_publishes() {
    let mut host = shop();
    assert_eq!(host.api().run("checkout", "B1", &basket("O1", 100))["status"], "completed");
    let id = grace(&host.api(), 1).remove(0);
    host.api().until_type(&id, "wait");
    host.advance_ms(HOUR_MS);
    host.api().until_type(&id, "completed");
    let tree = |of: &str| host.cli(&["trace", of]).stdout;
    let from_the_top = tree("B1");
    for part in [
        "start checkout  B1",
        "price  done",
        "order/O1/create",
        "order.created",
        "order.approved",
        "grace  completed",
        "confirmation/O1",
    ] {
        assert!(from_the_top.contains(part), "{part} is not in\n{from_the_top}");
    }
    laws::chains(&host.api());
    let from_below = tree(&id);
    assert!(from_below.starts_with("start checkout  B1  by local"), "{from_below}");
}

/// Both rest while no module has the order, the later one for a shorter time: it was decided first, refused for good because there was
/// no order, and the order that was made then stood for ever.
#[test]
fn what_a_compensation_sends_is_decided_behind_what_it_undoes() {
    let mut host = Host::start(DataFolder::empty(), Options::default());
    host.api().put("/v1/modules/basket", &guest(Way::Plain, "basket")).expect(201);
    host.api().start("checkout", "B1", &basket("O1", 600)).expect(201);
    host.api().until("B1", |record| record["type"] == "wait");
    for _ in 0..8 {
        host.advance_ms(3_000);
    }
    assert_eq!(host.cli(&["cancel", "B1", "--yes", "--note", "too slow"]).code, 0);
    host.api().until_type("B1", "compensated");
    let trace = host.cli(&["trace", "B1"]).stdout;
    assert!(trace.contains("→ order/O1/create  undecided") && trace.contains("→ order/O1/reject  undecided"), "{trace}");
    assert!(trace.contains("2 commands are not decided yet") && !trace.contains("nothing is open"), "{trace}");
    let api = host.api();
    api.put("/v1/modules/credit", &guest(Way::Plain, "credit")).expect(201);
    let began = std::time::Instant::now();
    loop {
        let order = api.get("/v1/aggregates/order/O1");
        if order.body["state"]["status"]["Rejected"].is_string() {
            break;
        }
        assert!(began.elapsed() < crate::harness::api::PATIENCE, "{}", order.body);
    }
}
