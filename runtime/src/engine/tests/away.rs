//! Sagas that go on where their guest ran: what the shard sees of them, and how they come back.

use amends_core::definition::LockKey;

use super::*;

/// A host whose sagas may leave, whatever this run of the suite says.
fn sim(world: World) -> Sim {
    Sim { lets_go: true, ..Sim::new(world) }
}

/// The facts of a saga's stream that are durable.
pub(super) fn durable(sim: &Sim, id: &str) -> Vec<String> {
    let loaded = load::saga(load::Source::endless(sim.store.as_ref(), sim.shard.modules.definitions()), &key(id));
    let Ok(loaded) = loaded else { return Vec::new() };
    let records = load::records(sim.store.as_ref(), loaded.stream, load::RecordRange::ALL).expect("records");
    records.iter().map(|record| record.fact.name().to_owned()).collect()
}

#[test]
fn a_saga_whose_attempts_stay_inside_costs_the_shard_a_start_and_a_return() {
    let mut sim = sim(all_done);
    sim.deploy(1, definition(&["~a", "~b", "~c!"]));
    let answered = sim.start("S1", "{}", true);
    let mut inputs = 0;
    while !sim.open.is_empty() {
        assert!(sim.away.contains_key(&key("S1")));
        sim.end_one();
        inputs += usize::from(!sim.away.contains_key(&key("S1")));
    }
    assert_eq!((inputs, &sim.calls[..]), (1, &["a@1", "b@1", "c@1"].map(str::to_owned)[..]));
    sim.commit();
    assert_eq!(said(answered).unwrap().view.status, Status::Completed);
    let by = "amends_attempts_total{module=\"demo\",direction=\"forward\",outcome=\"done\"} 3";
    assert!(sim.metrics.text().contains(by), "{}", sim.metrics.text());
}

#[test]
fn a_saga_comes_back_for_an_attempt_that_can_reach_outside() {
    let mut sim = sim(all_done);
    sim.deploy(1, definition(&["~a", "~b", "c", "~d!"]));
    sim.grant();
    let answered = sim.start("S1", "{}", true);
    sim.end_one();
    sim.end_one();
    assert_eq!(sim.calls, ["a@1", "b@1"], "what c does must not happen before its intent is durable");
    sim.commit();
    assert_eq!(sim.calls, ["a@1", "b@1", "c@1"]);
    assert!(sim.away.is_empty());
    sim.settle();
    assert_eq!(said(answered).unwrap().view.status, Status::Completed);
}

#[test]
fn a_cancel_is_decided_at_once_upon_what_happened_meanwhile() {
    let mut sim = sim(all_done);
    sim.deploy(1, definition(&["~a", "~b", "~c!"]));
    let started = sim.start("S1", "{}", true);
    sim.end_one();
    let cancelled = sim.verb("S1", Verb::Cancel, "K1");
    assert!(sim.calls == ["a@1", "b@1"] && sim.open.len() == 1, "b still runs");
    sim.commit();
    assert!(said(cancelled).unwrap().applied);
    sim.settle();
    assert_eq!(sim.calls, ["a@1", "b@1", "undo b@1", "undo a@1"]);
    assert_eq!(said(started).unwrap().view.status, Status::Compensated);
}

/// The answer to a revocation says that no attempt begins with what was revoked. A saga that went on under the grants of its leave
/// would break that.
#[test]
fn an_attempt_that_begins_after_a_change_of_grants_has_the_new_ones() {
    let mut sim = sim(all_done);
    sim.deploy(1, definition(&["~a", "~b", "~c!"]));
    let config = |value: &str| vec![Grant::Config { key: "tier".into(), value: value.into() }];
    sim.set_grants(config("gold"), None).unwrap();
    let _answered = sim.start("S1", "{}", true);
    let set =
        SetGrants { module: "demo".into(), grants: config("none"), act: Act::default(), force: Force::No, expect_revision: None };
    let set = sim.ask(|answer| Request::SetGrants(origin(), set, answer));
    sim.commit();
    said(set).unwrap();
    sim.end_one();
    let (_, call) = sim.open.front().unwrap();
    assert_eq!((call.step().name.as_str(), &call.grants[..]), ("b", &config("none")[..]));
}

/// The attempt may take as long as it likes: what is decided is durable and seen after the time that records may lie.
#[test]
fn what_was_decided_away_is_durable_while_the_next_attempt_still_runs() {
    let mut sim = sim(all_done);
    sim.deploy(1, definition(&["~a", "~b", "~c!"]));
    let answered = sim.start("S1", "{}", true);
    sim.end_one();
    sim.pass_time(100);
    sim.commit();
    assert_eq!(durable(&sim, "S1"), ["started", "intent", "done", "intent"]);
    let mut sim = sim.kill_and_restart();
    drop(answered);
    sim.settle();
    assert_eq!(sim.calls, ["b@2", "c@1"]);
}

