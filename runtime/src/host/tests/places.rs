//! What attempts of one module do to those of another, over real guests; `queue.rs` and `ready.rs` have the order by hand.

use std::{sync::mpsc, thread, time::Duration};

use amends_core::{
    id::Direction,
    outcome::{Left, Outcome, Report},
    value::Payload,
};

use super::turn;
use crate::{
    engine::guests::{GuestCall, Guests, ModuleDigest},
    host::{
        Calls, Limits, Load, Moment,
        lanes::{Job, NotRun},
        testing::{Alone, DONE, TestGuest, TestHost, call},
    },
};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A guest that never ends by itself.
const SPIN: &str = "(loop $for_ever (br $for_ever)) (unreachable)";

/// A deadline began when its attempt was handed over: one that waited for a place longer than that ended without an instruction, and
/// its step had used up an attempt. The kind: a budget that is charged for what the host could not run.
#[test]
fn c2_31_the_deadline_of_an_attempt_begins_with_its_guest() {
    let host = TestHost::new(Limits { in_flight_max: 1, ..TestHost::limits() });
    let spinning = host.begin(call(host.store(TestGuest::execute(SPIN).component())));
    while host.host.running().is_empty() {
        thread::yield_now();
    }
    // It traps unless it is told that it began 40 s later than it was handed over.
    let imports = r#"(import "amends:module/context@0.1.0" "attempt-started-at" (func $started (result i64)))"#;
    let execute = format!("(if (i64.ne (call $started) (i64.const 1040000)) (then unreachable)) {DONE}");
    let queued = host.begin(call(host.store(TestGuest { imports, ..TestGuest::execute(execute) }.component())));
    // Longer than either may take.
    host.advance(40_000);
    assert!(matches!(spinning.recv().unwrap().outcome, Outcome::Trapped(failure) if failure.code == "deadline"));
    assert_eq!(queued.recv().unwrap().outcome, Outcome::Done(Payload::null()));
}

/// A call of this module, for a saga of its own.
fn call_of(module: &str, saga: usize, digest: ModuleDigest) -> GuestCall {
    let mut call = GuestCall { module: module.to_owned(), ..call(digest) };
    call.of.id = format!("S{saga}");
    call
}

/// 256 attempts that got no answer had all places for as long as their deadline allowed, and a saga that did nothing took three
/// minutes. The kind: a bound that everybody shares and one can use up; what waits counted as what runs.
#[test]
fn c2_30_a_module_whose_participants_do_not_answer_holds_up_neither_others_nor_rollbacks() {
    let host = TestHost::new(Limits { in_flight_max: 8, waiting_max: 504, threads: 2, ..Limits::default() });
    let hangs =
        host.store(TestGuest::reaching(format!("(call $block (call $sleep (i64.const {}))) {DONE}", i64::MAX)).component());
    let hanging: Vec<_> =
        (0..256).map(|saga| host.begin(GuestCall { reaches_outside: true, ..call_of("hangs", saga, hangs) })).collect();
    // A quarter of all places, and none of those that run.
    let held = Load { running: 0, waiting: 128, queued_forward: 128, queued_back: 0 };
    while host.host.attempts() != held {
        thread::yield_now();
    }
    assert_eq!(host.execute(&TestGuest::default()).outcome, Outcome::Done(Payload::null()));
    for direction in [Direction::Undo(0), Direction::Check] {
        let mut back = call_of("hangs", 0, hangs);
        turn(&mut back, direction);
        assert!(matches!(host.run(back).outcome, Outcome::Done(_) | Outcome::NotDone));
    }
    // What waited for its place has the whole of its time.
    let mut ended = 0;
    while ended < 256 {
        host.advance(30_000);
        let of_deadline = |outcome| matches!(outcome, Outcome::Trapped(failure) if failure.code == "deadline");
        ended += hanging
            .iter()
            .filter_map(|report| report.try_recv().ok())
            .filter(|report| of_deadline(report.outcome.clone()))
            .count();
    }
}

/// Where all places of a module hang for an hour, its next attempt would wait for as long, and a cancel of its saga with it.
#[test]
fn c2_31_an_attempt_that_found_no_place_is_reported_as_the_hosts_fault_and_names_the_settings() {
    let host = TestHost::new(TestHost::limits());
    let (caller, reports) = mpsc::channel();
    let calls = Calls {
        shared: host.host.shared.clone(),
        call: call([0; 32]),
        caller: Box::new(Alone(caller)),
        queued: Moment::now(),
        handed_over: Duration::ZERO,
    };
    Box::new(calls).give_up(NotRun::NoPlace(Duration::from_secs(60)));
    let Report { outcome: Outcome::HostFault(failure), left: Left::Nothing, .. } = reports.recv().unwrap() else { panic!() };
    assert_eq!(failure.code, "host_busy");
    assert!(failure.message.contains("within 60s") && failure.message.contains("`waiting` in [guest]"), "{}", failure.message);
}

