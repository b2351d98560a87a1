//! The events of one aggregate, and the way of a command through it: as it goes in the host, through JSON.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::aggregate::Untyped;
use crate::bindings::aggregates::exports::amends::module::aggregate as wit;
use crate::bindings::imports::amends::module::types::Payload;
use crate::host::inside;
use crate::stop::Failure;
use crate::testing::plain::is_printable;
use crate::testing::pure::PureWorld;
use crate::{__exports, Module, payload};

const EVENTS_MAX: usize = 1000;
const TAGS_MAX: usize = 8;
const TEXT_BYTES_MAX: usize = 255;

/// One aggregate.
pub(in crate::testing) struct Stream {
    pub(in crate::testing) aggregate: Rc<dyn Untyped>,
    pub(in crate::testing) id: String,
    pub(in crate::testing) world: Rc<PureWorld>,
    pub(super) events: Vec<wit::Event>,
    /// Keys that another aggregate holds.
    pub(in crate::testing) taken: BTreeSet<String>,
}

impl Stream {
    pub(in crate::testing) fn new(aggregate: Rc<dyn Untyped>, id: String) -> Stream {
        let world = Rc::new(PureWorld::new("decide: it depends on the state and the command alone, so put it into one of them"));
        Stream { aggregate, id, world, events: Vec::new(), taken: BTreeSet::new() }
    }

    pub(super) fn record(&mut self, event_type: String, version: u32, data: Option<Payload>) {
        let revision = self.revision() + 1;
        let at = self.world.clock().as_millis();
        self.events.push(wit::Event { event_type, version, revision, at, data });
    }

    pub(in crate::testing) fn revision(&self) -> u64 {
        self.events.len() as u64
    }

    /// Decides a command, and records what was accepted. It is refused if there is another number of events than was expected.
    #[track_caller]
    pub(in crate::testing) fn send(&mut self, command: wit::Command, expected: Option<u64>) -> wit::Decision {
        let definition = self.aggregate.definition();
        let Some(known) = definition.commands.iter().find(|known| known.name == command.name) else {
            panic!("the aggregate {} has no command {}", definition.name, command.name)
        };
        let (name, id, revision) = (&definition.name, &self.id, self.revision());
        let decision = match (known.on, self.events.is_empty()) {
            _ if expected.is_some_and(|expected| expected != revision) => {
                refused("revision_changed", format!("{name} {id} is at revision {revision}"))
            }
            (wit::Presence::New, false) => refused("exists", format!("there is a {name} {id} already")),
            (wit::Presence::Existing, true) => refused("no_such_aggregate", format!("there is no {name} {id}")),
            _ => self.decide(command),
        };
        let taken = match &decision {
            wit::Decision::Accepted(accepted) => self.taken_key(accepted),
            wit::Decision::Refused(_) => None,
        };
        if let Some(key) = taken {
            return refused("taken", format!("another {name} holds {key}"));
        }
        if let wit::Decision::Accepted(accepted) = &decision {
            check(accepted);
            for event in &accepted.events {
                self.record(event.event_type.clone(), event.version, Some(event.data.clone()));
            }
        }
        decision
    }

    /// Decides on the state that all events make, and once more on a kept one.
    #[track_caller]
    fn decide(&self, command: wit::Command) -> wit::Decision {
        let decided = self.decide_on(self.fold(), &command);
        let logged = self.world.logs().len();
        let kept = wit::Fold { base: Some(self.folded()), events: Vec::new(), ..self.fold() };
        let again = self.decide_on(kept, &command);
        self.world.forget_logs_after(logged);
        let same = decided.decisions == again.decisions && parsed(&decided.state) == parsed(&again.state);
        assert!(
            same,
            "on a state that went through its JSON, the command {} comes to something else; the state serializes all that it \
             needs, as BTreeMap and BTreeSet in one order, and decide depends on its arguments alone\n{again:?}\nnot\n{decided:?}",
            command.name,
        );
        let [decision] =
            <[wit::Decision; 1]>::try_from(decided.decisions).unwrap_or_else(|_| panic!("one decision for a command"));
        decision
    }

    fn decide_on(&self, fold: wit::Fold, command: &wit::Command) -> wit::Decided {
        self.world.begin(&command.id);
        let call = wit::Call { fold, commands: vec![command.clone()] };
        inside(self.world.clone(), || __exports::decide(self.module(), call))
    }

    fn taken_key(&self, accepted: &wit::Accepted) -> Option<String> {
        let held = accepted.claims.iter().find(|claim| claim.held && self.taken.contains(&claim.key));
        held.map(|claim| claim.key.clone())
    }

    pub(super) fn module(&self) -> Module {
        Module::of_aggregate("test", self.aggregate.clone())
    }

    fn fold(&self) -> wit::Fold {
        let (aggregate, id) = (self.aggregate.name().to_owned(), self.id.clone());
        wit::Fold { aggregate, id, base: None, events: self.events.clone() }
    }

    pub(in crate::testing) fn folded(&self) -> Payload {
        __exports::evolve(self.module(), self.fold())
    }
}

fn refused(code: &str, message: String) -> wit::Decision {
    wit::Decision::Refused(Failure::new(code, message).into())
}

/// Stops at what the host would refuse.
#[track_caller]
fn check(accepted: &wit::Accepted) {
    let events = accepted.events.len();
    assert!(events <= EVENTS_MAX, "a command records at most {EVENTS_MAX} events, not {events}");
    for event in &accepted.events {
        let tags = event.tags.len();
        assert!(tags <= TAGS_MAX, "an event has at most {TAGS_MAX} tags, and {} has {tags}", event.event_type);
    }
    let tags = accepted.events.iter().flat_map(|event| &event.tags);
    for text in tags.chain(accepted.claims.iter().map(|claim| &claim.key)) {
        let fits = (1..=TEXT_BYTES_MAX).contains(&text.len()) && is_printable(text);
        assert!(fits, "a tag and a key have 1 to {TEXT_BYTES_MAX} printable bytes, not {text:?}");
    }
}

fn parsed(payload: &Payload) -> Option<serde_json::Value> {
    payload::decode(payload).ok()
}
