//! One call of one step, as the step sees it.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::saga::exports::amends::module::saga as wit;
use crate::stop::{Failure, Result, Stop, Wait, refused, transient};
use crate::{Moment, RollbackCause, context, log, payload};

/// What a step may know beside its input: who calls, with which key, for the how-manieth time, and what came before.
///
/// ```
/// use amends_sdk::{Call, Result, refused};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Deserialize)] struct Order { amount_cents: u64 }
/// # #[derive(Serialize, Deserialize)] struct Hold { id: String }
/// # #[derive(Serialize, Deserialize)] struct Charge { id: String }
///
/// /// Needs `.needs(["reserve-credit"])` in the definition.
/// fn charge(order: Order, call: &Call) -> Result<Charge> {
///     let hold: Hold = call.output("reserve-credit")?;
///     match order.amount_cents {
///         0 => Err(refused("nothing_to_charge", format_args!("hold {} is for nothing", hold.id))),
///         _ => Ok(Charge { id: call.key().to_owned() }),
///     }
/// }
/// ```
pub struct Call {
    pub(crate) raw: wit::Call,
    /// A step waits once: a second wait in the same attempt could not tell what the first one got.
    waited: Cell<bool>,
}

impl Call {
    pub(crate) fn new(raw: wit::Call) -> Call {
        Call { raw, waited: Cell::new(false) }
    }

    /// The saga's id.
    pub fn saga(&self) -> &str {
        &self.raw.saga
    }

    /// The name of the saga's definition, also in a child of it.
    pub fn definition(&self) -> &str {
        &self.raw.definition
    }

    /// The step's name.
    pub fn step(&self) -> &str {
        &self.raw.step
    }

    /// The step's path: its name, after those of the children around it, with the key of the element: `flight/reserve`, `pay[sku-7]`.
    /// It differs wherever steps of one saga differ, so participants may know a step by it.
    pub fn path(&self) -> &str {
        &self.raw.path
    }

    /// The key of the element that the step is, with [`each`](crate::Step::each), or that the child around it is.
    pub fn element(&self) -> Option<&str> {
        self.raw.element.as_deref()
    }

    /// Which way of doing the step this is about, from 0: the one to do, or the one that is undone or asked about.
    pub fn alternate(&self) -> u32 {
        self.raw.alternate
    }

    /// Which way of undoing the step this is, from 0.
    pub fn undo_alternate(&self) -> u32 {
        self.raw.undo_alternate
    }

    /// How often the saga has come back to a [savepoint](crate::Saga::savepoint); 0 at first. In a compensation, the round that is undone.
    pub fn round(&self) -> u32 {
        self.raw.round
    }

    /// Which attempt this is, from 1; doing, undoing and checking are counted apart, and a call after a wait is a new attempt.
    pub fn attempt(&self) -> u32 {
        self.raw.attempt
    }

    /// The step's key, the same in every attempt; undoing and checking have keys of their own. The host derives the
    /// `Idempotency-Key` of outgoing requests from it, so a step needs it only for participants that want it elsewhere.
    pub fn key(&self) -> &str {
        &self.raw.key
    }

    /// The key that the forward attempts have; the same as [`key`](Call::key) in those.
    pub fn forward_key(&self) -> &str {
        &self.raw.forward_key
    }

    /// When the host ends this attempt, whatever it is doing.
    pub fn deadline(&self) -> Moment {
        Moment::from_millis(self.raw.deadline_at)
    }

    /// An earlier attempt may have happened. Then a participant may know about it already.
    pub fn may_have_run(&self) -> bool {
        self.raw.may_have_run
    }

    /// How the last attempt failed. Until one has: in a compensation and a check, how the forward step did; in an alternate, why the
    /// one before was refused; in a new round, what failed in the one before.
    pub fn last_failure(&self) -> Option<Failure> {
        self.raw.last_failure.as_ref().map(Failure::from)
    }

    /// Why this compensation runs, the same in every attempt and [alternate](crate::Step::undo_alternate) of it; none when doing or
    /// checking. How the compensation itself failed last says [`last_failure`](Call::last_failure).
    pub fn rollback_cause(&self) -> Option<RollbackCause> {
        self.raw.rollback_cause.as_ref().map(RollbackCause::from)
    }

