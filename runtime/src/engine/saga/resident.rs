//! A saga in memory, with what is decided and not yet handed to the committer.

use std::collections::{BTreeSet, HashSet};

use amends_core::{
    Event, Instant, Saga,
    event::{Attempt, Intent, Topic},
    id::{Namespace, SagaId},
    view::Status,
};

use super::{away::Away, load::Loaded};
use crate::journal::{Actor, RecordId, StreamId, StreamKind};

/// Which saga: ids are unique in a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SagaKey {
    /// Where it lives.
    pub(crate) namespace: Namespace,
    /// Its id there.
    pub(crate) id: SagaId,
}

impl SagaKey {
    /// A saga of a namespace.
    pub(crate) fn new(namespace: &Namespace, id: &SagaId) -> Self {
        Self { namespace: namespace.clone(), id: id.clone() }
    }

    /// The saga that a stream is of.
    pub(crate) fn of(stream: &StreamId) -> Option<Self> {
        let id = SagaId::new(&stream.id).ok().filter(|_| stream.kind == StreamKind::Saga)?;
        Some(Self { namespace: stream.namespace.clone(), id })
    }

    /// The name of its stream.
    pub(crate) fn stream(&self) -> StreamId {
        StreamId { namespace: self.namespace.clone(), kind: StreamKind::Saga, id: self.id.as_str().to_owned() }
    }
}

/// Records of one saga that are handed over together at the latest.
pub(super) const UNFLUSHED_MAX: usize = 64;

/// A saga that something happens to now. A saga that only waits is rows, and not here.
#[derive(Debug)]
pub(crate) struct Resident {
    pub(crate) saga: Saga,
    /// Facts that are decided and applied, and have no place in the journal yet.
    pub(crate) unflushed: Vec<Decided>,
    /// Its rows as of the last flush; none before the first.
    pub(crate) flushed: Option<Flushed>,
    /// Attempts that were handed to the guests, or wait for their intent's commit.
    pub(crate) launched: BTreeSet<Attempt>,
    /// What it waits for, and was looked for among the events that came before the wait.
    pub(crate) waits: BTreeSet<Topic>,
    /// It begins to wait, and what came before is not looked at yet: until then nothing of it is handed over.
    pub(crate) looks_for_events: bool,
    /// It goes on where its guest runs; `saga` is what it was when it left.
    pub(crate) away: Option<Away>,
    /// After an unclean stop nothing runs ahead: each recovered saga's first attempt has a durable intent.
    pub(crate) cautious: bool,
    /// What was recorded in another stream and started it.
    pub(crate) cause: Option<RecordId>,
    /// The root of its chain of causes; none: it is itself.
    pub(crate) root: Option<String>,
    /// Through how many streams that chain had led to it.
    pub(crate) depth: u16,
    /// Bytes of its journal, for the limit.
    pub(crate) journal_bytes: u64,
}

/// A fact without a place.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) event: Event,
    pub(crate) at: Instant,
    pub(crate) actor: Actor,
    pub(crate) causation: Option<RecordId>,
}

/// What the store's rows say of a saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flushed {
    /// The position of its first record.
    pub(crate) stream: u64,
    /// How many records have a place.
    pub(crate) version: u64,
    /// The position of the last one.
    pub(crate) position: u64,
    pub(crate) status: Status,
    pub(crate) wake_at: Option<Instant>,
    pub(crate) topics: Vec<Topic>,
    /// A grant would let it go on.
    pub(crate) is_denied: bool,
    /// Code for an aggregate would.
    pub(crate) is_undecided: bool,
    /// The lock keys that it has or waits for.
    pub(crate) lock_keys: Vec<String>,
    /// It has them.
    pub(crate) holds: bool,
    /// The version of its module that it runs on.
    pub(crate) code: u32,
}

impl Flushed {
    /// What the rows say of a saga with so many records, of which the last has this position.
    pub(crate) fn of(saga: &Saga, stream: u64, version: u64, position: u64) -> Self {
        Self {
            stream,
            version,
            position,
            status: saga.status(),
            wake_at: saga.wake_at(),
            topics: saga.topics(),
            is_denied: saga.is_denied(),
            is_undecided: saga.is_undecided(),
            lock_keys: saga.lock_keys().cloned().collect(),
            holds: saga.has_its_locks(),
            code: saga.code().version,
        }
    }
}

impl Resident {
    pub(crate) fn new(saga: Saga) -> Self {
        Self {
            saga,
            unflushed: Vec::new(),
            flushed: None,
            launched: BTreeSet::new(),
            waits: BTreeSet::new(),
            looks_for_events: false,
            away: None,
            cautious: false,
            cause: None,
            root: None,
            depth: 0,
            journal_bytes: 0,
        }
    }

    /// A saga read from the store: its rows say what it says.
    pub(crate) fn loaded(loaded: Loaded) -> Self {
        let Loaded { saga, cause, root, depth, stream, position, bytes, .. } = loaded;
        let flushed = Flushed::of(&saga, stream, saga.revision(), position);
        let waits = flushed.topics.iter().cloned().collect();
        Self { waits, flushed: Some(flushed), cause, root, depth, journal_bytes: bytes, ..Self::new(saga) }
    }

    /// Open attempts that were not launched yet; from here on they count as launched. `decided`: from which of the facts without a
    /// place on this was not asked before, if that is known.
    ///
    /// A saga may have thousands of attempts open, and this is asked at each decision. Mostly the facts name all that has changed;
    /// where they do not, all open attempts are looked at.
    pub(crate) fn launch(&mut self, decided: Option<usize>) -> Vec<Intent> {
        let Self { saga, unflushed, launched, .. } = self;
        let mut fresh = Vec::new();
        for Decided { event, .. } in decided.and_then(|from| unflushed.get(from..)).unwrap_or_default() {
            match event {
                Event::Intent(intent) if saga.open_since(&intent.attempt).is_some() => fresh.push(intent.clone()),
                event => drop(event.closes().map(|attempt| launched.remove(attempt))),
            }
        }
        if launched.len() + fresh.len() != saga.open_attempts() {
            fresh = saga.effects().run;
            let open: HashSet<&Attempt> = fresh.iter().map(|intent| &intent.attempt).collect();
            launched.retain(|attempt| open.contains(attempt));
            fresh.retain(|intent| !launched.contains(&intent.attempt));
        }
        launched.extend(fresh.iter().map(|intent| intent.attempt.clone()));
        fresh
    }

    /// What it waits for now; says which of it is new.
    pub(crate) fn wait_for(&mut self, topics: &[Topic]) -> Vec<Topic> {
        let before = std::mem::replace(&mut self.waits, topics.iter().cloned().collect());
        topics.iter().filter(|topic| !before.contains(topic)).cloned().collect()
    }

    pub(crate) fn decide(&mut self, events: Vec<Event>, at: Instant, actor: &Actor, causation: Option<RecordId>) {
        self.unflushed.extend(events.into_iter().map(|event| Decided { event, at, actor: actor.clone(), causation }));
    }
}
