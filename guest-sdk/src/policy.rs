//! Policies: what follows from events, in commands, further events and sagas.

mod answer;
mod keeping;
mod memory;
mod names;
mod reaction;
mod timer;
mod untyped;

use std::borrow::Cow;
use std::rc::Rc;

use serde::de::DeserializeOwned;

use crate::Events;
use crate::bindings::policies::exports::amends::module::policy as wit;
use crate::recorded::{self, Erased, Raw, Recorded};
use crate::stop::Failure;

pub use answer::AnswerTo;
use memory::Forms;
pub use memory::{IntoState, Keeping, Memory, Stateless};
pub use names::Names;
pub use reaction::{Reacted, Reaction, SagaOf};
pub use timer::Timer;
pub(crate) use untyped::Untyped;

/// A policy: what follows from events. It answers an event with commands to aggregates, with events that it publishes, and with
/// sagas that it starts.
///
/// `M` says what it remembers: a policy that is [`stateless`](Policy::stateless) takes each event by itself, and one that is
/// [`keeping`](Policy::keeping) a state, a process manager, takes it with what the events before it with the same key have left.
///
/// ```
/// use amends_sdk::testing::given;
/// use amends_sdk::{AnswerTo, Command, Decided, Event, Module, Policy, Reaction, Recorded, Stateless};
/// use serde::{Deserialize, Serialize};
///
/// /// What is recorded of an order, which is an aggregate of this module or of another one; as much of it as the policy reads.
/// #[derive(Event, Serialize, Deserialize)]
/// #[event(aggregate = "order")]
/// enum Order { Created { customer: String, cents: u64 } }
///
/// /// What a customer is asked to do.
/// #[derive(Command, Serialize, Deserialize)]
/// #[command(aggregate = "customer")]
/// enum Customer { ReserveCredit { order: String, cents: u64 } }
///
/// fn reserve(event: Recorded<Order>, reaction: &mut Reaction) {
///     let Order::Created { customer, cents } = event.event;
///     reaction.send(customer, Customer::ReserveCredit { order: event.key, cents });
/// }
///
/// fn credit() -> Policy<Stateless> {
///     Policy::stateless("credit")
///         .on("order.created", reserve)
///         .by("/customer") // the orders of one customer are taken in their order
///         .sends("customer.reserve-credit")
/// }
///
/// fn module() -> Module {
///     Module::new("rules").policy(credit())
/// }
/// amends_sdk::export!(policy: module); // with aggregates: export!(aggregate: module, policy: module)
///
/// given(credit())
///     .when("O1", Order::Created { customer: "C1".into(), cents: 1234 })
///     .then(r#"send customer/C1 reserve-credit {"order":"O1","cents":1234}"#);
/// ```
///
/// # Once, and in order
///
/// What a policy wants leaves with the record that it has taken the event, in one commit. So each event is taken once, however
/// often the host stops meanwhile, and each command is decided once. Events with the same key are taken one after the other, in
/// the order of the journal; those with different keys at the same time. The key is the event's own, which is the aggregate's id,
/// or what [`by`](Policy::by) says.
///
/// # What may not happen
///
/// The functions are free of effects. They may ask [`context`](crate::context) for the time, which is that of the event, and for
/// ids, which are the same when they are called again; what else they need they read in the event and in the state. What needs an
/// effect, as a call to a participant, is a step of a saga, which the policy [`starts`](Reaction::start). The test kit stops at a
/// breach.
///
/// What the policy may send, publish and start is declared, so that operators see where events lead. The host ends a call that
/// wants more, as a trap does.
///
/// # When a function fails
///
/// A function that returns an error, one that panics, and an event that cannot be read are tried again, so many
/// [`attempts`](Policy::attempts). Then the event waits for an operator, and with it all that comes later with the same key;
/// other keys go on. With [`stops_on_poison`](Policy::stops_on_poison) the whole policy stops. It goes on with a version of the
/// module that can take the event.
///
/// # Erased data
///
/// Nothing follows from an event whose data was erased, if [`on_erased`](Policy::on_erased) does not say otherwise. An event that
/// holds nothing has nothing to lose, and is taken as ever.
#[must_use = "a policy does nothing until a module has it"]
pub struct Policy<M: Memory> {
    name: Cow<'static, str>,
    subscriptions: Vec<Subscription<M::State>>,
    /// Where those of the latest `on` begin.
    latest: usize,
    on_erased: Option<Box<Taking<M::State, Raw>>>,
    on_timers: Vec<OnTimer<M::State>>,
    on_answer: Option<Box<Taking<M::State, wit::AnswerTo>>>,
    /// None: it keeps no state.
    forms: Option<Forms<M::State>>,
    on_poison: wit::OnPoison,
    attempts_max: u32,
    start: wit::Start,
    replay: wit::Replay,
    sends: Vec<String>,
    publishes: Vec<String>,
    starts: Vec<String>,
    /// What its author has said that cannot be.
    problems: Vec<String>,
}

