//! A saga as people and programs read it.

use expect_test::expect;

use crate::check::check;

#[test]
fn a_saga_waits_when_every_open_leg_waits() {
    check(
        "a ‖ b",
        "a waits for go/1 · show · b waits for 1h · show",
        expect![[r#"
        > start
          started
          intent a #1
          intent b #1
        > a waits for go/1
          wait a #1 for go/1
        > show
          running revision 4
          a waiting, may have run, 1 attempts from +0ms, waits for go/1
          b running, may have run, 1 attempts from +0ms
        > b waits for 1h
          wait b #1 for +1h
        > show
          waiting revision 5
          a waiting, may have run, 1 attempts from +0ms, waits for go/1
          b waiting, may have run, 1 attempts from +0ms, waits for +1h
        = waiting, waits for go/1, wakes at +1h
    "#]],
    );
}

#[test]
fn a_backoff_over_five_seconds_is_a_wait_and_a_shorter_one_is_not() {
    check(
        "a(first 5s)",
        "a transient busy · show",
        expect![[r#"
        > start
          started
          intent a #1
        > a transient busy
          transient a #1 busy
          backoff a until +5s
        > show
          running revision 4
          a backing_off, 1 attempts from +0ms, busy ×1, again at +5s
        = running, wakes at +5s
    "#]],
    );
    check(
        "a(first 6s)",
        "a transient busy · show",
        expect![[r#"
        > start
          started
          intent a #1
        > a transient busy
          transient a #1 busy
          backoff a until +6s
        > show
          waiting revision 4
          a backing_off, 1 attempts from +0ms, busy ×1, again at +6s
        = waiting, wakes at +6s
    "#]],
    );
    check(
        "a(first 6s) ‖ b",
        "a transient busy · b transient busy · show",
        expect![[r#"
        > start
          started
          intent a #1
          intent b #1
        > a transient busy
          transient a #1 busy
          backoff a until +6s
        > b transient busy
          transient b #1 busy
          backoff b until +1s
        > show
          running revision 7
          a backing_off, 1 attempts from +0ms, busy ×1, again at +6s
          b backing_off, 1 attempts from +0ms, busy ×1, again at +1s
        = running, wakes at +1s
    "#]],
    );
}

#[test]
fn a_saga_is_stuck_only_when_no_leg_can_move() {
    check(
        "a(tries 1, stuck) ‖ b ‖ c",
        "a transient busy · show · b transient busy · c waits for 1h · show · b done · show",
        expect![[r#"
            > start
              started
              intent a #1
              intent b #1
              intent c #1
            > a transient busy
              transient a #1 busy
              stuck a: exhausted busy
            > show
              running revision 6
              a stuck, 1 attempts from +0ms, busy ×1
              b running, may have run, 1 attempts from +0ms
              c running, may have run, 1 attempts from +0ms
            > b transient busy
              transient b #1 busy
              backoff b until +1s
            > c waits for 1h
              wait c #1 for +1h
            > show
              running revision 9
              a stuck, 1 attempts from +0ms, busy ×1
              b backing_off, 1 attempts from +0ms, busy ×1, again at +1s
              c waiting, may have run, 1 attempts from +0ms, waits for +1h
            > b done
              stale b #1 done
            > show
              running revision 10
              a stuck, 1 attempts from +0ms, busy ×1
              b backing_off, 1 attempts from +0ms, busy ×1, again at +1s
              c waiting, may have run, 1 attempts from +0ms, waits for +1h
            = running, wakes at +1s, stuck a: exhausted busy
        "#]],
    );
    check(
        "a(tries 1, stuck) ‖ b",
        "a transient busy · b transient busy · show · b done · +1s · b done · show",
        expect![[r#"
        > start
          started
          intent a #1
          intent b #1
        > a transient busy
          transient a #1 busy
          stuck a: exhausted busy
        > b transient busy
          transient b #1 busy
          backoff b until +1s
        > show
          running revision 7
          a stuck, 1 attempts from +0ms, busy ×1
          b backing_off, 1 attempts from +0ms, busy ×1, again at +1s
        > b done
          stale b #1 done
        > +1s
          intent b #2
        > b done
          done b #2
        > show
          stuck revision 10
          a stuck, 1 attempts from +0ms, busy ×1
          b done, 2 attempts from +0ms to +1s, busy ×1
        = stuck, stuck a: exhausted busy
    "#]],
    );
}

#[test]
fn a_rollback_is_compensating_also_while_it_waits_or_backs_off() {
    check(
        "a | b",
        "a done · b refused no · show · undo a waits for 1h · show",
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
        > show
          compensating revision 7, rolls back: b refused no
          a compensating, 1 attempts from +0ms to +0ms; undo, 1 attempts from +0ms
          b refused, 1 attempts from +0ms to +0ms, no ×1
        > undo a waits for 1h
          wait undo a #1 for +1h
        > show
          compensating revision 8, rolls back: b refused no
          a compensating, 1 attempts from +0ms to +0ms; undo, 1 attempts from +0ms, waits for +1h
          b refused, 1 attempts from +0ms to +0ms, no ×1
        = compensating, wakes at +1h, outstanding a
    "#]],
    );
}

#[test]
fn a_step_in_doubt_is_unknown_and_a_refused_one_is_refused() {
    check(
        "a(check) ‖ b ‖ c",
        "a unknown lost · b unknown lost · show · c refused no · show · check a unknown lost · undo b done · show",
        expect![[r#"
            > start
              started
              intent a #1
              intent b #1
              intent c #1
            > a unknown lost
              unknown a #1 lost
              intent check a #1
            > b unknown lost
              unknown b #1 lost
              backoff b until +1s
            > show
              running revision 8
              a unknown, may have run, 1 attempts from +0ms to +0ms, lost ×1
              b unknown, may have run, 1 attempts from +0ms, lost ×1, again at +1s
              c running, may have run, 1 attempts from +0ms
            > c refused no
              refused c #1 no
              rollback_begun c refused no
            > show
              compensating revision 10, rolls back: c refused no
              a unknown, may have run, 1 attempts from +0ms to +0ms, lost ×1
              b unknown, may have run, 1 attempts from +0ms to +0ms, lost ×1
              c refused, 1 attempts from +0ms to +0ms, no ×1
            > check a unknown lost
              unknown check a #1 lost
              intent undo a #1
              intent undo b #1
            > undo b done
              undone undo b #1
            > show
              compensating revision 14, rolls back: c refused no
              a compensating, may have run, 1 attempts from +0ms to +0ms, lost ×1; undo, 1 attempts from +0ms
              b compensated, may have run, 1 attempts from +0ms to +0ms, lost ×1; undo, 1 attempts from +0ms to +0ms
              c refused, 1 attempts from +0ms to +0ms, no ×1
            = compensating, runs undo a, outstanding a
        "#]],
    );
}

/// Every open attempt was shown as one that may have run, also those that cannot reach outside.
#[test]
fn only_an_attempt_that_can_reach_outside_may_have_run() {
    check(
        "a ‖ b~",
        "show",
        expect![[r#"
        > start
          started
          intent a #1
          intent b #1 (effect-free)
        > show
          running revision 3
          a running, may have run, 1 attempts from +0ms
          b running, 1 attempts from +0ms
        = running, runs a, b
    "#]],
    );
}

#[test]
fn failures_are_counted_by_code() {
    check(
        "a",
        "a transient x · +1s · a transient y · +2s · a transient x · +4s · show",
        expect![[r#"
        > start
          started
          intent a #1
        > a transient x
          transient a #1 x
          backoff a until +1s
        > +1s
          intent a #2
        > a transient y
          transient a #2 y
          backoff a until +3s
        > +2s
          intent a #3
        > a transient x
          transient a #3 x
          backoff a until +7s
        > +4s
          intent a #4
        > show
          running revision 11
          a running, may have run, 4 attempts from +0ms, x ×2, y ×1
        = running, runs a
    "#]],
    );
}

#[test]
fn the_output_is_the_named_steps_or_the_last_stages() {
    check(
        "a | b",
        r#"a done 1 · b done 2 · show"#,
        expect![[r#"
        > start
          started
          intent a #1
        > a done 1
          done a #1 1
          intent b #1
        > b done 2
          done b #1 2
          completed
        > show
          completed revision 6, output 2
          a done, 1 attempts from +0ms to +0ms
          b done, 1 attempts from +0ms to +0ms
        = completed
    "#]],
    );
    check(
        "a | b ; output a",
        r#"a done 1 · b done 2 · show"#,
        expect![[r#"
        > start
          started
          intent a #1
        > a done 1
          done a #1 1
          intent b #1
        > b done 2
          done b #1 2
          completed
        > show
          completed revision 6, output 1
          a done, 1 attempts from +0ms to +0ms
          b done, 1 attempts from +0ms to +0ms
        = completed
    "#]],
    );
    check(
        "a | b ‖ c",
        r#"a done 1 · b done 2 · c done {"x":3} · show"#,
        expect![[r#"
        > start
          started
          intent a #1
        > a done 1
          done a #1 1
          intent b #1
          intent c #1
        > b done 2
          done b #1 2
        > c done {"x":3}
          done c #1 {"x":3}
          completed
        > show
          completed revision 8, output {"b":2,"c":{"x":3}}
          a done, 1 attempts from +0ms to +0ms
          b done, 1 attempts from +0ms to +0ms
          c done, 1 attempts from +0ms to +0ms
        = completed
    "#]],
    );
}

#[test]
fn a_call_brings_the_outputs_that_the_step_needs_in_its_order() {
    check(
        "a ‖ b | c(needs b, needs a)",
        "a done 1 · b done 2 · call c",
        expect![[r#"
        > start
          started
          intent a #1
          intent b #1
        > a done 1
          done a #1 1
        > b done 2
          done b #1 2
          intent c #1
        > call c
          now +0ms, began +0ms, until +30s, b = 2, a = 1
        = running, runs c
    "#]],
    );
}
