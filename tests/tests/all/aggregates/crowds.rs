//! Many callers of one aggregate: their commands are decided one after the other, and nobody is refused for the others.

use std::{collections::BTreeSet, time::Instant};

use serde_json::{Value, json};

use super::{at_once, events, host, send, send_under};
use crate::harness::api::{Answer, Api, PATIENCE};

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

/// Positions are given in the commit that makes them visible: who has read up to one misses nothing that comes before it later.
#[test]
fn xr_03_four_who_follow_the_log_see_sixteen_thousand_events_of_sixteen_writers_once_each_and_in_order() {
    const WRITERS: usize = 16;
    const EVENTS: usize = 1_000;
    let host = host();
    let api = host.api();
    let seen =
        at_once(
            WRITERS + 4,
            |number| if number < WRITERS { written(&api, number, EVENTS) } else { followed(&api, WRITERS * EVENTS) },
        );
    let (written, followed) = seen.split_at(WRITERS);
    let written: BTreeSet<&String> = written.iter().flatten().collect();
    assert_eq!(written.len(), WRITERS * EVENTS);
    for ids in followed {
        assert_eq!((ids, ids.iter().collect::<BTreeSet<_>>() == written), (&followed[0], true));
    }
}

/// Records so many events of one aggregate, a command each; gives their ids.
fn written(api: &Api, number: usize, events: usize) -> Vec<String> {
    let customer = format!("customer/W{number}");
    let send = |turn| match turn {
        0 => send(api, &customer, "open", &json!({"limit_cents": 1})),
        turn => send(api, &customer, "release-credit", &release(number, turn)),
    };
    let id = |answer: Answer| answer.expect(200)["events"][0]["id"].as_str().unwrap().to_owned();
    (0..events).map(|turn| id(send(turn))).collect()
}

/// Reads the log from where it was read to, again and again, until there are so many; gives their ids.
fn followed(api: &Api, events: usize) -> Vec<String> {
    let (mut ids, mut after, mut last, began) = (Vec::new(), String::new(), 0, Instant::now());
    while ids.len() < events {
        let page = api.get(&format!("/v1/events?limit=1000{after}")).expect(200);
        for event in page["events"].as_array().unwrap() {
            let position = event["position"].as_str().unwrap().rsplit('-').next().unwrap().parse::<u64>().unwrap();
            assert!(position > last, "{position} comes behind {last}");
            last = position;
            ids.push(event["id"].as_str().unwrap().to_owned());
        }
        after = format!("&after={}", page["through"].as_str().unwrap());
        assert!(began.elapsed() < 6 * PATIENCE, "{} of {events} are seen", ids.len());
    }
    ids
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
