//! Steps: typed functions and the policy around them, made into what the host and the test kit run.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::imports::amends::module::types::Payload;
use crate::bindings::saga::exports::amends::module::saga as wit;
use crate::moment::millis;
use crate::stop::{Failure, Result, Stop, refused};
use crate::{Call, Retry, payload};

/// A step of a saga: a function from the saga's input to the step's output, and how to treat it.
///
/// `K` is its kind (see [`kind`]), `I` the saga's input, `O` the step's output. A compensatable step belongs to a saga only
/// once it has an undo: without one, it does not compile.
///
/// Defaults: a deadline of 30 s for each attempt; tried again as [`Retry`] says, also when an outcome is unknown; then rolled back
/// up to the pivot, stuck after it.
///
/// ```
/// use amends_sdk::{Call, Result, Retry, Step};
/// use std::time::Duration;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Deserialize)] struct Trip;
/// # #[derive(Serialize, Deserialize)] struct Room;
/// # fn reserve_hotel(trip: Trip, call: &Call) -> Result<Room> { Ok(Room) }
/// # fn cancel_hotel(trip: Trip, room: Option<Room>, call: &Call) -> Result { Ok(()) }
///
/// let step = Step::compensatable("reserve-hotel", reserve_hotel)
///     .deadline(Duration::from_secs(30))
///     .once_then_rollback()
///     .undo(cancel_hotel)
///     .undo_retry(Retry::attempts(5));
/// ```
///
/// ```compile_fail
/// # use amends_sdk::{Saga, Step};
/// let forgotten = Step::compensatable("reserve-hotel", |(), _| Ok(()));
/// Saga::new("trip").step(forgotten); // this compensatable step does not say how it is undone
/// ```
#[must_use = "a step does nothing until a saga has it"]
pub struct Step<K, I, O> {
    erased: Erased,
    types: PhantomData<fn(K, I) -> O>,
}

/// The kinds of steps, as types: they decide what may be declared about a step.
pub mod kind {
    /// Can be undone, but nobody said how yet.
    #[derive(Debug)]
    pub enum WithoutUndo {}
    /// Can be undone, and is, if a later step fails.
    #[derive(Debug)]
    pub enum Compensatable {}
    /// Can be undone by doing nothing.
    #[derive(Debug)]
    pub enum NothingToUndo {}
    /// The point of no return: once it is done, the saga goes forward to its end.
    #[derive(Debug)]
    pub enum Pivot {}
    /// A pivot that is undone if nobody can tell whether it happened.
    #[derive(Debug)]
    pub enum PivotWithUndo {}
    /// After the point of no return: tried until it is done.
    #[derive(Debug)]
    pub enum Retriable {}

    /// A kind that a rollback can pass.
    #[diagnostic::on_unimplemented(
        message = "a rollback cannot pass this step",
        note = "a retriable step has no way back, and a pivot has one only with an undo: use `.once_then_stop()`, or give the pivot one before"
    )]
    pub trait RollsBack {}
    impl RollsBack for WithoutUndo {}
    impl RollsBack for Compensatable {}
    impl RollsBack for NothingToUndo {}
    impl RollsBack for PivotWithUndo {}

    /// A kind that an undo can be added to, and the kind it becomes.
    #[diagnostic::on_unimplemented(
        message = "this step takes no undo",
        note = "a retriable step is never undone, and a step has one undo at most"
    )]
    pub trait TakesUndo {
        /// The kind with its undo.
        type Undoable;
    }
    impl TakesUndo for WithoutUndo {
        type Undoable = Compensatable;
    }
    impl TakesUndo for Pivot {
        type Undoable = PivotWithUndo;
    }

    /// A kind with an undo of its own code.
    #[diagnostic::on_unimplemented(message = "this step has no undo to say this of", note = "add `.undo(function)` before")]
    pub trait HasUndo {}
    impl HasUndo for Compensatable {}
    impl HasUndo for PivotWithUndo {}

    /// A kind that a saga takes.
    #[diagnostic::on_unimplemented(
        message = "this compensatable step does not say how it is undone",
        label = "a step without an undo",
        note = "add `.undo(function)`, or `.undo_nothing()` if it leaves nothing behind"
    )]
    pub trait Complete {}
    impl Complete for Compensatable {}
    impl Complete for NothingToUndo {}
    impl Complete for Pivot {}
    impl Complete for PivotWithUndo {}
    impl Complete for Retriable {}
}

