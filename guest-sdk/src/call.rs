//! One call of one step, as the step sees it.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::saga::exports::amends::module::saga as wit;
use crate::stop::{Failure, Result, Stop, Wait, refused, transient};
use crate::{Decided, Moment, RollbackCause, context, log, payload};

/// What a step knows in addition to its input: the saga, the key, the number of the attempt, and earlier outputs and failures.
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
    /// A step waits once: in an attempt with two waits, it would not be known which of them an event ended.
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

    /// The step's path: its name, after those of the children around it, with the key of the element: `flight/reserve`,
    /// `pay[sku-7]`. It is unique among the steps of a saga, so participants can identify a step by it.
    pub fn path(&self) -> &str {
        &self.raw.path
    }

    /// The key of the element of an [`each`](crate::Step::each) to which the step, or the child that contains it, belongs.
    pub fn element(&self) -> Option<&str> {
        self.raw.element.as_deref()
    }

    /// The alternate of the step, from 0: the one that runs, or the one that is undone or checked.
    pub fn alternate(&self) -> u32 {
        self.raw.alternate
    }

    /// The alternate of the compensation, from 0.
    pub fn undo_alternate(&self) -> u32 {
        self.raw.undo_alternate
    }

    /// How often the saga has rolled back to a [savepoint](crate::Saga::savepoint), from 0. In a compensation, the round that is
    /// undone.
    pub fn round(&self) -> u32 {
        self.raw.round
    }

    /// The number of the attempt, from 1. The step, its compensation and its check are counted separately, and a call after a
    /// wait is a new attempt.
    pub fn attempt(&self) -> u32 {
        self.raw.attempt
    }

    /// The step's key, the same in every attempt; the compensation and the check have keys of their own. The host derives the
    /// `Idempotency-Key` of outgoing requests from it, so a step needs it only for participants that want it elsewhere.
    pub fn key(&self) -> &str {
        &self.raw.key
    }

    /// The key of the forward attempts; in a forward attempt it is equal to [`key`](Call::key).
    pub fn forward_key(&self) -> &str {
        &self.raw.forward_key
    }

    /// The moment at which the host ends this attempt.
    pub fn deadline(&self) -> Moment {
        Moment::from_millis(self.raw.deadline_at)
    }

    /// Whether an earlier attempt may have happened, so that a participant may know of it already.
    pub fn may_have_run(&self) -> bool {
        self.raw.may_have_run
    }

    /// The failure of the last attempt. If no attempt has failed: in a compensation and a check, the failure of the forward step;
    /// in an alternate, the refusal of the previous alternate; in a new round, the failure that ended the previous round.
    pub fn last_failure(&self) -> Option<Failure> {
        self.raw.last_failure.as_ref().map(Failure::from)
    }

    /// Why this compensation runs, the same in all of its attempts and [alternates](crate::Step::undo_alternate); none in a
    /// forward call and in a check. [`last_failure`](Call::last_failure) has the last failure of the compensation itself.
    pub fn rollback_cause(&self) -> Option<RollbackCause> {
        self.raw.rollback_cause.as_ref().map(RollbackCause::from)
    }

    /// The output of an earlier step that this step declares with [`needs`](crate::Step::needs).
    ///
    /// Refuses with `output_not_declared` if the step does not declare it, and with `bad_output` if the output is not a `T`.
    pub fn output<T: DeserializeOwned>(&self, step: &str) -> Result<T> {
        let Some(named) = self.raw.outputs.iter().find(|named| named.name == step) else {
            let message = format!("step {} has no output of {step}; declare it with .needs([{step:?}])", self.step());
            return Err(refused("output_not_declared", message));
        };
        payload::decode(&named.payload).map_err(|error| refused("bad_output", format_args!("the output of {step}: {error}")))
    }

    /// What ended the wait of this step, until it waits again; what was refused to a compensation, in one attempt that counts: see
    /// [`ask`](Call::ask). Most steps use [`event`](Call::event), [`event_until`](Call::event_until) or
    /// [`sleep`](Call::sleep) instead.
    pub fn arrived(&self) -> Option<Arrival> {
        match self.raw.arrived.as_ref()? {
            wit::Arrival::Timer => Some(Arrival::Timer),
            wit::Arrival::Event(event) => Some(Arrival::Event(Event::new(event, Wait::event(&event.event_type, &event.key)))),
            wit::Arrival::Answer(answered) => Some(Arrival::Answer(Decided::from(&answered.answer))),
        }
    }

    /// Waits for an event by type and key, without a time limit.
    ///
    /// In the first attempt this returns a [`Stop::Wait`], which `?` passes to the host. When the event has arrived, also if it
    /// arrived before the wait, the host calls the step again from its beginning, and this returns the event. So a wait should be
    /// the first operation of its step. A step waits only once, and in the same way in every attempt: a second wait is `transient`
    /// with code `second_wait`, and so is a wait that something of another kind has ended, with the code `unexpected_answer` for the
    /// answer to a command.
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
            other => Err(other.unexpected()),
        }
    }

    /// Waits for an event by type and key until a moment; none if no event arrived until then. Otherwise as
    /// [`event`](Call::event).
    pub fn event_until(&self, event_type: &str, key: &str, until: Moment) -> Result<Option<Event>> {
        match self.wait(Wait::event(event_type, key).or_until(until))? {
            Arrival::Event(event) => Ok(Some(event)),
            Arrival::Timer => Ok(None),
            other => Err(other.unexpected()),
        }
    }

    /// Waits for this long from the moment that the step became ready. Otherwise as [`event`](Call::event).
    pub fn sleep(&self, duration: Duration) -> Result<()> {
        self.sleep_until(context::now() + duration)
    }

    /// Waits until a moment. Otherwise as [`event`](Call::event).
    pub fn sleep_until(&self, moment: Moment) -> Result<()> {
        match self.wait(Wait::until(moment))? {
            Arrival::Timer => Ok(()),
            other => Err(other.unexpected()),
        }
    }

    fn wait(&self, wait: Wait) -> Result<Arrival> {
        self.waits_once()?;
        match &self.raw.arrived {
            Some(wit::Arrival::Event(event)) => Ok(Arrival::Event(Event::new(event, wait))),
            Some(wit::Arrival::Timer) => Ok(Arrival::Timer),
            Some(wit::Arrival::Answer(answered)) => Ok(Arrival::Answer(Decided::from(&answered.answer))),
            None => Err(wait.into()),
        }
    }

    pub(crate) fn waits_once(&self) -> Result<()> {
        match self.waited.replace(true) {
            true => Err(transient("second_wait", format_args!("step {} waits twice; make it two steps", self.step()))),
            false => Ok(()),
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
    /// The event arrived.
    Event(Event),
    /// The moment was reached.
    Timer,
    /// The answer to a command.
    Answer(Decided),
}

impl Arrival {
    /// It ended another wait than the one that the step waits in this attempt: what the step waits for depends on its input alone.
    pub(crate) fn unexpected(&self) -> Stop {
        match self {
            Arrival::Event(_) => transient("unexpected_event", "an event ended a wait that has none"),
            Arrival::Timer => transient("unexpected_timer", "a timer ended a wait that has none"),
            Arrival::Answer(_) => transient("unexpected_answer", "the answer to a command ended a wait that has none"),
        }
    }
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
    /// The wait that this event ended.
    wait: Wait,
}

impl Event {
    fn new(event: &wit::EventArrival, wait: Wait) -> Event {
        let wit::EventArrival { id, event_type, key, data } = event.clone();
        // The host has parsed JSON data before; data that is not JSON reads as null.
        let data = data.and_then(|data| payload::decode(&data).ok()).unwrap_or_default();
        Event { id, event_type, key, data, wait }
    }

    /// The data of the event; `null` if it has none.
    ///
    /// An event whose data is not a `T` is logged and ignored: with `?` the step waits for the next event in the same way.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.data).map_err(|error| {
            log::warn!("passed over event {} of type {}: {error}", self.id, self.event_type);
            Stop::Wait(self.wait.clone())
        })
    }
}
