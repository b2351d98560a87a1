//! What a policy wants done when it takes a cause.

use std::fmt;

use serde::Serialize;

use crate::aggregate::write_variant;
use crate::bindings::imports::amends::module::types::{OutgoingCommand, OutgoingEvent, Payload};
use crate::bindings::policies::exports::amends::module::policy as wit;
use crate::stop::{Failure, Stop};
use crate::{Commands, Moment, Saga, To, payload};

/// What follows from an event, a timer or an answer. A function of a policy says it here.
///
/// It leaves with the record that the policy has taken its cause, in one commit, if the function does not fail. One reaction has
/// at most 1,024 commands, events and starts, which have with the state and the timers 4 MiB of data together. What the policy has not declared ends the call, as a
/// panic does.
///
/// ```
/// # use amends_sdk::testing::given;
/// # use amends_sdk::{Command, Event, Policy, Reaction, Recorded};
/// # use serde::{Deserialize, Serialize};
/// # use serde_json::json;
/// # #[derive(Event, Serialize, Deserialize)] #[event(aggregate = "order")] enum Order { Paid { customer: String } }
/// # #[derive(Command, Serialize, Deserialize)] #[command(aggregate = "customer")] enum Customer { AddPoints { points: u32 } }
/// fn paid(event: Recorded<Order>, reaction: &mut Reaction) {
///     let Order::Paid { customer } = event.event;
///     reaction.send(&customer, Customer::AddPoints { points: 10 });
///     reaction.publish("bill", &customer, &json!({"order": event.key}));
///     reaction.start("ship", &json!({"order": event.key}));
/// }
///
/// let policy = Policy::stateless("on-paid").on("order.paid", paid).sends("customer.add-points").publishes("bill").starts("ship");
/// given(policy).when("O1", Order::Paid { customer: "C1".into() }).then(
///     r#"send customer/C1 add-points {"points":10}
///        publish bill/C1 {"order":"O1"}
///        start ship {"order":"O1"}"#,
/// );
/// ```
#[derive(Debug)]
pub struct Reaction<'a> {
    key: &'a str,
    is_replay: bool,
    commands: Vec<OutgoingCommand>,
    events: Vec<OutgoingEvent>,
    starts: Vec<wit::SagaStart>,
    set: Vec<wit::Timer>,
    clear: Vec<String>,
    ends: bool,
    /// The first thing that cannot be said.
    failure: Option<Failure>,
}

impl<'a> Reaction<'a> {
    pub(super) fn new(key: &'a str, is_replay: bool) -> Reaction<'a> {
        Reaction {
            key,
            is_replay,
            commands: Vec::new(),
            events: Vec::new(),
            starts: Vec::new(),
            set: Vec::new(),
            clear: Vec::new(),
            ends: false,
            failure: None,
        }
    }

    /// The key of the cause: of its event, or of the instance whose timer it is or which sent the command that was answered.
    pub fn key(&self) -> &'a str {
        self.key
    }

    /// Whether the event was recorded before the policy was there, before it was reset, or by another system and imported. Commands, events and starts are
    /// dropped then, if the policy does not [replay with effects](crate::Policy::replays_with_effects).
    pub fn is_replay(&self) -> bool {
        self.is_replay
    }