impl<I, O> Step<kind::WithoutUndo, I, O>
where
    I: DeserializeOwned + 'static,
    O: Serialize + DeserializeOwned + 'static,
{
    /// A step that can be undone, and is, if a later step fails. It needs [`undo`](Step::undo) or [`undo_nothing`](Step::undo_nothing) yet.
    pub fn compensatable(name: impl Into<Cow<'static, str>>, run: impl Fn(I, &Call) -> Result<O> + 'static) -> Self {
        Step::new(name.into(), wit::Kind::Compensatable, run)
    }

    /// Says that the step leaves nothing behind that would have to be undone.
    pub fn undo_nothing(mut self) -> Step<kind::NothingToUndo, I, O> {
        self.erased.spec.undo = wit::Undo::Nothing;
        self.into_kind()
    }
}

impl<I, O> Step<kind::Pivot, I, O>
where
    I: DeserializeOwned + 'static,
    O: Serialize + DeserializeOwned + 'static,
{
    /// The point of no return: until it is done the saga can be rolled back, from then on it goes forward to its end.
    ///
    /// A saga has at most one, alone in its stage, after the compensatable steps and before the retriable ones.
    pub fn pivot(name: impl Into<Cow<'static, str>>, run: impl Fn(I, &Call) -> Result<O> + 'static) -> Self {
        Step::new(name.into(), wit::Kind::Pivot, run)
    }
}

impl<I, O> Step<kind::Retriable, I, O>
where
    I: DeserializeOwned + 'static,
    O: Serialize + DeserializeOwned + 'static,
{
    /// A step after the point of no return: it is tried until it is done, and the saga is stuck if it cannot be.
    pub fn retriable(name: impl Into<Cow<'static, str>>, run: impl Fn(I, &Call) -> Result<O> + 'static) -> Self {
        let mut step = Step::new(name.into(), wit::Kind::Retriable, run);
        step.erased.spec.retry = Retry::until_stuck().0;
        step.erased.spec.on_exhausted = wit::OnExhausted::Stuck;
        step
    }
}

impl<K, I, O> Step<K, I, O>
where
    I: DeserializeOwned + 'static,
    O: Serialize + DeserializeOwned + 'static,
{
    fn new(name: Cow<'static, str>, kind: wit::Kind, run: impl Fn(I, &Call) -> Result<O> + 'static) -> Self {
        let spec = wit::Step {
            name: name.into_owned(),
            kind,
            body: wit::Body::Code,
            effect_free: false,
            needs: Vec::new(),
            retry: Retry::default().0,
            deadline_ms: 30_000,
            on_unknown: wit::OnUnknown::Retry,
            on_exhausted: wit::OnExhausted::Rollback,
            alternates: 0,
            undo: wit::Undo::None,
            each: None,
        };
        let execute = move |call: &Call| output(&run(input(call)?, call)?);
        Step { erased: Erased { spec, execute: Box::new(execute), compensate: None, check: None }, types: PhantomData }
    }

    /// Declares that the step does not reach outside, so that running it twice is harmless.
    ///
    /// The host refuses its outgoing calls, and needs no disk write before it runs: effect-free steps are fast.
    pub fn effect_free(mut self) -> Self {
        self.erased.spec.effect_free = true;
        self
    }

    /// Names steps of earlier stages whose outputs come with the call; read them with [`Call::output`].
    pub fn needs<N: Into<String>>(mut self, steps: impl IntoIterator<Item = N>) -> Self {
        self.erased.spec.needs.extend(steps.into_iter().map(Into::into));
        self
    }

    /// Bounds each attempt; 30 s by default, at most an hour, waits excluded. What ends here may have happened.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.erased.spec.deadline_ms = millis(deadline);
        self
    }

    /// How often and how long the step is tried.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.erased.spec.retry = retry.0;
        self
    }

    /// Stops for an operator, instead of rolling back, when the retries are used up.
    pub fn stuck_when_exhausted(mut self) -> Self {
        self.erased.spec.on_exhausted = wit::OnExhausted::Stuck;
        self
    }

    /// Asks this function what happened when an outcome is unknown, before the step is tried again.
    ///
    /// It gives the output if the step happened, none if it did not, and any [`Stop`] if it cannot tell yet. The host lets
    /// only safe HTTP methods out of it: it asks, it changes nothing.
    pub fn check(mut self, check: impl Fn(I, &Call) -> Result<Option<O>> + 'static) -> Self {
        let check = move |call: &Call| check(input(call)?, call)?.as_ref().map(output).transpose();
        self.erased.check = Some(Box::new(check));
        self.erased.spec.on_unknown = wit::OnUnknown::Check;
        self
    }

    /// Never runs the step again once it may have happened: stops for an operator.
    pub fn once_then_stop(mut self) -> Self {
        self.erased.spec.on_unknown = wit::OnUnknown::OnceThenStop;
        self
    }

    /// Never runs the step again once it may have happened: rolls back, this step included.
    pub fn once_then_rollback(mut self) -> Self
    where
        K: kind::RollsBack,
    {
        self.erased.spec.on_unknown = wit::OnUnknown::OnceThenRollback;
        self
    }

    /// The compensation: undoes what the step did by a new action against today's state.
    ///
    /// It gets the input and, if it is known, the step's output, and must tolerate that nothing happened: it runs when the
    /// step is done and also when it only may have run. It cannot refuse; it is tried 20 times by default, then the saga is stuck.
    pub fn undo(mut self, undo: impl Fn(I, Option<O>, &Call) -> Result + 'static) -> Step<K::Undoable, I, O>
    where
        K: kind::TakesUndo,
    {
        let compensate = move |call: &Call| undo(input(call)?, own_output(call)?, call);
        self.erased.compensate = Some(Box::new(compensate));
        self.erased.spec.undo =
            wit::Undo::Code(wit::UndoPolicy { retry: Retry::until_stuck().0, deadline_ms: 30_000, alternates: 0 });
        self.into_kind()
    }

    /// How often and how long the compensation is tried before the saga is stuck.
    pub fn undo_retry(mut self, retry: Retry) -> Self
    where
        K: kind::HasUndo,
    {
        if let wit::Undo::Code(policy) = &mut self.erased.spec.undo {
            policy.retry = retry.0;
        }
        self
    }

    /// Bounds each attempt of the compensation; 30 s by default.
    pub fn undo_deadline(mut self, deadline: Duration) -> Self
    where
        K: kind::HasUndo,
    {
        if let wit::Undo::Code(policy) = &mut self.erased.spec.undo {
            policy.deadline_ms = millis(deadline);
        }
        self
    }

    fn into_kind<L>(self) -> Step<L, I, O> {
        Step { erased: self.erased, types: PhantomData }
    }
}

