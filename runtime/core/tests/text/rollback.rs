//! Rollback: what is undone, in which order, and what cannot stop it (law 7).

use expect_test::expect;

use crate::check::check;

#[test]
fn stages_are_undone_backwards_and_a_stage_in_parallel() {
    check(
        "a ‖ b | c ‖ d | e",
        "a done · b done · c done · d done · e refused no · undo d done · undo c done · undo b done · undo a done",
        expect![[r#"
            > start
              started
              intent a #1
              intent b #1
            > a done
              done a #1
            > b done
              done b #1
              intent c #1
              intent d #1
            > c done
              done c #1
            > d done
              done d #1
              intent e #1
            > e refused no
              refused e #1 no
              rollback_begun e refused no
              intent undo c #1
              intent undo d #1
            > undo d done
              undone undo d #1
            > undo c done
              undone undo c #1
              intent undo a #1
              intent undo b #1
            > undo b done
              undone undo b #1
            > undo a done
              undone undo a #1
              compensated
            = compensated
        "#]],
    );
}

#[test]
fn a_stage_is_undone_when_none_of_its_attempts_is_open() {
    check(
        "a | b ‖ c ‖ d",
        "a done · b done · c refused no · d transient busy · undo b done · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent b #1
          intent c #1
          intent d #1
        > b done
          done b #1
        > c refused no
          refused c #1 no
          rollback_begun c refused no
        > d transient busy
          transient d #1 busy
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
fn a_second_refusal_begins_no_second_rollback() {
    check(
        "a ‖ b ‖ c",
        "a refused no · b refused no · c unknown lost · undo c done",
        expect![[r#"
        > start
          started
          intent a #1
          intent b #1
          intent c #1
        > a refused no
          refused a #1 no
          rollback_begun a refused no
        > b refused no
          refused b #1 no
        > c unknown lost
          unknown c #1 lost
          intent undo c #1
        > undo c done
          undone undo c #1
          compensated
        = compensated
    "#]],
    );
}

#[test]
fn an_attempt_in_flight_is_neither_retried_nor_checked_during_a_rollback() {
    check(
        "a(check) ‖ b(once-stop) ‖ c",
        "c refused no · a unknown lost · b unknown lost · undo a done · undo b done",
        expect![[r#"
            > start
              started
              intent a #1
              intent b #1
              intent c #1
            > c refused no
              refused c #1 no
              rollback_begun c refused no
            > a unknown lost
              unknown a #1 lost
            > b unknown lost
              unknown b #1 lost
              intent undo a #1
              intent undo b #1
            > undo a done
              undone undo a #1
            > undo b done
              undone undo b #1
              compensated
            = compensated
        "#]],
    );
    check(
        "a(check) ‖ c",
        "a unknown lost · c refused no · check a not-done · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
          intent c #1
        > a unknown lost
          unknown a #1 lost
          intent check a #1
        > c refused no
          refused c #1 no
          rollback_begun c refused no
        > check a not-done
          not_done check a #1
          intent undo a #1
        > undo a done
          undone undo a #1
          compensated
        = compensated
    "#]],
    );
}

#[test]
fn backoffs_and_stuck_legs_end_when_a_rollback_begins() {
    check(
        "a ‖ b(tries 1, stuck) ‖ c(tries 1, stuck)",
        "a transient busy · b transient busy · c unknown lost · cancel · undo c done · +1d",
        expect![[r#"
            > start
              started
              intent a #1
              intent b #1
              intent c #1
            > a transient busy
              transient a #1 busy
              backoff a until +1s
            > b transient busy
              transient b #1 busy
              stuck b: exhausted busy
            > c unknown lost
              unknown c #1 lost
              stuck c: exhausted lost
            > cancel
              cancel_requested asked
              rollback_begun cancelled
              intent undo c #1
            > undo c done
              undone undo c #1
              compensated
            > +1d
            = compensated
        "#]],
    );
}

#[test]
fn a_step_that_leaves_nothing_to_undo_is_passed_over() {
    check(
        "a | b(undo nothing) | c",
        "a done · b done · c refused no · undo a done",
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
        > c refused no
          refused c #1 no
          rollback_begun c refused no
          intent undo a #1
        > undo a done
          undone undo a #1
          compensated
        = compensated
    "#]],
    );
}

#[test]
fn when_one_undo_is_stuck_its_stage_mates_finish_and_earlier_stages_wait() {
    check(
        "a | b(undo tries 1) ‖ c | d",
        "a done · b done · c done · d refused no · undo b transient 500 · show · undo c transient 500 · +1s · undo c done · +1d
         skip b · undo a done",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent b #1
              intent c #1
            > b done
              done b #1
            > c done
              done c #1
              intent d #1
            > d refused no
              refused d #1 no
              rollback_begun d refused no
              intent undo b #1
              intent undo c #1
            > undo b transient 500
              transient undo b #1 500
              stuck undo b: exhausted 500
            > show
              compensating revision 14, rolls back: d refused no
              a done, 1 attempts from +0ms to +0ms
              b stuck, 1 attempts from +0ms to +0ms; undo, 1 attempts from +0ms, 500 ×1
              c compensating, 1 attempts from +0ms to +0ms; undo, 1 attempts from +0ms
              d refused, 1 attempts from +0ms to +0ms, no ×1
            > undo c transient 500
              transient undo c #1 500
              backoff undo c until +1s
            > +1s
              intent undo c #2
            > undo c done
              undone undo c #2
            > +1d
            > skip b
              skipped b
              intent undo a #1
            > undo a done
              undone undo a #1
              compensated
            = compensated, outstanding b
        "#]],
    );
}

#[test]
fn a_cancel_or_a_deadline_during_a_rollback_changes_nothing() {
    check(
        "a | b ; deadline 1m",
        "a done · b refused no · cancel · +1m · undo a done · cancel",
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
        > cancel
        > +1m
          cancel_requested deadline
        > undo a done
          undone undo a #1
          compensated
        > cancel
          409 it has ended
        = compensated
    "#]],
    );
}

#[test]
fn a_cancel_before_anything_happened_compensates_at_once() {
    check(
        "a~ | b",
        "a waits for 1h · cancel",
        expect![[r#"
        > start
          started
          intent a #1 (effect-free)
        > a waits for 1h
          wait a #1 for +1h
        > cancel
          cancel_requested asked
          rollback_begun cancelled
          compensated
        = compensated
    "#]],
    );
}

#[test]
fn a_compensation_is_told_input_output_and_the_failure_of_its_step() {
    check(
        "a | b(needs a) | c",
        r#"a done {"id":1} · call b · b unknown lost · +1s · b done {"id":2} · c refused no · call undo b"#,
        expect![[r#"
            > start
              started
              intent a #1
            > a done {"id":1}
              done a #1 {"id":1}
              intent b #1
            > call b
              now +0ms, began +0ms, until +30s, a = {"id":1}
            > b unknown lost
              unknown b #1 lost
              backoff b until +1s
            > +1s
              intent b #2
            > b done {"id":2}
              done b #2 {"id":2}
              intent c #1
            > c refused no
              refused c #1 no
              rollback_begun c refused no
              intent undo b #1
            > call undo b
              now +1s, began +1s, until +31s, a = {"id":1}, own output {"id":2}, after lost, because c refused no
            = compensating, runs undo b, outstanding a, b
        "#]],
    );
}

#[test]
fn the_time_that_a_guest_sees_is_the_same_in_every_attempt_of_a_leg() {
    check(
        "a | b(check)",
        "+1m · a done · +1s · b unknown lost · +1s · check b unknown lost · +1s · call check b · check b not-done · +1s · call b
         b unknown lost · call check b",
        expect![[r#"
            > start
              started
              intent a #1
            > +1m
            > a done
              done a #1
              intent b #1
            > +1s
            > b unknown lost
              unknown b #1 lost
              intent check b #1
            > +1s
            > check b unknown lost
              unknown check b #1 lost
              backoff check b until +63s
            > +1s
              intent check b #2
            > call check b
              now +61s, began +63s, until +93s, after lost, may have run
            > check b not-done
              not_done check b #2
              backoff b until +64s
            > +1s
              intent b #2
            > call b
              now +1m, began +64s, until +94s, after lost, may have run
            > b unknown lost
              unknown b #2 lost
              intent check b #3
            > call check b
              now +61s, began +64s, until +94s, after lost, may have run
            = running, runs check b
        "#]],
    );
}

/// C2-12: the undo of a step that was done was not told why the saga rolls back, and in an alternate of the undo the last failure
/// changed between attempts under one key. The kind: what a guest is told must be the same in every attempt of a leg. The cause is
/// told in every undo, and it is the one that the first attempt was told, in every alternate, after a cancel and after a move too.
#[test]
fn c2_12_every_attempt_and_alternate_of_a_compensation_is_told_the_same_cause() {
    check(
        "a(undo tries 2, undo alternates 1) | b",
        "a done · call a · b refused full · call undo a · undo a transient offline · +1s · call undo a · undo a transient offline · call undo#1 a · undo#1 a transient down · +1s · call undo#1 a",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent b #1
            > call a
              no such attempt is open
            > b refused full
              refused b #1 full
              rollback_begun b refused full
              intent undo a #1
            > call undo a
              now +0ms, began +0ms, until +30s, own output null, because b refused full
            > undo a transient offline
              transient undo a #1 offline
              backoff undo a until +1s
            > +1s
              intent undo a #2
            > call undo a
              now +0ms, began +1s, until +31s, own output null, after offline, because b refused full
            > undo a transient offline
              transient undo a #2 offline
              intent undo#1 a #1
            > call undo#1 a
              now +1s, began +1s, until +31s, own output null, because b refused full
            > undo#1 a transient down
              transient undo#1 a #1 down
              backoff undo#1 a until +2s
            > +1s
              intent undo#1 a #2
            > call undo#1 a
              now +1s, began +2s, until +32s, own output null, after down, because b refused full
            = compensating, runs undo#1 a, outstanding a
        "#]],
    );
    check(
        "a | b !s | c(tries 1)",
        "a done · b done · c traps unanswered · call undo c · cancel · undo c transient x · +1s · call undo c · undo c done · call undo b",
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
            > c traps trap unanswered
              unknown c #1 trap
              rollback_begun c exhausted trap
              intent undo c #1
            > call undo c
              now +0ms, began +0ms, until +30s, after trap, because c exhausted trap
            > cancel
              cancel_requested asked
              rollback_begun cancelled
            > undo c transient x
              transient undo c #1 x
              backoff undo c until +1s
            > +1s
              intent undo c #2
            > call undo c
              now +0ms, began +1s, until +31s, after x, because c exhausted trap
            > undo c done
              undone undo c #2
              intent undo b #1
            > call undo b
              now +1s, began +1s, until +31s, own output null, because cancelled
            = compensating, runs undo b, outstanding a, b
        "#]],
    );
    check(
        "a | b(alternates 1)",
        "a done · b traps unanswered · +1s · b refused full · call undo b · undo b transient x · cancel · +1s · call undo b · undo b done · call undo a",
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
            > b refused full
              refused b #2 full
              intent undo b #1
            > call undo b
              now +1s, began +1s, until +31s, after full, because refused full
            > undo b transient x
              transient undo b #1 x
              backoff undo b until +2s
            > cancel
              cancel_requested asked
              rollback_begun cancelled
            > +1s
              intent undo b #2
            > call undo b
              now +1s, began +2s, until +32s, after x, because refused full
            > undo b done
              undone undo b #2
              intent undo a #1
            > call undo a
              now +2s, began +2s, until +32s, own output null, because cancelled
            = compensating, runs undo a, outstanding a
        "#]],
    );
    check(
        "a | b(once-rollback) ; deadline 1m",
        "a done · b unknown lost · call undo b · undo b done · call undo a",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent b #1
        > b unknown lost
          unknown b #1 lost
          rollback_begun b unknown lost
          intent undo b #1
        > call undo b
          now +0ms, began +0ms, until +30s, after lost, because b unknown lost
        > undo b done
          undone undo b #1
          intent undo a #1
        > call undo a
          now +0ms, began +0ms, until +30s, own output null, because b unknown lost
        = compensating, runs undo a, wakes at +1m, outstanding a
    "#]],
    );
    check(
        "a | b ; deadline 1m",
        "a done · +1m · b done · call undo b",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent b #1
        > +1m
          cancel_requested deadline
          rollback_begun deadline
        > b done
          done b #1
          intent undo b #1
        > call undo b
          now +1m, began +1m, until +90s, own output null, because deadline
        = compensating, runs undo b, outstanding a, b
    "#]],
    );
}
