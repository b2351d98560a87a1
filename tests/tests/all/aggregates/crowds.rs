//! Many callers of one aggregate: their commands are decided one after the other, and nobody is refused for the others.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{at_once, events, host, send, send_under};
use crate::harness::api::Answer;

const CALLERS: usize = 64;

/// Commands of each.
const EACH: usize = 10;

/// Each command is one event, and no two are of one order.
fn release(number: usize, turn: usize) -> Value {
    json!({"order": format!("O{number}-{turn}")})
}

/// Every answer has an event of its own, and together they are all that there are behind the first.
fn assert_one_event_each(recorded: &[Value], answers: &[Answer]) {
    assert_eq!(recorded.len(), answers.len() + 1);
    let revisions: BTreeSet<u64> =
        answers.iter().map(|answer| answer.body["revision"].as_str().unwrap().parse().unwrap()).collect();
    assert!(revisions.into_iter().eq(2..=answers.len() as u64 + 1));
    for answer in answers {
        let event = &answer.body["events"][0];
        assert_eq!(answer.body["events"].as_array().map(Vec::len), Some(1));
        let revision: usize = answer.body["revision"].as_str().unwrap().parse().unwrap();
        assert_eq!(*event, recorded[revision - 1]);
    }
}

#[test]
fn sixty_four_callers_of_one_aggregate_are_all_answered_in_one_order() {
    let host = host();
    let api = host.api();
    send(&api, "customer/C1", "open", &json!({"limit_cents": 1})).expect(200);
    let answers = at_once(CALLERS, |number| {
        let send = |turn| send(&api, "customer/C1", "release-credit", &release(number, turn));
        (0..EACH).map(send).collect::<Vec<_>>()
    });
    for (number, answers) in answers.iter().enumerate() {
        let mut last = 0;
        for (turn, answer) in answers.iter().enumerate() {
            assert_eq!((answer.status, &answer.body["duplicate"]), (200, &json!(false)), "{}", answer.body);
            assert_eq!(answer.body["events"][0]["data"], release(number, turn));
            // What a caller sends after an answer comes after that.
            let revision = answer.body["revision"].as_str().unwrap().parse::<u64>().unwrap();
            assert!(revision > last, "{revision} after {last}");
            last = revision;
        }
    }
    assert_one_event_each(&events(&api, "customer/C1"), &answers.concat());
}

#[test]
fn each_command_of_a_crowd_that_is_sent_twice_at_once_is_one_event() {
    let host = host();
    let api = host.api();
    send(&api, "customer/C1", "open", &json!({"limit_cents": 1})).expect(200);
    // Two threads each send the same.
    let mut answers = at_once(CALLERS * 2, |thread| {
        let number = thread / 2;
        let send = |turn| {
            let key = format!("K{number}-{turn}");
            send_under(&api, &key, "customer/C1", "release-credit", &release(number, turn))
        };
        (0..EACH).map(send).collect::<Vec<_>>()
    });
    let seconds: Vec<Answer> = answers.iter().skip(1).step_by(2).flatten().cloned().collect();
    let mut number = 0;
    answers.retain(|_| {
        number += 1;
        number % 2 == 1
    });
    let firsts = answers.concat();
    for (first, second) in firsts.iter().zip(&seconds) {
        assert_eq!((first.status, second.status), (200, 200), "{} {}", first.body, second.body);
        assert_ne!(first.body["duplicate"], second.body["duplicate"], "exactly one of them was the first");
        assert_eq!(super::first_answer(first), super::first_answer(second));
    }
    assert_one_event_each(&events(&api, "customer/C1"), &firsts);
}
