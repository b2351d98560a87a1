//! The store answers when the test says so: what waits, what does not, and in which order.
//!
//! The whole suite runs once more with answers that come one by one (`AMENDS_TEST_FETCHES=one-by-one`).

use expect_test::expect;

use super::*;
use crate::engine::port::{self, RefusalCode};

/// A saga that waits for its approval and has rested for so long that it must be read again.
fn cold() -> Sim {
    let mut sim = Sim::new(b_waits);
    sim.deploy(1, definition(&["~a", "~b"]));
    let _started = sim.start("S1", "{}", false);
    sim.settle();
    assert_eq!(status(&mut sim, "S1"), Status::Waiting);
    sim.pass(60_000);
    assert!(sim.shard.sagas.get(&key("S1")).is_none(), "it is nothing in memory");
    sim.fetches = Fetches::WhenTold;
    sim
}

/// What was recorded of a saga, in order.
fn journal(sim: &Sim, id: &str) -> String {
    let stored = reads::stream(sim.store.as_ref(), &key(id).stream()).unwrap().unwrap();
    let names = stored.iter().map(|stored| crate::journal::record::decode_stored(stored).unwrap().fact.name());
    names.collect::<Vec<_>>().join(" ")
}

#[test]
fn requests_about_one_saga_keep_their_order_behind_its_fetch() {
    let mut sim = cold();
    let mut signalled = sim.publish("E1", Some("S1"), "42");
    let mut cancelled = sim.verb("S1", Verb::Cancel, "k");
    assert!(is_open(&mut signalled) && is_open(&mut cancelled));
    sim.settle();
    assert_eq!(said(signalled).unwrap().woke, 1);
    assert!(said(cancelled).unwrap().applied);
    expect!["started intent done intent wait arrived intent cancel_requested rollback_begun done intent wait"]
        .assert_eq(&journal(&sim, "S1"));
}

#[test]
fn what_waits_for_the_store_holds_up_nothing_about_another_saga() {
    let mut sim = cold();
    let mut cancelled = sim.verb("S1", Verb::Cancel, "k");
    let asked = sim.asked.len();
    let mut started = sim.start("S2", "{}", false);
    assert_eq!(sim.asked.len(), asked + 1, "whether there is an S2 is asked while S1 is being read");
    // The later question is answered first.
    let look = sim.asked.pop().unwrap();
    let actions = sim.answer(vec![look]);
    sim.carry_out(actions);
    sim.commit();
    assert!(said_now(&mut started).unwrap().created);
    assert!(is_open(&mut cancelled));
    sim.settle();
    assert!(said(cancelled).unwrap().applied);
}

/// Two events of which the first is for a saga that must be read, and the second for nobody: which of them is recorded first.
fn first_of_two(batch: Option<port::Batch>) -> &'static str {
    let mut sim = cold();
    let event = |id: &str, key: &str| Publish { batch: batch.clone(), ..approval(id, key) };
    let first = sim.ask_publish(event("E1", "42"));
    let second = sim.ask_publish(event("E2", "7"));
    sim.settle();
    let [first, second] = [first, second].map(|answered| said(answered).unwrap());
    assert_eq!((first.woke, second.woke), (1, 0));
    if first.position < second.position { "E1" } else { "E2" }
}

/// Requests about one thing keep their order, and events of two keys are two things: those of a batch would change places where the
/// first needs more of the store.
#[test]
fn events_of_a_batch_are_recorded_in_its_order_whatever_they_are_about() {
    assert_eq!(first_of_two(None), "E2");
    assert_eq!(first_of_two(Some(port::Batch::new(1))), "E1");
}