    /// Sends a command to the aggregate of this id: one of an enum with [`#[derive(Command)]`](derive@crate::Command) that says
    /// `#[command(aggregate = "…")]`. It is the enum of the aggregate, or one that has of it what the policy sends.
    ///
    /// It is decided once. While nobody can decide it, for example because no active module has such an aggregate, it is tried
    /// again. What is decided is told to `on_answer`. An id has 1 to 128 printable bytes without `/`, and is neither `.` nor
    /// `..`.
    ///
    /// ```compile_fail
    /// # use amends_sdk::{Command, Policy, Reaction, Recorded};
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(Command, Serialize, Deserialize)]
    /// enum Do { Join } // #[command(aggregate = "club")] is missing
    ///
    /// let join = |event: Recorded<String>, reaction: &mut Reaction| reaction.send(event.key, Do::Join);
    /// let join = Policy::stateless("join").on_published("came", join).sends("club.join");
    /// ```
    pub fn send<C: Commands + Serialize>(&mut self, id: impl Into<String>, command: C) {
        self.command(id.into(), &command, None);
    }

    /// The same, only if the aggregate has exactly so many events then: else it is refused with `revision_changed`.
    pub fn send_at<C: Commands + Serialize>(&mut self, id: impl Into<String>, command: C, revision: u64) {
        self.command(id.into(), &command, Some(revision));
    }

    fn command<C: Commands + Serialize>(&mut self, id: String, command: &C, expect_revision: Option<u64>) {
        const { assert!(C::AGGREGATE.is_some(), "say whose commands these are: `#[command(aggregate = \"…\")]` on the enum") };
        let (aggregate, name) = (C::AGGREGATE.unwrap_or_default().to_owned(), C::COMMANDS[command.index()].name);
        if let Some(data) = self.said(name, write_variant(command).map(payload::json)) {
            self.commands.push(OutgoingCommand { aggregate, id, name: name.to_owned(), data, expect_revision });
        }
    }

    /// Sends a command without an enum: to which aggregate, its name, and its data.
    ///
    /// ```
    /// # use amends_sdk::Reaction;
    /// # use serde_json::json;
    /// use amends_sdk::To;
    ///
    /// # fn note(reaction: &mut Reaction) {
    /// reaction.send_to(To::new("customer", "C1"), "note", &json!({"text": "paid late"}));
    /// # }
    /// ```
    pub fn send_to(&mut self, to: To, command: &str, data: &(impl Serialize + ?Sized)) {
        if let Err(Stop::Refused(failure)) = to.knows(command) {
            return self.fail(failure);
        }
        let To { aggregate, id, .. } = to;
        if let Some(data) = self.said(command, payload::encode(data)) {
            self.commands.push(OutgoingCommand { aggregate, id, name: command.to_owned(), data, expect_revision: None });
        }
    }

    /// Publishes an event, which ends the waits of sagas and starts sagas, as one that comes from outside, and which policies and
    /// projections read. The type has 1 to 255 printable bytes, and the key at most 1,024 without control characters.
    pub fn publish(&mut self, event_type: &str, key: impl Into<String>, data: &(impl Serialize + ?Sized)) {
        if let Some(data) = self.said(event_type, payload::encode(data)) {
            self.events.push(OutgoingEvent { event_type: event_type.to_owned(), key: key.into(), data });
        }
    }

    /// Starts a saga, under an id that the host makes of the cause: by its name, or by the [`Saga`], which knows its input.
    pub fn start<I: Serialize + ?Sized>(&mut self, saga: impl SagaOf<I>, input: &I) {
        self.start_under(saga.saga_name(), None, input);
    }

    /// Starts a saga under an id of the policy's choice, as a saga for each order: `order-O1`.
    pub fn start_as<I: Serialize + ?Sized>(&mut self, id: impl Into<String>, saga: impl SagaOf<I>, input: &I) {
        self.start_under(saga.saga_name(), Some(id.into()), input);
    }

    fn start_under(&mut self, saga: String, id: Option<String>, input: &(impl Serialize + ?Sized)) {
        if let Some(input) = self.said(&saga, payload::encode(input)) {
            self.starts.push(wit::SagaStart { saga, id, input });
        }
    }

    /// Sets a timer of the instance: at this moment, or as soon as possible if it has passed, its `on_timer` is called. If there
    /// is one of the name, it is replaced.
    ///
    /// A name has 1 to 255 printable bytes; an instance has at most 64 timers, with 64 KiB of data. Only policies that [keep](crate::Policy::keeping)
    /// a state have timers. [`context::now`](crate::context::now) is the time of the cause.
    pub fn set_timer(&mut self, name: impl Into<String>, at: Moment) {
        self.set(name.into(), at, None);
    }

    /// The same with data, which [`Timer::data`](crate::Timer::data) reads.
    pub fn set_timer_with(&mut self, name: impl Into<String>, at: Moment, data: &(impl Serialize + ?Sized)) {
        let name = name.into();
        if let Some(data) = self.said(&name, payload::encode(data)) {
            self.set(name, at, Some(data));
        }
    }

    fn set(&mut self, name: String, at: Moment, data: Option<Payload>) {
        self.set.retain(|timer| timer.name != name);
        self.clear.retain(|cleared| *cleared != name);
        self.set.push(wit::Timer { name, at: at.as_millis(), data });
    }

    /// Takes a timer back. If there is none of the name, nothing happens.
    pub fn clear_timer(&mut self, name: impl Into<String>) {
        let name = name.into();
        self.set.retain(|timer| timer.name != name);
        if !self.clear.contains(&name) {
            self.clear.push(name);
        }
    }

    /// Ends the instance, and its timers with it. A later event that may begins another one. Only policies that
    /// [keep](crate::Policy::keeping) a state have instances.
    pub fn end(&mut self) {
        self.ends = true;
    }

    fn said(&mut self, of: &str, data: Result<Payload, impl fmt::Display>) -> Option<Payload> {
        match data {
            Ok(data) => Some(data),
            Err(error) => {
                self.fail(Failure::new("bad_json", format_args!("the data of {of} does not serialize: {error}")));
                None
            }
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    /// As the host takes it. `keeps`: the policy keeps a state; `takes` says which timers it takes.
    pub(super) fn into_wit(self, keeps: bool, takes: impl Fn(&str) -> bool) -> Result<wit::Reaction, Failure> {
        let Reaction { commands, events, starts, set, clear, ends, failure, .. } = self;
        if let Some(failure) = failure {
            return Err(failure);
        }
        if !keeps && (ends || !set.is_empty() || !clear.is_empty()) {
            return Err(Failure::new(
                "no_instance",
                "it ends or sets a timer, and keeps no state; make it with `Policy::keeping`",
            ));
        }
        // It would fail when it fires, perhaps after months.
        if let Some(timer) = set.iter().find(|timer| !takes(&timer.name)) {
            return Err(Failure::new(
                "no_such_timer",
                format_args!("it sets the timer {}, and no `on_timer` takes that", timer.name),
            ));
        }
        Ok(wit::Reaction { state: None, commands, events, starts, set, clear, ends })
    }
}

/// Which saga is started: its name, or the [`Saga`] whose input is an `I`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no saga with an input of `{I}`",
    label = "not the name of a saga, and no `Saga<{I}>`"
)]
pub trait SagaOf<I: ?Sized> {
    #[doc(hidden)]
    fn saga_name(&self) -> String;
}

