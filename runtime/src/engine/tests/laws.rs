//! Laws 2 to 4, 9 and 11, seen from the shard.

use amends_core::{
    denial::{Denial, DenialReason},
    view::Status,
};
use bytes::Bytes;

use super::*;
use crate::{
    engine::port::{Hint, RefusalCode, Remedy},
    journal::keys,
    store::Table,
};

#[test]
fn an_effect_free_saga_with_wait_costs_one_commit() {
    let mut sim = Sim::new(all_done);
    sim.deploy(1, definition(&["~a", "~b", "~c!"]));
    sim.commits = 0;
    let mut answered = sim.start("S1", "{}", true);
    while sim.end_one() {}
    assert!(is_open(&mut answered), "nothing is said before the commit");
    sim.commit();
    let answer = said(answered).unwrap();
    assert_eq!((answer.view.status, answer.created, sim.commits), (Status::Completed, true, 1));
    assert!(sim.queue.is_empty() && sim.shard.sagas.resident_count() == 0);
}

#[test]
fn a_start_without_wait_is_answered_at_its_own_commit() {
    let mut sim = Sim::new(all_done);
    sim.deploy(1, definition(&["~a", "~b"]));
    sim.commits = 0;
    let answered = sim.start("S1", "{}", false);
    sim.commit();
    assert_eq!(said(answered).unwrap().view.status, Status::Running);
    sim.settle();
    assert_eq!(sim.commits, 2);
}

#[test]
fn an_attempt_that_can_reach_outside_runs_only_after_its_intent_is_durable() {
    let mut sim = Sim::new(all_done);
    sim.deploy(1, definition(&["a", "b"]));
    sim.grant();
    sim.commits = 0;
    let _answered = sim.start("S1", "{}", true);
    assert!(sim.calls.is_empty());
    sim.commit();
    assert_eq!(sim.calls, ["a@1"]);
    sim.end_one();
    assert_eq!(sim.calls, ["a@1"]);
    sim.commit();
    assert_eq!(sim.calls, ["a@1", "b@1"]);
    sim.settle();
    assert_eq!(sim.commits, 3, "one commit a step, and one for the end");
}

#[test]
fn what_was_not_durable_never_happened_and_is_done_again() {
    let mut sim = Sim::new(all_done);
    sim.deploy(1, definition(&["~a", "~b", "~c!"]));
    let _lost = sim.start("S1", "{}", true);
    while sim.end_one() {}
    let mut sim = sim.kill_and_restart();
    sim.settle();
    let answered = sim.start("S1", "{}", true);
    sim.settle();
    let answer = said(answered).unwrap();
    assert_eq!((answer.created, answer.view.status), (true, Status::Completed));
}

#[test]
fn a_running_saga_goes_on_after_a_kill_with_a_new_attempt_of_the_open_leg() {
    let mut sim = Sim::new(all_done);
    sim.deploy(1, definition(&["a", "b"]));
    sim.grant();
    let _answered = sim.start("S1", "{}", false);
    sim.commit();
    sim.end_one();
    sim.commit();
    assert_eq!(sim.calls, ["a@1", "b@1"]);
    let mut sim = sim.kill_and_restart();
    sim.settle();
    assert_eq!(sim.calls, ["b@2"]);
    let answered = sim.start("S1", "{}", true);
    sim.settle();
    let answer = said(answered).unwrap();
    assert_eq!((answer.created, answer.view.status), (false, Status::Completed));
}

#[test]
fn a_refusal_is_rolled_back_in_reverse_before_the_client_hears_of_it() {
    let mut sim = Sim::new(last_refuses);
    sim.deploy(1, definition(&["~a", "~b", "~c!"]));
    sim.commits = 0;
    let answered = sim.start("S1", "{}", true);
    sim.settle();
    assert_eq!(said(answered).unwrap().view.status, Status::Compensated);
    assert_eq!(sim.calls, ["a@1", "b@1", "c@1", "undo b@1", "undo a@1"]);
    assert_eq!(sim.commits, 1);
}

