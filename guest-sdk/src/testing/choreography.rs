//! Policies and aggregates together under test: a command, and all that follows from it.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::aggregates::{Aggregates, Around, AroundStream, Decided, Sent};
use super::reactions::{Came, Instances, event_of, lines, written};
use crate::aggregate::{Untyped, write_variant};
use crate::bindings::aggregates::exports::amends::module::aggregate::{self as wit_aggregate, Decision};
use crate::bindings::imports::amends::module::types::{Accepted, Answer, OutgoingCommand, Payload, RecordedEvent};
use crate::bindings::policies::exports::amends::module::policy as wit;
use crate::testing::trace::Trace;
use crate::testing::world::{START_MS, next};
use crate::{Aggregate, Commands, Events, Module, Moment, payload};

/// Through how many streams a chain of causes may lead. The host stops a longer one, which is a loop.
const DEPTH_MAX: u32 = 64;

/// Policies and aggregates together under test: a command, and all that follows from it until nothing does.
///
/// ```
/// use amends_sdk::testing::given;
/// # use amends_sdk::{Aggregate, Command, Decision, Event, Module, Policy, Reaction, Recorded, Stateless, accept};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Command, Serialize, Deserialize)] #[command(aggregate = "order")] enum Order { Pay { customer: String } }
/// # #[derive(Event, Serialize, Deserialize)] #[event(aggregate = "order")] enum OrderDid { Paid { customer: String } }
/// # #[derive(Command, Serialize, Deserialize)] #[command(aggregate = "customer")] enum Customer { AddPoints { points: u32 } }
/// # #[derive(Event, Serialize, Deserialize)] #[event(aggregate = "customer")] enum CustomerDid { PointsAdded { points: u32 } }
/// # fn order() -> Aggregate<(), Order, OrderDid> {
/// #     Aggregate::new("order", |_: &(), Order::Pay { customer }: Order| accept(OrderDid::Paid { customer }), |_: &mut (), _: OrderDid| ())
/// # }
/// # fn customer() -> Aggregate<u32, Customer, CustomerDid> {
/// #     Aggregate::new("customer", |_: &u32, Customer::AddPoints { points }: Customer| accept(CustomerDid::PointsAdded { points }),
/// #         |sum: &mut u32, CustomerDid::PointsAdded { points }: CustomerDid| *sum += points)
/// # }
/// # fn loyalty() -> Policy<Stateless> {
/// #     let paid = |event: Recorded<OrderDid>, reaction: &mut Reaction| {
/// #         let OrderDid::Paid { customer } = event.event;
/// #         reaction.send(customer, Customer::AddPoints { points: 10 });
/// #     };
/// #     Policy::stateless("loyalty").on("order.paid", paid).sends("customer.add-points")
/// # }
///
/// fn module() -> Module {
///     Module::new("shop").aggregate(order()).aggregate(customer()).policy(loyalty())
/// }
///
/// let shop = given(module()).when(order(), "O1", Order::Pay { customer: "C1".into() }).then(
///     r#"order/O1 paid {"customer":"C1"}
///        loyalty: send customer/C1 add-points {"points":10}
///        customer/C1 points-added {"points":10}"#,
/// );
/// assert_eq!(shop.state(customer(), "C1"), 10);
/// ```
///
/// Events and commands go through JSON, as in the host, so that a policy and an aggregate can have enums of their own for the
/// same names. Everything happens in the order in which it was caused; with [`seed`](Self::seed) in another one that the host may
/// take. Sagas are not run: the trace says which ones are started. A chain through more than 64 streams is a loop, at which the
/// test stops.
pub struct Choreography {
    policies: Vec<Instances>,
    aggregates: Aggregates,
    work: Vec<Work>,
    /// None: in the order in which it was caused.
    random: Option<u64>,
    now: Moment,
    events: u64,
    commands: u64,
    trace: Trace,
    /// How many lines of the trace `then` has compared already.
    compared: usize,
}

/// Something that is to happen, and how long the chain is that led to it.
struct Work {
    depth: u32,
    what: What,
}