impl<K: kind::Complete, I, O> Step<K, I, O> {
    pub(crate) fn erase(self) -> Erased {
        self.erased
    }
}

/// A step without its types: payloads in and out.
pub(crate) struct Erased {
    pub(crate) spec: wit::Step,
    execute: Box<Execute>,
    compensate: Option<Box<Compensate>>,
    check: Option<Box<Check>>,
}

type Execute = dyn Fn(&Call) -> Result<Payload>;
type Compensate = dyn Fn(&Call) -> Result;
type Check = dyn Fn(&Call) -> Result<Option<Payload>>;

impl Erased {
    pub(crate) fn execute(&self, call: &Call) -> wit::Outcome {
        match (self.execute)(call) {
            Ok(output) => wit::Outcome::Done(output),
            Err(Stop::Refused(failure)) => wit::Outcome::Refused(failure.into()),
            Err(Stop::Transient(failure)) => wit::Outcome::Transient(failure.into()),
            Err(Stop::Unknown(failure)) => wit::Outcome::Unknown(failure.into()),
            Err(Stop::Wait(wait)) => wit::Outcome::Wait(wait.into()),
        }
    }

    pub(crate) fn compensate(&self, call: &Call) -> wit::UndoOutcome {
        let result = match &self.compensate {
            Some(compensate) => compensate(call),
            None => Ok(()),
        };
        match result {
            Ok(()) => wit::UndoOutcome::Done,
            Err(Stop::Refused(failure) | Stop::Transient(failure)) => wit::UndoOutcome::Transient(failure.into()),
            Err(Stop::Unknown(failure)) => wit::UndoOutcome::Unknown(failure.into()),
            Err(Stop::Wait(wait)) => wit::UndoOutcome::Wait(wait.into()),
        }
    }

    pub(crate) fn check(&self, call: &Call) -> wit::CheckOutcome {
        let result = match &self.check {
            Some(check) => check(call),
            None => Err(refused("no_check", "this step has no check")),
        };
        match result {
            Ok(Some(output)) => wit::CheckOutcome::Done(output),
            Ok(None) => wit::CheckOutcome::NotDone,
            Err(Stop::Refused(failure) | Stop::Transient(failure) | Stop::Unknown(failure)) => {
                wit::CheckOutcome::Unknown(failure.into())
            }
            Err(Stop::Wait(_)) => {
                wit::CheckOutcome::Unknown(Failure::new("check_waits", "a check cannot wait; answer unknown instead").into())
            }
        }
    }
}

/// The same input never fits better later, and nothing has happened yet: refused.
fn input<I: DeserializeOwned>(call: &Call) -> Result<I> {
    payload::decode(&call.raw.input).map_err(|error| refused("bad_input", error))
}

fn own_output<O: DeserializeOwned>(call: &Call) -> Result<Option<O>> {
    let decoded = call.raw.own_output.as_ref().map(payload::decode).transpose();
    decoded.map_err(|error| refused("bad_output", format_args!("the output of {}: {error}", call.step())))
}

fn output<O: Serialize>(output: &O) -> Result<Payload> {
    Ok(payload::encode(output)?)
}
