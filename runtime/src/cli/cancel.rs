//! `amends cancel`: rolls a saga back.

use anyhow::Result;
use clap::Args;

use super::{
    act::{self, Asks, Common, act},
    exit::Exit,
    many::Many,
    session::Session,
};
use crate::api::wire::{job::JobArgs, verb};

/// Roll a saga back, in reverse; refused after the point of no return.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends cancel T1 --note 'the customer called'")]
pub(super) struct Cancel {
    /// The saga.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<String>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    many: Many,
}

pub(super) fn run(cancel: &Cancel, session: &Session) -> Result<Exit> {
    let Some(id) = cancel.many.or_one(cancel.id.as_ref())? else {
        return cancel.many.act(session, "cancel", JobArgs::default(), &cancel.common, Asks::First);
    };
    let plan = |saga: &_| match act::to_undo(saga) {
        Some(steps) => format!("cancel {id}: undo {steps}"),
        None => format!("cancel {id}: nothing is to be undone yet"),
    };
    let body = |revision| verb::Act { note: cancel.common.note.clone(), expect_revision: Some(revision) };
    act(session, id, "cancel", &cancel.common, Asks::First, plan, body)
}
