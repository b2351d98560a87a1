//! Write durable sagas, event-sourced aggregates, views of their events and what follows from them for Amends as plain Rust functions.
//!
//! A saga is a sequence of steps, each with a compensation. The host journals every step, retries steps after technical failures,
//! undoes the steps in reverse order when one of them is refused, and recovers every saga after a crash. A module contains the
//! definitions and the code of the steps:
//!
//! ```
//! use amends_sdk::{Call, Module, Result, Saga, Step, http, refused};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Order {
//!     customer: String,
//!     amount_cents: u64,
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! struct Hold {
//!     id: String,
//! }
//!
//! /// A step receives the saga's input, and a `Call` with everything else. It returns its output, or why it is not done.
//! fn reserve_credit(order: Order, _: &Call) -> Result<Hold> {
//!     if order.amount_cents > 100_000 {
//!         return Err(refused("over_limit", "no credit above 1,000.00"));
//!     }
//!     Ok(http::post("https://credit.example/holds").json(&order).send()?.ok()?.json()?)
//! }
//!
//! /// A compensation receives the step's output, if it is known: the step may have run although its answer was lost.
//! fn release_credit(order: Order, hold: Option<Hold>, _: &Call) -> Result {
//!     let id = hold.map_or_else(|| format!("of-{}", order.customer), |hold| hold.id);
//!     http::delete(format!("https://credit.example/holds/{id}")).send()?.ok()?;
//!     Ok(())
//! }
//!
//! fn charge(order: Order, call: &Call) -> Result<String> {
//!     let hold: Hold = call.output("reserve-credit")?;
//!     Ok(http::post(format!("https://bank.example/charges/{}", hold.id)).json(&order).send()?.ok()?.text())
//! }
//!
//! /// The definition.
//! fn order() -> Saga<Order> {
//!     Saga::new("order")
//!         .step(Step::compensatable("reserve-credit", reserve_credit).undo(release_credit))
//!         .step(Step::pivot("charge", charge).needs(["reserve-credit"]))
//! }
//!
//! fn module() -> Module {
//!     Module::new("shop").saga(order())
//! }
//! amends_sdk::export!(saga: module);
//!
//! // In a unit test: no wasm, no host, no network.
//! use amends_sdk::testing::given;
//! use serde_json::json;
//!
//! given(order())
//!     .http(|request| match request.path() {
//!         "/holds" => http::Response::of_json(200, &json!({"id": "h1"})),
//!         "/charges/h1" => http::Response::of_json(402, &json!({"code": "no_funds", "message": "the account is empty"})),
//!         _ => http::Response::new(200, ""),
//!     })
//!     .when(json!({"customer": "ada", "amount_cents": 4200}))
//!     .then(
//!         "reserve-credit done
//!          charge refused no_funds
//!          undo reserve-credit done
//!          compensated no_funds",
//!     );
//! ```
//!
//! # Aggregates
//!
//! A module can also have aggregates: entities whose state is made of their events, as a customer with a credit limit. The host
//! records each event, and decides the commands of one aggregate one after the other. An aggregate is two functions, `decide` and
//! `evolve`, over a state, an enum of commands and an enum of events:
//!
//! ```
//! use amends_sdk::{Aggregate, Command, Decision, Event, Module, accept, nothing, refuse};
//! use serde::{Deserialize, Serialize};
//! use std::collections::BTreeMap;
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Customer { limit_cents: u64, reserved: BTreeMap<String, u64> }
//!
//! #[derive(Command, Serialize, Deserialize)]
//! enum Do {
//!     #[command(new)]
//!     Open { limit_cents: u64 },
//!     #[command(existing)]
//!     ReserveCredit { order: String, cents: u64 },
//! }
//!
//! #[derive(Event, Serialize, Deserialize)]
//! enum Did { Opened { limit_cents: u64 }, CreditReserved { order: String, cents: u64 } }
//!
//! fn decide(customer: &Customer, command: Do) -> Decision<Did> {
//!     let available = customer.limit_cents - customer.reserved.values().sum::<u64>();
//!     match command {
//!         Do::Open { limit_cents } => accept(Did::Opened { limit_cents }),
//!         Do::ReserveCredit { order, .. } if customer.reserved.contains_key(&order) => nothing(),
//!         Do::ReserveCredit { cents, .. } if cents > available => refuse("over_limit", format_args!("{available} cents left")),
//!         Do::ReserveCredit { order, cents } => accept(Did::CreditReserved { order, cents }),
//!     }
//! }
//!
//! fn evolve(customer: &mut Customer, event: Did) {
//!     match event {
//!         Did::Opened { limit_cents } => customer.limit_cents = limit_cents,
//!         Did::CreditReserved { order, cents } => drop(customer.reserved.insert(order, cents)),
//!     }
//! }
//!
//! fn customer() -> Aggregate<Customer, Do, Did> {
//!     Aggregate::new("customer", decide, evolve)
//! }
//!
//! fn module() -> Module {
//!     Module::new("credit").aggregate(customer())
//! }
//! amends_sdk::export!(aggregate: module); // with sagas: export!(saga: module, aggregate: module)
//!
//! // In a unit test: events that were recorded, a command, and what it comes to.
//! use amends_sdk::testing::given;
//!
//! given(customer())
//!     .events([Did::Opened { limit_cents: 1500 }])
//!     .when(Do::ReserveCredit { order: "O1".into(), cents: 1234 })
//!     .then(r#"credit-reserved {"order":"O1","cents":1234}"#)
//!     .when(Do::ReserveCredit { order: "O2".into(), cents: 267 })
//!     .then("refused over_limit");
//! ```
//!
//! # Projections
//!
//! Readers ask in other forms than those in which events are recorded. A projection takes the events of any aggregates into
//! documents, and answers questions about them. The host gives it the events in the order of the journal, keeps its documents, and
//! can build them again at any time:
//!
//! ```
//! use amends_sdk::{Documents, Event, Module, Projection, Recorded};
//! use serde::{Deserialize, Serialize};
//! # #[derive(Event, Serialize, Deserialize)]
//! # #[event(aggregate = "customer")]
//! # enum Did { Opened { limit_cents: u64 }, CreditReserved { order: String, cents: u64 } }
//!
//! /// The document of a customer.
//! #[derive(Default, Serialize, Deserialize)]
//! struct Left { available_cents: u64, orders: Vec<String> }
//!
//! #[derive(Deserialize)]
//! struct Of { customer: String }
//!
//! fn take(left: &mut Left, event: Recorded<Did>) {
//!     match event.event {
//!         Did::Opened { limit_cents } => left.available_cents = limit_cents,
//!         Did::CreditReserved { order, cents } => {
//!             left.available_cents -= cents;
//!             left.orders.push(order);
//!         }
//!     }
//! }
//!
//! fn credit_left() -> Projection<Documents<Left>> {
//!     Projection::documents("credit-left")
//!         .on(|event: &Recorded<Did>| event.key.clone(), take) // the key of the document, and how it takes the event
//!         .query("of", |view: &Documents<Left>, of: Of| view.get(&of.customer))
//! }
//!
//! fn module() -> Module {
//!     Module::new("credit").projection(credit_left())
//! }
//! amends_sdk::export!(projection: module); // with aggregates: export!(aggregate: module, projection: module)
//!
//! // In a unit test: events that were recorded, questions, and their answers.
//! use amends_sdk::testing::given;
//! use serde_json::json;
//!
//! given(credit_left())
//!     .events("C1", [Did::Opened { limit_cents: 1500 }, Did::CreditReserved { order: "O1".into(), cents: 1234 }])
//!     .query("of", json!({"customer": "C1"}))
//!     .query("of", json!({"customer": "C2"}))
//!     .then(
//!         r#"{"available_cents":266,"orders":["O1"]}
//!            failed not_found"#,
//!     );
//! ```
//!
//! # Policies
//!
//! What follows from an event is a policy: it answers events with commands to aggregates, with events that it publishes, and with sagas
//! that it starts. Several of them, which do not know each other, are a choreography:
//!
//! ```
//! use amends_sdk::{Command, Event, Module, Policy, Reaction, Recorded, Stateless};
//! use serde::{Deserialize, Serialize};
//!
//! /// Of the aggregates of another module, what the policies need of them.
//! #[derive(Event, Serialize, Deserialize)]
//! #[event(aggregate = "order")]
//! enum Order { Created { customer: String, cents: u64 } }
//!
//! #[derive(Command, Serialize, Deserialize)]
//! #[command(aggregate = "customer")]
//! enum Customer { ReserveCredit { order: String, cents: u64 } }
//!
//! fn reserve(event: Recorded<Order>, reaction: &mut Reaction) {
//!     let Order::Created { customer, cents } = event.event;
//!     reaction.send(customer, Customer::ReserveCredit { order: event.key, cents });
//! }
//!
//! fn credit_on_order() -> Policy<Stateless> {
//!     Policy::stateless("credit-on-order")
//!         .on("order.created", reserve)
//!         .by("/customer") // events with the same key are taken in their order
//!         .sends("customer.reserve-credit")
//! }
//!
//! fn module() -> Module {
//!     Module::new("rules").policy(credit_on_order())
//! }
//! amends_sdk::export!(policy: module); // with aggregates: export!(aggregate: module, policy: module)
//!
//! // In a unit test: an event, and what follows from it.
//! use amends_sdk::testing::given;
//!
//! given(credit_on_order())
//!     .when("O1", Order::Created { customer: "C1".into(), cents: 1234 })
//!     .then(r#"send customer/C1 reserve-credit {"order":"O1","cents":1234}"#);
//! ```
//!
//! A policy that keeps a state for each key, and sets timers, is a process manager: see [`Policy::keeping`]. A saga knows its steps and
//! undoes them; a process manager knows what it waits for.
//!
//! # A module's crate
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"] # the component
//!
//! [dependencies]
//! amends-sdk = "0.1"
//! serde = { version = "1", features = ["derive"] }
//!
//! [profile.release] # small, and a trap instead of an unwinding table
//! panic = "abort"
//! opt-level = "s"
//! lto = true
//! codegen-units = 1
//! strip = true
//! ```
//!
//! `cargo build --release --target wasm32-wasip2` makes the component, and so does `cargo component build --release`. Each attempt
//! is a new instance of it, so what is not in it costs nothing. With `"rlib"` beside `"cdylib"` cargo leaves out `lto`, and the
//! component is a third larger; keep unit tests under `src`, where they need no `"rlib"`.
//!
//! What a step prints on standard output and standard error, as the message of a panic, becomes lines of the host's log. There
//! are no files, and there is no environment: `std::env::var` finds nothing, and `std::env::set_var` panics.
//!
//! # Overview
//!
//! | | |
//! |---|---|
//! | [`Module`], [`Saga`], [`Step`], [`Retry`], [`export!`] | the definitions of a module |
//! | [`Step::alternate`], [`Step::undo_alternate`] | another way of a step or of a compensation, after the way before it failed |
//! | [`Saga::savepoint`], [`Saga::rounds`] | where a rollback may stop, so that the steps after it run again |
//! | [`Step::each`], [`Each`], [`Collected`] | a step for each element of a list |
//! | [`Step::child`], [`Saga::parallel`] | parallel steps, and sagas as steps of other sagas |
//! | [`Step::command`], [`At`], [`CommandData`], [`Answered`] | commands to aggregates as steps |
//! | [`Saga::started_by`] | sagas that an event starts |
//! | [`Saga::lock`] | one saga at a time for a business object |
//! | [`Call`] | what a step knows: key, attempt, outputs of other steps, the event for which it waited |
//! | [`Result`], [`Stop`], [`refused`], [`transient`], [`unknown`] | how a step ends |
//! | [`Call::event`], [`Call::sleep`] | waits, for minutes or months, that take no memory |
//! | [`Call::ask`], [`Call::send`], [`Call::publish`], [`To`] | commands to aggregates, and events, that the code of a step sends |
//! | [`http`] | calls to participants |
//! | [`context`], [`config`], [`secrets`], [`log`] | time, ids and randomness that are the same in every attempt; granted settings and secrets; log lines |
//! | [`Aggregate`], [`Decision`], [`accept`], [`nothing`], [`refuse`] | the definition of an aggregate, and what it decides |
//! | [`#[derive(Command)]`](derive@Command), [`#[derive(Event)]`](derive@Event) | names, and older forms of events that are still read |
//! | [`Command`](struct@Command) | how a command was sent: to whom, by whom, under which id |
//! | [`Projection`], [`Documents`], [`Rows`], [`Recorded`] | views of what was recorded, and the questions that they answer |
//! | [`Links`], [`Document`], [`Erased`] | events that do not say which document they are about; documents that are removed; erased data |
//! | [`Policy`], [`Reaction`], [`AnswerTo`] | what follows from events: commands, further events, sagas |
//! | [`Policy::keeping`], [`Timer`] | process managers: a state for each key, and timers |
//! | [`testing`], [`Module::check`] | given, when, then; and whether the host would accept the module |
//!
//! # Four things to know
//!
//! - **A step may run more than once.** After a crash the host cannot know whether an attempt reached a participant, so it calls
//!   the step again, with the same key. The `Idempotency-Key` of [`http`] requests is the same, and so are the ids and times of
//!   [`context`]. This is simple if a step sends one changing request.
//! - **Refused is a business decision.** Return [`refused`] when the business refuses. A timeout, a wrong address or a full disk
//!   is [`transient`] if nothing happened, and [`unknown`] if something may have happened.
//! - **A compensation is a new action** on the current state of the participants, and must succeed when there is nothing to undo.
//! - **A saga keeps its code.** A running saga and its compensations stay on the component with which the saga started, whatever
//!   is deployed later.

#![deny(unsafe_code)]
#![warn(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used, clippy::expect_used)]

// The derives write this crate's name, in its own tests too.
#[cfg(test)]
extern crate self as amends_sdk;

#[doc(hidden)]
#[path = "export.rs"]
pub mod __exports;
mod aggregate;
mod call;
mod collected;
mod messages;
mod module;
mod moment;
mod payload;
mod policy;
mod projection;
mod recorded;
mod retry;
mod rollback;
mod saga;
mod step;
mod stop;

pub mod config;
pub mod context;
pub mod http;
pub mod log;
pub mod secrets;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

#[doc(hidden)]
pub mod bindings;
mod host;

pub use aggregate::{Aggregate, Command, Commands, Decide, Decision, Events, IntoEvents, Upcasted, accept, nothing, refuse};
/// ```
/// use amends_sdk::Command;
/// use serde::Deserialize;
///
/// #[derive(Command, Deserialize)]
/// enum Do {
///     #[command(new)]
///     Open { limit_cents: u64 }, // `open` with `{"limit_cents":1500}`
///     #[command(existing, name = "reserve")]
///     ReserveCredit { order: String, #[serde(default)] cents: u64 }, // `reserve` with `{"order":"O1"}`
///     Rename(String), // `rename` with `"Ada"`
///     Close, // `close` with `null` or `{}`
/// }
/// ```
///
/// ```compile_fail
/// # use amends_sdk::Command;
/// # use serde::Deserialize;
/// #[derive(Command, Deserialize)]
/// enum Do { Close, #[command(name = "close")] Shut } // an earlier variant is named `close` too
/// ```
pub use amends_sdk_derive::Command;
/// ```
/// use amends_sdk::testing::given;
/// use amends_sdk::{Aggregate, Command, Decision, Event, accept};
/// use serde::{Deserialize, Serialize};
/// use serde_json::json;
///
/// #[derive(Event, Serialize, Deserialize)]
/// enum Did {
///     Opened { limit_cents: u64 },
///     #[event(version = 2, from = in_euros)]
///     CreditReserved { order: String, cents: u64 },
/// }
///
/// /// The first version of `credit-reserved`.
/// #[derive(Deserialize)]
/// struct InEuros { order: String, euros: u64 }
///
/// fn in_euros(old: InEuros) -> Did {
///     Did::CreditReserved { order: old.order, cents: 100 * old.euros }
/// }
///
/// # #[derive(Command, Deserialize)] enum Do { Open }
/// # fn decide(_: &u64, _: Do) -> Decision<Did> { accept(Did::Opened { limit_cents: 1 }) }
/// fn evolve(available: &mut u64, event: Did) {
///     match event {
///         Did::Opened { limit_cents } => *available = limit_cents,
///         Did::CreditReserved { cents, .. } => *available -= cents,
///     }
/// }
///
/// let customer = given(Aggregate::new("customer", decide, evolve))
///     .stored("customer.opened", 1, json!({"limit_cents": 1500}))
///     .stored("customer.credit-reserved", 1, json!({"order": "O1", "euros": 12}))
///     .stored("customer.credit-reserved", 2, json!({"order": "O2", "cents": 34}));
/// assert_eq!(customer.state(), 1500 - 1200 - 34);
/// ```
///
/// ```compile_fail
/// # use amends_sdk::Event;
/// # use serde::{Deserialize, Serialize};
/// #[derive(Event, Serialize, Deserialize)]
/// enum Did {
///     #[event(version = 2)] // nothing reads the first version
///     CreditReserved { order: String, cents: u64 },
/// }
/// ```
pub use amends_sdk_derive::Event;
pub use call::{Arrival, Call, Event};
pub use collected::{Collected, Done, Refused};
pub use messages::{Decided, To};
pub use module::Module;
pub use moment::Moment;
pub use policy::{AnswerTo, IntoState, Keeping, Memory, Names, Policy, Reacted, Reaction, SagaOf, Stateless, Timer};
pub use projection::{Answer, Document, Documents, Folded, Key, Links, Projection, Query, Rows, View};
pub use recorded::{Erased, Recorded};
pub use retry::Retry;
pub use rollback::RollbackCause;
pub use saga::{Saga, Stage, Steps};
pub use step::{Answered, AnsweredEvent, At, CommandData, Each, FromParent, Step, kind};
pub use stop::{Failure, Result, Stop, Wait, refused, transient, unknown};
