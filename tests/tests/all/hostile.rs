//! XR-27, XR-28: guests that trap, loop, recurse, allocate or return garbage. Each costs an attempt, which is a technical
//! failure: never a refusal, never the host, never another saga.

use serde_json::{Value, json};

use crate::harness::{
    api::Api,
    desk::Desk,
    folder::DataFolder,
    guests::Way,
    host::{Host, Options},
    laws,
    probe::{DONE, Kind, Probe, Step, Undo, in_step},
};
use participants::{Fault, Operation, Rule};

fn host() -> Host {
    Host::start(DataFolder::with_modules(Way::Plain), Options::default().with("AMENDS_GUEST_CPU", "300ms"))
}

#[track_caller]
fn deploy(api: &Api, probe: &Probe) {
    api.put(&format!("/v1/modules/{}", probe.module), &probe.component()).expect(201);
}

/// Runs a saga of a hostile module while others run beside it. Gives it with its journal, and the host as it was before.
fn run_beside_others(probe: &Probe) -> (Value, Vec<Value>) {
    let host = host();
    deploy(&host.api(), probe);
    let api = host.api();
    let others = std::thread::spawn(move || {
        for number in 0..10 {
            assert_eq!(api.run("order", &format!("O{number}"), &json!({}))["status"], "completed");
        }
    });
    let saga = host.api().run(&probe.saga, "P1", &json!({}));
    others.join().unwrap();
    assert_eq!(host.api().get("/healthz").expect(200), json!({"alive": true}));
    laws::hold(&host.api(), "P1");
    let journal = host.api().journal("P1");
    (saga, journal)
}

/// The saga tries twice, and gives up: each attempt was a technical failure of this code.
#[track_caller]
fn assert_technical(probe: &Probe, code: &str) {
    let (saga, journal) = run_beside_others(probe);
    assert_eq!(saga["status"], "compensated", "{saga}");
    assert_eq!((&saga["rollback"]["reason"], &saga["failure"]["code"]), (&json!("exhausted"), &json!(code)), "{saga}");
    assert_eq!(saga["steps"][0]["attempts"], 2);
    let kinds: Vec<&str> = journal.iter().filter_map(|record| record["type"].as_str()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "transient").count(), 2, "{kinds:?}");
    assert!(!kinds.contains(&"refused"), "{kinds:?}");
}

#[test]
fn xr_27_a_trap_is_a_technical_failure() {
    assert_technical(&Probe::execute("unreachable"), "trap");
}

#[test]
fn xr_27_an_endless_loop_is_a_technical_failure() {
    assert_technical(&Probe::execute("(loop $for_ever (br $for_ever)) (unreachable)"), "cpu_limit");
}

#[test]
fn xr_27_endless_recursion_is_a_technical_failure() {
    let items = "(func $dig (param i32) (result i32) (i32.add (call $dig (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))";
    let probe = Probe { items: items.to_owned(), ..Probe::execute(format!("(drop (call $dig (i32.const 0))) {DONE}")) };
    assert_technical(&probe, "trap");
}

#[test]
fn xr_27_eight_gibibytes_are_a_technical_failure() {
    let grow = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))";
    assert_technical(&Probe::execute(format!("{grow} {DONE}")), "memory_limit");
}

#[test]
fn xr_27_a_table_without_end_is_a_technical_failure() {
    let grow = "(loop $more (br_if $more (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1))))";
    let probe = Probe { items: "(table $t 1 funcref)".to_owned(), ..Probe::execute(format!("{grow} {DONE}")) };
    assert_technical(&probe, "table_limit");
}

#[test]
fn xr_27_garbage_is_a_technical_failure() {
    // `probe` is not JSON.
    assert_technical(&Probe::execute("(call $done (i32.const 40) (i32.const 5))"), "bad_output");
}

#[test]
fn xr_27_an_outcome_outside_of_the_memory_is_a_technical_failure() {
    assert_technical(&Probe::execute("(i32.const -8)"), "trap");
}

#[test]
fn xr_27_an_output_over_the_limit_is_a_technical_failure_and_never_cut() {
    let grow = "(drop (memory.grow (i32.const 64)))";
    let fill = "(memory.fill (i32.const 262144) (i32.const 32) (i32.const 2097152))";
    let probe = Probe::execute(format!("{grow} {fill} (call $done (i32.const 262144) (i32.const 2097152))"));
    assert_technical(&probe, "bad_output");
}

#[test]
fn xr_27_a_wait_that_never_ends_is_a_technical_failure() {
    assert_technical(&Probe::execute("(i32.store (i32.const 256) (i32.const 4)) (i32.const 256)"), "bad_output");
}

/// The control: what the guest says it refuses is a refusal.
#[test]
fn xr_27_a_refusal_is_a_refusal() {
    let (saga, journal) = run_beside_others(&Probe::execute("(call $failed (i32.const 1))"));
    assert_eq!((&saga["rollback"]["reason"], &saga["failure"]["code"]), (&json!("refused"), &json!("probe")), "{saga}");
    assert!(journal.iter().any(|record| record["type"] == "refused"));
}

