//! What a module declares of a policy, and the rules of that.

use serde::{Deserialize, Serialize};

use super::KEY_BYTES_MAX;
use crate::{
    id::Name,
    json,
    plain::shown,
    trigger::is_event_type,
    value::{Failure, Format, Payload},
};

/// What a module declares of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Its name, which no other module of the namespace has.
    pub name: String,
    /// The events that it takes.
    pub subscriptions: Vec<Subscription>,
    /// The form of the state that it keeps for each key; none: it keeps none.
    pub state: Option<StateForm>,
    /// What is done with a cause that it cannot take.
    pub on_poison: OnPoison,
    /// How often such a cause is tried.
    pub attempts_max: u32,
    /// With which event it begins.
    pub start: StartAt,
    /// What comes of events that were there before it.
    pub replay: Replay,
    /// The answers to its commands are causes of their own.
    pub answers: bool,
    /// The commands that it may send, as `customer.reserve-credit`.
    pub sends: Vec<String>,
    /// The types of the events that it may publish.
    pub publishes: Vec<String>,
    /// The sagas that it may start.
    pub starts: Vec<String>,
}

/// A form of a policy's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateForm {
    /// The form in which it is kept, from 1.
    pub version: u32,
    /// Older forms that are read as well.
    pub reads: Vec<u32>,
}

/// Events of a type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// `order.created`, or the type of a published event.
    pub event_type: String,
    /// The forms of its data that can be read.
    pub versions: Vec<u32>,
    /// A JSON pointer into its data, at the key that it is for; none: its own key. An event with null or nothing there is not for the
    /// policy.
    pub key: Option<String>,
    /// What it means for the instance of its key.
    pub route: Route,
}

impl Subscription {
    /// The key that an event is for, which has this key of its own and this data. None: it has no key there, or null, so it is for
    /// no instance.
    pub fn key_of(&self, own: &str, data: Option<&Payload>) -> Result<Option<String>, Failure> {
        let Some(pointer) = &self.key else { return Ok(Some(own.to_owned())) };
        let bad = |said: String| Failure::new("no_key", said);
        let Some(data) = data.filter(|data| data.format == Format::Json) else {
            return Err(bad(format!("its key is at `{pointer}` of its data, and that is not there or no JSON")));
        };
        let Some(found) = json::find(&data.bytes, pointer).filter(|found| *found != b"null") else { return Ok(None) };
        let is_key = |key: &String| (1..=KEY_BYTES_MAX).contains(&key.len()) && !key.chars().any(char::is_control);
        json::key(found)
            .filter(is_key)
            .map(Some)
            .ok_or_else(|| bad(format!("at `{pointer}` of its data is no text of 1 to {KEY_BYTES_MAX} bytes, and no number")))
    }
}

/// What an event means for an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// It begins one.
    Start,
    /// It begins one, or goes on with the one that is there.
    StartOrContinue,
    /// It goes on with one.
    Continue,
}

/// What is done with a cause that cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnPoison {
    /// It waits for an operator, and with it what comes after it with the same key.
    Park,
    /// The policy stops.
    Stop,
}

/// With which event a policy begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartAt {
    /// The first one after its activation.
    Now,
    /// The first one there is.
    Beginning,
}

/// What comes of events that were there before a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replay {
    /// Its state, and timers to come.
    Silent,
    /// All of it.
    Effects,
}

/// The most policies of a module.
const POLICIES_MAX: usize = 64;

/// The most types of events that a policy takes, of commands that it sends, of events that it publishes and of sagas that it starts.
const ENTRIES_MAX: usize = 64;

/// The most forms of an event, or of a state, that it reads.
const VERSIONS_MAX: usize = 256;

/// The most attempts of a cause.
const ATTEMPTS_MAX: u32 = 100;

impl Definition {
    /// What it says of events of this type.
    pub fn subscription(&self, event_type: &str) -> Option<&Subscription> {
        self.subscriptions.iter().find(|subscription| subscription.event_type == event_type)
    }

    /// Whether it can go on with a state in this form.
    pub fn reads_state(&self, version: u32) -> bool {
        self.state.as_ref().is_some_and(|form| form.version == version || form.reads.contains(&version))
    }

    /// Whether it may send this command to aggregates of this name.
    pub fn may_send(&self, aggregate: &str, command: &str) -> bool {
        let is_it = |sent: &String| sent.split_once('.') == Some((aggregate, command));
        self.sends.iter().any(is_it)
    }
}