#[test]
fn the_same_start_is_the_same_saga_and_anything_else_is_refused() {
    let mut sim = Sim::new(all_done);
    sim.deploy(1, definition(&["~a"]));
    let first = sim.start("S1", "{}", true);
    sim.settle();
    said(first).unwrap();
    let again = sim.start("S1", "{}", true);
    sim.settle();
    assert!(!said(again).unwrap().created);
    let other = sim.start("S1", "{\"a\":1}", true);
    assert_eq!(said(other).unwrap_err().code, RefusalCode::IdTaken);
    assert_eq!(sim.calls, ["a@1"]);
}

#[test]
fn an_input_that_does_not_fit_the_schema_starts_nothing_and_a_repeated_start_is_not_checked_again() {
    let with_schema = |schema: &str| Definition { schema: Some(schema.to_owned()), ..definition(&["~a"]) };
    let mut sim = Sim::new(all_done);
    sim.deploy(1, with_schema(r#"{"required": ["sku"]}"#));
    let refused = sim.start("S1", "{}", true);
    let refused = said(refused).unwrap_err();
    assert_eq!(refused.code, RefusalCode::InputDoesNotFit);
    assert!(refused.message.starts_with("the input does not fit saga `demo`: "), "{refused:?}");
    assert!(sim.calls.is_empty() && sim.queue.is_empty());
    let taken = sim.start("S1", r#"{"sku":1}"#, true);
    sim.settle();
    assert!(said(taken).unwrap().created, "what was refused has taken no id");
    sim.deploy(2, with_schema(r#"{"properties": {"sku": {"type": "string"}}}"#));
    let again = sim.start("S1", r#"{"sku":1}"#, true);
    sim.settle();
    assert!(!said(again).unwrap().created, "it is the saga that is there, whatever starts now");
    let late = said(sim.start("S2", r#"{"sku":1}"#, true)).unwrap_err();
    assert!(late.message.starts_with("the input does not fit saga `demo`: at /sku: "), "{late:?}");
}

#[test]
fn a_saga_stays_on_its_digest_and_new_ones_start_on_the_new_version() {
    let mut sim = Sim::new(b_waits);
    sim.deploy(1, definition(&["~a", "~b", "~c"]));
    let _old = sim.start("OLD", "{}", false);
    sim.settle();
    let deployed = sim.deploy(2, definition(&["~a"]));
    assert_eq!(deployed.module.versions.iter().map(|version| version.in_flight).collect::<Vec<_>>(), [1, 0]);
    let new = sim.start("NEW", "{}", true);
    sim.settle();
    assert_eq!(said(new).unwrap().view.digest, [2; 32]);
    let _woken = sim.publish("E1", None, "42");
    sim.settle();
    let old = sim.start("OLD", "{}", true);
    sim.settle();
    let old = said(old).unwrap();
    assert_eq!((old.view.digest, old.view.status), ([1; 32], Status::Completed));
}

#[test]
fn a_repeated_verb_is_answered_and_done_once() {
    let mut sim = Sim::new(b_waits);
    sim.deploy(1, definition(&["~a", "~b"]));
    let _started = sim.start("S1", "{}", false);
    sim.settle();
    let first = sim.verb("S1", Verb::Cancel, "k");
    sim.settle();
    let first = said(first).unwrap();
    assert_eq!((first.applied, first.status), (true, Status::Compensating));
    // The saga has gone on since, and a repeat is answered as the first was.
    let again = sim.verb("S1", Verb::Cancel, "k");
    sim.settle();
    let again = said(again).unwrap();
    assert_eq!(
        (again.applied, again.status, again.revision, again.position),
        (false, Status::Compensating, first.revision, first.position)
    );
    let other = sim.verb("S1", Verb::Abandon, "k");
    sim.settle();
    assert_eq!(said(other).unwrap_err().code, RefusalCode::KeyReused);
    let twice = sim.verb("S1", Verb::Cancel, "k2");
    sim.settle();
    assert!(!said(twice).unwrap().applied, "a second cancel answers the same");
    let late = sim.verb("S1", Verb::Abandon, "k3");
    sim.settle();
    assert_eq!(said(late).unwrap_err().code, RefusalCode::SagaEnded);
}

#[test]
fn after_a_storage_error_nothing_is_acknowledged() {
    let mut sim = Sim::new(all_done);
    sim.deploy(1, definition(&["~a"]));
    let waiting = sim.start("S1", "{}", true);
    while sim.end_one() {}
    sim.input(Input::StoreEnded(Ending::Failed("no space".into())));
    assert_eq!(said(waiting).unwrap_err().code, RefusalCode::StorageFailed);
    let late = sim.start("S2", "{}", false);
    assert_eq!(said(late).unwrap_err().code, RefusalCode::StorageFailed);
}

/// A report that came after the storage had failed was decided on. Nothing was flushed any more, so that its client was told
/// the saga's end, and its next attempt began, by records that no disk ever held.
#[test]
fn after_a_storage_error_nothing_begins() {
    let mut sim = Sim::new(all_done);
    sim.deploy(1, definition(&["a", "b"]));
    sim.grant();
    let waiting = sim.start("S1", "{}", true);
    while sim.commit() {}
    sim.input(Input::StoreEnded(Ending::Failed("no space".into())));
    assert_eq!(said(waiting).unwrap_err().code, RefusalCode::StorageFailed);
    while sim.end_one() {}
    assert_eq!(sim.calls, ["a@1"]);
    assert!(sim.queue.is_empty());
}

/// A row that could not be read failed the host in the middle of an event, whose record and answer went to the disk all the same:
/// the sender was told that nothing was recorded, sent it again after the restart, and it was a duplicate that woke nobody.
#[test]
fn what_an_event_cannot_be_given_to_is_read_before_it_is_recorded() {
    let mut sim = Sim::new(b_waits);
    let topic = amends_core::event::Topic { event_type: "approval".into(), key: "42".into() };
    let unreadable = [keys::wait(&namespace(), &topic, 1), vec![0]].concat();
    let rows = vec![RowChange::put(Table::Waits, unreadable, Bytes::new())];
    sim.store.commit(&[Batch { appends: Vec::new(), rows }]).unwrap();
    let published = sim.publish("e1", None, "42");
    assert_eq!(said(published).unwrap_err().code, RefusalCode::StorageFailed);
    assert!(sim.queue.is_empty(), "{:?}", sim.queue);
    let late = sim.publish("e2", None, "42");
    assert_eq!(said(late).unwrap_err().code, RefusalCode::StorageFailed);
    assert!(sim.metrics.text().contains("amends_refused_total{reason=\"StorageFailed\"} 2"));
    // It is one topic that cannot be read: the host goes on.
    assert_eq!(sim.shard.kernel.failure(), None);
}

/// A verb's refusal says where a saga stands. It left at once, while the records that it spoke of were in the queue: after a
/// kill in between, what was called ended ran on.
#[test]
fn a_refusal_waits_for_what_it_says() {
    let mut sim = Sim::new(all_done);
    sim.deploy(1, definition(&["~a"]));
    let _started = sim.start("S1", "{}", true);
    while sim.end_one() {}
    let mut refused = sim.verb("S1", Verb::Cancel, "k");
    assert!(is_open(&mut refused));
    sim.settle();
    assert_eq!(said(refused).unwrap_err().code, RefusalCode::SagaEnded);
}

/// Steps that reach nowhere do not wait for their commits, and the queue of the committer had no bound: a slow disk under a fast
/// guest was memory without end.
#[test]
fn what_runs_ahead_waits_when_the_queue_is_full() {
    let mut sim = Sim::new(all_done);
    let names: Vec<String> = (0..100).map(|n| format!("~s{n}")).collect();
    sim.deploy(1, definition(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    sim.shard.kernel.limits.queue_records = 16;
    let waiting = sim.start("S1", "{}", true);
    while sim.end_one() {}
    assert!((20..60).contains(&sim.calls.len()), "{} steps ran ahead", sim.calls.len());
    let late = sim.start("S2", "{}", false);
    assert_eq!(said(late).unwrap_err().code, RefusalCode::Overloaded);
    sim.settle();
    assert_eq!(said(waiting).unwrap().view.status, Status::Completed);
    assert_eq!(sim.calls.len(), 100);
}

#[test]
fn a_guest_that_was_executing_at_three_deaths_of_the_host_runs_alone_and_then_not_again() {
    let mut sim = Sim::new(all_done);
    sim.deploy(1, definition(&["a", "b"]));
    sim.grant();
    let _bad = sim.start("BAD", "{}", false);
    sim.commit();
    let mut sim = sim.die_executing();
    sim.commit();
    let mut sim = sim.die_executing();
    let _bystander = sim.start("GOOD", "{}", false);
    while sim.commit() {}
    assert_eq!(sim.calls, ["a@3"], "the suspect runs alone: the bystander waits");
    let mut sim = sim.die_executing();
    sim.world = |call| match call.of.id.as_str() {
        "GOOD" => Outcome::Denied(Denial::new("http://127.0.0.1:2", DenialReason::NotGranted)),
        _ => all_done(call),
    };
    sim.settle();
    let answered = sim.start("BAD", "{}", true);
    sim.settle();
    let view = said(answered).unwrap().view;
    assert_eq!(view.status, Status::Stuck);
    assert!(matches!(view.stuck[0].why, amends_core::event::Why::HostDied));
    let refused = sim.start("NEW", "{}", true);
    assert_eq!(said(refused).unwrap_err().code, RefusalCode::Quarantined);
    sim.world = all_done;
    let _retried = sim.verb("GOOD", Verb::Retry(Legs::All), "g");
    sim.settle();
    // It was stuck for something else. A retry of all that such a thing had stopped let new work start on what had killed the host.
    let refused = sim.start("NEW", "{}", true);
    assert_eq!((status(&mut sim, "GOOD"), said(refused).unwrap_err().code), (Status::Completed, RefusalCode::Quarantined));
    let _retried = sim.verb("BAD", Verb::Retry(Legs::All), "k");
    sim.settle();
    let taken = sim.start("NEW", "{}", true);
    sim.settle();
    assert_eq!(said(taken).unwrap().view.status, Status::Completed);
}

#[test]
fn a_version_is_removed_only_when_nothing_needs_it() {
    let mut sim = Sim::new(b_waits);
    sim.deploy(1, definition(&["~a", "~b"]));
    let _old = sim.start("OLD", "{}", false);
    sim.settle();
    let active = sim.remove(1).unwrap_err();
    assert_eq!(
        (active.code, active.message.as_str()),
        (RefusalCode::VersionActive, "demo v1 cannot be removed: new sagas start on it")
    );
    let helps = Hint { words: "activate another one first".to_owned(), remedy: Some(Remedy::Activate("demo".to_owned())) };
    assert_eq!(active.hints, [helps]);
    sim.deploy(2, definition(&["~a"]));
    let in_use = sim.remove(1).unwrap_err();
    assert_eq!(
        (in_use.code, in_use.message.as_str()),
        (RefusalCode::VersionInUse, "demo v1 cannot be removed: 1 saga runs on it")
    );
    let _woken = sim.publish("E1", None, "42");
    sim.settle();
    assert_eq!(sim.remove(2).unwrap_err().code, RefusalCode::VersionActive);
    assert_eq!(sim.remove(1).unwrap().module.versions.len(), 1);
    assert_eq!(sim.shard.modules.definitions().digests(), [[2; 32]], "its component may go");
    let ended = sim.start("OLD", "{}", true);
    sim.settle();
    assert_eq!(said(ended).unwrap().view.status, Status::Completed, "what ended can still be shown");
}

/// `grant` and `revoke` read, change and put: of two at once, the later put took back what the earlier one had given. A put says
/// now which revision it was made from.
#[test]
fn of_two_changes_of_grants_from_one_revision_the_second_is_refused_and_loses_nothing() {
    let config = |key: &str| Grant::Config { key: key.into(), value: "1".into() };
    let mut sim = Sim::new(all_done);
    let read = sim.deploy(1, definition(&["~a"])).module.revision;
    let first = sim.set_grants(vec![config("a")], Some(read)).unwrap();
    let late = sim.set_grants(vec![config("b")], Some(read)).unwrap_err();
    assert_eq!(
        (late.code, late.message),
        (RefusalCode::RevisionChanged, format!("module `demo` is at revision {}, not {read}", first.module.revision))
    );
    let again = sim.set_grants(vec![config("a")], Some(read)).unwrap();
    assert_eq!((again.created, again.module.revision), (false, first.module.revision), "delivered twice, it happens once");
    let both = sim.set_grants(vec![config("a"), config("b")], Some(first.module.revision)).unwrap();
    assert_eq!(both.module.grants, [config("a"), config("b")]);
    assert_eq!(sim.set_grants(Vec::new(), None).unwrap().module.grants, [], "without a revision the last one wins");
}

/// The next number used to be one more than the highest that was left, so that after a removal other bytes got a number that
/// journals, logs and people had already used for something else. It comes from every deploy that was recorded.
#[test]
fn the_number_of_a_removed_version_is_not_given_to_another_also_after_a_restart() {
    let mut sim = Sim::new(all_done);
    sim.deploy(1, definition(&["~a"]));
    sim.deploy(2, definition(&["~a", "~b"]));
    sim.activate(1);
    sim.remove(2).unwrap();
    let mut sim = sim.kill_and_restart();
    sim.settle();
    let deployed = sim.deploy(3, definition(&["~b"]));
    assert_eq!((deployed.version, deployed.module.next_version), (3, 4));
    let numbers: Vec<u32> = deployed.module.versions.iter().map(|version| version.version).collect();
    assert_eq!(numbers, [1, 3]);
    sim.activate(1);
    sim.remove(3).unwrap();
    assert_eq!(sim.deploy(2, definition(&["~a", "~b"])).version, 4, "bytes that come back are a new version");
}

/// A removed version was forgotten, and who went back was told that nothing had been active before.
#[test]
fn going_back_passes_over_versions_that_were_removed_and_says_so_if_no_other_is_left() {
    let mut sim = Sim::new(all_done);
    let back = |sim: &mut Sim| {
        let answered = sim.ask(|answer| {
            Request::Activate(
                origin(),
                super::Activation { versions: vec![("demo".into(), Which::Previous)], ..Default::default() },
                answer,
            )
        });
        sim.settle();
        said(answered).map(|activated| activated[0].version).map_err(|refusal| refusal.message)
    };
    sim.deploy(1, definition(&["~a"]));
    assert_eq!(back(&mut sim).unwrap_err(), "no version of `demo` was active before this one");
    sim.deploy(2, definition(&["~b"]));
    sim.deploy(3, definition(&["~c"]));
    sim.remove(2).unwrap();
    assert_eq!(back(&mut sim), Ok(1));
    sim.remove(3).unwrap();
    assert_eq!(back(&mut sim).unwrap_err(), "v3 of `demo` was active before this one and was removed");
}

#[test]
fn a_saga_that_runs_ahead_of_its_records_counts_as_running() {
    let mut sim = Sim::new(all_done);
    sim.deploy(1, definition(&["~a", "~b"]));
    let _ahead = sim.start("S1", "{}", true);
    assert!(sim.queue.is_empty(), "none of its records is on its way");
    let module = sim.modules().remove(0);
    assert_eq!(module.versions[0].in_flight, 1);
}

#[test]
fn a_saga_that_runs_for_long_is_recorded_on_the_way() {
    let mut sim = Sim::new(all_done);
    sim.deploy(1, definition(&["~a", "~b"]));
    let _ahead = sim.start("S1", "{}", true);
    sim.now = sim.now.plus(100);
    sim.input(Input::Tick);
    assert_eq!(sim.queue.len(), 1);
}
