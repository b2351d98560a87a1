//! A guest that is executing each time its host dies: it runs alone, then not again; its version starts no new sagas, and its
//! saga moves to another version. Law 11.

use std::{fs, thread, time::Instant};

use expect_test::expect;
use serde_json::{Value, json};

use crate::harness::{
    api::{Api, PATIENCE},
    folder::DataFolder,
    host::{Host, Options},
    laws,
    probe::{Kind, Probe, Step, Undo, WAITS, at_first, in_saga, says},
};

/// A version that says this digit, waits first in sagas `W…`, and in sagas `S…` does this.
fn version(digit: u8, in_s: &str) -> Vec<u8> {
    let waits = in_saga('W', &at_first(WAITS, &says(digit)), &says(digit));
    let steps = vec![Step::new("poke", Kind::Compensatable, Undo::Nothing)];
    Probe { steps, ..Probe::execute(in_saga('S', in_s, &waits)) }.component()
}

/// Longer than any host lives here.
const FOR_EVER: &str = "(loop $for_ever (br $for_ever)) (unreachable)";

/// Waits until the host's marker says that another attempt of the saga is executing than it said before, and gives what it says.
/// It is written by a heartbeat, and nothing else tells of it.
#[track_caller]
fn executing(host: &Host, id: &str, before: &[u8]) -> Vec<u8> {
    let (marker, deadline) = (host.folder.path().join("executing"), Instant::now() + PATIENCE);
    loop {
        let marked = fs::read(&marker).unwrap_or_default();
        if marked != before && marked.windows(id.len()).any(|part| part == id.as_bytes()) {
            return marked;
        }
        assert!(Instant::now() < deadline, "{id} is not executing");
        thread::yield_now();
    }
}

fn digits(api: &Api, ids: &[&str]) -> Vec<Value> {
    ids.iter().map(|id| api.run("probe", id, &json!({}))).map(|saga| json!([saga["version"], saga["output"]])).collect()
}

#[test]
fn a_version_that_the_host_dies_of_is_quarantined_and_its_saga_ends_on_another() {
    let mut host = Host::start(DataFolder::empty(), Options::default().with("AMENDS_GUEST_CPU", "10m"));
    host.api().put("/v1/modules/probe", &version(1, FOR_EVER)).expect(201);
    host.api().start("probe", "W1", &json!({})).expect(201);
    host.api().until_type("W1", "wait");
    host.api().start("probe", "S1", &json!({})).expect(201);
    let mut marked = Vec::new();
    for _ in 0..3 {
        marked = executing(&host, "S1", &marked);
        host.kill();
        host.restart();
    }
    let stuck = host.api().run("probe", "S1", &json!({}));
    assert_eq!((&stuck["status"], &stuck["stuck"][0]["code"]), (&json!("stuck"), &json!("host_died")), "{stuck}");
    let refused = host.api().start("probe", "R1", &json!({}));
    expect![[r#"
        409 quarantined: probe v1 is quarantined: it was executing each time the host died
          hint: activate another version, or this one again
    "#]]
    .assert_eq(&refused.error());

    host.api().put("/v1/modules/probe", &version(2, &says(2))).expect(201);
    host.api().start("probe", "W2", &json!({})).expect(201);
    host.api().until_type("W2", "wait");
    let refused = host.api().post("/v1/sagas/W2/move", &json!({"version": 1}));
    expect![[r#"
        409 quarantined: probe v1 is quarantined: it was executing each time the host died
          hint: move to another version, or activate this one again
    "#]]
    .assert_eq(&refused.error());

    // It needs no host that dies a fourth time: another version is tried at once.
    let moved = host.cli(&["move", "S1", "--to", "2", "--note", "version 2 comes to an end", "--yes"]);
    assert_eq!(moved.code, 0, "{}", moved.stderr);
    assert_eq!(digits(&host.api(), &["S1", "R1"]), [json!([2, 2]), json!([2, 2])]);
    // The saga that was in flight on the quarantined version goes on there.
    for id in ["W1", "W2"] {
        host.api().post(&format!("/v1/sagas/{id}/signals/probe"), &json!({})).expect(202);
    }
    assert_eq!(digits(&host.api(), &["W1", "W2"]), [json!([1, 1]), json!([2, 2])]);
    let quarantined = |host: &Host| host.api().get("/v1/modules/probe").expect(200)["versions"][0]["quarantined"].clone();
    assert_eq!(
        quarantined(&host),
        json!("it was executing each time the host died"),
        "a saga that left it says nothing about it"
    );
    // Who activates it takes the blame.
    host.api().post("/v1/modules/probe/activate", &json!({"version": 1})).expect(200);
    assert_eq!(quarantined(&host), Value::Null);
    assert_eq!(digits(&host.api(), &["R2"]), [json!([1, 1])]);
    laws::hold(&host.api(), "S1");
}
