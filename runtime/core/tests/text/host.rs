//! Stops of the host, denied calls and a full journal.

use expect_test::expect;

use crate::check::check;

#[test]
fn an_attempt_that_was_open_when_the_host_stopped_may_have_happened_and_is_run_again() {
    check(
        "a(tries 1)",
        "host stops · call a · host stops · a refused no · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
        > host stops
          unknown a #1 host_stopped (not charged)
          intent a #2
        > call a
          now +0ms, began +0ms, until +30s, after host_stopped, may have run
        > host stops
          unknown a #2 host_stopped (not charged)
          intent a #3
        > a refused no
          refused a #3 no
          rollback_begun a refused no
          intent undo a #1
        > undo a done
          undone undo a #1
          compensated
        = compensated
    "#]],
    );
}

#[test]
fn an_effect_free_attempt_that_was_open_when_the_host_stopped_did_not_happen() {
    check(
        "a~(once-rollback) ‖ b~(undo effect-free, check)",
        "host stops · a refused no · b done · undo b done",
        expect![[r#"
            > start
              started
              intent a #1 (effect-free)
              intent b #1 (effect-free)
            > host stops
              transient a #1 host_stopped (not charged)
              transient b #1 host_stopped (not charged)
              intent a #2 (effect-free)
              intent b #2 (effect-free)
            > a refused no
              refused a #2 no
              rollback_begun a refused no
            > b done
              done b #2
              intent undo b #1 (effect-free)
            > undo b done
              undone undo b #1
              compensated
            = compensated
        "#]],
    );
}

#[test]
fn a_step_that_is_run_once_is_not_run_again_after_a_stop() {
    check(
        "a | b(once-rollback)",
        "a done · host stops · undo b done · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent b #1
        > host stops
          unknown b #1 host_stopped (not charged)
          rollback_begun b unknown host_stopped
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
    check(
        "a | send>(once-stop)",
        "a done · host stops",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent send #1
        > host stops
          unknown send #1 host_stopped (not charged)
          stuck send: unknown host_stopped
        = stuck, stuck send: unknown host_stopped
    "#]],
    );
}

#[test]
fn a_step_with_a_check_is_asked_about_after_a_stop() {
    check(
        "a(check)",
        "host stops · host stops · check a not-done · +1s · a done",
        expect![[r#"
        > start
          started
          intent a #1
        > host stops
          unknown a #1 host_stopped (not charged)
          intent check a #1
        > host stops
          transient check a #1 host_stopped (not charged)
          intent check a #2
        > check a not-done
          not_done check a #2
          backoff a until +1s
        > +1s
          intent a #2
        > a done
          done a #2
          completed
        = completed
    "#]],
    );
}

#[test]
fn a_stop_during_a_rollback_changes_nothing_but_the_attempt() {
    check(
        "a ‖ b | c",
        "a done · cancel · host stops · host stops · undo a done · undo b done",
        expect![[r#"
        > start
          started
          intent a #1
          intent b #1
        > a done
          done a #1
        > cancel
          cancel_requested asked
          rollback_begun cancelled
        > host stops
          unknown b #1 host_stopped (not charged)
          intent undo a #1
          intent undo b #1
        > host stops
          unknown undo a #1 host_stopped (not charged)
          unknown undo b #1 host_stopped (not charged)
          intent undo a #2
          intent undo b #2
        > undo a done
          undone undo a #2
        > undo b done
          undone undo b #2
          compensated
        = compensated
    "#]],
    );
}

#[test]
fn a_guest_that_was_executing_at_two_stops_runs_alone_and_at_three_is_stuck() {
    check(
        "a ‖ b",
        "host stops in a · host stops · host stops in a · host stops in a · b done · show · retry a · a done",
        expect![[r#"
            > start
              started
              intent a #1
              intent b #1
            > host stops in a
              unknown a #1 host_stopped (executing)
              unknown b #1 host_stopped (not charged)
              intent a #2
              intent b #2
            > host stops
              unknown a #2 host_stopped (not charged)
              unknown b #2 host_stopped (not charged)
              intent a #3
              intent b #3
            > host stops in a
              unknown a #3 host_stopped (executing)
              unknown b #3 host_stopped (not charged)
              intent a #4 (alone)
              intent b #4
            > host stops in a
              unknown a #4 host_stopped (executing)
              unknown b #4 host_stopped (not charged)
              stuck a: host died
              intent b #5
            > b done
              done b #5
            > show
              stuck revision 20
              a stuck, may have run, 4 attempts from +0ms, host_stopped ×4
              b done, 5 attempts from +0ms to +0ms, host_stopped ×4
            > retry a
              retried a
              intent a #5
            > a done
              done a #5
              completed
            = completed
        "#]],
    );
    check(
        "a | b",
        "a done · b refused no · host stops in undo a · host stops in undo a · host stops in undo a",
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
        > host stops in undo a
          unknown undo a #1 host_stopped (executing)
          intent undo a #2
        > host stops in undo a
          unknown undo a #2 host_stopped (executing)
          intent undo a #3 (alone)
        > host stops in undo a
          unknown undo a #3 host_stopped (executing)
          stuck undo a: host died
        = stuck, stuck undo a: host died, outstanding a
    "#]],
    );
}

/// The count went on: a guest that had run alone to its end was stuck at the next stop that found it executing, although the
/// run had shown that it is not what takes the host down.
#[test]
fn a_run_alone_that_ends_sets_the_count_back() {
    check(
        "a",
        "host stops in a · host stops in a · a transient busy · +1s · host stops in a · host stops in a",
        expect![[r#"
        > start
          started
          intent a #1
        > host stops in a
          unknown a #1 host_stopped (executing)
          intent a #2
        > host stops in a
          unknown a #2 host_stopped (executing)
          intent a #3 (alone)
        > a transient busy
          transient a #3 busy
          backoff a until +1s
        > +1s
          intent a #4
        > host stops in a
          unknown a #4 host_stopped (executing)
          intent a #5
        > host stops in a
          unknown a #5 host_stopped (executing)
          intent a #6 (alone)
        = running, runs a
    "#]],
    );
}

#[test]
fn a_denied_call_makes_the_saga_stuck_and_a_grant_lets_it_go_on() {
    check(
        "a(tries 1)",
        "a denied http://hotel:80 · show · cancel · +1s",
        expect![[r#"
        > start
          started
          intent a #1
        > a denied http://hotel:80
          transient a #1 denied
          stuck a: denied http://hotel:80
        > show
          stuck revision 4
          a stuck, 1 attempts from +0ms, denied ×1
        > cancel
          cancel_requested asked
          rollback_begun cancelled
          compensated
        > +1s
        = compensated
    "#]],
    );
    check(
        "a(tries 1) | b",
        "a denied http://hotel:80 · grants change · a denied http://hotel:80 answered · grants change · a done",
        expect![[r#"
            > start
              started
              intent a #1
            > a denied http://hotel:80
              transient a #1 denied
              stuck a: denied http://hotel:80
            > grants change
              unstuck a
              intent a #2
            > a denied http://hotel:80 answered
              unknown a #2 denied
              stuck a: denied http://hotel:80
            > grants change
              unstuck a
              intent a #3
            > a done
              done a #3
              intent b #1
            = running, runs b
        "#]],
    );
    check(
        "a | b",
        "a done · b refused no · undo a denied http://hotel:80 · grants change · undo a done",
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
        > undo a denied http://hotel:80
          transient undo a #1 denied
          stuck undo a: denied http://hotel:80
        > grants change
          unstuck undo a
          intent undo a #2
        > undo a done
          undone undo a #2
          compensated
        = compensated
    "#]],
    );
}

/// The grant made the leg ready whatever its policy: a step that is run once, of which a request had left before the denied one,
/// was run again. A denial ends an attempt like any other; only what it may do next waits for the grant.
#[test]
fn a_step_that_is_run_once_is_not_run_again_after_a_grant() {
    check(
        "a | b(once-rollback)",
        "a done · b denied http://hotel:80 answered · grants change",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent b #1
        > b denied http://hotel:80 answered
          unknown b #1 denied
          stuck b: denied http://hotel:80
        > grants change
          rollback_begun b unknown denied
          intent undo b #1
        = compensating, runs undo b, outstanding a, b
    "#]],
    );
    check(
        "a | send>(once-stop)",
        "a done · send denied http://mail:25 unanswered · grants change",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent send #1
        > send denied http://mail:25 unanswered
          unknown send #1 denied
          stuck send: denied http://mail:25
        > grants change
          stuck send: unknown denied
        = stuck, stuck send: unknown denied
    "#]],
    );
    check(
        "a(once-rollback)",
        "a waits for 1s · +1s · a denied http://hotel:80 · grants change",
        expect![[r#"
        > start
          started
          intent a #1
        > a waits for 1s
          wait a #1 for +1s
        > +1s
          timer_fired a
          intent a #2
        > a denied http://hotel:80
          transient a #2 denied
          stuck a: denied http://hotel:80
        > grants change
          unstuck a
          intent a #3
        = running, runs a
    "#]],
    );
    check(
        "a | b(once-rollback)",
        "a done · b denied http://hotel:80 · grants change",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent b #1
        > b denied http://hotel:80
          transient b #1 denied
          stuck b: denied http://hotel:80
        > grants change
          unstuck b
          intent b #2
        = running, runs b
    "#]],
    );
}

/// The check was begun beside the stuck leg, and its `not-done` began the next attempt without the grant.
#[test]
fn a_denied_step_with_a_check_is_asked_about_after_the_grant() {
    check(
        "a(check)",
        "a denied http://hotel:80 answered · +1d · grants change · check a not-done · +1s · a done",
        expect![[r#"
            > start
              started
              intent a #1
            > a denied http://hotel:80 answered
              unknown a #1 denied
              stuck check a: denied http://hotel:80
            > +1d
            > grants change
              unstuck check a
              intent check a #1
            > check a not-done
              not_done check a #1
              backoff a until +86401s
            > +1s
              intent a #2
            > a done
              done a #2
              completed
            = completed
        "#]],
    );
    check(
        "a(check)",
        "a denied http://hotel:80 · grants change",
        expect![[r#"
        > start
          started
          intent a #1
        > a denied http://hotel:80
          transient a #1 denied
          stuck a: denied http://hotel:80
        > grants change
          unstuck a
          intent a #2
        = running, runs a
    "#]],
    );
}

#[test]
fn an_attempt_in_flight_that_is_denied_during_a_rollback_is_undone_if_it_may_have_run() {
    check(
        "a ‖ b ‖ c",
        "c refused no · a denied http://x:80 · b denied http://x:80 answered · grants change",
        expect![[r#"
        > start
          started
          intent a #1
          intent b #1
          intent c #1
        > c refused no
          refused c #1 no
          rollback_begun c refused no
        > a denied http://x:80
          transient a #1 denied
        > b denied http://x:80 answered
          unknown b #1 denied
          intent undo b #1
        > grants change
        = compensating, runs undo b, outstanding b
    "#]],
    );
}

#[test]
fn a_denial_of_a_step_that_declares_itself_effect_free_is_transient_and_stuck() {
    check(
        "a~",
        "a denied effect_free http://hotel:80 unanswered",
        expect![[r#"
        > start
          started
          intent a #1 (effect-free)
        > a denied effect_free http://hotel:80 unanswered
          transient a #1 denied
          stuck a: denied effect_free http://hotel:80
        = stuck, stuck a: denied effect_free http://hotel:80
    "#]],
    );
}

#[test]
fn a_full_journal_stops_the_way_forward_and_leaves_room_for_the_way_back() {
    check(
        "a | b",
        "journal full · a done · retry · cancel · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
        > journal full
        > a done
          done a #1
          stuck b: journal full
        > retry
          retried b
          stuck b: journal full
        > cancel
          cancel_requested asked
          rollback_begun cancelled
          intent undo a #1
        > undo a done
          undone undo a #1
          compensated
        = compensated
    "#]],
    );
    check(
        "a(check) | b",
        "journal full · a unknown lost · check a not-done · +1s · journal has room · retry",
        expect![[r#"
        > start
          started
          intent a #1
        > journal full
        > a unknown lost
          unknown a #1 lost
          intent check a #1
        > check a not-done
          not_done check a #1
          backoff a until +1s
        > +1s
          stuck a: journal full
        > journal has room
        > retry
          retried a
          intent a #2
        = running, runs a
    "#]],
    );
}

/// The way back had no limit, since an undo is never refused: a compensation that fails or waits without end filled the disk, which
/// ends the host. It has as much room again as the way forward, and then waits for an operator.
#[test]
fn a_spent_journal_stops_the_way_back_as_well() {
    check(
        "a | b",
        "a done · b refused no · journal spent · undo a transient busy · +1h · retry · journal has room · retry · undo a done",
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
            > journal spent
            > undo a transient busy
              transient undo a #1 busy
              backoff undo a until +1s
            > +1h
              stuck undo a: journal full
            > retry
              retried undo a
              stuck undo a: journal full
            > journal has room
            > retry
              retried undo a
              intent undo a #2
            > undo a done
              undone undo a #2
              compensated
            = compensated
        "#]],
    );
}

/// A host without a free place, or without the code of a module, reported that as a trap of the guest: each time used up one of
/// the step's retries, and twenty of them made a compensation stuck that had never been called.
#[test]
fn a_fault_of_the_host_uses_no_retry_up_and_is_waited_out() {
    check(
        "a(tries 1) | b(once-rollback)",
        "a host-fails host_busy · +1s · a host-fails module_not_loaded · +1s · a done · b host-fails host_busy · +1s · b host-fails host_bug unanswered",
        expect![[r#"
            > start
              started
              intent a #1
            > a host-fails host_busy
              transient a #1 host_busy (not charged)
              backoff a until +194ms
            > +1s
              intent a #2
            > a host-fails module_not_loaded
              transient a #2 module_not_loaded (not charged)
              backoff a until +1437ms
            > +1s
              intent a #3
            > a done
              done a #3
              intent b #1
            > b host-fails host_busy
              transient b #1 host_busy (not charged)
              backoff b until +2208ms
            > +1s
              intent b #2
            > b host-fails host_bug unanswered
              unknown b #2 host_bug (not charged)
              rollback_begun b unknown host_bug
              intent undo b #1
            = compensating, runs undo b, outstanding a, b
        "#]],
    );
}

/// An attempt that waited for a place in the host counted as one that runs: the rollback awaited its end, which took until it had its
/// place, or a minute. What has not begun need not end.
#[test]
fn attempts_that_have_not_begun_are_unwanted_in_a_rollback_and_withdrawn_they_did_not_happen() {
    check(
        "a | b ‖ c ‖ d(check)",
        "a done · d unknown lost · b transient busy · unwanted · +1s · c refused no · unwanted · b #2 host-fails withdrawn · unwanted · check d not-done · unwanted",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent b #1
              intent c #1
              intent d #1
            > d unknown lost
              unknown d #1 lost
              intent check d #1
            > b transient busy
              transient b #1 busy
              backoff b until +1s
            > unwanted
              none
            > +1s
              intent b #2
            > c refused no
              refused c #1 no
              rollback_begun c refused no
            > unwanted
              b #2
            > b #2 host-fails withdrawn
              transient b #2 withdrawn (not charged)
            > unwanted
              none
            > check d not-done
              not_done check d #1
              intent undo d #1
            > unwanted
              none
            = compensating, runs undo d, outstanding a, d
        "#]],
    );
}

#[test]
fn a_cancel_that_waits_for_the_pivot_need_not_wait_for_one_that_has_not_begun() {
    check(
        "a | p*",
        "a done · unwanted · cancel · unwanted · p host-fails withdrawn",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent p #1
        > unwanted
          none
        > cancel
          cancel_requested asked
        > unwanted
          p #1
        > p host-fails withdrawn
          transient p #1 withdrawn (not charged)
          backoff p until +174ms
          rollback_begun cancelled
          intent undo a #1
        = compensating, runs undo a, outstanding a
    "#]],
    );
    // What an earlier attempt did only a later one, or the check, can tell.
    check(
        "a | p*",
        "a done · p unknown lost · +1s · cancel · unwanted · p #2 refused no",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent p #1
        > p unknown lost
          unknown p #1 lost
          backoff p until +1s
        > +1s
          intent p #2
        > cancel
          cancel_requested asked
        > unwanted
          none
        > p #2 refused no
          refused p #2 no
          stuck p: pivot in doubt no
        = stuck, cancel pending, stuck p: pivot in doubt no
    "#]],
    );
    check(
        "a | p*(check)",
        "a done · p unknown lost · cancel · unwanted · check p not-done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent p #1
        > p unknown lost
          unknown p #1 lost
          intent check p #1
        > cancel
          cancel_requested asked
        > unwanted
          none
        > check p not-done
          not_done check p #1
          backoff p until +1s
          rollback_begun cancelled
          intent undo a #1
        = compensating, runs undo a, outstanding a
    "#]],
    );
    // Where it has a compensation, that is run.
    check(
        "a | p*(undo)",
        "a done · p unknown lost · +1s · cancel · unwanted · p #2 host-fails withdrawn",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent p #1
        > p unknown lost
          unknown p #1 lost
          backoff p until +1s
        > +1s
          intent p #2
        > cancel
          cancel_requested asked
        > unwanted
          p #2
        > p #2 host-fails withdrawn
          transient p #2 withdrawn (not charged)
          backoff p until +1433ms
          rollback_begun cancelled
          intent undo p #1
        = compensating, runs undo p, outstanding a, p
    "#]],
    );
    // There is no way back.
    check(
        "a | p* | b>",
        "a done · p done · cancel · unwanted",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent p #1
        > p done
          done p #1
          intent b #1
        > cancel
          409 it is past its point of no return
        > unwanted
          none
        = running, runs b
    "#]],
    );
}
