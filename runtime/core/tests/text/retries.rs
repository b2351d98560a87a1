//! Retries: backoff, budgets and their ends.

use expect_test::expect;

use crate::check::check;

#[test]
fn a_transient_attempt_is_tried_again_after_a_growing_delay() {
    check(
        "a",
        "a transient busy · +1s · a transient busy · +1s · +1s · a transient busy · show · +4s · a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a transient busy
          transient a #1 busy
          backoff a until +1s
        > +1s
          intent a #2
        > a transient busy
          transient a #2 busy
          backoff a until +3s
        > +1s
        > +1s
          intent a #3
        > a transient busy
          transient a #3 busy
          backoff a until +7s
        > show
          running revision 10
          a backing_off, 3 attempts from +0ms, busy ×3, again at +7s
        > +4s
          intent a #4
        > a done
          done a #4
          completed
        = completed
    "#]],
    );
}

#[test]
fn used_up_attempts_roll_back() {
    check(
        "a | b(tries 2)",
        "a done · b transient busy · +1s · b transient busy · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent b #1
        > b transient busy
          transient b #1 busy
          backoff b until +1s
        > +1s
          intent b #2
        > b transient busy
          transient b #2 busy
          rollback_begun b exhausted busy
          intent undo a #1
        > undo a done
          undone undo a #1
          compensated
        = compensated
    "#]],
    );
}

#[test]
fn used_up_attempts_make_a_step_stuck_that_says_so() {
    check(
        "a | b(tries 2, stuck)",
        "a done · b transient busy · +1s · b transient busy · show · retry · b transient busy",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent b #1
            > b transient busy
              transient b #1 busy
              backoff b until +1s
            > +1s
              intent b #2
            > b transient busy
              transient b #2 busy
              stuck b: exhausted busy
            > show
              stuck revision 9
              a done, 1 attempts from +0ms to +0ms
              b stuck, 2 attempts from +0ms, busy ×2
            > retry
              retried b
              intent b #3
            > b transient busy
              transient b #3 busy
              backoff b until +2s
            = running, wakes at +2s
        "#]],
    );
}

