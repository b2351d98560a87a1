//! `amends skip`: gives a compensation up.

use anyhow::Result;
use clap::Args;

use super::{
    act::{Asks, Common, act},
    exit::Exit,
    session::Session,
};
use crate::api::wire::{saga::Saga, verb};

/// Give a stuck compensation up; the step's effect stays outstanding.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends skip T1 reserve-hotel --note 'the hotel no longer exists'")]
pub(super) struct Skip {
    /// The saga.
    id: String,
    /// The step whose compensation is given up.
    step: String,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(skip: &Skip, session: &Session) -> Result<Exit> {
    let plan = |_: &Saga| format!("skip the compensation of {} in {}: its effect stays", skip.step, skip.id);
    let body = |revision| verb::Skip { step: skip.step.clone(), note: skip.common.note.clone(), expect_revision: Some(revision) };
    act(session, &skip.id, "skip", &skip.common, Asks::First, plan, body)
}
