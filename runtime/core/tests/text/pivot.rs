//! The point of no return (law 8).

use expect_test::expect;

use crate::check::check;

#[test]
fn the_pivots_done_is_the_point_of_no_return() {
    check(
        "a | pay* | send>",
        "a done · pay done · cancel · send refused no · cancel",
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
        > cancel
          409 it is past its point of no return
        > send refused no
          refused send #1 no
          stuck send: refused no
        > cancel
          409 it is past its point of no return
        = stuck, stuck send: refused no
    "#]],
    );
}

#[test]
fn without_a_pivot_the_first_retriable_intent_is() {
    check(
        "a | send> ‖ mail>",
        "cancel · a done",
        expect![[r#"
        > start
          started
          intent a #1
        > cancel
          cancel_requested asked
          rollback_begun cancelled
        > a done
          done a #1
          intent undo a #1
        = compensating, runs undo a, outstanding a
    "#]],
    );
    check(
        "a | send> ‖ mail>",
        "a done · cancel",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent send #1
          intent mail #1
        > cancel
          409 it is past its point of no return
        = running, runs send, mail
    "#]],
    );
}

#[test]
fn a_cancel_while_the_pivot_is_open_is_decided_by_its_done() {
    check(
        "a | pay* | send>",
        "a done · cancel · cancel · show · pay done · send done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent pay #1
        > cancel
          cancel_requested asked
        > cancel
        > show
          running revision 5
          a done, 1 attempts from +0ms to +0ms
          pay running, may have run, 1 attempts from +0ms
          send pending
        > pay done
          done pay #1
          intent send #1
        > send done
          done send #1
          completed
        = completed
    "#]],
    );
}

#[test]
fn a_cancel_while_the_pivot_is_open_is_decided_by_its_refusal() {
    check(
        "a | pay* | send>",
        "a done · cancel · pay refused no · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent pay #1
        > cancel
          cancel_requested asked
        > pay refused no
          refused pay #1 no
          rollback_begun pay refused no
          intent undo a #1
        > undo a done
          undone undo a #1
          compensated
        = compensated
    "#]],
    );
}

#[test]
fn a_cancel_while_the_pivot_is_open_rolls_back_when_nothing_happened() {
    check(
        "a | pay* | send>",
        "a done · cancel · pay transient busy · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent pay #1
        > cancel
          cancel_requested asked
        > pay transient busy
          transient pay #1 busy
          backoff pay until +1s
          rollback_begun cancelled
          intent undo a #1
        > undo a done
          undone undo a #1
          compensated
        = compensated
    "#]],
    );
}

#[test]
fn a_cancel_while_the_pivot_is_in_doubt_waits_until_that_is_known() {
    check(
        "a | pay* | send>",
        "a done · pay unknown lost · cancel · +1s · pay done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent pay #1
        > pay unknown lost
          unknown pay #1 lost
          backoff pay until +1s
        > cancel
          cancel_requested asked
        > +1s
          intent pay #2
        > pay done
          done pay #2
          intent send #1
        = running, runs send
    "#]],
    );
    check(
        "a | pay*(check) | send>",
        "a done · pay unknown lost · cancel · check pay done · send done",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent pay #1
            > pay unknown lost
              unknown pay #1 lost
              intent check pay #1
            > cancel
              cancel_requested asked
            > check pay done
              done check pay #1
              intent send #1
            > send done
              done send #1
              completed
            = completed
        "#]],
    );
    check(
        "a | pay* | send>",
        "a done · pay waits for 3ds/1 · cancel · event 3ds/1 · pay done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent pay #1
        > pay waits for 3ds/1
          wait pay #1 for 3ds/1
        > cancel
          cancel_requested asked
        > event 3ds/1
          arrived pay 3ds/1
          intent pay #2
        > pay done
          done pay #2
          intent send #1
        = running, runs send
    "#]],
    );
}

#[test]
fn a_cancel_of_a_pivot_in_doubt_that_has_a_compensation_rolls_back() {
    check(
        "a | pay*(undo) | send>",
        "a done · pay unknown lost · cancel · undo pay done · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent pay #1
        > pay unknown lost
          unknown pay #1 lost
          backoff pay until +1s
        > cancel
          cancel_requested asked
          rollback_begun cancelled
          intent undo pay #1
        > undo pay done
          undone undo pay #1
          intent undo a #1
        > undo a done
          undone undo a #1
          compensated
        = compensated
    "#]],
    );
    check(
        "a | pay*(undo) | send>",
        "a done · cancel · pay unknown lost · undo pay done · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent pay #1
        > cancel
          cancel_requested asked
        > pay unknown lost
          unknown pay #1 lost
          backoff pay until +1s
          rollback_begun cancelled
          intent undo pay #1
        > undo pay done
          undone undo pay #1
          intent undo a #1
        > undo a done
          undone undo a #1
          compensated
        = compensated
    "#]],
    );
}

#[test]
fn a_pivot_that_was_refused_after_an_unknown_attempt_is_stuck() {
    check(
        "a | pay* | send>",
        "a done · pay unknown lost · +1s · pay refused no · show · cancel · retry · pay done",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent pay #1
            > pay unknown lost
              unknown pay #1 lost
              backoff pay until +1s
            > +1s
              intent pay #2
            > pay refused no
              refused pay #2 no
              stuck pay: pivot in doubt no
            > show
              stuck revision 9
              a done, 1 attempts from +0ms to +0ms
              pay stuck, may have run, 2 attempts from +0ms, lost ×1, no ×1
              send pending
            > cancel
              409 the pivot `pay` may have happened: say what did happen first; fits: retry, resolve, abandon
            > retry
              retried pay
              intent pay #3
            > pay done
              done pay #3
              intent send #1
            = running, runs send
        "#]],
    );
}

#[test]
fn a_pivot_in_doubt_with_a_compensation_is_undone_first_when_it_is_refused() {
    check(
        "a | pay*(undo) | send>",
        "a done · pay unknown lost · +1s · pay refused no · undo pay done · undo a done",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent pay #1
            > pay unknown lost
              unknown pay #1 lost
              backoff pay until +1s
            > +1s
              intent pay #2
            > pay refused no
              refused pay #2 no
              rollback_begun pay refused no
              intent undo pay #1
            > undo pay done
              undone undo pay #1
              intent undo a #1
            > undo a done
              undone undo a #1
              compensated
            = compensated
        "#]],
    );
}

#[test]
fn a_pivot_in_doubt_whose_attempts_are_used_up_is_stuck() {
    check(
        "a | pay*(tries 1) | send>",
        "a done · pay unknown lost · cancel · resolve pay done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent pay #1
        > pay unknown lost
          unknown pay #1 lost
          stuck pay: pivot in doubt lost
        > cancel
          409 the pivot `pay` may have happened: say what did happen first; fits: retry, resolve, abandon
        > resolve pay done
          resolved pay done
          intent send #1
        = running, runs send, manual 1
    "#]],
    );
    check(
        "a | pay*(tries 1, undo) | send>",
        "a done · pay unknown lost · undo pay done · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent pay #1
        > pay unknown lost
          unknown pay #1 lost
          rollback_begun pay exhausted lost
          intent undo pay #1
        > undo pay done
          undone undo pay #1
          intent undo a #1
        > undo a done
          undone undo a #1
          compensated
        = compensated
    "#]],
    );
    check(
        "a | pay*(tries 1, stuck) | send>",
        "a done · pay transient busy · cancel · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent pay #1
        > pay transient busy
          transient pay #1 busy
          stuck pay: exhausted busy
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
}

/// An operator says that a pivot which was refused after an unknown attempt did not happen. The doubt was all that had stopped
/// the rollback; but another attempt was begun, because `not-done` meant one everywhere.
#[test]
fn not_done_of_a_pivot_in_doubt_lets_the_refusal_stand() {
    check(
        "a | pay* | send>",
        "a done · pay unknown lost · +1s · pay refused no · resolve pay not-done · show · undo a done",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent pay #1
            > pay unknown lost
              unknown pay #1 lost
              backoff pay until +1s
            > +1s
              intent pay #2
            > pay refused no
              refused pay #2 no
              stuck pay: pivot in doubt no
            > resolve pay not-done
              resolved pay not-done
              rollback_begun pay refused no
              intent undo a #1
            > show
              compensating revision 12, rolls back: pay refused no
              a compensating, 1 attempts from +0ms to +0ms; undo, 1 attempts from +1s
              pay refused, by hand, 2 attempts from +0ms to +1s, lost ×1, no ×1
              send pending
            > undo a done
              undone undo a #1
              compensated
            = compensated, manual 1
        "#]],
    );
    check(
        "a | pay*(tries 1) | send>",
        "a done · pay unknown lost · resolve pay not-done · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent pay #1
        > pay unknown lost
          unknown pay #1 lost
          stuck pay: pivot in doubt lost
        > resolve pay not-done
          resolved pay not-done
          rollback_begun pay exhausted lost
          intent undo a #1
        > undo a done
          undone undo a #1
          compensated
        = compensated, manual 1
    "#]],
    );
}

/// `cancel` was taken although nobody could decide it, because only the pivot's own leg was looked at and not its check.
#[test]
fn a_cancel_does_not_fit_while_the_check_of_the_pivot_is_stuck() {
    check(
        "a | pay*(check, tries 1) | send>",
        "a done · pay unknown lost · check pay unknown lost · cancel · retry · check pay not-done",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent pay #1
            > pay unknown lost
              unknown pay #1 lost
              intent check pay #1
            > check pay unknown lost
              unknown check pay #1 lost
              stuck check pay: pivot in doubt lost
            > cancel
              409 the pivot `pay` may have happened: say what did happen first; fits: retry, resolve, abandon
            > retry
              retried check pay
              intent check pay #2
            > check pay not-done
              not_done check pay #2
              backoff pay until +1s
            = running, wakes at +1s
        "#]],
    );
}

/// A retriable step that an operator says is done had no intent when the journal was full before it; without an intent the
/// point of no return was not seen, and a cancel undid the steps before a step that stands.
#[test]
fn a_retriable_step_that_is_done_by_hand_is_past_the_point_of_no_return() {
    check(
        "a | send> | mail>",
        "journal full · a done · resolve send done · cancel",
        expect![[r#"
        > start
          started
          intent a #1
        > journal full
        > a done
          done a #1
          stuck send: journal full
        > resolve send done
          resolved send done
          stuck mail: journal full
        > cancel
          409 it is past its point of no return
        = stuck, stuck mail: journal full, manual 1
    "#]],
    );
}

#[test]
fn the_pivots_compensation_never_runs_after_its_done() {
    check(
        "a | pay*(undo) | send>(tries 1)",
        "a done · pay unknown lost · +1s · pay done · send refused no · cancel · abandon",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent pay #1
            > pay unknown lost
              unknown pay #1 lost
              backoff pay until +1s
            > +1s
              intent pay #2
            > pay done
              done pay #2
              intent send #1
            > send refused no
              refused send #1 no
              stuck send: refused no
            > cancel
              409 it is past its point of no return
            > abandon
              abandoned
            = abandoned, outstanding a, pay
        "#]],
    );
}

/// C2-15: the first reply of a pivot was lost, its check found that nothing happened, and the next attempt was refused: the saga
/// was stuck, because the doubt about the first attempt outlived the answer to it. The kind: an answer that is asked for and then
/// not believed. Where nothing could undo the step, the doubt has no other use than to be asked about; the check's word ends it,
/// for a refusal, for used-up retries, for a cancel that waits, and for the next alternate.
#[test]
fn c2_15_a_pivot_whose_check_finds_nothing_rolls_back_when_it_is_refused_then() {
    check(
        "a | pay*(check) | send>",
        "a done · pay traps unanswered · check pay not-done · show · +1s · call pay · pay refused no_funds · undo a done",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent pay #1
            > pay traps trap unanswered
              unknown pay #1 trap
              intent check pay #1
            > check pay not-done
              not_done check pay #1
              backoff pay until +1s
            > show
              running revision 8
              a done, 1 attempts from +0ms to +0ms
              pay backing_off, 1 attempts from +0ms, trap ×1, again at +1s
              send pending
            > +1s
              intent pay #2
            > call pay
              now +0ms, began +1s, until +31s, after trap
            > pay refused no_funds
              refused pay #2 no_funds
              rollback_begun pay refused no_funds
              intent undo a #1
            > undo a done
              undone undo a #1
              compensated
            = compensated
        "#]],
    );
    check(
        "a | pay*(check, tries 1) | send>",
        "a done · pay traps unanswered · check pay not-done · undo a done",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent pay #1
            > pay traps trap unanswered
              unknown pay #1 trap
              intent check pay #1
            > check pay not-done
              not_done check pay #1
              rollback_begun pay exhausted not_done
              intent undo a #1
            > undo a done
              undone undo a #1
              compensated
            = compensated
        "#]],
    );
    check(
        "a | pay*(check) | send>",
        "a done · pay traps unanswered · cancel · check pay not-done · undo a done",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent pay #1
            > pay traps trap unanswered
              unknown pay #1 trap
              intent check pay #1
            > cancel
              cancel_requested asked
            > check pay not-done
              not_done check pay #1
              backoff pay until +1s
              rollback_begun cancelled
              intent undo a #1
            > undo a done
              undone undo a #1
              compensated
            = compensated
        "#]],
    );
    check(
        "a | pay*(check, alternates 1) | send>",
        "a done · pay traps unanswered · check pay not-done · +1s · pay refused no · pay alternate 1 done",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent pay #1
            > pay traps trap unanswered
              unknown pay #1 trap
              intent check pay #1
            > check pay not-done
              not_done check pay #1
              backoff pay until +1s
            > +1s
              intent pay #2
            > pay refused no
              refused pay #2 no
              intent pay alternate 1 #1
            > pay alternate 1 done
              done pay alternate 1 #1
              intent send #1
            = running, runs send
        "#]],
    );
}

/// C2-15: what a check said speaks of the attempts before it and of no later one. And a pivot that can be undone is undone all
/// the same: the check cannot know of a request that is still on its way, and undoing what did not happen does no harm.
#[test]
fn c2_15_a_check_that_finds_nothing_says_nothing_of_a_later_attempt_and_stops_no_compensation() {
    check(
        "a | pay*(check) | send>",
        "a done · pay traps unanswered · check pay not-done · +1s · pay traps unanswered · check pay unknown lost · +1s · check pay done · send done",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent pay #1
            > pay traps trap unanswered
              unknown pay #1 trap
              intent check pay #1
            > check pay not-done
              not_done check pay #1
              backoff pay until +1s
            > +1s
              intent pay #2
            > pay traps trap unanswered
              unknown pay #2 trap
              intent check pay #2
            > check pay unknown lost
              unknown check pay #2 lost
              backoff check pay until +2s
            > +1s
              intent check pay #3
            > check pay done
              done check pay #3
              intent send #1
            > send done
              done send #1
              completed
            = completed
        "#]],
    );
    check(
        "a | pay*(check, tries 2) | send>",
        "a done · pay traps unanswered · check pay not-done · +1s · pay traps unanswered · check pay unknown lost · +1s · check pay unknown lost",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent pay #1
            > pay traps trap unanswered
              unknown pay #1 trap
              intent check pay #1
            > check pay not-done
              not_done check pay #1
              backoff pay until +1s
            > +1s
              intent pay #2
            > pay traps trap unanswered
              unknown pay #2 trap
              intent check pay #2
            > check pay unknown lost
              unknown check pay #2 lost
              backoff check pay until +2s
            > +1s
              intent check pay #3
            > check pay unknown lost
              unknown check pay #3 lost
              stuck check pay: pivot in doubt lost
            = stuck, stuck check pay: pivot in doubt lost
        "#]],
    );
    check(
        "a | pay*(undo, check) | send>",
        "a done · pay traps unanswered · check pay not-done · +1s · pay refused no_funds · undo pay done · undo a done",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent pay #1
            > pay traps trap unanswered
              unknown pay #1 trap
              intent check pay #1
            > check pay not-done
              not_done check pay #1
              backoff pay until +1s
            > +1s
              intent pay #2
            > pay refused no_funds
              refused pay #2 no_funds
              rollback_begun pay refused no_funds
              intent undo pay #1
            > undo pay done
              undone undo pay #1
              intent undo a #1
            > undo a done
              undone undo a #1
              compensated
            = compensated
        "#]],
    );
}