#[test]
fn an_attempt_that_would_begin_after_the_time_box_is_not_begun() {
    check(
        "a(box 3s)",
        "a transient busy · +1s · a transient busy",
        expect![[r#"
        > start
          started
          intent a #1
        > a transient busy
          transient a #1 busy
          backoff a until +1s
        > +1s
          intent a #2
        > a transient busy
          transient a #2 busy
          backoff a until +3s
        = running, wakes at +3s
    "#]],
    );
    check(
        "a(box 2s)",
        "a transient busy · +1s · a transient busy",
        expect![[r#"
        > start
          started
          intent a #1
        > a transient busy
          transient a #1 busy
          backoff a until +1s
        > +1s
          intent a #2
        > a transient busy
          transient a #2 busy
          rollback_begun a exhausted busy
          compensated
        = compensated
    "#]],
    );
}

#[test]
fn a_wait_does_not_run_against_the_time_box_and_uses_up_no_attempt() {
    check(
        "a(box 3s, tries 2)",
        "a waits for 1h · +1h · a waits for 1h · +1h · a transient busy · +1s · a transient busy",
        expect![[r#"
            > start
              started
              intent a #1
            > a waits for 1h
              wait a #1 for +1h
            > +1h
              timer_fired a
              intent a #2
            > a waits for 1h
              wait a #2 for +2h
            > +1h
              timer_fired a
              intent a #3
            > a transient busy
              transient a #3 busy
              backoff a until +7201s
            > +1s
              intent a #4
            > a transient busy
              transient a #4 busy
              rollback_begun a exhausted busy
              intent undo a #1
            = compensating, runs undo a, outstanding a
        "#]],
    );
}

#[test]
fn a_retriable_step_is_stuck_when_its_attempts_are_used_up() {
    check(
        "a | send>(tries 2)",
        "a done · send transient busy · +1s · send traps unanswered",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent send #1
        > send transient busy
          transient send #1 busy
          backoff send until +1s
        > +1s
          intent send #2
        > send traps trap unanswered
          unknown send #2 trap
          stuck send: exhausted trap
        = stuck, stuck send: exhausted trap
    "#]],
    );
}

#[test]
fn a_refused_retriable_step_is_stuck_at_once() {
    check(
        "a | send>",
        "a done · send refused no · cancel · retry send · send done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent send #1
        > send refused no
          refused send #1 no
          stuck send: refused no
        > cancel
          409 it is past its point of no return
        > retry send
          retried send
          intent send #2
        > send done
          done send #2
          completed
        = completed
    "#]],
    );
}

#[test]
fn a_compensation_is_stuck_when_its_attempts_are_used_up() {
    check(
        "a(undo tries 2) | b",
        "a done · b refused no · undo a transient 500 · +1s · undo a unknown lost · retry · undo a transient 500 · +1s · undo a done",
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
            > undo a transient 500
              transient undo a #1 500
              backoff undo a until +1s
            > +1s
              intent undo a #2
            > undo a unknown lost
              unknown undo a #2 lost
              stuck undo a: exhausted lost
            > retry
              retried undo a
              intent undo a #3
            > undo a transient 500
              transient undo a #3 500
              backoff undo a until +2s
            > +1s
              intent undo a #4
            > undo a done
              undone undo a #4
              compensated
            = compensated
        "#]],
    );
}

#[test]
fn forward_and_compensation_have_counters_of_their_own() {
    check(
        "a(tries 2, undo tries 2) | b",
        "a transient x · +1s · a done · b refused no · undo a transient y · +1s · undo a done",
        expect![[r#"
            > start
              started
              intent a #1
            > a transient x
              transient a #1 x
              backoff a until +1s
            > +1s
              intent a #2
            > a done
              done a #2
              intent b #1
            > b refused no
              refused b #1 no
              rollback_begun b refused no
              intent undo a #1
            > undo a transient y
              transient undo a #1 y
              backoff undo a until +2s
            > +1s
              intent undo a #2
            > undo a done
              undone undo a #2
              compensated
            = compensated
        "#]],
    );
}

#[test]
fn parallel_steps_back_off_each_for_itself() {
    check(
        "a ‖ b",
        "a transient x · +500ms · b transient y · +500ms · +500ms",
        expect![[r#"
        > start
          started
          intent a #1
          intent b #1
        > a transient x
          transient a #1 x
          backoff a until +1s
        > +500ms
        > b transient y
          transient b #1 y
          backoff b until +1500ms
        > +500ms
          intent a #2
        > +500ms
          intent b #2
        = running, runs a, b
    "#]],
    );
}

/// Ten attempts that found no place in a busy host took ten minutes, and the first real failure was the last that the time box had room
/// for. The kind: a budget that is charged for what the host could not run.
#[test]
fn what_the_host_could_not_run_does_not_run_against_the_time_box() {
    check(
        "a(box 5s)",
        "+1m · a host-fails host_busy · +1m · clock +1m · a host-fails host_busy · +2s · a transient busy · +1s · a transient busy · +2s · a transient busy",
        expect![[r#"
            > start
              started
              intent a #1
            > +1m
            > a host-fails host_busy
              transient a #1 host_busy (not charged)
              backoff a until +60176ms
            > +1m
              intent a #2
            > clock +1m
            > a host-fails host_busy
              transient a #2 host_busy (not charged)
              backoff a until +180327ms
            > +2s
              intent a #3
            > a transient busy
              transient a #3 busy
              backoff a until +183s
            > +1s
              intent a #4
            > a transient busy
              transient a #4 busy
              backoff a until +185s
            > +2s
              intent a #5
            > a transient busy
              transient a #5 busy
              rollback_begun a exhausted busy
              compensated
            = compensated
        "#]],
    );
    // It waited for its place before it ran for its whole deadline.
    check(
        "a(box 40s, deadline 30s)",
        "+50s · a transient deadline · +1s · a transient busy",
        expect![[r#"
        > start
          started
          intent a #1
        > +50s
        > a transient deadline
          transient a #1 deadline
          backoff a until +51s
        > +1s
          intent a #2
        > a transient busy
          transient a #2 busy
          backoff a until +53s
        = running, wakes at +53s
    "#]],
    );
}
