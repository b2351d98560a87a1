//! Messages and timers: early, late, twice, for nobody; and what operators do. XR-20, 21, 22, 24, 30, 31, 32.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, OnceLock},
    thread,
};

use axum::{Json, Router, body::Bytes, extract::State, routing::post};
use expect_test::expect;
use participants::{Fault, Operation, Rule};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::harness::{
    api::{Api, Traffic},
    desk::{Desk, saga_text},
    folder::DataFolder,
    guests::Way,
    host::{Host, Options},
    laws,
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

/// Law 2: the sender was told that the signal woke the saga, so it has, whenever the host dies. The answer left when the event was
/// durable, and the arrival was not: the event was not kept either, and the saga waited for ever.
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

/// A participant that answers at once, after it has asked the host for the saga that calls it.
struct Echo {
    url: String,
    host: Arc<OnceLock<Api>>,
    unknown: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

type Shared = (Arc<OnceLock<Api>>, Arc<Mutex<Vec<String>>>);

impl Echo {
    fn start() -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared: Shared = Default::default();
        let (host, unknown) = shared.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let thread = thread::spawn(move || {
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let router = Router::new().fallback(post(answer)).with_state(shared);
                tokio::select! {
                    served = async { axum::serve(listener, router).await } => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self { url, host, unknown, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed.
            let _ = thread.join();
        }
    }
}

async fn answer(State((host, unknown)): State<Shared>, body: Bytes) -> Json<Value> {
    let ask: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (trip, step) = (ask["trip"].as_str().unwrap_or_default().to_owned(), ask["step"].clone());
    let looked = tokio::task::spawn_blocking(move || {
        let journal = host.get().map(|api| api.get(&format!("/v1/sagas/{trip}/journal")));
        let known = journal.is_some_and(|answer| {
            let records = answer.body["records"].as_array().cloned().unwrap_or_default();
            records.iter().any(|record| record["type"] == "intent" && record["step"] == step)
        });
        if !known {
            unknown.lock().unwrap().push(format!("{trip} {step}"));
        }
    });
    looked.await.unwrap();
    Json(json!({"confirmation": "C", "amount_cents": ask["amount_cents"]}))
}

/// 300 sagas of two calls in every run, and the 10,000 calls of the scenario with `AMENDS_MATRIX=1`.
#[test]
fn xr_22_a_participant_never_knows_of_what_the_host_does_not() {
    let sagas = if std::env::var_os("AMENDS_MATRIX").is_some() { 5_000 } else { 300 };
    let echo = Echo::start();
    let host = host();
    echo.host.set(host.api()).ok().unwrap();
    host.api().grant("trip", &[&echo.url]);
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (api, input) = (host.api(), json!({"participants": echo.url}));
            thread::spawn(move || {
                for number in (thread..sagas).step_by(4) {
                    assert_eq!(api.run("flight", &format!("F{number}"), &input)["status"], "completed");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*echo.unknown.lock().unwrap(), Vec::<String>::new());
}

/// A trip whose hotel cannot be cancelled, stuck.
fn stuck(traffic: Traffic) -> Desk {
    let desk = Desk::open(traffic);
    desk.participants.set_stock("K1", 0);
    desk.participants.add(Rule::every(Operation::CancelHotel, Fault::Fail));
    assert_eq!(desk.book("T1")["status"], "stuck");
    desk
}

/// Sends a verb twice under one key, and gives both answers' `applied`.
#[track_caller]
fn twice(desk: &Desk, verb: &str, body: &Value) -> (bool, bool) {
    let send = || {
        let path = format!("/v1/sagas/T1/{verb}");
        let body = body.to_string();
        desk.api().try_send(ureq::http::Method::POST, &path, Some("one-key"), body.as_bytes()).unwrap().expect(200)
    };
    let (first, second) = (send(), send());
    assert_eq!(first["id"], second["id"]);
    (first["applied"] == true, second["applied"] == true)
}

#[track_caller]
fn audited(desk: &Desk, kind: &str, note: &str) {
    let journal = desk.api().journal("T1");
    let of_it: Vec<&Value> = journal.iter().filter(|record| record["type"] == kind).collect();
    let [record] = of_it[..] else { panic!("not one {kind}: {of_it:?}") };
    assert_eq!((&record["note"], &record["by"], &record["actor"]), (&json!(note), &json!("tester"), &json!("local")));
}

#[test]
fn xr_30_what_is_stuck_is_listed_and_tried_again() {
    let desk = stuck(Traffic::Once);
    desk.api().run("order", "O1", &json!({}));
    let listed = desk.api().get("/v1/sagas?status=stuck").expect(200);
    let ids: Vec<&Value> = listed["sagas"].as_array().unwrap().iter().map(|saga| &saga["id"]).collect();
    assert_eq!(ids, [&json!("T1")]);
    desk.participants.control(participants::Control { clear: true, ..Default::default() });
    assert_eq!(twice(&desk, "retry", &json!({"note": "the hotel is back"})), (true, false));
    desk.book("T1");
    audited(&desk, "retried", "the hotel is back");
    let expected = expect![[r#"
        compensated, refused no_car
          reserve-flight compensated
          reserve-hotel compensated
          reserve-car refused
          charge pending
          issue-tickets pending
          email-itinerary pending
        left: F100 2, H1 1, K1 0, A 1000.00; emails 0
        effects: cancel-flight 1, cancel-hotel 1, reserve-flight 1, reserve-hotel 1
    "#]];
    expected.assert_eq(&desk.end("T1"));
}

#[test]
fn xr_30_a_compensation_is_skipped_and_stays_outstanding() {
    let desk = stuck(Traffic::Once);
    assert_eq!(twice(&desk, "skip", &json!({"step": "reserve-hotel", "note": "we pay for the room"})), (true, false));
    let saga = desk.book("T1");
    assert_eq!((&saga["status"], &saga["outstanding"]), (&json!("compensated"), &json!(["reserve-hotel"])));
    audited(&desk, "skipped", "we pay for the room");
    let expected = expect![[r#"
        compensated, refused no_car
          reserve-flight compensated
          reserve-hotel skipped
          reserve-car refused
          charge pending
          issue-tickets pending
          email-itinerary pending
        left: F100 2, H1 0, K1 0, A 1000.00; emails 0
        effects: cancel-flight 1, reserve-flight 1, reserve-hotel 1
    "#]];
    expected.assert_eq(&desk.end("T1"));
}

#[test]
fn xr_30_a_stuck_saga_is_abandoned_with_what_stands() {
    let desk = stuck(Traffic::Once);
    assert_eq!(twice(&desk, "abandon", &json!({"note": "the traveller went anyway"})), (true, false));
    let saga = desk.api().saga("T1");
    assert_eq!((&saga["status"], &saga["outstanding"]), (&json!("abandoned"), &json!(["reserve-flight", "reserve-hotel"])));
    audited(&desk, "abandoned", "the traveller went anyway");
    let expected = expect![[r#"
        abandoned, refused no_car
          reserve-flight done
          reserve-hotel done
          reserve-car refused
          charge pending
          issue-tickets pending
          email-itinerary pending
        left: F100 1, H1 0, K1 0, A 1000.00; emails 0
        effects: reserve-flight 1, reserve-hotel 1
    "#]];
    expected.assert_eq(&desk.end("T1"));
}

#[test]
fn xr_30_a_saga_is_cancelled_once() {
    let desk = Desk::open(Traffic::Once);
    desk.hold(Operation::ReserveCar);
    desk.begin("trip", "T1");
    desk.asked(Operation::ReserveCar);
    assert_eq!(twice(&desk, "cancel", &json!({"note": "ill"})), (true, false));
    // Another cancel, under another key, answers the same and changes nothing.
    assert_eq!(desk.act("T1", "cancel", &json!({})).expect(200)["applied"], false);
    desk.release(Operation::ReserveCar);
    desk.book("T1");
    audited(&desk, "cancel_requested", "ill");
    assert!(desk.end("T1").starts_with("compensated, cancelled"));
}

#[test]
fn xr_31_a_rollback_goes_on_after_a_cancel_and_a_shutdown() {
    let mut desk = Desk::open(Traffic::Once);
    desk.participants.set_stock("K1", 0);
    desk.hold(Operation::CancelHotel);
    desk.begin("trip", "T1");
    desk.asked(Operation::CancelHotel);
    assert_eq!(desk.act("T1", "cancel", &json!({})).expect(200)["applied"], false);
    // The open attempt gets its ten seconds, and they pass.
    desk.host.terminate();
    desk.host.until_logged(|line| line.contains("stopping: no new starts"));
    desk.host.advance_ms(10_000);
    assert!(desk.host.ended().success(), "{}", desk.host.log());
    desk.host.restart();
    desk.release(Operation::CancelHotel);
    desk.book("T1");
    let expected = expect![[r#"
        compensated, refused no_car
          reserve-flight compensated
          reserve-hotel compensated
          reserve-car refused
          charge pending
          issue-tickets pending
          email-itinerary pending
        left: F100 2, H1 1, K1 0, A 1000.00; emails 0
        effects: cancel-flight 1, cancel-hotel 1, reserve-flight 1, reserve-hotel 1
    "#]];
    expected.assert_eq(&desk.end("T1"));
    assert_eq!(desk.trace("T1"), "reserve-flight reserve-hotel reserve-car✗ cancel-hotel cancel-flight");
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