#[test]
fn a_saga_comes_back_after_so_many_records() {
    let steps: Vec<String> = (0..50).map(|number| format!("~s{number}")).collect();
    let mut sim = sim(all_done);
    sim.deploy(1, definition(&steps.iter().map(String::as_str).collect::<Vec<_>>()));
    let answered = sim.start("S1", "{}", true);
    let mut most = 0;
    while sim.end_one() {
        most = most.max(sim.queue.iter().map(|(batch, _)| batch.record_count()).max().unwrap_or(0));
    }
    sim.settle();
    assert_eq!(said(answered).unwrap().view.status, Status::Completed);
    assert!((60..=70).contains(&most), "{most} records in one commit");
}

/// A return that is on its way when something else happens to the saga: that waits for it, and nothing is lost or done twice.
#[test]
fn what_happens_to_a_saga_on_its_way_back_waits_for_it() {
    let mut sim = sim(all_done);
    sim.deploy(1, definition(&["~a", "b", "~c!"]));
    sim.grant();
    let started = sim.start("S1", "{}", true);
    let (_, call) = sim.open.pop_front().unwrap();
    let report =
        Report { outcome: all_done(&call), attempt: call.step().attempt.clone(), left: Left::Nothing, messages: Vec::new() };
    let away = sim.away.remove(&key("S1")).unwrap();
    assert!(matches!(away.report(GuestReport::Step(report), sim.now), Next::Return));
    let mut cancelled = sim.verb("S1", Verb::Cancel, "K1");
    sim.commit();
    assert!(is_open(&mut cancelled));
    sim.input(Input::Returned(key("S1").stream()));
    sim.settle();
    assert!(said(cancelled).unwrap().applied);
    assert_eq!(said(started).unwrap().view.status, Status::Compensated);
    // That b is to run was decided before the cancel came, and no guest had it yet.
    assert_eq!(sim.calls, ["a@1", "undo a@1"]);
    sim.input(Input::Returned(key("S1").stream()));
    assert!(sim.queue.is_empty(), "it comes back once");
}

/// The saga came back and began to wait. Its look for events stood in its lane behind the cancel, and the cancel waited for the look: both
/// for ever, and nothing else would have moved the saga. Whatever happens to a saga on its way back could meet it so.
#[test]
fn a_saga_that_comes_back_to_wait_does_so_before_what_waited_for_its_return() {
    let mut sim = sim(|call| match call.step().name.as_str() {
        "a" => all_done(call),
        _ => b_waits(call),
    });
    sim.deploy(1, definition(&["~a", "~b", "~c!"]));
    let started = sim.start("S1", "{}", true);
    sim.end_one();
    let (_, call) = sim.open.pop_front().unwrap();
    let report =
        Report { outcome: b_waits(&call), attempt: call.step().attempt.clone(), left: Left::Nothing, messages: Vec::new() };
    let away = sim.away.remove(&key("S1")).unwrap();
    assert!(matches!(away.report(GuestReport::Step(report), sim.now), Next::Return));
    let cancelled = sim.verb("S1", Verb::Cancel, "K1");
    sim.input(Input::Returned(key("S1").stream()));
    sim.settle();
    assert!(said(cancelled).unwrap().applied);
    assert_eq!(said(started).unwrap().view.status, Status::Compensated);
}

/// The cancel's moment was that of its input, and the guest's thread had decided a moment later: a journal whose times went backwards.
#[test]
fn what_is_decided_after_a_return_is_not_earlier_than_what_came_back() {
    let mut sim = sim(all_done);
    sim.deploy(1, definition(&["~a", "~b", "~c!"]));
    let _started = sim.start("S1", "{}", true);
    let (_, call) = sim.open.pop_front().unwrap();
    let report =
        Report { outcome: all_done(&call), attempt: call.step().attempt.clone(), left: Left::Nothing, messages: Vec::new() };
    let later = sim.now.plus(3);
    let Next::Call(next) = sim.away[&key("S1")].report(GuestReport::Step(report), later) else { panic!("it goes on") };
    sim.called(key("S1"), *next);
    let _cancelled = sim.intervene("S1", Verb::Cancel, origin());
    sim.now = later;
    sim.settle();
    let loaded = load::saga(load::Source::endless(sim.store.as_ref(), sim.shard.modules.definitions()), &key("S1"))
        .expect("it is durable");
    let records = load::records(sim.store.as_ref(), loaded.stream, load::RecordRange::ALL).expect("records");
    let times: Vec<u64> = records.iter().map(|record| record.at.0).collect();
    assert!(times.is_sorted() && times.contains(&later.0), "{times:?}");
}

/// With a key of a lock, the end of one saga and that the next one has the key are one commit.
#[test]
fn a_saga_with_lock_keys_stays_at_home() {
    let mut sim = sim(all_done);
    let locks = vec![LockKey { name: "till".into(), pointer: "/till".into() }];
    sim.deploy(1, Definition { locks, ..definition(&["~a", "~b"]) });
    let _answered = sim.start("S1", "{\"till\":7}", true);
    assert!(sim.away.is_empty() && sim.open.len() == 1);
}
