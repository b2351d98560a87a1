//! The second half of a decision: records, rows and timers that become durable together or not at all, and what leaves then.
//!
//! What one input decides is one commit, whatever it is about: an event and the sagas that it starts, a schedule and its saga, a job's
//! turn. What nobody waits for may wait for the inputs after it, to share theirs.

use std::ops::Deref;

use amends_core::{Instant, id::Namespace};
use bytes::Bytes;

use super::{Kernel, action::Action, followed::Followed, release::Release, row::End, timers::Timer};
use crate::{
    journal::{Actor, Fact, GENERATION, Record, RecordId, StreamHead, StreamId, TimerKind, keys, record},
    store::{Append, Batch, Position, RowChange, Table},
};

/// The batch in the making.
#[derive(Debug, Default)]
pub(super) struct Batching {
    batch: Batch,
    /// The streams that grow, each with where it ends then.
    ends: Vec<(StreamId, End)>,
    /// Somebody waits for it.
    is_urgent: bool,
    /// Since when it waits for more, if nobody does.
    since: Option<Instant>,
}

/// How long what nobody waits for may stay in memory.
const PATIENCE_MS: u64 = 100;

impl Batching {
    /// The streams that grow get their rows.
    pub(super) fn take_ends(&mut self) -> Vec<(StreamId, End)> {
        std::mem::take(&mut self.ends)
    }

    pub(super) fn take(&mut self) -> Option<Batch> {
        (self.is_urgent, self.since) = (false, None);
        (!self.is_empty()).then(|| std::mem::take(&mut self.batch))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batch.appends.is_empty() && self.batch.rows.is_empty()
    }

    /// Somebody waits for it from now on.
    pub(super) fn urge(&mut self) {
        self.is_urgent = true;
    }

    /// It grows by something that nobody waits for.
    pub(super) fn grows_lazily(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// When it is to be handed over at the latest, if it waits for more.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.filter(|_| !self.is_urgent).map(|since| since.plus(PATIENCE_MS))
    }

    fn ends_at(&mut self, name: &StreamId, end: End) {
        match self.ends.iter_mut().rev().find(|(_, known)| known.start == end.start) {
            Some((_, known)) => *known = end,
            None => self.ends.push((name.clone(), end)),
        }
    }
}

/// A stream that gets records: one that is there, or a new one whose first record gets the head.
#[derive(Debug)]
pub(crate) struct Stream {
    name: StreamId,
    /// The position of its first record; 0 before that has a place.
    pub(crate) start: Position,
    /// How many records it has.
    pub(crate) version: u64,
    head: Option<StreamHead>,
}

impl Stream {
    /// A stream that begins with the next record.
    pub(crate) fn begins(head: StreamHead) -> Self {
        Self { name: head.stream.clone(), start: 0, version: 0, head: Some(head) }
    }

    /// A stream that has so many records.
    pub(crate) fn goes_on(name: StreamId, start: Position, version: u64) -> Self {
        Self { name, start, version, head: None }
    }
}

/// What one record says.
pub(crate) struct Entry {
    pub(crate) at: Instant,
    pub(crate) actor: Actor,
    /// What caused it; none: the record before it, if there is one.
    pub(crate) causation: Option<RecordId>,
    pub(crate) fact: Fact,
}

/// Where a record stands in a chain of causes, if it is not its stream's own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    /// The root of the chain.
    pub(crate) correlation: Option<String>,
    /// How many records of other streams led to it.
    pub(crate) depth: u16,
    /// The record of another stream that led to it.
    pub(crate) cause: Option<RecordId>,
}

/// Where a record got its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recorded {
    pub(crate) position: Position,
    pub(crate) bytes: u64,
}

/// A decision that may change things.
pub(crate) struct Commit<'k> {
    kernel: &'k mut Kernel,
}

impl Deref for Commit<'_> {
    type Target = Kernel;

    fn deref(&self) -> &Kernel {
        self.kernel
    }
}

impl<'k> Commit<'k> {
    pub(super) fn new(kernel: &'k mut Kernel) -> Self {
        Self { kernel }
    }

    /// As [`Kernel::not_before`].
    pub(crate) fn not_before(&mut self, at: Instant) {
        self.kernel.not_before(at);
    }

    /// Appends a record to a stream; a new stream gets its name with it.
    pub(crate) fn record(&mut self, stream: &mut Stream, entry: Entry) -> Recorded {
        self.record_in(Chain::default(), stream, entry)
    }

