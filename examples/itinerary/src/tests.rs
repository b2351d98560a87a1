//! The sagas of the module against the participants' own logic, without wasm and without a server.

#![allow(clippy::expect_used, reason = "a test may stop where it stands")]

use std::cell::RefCell;
use std::rc::Rc;

use crate::{Booking, VERSION, itinerary, module};
use amends_sdk::http::{Error, Request, Response};
use amends_sdk::testing::{Given, given};
use participants::{Keys, Operation, World};
use serde_json::{Value, json};

type Participants = Rc<RefCell<World>>;

/// Two seats on each flight, one room in each hotel, both cars, and 1,000.00 on account A; but for what is said otherwise.
fn participants<const N: usize>(stock: [(&str, u32); N]) -> Participants {
    let mut world = World::default();
    let all = [("F100", 2), ("F200", 2), ("H1", 1), ("H2", 1), ("K1", 1), ("K2", 1)];
    world.stock = all.into_iter().chain(stock).map(|(name, left)| (name.to_owned(), left)).collect();
    Rc::new(RefCell::new(world))
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

fn with(world: &Participants) -> Given {
    let world = world.clone();
    given(itinerary()).http(move |request| answer(&world, request))
}

fn input<const N: usize>(travellers: [&str; N]) -> Value {
    json!({"participants": "http://participants.test", "travellers": travellers.to_vec()})
}

/// Seats, rooms and cars that are left, as `F100 2, F200 2, …`, and what is on account A.
fn left(world: &Participants) -> (String, u64) {
    let world = world.borrow();
    let stock: Vec<String> = world.stock.iter().map(|(name, left)| format!("{name} {left}")).collect();
    (stock.join(", "), world.accounts["A"])
}

fn effects(world: &Participants, operation: &str) -> u32 {
    world.borrow().effects.get(operation).copied().unwrap_or_default()
}

#[test]
fn the_host_takes_the_module() {
    assert_eq!(module().check(), Ok(()));
}

#[test]
fn two_travellers_are_booked() {
    let world = participants([]);
    world.borrow_mut().accounts.insert("A".to_owned(), 200_000);
    let run = with(&world).id("I1").when(input(["ada", "bob"])).then(
        "plan done
         travellers[ada]/reserve-outbound done
         travellers[bob]/reserve-outbound done
         reserve-hotel done
         travellers[ada]/reserve-inbound done
         travellers[bob]/reserve-inbound done
         reserve-car done
         charge done
         email-itinerary done
         completed",
    );
    let booking = Booking {
        itinerary: "I1".to_owned(),
        travellers: vec!["ada".to_owned(), "bob".to_owned()],
        hotel: "H1/I1".to_owned(),
        car: "K1/I1".to_owned(),
        amount_cents: 117_000,
        version: VERSION,
    };
    assert_eq!(run.output::<Booking>(), booking);
    assert_eq!(left(&world), ("F100 0, F200 0, H1 0, H2 1, K1 0, K2 1".to_owned(), 83_000));
    assert_eq!(world.borrow().emails[0].subject, "ada and bob travel for 117000 cents");
}

#[test]
fn tb_11_a_full_hotel_has_an_alternate_and_nothing_to_cancel() {
    let world = participants([("H1", 0)]);
    let run = with(&world).id("I1").when(input(["ada"]));
    assert!(run.to_string().contains("\nreserve-hotel alternate 1 done\n"), "{run}");
    assert_eq!(run.output::<Booking>().hotel, "H2/I1");
    assert_eq!(left(&world), ("F100 1, F200 1, H1 0, H2 0, K1 0, K2 1".to_owned(), 8_000));
    assert_eq!(effects(&world, "cancel-hotel"), 0);
}

#[test]
fn a_hotel_that_may_have_a_room_is_cancelled_before_its_alternate_is_asked() {
    let world = participants([]);
    let (answering, mut asked) = (world.clone(), 0);
    let run = given(itinerary()).http(move |request| {
        let response = answer(&answering, request);
        if request.path() == "/hotels/H1/reserve" {
            asked += 1;
            match asked {
                1 => return Err(Error::no_answer("it took the room and hung up")),
                _ => return Ok(Response::of_json(409, &json!({"code": "no_room", "message": "H1 has no rooms left"}))),
            }
        }
        Ok(response)
    });
    let run = run.when(input(["ada"]));
    let hotel = "reserve-hotel refused no_room\nundo reserve-hotel done\nreserve-hotel alternate 1 done";
    assert!(run.to_string().contains(hotel), "{run}");
    assert_eq!(left(&world).0, "F100 1, F200 1, H1 1, H2 0, K1 0, K2 1");
}

#[test]
fn tb_12_without_a_car_the_rest_stays_and_a_second_round_takes_another() {
    let world = participants([("K1", 0)]);
    let run = with(&world).id("I1").when(input(["ada"])).then(
        "plan done
         travellers[ada]/reserve-outbound done
         reserve-hotel done
         travellers[ada]/reserve-inbound done
         reserve-car refused no_car
         round 1 from seats-and-rooms
         reserve-car done
         charge done
         email-itinerary done
         completed",
    );
    assert_eq!(run.output::<Booking>().car, "K2/I1");
    assert_eq!(left(&world), ("F100 1, F200 1, H1 0, H2 1, K1 0, K2 0".to_owned(), 12_000));
    assert_eq!((effects(&world, "cancel-hotel"), effects(&world, "cancel-flight")), (0, 0));
}

#[test]
fn without_any_car_everything_is_given_back() {
    let world = participants([("K1", 0), ("K2", 0)]);
    with(&world).when(input(["ada"])).then(
        "plan done
         travellers[ada]/reserve-outbound done
         reserve-hotel done
         travellers[ada]/reserve-inbound done
         reserve-car refused no_car
         round 1 from seats-and-rooms
         reserve-car refused no_car
         undo reserve-hotel done
         undo travellers[ada]/reserve-inbound done
         undo travellers[ada]/reserve-outbound done
         compensated no_car",
    );
    assert_eq!(left(&world), ("F100 2, F200 2, H1 1, H2 1, K1 0, K2 0".to_owned(), 100_000));
}

#[test]
fn tb_20_a_traveller_without_a_seat_gives_back_everybodys() {
    let world = participants([("F200", 1)]);
    with(&world).when(input(["ada", "bob"])).then(
        "plan done
         travellers[ada]/reserve-outbound done
         travellers[bob]/reserve-outbound done
         reserve-hotel done
         travellers[ada]/reserve-inbound done
         travellers[bob]/reserve-inbound refused no_seat
         undo reserve-hotel done
         undo travellers[bob]/reserve-outbound done
         undo travellers[ada]/reserve-inbound done
         undo travellers[ada]/reserve-outbound done
         compensated no_seat",
    );
    assert_eq!(left(&world), ("F100 2, F200 1, H1 1, H2 1, K1 1, K2 1".to_owned(), 100_000));
}

#[test]
fn a_refused_charge_is_tried_with_the_other_car_before_everything_is_given_back() {
    let world = participants([]);
    world.borrow_mut().accounts.insert("A".to_owned(), 10_000);
    let run = with(&world).when(input(["ada"]));
    let second_round = "undo reserve-car done\nround 1 from seats-and-rooms\nreserve-car done\ncharge refused no_funds";
    assert!(run.to_string().contains(second_round), "{run}");
    assert!(run.to_string().ends_with("compensated no_funds"), "{run}");
    assert_eq!(left(&world), ("F100 2, F200 2, H1 1, H2 1, K1 1, K2 1".to_owned(), 10_000));
}

#[test]
fn two_travellers_of_one_name_are_one() {
    let world = participants([]);
    let run = with(&world).when(input(["ada", "ada"]));
    assert_eq!(run.output::<Booking>().travellers, ["ada"]);
}

#[test]
fn nobody_travels_nowhere() {
    with(&participants([])).when(input([])).then("plan refused nobody_travels\ncompensated nobody_travels");
}
