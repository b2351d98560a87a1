//! Recovery blocks: other ways of doing a step when it was refused, and of undoing it before it is stuck.

use expect_test::expect;

use crate::check::check;

#[test]
fn tb_11_a_refused_hotel_is_booked_by_its_alternate_and_nothing_is_undone() {
    check(
        "flight | hotel(alternates 1) | charge*",
        "flight done · hotel refused no_room · call hotel alternate 1 · hotel alternate 1 done · charge done · show",
        expect![[r#"
            > start
              started
              intent flight #1
            > flight done
              done flight #1
              intent hotel #1
            > hotel refused no_room
              refused hotel #1 no_room
              intent hotel alternate 1 #1
            > call hotel alternate 1
              now +0ms, began +0ms, until +30s, after no_room
            > hotel alternate 1 done
              done hotel alternate 1 #1
              intent charge #1
            > charge done
              done charge #1
              completed
            > show
              completed revision 10, past the point of no return, output null
              flight done, 1 attempts from +0ms to +0ms
              hotel done, alternate 0 of round 0 refused no_room, 1 attempts from +0ms to +0ms
              charge done, 1 attempts from +0ms to +0ms
            = completed
        "#]],
    );
}

#[test]
fn an_alternate_that_may_have_run_is_compensated_to_its_end_before_the_next_begins() {
    check(
        "hotel(alternates 1)",
        "hotel traps unanswered · +1s · hotel refused full · undo hotel transient busy · +1s · undo hotel done · hotel alternate 1 done · show",
        expect![[r#"
            > start
              started
              intent hotel #1
            > hotel traps trap unanswered
              unknown hotel #1 trap
              backoff hotel until +1s
            > +1s
              intent hotel #2
            > hotel refused full
              refused hotel #2 full
              intent undo hotel #1
            > undo hotel transient busy
              transient undo hotel #1 busy
              backoff undo hotel until +2s
            > +1s
              intent undo hotel #2
            > undo hotel done
              undone undo hotel #2
              intent hotel alternate 1 #1
            > hotel alternate 1 done
              done hotel alternate 1 #1
              completed
            > show
              completed revision 14, output null
              hotel done, alternate 0 of round 0 compensated full, 1 attempts from +2s to +2s
            = completed
        "#]],
    );
}

#[test]
fn when_every_alternate_is_refused_the_saga_rolls_back_for_the_last_refusal() {
    check(
        "flight | hotel(alternates 2)",
        "flight done · hotel refused full · hotel alternate 1 refused closed · hotel alternate 2 refused gone · show",
        expect![[r#"
            > start
              started
              intent flight #1
            > flight done
              done flight #1
              intent hotel #1
            > hotel refused full
              refused hotel #1 full
              intent hotel alternate 1 #1
            > hotel alternate 1 refused closed
              refused hotel alternate 1 #1 closed
              intent hotel alternate 2 #1
            > hotel alternate 2 refused gone
              refused hotel alternate 2 #1 gone
              rollback_begun hotel refused gone
              intent undo flight #1
            > show
              compensating revision 11, rolls back: hotel refused gone
              flight compensating, 1 attempts from +0ms to +0ms; undo, 1 attempts from +0ms
              hotel refused, alternate 0 of round 0 refused full, alternate 1 of round 0 refused closed, 1 attempts from +0ms to +0ms, gone ×1
            = compensating, runs undo flight, outstanding flight
        "#]],
    );
}

#[test]
fn an_alternate_that_is_done_is_undone_with_its_own_key_and_the_refused_one_is_not() {
    check(
        "hotel(alternates 1) | car",
        "hotel refused full · hotel alternate 1 done · car refused no · undo hotel alternate 1 done",
        expect![[r#"
            > start
              started
              intent hotel #1
            > hotel refused full
              refused hotel #1 full
              intent hotel alternate 1 #1
            > hotel alternate 1 done
              done hotel alternate 1 #1
              intent car #1
            > car refused no
              refused car #1 no
              rollback_begun car refused no
              intent undo hotel alternate 1 #1
            > undo hotel alternate 1 done
              undone undo hotel alternate 1 #1
              compensated
            = compensated
        "#]],
    );
}

#[test]
fn an_exhausted_alternate_is_no_refusal_and_the_saga_rolls_back() {
    check(
        "hotel(alternates 1, tries 1)",
        "hotel transient busy",
        expect![[r#"
        > start
          started
          intent hotel #1
        > hotel transient busy
          transient hotel #1 busy
          rollback_begun hotel exhausted busy
          compensated
        = compensated
    "#]],
    );
}

#[test]
fn a_late_refusal_of_a_saga_that_rolls_back_tries_no_alternate() {
    check(
        "a ‖ b(alternates 1)",
        "a refused no · b refused no",
        expect![[r#"
        > start
          started
          intent a #1
          intent b #1
        > a refused no
          refused a #1 no
          rollback_begun a refused no
        > b refused no
          refused b #1 no
          compensated
        = compensated
    "#]],
    );
}

#[test]
fn a_cancel_ends_an_alternate_that_is_being_undone_no_later_than_its_compensation() {
    check(
        "a | b(alternates 1)",
        "a done · b traps unanswered · +1s · b refused no · cancel · undo b done · undo a done",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent b #1
            > b traps trap unanswered
              unknown b #1 trap
              backoff b until +1s
            > +1s
              intent b #2
            > b refused no
              refused b #2 no
              intent undo b #1
            > cancel
              cancel_requested asked
              rollback_begun cancelled
            > undo b done
              undone undo b #1
              intent undo a #1
            > undo a done
              undone undo a #1
              compensated
            = compensated
        "#]],
    );
}

#[test]
fn a_compensation_has_its_alternates_tried_before_the_saga_is_stuck() {
    check(
        "a(undo tries 2, undo alternates 1) | b",
        "a done · b refused no · undo a transient busy · +1s · undo a transient busy · undo#1 a transient lost · +1s · undo#1 a transient lost · retry · undo#1 a done",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent b #1
            > b refused no
              refused b #1 no
              rollback_begun b refused no
              intent undo a #1
            > undo a transient busy
              transient undo a #1 busy
              backoff undo a until +1s
            > +1s
              intent undo a #2
            > undo a transient busy
              transient undo a #2 busy
              intent undo#1 a #1
            > undo#1 a transient lost
              transient undo#1 a #1 lost
              backoff undo#1 a until +2s
            > +1s
              intent undo#1 a #2
            > undo#1 a transient lost
              transient undo#1 a #2 lost
              stuck undo#1 a: exhausted lost
            > retry
              retried undo#1 a
              intent undo#1 a #3
            > undo#1 a done
              undone undo#1 a #3
              compensated
            = compensated
        "#]],
    );
}

#[test]
fn an_alternate_whose_compensation_was_skipped_makes_place_and_stands() {
    check(
        "a(alternates 1, undo tries 1)",
        "a traps unanswered · +1s · a refused no · undo a transient busy · skip a · a alternate 1 done · show",
        expect![[r#"
            > start
              started
              intent a #1
            > a traps trap unanswered
              unknown a #1 trap
              backoff a until +1s
            > +1s
              intent a #2
            > a refused no
              refused a #2 no
              intent undo a #1
            > undo a transient busy
              transient undo a #1 busy
              stuck undo a: exhausted busy
            > skip a
              skipped a
              intent a alternate 1 #1
            > a alternate 1 done
              done a alternate 1 #1
              completed
            > show
              completed revision 13, output null
              a done, alternate 0 of round 0 skipped no, 1 attempts from +1s to +1s
            = completed, outstanding a
        "#]],
    );
}

#[test]
fn a_retriable_step_that_may_have_run_cannot_make_place_until_somebody_says_that_it_did_not_happen() {
    check(
        "send>(alternates 1)",
        "send traps unanswered · +1s · send refused no · resolve send not-done · send alternate 1 done",
        expect![[r#"
            > start
              started
              intent send #1
            > send traps trap unanswered
              unknown send #1 trap
              backoff send until +1s
            > +1s
              intent send #2
            > send refused no
              refused send #2 no
              stuck send: refused no
            > resolve send not-done
              resolved send not-done
              intent send alternate 1 #1
            > send alternate 1 done
              done send alternate 1 #1
              completed
            = completed, manual 1
        "#]],
    );
}

#[test]
fn a_pivot_in_doubt_without_a_compensation_is_stuck_and_not_tried_otherwise() {
    check(
        "pay*(alternates 1)",
        "pay traps unanswered · +1s · pay refused no · resolve pay not-done · pay alternate 1 refused no",
        expect![[r#"
            > start
              started
              intent pay #1
            > pay traps trap unanswered
              unknown pay #1 trap
              backoff pay until +1s
            > +1s
              intent pay #2
            > pay refused no
              refused pay #2 no
              stuck pay: pivot in doubt no
            > resolve pay not-done
              resolved pay not-done
              intent pay alternate 1 #1
            > pay alternate 1 refused no
              refused pay alternate 1 #1 no
              rollback_begun pay refused no
              compensated
            = compensated, manual 1
        "#]],
    );
}

#[test]
fn a_pivot_that_may_have_run_and_has_a_compensation_is_undone_before_its_alternate() {
    check(
        "a | pay*(alternates 1, undo)",
        "a done · pay traps unanswered · +1s · pay refused no · undo pay done · pay alternate 1 done",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent pay #1
            > pay traps trap unanswered
              unknown pay #1 trap
              backoff pay until +1s
            > +1s
              intent pay #2
            > pay refused no
              refused pay #2 no
              intent undo pay #1
            > undo pay done
              undone undo pay #1
              intent pay alternate 1 #1
            > pay alternate 1 done
              done pay alternate 1 #1
              completed
            = completed
        "#]],
    );
}

#[test]
fn an_operator_may_say_that_the_alternate_in_doubt_is_undone_or_did_not_happen() {
    check(
        "a(alternates 2, undo tries 1)",
        "a traps unanswered · +1s · a refused no · undo a transient x · resolve a done · resolve a undone · a alternate 1 traps unanswered · +1s · a alternate 1 refused no · undo a alternate 1 transient x · resolve a not-done · a alternate 2 done",
        expect![[r#"
            > start
              started
              intent a #1
            > a traps trap unanswered
              unknown a #1 trap
              backoff a until +1s
            > +1s
              intent a #2
            > a refused no
              refused a #2 no
              intent undo a #1
            > undo a transient x
              transient undo a #1 x
              stuck undo a: exhausted x
            > resolve a done
              409 `a` is not stuck, waiting, backing off or in doubt on the way forward; fits: retry, resolve, skip, cancel, abandon
            > resolve a undone
              resolved a undone
              intent a alternate 1 #1
            > a alternate 1 traps trap unanswered
              unknown a alternate 1 #1 trap
              backoff a alternate 1 until +2s
            > +1s
              intent a alternate 1 #2
            > a alternate 1 refused no
              refused a alternate 1 #2 no
              intent undo a alternate 1 #1
            > undo a alternate 1 transient x
              transient undo a alternate 1 #1 x
              stuck undo a alternate 1: exhausted x
            > resolve a not-done
              resolved a not-done
              intent a alternate 2 #1
            > a alternate 2 done
              done a alternate 2 #1
              completed
            = completed, manual 2
        "#]],
    );
}
