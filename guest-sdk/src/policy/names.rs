//! Names that a policy lists: of types of events, of commands, of sagas.

use crate::Events;

/// Names: a text, or an array or a `Vec` of texts.
#[diagnostic::on_unimplemented(message = "`{Self}` is no list of names", label = "not a text, and no array or `Vec` of texts")]
pub trait Names {
    #[doc(hidden)]
    fn names(self) -> Vec<String>;
}

impl Names for &str {
    fn names(self) -> Vec<String> {
        vec![self.to_owned()]
    }
}

impl Names for String {
    fn names(self) -> Vec<String> {
        vec![self]
    }
}

impl<T: Into<String>, const N: usize> Names for [T; N] {
    fn names(self) -> Vec<String> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<T: Into<String>> Names for Vec<T> {
    fn names(self) -> Vec<String> {
        self.into_iter().map(Into::into).collect()
    }
}

/// The types of an enum's events, as `order.created`, each with the forms that are read.
pub(super) fn types_of<E: Events>() -> Vec<(String, Vec<u32>)> {
    let aggregate = E::AGGREGATE.unwrap_or_default();
    E::EVENTS.iter().map(|spec| (format!("{aggregate}.{}", spec.name), (1..=spec.version).collect())).collect()
}
