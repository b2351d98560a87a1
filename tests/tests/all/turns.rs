//! Sagas that need the same lock keys: each gets them, in the order of the starts, however the saga before it ends and whenever
//! the host is killed. XR-33, XR-34.

use std::collections::BTreeMap;

use participants::{Control, Operation};
use serde_json::{Value, json};

use crate::harness::{
    api::{Api, Traffic},
    desk::{Conditions, Desk, Kill},
    each,
    folder::DataFolder,
    host::{Host, Options},
    laws,
    probe::{Kind, Probe, Step, Undo, WAITS, at_first, says},
};

/// When a saga came, had its keys and ended: places in the journal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    came: u64,
    taken: u64,
    ended: u64,
    id: String,
}

#[track_caller]
fn turn(api: &Api, id: &str) -> Turn {
    let journal = api.journal(id);
    let place = |record: &Value| record["position"].as_str().and_then(|it| it.rsplit('-').next()?.parse().ok());
    let of = |types: &[&str]| {
        let mut found = journal.iter().filter(|record| types.iter().any(|kind| record["type"] == *kind));
        let place = found.next().and_then(place).unwrap_or_else(|| panic!("{id} has none of {types:?}: {journal:?}"));
        assert_eq!(found.next(), None, "{id} has {types:?} twice");
        place
    };
    Turn {
        came: of(&["started"]),
        taken: of(&["lock_taken"]),
        ended: of(&["completed", "compensated", "abandoned"]),
        id: id.to_owned(),
    }
}

/// One after the other, in the order in which they came.
#[track_caller]
fn follow_each_other(turns: &[Turn]) {
    for pair in turns.windows(2) {
        let [one, next] = pair else { continue };
        assert!(one.came < next.came && one.ended < next.taken, "{next:?} does not follow {one:?}");
    }
}

/// Half from A to B and half from B to A: every saga names the two keys in the other order than the one before it.
fn opposite(desk: &Desk, number: usize) -> Value {
    let (from, to) = if number.is_multiple_of(2) { ("A", "B") } else { ("B", "A") };
    json!({"participants": desk.url(), "from": from, "to": to, "amount_cents": 100})
}

/// Starts so many transfers from four threads, waits for all, and gives back the desk.
fn all_end_in_turn(sagas: usize, conditions: Conditions) -> Desk {
    let desk = Desk::open(conditions);
    desk.api().grant("transfer", &[&desk.url()]);
    let accounts = BTreeMap::from(["A", "B"].map(|name| (name.to_owned(), 10_000)));
    desk.participants.control(Control { accounts, ..Control::default() });
    let inputs: Vec<Value> = (0..sagas).map(|number| opposite(&desk, number)).collect();
    each(&desk.api(), sagas, move |api, number| {
        let started = api.start("transfer", &format!("M{number}"), &inputs[number]);
        assert!(matches!(started.status, 200 | 201), "{}", started.body);
    });
    for number in 0..sagas {
        let saga = desk.run("transfer", &format!("M{number}"), &opposite(&desk, number));
        assert_eq!(saga["status"], "completed", "{saga}");
    }
    desk.settle_down();
    let mut turns: Vec<Turn> = (0..sagas).map(|number| turn(&desk.api(), &format!("M{number}"))).collect();
    turns.sort();
    follow_each_other(&turns);
    // Who is asked for the money sees the same: nobody's calls are among another's.
    let state = desk.participants.state();
    let mut asked: Vec<&String> = state.trace.iter().map(|call| &call.trip).collect();
    asked.dedup();
    assert_eq!(asked, turns.iter().map(|turn| &turn.id).collect::<Vec<_>>());
    assert_eq!(state.accounts, BTreeMap::from(["A", "B"].map(|name| (name.to_owned(), 10_000))));
    for number in [0, sagas / 2, sagas - 1] {
        laws::hold(&desk.api(), &turns[number].id);
    }
    desk
}

#[test]
fn xr_34_two_hundred_sagas_that_want_two_keys_in_opposite_order_all_end_in_the_order_in_which_they_came() {
    all_end_in_turn(200, Traffic::Once.into());
}

/// While they come, while the first hundred are through, in the middle of a step, and between an effect and its answer.
#[test]
fn xr_34_they_keep_their_order_over_a_kill() {
    let kills =
        [Kill::At("accepted", 120), Kill::At("end-durable", 100), Kill::At("outcome-seen", 250), Kill::By(Operation::Credit)];
    for kill in kills {
        let desk = all_end_in_turn(200, Conditions { traffic: Traffic::Once, kill: Some(kill) });
        assert!(desk.host.lives() > 1, "{kill:?} killed nobody");
    }
}

/// One room, and a saga that has it until it is told to go on.
fn room() -> Host {
    let stay = Step::new("stay", Kind::Compensatable, Undo::Nothing);
    let probe = Probe { steps: vec![stay], locks: vec![("room", "/room")], ..Probe::execute(at_first(WAITS, &says(7))) };
    let host = Host::start(DataFolder::empty(), Options::default());
    host.api().put("/v1/modules/probe", &probe.component()).expect(201);
    host
}

#[test]
fn xr_33_the_next_one_has_its_turn_when_the_holder_succeeds_fails_or_is_given_up_also_after_a_kill() {
    let mut host = room();
    let input = json!({"room": 7});
    // Their order is that of their coming, and not that of their names.
    let ids = ["S9", "S1", "S5", "S3"];
    for id in ids {
        host.api().start("probe", id, &input).expect(201);
    }
    host.api().until_type("S9", "wait");
    // What they wait for is said before their turn, in another order: it is kept for them.
    for id in ["S3", "S1"] {
        host.api().post(&format!("/v1/sagas/{id}/signals/probe"), &json!({})).expect(202);
    }
    host.kill();
    host.restart();
    let locks = json!({"keys": [{"key": "room/7", "holder": "S9", "queue": ["S1", "S5", "S3"]}]});
    assert_eq!(host.api().saga("S3")["locks"], locks);
    host.api().post("/v1/sagas/S9/cancel", &json!({})).expect(200);
    host.api().until_type("S5", "wait");
    host.api().post("/v1/sagas/S5/abandon", &json!({})).expect(200);
    let ends = ids.map(|id| host.api().run("probe", id, &input)["status"].as_str().unwrap_or_default().to_owned());
    assert_eq!(ends, ["compensated", "completed", "abandoned", "completed"]);
    follow_each_other(&ids.map(|id| turn(&host.api(), id)));
    for id in ids {
        laws::hold(&host.api(), id);
    }
}
