//! The saga against the participants' own logic, without wasm and without a server.

#![allow(clippy::expect_used, reason = "a test may stop where it stands")]

use std::cell::RefCell;
use std::rc::Rc;

use crate::{Failed, Report, Status, VERSION, group, module};
use amends_sdk::http::{Error, Request, Response};
use amends_sdk::testing::{Given, given};
use participants::{Keys, Look, Operation, Stay, World};
use serde_json::{Value, json};

type Hotel = Rc<RefCell<World>>;

/// Stays under these names, with what is paid beyond the charges.
fn hotel<const N: usize>(stays: [(&str, i64); N]) -> Hotel {
    let stay = |(name, balance_cents): (&str, i64)| (name.to_owned(), Stay { balance_cents, open: true });
    let mut world = World::default();
    world.stays = stays.map(stay).into();
    Rc::new(RefCell::new(world))
}

/// What the participants answer to this request.
fn answer(hotel: &Hotel, request: &Request) -> Response {
    let (operation, resource) = Operation::of_path(request.path()).expect("a known operation");
    if request.method().is_safe() {
        let path = request.url().trim_start_matches("http://participants.test");
        let (status, body) = hotel.borrow().look(operation, &Look::of_uri(path).expect("a query")).http();
        return Response::of_json(status, &body);
    }
    let header = |name| request.header_value(name).map(str::to_owned);
    let keys = Keys { idempotency: header("idempotency-key"), step: header("amends-step-key"), undoes: header("amends-undoes") };
    let ask = request.body_json().expect("a body that says what is asked");
    let (status, body) = hotel.borrow_mut().perform(operation, resource, &ask, &keys).http();
    Response::of_json(status, &body)
}

fn at(hotel: &Hotel) -> Given {
    let hotel = hotel.clone();
    given(group()).http(move |request| answer(&hotel, request))
}

fn input<const N: usize>(stays: [&str; N]) -> Value {
    json!({"participants": "http://participants.test", "stays": stays.to_vec()})
}

fn report<const N: usize, const M: usize>(group: &str, completed: [&str; N], failed: [(&str, &str); M]) -> Report {
    let status = if M == 0 { Status::Completed } else { Status::Failed };
    let failed = failed.map(|(stay, reason)| Failed { stay: stay.to_owned(), reason: reason.to_owned() }).to_vec();
    let completed = completed.map(str::to_owned).to_vec();
    Report { status, group: group.to_owned(), completed, failed, version: VERSION }
}

fn is_open(hotel: &Hotel, stay: &str) -> bool {
    hotel.borrow().stays[stay].open
}

#[test]
fn the_host_takes_the_module() {
    assert_eq!(module().check(), Ok(()));
}

#[test]
fn gc_01_a_group_that_is_settled_checks_out() {
    let hotel = hotel([("s1", 0), ("s2", 0), ("s3", 0)]);
    let run = at(&hotel).id("G1").when(input(["s1", "s2", "s3"])).then(
        "open done
         check-out[s1] done
         check-out[s2] done
         check-out[s3] done
         report done
         completed",
    );
    assert_eq!(run.output::<Report>(), report("G1", ["s1", "s2", "s3"], []));
    assert_eq!(hotel.borrow().effects["check-out"], 3);
}

#[test]
fn gc_03_and_18_who_has_not_settled_stays_and_checks_out_with_another_group() {
    let hotel = hotel([("s1", 0), ("s2", 5000), ("s3", -4000)]);
    let run = at(&hotel).id("G1").when(input(["s1", "s2", "s3"])).then(
        "open done
         check-out[s1] done
         check-out[s2] refused balance_not_settled
         check-out[s3] refused balance_not_settled
         report done
         completed",
    );
    let failed = [("s2", "balance_not_settled"), ("s3", "balance_not_settled")];
    assert_eq!(run.output::<Report>(), report("G1", ["s1"], failed));
    assert_eq!(["s1", "s2", "s3"].map(|stay| is_open(&hotel, stay)), [false, true, true]);

    hotel.borrow_mut().stays.values_mut().for_each(|stay| stay.balance_cents = 0);
    let run = at(&hotel).id("G2").when(input(["s2", "s3"]));
    assert_eq!(run.output::<Report>(), report("G2", ["s2", "s3"], []));
}

