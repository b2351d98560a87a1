//! Messages, answers and timers that are early, late, repeated, or without a receiver. XR-20, 21, 24, 32.

use expect_test::expect;
use participants::{Fault, Operation, Rule};
use serde_json::{Value, json};

use crate::harness::{
    api::{Api, Traffic},
    desk::{Desk, saga_text},
    folder::DataFolder,
    guests::Way,
    host::{Host, Options},
    laws,
    probe::{DONE, Probe},
};

fn host() -> Host {
    Host::start(DataFolder::with_modules(Way::Plain), Options::default())
}

/// Begins an approval, and waits until it waits for a decision.
#[track_caller]
fn request(api: &Api, id: &str, input: &Value) {
    api.start("approval", id, input).expect(201);
    api.until_type(id, "wait");
}

fn event(id: &str, key: &str, data: &Value) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "test", "type": "approval", "subject": key, "data": data})
}

#[test]
fn xr_20_a_timer_ends_with_its_saga_and_does_not_reach_the_next_one_of_its_key() {
    let mut host = host();
    let api = host.api();
    request(&api, "first", &json!({"request_id": "K", "decide_within_s": 60}));
    host.advance_ms(10_000);
    api.post("/v1/events", &event("E1", "K", &json!({"approved": true, "by": "ada"}))).expect(202);
    let first = api.run("approval", "first", &json!({"request_id": "K", "decide_within_s": 60}));
    assert_eq!(first["status"], "completed");
    host.advance_ms(10_000);
    request(&api, "second", &json!({"request_id": "K", "decide_within_s": 3_600}));
    // A timer that is due after the first one's shows that its moment has passed.
    request(&api, "witness", &json!({"request_id": "W", "decide_within_s": 45}));
    host.advance_ms(50_000);
    assert_eq!(api.until_type("witness", "compensated")["actor"], "host");
    assert_eq!(api.saga("first")["revision"], first["revision"]);
    assert_eq!(api.saga("second")["status"], "waiting");
    laws::hold(&api, "first");
}

#[test]
fn xr_21_a_message_for_nobody_is_kept_and_then_a_dead_letter() {
    let mut host = host();
    let api = host.api();
    let decision = json!({"approved": true, "by": "ada"});
    let kept = api.post("/v1/sagas/R1/signals/approval", &decision).expect(202);
    assert_eq!((&kept["woke"], kept["kept_until"].is_string()), (&json!(0), true), "{kept}");
    let nobody = api.post("/v1/sagas/R2/signals/approval", &decision).expect(202);
    let by_key = api.post("/v1/events", &event("E1", "K", &decision)).expect(202);
    assert_eq!((&by_key["woke"], by_key["kept_until"].is_string()), (&json!(0), true), "{by_key}");
    // Kept for a saga that begins later.
    assert_eq!(api.run("approval", "R1", &json!({}))["output"]["approved_by"], "ada");
    // An event by key is for those that had begun.
    request(&api, "R3", &json!({"request_id": "K", "decide_within_s": 8 * 86_400}));
    assert_eq!(api.saga("R3")["status"], "waiting");
    assert_eq!(api.metric("amends_dead_letters_total"), 0.0);
    host.advance_ms(8 * 86_400_000);
    api.until_type("R3", "compensated");
    assert_eq!(api.metric("amends_dead_letters_total"), 1.0, "{nobody}");
    request(&api, "R2", &json!({}));
    assert_eq!(api.saga("R2")["status"], "waiting");
}

#[test]
fn xr_24_what_comes_too_late_or_to_the_wrong_place_changes_nothing() {
    let host = host();
    let api = host.api();
    let decision = json!({"approved": true, "by": "ada"});
    request(&api, "R1", &json!({}));
    // Another type than it waits for, and the right type with data that makes no sense.
    assert_eq!(api.post("/v1/sagas/R1/signals/denial", &decision).expect(202)["woke"], 0);
    api.post("/v1/sagas/R1/signals/approval", &json!("maybe")).expect(202);
    api.until("R1", |record| record["type"] == "wait" && record["attempt"] == 2);
    assert_eq!(api.saga("R1")["status"], "waiting");
    // The same event twice is one event.
    request(&api, "R2", &json!({"request_id": "K"}));
    assert_eq!(api.post("/v1/events", &event("E1", "K", &decision)).expect(202)["woke"], 1);
    let again = api.post("/v1/events", &event("E1", "K", &decision)).expect(200);
    assert_eq!((&again["duplicate"], &again["woke"]), (&json!(true), &json!(1)), "{again}");
    let ended = api.run("approval", "R2", &json!({"request_id": "K"}));
    // To a saga that has ended.
    assert_eq!(api.post("/v1/sagas/R2/signals/approval", &decision).code(), "409 saga_ended");
    assert_eq!(api.post("/v1/events", &event("E2", "K", &decision)).expect(202)["woke"], 0);
    assert_eq!(api.saga("R2")["revision"], ended["revision"]);
    api.post("/v1/sagas/R1/signals/approval", &decision).expect(202);
    assert_eq!(api.run("approval", "R1", &json!({}))["status"], "completed");
    laws::hold(&api, "R1");
    laws::hold(&api, "R2");
}

