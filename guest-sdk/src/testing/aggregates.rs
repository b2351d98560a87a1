//! The aggregates around a saga under test: those that a module has, with their events, and answers that stand for others.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::history::{History, Stream};
use crate::aggregate::Untyped;
use crate::bindings::aggregates::exports::amends::module::aggregate as wit;
use crate::bindings::imports::amends::module::types::Payload;
use crate::bindings::saga::exports::amends::module::saga::Outcome;
use crate::stop::{Result, Stop};
use crate::{Aggregate, Commands, Events, Moment, payload};

/// A step's command, for the answers that stand for an aggregate of another module: see
/// [`Given::commands`](super::Given::commands).
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    pub(super) aggregate: String,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) data: Value,
    pub(super) expect_revision: Option<u64>,
}

impl Sent {
    /// The id of the aggregate.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The command's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The command's data.
    pub fn data(&self) -> &Value {
        &self.data
    }

    /// How many events the aggregate is to have, if the step says so: see [`Call::send_at`](crate::Call::send_at). Where it has
    /// others, the host refuses the command with `revision_changed`.
    pub fn expect_revision(&self) -> Option<u64> {
        self.expect_revision
    }
}

/// What can stand around a saga under test: an [`Aggregate`] without events, or a [`History`] with some.
pub trait Around {
    #[doc(hidden)]
    fn stream(self) -> AroundStream;
}

/// A [`Stream`] that is nobody's business outside.
#[doc(hidden)]
pub struct AroundStream(Stream);

impl<S, C, E> Around for Aggregate<S, C, E>
where
    S: Default + Serialize + DeserializeOwned + 'static,
    C: Commands,
    E: Events,
{
    #[track_caller]
    fn stream(self) -> AroundStream {
        super::given(self).stream()
    }
}

impl<S, C, E> Around for History<S, C, E> {
    fn stream(self) -> AroundStream {
        AroundStream(self.stream)
    }
}

/// Answers that stand for an aggregate.
type Answers = Box<dyn FnMut(&Sent) -> Result<Value>>;

/// All aggregates around one saga.
#[derive(Default)]
pub(super) struct Aggregates {
    /// By name.
    known: BTreeMap<String, Rc<dyn Untyped>>,
    /// By name and id.
    streams: BTreeMap<(String, String), Stream>,
    /// Who holds a key, by the aggregate's name and the key.
    held: BTreeMap<(String, String), String>,
    /// By name.
    answers: BTreeMap<String, Answers>,
}

impl Aggregates {
    pub(super) fn add(&mut self, around: AroundStream) {
        let AroundStream(stream) = around;
        let name = stream.aggregate.name().to_owned();
        self.known.insert(name.clone(), stream.aggregate.clone());
        self.streams.insert((name, stream.id.clone()), stream);
    }

    /// Lets commands to aggregates of this name be decided by it.
    pub(super) fn know(&mut self, aggregate: Rc<dyn Untyped>) {
        self.known.insert(aggregate.name().to_owned(), aggregate);
    }

    pub(super) fn answer(&mut self, aggregate: String, answers: Answers) {
        self.answers.insert(aggregate, answers);
    }

    /// Whether events of this type are those of an aggregate: nobody else says what it decided.
    pub(super) fn own(&self, event_type: &str) -> bool {
        let name = event_type.split_once('.').map(|(name, _)| name);
        name.is_some_and(|name| self.known.contains_key(name) || self.answers.contains_key(name))
    }

    /// The state of an aggregate.
    pub(super) fn state(&self, aggregate: &Rc<dyn Untyped>, id: &str) -> Payload {
        let stream = self.streams.get(&(aggregate.name().to_owned(), id.to_owned()));
        stream.map_or_else(|| Stream::new(aggregate.clone(), id.to_owned()).folded(), Stream::folded)
    }