    /// The output of an earlier step that this step declares with [`needs`](crate::Step::needs).
    ///
    /// Refuses with `output_not_declared` if it does not, and with `bad_output` if the output is not a `T`.
    pub fn output<T: DeserializeOwned>(&self, step: &str) -> Result<T> {
        let Some(named) = self.raw.outputs.iter().find(|named| named.name == step) else {
            let message = format!("step {} has no output of {step}; declare it with .needs([{step:?}])", self.step());
            return Err(refused("output_not_declared", message));
        };
        payload::decode(&named.payload).map_err(|error| refused("bad_output", format_args!("the output of {step}: {error}")))
    }

    /// What ended the wait that this step asked for; most steps use [`event`](Call::event) and its like instead.
    pub fn arrived(&self) -> Option<Arrival> {
        match self.raw.arrived.as_ref()? {
            wit::Arrival::Timer => Some(Arrival::Timer),
            wit::Arrival::Event(event) => Some(Arrival::Event(Event::new(event, Wait::event(&event.event_type, &event.key)))),
            // No wait of this SDK asks for the answer to a command.
            wit::Arrival::Answer(_) => None,
        }
    }

    /// Waits for an event by type and key, however long it takes.
    ///
    /// The first time this is a [`Stop::Wait`] that `?` hands to the host. The host drops the step, and calls it again from its
    /// beginning when the event has come; then this is the event. It may have come before the wait began. So put a wait first
    /// in its step, and only one in each: a second one is `transient` with code `second_wait`.
    ///
    /// ```
    /// # use amends_sdk::{Call, Result}; use serde::Deserialize;
    /// # #[derive(Deserialize)] struct Request { id: String }
    /// #[derive(Deserialize)]
    /// struct Paid { amount_cents: u64 }
    ///
    /// fn await_payment(request: Request, call: &Call) -> Result<u64> {
    ///     let paid: Paid = call.event("payment-received", &request.id)?.data()?;
    ///     Ok(paid.amount_cents)
    /// }
    /// ```
    pub fn event(&self, event_type: &str, key: &str) -> Result<Event> {
        match self.wait(Wait::event(event_type, key))? {
            Arrival::Event(event) => Ok(event),
            Arrival::Timer => Err(transient("unexpected_timer", "a timer ended a wait that has none")),
        }
    }

    /// Waits for an event by type and key until a moment; none if it did not come. Otherwise as [`event`](Call::event).
    pub fn event_until(&self, event_type: &str, key: &str, until: Moment) -> Result<Option<Event>> {
        Ok(match self.wait(Wait::event(event_type, key).or_until(until))? {
            Arrival::Event(event) => Some(event),
            Arrival::Timer => None,
        })
    }

    /// Waits for this long from the moment that the step became ready. Otherwise as [`event`](Call::event).
    pub fn sleep(&self, duration: Duration) -> Result<()> {
        self.sleep_until(context::now() + duration)
    }

    /// Waits until a moment. Otherwise as [`event`](Call::event).
    pub fn sleep_until(&self, moment: Moment) -> Result<()> {
        self.wait(Wait::until(moment)).map(|_| ())
    }

    fn wait(&self, wait: Wait) -> Result<Arrival> {
        if self.waited.replace(true) {
            return Err(transient("second_wait", format_args!("step {} waits twice; make it two steps", self.step())));
        }
        match &self.raw.arrived {
            Some(wit::Arrival::Event(event)) => Ok(Arrival::Event(Event::new(event, wait))),
            Some(wit::Arrival::Timer) => Ok(Arrival::Timer),
            Some(wit::Arrival::Answer(_)) => {
                Err(transient("unexpected_answer", "the answer to a command ended a wait that has none"))
            }
            None => Err(wait.into()),
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}

/// What ended a wait.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrival {
    /// The event came.
    Event(Event),
    /// The time ran out.
    Timer,
}

/// An event that a step waited for.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The event's own id.
    pub id: String,
    /// Its type, as `approval`.
    pub event_type: String,
    /// Its correlation key.
    pub key: String,
    data: Value,
    /// What the step waited for when this came.
    wait: Wait,
}

impl Event {
    fn new(event: &wit::EventArrival, wait: Wait) -> Event {
        let wit::EventArrival { id, event_type, key, data } = event.clone();
        // The host has parsed JSON data before; data that is not JSON reads as null.
        let data = data.and_then(|data| payload::decode(&data).ok()).unwrap_or_default();
        Event { id, event_type, key, data, wait }
    }

    /// What the event says; `null` if it came without data.
    ///
    /// An event that is not a `T` is logged and passed over: with `?` the step waits for the next one, as it did for this.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.data).map_err(|error| {
            log::warn!("passed over event {} of type {}: {error}", self.id, self.event_type);
            Stop::Wait(self.wait.clone())
        })
    }
}
