//! A host that is killed under load: what it answered is so, what it did not answer is whole or not at all, and a key means the same
//! command for ever.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Condvar, Mutex},
    thread,
};

use serde_json::{Value, json};

use super::{events, first_answer, host, send, try_send_under};
use crate::harness::api::{Answer, Api};

const ROUNDS: usize = 4;

const CALLERS: usize = 16;

const AGGREGATES: usize = 8;

/// After so many answers of a round the host is killed.
const ANSWERS: usize = 150;

/// A command, and what the host said of it; none: the host was killed before.
type Sent = (Command, Option<Answer>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Command {
    round: usize,
    caller: usize,
    turn: usize,
}

impl Command {
    fn customer(&self) -> String {
        format!("customer/C{}", (self.caller + self.turn) % AGGREGATES)
    }

    /// No other command has it.
    fn order(&self) -> String {
        format!("O{}-{}-{}", self.round, self.caller, self.turn)
    }

    /// Every fifth asks for more than there is.
    fn is_refused(&self) -> bool {
        self.turn % 5 == 4
    }

    fn send(&self, api: &Api) -> Result<Answer, ureq::Error> {
        let order = self.order();
        match self.is_refused() {
            true => {
                let data = json!({"order": order, "cents": 1_600});
                try_send_under(api, &order, &self.customer(), "reserve-credit", &data)
            }
            false => try_send_under(api, &order, &self.customer(), "release-credit", &json!({"order": order})),
        }
    }

    #[track_caller]
    fn assert_answered(&self, answer: &Answer) {
        match self.is_refused() {
            true => assert_eq!(answer.code(), "409 credit_limit_exceeded", "{self:?}"),
            false => {
                assert_eq!(answer.status, 200, "{self:?}: {}", answer.body);
                assert_eq!(answer.body["events"][0]["data"], json!({"order": self.order()}));
            }
        }
    }
}

/// How many answers there were, and who waits for that.
#[derive(Default)]
struct Count(Mutex<usize>, Condvar);

/// A caller sends command after command until one is not answered.
fn call(api: &Api, round: usize, caller: usize, count: &Count) -> Vec<Sent> {
    let mut sent = Vec::new();
    for turn in 0.. {
        let command = Command { round, caller, turn };
        let answer = command.send(api).ok();
        let is_last = answer.is_none();
        sent.push((command, answer));
        if is_last {
            break;
        }
        *count.0.lock().unwrap() += 1;
        count.1.notify_all();
    }
    sent
}

/// The events of all customers, by the order that each is about. No order is in two of them.
fn recorded(api: &Api) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for customer in 0..AGGREGATES {
        for event in events(api, &format!("customer/C{customer}")).into_iter().skip(1) {
            let order = event["data"]["order"].as_str().unwrap().to_owned();
            let twice = found.insert(order, event);
            assert_eq!(twice, None, "recorded twice");
        }
    }
    found
}

/// What was answered is there as it was said; what was not may be there.
fn assert_kept(api: &Api, sent: &[Sent]) {
    let recorded = recorded(api);
    let known: BTreeSet<String> = sent.iter().map(|(command, _)| command.order()).collect();
    assert!(recorded.keys().all(|order| known.contains(order)), "an event of no command");
    for (command, answer) in sent {
        let event = recorded.get(&command.order());
        match answer {
            Some(answer) => {
                command.assert_answered(answer);
                assert_eq!(event, answer.body["events"].get(0), "{command:?}");
            }
            None => assert!(event.is_none() || !command.is_refused(), "{command:?} is refused, and recorded {event:?}"),
        }
    }
}

#[test]
fn what_was_answered_before_a_kill_is_so_after_it_and_every_key_keeps_its_answer() {
    let mut host = host();
    for customer in 0..AGGREGATES {
        send(&host.api(), &format!("customer/C{customer}"), "open", &json!({"limit_cents": 1_500})).expect(200);
    }
    let mut all: Vec<Sent> = Vec::new();
    let mut lost = 0;
    for round in 0..ROUNDS {
        let count = Arc::new(Count::default());
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let (api, count) = (host.api(), Arc::clone(&count));
                thread::spawn(move || call(&api, round, caller, &count))
            })
            .collect();
        let answered = count.1.wait_while(count.0.lock().unwrap(), |answers| *answers < ANSWERS).unwrap();
        drop(answered);
        host.kill();
        let sent: Vec<Sent> = callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect();
        all.extend(sent);
        host.restart();
        let api = host.api();
        assert_kept(&api, &all);
        // Every key again: the first answer, or now the first.
        let before = recorded(&api);
        for (command, answer) in &mut all {
            let again = command.send(&api).unwrap();
            command.assert_answered(&again);
            match answer {
                Some(first) => {
                    assert_eq!(first_answer(&again), first_answer(first), "{command:?}");
                    assert!(command.is_refused() || again.body["duplicate"] == true, "{command:?} was done twice");
                }
                None => {
                    lost += 1;
                    let was_recorded = before.contains_key(&command.order());
                    assert!(command.is_refused() || again.body["duplicate"] == was_recorded, "{command:?}: {}", again.body);
                    *answer = Some(again);
                }
            }
        }
        assert_kept(&api, &all);
    }
    assert!(lost >= ROUNDS, "no kill met a command");
}
