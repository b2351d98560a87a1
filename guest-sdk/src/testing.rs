//! Tests of sagas, aggregates, projections and policies with plain `cargo test`: no wasm, no host, a virtual clock.
//!
//! [`given`] a saga and a world, [`when`](Given::when) it starts with an input, [`then`](Run::then) this happened:
//!
//! ```
//! use amends_sdk::testing::given;
//! use amends_sdk::{Call, Result, Saga, Step, http};
//! use serde_json::json;
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize)] struct Trip { hotel: String }
//! # fn reserve(trip: Trip, _: &Call) -> Result<String> { Ok(http::post("http://h/reserve").json(&trip).send()?.ok()?.text()) }
//! # fn cancel(trip: Trip, _: Option<String>, _: &Call) -> Result { http::post("http://h/cancel").json(&trip).send()?.ok()?; Ok(()) }
//! # fn charge(trip: Trip, _: &Call) -> Result { http::post("http://bank/charge").json(&trip).send()?.ok()?; Ok(()) }
//!
//! let trip = Saga::new("trip")
//!     .step(Step::compensatable("reserve-hotel", reserve).undo(cancel))
//!     .step(Step::pivot("charge", charge));
//!
//! given(trip)
//!     .http(|request| match request.path() {
//!         "/charge" => http::Response::of_json(409, &json!({"code": "no_funds", "message": "A has 100.00"})),
//!         _ => http::Response::new(200, "room 7"),
//!     })
//!     .when(json!({"hotel": "H1"}))
//!     .then(
//!         "reserve-hotel done
//!          charge refused no_funds
//!          undo reserve-hotel done
//!          compensated no_funds",
//!     );
//! ```
//!
//! A saga runs until it ends, waits or is stuck. Backoffs pass at once, without jitter; waits end when the test delivers an
//! [`event`](Run::event) or lets time pass with [`advance`](Run::advance). Parallel steps run one attempt after the other, in the
//! order of their declaration, and are undone in the opposite order. As in the host, an attempt begins as soon as possible, and
//! an attempt that is open when a rollback begins still ends. Lock keys are read from the input, and no other saga holds them.
//!
//! [`given`] an aggregate, its [`History`] takes commands, and says which events they recorded. [`given`] a projection, its
//! [`Journal`] takes events, and answers queries. [`given`] a policy, its [`Reactions`] say what follows from events, timers and
//! answers. [`given`] a module, its [`Choreography`] takes commands to its aggregates, and lets its policies react until nothing
//! follows.
//!
//! The test kit has no operators except `cancel`, no crashes, and of the limits of the host those of definitions and of what is sent,
//! published and started: the tests of the host cover the others.

mod aggregates;
mod branch;
mod choreography;
mod course;
mod fan;
mod history;
mod journal;
mod leg;
mod machine;
mod names;
mod plain;
mod pointer;
mod pure;
mod reactions;
mod rules;
mod task;
mod trace;
mod tries;
mod world;

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aggregate::Untyped;
use crate::policy::Memory;
use crate::projection::View;
use crate::stop::Failure;
use crate::{Aggregate, Commands, Events, Module, Moment, Policy, Projection, Saga, http, payload};

pub use aggregates::{Around, Sent};
pub use choreography::Choreography;
pub use history::History;
pub use journal::Journal;
use machine::Machine;
pub use reactions::Reactions;
pub use rules::Problems;
use world::TestWorld;

/// A saga, an aggregate, a projection or a policy in a world of its own, at 2026-01-01T00:00:00Z, under the id `test`: a [`Given`],
/// a [`History`], a [`Journal`] or [`Reactions`]. Or a module, whose policies and aggregates act together: a [`Choreography`].
///
/// Panics if the host would refuse it at deploy, and names the rule and the remedy. [`Module::check`] tests a whole module.
#[track_caller]
pub fn given<T: Subject>(subject: T) -> T::Given {
    subject.given()
}

/// What a test can be about: a [`Saga`], an [`Aggregate`], a [`Projection`], a [`Policy`],
/// or a [`Module`].
pub trait Subject {
    /// What is given then.
    type Given;

    #[doc(hidden)]
    fn given(self) -> Self::Given;
}

impl<I> Subject for Saga<I> {
    type Given = Given;

    #[track_caller]
    fn given(self) -> Given {
        let definition = Rc::new(self.into_definition());
        if let Err(problems) = Module::of("test", definition.clone()).keeps_rules() {
            panic!("the host would not take this saga:\n{problems}");
        }
        Given { machine: Machine::new(definition, Rc::new(TestWorld::new())) }
    }
}

impl<S, C, E> Subject for Aggregate<S, C, E>
where
    S: Default + Serialize + DeserializeOwned + 'static,
    C: Commands,
    E: Events,
{
    type Given = History<S, C, E>;

    #[track_caller]
    fn given(self) -> History<S, C, E> {
        let aggregate = Rc::new(self);
        if let Err(problems) = Module::of_aggregate("test", aggregate.clone()).keeps_rules() {
            panic!("the host would not take this aggregate:\n{problems}");
        }
        History::new(aggregate)
    }
}

