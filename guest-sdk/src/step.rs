//! Steps: typed functions and the policy around them, made into what the host and the test kit run.

mod child;
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
pub use each::Each;
pub(crate) use erased::Erased;
use erased::{input, output, own_output};

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
    ///
    /// While a pivot may have happened, the saga does not roll back unless the pivot has an [`undo`](Step::undo), which runs first.
    /// Without one it is tried again with the same key, and what the participant answers to that decides only if it is done. A refusal
    /// says nothing of an attempt before it whose answer was lost: then the saga is stuck, and an operator says what happened. A
    /// [`check`](Step::check) spares that. If it finds that nothing happened, the doubt is gone, and a refusal of the next attempt rolls
    /// the saga back. What no check can know is a request that is still on its way: let it answer [`unknown`](crate::unknown) until the
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
    /// A step after the point of no return: it is tried until it is done, and the saga is stuck if it cannot be.
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
        let erased = Erased { spec, execute: vec![Box::new(execute)], compensate: Vec::new(), check: None, child: None };
        Step { erased, types: PhantomData }
    }

    /// Adds another way of doing the step, tried when the one before it is refused. Several are tried in their order.
    ///
    /// An alternate has its own key, attempts and retries. If the way before it may have run, that one is undone to its end
    /// first. When the last one is refused, the step is. Undo and check learn from [`Call::alternate`] which one they are for.
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
    /// The host refuses its outgoing calls, and needs no disk write before it runs: effect-free steps are fast. Of the undo this says
    /// nothing: see [`undo_effect_free`](Step::undo_effect_free).
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

    /// Bounds each attempt; 30 s by default, at most an hour, waits excluded. What ends here may have happened.
    pub fn deadline(mut self, deadline: Duration) -> Self
    where
        K: kind::RunsCode,
    {
        self.erased.spec.deadline_ms = millis(deadline);
        self
    }

    /// How often and how long the step is tried.
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

    /// Asks this function what happened when an outcome is unknown, before the step is tried again.
    ///
    /// It gives the output if the step happened, none if it did not and will not, and any [`Stop`](crate::Stop) if it cannot tell yet.
    /// The host lets only safe HTTP methods out of it: it asks, it changes nothing.
    ///
    /// None permits another attempt. A step that has an undo is undone in a rollback all the same, because a lost request may arrive
    /// late; a step without one is taken at the function's word. So answer [`unknown`](crate::unknown) as long as the participant
    /// might still take an earlier request.
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

    /// The compensation: undoes what the step did by a new action against today's state.
    ///
    /// It gets the input and, if it is known, the step's output, and must tolerate that nothing happened: it runs when the
    /// step is done and also when it only may have run. It cannot refuse; it is tried 20 times by default, then the saga is stuck.
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

    /// Adds another way of undoing the step, tried when the one before it has used up its retries, and before the saga is stuck.
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

    /// Declares that the compensation does not reach outside. Otherwise as [`effect_free`](Step::effect_free), which says nothing of it.
    ///
    /// `deploy` warns where only one of the two is said: what reaches nowhere leaves nothing outside to undo, and what does is not
    /// undone by code that does not.
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
