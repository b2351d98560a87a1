//! Booking a trip of flight, hotel and car: every way it can go, over real HTTP; each also with every message sent twice.

use expect_test::{Expect, expect};
use participants::{Fault, Operation, Rule};
use serde_json::json;

use crate::harness::{
    api::Traffic,
    desk::{Desk, saga_text},
    guests::{Way, guest},
    host::Options,
    laws,
};

/// Each scenario three times: as it is, with every message twice, and with the second under a fresh key.
macro_rules! scenarios {
    ($($name:ident)*) => {
        $(mod $name {
            use super::Traffic;

            #[test]
            fn plain() {
                super::steps::$name(Traffic::Once);
            }

            #[test]
            fn with_every_message_twice() {
                super::steps::$name(Traffic::Twice);
            }

            #[test]
            fn with_every_message_twice_under_fresh_keys() {
                super::steps::$name(Traffic::TwiceWithFreshKeys);
            }
        })*
    };
}

scenarios! {
    tb_01_a_trip_is_booked
    tb_02_no_cars_rolls_back_in_reverse
    tb_03_no_rooms_leaves_the_car_untouched
    tb_04_no_seats_has_nothing_to_undo
    tb_05_no_funds_gives_everything_back
    tb_06_undoing_is_semantic
    tb_07_a_late_success_of_a_parallel_step_is_undone
    tb_09_a_compensation_is_tried_again
    tb_10_a_compensation_that_never_works_is_done_by_hand
    tb_13_a_cancel_awaits_what_is_open
    tb_14_after_the_pivot_only_a_refund_takes_back
    tb_15_a_reservation_that_lands_late_is_refused
    tb_18_a_saga_and_its_compensations_stay_on_their_version
}

/// The end state of TB-01.
pub(crate) const BOOKED: &str = r#"completed
  reserve-flight done
  reserve-hotel done
  reserve-car done
  charge done
  issue-tickets done
  email-itinerary done
  = {"price":"870.00","status":"BOOKED","trip":"T1","version":1}
left: F100 1, H1 0, K1 0, A 130.00; emails 1
effects: charge 1, issue-tickets 1, reserve-car 1, reserve-flight 1, reserve-hotel 1, send-email 1
"#;

/// TB-16 is TB-01 under both kinds of duplication, whose names the scenarios above carry; this one counts what was repeated.
#[test]
fn tb_16_every_repeated_message_was_recognised() {
    for traffic in [Traffic::Twice, Traffic::TwiceWithFreshKeys] {
        let desk = Desk::open(traffic);
        desk.book("T1");
        assert_eq!(desk.end("T1"), BOOKED);
        let outcomes: Vec<String> = desk.participants.trace();
        assert_eq!(outcomes.len(), 12, "{outcomes:?}");
        assert_eq!(outcomes.iter().filter(|outcome| outcome.ends_with("repeated")).count(), 6, "{outcomes:?}");
    }
}

#[test]
fn modules_of_both_ways_to_build_behave_alike() {
    for way in [Way::Plain, Way::Component] {
        let desk = Desk::open_with(way, Options::default());
        desk.book("T1");
        assert_eq!(desk.end("T1"), BOOKED, "{way:?}");

        let desk = Desk::open_with(way, Options::default());
        desk.participants.set_account("A", 10_000);
        desk.participants.add(Rule::next(3, Operation::CancelHotel, Fault::Fail));
        desk.book("T1");
        check(&desk.end("T1"), no_funds());
    }
}

