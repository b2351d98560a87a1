//! Goldens of the tree, one for each state of a saga.

use amends_core::value::Payload;
use amends_wire::value::Json;
use expect_test::{Expect, expect};
use jiff::tz::TimeZone;

use super::*;
use crate::render::samples;

fn check(saga: &Saga, expected: Expect) {
    let now = Now { at: saga.as_of, zone: TimeZone::UTC };
    let coloured = tree(saga, &now);
    assert!(coloured.contains("\u{1b}["), "colours are the stream's to strip");
    expected.assert_eq(&anstream::adapter::strip_str(&coloured).to_string());
}

#[test]
fn a_completed_saga_shows_its_output() {
    check(
        &samples::completed(),
        expect![[r#"
            trip T2  completed   trip v1 (3f9c51d0072e)  started 12:00:00  took 1.3s
            ├─ reserve-flight   done 20ms
            ├─ reserve-hotel    done 21ms
            ├─ reserve-car      done 22ms
            ├─ charge (pivot)   done 23ms
            ├─ send-tickets     done, 3 attempts, 2.4s (timeout, 503)
            └─ send-mail        done 5.8s, waited
            output: {"total":"130.00","car":"K1"}
            outstanding: none   manual: 0   next: amends journal T2
        "#]],
    );
}

#[test]
fn a_saga_that_an_event_or_a_schedule_started_shows_which() {
    let mut saga = samples::completed();
    let event =
        Starter::Event { event_type: "trip.wanted".to_owned(), source: "shop".to_owned(), id: "o-17\u{1b}[2J".to_owned() };
    let starters = [
        (event, "started by event trip.wanted (o-17 [2J from shop)"),
        (Starter::Schedule { name: "nightly".to_owned() }, "started by schedule nightly"),
    ];
    for (starter, printed) in starters {
        saga.started_by = Some(starter);
        let drawn = tree(&saga, &Now { at: saga.as_of, zone: TimeZone::UTC });
        assert_eq!(drawn.lines().nth(1), Some(printed));
    }
}

#[test]
fn a_compensated_saga_shows_what_was_undone_and_how_often_it_was_tried() {
    check(
        &samples::compensated(),
        expect![[r#"
            trip T2  compensated  no_car   trip v1 (3f9c51d0072e)  started 12:00:00  took 1.3s
            ├─ reserve-flight   done 41ms    ↩ undone 22ms
            ├─ reserve-hotel    done 38ms    ↩ undone, 4 attempts, 1.1s (500 ×3)
            ├─ reserve-car      refused      no_car: K1 has no cars left
            ├─ charge (pivot)   not begun
            └─ …2 more not begun
            outstanding: none   manual: 0   next: amends journal T2
        "#]],
    );
}

#[test]
fn a_compensating_saga_shows_what_is_being_undone() {
    check(
        &samples::compensating(),
        expect![[r#"
            trip T2  compensating  no_car   trip v1 (3f9c51d0072e)  started 12:00:00  2s ago  deadline 13:00 (in 1h)
            ├─ reserve-flight   done 41ms
            ├─ reserve-hotel    done 38ms    ↩ undo tries again at 12:00:09 (in 7s) after 3 attempts (500 ×3)
            ├─ reserve-car      refused      no_car: K1 has no cars left
            ├─ charge (pivot)   not begun
            └─ …2 more not begun
            outstanding: reserve-flight, reserve-hotel   manual: 0   next: amends watch T2
        "#]],
    );
}

#[test]
fn a_waiting_saga_shows_for_what_and_until_when() {
    check(
        &samples::waiting(),
        expect![[r#"
            trip T2  waiting   trip v1 (3f9c51d0072e)  started 12:00:00  1h 2m ago
            ├─ reserve-flight   done 41ms
            ├─ reserve-hotel    waiting    waits for event approval/42 until 14:00 (in 58m)
            ├─ reserve-car      not begun
            └─ …3 more not begun
            manual: 0   next: amends publish approval --key 42
        "#]],
    );
}

#[test]
fn a_step_that_backs_off_shows_when_it_is_tried_again_and_after_what() {
    check(
        &samples::backing_off(),
        expect![[r#"
            trip T2  waiting   trip v1 (3f9c51d0072e)  started 12:00:00  3s ago
            ├─ reserve-flight   done 41ms
            ├─ reserve-hotel    backing off    tries again at 12:00:12 (in 10s) after 503: the hotel is busy
            ├─ reserve-car      not begun
            └─ …3 more not begun
            manual: 0   next: amends watch T2
        "#]],
    );
}

#[test]
fn a_stuck_saga_shows_since_when_why_and_what_helps() {
    check(
        &samples::stuck_in_rollback(),
        expect![[r#"
            trip T2  stuck  no_car   trip v1 (3f9c51d0072e)  started 12:00:00  5m ago
            ├─ reserve-flight   done 41ms
            ├─ reserve-hotel    done 38ms    ↩ stuck, 5 attempts, 9.1s (500 ×5)
            │    stuck since 12:00:09 (5m ago): all attempts are used up; the last: 500: the hotel is down
            │      amends retry T2
            │      amends move T2 --to VERSION
            │      amends resolve T2 reserve-hotel --undone
            │      amends skip T2 reserve-hotel
            ├─ reserve-car      refused      no_car: K1 has no cars left
            ├─ charge (pivot)   not begun
            └─ …2 more not begun
            outstanding: reserve-flight, reserve-hotel   manual: 0
        "#]],
    );
    check(
        &samples::stuck_forward(),
        expect![[r#"
            trip T2  stuck   trip v1 (3f9c51d0072e)  started 12:00:00  2m ago
            ├─ reserve-flight   done 20ms
            ├─ reserve-hotel    done 20ms
            ├─ reserve-car      done 20ms
            ├─ charge (pivot)   stuck
            │    stuck since 12:00:30 (1m ago): the pivot may have happened and has no compensation: deadline: no answer within 30s
            │      amends resolve T2 charge --output JSON
            │      amends resolve T2 charge --not-done
            ├─ send-tickets     not begun
            └─ send-mail        not begun
            may have run: charge   manual: 0
        "#]],
    );
}

#[test]
fn a_denied_step_shows_the_grant_once_and_no_retry() {
    check(
        &samples::denied(),
        expect![[r#"
        trip T2  stuck   trip v1 (3f9c51d0072e)  started 12:00:00  2m ago
        ├─ reserve-flight   stuck
        │    stuck since 12:00:00 (1m ago): denied: https://air.example
        │      amends grant trip --http https://air.example
        ├─ reserve-hotel    not begun
        └─ …4 more not begun
        manual: 0
    "#]],
    );
}

#[test]
fn a_wait_is_no_attempt_and_a_code_is_said_once() {
    // A step that waited and was then refused had two attempts, and its code stood twice on its line.
    check(
        &samples::refused_after_a_wait(),
        expect![[r#"
        trip T2  compensated  denied   trip v1 (3f9c51d0072e)  started 12:00:00  took 1.3s
        ├─ reserve-flight   refused, waited 338ms    denied: bob said no
        ├─ reserve-hotel    not begun
        └─ …4 more not begun
        outstanding: none   manual: 0   next: amends journal T2
    "#]],
    );
    check(
        &samples::refused_after_failures(),
        expect![[r#"
        trip T2  compensated  no_room   trip v1 (3f9c51d0072e)  started 12:00:00  took 1.3s
        ├─ reserve-flight   refused, 3 attempts, 900ms (503 ×2)    no_room: H1 is full
        ├─ reserve-hotel    not begun
        └─ …4 more not begun
        outstanding: none   manual: 0   next: amends journal T2
    "#]],
    );
}

#[test]
fn an_abandoned_saga_shows_what_stands() {
    check(
        &samples::abandoned(),
        expect![[r#"
            trip T2  abandoned  no_car   trip v1 (3f9c51d0072e)  started 12:00:00  took 1.3s
            ├─ reserve-flight   done 41ms
            ├─ reserve-hotel    done 38ms    ↩ skipped by hand, its effect stands
            ├─ reserve-car      refused      no_car: K1 has no cars left
            ├─ charge (pivot)   not begun
            └─ …2 more not begun
            outstanding: reserve-flight, reserve-hotel   manual: 1   next: amends journal T2
        "#]],
    );
}

#[test]
fn a_cancelled_saga_says_so() {
    check(
        &samples::cancelled(),
        expect![[r#"
            trip T2  compensated  cancelled   trip v1 (3f9c51d0072e)  started 12:00:00  took 1.3s
            ├─ reserve-flight   done 41ms    ↩ undone 22ms
            ├─ reserve-hotel    not done after 3 attempts (503 ×3)
            ├─ reserve-car      not begun
            └─ …3 more not begun
            outstanding: none   manual: 0   next: amends journal T2
        "#]],
    );
    check(
        &samples::cancel_pending(),
        expect![[r#"
            trip T2  running   trip v1 (3f9c51d0072e)  started 12:00:00  2s ago
            ├─ reserve-flight   done 20ms
            ├─ reserve-hotel    done 20ms
            ├─ reserve-car      done 20ms
            ├─ charge (pivot)   running 1.8s
            ├─ send-tickets     not begun
            └─ send-mail        not begun
            cancel requested; the outcome of the open pivot decides
            may have run: charge (an attempt is open)   manual: 0   next: amends watch T2
        "#]],
    );
}

#[test]
fn steps_of_one_stage_stand_together() {
    check(
        &samples::parallel(),
        expect![[r#"
            trip T2  compensated  no_room   trip v1 (3f9c51d0072e)  started 12:00:00  took 5.2s
            ├─┬ reserve-flight   done 5s      ↩ undone 22ms
            │ ├ reserve-hotel    refused      no_room: H1 is full
            │ └ reserve-car      done 20ms    ↩ undone 25ms
            ├── charge (pivot)   not begun
            └── …2 more not begun
            outstanding: none   manual: 0   next: amends journal T2
        "#]],
    );
}

#[test]
fn children_stand_below_what_they_stand_for_and_alternates_and_rounds_are_told() {
    check(
        &samples::composed(),
        expect![[r#"
        trip T2  running  round 1 after no_car   trip v1 (3f9c51d0072e)  started 12:00:00  2s ago
        ├── plan                     done 4ms
        ├─┬ travellers               done 11ms, 2 of 2
        │ │ ├─ travellers[ada]       done 9ms
        │ │ │  ├─ reserve-outbound   done 4ms
        │ │ │  └─ reserve-inbound    done 4ms
        │ │ └─ travellers[bob]       done 9ms
        │ │    ├─ reserve-outbound   done 4ms
        │ │    └─ reserve-inbound    done 4ms
        │ └ reserve-hotel            done 4ms, way 2
        │     way 1 refused: no_room: H1 has no rooms left
        ├── reserve-car              running 500ms, round 1
        │     round 0 refused: no_car: K1 has no cars left
        └── charge (pivot)           not begun
        manual: 0   next: amends watch T2
    "#]],
    );
}

#[test]
fn of_many_elements_those_are_shown_that_a_reader_looks_for() {
    check(
        &samples::fan_out(),
        expect![[r#"
        trip T2  running   trip v1 (3f9c51d0072e)  started 12:00:00  2s ago
        ├─ check-out            stuck, 698 of 1000, 2 refused
        │  ├─ check-out[s40]    refused    balance_not_settled: the balance is 700 cents
        │  ├─ check-out[s400]   refused    balance_not_settled: the balance is 700 cents
        │  ├─ check-out[s500]   stuck, 20 attempts, 900ms (503 ×20)
        │  │    stuck since 12:00:00 (1s ago): all attempts are used up; the last: 503: the desk is closed
        │  │      amends retry T2
        │  │      amends resolve T2 check-out[s500] --output JSON
        │  │      amends resolve T2 check-out[s500] --not-done
        │  ├─ check-out[s701]   running 10ms
        │  ├─ check-out[s702]   running 10ms
        │  └─ …995 more: 1 running, 698 done, 296 not begun
        └─ report               not begun
        manual: 0   next: amends watch T2
    "#]],
    );
}

#[test]
fn people_who_resolved_a_step_are_not_hidden() {
    check(
        &samples::by_hand(),
        expect![[r#"
            trip T2  compensated  timeout   trip v1 (3f9c51d0072e)  started 12:00:00  took 1.3s
            ├─ reserve-flight   done 41ms       ↩ undone 22ms
            ├─ reserve-hotel    done 38ms       ↩ undone by hand after 3 attempts (500 ×3)
            ├─ reserve-car      may have run    ↩ undone by hand
            ├─ charge (pivot)   not begun
            └─ …2 more not begun
            outstanding: none   manual: 2   next: amends journal T2
        "#]],
    );
}

#[test]
fn what_a_guest_says_does_not_escape_its_place() {
    check(
        &samples::hostile(),
        expect![[r#"
            trip T2  compensated   [2Jno   trip v1 (3f9c51d0072e)  started 12:00:00  took 1.3s
            ├─ reserve-flight   refused     [2Jno: line one line two  esrever
            ├─ reserve-hotel    not begun
            └─ …4 more not begun
            outstanding: none   manual: 0   next: amends journal T2
        "#]],
    );
}

fn nothing() -> Json {
    amends_host::api::present::value::json(&Payload::null())
}

/// The saga as a client reads it.
fn sent(saga: &Saga) -> Saga {
    serde_json::from_str(&serde_json::to_string(saga).unwrap()).unwrap()
}

/// C2-13: a step whose function returned nothing was shown as one that may have run, although it was done. The output decided,
/// and an output of `null` reads as none. The same was said of children and fan-outs ("not done") and before a cancel. Whether
/// a step is done, and whether it may have run, is said by the host in fields of their own.
#[test]
fn c2_13_a_step_that_is_done_and_returned_nothing_is_shown_as_done() {
    let mut saga = samples::compensated();
    saga.steps.iter_mut().for_each(|step| step.output = Some(nothing()));
    check(
        &sent(&saga),
        expect![[r#"
            trip T2  compensated  no_car   trip v1 (3f9c51d0072e)  started 12:00:00  took 1.3s
            ├─ reserve-flight   done 41ms    ↩ undone 22ms
            ├─ reserve-hotel    done 38ms    ↩ undone, 4 attempts, 1.1s (500 ×3)
            ├─ reserve-car      refused      no_car: K1 has no cars left
            ├─ charge (pivot)   not begun
            └─ …2 more not begun
            outstanding: none   manual: 0   next: amends journal T2
        "#]],
    );
    let mut saga = samples::composed();
    for step in saga.steps.iter_mut().filter(|step| step.done) {
        (step.status, step.output) = (StepStatus::Compensated, Some(nothing()));
    }
    let sent = sent(&saga);
    let drawn = tree(&sent, &Now { at: sent.as_of, zone: TimeZone::UTC });
    let drawn = anstream::adapter::strip_str(&drawn).to_string();
    assert!(drawn.contains("done 11ms, 2 of 2") && !drawn.contains("not done") && !drawn.contains("may have run"), "{drawn}");
}
