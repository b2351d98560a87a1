//! Attempts that have not begun when nothing needs them any more: a saga goes back at once, and does not wait for their places.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::{away::durable, *};

/// What a script makes of the saga S1, whose guests have no place until they are told to go on. `start`; `end`, the oldest attempt begins
/// and ends; `begin`, those that wait have begun; `cancel`, `abandon`; `late`, time passes; `commit`; `kill`; `settle`, everything goes on
/// to its end. Told are with each the calls of guests, and those that were withdrawn, and where the saga stands then; in the end its facts.
#[track_caller]
fn check(definition: Definition, script: &str, expect: Expect) {
    let mut sim = Sim::new(last_refuses);
    sim.deploy(1, definition);
    sim.grant();
    sim.is_full = true;
    let (mut told, mut seen) = (String::new(), 0);
    for line in script.split(" · ") {
        match line {
            "start" => drop(sim.start("S1", "{}", true)),
            "end" => assert!(sim.end_one()),
            "begin" => sim.is_full = false,
            "cancel" => drop(sim.verb("S1", Verb::Cancel, "K1")),
            "abandon" => drop(sim.verb("S1", Verb::Abandon, "K2")),
            "late" => sim.pass_time(90_000),
            "commit" => assert!(sim.commit()),
            "kill" => (sim, seen) = (sim.kill_and_restart(), 0),
            "settle" => sim.settle(),
            other => panic!("no such line: {other}"),
        }
        let calls = sim.calls[seen..].join(", ");
        seen = sim.calls.len();
        let status = status(&mut sim, "S1");
        writeln!(told, "{line}: {calls}{}{}", if calls.is_empty() { "" } else { "; " }, status.as_str()).unwrap();
    }
    let saga = sim.saga(&key("S1"));
    writeln!(told, "{}; outstanding {:?}", durable(&sim, "S1").join(", "), saga.view().outstanding).unwrap();
    expect.assert_eq(&told);
}

/// Two stages: `a`, then `b` beside `c`.
fn side_by_side() -> Definition {
    let mut definition = definition(&["~a", "b", "c"]);
    let beside = definition.stages.pop().into_iter().flat_map(|stage| stage.steps).collect::<Vec<_>>();
    definition.stages[1].steps.extend(beside);
    definition
}

