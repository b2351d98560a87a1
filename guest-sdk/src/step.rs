//! Steps: typed functions with their policies, in the form that the host and the test kit run.

mod child;
mod command;
mod each;
mod erased;
pub mod kind;

use std::borrow::Cow;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::saga::exports::amends::module::saga as wit;
use crate::moment::millis;
use crate::stop::Result;
use crate::{Call, Retry};

pub use child::FromParent;
pub use command::{Answered, AnsweredEvent, At, CommandData};
pub use each::Each;
pub(crate) use erased::Erased;
use erased::{input, output, own_output};

/// A step of a saga: a function from the saga's input to the step's output, with its policies.
///
/// `K` is its kind (see [`kind`]), `I` the saga's input, `O` the step's output. A saga accepts a
/// compensatable step only with a compensation: without one, the code does not compile.
///
/// Defaults: each attempt has a deadline of 30 s; the step is retried by [`Retry`], also after an unknown outcome; when the
/// retries are used up, the saga rolls back, or is stuck after the pivot.
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

impl<I, O> Step<kind::WithoutUndo, I, O>
where
    I: DeserializeOwned + 'static,
    O: Serialize + DeserializeOwned + 'static,
{
    /// A step that can be undone, and is undone if a later step fails. It also needs [`undo`](Step::undo) or
    /// [`undo_nothing`](Step::undo_nothing).
    pub fn compensatable(name: impl Into<Cow<'static, str>>, run: impl Fn(I, &Call) -> Result<O> + 'static) -> Self {
        Step::new(name.into(), wit::Kind::Compensatable, run)
    }

    /// Declares that the step has no effect that must be undone.
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
    /// The point of no return: until it is done the saga can be rolled back, and after that it only goes forward.
    ///
    /// A saga has at most one, alone in its stage, after the compensatable steps and before the retriable ones.
    ///
    /// While a pivot may have happened, the saga does not roll back unless the pivot has an [`undo`](Step::undo), which then runs
    /// first. Without one the pivot is retried with the same key. If the participant answers *done*, the saga goes forward. If it
    /// refuses, an earlier attempt whose answer was lost may still have happened, so the saga is stuck until an operator resolves
    /// it. A [`check`](Step::check) avoids this: if it finds that nothing happened, a refusal of the next attempt rolls the saga
    /// back. A check cannot see a request that is still on its way: return [`unknown`](crate::unknown) from it until the
    /// participant would refuse such a request, or give the pivot an undo.
    pub fn pivot(name: impl Into<Cow<'static, str>>, run: impl Fn(I, &Call) -> Result<O> + 'static) -> Self {
        Step::new(name.into(), wit::Kind::Pivot, run)
    }
}

impl<I, O> Step<kind::Retriable, I, O>
where
    I: DeserializeOwned + 'static,
    O: Serialize + DeserializeOwned + 'static,
{
    /// A step after the point of no return: it is tried until it is done, or the saga is stuck.
    pub fn retriable(name: impl Into<Cow<'static, str>>, run: impl Fn(I, &Call) -> Result<O> + 'static) -> Self {
        Step::new(name.into(), wit::Kind::Retriable, run)
    }
}

