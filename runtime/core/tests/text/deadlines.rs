//! The saga's deadline: a cancel before the point of no return, an alert after it.

use expect_test::expect;

use crate::check::check;

#[test]
fn a_saga_that_is_late_before_the_point_of_no_return_rolls_back() {
    check(
        "a | b ; deadline 1m",
        "a done · +59s · +1s · b done · undo b done · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent b #1
        > +59s
        > +1s
          cancel_requested deadline
          rollback_begun deadline
        > b done
          done b #1
          intent undo b #1
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
fn a_stuck_saga_that_is_late_rolls_back() {
    check(
        "a | b(tries 1, stuck) ; deadline 1m",
        "a done · b transient busy · +1m · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent b #1
        > b transient busy
          transient b #1 busy
          stuck b: exhausted busy
        > +1m
          cancel_requested deadline
          rollback_begun deadline
          intent undo a #1
        > undo a done
          undone undo a #1
          compensated
        = compensated
    "#]],
    );
}

#[test]
fn a_saga_that_is_late_after_the_point_of_no_return_goes_on() {
    check(
        "a | pay* | send> ; deadline 1m",
        "a done · pay done · +1m · show · cancel · send done",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent pay #1
            > pay done
              done pay #1
              intent send #1
            > +1m
              cancel_requested deadline
            > show
              running revision 7, past the point of no return
              a done, 1 attempts from +0ms to +0ms
              pay done, 1 attempts from +0ms to +0ms
              send running, may have run, 1 attempts from +0ms
            > cancel
              409 it is past its point of no return
            > send done
              done send #1
              completed
            = completed
        "#]],
    );
}

#[test]
fn a_deadline_while_the_pivot_is_open_is_decided_by_its_outcome() {
    check(
        "a | pay* | send> ; deadline 1m",
        "a done · +1m · cancel · pay done · send done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent pay #1
        > +1m
          cancel_requested deadline
        > cancel
        > pay done
          done pay #1
          intent send #1
        > send done
          done send #1
          completed
        = completed
    "#]],
    );
    check(
        "a | pay* | send> ; deadline 1m",
        "a done · +1m · pay refused no",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent pay #1
        > +1m
          cancel_requested deadline
        > pay refused no
          refused pay #1 no
          rollback_begun pay refused no
          intent undo a #1
        = compensating, runs undo a, outstanding a
    "#]],
    );
    check(
        "a | pay* | send> ; deadline 1m",
        "a done · +1m · pay transient busy",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent pay #1
        > +1m
          cancel_requested deadline
        > pay transient busy
          transient pay #1 busy
          backoff pay until +61s
          rollback_begun deadline
          intent undo a #1
        = compensating, runs undo a, outstanding a
    "#]],
    );
}

#[test]
fn a_deadline_during_a_rollback_is_only_recorded() {
    check(
        "a | b ; deadline 1m",
        "a done · b refused no · +1m · undo a done",
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
        > +1m
          cancel_requested deadline
        > undo a done
          undone undo a #1
          compensated
        = compensated
    "#]],
    );
}

/// The deadline was looked at before the end. A saga without a pivot whose last step was done after its deadline, but before
/// anything woke it, was rolled back; after the last `done` there is nothing left to cancel.
#[test]
fn a_deadline_that_nobody_saw_before_the_last_done_is_too_late() {
    check(
        "a | b ; deadline 1m",
        "a done · clock +2m · b done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent b #1
        > clock +2m
        > b done
          done b #1
          completed
        = completed
    "#]],
    );
}

#[test]
fn a_deadline_that_nobody_saw_before_an_earlier_done_rolls_back() {
    check(
        "a | b ; deadline 1m",
        "clock +2m · a done · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
        > clock +2m
        > a done
          done a #1
          cancel_requested deadline
          rollback_begun deadline
          intent undo a #1
        > undo a done
          undone undo a #1
          compensated
        = compensated
    "#]],
    );
    check(
        "a | pay* | send> ; deadline 1m",
        "a done · clock +2m · pay done · send done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent pay #1
        > clock +2m
        > pay done
          done pay #1
          cancel_requested deadline
          intent send #1
        > send done
          done send #1
          completed
        = completed
    "#]],
    );
}

#[test]
fn a_deadline_ends_waits_and_backoffs() {
    check(
        "a~ ‖ b ; deadline 1m",
        "a waits for 1h · b transient busy · clock +1m · b done · +1s",
        expect![[r#"
        > start
          started
          intent a #1 (effect-free)
          intent b #1
        > a waits for 1h
          wait a #1 for +1h
        > b transient busy
          transient b #1 busy
          backoff b until +1s
        > clock +1m
        > b done
          stale b #1 done
          cancel_requested deadline
          rollback_begun deadline
          compensated
        > +1s
        = compensated
    "#]],
    );
    check(
        "a~ ‖ b(first 30s) ; deadline 1m",
        "a waits for 1h · +45s · b transient busy · +30s",
        expect![[r#"
        > start
          started
          intent a #1 (effect-free)
          intent b #1
        > a waits for 1h
          wait a #1 for +1h
        > +45s
        > b transient busy
          transient b #1 busy
          backoff b until +75s
        > +30s
          cancel_requested deadline
          rollback_begun deadline
          compensated
        = compensated
    "#]],
    );
}
