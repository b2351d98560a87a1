//! The rows CO of the scenarios: orders that take credit, by the sagas and aggregates of the example `credit` in the real binary.
//!
//! Each order ends as the row says: approved with its credit, or rejected without. What is reserved is never above the limit,
//! whatever comes at once, twice, while the customers' module is missing, or around a kill.

use serde_json::{Value, json};
use ureq::http::Method;

use crate::harness::{
    api::{Answer, Api},
    each,
    folder::DataFolder,
    host::{Host, Options},
    laws,
};

/// A host with the module, and the customer C1, whose limit is 15.00.
fn shop() -> Host {
    let host = Host::start(DataFolder::with_credit(), Options::default());
    open(&host.api(), "C1");
    host
}

fn open(api: &Api, customer: &str) {
    api.post(&format!("/v1/aggregates/customer/{customer}/open"), &json!({"limit_cents": 1500})).expect(200);
}

fn placed(order: &str, customer: &str, total_cents: u64) -> Value {
    json!({"order": order, "customer": customer, "total_cents": total_cents})
}

/// Places an order, whose saga has its id, and waits until that has ended or is stuck: `completed`, or `compensated` and why.
#[track_caller]
fn place(api: &Api, order: &str, customer: &str, total_cents: u64) -> String {
    end(&api.run("place-order", order, &placed(order, customer, total_cents)))
}

fn end(saga: &Value) -> String {
    let why = saga["failure"]["code"].as_str().map_or_else(String::new, |code| format!(" {code}"));
    format!("{}{why}", saga["status"].as_str().unwrap_or_default())
}

/// Begins to cancel an order, by a saga of this id.
#[track_caller]
fn cancel(api: &Api, saga: &str, order: &str) {
    api.start("cancel-order", saga, &json!({"order": order})).expect(201);
}

/// The carrier says whether it still could stop the order.
#[track_caller]
fn delivery(api: &Api, order: &str, stopped: bool) {
    let event = json!({
        "specversion": "1.0", "source": "carrier", "id": order, "type": "delivery", "subject": order, "data": {"stopped": stopped},
    });
    let answer = api.post("/v1/events", &event);
    assert!(answer.status < 300, "{}", answer.body);
}

/// How the saga has ended.
#[track_caller]
fn ended(api: &Api, saga: &str) -> String {
    let shown = api.saga(saga);
    let ended = api.run(shown["saga"].as_str().unwrap_or_default(), saga, &shown["input"]);
    laws::hold(api, saga);
    end(&ended)
}

/// `O1 Approved`, with the reason if it was rejected; `no O1`.
#[track_caller]
fn order(api: &Api, id: &str) -> String {
    let answer = api.get(&format!("/v1/aggregates/order/{id}"));
    if answer.code() == "404 no_such_aggregate" {
        return format!("no {id}");
    }
    let status = &answer.expect(200)["state"]["status"];
    match (status.as_str(), status["Rejected"].as_str()) {
        (Some(status), _) => format!("{id} {status}"),
        (None, Some(reason)) => format!("{id} Rejected {reason}"),
        (None, None) => format!("{id} {status}"),
    }
}

/// What is reserved and what is left of a customer's limit: `O1 12.34, left 2.66`.
#[track_caller]
fn credit(api: &Api, customer: &str) -> String {
    let state = api.get(&format!("/v1/aggregates/customer/{customer}")).expect(200)["state"].clone();
    let euros = |cents: i64| format!("{}.{:02}", cents / 100, cents % 100);
    let reserved: Vec<(String, i64)> = state["reserved"]
        .as_object()
        .map(|all| all.iter().map(|(order, cents)| (order.clone(), cents.as_i64().unwrap_or(i64::MAX))).collect())
        .unwrap_or_default();
    let left = state["limit_cents"].as_i64().unwrap_or_default() - reserved.iter().map(|(_, cents)| cents).sum::<i64>();
    let reserved: String = reserved.iter().map(|(order, cents)| format!("{order} {}, ", euros(*cents))).collect();
    format!("{reserved}left {}", euros(left))
}