impl<V: View> Subject for Projection<V> {
    type Given = Journal<V>;

    #[track_caller]
    fn given(self) -> Journal<V> {
        let projection = Rc::new(self);
        if let Err(problems) = Module::of_projection("test", projection.clone()).keeps_rules() {
            panic!("the host would not take this projection:\n{problems}");
        }
        Journal::new(projection)
    }
}

impl<M: Memory> Subject for Policy<M> {
    type Given = Reactions<M>;

    #[track_caller]
    fn given(self) -> Reactions<M> {
        let policy = Rc::new(self);
        if let Err(problems) = Module::of_policy("test", policy.clone()).keeps_rules() {
            panic!("the host would not take this policy:\n{problems}");
        }
        Reactions::new(policy)
    }
}

impl Subject for Module {
    type Given = Choreography;

    #[track_caller]
    fn given(self) -> Choreography {
        if let Err(problems) = self.keeps_rules() {
            panic!("the host would not take this module:\n{problems}");
        }
        Choreography::new(&self)
    }
}

/// A saga that has not started yet, and the world around it.
#[must_use = "nothing happens until `when`"]
pub struct Given {
    machine: Machine,
}

impl Given {
    /// Answers the saga's HTTP requests: with a [`Response`](http::Response), or with a `Result` where a call may fail. Each
    /// request carries the host's headers: `idempotency-key`, `amends-step-key`, and `amends-undoes` in a compensation.
    pub fn http<A: Answer>(self, mut answer: impl FnMut(&http::Request) -> A + 'static) -> Given {
        self.machine.world().answers(Box::new(move |request| answer(request).into_result()));
        self
    }

    /// Grants a configuration value.
    pub fn config(self, key: impl Into<String>, value: impl Into<String>) -> Given {
        self.machine.world().grant(key.into(), value.into());
        self
    }

    /// Grants a secret.
    pub fn secret(self, name: impl Into<String>, value: impl Into<String>) -> Given {
        self.machine.world().grant_secret(name.into(), value.into());
        self
    }

    /// Lets the saga's commands be decided by this aggregate: one without events, or a [`History`] for the one of its id. Its state
    /// stays from step to step, and [`Run::state`] tells it. Call it once for each kind of aggregate, and for each id with events.
    ///
    /// ```
    /// # use amends_sdk::testing::given;
    /// # use amends_sdk::{Aggregate, Command, Decision, Event, Saga, Step, accept, refuse};
    /// # use serde::{Deserialize, Serialize};
    /// # use serde_json::json;
    /// # #[derive(Command, Deserialize)] enum Do { #[command(existing)] Pay { cents: u64 } }
    /// # #[derive(Event, Serialize, Deserialize)] enum Did { PaidIn { cents: u64 }, Paid { cents: u64 } }
    /// # fn decide(balance: &u64, Do::Pay { cents }: Do) -> Decision<Did> {
    /// #     if cents > *balance { refuse("no_funds", "not enough") } else { accept(Did::Paid { cents }) }
    /// # }
    /// # fn evolve(balance: &mut u64, event: Did) {
    /// #     match event { Did::PaidIn { cents } => *balance += cents, Did::Paid { cents } => *balance -= cents }
    /// # }
    /// # fn account() -> Aggregate<u64, Do, Did> { Aggregate::new("account", decide, evolve) }
    /// # #[derive(Deserialize)] struct Order;
    /// # fn order() -> Saga<Order> { Saga::new("order").step(Step::pivot_command("charge", account().at("/input/account"), "pay")) }
    /// let a = given(account()).id("A").events([Did::PaidIn { cents: 500 }]);
    /// let run = given(order()).with(a).when(json!({"account": "A", "cents": 300})).then("charge done\n completed");
    /// assert_eq!(run.state(account(), "A"), 200);
    /// given(order()).with(account()).when(json!({"account": "B", "cents": 1})).then(
    ///     "charge refused no_such_aggregate
    ///      compensated no_such_aggregate",
    /// );
    /// ```
    #[track_caller]
    pub fn with(self, aggregate: impl Around) -> Given {
        self.machine.world().aggregates.borrow_mut().add(aggregate.stream());
        self
    }

    /// Answers the saga's commands to an aggregate of another module: with the data of the answer, or with
    /// [`refused`](crate::refused).
    ///
    /// ```
    /// use amends_sdk::testing::given;
    /// use amends_sdk::{At, Saga, Step, refused};
    /// use serde_json::json;
    /// # use serde::Deserialize;
    /// # #[derive(Deserialize)] struct Order;
    ///
    /// let order: Saga<Order> = Saga::new("order").step(Step::pivot_command("charge", At::new("account", "/input/account"), "pay"));
    /// given(order)
    ///     .commands("account", |command| match (command.id(), command.name()) {
    ///         ("A", "pay") => Ok(json!({"left": 200})),
    ///         (id, _) => Err(refused("no_funds", format_args!("{id} is empty"))),
    ///     })
    ///     .when(json!({"account": "B", "cents": 300}))
    ///     .then("charge refused no_funds\n compensated no_funds");
    /// ```
    pub fn commands(
        self,
        aggregate: impl Into<String>,
        answer: impl FnMut(&Sent) -> crate::Result<serde_json::Value> + 'static,
    ) -> Given {
        self.machine.world().aggregates.borrow_mut().answer(aggregate.into(), Box::new(answer));
        self
    }

