//! Trips of flight, hotel and car, over real HTTP: success and every failure, each also with every message sent twice, and on
//! demand with a kill at every point.

mod bookings;

mod interventions;

use expect_test::{Expect, expect};
use participants::{Fault, Operation, Rule};

use crate::{
    harness::{api::Traffic, desk::Desk, guests::Way, host::Options},
    variants::scenarios,
};

scenarios! {
    bookings::tb_01_a_trip_is_booked
    bookings::tb_02_no_cars_rolls_back_in_reverse
    bookings::tb_03_no_rooms_leaves_the_car_untouched
    bookings::tb_04_no_seats_has_nothing_to_undo
    bookings::tb_05_no_funds_gives_everything_back
    bookings::tb_06_undoing_is_semantic
    bookings::tb_07_a_late_success_of_a_parallel_step_is_undone
    bookings::tb_09_a_compensation_is_tried_again
    interventions::tb_10_a_compensation_that_never_works_is_done_by_hand
    interventions::tb_13_a_cancel_awaits_what_is_open
    interventions::tb_14_after_the_pivot_only_a_refund_takes_back
    interventions::tb_15_a_reservation_that_lands_late_is_refused
    interventions::tb_18_a_saga_and_its_compensations_stay_on_their_version
}

/// The end state of TB-01.
pub(crate) fn booked() -> Expect {
    expect![[r#"
        completed
          reserve-flight done
          reserve-hotel done
          reserve-car done
          charge done
          issue-tickets done
          email-itinerary done
          = {"price":"870.00","status":"BOOKED","trip":"T1","version":1}
        left: F100 1, H1 0, K1 0, A 130.00; emails 1
        effects: charge 1, issue-tickets 1, reserve-car 1, reserve-flight 1, reserve-hotel 1, send-email 1
    "#]]
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

/// TB-16 is TB-01 under both kinds of duplication, whose names the scenarios above carry; this one counts what was repeated.
#[test]
fn tb_16_every_repeated_message_was_recognised() {
    for traffic in [Traffic::Twice, Traffic::TwiceWithFreshKeys] {
        let desk = Desk::open(traffic);
        desk.book("T1");
        desk.ends("T1", &booked());
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
        desk.ends("T1", &booked());

        let desk = Desk::open_with(way, Options::default());
        desk.participants.set_account("A", 10_000);
        desk.participants.add(Rule::next(3, Operation::CancelHotel, Fault::Fail));
        desk.book("T1");
        desk.ends("T1", &no_funds());
    }
}