/// Every rule that a module's policies break, each as a sentence that names the policy.
pub fn problems(policies: &[Definition]) -> Vec<String> {
    let mut found = Vec::new();
    if policies.len() > POLICIES_MAX {
        found.push(format!("the module has {} policies; at most {POLICIES_MAX}", policies.len()));
    }
    for (index, policy) in policies.iter().take(POLICIES_MAX).enumerate() {
        let name = shown(&policy.name);
        let mut problem = |said: String| found.push(format!("policy `{name}`: {said}"));
        if let Err(bad) = Name::new(&policy.name) {
            problem(bad.to_string());
        }
        if policies[..index].iter().any(|other| other.name == policy.name) {
            problem("it is defined twice".to_owned());
        }
        if !(1..=ATTEMPTS_MAX).contains(&policy.attempts_max) {
            problem(format!("it tries a cause {} times; name 1 to {ATTEMPTS_MAX} attempts", policy.attempts_max));
        }
        of_subscriptions(policy, &mut problem);
        of_state(policy.state.as_ref(), &mut problem);
        of_wishes(policy, &mut problem);
    }
    found
}

fn of_subscriptions(policy: &Definition, problem: &mut impl FnMut(String)) {
    let subscriptions = &policy.subscriptions;
    if !(1..=ENTRIES_MAX).contains(&subscriptions.len()) {
        problem(format!("it takes {} types of events; a policy takes 1 to {ENTRIES_MAX}", subscriptions.len()));
    }
    for (index, Subscription { event_type, versions, key, route }) in subscriptions.iter().take(ENTRIES_MAX).enumerate() {
        let shown = shown(event_type);
        if !is_event_type(event_type) {
            problem(format!("event `{shown}`: a type has 1 to 255 printable bytes"));
        }
        if subscriptions[..index].iter().any(|other| other.event_type == *event_type) {
            problem(format!("event `{shown}` is taken twice"));
        }
        if !(1..=VERSIONS_MAX).contains(&versions.len()) || versions.contains(&0) {
            problem(format!("event `{shown}`: name 1 to {VERSIONS_MAX} versions that it can read, which count from 1"));
        }
        if key.as_ref().is_some_and(|key| !key.is_empty() && !key.starts_with('/')) {
            problem(format!("event `{shown}`: its key is found by a JSON pointer, which begins with `/`"));
        }
        if policy.state.is_none() && *route != Route::StartOrContinue {
            problem(format!(
                "event `{shown}`: a policy without a state has no instances that an event could start or go on with"
            ));
        }
    }
    let begins = |subscription: &Subscription| subscription.route != Route::Continue;
    if !subscriptions.is_empty() && !subscriptions.iter().any(begins) {
        problem("no event begins an instance of it".to_owned());
    }
}

fn of_state(form: Option<&StateForm>, problem: &mut impl FnMut(String)) {
    let Some(StateForm { version, reads }) = form else { return };
    if *version == 0 || reads.iter().any(|read| *read == 0 || read >= version) {
        problem(format!("state: versions count from 1, and what is read beside {version} is older"));
    }
    if reads.len() > VERSIONS_MAX {
        problem(format!("state: it reads {} older forms; at most {VERSIONS_MAX}", reads.len()));
    }
}

