//! What the derives know of an enum: its names, and the forms of its data.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aggregate::variant;
use crate::bindings::imports::amends::module::types::Payload;
use crate::payload;

/// The commands of an aggregate: an enum with [`#[derive(Command)]`](derive@crate::Command).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no enum of commands",
    label = "add `#[derive(amends_sdk::Command, serde::Deserialize)]` to it"
)]
pub trait Commands: DeserializeOwned + 'static {
    /// Whose commands the enum says that they are.
    #[doc(hidden)]
    const AGGREGATE: Option<&'static str>;

    #[doc(hidden)]
    const COMMANDS: &'static [CommandSpec];

    /// Which of them this is.
    #[doc(hidden)]
    fn index(&self) -> usize;
}

/// The events of an aggregate: an enum with [`#[derive(Event)]`](derive@crate::Event).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no enum of events",
    label = "add `#[derive(amends_sdk::Event, serde::Serialize, serde::Deserialize)]` to it"
)]
pub trait Events: Serialize + DeserializeOwned + 'static {
    /// Whose events the enum says that they are.
    #[doc(hidden)]
    const AGGREGATE: Option<&'static str>;

    #[doc(hidden)]
    const EVENTS: &'static [EventSpec<Self>];

    /// Which of them this is.
    #[doc(hidden)]
    fn index(&self) -> usize;
}

/// A command, by its variant.
#[derive(Clone, Copy, Debug)]
pub struct CommandSpec {
    /// Its name.
    pub name: &'static str,
    /// Whether there must be an aggregate before it.
    pub on: Presence,
}

/// Whether there must be an aggregate before a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// There may be one.
    Any,
    /// There must be none.
    New,
    /// There must be one.
    Existing,
}

/// An event, by its variant.
#[derive(Debug)]
pub struct EventSpec<E: 'static> {
    /// Its name, without the aggregate's.
    pub name: &'static str,
    /// The form in which it is recorded.
    pub version: u32,
    /// Whether it holds nothing.
    pub is_unit: bool,
    /// For each older form, in their order, how the event is made of its data.
    pub from: &'static [Upcast<E>],
}

/// Makes an event of the JSON text of an older form.
pub type Upcast<E> = fn(&str) -> Result<E, String>;

/// What a function that reads an older form returns: the enum of events, or a `Result` of it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no `{E}`",
    label = "a function that reads an older form of an event returns `{E}`, or a `Result` of it"
)]
pub trait Upcasted<E> {
    #[doc(hidden)]
    fn into_result(self) -> Result<E, String>;
}

impl<E: Events> Upcasted<E> for E {
    fn into_result(self) -> Result<E, String> {
        Ok(self)
    }
}

impl<E: Events, X: fmt::Display> Upcasted<E> for Result<E, X> {
    fn into_result(self) -> Result<E, String> {
        self.map_err(|error| error.to_string())
    }
}

/// Reads data of an older form, and makes the event of it.
pub fn upcast<E, Old, New, From>(from: From, data: &str) -> Result<E, String>
where
    Old: DeserializeOwned,
    New: Upcasted<E>,
    From: Fn(Old) -> New,
{
    let old = serde_json::from_str(data).map_err(|error| error.to_string())?;
    from(old).into_result()
}

impl<E: Events> EventSpec<E> {
    /// The event, of data in the form of this version.
    pub(crate) fn read(&self, index: usize, version: u32, data: &str) -> Result<E, String> {
        let older = version.checked_sub(1).and_then(|older| self.from.get(usize::try_from(older).ok()?));
        let event = match older {
            Some(upcast) => upcast(data)?,
            None if version == self.version => variant::read(index, data).map_err(|error| error.to_string())?,
            None if self.version == 1 => return Err("this module reads its version 1".to_owned()),
            None => return Err(format!("this module reads its versions 1 to {}", self.version)),
        };
        match event.index() {
            same if same == index => Ok(event),
            other => Err(format!("the function that reads version {version} made an event `{}` of it", E::EVENTS[other].name)),
        }
    }
}

/// The event of this type, as `customer.opened`, with its number.
pub(crate) fn spec_of<E: Events>(aggregate: &str, event_type: &str) -> Result<(usize, &'static EventSpec<E>), String> {
    let name = event_type.strip_prefix(aggregate).and_then(|rest| rest.strip_prefix('.'));
    let found = E::EVENTS.iter().enumerate().find(|(_, spec)| Some(spec.name) == name);
    found.ok_or_else(|| "this module has no such event".to_owned())
}

/// An event as it was recorded, in any form that is read; none if its data was erased.
pub(crate) fn recorded<E: Events>(
    aggregate: &str,
    event_type: &str,
    version: u32,
    data: Option<&Payload>,
) -> Result<Option<E>, String> {
    let (index, spec) = spec_of::<E>(aggregate, event_type)?;
    match data {
        Some(data) => spec.read(index, version, payload::text(data)?).map(Some),
        // It holds nothing that could have been erased.
        None if spec.is_unit => spec.read(index, spec.version, "null").map(Some),
        None => Ok(None),
    }
}