#[test]
fn xr_27_a_compensation_that_traps_leaves_the_saga_stuck_and_visible() {
    let probe = Probe {
        steps: vec![Step::new("reserve", Kind::Compensatable, Undo::Code), Step::new("fail", Kind::Compensatable, Undo::Nothing)],
        compensate: "unreachable".to_owned(),
        ..Probe::execute(in_step('f', "(call $failed (i32.const 1))", DONE))
    };
    let (saga, _) = run_beside_others(&probe);
    assert_eq!(saga["status"], "stuck", "{saga}");
    let stuck = &saga["stuck"][0];
    assert_eq!((&stuck["step"], &stuck["direction"], &stuck["code"]), (&json!("reserve"), &json!("undo"), &json!("exhausted")));
    assert_eq!(saga["outstanding"], json!(["reserve"]));
}

#[test]
fn xr_27_an_answer_that_never_comes_is_unknown_and_asked_for_again_under_the_same_key() {
    let desk = Desk::open(crate::harness::api::Traffic::Once);
    desk.participants.add(Rule::next(1, Operation::ReserveCar, Fault::Drop));
    desk.book("T1");
    desk.ends("T1", &crate::travel::booked());
    let unknown: Vec<Value> = desk.api().journal("T1").into_iter().filter(|record| record["type"] == "unknown").collect();
    assert_eq!(unknown.len(), 1, "{unknown:?}");
    assert_eq!(unknown[0]["step"], "reserve-car");
}

#[test]
fn a_call_that_is_not_granted_stops_the_saga_until_it_is() {
    let desk = Desk::open(crate::harness::api::Traffic::Once);
    desk.api().grant("trip", &["https://elsewhere.example"]);
    let stuck = desk.book("T1");
    assert_eq!((&stuck["status"], &stuck["stuck"][0]["code"]), (&json!("stuck"), &json!("denied")), "{stuck}");
    assert_eq!(stuck["stuck"][0]["why"], format!("denied: {}", desk.url()));
    assert_eq!(stuck["stuck"][0]["help"], json!([format!("amends grant trip --http {}", desk.url())]));
    assert_eq!(desk.trace("T1"), "");
    desk.api().grant("trip", &["https://elsewhere.example", &desk.url()]);
    desk.book("T1");
    desk.ends("T1", &crate::travel::booked());
}

/// A guest that logs the id it was given and the time, and spins in its first attempt, so that the host can be killed meanwhile.
fn teller() -> Probe {
    let imports = r#"
        (import "amends:module/context@0.1.0" "new-id" (func $new_id (param i32)))
        (import "amends:module/context@0.1.0" "now" (func $now (result i64)))
        (import "amends:module/log@0.1.0" "log" (func $log (param i32 i32 i32)))"#;
    // 16 hexadecimal digits of a number, from the last one.
    let items = r#"
        (func $digits (param $number i64) (param $at i32)
            (local $left i32) (local $digit i32)
            (local.set $left (i32.const 16))
            (loop $next
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (local.set $digit (i32.wrap_i64 (i64.and (local.get $number) (i64.const 15))))
                (i32.store8 (i32.add (local.get $at) (local.get $left))
                    (i32.add (local.get $digit) (select (i32.const 48) (i32.const 87) (i32.lt_u (local.get $digit) (i32.const 10)))))
                (local.set $number (i64.shr_u (local.get $number) (i64.const 4)))
                (br_if $next (local.get $left))))"#;
    // A JSON string of both at 600. The attempt's number lies at 60 in the call's record.
    let execute = r#"
        (call $new_id (i32.const 512))
        (i32.store8 (i32.const 600) (i32.const 34))
        (memory.copy (i32.const 601) (i32.load (i32.const 512)) (i32.load (i32.const 516)))
        (call $digits (call $now) (i32.const 633))
        (i32.store8 (i32.const 649) (i32.const 34))
        (call $log (i32.const 2) (i32.const 600) (i32.const 50))
        (if (i32.eq (i32.load offset=60 (local.get $call)) (i32.const 1)) (then (loop $for_ever (br $for_ever))))
        (call $done (i32.const 600) (i32.const 50))"#;
    Probe { imports: imports.to_owned(), items: items.to_owned(), ..Probe::execute(execute) }
}

#[test]
fn xr_28_clock_and_randomness_are_the_same_in_a_run_after_a_kill() {
    let mut host = Host::start(DataFolder::with_modules(Way::Plain), Options::default().with("AMENDS_GUEST_CPU", "600s"));
    deploy(&host.api(), &teller());
    host.api().start("probe", "P1", &json!({})).expect(201);
    let drawn = |line: &str| Some(line.split('"').find(|part| part.len() == 48)?.to_owned());
    let first = drawn(&host.until_logged(|line| drawn(line).is_some())).unwrap();
    host.kill();
    host.advance_ms(90_000);
    host.restart();
    let second = drawn(&host.until_logged(|line| drawn(line).is_some())).unwrap();
    assert_eq!(first, second);
    assert_eq!(host.api().run("probe", "P1", &json!({}))["output"], json!(first));
    // Another saga is told something else.
    host.api().start("probe", "P2", &json!({})).expect(201);
    assert_ne!(drawn(&host.until_logged(|line| drawn(line).is_some())).unwrap(), first);
}