#[test]
fn gc_05_and_06_who_is_not_there_fails_and_holds_up_nobody() {
    let hotel = hotel([("s1", 0), ("s2", 0)]);
    at(&hotel).id("G0").when(input(["s1"]));
    let run = at(&hotel).id("G1").when(input(["s1", "s2", "s9"]));
    assert_eq!(run.output::<Report>(), report("G1", ["s2"], [("s1", "not_opened"), ("s9", "not_opened")]));
    assert!(!hotel.borrow().stays.contains_key("s9"));
}

#[test]
fn gc_10_a_stay_that_this_group_checked_out_is_done() {
    let hotel = hotel([("s1", 0)]);
    let (answering, mut lost) = (hotel.clone(), false);
    let run = given(group()).id("G1").http(move |request| {
        let response = answer(&answering, request);
        match std::mem::replace(&mut lost, true) {
            true => Ok(response),
            false => Err(Error::no_answer("lost")),
        }
    });
    let run = run.when(input(["s1"])).then(
        "open done
         check-out[s1] unknown no_answer
         check check-out[s1] done
         report done
         completed",
    );
    assert_eq!(run.output::<Report>(), report("G1", ["s1"], []));
    assert_eq!(hotel.borrow().effects["check-out"], 1);
}

/// The kind: a refusal after an attempt that may have happened was a plain result in a fan-out that collects. See the rule of
/// `collect` in the SDK: only the check makes this one sure.
#[test]
fn c2_33_a_stay_that_is_refused_after_a_lost_answer_is_a_result_because_the_check_found_nothing() {
    let hotel = hotel([("s1", 0), ("s2", 5000)]);
    let (answering, mut lost) = (hotel.clone(), false);
    let run = given(group()).id("G1").http(move |request| match request.path() {
        "/stays/s2/check-out" if !std::mem::replace(&mut lost, true) => Err(Error::no_answer("lost")),
        _ => Ok(answer(&answering, request)),
    });
    let run = run.when(input(["s1", "s2"])).then(
        "open done
         check-out[s1] done
         check-out[s2] unknown no_answer
         check check-out[s2] not done
         check-out[s2] refused balance_not_settled
         report done
         completed",
    );
    assert_eq!(run.output::<Report>(), report("G1", ["s1"], [("s2", "balance_not_settled")]));
}

#[test]
fn gc_14_a_group_of_nobody_is_refused() {
    at(&hotel([])).when(input([])).then("open refused empty_group\ncompensated empty_group");
}

#[test]
fn gc_15_a_stay_that_is_named_twice_counts_once() {
    let hotel = hotel([("s1", 0), ("s2", 0)]);
    let run = at(&hotel).id("G1").when(input(["s1", "s1", "s2"]));
    assert_eq!(run.output::<Report>(), report("G1", ["s1", "s2"], []));
    assert_eq!(hotel.borrow().effects["check-out"], 2);
}

#[test]
fn gc_16_of_two_groups_with_one_stay_in_common_one_checks_it_out() {
    let hotel = hotel([("s1", 0), ("s2", 0), ("s3", 0)]);
    let (answering, other) = (hotel.clone(), hotel.clone());
    let first = given(group()).id("G1").http(move |request| {
        if request.path() == "/stays/s2/check-out" && is_open(&other, "s2") {
            at(&other).id("G2").when(input(["s2", "s3"]));
        }
        answer(&answering, request)
    });
    let run = first.when(input(["s1", "s2"]));
    assert_eq!(run.output::<Report>(), report("G1", ["s1"], [("s2", "not_opened")]));
    assert_eq!(hotel.borrow().effects["check-out"], 3);
}

#[test]
fn gc_20_a_thousand_stays_check_out() {
    let names: Vec<String> = (0..1000).map(|number| format!("s{number}")).collect();
    let hotel = hotel([]);
    let stays = names.iter().map(|name| (name.clone(), Stay { balance_cents: 0, open: true }));
    hotel.borrow_mut().stays.extend(stays);
    let run = at(&hotel).id("G1").when(json!({"participants": "http://participants.test", "stays": names}));
    let report: Report = run.output();
    assert_eq!((report.status, report.completed.len()), (Status::Completed, 1000));
}
