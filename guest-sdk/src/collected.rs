//! What a step with `each` and `collect` returns: every element, done or refused.

use serde::{Deserialize, Serialize};

use crate::stop::Failure;

/// The output of a step with [`each`](crate::Step::each) and [`collect`](crate::Each::collect): what came of every element, in
/// their order. In JSON it is a list of `{"key": "s1", "done": …}` and `{"key": "s2", "refused": {"code": …, "message": …}}`.
///
/// ```
/// use amends_sdk::{Call, Collected, Result};
///
/// fn report(_: (), call: &Call) -> Result<String> {
///     let check_outs: Collected<u32> = call.output("check-out")?;
///     Ok(format!("{} done, {} refused", check_outs.done().count(), check_outs.refused().count()))
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Collected<O> {
    /// What came of each element.
    pub elements: Vec<Element<O>>,
}

/// What came of one element of an [`each`](crate::Step::each).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Element<O> {
    /// The element's key; its index, if the step names none.
    pub key: String,
    /// Its output, or why it was refused.
    #[serde(flatten, with = "Ended", bound(serialize = "O: Serialize", deserialize = "O: Deserialize<'de>"))]
    pub ended: Result<O, Failure>,
}

impl<O> Collected<O> {
    /// The keys and outputs of the elements that are done.
    pub fn done(&self) -> impl Iterator<Item = (&str, &O)> {
        self.elements.iter().filter_map(|element| Some((element.key.as_str(), element.ended.as_ref().ok()?)))
    }

    /// The keys and failures of the elements that were refused.
    pub fn refused(&self) -> impl Iterator<Item = (&str, &Failure)> {
        self.elements.iter().filter_map(|element| Some((element.key.as_str(), element.ended.as_ref().err()?)))
    }
}

/// The words for the two ends.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Result", rename_all = "snake_case")]
enum Ended<O, F> {
    #[serde(rename = "done")]
    Ok(O),
    #[serde(rename = "refused")]
    Err(F),
}
