//! The rows CO of the scenarios, whatever is sent twice.

use serde_json::json;
use ureq::http::Method;

use super::{cancel, credit, delivery, end, ended, events, open, order, place, placed, shop};
use crate::harness::{
    api::{Answer, Api, Traffic},
    each,
    host::Host,
    laws,
};

pub(super) fn co_01_an_order_within_the_limit_is_approved(traffic: Traffic) {
    let host = shop(traffic);
    let api = host.api();
    assert_eq!(place(&api, "O1", "C1", 1234), "completed");
    laws::hold(&api, "O1");
    assert_eq!((order(&api, "O1"), credit(&api, "C1")), ("O1 Approved".into(), "O1 12.34, left 2.66".into()));
    assert_eq!(events(&api, "order", "O1"), ["order.created", "order.approved"]);
    assert_eq!(events(&api, "customer", "C1"), ["customer.opened", "customer.credit-reserved"]);
    laws::chains(&api);
}

pub(super) fn co_02_an_order_above_the_limit_is_rejected_and_stays(traffic: Traffic) {
    let host = shop(traffic);
    let api = host.api();
    assert_eq!(place(&api, "O1", "C1", 12340), "compensated credit_limit_exceeded");
    laws::hold(&api, "O1");
    assert_eq!((order(&api, "O1"), credit(&api, "C1")), ("O1 Rejected insufficient_credit".into(), "left 15.00".into()));
    let failure = &api.saga("O1")["failure"];
    assert_eq!((&failure["message"], &failure["data"]["available_cents"]), (&json!("1500 cents are left"), &json!(1500)));
    laws::chains(&api);
}

pub(super) fn co_03_an_order_of_nobody_is_rejected_and_makes_no_customer(traffic: Traffic) {
    let host = shop(traffic);
    let api = host.api();
    assert_eq!(place(&api, "O1", "C9", 12340), "compensated no_such_aggregate");
    laws::hold(&api, "O1");
    assert_eq!(order(&api, "O1"), "O1 Rejected unknown_customer");
    assert_eq!(api.get("/v1/aggregates/customer/C9").code(), "404 no_such_aggregate");
    laws::chains(&api);
}

pub(super) fn co_04_the_whole_limit_can_be_taken_and_no_cent_more(traffic: Traffic) {
    let host = shop(traffic);
    let api = host.api();
    assert_eq!(place(&api, "O1", "C1", 1500), "completed");
    assert_eq!(place(&api, "O2", "C1", 1), "compensated credit_limit_exceeded");
    assert_eq!(credit(&api, "C1"), "O1 15.00, left 0.00");
    laws::chains(&api);
}

pub(super) fn co_05_of_two_orders_at_once_that_do_not_fit_together_one_is_approved_a_hundred_times(traffic: Traffic) {
    let host = shop(traffic);
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
    laws::chains(&api);
}

pub(super) fn co_06_of_five_orders_at_once_three_fit(traffic: Traffic) {
    let host = shop(traffic);
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
    laws::chains(&api);
}

/// The key is the request's; the saga has the order's id, which is looked at first.
pub(super) fn co_07_a_repeated_order_is_the_first_one_and_another_under_its_key_is_refused(traffic: Traffic) {
    let host = shop(traffic);
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
    laws::chains(&api);
}

/// Also CO-09: the saga's own command is asked for again, by a client and under another key.
pub(super) fn co_08_a_reservation_that_is_asked_for_twice_is_one(traffic: Traffic) {
    let host = shop(traffic);
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
    laws::chains(&api);
}

pub(super) fn co_10_an_approved_order_is_not_approved_again_and_its_saga_does_not_move(traffic: Traffic) {
    let mut host = shop(traffic);
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
    laws::chains(&api);
}

/// Also TB-21.
pub(super) fn co_12_an_order_is_pending_while_nobody_has_the_customers_and_goes_on_when_somebody_has(traffic: Traffic) {
    let mut host = without_customers(traffic);
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
    laws::chains(&api);
}

pub(super) fn co_12_an_order_that_is_cancelled_meanwhile_is_rejected_and_reserves_nothing_later(traffic: Traffic) {
    let host = without_customers(traffic);
    let api = host.api();
    api.start("place-order", "O1", &placed("O1", "C1", 1234)).expect(201);
    waits_for_customers(&api, "O1");
    let cancelled = host.cli(&["cancel", "O1", "--yes", "--note", "too slow"]);
    assert_eq!(cancelled.code, 0, "{}", cancelled.stderr);
    assert_eq!(ended(&api, "O1"), "compensated cancelled");
    with_customers_again(&host);
    assert_eq!((order(&api, "O1"), credit(&api, "C1")), ("O1 Rejected cancelled".into(), "left 15.00".into()));
    laws::chains(&api);
}

pub(super) fn co_15_a_cancelled_order_gives_its_credit_back(traffic: Traffic) {
    let host = shop(traffic);
    let api = host.api();
    place(&api, "O1", "C1", 1234);
    cancel(&api, "X1", "O1");
    delivery(&api, "O1", true);
    assert_eq!(ended(&api, "X1"), "completed");
    assert_eq!((order(&api, "O1"), credit(&api, "C1")), ("O1 Cancelled".into(), "left 15.00".into()));
    laws::chains(&api);
}

pub(super) fn co_16_a_pending_order_is_not_cancelled_and_is_approved_later(traffic: Traffic) {
    let host = without_customers(traffic);
    let api = host.api();
    api.start("place-order", "O1", &placed("O1", "C1", 1234)).expect(201);
    waits_for_customers(&api, "O1");
    cancel(&api, "X1", "O1");
    assert_eq!(ended(&api, "X1"), "compensated pending");
    with_customers_again(&host);
    assert_eq!(ended(&api, "O1"), "completed");
    assert_eq!((order(&api, "O1"), credit(&api, "C1")), ("O1 Approved".into(), "O1 12.34, left 2.66".into()));
    laws::chains(&api);
}

pub(super) fn co_17_an_order_is_cancelled_once(traffic: Traffic) {
    let host = shop(traffic);
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
    laws::chains(&api);
}

pub(super) fn co_19_credit_that_is_given_back_does_not_revive_an_order_that_was_rejected(traffic: Traffic) {
    let host = shop(traffic);
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
    laws::chains(&api);
}

/// The second order comes before the cancel, while the carrier is asked, at once with its answer, and after everything.
pub(super) fn co_20_no_order_gets_credit_of_one_whose_cancel_is_refused_later(traffic: Traffic) {
    for when in 0..4 {
        let host = shop(traffic);
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
        laws::chains(&api);
    }
}

/// A host on which C1 has been opened, and whose module has lost its customers.
fn without_customers(traffic: Traffic) -> Host {
    let host = shop(traffic);
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
