//! TB-17: the host is killed with SIGKILL at every point of every step and of every compensation, and goes on after it.
//!
//! F1 the intent is durable and the guest not called; F2 the guest runs; F3 the effect took hold and its answer did not
//! arrive; F4 the outcome is in memory; F5 it is durable. F8 the decision to roll back is durable. F9.1 to F9.5 are F1 to F5
//! of a compensation. At F3 the participant kills the host; at all others the host kills itself.
//!
//! Every run ends as TB-01 or TB-05, but for the five in which the hotel's attempt was open: that step is run once, so the
//! trip is given up as in TB-15.

use std::ops::RangeInclusive;

use participants::{Fault, Operation, Rule};
use serde_json::json;

use crate::harness::{
    desk::Desk,
    folder::DataFolder,
    guests::Way,
    host::{Host, Options},
    laws,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Point {
    F1,
    F2,
    F3,
    F4,
    F5,
}

impl Point {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::F1 => Some("intent-durable"),
            Self::F2 => Some("guest-running"),
            Self::F3 => None,
            Self::F4 => Some("outcome-seen"),
            Self::F5 => Some("outcome-durable"),
        }
    }

    /// How often the participant is asked in all, where the step is run again.
    fn calls(self) -> RangeInclusive<usize> {
        match self {
            Self::F1 | Self::F5 => 1..=1,
            // The request may have left before the host died.
            Self::F2 => 1..=2,
            Self::F3 | Self::F4 => 2..=2,
        }
    }

    /// How often before the host was killed.
    fn calls_before(self) -> RangeInclusive<usize> {
        match self {
            Self::F1 => 0..=0,
            Self::F2 => 0..=1,
            Self::F3 | Self::F4 | Self::F5 => 1..=1,
        }
    }
}

/// A trip whose host dies at this point; none: the participant of this operation kills it.
fn begin(failpoint: Option<String>, killer: Operation, funds: u64) -> Desk {
    let options = Options::default();
    let options = match &failpoint {
        Some(failpoint) => options.dies_at(failpoint),
        None => options,
    };
    let desk = Desk::open_with(Way::Plain, options);
    desk.participants.set_account("A", funds);
    if failpoint.is_none() {
        desk.participants.add(Rule::next(1, killer, Fault::Kill { pid: desk.host.pid() }));
    }
    desk
}

/// The trip begins, its host dies, and the next one ends it. How often this was asked, before and in all.
fn end(desk: &mut Desk, operation: Operation) -> (usize, usize) {
    // Whether it is answered depends on where the host dies.
    let _ = desk.api().try_send(
        ureq::http::Method::POST,
        "/v1/definitions/trip/sagas?id=T1",
        None,
        desk.trip().to_string().as_bytes(),
    );
    desk.host.died();
    let calls = |desk: &Desk| desk.participants.state().trace.iter().filter(|call| call.operation == operation).count();
    let before = calls(desk);
    desk.host.restart();
    let status = desk.book("T1")["status"].clone();
    assert!(status == "completed" || status == "compensated", "{status}");
    desk.settle_down();
    (before, calls(desk))
}

fn booked(point: Point, nth: u32, operation: Operation) {
    let failpoint = point.name().map(|name| format!("{name}:{nth}"));
    let mut desk = begin(failpoint, operation, 100_000);
    let (before, calls) = end(&mut desk, operation);
    assert!(point.calls_before().contains(&before), "{before} calls before the kill");
    if hotel_was_open(point, operation) {
        // The hotel is asked once only: what may have run is undone, not run again.
        assert_eq!(calls, before);
        let reserved = desk.participants.state().effects.get("reserve-hotel").copied().unwrap_or_default();
        return assert_eq!(desk.end("T1"), given_up(reserved));
    }
    assert!(point.calls().contains(&calls), "{calls} calls");
    desk.ends("T1", &crate::travel::booked());
}

/// The intent of a step is durable with the outcome of the one before it: after step 1 the hotel's attempt is open.
fn hotel_was_open(point: Point, operation: Operation) -> bool {
    match operation {
        Operation::ReserveFlight => point == Point::F5,
        Operation::ReserveHotel => point != Point::F5,
        _ => false,
    }
}

fn undone(point: Point, nth: u32, operation: Operation) {
    let failpoint = point.name().map(|name| format!("undo-{name}:{nth}"));
    let mut desk = begin(failpoint, operation, 10_000);
    let (before, calls) = end(&mut desk, operation);
    assert!(point.calls_before().contains(&before), "{before} calls before the kill");
    assert!(point.calls().contains(&calls), "{calls} calls");
    desk.ends("T1", &crate::travel::no_funds());
}

fn given_up(reserved: u32) -> String {
    let (cancelled, reserved) = if reserved == 1 { ("cancel-hotel 1, ", ", reserve-hotel 1") } else { ("", "") };
    format!(
        "compensated, unknown host_stopped\n  reserve-flight compensated\n  reserve-hotel compensated\n  reserve-car pending\n  \
         charge pending\n  issue-tickets pending\n  email-itinerary pending\n\
         left: F100 2, H1 1, K1 1, A 1000.00; emails 0\neffects: cancel-flight 1, {cancelled}reserve-flight 1{reserved}\n"
    )
}

