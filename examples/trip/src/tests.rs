//! The sagas of the module against the participants' own logic, without wasm and without a server.

#![allow(clippy::expect_used, reason = "a test may stop where it stands")]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::{Booking, VERSION, flight, trip, trip_parallel, trip_refund};
use amends_sdk::http::{Error, Request, Response};
use amends_sdk::testing::{Given, Status, given};
use participants::{Keys, Operation, World};
use serde_json::{Value, json};

type Participants = Rc<RefCell<World>>;

fn participants() -> Participants {
    Rc::default()
}

/// What the participants answer to this request.
fn answer(world: &Participants, request: &Request) -> Response {
    let (operation, resource) = Operation::of_path(request.path()).expect("a known operation");
    let header = |name| request.header_value(name).map(str::to_owned);
    let keys = Keys { idempotency: header("idempotency-key"), step: header("amends-step-key"), undoes: header("amends-undoes") };
    let ask = request.body_json().expect("a body that says what is asked");
    let (status, body) = world.borrow_mut().perform(operation, resource, &ask, &keys).http();
    Response::of_json(status, &body)
}

fn with(given: Given, world: &Participants) -> Given {
    let world = world.clone();
    given.http(move |request| answer(&world, request))
}

fn input() -> Value {
    json!({"participants": "http://participants.test"})
}

fn left(world: &Participants) -> (u32, u32, u32, u64) {
    let world = world.borrow();
    (world.stock["F100"], world.stock["H1"], world.stock["K1"], world.accounts["A"])
}

#[test]
fn tb_01_a_trip_is_booked() {
    let world = participants();
    let run = with(given(trip()).id("T1"), &world).when(input()).then(
        "reserve-flight done
         reserve-hotel done
         reserve-car done
         charge done
         issue-tickets done
         email-itinerary done
         completed",
    );
    let (price, paid) = if VERSION == 1 { ("870.00", 87_000) } else { ("875.00", 87_500) };
    let booking = Booking { status: "BOOKED".into(), trip: "T1".into(), price: price.into(), version: VERSION };
    assert_eq!(run.output::<Booking>(), booking);
    assert_eq!(left(&world), (1, 0, 0, 100_000 - paid));
    assert_eq!(world.borrow().emails[0].subject, format!("Your trip T1 is booked for {price}"));
}

#[test]
fn tb_02_no_car_gives_back_hotel_and_flight() {
    let world = participants();
    world.borrow_mut().stock.insert("K1".into(), 0);
    with(given(trip()), &world).when(input()).then(
        "reserve-flight done
         reserve-hotel done
         reserve-car refused no_car
         undo reserve-hotel done
         undo reserve-flight done
         compensated no_car",
    );
    assert_eq!(left(&world), (2, 1, 0, 100_000));
    assert_eq!(world.borrow().effects.get("cancel-car"), None);
}

#[test]
fn tb_03_and_04_nothing_is_undone_that_was_not_done() {
    let world = participants();
    world.borrow_mut().stock.insert("H1".into(), 0);
    with(given(trip()), &world).when(input()).then(
        "reserve-flight done
         reserve-hotel refused no_room
         undo reserve-flight done
         compensated no_room",
    );
    world.borrow_mut().stock.insert("F100".into(), 0);
    with(given(trip()).id("T2"), &world).when(input()).then(
        "reserve-flight refused no_seat
         compensated no_seat",
    );
}

#[test]
fn tb_05_a_refused_charge_gives_everything_back() {
    let world = participants();
    world.borrow_mut().accounts.insert("A".into(), 10_000);
    with(given(trip()), &world).when(input()).then(
        "reserve-flight done
         reserve-hotel done
         reserve-car done
         charge refused no_funds
         undo reserve-car done
         undo reserve-hotel done
         undo reserve-flight done
         compensated no_funds",
    );
    assert_eq!(left(&world), (2, 1, 1, 10_000));
    let undo = world.borrow().effects.contains_key("cancel-car");
    assert!(undo);
}

#[test]
fn tb_06_undoing_gives_back_one_seat_and_not_the_old_number() {
    let world = participants();
    world.borrow_mut().stock.extend([("F100".into(), 10), ("H1".into(), 0)]);
    let (others, during) = (world.clone(), world.clone());
    let first = given(trip()).id("T1").http(move |request| {
        if request.path() == "/hotels/H1/reserve" {
            with(given(flight()).id("T2"), &others).when(input()).then("reserve-flight done\ncharge done\ncompleted");
        }
        answer(&during, request)
    });
    assert_eq!(first.when(input()).status(), Status::Compensated);
    assert_eq!(world.borrow().stock["F100"], 9);
}

