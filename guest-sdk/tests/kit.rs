//! What the test kit runs is what the host would run: order, retries, unknown outcomes, waits, the way back.

use std::cell::Cell;
use std::time::Duration;

use amends_sdk::testing::{Status, given};
use amends_sdk::{Call, Result, Retry, Saga, Step, context, http, refused, transient, unknown};
use serde_json::json;

/// A step that counts its attempts and answers each by its number.
fn counted<T>(answer: impl Fn(u32) -> Result<T>) -> impl Fn((), &Call) -> Result<T> {
    move |(), call| answer(call.attempt())
}

fn nothing(_: (), _: &Call) -> Result {
    Ok(())
}

fn undo(_: (), _: Option<()>, _: &Call) -> Result {
    Ok(())
}

#[test]
fn a_transient_step_backs_off_and_is_rolled_back_when_its_attempts_are_used_up() {
    let busy = || counted(|_| Err::<(), _>(transient("busy", "come back")));
    let saga = Saga::new("s")
        .step(Step::compensatable("first", nothing).undo(undo))
        .step(Step::compensatable("second", busy()).retry(Retry::attempts(3)).undo(undo));
    let run = given(saga).when(()).then(
        "first done
         second transient busy ×3
         undo first done
         compensated exhausted",
    );
    assert_eq!(run.now().since(given(Saga::new("s").step(Step::pivot("p", nothing))).when(()).now()).as_millis(), 600);

    let boxed = Step::pivot("only", busy()).retry(Retry::within(Duration::from_secs(1))).stuck_when_exhausted();
    given(Saga::new("s").step(boxed)).when(()).then("only transient busy ×3\nstuck at only: busy");
}

#[test]
fn an_unknown_step_is_tried_again_and_undone_even_if_it_refuses_then() {
    let step = counted(|attempt| match attempt {
        1 => Err::<(), _>(unknown("no_answer", "the line broke")),
        _ => Err(refused("full", "no room")),
    });
    given(Saga::new("s").step(Step::compensatable("reserve", step).undo(undo))).when(()).then(
        "reserve unknown no_answer
         reserve refused full
         undo reserve done
         compensated full",
    );
}

#[test]
fn what_runs_once_is_not_tried_again() {
    let lost = || counted(|_| Err::<(), _>(unknown("no_answer", "the line broke")));
    let rolled_back = Step::compensatable("reserve", lost()).once_then_rollback().undo(undo);
    given(Saga::new("s").step(rolled_back)).when(()).then(
        "reserve unknown no_answer
         undo reserve done
         compensated no_answer",
    );
    let stopped = Step::retriable("ship", lost()).once_then_stop();
    given(Saga::new("s").step(stopped)).when(()).then("ship unknown no_answer\nstuck at ship: no_answer");
    let pivot = Step::pivot("charge", lost()).retry(Retry::never());
    given(Saga::new("s").step(pivot)).when(()).then("charge unknown no_answer\nstuck at charge: no_answer");
}

#[test]
fn a_check_decides_what_an_unknown_outcome_was() {
    let charge = || counted(|attempt| if attempt < 3 { Err(unknown("no_answer", "?")) } else { Ok(7) });
    let checked = |found: fn(u32) -> Result<Option<i32>>| {
        let check = move |(): (), call: &Call| found(call.attempt());
        Saga::new("s").step(Step::pivot("charge", charge()).check(check))
    };
    let run = given(checked(|_| Ok(Some(5)))).when(()).then(
        "charge unknown no_answer
         check charge done
         completed",
    );
    assert_eq!(run.output::<i32>(), 5);
    let run = given(checked(|_| Ok(None))).when(()).then(
        "charge unknown no_answer
         check charge not done
         charge unknown no_answer
         check charge not done
         charge done
         completed",
    );
    assert_eq!(run.output::<i32>(), 7);
    given(checked(|attempt| if attempt < 2 { Err(transient("down", "?")) } else { Ok(Some(6)) })).when(()).then(
        "charge unknown no_answer
         check charge unknown down
         check charge done
         completed",
    );
}

#[test]
fn a_compensation_cannot_refuse() {
    let step = Step::compensatable("reserve", nothing)
        .undo(|(), (): Option<()>, call: &Call| match call.attempt() {
            1 => Err(refused("closed", "come back tomorrow")),
            _ => Ok(()),
        }
        .map_or_unit());
    let _ = step;
}

/// Never called; it only lets the test above name the type of its closure's result.
trait MapOrUnit {
    fn map_or_unit(self) -> Self;
}
