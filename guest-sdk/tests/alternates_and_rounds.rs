//! Alternates of steps and of undos, savepoints and rounds run in the test kit as the host would run them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use amends_sdk::testing::given;
use amends_sdk::{Call, Result, Retry, Saga, Step, kind, log, refused, transient, unknown};
use serde_json::Value;

fn done<I>(_: I, _: &Call) -> Result {
    Ok(())
}

fn undo<I>(_: I, _: Option<()>, _: &Call) -> Result {
    Ok(())
}

/// A step that takes anything, and can be undone.
fn step(name: &'static str) -> Step<kind::Compensatable, Value, ()> {
    Step::compensatable(name, done).undo(undo)
}

/// A step that is refused while `refuses` says so.
fn unless(name: &'static str, refuses: fn(&Call) -> bool) -> Step<kind::Compensatable, Value, ()> {
    let run = move |_: Value, call: &Call| match refuses(call) {
        true => Err(refused("no", "not now")),
        false => Ok(()),
    };
    Step::compensatable(name, run).undo(undo)
}

fn refuses(_: Value, _: &Call) -> Result {
    Err(refused("no", "never"))
}

#[test]
fn an_alternate_that_may_have_run_is_undone_before_the_next_begins() {
    let first = |_: Value, call: &Call| match call.attempt() {
        1 => Err(unknown("no_answer", "the line broke")),
        _ => Err(refused("full", "no room")),
    };
    let second = |_: Value, call: &Call| {
        assert_eq!(call.last_failure().map(|failure| failure.code).as_deref(), Some("full"));
        Ok(())
    };
    let cancel = |_: Value, _: Option<()>, call: &Call| {
        log::info!("cancels {} of {}", call.alternate(), call.forward_key());
        Ok(())
    };
    let reserve = Step::compensatable("reserve", first).alternate(second).undo(cancel);
    let run = given(Saga::new("s").step(reserve).step(Step::pivot("charge", refuses))).when(()).then(
        "reserve unknown no_answer
         reserve refused full
         undo reserve done
         reserve alternate 1 done
         charge refused no
         undo reserve alternate 1 done
         compensated no",
    );
    assert_eq!(run.logs(), ["info cancels 0 of test/reserve", "info cancels 1 of test/reserve/alternate-1"]);
}

#[test]
fn when_the_last_alternate_is_refused_the_step_is() {
    let reserve = Step::compensatable("reserve", refuses).alternate(refuses).alternate(refuses).undo(undo);
    given(Saga::new("s").step(step("first")).step(reserve)).when(()).then(
        "first done
         reserve refused no
         reserve alternate 1 refused no
         reserve alternate 2 refused no
         undo first done
         compensated no",
    );
}

#[test]
fn a_pivot_that_may_have_run_has_no_alternate_and_no_way_back() {
    let run = |_: Value, call: &Call| match call.attempt() {
        1 => Err(unknown("no_answer", "the line broke")),
        _ => Err(refused("no", "no")),
    };
    given(Saga::new("s").step(Step::pivot("charge", run).alternate(done))).when(()).then(
        "charge unknown no_answer
         charge refused no
         stuck at charge: no",
    );
}

#[test]
fn a_retriable_step_has_alternates_and_is_stuck_after_the_last() {
    let saga = |last: fn(Value, &Call) -> Result| Saga::new("s").step(Step::retriable("ship", refuses).alternate(last));
    given(saga(done)).when(()).then("ship refused no\nship alternate 1 done\ncompleted");
    given(saga(refuses)).when(()).then("ship refused no\nship alternate 1 refused no\nstuck at ship: no");
}

#[test]
fn ways_of_undoing_are_used_up_one_after_the_other() {
    let fails = |_: Value, _: Option<()>, call: &Call| Err(transient(format!("by_{}", call.undo_alternate()), "offline"));
    let reserve = Step::compensatable("reserve", done).undo(fails).undo_alternate(fails).undo_retry(Retry::attempts(2));
    given(Saga::new("s").step(reserve).step(Step::pivot("charge", refuses))).when(()).then(
        "reserve done
         charge refused no
         undo reserve transient by_0 ×2
         undo reserve by alternate 1 transient by_1 ×2
         stuck at undo reserve: by_1",
    );
}

