//! `amends abandon`: ends a saga without completing or undoing it.

use amends_wire::{
    job::{JobArgs, JobVerb},
    verb,
};
use anyhow::Result;
use clap::Args;

use super::{
    act::{self, Asks, Common, Revision, act},
    exit::Exit,
    many::Many,
    session::Session,
};

/// End a saga without completing or undoing it; its effects remain.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends abandon T1 --note 'settled by hand, ticket 4711'")]
pub(super) struct Abandon {
    /// The saga.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<String>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    many: Many,
}

pub(super) fn run(abandon: &Abandon, session: &Session) -> Result<Exit> {
    let Some(id) = abandon.many.or_one(abandon.id.as_ref())? else {
        return abandon.many.act(session, JobVerb::Abandon, JobArgs::default(), &abandon.common, Asks::First);
    };
    let plan = |saga: &_| match act::outstanding(saga) {
        Some(steps) => format!("abandon {id} for good; these effects remain: {steps}"),
        None => format!("abandon {id} for good; it has no outstanding effect"),
    };
    let body = |revision: Revision| verb::ActRequest { note: abandon.common.note.clone(), expect_revision: revision.agreed() };
    act(session, id, "abandon", &abandon.common, Asks::First, plan, body)
}