/// The types of all events of an aggregate.
#[track_caller]
fn events(api: &Api, aggregate: &str, id: &str) -> Vec<String> {
    let page = api.get(&format!("/v1/streams/{aggregate}/{id}/events")).expect(200);
    let events = page["events"].as_array().cloned().unwrap_or_default();
    events.iter().map(|event| event["type"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn co_01_an_order_within_the_limit_is_approved() {
    let host = shop();
    let api = host.api();
    assert_eq!(place(&api, "O1", "C1", 1234), "completed");
    laws::hold(&api, "O1");
    assert_eq!((order(&api, "O1"), credit(&api, "C1")), ("O1 Approved".into(), "O1 12.34, left 2.66".into()));
    assert_eq!(events(&api, "order", "O1"), ["order.created", "order.approved"]);
    assert_eq!(events(&api, "customer", "C1"), ["customer.opened", "customer.credit-reserved"]);
}

#[test]
fn co_02_an_order_above_the_limit_is_rejected_and_stays() {
    let host = shop();
    let api = host.api();
    assert_eq!(place(&api, "O1", "C1", 12340), "compensated credit_limit_exceeded");
    laws::hold(&api, "O1");
    assert_eq!((order(&api, "O1"), credit(&api, "C1")), ("O1 Rejected insufficient_credit".into(), "left 15.00".into()));
    let failure = &api.saga("O1")["failure"];
    assert_eq!((&failure["message"], &failure["data"]["available_cents"]), (&json!("1500 cents are left"), &json!(1500)));
}

#[test]
fn co_03_an_order_of_nobody_is_rejected_and_makes_no_customer() {
    let host = shop();
    let api = host.api();
    assert_eq!(place(&api, "O1", "C9", 12340), "compensated no_such_aggregate");
    laws::hold(&api, "O1");
    assert_eq!(order(&api, "O1"), "O1 Rejected unknown_customer");
    assert_eq!(api.get("/v1/aggregates/customer/C9").code(), "404 no_such_aggregate");
}

#[test]
fn co_04_the_whole_limit_can_be_taken_and_no_cent_more() {
    let host = shop();
    let api = host.api();
    assert_eq!(place(&api, "O1", "C1", 1500), "completed");
    assert_eq!(place(&api, "O2", "C1", 1), "compensated credit_limit_exceeded");
    assert_eq!(credit(&api, "C1"), "O1 15.00, left 0.00");
}

#[test]
fn co_05_of_two_orders_at_once_that_do_not_fit_together_one_is_approved_a_hundred_times() {
    let host = shop();
    let api = host.api();
    each(&api, 100, |api, number| open(api, &format!("D{number}")));
    each(&api, 200, |api, number| {
        let placed = place(api, &format!("O{number}"), &format!("D{}", number / 2), 1000);
        assert!(placed == "completed" || placed == "compensated credit_limit_exceeded", "O{number} {placed}");
    });
    for number in 0..100 {
        let both = [order(&api, &format!("O{}", 2 * number)), order(&api, &format!("O{}", 2 * number + 1))];
        let approved = both.iter().filter(|order| order.ends_with("Approved")).count();
        let rejected = both.iter().filter(|order| order.ends_with("Rejected insufficient_credit")).count();
        assert_eq!((approved, rejected), (1, 1), "{both:?}");
        let credit = credit(&api, &format!("D{number}"));
        assert!(credit.ends_with("10.00, left 5.00"), "{credit}");
    }
}

#[test]
fn co_06_of_five_orders_at_once_three_fit() {
    let host = shop();
    let api = host.api();
    each(&api, 5, |api, number| {
        api.start("place-order", &format!("O{number}"), &placed(&format!("O{number}"), "C1", 500)).expect(201);
    });
    let mut ends: Vec<String> = (0..5).map(|number| ended(&api, &format!("O{number}"))).collect();
    ends.sort();
    let (refused, done) = ("compensated credit_limit_exceeded", "completed");
    assert_eq!(ends, [refused, refused, done, done, done]);
    assert!(credit(&api, "C1").ends_with(", left 0.00"), "{}", credit(&api, "C1"));
    assert_eq!(events(&api, "customer", "C1").len(), 4);
}

/// The key is the request's; the saga has the order's id, which is looked at first.
#[test]
fn co_07_a_repeated_order_is_the_first_one_and_another_under_its_key_is_refused() {
    let host = shop();
    let api = host.api();
    let place = |total_cents: u64| -> Answer {
        let path = "/v1/definitions/place-order/sagas?id=O1&wait=100s";
        let input = placed("O1", "C1", total_cents).to_string();
        api.try_send(Method::POST, path, Some("R1"), input.as_bytes()).unwrap()
    };
    let first = place(1234);
    let again = place(1234);
    assert_eq!(
        (first.status, &again.body["revision"], &again.body["output"]),
        (201, &first.body["revision"], &first.body["output"])
    );
    let other = place(100);
    assert_eq!(other.code(), "409 id_taken");
    assert_eq!((order(&api, "O1"), credit(&api, "C1")), ("O1 Approved".into(), "O1 12.34, left 2.66".into()));
    assert_eq!(events(&api, "customer", "C1"), ["customer.opened", "customer.credit-reserved"]);
}

/// Also CO-09: the saga's own command is asked for again, by a client and under another key.
#[test]
fn co_08_a_reservation_that_is_asked_for_twice_is_one() {
    let host = shop();
    let api = host.api();
    let again = json!({"order": "O1", "cents": 1234});
    let reserve = || api.post("/v1/aggregates/customer/C1/reserve-credit", &again).expect(200);
    let before = reserve();
    assert_eq!(place(&api, "O1", "C1", 1234), "completed");
    let after = reserve();
    assert_eq!((&before["data"], &after["data"]), (&json!({"available_cents": 266}), &json!({"available_cents": 266})));
    assert_eq!(after["events"], json!([]));
    assert_eq!((order(&api, "O1"), credit(&api, "C1")), ("O1 Approved".into(), "O1 12.34, left 2.66".into()));
    assert_eq!(events(&api, "customer", "C1"), ["customer.opened", "customer.credit-reserved"]);
}

#[test]
fn co_10_an_approved_order_is_not_approved_again_and_its_saga_does_not_move() {
    let mut host = shop();
    assert_eq!(place(&host.api(), "O1", "C1", 1234), "completed");
    let before = host.api().journal("O1");
    host.kill();
    host.restart();
    let api = host.api();
    assert_eq!(place(&api, "O1", "C1", 1234), "completed");
    let approve = api.post("/v1/aggregates/order/O1/approve", &json!(null)).expect(200);
    assert_eq!(approve["events"], json!([]));
    assert_eq!(api.post("/v1/aggregates/order/O1/reject", &json!({"reason": "timeout"})).code(), "409 not_pending");
    assert_eq!(api.journal("O1"), before);
    assert_eq!(events(&api, "order", "O1"), ["order.created", "order.approved"]);
}

/// As `AMENDS_FAILPOINT` knows them. A command reaches no guest of the saga and needs no durable intent.
const POINTS: [&str; 9] = [
    "accepted",
    "outcome-seen",
    "outcome-durable",
    "rollback-durable",
    "undo-outcome-seen",
    "undo-outcome-durable",
    "last-step-durable",
    "end-durable",
    "intent-durable",
];

/// Places an order on copies of one shop, each of which dies at another point, and says how often they did.
fn killed_at_every_point(total_cents: u64, expected: [&str; 3]) -> usize {
    let mut first = shop();
    assert!(first.stop().success());
    let was_killed = |point: &str, nth: usize| {
        let options = Options::default().dies_at(&format!("{point}:{nth}"));
        let mut host = Host::start(DataFolder::of(first.folder.path()), options);
        let path = "/v1/definitions/place-order/sagas?id=O1&wait=100s";
        let input = placed("O1", "C1", total_cents).to_string();
        let died = host.api().try_send(Method::POST, path, None, input.as_bytes()).is_err();
        if died {
            host.died();
            host.restart();
        }
        let api = host.api();
        let end = place(&api, "O1", "C1", total_cents);
        laws::hold(&api, "O1");
        assert_eq!([end, order(&api, "O1"), credit(&api, "C1")], expected, "{point}:{nth}");
        assert_eq!(events(&api, "order", "O1").len(), 2, "{point}:{nth}");
        // What is durable with the end may kill after the answer.
        died
    };
    let kills = |point: &&str| (1..8).take_while(|nth| was_killed(point, *nth)).count();
    POINTS
        .iter()
        .map(|point| {
            let n = kills(point);
            println!("{point} {n}");
            n
        })
        .sum()
}

#[test]
fn co_11_a_kill_at_every_point_leaves_the_order_approved() {
    let kills = killed_at_every_point(1234, ["completed", "O1 Approved", "O1 12.34, left 2.66"]);
    assert!(kills >= 8, "only {kills} kills");
}

#[test]
fn co_11_a_kill_at_every_point_leaves_the_order_rejected_that_has_no_credit() {
    let kills =
        killed_at_every_point(12340, ["compensated credit_limit_exceeded", "O1 Rejected insufficient_credit", "left 15.00"]);
    assert!(kills >= 8, "only {kills} kills");
}

/// A host on which C1 has been opened, and whose module has lost its customers.
fn without_customers() -> Host {
    let host = shop();
    activate(&host, 2);
    host
}

fn activate(host: &Host, version: u32) {
    host.api().post("/v1/modules/credit/activate", &json!({"version": version, "accept_unreadable": 1_000})).expect(200);
}

/// The customers are there again.
fn with_customers_again(host: &Host) {
    activate(host, 1);
}

/// Waits until the saga waits for its customers.
#[track_caller]
fn waits_for_customers(api: &Api, saga: &str) {
    api.until(saga, |record| record["failure"]["code"] == "no_handler");
}

/// Also TB-21.
#[test]
fn co_12_an_order_is_pending_while_nobody_has_the_customers_and_goes_on_when_somebody_has() {
    let mut host = without_customers();
    host.api().start("place-order", "O1", &placed("O1", "C1", 1234)).expect(201);
    waits_for_customers(&host.api(), "O1");
    host.advance_ms(600_000);
    let api = host.api();
    assert_eq!((order(&api, "O1"), &api.saga("O1")["status"]), ("O1 Pending".into(), &json!("running")));
    let shown = host.cli(&["show", "O1"]).stdout;
    assert!(shown.contains("no active module of namespace `default` has an aggregate `customer`"), "{shown}");
    with_customers_again(&host);
    assert_eq!(ended(&api, "O1"), "completed");
    assert_eq!((order(&api, "O1"), credit(&api, "C1")), ("O1 Approved".into(), "O1 12.34, left 2.66".into()));
    assert!(!api.journal("O1").iter().any(|record| record["type"] == "rollback_begun"));
}

#[test]
fn co_12_an_order_that_is_cancelled_meanwhile_is_rejected_and_reserves_nothing_later() {
    let host = without_customers();
    let api = host.api();
    api.start("place-order", "O1", &placed("O1", "C1", 1234)).expect(201);
    waits_for_customers(&api, "O1");
    let cancelled = host.cli(&["cancel", "O1", "--yes", "--note", "too slow"]);
    assert_eq!(cancelled.code, 0, "{}", cancelled.stderr);
    assert_eq!(ended(&api, "O1"), "compensated cancelled");
    with_customers_again(&host);
    assert_eq!((order(&api, "O1"), credit(&api, "C1")), ("O1 Rejected cancelled".into(), "left 15.00".into()));
}

#[test]
fn co_15_a_cancelled_order_gives_its_credit_back() {
    let host = shop();
    let api = host.api();
    place(&api, "O1", "C1", 1234);
    cancel(&api, "X1", "O1");
    delivery(&api, "O1", true);
    assert_eq!(ended(&api, "X1"), "completed");
    assert_eq!((order(&api, "O1"), credit(&api, "C1")), ("O1 Cancelled".into(), "left 15.00".into()));
}

#[test]
fn co_16_a_pending_order_is_not_cancelled_and_is_approved_later() {
    let host = without_customers();
    let api = host.api();
    api.start("place-order", "O1", &placed("O1", "C1", 1234)).expect(201);
    waits_for_customers(&api, "O1");
    cancel(&api, "X1", "O1");
    assert_eq!(ended(&api, "X1"), "compensated pending");
    with_customers_again(&host);
    assert_eq!(ended(&api, "O1"), "completed");
    assert_eq!((order(&api, "O1"), credit(&api, "C1")), ("O1 Approved".into(), "O1 12.34, left 2.66".into()));
}

#[test]
fn co_17_an_order_is_cancelled_once() {
    let host = shop();
    let api = host.api();
    place(&api, "O1", "C1", 1234);
    cancel(&api, "X1", "O1");
    delivery(&api, "O1", true);
    assert_eq!(ended(&api, "X1"), "completed");
    // The same saga again is the first one.
    assert_eq!(end(&api.run("cancel-order", "X1", &json!({"order": "O1"}))), "completed");
    cancel(&api, "X2", "O1");
    assert_eq!(ended(&api, "X2"), "compensated not_approved");
    assert_eq!(credit(&api, "C1"), "left 15.00");
    assert_eq!(events(&api, "order", "O1").iter().filter(|event| *event == "order.cancelled").count(), 1);
}

#[test]
fn co_19_credit_that_is_given_back_does_not_revive_an_order_that_was_rejected() {
    let host = shop();
    let api = host.api();
    assert_eq!(place(&api, "O1", "C1", 1234), "completed");
    assert_eq!(place(&api, "O2", "C1", 1234), "compensated credit_limit_exceeded");
    cancel(&api, "X1", "O1");
    delivery(&api, "O1", true);
    assert_eq!(ended(&api, "X1"), "completed");
    assert_eq!(place(&api, "O3", "C1", 1234), "completed");
    let orders = ["O1", "O2", "O3"].map(|id| order(&api, id));
    assert_eq!(orders, ["O1 Cancelled", "O2 Rejected insufficient_credit", "O3 Approved"]);
    assert_eq!(credit(&api, "C1"), "O3 12.34, left 2.66");
}

/// The second order comes before the cancel, while the carrier is asked, at once with its answer, and after everything.
#[test]
fn co_20_no_order_gets_credit_of_one_whose_cancel_is_refused_later() {
    for when in 0..4 {
        let host = shop();
        let api = host.api();
        place(&api, "O1", "C1", 1234);
        let second = |now: usize| {
            if now == when {
                assert_eq!(place(&api, "O2", "C1", 1234), "compensated credit_limit_exceeded", "{when}");
            }
        };
        second(0);
        cancel(&api, "X1", "O1");
        api.until_type("X1", "wait");
        assert_eq!(order(&api, "O1"), "O1 Cancelling");
        second(1);
        if when == 2 {
            api.start("place-order", "O2", &placed("O2", "C1", 1234)).expect(201);
        }
        delivery(&api, "O1", false);
        assert_eq!(ended(&api, "X1"), "compensated on_its_way");
        second(3);
        assert_eq!(ended(&api, "O2"), "compensated credit_limit_exceeded");
        assert_eq!([order(&api, "O1"), order(&api, "O2")], ["O1 Approved", "O2 Rejected insufficient_credit"], "{when}");
        assert_eq!(credit(&api, "C1"), "O1 12.34, left 2.66", "{when}");
    }
}