/// Sent again, what had no place would come behind what followed it.
#[test]
fn behind_an_event_that_had_no_place_nothing_of_its_batch_is_taken() {
    let mut sim = cold();
    sim.fetches = Fetches::AtOnce;
    let batch = Some(port::Batch::new(1));
    let event = |id: &str| Publish { batch: batch.clone(), ..approval(id, "7") };
    let first = sim.ask_publish(event("E1"));
    sim.shard.kernel.limits.queue_records = 1;
    let second = sim.ask_publish(event("E2"));
    sim.settle();
    sim.shard.kernel.limits.queue_records = 1_000;
    let third = sim.ask_publish(event("E3"));
    let alone = sim.ask_publish(approval("E4", "7"));
    sim.settle();
    let told = [first, second, third, alone].map(|answered| match said(answered) {
        Ok(_) => "recorded\n".to_owned(),
        Err(refusal) => format!("{}: {}\n", refusal.code.as_str(), refusal.message),
    });
    expect![[r#"
        recorded
        overloaded: 1 records wait for the disk, which is as many as this host takes
        overloaded: an event before it in the batch was not taken, so this one was not either
        recorded
    "#]]
    .assert_eq(&told.concat());
}

/// The answer to a client that waits, if it has come.
fn said_now<T>(answered: &mut Receiver<Result<T, Refusal>>) -> Result<T, Refusal> {
    answered.try_recv().expect("it is answered")
}

#[test]
fn two_requests_ask_once_for_the_same_saga() {
    let mut sim = cold();
    let _first = sim.verb("S1", Verb::Cancel, "k1");
    let _second = sim.verb("S1", Verb::Retry(Legs::All), "k2");
    assert_eq!(sim.asked.len(), 1, "{:?}", sim.asked);
    sim.settle();
}

/// A wait and the event that came before it share a commit. Until the store has said whether there is one, nothing of the saga is
/// handed over: a kill in between would leave a saga that waits for what has come.
#[test]
fn a_saga_that_begins_to_wait_is_handed_over_when_the_store_has_said_what_came_before() {
    let mut sim = Sim::new(b_waits);
    sim.deploy(1, definition(&["~a", "~b"]));
    let mut kept = sim.publish("E1", Some("S1"), "42");
    sim.settle();
    assert!(said_now(&mut kept).unwrap().kept_until.is_some());
    let _started = sim.start("S1", "{}", false);
    sim.commit();
    sim.fetches = Fetches::WhenTold;
    while sim.end_one() {}
    sim.pass_time(1_000);
    assert!(sim.queue.iter().all(|(batch, _)| batch.record_count() == 0), "{:?}", sim.queue);
    let mut cancelled = sim.verb("S1", Verb::Cancel, "k");
    assert!(is_open(&mut cancelled), "what is decided next is decided about a saga that knows what came");
    sim.settle();
    expect!["started intent done intent wait arrived intent cancel_requested rollback_begun done intent wait"]
        .assert_eq(&journal(&sim, "S1"));
}

#[test]
fn a_storage_that_fails_refuses_what_waits_for_it() {
    let mut sim = cold();
    let first = sim.verb("S1", Verb::Cancel, "k1");
    let behind = sim.verb("S1", Verb::Cancel, "k2");
    sim.input(Input::StoreEnded(Ending::Failed("no space".into())));
    assert_eq!([said(first), said(behind)].map(|said| said.unwrap_err().code), [RefusalCode::StorageFailed; 2]);
}

/// What was read for an input that waits is as old as the read. A saga that changed and rested meanwhile would have been taken for
/// what it was.
#[test]
fn a_saga_that_changes_while_another_input_waits_for_it_is_not_taken_for_what_it_was() {
    let mut sim = cold();
    // A publish by topic reads who waits, then the sagas themselves.
    let mut published = sim.publish("E1", None, "42");
    assert!(sim.answer_one(), "the answer that may have been given before");
    assert!(sim.answer_one(), "who waits");
    assert_eq!(sim.asked.len(), 1, "the saga is being read: {:?}", sim.asked);
    let look = sim.asked.pop().unwrap();
    let old = reads::carry_out(sim.store.as_ref(), std::slice::from_ref(&look)).unwrap();
    // The signal needs the same saga, and takes what the fetch finds first.
    let mut signalled = sim.publish("E2", Some("S1"), "42");
    sim.settle();
    let actions = sim.shard.step(Input::Fetched(vec![(look, old.into_iter().next().unwrap())]), sim.now);
    sim.carry_out(actions);
    sim.settle();
    let woke = said_now(&mut signalled).unwrap().woke + said_now(&mut published).unwrap().woke;
    assert_eq!(woke, 1, "it waited once");
    expect!["started intent done intent wait arrived intent done completed"].assert_eq(&journal(&sim, "S1"));
}
