//! The rows of aggregates: kept states, claims, and the first answers to commands.

use amends_core::{
    aggregate::{Claim, Standing},
    value::{Failure, Payload},
};
use serde::{Deserialize, Serialize};

use super::resident::AggregateKey;
use crate::{
    engine::{
        guests::ModuleDigest,
        kernel::{
            answers::{self, Scope},
            commit::Commit,
            reads::{Reads, Unready},
            row,
        },
    },
    journal::keys,
    store::{Position, Table},
};

/// A state, and the code that made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Base {
    /// The component.
    pub(super) digest: ModuleDigest,
    /// What the definition says of states that other components can use.
    pub(super) state_version: Option<u32>,
    /// How many events are in it.
    pub(super) revision: u64,
    pub(super) state: Payload,
}

impl Base {
    /// Whether this code can go on with it.
    pub(super) fn serves(&self, digest: &ModuleDigest, state_version: Option<u32>) -> bool {
        self.digest == *digest || (state_version.is_some() && self.state_version == state_version)
    }
}

/// What is kept of an aggregate, so that the records before it need not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) base: Base,
    pub(super) standing: Standing,
    /// The position of its first record, and of the last one that is in this.
    pub(super) start: Position,
    pub(super) last: Position,
}

/// What is kept of the first answer to a command.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct First {
    pub(super) revision: u64,
    pub(super) version: u32,
    /// The position of the decision's last record.
    pub(super) position: Position,
    /// How many events there are up to it.
    pub(super) events: u32,
    pub(super) data: Option<Payload>,
    pub(super) refused: Option<Failure>,
}

/// The key of the row for the answer to a command.
pub(super) fn answer_key(key: &AggregateKey, idempotency_key: &str) -> Vec<u8> {
    answers::key(&key.namespace, Scope::Command, &format!("{}/{}/{idempotency_key}", key.name, key.id))
}

/// What was kept of an aggregate.
pub(super) fn kept(reads: &mut Reads<'_>, key: &AggregateKey) -> Result<Option<Kept>, Unready> {
    let row = reads.row(Table::States, state_key(key))?;
    Ok(row.as_deref().and_then(|row| decode(key, row)))
}

/// One that cannot be read is as good as none.
pub(super) fn decode(key: &AggregateKey, row: &[u8]) -> Option<Kept> {
    let read = row::decode::<Kept>(row, "a kept state");
    read.inspect_err(|why| tracing::warn!(aggregate = %key, %why, "its events are folded from the first one on")).ok()
}

pub(super) fn keep(commit: &mut Commit<'_>, key: &AggregateKey, kept: &Kept) {
    commit.put(Table::States, state_key(key), row::encode(kept));
}

pub(super) fn state_key(key: &AggregateKey) -> Vec<u8> {
    keys::state(&key.namespace, &key.name, &key.id)
}

/// Who holds a claim.
pub(super) fn holder(reads: &mut Reads<'_>, key: &AggregateKey, claim: &str) -> Result<Option<String>, Unready> {
    let row = reads.row(Table::Claims, keys::claim(&key.namespace, &key.name, claim))?;
    Ok(row.map(|row| row::decode(&row, "who holds a claim")).transpose()?)
}

/// A claim is taken or given back.
pub(super) fn claim(commit: &mut Commit<'_>, key: &AggregateKey, claim: &Claim) {
    let row_key = keys::claim(&key.namespace, &key.name, &claim.key);
    match claim.held {
        true => commit.put(Table::Claims, row_key, row::encode(&key.id)),
        false => commit.delete(Table::Claims, row_key),
    }
}
