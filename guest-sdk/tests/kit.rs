//! What the test kit runs is what the host would run: order, retries, unknown outcomes, waits, the way back.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use amends_sdk::testing::{Status, given};
use amends_sdk::{Call, Moment, Result, Retry, Saga, Step, Wait, config, context, http, refused, secrets, transient, unknown};
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

/// C2-15: the saga was stuck, because the doubt about the first attempt outlived the check's answer to it.
#[test]
fn c2_15_a_pivot_whose_check_finds_nothing_rolls_back_when_it_is_refused_then() {
    let charge = || {
        counted(|attempt| match attempt {
            1 => Err::<i32, _>(unknown("no_answer", "the line broke")),
            _ => Err(refused("no_funds", "the account is empty")),
        })
    };
    let saga = |pivot| Saga::new("s").step(Step::compensatable("first", nothing).undo(undo)).step(pivot);
    given(saga(Step::pivot("charge", charge()).check(|(), _| Ok(None)))).when(()).then(
        "first done
         charge unknown no_answer
         check charge not done
         charge refused no_funds
         undo first done
         compensated no_funds",
    );
    given(saga(Step::pivot("charge", charge()))).when(()).then(
        "first done
         charge unknown no_answer
         charge refused no_funds
         stuck at charge: no_funds",
    );
}

#[test]
fn a_compensation_cannot_refuse_and_is_stuck_when_its_attempts_are_used_up() {
    let undone_at = |last: u32| {
        let undo = move |(), _, call: &Call| {
            if call.attempt() < last { Err(refused("closed", "come back tomorrow")) } else { Ok(()) }
        };
        Saga::new("s")
            .step(Step::compensatable("reserve", nothing).undo(undo).undo_retry(Retry::attempts(3)))
            .step(Step::pivot("charge", counted(|_| Err::<(), _>(refused("no_funds", "")))))
    };
    given(undone_at(2)).when(()).then(
        "reserve done
         charge refused no_funds
         undo reserve transient closed
         undo reserve done
         compensated no_funds",
    );
    let stuck = given(undone_at(4)).when(());
    assert_eq!((stuck.status(), stuck.failure().map(|failure| failure.code)), (Status::Stuck, Some("closed".to_owned())));
    assert!(stuck.to_string().ends_with("undo reserve transient closed ×3\nstuck at undo reserve: closed"));
}

#[test]
fn after_the_point_of_no_return_a_refusal_is_stuck() {
    let refuses = || counted(|_| Err::<(), _>(refused("no", "no")));
    given(Saga::new("s").step(Step::retriable("only", refuses()))).when(()).then("only refused no\nstuck at only: no");
    let saga = Saga::new("s").step(Step::pivot("charge", nothing)).step(Step::retriable("ship", refuses()));
    given(saga).when(()).then("charge done\nship refused no\nstuck at ship: no");
}

#[test]
fn parallel_steps_give_an_object_of_their_outputs() {
    let saga =
        Saga::new("s").parallel((Step::retriable("one", |(), _| Ok(1)), Step::retriable("two", |(), _| Ok("zwei".to_owned()))));
    let output: serde_json::Value = given(saga).when(()).output();
    assert_eq!(output, json!({"one": 1, "two": "zwei"}));
}

#[test]
fn an_event_that_came_before_the_wait_is_not_lost_nor_is_one_that_a_retry_follows() {
    let decide = |(): (), call: &Call| {
        let approved: bool = call.event("approval", "k")?.data()?;
        match call.attempt() {
            0..=2 => Err(transient("busy", "the disk is slow")),
            _ => Ok(approved),
        }
    };
    let saga = Saga::new("s")
        .step(Step::compensatable("pause", |(), call| call.sleep(Duration::from_secs(60))).undo_nothing())
        .step(Step::compensatable("decide", decide).undo_nothing());
    let run = given(saga)
        .when(())
        .event("approval", "other", true)
        .event("approval", "k", true)
        .then("pause waits until +1min")
        .advance(Duration::from_secs(60))
        .then(
            "pause done
             decide waits for event approval/k
             decide transient busy
             decide done
             completed",
        );
    assert!(run.output::<bool>());
}

#[test]
fn a_step_waits_once() {
    let twice = |(): (), call: &Call| {
        call.sleep(Duration::from_secs(1))?;
        call.sleep(Duration::from_secs(1))
    };
    let step = Step::compensatable("nap", twice).retry(Retry::never()).undo_nothing();
    given(Saga::new("s").step(step)).when(()).advance(Duration::from_secs(5)).then(
        "nap waits until +1s
         nap transient second_wait
         compensated exhausted",
    );
}

