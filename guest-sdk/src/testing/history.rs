//! Aggregates under test: the events so far, and what further commands come to.

mod stream;

use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aggregate::{Untyped, write_variant};
use crate::bindings::aggregates::exports::amends::module::aggregate as wit;
use crate::bindings::imports::amends::module::types::Payload;
use crate::stop::Failure;
use crate::testing::trace::Trace;
use crate::{__exports, Commands, Events, Moment, payload};

pub(super) use stream::Stream;

/// An aggregate under test: the events so far, and what further commands come to.
///
/// ```
/// use amends_sdk::testing::given;
/// # use amends_sdk::{Aggregate, Command, Decision, Event, accept, refuse};
/// # use serde::{Deserialize, Serialize};
/// # use serde_json::json;
/// # #[derive(Default, Serialize, Deserialize)] struct Account { cents: u64 }
/// # #[derive(Command, Serialize, Deserialize)]
/// # enum Do { #[command(new)] Open { email: String }, #[command(existing)] Pay { cents: u64 } }
/// # #[derive(Event, Serialize, Deserialize)]
/// # enum Did { Opened { email: String }, #[event(version = 2, from = in_euros)] PaidIn { cents: u64 }, Paid { cents: u64 } }
/// # #[derive(Deserialize)] struct InEuros { euros: u64 }
/// # fn in_euros(old: InEuros) -> Did { Did::PaidIn { cents: old.euros * 100 } }
/// # fn decide(account: &Account, command: Do) -> Decision<Did> {
/// #     match command {
/// #         Do::Open { email } => accept(Did::Opened { email: email.clone() }).claim(email),
/// #         Do::Pay { cents } if cents > account.cents => refuse("no_funds", "not enough"),
/// #         Do::Pay { cents } => accept(Did::Paid { cents }).answer(json!({"left": account.cents - cents})),
/// #     }
/// # }
/// # fn evolve(account: &mut Account, event: Did) {
/// #     match event { Did::PaidIn { cents } => account.cents += cents, Did::Paid { cents } => account.cents -= cents, Did::Opened { .. } => {} }
/// # }
/// # fn account() -> Aggregate<Account, Do, Did> { Aggregate::new("account", decide, evolve) }
///
/// given(account())
///     .events([Did::Opened { email: "ada@example.org".into() }, Did::PaidIn { cents: 500 }])
///     .stored("account.paid-in", 1, json!({"euros": 10})) // as an older version of the module recorded it
///     .when(Do::Pay { cents: 1200 })
///     .then(
///         r#"paid {"cents":1200}
///            answer {"left":300}"#,
///     )
///     .when(Do::Pay { cents: 400 })
///     .then("refused no_funds");
/// ```
///
/// Each command goes the way that it goes in the host: through JSON, and on a state that all events make, older forms included.
/// It is then decided once more on a kept state, as the host may keep one; a test stops where the two differ. The kit's own part
/// is small: commands are for new or existing aggregates, and keys are held by one. It has neither namespaces nor repeated
/// commands, for which the host has the first answer.
pub struct History<S, C, E> {
    pub(super) stream: Stream,
    actor: String,
    commands: u64,
    trace: Trace,
    /// How many lines of the trace `then` has compared already.
    shown: usize,
    /// What the latest command came to.
    latest: Latest,
    types: PhantomData<fn(C, E) -> S>,
}

#[derive(Default)]
struct Latest {
    answer: Option<Payload>,
    failure: Option<Failure>,
}

