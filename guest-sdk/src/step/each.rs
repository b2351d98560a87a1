//! Fan-out: a step for each element of a list that is known only when the saga runs.

use std::marker::PhantomData;

use super::{Step, kind};
use crate::bindings::saga::exports::amends::module::saga as wit;

/// How a step runs for each element of a list: where the list is, what names an element, what a refusal means, how many at once.
///
/// ```
/// use amends_sdk::Each;
///
/// // The list at `stays` of the saga's input, ten at once, each known by its `id`.
/// let stays = Each::in_input("/stays").key("/id").concurrency(10);
/// // The output of the step `plan`, which is a list, each known by its place in it.
/// let rooms = Each::in_output("plan", "").collect();
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "it says nothing until a step has it"]
pub struct Each(wit::Each);

impl Each {
    /// The list at this JSON pointer of the saga's input: `/stays`, or an empty text if the input is the list.
    pub fn in_input(pointer: &str) -> Each {
        Each::at(format!("/input{pointer}"))
    }

    /// The list at this JSON pointer of the output of a step of an earlier stage, or an empty text if the output is the list.
    /// The step need not be named in `needs`.
    pub fn in_output(step: &str, pointer: &str) -> Each {
        Each::at(format!("/outputs/{step}{pointer}"))
    }

    fn at(items: String) -> Each {
        Each(wit::Each { items, key: None, mode: wit::EachMode::FailFast, concurrency: 16 })
    }

    /// The JSON pointer into an element to what names it, a text of 1 to 256 bytes or a number: `/id`, or an empty pointer if the
    /// element is its own name. It is in the element's path, `check-out[s1]`, and in [`Call::element`](crate::Call::element).
    ///
    /// Without it the element's name is its index. Equal elements with equal keys are one; different ones refuse the step. A number
    /// is spelled in one way, however the list spells it: `1.0` and `1e0` are the key `1`.
    pub fn key(mut self, pointer: impl Into<String>) -> Each {
        self.0.key = Some(pointer.into());
        self
    }

    /// One refused element refuses the step; this is the default. The step's output is a list of the elements' outputs.
    pub fn fail_fast(mut self) -> Each {
        self.0.mode = wit::EachMode::FailFast;
        self
    }

    /// A refused element is a result: the step is done when every element is done or refused. Its output is a
    /// [`Collected`](crate::Collected). Not for a [child](Step::child), which is rolled back with its saga when it is refused.
    ///
    /// Nothing of a refused element stands: one that may have run in an earlier attempt is undone first. If it has no
    /// compensation, it is stuck until an operator says what happened.
    pub fn collect(mut self) -> Each {
        self.0.mode = wit::EachMode::Collect;
        self
    }

    /// How many elements may have begun and not ended, at least 1; 16 by default.
    pub fn concurrency(mut self, concurrency: u32) -> Each {
        self.0.concurrency = concurrency.max(1);
        self
    }
}

impl<K: kind::FansOut, E, O> Step<K, E, O> {
    /// Runs the step for each element of a list: its function, undo, check and alternates get the element in place of the
    /// saga's input. So what is said of one element comes before this, and this comes last.
    ///
    /// Elements have their own keys, attempts and outcomes. A rollback undoes those that are done or may have run. More than
    /// 100,000 of them, or no list at all, refuse the step. What the elements have in common they get from an earlier step, with
    /// [`needs`](Step::needs), or [`with_outputs_of`](Step::with_outputs_of) in a child.
    ///
    /// ```
    /// use amends_sdk::testing::given;
    /// use amends_sdk::{Call, Collected, Each, Result, Saga, Step, refused};
    /// use serde::{Deserialize, Serialize};
    /// use serde_json::json;
    ///
    /// #[derive(Deserialize)]
    /// struct Group {}
    ///
    /// #[derive(Deserialize)]
    /// struct Stay { id: String, balance_cents: i64 }
    ///
    /// fn check_out(stay: Stay, _: &Call) -> Result<String> {
    ///     match stay.balance_cents {
    ///         0 => Ok(format!("bill of {}", stay.id)),
    ///         _ => Err(refused("balance_not_settled", format_args!("{} is not settled", stay.id))),
    ///     }
    /// }
    ///
    /// let check_outs = Step::retriable("check-out", check_out).each(Each::in_input("/stays").key("/id").collect());
    /// let group: Saga<Group> = Saga::new("group").step(check_outs);
    ///
    /// let run = given(group)
    ///     .when(json!({"stays": [{"id": "s1", "balance_cents": 0}, {"id": "s2", "balance_cents": 50}]}))
    ///     .then(
    ///         "check-out[s1] done
    ///          check-out[s2] refused balance_not_settled
    ///          completed",
    ///     );
    /// let collected: Collected<String> = run.output();
    /// assert_eq!((collected.done[0].key.as_str(), collected.done[0].output.as_str()), ("s1", "bill of s1"));
    /// assert_eq!((collected.refused[0].key.as_str(), collected.refused[0].failure.code.as_str()), ("s2", "balance_not_settled"));
    /// ```
    ///
    /// ```compile_fail
    /// # use amends_sdk::{Each, Step};
    /// let charge = Step::pivot("charge", |cents: u64, _| Ok(cents));
    /// charge.each::<()>(Each::in_input("/amounts")); // this step cannot run for each element of a list
    /// ```
    pub fn each<I>(mut self, each: Each) -> Step<kind::FannedOut, I, O> {
        self.erased.spec.each = Some(each.0);
        Step { erased: self.erased, types: PhantomData }
    }
}
