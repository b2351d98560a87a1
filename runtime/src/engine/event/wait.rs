//! A saga begins to wait: an event that came before the wait may be for it.
//!
//! An event of an aggregate that is on its way to the store is looked at as well: it was recorded when nobody waited for it, so nobody
//! would tell it.

use amends_core::{Saga, event::Topic};

use super::{EventRow, Published};
use crate::{
    engine::{
        aggregate::AggregateKey,
        kernel::{
            reads::{Reads, Since, Unready},
            row,
        },
        module::Modules,
        recorded::RecordedEvent,
        saga::{SagaKey, Sagas},
    },
    journal::{RecordId, keys, record},
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
        let Some(saga) = sagas.get(key) else { break };
        let started = sagas.started_at(key);
        let kept = match first_kept(&mut reads, saga, started, key, topic)? {
            Some(position) => Published::read(&mut reads, position)?,
            None => None,
        };
        let recorded = match aggregate_of(key, topic) {
            Some(aggregate) => first_recorded(&mut reads, saga, (started, sagas.cause_of(key)), &aggregate, topic)?,
            None => None,
        };
        found = kept.into_iter().chain(recorded).min_by_key(|event| event.position);
        if found.is_some() {
            break;
        }
    }
    sagas.looked(&mut reads.done()?, modules, key, found.map(|event| event.arrived()));
    Ok(())
}

/// The aggregate whose events those of a topic are, if there is one. What it has recorded counts also while no module has it.
fn aggregate_of(key: &SagaKey, topic: &Topic) -> Option<AggregateKey> {
    let (name, _) = topic.event_type.split_once('.')?;
    Some(AggregateKey::new(&key.namespace, name, &topic.key))
}

/// The first event of a topic that its aggregate recorded after the start of a saga, and that the saga may take. A saga that an event of
/// this aggregate started takes what came behind that event: the start may have come later than the next ones.
fn first_recorded(
    reads: &mut Reads<'_>,
    saga: &Saga,
    (started, cause): (Option<Position>, Option<RecordId>),
    key: &AggregateKey,
    topic: &Topic,
) -> Result<Option<Published>, Unready> {
    let name = key.stream();
    let Some(start) = reads.start_of(&name)? else { return Ok(None) };
    let since = cause.filter(|cause| cause.stream == start).map(|cause| Since::Version(cause.version + 1));
    let mut from = since.or(started.map(Since::Behind));
    while let Some(here) = from {
        let (records, next) = reads.next_of((&name, start), here)?;
        from = next;
        for stored in &records {
            let record = record::decode_stored(stored)?;
            let Some(event) = RecordedEvent::of_record((&key.name, &key.id), &record) else { continue };
            // What was imported happened elsewhere, long ago.
            if event.imported.is_none() && event.event_type == topic.event_type && !saga.has_consumed(&event.source, &event.id) {
                return Ok(Some(Published::of_aggregate(event, record.id, record.depth)));
            }
        }
    }
    Ok(None)
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
