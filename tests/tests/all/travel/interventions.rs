//! Trips into which people, deadlines and deployments step. Under a kill the end is the same, and what is said of the way there
//! holds only without one.

use expect_test::expect;
use participants::{Fault, Operation, Rule};
use serde_json::json;

use super::booked;
use crate::harness::{
    desk::{Conditions, Desk, saga_text},
    guests::{Way, guest},
};

pub(super) fn tb_10_a_compensation_that_never_works_is_done_by_hand(conditions: Conditions) -> Desk {
    let desk = Desk::open(conditions);
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
    if desk.is_calm() {
        expected.assert_eq(&saga_text(&stuck));
        assert_eq!(stuck["steps"][1]["undo"]["attempts"], 5);
    }
    let why = &stuck["stuck"][0];
    assert_eq!((&why["step"], &why["direction"], &why["code"]), (&json!("reserve-hotel"), &json!("undo"), &json!("exhausted")));
    assert_eq!(stuck["outstanding"], json!(["reserve-flight", "reserve-hotel"]));

    let by_hand = json!({"step": "reserve-hotel", "undone": true, "note": "called the hotel"});
    let acted = desk.act("T1", "resolve", &by_hand).expect(200);
    assert!(acted["applied"] == true || !desk.is_calm());
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
    // A participant that killed the host had cancelled before: people then did again what was done.
    match desk.participants.state().effects.contains_key("cancel-hotel") {
        true => drop(desk.end("T1")),
        false => desk.ends("T1", &expected),
    }
    let resolved: Vec<_> = desk.api().journal("T1").into_iter().filter(|record| record["type"] == "resolved").collect();
    let [resolved] = &resolved[..] else { panic!("not one record: {resolved:?}") };
    assert_eq!(
        (&resolved["note"], &resolved["by"], &resolved["actor"], &resolved["resolution"]),
        (&json!("called the hotel"), &json!("tester"), &json!("local"), &json!("undone"))
    );
    assert!(resolved["at"].is_string());
    desk
}

pub(super) fn tb_13_a_cancel_awaits_what_is_open(conditions: Conditions) -> Desk {
    let desk = Desk::open(conditions);
    desk.hold(Operation::ReserveCar);
    desk.begin("trip", "T1");
    if !desk.asked(Operation::ReserveCar) {
        desk.book("T1");
        desk.end("T1");
        return desk;
    }
    let acted = desk.act("T1", "cancel", &json!({"note": "the traveller is ill"})).expect(200);
    assert!((acted["applied"] == true && acted["status"] == "compensating") || !desk.is_calm(), "{acted}");
    desk.release(Operation::ReserveCar);
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
    match desk.is_calm() {
        true => desk.ends("T1", &expected),
        // The car's first call may come after its cancel, and is refused then.
        false => assert!(desk.end("T1").contains("left: F100 2, H1 1, K1 1, A 1000.00; emails 0")),
    }
    let order = "reserve-flight reserve-hotel reserve-car cancel-car cancel-hotel cancel-flight";
    assert!(desk.trace("T1") == order || !desk.is_calm(), "{}", desk.trace("T1"));
    let asked = desk.api().journal("T1").into_iter().find(|record| record["type"] == "cancel_requested").unwrap();
    assert_eq!((&asked["note"], &asked["by"]), (&json!("the traveller is ill"), &json!("tester")));
    desk
}

pub(super) fn tb_14_after_the_pivot_only_a_refund_takes_back(conditions: Conditions) -> Desk {
    let desk = Desk::open(conditions);
    desk.hold(Operation::IssueTickets);
    desk.begin("trip", "T1");
    if !desk.asked(Operation::IssueTickets) {
        desk.book("T1");
        desk.end("T1");
        return desk;
    }
    let refused = desk.act("T1", "cancel", &json!({}));
    assert_eq!(refused.code(), "409 past_point_of_no_return");
    assert!(refused.body["error"]["hint"].as_str().unwrap().contains("refund"), "{}", refused.body);
    desk.release(Operation::IssueTickets);
    desk.book("T1");
    desk.ends("T1", &booked());

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
    desk.ends("R1", &expected);
    desk
}

pub(super) fn tb_15_a_reservation_that_lands_late_is_refused(conditions: Conditions) -> Desk {
    let mut desk = Desk::open(conditions);
    desk.hold(Operation::ReserveHotel);
    desk.begin("trip", "T1");
    let was_asked = desk.asked(Operation::ReserveHotel);
    desk.host.advance_ms(30_000);
    desk.book("T1");
    desk.host.advance_ms(10_000);
    desk.release(Operation::ReserveHotel);
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
    desk.ends("T1", &expected);
    if was_asked && desk.is_calm() {
        let late = desk.participants.state().trace.into_iter().find(|call| call.operation == Operation::ReserveHotel);
        assert_eq!(late.unwrap().outcome, "refused cancelled");
    }
    desk
}

pub(super) fn tb_18_a_saga_and_its_compensations_stay_on_their_version(conditions: Conditions) -> Desk {
    let desk = Desk::open(conditions);
    for (resource, left) in [("H1", 2), ("K1", 2)] {
        desk.participants.set_stock(resource, left);
    }
    desk.participants.set_account("A", 10_000);
    // T1's only: T2 overtakes it.
    desk.participants.add(Rule::next(1, Operation::ReserveCar, Fault::Hold));
    desk.begin("trip", "T1");
    desk.asked(Operation::ReserveCar);
    let deployed = desk.api().put("/v1/modules/trip", &guest(Way::Plain, "trip-v2"));
    assert!(deployed.status == 201 || (deployed.status == 200 && !desk.is_calm()), "{}", deployed.body);
    assert_eq!(deployed.body["version"], 2);
    let second = desk.book("T2");
    desk.release(Operation::ReserveCar);
    let first = desk.book("T1");
    assert_eq!((&first["version"], &second["version"]), (&json!(1), &json!(2)));
    let given_up = ["T1", "T2"].map(|id| desk.was_given_up(id)).contains(&true);
    let ends = ["T1", "T2"].map(|id| desk.end(id));
    if !given_up {
        let price = |saga: &serde_json::Value| saga["steps"][2]["output"]["amount_cents"].clone();
        assert_eq!((price(&first), price(&second)), (json!(12_000), json!(12_500)));
        let expected = expect![[r#"
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
        ends.iter().for_each(|end| expected.assert_eq(end));
    }
    // Which code asked the participants: of its own version only, forward and back.
    let code = |trip: &str| {
        let calls = desk.participants.state().trace.into_iter().filter(|call| call.trip == trip);
        let mut code: Vec<String> = calls.map(|call| call.by).collect();
        code.dedup();
        code
    };
    assert!(code("T1").iter().all(|by| by.starts_with("trip 1 ")) && code("T2").iter().all(|by| by.starts_with("trip 2 ")));
    if desk.is_calm() {
        let way = "reserve_flight reserve_hotel reserve_car charge cancel_car cancel_hotel cancel_flight";
        assert_eq!(code("T1").join(" ").replace("trip 1 ", ""), way);
        assert_eq!(code("T2").join(" ").replace("trip 2 ", ""), way.replace("cancel_car", "give_back_car"));
    }
    desk
}