impl<K, I, O> Step<K, I, O>
where
    I: DeserializeOwned + 'static,
    O: Serialize + DeserializeOwned + 'static,
{
    fn new(name: Cow<'static, str>, kind: wit::Kind, run: impl Fn(I, &Call) -> Result<O> + 'static) -> Self {
        let spec = spec(name.into_owned(), kind, wit::Body::Code);
        let execute = move |call: &Call| output(&run(input(call)?, call)?);
        let erased =
            Erased { spec, execute: vec![Box::new(execute)], compensate: Vec::new(), check: None, child: None, commands: None };
        Step { erased, types: PhantomData }
    }

    /// Adds another way of the step, which is tried when the way before it is refused.
    ///
    /// An alternate has its own key, attempts and retries. If the way before it may have run, that way is undone first. If the
    /// last way is refused, the step is refused. [`Call::alternate`] tells the compensation and the check which way they are for.
    ///
    /// ```
    /// use amends_sdk::testing::given;
    /// use amends_sdk::{Call, Result, Saga, Step, refused};
    ///
    /// fn reserve_h1(nights: u32, _: &Call) -> Result<String> {
    ///     Err(refused("no_room", format_args!("H1 has no room for {nights} nights")))
    /// }
    /// fn reserve_h2(_: u32, _: &Call) -> Result<String> {
    ///     Ok("H2".to_owned())
    /// }
    /// fn cancel(_: u32, hotel: Option<String>, call: &Call) -> Result {
    ///     let hotel = hotel.unwrap_or_else(|| ["H1", "H2"][call.alternate() as usize].to_owned());
    ///     amends_sdk::log::info!("cancels {hotel}");
    ///     Ok(())
    /// }
    ///
    /// let hotel = Step::compensatable("reserve-hotel", reserve_h1).alternate(reserve_h2).undo(cancel);
    /// given(Saga::new("stay").step(hotel)).when(3).then(
    ///     "reserve-hotel refused no_room
    ///      reserve-hotel alternate 1 done
    ///      completed",
    /// );
    /// ```
    pub fn alternate(mut self, run: impl Fn(I, &Call) -> Result<O> + 'static) -> Self
    where
        K: kind::RunsCode,
    {
        let execute = move |call: &Call| output(&run(input(call)?, call)?);
        self.erased.execute.push(Box::new(execute));
        self.erased.spec.alternates += 1;
        self
    }

    /// Declares that the step does not reach outside, so that running it twice is harmless.
    ///
    /// The host refuses its outgoing calls, and needs no disk write before it runs: effect-free steps are fast. The compensation
    /// has its own declaration: [`undo_effect_free`](Step::undo_effect_free).
    pub fn effect_free(mut self) -> Self
    where
        K: kind::RunsCode,
    {
        self.erased.spec.effect_free = true;
        self
    }

    /// Names steps of earlier stages whose outputs come with the call; read them with [`Call::output`].
    pub fn needs<N: Into<String>>(mut self, steps: impl IntoIterator<Item = N>) -> Self
    where
        K: kind::RunsCode,
    {
        self.erased.spec.needs.extend(steps.into_iter().map(Into::into));
        self
    }

    /// The time limit of each attempt, from when its function begins, without waits; 30 s by default, at most an hour. An attempt
    /// that it ends may have happened.
    pub fn deadline(mut self, deadline: Duration) -> Self
    where
        K: kind::RunsCode,
    {
        self.erased.spec.deadline_ms = millis(deadline);
        self
    }

    /// How often and how long the step is retried.
    pub fn retry(mut self, retry: Retry) -> Self
    where
        K: kind::RunsCode,
    {
        self.erased.spec.retry = retry.0;
        self
    }

    /// Stops for an operator, instead of rolling back, when the retries are used up.
    pub fn stuck_when_exhausted(mut self) -> Self
    where
        K: kind::RunsCode,
    {
        self.erased.spec.on_exhausted = wit::OnExhausted::Stuck;
        self
    }

    /// Calls this function after an unknown outcome, to find out what happened before the step is retried.
    ///
    /// It returns the output if the step happened, none if the step did not happen and will not happen, and any
    /// [`Stop`](crate::Stop) if it does not know yet. The host allows it only safe HTTP methods, so that it changes nothing.
    ///
    /// After none, the step may be tried again. A step with a compensation is still undone in a rollback, because a lost request
    /// may arrive late; for a step without one the host relies on this answer. So return [`unknown`](crate::unknown) as long as
    /// the participant might still accept an earlier request.
    pub fn check(mut self, check: impl Fn(I, &Call) -> Result<Option<O>> + 'static) -> Self
    where
        K: kind::RunsCode,
    {
        let check = move |call: &Call| check(input(call)?, call)?.as_ref().map(output).transpose();
        self.erased.check = Some(Box::new(check));
        self.erased.spec.on_unknown = wit::OnUnknown::Check;
        self
    }

    /// Never runs the step again once it may have happened: stops for an operator.
    pub fn once_then_stop(mut self) -> Self
    where
        K: kind::RunsCode,
    {
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

    /// The compensation: undoes the effect of the step by a new action on the current state.
    ///
    /// It receives the input and, if it is known, the step's output. It must succeed when there is nothing to undo, because it
    /// also runs if the step may have run. It cannot refuse; it is tried 20 times by default, then the saga is stuck.
    pub fn undo(mut self, undo: impl Fn(I, Option<O>, &Call) -> Result + 'static) -> Step<K::Undoable, I, O>
    where
        K: kind::TakesUndo,
    {
        let compensate = move |call: &Call| undo(input(call)?, own_output(call)?, call);
        self.erased.compensate.push(Box::new(compensate));
        let policy = wit::UndoPolicy { retry: Retry::until_stuck().0, deadline_ms: 30_000, alternates: 0, effect_free: false };
        self.erased.spec.undo = wit::Undo::Code(policy);
        self.into_kind()
    }

    /// Adds another way of the compensation, which is tried when the way before it has used up its retries.
    ///
    /// It has its own key, attempts and retries, and the same policy.
    ///
    /// ```
    /// use amends_sdk::testing::given;
    /// use amends_sdk::{Call, Result, Retry, Saga, Step, refused, transient};
    ///
    /// fn cancel_online(_: (), _: Option<()>, _: &Call) -> Result {
    ///     Err(transient("offline", "their API is down"))
    /// }
    /// fn cancel_by_mail(_: (), _: Option<()>, _: &Call) -> Result {
    ///     Ok(())
    /// }
    ///
    /// let hotel = Step::compensatable("reserve-hotel", |(), _| Ok(()))
    ///     .undo(cancel_online)
    ///     .undo_alternate(cancel_by_mail)
    ///     .undo_retry(Retry::attempts(3));
    /// let charge = Step::pivot("charge", |(), _| Err::<(), _>(refused("no_funds", "the account is empty")));
    /// given(Saga::new("stay").step(hotel).step(charge)).when(()).then(
    ///     "reserve-hotel done
    ///      charge refused no_funds
    ///      undo reserve-hotel transient offline ×3
    ///      undo reserve-hotel by alternate 1 done
    ///      compensated no_funds",
    /// );
    /// ```
    pub fn undo_alternate(mut self, undo: impl Fn(I, Option<O>, &Call) -> Result + 'static) -> Self
    where
        K: kind::HasUndo,
    {
        let compensate = move |call: &Call| undo(input(call)?, own_output(call)?, call);
        self.erased.compensate.push(Box::new(compensate));
        if let wit::Undo::Code(policy) = &mut self.erased.spec.undo {
            policy.alternates += 1;
        }
        self
    }

    /// How often and how long the compensation is retried before the saga is stuck.
    pub fn undo_retry(mut self, retry: Retry) -> Self
    where
        K: kind::HasUndo,
    {
        if let wit::Undo::Code(policy) = &mut self.erased.spec.undo {
            policy.retry = retry.0;
        }
        self
    }

    /// The time limit of each attempt of the compensation; 30 s by default.
    pub fn undo_deadline(mut self, deadline: Duration) -> Self
    where
        K: kind::HasUndo,
    {
        if let wit::Undo::Code(policy) = &mut self.erased.spec.undo {
            policy.deadline_ms = millis(deadline);
        }
        self
    }

    /// Declares that the compensation does not reach outside, as [`effect_free`](Step::effect_free) declares it of the step.
    ///
    /// `deploy` warns if only one of the two is declared: a step that reaches nothing outside has nothing outside to undo, and an
    /// effect outside cannot be undone by code that reaches nothing outside.
    pub fn undo_effect_free(mut self) -> Self
    where
        K: kind::HasUndo,
    {
        if let wit::Undo::Code(policy) = &mut self.erased.spec.undo {
            policy.effect_free = true;
        }
        self
    }

    fn into_kind<L>(self) -> Step<L, I, O> {
        Step { erased: self.erased, types: PhantomData }
    }
}

impl<K: kind::Complete, I, O> Step<K, I, O> {
    pub(crate) fn erase(self) -> Rc<Erased> {
        Rc::new(self.erased)
    }
}

/// A step with the defaults of its kind.
fn spec(name: String, kind: wit::Kind, body: wit::Body) -> wit::Step {
    let (retry, on_exhausted) = match kind {
        wit::Kind::Compensatable | wit::Kind::Pivot => (Retry::default().0, wit::OnExhausted::Rollback),
        wit::Kind::Retriable => (Retry::until_stuck().0, wit::OnExhausted::Stuck),
    };
    wit::Step {
        name,
        kind,
        body,
        effect_free: false,
        needs: Vec::new(),
        retry,
        deadline_ms: 30_000,
        on_unknown: wit::OnUnknown::Retry,
        on_exhausted,
        alternates: 0,
        undo: wit::Undo::None,
        each: None,
    }
}
