//! A host with the module `trip`, and the participants that it books with: what the travel scenarios stand on.

use std::collections::BTreeMap;

use participants::{Operation, Participants};
use serde_json::{Value, json};

use super::{
    api::{Answer, Api, PATIENCE, Traffic},
    duplicator::Duplicator,
    folder::DataFolder,
    guests::Way,
    host::{Host, Options},
    laws,
};

/// Where trips are booked.
pub(crate) struct Desk {
    pub(crate) host: Host,
    pub(crate) participants: Participants,
    traffic: Traffic,
    duplicator: Option<Duplicator>,
}

impl Desk {
    /// Flight F100 with 2 seats, hotel H1 with 1 room, 1 car K1, and 1,000.00 on account A.
    pub(crate) fn open(traffic: Traffic) -> Self {
        Self::open_with(Way::Plain, Options { traffic, ..Options::default() })
    }

    pub(crate) fn open_with(way: Way, options: Options) -> Self {
        let traffic = options.traffic;
        let participants = Participants::start().unwrap_or_else(|error| panic!("no participants: {error}"));
        let duplicator = match traffic {
            Traffic::Once => None,
            Traffic::Twice | Traffic::TwiceWithFreshKeys => Some(Duplicator::start(&participants.url(), traffic)),
        };
        let duplicator = duplicator.transpose().unwrap_or_else(|error| panic!("no duplicator: {error}"));
        let desk = Self { host: Host::start(DataFolder::with_modules(way), options), participants, traffic, duplicator };
        desk.api().grant("trip", &[&desk.url()]);
        desk
    }

    pub(crate) fn api(&self) -> Api {
        self.host.api()
    }

    /// Where the saga is told that the participants are.
    pub(crate) fn url(&self) -> String {
        self.duplicator.as_ref().map_or_else(|| self.participants.url(), |duplicator| duplicator.url.clone())
    }

    /// The input of a trip.
    pub(crate) fn trip(&self) -> Value {
        json!({"participants": self.url()})
    }

    /// Books a trip, and waits until it has ended or is stuck.
    #[track_caller]
    pub(crate) fn book(&self, id: &str) -> Value {
        self.api().run("trip", id, &self.trip())
    }

    /// Begins to book a trip.
    #[track_caller]
    pub(crate) fn begin(&self, saga: &str, id: &str) {
        let answer = self.api().start(saga, id, &self.trip());
        assert!(answer.status == 201, "{}", answer.body);
    }

    /// Waits until a participant was asked for this so many times. The repeated request follows the answer to the first.
    #[track_caller]
    pub(crate) fn asked(&self, operation: Operation, calls: usize) {
        assert!(self.participants.wait_for_calls(operation, calls, PATIENCE), "{:?}", self.participants.trace());
    }

    /// An operator's verb.
    #[track_caller]
    pub(crate) fn act(&self, id: &str, verb: &str, body: &Value) -> Answer {
        self.api().post(&format!("/v1/sagas/{id}/{verb}"), body)
    }

    /// The end state: the saga, what is left, and every effect; after a check of the laws.
    #[track_caller]
    pub(crate) fn end(&self, id: &str) -> String {
        self.settle_down();
        laws::hold(&self.api(), id);
        self.one_key_for_each_call();
        format!("{}{}", saga_text(&self.api().saga(id)), self.world())
    }

    /// What is left, and every effect that took hold.
    pub(crate) fn world(&self) -> String {
        let state = self.participants.state();
        let stock = state.stock.iter().map(|(name, left)| format!("{name} {left}"));
        let accounts = state.accounts.iter().map(|(name, cents)| format!("{name} {}.{:02}", cents / 100, cents % 100));
        let left: Vec<String> = stock.chain(accounts).collect();
        let effects: Vec<String> = state.effects.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let effects = if effects.is_empty() { "none".to_owned() } else { effects.join(", ") };
        format!("left: {}; emails {}\neffects: {effects}\n", left.join(", "), state.emails.len())
    }

    /// The order in which a trip's participants were first asked, with refusals marked.
    pub(crate) fn trace(&self, trip: &str) -> String {
        let mut asked: Vec<String> = Vec::new();
        for call in self.participants.state().trace.iter().filter(|call| call.trip == trip) {
            let mark = if call.outcome.starts_with("refused") { "✗" } else { "" };
            let name = format!("{}{mark}", call.operation.name());
            if !asked.contains(&name) {
                asked.push(name);
            }
        }
        asked.join(" ")
    }

    /// Waits for repeated requests that are still under way.
    #[track_caller]
    pub(crate) fn settle_down(&self) {
        let quiet = self.participants.wait_until(PATIENCE, |state| {
            let mut calls: BTreeMap<&Option<String>, usize> = BTreeMap::new();
            state.trace.iter().for_each(|call| *calls.entry(&call.key).or_default() += 1);
            let answered = state.trace.iter().all(|call| call.outcome != "open");
            let repeated = match self.traffic {
                Traffic::Once => true,
                Traffic::Twice => calls.values().all(|calls| calls % 2 == 0),
                Traffic::TwiceWithFreshKeys => state.trace.len() % 2 == 0,
            };
            answered && repeated
        });
        assert!(quiet, "{:?}", self.participants.trace());
    }

    /// Law 10: every attempt of a step makes its call under the same key, and no two steps share one.
    #[track_caller]
    fn one_key_for_each_call(&self) {
        let mut keys: BTreeMap<String, String> = BTreeMap::new();
        for call in self.participants.state().trace {
            let name = format!("{} {} {}", call.trip, call.step, call.operation.name());
            let Some(key) = call.key else { panic!("{name} came without a key") };
            if key.starts_with("repeated-") {
                continue;
            }
            let first = keys.entry(key.clone()).or_insert_with(|| name.clone());
            assert_eq!(*first, name, "two calls have the key {key}");
            let of_it = keys.values().filter(|other| **other == name).count();
            assert_eq!(of_it, 1, "{name} came with two keys");
        }
    }
}

/// A saga's status and steps, in words that do not depend on how often something was tried.
pub(crate) fn saga_text(saga: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut head = word(&saga["status"]);
    if let Some(reason) = saga["rollback"]["reason"].as_str() {
        head.push_str(&format!(", {reason}"));
    }
    if let Some(code) = saga["failure"]["code"].as_str() {
        head.push_str(&format!(" {code}"));
    }
    if saga["manual"] != 0 {
        head.push_str(&format!(", manual {}", saga["manual"]));
    }
    let steps = saga["steps"].as_array().cloned().unwrap_or_default();
    let steps = steps.iter().map(|step| format!("  {} {}\n", word(&step["name"]), word(&step["status"]))).collect::<String>();
    let output = match &saga["output"] {
        Value::Null => String::new(),
        output => format!("  = {output}\n"),
    };
    format!("{head}\n{steps}{output}")
}
