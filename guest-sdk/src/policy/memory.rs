//! What a policy remembers, and the forms in which it was kept.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::imports::amends::module::types::Payload;
use crate::bindings::policies::exports::amends::module::policy as wit;
use crate::payload;
use crate::stop::Failure;

/// What a policy remembers: nothing, [`Stateless`], or a state for each key, [`Keeping`].
pub trait Memory: 'static {
    #[doc(hidden)]
    type State: Default + Serialize + DeserializeOwned + 'static;
}

/// A policy that remembers nothing: [`Policy::stateless`](crate::Policy::stateless).
pub struct Stateless;

/// A policy that keeps an `S` for each key: [`Policy::keeping`](crate::Policy::keeping).
pub struct Keeping<S>(PhantomData<fn() -> S>);

impl Memory for Stateless {
    type State = ();
}

impl<S: Default + Serialize + DeserializeOwned + 'static> Memory for Keeping<S> {
    type State = S;
}

/// What a function returns that reads an older form of a state: the state, or a `Result` of it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no `{S}`",
    label = "a function that reads an older form of the state returns `{S}`, or a `Result` of it"
)]
pub trait IntoState<S> {
    #[doc(hidden)]
    fn into_state(self) -> Result<S, String>;
}

impl<S> IntoState<S> for S {
    fn into_state(self) -> Result<S, String> {
        Ok(self)
    }
}

impl<S, X: fmt::Display> IntoState<S> for Result<S, X> {
    fn into_state(self) -> Result<S, String> {
        self.map_err(|error| error.to_string())
    }
}

/// The form in which a state is kept, and the older ones that are read.
pub(super) struct Forms<S> {
    pub(super) version: u32,
    reads: Vec<(u32, Box<Reading<S>>)>,
}

type Reading<S> = dyn Fn(&Payload) -> Result<S, String>;

impl<S: 'static> Forms<S> {
    pub(super) fn first() -> Forms<S> {
        Forms { version: 1, reads: Vec::new() }
    }

    pub(super) fn read<Old: DeserializeOwned + 'static, R: IntoState<S>>(
        &mut self,
        version: u32,
        from: impl Fn(Old) -> R + 'static,
    ) {
        let read = move |data: &Payload| {
            let old = payload::decode(data).map_err(|error| error.to_string())?;
            from(old).into_state()
        };
        self.reads.push((version, Box::new(read)));
    }

    pub(super) fn spec(&self) -> wit::StateForm {
        wit::StateForm { version: self.version, reads: self.reads.iter().map(|(version, _)| *version).collect() }
    }
}

impl<S: Default + Serialize + DeserializeOwned + 'static> Forms<S> {
    /// The state of an instance; one that begins has none.
    pub(super) fn load(&self, kept: Option<&wit::State>) -> Result<S, Failure> {
        let Some(wit::State { version, data }) = kept else { return Ok(S::default()) };
        let unreadable =
            |why: String| Failure::new("unreadable_state", format_args!("its state of version {version} cannot be read: {why}"));
        if *version == self.version {
            return payload::decode(data)
                .map_err(|error| unreadable(format!("{error}; raise `state_version` when the state changes")));
        }
        match self.reads.iter().find(|(older, _)| older == version) {
            Some((_, read)) => read(data).map_err(unreadable),
            None => Err(unreadable(format!("this module reads its version {}", self.version))),
        }
    }

    /// The state, if it is another one than was kept.
    pub(super) fn changed(&self, kept: Option<&wit::State>, state: &S) -> Result<Option<Payload>, Failure> {
        let data = payload::encode(state)
            .map_err(|error| Failure::new("bad_state", format_args!("its state does not serialize: {error}")))?;
        let same = kept.is_some_and(|kept| kept.version == self.version && kept.data == data);
        Ok((!same).then_some(data))
    }
}