/// Five kills at each of these.
macro_rules! kills {
    ($($name:ident = $run:ident $nth:literal $operation:ident)*) => {
        $(mod $name {
            use super::{Operation, Point};

            #[test]
            fn killed_at_f1_intent_durable() {
                super::$run(Point::F1, $nth, Operation::$operation);
            }

            #[test]
            fn killed_at_f2_guest_running() {
                super::$run(Point::F2, $nth, Operation::$operation);
            }

            #[test]
            fn killed_at_f3_effect_applied() {
                super::$run(Point::F3, $nth, Operation::$operation);
            }

            #[test]
            fn killed_at_f4_outcome_seen() {
                super::$run(Point::F4, $nth, Operation::$operation);
            }

            #[test]
            fn killed_at_f5_outcome_durable() {
                super::$run(Point::F5, $nth, Operation::$operation);
            }
        })*
    };
}

kills! {
    tb_17_step_1_reserve_flight = booked 1 ReserveFlight
    tb_17_step_2_reserve_hotel = booked 2 ReserveHotel
    tb_17_step_3_reserve_car = booked 3 ReserveCar
    tb_17_step_4_charge = booked 4 Charge
    tb_17_step_5_issue_tickets = booked 5 IssueTickets
    tb_17_step_6_email_itinerary = booked 6 SendEmail
    tb_17_f9_compensation_1_cancel_car = undone 1 CancelCar
    tb_17_f9_compensation_2_cancel_hotel = undone 2 CancelHotel
    tb_17_f9_compensation_3_cancel_flight = undone 3 CancelFlight
}

#[test]
fn tb_17_killed_at_f8_rollback_durable() {
    let mut desk = begin(Some("rollback-durable:1".to_owned()), Operation::CancelCar, 10_000);
    let (before, calls) = end(&mut desk, Operation::CancelCar);
    assert_eq!(calls, 1);
    assert!(before <= 1);
    desk.ends("T1", &crate::travel::no_funds());
}

/// Starts an order on a host that dies at this point, and again on the next one. The order's end.
fn ordered(failpoint: &str, input: &serde_json::Value) -> serde_json::Value {
    let options = Options::default().dies_at(failpoint);
    let mut host = Host::start(DataFolder::with_modules(Way::Plain), options);
    let path = "/v1/definitions/order/sagas?id=O1&wait=100s";
    let unanswered = host.api().try_send(ureq::http::Method::POST, path, None, input.to_string().as_bytes());
    assert!(unanswered.is_err(), "{unanswered:?}");
    host.died();
    host.restart();
    let saga = host.api().run("order", "O1", input);
    laws::hold(&host.api(), "O1");
    saga
}

#[test]
fn an_effect_free_saga_survives_a_kill_at_each_of_its_points() {
    let input = json!({"order_id": "o-17"});
    let points = ["accepted:1", "guest-running:1", "outcome-seen:1", "guest-running:3", "outcome-seen:3"];
    let durable = ["outcome-durable:1", "outcome-durable:3", "last-step-durable:1", "end-durable:1"];
    for point in points.into_iter().chain(durable) {
        let saga = ordered(point, &input);
        assert_eq!((&saga["status"], &saga["output"]["hold"]), (&json!("completed"), &json!("credit-o-17")), "{point}: {saga}");
    }
}

#[test]
fn an_effect_free_rollback_survives_a_kill_at_each_of_its_points() {
    let input = json!({"order_id": "o-17", "fail_at": "charge"});
    let points = ["undo-guest-running:1", "undo-outcome-seen:1", "undo-guest-running:2", "undo-outcome-seen:2"];
    let durable = ["rollback-durable:1", "undo-outcome-durable:1", "undo-outcome-durable:2", "end-durable:1"];
    for point in points.into_iter().chain(durable) {
        let saga = ordered(point, &input);
        assert_eq!((&saga["status"], &saga["failure"]["code"]), (&json!("compensated"), &json!("declined")), "{point}: {saga}");
        assert_eq!(saga["outstanding"], json!([]), "{point}");
    }
}

/// Law 2: what a client was told is so, whenever the host dies.
#[test]
fn what_was_answered_before_a_kill_is_so_after_it() {
    let mut host = Host::start(DataFolder::with_modules(Way::Plain), Options::default());
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let api = host.api();
            std::thread::spawn(move || {
                let mut answered = Vec::new();
                for number in 0.. {
                    let id = format!("O{thread}-{number}");
                    let path = format!("/v1/definitions/order/sagas?id={id}&wait=100s");
                    match api.try_send(ureq::http::Method::POST, &path, None, b"{}") {
                        Ok(answer) if answer.status == 201 => answered.push(answer.body),
                        _ => return (answered, id),
                    }
                }
                unreachable!()
            })
        })
        .collect();
    // In the middle: enough have ended, and all four go on.
    host.api().start("order", "middle", &json!({})).expect(201);
    host.api().until_type("middle", "completed");
    let warm = host.api();
    (0..100).for_each(|number| drop(warm.run("order", &format!("warm-{number}"), &json!({}))));
    host.kill();
    let ends: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    host.restart();
    for (answered, unanswered) in ends {
        assert!(!answered.is_empty());
        for told in answered {
            let saga = host.api().saga(told["id"].as_str().unwrap());
            assert_eq!(
                (&saga["status"], &saga["revision"], &saga["output"]),
                (&told["status"], &told["revision"], &told["output"])
            );
        }
        // Whether this one began is not known; asked for again, it is done.
        assert_eq!(host.api().run("order", &unanswered, &json!({}))["status"], "completed");
        laws::hold(&host.api(), &unanswered);
    }
}