/// T1,T2,C2,T2,T3,T4,T5,C5,C4,T4,T5,T6: the history of the paper, with savepoints after T1 and T3.
#[test]
fn a_rollback_stops_at_the_latest_savepoint_and_goes_forward_again() {
    let saga = Saga::new("s")
        .step(step("t1"))
        .savepoint("one")
        .step(step("t2"))
        .step(unless("t3", |call| call.round() == 0))
        .savepoint("three")
        .step(step("t4"))
        .step(step("t5"))
        .step(unless("t6", |call| call.round() == 1))
        .rounds(2);
    given(saga).when(()).then(
        "t1 done
         t2 done
         t3 refused no
         undo t2 done
         round 1 from one
         t2 done
         t3 done
         t4 done
         t5 done
         t6 refused no
         undo t5 done
         undo t4 done
         round 2 from three
         t4 done
         t5 done
         t6 done
         completed",
    );
}

#[test]
fn after_the_last_round_everything_is_undone() {
    let seen = |_: Value, _: Option<()>, call: &Call| {
        log::info!("undoes round {} by {}", call.round(), call.key());
        Ok(())
    };
    let first = Step::compensatable("first", done).undo(seen);
    let second = Step::compensatable("second", done).undo(seen);
    let saga = Saga::new("s").step(first).savepoint("one").step(second).step(Step::pivot("charge", refuses));
    let run = given(saga).when(()).then(
        "first done
         second done
         charge refused no
         undo second done
         round 1 from one
         second done
         charge refused no
         undo second done
         undo first done
         compensated no",
    );
    let undone = ["0 by test/second/undo", "1 by test/second/round-1/undo", "0 by test/first/undo"];
    assert_eq!(run.logs(), undone.map(|line| format!("info undoes round {line}")));
}