#[test]
fn keys_ids_and_times_repeat_in_every_attempt() {
    let seen = |(): (), call: &Call| {
        let key = http::post("http://p/x").json(&context::new_id()).send();
        let labelled = http::post("http://p/x").label("second").header("x-now", context::now().to_string()).send();
        key.and(labelled)?;
        assert_eq!(context::random_bytes(8).len(), 8);
        if call.attempt() == 1 { Err(transient("again", "")) } else { Ok(()) }
    };
    let run = given(Saga::new("s").step(Step::pivot("p", seen))).id("T1").http(|_| http::Response::new(200, "")).when(());
    let requests = run.requests();
    assert_eq!(requests[..2], requests[2..]);
    let key = |request: &http::Request| request.header_value("Idempotency-Key").map(str::to_owned);
    assert_eq!(key(&requests[0]).as_deref(), Some("T1/p/POST http://p/x/0"));
    assert_eq!(key(&requests[1]).as_deref(), Some("T1/p/second/0"));
}

#[test]
fn http_errors_mean_what_is_true_of_them() {
    let outcome = |answer: fn() -> std::result::Result<http::Response, http::Error>, safe: bool| {
        let call = move |(): (), _: &Call| {
            let request = if safe { http::get("http://p/x") } else { http::post("http://p/x") };
            request.send()?.ok()?.json::<u32>()?;
            Ok(())
        };
        let step = Step::pivot("p", call).once_then_stop().retry(Retry::never());
        let trace = given(Saga::new("s").step(step)).http(move |_| answer()).when(()).to_string();
        trace.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(outcome(|| Ok(http::Response::new(200, "3")), false), "p done");
    assert_eq!(outcome(|| Ok(http::Response::new(200, "three")), false), "p unknown bad_answer");
    assert_eq!(outcome(|| Ok(http::Response::new(200, "three")), true), "p transient bad_answer");
    let no_car = || Ok(http::Response::of_json(409, &json!({"error": {"code": "no_car", "message": "K1 has none"}})));
    assert_eq!(outcome(no_car, false), "p refused no_car");
    assert_eq!(outcome(|| Ok(http::Response::new(404, "")), false), "p transient http_404");
    assert_eq!(outcome(|| Ok(http::Response::new(429, "")), false), "p transient http_429");
    assert_eq!(outcome(|| Ok(http::Response::new(503, "")), false), "p unknown http_503");
    assert_eq!(outcome(|| Ok(http::Response::new(503, "")), true), "p transient http_503");
    assert_eq!(outcome(|| Err(http::Error::not_sent("no such host")), false), "p transient not_sent");
    assert_eq!(outcome(|| Err(http::Error::no_answer("closed")), false), "p unknown no_answer");
    assert_eq!(outcome(|| Err(http::Error::no_answer("closed")), true), "p transient no_answer");
}

/// What comes of a step that sends one request and turns the answer into an outcome.
fn outcome_of(
    answer: http::Response,
    request: fn() -> http::Request,
    read: fn(http::Response) -> Result<http::Response>,
) -> String {
    let call = move |(): (), _: &Call| read(request().send()?).map(|_| ());
    let step = Step::pivot("p", call).once_then_stop().retry(Retry::never());
    let trace = given(Saga::new("s").step(step)).http(move |_| answer.clone()).when(()).to_string();
    trace.lines().next().unwrap_or_default().to_owned()
}

fn post() -> http::Request {
    http::post("http://p/x")
}

/// The kind: a sure answer turned into doubt by the form of its details. The host takes only a well-formed code, so a refusal with
/// an empty one ended as `unknown (bad_output)` and was asked for a day again.
#[test]
fn c2_06_a_refusal_with_a_code_that_is_not_well_formed_is_a_refusal_with_a_code_of_its_status() {
    for code in ["".to_owned(), "x".repeat(129), "sold\nout".to_owned(), "\u{7f}".to_owned()] {
        let bare = http::Response::of_json(409, &json!({"code": code, "message": "sold out"}));
        assert_eq!(outcome_of(bare, post, http::Response::ok), "p refused http_409", "{code:?}");
        let nested = http::Response::of_json(422, &json!({"error": {"code": code, "message": "sold out"}}));
        assert_eq!(outcome_of(nested, post, http::Response::ok), "p refused http_422", "{code:?}");
    }
    let number = http::Response::of_json(409, &json!({"code": 11000, "message": null}));
    assert_eq!(outcome_of(number, post, http::Response::ok), "p refused 11000");
    let longest = http::Response::of_json(410, &json!({"code": "y".repeat(128)}));
    assert_eq!(outcome_of(longest, post, http::Response::ok), format!("p refused {}", "y".repeat(128)));
}

/// The kind: a client library decides what only the author knows. A participant's 404 is its answer, and was tried for a day.
#[test]
fn c2_28_a_step_says_which_statuses_are_refusals() {
    let read = |response: http::Response| response.refusing([404, 303, 503]).ok();
    let answer = |status: u16| http::Response::new(status, "");
    assert_eq!(outcome_of(answer(404), post, read), "p refused http_404");
    assert_eq!(outcome_of(answer(303), post, read), "p refused http_303");
    assert_eq!(outcome_of(answer(429), post, read), "p transient http_429");
    assert_eq!(outcome_of(answer(503), post, read), "p unknown http_503");
    assert_eq!(outcome_of(answer(200), post, |response| response.refusing([200]).ok()), "p done");
    let coded = http::Response::of_json(404, &json!({"code": "no_such_article", "message": "K9"}));
    assert_eq!(outcome_of(coded, post, read), "p refused no_such_article");
}

/// The kind: a refusal that speaks of the request and not of the business. While an earlier request with the same key is in
/// progress, a participant answers 409; taken for a refusal, the effect stood and the saga went on without it.
#[test]
fn c2_33_a_conflict_about_the_idempotency_key_is_not_a_refusal() {
    let bare = || http::Response::new(409, "a request with this Idempotency-Key is outstanding");
    assert_eq!(outcome_of(bare(), post, http::Response::ok), "p transient http_409");
    let problem = http::Response::of_json(409, &json!({"title": "A request is outstanding for this Idempotency-Key"}));
    assert_eq!(outcome_of(problem, post, http::Response::ok), "p transient http_409");
    let in_use = http::Response::of_json(409, &json!({"error": {"code": "idempotency_key_in_use", "message": "again"}}));
    assert_eq!(outcome_of(in_use, post, http::Response::ok), "p transient idempotency_key_in_use");
    let reused = http::Response::of_json(422, &json!({"code": "IdempotencyKeyReused"}));
    assert_eq!(outcome_of(reused, post, http::Response::ok), "p transient IdempotencyKeyReused");
    // A request without a key, a code of its own, and the author's word.
    assert_eq!(outcome_of(bare(), || http::get("http://p/x"), http::Response::ok), "p refused http_409");
    let sold_out = http::Response::of_json(409, &json!({"code": "sold_out"}));
    assert_eq!(outcome_of(sold_out, post, http::Response::ok), "p refused sold_out");
    assert_eq!(outcome_of(bare(), post, |response| response.refusing([409]).ok()), "p refused http_409");
}

#[test]
fn after_one_change_no_later_failure_of_the_attempt_is_harmless() {
    let twice = |(): (), _: &Call| {
        http::post("http://p/first").send()?.ok()?;
        http::post("http://p/second").send()?.ok()?;
        Ok(())
    };
    let run = given(Saga::new("s").step(Step::compensatable("both", twice).once_then_rollback().undo(undo)))
        .http(|request| http::Response::new(if request.path() == "/first" { 200 } else { 409 }, ""))
        .when(());
    run.then(
        "both unknown http_409
         undo both done
         compensated http_409",
    );
}

#[test]
#[should_panic(expected = "step p declares itself effect-free and sends POST http://p/x")]
fn an_effect_free_step_that_sends_is_caught() {
    let sends = |(): (), _: &Call| Ok(http::post("http://p/x").send().map(|_| ())?);
    given(Saga::new("s").step(Step::pivot("p", sends).effect_free())).when(());
}

/// C2-14: `effect_free()` was meant of the step and reached its undo, whose calls were refused at the first rollback.
#[test]
fn c2_14_the_undo_of_an_effect_free_step_may_send_unless_it_declares_otherwise() {
    let saga = |declares: bool| {
        let tells = |(): (), _: Option<()>, _: &Call| Ok(http::post("http://p/x").send().map(|_| ())?);
        let step = Step::compensatable("plan", nothing).effect_free().undo(tells);
        let step = if declares { step.undo_effect_free() } else { step };
        let refused = Step::pivot("p", |(), _: &Call| Err::<(), _>(refused("no", "no")));
        given(Saga::new("s").step(step).step(refused)).http(|_| Ok(http::Response::new(200, "")))
    };
    saga(false).when(()).then("plan done\np refused no\nundo plan done\ncompensated no");
    let caught = std::panic::catch_unwind(AssertUnwindSafe(|| drop(saga(true).when(())))).expect_err("it sends");
    let said = caught.downcast_ref::<String>().expect("words");
    assert_eq!(said, "the compensation of step plan declares itself effect-free and sends POST http://p/x");
}

#[test]
fn a_step_reads_the_secrets_and_settings_that_were_granted() {
    let read = |_: (), _: &Call| Ok((config::get("region"), secrets::get("bank-key"), secrets::get("mail-key")));
    let saga = Saga::new("s").step(Step::pivot("read", read));
    let run = given(saga).config("region", "eu").secret("bank-key", "s3cr3t").when(()).then("read done\ncompleted");
    assert_eq!(run.output::<[Option<String>; 3]>(), [Some("eu".to_owned()), Some("s3cr3t".to_owned()), None]);
}

/// The kit gave every wait 10 ms, and the host does not: the two differed in some of 60,000 random sagas.
#[test]
fn a_step_that_waits_for_the_past_again_and_again_waits_longer_each_time() {
    let impatient = |(): (), call: &Call| match call.attempt() {
        1..=6 => Err::<(), _>(Wait::until(Moment::default()).into()),
        _ => Ok(()),
    };
    let saga = Saga::new("impatient").step(Step::compensatable("look", impatient).effect_free().undo_nothing());
    given(saga).when(()).advance(Duration::from_secs(1)).then(
        "look waits until +10ms ×4
         look waits until +20ms
         look waits until +40ms
         look done
         completed",
    );
}