fn of_wishes(policy: &Definition, problem: &mut impl FnMut(String)) {
    for (what, entries) in [("sends", &policy.sends), ("publishes", &policy.publishes), ("starts", &policy.starts)] {
        if entries.len() > ENTRIES_MAX {
            problem(format!("it {what} {} different things; at most {ENTRIES_MAX}", entries.len()));
        }
        for (index, entry) in entries.iter().take(ENTRIES_MAX).enumerate() {
            if entries[..index].contains(entry) {
                problem(format!("it {what} `{}`, and says so twice", shown(entry)));
            }
        }
    }
    let is_command = |text: &str| matches!(text.split_once('.'), Some((a, b)) if Name::new(a).is_ok() && Name::new(b).is_ok());
    for sent in policy.sends.iter().take(ENTRIES_MAX).filter(|sent| !is_command(sent)) {
        problem(format!("it sends `{}`; a command is the name of its aggregate, a dot, and its name", shown(sent)));
    }
    for event_type in policy.publishes.iter().take(ENTRIES_MAX).filter(|event_type| !is_event_type(event_type)) {
        problem(format!("it publishes `{}`; a type has 1 to 255 printable bytes", shown(event_type)));
    }
    for (saga, bad) in policy.starts.iter().take(ENTRIES_MAX).filter_map(|saga| Some((saga, Name::new(saga).err()?))) {
        problem(format!("it starts a saga `{}`: {bad}", shown(saga)));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]
mod tests {
    use super::*;

    fn credit() -> Definition {
        let subscription = |event_type: &str| Subscription {
            event_type: event_type.into(),
            versions: vec![1],
            key: Some("/customer".into()),
            route: Route::StartOrContinue,
        };
        Definition {
            name: "credit".into(),
            subscriptions: vec![subscription("order.created"), subscription("order.cancelled")],
            state: None,
            on_poison: OnPoison::Park,
            attempts_max: 5,
            start: StartAt::Now,
            replay: Replay::Silent,
            answers: false,
            sends: vec!["customer.reserve-credit".into()],
            publishes: vec!["credit.checked".into()],
            starts: vec!["welcome".into()],
        }
    }

    #[test]
    fn a_definition_that_keeps_the_rules_has_no_problem() {
        assert_eq!(problems(&[credit()]), Vec::<String>::new());
        assert!(credit().may_send("customer", "reserve-credit") && !credit().may_send("customer", "open"));
        let form = StateForm { version: 3, reads: vec![2] };
        let manager = Definition { state: Some(form), ..credit() };
        assert_eq!(problems(std::slice::from_ref(&manager)), Vec::<String>::new());
        assert_eq!([1, 2, 3, 4].map(|version| manager.reads_state(version)), [false, true, true, false]);
    }

    #[test]
    fn the_key_of_an_event_is_its_own_or_in_its_data() {
        let by = |pointer: Option<&str>, data: &str| {
            let key = pointer.map(str::to_owned);
            let subscription = Subscription { key, ..credit().subscriptions[0].clone() };
            let key = subscription.key_of("O1", Some(&Payload::json(data.to_owned())));
            key.map_or_else(|failure| failure.code, |key| key.unwrap_or_else(|| "nobody".into()))
        };
        let data = r#"{"customer":"C1","stay":7.0,"at":null,"empty":"","odd":"a\u0000"}"#;
        let keys = [None, Some("/customer"), Some("/stay"), Some("/at"), Some("/empty"), Some("/odd"), Some("/none"), Some("")];
        let found = keys.map(|pointer| by(pointer, data));
        assert_eq!(found, ["O1", "C1", "7", "nobody", "no_key", "no_key", "nobody", "no_key"]);
        assert_eq!(by(Some(""), r#""K""#), "K");
    }

    #[test]
    fn every_rule_that_is_broken_is_named_with_its_policy() {
        let mut broken = credit();
        broken.subscriptions[1] =
            Subscription { versions: vec![0], key: Some("customer".into()), ..broken.subscriptions[0].clone() };
        broken.subscriptions.push(Subscription {
            event_type: "a\u{1b}".into(),
            versions: Vec::new(),
            key: None,
            route: Route::Continue,
        });
        broken.sends = vec!["customer".into(), "customer".into()];
        broken.publishes = vec![String::new()];
        broken.starts = vec!["Welcome".into()];
        broken.attempts_max = 0;
        let mut manager = credit();
        manager.subscriptions.iter_mut().for_each(|subscription| subscription.route = Route::Continue);
        let manager = Definition { name: "Group".into(), state: Some(StateForm { version: 1, reads: vec![1] }), ..manager };
        let empty = Definition { subscriptions: Vec::new(), ..credit() };
        let told = problems(&[broken, manager, empty]).join("\n");
        let expected = "\
policy `credit`: it tries a cause 0 times; name 1 to 100 attempts
policy `credit`: event `order.created` is taken twice
policy `credit`: event `order.created`: name 1 to 256 versions that it can read, which count from 1
policy `credit`: event `order.created`: its key is found by a JSON pointer, which begins with `/`
policy `credit`: event `a\u{1b}`: a type has 1 to 255 printable bytes
policy `credit`: event `a\u{1b}`: name 1 to 256 versions that it can read, which count from 1
policy `credit`: event `a\u{1b}`: a policy without a state has no instances that an event could start or go on with
policy `credit`: it sends `customer`, and says so twice
policy `credit`: it sends `customer`; a command is the name of its aggregate, a dot, and its name
policy `credit`: it sends `customer`; a command is the name of its aggregate, a dot, and its name
policy `credit`: it publishes ``; a type has 1 to 255 printable bytes
policy `credit`: it starts a saga `Welcome`: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter
policy `Group`: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter
policy `Group`: no event begins an instance of it
policy `Group`: state: versions count from 1, and what is read beside 1 is older
policy `credit`: it is defined twice
policy `credit`: it takes 0 types of events; a policy takes 1 to 64";
        assert_eq!(told, expected);
    }
}
