//! `amends abandon`: ends a saga where it stands.

use anyhow::Result;
use clap::Args;

use super::{
    act::{self, Asks, Common, act},
    exit::Exit,
    session::Session,
};
use crate::api::wire::verb;

/// End a saga where it stands; nothing more is done or undone.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends abandon T1 --note 'settled by hand, ticket 4711'")]
pub(super) struct Abandon {
    /// The saga.
    id: String,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(abandon: &Abandon, session: &Session) -> Result<Exit> {
    let plan = |saga: &_| match act::outstanding(saga) {
        Some(steps) => format!("abandon {} for good; these effects stay: {steps}", abandon.id),
        None => format!("abandon {} for good; no effect of it stands", abandon.id),
    };
    let body = |revision| verb::Act { note: abandon.common.note.clone(), expect_revision: Some(revision) };
    act(session, &abandon.id, "abandon", &abandon.common, Asks::First, plan, body)
}