/// Takes a cause into the state, and says what follows.
type Taking<S, C> = dyn Fn(&mut S, &C, &mut Reaction) -> Result<(), Failure>;

/// Takes an event, unless its data was erased.
type TakingEvent<S> = dyn Fn(&mut S, &Raw, &mut Reaction) -> Result<Taken, Failure>;

/// Events of a type.
struct Subscription<S> {
    spec: wit::Subscription,
    take: Rc<TakingEvent<S>>,
}

/// Timers of a name.
struct OnTimer<S> {
    name: String,
    take: Box<Taking<S, wit::Timer>>,
}

/// What of a cause was taken.
#[derive(Clone, Copy, PartialEq)]
enum Taken {
    Whole,
    /// Nothing: its data was erased.
    Erased,
    /// Nothing: there is no instance that it could be for.
    Late,
}

impl<M: Memory> Policy<M> {
    fn new(name: Cow<'static, str>, forms: Option<Forms<M::State>>) -> Policy<M> {
        Policy {
            name,
            subscriptions: Vec::new(),
            latest: 0,
            on_erased: None,
            on_timers: Vec::new(),
            on_answer: None,
            forms,
            on_poison: wit::OnPoison::Park,
            attempts_max: 5,
            start: wit::Start::Now,
            replay: wit::Replay::Silent,
            sends: Vec::new(),
            publishes: Vec::new(),
            starts: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Takes an aggregate's events of these types.
    fn taking<E: Events>(
        mut self,
        types: impl Names,
        route: wit::Route,
        take: impl Fn(&mut M::State, Recorded<E>, &mut Reaction) -> Result<(), Failure> + 'static,
    ) -> Self {
        const { assert!(E::AGGREGATE.is_some(), "say whose events these are: `#[event(aggregate = \"…\")]` on the enum") };
        let known: Vec<_> = names::types_of::<E>();
        let mut found = Vec::new();
        for event_type in types.names() {
            match known.iter().find(|(name, _)| *name == event_type) {
                Some((_, versions)) => found.push((event_type, versions.clone())),
                None => {
                    let known: Vec<_> = known.iter().map(|(name, _)| name.as_str()).collect();
                    self.problems.push(format!("its enum has no event `{event_type}`; it has {}", known.join(", ")));
                }
            }
        }
        self.subscribe(found, route, recorded::of_aggregate, take)
    }

    /// Takes published events of these types.
    fn taking_published<T: DeserializeOwned + 'static>(
        self,
        types: impl Names,
        route: wit::Route,
        take: impl Fn(&mut M::State, Recorded<T>, &mut Reaction) -> Result<(), Failure> + 'static,
    ) -> Self {
        let types = types.names().into_iter().map(|event_type| (event_type, vec![1])).collect();
        self.subscribe(types, route, recorded::published, take)
    }

    fn subscribe<E: 'static>(
        mut self,
        types: Vec<(String, Vec<u32>)>,
        route: wit::Route,
        read: impl Fn(&Raw) -> Result<Option<E>, String> + 'static,
        take: impl Fn(&mut M::State, Recorded<E>, &mut Reaction) -> Result<(), Failure> + 'static,
    ) -> Self {
        let take = Rc::new(move |state: &mut M::State, raw: &Raw, reaction: &mut Reaction| match read(raw) {
            Ok(Some(event)) => take(state, Recorded::new(raw, event), reaction).map(|()| Taken::Whole),
            Ok(None) => Ok(Taken::Erased),
            Err(why) => Err(recorded::unreadable(raw, &why)),
        });
        self.latest = self.subscriptions.len();
        for (event_type, versions) in types {
            let spec = wit::Subscription { event_type, versions, key: None, route };
            self.subscriptions.push(Subscription { spec, take: take.clone() });
        }
        self
    }