#[test]
fn tb_07_in_parallel_the_others_are_undone_too() {
    let world = participants();
    world.borrow_mut().stock.insert("H1".into(), 0);
    with(given(trip_parallel()), &world).when(input()).then(
        "reserve-flight done
         reserve-hotel refused no_room
         reserve-car done
         undo reserve-car done
         undo reserve-flight done
         compensated no_room",
    );
    assert_eq!(left(&world), (2, 0, 1, 100_000));
}

#[test]
fn tb_09_and_10_a_cancel_that_fails_is_tried_five_times_then_the_trip_is_stuck() {
    for (failures, end) in [(3, "compensated no_car"), (5, "stuck at undo reserve-hotel: http_500")] {
        let world = participants();
        world.borrow_mut().stock.insert("K1".into(), 0);
        let (mut left, answering) = (failures, world.clone());
        let run = given(trip()).http(move |request| match request.path() {
            "/hotels/H1/cancel" if left > 0 => {
                left -= 1;
                Response::new(500, "")
            }
            _ => answer(&answering, request),
        });
        let trace = run.when(input()).to_string();
        assert!(trace.contains(&format!("undo reserve-hotel unknown http_500 ×{failures}")), "{trace}");
        assert!(trace.ends_with(end), "{trace}");
    }
}

#[test]
fn tb_15_a_silent_hotel_is_asked_once_and_its_late_reservation_refused() {
    let world = participants();
    let (answering, late): (_, Rc<RefCell<Option<Request>>>) = (world.clone(), Rc::default());
    let kept = late.clone();
    let silent = given(trip()).http(move |request| match request.path() {
        "/hotels/H1/reserve" => {
            kept.replace(Some(request.clone()));
            Err(Error::no_answer("30 s"))
        }
        _ => Ok(answer(&answering, request)),
    });
    silent.when(input()).then(
        "reserve-flight done
         reserve-hotel unknown no_answer
         undo reserve-hotel done
         undo reserve-flight done
         compensated no_answer",
    );
    let late = late.take().expect("a reservation was asked for");
    assert_eq!(answer(&world, &late).status(), 409);
    assert_eq!(left(&world), (2, 1, 1, 100_000));
}

#[test]
fn tb_14_and_19_after_the_charge_only_a_refund_helps_and_it_writes_again() {
    let world = participants();
    let run = with(given(trip()).id("T1"), &world).when(input()).cancel();
    assert!(run.to_string().ends_with("completed\nnot cancelled"));
    let refund = || json!({"trip": "T1", "participants": "http://participants.test"});
    with(given(trip_refund()).id("R1"), &world).when(refund()).then(
        "refund done
         void-tickets done
         cancel-flight done
         cancel-hotel done
         cancel-car done
         email-apology done
         completed",
    );
    assert_eq!(left(&world), (2, 1, 1, 100_000));
    assert_eq!(world.borrow().emails.len(), 2);
    let mut unknown = refund();
    unknown["trip"] = json!("T7");
    with(given(trip_refund()).id("R2"), &world).when(unknown).then("refund refused not_charged\ncompensated not_charged");
}

#[test]
fn tb_16_a_reply_that_was_lost_is_asked_for_again_with_the_same_key() {
    let world = participants();
    let (answering, mut lost) = (world.clone(), Vec::new());
    let run = given(trip()).id("T1").http(move |request| {
        let response = answer(&answering, request);
        // Every reply is lost once, except the hotel's, which is not asked twice.
        if lost.contains(&request.path().to_owned()) || request.path() == "/hotels/H1/reserve" {
            return Ok(response);
        }
        lost.push(request.path().to_owned());
        Err(Error::no_answer("lost"))
    });
    let run = run.when(input());
    assert_eq!(run.status(), Status::Completed);
    assert!(run.now().since(amends_sdk::Moment::from_millis(1_767_225_600_000)) >= Duration::from_secs(1));
    assert!(world.borrow().effects.values().all(|effects| *effects == 1), "{:?}", world.borrow().effects);
    let keys: Vec<String> =
        run.requests().iter().filter_map(|request| request.header_value("idempotency-key").map(str::to_owned)).collect();
    assert_eq!((keys.len(), &keys[0]), (11, &keys[1]));
}
