//! Events of aggregates that sagas wait for and are started by.

use amends_core::{
    Trigger,
    definition::{CommandData, CommandStep},
    event::Topic,
};
use expect_test::expect;

use super::{
    aggregates::{Bank, definition_of},
    *,
};
use crate::store::{Range, Table};

/// `b` waits until something is put into account A, and returns what.
fn waits_for_a_put(call: &GuestCall) -> Outcome {
    match (call.step().name.as_str(), &call.step().arrived) {
        ("b", None) => {
            let event = Some(Topic { event_type: "account.put".into(), key: "A".into() });
            Outcome::Wait(Wait { event, until: None, answer: None })
        }
        ("b", Some(Woken::Event(arrival))) => Outcome::Done(arrival.data.clone().unwrap_or_else(Payload::null)),
        _ => all_done(call),
    }
}

/// Accounts beside a saga of these steps, which the events of these types start.
fn bank(world: World, steps: &[&str], started_by: &[&str]) -> Bank {
    let trigger = |event_type: &&str| Trigger { saga: "demo".into(), event_type: (*event_type).to_owned() };
    let triggers = started_by.iter().map(trigger).collect();
    let deploy = Deploy { aggregates: vec![definition_of(0)], triggers, ..deploy(1, vec![definition(steps)]) };
    let mut bank = Bank::of(Sim::new(world));
    let answered = bank.sim.ask_deploy(deploy);
    bank.sim.settle();
    said(answered).expect("deployed");
    bank.script("A open");
    (bank.sim.commits, bank.sim.calls) = (0, Vec::new());
    bank
}

fn waiting(bank: &mut Bank, ids: &[&str]) {
    for id in ids {
        let _started = bank.sim.start(id, "{}", false);
    }
    bank.sim.settle();
}

/// What a saga came to, with its output.
fn end_of(bank: &mut Bank, id: &str) -> String {
    let view = bank.sim.saga(&key(id)).view();
    let output = view.output.map(|output| String::from_utf8_lossy(&output.bytes).into_owned());
    format!("{} {}", view.status.as_str(), output.unwrap_or_default())
}

fn pending(bank: &Bank) -> usize {
    bank.sim.store.rows(&Range::under(Table::Messages, &[], usize::MAX)).unwrap().len()
}

/// Sagas that events started.
fn started(bank: &Bank) -> Vec<String> {
    let calls = bank.sim.calls.iter().filter(|call| call.starts_with("pack"));
    calls.cloned().collect()
}

#[test]
fn an_event_of_an_aggregate_ends_the_waits_for_it_in_its_own_commit() {
    let mut bank = bank(waits_for_a_put, &["~b"], &[]);
    waiting(&mut bank, &["S1", "S2"]);
    bank.script("B open");
    bank.sim.commits = 0;
    expect!["B put 5: #2 put 5 (revision 2, v1)\nA take 0: #2 taken 0 (revision 2, v1)"]
        .assert_eq(&bank.script("B put 5\nA take 0"));
    assert_eq!(end_of(&mut bank, "S1"), "waiting ");
    bank.sim.commits = 0;
    bank.send("A put 7");
    while bank.sim.answer_one() || bank.sim.decide_one() {}
    bank.sim.commit();
    assert_eq!((bank.sim.commits, bank.told().as_str()), (1, "A put 7: #3 put 7 (revision 3, v1)"));
    bank.sim.settle();
    assert_eq!((end_of(&mut bank, "S1"), end_of(&mut bank, "S2")), ("completed 7".into(), "completed 7".into()));
    assert_eq!(pending(&bank), 0);
}

#[test]
fn an_event_from_between_start_and_wait_is_found_and_one_from_before_the_start_is_not() {
    let mut bank = bank(waits_for_a_put, &["a", "~b"], &[]);
    bank.sim.grant();
    bank.script("A put 1");
    let _started = bank.sim.start("S1", "{}", false);
    bank.sim.commit();
    // The step before the wait runs outside, and takes its time.
    bank.send("A put 2");
    while bank.sim.decide_one() || bank.sim.commit() {}
    bank.script("A put 3");
    assert_eq!(end_of(&mut bank, "S1"), "completed 2");
}

/// What is recorded and not durable was in no stream that a look could read, and when it was recorded nobody waited: the saga waited for
/// ever.
#[test]
fn an_event_that_is_on_its_way_to_the_store_when_a_saga_begins_to_wait_is_not_lost() {
    let mut bank = bank(waits_for_a_put, &["~b"], &[]);
    let _started = bank.sim.start("S1", "{}", false);
    bank.sim.commit();
    bank.send("A put 7");
    assert!(bank.sim.decide_one(), "it is recorded");
    assert!(bank.sim.end_one(), "the saga begins to wait");
    bank.sim.settle();
    assert_eq!(end_of(&mut bank, "S1"), "completed 7");
}

