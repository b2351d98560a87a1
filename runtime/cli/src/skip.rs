//! `amends skip`: gives up a compensation.

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

/// Give up a stuck compensation; the effect of the step stays outstanding.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends skip T1 reserve-hotel --note 'the hotel no longer exists'")]
pub(super) struct Skip {
    /// The saga.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<String>,
    /// The step whose compensation is given up.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    step: Option<String>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    many: Many,
}

pub(super) fn run(skip: &Skip, session: &Session) -> Result<Exit> {
    let (Some(id), Some(step)) = (skip.many.or_one(skip.id.as_ref())?, &skip.step) else {
        return skip.many.act(session, JobVerb::Skip, JobArgs::default(), &skip.common, Asks::First);
    };
    let plan = |_: &Saga| format!("skip the compensation of {step} in {id}: its effect remains");
    let body = |revision: Revision| verb::SkipRequest {
        step: step.clone(),
        note: skip.common.note.clone(),
        expect_revision: Some(revision.seen()),
    };
    act(session, id, "skip", &skip.common, Asks::First, plan, body)
}