#[test]
fn a_new_round_knows_what_failed_and_begins_with_the_first_way() {
    let run = |_: Value, call: &Call| {
        log::info!("{} {:?}", call.round(), call.last_failure().map(|failure| failure.code));
        Err::<(), _>(refused(format!("no_{}", call.round()), "no"))
    };
    let saga =
        Saga::new("s").step(step("first")).savepoint("one").step(Step::compensatable("second", run).alternate(run).undo(undo));
    let run = given(saga).when(());
    let seen = ["0 None", r#"0 Some("no_0")"#, r#"1 Some("no_0")"#, r#"1 Some("no_1")"#];
    assert_eq!(run.logs(), seen.map(|line| format!("info {line}")));
    assert!(run.to_string().ends_with("second alternate 1 refused no_1\nundo first done\ncompensated no_1"), "{run}");
}

#[test]
fn used_up_retries_begin_a_round_and_a_step_that_is_never_run_again_does_not() {
    let saga = |second| Saga::new("s").step(step("first")).savepoint("one").step(second);
    let busy = |_: Value, _: &Call| Err::<(), _>(transient("busy", "come back"));
    given(saga(Step::compensatable("second", busy).retry(Retry::never()).undo(undo))).when(()).then(
        "first done
         second transient busy
         round 1 from one
         second transient busy
         undo first done
         compensated exhausted",
    );
    let lost = |_: Value, _: &Call| Err::<(), _>(unknown("no_answer", "the line broke"));
    given(saga(Step::compensatable("second", lost).once_then_rollback().undo(undo))).when(()).then(
        "first done
         second unknown no_answer
         undo second done
         undo first done
         compensated no_answer",
    );
}

#[test]
fn a_cancel_does_not_stop_at_a_savepoint() {
    let saga = Saga::new("s")
        .step(step("first"))
        .savepoint("one")
        .step(Step::compensatable("nap", |_: Value, call| call.sleep(Duration::from_secs(60))).undo_nothing());
    given(saga).when(()).cancel().then(
        "first done
         nap waits until +1min
         cancelled
         undo first done
         compensated cancelled",
    );
}

#[test]
fn a_cancel_in_a_partial_rollback_goes_on_to_the_start() {
    let slow = |_: Value, _: Option<()>, call: &Call| call.sleep(Duration::from_secs(60));
    let saga = Saga::new("s")
        .step(step("first"))
        .savepoint("one")
        .step(Step::compensatable("second", done).undo(slow))
        .step(Step::pivot("charge", refuses));
    let run = given(saga).when(()).cancel().cancel().advance(Duration::from_secs(60));
    run.then(
        "first done
         second done
         charge refused no
         undo second waits until +1min
         cancelled
         undo second done
         undo first done
         compensated cancelled",
    );
}

#[test]
fn a_retriable_step_that_may_have_run_makes_no_place_for_another_way() {
    let run = |_: Value, call: &Call| match call.attempt() {
        1 => Err(unknown("no_answer", "the line broke")),
        _ => Err(refused("no", "no")),
    };
    given(Saga::new("s").step(Step::retriable("ship", run).alternate(done))).when(()).then(
        "ship unknown no_answer
         ship refused no
         stuck at ship: no",
    );
}

/// C2-12: the undo of a step that was done knew nothing of why it ran, and in an alternate of it what it knew changed between
/// attempts. The kind: what a guest is told must be the same in every attempt of a leg, or a repeated request under one key says
/// something else. An undo has the rollback's cause, and keeps the one that its first attempt had.
#[test]
fn c2_12_an_undo_knows_why_it_runs_and_every_attempt_and_alternate_of_it_knows_the_same() {
    let told: Rc<RefCell<Vec<String>>> = Rc::default();
    let tells = |fails: bool| {
        let told = told.clone();
        move |_: Value, _: Option<()>, call: &Call| {
            let cause = call.rollback_cause().map_or_else(|| "nothing".to_owned(), |cause| cause.to_string());
            let last = call.last_failure().map_or_else(|| "none".to_owned(), |failure| failure.code);
            told.borrow_mut().push(format!("{}: {cause}; last {last}", call.attempt()));
            if fails { Err(transient("offline", "their API is down")) } else { Ok(()) }
        }
    };
    let hotel = Step::compensatable("hotel", |_: Value, call: &Call| {
        assert_eq!(call.rollback_cause(), None);
        Ok(())
    });
    let hotel = hotel.undo(tells(true)).undo_alternate(tells(false)).undo_retry(Retry::attempts(2));
    let full = |_: Value, _: &Call| Err::<(), _>(refused("full", "no seat"));
    let _ = given(Saga::new("s").step(hotel).step(Step::pivot("seat", full))).when(());
    let because = "step seat was refused: no seat (full)";
    let expected = [("1", "none"), ("2", "offline"), ("1", "none")].map(|(n, last)| format!("{n}: {because}; last {last}"));
    assert_eq!(*told.borrow(), expected);

    told.borrow_mut().clear();
    let lost_then_full = |_: Value, call: &Call| match call.attempt() {
        1 => Err::<(), _>(unknown("no_answer", "the line broke")),
        _ => Err(refused("full", "no room")),
    };
    let room = Step::compensatable("room", lost_then_full).alternate(|_: Value, _: &Call| Ok(())).undo(tells(false));
    let waits = Step::compensatable("wait", |_: Value, call: &Call| call.event("go", "1").map(drop)).undo_nothing();
    let _ = given(Saga::new("s").step(room).step(waits)).when(()).cancel();
    let expected = ["1: the alternate was refused: no room (full); last full", "1: the saga was cancelled; last full"];
    assert_eq!(*told.borrow(), expected);
}

/// The kit told it after the round too, and the host does not: the two differed in some of 60,000 random sagas.
#[test]
fn what_began_a_round_is_told_in_that_round_only() {
    let told = |call: &Call| call.last_failure().map_or("nothing".to_owned(), |failure| failure.code);
    let hotel = move |(): (), call: &Call| match call.round() {
        0 => Err(refused("no_room", "")),
        _ => {
            log::info!("hotel after {}", told(call));
            Ok(())
        }
    };
    let cancel = move |(): (), _: Option<()>, call: &Call| {
        log::info!("cancels after {}", told(call));
        Ok(())
    };
    let trip = Saga::new("trip")
        .rounds(2)
        .step(Step::compensatable("plan", |(), _| Ok(())).undo_nothing())
        .savepoint("planned")
        .step(Step::compensatable("hotel", hotel).undo(cancel))
        .savepoint("booked")
        .step(Step::pivot("charge", |(), _: &Call| Err::<(), _>(refused("no_funds", ""))));
    let run = given(trip).when(());
    assert_eq!(run.logs(), ["info hotel after no_room", "info cancels after nothing"]);
}