/// The end state of TB-05.
pub(crate) fn no_funds() -> Expect {
    expect![[r#"
        compensated, refused no_funds
          reserve-flight compensated
          reserve-hotel compensated
          reserve-car compensated
          charge refused
          issue-tickets pending
          email-itinerary pending
        left: F100 2, H1 1, K1 1, A 100.00; emails 0
        effects: cancel-car 1, cancel-flight 1, cancel-hotel 1, reserve-car 1, reserve-flight 1, reserve-hotel 1
    "#]]
}

#[track_caller]
fn check(found: &str, expected: Expect) {
    expected.assert_eq(found);
}

mod steps {
    use super::*;

    pub(super) fn tb_01_a_trip_is_booked(traffic: Traffic) {
        let desk = Desk::open(traffic);
        desk.book("T1");
        assert_eq!(desk.end("T1"), BOOKED);
        let order = "reserve-flight reserve-hotel reserve-car charge issue-tickets send-email";
        assert_eq!(desk.trace("T1"), order);
    }

    pub(super) fn tb_02_no_cars_rolls_back_in_reverse(traffic: Traffic) {
        let desk = Desk::open(traffic);
        desk.participants.set_stock("K1", 0);
        desk.book("T1");
        check(&desk.end("T1"), no_cars());
        assert_eq!(desk.trace("T1"), "reserve-flight reserve-hotel reserve-car✗ cancel-hotel cancel-flight");
    }

    fn no_cars() -> Expect {
        expect![[r#"
            compensated, refused no_car
              reserve-flight compensated
              reserve-hotel compensated
              reserve-car refused
              charge pending
              issue-tickets pending
              email-itinerary pending
            left: F100 2, H1 1, K1 0, A 1000.00; emails 0
            effects: cancel-flight 1, cancel-hotel 1, reserve-flight 1, reserve-hotel 1
        "#]]
    }

    pub(super) fn tb_03_no_rooms_leaves_the_car_untouched(traffic: Traffic) {
        let desk = Desk::open(traffic);
        desk.participants.set_stock("H1", 0);
        desk.book("T1");
        let expected = expect![[r#"
            compensated, refused no_room
              reserve-flight compensated
              reserve-hotel refused
              reserve-car pending
              charge pending
              issue-tickets pending
              email-itinerary pending
            left: F100 2, H1 0, K1 1, A 1000.00; emails 0
            effects: cancel-flight 1, reserve-flight 1
        "#]];
        check(&desk.end("T1"), expected);
        assert_eq!(desk.trace("T1"), "reserve-flight reserve-hotel✗ cancel-flight");
    }

    pub(super) fn tb_04_no_seats_has_nothing_to_undo(traffic: Traffic) {
        let desk = Desk::open(traffic);
        desk.participants.set_stock("F100", 0);
        desk.book("T1");
        let expected = expect![[r#"
            compensated, refused no_seat
              reserve-flight refused
              reserve-hotel pending
              reserve-car pending
              charge pending
              issue-tickets pending
              email-itinerary pending
            left: F100 0, H1 1, K1 1, A 1000.00; emails 0
            effects: none
        "#]];
        check(&desk.end("T1"), expected);
        assert_eq!(desk.trace("T1"), "reserve-flight✗");
    }

    pub(super) fn tb_05_no_funds_gives_everything_back(traffic: Traffic) {
        let desk = Desk::open(traffic);
        desk.participants.set_account("A", 10_000);
        desk.book("T1");
        check(&desk.end("T1"), no_funds());
        let order = "reserve-flight reserve-hotel reserve-car charge✗ cancel-car cancel-hotel cancel-flight";
        assert_eq!(desk.trace("T1"), order);
    }

    pub(super) fn tb_06_undoing_is_semantic(traffic: Traffic) {
        let desk = Desk::open(traffic);
        let seats = || desk.participants.state().stock["F100"];
        desk.participants.set_stock("F100", 10);
        desk.participants.set_stock("H1", 0);
        desk.participants.add(Rule::next(1, Operation::ReserveHotel, Fault::Hold));
        desk.begin("trip", "T1");
        desk.asked(Operation::ReserveHotel, 1);
        assert_eq!(seats(), 9);
        desk.api().run("flight", "T2", &desk.trip());
        assert_eq!(seats(), 8);
        desk.participants.release(Operation::ReserveHotel);
        desk.book("T1");
        let expected = expect![[r#"
            compensated, refused no_room
              reserve-flight compensated
              reserve-hotel refused
              reserve-car pending
              charge pending
              issue-tickets pending
              email-itinerary pending
            left: F100 9, H1 0, K1 1, A 700.00; emails 0
            effects: cancel-flight 1, charge 1, reserve-flight 2
        "#]];
        check(&desk.end("T1"), expected);
        laws::hold(&desk.api(), "T2");
        assert_eq!(desk.api().saga("T2")["status"], "completed");
    }

    pub(super) fn tb_07_a_late_success_of_a_parallel_step_is_undone(traffic: Traffic) {
        let desk = Desk::open(traffic);
        desk.participants.set_stock("H1", 0);
        desk.participants.add(Rule::next(1, Operation::ReserveFlight, Fault::Hold));
        desk.begin("trip-parallel", "T1");
        desk.asked(Operation::ReserveFlight, 1);
        desk.api().until_type("T1", "rollback_begun");
        // What is open is awaited: nothing is undone beside it.
        assert_eq!(desk.participants.state().effects.get("cancel-flight"), None);
        desk.participants.release(Operation::ReserveFlight);
        desk.api().run("trip-parallel", "T1", &desk.trip());
        let expected = expect![[r#"
            compensated, refused no_room
              reserve-flight compensated
              reserve-hotel refused
              reserve-car compensated
              charge pending
              issue-tickets pending
              email-itinerary pending
            left: F100 2, H1 0, K1 1, A 1000.00; emails 0
            effects: cancel-car 1, cancel-flight 1, reserve-car 1, reserve-flight 1
        "#]];
        check(&desk.end("T1"), expected);
    }

    pub(super) fn tb_09_a_compensation_is_tried_again(traffic: Traffic) {
        let desk = Desk::open(traffic);
        desk.participants.set_stock("K1", 0);
        desk.participants.add(Rule::next(3, Operation::CancelHotel, Fault::Fail));
        let saga = desk.book("T1");
        check(&desk.end("T1"), no_cars());
        if traffic == Traffic::Once {
            assert_eq!(saga["steps"][1]["undo"]["attempts"], 4);
        }
    }

    pub(super) fn tb_10_a_compensation_that_never_works_is_done_by_hand(traffic: Traffic) {
        let desk = Desk::open(traffic);
        desk.participants.set_stock("K1", 0);
        desk.participants.add(Rule::every(Operation::CancelHotel, Fault::Fail));
        let stuck = desk.book("T1");
        let expected = expect![[r#"
            stuck, refused no_car
              reserve-flight done
              reserve-hotel stuck
              reserve-car refused
              charge pending
              issue-tickets pending
              email-itinerary pending
        "#]];
        check(&saga_text(&stuck), expected);
        let why = &stuck["stuck"][0];
        assert_eq!(
            (&why["step"], &why["direction"], &why["code"]),
            (&json!("reserve-hotel"), &json!("undo"), &json!("exhausted"))
        );
        assert_eq!(stuck["steps"][1]["undo"]["attempts"], 5);
        assert_eq!(stuck["outstanding"], json!(["reserve-flight", "reserve-hotel"]));

        let by_hand = json!({"step": "reserve-hotel", "undone": true, "note": "called the hotel"});
        let acted = desk.act("T1", "resolve", &by_hand).expect(200);
        assert_eq!(acted["applied"], true);
        desk.book("T1");
        let expected = expect![[r#"
            compensated, refused no_car, manual 1
              reserve-flight compensated
              reserve-hotel compensated
              reserve-car refused
              charge pending
              issue-tickets pending
              email-itinerary pending
            left: F100 2, H1 0, K1 0, A 1000.00; emails 0
            effects: cancel-flight 1, reserve-flight 1, reserve-hotel 1
        "#]];
        check(&desk.end("T1"), expected);
        let resolved: Vec<_> = desk.api().journal("T1").into_iter().filter(|record| record["type"] == "resolved").collect();
        let [resolved] = &resolved[..] else { panic!("not one record: {resolved:?}") };
        assert_eq!(
            (&resolved["note"], &resolved["by"], &resolved["actor"], &resolved["resolution"]),
            (&json!("called the hotel"), &json!("tester"), &json!("local"), &json!("undone"))
        );
        assert!(resolved["at"].is_string());
    }

    pub(super) fn tb_13_a_cancel_awaits_what_is_open(traffic: Traffic) {
        let desk = Desk::open(traffic);
        desk.participants.add(Rule::next(1, Operation::ReserveCar, Fault::Hold));
        desk.begin("trip", "T1");
        desk.asked(Operation::ReserveCar, 1);
        let acted = desk.act("T1", "cancel", &json!({"note": "the traveller is ill"})).expect(200);
        assert_eq!((&acted["applied"], &acted["status"]), (&json!(true), &json!("compensating")));
        desk.participants.release(Operation::ReserveCar);
        desk.book("T1");
        let expected = expect![[r#"
            compensated, cancelled cancelled
              reserve-flight compensated
              reserve-hotel compensated
              reserve-car compensated
              charge pending
              issue-tickets pending
              email-itinerary pending
            left: F100 2, H1 1, K1 1, A 1000.00; emails 0
            effects: cancel-car 1, cancel-flight 1, cancel-hotel 1, reserve-car 1, reserve-flight 1, reserve-hotel 1
        "#]];
        check(&desk.end("T1"), expected);
        assert_eq!(desk.trace("T1"), "reserve-flight reserve-hotel reserve-car cancel-car cancel-hotel cancel-flight");
        let asked = desk.api().journal("T1").into_iter().find(|record| record["type"] == "cancel_requested").unwrap();
        assert_eq!((&asked["note"], &asked["by"]), (&json!("the traveller is ill"), &json!("tester")));
    }

    pub(super) fn tb_14_after_the_pivot_only_a_refund_takes_back(traffic: Traffic) {
        let desk = Desk::open(traffic);
        desk.participants.add(Rule::next(1, Operation::IssueTickets, Fault::Hold));
        desk.begin("trip", "T1");
        desk.asked(Operation::IssueTickets, 1);
        let refused = desk.act("T1", "cancel", &json!({}));
        assert_eq!(refused.code(), "409 past_point_of_no_return");
        assert!(refused.body["error"]["hint"].as_str().unwrap().contains("refund"), "{}", refused.body);
        desk.participants.release(Operation::IssueTickets);
        desk.book("T1");
        assert_eq!(desk.end("T1"), BOOKED);

        let mut refund = desk.trip();
        refund["trip"] = json!("T1");
        desk.api().run("trip-refund", "R1", &refund);
        let expected = expect![[r#"
            completed
              refund done
              void-tickets done
              cancel-flight done
              cancel-hotel done
              cancel-car done
              email-apology done
              = {"status":"REFUNDED","trip":"T1","version":1}
            left: F100 2, H1 1, K1 1, A 1000.00; emails 2
            effects: cancel-car 1, cancel-flight 1, cancel-hotel 1, charge 1, issue-tickets 1, refund 1, reserve-car 1, reserve-flight 1, reserve-hotel 1, send-email 2, void-tickets 1
        "#]];
        check(&desk.end("R1"), expected);
    }

    pub(super) fn tb_15_a_reservation_that_lands_late_is_refused(traffic: Traffic) {
        let mut desk = Desk::open(traffic);
        desk.participants.add(Rule::next(1, Operation::ReserveHotel, Fault::Hold));
        desk.begin("trip", "T1");
        desk.asked(Operation::ReserveHotel, 1);
        desk.host.advance_ms(30_000);
        desk.book("T1");
        desk.host.advance_ms(10_000);
        desk.participants.release(Operation::ReserveHotel);
        let expected = expect![[r#"
            compensated, unknown deadline
              reserve-flight compensated
              reserve-hotel compensated
              reserve-car pending
              charge pending
              issue-tickets pending
              email-itinerary pending
            left: F100 2, H1 1, K1 1, A 1000.00; emails 0
            effects: cancel-flight 1, reserve-flight 1
        "#]];
        check(&desk.end("T1"), expected);
        let late = desk.participants.state().trace.iter().find(|call| call.operation == Operation::ReserveHotel).cloned();
        assert_eq!(late.unwrap().outcome, "refused cancelled");
    }

    pub(super) fn tb_18_a_saga_and_its_compensations_stay_on_their_version(traffic: Traffic) {
        let desk = Desk::open(traffic);
        for (resource, left) in [("H1", 2), ("K1", 2)] {
            desk.participants.set_stock(resource, left);
        }
        desk.participants.set_account("A", 10_000);
        desk.participants.add(Rule::next(1, Operation::ReserveCar, Fault::Hold));
        desk.begin("trip", "T1");
        desk.asked(Operation::ReserveCar, 1);
        let deployed = desk.api().put("/v1/modules/trip", &guest(Way::Plain, "trip-v2")).expect(201);
        assert_eq!(deployed["version"], 2);
        let second = desk.book("T2");
        desk.participants.release(Operation::ReserveCar);
        let first = desk.book("T1");
        let price = |saga: &serde_json::Value| saga["steps"][2]["output"]["amount_cents"].clone();
        assert_eq!((price(&first), price(&second)), (json!(12_000), json!(12_500)));
        assert_eq!((&first["version"], &second["version"]), (&json!(1), &json!(2)));
        for id in ["T1", "T2"] {
            let end = expect![[r#"
                compensated, refused no_funds
                  reserve-flight compensated
                  reserve-hotel compensated
                  reserve-car compensated
                  charge refused
                  issue-tickets pending
                  email-itinerary pending
                left: F100 2, H1 2, K1 2, A 100.00; emails 0
                effects: cancel-car 2, cancel-flight 2, cancel-hotel 2, reserve-car 2, reserve-flight 2, reserve-hotel 2
            "#]];
            check(&desk.end(id), end);
        }
        let code = |trip: &str| {
            let calls = desk.participants.state().trace.into_iter().filter(|call| call.trip == trip);
            let mut code: Vec<String> = calls.map(|call| call.by).collect();
            code.dedup();
            code.join(", ")
        };
        let expected = "trip 1 reserve_flight, trip 1 reserve_hotel, trip 1 reserve_car, trip 1 charge, \
            trip 1 cancel_car, trip 1 cancel_hotel, trip 1 cancel_flight";
        assert_eq!(code("T1"), expected);
        let expected = "trip 2 reserve_flight, trip 2 reserve_hotel, trip 2 reserve_car, trip 2 charge, \
            trip 2 give_back_car, trip 2 cancel_hotel, trip 2 cancel_flight";
        assert_eq!(code("T2"), expected);
    }
}
