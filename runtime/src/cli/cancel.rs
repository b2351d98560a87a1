//! `amends cancel`: rolls a saga back.

use anyhow::Result;
use clap::Args;

use super::{
    act::{self, Asks, Common, act},
    exit::Exit,
    session::Session,
};
use crate::api::wire::verb;

/// Roll a saga back: what is done is undone, in reverse. Refused after the point of no return.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends cancel T1 --note 'the customer called'")]
pub(super) struct Cancel {
    /// The saga.
    id: String,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(cancel: &Cancel, session: &Session) -> Result<Exit> {
    let plan = |saga: &_| format!("cancel {}: undo {}", cancel.id, act::to_undo(saga));
    let body = |revision| verb::Act { note: cancel.common.note.clone(), expect_revision: Some(revision) };
    act(session, &cancel.id, "cancel", &cancel.common, Asks::First, plan, body)
}
