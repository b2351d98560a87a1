//! `amends cancel`: rolls a saga back.

use anyhow::Result;
use clap::Args;

use super::{
    act::{self, Asks, Common, act},
    exit::Exit,
    session::Session,
};
use crate::api::wire::verb;

/// Roll a saga back, in reverse; refused after the point of no return.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends cancel T1 --note 'the customer called'")]
pub(super) struct Cancel {
    /// The saga.
    id: String,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(cancel: &Cancel, session: &Session) -> Result<Exit> {
    let plan = |saga: &_| match act::to_undo(saga) {
        Some(steps) => format!("cancel {}: undo {steps}", cancel.id),
        None => format!("cancel {}: nothing is to be undone yet", cancel.id),
    };
    let body = |revision| verb::Act { note: cancel.common.note.clone(), expect_revision: Some(revision) };
    act(session, &cancel.id, "cancel", &cancel.common, Asks::First, plan, body)
}
