//! CO-21: the history of a customer's orders is made of the events of both aggregates, and shows what was decided when it was asked for
//! with the position of that.

use serde_json::{Value, json};

use super::{shown, until};
use crate::harness::{
    api::{Api, Traffic},
    folder::DataFolder,
    host::{Host, Options},
};

fn shop(traffic: Traffic) -> Host {
    let host = Host::start(DataFolder::with_credit(), Options { traffic, ..Options::default() });
    host.api().post("/v1/aggregates/customer/C1/open", &json!({"limit_cents": 1500})).expect(200);
    host
}

/// Places an order, and waits for the end of its saga.
#[track_caller]
fn place(api: &Api, order: &str, customer: &str, total_cents: u64) -> Value {
    api.run("place-order", order, &json!({"order": order, "customer": customer, "total_cents": total_cents}))
}

/// The position of the newest event.
#[track_caller]
fn newest(api: &Api) -> String {
    api.log().last().unwrap()["position"].as_str().unwrap().to_owned()
}

/// What a view answers about something, with everything that is decided.
#[track_caller]
fn now(api: &Api, question: &str) -> Value {
    let answer = api.get(&format!("/v1/views/{question}&at_least={}", newest(api))).expect(200);
    answer["data"].clone()
}

fn orders(api: &Api) {
    assert_eq!(place(api, "O1", "C1", 1234)["status"], "completed");
    assert_eq!(place(api, "O2", "C1", 500)["status"], "compensated");
    assert_eq!(place(api, "O3", "C1", 266)["status"], "completed");
    api.start("cancel-order", "X1", &json!({"order": "O1"})).expect(201);
    let event = json!({
        "specversion": "1.0", "source": "carrier", "id": "O1", "type": "delivery", "subject": "O1", "data": {"stopped": true},
    });
    assert!(api.post("/v1/events", &event).status < 300);
    assert_eq!(api.run("cancel-order", "X1", &json!({"order": "O1"}))["status"], "completed");
}

fn history() -> Value {
    json!({"limit_cents": 1500, "orders": {
        "O1": {"total_cents": 1234, "status": "cancelled", "has_credit": false},
        "O2": {"total_cents": 500, "status": "rejected", "reason": "insufficient_credit", "has_credit": false},
        "O3": {"total_cents": 266, "status": "approved", "has_credit": true},
    }})
}

#[test]
fn co_21_the_history_shows_a_customers_orders_across_both_aggregates() {
    for traffic in [Traffic::Once, Traffic::Twice, Traffic::TwiceWithFreshKeys] {
        let host = shop(traffic);
        let api = host.api();
        orders(&api);
        assert_eq!(now(&api, "order-history/by-customer?customer=C1"), history(), "{traffic:?}");
        assert_eq!(now(&api, "order-history/by-order?order=O3"), history()["orders"]["O3"], "{traffic:?}");
        let overview = json!({"limit_cents": 1500, "available_cents": 1234, "reserved": {"O3": 266}});
        assert_eq!(now(&api, "customer-overview/by-customer?customer=C1"), overview, "{traffic:?}");
        let none = api.get("/v1/views/order-history/by-customer?customer=C9");
        assert_eq!(none.code(), "404 not_found", "{}", none.body);
    }
}

/// The answer to a command has its position, and a view that is asked with it has read what the command recorded.
#[test]
fn co_21_who_asks_with_the_position_of_a_command_sees_what_it_did() {
    let host = shop(Traffic::Once);
    let api = host.api();
    for number in 0..100 {
        let data = json!({"customer": "C1", "total_cents": number});
        let created = api.post(&format!("/v1/aggregates/order/O{number}/create"), &data).expect(200);
        let position = created["position"].as_str().unwrap();
        let path = format!("/v1/views/order-history/by-order?order=O{number}&at_least={position}");
        let answer = api.get(&path).expect(200);
        assert_eq!(answer["data"], json!({"total_cents": number, "status": "pending", "has_credit": false}));
    }
}

/// Both versions of the module have this view, with rows of the same form: the second goes on with those of the first.
#[test]
fn co_21_a_version_with_the_same_form_of_rows_goes_on_with_them_and_the_other_view_is_built_aside() {
    let mut host = shop(Traffic::Once);
    let api = host.api();
    orders(&api);
    assert_eq!(now(&api, "order-history/by-customer?customer=C1"), history());
    let before = shown(&api, "order-history")["generations"][0]["number"].clone();
    // It has no customers, whose events nobody reads then.
    api.post("/v1/modules/credit/activate", &json!({"version": 2, "accept_unreadable": 100})).expect(200);
    let switched = |shown: &Value| shown["generations"][0]["version"] == 2;
    let history_now = until(&api, "order-history", switched);
    assert_eq!((&history_now["generations"][0]["number"], history_now["generations"][1].is_null()), (&before, true));
    let overview = until(&api, "customer-overview", switched);
    assert_ne!(overview["generations"][0]["number"], overview["generations"][1]["number"]);
    assert_eq!(now(&api, "order-history/by-customer?customer=C1"), history());
    host.restart();
    assert_eq!(now(&host.api(), "order-history/by-customer?customer=C1"), history());
}
