//! Savepoints: a rollback that stops half-way and tries forward again, at most so often.

use amends_core::{
    Event, Payload, Saga,
    event::{Attempt, Intent, Reason, Round},
    id::{Direction, Leg, StepPath},
};
use expect_test::expect;

use crate::{
    check::check,
    script::{Given, T0, failure},
};

const PAPER: &str = "t1 !first | t2 | t3 !second | t4 | t5 | t6 ; rounds 2";

#[test]
fn the_history_of_the_sagas_paper_is_played() {
    check(
        PAPER,
        "t1 done · t2 done · t3 refused no · undo t2 done
         t2 round 1 done · t3 round 1 done · t4 round 1 done · t5 round 1 done · t6 round 1 refused no
         undo t5 round 1 done · undo t4 round 1 done · t4 round 2 done · t5 round 2 done · t6 round 2 done",
        expect![[r#"
            > start
              started
              intent t1 #1
            > t1 done
              done t1 #1
              intent t2 #1
            > t2 done
              done t2 #1
              intent t3 #1
            > t3 refused no
              refused t3 #1 no
              rollback_begun t3 refused no
              intent undo t2 #1
            > undo t2 done
              undone undo t2 #1
              round_begun 1 from first
              intent t2 round 1 #1
            > t2 round 1 done
              done t2 round 1 #1
              intent t3 round 1 #1
            > t3 round 1 done
              done t3 round 1 #1
              intent t4 round 1 #1
            > t4 round 1 done
              done t4 round 1 #1
              intent t5 round 1 #1
            > t5 round 1 done
              done t5 round 1 #1
              intent t6 round 1 #1
            > t6 round 1 refused no
              refused t6 round 1 #1 no
              rollback_begun t6 refused no
              intent undo t5 round 1 #1
            > undo t5 round 1 done
              undone undo t5 round 1 #1
              intent undo t4 round 1 #1
            > undo t4 round 1 done
              undone undo t4 round 1 #1
              round_begun 2 from second
              intent t4 round 2 #1
            > t4 round 2 done
              done t4 round 2 #1
              intent t5 round 2 #1
            > t5 round 2 done
              done t5 round 2 #1
              intent t6 round 2 #1
            > t6 round 2 done
              done t6 round 2 #1
              completed
            = completed
        "#]],
    );
}

#[test]
fn histories_that_the_paper_allows_are_read() {
    for legal in [
        "t1 t2 t3 t4 t5 t6",
        "t1 t2 c2 t2 t3 t4 t5 c5 c4 t4 t5 t6",
        "t1 t2 c2 t2 c2 t2 c2 c1",
        "t1 t2 t3 t4 c4 t4 c4 t4 c4 c3 c2 c1",
        "",
    ] {
        assert_eq!(read(legal), "", "{legal}");
    }
}

#[test]
fn histories_that_it_does_not_allow_are_refused() {
    let cases = [
        ("t1 t3", "t1 t3: attempt 1 of t3 is out of order"),
        ("t1 t2 c2 t3", "t1 t2 c2 t3: attempt 1 of t3 round 1 is out of order"),
        ("t1 t2 c2 c1", "t1 t2 c2 c1: attempt 1 of undo t1 is out of order"),
        ("t1 t2 t3 t4 t5 c4 c5", "t1 t2 t3 t4 t5 c4: attempt 1 of undo t4 is out of order"),
        ("t1 t2 c2 c2", "t1 t2 c2 c2: attempt 1 of undo t2 is out of order"),
        ("t1 t2 t3 t4 t5 c5 t5", "t1 t2 t3 t4 t5 c5 t5: round 1 does not begin here"),
        ("t1 t2 c2 t2 c2 t2 c2 t2", "t1 t2 c2 t2 c2 t2 c2 t2: round 3 does not begin here"),
        ("t1 t2 t3 t4 t5 t6 c6", "t1 t2 t3 t4 t5 t6 c6: there is no way back"),
    ];
    for (illegal, why) in cases {
        assert_eq!(read(illegal), why);
    }
}

/// Reads a history in the paper's words, `t1 t2 c2 …`: from a `t` to a `c` the next step is refused, and a `t` after a `c`
/// begins a round. What is wrong with it, and where.
fn read(words: &str) -> String {
    let given = Given::new(PAPER);
    let mut saga = Saga::replay(given.plan(), [(T0, Event::Started(Box::new(given.started())))]).unwrap();
    let (mut rounds, mut back, mut done) = (std::collections::BTreeMap::new(), false, Vec::new());
    let mut round = 0;
    let mut seen = Vec::new();
    for word in words.split_whitespace() {
        seen.push(word);
        let (undo, n) = (word.starts_with('c'), word[1..].parse::<usize>().unwrap());
        let mut events = Vec::new();
        if undo && !back {
            let refused = StepPath::new(&format!("t{}", done.len() + 1));
            let leg = Leg { round: if done.len() >= 3 || round > 0 { round } else { 0 }, ..Leg::forward(refused.clone()) };
            if done.len() < 6 {
                events.extend(attempt(leg, |attempt| Event::Refused(attempt, failure("no"))));
            }
            events.push(Event::RollbackBegun(Reason::Refused(refused, failure("no"))));
        }
        if !undo && back {
            round += 1;
            let savepoint = if done.len() >= 3 { "second" } else { "first" };
            events.push(Event::RoundBegun(Round { number: round, savepoint: savepoint.into() }));
        }
        back = undo;
        if undo {
            done.pop();
        } else {
            done.push(n);
            rounds.insert(n, round);
        }
        let step = Leg { round: rounds.get(&n).copied().unwrap_or(0), ..Leg::forward(StepPath::new(&format!("t{n}"))) };
        events.extend(if undo {
            attempt(step.turned(Direction::Undo(0)), Event::Undone)
        } else {
            attempt(step, |attempt| Event::Done(attempt, Payload::null()))
        });
        for event in events {
            if let Err(error) = saga.apply(&event, T0) {
                return format!("{}: {}", seen.join(" "), error.problem);
            }
        }
    }
    String::new()
}

fn attempt(leg: Leg, end: impl Fn(Attempt) -> Event) -> Vec<Event> {
    let attempt = Attempt { leg, number: 1 };
    let intent =
        Intent { attempt: attempt.clone(), reaches_outside: true, snapshot: 1, deadline_at: T0, solo: false, element: None };
    vec![Event::Intent(intent), end(attempt)]
}

#[test]
fn a_new_round_is_told_why_the_one_before_failed_and_begins_afresh() {
    check(
        "a !s | b(alternates 1) | c ; rounds 1",
        "a done · b refused full · b alternate 1 done · c refused no_car · show · undo b alternate 1 done · show · call b round 1 · b round 1 done · call c round 1",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent b #1
            > b refused full
              refused b #1 full
              intent b alternate 1 #1
            > b alternate 1 done
              done b alternate 1 #1
              intent c #1
            > c refused no_car
              refused c #1 no_car
              rollback_begun c refused no_car
              intent undo b alternate 1 #1
            > show
              compensating revision 11, rolls back: c refused no_car, to s
              a done, 1 attempts from +0ms to +0ms
              b compensating, alternate 0 of round 0 refused full, 1 attempts from +0ms to +0ms; undo, 1 attempts from +0ms
              c refused, 1 attempts from +0ms to +0ms, no_car ×1
            > undo b alternate 1 done
              undone undo b alternate 1 #1
              round_begun 1 from s
              intent b round 1 #1
            > show
              running revision 14, round 1
              a done, 1 attempts from +0ms to +0ms
              b running, alternate 0 of round 0 refused full, alternate 1 of round 0 compensated, may have run, 1 attempts from +0ms
              c pending, alternate 0 of round 0 refused no_car
            > call b round 1
              now +0ms, began +0ms, until +30s, after no_car
            > b round 1 done
              done b round 1 #1
              intent c round 1 #1
            > call c round 1
              now +0ms, began +0ms, until +30s, after no_car
            = running, runs c round 1
        "#]],
    );
}

#[test]
fn when_the_rounds_are_used_up_the_whole_saga_rolls_back() {
    check(
        "a !s | b ; rounds 1",
        "a done · b refused no · b round 1 refused no · undo a done",
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
              round_begun 1 from s
              intent b round 1 #1
            > b round 1 refused no
              refused b round 1 #1 no
              rollback_begun b refused no
              intent undo a #1
            > undo a done
              undone undo a #1
              compensated
            = compensated
        "#]],
    );
}

#[test]
fn used_up_retries_begin_a_round_and_a_step_that_is_run_once_does_not() {
    check(
        "a !s | b(tries 1)",
        "a done · b transient busy",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent b #1
        > b transient busy
          transient b #1 busy
          rollback_begun b exhausted busy
          round_begun 1 from s
          intent b round 1 #1
        = running, runs b round 1
    "#]],
    );
    check(
        "a !s | b(once-rollback)",
        "a done · b traps unanswered",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent b #1
        > b traps trap unanswered
          unknown b #1 trap
          rollback_begun b unknown trap
          intent undo b #1
        = compensating, runs undo b, outstanding a, b
    "#]],
    );
}

#[test]
fn a_refusal_before_the_first_savepoint_rolls_everything_back() {
    check(
        "a | b !s | c",
        "a done · b refused no",
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
        = compensating, runs undo a, outstanding a
    "#]],
    );
}

#[test]
fn a_cancel_goes_to_the_start_also_when_a_rollback_is_on_its_way_to_a_savepoint() {
    check(
        "a !s | b",
        "a done · cancel",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent b #1
        > cancel
          cancel_requested asked
          rollback_begun cancelled
        = compensating, runs b, outstanding a, b
    "#]],
    );
    check(
        "a !s | b | c",
        "a done · b done · c refused no · cancel · cancel · undo b done · undo a done",
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
          intent undo b #1
        > cancel
          cancel_requested asked
          rollback_begun cancelled
        > cancel
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
fn the_deadline_goes_to_the_start_also_when_a_rollback_is_on_its_way_to_a_savepoint() {
    check(
        "a !s | b | c ; deadline 10s",
        "a done · b done · c refused no · +10s · undo b done",
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
          intent undo b #1
        > +10s
          cancel_requested deadline
          rollback_begun deadline
        > undo b done
          undone undo b #1
          intent undo a #1
        = compensating, runs undo a, outstanding a
    "#]],
    );
}

#[test]
fn a_late_success_after_the_savepoint_is_undone_before_the_round_begins() {
    check(
        "a !s | b ‖ c",
        "a done · b refused no · c done · undo c done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent b #1
          intent c #1
        > b refused no
          refused b #1 no
          rollback_begun b refused no
        > c done
          done c #1
          intent undo c #1
        > undo c done
          undone undo c #1
          round_begun 1 from s
          intent b round 1 #1
          intent c round 1 #1
        = running, runs b round 1, c round 1
    "#]],
    );
}

#[test]
fn a_report_of_the_round_before_is_stale() {
    check(
        "a !s | b",
        "a done · b refused no · b #1 done",
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
          round_begun 1 from s
          intent b round 1 #1
        > b #1 done
          stale b #1 done
        = running, runs b round 1
    "#]],
    );
}

#[test]
fn a_refused_pivot_goes_back_to_the_savepoint_before_it() {
    check(
        "a !s | pay*",
        "a done · pay refused no · pay round 1 done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          intent pay #1
        > pay refused no
          refused pay #1 no
          rollback_begun pay refused no
          round_begun 1 from s
          intent pay round 1 #1
        > pay round 1 done
          done pay round 1 #1
          completed
        = completed
    "#]],
    );
}

#[test]
fn what_an_operator_skipped_in_an_earlier_round_stands() {
    check(
        "a !s | b(undo tries 1) | c",
        "a done · b done · c refused no · undo b transient x · skip b · b round 1 done · c round 1 done",
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
              intent undo b #1
            > undo b transient x
              transient undo b #1 x
              stuck undo b: exhausted x
            > skip b
              skipped b
              round_begun 1 from s
              intent b round 1 #1
            > b round 1 done
              done b round 1 #1
              intent c round 1 #1
            > c round 1 done
              done c round 1 #1
              completed
            = completed, outstanding b
        "#]],
    );
}

/// A fan-out that the second round does not reach keeps the elements of the first one as its past. It counts afresh, but they
/// remembered what they had told it; the rollback of the second round asked all elements again, and the count of nothing went
/// below zero: the host panicked. Found by the laws.
#[test]
fn elements_of_a_round_that_is_over_count_for_nothing_in_the_rollback_of_the_next() {
    check(
        "a !s | b | d(each /input) | z ; rounds 2, input [1,2]",
        "a done · b done · d[0] done · d[1] done · z refused no · undo d[1] done · undo d[0] done · undo b done · b round 1 refused no",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent b #1
            > b done
              done b #1
              listed d: 0, 1
              intent d[0] #1
              intent d[1] #1
            > d[0] done
              done d[0] #1
            > d[1] done
              done d[1] #1
              intent z #1
            > z refused no
              refused z #1 no
              rollback_begun z refused no
              intent undo d[0] #1
              intent undo d[1] #1
            > undo d[1] done
              undone undo d[1] #1
            > undo d[0] done
              undone undo d[0] #1
              intent undo b #1
            > undo b done
              undone undo b #1
              round_begun 1 from s
              intent b round 1 #1
            > b round 1 refused no
              refused b round 1 #1 no
              rollback_begun b refused no
              round_begun 2 from s
              intent b round 2 #1
            = running, runs b round 2
        "#]],
    );
}
