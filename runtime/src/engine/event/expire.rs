//! The end of an event's time: it is forgotten, and a dead letter if it was addressed to one saga that never took it.

use amends_core::id::SagaId;

use super::{EventRow, Published, name_of};
use crate::{
    engine::{
        kernel::{
            commit::{Entry, Stream},
            reads::{Reads, Unready},
            row,
            timers::Timer,
        },
        module::Modules,
        saga::{SagaKey, Sagas},
    },
    journal::{Actor, Death, Fact, MessageEvent, StreamHead, keys, record},
    store::Table,
};

/// The timer of an event fired.
pub(crate) fn expire(mut reads: Reads<'_>, sagas: &mut Sagas, modules: &Modules, timer: Timer) -> Result<(), Unready> {
    let head = reads.record(timer.start)?.map(|stored| record::decode_stored(&stored)).transpose()?;
    let event = Published::read(&mut reads, timer.start)?;
    let (Some(StreamHead { stream, .. }), Some(event)) = (head.and_then(|first| first.head), event) else {
        reads.done()?.clear_timer(timer);
        return Ok(());
    };
    let row_key = keys::event(&stream.namespace, &event.topic, timer.start);
    let row = reads.row(Table::Events, row_key.clone())?;
    let row = row.map(|row| row::decode::<EventRow>(&row, "an event's row")).transpose()?;
    let addressee = event.to.as_deref().and_then(|to| SagaId::new(to).ok());
    let addressee = addressee.map(|id| SagaKey { namespace: stream.namespace.clone(), id });
    let is_taken = match &addressee {
        None => true,
        // Its own stream says whether it took the event later; the event's does not.
        Some(key) => {
            sagas.ready(&mut reads, modules.definitions(), key)?
                && sagas.get(key).is_some_and(|saga| saga.has_consumed(&event.source, &event.id))
        }
    };
    let mut commit = reads.done()?;
    tracing::debug!(event = name_of(&event.source, &event.id), "an event's time is over");
    commit.clear_timer(timer);
    commit.delete(Table::Events, row_key);
    if let Some(row) = row.filter(|row| row.is_kept && !is_taken) {
        commit.metrics.dead_letter();
        let fact = Fact::Message(MessageEvent::Dead { reason: Death::NotTaken });
        let at = commit.now;
        commit.record(
            &mut Stream::goes_on(stream, timer.start, row.version),
            Entry { at, actor: Actor::Host, causation: None, fact },
        );
    }
    Ok(())
}
