//! A host with the module `trip`, and the participants that it books with: used by the travel scenarios.

use std::collections::{BTreeMap, BTreeSet};

use expect_test::Expect;
use participants::{Called, Control, Fault, Operation, Participants, Rule};
use serde_json::{Value, json};

use super::{
    api::{Answer, Api, PATIENCE, Traffic},
    duplicator::Duplicator,
    folder::DataFolder,
    guests::Way,
    host::{Host, Options},
    laws,
};

/// A host and the participants of trips.
pub(crate) struct Desk {
    pub(crate) host: Host,
    pub(crate) participants: Participants,
    traffic: Traffic,
    kill: Option<Kill>,
    duplicator: Option<Duplicator>,
}

/// Faults in addition to those of a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conditions {
    pub(crate) traffic: Traffic,
    pub(crate) kill: Option<Kill>,
}

/// When the host gets a SIGKILL; it is started again at once.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kill {
    /// When the host reaches this failpoint for the nth time.
    At(&'static str, u32),
    /// At the first call of this operation, after its effect and before its answer.
    By(Operation),
}

impl From<Traffic> for Conditions {
    fn from(traffic: Traffic) -> Self {
        Self { traffic, kill: None }
    }
}

impl Desk {
    /// Flight F100 with 2 seats, hotel H1 with 1 room, 1 car K1, and 1,000.00 on account A.
    pub(crate) fn open(conditions: impl Into<Conditions>) -> Self {
        let Conditions { traffic, kill } = conditions.into();
        let options = Options { traffic, ..Options::default() };
        let options = match kill {
            Some(Kill::At(point, nth)) => options.supervised().dies_at(&format!("{point}:{nth}")),
            Some(Kill::By(_)) => options.supervised(),
            None => options,
        };
        let desk = Self { kill, ..Self::open_with(Way::Plain, options) };
        desk.killer().into_iter().for_each(|killer| desk.participants.add(killer));
        desk
    }

    /// Whether the host is never killed: then everything happens once and in order.
    pub(crate) fn is_calm(&self) -> bool {
        self.kill.is_none()
    }

    pub(crate) fn open_with(way: Way, options: Options) -> Self {
        let desk = Self::on(DataFolder::with_modules(way), options);
        desk.api().grant("trip", &[&desk.url()]);
        desk
    }

    /// A host on this folder, with only the modules and grants in it.
    pub(crate) fn on(folder: DataFolder, options: Options) -> Self {
        let traffic = options.traffic;
        let participants = Participants::start().unwrap_or_else(|error| panic!("no participants: {error}"));
        let duplicator = match traffic {
            Traffic::Once => None,
            Traffic::Twice | Traffic::TwiceWithFreshKeys => Some(Duplicator::start(&participants.url(), traffic)),
        };
        let duplicator = duplicator.transpose().unwrap_or_else(|error| panic!("no duplicator: {error}"));
        Self { host: Host::start(folder, options), participants, traffic, kill: None, duplicator }
    }

    pub(crate) fn api(&self) -> Api {
        self.host.api()
    }

