//! Children: a saga of the module in place of a step's function.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Erased, Step, kind, spec};
use crate::Saga;
use crate::bindings::saga::exports::amends::module::saga as wit;
use crate::saga::Definition;

impl<I> Step<kind::Child, I, Value> {
    /// A saga in place of a function: a branch of several steps, or a part that has a name of its own.
    ///
    /// Its steps run inside the parent, on the parent's version and under its locks, and are undone with it, in their own reverse order.
    /// Beside others in a [parallel](Saga::parallel) stage it is a branch that no order ties to the other branches. All of its
    /// steps are compensatable, and it has no savepoints. Its input is the parent's, or the element of [`each`](Step::each); its
    /// output is that of the saga, and other steps read it under this step's name.
    ///
    /// The module has the child as a saga too; it need not be added, and may be started alone.
    ///
    /// ```
    /// use amends_sdk::testing::given;
    /// use amends_sdk::{Call, Result, Saga, Step, refused};
    ///
    /// fn take(_: (), _: &Call) -> Result { Ok(()) }
    /// fn full(_: (), _: &Call) -> Result { Err(refused("full", "no room")) }
    /// fn give_back(_: (), _: Option<()>, _: &Call) -> Result { Ok(()) }
    ///
    /// let outbound = Saga::new("outbound")
    ///     .step(Step::compensatable("train", take).undo(give_back))
    ///     .step(Step::compensatable("ferry", take).undo(give_back));
    /// let trip = Saga::new("trip")
    ///     .parallel((
    ///         Step::child("out", outbound),
    ///         Step::compensatable("hotel", take).undo(give_back),
    ///     ))
    ///     .step(Step::pivot("book", full));
    ///
    /// given(trip).when(()).then(
    ///     "out/train done
    ///      hotel done
    ///      out/ferry done
    ///      book refused full
    ///      undo hotel done
    ///      undo out/ferry done
    ///      undo out/train done
    ///      compensated full",
    /// );
    /// ```
    pub fn child(name: impl Into<Cow<'static, str>>, saga: Saga<I>) -> Self {
        Step::of_saga(name.into(), wit::Kind::Compensatable, saga.into_definition())
    }

    /// A saga after the point of no return: all of its steps are retriable. Otherwise as [`child`](Step::child).
    pub fn retriable_child(name: impl Into<Cow<'static, str>>, saga: Saga<I>) -> Self {
        Step::of_saga(name.into(), wit::Kind::Retriable, saga.into_definition())
    }

    fn of_saga(name: Cow<'static, str>, kind: wit::Kind, child: Definition) -> Self {
        let spec = spec(name.into_owned(), kind, wit::Body::Child(child.name.to_string()));
        let (execute, compensate) = (Vec::new(), Vec::new());
        let erased = Erased { spec, execute, compensate, check: None, child: Some(Rc::new(child)), commands: None };
        Step { erased, types: PhantomData }
    }
}

/// The input of a child that gets outputs of its parent's steps too: see [`with_outputs_of`](Step::with_outputs_of).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FromParent<I, O> {
    /// The parent's input, or the element of [`each`](Step::each).
    pub input: I,
    /// The outputs by the names of their steps: a struct with fields of these names, or a map.
    pub outputs: O,
}

impl<I, O> Step<kind::Child, FromParent<I, O>, Value> {
    /// Gives the child outputs of earlier stages of its parent, beside its input.
    ///
    /// ```
    /// use amends_sdk::testing::given;
    /// use amends_sdk::{Call, FromParent, Result, Saga, Step};
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize)]
    /// struct Outputs { quote: u32 }
    ///
    /// fn reserve(given: FromParent<String, Outputs>, _: &Call) -> Result<String> {
    ///     Ok(format!("{} for {}", given.input, given.outputs.quote))
    /// }
    /// # fn give_back<I>(_: I, _: Option<String>, _: &Call) -> Result { Ok(()) }
    ///
    /// let rooms = Saga::new("rooms").step(Step::compensatable("reserve", reserve).undo(give_back));
    /// let stay = Saga::new("stay")
    ///     .step(Step::compensatable("quote", |_: String, _| Ok(90)).undo_nothing())
    ///     .step(Step::child("rooms", rooms).with_outputs_of(["quote"]));
    ///
    /// assert_eq!(given(stay).when("H1").output::<String>(), "H1 for 90");
    /// ```
    pub fn with_outputs_of<N: Into<String>>(mut self, steps: impl IntoIterator<Item = N>) -> Step<kind::Child, I, Value> {
        self.erased.spec.needs.extend(steps.into_iter().map(Into::into));
        Step { erased: self.erased, types: PhantomData }
    }
}