    /// Says for which key the events of the `on` before this are: a JSON pointer into their data, at a text or a number, as
    /// `/customer`.
    ///
    /// Without it, an event is for its own key: the id of its aggregate, or the key with which it was published. The key orders
    /// the events, and says which instance of a process manager they are for. An event with null or nothing there is not for
    /// the policy; one with anything else there is a dead letter.
    ///
    /// A number is spelled as RFC 8785 does: `1` for `1.0`. A key has at most 1,024 bytes.
    pub fn by(mut self, pointer: impl Into<String>) -> Self {
        let pointer = pointer.into();
        let latest = &mut self.subscriptions[self.latest..];
        if latest.is_empty() && self.problems.is_empty() {
            self.problems.push(format!("`by(\"{pointer}\")` stands behind no events; put it behind the `on` that it is about"));
        }
        for subscription in latest {
            subscription.spec.key = Some(pointer.clone());
        }
        self
    }

    /// Declares commands that the policy may send, each as the name of the aggregate, a dot, and its own:
    /// `customer.reserve-credit`. A text or an array of texts; in all at most 64.
    pub fn sends(mut self, commands: impl Names) -> Self {
        self.sends.extend(commands.names());
        self
    }

    /// Declares types of events that the policy may publish, at most 64. The types of an aggregate's events are that aggregate's
    /// own.
    pub fn publishes(mut self, types: impl Names) -> Self {
        self.publishes.extend(types.names());
        self
    }

    /// Declares sagas that the policy may start, by their names; at most 64.
    pub fn starts(mut self, sagas: impl Names) -> Self {
        self.starts.extend(sagas.names());
        self
    }

    /// How often an event is tried that the policy cannot take, 1 to 100; by default 5. The delays between the attempts grow from
    /// 200 milliseconds to a minute.
    pub fn attempts(mut self, most: u32) -> Self {
        self.attempts_max = most;
        self
    }

    /// Stops the whole policy at an event that it cannot take. By default only that event waits for an operator, and what comes
    /// after it with the same key.
    pub fn stops_on_poison(mut self) -> Self {
        self.on_poison = wit::OnPoison::Stop;
        self
    }

    /// Lets the policy begin with the first event there is. By default it begins with the first one after its activation.
    ///
    /// Events that were recorded before the policy was there are a replay: what comes of them is the state, and timers to come.
    /// Commands, events and starts are dropped, because what they ask for is mostly done; see
    /// [`replays_with_effects`](Policy::replays_with_effects).
    pub fn from_beginning(mut self) -> Self {
        self.start = wit::Start::Beginning;
        self
    }

    /// Lets everything follow from events that were recorded before the policy was there, before it was reset, or by another system
    /// and imported: also commands, events and starts. [`Reaction::is_replay`] tells such an event.
    pub fn replays_with_effects(mut self) -> Self {
        self.replay = wit::Replay::Effects;
        self
    }
}

impl Policy<Stateless> {
    /// A policy with this name, `[a-z][a-z0-9-]{0,62}`, that takes each event by itself.
    ///
    /// Only one module of a namespace may have a policy of this name. A version of the module with a policy of the same name goes
    /// on where the one before stopped.
    pub fn stateless(name: impl Into<Cow<'static, str>>) -> Self {
        Policy::new(name.into(), None)
    }

