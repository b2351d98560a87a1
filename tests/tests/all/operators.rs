//! Operators' verbs for sagas that are stuck or roll back: each verb is recorded, and applies once. XR-30, 31.

use std::thread;

use expect_test::expect;
use participants::{Fault, Operation, Rule};
use serde_json::{Value, json};

use crate::harness::{api::Traffic, desk::Desk, guests::Way, host::Options};

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

/// A module whose participants do not answer holds all the places that it may have, and an attempt of its next saga waits for one. A
/// cancel of that saga took effect when the attempt had its place, or after a minute. The kind: the end of something is awaited that
/// has not begun.
#[test]
fn c2_31_a_saga_whose_attempt_waits_for_its_place_is_cancelled_at_once() {
    let one_place = Options::default().with("AMENDS_GUEST_IN_FLIGHT", "1").with("AMENDS_GUEST_WAITING", "0");
    let desk = Desk::open_with(Way::Plain, one_place);
    desk.hold(Operation::ReserveFlight);
    desk.begin("trip", "T1");
    assert!(desk.asked(Operation::ReserveFlight));
    desk.begin("trip", "T2");
    while desk.api().metric("amends_guests") < 2.0 {
        thread::yield_now();
    }
    desk.act("T2", "cancel", &json!({"note": "ill"})).expect(200);
    assert_eq!((&desk.book("T2")["status"], &desk.api().saga("T1")["status"]), (&json!("compensated"), &json!("running")));
    let told = |record: &Value| [&record["type"], &record["failure"]["code"]].map(|word| word.as_str().unwrap_or("").to_owned());
    let journal: Vec<String> = desk.api().journal("T2").iter().map(|record| told(record).join(" ").trim().to_owned()).collect();
    expect![[r#"
        started
        intent
        cancel_requested
        rollback_begun cancelled
        transient withdrawn
        compensated"#]]
    .assert_eq(&journal.join("\n"));
    desk.release(Operation::ReserveFlight);
    assert_eq!(desk.book("T1")["status"], "completed");
    desk.end("T2");
}

/// An attempt whose participant does not answer kept its place when its saga was abandoned, here the only one, for as long as the
/// deadline of its step allowed; a stop waited for it as well.
#[test]
fn an_abandoned_saga_gives_the_place_of_its_attempt_back_at_once() {
    let one_place = Options::default()
        .with("AMENDS_GUEST_IN_FLIGHT", "1")
        .with("AMENDS_GUEST_WAITING", "0")
        .with("AMENDS_SERVER_DRAIN", "1h");
    let mut desk = Desk::open_with(Way::Plain, one_place);
    for id in ["T1", "T3"] {
        desk.participants.add(Rule::next(1, Operation::ReserveFlight, Fault::Hold));
        desk.begin("trip", id);
        let asked = |desk: &Desk| desk.participants.state().trace.iter().any(|call| call.trip == id);
        while !asked(&desk) {
            thread::yield_now();
        }
        desk.act(id, "abandon", &json!({"note": "settled by hand"})).expect(200);
        if id == "T1" {
            assert_eq!(desk.book("T2")["status"], "completed");
        }
        let types: Vec<Value> = desk.api().journal(id).iter().map(|record| record["type"].clone()).collect();
        assert_eq!(types, ["started", "intent", "abandoned"]);
    }
    // The third one is not awaited, though it might take an hour.
    assert!(desk.host.stop().success(), "{}", desk.host.log());
}

#[test]
fn xr_30_what_is_stuck_on_its_way_is_sent_back_by_a_cancel() {
    let desk = Desk::open(Traffic::Once);
    desk.hold(Operation::ReserveFlight);
    desk.begin("trip", "T1");
    desk.asked(Operation::ReserveFlight);
    let elsewhere = json!({"grants": {"http": [{"origin": "https://elsewhere.example"}]}, "force": true}).to_string();
    desk.api().put("/v1/modules/trip/grants", elsewhere.as_bytes()).expect(200);
    desk.release(Operation::ReserveFlight);
    let stuck = desk.book("T1");
    assert_eq!((&stuck["status"], &stuck["stuck"][0]["step"]), (&json!("stuck"), &json!("reserve-hotel")), "{stuck}");
    assert_eq!(twice(&desk, "cancel", &json!({"note": "no hotel for them"})), (true, false));
    audited(&desk, "cancel_requested", "no hotel for them");
    // The way back needs what was taken away, too.
    let stuck = desk.book("T1");
    let why = &stuck["stuck"][0];
    assert_eq!((&why["step"], &why["direction"]), (&json!("reserve-flight"), &json!("undo")), "{stuck}");
    desk.api().grant("trip", &["https://elsewhere.example", &desk.url()]);
    desk.book("T1");
    let expected = expect![[r#"
        compensated, cancelled cancelled
          reserve-flight compensated
          reserve-hotel pending
          reserve-car pending
          charge pending
          issue-tickets pending
          email-itinerary pending
        left: F100 2, H1 1, K1 1, A 1000.00; emails 0
        effects: cancel-flight 1, reserve-flight 1
    "#]];
    expected.assert_eq(&desk.end("T1"));
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
