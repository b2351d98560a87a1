//! What started a saga, where it was no request: the record that its start says it follows from.

use crate::{
    engine::{aggregate::AggregateKey, recorded::RecordedEvent},
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
pub(crate) fn starter_of(store: &dyn Store, cause: RecordId) -> Result<Option<Starter>, StoreError> {
    let stored = store.log(cause.stream, 1)?;
    let Some(Record { head, fact, .. }) = stored.first().map(record::decode_stored).transpose()? else { return Ok(None) };
    if let Fact::Message(MessageEvent::Event { source, id, topic, .. }) = fact {
        return Ok(Some(Starter::Event(EventName { source, id, event_type: topic.event_type })));
    }
    if let Some(key) = head.as_ref().and_then(|head| AggregateKey::of(&head.stream)) {
        let recorded = store.stream(cause.stream, cause.version, 1)?.first().map(record::decode_stored).transpose()?;
        let event = recorded.and_then(|record| RecordedEvent::of_record((&key.name, &key.id), &record));
        return Ok(event.map(|RecordedEvent { source, id, event_type, .. }| Starter::Event(EventName { source, id, event_type })));
    }
    let scheduled = head.filter(|head| head.stream.kind == StreamKind::Schedule);
    Ok(scheduled.map(|head| Starter::Schedule(head.stream.id)))
}
