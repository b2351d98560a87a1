//! What waits of the policies, as committed reads: one by one, and in groups of those that wait for the same reason.

use std::collections::{BTreeMap, BTreeSet};

use amends_core::{
    id::Namespace,
    policy::InstanceEvent,
    value::{Failure, Instant},
};

use super::rows::{ParkedRow, Waits};
use crate::{
    engine::recorded::RecordedEvent,
    journal::{Fact, keys, record},
    store::{Position, Range, Row, Store, StoreError},
};

/// A cause of a policy that waits.
#[derive(Clone, Debug)]
pub struct Letter {
    /// The key with which it waits.
    pub key: String,
    /// The position of its record.
    pub position: Position,
    /// When it was recorded.
    pub at: Instant,
    /// What it is: the type of an event, or the name of a timer or of a command that was answered.
    pub what: LetterOf,
    /// For what it waits.
    pub waits: LetterWaits,
    /// The root of its chain of causes.
    pub correlation: String,
}

/// What a cause is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LetterOf {
    /// An event.
    Event {
        /// Its id.
        id: String,
        /// Its type.
        event_type: String,
    },
    /// A timer of an instance.
    Timer {
        /// Its name.
        name: String,
    },
    /// An answer to a command.
    Answer {
        /// The command's id.
        command: String,
        /// Its name.
        name: String,
    },
}

/// For what a cause waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LetterWaits {
    /// For an operator, and what comes after it with its key waits behind it.
    Operator(Failure),
    /// For an operator, by itself.
    Alone(Failure),
    /// For the one before it with its key.
    Behind,
    /// For its instance, until then.
    Instance(Instant),
}

/// Letters of a policy, and where the next ones are.
#[derive(Clone, Debug, Default)]
pub struct Letters {
    /// By key, and by position.
    pub letters: Vec<Letter>,
    /// The key and the position of the last one, if there are more.
    pub next: Option<(String, Position)>,
}

/// Causes of a policy that wait for the same reason.
#[derive(Clone, Debug)]
pub struct LetterGroup {
    /// The policy.
    pub policy: String,
    /// Why they cannot be taken; none: they wait for their instances.
    pub failure: Option<Failure>,
    /// How many keys.
    pub keys: usize,
    /// How many causes, those that wait behind others among them.
    pub causes: usize,
    /// When the first of them was recorded.
    pub since: Option<Instant>,
    /// Some of the keys, each with the position of its first cause.
    pub some: Vec<(String, Position)>,
}

/// Rows that are read at a time.
const PAGE: usize = 1_024;

/// Keys that a group names.
const SOME: usize = 5;

/// What waits of a policy in this life of it, with a key or with all.
pub(crate) fn page(
    store: &dyn Store,
    namespace: &Namespace,
    (policy, incarnation): (&str, u32),
    key: Option<&str>,
    after: Option<(String, Position)>,
    limit: usize,
) -> Result<Letters, StoreError> {
    let mut range = match key {
        Some(key) => keys::parked_with(namespace, policy, key, 0, PAGE),
        None => keys::parked_of(namespace, policy, PAGE),
    };
    if let Some((key, position)) = after {
        range.from = range.from.max(keys::parked(namespace, policy, &key, position.saturating_add(1)));
    }
    let mut letters = Letters::default();
    each(store, range, |row| {
        let (.., key, position) = keys::parse_parked(&row.key)?;
        let parked = ParkedRow::decode(&row.value)?;
        if parked.incarnation != incarnation {
            return Ok(true);
        }
        if letters.letters.len() == limit {
            letters.next = letters.letters.last().map(|last| (last.key.clone(), last.position));
            return Ok(false);
        }
        letters.letters.push(letter(store, key, position, parked)?);
        Ok(true)
    })?;
    Ok(letters)
}

