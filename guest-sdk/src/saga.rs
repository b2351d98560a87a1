//! Sagas: steps in the order in which they run, and where a rollback may stop.

mod definition;
mod stage;

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::bindings::saga::exports::amends::module::saga as wit;
use crate::moment::millis;
use crate::step::{Step, kind};

pub(crate) use definition::{Definition, StageOfSteps};
pub use stage::{Stage, Steps};

/// A saga: steps that run in order, undone in reverse if one of them fails.
///
/// `I` is its input, which all steps receive unchanged. A step that needs the output of an earlier one declares it with
/// [`Step::needs`].
/// First come compensatable steps, then at most one pivot, then retriable ones; the host refuses any other order at deploy.
///
/// ```
/// use amends_sdk::{Call, Result, Saga, Step};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Deserialize)] struct Trip;
/// # fn flight(_: Trip, _: &Call) -> Result<u32> { Ok(1) }
/// # fn hotel(_: Trip, _: &Call) -> Result<String> { Ok("H1".into()) }
/// # fn charge(_: Trip, _: &Call) -> Result { Ok(()) }
/// # fn email(_: Trip, _: &Call) -> Result { Ok(()) }
/// # fn cancel_flight(_: Trip, seat: Option<u32>, _: &Call) -> Result { Ok(()) }
/// # fn cancel_hotel(_: Trip, room: Option<String>, _: &Call) -> Result { Ok(()) }
///
/// let trip = Saga::new("trip")
///     .version(1)
///     .parallel((
///         Step::compensatable("reserve-flight", flight).undo(cancel_flight),
///         Step::compensatable("reserve-hotel", hotel).undo(cancel_hotel),
///     ))
///     .step(Step::pivot("charge", charge))
///     .step(Step::retriable("email", email))
///     .output("charge");
/// ```
#[must_use = "a saga does nothing until a module has it"]
pub struct Saga<I> {
    definition: Definition,
    input: PhantomData<fn(I)>,
}

impl<I> Saga<I> {
    pub(crate) fn name(&self) -> &str {
        &self.definition.name
    }

