//! Every rule of a definition, and the sentence that names the step and what to do.

use std::sync::Arc;

use amends_core::{
    Definition,
    definition::{Body, CommandData, CommandStep, CommandUndo, LockKey, Undo},
    trigger::{self, Trigger},
    validate::{Limits, problems},
};
use expect_test::{Expect, expect};

use crate::script::{Given, definition};

#[track_caller]
fn broken(definition: &Definition, expect: Expect) {
    let limits = Limits { steps_max: 4, stage_steps_max: 3, deadline_ms_max: 3_600_000, alternates_max: 16, rounds_max: 100 };
    let lines: Vec<String> = problems(&Arc::new(definition.clone()), &[], &limits).iter().map(ToString::to_string).collect();
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
fn a_command_names_an_aggregate_and_where_its_id_and_its_data_are() {
    refused("a | pay(command order settle, undo nothing) | send>", expect![[""]]);
    let command = |definition: &mut Definition, change: &dyn Fn(&mut CommandStep)| {
        let Body::Command(command) = &mut definition.stages[1].steps[0].body else { panic!("no command") };
        change(command);
    };
    changed(
        "a | pay(command order settle, undo nothing) | send>",
        |definition| {
            command(definition, &|command| {
                command.aggregate = "Order".into();
                command.id = "/order".into();
                command.data = CommandData::At("/outputs/send/data".into());
                command.undo = Some(CommandUndo { command: "un settle".into(), data: None });
            });
            definition.stages[1].steps[0].alternates = 1;
        },
        expect![[r#"
            saga `test`, step `pay`: its aggregate `Order`: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter
            saga `test`, step `pay`: its command that undoes it `un settle`: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter
            saga `test`, step `pay`: its id of the aggregate is at no pointer that begins with /input or /outputs/<step>
            saga `test`, step `pay`: its data is in the output of `send`, which is no step of an earlier stage
            saga `test`, step `pay`: a command undoes it, and it has no policy for that; give it one
            saga `test`, step `pay`: it is a command and has alternates; a command that is refused has no other way"#]],
    );
    changed(
        "pay(command order settle) | send>",
        |definition| definition.stages[0].steps[0].undo = Undo::None,
        expect![
            "saga `test`, step `pay`: it is compensatable and has no compensation; give it one, or say that it leaves nothing to undo"
        ],
    );
}

#[test]
fn a_command_says_only_what_is_known_when_it_is_sent() {
    refused("a | pay(command order settle, says id=/input/id a=/outputs/a) | send>", expect![[""]]);
    refused(
        "a | pay(command order settle, says why=/cause own=/output send=/outputs/send none=input/x tilde=/input/~2) | send>",
        expect![[r#"
            saga `test`, step `pay`: the member `why` of its data is at no pointer that begins with /input or /outputs/<step>
            saga `test`, step `pay`: the member `own` of its data is at no pointer that begins with /input or /outputs/<step>
            saga `test`, step `pay`: the member `send` of its data is in the output of `send`, which is no step of an earlier stage
            saga `test`, step `pay`: the member `none` of its data is at no pointer that begins with /input or /outputs/<step>
            saga `test`, step `pay`: the member `tilde` of its data is at no pointer that begins with /input or /outputs/<step>"#]],
    );
    refused(
        "pay(command order settle, says /cause/code)",
        expect!["saga `test`, step `pay`: its data is at no pointer that begins with /input or /outputs/<step>"],
    );
}

#[test]
fn the_command_that_undoes_says_what_every_rollback_has() {
    let says =
        "why=/cause code=/cause/code left=/cause/data/left own=/output event=/output/events/0/type id=/input/id a=/outputs/a";
    refused(&format!("a | pay(command order settle, undone by reopen {says}) | send>"), expect![[""]]);
    refused("a | pay(command order settle, undone by reopen /cause) | send>", expect![[""]]);
    let says = "cod=/cause/cod state=/output/state send=/outputs/send own=/outputs/pay causes=/causes none=x tilde=/cause/data/~";
    refused(
        &format!("a | pay(command order settle, undone by reopen {says}) | send>"),
        expect![[r#"
        saga `test`, step `pay`: the member `cod` of the data of the command that undoes it is at `/cause/cod`, where nothing ever is; there are kind, step, code, message, data
        saga `test`, step `pay`: the member `state` of the data of the command that undoes it is at `/output/state`, where nothing ever is; there are revision, data, events
        saga `test`, step `pay`: the member `send` of the data of the command that undoes it is in the output of `send`, which is no step of an earlier stage
        saga `test`, step `pay`: the member `own` of the data of the command that undoes it is in the output of `pay`, which is no step of an earlier stage
        saga `test`, step `pay`: the member `causes` of the data of the command that undoes it is at no pointer that begins with /input, /outputs/<step>, /output or /cause
        saga `test`, step `pay`: the member `none` of the data of the command that undoes it is at no pointer that begins with /input, /outputs/<step>, /output or /cause
        saga `test`, step `pay`: the member `tilde` of the data of the command that undoes it is at no pointer that begins with /input, /outputs/<step>, /output or /cause"#]],
    );
    refused(
        "a | pay(command order settle, undone by reopen /cause/reason) | send>",
        expect![
            "saga `test`, step `pay`: the data of the command that undoes it is at `/cause/reason`, where nothing ever is; there are kind, step, code, message, data"
        ],
    );
}

#[test]
fn the_members_of_what_a_command_says_have_names_and_are_not_many() {
    refused(
        "pay(command order settle, says a=/input/a a=/input/b =/input/c)",
        expect![[r#"
        saga `test`, step `pay`: its data has two members `a`
        saga `test`, step `pay`: its data has a member ``; use 1 to 128 printable bytes"#]],
    );
    let many: Vec<String> = (0..65).map(|n| format!("m{n}=/input/m")).collect();
    refused(
        &format!("pay(command order settle, says {})", many.join(" ")),
        expect!["saga `test`, step `pay`: its data has 65 members; at most 64"],
    );
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

#[track_caller]
fn family(text: &str, expect: Expect) {
    let given = Given::new(text);
    let lines: Vec<String> =
        problems(&given.definition, &given.module, &Limits::default()).iter().map(ToString::to_string).collect();
    expect.assert_eq(&lines.join("\n"));
}

#[test]
fn a_child_is_a_saga_of_the_module_and_never_part_of_itself() {
    family("a(child leg) | b where leg = c | d ‖ e", expect![[""]]);
    family("a(child leg)", expect!["saga `test`: its child `leg` is no saga of this module"]);
    family("a(child test)", expect!["saga `test`: its child `test` comes back to itself; a saga cannot be part of itself"]);
    family(
        "a(child leg) where leg = b(child log) and log = c(child leg)",
        expect!["saga `test`: its child `leg` comes back to itself; a saga cannot be part of itself"],
    );
    let deep: Vec<String> = (0..9).map(|n| format!("c{n} = a(child c{})", n + 1)).collect();
    family(
        &format!("a(child c0) where {} and c9 = a", deep.join(" and ")),
        expect!["saga `test`: its children are nested deeper than 8; flatten them"],
    );
    let wide = |name: usize| {
        format!("w{name} = {}", (0..60).map(|n| format!("s{n}(child w{})", name + 1)).collect::<Vec<_>>().join(" ‖ "))
    };
    family(
        &format!("a(child w0) where {} and {} and {} and w3 = a", wide(0), wide(1), wide(2)),
        expect!["saga `test`: it has more than 4096 steps with those of its children"],
    );
}

#[test]
fn the_steps_of_a_child_are_of_the_kind_of_the_step_that_it_stands_for() {
    family(
        "a(child leg) where leg = b | c*",
        expect![
            "saga `test`, step `a`: it is compensatable, and its child `leg` has the pivot step `c`; a child's steps are of its kind"
        ],
    );
    family(
        "a(child leg) where leg = b>",
        expect![
            "saga `test`, step `a`: it is compensatable, and its child `leg` has the retriable step `b`; a child's steps are of its kind"
        ],
    );
    family(
        "a*(child leg) where leg = b*",
        expect!["saga `test`, step `a`: it is a pivot and stands for a saga; a pivot is one step"],
    );
    family("a>(child leg) where leg = b> | c>", expect![[""]]);
}

#[test]
fn what_a_child_may_not_have_is_said() {
    family(
        "a(child leg) | z where leg = b !s | c",
        expect!["saga `test`, step `a`: its child `leg` has a savepoint; they stand between the stages of the saga itself"],
    );
    family(
        "a(child leg, alternates 1, undo) where leg = b",
        expect![[r#"
        saga `test`, step `a`: it stands for a saga and has alternates; give them to the child's steps
        saga `test`, step `a`: it stands for a saga and has a compensation; the child's steps are undone by their own"#]],
    );
}

#[test]
fn a_fan_out_names_a_list_that_there_is_by_then() {
    family("a | b(each /input/rooms by /id, at once 3, collect) | c(each /outputs/a)", expect![[""]]);
    family(
        "a ‖ b(each /outputs/a) | c(each /outputs/d/x)",
        expect![[r#"
        saga `test`, step `b`: its list is in the output of `a`, which is no step of an earlier stage
        saga `test`, step `c`: its list is in the output of `d`, which is no step of an earlier stage"#]],
    );
    family(
        "a(each rooms by id, at once 0)",
        expect![[r#"
        saga `test`, step `a`: its list is at no pointer that begins with /input or /outputs/<step>
        saga `test`, step `a`: the key of its elements is no JSON pointer; it is empty or begins with /, and writes ~ as ~0
        saga `test`, step `a`: none of its elements may run; the concurrency is at least 1"#]],
    );
    family("a*(each /input)", expect!["saga `test`, step `a`: it is a pivot and fans out; a pivot is one decision"]);
    family(
        "a(child leg, each /input, collect) where leg = b",
        expect![
            "saga `test`, step `a`: it collects the ends of sagas; a child that is refused is rolled back with its saga: fan out fail-fast"
        ],
    );
}

#[test]
fn lock_keys_have_names_and_pointers() {
    let lock = |name: &str, pointer: &str| LockKey { name: name.into(), pointer: pointer.into() };
    changed("a", |it| it.locks = vec![lock("order", "/id"), lock("seat", "")], expect![[""]]);
    changed(
        "a",
        |it| it.locks = vec![lock("Order", "id"), lock("seat", "/s"), lock("seat", "/s")],
        expect![[r#"
        saga `test`: its lock key `Order`: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        saga `test`: its lock key `Order` is at no JSON pointer; it is empty or begins with /, and writes ~ as ~0
        saga `test`: it has the lock key `seat` twice"#]],
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

#[track_caller]
fn triggers(said: &[(&str, &str)], expect: Expect) {
    let triggers: Vec<Trigger> = said
        .iter()
        .map(|(event_type, saga)| Trigger { saga: (*saga).to_owned(), event_type: (*event_type).to_owned() })
        .collect();
    let sagas = [Arc::new(definition("a"))];
    let lines: Vec<String> = trigger::problems(&triggers, &sagas).iter().map(ToString::to_string).collect();
    expect.assert_eq(&lines.join("\n"));
}

#[test]
fn an_event_starts_a_saga_that_there_is_once() {
    triggers(&[("order.placed", "test"), ("order.changed", "test")], expect![[""]]);
    triggers(
        &[("order.placed", "text")],
        expect!["saga `text`: an event `order.placed` is to start it, and the module has no such saga"],
    );
    triggers(
        &[("order.placed", "test"), ("order.placed", "test")],
        expect!["saga `test`: the event `order.placed` starts it twice; say it once"],
    );
    triggers(&[("", "test")], expect!["saga `test`: nobody can publish an event ``; a type has 1 to 255 printable bytes"]);
    triggers(
        &[("\u{202e}", "test")],
        expect![r"saga `test`: nobody can publish an event `\u{202e}`; a type has 1 to 255 printable bytes"],
    );
    let types: Vec<String> = (0..65).map(|number| format!("t{number}")).collect();
    let many: Vec<(&str, &str)> = types.iter().map(|event_type| (event_type.as_str(), "test")).collect();
    triggers(&many, expect!["saga `test`: with it, events start sagas of its module in 65 ways; at most 64"]);
}