/// A cancel was decided, and its saga went back when the attempt that waited had its place and had run, or after a minute.
#[test]
fn c2_31_what_waits_for_its_place_is_withdrawn_at_once_and_what_has_begun_goes_on() {
    let host = TestHost::new(Limits { in_flight_max: 1, waiting_max: 0, ..TestHost::limits() });
    let spins = host.store(TestGuest::execute(SPIN).component());
    let (begins, waits) = (call_of("spins", 0, spins), call_of("spins", 1, spins));
    let calls = [&begins, &waits, &waits].map(|call| (call.of.clone(), call.work.id()));
    let spinning = host.begin(begins);
    while host.host.running().is_empty() {
        thread::yield_now();
    }
    let waiting = host.begin(waits);
    for (of, id) in calls {
        host.host.withdraw(&of, &id);
    }
    let Report { outcome: Outcome::HostFault(failure), left: Left::Nothing, .. } = waiting.try_recv().unwrap() else { panic!() };
    assert_eq!((failure.code.as_str(), host.host.attempts().queued_forward), ("withdrawn", 0));
    assert_eq!(spinning.try_recv(), Err(mpsc::TryRecvError::Empty));
    host.advance(30_000);
    assert!(matches!(spinning.recv().unwrap().outcome, Outcome::Trapped(failure) if failure.code == "deadline"));
}

/// A saga was abandoned whose guest hung: it had its place, and the only one there was, until its deadline an hour later.
#[test]
fn what_runs_of_a_saga_that_has_ended_is_ended_at_once_and_told_once_and_its_place_is_the_next_ones() {
    let host = TestHost::new(Limits { in_flight_max: 1, waiting_max: 0, ..TestHost::limits() });
    let hangs = TestGuest::reaching(format!("(call $block (call $sleep (i64.const {}))) {DONE}", i64::MAX));
    let (waits, runs) = (Load { waiting: 1, ..Load::default() }, Load { running: 1, ..Load::default() });
    for (saga, (guest, begun)) in [(hangs, waits), (TestGuest::execute(SPIN), runs)].into_iter().enumerate() {
        let begins = GuestCall { reaches_outside: true, ..call_of("probe", saga, host.store(guest.component())) };
        let next = call_of("probe", 9, host.store(TestGuest::default().component()));
        let of = begins.of.clone();
        let (ended, queued) = (host.begin(begins.clone()), host.begin(begins));
        while host.host.attempts() != (Load { queued_forward: 1, ..begun }) {
            thread::yield_now();
        }
        let next = host.begin(next);
        host.host.end(&of);
        for (reports, code) in [(ended, "ended"), (queued, "withdrawn")] {
            let outcome = reports.recv_timeout(PATIENCE).unwrap().outcome;
            let Outcome::HostFault(failure) = outcome else { panic!("{outcome:?}") };
            assert_eq!(
                (failure.code.as_str(), reports.recv_timeout(PATIENCE)),
                (code, Err(mpsc::RecvTimeoutError::Disconnected))
            );
        }
        assert_eq!(next.recv_timeout(PATIENCE).unwrap().outcome, Outcome::Done(Payload::null()));
    }
    while host.host.attempts() != Load::default() {
        thread::yield_now();
    }
}

/// Guests that computed for long yielded to each other in turn, and fifty of them had the thread before a fresh attempt had it. The
/// kind: an order by arrival where one takes more than another; `ready.rs` has the order.
#[test]
fn c2_35_guests_that_compute_for_long_do_not_hold_those_up_that_do_not() {
    let host = TestHost::new(Limits { threads: 1, ..Limits::default() });
    let spins = host.store(TestGuest::execute(SPIN).component());
    let spinning: Vec<_> = (0..50).map(|saga| host.begin(call_of("spins", saga, spins))).collect();
    while host.host.attempts().running < 50 {
        thread::yield_now();
    }
    for _ in 0..20 {
        assert_eq!(host.execute(&TestGuest::default()).outcome, Outcome::Done(Payload::null()));
    }
    host.advance(30_000);
    for report in spinning {
        assert!(matches!(report.recv().unwrap().outcome, Outcome::Trapped(failure) if failure.code == "deadline"));
    }
}

/// How long attempts that do nothing take beside fifty that compute: `cargo test -p amends-host --lib --release
/// host::tests::places::delay -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn delay_beside_guests_that_compute() {
    const RUNS: usize = 200;
    let host = TestHost::new(Limits { threads: 2, cpu: Duration::from_secs(600), ..Limits::default() });
    let spins = host.store(TestGuest::execute(SPIN).component());
    let idle = host.store(TestGuest::default().component());
    let measure = |what: &str| {
        let mut took: Vec<_> = (0..RUNS)
            .map(|_| {
                let began = Moment::now();
                assert_eq!(host.run(call(idle)).outcome, Outcome::Done(Payload::null()));
                began.elapsed()
            })
            .collect();
        took.sort_unstable();
        println!("{what}: median {:?}, 99 % {:?}, most {:?}", took[RUNS / 2], took[RUNS * 99 / 100], took[RUNS - 1]);
    };
    measure("alone");
    let spinning: Vec<_> = (0..50).map(|saga| host.begin(call_of("spins", saga, spins))).collect();
    while host.host.attempts().running < 50 {
        thread::yield_now();
    }
    measure("beside 50 that compute");
    host.advance(30_000);
    spinning.iter().for_each(|report| drop(report.recv().unwrap()));
}
