//! What a cancel would do, told before it is asked for, and true when it is.

use amends_core::{
    Event, Input, Payload,
    event::Act,
    id::Direction,
    outcome::{Left, Outcome, Report},
    preview::{Certainty, Undoing},
    verbs::Verb,
};
use expect_test::{Expect, expect};

use crate::{
    play::Play,
    script::{Given, moves},
};

#[track_caller]
fn preview(definition: &str, script: &str, expect: Expect) {
    let mut play = Play::start(&Given::new(definition));
    moves(script).iter().for_each(|step| drop(play.play(step)));
    let text = match play.saga.cancel_preview() {
        Err(rejected) => rejected.to_string(),
        Ok(preview) => {
            let left: Vec<String> = preview.left.iter().map(|leg| format!(", leaves {leg}")).collect();
            let pivot = if preview.pivot_decides { ", the pivot decides" } else { "" };
            let under_way = if preview.under_way { ", under way" } else { "" };
            format!("{}{}{pivot}{under_way}", undoing(&preview.undoing), left.concat())
        }
    };
    expect.assert_eq(&text);
}

fn undoing(it: &Undoing) -> String {
    let all = |all: &[Undoing], between: &str| format!("({})", all.iter().map(undoing).collect::<Vec<_>>().join(between));
    match it {
        Undoing::InOrder(several) => all(several, " then "),
        Undoing::SideBySide(several) => all(several, " and "),
        Undoing::Leg { leg, certainty: Certainty::Done } => leg.to_string(),
        Undoing::Leg { leg, certainty: Certainty::MayHaveRun } => format!("{leg}?"),
        Undoing::Leg { leg, certainty: Certainty::Open } => format!("perhaps {leg}"),
    }
}

#[test]
fn compensations_are_told_in_their_order() {
    preview(
        "open | left(child left) ‖ right(child right) | z where left = a | b and right = c",
        "open done · left/a done · left/b done · right/c done · z transient x",
        expect!["(((undo left/b then undo left/a) and undo right/c) then undo open)"],
    );
    preview(
        "a | b(undo nothing) | c(alternates 1)",
        "a done · b done · c refused no",
        expect!["(perhaps undo c alternate 1 then undo a), leaves b"],
    );
}

#[test]
fn what_may_have_run_and_what_is_open_is_told_as_such() {
    preview("a | b ‖ c", "a done · b traps unanswered", expect!["((undo b? and perhaps undo c) then undo a)"]);
    preview(
        "t(each /input) ; input [1,2,3]",
        "t[0] done · t[1] refused no",
        expect!["(perhaps undo t[2] and undo t[0]), under way"],
    );
}

#[test]
fn the_pivot_decides_and_after_it_there_is_no_cancel() {
    preview("a | pay*", "a done", expect!["undo a, leaves pay, the pivot decides"]);
    preview("a | pay* | b>", "a done · pay done", expect!["it is past its point of no return"]);
    preview("a", "a done", expect!["it has ended"]);
}

#[test]
fn a_rollback_to_a_savepoint_would_go_on_to_the_start() {
    preview("a !s | b | c", "a done · b done · c refused no", expect!["(undo b then undo a)"]);
    preview("a | b | c", "a done · b done · c refused no", expect!["(undo b then undo a), under way"]);
}

#[test]
fn a_saga_that_has_not_begun_undoes_nothing() {
    preview(r#"a ; lock order /id, input {"id":1}"#, "locks queued order/1", expect!["()"]);
}

/// What was told, in its order, is what is done.
#[test]
fn the_compensations_that_were_told_are_those_that_run() {
    let definition = "a | t(child c) | e(each /input/l) | z ; input {\"l\":[1,2]} where c = x | y";
    let mut play = Play::start(&Given::new(definition));
    for step in moves("a done · t/x done · t/y done · e[0] done · e[1] done · z transient no") {
        play.play(&step).unwrap();
    }
    let told = undoing(&play.saga.cancel_preview().unwrap().undoing);
    let mut events = play.saga.act(Verb::Cancel, Act::default(), play.context()).unwrap();
    let mut done = Vec::new();
    while let Some(intent) = play.saga.effects().run.pop() {
        assert_eq!(intent.attempt.leg.direction, Direction::Undo(0));
        done.push(intent.attempt.leg.to_string());
        events = play.saga.handle(
            Input::Report(Report {
                attempt: intent.attempt,
                outcome: Outcome::Done(Payload::null()),
                left: Left::Answered,
                messages: Vec::new(),
            }),
            play.context(),
        );
    }
    assert_eq!(events.last(), Some(&Event::Compensated));
    assert_eq!(told, "((undo e[1] and undo e[0]) then (undo t/y then undo t/x) then undo a)");
    assert_eq!(done, ["undo e[1]", "undo e[0]", "undo t/y", "undo t/x", "undo a"]);
}