/// The saga waited for its place, up to a minute, and was rolled back only then.
#[test]
fn c2_31_a_cancel_of_a_saga_whose_attempt_waits_for_its_place_is_done_at_once() {
    check(
        definition(&["~a", "b"]),
        "start · end · commit · cancel · settle",
        expect![[r#"
        start: a@1; running
        end: running
        commit: b@1; running
        cancel: no b attempt 1, undo a@1; compensating
        settle: compensated
        started, intent, done, intent, cancel_requested, rollback_begun, transient, intent, undone, compensated; outstanding []
    "#]],
    );
    check(
        definition(&["~a", "~b"]),
        "start · end · cancel · settle",
        expect![[r#"
        start: a@1; running
        end: b@1; running
        cancel: no b attempt 1, undo a@1; compensating
        settle: compensated
        started, intent, done, intent, cancel_requested, rollback_begun, transient, intent, undone, compensated; outstanding []
    "#]],
    );
}

#[test]
fn what_has_begun_is_awaited_and_undone() {
    check(
        definition(&["~a", "b"]),
        "start · end · commit · begin · cancel · settle",
        expect![[r#"
        start: a@1; running
        end: running
        commit: b@1; running
        begin: running
        cancel: compensating
        settle: undo b@1, undo a@1; compensated
        started, intent, done, intent, cancel_requested, rollback_begun, done, intent, undone, intent, undone, compensated; outstanding []
    "#]],
    );
}

/// Nobody else would report it, and the guests must not get it later.
#[test]
fn an_attempt_whose_intent_is_not_durable_yet_is_not_handed_over_any_more() {
    check(
        definition(&["~a", "b"]),
        "start · end · cancel · commit · settle",
        expect![[r#"
        start: a@1; running
        end: running
        cancel: undo a@1; compensating
        commit: compensating
        settle: compensated
        started, intent, done, intent, cancel_requested, rollback_begun, transient, intent, undone, compensated; outstanding []
    "#]],
    );
}

#[test]
fn a_refusal_does_not_wait_for_the_place_of_the_attempt_beside_it() {
    // `c` refuses.
    let mut definition = side_by_side();
    definition.stages[1].steps.reverse();
    check(
        definition,
        "start · end · commit · end · settle",
        expect![[r#"
        start: a@1; running
        end: running
        commit: c@1, b@1; running
        end: no b attempt 1, undo a@1; compensating
        settle: compensated
        started, intent, done, intent, intent, refused, rollback_begun, transient, intent, undone, compensated; outstanding []
    "#]],
    );
}

#[test]
fn a_deadline_that_passes_does_not_wait_for_a_place() {
    let late = || Definition { deadline_ms: Some(60_000), ..definition(&["~a", "b"]) };
    check(
        late(),
        "start · end · commit · late · settle",
        expect![[r#"
        start: a@1; running
        end: running
        commit: b@1; running
        late: no b attempt 1, undo a@1; compensating
        settle: compensated
        started, intent, done, intent, cancel_requested, rollback_begun, transient, intent, undone, compensated; outstanding []
    "#]],
    );
    // A cancel is decided by the end of the pivot; one that has not begun is no end to wait for.
    check(
        Definition { deadline_ms: Some(60_000), ..definition(&["~a", "b!"]) },
        "start · end · commit · late · settle",
        expect![[r#"
            start: a@1; running
            end: running
            commit: b@1; running
            late: no b attempt 1, undo a@1; compensating
            settle: compensated
            started, intent, done, intent, cancel_requested, transient, backoff, rollback_begun, intent, undone, compensated; outstanding []
        "#]],
    );
}

#[test]
fn an_abandoned_saga_runs_nothing_any_more() {
    check(
        side_by_side(),
        "start · end · commit · abandon · commit · settle",
        expect![[r#"
        start: a@1; running
        end: running
        commit: b@1, c@1; running
        abandon: no b attempt 1, no c attempt 1; abandoned
        commit: abandoned
        settle: abandoned
        started, intent, done, intent, intent, abandoned; outstanding [StepPath("a"), StepPath("b"), StepPath("c")]
    "#]],
    );
    check(
        side_by_side(),
        "start · end · abandon · commit · settle",
        expect![[r#"
        start: a@1; running
        end: running
        abandon: abandoned
        commit: abandoned
        settle: abandoned
        started, intent, done, intent, intent, abandoned; outstanding [StepPath("a"), StepPath("b"), StepPath("c")]
    "#]],
    );
}

/// Attempts of an abandoned saga had their places until their deadlines: one that hung stopped a host with one place for as long, and
/// a shutdown waited for it.
#[test]
fn what_runs_of_a_saga_that_is_abandoned_is_ended_and_nothing_more_is_recorded() {
    check(
        side_by_side(),
        "start · end · commit · begin · abandon · commit · settle",
        expect![[r#"
        start: a@1; running
        end: running
        commit: b@1, c@1; running
        begin: running
        abandon: end b attempt 1, end c attempt 1; abandoned
        commit: abandoned
        settle: abandoned
        started, intent, done, intent, intent, abandoned; outstanding [StepPath("a"), StepPath("b"), StepPath("c")]
    "#]],
    );
    // Away, where its guest runs.
    check(
        definition(&["~a", "~b"]),
        "start · begin · abandon · settle",
        expect![[r#"
        start: a@1; running
        begin: running
        abandon: end a attempt 1; abandoned
        settle: abandoned
        started, intent, abandoned; outstanding []
    "#]],
    );
}

#[test]
fn the_attempt_that_ran_of_a_saga_that_is_abandoned_holds_up_no_stop() {
    let mut sim = Sim::new(last_refuses);
    sim.deploy(1, definition(&["~a", "b"]));
    drop(sim.start("S1", "{}", true));
    drop(sim.verb("S1", Verb::Abandon, "K1"));
    while sim.commit() {}
    assert!(sim.open.is_empty() && sim.shard.is_quiet());
}

/// Guests end in their own time, and the saga may have been put away by then. A shutdown would wait for an attempt that nobody takes off
/// the list, also where the saga cannot be read.
#[test]
fn the_end_of_an_attempt_counts_also_when_its_saga_was_put_away_or_cannot_be_read() {
    for is_damaged in [false, true] {
        let mut sim = Sim::new(last_refuses);
        sim.deploy(1, definition(&["~a", "b"]));
        drop(sim.start("S1", "{}", true));
        let (_, call) = sim.open.pop_front().expect("an attempt runs");
        drop(sim.verb("S1", Verb::Abandon, "K1"));
        while sim.commit() {}
        assert_eq!((sim.shard.sagas.get(&key("S1")).is_some(), sim.shard.is_quiet()), (false, false));
        let facts = durable(&sim, "S1");
        if is_damaged {
            let source = load::Source::endless(sim.store.as_ref(), sim.shard.modules.definitions());
            let stream = load::saga(source, &key("S1")).expect("a saga").stream;
            sim.store.damage_stream(stream);
        }
        sim.input(Input::Report(call.of.clone(), GuestReport::ended(call.work.id())));
        assert!(sim.shard.is_quiet());
        assert!(is_damaged || durable(&sim, "S1") == facts);
    }
}

/// Where it is not durable, nobody knows any more whether the attempt had begun.
#[test]
fn after_a_kill_what_is_durable_of_a_withdrawal_counts() {
    check(
        definition(&["~a", "b"]),
        "start · end · commit · cancel · late · commit · kill · settle",
        expect![[r#"
        start: a@1; running
        end: running
        commit: b@1; running
        cancel: no b attempt 1, undo a@1; compensating
        late: compensating
        commit: compensating
        kill: compensating
        settle: undo a@2; compensated
        started, intent, done, intent, cancel_requested, rollback_begun, transient, intent, transient, intent, undone, compensated; outstanding []
    "#]],
    );
    check(
        definition(&["~a", "b"]),
        "start · end · commit · cancel · commit · kill · settle",
        expect![[r#"
        start: a@1; running
        end: running
        commit: b@1; running
        cancel: no b attempt 1, undo a@1; compensating
        commit: compensating
        kill: compensating
        settle: undo b@1, undo a@1; compensated
        started, intent, done, intent, cancel_requested, rollback_begun, unknown, intent, undone, intent, undone, compensated; outstanding []
    "#]],
    );
}
