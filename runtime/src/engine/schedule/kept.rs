//! Schedules in the store's tables, and what the shard knows of them beside their rows.

use std::collections::{BTreeSet, HashMap, VecDeque, hash_map};

use amends_core::{
    Instant, Payload,
    id::{Namespace, SagaId},
    schedule::{Schedule, ScheduleEvent},
};
use bytes::Bytes;

use super::ScheduleKey;
use crate::{
    engine::{
        kernel::{
            commit::{Commit, Entry, Stream},
            reads::{Reads, Unready},
            row,
        },
        saga::SagaKey,
    },
    journal::{Actor, Corrupt, Fact, StreamHead, TimerKind, keys, record},
    store::{Stored, Table},
};

/// What the shard knows of schedules beside their rows.
#[derive(Debug, Default)]
pub(crate) struct Schedules {
    /// Which schedules wait for the end of a saga. They are several where their sagas' ids were chosen.
    pub(super) queued: HashMap<SagaKey, BTreeSet<String>>,
    /// Those whose saga has ended, and those that were resumed: each is looked at in the next tick.
    pub(super) woken: VecDeque<ScheduleKey>,
    /// Those whose time came while there was no room for what they start.
    pub(super) held: VecDeque<Held>,
}

/// A schedule whose time has come.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) key: ScheduleKey,
    /// When it was looked at first.
    pub(crate) since: Instant,
}

impl Schedules {
    /// A saga has ended: the schedules that waited for it are looked at.
    pub(crate) fn saga_ended(&mut self, saga: &SagaKey) {
        let names = self.queued.remove(saga).unwrap_or_default();
        self.woken.extend(names.into_iter().map(|name| (saga.namespace.clone(), name)));
    }

    /// How many wait for room.
    #[cfg(test)]
    pub(crate) fn held_count(&self) -> usize {
        self.held.len()
    }

    fn waits(&mut self, saga: SagaKey, name: &str) {
        self.queued.entry(saga).or_default().insert(name.to_owned());
    }

    fn waits_no_more(&mut self, saga: SagaKey, name: &str) {
        if let hash_map::Entry::Occupied(mut names) = self.queued.entry(saga) {
            names.get_mut().remove(name);
            if names.get().is_empty() {
                names.remove();
            }
        }
    }

    /// Records facts of one schedule, with the rows that follow from them. `None`: it is gone.
    pub(crate) fn append(
        &mut self,
        commit: &mut Commit<'_>,
        key: &ScheduleKey,
        was: Option<&Schedule>,
        events: Vec<ScheduleEvent>,
        actor: &Actor,
    ) -> Option<Schedule> {
        let mut stream = match was {
            Some(was) => Stream::goes_on(super::stream(key), was.stream, was.revision),
            None => Stream::begins(StreamHead::new(super::stream(key), key.1.clone())),
        };
        let mut after = was.cloned();
        for event in events {
            commit.metrics.schedule(&event);
            let at = commit.now;
            let entry = Entry { at, actor: actor.clone(), causation: None, fact: Fact::Schedule(event.clone()) };
            let position = commit.record(&mut stream, entry).position;
            after = Schedule::after(after, stream.start, position, at, &event);
        }
        write(commit, key, was, after.as_ref());
        let saga = |schedule: &Schedule| {
            let id = SagaId::new(schedule.waits_for()?).ok()?;
            Some(SagaKey { namespace: key.0.clone(), id })
        };
        if let Some(saga) = was.and_then(saga) {
            self.waits_no_more(saga, &key.1);
        }
        if let Some(saga) = after.as_ref().and_then(saga) {
            self.waits(saga, &key.1);
        }
        after
    }
}

/// Writes a schedule's rows, and moves its timer.
fn write(commit: &mut Commit<'_>, key: &ScheduleKey, was: Option<&Schedule>, is: Option<&Schedule>) {
    let row_key = keys::schedule(&key.0, &key.1);
    match is {
        Some(schedule) => commit.put(Table::Schedules, row_key, row::encode(schedule)),
        None => commit.delete(Table::Schedules, row_key),
    }
    let queued = |schedule: &Schedule| schedule.waits_for().map(|saga| keys::queued(&key.0, saga, &key.1));
    if let Some(row_key) = was.and_then(queued) {
        commit.delete(Table::Schedules, row_key);
    }
    if let Some(row_key) = is.and_then(queued) {
        commit.put(Table::Schedules, row_key, Bytes::new());
    }
    // In two moves: a timer that has just fired is set again, also where its moment is the same.
    if let Some(was) = was {
        commit.timer(TimerKind::Schedule, was.stream, was.wake_at(), None);
    }
    if let Some(is) = is {
        commit.timer(TimerKind::Schedule, is.stream, None, is.wake_at());
    }
}

/// A schedule as it will be when everything decided is durable.
pub(super) fn schedule(reads: &mut Reads<'_>, key: &ScheduleKey) -> Result<Option<Schedule>, Unready> {
    let row = reads.row(Table::Schedules, keys::schedule(&key.0, &key.1))?;
    Ok(row.map(|row| decode(&row)).transpose()?)
}

/// What a schedule's sagas are started with.
pub(super) fn input(reads: &mut Reads<'_>, schedule: &Schedule) -> Result<Payload, Unready> {
    Ok(input_of(schedule, reads.record(schedule.made_at)?)?)
}

/// The input that is in the record that made a schedule what it is.
pub(super) fn input_of(schedule: &Schedule, made: Option<Stored>) -> Result<Payload, Corrupt> {
    match made.map(|stored| record::decode_stored(&stored)).transpose()?.map(|record| record.fact) {
        Some(Fact::Schedule(ScheduleEvent::Scheduled { input, .. })) => Ok(input),
        _ => Err(Corrupt(format!("position {} makes no schedule, though a row says so", schedule.made_at))),
    }
}

pub(super) fn decode(row: &[u8]) -> Result<Schedule, Corrupt> {
    row::decode(row, "a schedule")
}

/// How many schedules a namespace has.
pub(super) fn count(reads: &mut Reads<'_>, namespace: &Namespace) -> Result<u64, Unready> {
    let row = reads.row(Table::Meta, count_key(namespace))?;
    Ok(row.map(|row| row::decode(&row, "the count of schedules")).transpose()?.unwrap_or_default())
}

pub(super) fn set_count(commit: &mut Commit<'_>, namespace: &Namespace, count: u64) {
    commit.put(Table::Meta, count_key(namespace), row::encode(&count));
}

fn count_key(namespace: &Namespace) -> Vec<u8> {
    format!("schedules/{namespace}").into_bytes()
}

#[cfg(test)]
mod tests;
