//! Policies under test: events, timers and answers, and what follows from them.

mod instances;
mod limits;
mod lines;

use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aggregate::write_variant;
use crate::bindings::imports::amends::module::types::{Accepted, OutgoingCommand, Payload, RecordedEvent};
use crate::bindings::policies::exports::amends::module::policy as wit;
use crate::policy::{Memory, Untyped};
use crate::stop::Failure;
use crate::testing::trace::Trace;
use crate::testing::world::START_MS;
use crate::{Events, Keeping, Moment, payload};

pub(super) use instances::{Came, Instances};
pub(super) use lines::lines;

/// A policy under test: events, timers and answers, and what follows from them.
///
/// ```
/// use amends_sdk::testing::given;
/// # use amends_sdk::{Command, Event, Failure, Keeping, Policy, Reaction, Recorded, Timer, context};
/// # use serde::{Deserialize, Serialize};
/// # use std::time::Duration;
/// # #[derive(Event, Serialize, Deserialize)] #[event(aggregate = "order")] enum Order { Created { cents: u64 }, Paid { cents: u64 } }
/// # #[derive(Command, Serialize, Deserialize)] #[command(aggregate = "order")] enum Do { Approve, Cancel }
/// # #[derive(Default, Serialize, Deserialize)] struct Due { cents: u64 }
/// # fn bill(due: &mut Due, event: Recorded<Order>, reaction: &mut Reaction) {
/// #     if let Order::Created { cents } = event.event { due.cents = cents; }
/// #     reaction.set_timer("remind", context::now() + Duration::from_secs(60));
/// # }
/// # fn pay(due: &mut Due, event: Recorded<Order>, reaction: &mut Reaction) {
/// #     if let Order::Paid { cents } = event.event { due.cents -= cents; }
/// #     if due.cents == 0 { reaction.send(event.key, Do::Approve); reaction.end(); }
/// # }
/// # fn cancel(_: &mut Due, _: Timer, reaction: &mut Reaction) { reaction.send(reaction.key(), Do::Cancel); reaction.end(); }
/// # fn billing() -> Policy<Keeping<Due>> {
/// #     Policy::keeping("billing").starts_on("order.created", bill).on("order.paid", pay).on_timer("remind", cancel)
/// #         .sends(["order.approve", "order.cancel"])
/// # }
///
/// given(billing())
///     .events("O1", [Order::Created { cents: 500 }]) // what followed from it is not shown
///     .when("O1", Order::Paid { cents: 200 })
///     .then(r#"state {"cents":300}"#)
///     .advance(Duration::from_secs(60))
///     .then(
///         "timer remind of O1
///          send order/O1 cancel null
///          end",
///     )
///     .when("O1", Order::Paid { cents: 300 })
///     .then("late");
/// ```
///
/// A cause goes the way that it goes in the host: it has a key and a route, and the state goes through JSON. The policy is called
/// twice for each cause, as after a crash of the host; a test stops where it wants something else then, where it wants what it
/// has not declared, and where the host would end the call.
///
/// A cause that the policy fails at is not tried again: it waits for an operator, and what comes after it with the same key, or
/// everything if the policy stops. There are no operators, and what came too early for an instance is kept without a time limit.
pub struct Reactions<M> {
    instances: Instances,
    now: Moment,
    events: u64,
    /// By the key for which they were sent.
    unanswered: Vec<(String, OutgoingCommand)>,
    answers: u64,
    /// Why the latest cause could not be taken.
    failure: Option<Failure>,
    trace: Trace,
    /// How many lines of the trace `then` has compared already.
    compared: usize,
    memory: PhantomData<fn() -> M>,
}

/// How much of a cause the trace shows.
#[derive(Clone, Copy, PartialEq)]
enum Show {
    All,
    Nothing,
}

impl<M: Memory> Reactions<M> {
    pub(super) fn new(policy: Rc<dyn Untyped>) -> Reactions<M> {
        Reactions {
            instances: Instances::new(policy),
            now: Moment::from_millis(START_MS),
            events: 0,
            unanswered: Vec::new(),
            answers: 0,
            failure: None,
            trace: Trace::default(),
            compared: 0,
            memory: PhantomData,
        }
    }

    /// Lets events of the aggregate with this id be taken before the test: what follows from them is not shown. The aggregate's
    /// name is the one that the enum says. Panics where [`when`](Self::when) does, and if the policy fails.
    #[must_use = "nothing is shown until `when`"]
    #[track_caller]
    pub fn events<E: Events>(mut self, id: &str, events: impl IntoIterator<Item = E>) -> Self {
        for event in events {
            let recorded = self.of_aggregate(id, &event);
            self.take(&recorded, false, Show::Nothing);
        }
        self
    }

