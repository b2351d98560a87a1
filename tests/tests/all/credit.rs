//! The rows CO of the scenarios: orders that take credit, by the sagas and aggregates of the example `credit` in the real binary.
//!
//! Each order ends as the row says: approved with its credit, or rejected without. What is reserved is never above the limit,
//! whatever comes at once, twice, while the customers' module is missing, or around a kill.

use serde_json::{Value, json};
use ureq::http::Method;

use crate::harness::{
    api::{Api, Traffic},
    folder::DataFolder,
    host::{Host, Options},
    laws,
};

mod rows;

use self::rows::*;

/// Each row three times: as it is, with every message twice, and with the second under a fresh key.
macro_rules! rows {
    ($($name:ident)*) => {
        $(mod $name {
            use super::$name as row;
            use crate::harness::api::Traffic;

            #[test]
            fn plain() {
                row(Traffic::Once);
            }

            #[test]
            fn with_every_message_twice() {
                row(Traffic::Twice);
            }

            #[test]
            fn with_every_message_twice_under_fresh_keys() {
                row(Traffic::TwiceWithFreshKeys);
            }
        })*
    };
}

// Behind the macro, which it uses too.
mod choreographed;

rows! {
    co_01_an_order_within_the_limit_is_approved
    co_02_an_order_above_the_limit_is_rejected_and_stays
    co_03_an_order_of_nobody_is_rejected_and_makes_no_customer
    co_04_the_whole_limit_can_be_taken_and_no_cent_more
    co_05_of_two_orders_at_once_that_do_not_fit_together_one_is_approved_a_hundred_times
    co_06_of_five_orders_at_once_three_fit
    co_07_a_repeated_order_is_the_first_one_and_another_under_its_key_is_refused
    co_08_a_reservation_that_is_asked_for_twice_is_one
    co_10_an_approved_order_is_not_approved_again_and_its_saga_does_not_move
    co_12_an_order_is_pending_while_nobody_has_the_customers_and_goes_on_when_somebody_has
    co_12_an_order_that_is_cancelled_meanwhile_is_rejected_and_reserves_nothing_later
    co_15_a_cancelled_order_gives_its_credit_back
    co_16_a_pending_order_is_not_cancelled_and_is_approved_later
    co_17_an_order_is_cancelled_once
    co_19_credit_that_is_given_back_does_not_revive_an_order_that_was_rejected
    co_20_no_order_gets_credit_of_one_whose_cancel_is_refused_later
}

/// A host with the module, and the customer C1, whose limit is 15.00.
fn shop(traffic: Traffic) -> Host {
    let host = Host::start(DataFolder::with_credit(), Options { traffic, ..Options::default() });
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
    let mut first = shop(Traffic::Once);
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
