//! Following, against a host of canned answers: a stream is a body that ends.

use super::*;
use crate::{
    canned::{self, Canned},
    render::samples,
};

fn records(kinds: &[(u64, &str)]) -> Canned {
    let message = |(revision, kind): &(u64, &str)| {
        let entry = Entry { revision: revision.to_string(), kind: RecordType::named(kind).unwrap(), ..Entry::default() };
        format!("id: {revision}\nevent: record\ndata: {}\n\n", serde_json::to_string(&entry).unwrap())
    };
    Some((200, kinds.iter().map(message).collect()))
}

fn saga(mut saga: Saga, revision: u64) -> Canned {
    saga.revision = revision.to_string();
    canned::json(200, &saga)
}

/// What was read until the follower had enough, and where the saga stood.
fn followed(answers: Vec<Canned>) -> String {
    let (session, serving) = canned::host(answers);
    let mut kinds = Vec::new();
    let saga = to_rest("T4", &session, |entry| {
        kinds.push(entry.kind.as_str());
        Ok(())
    });
    serving.join().unwrap();
    format!("{}: {}", kinds.join(" "), saga.unwrap().status.as_str())
}

/// It waited for ever: the host ends the stream with the saga, and a stuck one does not end by itself.
#[test]
fn who_follows_a_saga_that_gets_stuck_is_told_so_and_does_not_wait() {
    let stream = records(&[(1, "started"), (2, "intent"), (3, "stuck")]);
    assert_eq!(followed(vec![stream, saga(samples::stuck_in_rollback(), 3)]), "started intent stuck: stuck");
}

#[test]
fn a_leg_that_is_stuck_beside_one_that_runs_or_was_stuck_once_does_not_end_it() {
    let beside = records(&[(1, "started"), (2, "stuck"), (3, "done")]);
    let answers = vec![beside, saga(samples::waiting(), 2), saga(samples::stuck_in_rollback(), 3)];
    assert_eq!(followed(answers), "started stuck done: stuck");
    let once = records(&[(1, "started"), (2, "stuck"), (3, "retried"), (4, "stuck")]);
    let answers = vec![once, saga(samples::stuck_in_rollback(), 4), saga(samples::stuck_in_rollback(), 4)];
    assert_eq!(followed(answers), "started stuck retried stuck: stuck");
}

/// What happened between two connections was lost without a word: this stream has nothing to go on from, and starts at now.
#[test]
fn who_follows_all_sagas_is_told_of_the_gap_after_a_restart() {
    let event = |name: &str| Some((200, format!("event: {name}\ndata: {{}}\n\n")));
    let answers = || vec![event("first"), None, event("second"), Some((204, String::new()))];
    let heard = |stream| {
        let (session, serving) = canned::host(answers());
        let mut events = Vec::new();
        let read = |message: &Message| {
            events.push(message.event.clone());
            Ok(true)
        };
        follow(&session, &["v1", "watch"], &[], stream, read).unwrap();
        serving.join().unwrap();
        events.join(" ")
    };
    assert_eq!(heard(Stream::Changes), "first gap second");
    assert_eq!(heard(Stream::Records), "first second");
}
