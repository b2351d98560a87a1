//! Warnings: what a definition may do and its author hardly means.

use amends_core::lint::warnings;
use expect_test::{Expect, expect};

use crate::script::Given;

#[track_caller]
fn warned(text: &str, expect: Expect) {
    let given = Given::new(text);
    let lines: Vec<String> = warnings(&given.definition, &given.module).iter().map(ToString::to_string).collect();
    expect.assert_eq(&lines.join("\n"));
}

#[test]
fn an_ordinary_saga_has_no_warning() {
    warned("a(check) | b ‖ c(undo nothing) !s | pay* | send>", expect![[""]]);
}

#[test]
fn what_is_tried_for_ever_is_seen_by_nobody() {
    warned(
        "a(no box) | send>(any tries)",
        expect![[r#"
        saga `test`, step `a`: it is tried for ever; give it a limit of attempts or a time box, and then roll back
        saga `test`, step `send`: it is tried for ever; give it a limit of attempts or a time box, and then be stuck, where people see it"#]],
    );
}

#[test]
fn a_compensation_that_can_never_run_is_named() {
    warned(
        "a~(undo effect-free) | pay*~(undo)",
        expect![
            "saga `test`, step `pay`: its compensation can never run: a pivot that does not reach outside is never in doubt; leave it out"
        ],
    );
    warned("a(undo tries 2, undo alternates 1)", expect![[""]]);
    warned(
        "a(undo any tries) | b(undo any tries, undo alternates 1)",
        expect![[r#"
        saga `test`, step `a`: its compensation is tried for ever; give it a limit, and then be stuck, where people see it
        saga `test`, step `b`: the alternates of its compensation can never run: the first way is tried for ever; give it a limit"#]],
    );
}

#[test]
fn an_effect_free_step_is_never_unknown() {
    warned(
        "a~(undo nothing, once-stop)",
        expect![
            "saga `test`, step `a`: it declares that it does not reach outside: its outcome is never unknown; leave the policy out"
        ],
    );
}

/// C2-14: a step that declares itself effect-free had an undo that calls out, and the declaration reached the undo: it was denied
/// at the first rollback, and nobody had said so before. The kind: a declaration that reaches further than it says. The
/// compensation has its own now, and where the two do not go together the author is asked.
#[test]
fn c2_14_a_step_and_a_compensation_that_differ_in_reaching_outside_are_named() {
    warned(
        "a~ | b~(undo effect-free) | c~(undo nothing) | d(undo effect-free) | pay*~(undo effect-free)",
        expect![[r#"
        saga `test`, step `a`: it declares that it does not reach outside, and its compensation does not: what is there to undo outside? say it of both, or of neither
        saga `test`, step `d`: its compensation declares that it does not reach outside, and so cannot undo what the step did there; leave that out
        saga `test`, step `pay`: its compensation can never run: a pivot that does not reach outside is never in doubt; leave it out"#]],
    );
}

#[test]
fn a_savepoint_without_rounds_stops_nothing() {
    warned(
        "a !s | b ; rounds 0",
        expect!["saga `test`: it has the savepoint `s` and allows no further round; allow one, or leave it out"],
    );
}

#[test]
fn what_a_child_declares_and_does_not_have_inside_another_saga_is_named() {
    warned(
        "t(child c) where c = a | b ; deadline 10s, lock order /id",
        expect![[r#"
        saga `test`, step `t`: its child `c` has lock keys, which do not hold inside another saga; give them to this one
        saga `test`, step `t`: its child `c` has a deadline, which does not hold inside another saga; give this one a deadline"#]],
    );
}
