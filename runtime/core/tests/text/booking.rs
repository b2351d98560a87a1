//! The travel booking: a flight, a hotel, a car, a charge that is the point of no return, then tickets and an email.

use expect_test::expect;

use crate::check::check;

const TRIP: &str = "flight | hotel(once-rollback, undo tries 5) | car | charge* | tickets> | email>";
const PARALLEL: &str = "flight ‖ hotel ‖ car | charge* | tickets> | email>";

#[test]
fn tb_01_everything_is_booked() {
    check(
        TRIP,
        r#"flight done {"seat":1} · hotel done · car done · charge done · tickets done · email done {"sent":true}"#,
        expect![[r#"
            > start
              started
              intent flight #1
            > flight done {"seat":1}
              done flight #1 {"seat":1}
              intent hotel #1
            > hotel done
              done hotel #1
              intent car #1
            > car done
              done car #1
              intent charge #1
            > charge done
              done charge #1
              intent tickets #1
            > tickets done
              done tickets #1
              intent email #1
            > email done {"sent":true}
              done email #1 {"sent":true}
              completed
            = completed
        "#]],
    );
}

#[test]
fn tb_02_a_refused_car_undoes_hotel_then_flight_and_not_itself() {
    check(
        TRIP,
        "flight done · hotel done · car refused no_car · undo hotel done · undo flight done",
        expect![[r#"
            > start
              started
              intent flight #1
            > flight done
              done flight #1
              intent hotel #1
            > hotel done
              done hotel #1
              intent car #1
            > car refused no_car
              refused car #1 no_car
              rollback_begun car refused no_car
              intent undo hotel #1
            > undo hotel done
              undone undo hotel #1
              intent undo flight #1
            > undo flight done
              undone undo flight #1
              compensated
            = compensated
        "#]],
    );
}

#[test]
fn tb_03_a_refused_hotel_undoes_the_flight_and_leaves_the_car_alone() {
    check(
        TRIP,
        "flight done · hotel refused no_room · undo flight done",
        expect![[r#"
            > start
              started
              intent flight #1
            > flight done
              done flight #1
              intent hotel #1
            > hotel refused no_room
              refused hotel #1 no_room
              rollback_begun hotel refused no_room
              intent undo flight #1
            > undo flight done
              undone undo flight #1
              compensated
            = compensated
        "#]],
    );
}

#[test]
fn tb_04_a_refused_first_step_compensates_nothing() {
    check(
        TRIP,
        "flight refused no_seat",
        expect![[r#"
        > start
          started
          intent flight #1
        > flight refused no_seat
          refused flight #1 no_seat
          rollback_begun flight refused no_seat
          compensated
        = compensated
    "#]],
    );
}

#[test]
fn tb_05_a_refused_pivot_undoes_everything_before_it() {
    check(
        TRIP,
        "flight done · hotel done · car done · charge refused no_money · undo car done · undo hotel done · undo flight done",
        expect![[r#"
            > start
              started
              intent flight #1
            > flight done
              done flight #1
              intent hotel #1
            > hotel done
              done hotel #1
              intent car #1
            > car done
              done car #1
              intent charge #1
            > charge refused no_money
              refused charge #1 no_money
              rollback_begun charge refused no_money
              intent undo car #1
            > undo car done
              undone undo car #1
              intent undo hotel #1
            > undo hotel done
              undone undo hotel #1
              intent undo flight #1
            > undo flight done
              undone undo flight #1
              compensated
            = compensated
        "#]],
    );
}

#[test]
fn tb_06_a_compensation_is_told_what_its_step_returned_and_does_not_restore() {
    check(
        TRIP,
        r#"flight done {"seat":7} · hotel refused no_room · call undo flight · undo flight done"#,
        expect![[r#"
            > start
              started
              intent flight #1
            > flight done {"seat":7}
              done flight #1 {"seat":7}
              intent hotel #1
            > hotel refused no_room
              refused hotel #1 no_room
              rollback_begun hotel refused no_room
              intent undo flight #1
            > call undo flight
              now +0ms, began +0ms, until +30s, own output {"seat":7}, because hotel refused no_room
            > undo flight done
              undone undo flight #1
              compensated
            = compensated
        "#]],
    );
}

#[test]
fn tb_07_late_success_is_compensated() {
    check(
        PARALLEL,
        "hotel refused no_room · car done · +5s · flight done · undo flight done · undo car done",
        expect![[r#"
            > start
              started
              intent flight #1
              intent hotel #1
              intent car #1
            > hotel refused no_room
              refused hotel #1 no_room
              rollback_begun hotel refused no_room
            > car done
              done car #1
            > +5s
            > flight done
              done flight #1
              intent undo flight #1
              intent undo car #1
            > undo flight done
              undone undo flight #1
            > undo car done
              undone undo car #1
              compensated
            = compensated
        "#]],
    );
}

#[test]
fn tb_09_a_failing_compensation_is_tried_again() {
    check(
        TRIP,
        "flight done · hotel done · car refused no_car
         undo hotel transient 500 · +1s · undo hotel transient 500 · +2s · undo hotel transient 500 · +4s
         undo hotel done · undo flight done · show",
        expect![[r#"
            > start
              started
              intent flight #1
            > flight done
              done flight #1
              intent hotel #1
            > hotel done
              done hotel #1
              intent car #1
            > car refused no_car
              refused car #1 no_car
              rollback_begun car refused no_car
              intent undo hotel #1
            > undo hotel transient 500
              transient undo hotel #1 500
              backoff undo hotel until +1s
            > +1s
              intent undo hotel #2
            > undo hotel transient 500
              transient undo hotel #2 500
              backoff undo hotel until +3s
            > +2s
              intent undo hotel #3
            > undo hotel transient 500
              transient undo hotel #3 500
              backoff undo hotel until +7s
            > +4s
              intent undo hotel #4
            > undo hotel done
              undone undo hotel #4
              intent undo flight #1
            > undo flight done
              undone undo flight #1
              compensated
            > show
              compensated revision 22, rolls back: car refused no_car
              flight compensated, 1 attempts from +0ms to +0ms; undo, 1 attempts from +7s to +7s
              hotel compensated, 1 attempts from +0ms to +0ms; undo, 4 attempts from +0ms to +7s, 500 ×3
              car refused, 1 attempts from +0ms to +0ms, no_car ×1
              charge pending
              tickets pending
              email pending
            = compensated
        "#]],
    );
}

#[test]
fn tb_10_a_compensation_that_never_works_is_done_by_hand() {
    check(
        TRIP,
        "flight done · hotel done · car refused no_car
         undo hotel transient 500 · +1s · undo hotel transient 500 · +2s · undo hotel transient 500 · +4s
         undo hotel transient 500 · +8s · undo hotel transient 500 · show
         resolve hotel undone · undo flight done · show",
        expect![[r#"
            > start
              started
              intent flight #1
            > flight done
              done flight #1
              intent hotel #1
            > hotel done
              done hotel #1
              intent car #1
            > car refused no_car
              refused car #1 no_car
              rollback_begun car refused no_car
              intent undo hotel #1
            > undo hotel transient 500
              transient undo hotel #1 500
              backoff undo hotel until +1s
            > +1s
              intent undo hotel #2
            > undo hotel transient 500
              transient undo hotel #2 500
              backoff undo hotel until +3s
            > +2s
              intent undo hotel #3
            > undo hotel transient 500
              transient undo hotel #3 500
              backoff undo hotel until +7s
            > +4s
              intent undo hotel #4
            > undo hotel transient 500
              transient undo hotel #4 500
              backoff undo hotel until +15s
            > +8s
              intent undo hotel #5
            > undo hotel transient 500
              transient undo hotel #5 500
              stuck undo hotel: exhausted 500
            > show
              stuck revision 23, rolls back: car refused no_car
              flight done, 1 attempts from +0ms to +0ms
              hotel stuck, 1 attempts from +0ms to +0ms; undo, 5 attempts from +0ms, 500 ×5
              car refused, 1 attempts from +0ms to +0ms, no_car ×1
              charge pending
              tickets pending
              email pending
            > resolve hotel undone
              resolved hotel undone
              intent undo flight #1
            > undo flight done
              undone undo flight #1
              compensated
            > show
              compensated revision 27, rolls back: car refused no_car
              flight compensated, 1 attempts from +0ms to +0ms; undo, 1 attempts from +15s to +15s
              hotel compensated, by hand, 1 attempts from +0ms to +0ms; undo, 5 attempts from +0ms to +15s, 500 ×5
              car refused, 1 attempts from +0ms to +0ms, no_car ×1
              charge pending
              tickets pending
              email pending
            = compensated, manual 1
        "#]],
    );
}

#[test]
fn tb_13_a_cancel_awaits_the_attempt_in_flight_and_undoes_it() {
    check(
        TRIP,
        "flight done · hotel done · cancel · cancel · car done · undo car done · undo hotel done · undo flight done",
        expect![[r#"
            > start
              started
              intent flight #1
            > flight done
              done flight #1
              intent hotel #1
            > hotel done
              done hotel #1
              intent car #1
            > cancel
              cancel_requested asked
              rollback_begun cancelled
            > cancel
            > car done
              done car #1
              intent undo car #1
            > undo car done
              undone undo car #1
              intent undo hotel #1
            > undo hotel done
              undone undo hotel #1
              intent undo flight #1
            > undo flight done
              undone undo flight #1
              compensated
            = compensated
        "#]],
    );
}

#[test]
fn tb_13_a_cancelled_attempt_that_ends_unknown_is_undone_too() {
    check(
        TRIP,
        "flight done · hotel done · cancel · car traps deadline unanswered · undo car done · undo hotel done · undo flight done",
        expect![[r#"
            > start
              started
              intent flight #1
            > flight done
              done flight #1
              intent hotel #1
            > hotel done
              done hotel #1
              intent car #1
            > cancel
              cancel_requested asked
              rollback_begun cancelled
            > car traps deadline unanswered
              unknown car #1 deadline
              intent undo car #1
            > undo car done
              undone undo car #1
              intent undo hotel #1
            > undo hotel done
              undone undo hotel #1
              intent undo flight #1
            > undo flight done
              undone undo flight #1
              compensated
            = compensated
        "#]],
    );
}

#[test]
fn tb_14_a_cancel_after_the_pivot_is_refused() {
    check(
        TRIP,
        "flight done · hotel done · car done · charge done · cancel · tickets done · cancel",
        expect![[r#"
            > start
              started
              intent flight #1
            > flight done
              done flight #1
              intent hotel #1
            > hotel done
              done hotel #1
              intent car #1
            > car done
              done car #1
              intent charge #1
            > charge done
              done charge #1
              intent tickets #1
            > cancel
              409 it is past its point of no return
            > tickets done
              done tickets #1
              intent email #1
            > cancel
              409 it is past its point of no return
            = running, runs email
        "#]],
    );
}

#[test]
fn tb_15_a_silent_hotel_is_cancelled_although_nobody_knows_whether_it_took_the_room() {
    check(
        TRIP,
        "flight done · +30s · hotel traps deadline unanswered · call undo hotel · undo hotel done · +10s
         hotel done · undo flight done",
        expect![[r#"
            > start
              started
              intent flight #1
            > flight done
              done flight #1
              intent hotel #1
            > +30s
            > hotel traps deadline unanswered
              unknown hotel #1 deadline
              rollback_begun hotel unknown deadline
              intent undo hotel #1
            > call undo hotel
              now +30s, began +30s, until +1m, after deadline, because hotel unknown deadline
            > undo hotel done
              undone undo hotel #1
              intent undo flight #1
            > +10s
            > hotel done
              stale hotel #1 done
            > undo flight done
              undone undo flight #1
              compensated
            = compensated
        "#]],
    );
}