impl<S, C, E> History<S, C, E>
where
    S: Default + Serialize + DeserializeOwned + 'static,
    C: Commands,
    E: Events,
{
    pub(super) fn new(aggregate: Rc<dyn Untyped>) -> History<S, C, E> {
        History {
            stream: Stream::new(aggregate, "test".to_owned()),
            actor: "local".to_owned(),
            commands: 0,
            trace: Trace::default(),
            shown: 0,
            latest: Latest::default(),
            types: PhantomData,
        }
    }

    /// Sets the aggregate's id.
    #[must_use = "nothing happens until `when`"]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.stream.id = id.into();
        self
    }

    /// Sets who sends the commands from now on; `local` at first.
    #[must_use = "nothing happens until `when`"]
    pub fn actor(mut self, actor: impl Into<String>) -> Self {
        self.actor = actor.into();
        self
    }

    /// Lets another aggregate of this name hold a key.
    #[must_use = "nothing happens until `when`"]
    pub fn taken(mut self, key: impl Into<String>) -> Self {
        self.stream.taken.insert(key.into());
        self
    }

    /// Lets time pass.
    #[must_use = "nothing happens until `when`"]
    pub fn advance(self, time: Duration) -> Self {
        self.stream.world.advance(time);
        self
    }

    /// Records events.
    #[must_use = "nothing happens until `when`"]
    #[track_caller]
    pub fn events(mut self, events: impl IntoIterator<Item = E>) -> Self {
        for event in events {
            let spec = &E::EVENTS[event.index()];
            let data =
                write_variant(&event).unwrap_or_else(|error| panic!("the event {} does not serialize: {error}", spec.name));
            let event_type = format!("{}.{}", self.stream.aggregate.name(), spec.name);
            self.stream.record(event_type, spec.version, Some(payload::json(data)));
        }
        self
    }

    /// Records an event as it is stored, for example by an older version of the module: its type as `customer.opened`, the
    /// version of its form, and its data.
    ///
    /// Panics if this module does not read it.
    #[must_use = "nothing happens until `when`"]
    #[track_caller]
    pub fn stored(mut self, event_type: &str, version: u32, data: impl Serialize) -> Self {
        let data = payload::encode(&data).unwrap_or_else(|error| panic!("the data of {event_type} does not serialize: {error}"));
        if let Err(failure) = __exports::upcast_event(self.stream.module(), event_type, version, &data) {
            panic!("{}", failure.message);
        }
        self.stream.record(event_type.to_owned(), version, Some(data));
        self
    }

    /// Records an event, by its type, whose data was erased.
    #[must_use = "nothing happens until `when`"]
    #[track_caller]
    pub fn erased(mut self, event_type: &str) -> Self {
        let known = self.stream.aggregate.definition().events.into_iter().find(|event| event.event_type == event_type);
        let known = known.unwrap_or_else(|| panic!("the aggregate has no event {event_type}"));
        self.stream.record(known.event_type, known.version, None);
        self
    }

    /// Sends a command.
    ///
    /// Panics if `decide` or `evolve` panics or does what the host forbids.
    #[track_caller]
    pub fn when(self, command: C) -> Self
    where
        C: Serialize,
    {
        let name = C::COMMANDS[command.index()].name;
        let data = write_variant(&command).unwrap_or_else(|error| panic!("the command {name} does not serialize: {error}"));
        self.send(name, payload::json(data))
    }

    /// Sends a command by its name and its data: what a client may send that has no enum.
    ///
    /// Panics if the aggregate has no command of this name, and where [`when`](History::when) does.
    #[track_caller]
    pub fn command(self, name: &str, data: impl Serialize) -> Self {
        let data = payload::encode(&data).unwrap_or_else(|error| panic!("the data of {name} does not serialize: {error}"));
        self.send(name, data)
    }

    /// Compares what the commands since the last `then` came to, a line each; blanks around lines do not count.
    ///
    /// ```text
    /// registered {"email":"ada@example.org"}
    /// welcomed null tagged first, mail
    /// claims ada@example.org
    /// releases ada@example.com
    /// answer {"number":1}
    /// refused no_seat
    /// nothing
    /// ```
    ///
    /// An event is its name, without the aggregate's, and its data. `nothing` is a command that was accepted without an event.
    /// Equal lines that follow each other are one with a count, `refused no_seat ×2`.
    /// Panics with both texts if they differ.
    #[track_caller]
    pub fn then(mut self, expected: &str) -> Self {
        self.shown = self.trace.compare(self.shown, expected);
        self
    }

    /// The state.
    #[track_caller]
    pub fn state(&self) -> S {
        match payload::decode(&self.stream.folded()) {
            Ok(state) => state,
            Err(error) => panic!("the state does not come back from its JSON: {error}"),
        }
    }

    /// What the latest command was answered with. Panics if it was nothing, or is no `T`.
    #[track_caller]
    pub fn answer<T: DeserializeOwned>(&self) -> T {
        match self.latest.answer.as_ref().map(payload::decode) {
            Some(Ok(answer)) => answer,
            Some(Err(error)) => panic!("the answer is not what was expected: {error}"),
            None => panic!("the latest command has no answer"),
        }
    }

    /// Why the latest command was refused, if it was.
    pub fn failure(&self) -> Option<Failure> {
        self.latest.failure.clone()
    }

    /// Every log line so far, as `info 3 seats left`.
    pub fn logs(&self) -> Vec<String> {
        self.stream.world.logs()
    }

    /// The virtual time.
    pub fn now(&self) -> Moment {
        self.stream.world.clock()
    }

    #[track_caller]
    fn send(mut self, name: &str, data: Payload) -> Self {
        self.commands += 1;
        let id = format!("command-{}", self.commands);
        let command = wit::Command { id, name: name.to_owned(), data, actor: self.actor.clone() };
        match self.stream.send(command, None) {
            wit::Decision::Accepted(accepted) => self.accept(accepted),
            wit::Decision::Refused(failure) => {
                let failure = Failure::from(&failure);
                self.trace.push(format!("refused {}", failure.code));
                self.latest = Latest { answer: None, failure: Some(failure) };
            }
        }
        self
    }

    fn accept(&mut self, accepted: wit::Accepted) {
        if accepted.events.is_empty() {
            self.trace.push("nothing".to_owned());
        }
        for event in &accepted.events {
            self.trace.push(line(event));
        }
        for claim in accepted.claims {
            self.trace.push(format!("{} {}", if claim.held { "claims" } else { "releases" }, claim.key));
        }
        if let Some(answer) = &accepted.answer {
            self.trace.push(format!("answer {}", shown(answer)));
        }
        self.latest = Latest { answer: accepted.answer, failure: None };
    }
}

/// `paid {"cents":1200} tagged big`
fn line(event: &wit::NewEvent) -> String {
    let name = event.event_type.split_once('.').map_or(&*event.event_type, |(_, name)| name);
    let tagged = if event.tags.is_empty() { String::new() } else { format!(" tagged {}", event.tags.join(", ")) };
    format!("{name} {}{tagged}", shown(&event.data))
}

fn shown(payload: &Payload) -> &str {
    match payload {
        Payload::Json(text) => text,
        Payload::Bytes(_) => "bytes",
    }
}
