//! An aggregate in memory: how it stands, its state and the events after that, and the commands that wait for it.

use std::{collections::VecDeque, sync::Arc};

use amends_core::{
    aggregate::{AggregateEvent, Definition, Standing},
    id::Namespace,
    value::Instant,
};

use super::{
    request::{Asker, SendCommand},
    rows::{Base, Kept},
};
use crate::{
    engine::{
        guests::{ModuleDigest, PastEvent},
        kernel::{fingerprint::Fingerprint, request::Origin},
    },
    journal::{Corrupt, Fact, Record, StreamId, StreamKind, record},
    store::{Position, Stored},
};

/// Which aggregate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AggregateKey {
    pub(crate) namespace: Namespace,
    pub(crate) name: String,
    pub(crate) id: String,
}

impl AggregateKey {
    pub(crate) fn new(namespace: &Namespace, name: &str, id: &str) -> Self {
        Self { namespace: namespace.clone(), name: name.to_owned(), id: id.to_owned() }
    }

    /// The aggregate of a stream, if it is one's.
    pub(crate) fn of(stream: &StreamId) -> Option<Self> {
        let (name, id) = stream.id.split_once('/').filter(|_| stream.kind == StreamKind::Aggregate)?;
        Some(Self::new(&stream.namespace, name, id))
    }

    pub(crate) fn stream(&self) -> StreamId {
        StreamId { namespace: self.namespace.clone(), kind: StreamKind::Aggregate, id: format!("{}/{}", self.name, self.id) }
    }
}

/// As `customer C1`.
impl std::fmt::Display for AggregateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.id)
    }
}

/// An aggregate in memory.
#[derive(Debug, Default)]
pub(super) struct Resident {
    /// The position of its first record; 0: it has none.
    pub(super) start: Position,
    /// The position of its last record.
    pub(super) last: Position,
    pub(super) standing: Standing,
    /// The state that the events of `tail` come after; none: the one without events.
    pub(super) base: Option<Base>,
    pub(super) tail: VecDeque<PastEvent>,
    /// The revision of the state that is kept in the store.
    pub(super) kept_at: u64,
    /// Commands that are not with a guest, in their order.
    pub(super) line: VecDeque<Waiting>,
    pub(super) call: Option<Call>,
    /// So many of the next commands go one by one: one of them made a call fail.
    pub(super) alone: usize,
    /// The events of `tail` are to be folded before a command is decided: a call with both failed.
    pub(super) folds_first: bool,
    /// Its events are to be read again: the state is one that the active code does not know.
    pub(super) is_stale: bool,
    /// Under which number it rests; 0: it does not.
    pub(super) rests: u64,
    /// What it takes in memory, roughly, when it rests.
    pub(super) bytes: usize,
}

/// A command that waits for its decision.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) origin: Origin,
    pub(super) command: Box<SendCommand>,
    /// The key of the row for its answer, if it was sent under one.
    pub(super) answer_key: Option<Vec<u8>>,
    pub(super) fingerprint: Fingerprint,
    /// Who sent it, and who sent it again meanwhile.
    pub(super) askers: Vec<Asker>,
}

/// What is with a guest.
#[derive(Debug)]
pub(super) struct Call {
    /// Its commands; none: only a fold.
    pub(super) commands: VecDeque<Waiting>,
    pub(super) made: Made,
}

/// By which code a call was made, when, and on how much.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) module: String,
    pub(super) version: u32,
    pub(super) digest: ModuleDigest,
    pub(super) definition: Arc<Definition>,
    /// When the call began: the time of what comes of it.
    pub(super) at: Instant,
    /// How many events of the tail it folds.
    pub(super) folds: usize,
}

impl Resident {
    /// What was kept of an aggregate, and the records after that.
    pub(super) fn of(kept: Option<Kept>, records: &[Stored]) -> Result<Self, Corrupt> {
        let mut resident = match kept {
            Some(Kept { base, standing, start, last }) => {
                Self { kept_at: base.revision, base: Some(base), standing, start, last, ..Self::default() }
            }
            None => Self::default(),
        };
        for stored in records {
            let record = record::decode_stored(stored)?;
            resident.replay(&record)?;
        }
        Ok(resident)
    }

    fn replay(&mut self, record: &Record) -> Result<(), Corrupt> {
        let Fact::Aggregate(fact) = &record.fact else {
            let name = record.fact.name();
            return Err(Corrupt(format!("position {}: a record `{name}` in the stream of an aggregate", record.position)));
        };
        if self.start == 0 {
            self.start = record.position;
        }
        self.apply(fact, record.position, record.at);
        Ok(())
    }

    /// A fact was recorded.
    pub(super) fn apply(&mut self, fact: &AggregateEvent, position: Position, at: Instant) {
        self.last = position;
        self.standing.apply(fact);
        let is_new = |revision: u64| self.base.as_ref().is_none_or(|base| base.revision < revision);
        if let Some(event) = PastEvent::of(fact, at).filter(|event| is_new(event.revision)) {
            self.tail.push_back(event);
        }
    }

    /// The state after so many events of the tail is known.
    pub(super) fn folded(&mut self, base: Base) {
        let gone = self.tail.iter().take_while(|event| event.revision <= base.revision).count();
        self.tail.drain(..gone);
        self.base = Some(base);
    }

    /// Whether its state can be computed by this code from what is in memory.
    pub(super) fn fits(&self, digest: &ModuleDigest, state_version: Option<u32>) -> bool {
        match &self.base {
            Some(base) => base.serves(digest, state_version),
            None => true,
        }
    }

    /// The command under this key that was sent before and is not decided yet.
    pub(super) fn undecided(&mut self, answer_key: &[u8]) -> Option<&mut Waiting> {
        let called = self.call.iter_mut().flat_map(|call| &mut call.commands);
        called.chain(&mut self.line).find(|waiting| waiting.answer_key.as_deref() == Some(answer_key))
    }

    /// Nothing is asked of it.
    pub(super) fn is_idle(&self) -> bool {
        self.line.is_empty() && self.call.is_none()
    }

    /// What it takes in memory, roughly.
    pub(super) fn weigh(&self) -> usize {
        let state = self.base.as_ref().map_or(0, |base| base.state.bytes.len());
        let event = |event: &PastEvent| 128 + event.data.as_ref().map_or(0, |data| data.bytes.len());
        let claims: usize = self.standing.claims.iter().map(|claim| 64 + claim.len()).sum();
        512 + state + self.tail.iter().map(event).sum::<usize>() + claims
    }
}
