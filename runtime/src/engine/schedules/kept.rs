//! Schedules in the store's tables, and those whose last record is on its way there.

use std::collections::{BTreeSet, HashMap, VecDeque, hash_map};

use amends_core::{
    Instant, Payload,
    id::{Namespace, SagaId},
};
use bytes::Bytes;

use super::{ScheduleKey, state::Schedule};
use crate::{
    engine::{
        resident::SagaKey,
        rows,
        shard::Shard,
        tail::{End, Entry},
    },
    journal::{Actor, Fact, StreamHead, StreamId, StreamKind, keys, record, schedule::ScheduleEvent},
    store::{Position, RowChange, Store, StoreError, Table},
};

/// What the shard knows of schedules beside their rows.
#[derive(Debug, Default)]
pub(crate) struct Schedules {
    /// Those whose last record is not in the store's tables yet. None: removed.
    recent: HashMap<ScheduleKey, (Position, Option<Kept>)>,
    on_their_way: VecDeque<(Position, ScheduleKey)>,
    /// Which schedules wait for the end of a saga. They are several where their sagas' ids were chosen.
    queued: HashMap<SagaKey, BTreeSet<String>>,
    /// Those whose saga has ended, and those that were resumed: each is looked at in the next tick.
    pub(super) woken: VecDeque<ScheduleKey>,
    /// Those whose time came while there was no room for what they start.
    pub(in crate::engine) held: VecDeque<Held>,
    /// How many there are, of the namespaces that were asked about.
    counts: HashMap<Namespace, u64>,
}

/// A schedule whose time has come.
#[derive(Debug)]
pub(crate) struct Held {
    pub(super) key: ScheduleKey,
    /// When it was looked at first.
    pub(super) since: Instant,
}

/// A schedule with its input, where that is known without reading it.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) schedule: Schedule,
    pub(crate) input: Option<Payload>,
}

impl Schedules {
    /// Reads who waits for the end of which saga. One whose saga has ended by now is woken.
    pub(crate) fn read(store: &dyn Store) -> Result<Self, StoreError> {
        let mut schedules = Self::default();
        for row in store.rows(&keys::all_queued(usize::MAX))? {
            let (namespace, saga, name) = keys::parse_queued(&row.key)?;
            let saga = SagaId::new(&saga).map_err(|bad| StoreError::Corrupt(format!("a schedule waits for a saga: {bad}")))?;
            let key = (namespace.clone(), saga);
            match rows::has_ended(store, &key)? {
                true => schedules.woken.push_back((namespace, name)),
                false => drop(schedules.queued.entry(key).or_default().insert(name)),
            }
        }
        Ok(schedules)
    }

    /// A saga has ended: the schedules that waited for it are looked at.
    pub(crate) fn ended(&mut self, saga: &SagaKey) {
        let names = self.queued.remove(saga).unwrap_or_default();
        self.woken.extend(names.into_iter().map(|name| (saga.0.clone(), name)));
    }

    fn waits_no_more(&mut self, saga: SagaKey, name: &str) {
        if let hash_map::Entry::Occupied(mut names) = self.queued.entry(saga) {
            names.get_mut().remove(name);
            if names.get().is_empty() {
                names.remove();
            }
        }
    }

    /// Records up to this position are in the store.
    pub(crate) fn forget_up_to(&mut self, durable: Position) {
        while let Some((_, key)) = self.on_their_way.pop_front_if(|(position, _)| *position <= durable) {
            if self.recent.get(&key).is_some_and(|(position, _)| *position <= durable) {
                self.recent.remove(&key);
            }
        }
    }
}

impl Shard {
    /// A schedule as of its last record, committed or on its way.
    pub(crate) fn schedule(&self, key: &ScheduleKey) -> Result<Option<Kept>, StoreError> {
        if let Some((_, kept)) = self.schedules.recent.get(key) {
            return Ok(kept.clone());
        }
        let schedule = read(self.store.as_ref(), key)?;
        Ok(schedule.map(|schedule| Kept { schedule, input: None }))
    }

    /// What its sagas are started with.
    pub(crate) fn input_of(&self, kept: &Kept) -> Result<Payload, StoreError> {
        kept.input.clone().map_or_else(|| read_input(self.store.as_ref(), &kept.schedule), Ok)
    }

    /// How many schedules a namespace has.
    pub(crate) fn schedules_of(&mut self, namespace: &Namespace) -> Result<u64, StoreError> {
        if let Some(count) = self.schedules.counts.get(namespace) {
            return Ok(*count);
        }
        let row = self.store.row(Table::Meta, &count_key(namespace))?;
        let count = row.map(|row| rows::decode(&row, "the count of schedules")).transpose()?.unwrap_or_default();
        self.schedules.counts.insert(namespace.clone(), count);
        Ok(count)
    }

