//! Records in the making: facts at the end of a stream, each in its place, behind the one that it follows.

use amends_core::Instant;
use bytes::Bytes;

use crate::{
    engine::rows,
    journal::{Actor, Fact, Record, RecordId, StreamHead, keys, record},
    store::{Append, Position, RowChange, Table},
};

/// Where a stream ends, as far as it is decided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    /// The position of its first record.
    pub(crate) stream: Position,
    /// How many records it has.
    pub(crate) version: u64,
}

/// What one record says.
pub(crate) struct Entry {
    pub(crate) at: Instant,
    pub(crate) actor: Actor,
    /// What caused it; none: the record before it, if there is one.
    pub(crate) causation: Option<RecordId>,
    pub(crate) fact: Fact,
}

/// The records that a stream gets.
pub(crate) struct Tail {
    append: Append,
    epoch: u32,
    head: Option<StreamHead>,
    begins: Option<RowChange>,
}

impl Tail {
    /// The first records of a stream: the first of them has the head.
    pub(crate) fn first(head: StreamHead, first_position: Position, epoch: u32) -> Self {
        let start = Bytes::copy_from_slice(&first_position.to_be_bytes());
        let begins = rows::put(Table::ById, keys::by_id(&head.stream), start);
        let append = Append { stream: first_position, first_version: 1, first_position, records: Vec::new() };
        Self { append, epoch, head: Some(head), begins: Some(begins) }
    }

    /// More records of a stream.
    pub(crate) fn behind(end: End, first_position: Position, epoch: u32) -> Self {
        let append = Append { stream: end.stream, first_version: end.version + 1, first_position, records: Vec::new() };
        Self { append, epoch, head: None, begins: None }
    }

    /// The position of the stream's first record.
    pub(crate) fn stream(&self) -> Position {
        self.append.stream
    }

    /// Where the next record will be.
    pub(crate) fn position(&self) -> Position {
        self.append.first_position + self.append.records.len() as u64
    }

    /// How many records the stream will have with those so far.
    pub(crate) fn version(&self) -> u64 {
        self.append.first_version + self.append.records.len() as u64 - 1
    }

    /// Adds a record; how many bytes it has.
    pub(crate) fn push(&mut self, entry: Entry) -> u64 {
        let Entry { at, actor, causation, fact } = entry;
        let (stream, before) = (self.append.stream, self.version());
        let parent = (before > 0).then_some(RecordId { stream, version: before });
        let bytes = record::encode(&Record {
            id: RecordId { stream, version: before + 1 },
            position: self.position(),
            at,
            causation: causation.or(parent),
            epoch: self.epoch,
            generation: 1,
            actor,
            head: self.head.take(),
            fact,
        });
        let length = bytes.len() as u64;
        self.append.records.push(bytes);
        length
    }

    /// The records, and the row that names the stream if it begins with them.
    pub(crate) fn finish(self) -> (Append, Option<RowChange>) {
        (self.append, self.begins)
    }
}
