//! Write durable sagas for Amends as plain Rust functions.
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
//! | [`Saga::started_by`] | sagas that an event starts |
//! | [`Saga::lock`] | one saga at a time for a business object |
//! | [`Call`] | what a step knows: key, attempt, outputs of other steps, the event for which it waited |
//! | [`Result`], [`Stop`], [`refused`], [`transient`], [`unknown`] | how a step ends |
//! | [`Call::event`], [`Call::sleep`] | waits, for minutes or months, that take no memory |
//! | [`http`] | calls to participants |
//! | [`context`], [`config`], [`secrets`], [`log`] | time, ids and randomness that are the same in every attempt; granted settings and secrets; log lines |
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

#[doc(hidden)]
#[path = "export.rs"]
pub mod __exports;
mod call;
mod collected;
mod module;
mod moment;
mod payload;
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

pub use call::{Arrival, Call, Event};
pub use collected::{Collected, Done, Refused};
pub use module::Module;
pub use moment::Moment;
pub use retry::Retry;
pub use rollback::RollbackCause;
pub use saga::{Saga, Stage, Steps};
pub use step::{Each, FromParent, Step, kind};
pub use stop::{Failure, Result, Stop, Wait, refused, transient, unknown};
