//! A saga begins to wait: an event that came before the wait may be for it.

use amends_core::{Saga, event::Topic};

use super::{EventRow, Published};
use crate::{
    engine::{
        kernel::{
            reads::{Reads, Unready},
            row,
        },
        module::Modules,
        saga::{SagaKey, Sagas},
    },
    journal::keys,
    store::Position,
};

/// Events that are read at a time.
const PAGE: usize = 64;

/// Gives a saga the first event that came before its wait and that it has not consumed, in the commit of the wait.
pub(crate) fn look(
    mut reads: Reads<'_>,
    sagas: &mut Sagas,
    modules: &mut Modules,
    key: &SagaKey,
    topics: &[Topic],
) -> Result<(), Unready> {
    let mut found = None;
    for topic in topics {
        let first = match sagas.get(key) {
            Some(saga) => first_kept(&mut reads, saga, sagas.started_at(key), key, topic)?,
            None => None,
        };
        if let Some(position) = first {
            found = Published::read(&mut reads, position)?.map(|event| event.arrived());
            break;
        }
    }
    sagas.looked(&mut reads.done()?, modules, key, found);
    Ok(())
}

/// The first event of a topic that a saga may take: one that is addressed to it, whenever it came, or one that came after its start.
fn first_kept(
    reads: &mut Reads<'_>,
    saga: &Saga,
    started: Option<Position>,
    key: &SagaKey,
    topic: &Topic,
) -> Result<Option<Position>, Unready> {
    let mut from = 0;
    loop {
        let page = reads.rows(&keys::events_of(&key.namespace, topic, from, PAGE))?;
        for row in &page.rows {
            let (.., position) = keys::parse_event(&row.key)?;
            let event: EventRow = row::decode(&row.value, "an event's row")?;
            let is_for_it = match &event.to {
                Some(to) => to == key.id.as_str(),
                // A saga whose start has no place yet begins after every event that has one.
                None => started.is_some_and(|started| position > started),
            };
            if is_for_it && event.until > reads.now && !saga.has_consumed(&event.source, &event.id) {
                return Ok(Some(position));
            }
        }
        match page.end {
            Some(end) => from = keys::parse_event(&end)?.2 + 1,
            None => return Ok(None),
        }
    }
}
