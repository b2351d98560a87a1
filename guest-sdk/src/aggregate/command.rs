//! A command as it was sent, and functions that decide.

use std::rc::Rc;

use crate::Decision;
use crate::bindings::aggregates::exports::amends::module::aggregate as wit;

/// What an aggregate knows of a command in addition to its name and data: to whom it was sent, by whom, and under which id.
///
/// A `decide` function that has a third argument receives it. The time is [`context::now`](crate::context::now).
///
/// ```
/// use amends_sdk::{Command, Decision, Event, accept, context, refuse};
/// use serde::{Deserialize, Serialize};
/// # #[derive(Default)] struct Account;
///
/// #[derive(Command, Deserialize)]
/// enum Do { Close }
///
/// #[derive(Event, Serialize, Deserialize)]
/// enum Did { Closed { by: String, at: amends_sdk::Moment } }
///
/// fn decide(_: &Account, Do::Close: Do, command: &Command) -> Decision<Did> {
///     match command.actor() {
///         "token:guest" => refuse("forbidden", format_args!("a guest cannot close {}", command.aggregate_id())),
///         actor => accept(Did::Closed { by: actor.to_owned(), at: context::now() }),
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Command {
    aggregate_id: Rc<str>,
    id: String,
    actor: String,
}

impl Command {
    pub(crate) fn new(aggregate_id: &Rc<str>, command: &wit::Command) -> Command {
        Command { aggregate_id: aggregate_id.clone(), id: command.id.clone(), actor: command.actor.clone() }
    }

    /// The id of the aggregate.
    pub fn aggregate_id(&self) -> &str {
        &self.aggregate_id
    }

    /// The command's id: the same when it is sent again under the same key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Who sent it, as the host knows it: `local`, `token:…`, or `host`.
    pub fn actor(&self) -> &str {
        &self.actor
    }
}

/// A function that decides: `fn(&State, Commands) -> Decision<Events>`, or with a `&`[`Command`] as third argument.
#[diagnostic::on_unimplemented(
    message = "this does not decide the commands of an aggregate",
    label = "not a `fn(&State, Commands) -> Decision<Events>`, nor one with `&amends_sdk::Command` as third argument"
)]
pub trait Decide<S, C, E, Arguments> {
    #[doc(hidden)]
    fn decide(&self, state: &S, command: C, sent: &Command) -> Decision<E>;
}

/// The state and the command.
pub struct Two;

/// The state, the command, and how it was sent.
pub struct Three;

impl<S, C, E, F: Fn(&S, C) -> Decision<E>> Decide<S, C, E, Two> for F {
    fn decide(&self, state: &S, command: C, _: &Command) -> Decision<E> {
        self(state, command)
    }
}

impl<S, C, E, F: Fn(&S, C, &Command) -> Decision<E>> Decide<S, C, E, Three> for F {
    fn decide(&self, state: &S, command: C, sent: &Command) -> Decision<E> {
        self(state, command, sent)
    }
}
