//! What an aggregate decides about a command.

use std::fmt;

use serde::Serialize;

use crate::bindings::aggregates::exports::amends::module::aggregate as wit;
use crate::stop::Failure;

/// What an aggregate decides about a command: which events are recorded, or why none is.
///
/// [`accept`], [`nothing`] and [`refuse`] make decisions.
///
/// ```
/// use amends_sdk::{Decision, Event, accept, nothing, refuse};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize)]
/// enum Did {
///     Registered { email: String },
///     Welcomed,
/// }
///
/// fn register(email: String, known: &[String]) -> Decision<Did> {
///     if known.contains(&email) {
///         return nothing(); // it was done before
///     }
///     if !email.contains('@') {
///         return refuse("bad_email", format_args!("{email} is no address")).data(&email);
///     }
///     let key = email.clone();
///     accept([Did::Registered { email }, Did::Welcomed]).claim(key).answer("welcome")
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a decision does nothing until `decide` returns it"]
pub struct Decision<E>(pub(crate) Result<Accepted<E>, Failure>);

/// What is recorded of a command that was not refused.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Accepted<E> {
    pub(crate) events: Vec<(E, Vec<String>)>,
    pub(crate) claims: Vec<wit::Claim>,
    /// JSON.
    pub(crate) answer: Option<String>,
}

/// Records an event, or several: an array or a `Vec` of at most 1,000.
///
/// ```
/// # use amends_sdk::{Decision, Event, accept};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize)] enum Did { Shipped { parcel: u32 }, Closed }
/// let shipped: Decision<Did> = accept(Did::Shipped { parcel: 1 }).answer("on its way");
/// let all: Decision<Did> = accept((1..=3).map(|parcel| Did::Shipped { parcel }).collect::<Vec<_>>()).and(Did::Closed);
/// ```
pub fn accept<E>(events: impl IntoEvents<E>) -> Decision<E> {
    let events = events.into_events().into_iter().map(|event| (event, Vec::new())).collect();
    Decision(Ok(Accepted { events, claims: Vec::new(), answer: None }))
}

/// Accepts the command and records no event, because there is nothing to do, for example because it was done before.
pub fn nothing<E>() -> Decision<E> {
    Decision(Ok(Accepted { events: Vec::new(), claims: Vec::new(), answer: None }))
}

/// A business decision against the command: nothing is recorded but that it was refused. `code` is for machines (`no_seat`),
/// `message` for people.
///
/// ```
/// # use amends_sdk::{Decision, Event, refuse};
/// # use serde::{Deserialize, Serialize};
/// # use serde_json::json;
/// # #[derive(Event, Serialize, Deserialize)] enum Did { Booked }
/// let left = 2;
/// let refused: Decision<Did> = refuse("no_seat", format_args!("{left} seats are left")).data(json!({"left": left}));
/// ```
pub fn refuse<E>(code: impl Into<String>, message: impl fmt::Display) -> Decision<E> {
    Decision(Err(Failure::new(code, message)))
}

/// A refusal stays as it is under all of these but [`data`](Decision::data), and `data` changes nothing but a refusal.
impl<E> Decision<E> {
    /// Records more events, after those so far.
    pub fn and(self, events: impl IntoEvents<E>) -> Decision<E> {
        let more = events.into_events().into_iter().map(|event| (event, Vec::new()));
        self.accepted(|accepted| accepted.events.extend(more))
    }

    /// Data for who sent the command.
    ///
    /// Panics if it does not serialize, as a map whose keys are no texts.
    #[track_caller]
    pub fn answer(self, answer: impl Serialize) -> Decision<E> {
        let json = serde_json::to_string(&answer).unwrap_or_else(|error| panic!("the answer does not serialize: {error}"));
        self.accepted(|accepted| accepted.answer = Some(json))
    }

    /// Takes a key for this aggregate, in the commit of the events. If another aggregate of this name holds it, the host refuses
    /// the command with `taken`, and nothing of it is recorded. A key has 1 to 255 printable bytes, as an address of e-mail.
    pub fn claim(self, key: impl Into<String>) -> Decision<E> {
        self.accepted(|accepted| accepted.claims.push(wit::Claim { key: key.into(), held: true }))
    }

    /// Gives a key back, in the commit of the events. A key that is not held may be given back too.
    pub fn release(self, key: impl Into<String>) -> Decision<E> {
        self.accepted(|accepted| accepted.claims.push(wit::Claim { key: key.into(), held: false }))
    }

    /// Records a tag with each event so far. An event has at most 8, of 1 to 255 printable bytes.
    pub fn tag(self, tag: impl Into<String>) -> Decision<E> {
        let tag = tag.into();
        self.accepted(|accepted| accepted.events.iter_mut().for_each(|(_, tags)| tags.push(tag.clone())))
    }

    /// Adds data for machines to a refusal, beside its code and message.
    ///
    /// Panics if it does not serialize, as a map whose keys are no texts.
    #[track_caller]
    pub fn data(self, data: impl Serialize) -> Decision<E> {
        let data = serde_json::to_value(data).unwrap_or_else(|error| panic!("the refusal's data does not serialize: {error}"));
        Decision(self.0.map_err(|failure| Failure { data: Some(data), ..failure }))
    }

    fn accepted(self, add: impl FnOnce(&mut Accepted<E>)) -> Decision<E> {
        Decision(self.0.map(|mut accepted| {
            add(&mut accepted);
            accepted
        }))
    }
}

/// An event, or several in an array or a `Vec`.
pub trait IntoEvents<E> {
    #[doc(hidden)]
    fn into_events(self) -> Vec<E>;
}

impl<E: crate::Events> IntoEvents<E> for E {
    fn into_events(self) -> Vec<E> {
        vec![self]
    }
}

impl<E> IntoEvents<E> for Vec<E> {
    fn into_events(self) -> Vec<E> {
        self
    }
}

impl<E, const N: usize> IntoEvents<E> for [E; N] {
    fn into_events(self) -> Vec<E> {
        self.into()
    }
}
