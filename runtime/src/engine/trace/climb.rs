//! From something in a chain of causes to what began it.

use amends_core::{aggregate::Sender, id::Namespace};

use super::{Anchor, decision_before, head_at, policy, record_at};
use crate::{
    engine::kernel::reads,
    journal::{Fact, RecordId, StreamId, StreamKind},
    store::{Store, StoreError},
};

/// What lies on the way from the beginning of a chain to one thing in it.
pub(super) struct Path {
    /// A moment of a schedule, before all of them.
    pub(super) schedule: Option<RecordId>,
    /// From the beginning on; the last one is where the climb began.
    pub(super) anchors: Vec<Anchor>,
}

/// The way up. It ends: what caused something was recorded before it.
pub(super) fn path(store: &dyn Store, namespace: &Namespace, from: Anchor) -> Result<Path, StoreError> {
    let mut path = Path { schedule: None, anchors: vec![from] };
    let mut here = from;
    while let Some(above) = above(store, namespace, here, &mut path.schedule)? {
        path.anchors.insert(0, above);
        here = above;
    }
    Ok(path)
}

fn above(
    store: &dyn Store,
    namespace: &Namespace,
    here: Anchor,
    schedule: &mut Option<RecordId>,
) -> Result<Option<Anchor>, StoreError> {
    match here {
        // A step of a saga may have published it.
        Anchor::Published(start) => {
            let Some(cause) = record_at(store, start)?.and_then(|published| published.causation) else { return Ok(None) };
            sender(store, cause)
        }
        Anchor::Decision(position) => {
            let Some(record) = record_at(store, position)? else { return Ok(None) };
            let Fact::Aggregate(fact) = &record.fact else { return Ok(None) };
            let id = match fact.command().and_then(|command| command.sender.as_ref()) {
                Some(Sender::Saga { id, .. }) => id,
                Some(Sender::Policy { .. }) => return record.causation.map_or(Ok(None), |cause| sender(store, cause)),
                None => return Ok(None),
            };
            let name = StreamId { namespace: namespace.clone(), kind: StreamKind::Saga, id: id.clone() };
            Ok(reads::end_of(store, &name)?.map(|end| Anchor::Saga(end.start)))
        }
        Anchor::Saga(start) => {
            let Some(cause) = record_at(store, start)?.and_then(|started| started.causation) else { return Ok(None) };
            match head_at(store, cause.stream)?.map(|head| head.stream.kind) {
                Some(StreamKind::Schedule) => {
                    *schedule = Some(cause);
                    Ok(None)
                }
                Some(StreamKind::Instance) => sender(store, cause),
                Some(_) | None => event(store, cause),
            }
        }
        Anchor::Reaction(position) => {
            let Some(reaction) = record_at(store, position)? else { return Ok(None) };
            if let Some(before) = policy::reaction_that_led_to(store, &reaction)? {
                return Ok(Some(Anchor::Reaction(before.position)));
            }
            reaction.causation.map_or(Ok(None), |cause| event(store, cause))
        }
    }
}

/// What sent a message, from its record: a saga, or a policy.
fn sender(store: &dyn Store, sent: RecordId) -> Result<Option<Anchor>, StoreError> {
    match head_at(store, sent.stream)?.map(|head| head.stream.kind) {
        Some(StreamKind::Saga) => Ok(Some(Anchor::Saga(sent.stream))),
        Some(StreamKind::Instance) => {
            Ok(policy::reaction_before(store, sent)?.map(|reaction| Anchor::Reaction(reaction.position)))
        }
        Some(_) | None => Ok(None),
    }
}

/// What an event is part of.
fn event(store: &dyn Store, event: RecordId) -> Result<Option<Anchor>, StoreError> {
    match head_at(store, event.stream)?.map(|head| head.stream.kind) {
        Some(StreamKind::Event) => Ok(Some(Anchor::Published(event.stream))),
        Some(StreamKind::Aggregate) => Ok(decision_before(store, event.stream, event.version)?.map(Anchor::Decision)),
        Some(_) | None => Ok(None),
    }
}