    /// Lets an event of the aggregate with this id be taken.
    ///
    /// Panics if the policy does not take events of its type, and if a function of it panics or does what the host forbids.
    #[track_caller]
    pub fn when<E: Events>(mut self, id: &str, event: E) -> Self {
        let recorded = self.of_aggregate(id, &event);
        self.take(&recorded, false, Show::All);
        self
    }

    /// The same with an event that was recorded before the policy was there, or before it was reset. Without
    /// [`replays_with_effects`](crate::Policy::replays_with_effects) its commands, events and starts are dropped.
    #[track_caller]
    pub fn when_replayed<E: Events>(mut self, id: &str, event: E) -> Self {
        let recorded = self.of_aggregate(id, &event);
        self.take(&recorded, true, Show::All);
        self
    }

    /// Lets an event of an aggregate be taken as it is stored, for example by an older version of the module: its type as
    /// `customer.opened`, the version of its form, the aggregate's id, and its data.
    #[track_caller]
    pub fn stored(mut self, event_type: &str, version: u32, id: &str, data: impl Serialize) -> Self {
        let recorded = self.recorded(event_type, version, id, Some(encoded(event_type, &data)));
        self.take(&recorded, false, Show::All);
        self
    }

    /// Lets an event of an aggregate be taken, by its type and the aggregate's id, whose data was erased.
    #[track_caller]
    pub fn erased(mut self, event_type: &str, id: &str) -> Self {
        let recorded = self.recorded(event_type, 1, id, None);
        self.take(&recorded, false, Show::All);
        self
    }

    /// Lets a published event be taken, with its type, its key and its data.
    #[track_caller]
    pub fn published(mut self, event_type: &str, key: &str, data: impl Serialize) -> Self {
        let recorded = self.recorded(event_type, 1, key, Some(encoded(event_type, &data)));
        let recorded = RecordedEvent { revision: 0, source: "test".to_owned(), ..recorded };
        self.take(&recorded, false, Show::All);
        self
    }

    /// Answers a command that the policy has sent, as `customer/C1 reserve-credit`: it is accepted, with this data. Of several it
    /// is the one that was sent first.
    ///
    /// Panics if it has sent no such command that is not answered yet.
    #[track_caller]
    pub fn accepted(self, command: &str, data: impl Serialize) -> Self {
        let data = Some(encoded(command, &data));
        self.answered(command, wit::Answer::Accepted(Accepted { revision: 1, events: Vec::new(), data }))
    }

    /// The same, and it is refused. Without `on_answer` that is a dead letter.
    #[track_caller]
    pub fn refused(self, command: &str, failure: Failure) -> Self {
        self.answered(command, wit::Answer::Refused(failure.into()))
    }

    #[track_caller]
    fn answered(mut self, command: &str, answer: wit::Answer) -> Self {
        let called = |sent: &OutgoingCommand| format!("{}/{} {}", sent.aggregate, sent.id, sent.name);
        let Some(at) = self.unanswered.iter().position(|(_, sent)| called(sent) == command) else {
            let sent: Vec<String> = self.unanswered.iter().map(|(_, sent)| called(sent)).collect();
            panic!("the policy has not sent {command}; not answered are: {}", sent.join(", "))
        };
        let (key, OutgoingCommand { aggregate, id, name, .. }) = self.unanswered.remove(at);
        self.answers += 1;
        let to = wit::AnswerTo { command: format!("command-{}", self.answers), aggregate, id, name, answer };
        let came = self.instances.answer(&key, to, self.now);
        self.came(&key, &came, Show::All);
        self
    }

    /// Lets time pass. Timers that become due fire in their order.
    #[track_caller]
    pub fn advance(mut self, time: Duration) -> Self {
        let until = self.now + time;
        while let Some((at, key, name)) = self.instances.next_timer().filter(|(at, ..)| *at <= until) {
            self.now = self.now.max(at);
            self.trace.push(format!("timer {name} of {key}"));
            let came = self.instances.fire(&key, &name, self.now);
            self.came(&key, &came, Show::All);
        }
        self.now = until;
        self
    }

    /// Compares what has followed since the last `then`, a line each; blanks around lines do not count.
    ///
    /// ```text
    /// send customer/C1 reserve-credit {"order":"O1","cents":1234}
    /// send customer/C1 close null at revision 7
    /// publish credit.checked/C1 {"order":"O1"}
    /// start welcome {"customer":"C1"}
    /// start welcome as W1 {"customer":"C1"}
    /// set give-up in 1h
    /// clear give-up
    /// state {"left":2}
    /// end
    /// nothing
    /// timer give-up of G1
    /// failed bad_data
    /// waits for an operator
    /// kept for its instance
    /// late
    /// dead letter: customer/C1 refused reserve-credit with credit_limit_exceeded
    /// ```
    ///
    /// A state that did not change is not shown. Equal lines that follow each other are one with a count, `late ×2`. Panics with
    /// both texts if they differ.
    #[track_caller]
    pub fn then(mut self, expected: &str) -> Self {
        self.compared = self.trace.compare(self.compared, expected);
        self
    }

