//! TB-17: the host is killed with SIGKILL at every point of every step and of every compensation, and goes on after it.
//!
//! F1 the intent is durable and the guest not called; F2 the guest runs; F3 the effect has happened and its answer did not
//! arrive; F4 the outcome is in memory; F5 it is durable. F8 the decision to roll back is durable. F9.1 to F9.5 are F1 to F5
//! of a compensation. At F3 the participant kills the host; at all others the host kills itself.
//!
//! Every run ends as TB-01 or TB-05, except the five in which the attempt of the hotel was open: that step must not run again, so
//! the trip rolls back as in TB-15. Each of the 46 kills is repeated with every message sent twice, in both ways.

use std::ops::RangeInclusive;

use participants::{Fault, Operation, Rule};

use crate::harness::{api::Traffic, desk::Desk, guests::Way, host::Options};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Point {
    F1,
    F2,
    F3,
    F4,
    F5,
}

/// What is killed, and under which traffic.
#[derive(Clone, Copy)]
struct Run {
    point: Point,
    /// Of which attempt forward, or of which undo, from 1.
    nth: u32,
    operation: Operation,
    traffic: Traffic,
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

/// How often the participants hear what is said once.
fn copies(traffic: Traffic) -> usize {
    match traffic {
        Traffic::Once => 1,
        Traffic::Twice | Traffic::TwiceWithFreshKeys => 2,
    }
}

fn often(calls: &RangeInclusive<usize>, copies: usize) -> RangeInclusive<usize> {
    calls.start() * copies..=calls.end() * copies
}

/// A trip whose host dies at this point; none: the participant of this operation kills it.
fn begin(failpoint: Option<String>, killer: Operation, funds: u64, traffic: Traffic) -> Desk {
    let options = Options { traffic, ..Options::default() };
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
    // What the dead host sent may still come a second time.
    desk.settle_down();
    let before = calls(desk);
    desk.host.restart();
    let status = desk.book("T1")["status"].clone();
    assert!(status == "completed" || status == "compensated", "{status}");
    desk.settle_down();
    (before, calls(desk))
}

fn booked(Run { point, nth, operation, traffic }: Run) {
    let failpoint = point.name().map(|name| format!("{name}:{nth}"));
    let mut desk = begin(failpoint, operation, 100_000, traffic);
    let (before, calls) = end(&mut desk, operation);
    assert!(often(&point.calls_before(), copies(traffic)).contains(&before), "{before} calls before the kill");
    if hotel_was_open(point, operation) {
        // The hotel is asked once only: what may have run is undone, not run again.
        assert!(calls == 0 || calls == copies(traffic), "{calls} calls");
        let reserved = desk.participants.state().effects.get("reserve-hotel").copied().unwrap_or_default();
        return assert_eq!(desk.end("T1"), given_up(reserved));
    }
    assert!(often(&point.calls(), copies(traffic)).contains(&calls), "{calls} calls");
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

fn undone(Run { point, nth, operation, traffic }: Run) {
    let failpoint = point.name().map(|name| format!("undo-{name}:{nth}"));
    let mut desk = begin(failpoint, operation, 10_000, traffic);
    let (before, calls) = end(&mut desk, operation);
    assert!(often(&point.calls_before(), copies(traffic)).contains(&before), "{before} calls before the kill");
    assert!(often(&point.calls(), copies(traffic)).contains(&calls), "{calls} calls");
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

fn rolled_back(traffic: Traffic) {
    let mut desk = begin(Some("rollback-durable:1".to_owned()), Operation::CancelCar, 10_000, traffic);
    let (before, calls) = end(&mut desk, Operation::CancelCar);
    assert_eq!(calls, copies(traffic));
    assert!(before <= calls);
    desk.ends("T1", &crate::travel::no_funds());
}

/// Five kills under one traffic.
macro_rules! five {
    ($name:ident $traffic:ident $run:ident $nth:literal $operation:ident) => {
        mod $name {
            use crate::kills::{Operation, Point, Run, Traffic, $run as run};

            fn killed_at(point: Point) {
                run(Run { point, nth: $nth, operation: Operation::$operation, traffic: Traffic::$traffic });
            }

            #[test]
            fn killed_at_f1_intent_durable() {
                killed_at(Point::F1);
            }

            #[test]
            fn killed_at_f2_guest_running() {
                killed_at(Point::F2);
            }

            #[test]
            fn killed_at_f3_effect_applied() {
                killed_at(Point::F3);
            }

            #[test]
            fn killed_at_f4_outcome_seen() {
                killed_at(Point::F4);
            }

            #[test]
            fn killed_at_f5_outcome_durable() {
                killed_at(Point::F5);
            }
        }
    };
}

/// Five kills at each of these, as it is and with every message twice.
macro_rules! kills {
    ($($name:ident = $run:ident $nth:literal $operation:ident)*) => {
        $(mod $name {
            five! { plain Once $run $nth $operation }
            five! { with_every_message_twice Twice $run $nth $operation }
            five! { with_every_message_twice_under_fresh_keys TwiceWithFreshKeys $run $nth $operation }
        })*

        /// Each step and each compensation that is killed.
        const KILLED: &[&str] = &[$(stringify!($name)),*];
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

mod tb_17_killed_at_f8_rollback_durable {
    use super::{Traffic, rolled_back};

    #[test]
    fn plain() {
        rolled_back(Traffic::Once);
    }

    #[test]
    fn with_every_message_twice() {
        rolled_back(Traffic::Twice);
    }

    #[test]
    fn with_every_message_twice_under_fresh_keys() {
        rolled_back(Traffic::TwiceWithFreshKeys);
    }
}

/// Five of each, and one between.
const _: () = assert!(KILLED.len() * 5 + 1 == 46, "TB-17 is 46 kills");