enum What {
    Command { by: Option<By>, command: OutgoingCommand },
    Event { policy: usize, key: String, event: RecordedEvent },
    Answer { to: By, answer: wit::AnswerTo },
}

/// The policy that sent a command, and for which key.
#[derive(Clone)]
struct By {
    policy: usize,
    key: String,
}

impl Choreography {
    pub(super) fn new(module: &Module) -> Choreography {
        let mut aggregates = Aggregates::default();
        for aggregate in module.aggregates() {
            aggregates.know(aggregate.clone());
        }
        Choreography {
            policies: module.policies().iter().cloned().map(Instances::new).collect(),
            aggregates,
            work: Vec::new(),
            random: None,
            now: Moment::from_millis(START_MS),
            events: 0,
            commands: 0,
            trace: Trace::default(),
            compared: 0,
        }
    }

    /// Adds an aggregate of another module, or a [`History`](super::History): the aggregate of its id, with its events. No policy
    /// takes these, for which they are the past.
    #[must_use = "nothing happens until `when`"]
    #[track_caller]
    pub fn with(mut self, aggregate: impl Around) -> Self {
        let stream: AroundStream = aggregate.stream();
        self.aggregates.add(stream);
        self
    }

    /// Answers the commands to an aggregate of another module: with the data of the answer, or with [`refused`](crate::refused).
    #[must_use = "nothing happens until `when`"]
    pub fn commands(
        mut self,
        aggregate: impl Into<String>,
        answer: impl FnMut(&Sent) -> crate::Result<serde_json::Value> + 'static,
    ) -> Self {
        self.aggregates.answer(aggregate.into(), Box::new(answer));
        self
    }

    /// Lets what is due happen in another order, a different one for each seed: causes of a policy with the same key stay in
    /// their order, as in the host, and all else is mixed.
    #[must_use = "nothing happens until `when`"]
    pub fn seed(mut self, seed: u64) -> Self {
        self.random = Some(seed);
        self
    }

    /// Sends a command before the test: all that follows from it happens, and [`then`](Self::then) does not show it.
    #[must_use = "nothing is shown until `when`"]
    #[track_caller]
    pub fn after<S, C: Commands + Serialize, E>(mut self, aggregate: Aggregate<S, C, E>, id: &str, command: C) -> Self {
        self.send(aggregate.name(), id, &command);
        self.run();
        self.compared = self.trace.lines().len();
        self
    }

    /// Sends a command at the same time as the next [`when`](Self::when).
    #[must_use = "nothing happens until `when`"]
    #[track_caller]
    pub fn beside<S, C: Commands + Serialize, E>(mut self, aggregate: Aggregate<S, C, E>, id: &str, command: C) -> Self {
        self.send(aggregate.name(), id, &command);
        self
    }

    /// Sends a command, and lets everything happen that follows from it.
    ///
    /// Panics if a function panics or does what the host forbids, if nobody decides a command, and if the policies answer each
    /// other without an end.
    #[track_caller]
    pub fn when<S, C: Commands + Serialize, E>(mut self, aggregate: Aggregate<S, C, E>, id: &str, command: C) -> Self {
        self.send(aggregate.name(), id, &command);
        self.run();
        self
    }

    /// Gives an event of an aggregate to the policies that take it, as a copy of one that was recorded, and lets everything
    /// happen that follows.
    #[track_caller]
    pub fn event<E: Events>(mut self, id: &str, event: E) -> Self {
        let (event_type, version, data) = written(&event);
        self.tell(&event_type, version, id, data, 0);
        self.run();
        self
    }

    /// Publishes an event, and lets everything happen that follows.
    #[track_caller]
    pub fn published(mut self, event_type: &str, key: &str, data: impl Serialize) -> Self {
        let data = super::reactions::encoded(event_type, &data);
        self.tell(event_type, 1, key, data, 0);
        self.run();
        self
    }

    /// Lets time pass. Timers that become due fire in their order.
    #[track_caller]
    pub fn advance(mut self, time: Duration) -> Self {
        let until = self.now + time;
        while let Some((at, policy, key, name)) = self.next_timer().filter(|(at, ..)| *at <= until) {
            self.now = self.now.max(at);
            self.say(policy, &format!("timer {name} of {key}"));
            let came = self.policies[policy].fire(&key, &name, self.now);
            self.came(&By { policy, key }, came, 0);
            self.run();
        }
        self.now = until;
        self
    }

