//! Commands and events that code of steps sends, and waits for answers.

use expect_test::expect;

use crate::check::check;

#[test]
fn what_a_step_sends_is_recorded_in_front_of_its_outcome_and_its_answer_ends_the_wait() {
    check(
        "a | b",
        "a waits for answer 1 sends 2 · answer a 0 refused · show · answer a 1 accepted · answer a 1 accepted · call a · a done",
        expect![[r#"
            > start
              started
              intent a #1
            > a waits for answer 1 sends 2
              sent a #1 put to account/A
              sent a #1 put to account/A
              published a #1 put/A
              wait a #1 for answer 1
            > answer a 0 refused
              answered a command 0 by account/A: refused no
            > show
              waiting revision 7
              a waiting, may have run, 1 attempts from +0ms, waits for answer 1
              b pending
            > answer a 1 accepted
              answered a command 1 by account/A: accepted, revision 1
              intent a #2
            > answer a 1 accepted
            > call a
              now +0ms, began +0ms, until +30s, may have run, answer to command 1
            > a done
              done a #2
              intent b #1
            = running, runs b
        "#]],
    );
}

#[test]
fn an_answer_that_came_before_the_wait_ends_it_at_once() {
    check(
        "a~ | b",
        "a waits for go/1 sends 1 · answer a 0 accepted · event go/1 · a waits for answer 0 · a done",
        expect![[r#"
        > start
          started
          intent a #1 (effect-free)
        > a waits for go/1 sends 1
          sent a #1 put to account/A
          published a #1 put/A
          wait a #1 for go/1
        > answer a 0 accepted
          answered a command 0 by account/A: accepted, revision 1
        > event go/1
          arrived a go/1
          intent a #2 (effect-free)
        > a waits for answer 0
          wait a #2 for answer 0
          intent a #3 (effect-free)
        > a done
          done a #3
          intent b #1
        = running, runs b
    "#]],
    );
}

#[test]
fn an_attempt_that_fails_sends_nothing_and_a_check_never_does() {
    check(
        "a(check)",
        "a transient x sends 1 · +1s · a unknown y sends 1 · check a done sends 1",
        expect![[r#"
        > start
          started
          intent a #1
        > a transient x sends 1
          transient a #1 x
          backoff a until +1s
        > +1s
          intent a #2
        > a unknown y sends 1
          unknown a #2 y
          intent check a #1
        > check a done sends 1
          done check a #1
          completed
        = completed
    "#]],
    );
}

#[test]
fn a_step_that_has_sent_something_may_have_happened_and_is_undone() {
    check(
        "a~ | b",
        "a waits for answer 0 sends 1 · answer a 0 refused · a refused no · undo a done sends 1",
        expect![[r#"
        > start
          started
          intent a #1 (effect-free)
        > a waits for answer 0 sends 1
          sent a #1 put to account/A
          published a #1 put/A
          wait a #1 for answer 0
        > answer a 0 refused
          answered a command 0 by account/A: refused no
          intent a #2 (effect-free)
        > a refused no
          refused a #2 no
          rollback_begun a refused no
          intent undo a #1
        > undo a done sends 1
          sent undo a #1 put to account/A
          published undo a #1 put/A
          undone undo a #1
          compensated
        = compensated
    "#]],
    );
    check(
        "a~ | b",
        "a waits for answer 0 or 1h sends 1 · cancel · undo a done · answer a 0 accepted",
        expect![[r#"
        > start
          started
          intent a #1 (effect-free)
        > a waits for answer 0 or 1h sends 1
          sent a #1 put to account/A
          published a #1 put/A
          wait a #1 for answer 0 or +1h
        > cancel
          cancel_requested asked
          rollback_begun cancelled
          intent undo a #1
        > undo a done
          undone undo a #1
          compensated
        > answer a 0 accepted
        = compensated
    "#]],
    );
}

#[test]
fn a_wait_for_the_answer_to_a_command_that_was_not_sent_is_a_failed_attempt() {
    check(
        "a(tries 2)",
        "a waits for answer 0 · +1s · a waits for answer 1 answered sends 1",
        expect![[r#"
        > start
          started
          intent a #1
        > a waits for answer 0
          transient a #1 bad_wait
          backoff a until +1s
        > +1s
          intent a #2
        > a waits for answer 1 answered sends 1
          unknown a #2 bad_wait
          rollback_begun a exhausted bad_wait
          intent undo a #1
        = compensating, runs undo a, outstanding a
    "#]],
    );
}

#[test]
fn the_answer_to_a_leg_that_is_over_concerns_nobody() {
    check(
        "a(alternates 1)",
        "a waits for go/1 sends 1 · event go/1 · a refused no · undo a done · answer a 0 accepted · a alternate 1 done",
        expect![[r#"
            > start
              started
              intent a #1
            > a waits for go/1 sends 1
              sent a #1 put to account/A
              published a #1 put/A
              wait a #1 for go/1
            > event go/1
              arrived a go/1
              intent a #2
            > a refused no
              refused a #2 no
              intent undo a #1
            > undo a done
              undone undo a #1
              intent a alternate 1 #1
            > answer a 0 accepted
            > a alternate 1 done
              done a alternate 1 #1
              completed
            = completed
        "#]],
    );
}

/// A compensation began because the command might have been decided, and the answer comes while it runs: a refusal. Were the doubt taken
/// away then, the step would need no compensation any more while one is open: the steps before it would be undone beside it, and a next
/// attempt of it would be refused by the fold, in which a host ends.
#[test]
fn a_refusal_that_comes_while_the_step_is_undone_ends_no_compensation() {
    check(
        "x~ | a~",
        "x done · a waits for answer 0 sends 1 alone · cancel · answer a 0 refused · show · undo a transient busy · +1s · undo a done · undo x done",
        expect![[r#"
            > start
              started
              intent x #1 (effect-free)
            > x done
              done x #1
              intent a #1 (effect-free)
            > a waits for answer 0 sends 1 alone
              sent a #1 put to account/A
              wait a #1 for answer 0
            > cancel
              cancel_requested asked
              rollback_begun cancelled
              intent undo a #1
            > answer a 0 refused
              answered a command 0 by account/A: refused no
            > show
              compensating revision 10, rolls back: cancelled
              x done, 1 attempts from +0ms to +0ms
              a compensating, may have run, 1 attempts from +0ms to +0ms; undo, 1 attempts from +0ms
            > undo a transient busy
              transient undo a #1 busy
              backoff undo a until +1s
            > +1s
              intent undo a #2
            > undo a done
              undone undo a #2
              intent undo x #1
            > undo x done
              undone undo x #1
              compensated
            = compensated
        "#]],
    );
}

/// The same refusal before the compensation has begun leaves nothing to undo.
#[test]
fn a_refusal_that_comes_before_the_step_is_undone_leaves_nothing_to_undo() {
    check(
        "x~ | a~",
        "x done · a waits for answer 0 sends 1 alone · answer a 0 refused · a refused no · undo x done",
        expect![[r#"
            > start
              started
              intent x #1 (effect-free)
            > x done
              done x #1
              intent a #1 (effect-free)
            > a waits for answer 0 sends 1 alone
              sent a #1 put to account/A
              wait a #1 for answer 0
            > answer a 0 refused
              answered a command 0 by account/A: refused no
              intent a #2 (effect-free)
            > a refused no
              refused a #2 no
              rollback_begun a refused no
              intent undo x #1
            > undo x done
              undone undo x #1
              compensated
            = compensated
        "#]],
    );
}

/// An answer that is there ends a wait for it at once. A guest that waits for the same one again and again was called without end and
/// without a pause: the shortest wait is for moments.
#[test]
fn a_step_waits_for_an_answer_once() {
    check(
        "a~",
        "a waits for answer 1 sends 2 alone · answer a 1 accepted · a waits for answer 1 · +1s · a waits for answer 0 · answer a 0 accepted · a done",
        expect![[r#"
            > start
              started
              intent a #1 (effect-free)
            > a waits for answer 1 sends 2 alone
              sent a #1 put to account/A
              sent a #1 put to account/A
              wait a #1 for answer 1
            > answer a 1 accepted
              answered a command 1 by account/A: accepted, revision 1
              intent a #2 (effect-free)
            > a waits for answer 1
              transient a #2 bad_wait
              backoff a until +1s
            > +1s
              intent a #3 (effect-free)
            > a waits for answer 0
              wait a #3 for answer 0
            > answer a 0 accepted
              answered a command 0 by account/A: accepted, revision 1
              intent a #4 (effect-free)
            > a done
              done a #4
              completed
            = completed
        "#]],
    );
}

/// What ended a wait is told to every attempt until the next wait, because an event is consumed once. A refusal too: so a compensation
/// that asked and was refused was told the same in each further attempt and after each `retry` of an operator, whatever the aggregate
/// would say by then.
#[test]
fn one_attempt_of_a_compensation_is_told_that_it_was_refused_and_the_next_one_asks_again() {
    check(
        "a~(undo tries 1) | b",
        "a done · b refused no · undo a waits for answer 0 sends 1 · answer undo a 0 refused · call undo a · undo a host-fails busy \
         · +10s · call undo a · undo a transient no · retry a · call undo a · undo a waits for answer 1 sends 1 · answer undo a 1 accepted \
         · call undo a · undo a unknown x · retry a · call undo a",
        expect![[r#"
            > start
              started
              intent a #1 (effect-free)
            > a done
              done a #1
              intent b #1
            > b refused no
              refused b #1 no
              rollback_begun b refused no
              intent undo a #1
            > undo a waits for answer 0 sends 1
              sent undo a #1 put to account/A
              published undo a #1 put/A
              wait undo a #1 for answer 0
            > answer undo a 0 refused
              answered undo a command 0 by account/A: refused no
              intent undo a #2
            > call undo a
              now +0ms, began +0ms, until +30s, own output null, because b refused no, may have run, answer to command 0
            > undo a host-fails busy
              transient undo a #2 busy (not charged)
              backoff undo a until +433ms
            > +10s
              intent undo a #3
            > call undo a
              now +0ms, began +10s, until +40s, own output null, after busy, because b refused no, may have run, answer to command 0
            > undo a transient no
              transient undo a #3 no
              stuck undo a: exhausted no
            > retry a
              retried undo a
              intent undo a #4
            > call undo a
              now +0ms, began +10s, until +40s, own output null, after no, because b refused no, may have run
            > undo a waits for answer 1 sends 1
              sent undo a #4 put to account/A
              published undo a #4 put/A
              wait undo a #4 for answer 1
            > answer undo a 1 accepted
              answered undo a command 1 by account/A: accepted, revision 1
              intent undo a #5
            > call undo a
              now +0ms, began +10s, until +40s, own output null, after no, because b refused no, may have run, answer to command 1
            > undo a unknown x
              unknown undo a #5 x
              stuck undo a: exhausted x
            > retry a
              retried undo a
              intent undo a #6
            > call undo a
              now +0ms, began +10s, until +40s, own output null, after x, because b refused no, may have run, answer to command 1
            = compensating, runs undo a, outstanding a
        "#]],
    );
}