impl<I: ?Sized> SagaOf<I> for &str {
    fn saga_name(&self) -> String {
        (*self).to_owned()
    }
}

impl<I> SagaOf<I> for Saga<I> {
    fn saga_name(&self) -> String {
        self.name().to_owned()
    }
}

/// What a function of a policy returns: nothing, or a `Result` of that. With an error the cause is not taken, and is tried again.
///
/// The error is a [`Stop`], as [`refused`](crate::refused) makes it, or a [`Failure`]; which of the
/// cases a `Stop` is makes no difference, because a policy has no effect that may have happened.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say whether the cause was taken",
    label = "a function of a policy returns nothing, or an `amends_sdk::Result`"
)]
pub trait Reacted {
    #[doc(hidden)]
    fn into_result(self) -> Result<(), Failure>;
}

impl Reacted for () {
    fn into_result(self) -> Result<(), Failure> {
        Ok(())
    }
}

impl Reacted for Result<(), Failure> {
    fn into_result(self) -> Result<(), Failure> {
        self
    }
}

impl Reacted for Result<(), Stop> {
    fn into_result(self) -> Result<(), Failure> {
        self.map_err(|stop| match stop {
            Stop::Refused(failure) | Stop::Transient(failure) | Stop::Unknown(failure) => failure,
            Stop::Wait(wait) => {
                Failure::new("waits", format_args!("a policy does not wait for {wait}; an event or a timer tells it"))
            }
        })
    }
}
