//! `resolve`: an operator says what happened to a step.

use expect_test::expect;

use crate::check::check;

#[test]
fn resolve_with_an_output_fits_a_step_that_is_stuck_waits_backs_off_or_is_in_doubt() {
    check(
        "a(tries 1, stuck) | b",
        r#"resolve a done · a transient busy · resolve a done {"id":1} · resolve a done · show"#,
        expect![[r#"
            > start
              started
              intent a #1
            > resolve a done
              409 `a` is not stuck, waiting, backing off or in doubt on the way forward; fits: cancel, abandon
            > a transient busy
              transient a #1 busy
              stuck a: exhausted busy
            > resolve a done {"id":1}
              resolved a done {"id":1}
              intent b #1
            > resolve a done
              409 `a` is not stuck, waiting, backing off or in doubt on the way forward; fits: cancel, abandon
            > show
              running revision 6
              a done, by hand, 1 attempts from +0ms to +0ms, busy ×1
              b running, may have run, 1 attempts from +0ms
            = running, runs b, manual 1
        "#]],
    );
    check(
        "a ‖ b ‖ c(check) | d",
        "a waits for go/1 · b transient busy · resolve a done · resolve b done · c unknown lost · resolve c done · check c unknown lost · resolve c done",
        expect![[r#"
            > start
              started
              intent a #1
              intent b #1
              intent c #1
            > a waits for go/1
              wait a #1 for go/1
            > b transient busy
              transient b #1 busy
              backoff b until +1s
            > resolve a done
              resolved a done
            > resolve b done
              resolved b done
            > c unknown lost
              unknown c #1 lost
              intent check c #1
            > resolve c done
              409 `c` is not stuck, waiting, backing off or in doubt on the way forward; fits: cancel, abandon
            > check c unknown lost
              unknown check c #1 lost
              backoff check c until +1s
            > resolve c done
              resolved c done
              intent d #1
            = running, runs d, manual 3
        "#]],
    );
    check(
        "a(tries 1) | b",
        "a done · b refused no · resolve a done",
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
        > resolve a done
          409 `a` is not stuck, waiting, backing off or in doubt on the way forward; fits: abandon
        = compensating, runs undo a, outstanding a
    "#]],
    );
}

#[test]
fn resolve_not_done_clears_the_mark_and_policy_goes_on() {
    check(
        "a(once-stop) | b",
        "resolve a not-done · a unknown lost · show · resolve a not-done · call a · a refused no",
        expect![[r#"
            > start
              started
              intent a #1
            > resolve a not-done
              409 `a` is not stuck or in doubt, or an attempt is open; fits: cancel, abandon
            > a unknown lost
              unknown a #1 lost
              stuck a: unknown lost
            > show
              stuck revision 4
              a stuck, may have run, 1 attempts from +0ms, lost ×1
              b pending
            > resolve a not-done
              resolved a not-done
              intent a #2
            > call a
              now +0ms, began +0ms, until +30s, after lost
            > a refused no
              refused a #2 no
              rollback_begun a refused no
              compensated
            = compensated, manual 1
        "#]],
    );
    check(
        "a | b",
        "a unknown lost · resolve a not-done · a refused no",
        expect![[r#"
        > start
          started
          intent a #1
        > a unknown lost
          unknown a #1 lost
          backoff a until +1s
        > resolve a not-done
          resolved a not-done
          intent a #2
        > a refused no
          refused a #2 no
          rollback_begun a refused no
          compensated
        = compensated, manual 1
    "#]],
    );
    check(
        "a(check, tries 1, stuck) | b",
        "a unknown lost · check a unknown lost · resolve a not-done · a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a unknown lost
          unknown a #1 lost
          intent check a #1
        > check a unknown lost
          unknown check a #1 lost
          stuck check a: exhausted lost
        > resolve a not-done
          resolved a not-done
          intent a #2
        > a done
          done a #2
          intent b #1
        = running, runs b, manual 1
    "#]],
    );
}

/// It fitted any step at rest, and ended waits and backoffs of steps about which there was no doubt.
#[test]
fn resolve_not_done_does_not_fit_a_step_without_doubt_that_waits_or_backs_off() {
    check(
        "a~ ‖ b",
        "a waits for go/1 · b transient busy · resolve a not-done · resolve b not-done",
        expect![[r#"
        > start
          started
          intent a #1 (effect-free)
          intent b #1
        > a waits for go/1
          wait a #1 for go/1
        > b transient busy
          transient b #1 busy
          backoff b until +1s
        > resolve a not-done
          409 `a` is not stuck or in doubt, or an attempt is open; fits: retry, resolve, cancel, abandon
        > resolve b not-done
          409 `b` is not stuck or in doubt, or an attempt is open; fits: retry, resolve, cancel, abandon
        = running, waits for go/1, wakes at +1s
    "#]],
    );
}

#[test]
fn resolve_not_done_in_a_rollback_ends_the_compensation_of_a_step_in_doubt() {
    check(
        "a ‖ b | c",
        "a unknown lost · b done · cancel · undo a transient 500 · resolve a not-done · resolve b not-done · undo b done · show",
        expect![[r#"
            > start
              started
              intent a #1
              intent b #1
            > a unknown lost
              unknown a #1 lost
              backoff a until +1s
            > b done
              done b #1
            > cancel
              cancel_requested asked
              rollback_begun cancelled
              intent undo a #1
              intent undo b #1
            > undo a transient 500
              transient undo a #1 500
              backoff undo a until +1s
            > resolve a not-done
              resolved a not-done
            > resolve b not-done
              409 `b` is not stuck or in doubt, or an attempt is open; fits: abandon
            > undo b done
              undone undo b #1
              compensated
            > show
              compensated revision 15, rolls back: cancelled
              a pending, by hand, 1 attempts from +0ms to +0ms, lost ×1; undo, 1 attempts from +0ms to +0ms, 500 ×1
              b compensated, 1 attempts from +0ms to +0ms; undo, 1 attempts from +0ms to +0ms
              c pending
            = compensated, manual 1
        "#]],
    );
    check(
        "a ‖ b",
        "a unknown lost · b refused no · resolve a not-done · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
          intent b #1
        > a unknown lost
          unknown a #1 lost
          backoff a until +1s
        > b refused no
          refused b #1 no
          rollback_begun b refused no
          intent undo a #1
        > resolve a not-done
          409 `a` is not stuck or in doubt, or an attempt is open; fits: abandon
        > undo a done
          undone undo a #1
          compensated
        = compensated
    "#]],
    );
}

/// It fitted a step in doubt whose compensation had already been done.
#[test]
fn resolve_not_done_does_not_fit_a_step_that_is_undone() {
    check(
        "a | b",
        "a done · b unknown lost · cancel · undo b done · resolve b not-done · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent b #1
        > b unknown lost
          unknown b #1 lost
          backoff b until +1s
        > cancel
          cancel_requested asked
          rollback_begun cancelled
          intent undo b #1
        > undo b done
          undone undo b #1
          intent undo a #1
        > resolve b not-done
          409 `b` is not stuck or in doubt, or an attempt is open; fits: abandon
        > undo a done
          undone undo a #1
          compensated
        = compensated
    "#]],
    );
}

#[test]
fn resolve_undone_fits_a_compensation_that_is_stuck_waits_or_backs_off() {
    check(
        "a | b ‖ c | d",
        "a done · b done · resolve b undone · c done · d refused no · resolve a undone · resolve b undone · undo b transient 500
         undo c waits for go/1 · resolve b undone · resolve c undone · undo a done · show",
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
            > resolve b undone
              409 the compensation of `b` is not stuck, waiting or backing off; fits: cancel, abandon
            > c done
              done c #1
              intent d #1
            > d refused no
              refused d #1 no
              rollback_begun d refused no
              intent undo b #1
              intent undo c #1
            > resolve a undone
              409 the compensation of `a` is not stuck, waiting or backing off; fits: abandon
            > resolve b undone
              409 the compensation of `b` is not stuck, waiting or backing off; fits: abandon
            > undo b transient 500
              transient undo b #1 500
              backoff undo b until +1s
            > undo c waits for go/1
              wait undo c #1 for go/1
            > resolve b undone
              resolved b undone
            > resolve c undone
              resolved c undone
              intent undo a #1
            > undo a done
              undone undo a #1
              compensated
            > show
              compensated revision 20, rolls back: d refused no
              a compensated, 1 attempts from +0ms to +0ms; undo, 1 attempts from +0ms to +0ms
              b compensated, by hand, 1 attempts from +0ms to +0ms; undo, 1 attempts from +0ms to +0ms, 500 ×1
              c compensated, by hand, 1 attempts from +0ms to +0ms; undo, 1 attempts from +0ms to +0ms
              d refused, 1 attempts from +0ms to +0ms, no ×1
            = compensated, manual 2
        "#]],
    );
}