    /// Sets the saga's id.
    pub fn id(mut self, id: impl Into<String>) -> Given {
        self.machine.course.id = id.into();
        self
    }

    /// Starts the saga and runs it until it ends or waits. Panics if a step panics or does what the host forbids, and if a lock's
    /// pointer has no target in the input.
    #[track_caller]
    pub fn when(mut self, input: impl Serialize) -> Run {
        match payload::encode(&input) {
            Ok(input) => self.machine.start(input),
            Err(error) => panic!("the input does not serialize: {error}"),
        }
        Run { machine: self.machine, shown: 0 }
    }
}

/// The answer of a fake participant.
pub trait Answer {
    #[doc(hidden)]
    fn into_result(self) -> Result<http::Response, http::Error>;
}

impl Answer for http::Response {
    fn into_result(self) -> Result<http::Response, http::Error> {
        Ok(self)
    }
}

impl Answer for Result<http::Response, http::Error> {
    fn into_result(self) -> Result<http::Response, http::Error> {
        self
    }
}

/// A saga that has started.
pub struct Run {
    machine: Machine,
    /// How many lines of the trace `then` has compared already.
    shown: usize,
}

/// The status of a saga under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The saga waits for an event or a moment.
    Waiting,
    /// All steps are done.
    Completed,
    /// The steps are undone.
    Compensated,
    /// The saga needs an operator.
    Stuck,
}

impl Run {
    /// Compares what has happened since the last `then`, a line each; blanks around lines do not count.
    ///
    /// ```text
    /// reserve-hotel done
    /// reserve-car transient busy ×3
    /// reserve-car refused no_car
    /// undo reserve-hotel done
    /// compensated no_car
    /// ```
    ///
    /// Also `decide waits for event approval/42 until +1h`, `check charge not done`, `completed`, `stuck at charge: no_answer`,
    /// `past its deadline`. Steps of
    /// children and elements go by their paths, `out/train done`, `check-out[s1] refused no_key`; other ways by their numbers,
    /// `reserve-hotel alternate 1 done`, `undo reserve-hotel by alternate 1 done`; a new round is `round 1 from booked`.
    /// Panics with both texts if they differ.
    #[track_caller]
    pub fn then(mut self, expected: &str) -> Run {
        self.shown = self.machine.course.trace.compare(self.shown, expected);
        self
    }

    /// Delivers an event. If no step waits for it yet, it is kept.
    pub fn event(mut self, event_type: &str, key: &str, data: impl Serialize) -> Run {
        match payload::encode(&data) {
            Ok(data) => self.machine.event(event_type, key, data),
            Err(error) => panic!("the event's data does not serialize: {error}"),
        }
        self
    }

    /// Lets time pass; timers that become due fire in their order.
    pub fn advance(mut self, time: Duration) -> Run {
        self.machine.advance(time);
        self
    }

    /// Cancels the saga. After its point of no return nothing changes, and the trace says `not cancelled`. While a pivot may have
    /// happened, its outcome decides.
    pub fn cancel(mut self) -> Run {
        self.machine.cancel();
        self
    }

    /// The status of the saga.
    pub fn status(&self) -> Status {
        self.machine.status()
    }

    /// The saga's output. Panics if it is not completed or its output is not a `T`.
    #[track_caller]
    pub fn output<T: DeserializeOwned>(&self) -> T {
        match self.machine.output().map(|output| payload::decode(&output)) {
            Some(Ok(output)) => output,
            Some(Err(error)) => panic!("the saga's output is not what was expected: {error}"),
            None => panic!("the saga has no output: it is {:?}", self.status()),
        }
    }

    /// What ended the saga, if it is compensated or stuck.
    pub fn failure(&self) -> Option<Failure> {
        self.machine.failure()
    }

    /// The state of an aggregate that was given [`with`](Given::with) the saga: of the one of this id.
    #[track_caller]
    pub fn state<S, C, E>(&self, aggregate: Aggregate<S, C, E>, id: &str) -> S
    where
        S: Default + Serialize + DeserializeOwned + 'static,
        C: Commands,
        E: Events,
    {
        let aggregate: Rc<dyn Untyped> = Rc::new(aggregate);
        match payload::decode(&self.machine.world().aggregates.borrow().state(&aggregate, id)) {
            Ok(state) => state,
            Err(error) => panic!("the state does not come back from its JSON: {error}"),
        }
    }

    /// Every request so far, in order.
    pub fn requests(&self) -> Vec<http::Request> {
        self.machine.world().requests()
    }

    /// Every log line so far, as `info 3 seats left`.
    pub fn logs(&self) -> Vec<String> {
        self.machine.world().logs()
    }

    /// The virtual time.
    pub fn now(&self) -> Moment {
        self.machine.world().clock()
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.machine.course.trace.lines().join("\n"))
    }
}
