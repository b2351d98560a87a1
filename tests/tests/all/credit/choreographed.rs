//! The same rows without a saga: the policies of the example `choreography` place the orders, in the real binary.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{credit, events, open, order};
use crate::harness::{
    api::{Api, Traffic},
    each,
    folder::DataFolder,
    host::{Host, Options},
    laws,
};

rows! {
    co_01_an_order_within_the_limit_is_approved
    co_02_an_order_above_the_limit_is_rejected_and_stays
    co_03_an_order_of_nobody_is_rejected_and_makes_no_customer
    co_05_of_two_orders_at_once_that_do_not_fit_together_one_is_approved_twenty_times
    co_06_of_five_orders_at_once_three_fit
    co_15_a_cancelled_order_gives_its_credit_back
}

/// What a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(100);

/// A host with the aggregates and the policies, and the customer C1, whose limit is 15.00.
fn shop(traffic: Traffic) -> Host {
    let host = Host::start(DataFolder::with_choreography(), Options { traffic, ..Options::default() });
    open(&host.api(), "C1");
    host
}

#[track_caller]
fn create(api: &Api, order: &str, customer: &str, total_cents: u64) {
    let created = json!({"customer": customer, "total_cents": total_cents});
    api.post(&format!("/v1/aggregates/order/{order}/create"), &created).expect(200);
}

/// Waits until something is so.
#[track_caller]
fn until<T: std::fmt::Debug>(shown: impl Fn() -> T, wanted: impl Fn(&T) -> bool) -> T {
    let began = Instant::now();
    loop {
        let shown = shown();
        if wanted(&shown) {
            return shown;
        }
        assert!(began.elapsed() < PATIENCE, "it does not come to it: {shown:?}");
    }
}

/// How an order has ended.
#[track_caller]
fn ended(api: &Api, id: &str) -> String {
    until(|| order(api, id), |order| !order.ends_with("Pending"))
}

/// Nothing waits for an operator, or for anybody.
#[track_caller]
fn nothing_waits(api: &Api) {
    let policies = api.get("/v1/policies").expect(200)["policies"].as_array().cloned().unwrap_or_default();
    assert_eq!(policies.len(), 3);
    for policy in policies {
        assert_eq!(
            (&policy["status"], &policy["parked"], &policy["waiting"]),
            (&json!("running"), &json!(0), &json!(0)),
            "{policy}"
        );
    }
}

fn co_01_an_order_within_the_limit_is_approved(traffic: Traffic) {
    let host = shop(traffic);
    let api = host.api();
    create(&api, "O1", "C1", 1234);
    assert_eq!((ended(&api, "O1"), credit(&api, "C1")), ("O1 Approved".into(), "O1 12.34, left 2.66".into()));
    assert_eq!(events(&api, "order", "O1"), ["order.created", "order.approved"]);
    assert_eq!(events(&api, "customer", "C1"), ["customer.opened", "customer.credit-reserved"]);
    nothing_waits(&api);
    laws::chains(&api);
}

fn co_02_an_order_above_the_limit_is_rejected_and_stays(traffic: Traffic) {
    let host = shop(traffic);
    let api = host.api();
    create(&api, "O1", "C1", 12340);
    assert_eq!((ended(&api, "O1"), credit(&api, "C1")), ("O1 Rejected insufficient_credit".into(), "left 15.00".into()));
    nothing_waits(&api);
    laws::chains(&api);
}

fn co_03_an_order_of_nobody_is_rejected_and_makes_no_customer(traffic: Traffic) {
    let host = shop(traffic);
    let api = host.api();
    create(&api, "O1", "C9", 12340);
    assert_eq!(ended(&api, "O1"), "O1 Rejected unknown_customer");
    assert_eq!(api.get("/v1/aggregates/customer/C9").code(), "404 no_such_aggregate");
    nothing_waits(&api);
    laws::chains(&api);
}

fn co_05_of_two_orders_at_once_that_do_not_fit_together_one_is_approved_twenty_times(traffic: Traffic) {
    let host = shop(traffic);
    let api = host.api();
    each(&api, 20, |api, number| open(api, &format!("D{number}")));
    each(&api, 40, |api, number| create(api, &format!("O{number}"), &format!("D{}", number / 2), 1000));
    for number in 0..20 {
        let both = [2 * number, 2 * number + 1].map(|number| ended(&api, &format!("O{number}")));
        let approved = both.iter().filter(|order| order.ends_with("Approved")).count();
        let rejected = both.iter().filter(|order| order.ends_with("Rejected insufficient_credit")).count();
        assert_eq!((approved, rejected), (1, 1), "{both:?}");
        let credit = credit(&api, &format!("D{number}"));
        assert!(credit.ends_with("10.00, left 5.00"), "{credit}");
    }
    nothing_waits(&api);
    laws::chains(&api);
}

fn co_06_of_five_orders_at_once_three_fit(traffic: Traffic) {
    let host = shop(traffic);
    let api = host.api();
    each(&api, 5, |api, number| create(api, &format!("O{number}"), "C1", 500));
    let approved = (0..5).filter(|number| ended(&api, &format!("O{number}")).ends_with("Approved")).count();
    assert_eq!(approved, 3);
    assert!(credit(&api, "C1").ends_with(", left 0.00"), "{}", credit(&api, "C1"));
    nothing_waits(&api);
    laws::chains(&api);
}

fn co_15_a_cancelled_order_gives_its_credit_back(traffic: Traffic) {
    let host = shop(traffic);
    let api = host.api();
    create(&api, "O1", "C1", 1234);
    assert_eq!(ended(&api, "O1"), "O1 Approved");
    api.post("/v1/aggregates/order/O1/begin-cancel", &Value::Null).expect(200);
    api.post("/v1/aggregates/order/O1/cancel", &Value::Null).expect(200);
    until(|| credit(&api, "C1"), |credit| credit == "left 15.00");
    assert_eq!(order(&api, "O1"), "O1 Cancelled");
    nothing_waits(&api);
    laws::chains(&api);
}

/// CO-11: each kill comes at another moment of the orders that are on their way.
#[test]
fn co_11_kills_while_policies_place_orders_lose_none_and_reserve_nothing_twice() {
    let mut host = shop(Traffic::Once);
    for number in 0..8 {
        let api = host.api();
        open(&api, &format!("D{number}"));
        create(&api, &format!("O{number}"), &format!("D{number}"), 1000);
        (0..number).for_each(|_| drop(order(&api, &format!("O{number}"))));
        host.kill();
        host.restart();
    }
    let api = host.api();
    for number in 0..8 {
        let (order, customer) = (format!("O{number}"), format!("D{number}"));
        assert_eq!(
            (ended(&api, &order), credit(&api, &customer)),
            (format!("{order} Approved"), format!("{order} 10.00, left 5.00"))
        );
        assert_eq!(events(&api, "customer", &customer), ["customer.opened", "customer.credit-reserved"]);
        assert_eq!(events(&api, "order", &order), ["order.created", "order.approved"]);
    }
    nothing_waits(&api);
    laws::chains(&api);
}
