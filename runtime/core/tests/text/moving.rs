//! Moving a running saga to another version: what fits, what does not, and what it is then.

use std::fmt::Write as _;

use amends_core::{
    Event, Saga,
    event::{Act, Code, Moved},
    verbs::Rejected,
};
use expect_test::{Expect, expect};

use crate::{
    play::Play,
    script::{Given, event_text, moves},
};

/// Plays a script, moves the saga to another definition, and plays on; only what comes with the move and after it is told.
#[track_caller]
fn moved(from: &str, script: &str, to: &str, then: &str, expect: Expect) {
    let (given, target) = (Given::new(from), Given::new(to));
    let mut play = Play::start(&given);
    moves(script).iter().for_each(|step| drop(play.play(step)));
    let mut text = String::new();
    match play.move_to(&target) {
        Err(Rejected::DoesNotMove(obstacles)) => obstacles.iter().for_each(|it| writeln!(text, "{it}").unwrap()),
        Err(rejected) => writeln!(text, "{rejected}").unwrap(),
        Ok(events) => {
            events.iter().for_each(|event| writeln!(text, "{}", event_text(event)).unwrap());
            for step in moves(then) {
                let events = play.play(&step).unwrap();
                events.iter().for_each(|event| writeln!(text, "{}", event_text(event)).unwrap());
            }
            let outstanding: Vec<String> =
                play.saga.view().outstanding.iter().map(|path| format!(", outstanding {path}")).collect();
            writeln!(text, "= {}{}", play.saga.status().as_str(), outstanding.concat()).unwrap();
            assert_eq!(play.replayed().as_ref(), Ok(&play.saga), "a moved saga is the fold of its events");
            assert_eq!((play.saga.code().version, play.saga.view().version), (2, 2));
            let alone = Saga::replay(given.plan(), play.history.iter().cloned()).unwrap_err();
            assert_eq!(alone.problem, "there is no plan for its digest");
        }
    }
    expect.assert_eq(&text);
}

