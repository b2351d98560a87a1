//! `amends retry`: begins a new attempt now.

use amends_wire::{
    job::{JobArgs, JobVerb},
    saga::Saga,
    verb,
};
use anyhow::Result;
use clap::Args;

use super::{
    act::{Asks, Common, Revision, act},
    exit::Exit,
    many::Many,
    session::Session,
};

/// Begin a new attempt of stuck or delayed steps now, with all attempts available.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  amends retry T1\n  amends retry T1 reserve-hotel --note 'the hotel is back'\n  amends retry --all --saga trip --failure gateway_down --dry-run"
)]
pub(super) struct Retry {
    /// The saga.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<String>,
    /// Only this step.
    #[arg(conflicts_with = "all")]
    step: Option<String>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    many: Many,
}

#[cfg(test)]
impl Retry {
    /// The id, or the filters.
    pub(super) fn whom(&self) -> (Option<&String>, &Many) {
        (self.id.as_ref(), &self.many)
    }
}

pub(super) fn run(retry: &Retry, session: &Session) -> Result<Exit> {
    let Some(id) = retry.many.or_one(retry.id.as_ref())? else {
        return retry.many.act(session, JobVerb::Retry, JobArgs::default(), &retry.common, Asks::Never);
    };
    let plan = |saga: &Saga| match (&retry.step, saga.stuck.as_slice()) {
        (Some(step), _) => format!("retry {step} of {}", id),
        (None, []) => format!("retry what backs off in {}", id),
        (None, stuck) => {
            let legs: Vec<String> = stuck.iter().map(|stuck| format!("{} ({})", stuck.step, stuck.direction)).collect();
            format!("retry {} of {}", legs.join(", "), id)
        }
    };
    let body = |revision: Revision| verb::RetryRequest {
        step: retry.step.clone(),
        note: retry.common.note.clone(),
        expect_revision: Some(revision.seen()),
    };
    act(session, id, "retry", &retry.common, Asks::Never, plan, body)
}
