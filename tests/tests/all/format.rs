//! A data folder of this format, which every later host must read.
//!
//! The folder is never written again. A host that cannot read it, or reads it in another way, could not read the data of users.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use expect_test::expect;
use participants::{Fault, Operation, Rule};
use serde_json::json;
use ureq::http::Method;

use crate::harness::{
    api::Api,
    desk::{Desk, saga_text},
    folder::{DataFolder, copy},
    guests::{Way, guest},
    host::{Host, Options},
    laws,
};

/// 2100-01-01: when it was written, by the clock of its hosts. What waits in it is as far from its deadline whenever it is read.
const WRITTEN_AT_MS: u64 = 4_102_444_800_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/data-folder-2")
}

/// A host whose clock is so far past the moment at which the folder was written.
fn past_ms(ms: u64) -> Options {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    Options { clock_ms: WRITTEN_AT_MS + ms - u64::try_from(now).unwrap(), ..Options::default() }
}

#[test]
fn a_data_folder_of_this_format_is_read_for_ever() {
    let host = Host::start(DataFolder::of(&folder()), past_ms(3_600_000));
    let api = host.api();
    let expected = expect![[r#"
        A1, "approval" v2: completed
          request done
          decide done
          cool-off done
          record done
          = {"approved_by":"ada","request_id":"A1","subject":"something","version":2}
          started intent done intent wait arrived intent done intent wait timer_fired intent done intent done completed
        O1, "order" v1: completed
          reserve-credit done
          reserve-stock done
          charge done
          = {"amount_cents":1999,"currency":"EUR","customer":"ada","hold":"credit-o-1","order_id":"o-1","version":1}
          started intent done intent done intent done completed
        O2, "order" v1: compensated, refused declined
          reserve-credit compensated
          reserve-stock compensated
          charge refused
          started intent done intent done intent refused rollback_begun intent undone intent undone compensated
        T1, "trip" v1: completed
          reserve-flight done
          reserve-hotel done
          reserve-car done
          charge done
          issue-tickets done
          email-itinerary done
          = {"price":"870.00","status":"BOOKED","trip":"T1","version":1}
          started intent transient stuck unstuck intent done intent done intent done intent done intent done intent done completed
        T2, "trip" v1: compensated, refused no_car
          reserve-flight compensated
          reserve-hotel skipped
          reserve-car refused
          charge pending
          issue-tickets pending
          email-itinerary pending
          started intent done intent done intent refused rollback_begun intent unknown backoff intent unknown backoff intent unknown backoff intent unknown backoff intent unknown stuck retried intent unknown backoff intent unknown backoff intent unknown backoff intent unknown backoff intent unknown stuck skipped intent undone compensated
        T3, "trip" v1: abandoned, refused no_car
          reserve-flight done
          reserve-hotel done
          reserve-car refused
          charge pending
          issue-tickets pending
          email-itinerary pending
          started intent done intent done intent refused rollback_begun intent unknown backoff intent unknown backoff intent unknown backoff intent unknown backoff intent unknown stuck abandoned
        T4, "trip" v1: compensated, cancelled cancelled
          reserve-flight compensated
          reserve-hotel refused
          reserve-car pending
          charge pending
          issue-tickets pending
          email-itinerary pending
          started intent done intent cancel_requested rollback_begun refused intent undone compensated
        T5, "trip" v1: stuck
          reserve-flight stuck
          reserve-hotel pending
          reserve-car pending
          charge pending
          issue-tickets pending
          email-itinerary pending
          started intent transient stuck
        T6, "trip" v1: compensated, refused no_car, manual 1
          reserve-flight compensated
          reserve-hotel compensated
          reserve-car refused
          charge pending
          issue-tickets pending
          email-itinerary pending
          started intent done intent done intent refused rollback_begun intent unknown backoff intent unknown backoff intent unknown backoff intent unknown backoff intent unknown stuck resolved intent undone compensated
        W1, "approval" v1: waiting
          request done
          decide waiting
          cool-off pending
          record pending
          started intent done intent wait
        W2, "approval" v2: waiting
          request done
          decide waiting
          cool-off pending
          record pending
          started intent done intent wait
        approval: v1 v2, active v2; {"config":{},"http":[],"secrets":[]}
        order: v1, active v1; {"config":{},"http":[],"secrets":[]}
        trip: v1, active v1; {"config":{"region":"eu"},"http":[],"secrets":["bank"]}
    "#]];
    expected.assert_eq(&content(&api));
    for id in ["O1", "O2", "A1", "T1", "T2", "T3", "T4", "T6"] {
        laws::hold(&api, id);
    }

    // What waits goes on, each on the code that it began on.
    let approved = json!({"approved": true, "by": "ada"});
    for (id, version) in [("W1", 1), ("W2", 2)] {
        api.post(&format!("/v1/sagas/{id}/signals/approval"), &approved).expect(202);
        api.until_type(id, "completed");
        let saga = api.saga(id);
        assert_eq!(saga["output"]["version"], version, "{saga}");
    }
    // A signal that came before its saga was kept.
    assert_eq!(api.run("approval", "LATER", &json!({}))["status"], "completed");
    // What is stuck is as stuck as it was, and takes verbs.
    api.post("/v1/sagas/T5/abandon", &json!({"note": "long ago"})).expect(200);
    // The number of a removed version is not given again.
    let order = api.get("/v1/modules/order").expect(200)["versions"][0]["digest"].as_str().unwrap().to_owned();
    let mut other = fs::read(folder().join("modules").join(order + ".wasm")).unwrap();
    // A custom section: another component that does the same.
    other.extend(b"\x00\x06\x05other");
    assert_eq!(api.put("/v1/modules/order", &other).expect(201)["version"], 3);
    assert_eq!(api.run("order", "NEW", &json!({}))["status"], "completed");
}

/// Sagas by id with where they stand and the types of their records; modules with their versions and grants.
fn content(api: &Api) -> String {
    let mut sagas = api.get("/v1/sagas?limit=100").expect(200)["sagas"].as_array().unwrap().clone();
    sagas.sort_by_key(|saga| saga["id"].to_string());
    let mut text = String::new();
    for line in sagas {
        let id = line["id"].as_str().unwrap();
        let saga = api.saga(id);
        let kinds: Vec<String> = api.journal(id).iter().map(|record| record["type"].as_str().unwrap().to_owned()).collect();
        text += &format!("{id}, {} v{}: {}  {}\n", saga["module"], saga["version"], saga_text(&saga), kinds.join(" "));
    }
    for module in api.get("/v1/modules").expect(200)["modules"].as_array().unwrap() {
        let name = module["name"].as_str().unwrap();
        let versions = module["versions"].as_array().unwrap();
        let versions: Vec<String> = versions.iter().map(|version| format!("v{}", version["version"])).collect();
        let grants = &api.get(&format!("/v1/modules/{name}/grants")).expect(200)["grants"];
        text += &format!("{name}: {}, active v{}; {grants}\n", versions.join(" "), module["active"]);
    }
    text
}

#[test]
#[ignore = "writes the folder, whose format is frozen: for a format that comes after it"]
fn the_data_folder_of_this_format_is_written() {
    let desk = Desk::on(DataFolder::empty(), past_ms(0));
    let api = desk.api();
    for name in ["order", "trip", "approval"] {
        api.put(&format!("/v1/modules/{name}"), &guest(Way::Plain, name)).expect(201);
    }

    api.run("order", "O1", &json!({"order_id": "o-1"}));
    api.run("order", "O2", &json!({"order_id": "o-2", "fail_at": "charge"}));
    api.put("/v1/modules/order?activate=false", &guest(Way::Plain, "order-v2")).expect(201);
    api.write(Method::DELETE, "/v1/modules/order/versions/2", b"").expect(200);

    let long = json!({"decide_within_s": 250_000_000});
    api.start("approval", "W1", &long).expect(201);
    api.until_type("W1", "wait");
    api.put("/v1/modules/approval", &guest(Way::Plain, "approval-v2")).expect(201);
    api.start("approval", "W2", &long).expect(201);
    api.until_type("W2", "wait");
    let cooled = json!({"decide_within_s": 250_000_000, "cool_off_s": 1});
    api.start("approval", "A1", &cooled).expect(201);
    api.post("/v1/sagas/A1/signals/approval", &json!({"approved": true, "by": "ada"})).expect(202);
    api.run("approval", "A1", &cooled);
    api.post("/v1/sagas/LATER/signals/approval", &json!({"approved": true, "by": "ada"})).expect(202);

    // Denied, then granted.
    api.start("trip", "T1", &desk.trip()).expect(201);
    api.until_type("T1", "stuck");
    api.grant("trip", &[&desk.url()]);
    desk.book("T1");
    // Refused after three done; a compensation that fails, is tried again, skipped.
    desk.participants.set_stock("K1", 0);
    desk.participants.add(Rule::every(Operation::CancelHotel, Fault::Fail));
    desk.participants.set_stock("H1", 3);
    desk.participants.set_stock("F100", 9);
    desk.book("T2");
    desk.act("T2", "retry", &json!({"note": "once more"})).expect(200);
    desk.book("T2");
    desk.act("T2", "skip", &json!({"step": "reserve-hotel", "note": "we pay for the room"})).expect(200);
    desk.book("T2");
    desk.book("T3");
    desk.book("T6");
    desk.act("T3", "abandon", &json!({"note": "enough"})).expect(200);
    desk.act("T6", "resolve", &json!({"step": "reserve-hotel", "undone": true, "note": "by telephone"})).expect(200);
    desk.book("T6");
    desk.participants.control(participants::Control { clear: true, ..Default::default() });
    // Cancelled under way; resolved by hand.
    desk.participants.set_stock("K1", 3);
    desk.hold(Operation::ReserveHotel);
    desk.begin("trip", "T4");
    api.until("T4", |record| record["type"] == "intent" && record["step"] == "reserve-hotel");
    desk.act("T4", "cancel", &json!({"note": "ill"})).expect(200);
    desk.release(Operation::ReserveHotel);
    desk.book("T4");
    // Stuck, and left so.
    let other = json!({"grants": {"config": {"region": "eu"}, "secrets": ["bank"]}, "force": true});
    api.put("/v1/modules/trip/grants", other.to_string().as_bytes()).expect(200);
    api.start("trip", "T5", &desk.trip()).expect(201);
    api.until_type("T5", "stuck");

    let mut desk = desk;
    assert!(desk.host.stop().success(), "{}", desk.host.log());
    let folder = folder();
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    copy(desk.host.folder.path(), &folder).unwrap();
    // Made anew by every host.
    fs::remove_dir_all(folder.join("cache")).unwrap();
    fs::remove_file(folder.join("LOCK")).unwrap();
}
