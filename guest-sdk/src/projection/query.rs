//! Questions about a view, and their answers.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bindings::imports::amends::module::types::Payload;
use crate::payload;
use crate::stop::{Failure, Result, Stop};

/// A function that answers a question: `fn(&View, Parameters) -> Answer`, or without parameters. See
/// [`Projection::query`](crate::Projection::query).
#[diagnostic::on_unimplemented(
    message = "this does not answer a question about `{V}`",
    label = "not a `fn(&{V}, Parameters) -> Answer`, where an answer is an `Option`, a `Vec` or an `amends_sdk::Result`"
)]
pub trait Query<V, Shape> {
    #[doc(hidden)]
    fn answer(&self, view: &V, parameters: &Payload) -> std::result::Result<String, Failure>;
}

/// A function of the view alone.
pub struct One<A>(A);

/// A function of the view and the parameters.
pub struct Two<P, A>(P, A);

impl<V, A: Answer, F: Fn(&V) -> A> Query<V, One<A>> for F {
    fn answer(&self, view: &V, parameters: &Payload) -> std::result::Result<String, Failure> {
        read::<NoParameters>(parameters)?;
        self(view).into_json()
    }
}

impl<V, P: DeserializeOwned, A: Answer, F: Fn(&V, P) -> A> Query<V, Two<P, A>> for F {
    fn answer(&self, view: &V, parameters: &Payload) -> std::result::Result<String, Failure> {
        self(view, read(parameters)?).into_json()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParameters {}

fn read<P: DeserializeOwned>(parameters: &Payload) -> std::result::Result<P, Failure> {
    payload::decode(parameters).map_err(|error| Failure::new("bad_parameters", error))
}

/// What a query returns: an `Option`, a `Vec`, a `serde_json::Value`, or a [`Result`](crate::Result) of anything that serializes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no answer of a query",
    label = "an answer is an `Option`, a `Vec`, a `serde_json::Value`, or an `amends_sdk::Result`: return `Ok(…)`"
)]
pub trait Answer {
    #[doc(hidden)]
    fn into_json(self) -> std::result::Result<String, Failure>;
}

impl<T: Serialize> Answer for Option<T> {
    fn into_json(self) -> std::result::Result<String, Failure> {
        json(&self)
    }
}

impl<T: Serialize> Answer for Vec<T> {
    fn into_json(self) -> std::result::Result<String, Failure> {
        json(&self)
    }
}

impl Answer for Value {
    fn into_json(self) -> std::result::Result<String, Failure> {
        json(&self)
    }
}

impl<T: Serialize> Answer for Result<T> {
    fn into_json(self) -> std::result::Result<String, Failure> {
        match self {
            Ok(answer) => json(&answer),
            Err(Stop::Refused(failure) | Stop::Transient(failure) | Stop::Unknown(failure)) => Err(failure),
            Err(Stop::Wait(wait)) => Err(Failure::new("waits", format_args!("a query does not wait for {wait}"))),
        }
    }
}

fn json(answer: &impl Serialize) -> std::result::Result<String, Failure> {
    serde_json::to_string(answer).map_err(|error| Failure::new("bad_answer", format_args!("it does not serialize: {error}")))
}

/// A query without the types of its parameters and its answer.
pub(super) trait Asking<V> {
    fn ask(&self, view: &V, parameters: &Payload) -> std::result::Result<String, Failure>;
}

struct Boxed<Q, Shape>(Q, PhantomData<fn() -> Shape>);

impl<V, Shape, Q: Query<V, Shape>> Asking<V> for Boxed<Q, Shape> {
    fn ask(&self, view: &V, parameters: &Payload) -> std::result::Result<String, Failure> {
        self.0.answer(view, parameters)
    }
}

pub(super) fn boxed<V: 'static, Shape: 'static>(query: impl Query<V, Shape> + 'static) -> Box<dyn Asking<V>> {
    Box::new(Boxed(query, PhantomData))
}
