//! Aggregates under test: the events so far, and what further commands come to.

mod world;

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aggregate::{Untyped, write_variant};
use crate::bindings::aggregates::exports::amends::module::aggregate as wit;
use crate::bindings::imports::amends::module::types::Payload;
use crate::host::inside;
use crate::stop::Failure;
use crate::testing::trace::Trace;
use crate::{__exports, Commands, Events, Module, Moment, payload};

use world::DecideWorld;

const EVENTS_MAX: usize = 1000;
const TAGS_MAX: usize = 8;
const TEXT_BYTES_MAX: usize = 255;

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
    aggregate: Rc<dyn Untyped>,
    id: String,
    actor: String,
    world: Rc<DecideWorld>,
    events: Vec<wit::Event>,
    /// Keys that another aggregate holds.
    taken: BTreeSet<String>,
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
            aggregate,
            id: "test".to_owned(),
            actor: "local".to_owned(),
            world: Rc::new(DecideWorld::new()),
            events: Vec::new(),
            taken: BTreeSet::new(),
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
        self.id = id.into();
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
        self.taken.insert(key.into());
        self
    }

    /// Lets time pass.
    #[must_use = "nothing happens until `when`"]
    pub fn advance(self, time: Duration) -> Self {
        self.world.advance(time);
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
            let event_type = format!("{}.{}", self.aggregate.name(), spec.name);
            self.record(event_type, spec.version, Some(payload::json(data)));
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
        if let Err(failure) = __exports::upcast_event(self.module(), event_type, version, &data) {
            panic!("{}", failure.message);
        }
        self.record(event_type.to_owned(), version, Some(data));
        self
    }

    /// Records an event, by its type, whose data was erased.
    #[must_use = "nothing happens until `when`"]
    #[track_caller]
    pub fn erased(mut self, event_type: &str) -> Self {
        let known = self.aggregate.definition().events.into_iter().find(|event| event.event_type == event_type);
        let known = known.unwrap_or_else(|| panic!("the aggregate has no event {event_type}"));
        self.record(known.event_type, known.version, None);
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
        match payload::decode(&self.folded()) {
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
        self.world.logs()
    }

    /// The virtual time.
    pub fn now(&self) -> Moment {
        self.world.clock()
    }

    fn record(&mut self, event_type: String, version: u32, data: Option<Payload>) {
        let revision = self.events.len() as u64 + 1;
        self.events.push(wit::Event { event_type, version, revision, at: self.now().as_millis(), data });
    }

    #[track_caller]
    fn send(mut self, name: &str, data: Payload) -> Self {
        let definition = self.aggregate.definition();
        let Some(known) = definition.commands.iter().find(|known| known.name == name) else {
            panic!("the aggregate {} has no command {name}", definition.name)
        };
        self.commands += 1;
        let id = format!("command-{}", self.commands);
        let command = wit::Command { id, name: name.to_owned(), data, actor: self.actor.clone() };
        let (name, id) = (&definition.name, &self.id);
        let decision = match (known.on, self.events.is_empty()) {
            (wit::Presence::New, false) => refused("exists", format!("there is a {name} {id} already")),
            (wit::Presence::Existing, true) => refused("no_such_aggregate", format!("there is no {name} {id}")),
            _ => self.decide(command),
        };
        self.end(decision);
        self
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

    #[track_caller]
    fn end(&mut self, decision: wit::Decision) {
        let taken = match &decision {
            wit::Decision::Accepted(accepted) => self.taken_key(accepted),
            wit::Decision::Refused(_) => None,
        };
        let decision = match taken {
            Some(key) => refused("taken", format!("another {} holds {key}", self.aggregate.name())),
            None => decision,
        };
        match decision {
            wit::Decision::Accepted(accepted) => self.accept(accepted),
            wit::Decision::Refused(failure) => {
                let failure = Failure::from(&failure);
                self.trace.push(format!("refused {}", failure.code));
                self.latest = Latest { answer: None, failure: Some(failure) };
            }
        }
    }

    fn taken_key(&self, accepted: &wit::Accepted) -> Option<String> {
        let held = accepted.claims.iter().find(|claim| claim.held && self.taken.contains(&claim.key));
        held.map(|claim| claim.key.clone())
    }

    #[track_caller]
    fn accept(&mut self, accepted: wit::Accepted) {
        check(&accepted);
        if accepted.events.is_empty() {
            self.trace.push("nothing".to_owned());
        }
        for event in accepted.events {
            self.trace.push(line(&event));
            self.record(event.event_type, event.version, Some(event.data));
        }
        for claim in accepted.claims {
            self.trace.push(format!("{} {}", if claim.held { "claims" } else { "releases" }, claim.key));
        }
        if let Some(answer) = &accepted.answer {
            self.trace.push(format!("answer {}", shown(answer)));
        }
        self.latest = Latest { answer: accepted.answer, failure: None };
    }

    fn module(&self) -> Module {
        Module::of_aggregate("test", self.aggregate.clone())
    }

    fn fold(&self) -> wit::Fold {
        let (aggregate, id) = (self.aggregate.name().to_owned(), self.id.clone());
        wit::Fold { aggregate, id, base: None, events: self.events.clone() }
    }

    fn folded(&self) -> Payload {
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
        let fits = (1..=TEXT_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control);
        assert!(fits, "a tag and a key have 1 to {TEXT_BYTES_MAX} printable bytes, not {text:?}");
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

fn parsed(payload: &Payload) -> Option<serde_json::Value> {
    payload::decode(payload).ok()
}