#[test]
fn a_compensation_that_is_stuck_on_a_bug_is_tried_again_on_the_fixed_version() {
    moved(
        "a(undo tries 1) | b",
        "a done · b refused no · undo a transient bug",
        "a(undo tries 3) | b",
        "undo a done",
        expect![[r#"
            moved to version 2
            retried undo a
            intent undo a #2
            undone undo a #2
            compensated
            = compensated
        "#]],
    );
}

#[test]
fn steps_that_have_not_begun_may_differ() {
    moved(
        "a | b | c",
        "a done · b transient x",
        "a | b | d(tries 1) ‖ e | pay*",
        "+1s · b done · d done · e done",
        expect![[r#"
            moved to version 2
            intent b #2
            done b #2
            intent d #1
            intent e #1
            done d #1
            done e #1
            intent pay #1
            = running
        "#]],
    );
    moved(
        "a | b | c",
        "a done · b transient x",
        "a | b",
        "+1s · b done",
        expect![[r#"
        moved to version 2
        intent b #2
        done b #2
        completed
        = completed
    "#]],
    );
}

#[test]
fn what_has_begun_means_the_same() {
    moved(
        "a | b",
        "a done · b transient x",
        "z | a | b",
        "",
        expect![[r#"
            step `a`: it has begun in stage 1, and is in stage 2; keep its place
            step `b`: it has begun in stage 2, and is in stage 3; keep its place
            step `z`: it is new in stage 1, which has begun; put it into a later stage
        "#]],
    );
    moved(
        "a | b",
        "a done · b transient x",
        "a | b ‖ c",
        "",
        expect![[r#"
        step `c`: it is new in stage 2, which has begun; put it into a later stage
    "#]],
    );
    moved(
        "a | b",
        "a done · b transient x",
        "a",
        "",
        expect![[r#"
        step `b`: it has begun, and is not there; keep it
    "#]],
    );
    moved(
        "a | b",
        "a done · b transient x",
        "a(alternates 1, undo nothing) | b*",
        "",
        expect![[r#"
        step `a`: it has begun, and the number of its alternates differs; keep it
        step `a`: it has begun, and its compensation differs; keep it
        step `b`: it has begun, and its kind differs; keep it
        step `b`: it has begun, and its compensation differs; keep it
    "#]],
    );
    moved(
        "a | b",
        "a done · b transient x",
        "a(child c) | b where c = x",
        "",
        expect![[r#"
        step `a`: it has begun, and what stands for it differs; keep it
        step `a`: it has begun, and its compensation differs; keep it
    "#]],
    );
    moved(
        "a | b(each /input)",
        "a done · retry",
        "a | b",
        "",
        expect![[r#"
        step `a`: attempt 1 is open; move when it has ended
    "#]],
    );
}

#[test]
fn a_saga_does_not_move_while_an_attempt_is_open_nor_when_it_has_ended() {
    moved(
        "a | b",
        "a done",
        "a | b",
        "",
        expect![[r#"
        step `b`: attempt 1 is open; move when it has ended
    "#]],
    );
    moved(
        "a",
        "a done",
        "a",
        "",
        expect![[r#"
            it has ended
        "#]],
    );
}

#[test]
fn a_list_that_cannot_be_used_is_read_anew_by_the_version_that_can() {
    moved(
        "pay* | out>(each /input/none)",
        "pay done",
        "pay* | out>(each /outputs/pay)",
        "",
        expect![[r#"
        moved to version 2
        retried out
        stuck out: refused no_list
        = stuck
    "#]],
    );
    moved(
        r#"pay* | out>(each /input/none) ; input {"l":[1]}"#,
        "pay done",
        "pay* | out>(each /input/l)",
        "out[0] done",
        expect![[r#"
            moved to version 2
            retried out
            listed out: 0
            intent out[0] #1
            done out[0] #1
            completed
            = completed
        "#]],
    );
}

#[test]
fn elements_and_children_go_over_with_their_state() {
    moved(
        "t(child c, each /input, at once 1) | z ; input [1,2,3] where c = a | b",
        "t[0]/a done · t[0]/b done · t[1]/a transient x",
        "t(child c, each /input, at once 1) | y ; input [1,2,3] where c = a | b(tries 1)",
        "+1s · t[1]/a done · t[1]/b done",
        expect![[r#"
            moved to version 2
            intent t[1]/a #2
            done t[1]/a #2
            intent t[1]/b #1
            done t[1]/b #1
            intent t[2]/a #1
            = running
        "#]],
    );
    moved(
        "t(child c) | z where c = a | b",
        "t/a done · t/b transient x",
        "t(child c) | z where c = a | b | d",
        "+1s · t/b done · t/d done",
        expect![[r#"
            moved to version 2
            intent t/b #2
            done t/b #2
            intent t/d #1
            done t/d #1
            intent z #1
            = running
        "#]],
    );
    moved(
        "t(child c) | z where c = a | b",
        "t/a done · t/b done · z transient x",
        "t(child c) | z where c = a | b | d",
        "",
        expect![[r#"
            step `t/d`: it is new in stage 3, which has begun; put it into a later stage
        "#]],
    );
}

#[test]
fn what_was_skipped_in_an_earlier_round_still_stands() {
    moved(
        "a !s | f | e(each /outputs/f, undo tries 1) | z",
        "a done · f done [1,2] · e[0] done · e[1] done · z refused no · undo e[1] transient x · skip e[1] · undo e[0] done · undo f done · f round 1 done [1] · e[0] round 1 transient x",
        "a !s | f | e(each /outputs/f, undo tries 1) | z | y",
        "+1s · e[0] round 1 done",
        expect![[r#"
            moved to version 2
            intent e[0] round 1 #2
            done e[0] round 1 #2
            intent z round 1 #1
            = running, outstanding e[1]
        "#]],
    );
}

#[test]
fn a_saga_whose_rollback_goes_to_a_savepoint_finds_it_there() {
    moved(
        "a !s | b(undo tries 1) | c",
        "a done · b done · c refused no · undo b transient x",
        "a | b(undo tries 1) | c",
        "",
        expect![[r#"
            a rollback goes to the savepoint `s`, which is not there; move when the round has begun
        "#]],
    );
    moved(
        "a !s | b(undo tries 1) | c",
        "a done · b done · c refused no · undo b transient x",
        "a !s | b(undo tries 1) | c",
        "undo b done",
        expect![[r#"
            moved to version 2
            retried undo b
            intent undo b #2
            undone undo b #2
            round_begun 1 from s
            intent b round 1 #1
            = running
        "#]],
    );
}

#[test]
fn a_record_of_a_move_that_does_not_fit_is_refused() {
    let given = Given::new("a | b");
    let mut play = Play::start(&given);
    play.play(&moves("a done")[0]).unwrap();
    let record = Moved { code: Code { version: 2, digest: [9; 32], definition_hash: [8; 32] }, act: Act::default() };
    play.history.push((play.now, Event::Moved(Box::new(record))));
    let plans = |digest: &[u8; 32]| Some(Given::new(if *digest == [9; 32] { "z | a" } else { "a | b" }).plan());
    let error = Saga::replay_moved(plans, play.history).unwrap_err();
    assert_eq!(error.problem, "it cannot move: step `b`: attempt 1 is open; move when it has ended");
}

/// A step that had not begun used to move into a stage that had, because only a step of a new name was new there. In a stage that
/// is over it was never run, and the saga ended without it; in the one in hand nothing began it, and the saga waited for ever.
#[test]
fn a_step_that_has_not_begun_does_not_come_into_a_stage_that_has() {
    moved(
        "a | b | c",
        "a done · b transient x",
        "a ‖ c | b",
        "+1s · b done",
        expect![[r#"
        step `c`: it is new in stage 1, which has begun; put it into a later stage
    "#]],
    );
    moved(
        "a | b | c",
        "a done · b transient x",
        "a | b ‖ c",
        "+1s · b done",
        expect![[r#"
        step `c`: it is new in stage 2, which has begun; put it into a later stage
    "#]],
    );
}

/// A step that left nothing to undo used to get a compensation in the middle of a rollback. One that the rollback had passed by was
/// never undone, and the saga ended compensated, or did not end.
#[test]
fn a_step_gets_a_compensation_that_it_lacked_only_as_long_as_the_saga_goes_forward() {
    let (without, with) = ("a | b(undo nothing) | c", "a | b | c");
    moved(
        without,
        "a done · b done · c refused no · undo a transient x",
        with,
        "",
        expect![[r#"
        step `b`: it has begun, and its compensation differs; keep it
    "#]],
    );
    moved(
        without,
        "a done · b done · c transient x",
        with,
        "+1s · c refused no · undo b done",
        expect![[r#"
        moved to version 2
        intent c #2
        refused c #2 no
        rollback_begun c refused no
        intent undo b #1
        undone undo b #1
        intent undo a #1
        = compensating, outstanding a
    "#]],
    );
}

/// A step that was stuck before it began, as one whose list is not there, used to take that along into a later stage: it was tried
/// again at once, before its turn.
#[test]
fn what_was_stuck_before_it_began_and_comes_later_has_its_turn_there() {
    let script = "a done · b waits for x/1";
    moved(
        "a> | b> ‖ c>(each /input/l)",
        script,
        "a> | b> | c>(each /input/l)",
        "event x/1 · b done",
        expect![[r#"
        moved to version 2
        arrived b x/1
        intent b #2
        done b #2
        stuck c: refused no_list
        = stuck
    "#]],
    );
}

/// A fan-out that was refused for its list, and began the rollback, used to begin as what the new version made of it.
#[test]
fn what_becomes_something_else_does_not_begin_in_a_rollback() {
    let script = "a done · undo a transient x";
    moved(
        "a | b(each /input/l)",
        script,
        "a | b",
        "+1s · undo a done",
        expect![[r#"
        moved to version 2
        intent undo a #2
        undone undo a #2
        compensated
        = compensated
    "#]],
    );
}

/// A child whose first step was stuck before it began used to wait for that step for ever when the new version had it no more.
#[test]
fn a_child_in_which_nothing_has_begun_begins_as_what_it_is_now() {
    let (from, to) = ("c>(child kit) where kit = k>(each /input/l) | l>", "c>(child kit) where kit = l>");
    moved(
        from,
        "",
        to,
        "c/l done",
        expect![[r#"
        moved to version 2
        intent c/l #1
        done c/l #1
        completed
        = completed
    "#]],
    );
    moved(
        from,
        "",
        "c>",
        "c done",
        expect![[r#"
        moved to version 2
        intent c #1
        done c #1
        completed
        = completed
    "#]],
    );
}

/// Of a fan-out only its own way of undoing was looked at, and it has none: an element was called with one that is gone.
#[test]
fn the_way_in_which_an_element_is_undone_is_kept() {
    let script = "a[0] done · b refused no · undo a[0] transient x · undo#1 a[0] transient x";
    let from = r#"a(each /input/l, undo tries 1, undo alternates 1) | b ; input {"l":[1]}"#;
    moved(
        from,
        script,
        r#"a(each /input/l, undo tries 1) | b ; input {"l":[1]}"#,
        "",
        expect![[r#"
        step `a`: it has begun, and the alternate in hand of its compensation differs; keep it
    "#]],
    );
}

/// A child whose turn was at its last stage went over to a version that ends before it. Everything of it was done, nothing said so to
/// the step that it stands for, and the saga stood still.
#[test]
fn a_child_that_loses_the_stages_that_were_left_is_done_with_those_before() {
    moved(
        "t(child c) | z where c = a | b",
        "journal full · t/a done 7 · journal has room",
        "t(child c) | z where c = a",
        "z done",
        expect![[r#"
            moved to version 2
            intent z #1
            done z #1
            completed
            = completed
        "#]],
    );
}
