//! The lock keys of a shard, by namespace: who has which, and who is next. In memory it is the fold of the committer's queue; at
//! start-up it is read from its rows, one a key and saga, without reading a saga.
//!
//! A key is free for the next one in the commit of the record that freed it: [`Shard::grant`].

use std::collections::{BTreeMap, HashMap, VecDeque};

use amends_core::{
    Event, Input as SagaInput,
    definition::{Definition, OnLocked},
    id::{Namespace, SagaId},
    locks::{Locks, Wanted},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    engine::{
        port::{LockKey, Refusal, RefusalCode},
        resident::{Flushed, SagaKey},
        rows,
        shard::Shard,
    },
    journal::{Actor, keys},
    store::{Order, Position, Range, RowChange, Store, StoreError, Table},
};

/// Who has which lock key.
#[derive(Debug, Default)]
pub(crate) struct Lockers {
    namespaces: HashMap<Namespace, Locks>,
    /// Those whose turn has come by what this step did: each is told so in the commit of that.
    granted: VecDeque<SagaKey>,
}

/// What a row says of one saga and one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LockRow {
    id: SagaId,
    /// It has all its keys; else it waits for this one or for another.
    holds: bool,
}

impl Lockers {
    /// Reads the rows of the last commit. Who came first has the earlier stream, and who is first in all his queues holds.
    pub(crate) fn read(store: &dyn Store) -> Result<Self, StoreError> {
        let all = Range { table: Table::Locks, from: Vec::new(), to: None, order: Order::Ascending, limit: usize::MAX };
        let mut wants: BTreeMap<Position, (Namespace, SagaId, Vec<String>)> = BTreeMap::new();
        for row in store.rows(&all)? {
            let (namespace, key, stream) = keys::parse_lock(&row.key)?;
            let LockRow { id, .. } = decode(&row.value)?;
            wants.entry(stream).or_insert_with(|| (namespace, id, Vec::new())).2.push(key);
        }
        let mut lockers = Self::default();
        for (namespace, id, keys) in wants.into_values() {
            lockers.namespaces.entry(namespace).or_default().want(&id, &keys);
        }
        Ok(lockers)
    }

    /// A new saga wants its keys: what it is to be told in the turn of its start.
    pub(crate) fn want(&mut self, key: &SagaKey, keys: &[String]) -> SagaInput {
        match self.namespaces.entry(key.0.clone()).or_default().want(&key.1, keys) {
            Wanted::Taken => SagaInput::LocksTaken,
            Wanted::Queued(behind) => SagaInput::LocksQueued(behind),
        }
    }

    /// Refuses a start whose definition does not queue, if any of its keys is held or waited for.
    pub(crate) fn refuse(&self, key: &SagaKey, definition: &Definition, keys: &[String]) -> Result<(), Refusal> {
        let (OnLocked::Refuse, Some(locks)) = (definition.on_locked, self.namespaces.get(&key.0)) else { return Ok(()) };
        let taken = locks.taken(keys);
        let who = |taken: &String| locks.queue(taken).next().map(|holder| (taken.clone(), holder.clone()));
        let Some((taken, holder)) = taken.into_iter().find_map(who) else { return Ok(()) };
        let said = format!("saga {} was not started: {holder} has the lock key {taken}", key.1);
        Err(Refusal::new(RefusalCode::Locked, said)
            .hint(format!("try again when {holder} has ended; look at it: amends show {holder}")))
    }

    /// What a saga decided frees its keys, or one of them: whose turn comes by that is told at the end of the step.
    pub(crate) fn freed(&mut self, key: &SagaKey, events: &[Event]) {
        let Some(locks) = self.namespaces.get_mut(&key.0) else { return };
        for event in events {
            let next = match event {
                Event::LockBroken(broken, _) => locks.break_key(&key.1, broken),
                event if event.is_terminal() => locks.release(&key.1),
                _ => Vec::new(),
            };
            self.granted.extend(next.into_iter().map(|id| (key.0.clone(), id)));
        }
    }
}

impl Shard {
    /// Tells those whose turn has come. What freed their keys and that they have them is one commit: never is a key nobody's that
    /// somebody waits for.
    pub(crate) fn grant(&mut self) {
        if self.lockers.granted.is_empty() {
            return;
        }
        while let Some(key) = self.lockers.granted.pop_front() {
            match self.turn(&key, Actor::Host, None, |saga, context| saga.handle(SagaInput::LocksTaken, context)) {
                Ok(()) => self.flush(&key),
                Err(error) => self.lost(&key, &error),
            }
        }
        self.join_commits(0);
    }
}

/// The changes of a saga's rows of lock keys from one flush to the next.
pub(crate) fn rows_of(key: &SagaKey, before: Option<&Flushed>, after: &Flushed) -> Vec<RowChange> {
    let (none, row_key) = (Vec::new(), |name: &String| keys::lock(&key.0, name, after.stream));
    let (had, held) = before.map_or((&none, false), |before| (&before.lock_keys, before.holds));
    let gone = had.iter().filter(|name| !after.lock_keys.contains(name)).map(|name| rows::delete(Table::Locks, row_key(name)));
    let value = || rows::encode(&LockRow { id: key.1.clone(), holds: after.holds });
    let changed = after.lock_keys.iter().filter(|name| held != after.holds || !had.contains(name));
    gone.chain(changed.map(|name| rows::put(Table::Locks, row_key(name), value()))).collect()
}

/// Who has the keys of a saga, and who is before it, as of the last commit. Of a long queue the first [`QUEUE_SHOWN`].
pub(crate) fn look(store: &dyn Store, namespace: &Namespace, keys: &[String]) -> Result<Vec<LockKey>, StoreError> {
    keys.iter().map(|key| look_at(store, namespace, key)).collect()
}

/// Sagas of a queue that are named: a person reads no more, and a queue may have thousands.
pub(crate) const QUEUE_SHOWN: usize = 100;

fn look_at(store: &dyn Store, namespace: &Namespace, key: &str) -> Result<LockKey, StoreError> {
    let rows = store.rows(&keys::lock_queue(namespace, key, QUEUE_SHOWN + 1))?;
    let rows: Result<Vec<LockRow>, StoreError> = rows.iter().map(|row| decode(&row.value)).collect();
    let mut rows = VecDeque::from(rows?);
    let holder = rows.pop_front_if(|first| first.holds).map(|first| first.id);
    let queue = rows.into_iter().take(QUEUE_SHOWN).map(|row| row.id).collect();
    Ok(LockKey { key: key.to_owned(), holder, queue })
}

fn decode(value: &Bytes) -> Result<LockRow, StoreError> {
    rows::decode(value, "who wants a lock key")
}