    /// Records facts of one schedule, with the rows that follow from them. None: it is gone.
    pub(crate) fn append_schedule(
        &mut self,
        key: &ScheduleKey,
        before: Option<&Kept>,
        events: Vec<ScheduleEvent>,
        actor: &Actor,
    ) -> Result<Option<Kept>, StoreError> {
        let was = before.map(|kept| &kept.schedule);
        let end = was.map(|was| End { stream: was.stream, version: was.revision });
        let id = || StreamId { namespace: key.0.clone(), kind: StreamKind::Schedule, id: key.1.clone() };
        let mut tail = self.tail(end, || StreamHead::new(id(), key.1.clone()));
        let mut input = before.and_then(|kept| kept.input.clone());
        let mut after = was.cloned();
        for event in events {
            after = Schedule::after(after, tail.stream(), tail.position(), self.now, &event);
            if let ScheduleEvent::Scheduled { input: given, .. } = &event {
                input = Some(given.clone());
            }
            self.metrics.schedule(&event);
            tail.push(Entry { at: self.now, actor: actor.clone(), causation: None, fact: Fact::Schedule(event) });
        }
        let mut changes = rows_of(key, was, after.as_ref());
        if was.is_some() != after.is_some() {
            let count = self.schedules_of(&key.0)?;
            let count = if after.is_some() { count + 1 } else { count.saturating_sub(1) };
            self.schedules.counts.insert(key.0.clone(), count);
            changes.push(rows::put(Table::Meta, count_key(&key.0), rows::encode(&count)));
        }
        self.commit(tail, changes);
        self.rearm(key, was, after.as_ref());
        let kept = after.map(|schedule| Kept { schedule, input });
        self.schedules.recent.insert(key.clone(), (self.last_position, kept.clone()));
        self.schedules.on_their_way.push_back((self.last_position, key.clone()));
        Ok(kept)
    }

    /// Moves what wakes the schedule, as its rows do in the same commit.
    fn rearm(&mut self, key: &ScheduleKey, was: Option<&Schedule>, is: Option<&Schedule>) {
        let saga = |schedule: &Schedule| Some((key.0.clone(), SagaId::new(schedule.waits_for()?).ok()?));
        if let Some(saga) = was.and_then(saga) {
            self.schedules.waits_no_more(saga, &key.1);
        }
        if let Some(saga) = is.and_then(saga) {
            self.schedules.queued.entry(saga).or_default().insert(key.1.clone());
        }
        // In two moves: a timer that has just fired is set again, also where its moment is the same.
        if let Some(was) = was {
            self.timers.moved(was.stream, was.wake_at(), None, self.last_position);
        }
        if let Some(is) = is {
            self.timers.moved(is.stream, None, is.wake_at(), self.last_position);
        }
    }
}

/// A schedule as of its last committed record.
pub(super) fn read(store: &dyn Store, key: &ScheduleKey) -> Result<Option<Schedule>, StoreError> {
    let row = store.row(Table::Schedules, &keys::schedule(&key.0, &key.1))?;
    row.map(|row| decode(&row)).transpose()
}

pub(super) fn decode(row: &[u8]) -> Result<Schedule, StoreError> {
    rows::decode(row, "a schedule")
}

/// The input that is in the record that made it what it is.
pub(super) fn read_input(store: &dyn Store, schedule: &Schedule) -> Result<Payload, StoreError> {
    let at = schedule.made_at;
    let stored = store.log(at, 1)?;
    match stored.first().map(record::decode_stored).transpose()?.map(|record| record.fact) {
        Some(Fact::Schedule(ScheduleEvent::Scheduled { input, .. })) => Ok(input),
        _ => Err(StoreError::Corrupt(format!("position {at} makes no schedule, though a row says so"))),
    }
}

fn count_key(namespace: &Namespace) -> Vec<u8> {
    format!("schedules/{namespace}").into_bytes()
}

fn rows_of(key: &ScheduleKey, was: Option<&Schedule>, is: Option<&Schedule>) -> Vec<RowChange> {
    let row = keys::schedule(&key.0, &key.1);
    let mut rows = vec![match is {
        Some(schedule) => rows::put(Table::Schedules, row, rows::encode(schedule)),
        None => rows::delete(Table::Schedules, row),
    }];
    let queued = |schedule: &Schedule| schedule.waits_for().map(|saga| keys::queued(&key.0, saga, &key.1));
    rows.extend(was.and_then(queued).map(|row| rows::delete(Table::Schedules, row)));
    rows.extend(is.and_then(queued).map(|row| rows::put(Table::Schedules, row, Bytes::new())));
    let timer = |schedule: &Schedule| schedule.wake_at().map(|due| keys::timer(due, schedule.stream));
    rows.extend(was.and_then(timer).map(|row| rows::delete(Table::Timers, row)));
    rows.extend(is.and_then(timer).map(|row| rows::put(Table::Timers, row, Bytes::new())));
    rows
}