    /// The same, of a stream that lives through many chains of causes.
    pub(crate) fn record_in(&mut self, chain: Chain, stream: &mut Stream, entry: Entry) -> Recorded {
        let Chain { correlation, depth, cause } = chain;
        let Entry { at, actor, causation, fact } = entry;
        let position = self.kernel.last_position + 1;
        let head = stream.head.take();
        if head.is_some() {
            stream.start = position;
        }
        if stream.version > 0 {
            // What was read of it for an input that waits is not all of it any more.
            self.kernel.lookups.outdated(&stream.name);
        }
        let before = (stream.version > 0).then_some(RecordId { stream: stream.start, version: stream.version });
        stream.version += 1;
        let id = RecordId { stream: stream.start, version: stream.version };
        let causation = causation.or(cause).or(before);
        let (epoch, generation) = (self.kernel.epoch, GENERATION);
        let bytes =
            record::encode(&Record { id, position, at, causation, correlation, depth, epoch, generation, actor, head, fact });
        let length = bytes.len() as u64;
        self.kernel.grows();
        self.kernel.overlay.append(self.kernel.next_commit, position, bytes.clone());
        self.append(id, position, bytes);
        let end = End { start: stream.start, revision: stream.version, position };
        self.kernel.batching.ends_at(&stream.name, end);
        self.kernel.last_position = position;
        Recorded { position, bytes: length }
    }

    /// A stream changed that others than those in its lane may have read: what they wait with is not all of it any more.
    pub(crate) fn outdated(&mut self, stream: &StreamId) {
        self.kernel.lookups.outdated(stream);
    }

    /// Records of one stream that follow each other are one append.
    fn append(&mut self, id: RecordId, position: Position, record: Bytes) {
        let appends = &mut self.kernel.batching.batch.appends;
        let follows = |last: &&mut Append| {
            let next_version = last.first_version + last.records.len() as u64;
            last.stream == id.stream && next_version == id.version && last.last_position() + 1 == position
        };
        match appends.last_mut().filter(follows) {
            Some(last) => last.records.push(record),
            None => appends.push(Append {
                stream: id.stream,
                first_version: id.version,
                first_position: position,
                records: vec![record],
            }),
        }
    }

    /// Writes a row, over an older one of the same key.
    pub(crate) fn put(&mut self, table: Table, key: Vec<u8>, value: Bytes) {
        self.change(RowChange { table, key, value: Some(value) });
    }

    /// Deletes a row, if it is there.
    pub(crate) fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.change(RowChange { table, key, value: None });
    }

    /// Changes a row.
    pub(crate) fn change(&mut self, change: RowChange) {
        self.kernel.grows();
        self.kernel.overlay.set(self.kernel.next_commit, change.table, &change.key, change.value.clone());
        self.kernel.batching.batch.rows.push(change);
    }

    /// An event is recorded at a position: it is found by its type, and who follows that type reads on. `value`: as
    /// [`recorded::row`](crate::engine::recorded::row) says.
    pub(crate) fn named(&mut self, namespace: &Namespace, event_type: &str, position: Position, value: Bytes) {
        self.put(Table::EventNames, keys::event_name(namespace, event_type, position), value);
        self.kernel.followed.recorded(namespace, event_type);
    }

    /// What is followed from here on.
    pub(crate) fn followed_mut(&mut self) -> &mut Followed {
        self.kernel.followed()
    }

    /// Something of this id, in another stream or outside, caused the record at a position: a trace finds it there. What a stream
    /// causes in itself needs no row.
    pub(crate) fn caused(&mut self, namespace: &Namespace, by: &str, position: Position) {
        self.put(Table::Correlations, keys::correlation(namespace, by, position), Bytes::new());
    }

    /// Moves the timer of what begins at `start`, with its row; none: there is none before, or afterwards.
    pub(crate) fn timer(&mut self, kind: TimerKind, start: Position, before: Option<Instant>, after: Option<Instant>) {
        if before == after {
            return;
        }
        if let Some(due) = before {
            self.clear_timer(Timer { due, kind, start });
        }
        if let Some(due) = after {
            self.set_timer(Timer { due, kind, start }, Bytes::new());
        }
    }

    /// Sets a timer that has something to say when it fires.
    pub(crate) fn set_timer(&mut self, timer: Timer, value: Bytes) {
        self.put(Table::Timers, timer.key(), value);
        self.kernel.timers.set(timer, self.kernel.next_commit);
    }

    /// Takes a timer away, also one that has fired.
    pub(crate) fn clear_timer(&mut self, timer: Timer) {
        self.delete(Table::Timers, timer.key());
        self.kernel.timers.clear(timer);
    }

    /// Lets a timer that has fired fire again at its moment: what it is for was not done.
    pub(crate) fn keep_timer(&mut self, timer: Timer) {
        self.kernel.timers.set(timer, self.kernel.next_commit - 1);
    }

    /// Something leaves when the records up to this position are durable (law 2).
    pub(crate) fn release_at(&mut self, position: Position, release: Release) {
        self.kernel.release_at(position, release);
    }

    /// Records what nobody waits for: it may share the commit of what comes next.
    pub(crate) fn lazily<T>(&mut self, record: impl FnOnce(&mut Self) -> T) -> T {
        self.kernel.is_lazy = true;
        let recorded = record(self);
        self.kernel.is_lazy = false;
        recorded
    }

    pub(super) fn timers_mut(&mut self) -> &mut super::timers::Timers {
        &mut self.kernel.timers
    }

    /// Something is to be done that waits for no commit.
    pub(crate) fn act(&mut self, action: Action) {
        self.kernel.act(action);
    }

    /// A number for jitter.
    pub(crate) fn random(&mut self) -> u64 {
        self.kernel.random()
    }
}