#[test]
fn xr_24_an_answer_to_an_attempt_that_is_over_changes_nothing() {
    let mut desk = Desk::open(Traffic::Once);
    desk.participants.add(Rule::next(1, Operation::ReserveCar, Fault::Hold).after_effect());
    desk.begin("trip", "T1");
    desk.asked(Operation::ReserveCar);
    desk.host.advance_ms(30_000);
    let ended = desk.book("T1");
    // The answer to the first attempt comes after the saga's end.
    desk.release(Operation::ReserveCar);
    desk.ends("T1", &crate::travel::booked());
    assert_eq!(desk.api().saga("T1")["revision"], ended["revision"]);
    let journal = desk.api().journal("T1");
    let of_the_car: Vec<(&Value, &Value)> = journal
        .iter()
        .filter(|record| record["step"] == "reserve-car" && (record["type"] == "unknown" || record["type"] == "done"))
        .map(|record| (&record["type"], &record["attempt"]))
        .collect();
    assert_eq!(of_the_car, [(&json!("unknown"), &json!(1)), (&json!("done"), &json!(2))]);
}

/// Law 2: the sender was told that the signal woke the saga, so it has, whenever the host dies. The answer left when the event
/// was durable, and the arrival was not: the event was not kept either, and the saga waited for ever.
#[test]
fn a_signal_sent_twice_under_one_key_around_a_kill_is_one_signal() {
    let mut host = host();
    request(&host.api(), "R1", &json!({"cool_off_s": 3_600}));
    let send = |host: &Host| {
        let body = json!({"approved": true, "by": "ada"}).to_string();
        host.api()
            .try_send(ureq::http::Method::POST, "/v1/sagas/R1/signals/approval", Some("decision-1"), body.as_bytes())
            .unwrap()
    };
    assert_eq!(send(&host).status, 202);
    host.restart();
    assert_eq!(send(&host).status, 200);
    let arrived = host.api().journal("R1").iter().filter(|record| record["type"] == "arrived").count();
    assert_eq!(arrived, 1);
    host.advance_ms(3_600_000);
    host.api().until_type("R1", "completed");
    laws::hold(&host.api(), "R1");
}

/// The only place for guests is taken, so the signal is durable and nothing has come of it when the host dies.
#[test]
fn xr_32_what_was_told_before_a_kill_is_taken_up_at_start_up() {
    let options = Options::default().with("AMENDS_GUEST_IN_FLIGHT", "1").with("AMENDS_GUEST_CPU", "600s");
    let mut host = Host::start(DataFolder::with_modules(Way::Plain), options);
    let api = host.api();
    request(&api, "R1", &json!({}));
    let looping = Probe::execute(format!("(loop $for_ever (br $for_ever)) {DONE}"));
    api.put("/v1/modules/probe", &looping.component()).expect(201);
    api.start("probe", "P1", &json!({})).expect(201);
    api.until_type("P1", "intent");
    let accepted = api.post("/v1/sagas/R1/signals/approval", &json!({"approved": true, "by": "ada"})).expect(202);
    assert_eq!(accepted["woke"], 1, "{accepted}");
    assert!(!api.journal("R1").iter().any(|record| record["step"] == "decide" && record["type"] == "done"));
    host.kill();
    host.restart_with(Options::default());
    // Nobody asks it for anything but to look on.
    assert_eq!(host.api().until_type("R1", "completed")["actor"], "host");
    laws::hold(&host.api(), "R1");
}

#[test]
fn xr_32_what_came_due_while_the_host_was_down_is_done_at_start_up() {
    let mut host = host();
    request(&host.api(), "late", &json!({"decide_within_s": 60}));
    request(&host.api(), "cooling", &json!({"cool_off_s": 60}));
    host.api().post("/v1/sagas/cooling/signals/approval", &json!({"approved": true, "by": "ada"})).expect(202);
    host.api().until("cooling", |record| record["type"] == "wait" && record["step"] == "cool-off");
    host.kill();
    host.advance_ms(120_000);
    host.restart();
    assert_eq!(host.api().until_type("late", "compensated")["actor"], "host");
    assert_eq!(host.api().until_type("cooling", "completed")["actor"], "host");
    expect![[r#"
        compensated, refused nobody_decided
          request compensated
          decide refused
          cool-off pending
          record pending
        completed
          request done
          decide done
          cool-off done
          record done
          = {"approved_by":"ada","request_id":"cooling","subject":"something","version":1}
    "#]]
    .assert_eq(&(saga_text(&host.api().saga("late")) + &saga_text(&host.api().saga("cooling"))));
}
