//! The output of a step with `each` and `collect`: every element, done or refused.

use serde::{Deserialize, Serialize};

use crate::stop::Failure;

/// The output of a step with [`each`](crate::Step::each) and [`collect`](crate::Each::collect): the result of every element.
///
/// ```
/// use amends_sdk::{Call, Collected, Result};
///
/// fn report(_: (), call: &Call) -> Result<String> {
///     let check_outs: Collected<u32> = call.output("check-out")?;
///     Ok(format!("{} done, {} refused", check_outs.done.len(), check_outs.refused.len()))
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Collected<O> {
    /// The elements that are done, in the order of the list.
    pub done: Vec<Done<O>>,
    /// The elements that were refused, in the order of the list.
    pub refused: Vec<Refused>,
}

/// An element that is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done<O> {
    /// The element's key; its index, if the step names none.
    pub key: String,
    /// The output of the step for it.
    pub output: O,
}

/// An element that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The element's key; its index, if the step names none.
    pub key: String,
    /// Why it was refused.
    pub failure: Failure,
}
