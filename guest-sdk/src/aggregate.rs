//! Aggregates: entities whose state is made of their events.

mod command;
mod decision;
mod names;
mod untyped;
mod variant;

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use command::{Command, Decide};
pub use decision::{Decision, IntoEvents, accept, nothing, refuse};
pub(crate) use names::recorded;
pub use names::{CommandSpec, Commands, EventSpec, Events, Presence, Upcast, Upcasted, upcast};
pub(crate) use untyped::Untyped;
pub(crate) use variant::write as write_variant;

/// An aggregate: an entity whose state is made of its events.
///
/// `S` is its state, `C` the enum of its commands, `E` that of its events. A command is decided on the state that the events so
/// far have made; what was decided is recorded as further events. The host decides the commands of one aggregate one after the
/// other, so that `decide` sees what every command before it did.
///
/// ```
/// use amends_sdk::testing::given;
/// use amends_sdk::{Aggregate, Command, Decision, Event, Module, accept, nothing, refuse};
/// use serde::{Deserialize, Serialize};
///
/// /// Everything that decisions need to know.
/// #[derive(Default, Serialize, Deserialize)]
/// struct Flight { seats: u32, passengers: Vec<String> }
///
/// #[derive(Command, Serialize, Deserialize)]
/// enum Do {
///     #[command(new)]
///     Schedule { seats: u32 },
///     #[command(existing)]
///     Book { passenger: String },
/// }
///
/// #[derive(Event, Serialize, Deserialize)]
/// enum Did {
///     Scheduled { seats: u32 },
///     Booked { passenger: String },
/// }
///
/// fn decide(flight: &Flight, command: Do) -> Decision<Did> {
///     match command {
///         Do::Schedule { seats } => accept(Did::Scheduled { seats }),
///         Do::Book { passenger } if flight.passengers.contains(&passenger) => nothing(),
///         Do::Book { .. } if flight.seats == 0 => refuse("no_seat", "all seats are taken"),
///         Do::Book { passenger } => accept(Did::Booked { passenger }),
///     }
/// }
///
/// fn evolve(flight: &mut Flight, event: Did) {
///     match event {
///         Did::Scheduled { seats } => flight.seats = seats,
///         Did::Booked { passenger } => {
///             flight.seats -= 1;
///             flight.passengers.push(passenger);
///         }
///     }
/// }
///
/// fn flight() -> Aggregate<Flight, Do, Did> {
///     Aggregate::new("flight", decide, evolve)
/// }
///
/// fn module() -> Module {
///     Module::new("airline").aggregate(flight())
/// }
/// amends_sdk::export!(aggregate: module);
///
/// given(flight())
///     .events([Did::Scheduled { seats: 1 }])
///     .when(Do::Book { passenger: "ada".into() })
///     .then(r#"booked {"passenger":"ada"}"#)
///     .when(Do::Book { passenger: "bob".into() })
///     .then("refused no_seat");
/// ```
///
/// # What is recorded
///
/// The data of an event is JSON, and so is the state. Each new event goes through its JSON and back before `evolve` takes it, so
/// what is recorded is known to be readable. An event that was recorded is never changed: see
/// [`#[derive(Event)]`](derive@crate::Event) for events whose form changes.
///
/// # What may not happen
///
/// `decide` and `evolve` are pure. `decide` may ask [`context`](crate::context) for the time and for ids, which are the same when
/// it is called again; `evolve` may ask for nothing, because it is called again for years. Neither calls anything outside: what an
/// event should lead to is a saga's work. The test kit stops at a breach.
///
/// A panic is a trap, and records nothing. Events that cannot be read are one too, with a message that names the event, its
/// version and its revision: no state is made up for them. Data of a command that its enum does not read is refused, with the
/// code `bad_command` and the place in the data.
#[must_use = "an aggregate does nothing until a module has it"]
pub struct Aggregate<S, C, E> {
    name: Cow<'static, str>,
    decide: Box<Deciding<S, C, E>>,
    evolve: Box<Evolving<S, E>>,
    evolve_erased: Box<EvolvingErased<S>>,
    keep_every: u32,
    state_version: Option<u32>,
    /// By the name of the command.
    schemas: Vec<(String, String)>,
}

type Deciding<S, C, E> = dyn Fn(&S, C, &Command) -> Decision<E>;
type Evolving<S, E> = dyn Fn(&mut S, E);
type EvolvingErased<S> = dyn Fn(&mut S, &str);