#[test]
fn whom_an_event_had_not_reached_when_the_host_was_killed_it_reaches_after_the_start() {
    let mut bank = bank(waits_for_a_put, &["~b"], &["account.put"]);
    waiting(&mut bank, &["S1"]);
    bank.sim.fetches = Fetches::WhenTold;
    bank.send("A put 7");
    while bank.sim.decide_one()
        || bank.sim.asked.first().is_some_and(|look| !matches!(look, Look::Rows(_))) && bank.sim.answer_one()
    {}
    // The event is durable, and who waits for it is not known yet.
    bank.sim.commit();
    assert_eq!((pending(&bank), end_of(&mut bank, "S1").as_str()), (1, "waiting "));
    let mut bank = Bank::of(bank.sim.kill_and_restart());
    bank.sim.settle();
    assert_eq!((pending(&bank), end_of(&mut bank, "S1").as_str()), (0, "completed 7"));
    assert_eq!(bank.sim.calls.iter().filter(|call| *call == "b@1").count(), 1, "it is started once: {:?}", bank.sim.calls);
    let mut bank = Bank::of(bank.sim.kill_and_restart());
    bank.sim.settle();
    assert!(bank.sim.calls.is_empty(), "{:?}", bank.sim.calls);
}

#[test]
fn an_event_starts_what_it_starts_once_with_its_data() {
    let mut bank = bank(all_done, &["~pack"], &["account.put", "account.opened"]);
    bank.script("B open\nB put 5\nB take 1");
    assert_eq!(started(&bank), ["pack@1", "pack@1"]);
    let ids: Vec<String> = (1..=2)
        .map(|revision| amends_core::trigger::saga_id("demo", "account", &format!("account/B/{revision}")).unwrap().to_string())
        .collect();
    let input = |id: &String| String::from_utf8_lossy(&bank.sim.saga(&key(id)).started().input.bytes).into_owned();
    expect![[r#"
        {"source":"account","key":"B","type":"account.opened","version":1,"revision":1,"data":null}
        {"source":"account","key":"B","type":"account.put","version":1,"revision":2,"data":5}"#]]
    .assert_eq(&ids.iter().map(input).collect::<Vec<_>>().join("\n"));
    assert_eq!(pending(&bank), 0);
}

#[test]
fn an_event_for_which_many_wait_reaches_each_once_in_turns_that_a_kill_may_part() {
    let ids: Vec<String> = (0..80).map(|number| format!("S{number}")).collect();
    let mut bank = bank(waits_for_a_put, &["~b"], &[]);
    waiting(&mut bank, &ids.iter().map(String::as_str).collect::<Vec<_>>());
    bank.script("A put 7\nA put 8");
    for id in &ids {
        assert_eq!(end_of(&mut bank, id), "completed 7", "{id}");
    }
    assert_eq!((pending(&bank), bank.sim.calls.iter().filter(|call| *call == "b@2").count()), (0, 80));
}

#[test]
fn what_stands_against_a_start_holds_nobody_up_that_waits_and_is_tried_again() {
    let mut bank = bank(waits_for_a_put, &["~b"], &["account.put"]);
    waiting(&mut bank, &["S1"]);
    bank.sim.shard.kernel.limits.residents_max = 0;
    bank.script("A put 7");
    assert_eq!((end_of(&mut bank, "S1").as_str(), pending(&bank)), ("completed 7", 1));
    bank.sim.shard.kernel.limits.residents_max = 100;
    bank.sim.pass(200);
    assert_eq!(pending(&bank), 0);
    let id = amends_core::trigger::saga_id("demo", "account", "account/A/2").unwrap();
    assert_eq!(end_of(&mut bank, id.as_str()), "waiting ");
}

/// A saga that an event starts may begin to wait after the next events of the same aggregate: its start had to rest, or the host was
/// killed in between. They lie before its start, and it heard of none of them.
#[test]
fn a_saga_that_an_event_started_finds_what_was_recorded_between_that_event_and_its_start() {
    for is_killed in [false, true] {
        let mut bank = bank(waits_for_a_put, &["~b"], &["account.taken"]);
        bank.sim.shard.kernel.limits.residents_max = 0;
        bank.script("A put 1\nA take 1\nA put 7\nA put 8");
        assert_eq!(pending(&bank), 1);
        let mut bank = if is_killed { Bank::of(bank.sim.kill_and_restart()) } else { bank };
        bank.sim.shard.kernel.limits.residents_max = 100;
        bank.sim.pass(200);
        let id = amends_core::trigger::saga_id("demo", "account", "account/A/3").unwrap();
        assert_eq!((pending(&bank), end_of(&mut bank, id.as_str()).as_str()), (0, "completed 7"), "{is_killed}");
    }
}

/// The event was looked for again from the beginning whenever the aggregate had records on their way, and never found where it always
/// has some; and until then nobody could do anything with the saga.
#[test]
fn a_saga_begins_to_wait_while_commands_to_its_aggregate_go_on() {
    let mut bank = bank(waits_for_a_put, &["~b"], &[]);
    let _started = bank.sim.start("S1", "{}", false);
    bank.sim.commit();
    for _ in 0..3 {
        bank.send("A take 0");
        while bank.sim.decide_one() {}
    }
    let before = bank.sim.queue.len();
    assert!(bank.sim.end_one(), "the saga begins to wait");
    while bank.sim.answer_one() {}
    // Nothing was durable since.
    assert_eq!((bank.sim.queue.len(), end_of(&mut bank, "S1").as_str()), (before + 1, "waiting "));
    bank.script("A put 7");
    assert_eq!(end_of(&mut bank, "S1"), "completed 7");
}

/// More than are read at a time lie between the start and the event.
#[test]
fn an_event_is_found_behind_any_number_of_others() {
    let mut bank = bank(waits_for_a_put, &["a", "~b"], &[]);
    bank.sim.grant();
    let _started = bank.sim.start("S1", "{}", false);
    bank.sim.commit();
    for _ in 0..150 {
        bank.send("A take 0");
    }
    while bank.sim.decide_one() || bank.sim.commit() {}
    bank.send("A put 7");
    // The saga begins to wait when all of it is recorded.
    while bank.sim.decide_one() || bank.sim.commit() {}
    bank.sim.settle();
    assert_eq!(end_of(&mut bank, "S1"), "completed 7");
}

/// The only row that was read is deleted by a decision that is not durable yet; the rows of others behind it were not seen, and their
/// type counted as one that nobody listens to until the host's end.
#[test]
fn a_type_is_listened_to_while_the_first_of_those_who_wait_goes() {
    let mut bank = bank(waits_for_a_put, &["~b"], &[]);
    waiting(&mut bank, &["S1", "S2"]);
    let mut bank = Bank::of(bank.sim.kill_and_restart());
    bank.sim.settle();
    let _abandoned = bank.sim.verb("S1", AskedVerb::Abandon, "a1");
    while bank.sim.answer_one() {}
    bank.send("A put 7");
    bank.sim.settle();
    assert_eq!(end_of(&mut bank, "S2"), "completed 7");
}

/// Of a type that nobody listens to, this is looked up once; after that a command costs what it cost before there were listeners.
#[test]
fn an_event_that_nobody_hears_costs_no_read() {
    let mut bank = bank(all_done, &["~a"], &[]);
    bank.script("A put 1");
    bank.sim.fetches = Fetches::WhenTold;
    bank.send("A put 2");
    assert!(bank.sim.asked.is_empty() && bank.sim.decide_one() && bank.sim.asked.is_empty());
    bank.sim.settle();
    assert_eq!(pending(&bank), 0);
}

/// An event that starts a saga that sends the command that records the event went round for ever, paced by commits.
#[test]
fn a_loop_of_events_and_sagas_ends_when_its_chain_of_causes_is_too_long() {
    let mut demo = definition(&["~a"]);
    let command = CommandStep {
        aggregate: "account".into(),
        id: "/input/key".into(),
        command: "put".into(),
        data: CommandData::At("/input/data".into()),
        undo: None,
    };
    let step = &mut demo.stages[0].steps[0];
    (step.body, step.undo) = (Body::Command(command), Undo::Nothing);
    let triggers = vec![Trigger { saga: "demo".into(), event_type: "account.put".into() }];
    let deploy = Deploy { aggregates: vec![definition_of(0)], triggers, ..deploy(1, vec![demo]) };
    let mut bank = Bank::of(Sim::new(all_done));
    let answered = bank.sim.ask_deploy(deploy);
    bank.sim.settle();
    said(answered).expect("deployed");
    bank.script("A open\n-\nA put 1");
    bank.sim.pass(1_000);
    assert_eq!(bank.records("A").matches("account.put").count(), 33);
    assert!(bank.sim.metrics.text().contains("amends_dead_letters_total 1"));
    assert_eq!(pending(&bank), 0);
}