    /// What a step's command comes to. `key` is that of its leg.
    pub(super) fn send(&mut self, sent: &Sent, key: &str, now: Moment) -> Outcome {
        if let Some(answer) = self.answers.get_mut(&sent.aggregate) {
            return answered(answer(sent));
        }
        let Decided { before, revision, decision } = self.decide(sent, key, now);
        match decision {
            wit::Decision::Refused(failure) => Outcome::Refused(failure),
            wit::Decision::Accepted(accepted) => Outcome::Done(output(before, revision, &accepted)),
        }
    }

    /// The same for a command that no step sends.
    pub(super) fn decided(&mut self, sent: &Sent, key: &str, now: Moment) -> Decided {
        let Some(answer) = self.answers.get_mut(&sent.aggregate) else { return self.decide(sent, key, now) };
        let decision = match answer(sent) {
            Ok(data) => wit::Decision::Accepted(wit::Accepted { events: vec![], claims: vec![], answer: Some(encoded(&data)) }),
            Err(Stop::Refused(failure)) => wit::Decision::Refused(failure.into()),
            Err(other) => panic!("{} of {} {other}; a command is done or refused here", sent.name, sent.aggregate),
        };
        Decided { before: 1, revision: 1, decision }
    }

    fn decide(&mut self, sent: &Sent, key: &str, now: Moment) -> Decided {
        let Some(aggregate) = self.known.get(&sent.aggregate) else {
            panic!("nobody decides {} of {}; add .with(…) or .commands(…) to the test", sent.name, sent.aggregate)
        };
        let place = (sent.aggregate.clone(), sent.id.clone());
        let stream = self.streams.entry(place).or_insert_with(|| Stream::new(aggregate.clone(), sent.id.clone()));
        stream.world.set_clock(now);
        let of_others = self.held.iter().filter(|((name, _), id)| *name == sent.aggregate && **id != sent.id);
        let by_test = stream.taken.clone();
        stream.taken.extend(of_others.map(|((_, key), _)| key.clone()));
        let data = payload::json(sent.data.to_string());
        let command = wit::Command { id: key.to_owned(), name: sent.name.clone(), data, actor: "host".to_owned() };
        let before = stream.revision();
        let decision = stream.send(command, sent.expect_revision);
        stream.taken = by_test;
        let revision = stream.revision();
        if let wit::Decision::Accepted(accepted) = &decision {
            self.hold(sent, &accepted.claims);
        }
        Decided { before, revision, decision }
    }

    fn hold(&mut self, sent: &Sent, claims: &[wit::Claim]) {
        for claim in claims {
            let place = (sent.aggregate.clone(), claim.key.clone());
            match claim.held {
                true => drop(self.held.insert(place, sent.id.clone())),
                false => self.held.retain(|key, id| *key != place || *id != sent.id),
            }
        }
    }
}

/// What was decided, and the aggregate's revision before and afterwards.
pub(super) struct Decided {
    pub(super) before: u64,
    pub(super) revision: u64,
    pub(super) decision: wit::Decision,
}

fn answered(answer: Result<Value>) -> Outcome {
    match answer {
        Ok(data) => Outcome::Done(encoded(&json!({"revision": 1, "data": data, "events": []}))),
        Err(Stop::Refused(failure)) => Outcome::Refused(failure.into()),
        Err(Stop::Transient(failure) | Stop::Unknown(failure)) => Outcome::Transient(failure.into()),
        Err(Stop::Wait(_)) => panic!("a command does not wait; it is done or refused"),
    }
}

/// As the host writes it.
fn output(before: u64, revision: u64, accepted: &wit::Accepted) -> Payload {
    let value = |payload: &Payload| payload::decode::<Value>(payload).unwrap_or_default();
    let event = |(revision, event): (u64, &wit::NewEvent)| json!({"type": event.event_type, "version": event.version, "revision": revision, "data": value(&event.data)});
    let events: Vec<Value> = (before + 1..).zip(&accepted.events).map(event).collect();
    encoded(&json!({"revision": revision, "data": accepted.answer.as_ref().map(value), "events": events}))
}

fn encoded(value: &Value) -> Payload {
    payload::json(value.to_string())
}