    /// Compares what has happened since the last `then`, a line each; blanks around lines do not count.
    ///
    /// ```text
    /// order/O1 created {"customer":"C1","cents":12340}
    /// credit: send customer/C1 reserve-credit {"order":"O1","cents":12340}
    /// customer/C1 refused reserve-credit: credit_limit_exceeded
    /// customer/C1 did nothing for release-credit
    /// ```
    ///
    /// What a policy wants is as in [`Reactions::then`](super::Reactions::then), behind its name; that it wants nothing is not
    /// said.
    #[track_caller]
    pub fn then(mut self, expected: &str) -> Self {
        self.compared = self.trace.compare(self.compared, expected);
        self
    }

    /// The state of the aggregate of this id.
    #[track_caller]
    pub fn state<S, C, E>(&self, aggregate: Aggregate<S, C, E>, id: &str) -> S
    where
        S: Default + Serialize + DeserializeOwned + 'static,
        C: Commands,
        E: Events,
    {
        let aggregate: Rc<dyn Untyped> = Rc::new(aggregate);
        match payload::decode(&self.aggregates.state(&aggregate, id)) {
            Ok(state) => state,
            Err(error) => panic!("the state does not come back from its JSON: {error}"),
        }
    }

    /// What the policy of this name keeps for a key; none if there is no instance.
    #[track_caller]
    pub fn instance<S: DeserializeOwned>(&self, policy: &str, key: &str) -> Option<S> {
        let known = self.policies.iter().find(|known| known.definition.name == policy);
        let known = known.unwrap_or_else(|| panic!("the module has no policy {policy}"));
        match payload::decode(&known.state(key)?.data) {
            Ok(state) => Some(state),
            Err(error) => panic!("the state of {key} does not come back from its JSON: {error}"),
        }
    }

    #[track_caller]
    fn send<C: Commands + Serialize>(&mut self, aggregate: &str, id: &str, command: &C) {
        let name = C::COMMANDS[command.index()].name.to_owned();
        let data = write_variant(command).unwrap_or_else(|error| panic!("the command {name} does not serialize: {error}"));
        let (aggregate, id, data) = (aggregate.to_owned(), id.to_owned(), payload::json(data));
        let command = OutgoingCommand { aggregate, id, name, data, expect_revision: None };
        self.work.push(Work { depth: 0, what: What::Command { by: None, command } });
    }

    #[track_caller]
    fn run(&mut self) {
        while !self.work.is_empty() {
            let at = self.next();
            let Work { depth, what } = self.work.remove(at);
            assert!(
                depth <= DEPTH_MAX,
                "a chain of causes leads through more than {DEPTH_MAX} streams; do policies answer each other without an end?\n{}",
                self.trace.lines().into_iter().rev().take(6).collect::<Vec<_>>().join("\n")
            );
            match what {
                What::Command { by, command } => self.decide(by, command, depth),
                What::Event { policy, key, event } => {
                    for came in self.policies[policy].event(&event, false) {
                        self.came(&By { policy, key: key.clone() }, came, depth);
                    }
                }
                What::Answer { to, answer } => {
                    let came = self.policies[to.policy].answer(&to.key, answer, self.now);
                    self.came(&to, came, depth);
                }
            }
        }
    }

    /// The number of what happens next: causes with the same key of the same policy stay in their order.
    fn next(&mut self) -> usize {
        let Some(random) = &mut self.random else { return 0 };
        let lane = |work: &Work| match &work.what {
            What::Command { .. } => None,
            What::Event { policy, key, .. } => Some((*policy, key.clone())),
            What::Answer { to, .. } => Some((to.policy, to.key.clone())),
        };
        let is_first = |at: &usize| {
            let own = lane(&self.work[*at]);
            own.is_none() || self.work[..*at].iter().all(|earlier| lane(earlier) != own)
        };
        let ready: Vec<usize> = (0..self.work.len()).filter(is_first).collect();
        ready[(next(random) % ready.len() as u64) as usize]
    }

