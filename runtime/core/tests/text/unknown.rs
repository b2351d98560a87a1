//! What an unknown outcome means, by policy and kind (law 6).

use expect_test::expect;

use crate::check::check;

#[test]
fn retry_runs_a_compensatable_step_again() {
    check(
        "a(tries 2)",
        "a unknown lost · +1s · call a · a unknown lost · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a unknown lost
          unknown a #1 lost
          backoff a until +1s
        > +1s
          intent a #2
        > call a
          now +0ms, began +1s, until +31s, after lost, may have run
        > a unknown lost
          unknown a #2 lost
          rollback_begun a exhausted lost
          intent undo a #1
        > undo a done
          undone undo a #1
          compensated
        = compensated
    "#]],
    );
}

#[test]
fn retry_runs_a_retriable_step_again_until_it_is_stuck() {
    check(
        "send>(tries 2)",
        "send unknown lost · +1s · send unknown lost",
        expect![[r#"
        > start
          started
          intent send #1
        > send unknown lost
          unknown send #1 lost
          backoff send until +1s
        > +1s
          intent send #2
        > send unknown lost
          unknown send #2 lost
          stuck send: exhausted lost
        = stuck, stuck send: exhausted lost
    "#]],
    );
}

#[test]
fn check_asks_first_and_takes_its_answer_for_the_outcome() {
    check(
        "a(check) | b",
        r#"a unknown lost · show · call check a · check a done {"room":7} · show"#,
        expect![[r#"
        > start
          started
          intent a #1
        > a unknown lost
          unknown a #1 lost
          intent check a #1
        > show
          running revision 4
          a unknown, may have run, 1 attempts from +0ms to +0ms, lost ×1
          b pending
        > call check a
          now +0ms, began +0ms, until +30s, after lost, may have run
        > check a done {"room":7}
          done check a #1 {"room":7}
          intent b #1
        > show
          running revision 6
          a done, 1 attempts from +0ms to +0ms, lost ×1
          b running, may have run, 1 attempts from +0ms
        = running, runs b
    "#]],
    );
}

#[test]
fn check_that_says_not_done_permits_another_attempt_and_keeps_the_mark() {
    check(
        "a(check)",
        "a unknown lost · check a not-done · +1s · call a · a refused full · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a unknown lost
          unknown a #1 lost
          intent check a #1
        > check a not-done
          not_done check a #1
          backoff a until +1s
        > +1s
          intent a #2
        > call a
          now +0ms, began +1s, until +31s, after lost, may have run
        > a refused full
          refused a #2 full
          rollback_begun a refused full
          intent undo a #1
        > undo a done
          undone undo a #1
          compensated
        = compensated
    "#]],
    );
}

#[test]
fn check_that_does_not_know_is_asked_again() {
    check(
        "a(check, tries 2)",
        "a unknown lost · check a unknown lost · +1s · check a traps unanswered · undo a done",
        expect![[r#"
            > start
              started
              intent a #1
            > a unknown lost
              unknown a #1 lost
              intent check a #1
            > check a unknown lost
              unknown check a #1 lost
              backoff check a until +1s
            > +1s
              intent check a #2
            > check a traps trap unanswered
              unknown check a #2 trap
              rollback_begun a exhausted trap
              intent undo a #1
            > undo a done
              undone undo a #1
              compensated
            = compensated
        "#]],
    );
    check(
        "a(check, stuck, tries 1)",
        "a unknown lost · check a unknown lost · retry · check a not-done",
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
            > retry
              retried check a
              intent check a #2
            > check a not-done
              not_done check a #2
              backoff a until +1s
            = running, wakes at +1s
        "#]],
    );
}

/// The operator's retry renewed the check's budget only: its `not-done` found the step's own used up, and nothing was tried.
#[test]
fn retry_of_a_check_renews_the_budget_of_its_step() {
    check(
        "a(check, stuck, tries 1)",
        "a unknown lost · check a unknown lost · +2d · retry · check a not-done · +1s · a done",
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
            > +2d
            > retry
              retried check a
              intent check a #2
            > check a not-done
              not_done check a #2
              backoff a until +172801s
            > +1s
              intent a #2
            > a done
              done a #2
              completed
            = completed
        "#]],
    );
}

/// The counters of a check were set back when it had answered, but for its time box: after a day of answers the next
/// question had no time left.
#[test]
fn every_question_has_a_budget_of_its_own() {
    check(
        "a(check, tries 3, box 1m)",
        "a unknown lost · check a unknown lost · +1s · check a not-done · +2m · a unknown lost
         check a unknown lost · +1s · check a done",
        expect![[r#"
            > start
              started
              intent a #1
            > a unknown lost
              unknown a #1 lost
              intent check a #1
            > check a unknown lost
              unknown check a #1 lost
              backoff check a until +1s
            > +1s
              intent check a #2
            > check a not-done
              not_done check a #2
              backoff a until +2s
            > +2m
              intent a #2
            > a unknown lost
              unknown a #2 lost
              intent check a #3
            > check a unknown lost
              unknown check a #3 lost
              backoff check a until +122s
            > +1s
              intent check a #4
            > check a done
              done check a #4
              completed
            = completed
        "#]],
    );
}

#[test]
fn check_of_a_retriable_step_is_stuck_when_nobody_knows() {
    check(
        "a | send>(check, tries 1)",
        "a done · send unknown lost · check send unknown lost · resolve send done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent send #1
        > send unknown lost
          unknown send #1 lost
          intent check send #1
        > check send unknown lost
          unknown check send #1 lost
          stuck check send: exhausted lost
        > resolve send done
          resolved send done
          completed
        = completed, manual 1
    "#]],
    );
}

#[test]
fn check_of_a_pivot_decides_about_the_point_of_no_return() {
    check(
        "a | pay*(check) | send>",
        "a done · pay unknown lost · cancel · check pay done · cancel",
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
        > cancel
          409 it is past its point of no return
        = running, runs send
    "#]],
    );
    check(
        "a | pay*(check) | send>",
        "a done · pay unknown lost · check pay not-done · +1s · pay refused no",
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
            > check pay not-done
              not_done check pay #1
              backoff pay until +1s
            > +1s
              intent pay #2
            > pay refused no
              refused pay #2 no
              rollback_begun pay refused no
              intent undo a #1
            = compensating, runs undo a, outstanding a
        "#]],
    );
}

#[test]
fn once_then_rollback_never_runs_it_again() {
    check(
        "a | b(once-rollback)",
        "a done · b unknown lost · undo b done · undo a done",
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
        "a | b(once-rollback)",
        "a done · b transient busy · +1s · b traps · +2s · b refused no",
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
        > b traps trap
          transient b #2 trap
          backoff b until +3s
        > +2s
          intent b #3
        > b refused no
          refused b #3 no
          rollback_begun b refused no
          intent undo a #1
        = compensating, runs undo a, outstanding a
    "#]],
    );
}

#[test]
fn once_then_rollback_of_a_pivot_runs_its_compensation_first() {
    check(
        "a | pay*(once-rollback, undo)",
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
          rollback_begun pay unknown lost
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
fn once_then_stop_stops_for_an_operator() {
    check(
        "a | b(once-stop)",
        "a done · b unknown lost · +1d · show · cancel · undo b done · undo a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent b #1
        > b unknown lost
          unknown b #1 lost
          stuck b: unknown lost
        > +1d
        > show
          stuck revision 6
          a done, 1 attempts from +0ms to +0ms
          b stuck, may have run, 1 attempts from +0ms, lost ×1
        > cancel
          cancel_requested asked
          rollback_begun cancelled
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
        "a | b(once-stop)",
        "a done · b unknown lost · retry b · b unknown lost · resolve b not-done · b done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent b #1
        > b unknown lost
          unknown b #1 lost
          stuck b: unknown lost
        > retry b
          retried b
          intent b #2
        > b unknown lost
          unknown b #2 lost
          stuck b: unknown lost
        > resolve b not-done
          resolved b not-done
          intent b #3
        > b done
          done b #3
          completed
        = completed, manual 1
    "#]],
    );
    check(
        "a | pay*(once-stop)",
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
          stuck pay: unknown lost
        > cancel
          409 the pivot `pay` may have happened: say what did happen first; fits: retry, resolve, abandon
        > resolve pay done
          resolved pay done
          completed
        = completed, manual 1
    "#]],
    );
    check(
        "a | send>(once-stop)",
        "a done · send unknown lost · cancel · resolve send not-done · send done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent send #1
        > send unknown lost
          unknown send #1 lost
          stuck send: unknown lost
        > cancel
          409 it is past its point of no return
        > resolve send not-done
          resolved send not-done
          intent send #2
        > send done
          done send #2
          completed
        = completed, manual 1
    "#]],
    );
}

#[test]
fn an_unknown_compensation_is_tried_again_whatever_the_step_says_of_itself() {
    check(
        "a(once-stop) ‖ b(check) | c",
        "a done · b done · c refused no · undo a unknown lost · undo b unknown lost · +1s",
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
            > c refused no
              refused c #1 no
              rollback_begun c refused no
              intent undo a #1
              intent undo b #1
            > undo a unknown lost
              unknown undo a #1 lost
              backoff undo a until +1s
            > undo b unknown lost
              unknown undo b #1 lost
              backoff undo b until +1s
            > +1s
              intent undo a #2
              intent undo b #2
            = compensating, runs undo a, undo b, outstanding a, b
        "#]],
    );
}
