//! `amends move`: takes a saga over to another version of its module.

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

/// Move a saga to another version of its module.
///
/// Its steps and compensations run on that from then on. What has begun must be the same in both versions. What is stuck is tried again at once, with a fresh budget.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  amends deploy trip.wasm\n  amends move T1 --to 2 --note 'version 2 cancels hotels again'\n  amends move --to 2 --all --saga trip --version 1 --status stuck --dry-run"
)]
pub(super) struct Move {
    /// The saga.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<String>,
    /// The version of its module, as `amends modules` numbers it.
    #[arg(long, value_name = "VERSION")]
    to: u32,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    many: Many,
}

pub(super) fn run(asked: &Move, session: &Session) -> Result<Exit> {
    let Some(id) = asked.many.or_one(asked.id.as_ref())? else {
        let args = JobArgs { version: Some(asked.to), ..JobArgs::default() };
        return asked.many.act(session, JobVerb::Move, args, &asked.common, Asks::First);
    };
    let plan = |saga: &Saga| {
        let stuck: Vec<&str> = saga.stuck.iter().map(|stuck| stuck.step.as_str()).collect();
        let again = if stuck.is_empty() { String::new() } else { format!(", and try {} again", stuck.join(", ")) };
        format!("move {} from {} v{} to v{}{again}", saga.id, saga.module, saga.version, asked.to)
    };
    let body = |revision: Revision| verb::MoveRequest {
        version: asked.to,
        note: asked.common.note.clone(),
        expect_revision: Some(revision.seen()),
    };
    act(session, id, "move", &asked.common, Asks::First, plan, body)
}