    /// Takes events of an aggregate: of these types, as `order.created`, a text or an array of texts. A type is taken once, and a
    /// policy takes 1 to 64.
    ///
    /// They are those of an enum with [`#[derive(Event)]`](derive@crate::Event) that says `#[event(aggregate = "…")]`, in every
    /// form that was ever recorded. It is the enum of the aggregate, or one that has of it what the policy reads. The function
    /// returns nothing, or a `Result`: see [`Reacted`].
    ///
    /// ```
    /// # use amends_sdk::testing::given;
    /// # use amends_sdk::{Event, Policy, Reaction, Recorded};
    /// # use serde::{Deserialize, Serialize};
    /// # use serde_json::json;
    /// #[derive(Event, Serialize, Deserialize)]
    /// #[event(aggregate = "parcel")]
    /// enum Parcel { Lost { city: String }, Returned }
    ///
    /// let tell = |event: Recorded<Parcel>, reaction: &mut Reaction| {
    ///     reaction.publish("parcel-gone", event.key, &json!({"at": event.at}));
    /// };
    /// let policy = Policy::stateless("tell").on(["parcel.lost", "parcel.returned"], tell).publishes("parcel-gone");
    /// given(policy).when("P1", Parcel::Returned).then(r#"publish parcel-gone/P1 {"at":1767225600000}"#);
    /// ```
    pub fn on<E: Events, R: Reacted>(self, types: impl Names, react: impl Fn(Recorded<E>, &mut Reaction) -> R + 'static) -> Self {
        self.taking(types, wit::Route::StartOrContinue, move |(), event, reaction| react(event, reaction).into_result())
    }

    /// Takes published events of these types, whose data is a `T`; without data, it is JSON's `null`.
    pub fn on_published<T: DeserializeOwned + 'static, R: Reacted>(
        self,
        types: impl Names,
        react: impl Fn(Recorded<T>, &mut Reaction) -> R + 'static,
    ) -> Self {
        self.taking_published(types, wit::Route::StartOrContinue, move |(), event, reaction| react(event, reaction).into_result())
    }

    /// Takes the answers to the commands that the policy sends: accepted, or refused and why.
    ///
    /// Without it, a command that is refused is recorded with the policy, logged, and counted.
    ///
    /// ```
    /// # use amends_sdk::testing::given;
    /// # use amends_sdk::{Command, Event, Failure, Policy, Reaction, Recorded};
    /// # use serde::{Deserialize, Serialize};
    /// use amends_sdk::{AnswerTo, Decided};
    /// # #[derive(Event, Serialize, Deserialize)] #[event(aggregate = "order")] enum Order { Created { flight: String } }
    /// # #[derive(Command, Serialize, Deserialize)] #[command(aggregate = "flight")] enum Flight { Book { order: String } }
    /// # #[derive(Command, Serialize, Deserialize)] #[command(aggregate = "order")] enum Do { Reject { reason: String } }
    /// # fn book(event: Recorded<Order>, reaction: &mut Reaction) {
    /// #     let Order::Created { flight } = event.event;
    /// #     reaction.send(flight, Flight::Book { order: event.key });
    /// # }
    ///
    /// /// Without `by`, the key of the event was the order's id, and the answer comes with the same one.
    /// fn reject(answer: AnswerTo, reaction: &mut Reaction) {
    ///     if let Decided::Refused(failure) = answer.answer {
    ///         reaction.send(reaction.key(), Do::Reject { reason: failure.code });
    ///     }
    /// }
    ///
    /// let policy = Policy::stateless("seats").on("order.created", book).on_answer(reject).sends(["flight.book", "order.reject"]);
    /// given(policy)
    ///     .when("O1", Order::Created { flight: "LH1".into() })
    ///     .then(r#"send flight/LH1 book {"order":"O1"}"#)
    ///     .refused("flight/LH1 book", Failure::new("no_seat", "all are taken"))
    ///     .then(r#"send order/O1 reject {"reason":"no_seat"}"#);
    /// ```
    pub fn on_answer<R: Reacted>(mut self, react: impl Fn(AnswerTo, &mut Reaction) -> R + 'static) -> Self {
        self.on_answer = Some(Box::new(move |(), answer, reaction| react(answer.into(), reaction).into_result()));
        self
    }

    /// What follows from an event whose data was erased. By default nothing does. [`Recorded::event_type`] says which event it
    /// was.
    pub fn on_erased<R: Reacted>(mut self, react: impl Fn(Recorded<Erased>, &mut Reaction) -> R + 'static) -> Self {
        self.on_erased = Some(Box::new(move |(), raw, reaction| react(Recorded::new(raw, Erased), reaction).into_result()));
        self
    }
}
