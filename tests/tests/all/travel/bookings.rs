//! Trips that participants refuse, delay or fail to take back. Under a kill the end is the same, and what is said of the way there
//! holds only without one.

use expect_test::{Expect, expect};
use participants::{Fault, Operation, Rule};

use super::{booked, no_funds};
use crate::harness::{
    api::Traffic,
    desk::{Conditions, Desk},
    laws,
};

pub(super) fn tb_01_a_trip_is_booked(conditions: Conditions) -> Desk {
    let desk = Desk::open(conditions);
    desk.book("T1");
    desk.ends("T1", &booked());
    let order = "reserve-flight reserve-hotel reserve-car charge issue-tickets send-email";
    assert!(desk.trace("T1") == order || !desk.is_calm(), "{}", desk.trace("T1"));
    desk
}

pub(super) fn tb_02_no_cars_rolls_back_in_reverse(conditions: Conditions) -> Desk {
    let desk = Desk::open(conditions);
    desk.participants.set_stock("K1", 0);
    desk.book("T1");
    desk.ends("T1", &no_cars());
    let order = "reserve-flight reserve-hotel reserve-car✗ cancel-hotel cancel-flight";
    assert!(desk.trace("T1") == order || !desk.is_calm(), "{}", desk.trace("T1"));
    desk
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

pub(super) fn tb_03_no_rooms_leaves_the_car_untouched(conditions: Conditions) -> Desk {
    let desk = Desk::open(conditions);
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
    desk.ends("T1", &expected);
    let order = "reserve-flight reserve-hotel✗ cancel-flight";
    assert!(desk.trace("T1") == order || !desk.is_calm(), "{}", desk.trace("T1"));
    desk
}

pub(super) fn tb_04_no_seats_has_nothing_to_undo(conditions: Conditions) -> Desk {
    let desk = Desk::open(conditions);
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
    desk.ends("T1", &expected);
    assert!(desk.trace("T1") == "reserve-flight✗" || !desk.is_calm(), "{}", desk.trace("T1"));
    desk
}

pub(super) fn tb_05_no_funds_gives_everything_back(conditions: Conditions) -> Desk {
    let desk = Desk::open(conditions);
    desk.participants.set_account("A", 10_000);
    desk.book("T1");
    desk.ends("T1", &no_funds());
    let order = "reserve-flight reserve-hotel reserve-car charge✗ cancel-car cancel-hotel cancel-flight";
    assert!(desk.trace("T1") == order || !desk.is_calm(), "{}", desk.trace("T1"));
    desk
}

pub(super) fn tb_06_undoing_is_semantic(conditions: Conditions) -> Desk {
    let desk = Desk::open(conditions);
    let seats = |expected: u32| {
        let seats = desk.participants.state().stock["F100"];
        assert!(seats == expected || !desk.is_calm(), "{seats}");
    };
    desk.participants.set_stock("F100", 10);
    desk.participants.set_stock("H1", 0);
    desk.hold(Operation::ReserveHotel);
    desk.begin("trip", "T1");
    desk.asked(Operation::ReserveHotel);
    seats(9);
    desk.api().run("flight", "T2", &desk.trip());
    seats(8);
    desk.release(Operation::ReserveHotel);
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
    desk.ends("T1", &expected);
    laws::hold(&desk.api(), "T2");
    assert_eq!(desk.api().saga("T2")["status"], "completed");
    desk
}

pub(super) fn tb_07_a_late_success_of_a_parallel_step_is_undone(conditions: Conditions) -> Desk {
    let desk = Desk::open(conditions);
    desk.participants.set_stock("H1", 0);
    desk.hold(Operation::ReserveFlight);
    desk.begin("trip-parallel", "T1");
    desk.asked(Operation::ReserveFlight);
    desk.api().until_type("T1", "rollback_begun");
    // What is open is awaited: nothing is undone beside it.
    assert!(!desk.participants.state().effects.contains_key("cancel-flight") || !desk.is_calm());
    desk.release(Operation::ReserveFlight);
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
    match desk.is_calm() {
        true => desk.ends("T1", &expected),
        // Which of the parallel steps took hold depends on the kill; nothing is left of any.
        false => assert!(desk.end("T1").contains("left: F100 2, H1 0, K1 1, A 1000.00; emails 0")),
    }
    desk
}

pub(super) fn tb_09_a_compensation_is_tried_again(conditions: Conditions) -> Desk {
    let desk = Desk::open(conditions);
    desk.participants.set_stock("K1", 0);
    desk.participants.add(Rule::next(3, Operation::CancelHotel, Fault::Fail));
    let saga = desk.book("T1");
    desk.ends("T1", &no_cars());
    if conditions.traffic == Traffic::Once && desk.is_calm() {
        assert_eq!(saga["steps"][1]["undo"]["attempts"], 4);
    }
    desk
}
