//! What is kept of policies beside their records: how far each is, how its instances stand, and what waits for an operator.

use amends_core::{
    policy::Instance,
    value::{Failure, Instant},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{PolicyKey, cause::Place, handling::Standing};
use crate::{
    engine::kernel::{
        commit::Commit,
        reads::{Reads, Unready},
        row,
        timers::Timer,
    },
    journal::{Corrupt, TimerKind, keys},
    store::{Position, Table},
};

pub(super) fn put_cursor(commit: &mut Commit<'_>, key: &PolicyKey, cursor: Position) {
    commit.put(Table::Cursors, keys::cursor(&key.namespace, &key.name, None), row::encode(&cursor));
}

pub(super) fn put_ahead(commit: &mut Commit<'_>, key: &PolicyKey, position: Position) {
    commit.put(Table::Cursors, keys::cursor(&key.namespace, &key.name, Some(position)), Bytes::new());
}

pub(super) fn delete_ahead(commit: &mut Commit<'_>, key: &PolicyKey, position: Position) {
    commit.delete(Table::Cursors, keys::cursor(&key.namespace, &key.name, Some(position)));
}

pub(super) fn read_cursor(value: &[u8]) -> Result<Position, Corrupt> {
    row::decode(value, "how far a policy is")
}

/// The row of an instance.
#[derive(Debug, Serialize, Deserialize)]
struct InstanceRow {
    start: Position,
    instance: Instance,
    /// The life of the policy in which it stands so.
    incarnation: u32,
}

/// How an instance stands in this life of its policy.
pub(super) fn instance(reads: &mut Reads<'_>, key: &PolicyKey, of: &str, incarnation: u32) -> Result<Standing, Unready> {
    let found = reads.row(Table::Instances, keys::instance(&key.namespace, &key.name, of))?;
    let Some(found) = found else { return Ok(Standing::default()) };
    let row: InstanceRow = row::decode(&found, "an instance's row")?;
    let instance = match row.incarnation == incarnation {
        true => row.instance,
        // Its stream goes on, and nothing else of it.
        false => Instance { facts: row.instance.facts, ..Instance::default() },
    };
    Ok(Standing { start: row.start, instance })
}

/// Whether an instance has begun in this life of its policy, also if it has ended since.
pub(super) fn has_begun(value: Option<&[u8]>, incarnation: u32) -> Result<bool, Corrupt> {
    let Some(value) = value else { return Ok(false) };
    let row: InstanceRow = row::decode(value, "an instance's row")?;
    Ok(row.incarnation == incarnation && (row.instance.is_live() || row.instance.ended_at.is_some()))
}

/// The form of an instance's state, if it has begun in this life of its policy and not ended.
pub(super) fn state_version(value: &[u8], incarnation: u32) -> Result<Option<u32>, Corrupt> {
    let row: InstanceRow = row::decode(value, "an instance's row")?;
    Ok(row.instance.state.filter(|_| row.incarnation == incarnation).map(|state| state.version))
}

pub(super) fn put_instance(commit: &mut Commit<'_>, key: &PolicyKey, of: &str, standing: &Standing, incarnation: u32) {
    let row = InstanceRow { start: standing.start, instance: standing.instance.clone(), incarnation };
    commit.put(Table::Instances, keys::instance(&key.namespace, &key.name, of), row::encode(&row));
}

/// The row of a cause that is no event: for which life of the policy it is, and its key.
pub(super) fn put_arrival(commit: &mut Commit<'_>, key: &PolicyKey, of: &str, position: Position, incarnation: u32) {
    commit.put(Table::Arrivals, keys::arrival(&key.namespace, &key.name, position), row::encode(&(incarnation, of)));
}

pub(super) fn delete_arrival(commit: &mut Commit<'_>, key: &PolicyKey, position: Position) {
    commit.delete(Table::Arrivals, keys::arrival(&key.namespace, &key.name, position));
}

/// The place of a cause that is no event, and for which life of the policy it is, from its row.
pub(super) fn arrival(value: &[u8]) -> Result<(u32, Place), Corrupt> {
    let (incarnation, key): (u32, String) = row::decode(value, "the row of an answer or a timer")?;
    Ok((incarnation, Place::Arrival { key }))
}

/// Sets the timer of an event that is kept for its instance until a moment. `recorded`: where that is said; several policies may keep
/// one event.
pub(super) fn keep_until(
    commit: &mut Commit<'_>,
    key: &PolicyKey,
    (of, position): (&str, Position),
    recorded: Position,
    until: Instant,
) {
    let timer = Timer { due: until, kind: TimerKind::Kept, start: recorded };
    commit.set_timer(timer, row::encode(&(&key.namespace, &key.name, of, position)));
}

/// What such a timer is about: the policy, the key and the position of the event; none: it was taken away meanwhile.
pub(super) fn kept(reads: &mut Reads<'_>, timer: Timer) -> Result<Option<(PolicyKey, String, Position)>, Unready> {
    let Some(found) = reads.row(Table::Timers, timer.key())? else { return Ok(None) };
    let (namespace, name, of, position) = row::decode(&found, "the timer of a kept event")?;
    Ok(Some((PolicyKey { namespace, name }, of, position)))
}

/// The row of a cause that waits, for an operator or for its instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ParkedRow {
    /// The type of the event; none: it is an answer or a timer.
    pub(super) event_type: Option<String>,
    /// The id of its aggregate; empty: it was published.
    pub(super) aggregate: String,
    /// The life of the policy.
    pub(super) incarnation: u32,
    pub(super) waits: Waits,
}

/// For what a cause waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Waits {
    /// It comes after one that waits for an operator.
    Behind,
    /// For an operator: nobody can take it.
    Operator(Failure),
    /// For its instance, until then.
    Instance(Instant),
    /// For an operator, and what comes after it does not wait for it.
    Alone(Failure),
}

impl ParkedRow {
    pub(super) fn new(place: &Place, incarnation: u32, waits: Waits) -> Self {
        let (event_type, aggregate) = match place {
            Place::Event { event_type, aggregate } => (Some(event_type.clone()), aggregate.clone()),
            Place::Arrival { .. } => (None, String::new()),
        };
        Self { event_type, aggregate, incarnation, waits }
    }

    /// Where the cause is that waits with this key.
    pub(super) fn place(self, key: &str) -> Place {
        match self.event_type {
            Some(event_type) => Place::Event { event_type, aggregate: self.aggregate },
            None => Place::Arrival { key: key.to_owned() },
        }
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self, Corrupt> {
        row::decode(value, "the row of what waits for an operator")
    }
}

/// The row of the cause at a position that waits with a key.
pub(super) fn parked_at(
    reads: &mut Reads<'_>,
    key: &PolicyKey,
    of: &str,
    position: Position,
) -> Result<Option<ParkedRow>, Unready> {
    let found = reads.row(Table::Parked, keys::parked(&key.namespace, &key.name, of, position))?;
    Ok(found.map(|found| ParkedRow::decode(&found)).transpose()?)
}

pub(super) fn put_parked(commit: &mut Commit<'_>, key: &PolicyKey, of: &str, position: Position, parked: &ParkedRow) {
    commit.put(Table::Parked, keys::parked(&key.namespace, &key.name, of, position), row::encode(parked));
}

pub(super) fn delete_parked(commit: &mut Commit<'_>, key: &PolicyKey, of: &str, position: Position) {
    commit.delete(Table::Parked, keys::parked(&key.namespace, &key.name, of, position));
}