impl<S, C, E> Aggregate<S, C, E> {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl<S, C, E> Aggregate<S, C, E>
where
    S: Default + Serialize + DeserializeOwned + 'static,
    C: Commands,
    E: Events,
{
    /// An aggregate with this name, `[a-z][a-z0-9-]{0,62}`, and the two functions that make it.
    ///
    /// `decide` is a `fn(&S, C) -> Decision<E>`; with a third argument, `&`[`Command`], it also learns to whom the command was
    /// sent, by whom and under which id. `evolve` takes an event into the state.
    ///
    /// Only one module of a namespace may have an aggregate of this name.
    pub fn new<Arguments: 'static>(
        name: impl Into<Cow<'static, str>>,
        decide: impl Decide<S, C, E, Arguments> + 'static,
        evolve: impl Fn(&mut S, E) + 'static,
    ) -> Aggregate<S, C, E> {
        Aggregate {
            name: name.into(),
            decide: Box::new(move |state, command, sent| decide.decide(state, command, sent)),
            evolve: Box::new(evolve),
            evolve_erased: Box::new(|_, _| {}),
            keep_every: 100,
            state_version: None,
            schemas: Vec::new(),
        }
    }

    /// What remains of an event whose data was erased, for example because a person had a right to that. It receives the event's
    /// type, as `customer.opened`.
    ///
    /// By default nothing remains: the event counts for the revision, and the state is as if it had not been there. Values that
    /// stand for the lost ones, as an empty name or 0 cents, would be facts that nobody recorded. An event that holds nothing has
    /// nothing to lose, and is taken by `evolve` as ever.
    ///
    /// ```
    /// # use amends_sdk::testing::given;
    /// # use amends_sdk::{Aggregate, Command, Decision, Event, nothing};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Command, Deserialize)] enum Do { Look }
    /// #[derive(Default, Serialize, Deserialize)]
    /// struct Club { members: u32 }
    ///
    /// #[derive(Event, Serialize, Deserialize)]
    /// enum Did { Joined { name: String } }
    ///
    /// # fn decide(_: &Club, _: Do) -> Decision<Did> { nothing() }
    /// fn evolve(club: &mut Club, _: Did) { club.members += 1; }
    ///
    /// let club = Aggregate::new("club", decide, evolve).evolve_erased(|club, event| match event {
    ///     "club.joined" => club.members += 1, // somebody, though nobody knows who
    ///     _ => {}
    /// });
    /// assert_eq!(given(club).events([Did::Joined { name: "ada".into() }]).erased("club.joined").state().members, 2);
    /// ```
    pub fn evolve_erased(mut self, evolve: impl Fn(&mut S, &str) + 'static) -> Self {
        self.evolve_erased = Box::new(evolve);
        self
    }

    /// Keeps a state after so many events, so that those before it need not be folded again; 100 by default, 0: never. Nothing
    /// but the time that it takes depends on it.
    pub fn keep_every(mut self, events: u32) -> Self {
        self.keep_every = events;
        self
    }

    /// Lets a kept state serve other versions of the module too: all whose aggregate has the same number here. Raise it when the
    /// state's form changes, or what `evolve` makes of an event. By default a kept state serves only the version that made it, and
    /// a new one folds the events again.
    pub fn state_version(mut self, version: u32) -> Self {
        self.state_version = Some(version);
        self
    }

    /// A JSON Schema of a command's data, as text or as a `serde_json::Value`: the host shows it, and refuses data that does not
    /// match. It must not refer to other documents; an invalid schema is refused at deploy. The test kit does not check it.
    ///
    /// ```
    /// # use amends_sdk::{Aggregate, Command, Decision, Event, Module, nothing};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Command, Deserialize)] enum Do { Join { name: String } }
    /// # #[derive(Event, Serialize, Deserialize)] enum Did { Joined }
    /// # fn decide(_: &u8, _: Do) -> Decision<Did> { nothing() }
    /// # fn evolve(_: &mut u8, _: Did) {}
    /// let name = serde_json::json!({"type": "string", "minLength": 1});
    /// let club = Aggregate::new("club", decide, evolve)
    ///     .schema("join", serde_json::json!({"type": "object", "properties": {"name": name}}));
    /// assert_eq!(Module::new("clubs").aggregate(club).check(), Ok(()));
    /// ```
    pub fn schema(mut self, command: impl Into<String>, schema: impl fmt::Display) -> Self {
        self.schemas.push((command.into(), schema.to_string()));
        self
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(amends_sdk::Command, Deserialize)]
    pub(crate) enum Do {
        Join { name: String },
    }

    #[derive(amends_sdk::Event, Serialize, Deserialize)]
    pub(crate) enum Did {
        Joined { name: String },
    }

    pub(crate) fn club() -> Aggregate<Vec<String>, Do, Did> {
        let decide = |_: &Vec<String>, Do::Join { name }: Do| accept(Did::Joined { name });
        let evolve = |members: &mut Vec<String>, Did::Joined { name }: Did| members.push(name);
        Aggregate::new("club", decide, evolve)
    }
}