    /// Why the policy failed at the latest cause, if it did.
    pub fn failure(&self) -> Option<Failure> {
        self.failure.clone()
    }

    /// Every log line so far, as `info 3 seats left`.
    pub fn logs(&self) -> Vec<String> {
        self.instances.logs()
    }

    /// The virtual time.
    pub fn now(&self) -> Moment {
        self.now
    }

    #[track_caller]
    fn of_aggregate<E: Events>(&mut self, id: &str, event: &E) -> RecordedEvent {
        let (event_type, version, data) = written(event);
        self.recorded(&event_type, version, id, Some(data))
    }

    fn recorded(&mut self, event_type: &str, version: u32, key: &str, data: Option<Payload>) -> RecordedEvent {
        self.events += 1;
        event_of(self.events, event_type, version, key, data, self.now)
    }

    #[track_caller]
    fn take(&mut self, event: &RecordedEvent, is_replay: bool, show: Show) {
        let (policy, event_type) = (&self.instances.definition.name, &event.event_type);
        assert!(self.instances.takes(event_type), "the policy {policy} does not take events {event_type}");
        let Some(key) = self.instances.key_of(event) else { return };
        for came in self.instances.event(event, is_replay) {
            self.came(&key, &came, show);
        }
    }

    #[track_caller]
    fn came(&mut self, key: &str, came: &Came, show: Show) {
        self.failure = match came {
            Came::Failed(failure) => Some(failure.clone()),
            Came::Reacted(_) | Came::Waits | Came::Early | Came::Late | Came::DeadLetter(_) => None,
        };
        if let (Some(failure), Show::Nothing) = (&self.failure, show) {
            panic!("the policy {} fails before the test: {failure}", self.instances.definition.name);
        }
        if let Came::Reacted(reaction) = came {
            self.unanswered.extend(reaction.commands.iter().map(|command| (key.to_owned(), command.clone())));
        }
        if show == Show::All {
            lines(came, self.now).into_iter().for_each(|line| self.trace.push(line));
        }
    }
}

impl<S> Reactions<Keeping<S>>
where
    S: Default + Serialize + DeserializeOwned + 'static,
{
    /// Gives a key an instance with this state.
    #[must_use = "nothing is shown until `when`"]
    #[track_caller]
    pub fn so_far(mut self, key: &str, state: &S) -> Self {
        let version = self.instances.definition.state.as_ref().map_or(1, |form| form.version);
        self.instances.keep(key, wit::State { version, data: state_of(state) });
        self
    }

    /// Gives a key an instance whose state was kept in this form, for example by an older version of the module.
    #[must_use = "nothing is shown until `when`"]
    #[track_caller]
    pub fn kept(mut self, key: &str, version: u32, state: impl Serialize) -> Self {
        self.instances.keep(key, wit::State { version, data: state_of(&state) });
        self
    }

    /// The state of a key; none if it has no instance, or one that has ended. Panics if it was kept in an older form.
    #[track_caller]
    pub fn state(&self, key: &str) -> Option<S> {
        let kept = self.instances.state(key)?;
        match payload::decode(&kept.data) {
            Ok(state) => Some(state),
            Err(error) => panic!("the state of {key} does not come back from its JSON: {error}"),
        }
    }
}

#[track_caller]
fn state_of(state: &impl Serialize) -> Payload {
    payload::encode(state).unwrap_or_else(|error| panic!("the state does not serialize: {error}"))
}

#[track_caller]
pub(super) fn encoded(of: &str, data: &impl Serialize) -> Payload {
    payload::encode(data).unwrap_or_else(|error| panic!("the data of {of} does not serialize: {error}"))
}

/// An event's type, the version of its form, and its data.
#[track_caller]
pub(super) fn written<E: Events>(event: &E) -> (String, u32, Payload) {
    let spec = &E::EVENTS[event.index()];
    let Some(aggregate) = E::AGGREGATE else {
        panic!("say whose events these are: `#[event(aggregate = \"…\")]` on the enum of {}", spec.name)
    };
    let data = write_variant(event).unwrap_or_else(|error| panic!("the event {} does not serialize: {error}", spec.name));
    (format!("{aggregate}.{}", spec.name), spec.version, payload::json(data))
}

/// The event of this number, as the host tells it.
pub(super) fn event_of(
    number: u64,
    event_type: &str,
    version: u32,
    key: &str,
    data: Option<Payload>,
    at: Moment,
) -> RecordedEvent {
    RecordedEvent {
        id: format!("event-{number}"),
        event_type: event_type.to_owned(),
        version,
        source: event_type.split_once('.').map_or(event_type, |(aggregate, _)| aggregate).to_owned(),
        key: key.to_owned(),
        revision: number,
        position: number.to_string(),
        at: at.as_millis(),
        correlation: "test".to_owned(),
        data,
    }
}