    #[track_caller]
    fn decide(&mut self, by: Option<By>, command: OutgoingCommand, depth: u32) {
        let OutgoingCommand { aggregate, id, name, data, expect_revision } = command;
        self.commands += 1;
        let key = format!("command-{}", self.commands);
        let data = payload::decode(&data).unwrap_or_default();
        let sent = Sent { aggregate: aggregate.clone(), id: id.clone(), name: name.clone(), data, expect_revision };
        let Decided { before, revision, decision } = self.aggregates.decided(&sent, &key, self.now);
        let answer = match decision {
            Decision::Refused(failure) => {
                self.trace.push(format!("{aggregate}/{id} refused {name}: {}", failure.code));
                Answer::Refused(failure)
            }
            Decision::Accepted(accepted) => Answer::Accepted(self.accepted(&sent, accepted, before, revision, depth)),
        };
        if let Some(to) = by {
            let answer = wit::AnswerTo { command: key, aggregate, id, name, answer };
            self.work.push(Work { depth: depth + 1, what: What::Answer { to, answer } });
        }
    }

    #[track_caller]
    fn accepted(&mut self, sent: &Sent, accepted: wit_aggregate::Accepted, before: u64, revision: u64, depth: u32) -> Accepted {
        let (aggregate, id) = (&sent.aggregate, &sent.id);
        if accepted.events.is_empty() {
            self.trace.push(format!("{aggregate}/{id} did nothing for {}", sent.name));
        }
        let mut events = Vec::new();
        for (revision, event) in (before + 1..).zip(accepted.events) {
            let name = event.event_type.split_once('.').map_or(&*event.event_type, |(_, name)| name);
            self.trace.push(format!("{aggregate}/{id} {name} {}", payload::text(&event.data).unwrap_or("bytes")));
            let recorded = self.tell(&event.event_type, event.version, id, event.data, depth);
            events.push(RecordedEvent { revision, ..recorded });
        }
        Accepted { revision, events, data: accepted.answer }
    }

    /// Gives an event to the policies that take it.
    #[track_caller]
    fn tell(&mut self, event_type: &str, version: u32, key: &str, data: Payload, depth: u32) -> RecordedEvent {
        self.events += 1;
        let event = event_of(self.events, event_type, version, key, Some(data), self.now);
        for (policy, instances) in self.policies.iter().enumerate().filter(|(_, policy)| policy.takes(event_type)) {
            let Some(key) = instances.key_of(&event) else { continue };
            self.work.push(Work { depth: depth + 1, what: What::Event { policy, key, event: event.clone() } });
        }
        event
    }

    #[track_caller]
    fn came(&mut self, by: &By, came: Came, depth: u32) {
        for line in lines(&came, self.now).into_iter().filter(|line| line != "nothing") {
            self.say(by.policy, &line);
        }
        let Came::Reacted(reaction) = came else { return };
        for command in reaction.commands {
            self.work.push(Work { depth: depth + 1, what: What::Command { by: Some(by.clone()), command } });
        }
        for event in reaction.events {
            let (policy, event_type) = (&self.policies[by.policy].definition.name, &event.event_type);
            let owned = self.aggregates.own(event_type);
            assert!(
                !owned,
                "the policy {policy} publishes {event_type}, which only an aggregate records; give the event another type"
            );
            self.tell(event_type, 1, &event.key, event.data, depth);
        }
    }

    fn say(&mut self, policy: usize, what: &str) {
        self.trace.push(format!("{}: {what}", self.policies[policy].definition.name));
    }

    fn next_timer(&self) -> Option<(Moment, usize, String, String)> {
        let timers = self.policies.iter().enumerate().filter_map(|(policy, instances)| {
            let (at, key, name) = instances.next_timer()?;
            Some((at, policy, key, name))
        });
        timers.min_by_key(|(at, ..)| *at)
    }
}

/// What has happened so far.
impl fmt::Display for Choreography {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.trace.lines().join("\n"))
    }
}
