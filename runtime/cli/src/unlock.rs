//! `amends unlock`: takes a lock key from its holder.

use amends_wire::{saga::Saga, verb};
use anyhow::Result;
use clap::Args;

use super::{
    act::{Asks, Common, Revision, act},
    exit::Exit,
    session::Session,
};

/// Take a lock key from its holder; the next saga gets it, the holder goes on without.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends unlock T1 seat/12A --note 'T1 is stuck for days, and is not about the seat any more'")]
pub(super) struct Unlock {
    /// The saga that holds it.
    id: String,
    /// The key, as `amends show` names it.
    key: String,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(unlock: &Unlock, session: &Session) -> Result<Exit> {
    let plan = |saga: &Saga| {
        let keys = saga.locks.iter().flat_map(|locks| &locks.keys);
        let next = keys.filter(|held| held.key == unlock.key).find_map(|held| held.queue.first());
        let then = next.map_or_else(|| "no saga waits for it".to_owned(), |next| format!("{next} gets it next"));
        format!("unlock {} of {}: the saga continues without it; {then}", unlock.key, unlock.id)
    };
    let body = |revision: Revision| verb::UnlockRequest {
        key: unlock.key.clone(),
        note: unlock.common.note.clone(),
        expect_revision: Some(revision.seen()),
    };
    act(session, &unlock.id, "unlock", &unlock.common, Asks::First, plan, body)
}
