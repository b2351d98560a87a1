//! Every rule of a definition, and the sentence that names the step and what to do.

use amends_core::{
    Definition,
    definition::{Body, Each, EachMode, LockKey, Undo},
    validate::{Limits, problems},
};
use expect_test::{Expect, expect};

use crate::script::definition;

#[track_caller]
fn broken(definition: &Definition, expect: Expect) {
    let limits = Limits { steps_max: 4, stage_steps_max: 3, deadline_ms_max: 3_600_000, alternates_max: 16, rounds_max: 100 };
    let lines: Vec<String> = problems(definition, &limits).iter().map(ToString::to_string).collect();
    expect.assert_eq(&lines.join("\n"));
}

#[track_caller]
fn refused(text: &str, expect: Expect) {
    broken(&definition(text), expect);
}

#[track_caller]
fn changed(text: &str, change: impl FnOnce(&mut Definition), expect: Expect) {
    let mut definition = definition(text);
    change(&mut definition);
    broken(&definition, expect);
}

#[test]
fn a_definition_that_keeps_the_rules_has_no_problem() {
    refused("a ‖ b | pay* | send>", expect![[""]]);
    refused("a(undo nothing) | pay*(undo, once-rollback)", expect![[""]]);
    refused("send>(once-stop)", expect![[""]]);
}

#[test]
fn compensatable_steps_come_before_the_pivot_and_retriable_ones_after() {
    refused(
        "pay* | a",
        expect!["saga `test`, step `a`: it is compensatable after the pivot `pay`; put it before, or make it retriable"],
    );
    refused(
        "send> | a",
        expect![
            "saga `test`, step `a`: it is compensatable after the retriable step `send`, from which there is no way back; put it before"
        ],
    );
    refused("send> | pay*", expect!["saga `test`, step `pay`: it is a pivot after the retriable step `send`; put it before"]);
    refused("pay* | charge*", expect!["saga `test`, step `charge`: it is a second pivot after `pay`; a saga has at most one"]);
}

