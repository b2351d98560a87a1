//! What started a saga, where it was no request: the record that its start says it follows from.

use crate::{
    journal::{Fact, MessageEvent, Record, RecordId, StreamKind, record},
    store::{Store, StoreError},
};

/// What started a saga, where it was no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Starter {
    /// An event.
    Event(EventName),
    /// A schedule, at its moment or by hand: its name. It may be gone.
    Schedule(String),
}

/// Which event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventName {
    /// Who published it.
    pub source: String,
    /// The publisher's id of it.
    pub id: String,
    /// Its type.
    pub event_type: String,
}

/// The event or the schedule that a record is about; none if it is about something else.
pub(crate) fn starter_of(store: &dyn Store, record: RecordId) -> Result<Option<Starter>, StoreError> {
    let stored = store.log(record.stream, 1)?;
    let Some(Record { head, fact, .. }) = stored.first().map(record::decode_stored).transpose()? else { return Ok(None) };
    if let Fact::Message(MessageEvent::Event { source, id, topic, .. }) = fact {
        return Ok(Some(Starter::Event(EventName { source, id, event_type: topic.event_type })));
    }
    let scheduled = head.filter(|head| head.stream.kind == StreamKind::Schedule);
    Ok(scheduled.map(|head| Starter::Schedule(head.stream.id)))
}
