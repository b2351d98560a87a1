//! The lock keys of a shard, by namespace: who has which, and who is next. In memory it is the fold of the committer's queue; at
//! start-up it is read from its rows, one a key and saga, without reading a saga.
//!
//! A key is free for the next one in the commit of the record that freed it: [`super::Sagas::hand_over_locks`].

use std::collections::{HashMap, VecDeque};

use amends_core::{
    Event, Input as SagaInput,
    definition::{Definition, OnLocked},
    id::{Namespace, SagaId},
    locks::{Locks, Wanted},
};
use serde::{Deserialize, Serialize};

use super::resident::{Flushed, SagaKey};
use crate::{
    engine::kernel::{commit::Commit, row},
    engine::refusal::{Refusal, RefusalCode, Remedy},
    journal::{Corrupt, keys},
    store::Table,
};

/// Who has which lock key.
#[derive(Debug, Default)]
pub(crate) struct Lockers {
    namespaces: HashMap<Namespace, Locks>,
    /// Those who hold all their keys by what this step did: each is told so in the commit of that.
    next_holders: VecDeque<SagaKey>,
}

/// What a row says of one saga and one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LockRow {
    pub(super) id: SagaId,
    /// It has all its keys; else it waits for this one or for another.
    pub(super) holds: bool,
}

impl Lockers {
    /// The fold of rows, oldest saga first: who is first in all queues has the keys. One whose rows do not say so was not told before
    /// the host stopped, and is told now.
    pub(super) fn recovered(wants: impl IntoIterator<Item = (SagaKey, Vec<String>, bool)>) -> Self {
        let mut lockers = Self::default();
        for (saga, keys, holds) in wants {
            let wanted = lockers.namespaces.entry(saga.namespace.clone()).or_default().want(&saga.id, &keys);
            if wanted == Wanted::Taken && !holds {
                lockers.next_holders.push_back(saga);
            }
        }
        lockers
    }

    /// A new saga wants its keys: what it is to be told in the turn of its start.
    pub(crate) fn want(&mut self, key: &SagaKey, keys: &[String]) -> SagaInput {
        match self.namespaces.entry(key.namespace.clone()).or_default().want(&key.id, keys) {
            Wanted::Taken => SagaInput::LocksTaken,
            Wanted::Queued(behind) => SagaInput::LocksQueued(behind),
        }
    }

    /// Refuses a start whose definition does not queue, if any of its keys is held or waited for.
    pub(crate) fn refuse(&self, key: &SagaKey, definition: &Definition, keys: &[String]) -> Result<(), Refusal> {
        let (OnLocked::Refuse, Some(locks)) = (definition.on_locked, self.namespaces.get(&key.namespace)) else { return Ok(()) };
        let taken = locks.taken(keys);
        let who = |taken: &String| locks.queue(taken).next().map(|holder| (taken.clone(), holder.clone()));
        let Some((taken, holder)) = taken.into_iter().find_map(who) else { return Ok(()) };
        let said = format!("saga {} was not started: {holder} has the lock key {taken}", key.id);
        Err(Refusal::new(RefusalCode::Locked, said)
            .remedy(format!("try again when {holder} has ended; look at it"), Remedy::ShowSaga(holder)))
    }

    /// The next one that holds all its keys and was not told so.
    pub(crate) fn next_holder(&mut self) -> Option<SagaKey> {
        self.next_holders.pop_front()
    }

    /// Those that stand directly behind a saga in the queues of its keys: one of them may hold its keys when the saga leaves them.
    pub(crate) fn next_in_line(&self, key: &SagaKey) -> Vec<SagaKey> {
        let Some(locks) = self.namespaces.get(&key.namespace) else { return Vec::new() };
        let behind = locks.next_in_line(&key.id).into_iter();
        behind.map(|id| SagaKey { namespace: key.namespace.clone(), id }).collect()
    }

    /// What a saga decided frees its keys, or one of them: who holds all of theirs by that is told at the end of the step.
    pub(crate) fn freed(&mut self, key: &SagaKey, events: &[Event]) {
        let Some(locks) = self.namespaces.get_mut(&key.namespace) else { return };
        for event in events {
            let next = match event {
                Event::LockBroken(broken, _) => locks.break_key(&key.id, broken),
                event if event.is_terminal() => locks.release(&key.id),
                _ => Vec::new(),
            };
            self.next_holders.extend(next.into_iter().map(|id| SagaKey { namespace: key.namespace.clone(), id }));
        }
    }
}

/// Writes a saga's rows of lock keys, from one flush to the next.
pub(crate) fn write(commit: &mut Commit<'_>, key: &SagaKey, before: Option<&Flushed>, after: &Flushed) {
    let row_key = |name: &String| keys::lock(&key.namespace, name, after.stream);
    let (had, held) = before.map_or((&[][..], false), |before| (&before.lock_keys[..], before.holds));
    for gone in had.iter().filter(|name| !after.lock_keys.contains(name)) {
        commit.delete(Table::Locks, row_key(gone));
    }
    for changed in after.lock_keys.iter().filter(|name| held != after.holds || !had.contains(name)) {
        commit.put(Table::Locks, row_key(changed), row::encode(&LockRow { id: key.id.clone(), holds: after.holds }));
    }
}

pub(super) fn decode(value: &[u8]) -> Result<LockRow, Corrupt> {
    row::decode(value, "who wants a lock key")
}