    /// The address of the participants in the inputs of sagas.
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
        self.run("trip", id, &self.trip())
    }

    /// Runs a saga that charges in its step `charge`, and waits until it has ended or is stuck.
    #[track_caller]
    pub(crate) fn run(&self, name: &str, id: &str, input: &Value) -> Value {
        let saga = self.api().run(name, id, input);
        if self.is_calm() || saga["stuck"][0]["code"] != "pivot_in_doubt" {
            return saga;
        }
        // A kill met the charge, and the next attempt was refused: law 8 asks people whether the first one took the money.
        self.act(id, "resolve", &json!({"step": "charge", "not_done": true})).expect(200);
        self.api().run(name, id, input)
    }

    /// Begins to book a trip.
    #[track_caller]
    pub(crate) fn begin(&self, saga: &str, id: &str) {
        let answer = self.api().start(saga, id, &self.trip());
        assert!(answer.status == 201 || (answer.status == 200 && !self.is_calm()), "{}", answer.body);
    }

    /// Holds calls of this operation until [`Desk::release`].
    pub(crate) fn hold(&self, operation: Operation) {
        self.participants.add(Rule::every(operation, Fault::Hold));
    }

    /// Releases held calls, and holds no further ones.
    pub(crate) fn release(&self, operation: Operation) {
        let trace = self.participants.state().trace;
        let killer = self.killer().filter(|killer| !trace.iter().any(|call| call.operation == killer.operation));
        let rules = killer.into_iter().collect();
        self.participants.control(Control { clear: true, release: vec![operation], rules, ..Control::default() });
    }

    fn killer(&self) -> Option<Rule> {
        match self.kill {
            Some(Kill::By(operation)) => Some(Rule::next(1, operation, Fault::Kill { pid: self.host.pid() })),
            Some(Kill::At(..)) | None => None,
        }
    }

    /// Waits for a call of this operation. False if a kill made the saga roll back before.
    #[track_caller]
    pub(crate) fn asked(&self, operation: Operation) -> bool {
        let asked = |state: &participants::State, wanted| state.trace.iter().any(|call| call.operation == wanted);
        let goes_back = |state: &participants::State| !self.is_calm() && asked(state, Operation::CancelFlight);
        let came = self.participants.wait_until(PATIENCE, |state| asked(state, operation) || goes_back(state));
        assert!(came, "{:?}", self.participants.trace());
        asked(&self.participants.state(), operation)
    }

    /// An operator's verb.
    #[track_caller]
    pub(crate) fn act(&self, id: &str, verb: &str, body: &Value) -> Answer {
        self.api().post(&format!("/v1/sagas/{id}/{verb}"), body)
    }

    /// Checks the end state; of a trip that rolled back because of a kill, that it has no effect.
    #[track_caller]
    pub(crate) fn ends(&self, id: &str, expected: &Expect) {
        let end = self.end(id);
        if !self.was_given_up(id) {
            expected.assert_eq(&end);
        }
    }

    /// Whether a kill interrupted the attempt of the hotel. That step must not run again, so the trip rolls back: law 6.
    pub(crate) fn was_given_up(&self, id: &str) -> bool {
        let met = |record: &Value| {
            record["type"] == "unknown" && record["step"] == "reserve-hotel" && record["failure"]["code"] == "host_stopped"
        };
        // Only trips ask the hotel once.
        let is_trip = || self.api().saga(id)["module"] == "trip";
        !self.is_calm() && is_trip() && self.api().journal(id).iter().any(met)
    }

    /// The end state: the saga, the stock, and every effect; after a check of the laws.
    #[track_caller]
    pub(crate) fn end(&self, id: &str) -> String {
        self.settle_down();
        laws::hold(&self.api(), id);
        self.one_key_for_each_call();
        let saga = self.api().saga(id);
        self.each_effect_once(&saga);
        format!("{}{}", self.without_doubt(&saga), self.world())
    }

    /// A saga as text. A refused step with an earlier attempt that a kill interrupted is undone as well, although it had no
    /// effect: it counts as refused here. So does a charge that an operator resolved as not done.
    fn without_doubt(&self, saga: &Value) -> String {
        let text = saga_text(saga);
        match (self.is_calm(), saga["rollback"]["reason"].as_str(), saga["rollback"]["step"].as_str()) {
            (false, Some("refused"), Some(step)) => {
                let text = text.replace(&format!("  {step} compensated\n"), &format!("  {step} refused\n"));
                if step == "charge" { text.replace(", manual 1", "") } else { text }
            }
            _ => text,
        }
    }

    /// Checks that the effect of every done step happened once, and that every undone step was undone once.
    #[track_caller]
    fn each_effect_once(&self, saga: &Value) {
        let id = saga["id"].as_str().unwrap_or_default();
        let trace = self.participants.state().trace;
        let took_hold = |operation: Operation, thing: &(String, String)| {
            let done = |outcome: &str| outcome.split(',').next() == Some("done");
            let of_it = |call: &&Called| call.trip == id && call.operation == operation && thing_of(call) == *thing;
            trace.iter().filter(|call| of_it(call) && done(&call.outcome)).count()
        };
        let things: BTreeSet<(String, String)> = trace.iter().filter(|call| call.trip == id).map(thing_of).collect();
        let pairs = [
            (Operation::ReserveFlight, Operation::CancelFlight),
            (Operation::ReserveHotel, Operation::CancelHotel),
            (Operation::ReserveCar, Operation::CancelCar),
        ];
        for thing in &things {
            for (reserve, cancel) in pairs {
                let (reserved, cancelled) = (took_hold(reserve, thing), took_hold(cancel, thing));
                assert!(reserved <= 1 && cancelled <= reserved, "{id}: {reserve:?} {thing:?} {reserved}, {cancelled} cancelled");
                if saga["status"] == "compensated" && saga["outstanding"] == json!([]) && saga["manual"] == 0 {
                    assert_eq!(reserved, cancelled, "{id}: {reserve:?} {thing:?}");
                }
            }
            for once in [Operation::Charge, Operation::IssueTickets, Operation::CheckOut, Operation::Debit, Operation::Credit] {
                assert!(took_hold(once, thing) <= 1, "{id}: {once:?} {thing:?}");
            }
        }
    }

    /// How many rounds of a saga followed its first.
    fn rounds(&self, id: &str) -> usize {
        let saga = self.api().saga(id);
        saga["round"].as_u64().map_or(0, |round| usize::try_from(round).unwrap_or(usize::MAX))
    }

    /// The stock, and every effect.
    pub(crate) fn world(&self) -> String {
        let state = self.participants.state();
        let stock = state.stock.iter().map(|(name, left)| format!("{name} {left}"));
        let accounts = state.accounts.iter().map(|(name, cents)| format!("{name} {}.{:02}", cents / 100, cents % 100));
        let left: Vec<String> = stock.chain(accounts).collect();
        let effects: Vec<String> = state.effects.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let effects = if effects.is_empty() { "none".to_owned() } else { effects.join(", ") };
        format!("left: {}; emails {}\neffects: {effects}\n", left.join(", "), state.emails.len())
    }

    /// The order of the first calls of a trip, with refusals marked.
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

    /// Waits for repeated requests that are still open.
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

    /// Law 10: every attempt of a step sends its call with the same key, and no two steps share a key. Another alternate sends
    /// another call, and another round may send another one.
    #[track_caller]
    fn one_key_for_each_call(&self) {
        let mut keys: BTreeMap<String, String> = BTreeMap::new();
        for call in self.participants.state().trace {
            let name = format!("{} {} {} {}", call.trip, call.step, call.operation.name(), call.resource);
            let Some(key) = call.key else { panic!("{name} came without a key") };
            if key.starts_with("repeated-") {
                continue;
            }
            let first = keys.entry(key.clone()).or_insert_with(|| name.clone());
            assert_eq!(*first, name, "two calls have the key {key}");
            let of_it = keys.values().filter(|other| **other == name).count();
            assert!(of_it == 1 || of_it <= 1 + self.rounds(&call.trip), "{name} came with {of_it} keys");
        }
    }
}

/// The identity of a call: the step, and the object of the call.
fn thing_of(call: &Called) -> (String, String) {
    (call.step.clone(), call.resource.clone())
}

/// A saga's status and steps as text that does not depend on the number of attempts.
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
    let steps = steps.iter().map(|step| {
        let way = step["alternate"].as_u64().map_or_else(String::new, |alternate| format!(" way {}", alternate + 1));
        let round = step["round"].as_u64().map_or_else(String::new, |round| format!(" round {round}"));
        format!("  {} {}{way}{round}\n", word(&step["name"]), word(&step["status"]))
    });
    let steps = steps.collect::<String>();
    let output = match &saga["output"] {
        Value::Null => String::new(),
        output => format!("  = {output}\n"),
    };
    format!("{head}\n{steps}{output}")
}
