//! What an operator may do, where it fits, and what is said where it does not.

use expect_test::expect;

use crate::check::check;

#[test]
fn no_verb_fits_an_ended_saga() {
    check(
        "a",
        "a done · cancel · retry · skip a · resolve a done · abandon",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          completed
        > cancel
          409 it has ended
        > retry
          409 it has ended
        > skip a
          409 it has ended
        > resolve a done
          409 it has ended
        > abandon
          409 it has ended
        = completed
    "#]],
    );
}

#[test]
fn a_retry_of_some_legs_leaves_the_others_as_they_are() {
    check(
        "a(tries 1, stuck) ‖ b(tries 1, stuck) | c",
        "a transient busy · b transient down · retry only b · retry only c",
        expect![[r#"
        > start
          started
          intent a #1
          intent b #1
        > a transient busy
          transient a #1 busy
          stuck a: exhausted busy
        > b transient down
          transient b #1 down
          stuck b: exhausted down
        > retry only b
          retried b
          intent b #2
        > retry only c
          409 none of these legs is stuck or backing off; fits: retry, resolve, cancel, abandon
        = running, runs b, stuck a: exhausted busy
    "#]],
    );
}

#[test]
fn a_step_that_does_not_exist_is_named() {
    check(
        "a",
        "retry x · skip x · resolve x done",
        expect![[r#"
        > start
          started
          intent a #1
        > retry x
          409 it has no step `x`
        > skip x
          409 it has no step `x`
        > resolve x done
          409 it has no step `x`
        = running, runs a
    "#]],
    );
}

#[test]
fn retry_ends_a_backoff_and_gives_a_fresh_budget() {
    check(
        "a(tries 2)",
        "retry · retry a · a transient busy · retry a · a transient busy · +1s · a transient busy",
        expect![[r#"
            > start
              started
              intent a #1
            > retry
              409 no step is stuck or backing off; fits: cancel, abandon
            > retry a
              409 `a` is not stuck or backing off; fits: cancel, abandon
            > a transient busy
              transient a #1 busy
              backoff a until +1s
            > retry a
              retried a
              intent a #2
            > a transient busy
              transient a #2 busy
              backoff a until +1s
            > +1s
              intent a #3
            > a transient busy
              transient a #3 busy
              rollback_begun a exhausted busy
              compensated
            = compensated
        "#]],
    );
}

#[test]
fn retry_without_a_step_means_every_leg_that_is_stuck_or_backs_off() {
    check(
        "a(tries 1, stuck) ‖ b ‖ c",
        "a transient busy · b transient busy · retry · retry c",
        expect![[r#"
        > start
          started
          intent a #1
          intent b #1
          intent c #1
        > a transient busy
          transient a #1 busy
          stuck a: exhausted busy
        > b transient busy
          transient b #1 busy
          backoff b until +1s
        > retry
          retried a, b
          intent a #2
          intent b #2
        > retry c
          409 `c` is not stuck or backing off; fits: cancel, abandon
        = running, runs a, b, c
    "#]],
    );
}

#[test]
fn retry_of_a_step_that_is_run_once_is_the_operators_to_decide() {
    check(
        "a(once-stop)",
        "a unknown lost · retry · call a · a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a unknown lost
          unknown a #1 lost
          stuck a: unknown lost
        > retry
          retried a
          intent a #2
        > call a
          now +0ms, began +0ms, until +30s, after lost, may have run
        > a done
          done a #2
          completed
        = completed
    "#]],
    );
}

#[test]
fn skip_fits_only_a_stuck_compensation_and_leaves_its_effect_outstanding() {
    check(
        "a(undo tries 1) | b(tries 1, stuck)",
        "a done · skip a · b transient busy · skip b · cancel · skip a · undo a transient 500 · skip a · show",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent b #1
            > skip a
              409 only a stuck compensation can be skipped, and `a` has none; fits: cancel, abandon
            > b transient busy
              transient b #1 busy
              stuck b: exhausted busy
            > skip b
              409 only a stuck compensation can be skipped, and `b` has none; fits: retry, resolve, cancel, abandon
            > cancel
              cancel_requested asked
              rollback_begun cancelled
              intent undo a #1
            > skip a
              409 only a stuck compensation can be skipped, and `a` has none; fits: abandon
            > undo a transient 500
              transient undo a #1 500
              stuck undo a: exhausted 500
            > skip a
              skipped a
              compensated
            > show
              compensated revision 13, rolls back: cancelled
              a skipped, 1 attempts from +0ms to +0ms; undo, 1 attempts from +0ms to +0ms, 500 ×1
              b pending, 1 attempts from +0ms to +0ms, busy ×1
            = compensated, outstanding a
        "#]],
    );
}

#[test]
fn cancel_twice_changes_nothing_the_second_time() {
    check(
        "a",
        "cancel · cancel · a transient busy",
        expect![[r#"
        > start
          started
          intent a #1
        > cancel
          cancel_requested asked
          rollback_begun cancelled
        > cancel
        > a transient busy
          transient a #1 busy
          compensated
        = compensated
    "#]],
    );
}

/// After a pending cancel had been outvoted by the pivot, `cancel` still answered that it was done.
#[test]
fn a_cancel_that_the_pivot_decided_against_does_not_fit_the_second_time() {
    check(
        "a | pay* | send>",
        "a done · cancel · pay done · cancel",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent pay #1
        > cancel
          cancel_requested asked
        > pay done
          done pay #1
          intent send #1
        > cancel
          409 it is past its point of no return
        = running, runs send
    "#]],
    );
}

#[test]
fn abandon_ends_a_saga_anywhere_and_lists_what_stands() {
    check(
        "a | b(undo nothing) | c",
        "a done · b done · c transient busy · abandon",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent b #1
        > b done
          done b #1
          intent c #1
        > c transient busy
          transient c #1 busy
          backoff c until +1s
        > abandon
          abandoned
        = abandoned, outstanding a
    "#]],
    );
    check(
        "a(undo tries 1) | b",
        "a done · b refused no · undo a unknown lost · abandon · show",
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
        > undo a unknown lost
          unknown undo a #1 lost
          stuck undo a: exhausted lost
        > abandon
          abandoned
        > show
          abandoned revision 10, rolls back: b refused no
          a done, 1 attempts from +0ms to +0ms; undo, 1 attempts from +0ms to +0ms, lost ×1
          b refused, 1 attempts from +0ms to +0ms, no ×1
        = abandoned, outstanding a
    "#]],
    );
    check(
        "a | pay* | send>",
        "a done · pay done · send unknown lost · abandon",
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
        > send unknown lost
          unknown send #1 lost
          backoff send until +1s
        > abandon
          abandoned
        = abandoned, outstanding a, pay, send
    "#]],
    );
}

/// The effect of an attempt that was open was not listed: the mark was counted at the end of attempts, and this one had none.
#[test]
fn abandon_lists_an_attempt_that_was_open() {
    check(
        "a ‖ b~ ‖ c",
        "abandon · a done · show",
        expect![[r#"
        > start
          started
          intent a #1
          intent b #1 (effect-free)
          intent c #1
        > abandon
          abandoned
        > a done
          stale a #1 done
        > show
          abandoned revision 6
          a unknown, may have run, 1 attempts from +0ms to +0ms
          b pending, 1 attempts from +0ms to +0ms
          c unknown, may have run, 1 attempts from +0ms to +0ms
        = abandoned, outstanding a, c
    "#]],
    );
}

/// The refusal named the same verb among those that fit, and not the step that it would fit: it read as advice to ask again.
#[test]
fn a_verb_that_is_refused_for_one_step_names_those_that_it_fits() {
    check(
        "a(undo tries 1) ‖ b(undo tries 1) ‖ c(tries 1, stuck)",
        "a done · b done · c transient busy · retry a · cancel · undo a transient 500 · skip b · undo b transient 500 · skip c",
        expect![[r#"
            > start
              started
              intent a #1
              intent b #1
              intent c #1
            > a done
              done a #1
            > b done
              done b #1
            > c transient busy
              transient c #1 busy
              stuck c: exhausted busy
            > retry a
              409 `a` is not stuck or backing off (`c` is); fits: retry, resolve, cancel, abandon
            > cancel
              cancel_requested asked
              rollback_begun cancelled
              intent undo a #1
              intent undo b #1
            > undo a transient 500
              transient undo a #1 500
              stuck undo a: exhausted 500
            > skip b
              409 only a stuck compensation can be skipped, and `b` has none (`a` has); fits: retry, resolve, skip, abandon
            > undo b transient 500
              transient undo b #1 500
              stuck undo b: exhausted 500
            > skip c
              409 only a stuck compensation can be skipped, and `c` has none (`a`, `b` have); fits: retry, resolve, skip, abandon
            = stuck, stuck undo a: exhausted 500, stuck undo b: exhausted 500, outstanding a, b
        "#]],
    );
}
