//! Waits: for an event, for a moment, or for whichever comes first.

use expect_test::expect;

use crate::check::check;

#[test]
fn a_step_that_waited_is_called_again_with_what_arrived() {
    check(
        "a | b",
        "a waits for approval/42 · show · event approval/41 · +1h · event approval/42 id 7 · call a · a done",
        expect![[r#"
            > start
              started
              intent a #1
            > a waits for approval/42
              wait a #1 for approval/42
            > show
              waiting revision 3
              a waiting, may have run, 1 attempts from +0ms, waits for approval/42
              b pending
            > event approval/41
            > +1h
            > event approval/42 id 7
              arrived a approval/42
              intent a #2
            > call a
              now +0ms, began +1h, until +3630s, may have run, arrived 7
            > a done
              done a #2
              intent b #1
            = running, runs b
        "#]],
    );
}

#[test]
fn a_step_that_slept_is_called_again_at_its_time() {
    check(
        "a",
        "a waits for 10s · +9s · +1s · call a · a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a waits for 10s
          wait a #1 for +10s
        > +9s
        > +1s
          timer_fired a
          intent a #2
        > call a
          now +0ms, began +10s, until +40s, may have run, timer
        > a done
          done a #2
          completed
        = completed
    "#]],
    );
}

#[test]
fn event_or_timer_whichever_is_first_ends_the_wait() {
    check(
        "a",
        "a waits for approval/42 or 10s · +9s · event approval/42 · +1s · a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a waits for approval/42 or 10s
          wait a #1 for approval/42 or +10s
        > +9s
        > event approval/42
          arrived a approval/42
          intent a #2
        > +1s
        > a done
          done a #2
          completed
        = completed
    "#]],
    );
    check(
        "a",
        "a waits for approval/42 or 10s · +10s · event approval/42 · a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a waits for approval/42 or 10s
          wait a #1 for approval/42 or +10s
        > +10s
          timer_fired a
          intent a #2
        > event approval/42
        > a done
          done a #2
          completed
        = completed
    "#]],
    );
}

#[test]
fn when_event_and_timer_are_due_at_the_same_instant_the_event_wins() {
    check(
        "a",
        "a waits for approval/42 or 10s · clock +10s · event approval/42 · call a",
        expect![[r#"
        > start
          started
          intent a #1
        > a waits for approval/42 or 10s
          wait a #1 for approval/42 or +10s
        > clock +10s
        > event approval/42
          arrived a approval/42
          intent a #2
        > call a
          now +0ms, began +10s, until +40s, may have run, arrived approval/42
        = running, runs a
    "#]],
    );
}

#[test]
fn an_event_is_consumed_once() {
    check(
        "a ‖ b",
        "a waits for go/1 · b waits for go/1 · event go/1 id 7 · event go/1 id 7 · a waits for go/1 · event go/1 id 8",
        expect![[r#"
            > start
              started
              intent a #1
              intent b #1
            > a waits for go/1
              wait a #1 for go/1
            > b waits for go/1
              wait b #1 for go/1
            > event go/1 id 7
              arrived a go/1
              intent a #2
            > event go/1 id 7
            > a waits for go/1
              wait a #2 for go/1
            > event go/1 id 8
              arrived a go/1
              intent a #3
            = running, runs a, waits for go/1
        "#]],
    );
}

/// A wait for a moment that has passed ended in the decision that recorded it: a guest that always waits so was called as
/// fast as the host can.
#[test]
fn a_wait_for_the_past_is_a_short_one() {
    check(
        "a",
        "a waits for 0ms · +9ms · +1ms · a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a waits for 0ms
          wait a #1 for +10ms
        > +9ms
        > +1ms
          timer_fired a
          intent a #2
        > a done
          done a #2
          completed
        = completed
    "#]],
    );
}

/// A thousand sagas that always wait for a moment that has passed took most of the host: each was called, recorded and committed a
/// hundred times a second. The kind: work that a guest asks for at no cost to itself.
#[test]
fn a_step_that_waits_again_and_again_for_the_past_is_called_less_and_less_often() {
    check(
        "a",
        "a waits for 0ms · +10ms · a waits for 0ms · +10ms · a waits for 0ms · +10ms · a waits for 0ms · +10ms · a waits for 0ms · \
         +20ms · a waits for 0ms · +20ms · +20ms · a waits for 1s · +1s · a waits for 100ms",
        expect![[r#"
            > start
              started
              intent a #1
            > a waits for 0ms
              wait a #1 for +10ms
            > +10ms
              timer_fired a
              intent a #2
            > a waits for 0ms
              wait a #2 for +20ms
            > +10ms
              timer_fired a
              intent a #3
            > a waits for 0ms
              wait a #3 for +30ms
            > +10ms
              timer_fired a
              intent a #4
            > a waits for 0ms
              wait a #4 for +40ms
            > +10ms
              timer_fired a
              intent a #5
            > a waits for 0ms
              wait a #5 for +60ms
            > +20ms
              timer_fired a
              intent a #6
            > a waits for 0ms
              wait a #6 for +100ms
            > +20ms
            > +20ms
              timer_fired a
              intent a #7
            > a waits for 1s
              wait a #7 for +1100ms
            > +1s
              timer_fired a
              intent a #8
            > a waits for 100ms
              wait a #8 for +1260ms
            = waiting, wakes at +1260ms
        "#]],
    );
}

#[test]
fn a_wait_for_nothing_or_for_more_than_ten_years_is_a_trap() {
    check(
        "a(once-stop) ‖ b",
        "a waits for nothing · b waits for 3653d · show",
        expect![[r#"
        > start
          started
          intent a #1
          intent b #1
        > a waits for nothing
          transient a #1 bad_wait
          backoff a until +1s
        > b waits for 3653d
          wait b #1 for +3653d
        > show
          running revision 6
          a backing_off, 1 attempts from +0ms, bad_wait ×1, again at +1s
          b waiting, may have run, 1 attempts from +0ms, waits for +3653d
        = running, wakes at +1s
    "#]],
    );
    check(
        "a(once-stop)",
        "a waits for 3654d answered",
        expect![[r#"
        > start
          started
          intent a #1
        > a waits for 3654d answered
          unknown a #1 bad_wait
          stuck a: unknown bad_wait
        = stuck, stuck a: unknown bad_wait
    "#]],
    );
}

/// What had arrived was forgotten at the end of the attempt that was told of it. If that attempt failed, or the host stopped
/// during it, the next one asked for the same event again; the saga had consumed it, and it waited for ever.
#[test]
fn what_arrived_is_told_again_when_the_attempt_that_heard_it_fails() {
    check(
        "a",
        "a waits for approval/42 · event approval/42 · host stops · call a · a transient busy · +1s · call a",
        expect![[r#"
            > start
              started
              intent a #1
            > a waits for approval/42
              wait a #1 for approval/42
            > event approval/42
              arrived a approval/42
              intent a #2
            > host stops
              unknown a #2 host_stopped (not charged)
              intent a #3
            > call a
              now +0ms, began +0ms, until +30s, after host_stopped, may have run, arrived approval/42
            > a transient busy
              transient a #3 busy
              backoff a until +1s
            > +1s
              intent a #4
            > call a
              now +0ms, began +1s, until +31s, after busy, may have run, arrived approval/42
            = running, runs a
        "#]],
    );
}

#[test]
fn a_wait_never_clears_the_mark_and_sets_it() {
    check(
        "a",
        "a waits for 1s · +1s · a refused no · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a waits for 1s
          wait a #1 for +1s
        > +1s
          timer_fired a
          intent a #2
        > a refused no
          refused a #2 no
          rollback_begun a refused no
          intent undo a #1
        > undo a done
          undone undo a #1
          compensated
        = compensated
    "#]],
    );
    check(
        "a~",
        "a waits for 1s · +1s · a refused no",
        expect![[r#"
        > start
          started
          intent a #1 (effect-free)
        > a waits for 1s
          wait a #1 for +1s
        > +1s
          timer_fired a
          intent a #2 (effect-free)
        > a refused no
          refused a #2 no
          rollback_begun a refused no
          compensated
        = compensated
    "#]],
    );
}

#[test]
fn a_rollback_closes_a_waiting_step_and_undoes_it_if_it_may_have_run() {
    check(
        "a ‖ b~ ‖ c",
        "a waits for go/1 · b waits for go/1 · c refused no · event go/1 · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
          intent b #1 (effect-free)
          intent c #1
        > a waits for go/1
          wait a #1 for go/1
        > b waits for go/1
          wait b #1 for go/1
        > c refused no
          refused c #1 no
          rollback_begun c refused no
          intent undo a #1
        > event go/1
        > undo a done
          undone undo a #1
          compensated
        = compensated
    "#]],
    );
}

#[test]
fn an_attempt_in_flight_that_wants_to_wait_during_a_rollback_is_closed() {
    check(
        "a ‖ b~ ‖ c",
        "c refused no · a waits for go/1 · b waits for 1s · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
          intent b #1 (effect-free)
          intent c #1
        > c refused no
          refused c #1 no
          rollback_begun c refused no
        > a waits for go/1
          wait a #1 for go/1
        > b waits for 1s
          wait b #1 for +1s
          intent undo a #1
        > undo a done
          undone undo a #1
          compensated
        = compensated
    "#]],
    );
}

#[test]
fn a_waiting_compensation_waits_on() {
    check(
        "a(undo tries 1) | b",
        "a done · b refused no · undo a waits for refund/1 or 1h · cancel · +10m · event refund/1 · call undo a · undo a waits for 1m
         +1m · undo a done",
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
            > undo a waits for refund/1 or 1h
              wait undo a #1 for refund/1 or +1h
            > cancel
            > +10m
            > event refund/1
              arrived undo a refund/1
              intent undo a #2
            > call undo a
              now +0ms, began +10m, until +630s, own output null, because b refused no, may have run, arrived refund/1
            > undo a waits for 1m
              wait undo a #2 for +11m
            > +1m
              timer_fired undo a
              intent undo a #3
            > undo a done
              undone undo a #3
              compensated
            = compensated
        "#]],
    );
}

#[test]
fn a_clock_that_goes_back_fires_nothing_twice() {
    check(
        "a ; deadline 1h",
        "a waits for 10s · +10s · clock -5s · +5s · a waits for 10s · clock -30s · +1s · +39s",
        expect![[r#"
            > start
              started
              intent a #1
            > a waits for 10s
              wait a #1 for +10s
            > +10s
              timer_fired a
              intent a #2
            > clock -5s
            > +5s
            > a waits for 10s
              wait a #2 for +20s
            > clock -30s
            > +1s
            > +39s
              timer_fired a
              intent a #3
            = running, runs a, wakes at +1h
        "#]],
    );
}