    /// A saga with this name: `[a-z][a-z0-9-]{0,62}`. Only one module of a namespace may have it.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Saga<I> {
        Saga { definition: Definition::new(name.into()), input: PhantomData }
    }

    /// A number for people, 1 by default. A running saga stays on the digest of its module, whatever the number.
    pub fn version(mut self, version: u32) -> Self {
        self.definition.version = version;
        self
    }

    /// Adds a step after all steps so far.
    pub fn step<K: kind::Complete, O>(mut self, step: Step<K, I, O>) -> Self {
        self.definition.stages.push(StageOfSteps::new([step].steps().0));
        self
    }

    /// Adds steps that run in parallel, after all steps so far: a tuple of up to eight, or a `Vec` or array of one type. The
    /// next step begins when all are done. They are undone in parallel, too. A branch of several steps is a [child](Step::child).
    pub fn parallel(mut self, stage: impl Stage<I>) -> Self {
        self.definition.stages.push(StageOfSteps::new(stage.steps().0));
        self
    }

    /// Lets a rollback stop here, after all steps so far, so that the steps after it run again.
    ///
    /// When a later step up to the pivot fails, the steps after the latest savepoint are undone, and a new round begins there.
    /// The steps of a new round have new keys, attempts and alternates. [`Call::round`](crate::Call::round) is its number, and
    /// [`Call::last_failure`](crate::Call::last_failure) the failure that ended the previous round. After the last round (see
    /// [`rounds`](Saga::rounds)) everything is undone. A cancel and the saga's deadline do not stop here.
    ///
    /// ```
    /// use amends_sdk::testing::given;
    /// use amends_sdk::{Call, Result, Saga, Step, refused};
    ///
    /// fn reserve_flight(_: (), _: &Call) -> Result { Ok(()) }
    /// fn reserve_car(_: (), call: &Call) -> Result<String> {
    ///     match call.round() {
    ///         0 => Err(refused("no_car", "K1 has no cars left")),
    ///         _ => Ok("K2".to_owned()),
    ///     }
    /// }
    /// # fn give_back<O>(_: (), _: Option<O>, _: &Call) -> Result { Ok(()) }
    ///
    /// let trip = Saga::new("trip")
    ///     .step(Step::compensatable("reserve-flight", reserve_flight).undo(give_back))
    ///     .savepoint("booked")
    ///     .step(Step::compensatable("reserve-car", reserve_car).undo(give_back));
    ///
    /// given(trip).when(()).then(
    ///     "reserve-flight done
    ///      reserve-car refused no_car
    ///      round 1 from booked
    ///      reserve-car done
    ///      completed",
    /// );
    /// ```
    pub fn savepoint(mut self, name: impl Into<String>) -> Self {
        match self.definition.stages.last_mut() {
            Some(stage) if stage.savepoint_after.is_none() => stage.savepoint_after = Some(name.into()),
            // A stage without steps, which is refused at deploy: there is nothing here to come back to.
            _ => self.definition.stages.push(StageOfSteps { steps: Vec::new(), savepoint_after: Some(name.into()) }),
        }
        self
    }

    /// How many rounds may follow the first, each after a rollback to a savepoint; 1 by default.
    pub fn rounds(mut self, rounds: u32) -> Self {
        self.definition.rounds = Some(rounds);
        self
    }

    /// Prevents two sagas from working on the same business object at the same time. `name` is the kind of the object, and the
    /// JSON pointer leads to its id in the input, a text or a number; `7`, `7.0` and `"7"` are one key.
    ///
    /// A saga gets all its keys together when it starts and releases them when it ends, so that no two sagas wait for each other.
    /// If another saga holds one of its keys, the saga waits, or is refused: see
    /// [`refuse_when_locked`](Saga::refuse_when_locked). This includes sagas of other definitions.
    ///
    /// ```
    /// use amends_sdk::{Call, Result, Saga, Step};
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize)]
    /// struct Transfer { from: String, to: String }
    ///
    /// # fn pay(_: Transfer, _: &Call) -> Result { Ok(()) }
    /// let transfer = Saga::new("transfer")
    ///     .lock("account", "/from")
    ///     .lock("account", "/to")
    ///     .step(Step::pivot("pay", pay));
    /// ```
    pub fn lock(mut self, name: impl Into<String>, pointer: impl Into<String>) -> Self {
        self.definition.locks.push(wit::LockKey { name: name.into(), pointer: pointer.into() });
        self
    }

    /// Refuses the start with 409 `locked` if another saga holds a lock key, instead of letting the saga wait.
    pub fn refuse_when_locked(mut self) -> Self {
        self.definition.on_locked = wit::OnLocked::Refuse;
        self
    }

    /// Names the step whose output is the output of the saga. By default it is the output of the last step or, after a parallel
    /// stage, an object of the outputs by step name.
    pub fn output(mut self, step: impl Into<String>) -> Self {
        self.definition.output = Some(step.into());
        self
    }

    /// Rolls the saga back if it has not passed its point of no return this long after its start. None by default.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.definition.deadline_ms = Some(millis(deadline));
        self
    }

    /// A JSON Schema of the input, as text or as a `serde_json::Value`: the host shows it, and refuses a start whose input does
    /// not match. It must not refer to other documents; an invalid schema is refused at deploy. The test kit does not check it.
    pub fn schema(mut self, schema: impl fmt::Display) -> Self {
        self.definition.schema = Some(schema.to_string());
        self
    }

    /// Lets every event of this type start one saga of this definition, with the event's data as its input. Call it once for each
    /// type.
    ///
    /// Published events start sagas, and events of aggregates, as `order.approved`; signals to one saga do not. Of an aggregate's event
    /// the input is an object with `source` (the aggregate's name), `key` (its id), `type`, `version`, `revision` and `data`. The saga's id is made of the event's source and id, so that a
    /// repeated event starts no second saga. An event that was published before the module was active starts nothing.
    ///
    /// ```
    /// use amends_sdk::testing::given;
    /// use amends_sdk::{Call, Module, Result, Saga, Step};
    /// use serde::Deserialize;
    /// use serde_json::json;
    ///
    /// #[derive(Deserialize)]
    /// struct Order { sku: String }
    ///
    /// fn pack(order: Order, _: &Call) -> Result<String> { Ok(format!("a parcel with {}", order.sku)) }
    ///
    /// fn fulfil() -> Saga<Order> {
    ///     Saga::new("fulfil")
    ///         .started_by("order.placed")
    ///         .step(Step::compensatable("pack", pack).undo_nothing())
    /// }
    ///
    /// // Once deployed: amends publish order.placed --data '{"sku":"K1"}'
    /// assert_eq!(Module::new("shop").saga(fulfil()).check(), Ok(()));
    /// given(fulfil()).when(json!({"sku": "K1"})).then("pack done\n completed");
    /// ```
    pub fn started_by(mut self, event_type: impl Into<String>) -> Self {
        self.definition.started_by.push(event_type.into());
        self
    }

    pub(crate) fn into_definition(self) -> Definition {
        self.definition
    }
}
