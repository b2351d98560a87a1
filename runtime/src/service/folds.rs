//! The states of aggregates as they are committed, computed by their modules: guests run for a reader as they do for the engine.

use std::sync::Arc;

use amends_core::value::{Failure, Payload};

use super::{alone, patience::patiently, reader::Committed};
use crate::engine::{
    driver::Clock,
    guests::{CallFault, GuestCall, GuestReport, Guests},
    refusal::{Refusal, RefusalCode},
};

/// Folds events for readers. Cloning shares the guests.
#[derive(Clone)]
pub struct Folds {
    guests: Arc<dyn Guests>,
    clock: Clock,
}

impl Folds {
    /// Folds with these guests.
    pub fn new(guests: Arc<dyn Guests>, clock: Clock) -> Self {
        Self { guests, clock }
    }

    /// Computes the state of an aggregate, page by page. Afterwards it is there.
    pub async fn complete(&self, mut aggregate: Committed) -> Result<Committed, Refusal> {
        while let Some((revision, call)) = aggregate.next_fold((self.clock)()) {
            let state = self.run(call).await.map_err(|fault| refused(&aggregate, &fault))?;
            aggregate.folded(revision, state);
        }
        Ok(aggregate)
    }

    /// The state of an aggregate that has events, or why the code makes none. While the host has no room, it is asked again.
    pub(super) async fn state(&self, aggregate: Committed) -> Result<Result<Payload, String>, Refusal> {
        match patiently(|| self.complete(aggregate.clone())).await {
            Ok(folded) => Ok(folded.state().cloned().ok_or_else(|| "it has no events".to_owned())),
            Err(refusal) if refusal.code == RefusalCode::GuestFailed => Ok(Err(refusal.message)),
            Err(refusal) => Err(refusal),
        }
    }

    async fn run(&self, call: GuestCall) -> Result<Payload, CallFault> {
        match alone::call(self.guests.as_ref(), call).await {
            Some(GuestReport::Folded(said)) => said,
            Some(_) | None => Err(CallFault { failure: Failure::new("stopping", "the host is stopping"), is_hosts: true }),
        }
    }
}

fn refused(aggregate: &Committed, fault: &CallFault) -> Refusal {
    let Committed { module, version, .. } = aggregate;
    let (code, message) = (&fault.failure.code, &fault.failure.message);
    match fault.is_hosts {
        true => Refusal::new(RefusalCode::Overloaded, format!("the host could not ask `{module}` for the state: {message}")),
        false => {
            let said = format!("`{module}` v{version} cannot fold the events: {message} ({code})");
            Refusal::new(RefusalCode::GuestFailed, said).hint("activate a version that can; nothing of the aggregate is lost")
        }
    }
}
