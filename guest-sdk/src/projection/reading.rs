//! Which events a projection reads.

use crate::Events;
use crate::recorded::Raw;
use crate::stop::Failure;

/// Events that are taken in one way.
pub(super) struct Reading<B> {
    pub(super) types: Vec<Type>,
    pub(super) take: Box<TakingRaw<B>>,
}

type TakingRaw<B> = dyn Fn(&mut B, &Raw) -> Result<Taken, Failure>;

/// Events of a type, and the forms of their data that are read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Type {
    pub(crate) name: String,
    pub(crate) versions: Vec<u32>,
}

/// What of an event was taken.
pub(super) enum Taken {
    Whole,
    /// Nothing: its data was erased.
    Erased,
}

/// The events of an enum.
pub(super) fn types_of<E: Events>() -> Vec<Type> {
    const { assert!(E::AGGREGATE.is_some(), "say whose events these are: `#[event(aggregate = \"…\")]` on the enum") };
    let aggregate = E::AGGREGATE.unwrap_or_default();
    let types = E::EVENTS.iter();
    types.map(|spec| Type { name: format!("{aggregate}.{}", spec.name), versions: (1..=spec.version).collect() }).collect()
}

/// Published events of a type.
pub(super) fn published(name: String) -> Vec<Type> {
    vec![Type { name, versions: vec![1] }]
}
