//! An aggregate without its types: what the exports and the test kit call. Payloads in and out.

use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aggregate::decision::Accepted;
use crate::aggregate::names::{self, CommandSpec, EventSpec, Presence};
use crate::aggregate::variant;
use crate::bindings::aggregates::exports::amends::module::aggregate as wit;
use crate::bindings::imports::amends::module::types::Payload;
use crate::host::{self, EventAt};
use crate::stop::Failure;
use crate::{Aggregate, Command, Commands, Events, payload};

/// An aggregate without its types.
#[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "the rules of the test kit ask for more"))]
pub(crate) trait Untyped {
    fn name(&self) -> &str;
    fn definition(&self) -> wit::Definition;
    fn decide(&self, call: wit::Call) -> wit::Decided;
    fn evolve(&self, fold: wit::Fold) -> Payload;
    fn upcast(&self, event_type: &str, version: u32, data: &Payload) -> Result<Payload, Failure>;
    /// Whose events its enum says that they are.
    fn events_of(&self) -> Option<&'static str>;
    /// Whose commands its enum says that they are.
    fn commands_of(&self) -> Option<&'static str>;
    /// The commands that have a schema.
    fn schemas(&self) -> Vec<&str>;
}

impl<S, C, E> Untyped for Aggregate<S, C, E>
where
    S: Default + Serialize + DeserializeOwned,
    C: Commands,
    E: Events,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn definition(&self) -> wit::Definition {
        self.to_wit()
    }

    fn decide(&self, call: wit::Call) -> wit::Decided {
        let id: Rc<str> = call.fold.id.as_str().into();
        let mut state = self.folded(&call.fold);
        let mut decide = |command: &wit::Command| match self.decision(&state, command, &Command::new(&id, command)) {
            Ok(accepted) => wit::Decision::Accepted(self.take(&mut state, &id, accepted)),
            Err(failure) => wit::Decision::Refused(failure.into()),
        };
        let decisions = call.commands.iter().map(&mut decide).collect();
        wit::Decided { decisions, state: self.kept(&state, &id) }
    }

    fn evolve(&self, fold: wit::Fold) -> Payload {
        let state = self.folded(&fold);
        self.kept(&state, &fold.id)
    }

    fn upcast(&self, event_type: &str, version: u32, data: &Payload) -> Result<Payload, Failure> {
        let failed = |why: String| Failure::new("unreadable", format_args!("{event_type} version {version}: {why}"));
        let (index, spec) = names::spec_of::<E>(&self.name, event_type).map_err(failed)?;
        let event = payload::text(data).and_then(|text| spec.read(index, version, text)).and_then(|event| variant::write(&event));
        event.map(payload::json).map_err(failed)
    }

    fn events_of(&self) -> Option<&'static str> {
        E::AGGREGATE
    }

    fn commands_of(&self) -> Option<&'static str> {
        C::AGGREGATE
    }

    fn schemas(&self) -> Vec<&str> {
        self.schemas.iter().map(|(command, _)| command.as_str()).collect()
    }
}

impl<S, C, E> Aggregate<S, C, E>
where
    S: Default + Serialize + DeserializeOwned,
    C: Commands,
    E: Events,
{
    /// The state after the events of a fold.
    ///
    /// Panics, which is a trap in the host, where something was recorded that this module cannot read: whatever it did instead
    /// would be a state that the events do not say.
    fn folded(&self, fold: &wit::Fold) -> S {
        let name = &self.name;
        let mut state = match &fold.base {
            None => S::default(),
            Some(base) => payload::decode(base).unwrap_or_else(|error| {
                panic!("{name} {}: its kept state does not read: {error}; raise `state_version` when the state changes", fold.id)
            }),
        };
        for event in &fold.events {
            let at = EventAt::of(&fold.id, event);
            let taken = host::folding(at, || self.take_recorded(&mut state, event));
            taken.unwrap_or_else(|why| panic!("{name} cannot be folded at {at}: {why}"));
        }
        state
    }

    fn take_recorded(&self, state: &mut S, event: &wit::Event) -> Result<(), String> {
        match names::recorded(&self.name, &event.event_type, event.version, event.data.as_ref())? {
            Some(read) => (self.evolve)(state, read),
            None => (self.evolve_erased)(state, &event.event_type),
        }
        Ok(())
    }

    /// What the author decides; data that the enum of commands does not read is refused.
    fn decision(&self, state: &S, command: &wit::Command, sent: &Command) -> Result<Accepted<E>, Failure> {
        let bad = |why: String| Failure::new("bad_command", format_args!("{} of {}: {why}", command.name, self.name));
        let index = C::COMMANDS.iter().position(|spec| spec.name == command.name);
        let index = index.ok_or_else(|| bad("there is no such command".to_owned()))?;
        let read =
            variant::read_command(index, payload::text(&command.data).map_err(bad)?).map_err(|error| bad(error.to_string()))?;
        (self.decide)(state, read, sent).0
    }

    /// Takes the new events into the state, each as it will be read: what cannot be read again is not recorded.
    fn take(&self, state: &mut S, id: &str, accepted: Accepted<E>) -> wit::Accepted {
        let events = accepted.events.into_iter().map(|(event, tags)| self.take_event(state, id, &event, tags)).collect();
        wit::Accepted { events, claims: accepted.claims, answer: accepted.answer.map(payload::json) }
    }

    fn take_event(&self, state: &mut S, id: &str, event: &E, tags: Vec<String>) -> wit::NewEvent {
        let (index, spec) = (event.index(), &E::EVENTS[event.index()]);
        let (event_type, version) = (self.event_type(spec), spec.version);
        let written = variant::write(event).and_then(|data| Ok((spec.read(index, version, &data)?, data)));
        let (read, data) = written.unwrap_or_else(|why| {
            panic!(
                "{} {id} cannot record {event_type} version {version}: its data does not come back from its JSON: {why}",
                self.name
            )
        });
        let at = EventAt { id, event_type: &event_type, version, revision: None };
        host::folding(at, || (self.evolve)(state, read));
        wit::NewEvent { event_type, version, data: payload::json(data), tags }
    }

    fn event_type(&self, spec: &EventSpec<E>) -> String {
        format!("{}.{}", self.name, spec.name)
    }

    fn kept(&self, state: &S, id: &str) -> Payload {
        payload::encode(state).unwrap_or_else(|error| panic!("{} {id}: its state does not serialize: {error}", self.name))
    }

    fn to_wit(&self) -> wit::Definition {
        let schema = |name: &str| self.schemas.iter().find(|(of, _)| of == name).map(|(_, schema)| schema.clone());
        let command = |spec: &CommandSpec| wit::CommandDefinition {
            name: spec.name.to_owned(),
            on: presence(spec.on),
            schema: schema(spec.name),
        };
        let event = |spec: &EventSpec<E>| wit::EventDefinition {
            event_type: self.event_type(spec),
            version: spec.version,
            reads: (1..spec.version).collect(),
        };
        wit::Definition {
            name: self.name.to_string(),
            commands: C::COMMANDS.iter().map(command).collect(),
            events: E::EVENTS.iter().map(event).collect(),
            keep_every: self.keep_every,
            state_version: self.state_version,
        }
    }
}

fn presence(on: Presence) -> wit::Presence {
    match on {
        Presence::Any => wit::Presence::Any,
        Presence::New => wit::Presence::New,
        Presence::Existing => wit::Presence::Existing,
    }
}