fn letter(store: &dyn Store, key: String, position: Position, parked: ParkedRow) -> Result<Letter, StoreError> {
    let missing = || StoreError::Corrupt(format!("the journal has no record at {position}, though something waits there"));
    let stored = store.log(position, 1)?.pop().ok_or_else(missing)?;
    let record = record::decode_stored(&stored)?;
    let at = record.at;
    let (what, correlation) = match (&record.fact, &parked.event_type) {
        (Fact::Instance(InstanceEvent::TimerFired(timer)), _) => {
            (LetterOf::Timer { name: timer.name.clone() }, record.correlation.unwrap_or_default())
        }
        (Fact::Instance(InstanceEvent::Answered { command, name, .. }), _) => {
            (LetterOf::Answer { command: command.clone(), name: name.clone() }, record.correlation.unwrap_or_default())
        }
        (_, Some(event_type)) => {
            let event = RecordedEvent::of((event_type, &parked.aggregate), record)?;
            (LetterOf::Event { id: event.id, event_type: event.event_type }, event.correlation)
        }
        (_, None) => return Err(missing()),
    };
    let waits = match parked.waits {
        Waits::Operator(failure) => LetterWaits::Operator(failure),
        Waits::Alone(failure) => LetterWaits::Alone(failure),
        Waits::Behind => LetterWaits::Behind,
        Waits::Instance(until) => LetterWaits::Instance(until),
    };
    Ok(Letter { key, position, at, what, waits, correlation })
}

/// What waits of a policy, in groups. Those that wait behind another one are counted with that.
pub(crate) fn groups(
    store: &dyn Store,
    namespace: &Namespace,
    (policy, incarnation): (&str, u32),
) -> Result<Vec<LetterGroup>, StoreError> {
    // By the code of the failure, each with the position of its first cause.
    let mut groups: BTreeMap<Option<String>, (Position, LetterGroup)> = BTreeMap::new();
    let mut of_key = OfKey::default();
    each(store, keys::parked_of(namespace, policy, PAGE), |row| {
        let (.., key, position) = keys::parse_parked(&row.key)?;
        let parked = ParkedRow::decode(&row.value)?;
        if parked.incarnation != incarnation {
            return Ok(true);
        }
        if of_key.key != key {
            of_key = OfKey { key, ..OfKey::default() };
        }
        let failure = match parked.waits {
            Waits::Operator(failure) => Some(of_key.front.insert(failure).clone()),
            Waits::Alone(failure) => Some(failure),
            Waits::Behind => Some(of_key.front.clone().unwrap_or_else(behind_nothing)),
            Waits::Instance(_) => None,
        };
        let code = failure.as_ref().map(|failure| failure.code.clone());
        let policy = || policy.to_owned();
        let new = || LetterGroup { policy: policy(), failure, keys: 0, causes: 0, since: None, some: Vec::new() };
        let (first, group) = groups.entry(code.clone()).or_insert_with(|| (position, new()));
        *first = position.min(*first);
        group.causes += 1;
        if of_key.groups.insert(code) {
            group.keys += 1;
            if group.some.len() < SOME {
                group.some.push((of_key.key.clone(), position));
            }
        }
        Ok(true)
    })?;
    let since = |(first, group): (Position, LetterGroup)| {
        let record = store.log(first, 1)?.first().map(record::decode_stored).transpose()?;
        Ok(LetterGroup { since: record.map(|record| record.at), ..group })
    };
    groups.into_values().map(since).collect()
}

/// What was read of a key.
#[derive(Default)]
struct OfKey {
    key: String,
    /// Why the cause cannot be taken that the next ones wait behind.
    front: Option<Failure>,
    groups: BTreeSet<Option<String>>,
}

/// Why those wait whose first one was dropped.
fn behind_nothing() -> Failure {
    Failure::new("not_redriven", "what they waited behind is gone: redrive them")
}

/// Reads rows, some at a time, until `take` has enough.
fn each(store: &dyn Store, mut range: Range, mut take: impl FnMut(&Row) -> Result<bool, StoreError>) -> Result<(), StoreError> {
    loop {
        let rows = store.rows(&range)?;
        for row in &rows {
            if !take(row)? {
                return Ok(());
            }
        }
        match rows.last() {
            // The first key behind this one.
            Some(last) if rows.len() == range.limit => range.from = last.key.iter().copied().chain([0]).collect(),
            Some(_) | None => return Ok(()),
        }
    }
}