#[test]
fn a_pivot_is_alone_in_its_stage_and_the_two_other_kinds_share_none() {
    refused("a ‖ pay*", expect!["saga `test`, step `pay`: it is a pivot and shares its stage; give it a stage of its own"]);
    refused("pay* ‖ send>", expect!["saga `test`, step `pay`: it is a pivot and shares its stage; give it a stage of its own"]);
    refused(
        "a ‖ send>",
        expect![
            "saga `test`, step `send`: it is retriable and shares a stage with the compensatable step `a`; move it to a later stage"
        ],
    );
    refused(
        "send> ‖ a",
        expect![[r#"
        saga `test`, step `a`: it is compensatable after the retriable step `send`, from which there is no way back; put it before
        saga `test`, step `send`: it is retriable and shares a stage with the compensatable step `a`; move it to a later stage"#]],
    );
}

#[test]
fn a_compensatable_step_has_a_compensation_and_a_retriable_one_has_none() {
    refused(
        "a(no undo)",
        expect![
            "saga `test`, step `a`: it is compensatable and has no compensation; give it one, or say that it leaves nothing to undo"
        ],
    );
    refused(
        "send>(undo)",
        expect!["saga `test`, step `send`: it is retriable and has a compensation that can never run; leave it out"],
    );
    refused(
        "send>(undo nothing)",
        expect!["saga `test`, step `send`: it is retriable and has a compensation that can never run; leave it out"],
    );
    refused(
        "pay*(undo nothing)",
        expect!["saga `test`, step `pay`: it is a pivot: give it a compensation for an unknown outcome, or none"],
    );
}

#[test]
fn what_cannot_be_rolled_back_does_not_say_that_it_is() {
    refused(
        "pay*(once-rollback)",
        expect!["saga `test`, step `pay`: it cannot be rolled back when its outcome is unknown; say once-then-stop"],
    );
    refused(
        "send>(once-rollback)",
        expect!["saga `test`, step `send`: it cannot be rolled back when its outcome is unknown; say once-then-stop"],
    );
    refused(
        "send>(rollback)",
        expect![
            "saga `test`, step `send`: it is retriable: there is no rollback after the point of no return; let it be stuck when its retries are used up"
        ],
    );
}

#[test]
fn a_step_needs_only_outputs_of_earlier_stages() {
    refused(
        "a ‖ b(needs a) | c(needs c, needs d, needs x) | d",
        expect![[r#"
        saga `test`, step `b`: it needs the output of `a`, which is not of an earlier stage
        saga `test`, step `c`: it needs the output of `c`, which is not of an earlier stage
        saga `test`, step `c`: it needs the output of `d`, which is not of an earlier stage
        saga `test`, step `c`: it needs the output of `x`, which is no step of this saga"#]],
    );
}

#[test]
fn retries_and_deadlines_have_bounds() {
    refused(
        "a(tries 0, undo tries 0)",
        expect![[r#"
        saga `test`, step `a`: the compensation allows 0 attempts; it needs at least 1
        saga `test`, step `a`: the step allows 0 attempts; it needs at least 1"#]],
    );
    refused(
        "a(deadline 0s) | b(deadline 2h)",
        expect![[r#"
        saga `test`, step `a`: the step's deadline is 0 ms; it is 1 to 3600000 ms
        saga `test`, step `b`: the step's deadline is 7200000 ms; it is 1 to 3600000 ms"#]],
    );
    changed(
        "a",
        |it| it.stages[0].steps[0].retry.factor_percent = 99,
        expect!["saga `test`, step `a`: the step's delays shrink: the factor is at least 100 percent"],
    );
    changed(
        "a",
        |it| it.stages[0].steps[0].retry.jitter_percent = 101,
        expect!["saga `test`, step `a`: the step's jitter is over 100 percent"],
    );
    let undo = |it: &mut Definition| {
        if let Undo::Code(policy) = &mut it.stages[0].steps[0].undo {
            policy.deadline_ms = 3_600_001;
            policy.retry.factor_percent = 0;
            policy.retry.jitter_percent = 255;
        }
    };
    changed(
        "a",
        undo,
        expect![[r#"
        saga `test`, step `a`: the compensation's delays shrink: the factor is at least 100 percent
        saga `test`, step `a`: the compensation's jitter is over 100 percent
        saga `test`, step `a`: the compensation's deadline is 3600001 ms; it is 1 to 3600000 ms"#]],
    );
    refused("a ; deadline 0s", expect!["saga `test`: its deadline is 0 ms; leave it out for none"]);
}

#[test]
fn names_are_names_and_unique() {
    refused("a | b ‖ a", expect!["saga `test`, step `a`: an earlier step has this name; names are unique in a saga"]);
    refused("Reserve", expect!["saga `test`, step `Reserve`: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter"]);
    changed(
        "a",
        |it| it.name = "../x".into(),
        expect!["saga `../x`: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter"],
    );
}

#[test]
fn a_definition_has_steps_but_not_too_many() {
    changed("a", |it| it.stages.clear(), expect!["saga `test`: it has no stage; add a step"]);
    changed("a", |it| it.stages[0].steps.clear(), expect!["saga `test`: stage 1 has no step"]);
    refused("a ‖ b ‖ c ‖ d", expect!["saga `test`: stage 1 has 4 steps; at most 3 run in parallel"]);
    refused("a ‖ b ‖ c | d | e", expect!["saga `test`: it has more than 4 steps"]);
}

#[test]
fn the_output_is_a_step() {
    refused("a ; output x", expect!["saga `test`: its output names a step that it does not have"]);
}

#[test]
fn what_this_host_does_not_know_yet_is_named() {
    let lock = LockKey { name: "order".into(), pointer: "/id".into() };
    changed("a", |it| it.locks.push(lock), expect!["saga `test`: lock keys are not supported by this host yet"]);
    changed(
        "a",
        |it| it.stages[0].steps[0].body = Body::Child("b".into()),
        expect!["saga `test`, step `a`: child sagas are not supported by this host yet"],
    );
    let each = Each { items: "/x".into(), key: None, mode: EachMode::Collect, concurrency: 1 };
    changed(
        "a",
        |it| it.stages[0].steps[0].each = Some(each),
        expect!["saga `test`, step `a`: fan-out is not supported by this host yet"],
    );
}

#[test]
fn savepoints_stand_between_stages_before_the_pivot() {
    refused("a !s | b !t | pay*", expect![[""]]);
    refused(
        "a !s | b !s | c !t",
        expect![[r#"
        saga `test`: it has two savepoints `s`; names are unique
        saga `test`: nothing follows its savepoint `t`; leave it out"#]],
    );
    refused(
        "a | pay* !s | send>",
        expect!["saga `test`, step `pay`: the savepoint `s` stands after it, and there is no way back to there; put it before"],
    );
    refused(
        "a | b> !s | c>",
        expect!["saga `test`, step `b`: the savepoint `s` stands after it, and there is no way back to there; put it before"],
    );
    refused(
        "a !No | b ; rounds 101",
        expect![[r#"
        saga `test`: its savepoint after stage 1: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        saga `test`: it allows 101 more rounds; at most 100"#]],
    );
}

#[test]
fn alternates_are_at_most_sixteen() {
    refused("a(alternates 16, undo, undo alternates 16)", expect![[""]]);
    refused(
        "a(alternates 17, undo, undo alternates 17)",
        expect![[r#"
        saga `test`, step `a`: it has 17 alternates of its compensation; at most 16 are tried
        saga `test`, step `a`: it has 17 alternates; at most 16 are tried"#]],
    );
}
