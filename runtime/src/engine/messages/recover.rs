//! Start-up: the messages that the host before this one did not pass on.

use amends_core::{
    event::{Event, Published, Sent},
    policy::InstanceEvent,
};

use super::{Line, Message, Messages, Row};
use crate::{
    engine::kernel::row,
    journal::{Corrupt, Fact, StreamId, StreamKind, keys, record},
    store::{Position, Range, Store, StoreError, Table},
};

/// The messages that are on their way, in the order of the journal.
pub(crate) fn read(store: &dyn Store) -> Result<Messages, StoreError> {
    let mut messages = Messages::default();
    for found in store.rows(&Range::under(Table::Messages, &[], usize::MAX))? {
        let position = keys::parse_message(&found.key)?;
        let Row { of, through, was_told, key, root } = row::decode(&found.value, "a message's row")?;
        match line(store, &of, position, was_told) {
            Ok(line) => messages.push(Message { through, key, root, ..Message::new(line, of, position) }),
            Err(StoreError::Corrupt(why)) => tracing::error!(position, why, "a message cannot be read: it is left as it is"),
            Err(failed) => return Err(failed),
        }
    }
    Ok(messages)
}

fn line(store: &dyn Store, of: &StreamId, position: Position, was_told: bool) -> Result<Line, StoreError> {
    if of.kind == StreamKind::Aggregate {
        return Ok(if was_told { Line::StartsBy(of.clone()) } else { Line::EventsOf(of.clone()) });
    }
    let stored = store.log(position, 1)?.pop();
    let fact = stored.map(|stored| record::decode_stored(&stored)).transpose()?.map(|record| record.fact);
    match fact {
        Some(Fact::Saga(event)) => Line::of(of, &event).ok_or_else(|| no_message(position)),
        Some(Fact::Instance(event)) => Line::of_instance(of, &event).ok_or_else(|| no_message(position)),
        _ => Err(no_message(position)),
    }
}

fn no_message(position: Position) -> StoreError {
    Corrupt(format!("position {position} is no message, though a row says so")).into()
}

impl Line {
    /// The line of what a step sent.
    pub(crate) fn of(saga: &StreamId, event: &Event) -> Option<Self> {
        match event {
            Event::Sent(_, sent) => Some(Self::of_command(saga, sent)),
            Event::Published(_, published) => Some(Self::of_event(saga, published)),
            _ => None,
        }
    }

    /// The line of what an instance of a policy sent.
    pub(crate) fn of_instance(instance: &StreamId, event: &InstanceEvent) -> Option<Self> {
        match event {
            InstanceEvent::Sent(sent) => Some(Self::of_command(instance, sent)),
            InstanceEvent::Published(published) => Some(Self::of_event(instance, published)),
            InstanceEvent::Started(_) => Some(Self::StartsOf(instance.clone())),
            InstanceEvent::Handled(_)
            | InstanceEvent::Answered { .. }
            | InstanceEvent::TimerFired(_)
            | InstanceEvent::Late { .. } => None,
        }
    }

    fn of_command(by: &StreamId, sent: &Sent) -> Self {
        let id = format!("{}/{}", sent.aggregate, sent.to);
        Self::CommandsTo(StreamId { namespace: by.namespace.clone(), kind: StreamKind::Aggregate, id })
    }

    fn of_event(by: &StreamId, published: &Published) -> Self {
        Self::Events(by.namespace.clone(), published.topic.clone())
    }
}
