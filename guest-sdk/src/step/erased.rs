//! A step without its types: what the exports and the test kit run.

use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::imports::amends::module::types::Payload;
use crate::bindings::saga::exports::amends::module::saga as wit;
use crate::saga::Definition;
use crate::stop::{Failure, Result, Stop, refused, transient};
use crate::{Call, payload};

/// A step without its types: payloads in and out.
pub(crate) struct Erased {
    pub(crate) spec: wit::Step,
    /// The first way of doing it, then its alternates; none for a child.
    pub(super) execute: Vec<Box<Execute>>,
    /// The first way of undoing it, then its alternates.
    pub(super) compensate: Vec<Box<Compensate>>,
    pub(super) check: Option<Box<Check>>,
    /// The saga that runs in place of a function.
    pub(crate) child: Option<Rc<Definition>>,
    /// The commands of the aggregate to which the step's command is sent, if they are known.
    #[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "the rules of the test kit ask for it"))]
    pub(crate) commands: Option<Vec<&'static str>>,
}

pub(super) type Execute = dyn Fn(&Call) -> Result<Payload>;
pub(super) type Compensate = dyn Fn(&Call) -> Result;
pub(super) type Check = dyn Fn(&Call) -> Result<Option<Payload>>;

impl Erased {
    pub(crate) fn execute(&self, call: &Call) -> wit::Outcome {
        let result = match alternate(&self.execute, call.raw.alternate) {
            Some(execute) => execute(call),
            None => Err(no_such_alternate(call)),
        };
        match result {
            Ok(output) => wit::Outcome::Done(output),
            Err(Stop::Refused(failure)) => wit::Outcome::Refused(failure.into()),
            Err(Stop::Transient(failure)) => wit::Outcome::Transient(failure.into()),
            Err(Stop::Unknown(failure)) => wit::Outcome::Unknown(failure.into()),
            Err(Stop::Wait(wait)) => wit::Outcome::Wait(wait.into()),
        }
    }

    pub(crate) fn compensate(&self, call: &Call) -> wit::UndoOutcome {
        let result = match alternate(&self.compensate, call.raw.undo_alternate) {
            Some(compensate) => compensate(call),
            None => Err(no_such_alternate(call)),
        };
        match result {
            Ok(()) => wit::UndoOutcome::Done,
            Err(Stop::Refused(failure) | Stop::Transient(failure)) => wit::UndoOutcome::Transient(failure.into()),
            Err(Stop::Unknown(failure)) => wit::UndoOutcome::Unknown(failure.into()),
            Err(Stop::Wait(wait)) => wit::UndoOutcome::Wait(wait.into()),
        }
    }

    pub(crate) fn check(&self, call: &Call) -> wit::CheckOutcome {
        let result = match &self.check {
            Some(check) => check(call),
            None => Err(refused("no_check", "this step has no check")),
        };
        match result {
            Ok(Some(output)) => wit::CheckOutcome::Done(output),
            Ok(None) => wit::CheckOutcome::NotDone,
            Err(Stop::Refused(failure) | Stop::Transient(failure) | Stop::Unknown(failure)) => {
                wit::CheckOutcome::Unknown(failure.into())
            }
            Err(Stop::Wait(_)) => {
                wit::CheckOutcome::Unknown(Failure::new("check_waits", "a check cannot wait; answer unknown instead").into())
            }
        }
    }
}

fn alternate<T>(ways: &[T], index: u32) -> Option<&T> {
    ways.get(usize::try_from(index).ok()?)
}

/// The host calls what `describe` counted, so this is a fault of the host and never a decision.
fn no_such_alternate(call: &Call) -> Stop {
    let (forward, undo) = (call.alternate(), call.undo_alternate());
    transient("no_such_alternate", format_args!("step {} has no alternate {forward}, undone by {undo}", call.step()))
}

/// The same input never fits better later, and nothing has happened yet: refused.
pub(super) fn input<I: DeserializeOwned>(call: &Call) -> Result<I> {
    payload::decode(&call.raw.input).map_err(|error| refused("bad_input", error))
}

pub(super) fn own_output<O: DeserializeOwned>(call: &Call) -> Result<Option<O>> {
    let decoded = call.raw.own_output.as_ref().map(payload::decode).transpose();
    decoded.map_err(|error| refused("bad_output", format_args!("the output of {}: {error}", call.step())))
}

pub(super) fn output<O: Serialize>(output: &O) -> Result<Payload> {
    Ok(payload::encode(output)?)
}
