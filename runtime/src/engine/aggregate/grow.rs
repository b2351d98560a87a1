//! The stream of an aggregate grows: facts with the rows that follow from them, whoever decided them.

use amends_core::{
    aggregate::{AggregateEvent, Sender},
    value::Instant,
};

use super::{
    AggregateKey, Shapes,
    resident::Resident,
    rows::{self, Kept},
};
use crate::{
    engine::{
        kernel::{
            commit::{Chain, Commit, Entry, Stream},
            release::Release,
        },
        recorded::{self, RecordedEvent},
    },
    journal::{Actor, Fact, StreamHead},
};

/// The length of a stream is shown in steps of so many events.
const LENGTH_STEP: u64 = 100;

/// A stream is said to be long at each so many events.
const LONG_STREAM: u64 = 10_000;

/// An aggregate in memory whose stream grows.
pub(super) struct Growing<'a, 'k> {
    pub(super) commit: &'a mut Commit<'k>,
    pub(super) resident: &'a mut Resident,
    pub(super) shapes: &'a mut Shapes,
    pub(super) key: &'a AggregateKey,
}

impl Growing<'_, '_> {
    /// Appends a fact to the stream, and gives it if it is an event. Who has appended all calls [`grown`](Self::grown).
    pub(super) fn record(&mut self, at: Instant, actor: &Actor, chain: &Chain, fact: AggregateEvent) -> Option<RecordedEvent> {
        let name = self.key.stream();
        let mut stream = match self.resident.standing.facts {
            0 => Stream::begins(StreamHead::new(name.clone(), name.id)),
            facts => Stream::goes_on(name, self.resident.start, facts),
        };
        let entry = Entry { at, actor: actor.clone(), causation: None, fact: Fact::Aggregate(fact.clone()) };
        let position = self.commit.record_in(chain.clone(), &mut stream, entry).position;
        self.resident.start = stream.start;
        self.resident.apply(&fact, position, at);
        let correlation = chain.correlation.as_deref().unwrap_or_default();
        if let Some(command) = fact.command() {
            let by = match &command.sender {
                Some(Sender::Saga { id, .. }) => id,
                // Under its own id, which the record of who sent it leads to.
                Some(Sender::Policy { .. }) | None => &command.id,
            };
            self.commit.caused(&self.key.namespace, by, position);
        }
        let event = RecordedEvent::of_aggregate((&self.key.name, &self.key.id), &fact, position, at, correlation)?;
        self.commit.named(&self.key.namespace, &event.event_type, position, recorded::row(Some(&self.key.id)));
        self.shapes.record(self.commit, self.key, &event.event_type, event.version, position);
        Some(event)
    }

    /// So many events were appended: who follows the stream is told, and one that has grown long is said so, before the fold of all of
    /// it takes long.
    pub(super) fn grown(&mut self, events: u64) {
        if events == 0 {
            return;
        }
        let revision = self.resident.standing.revision;
        let passes = |step: u64| revision / step > (revision - events) / step;
        if passes(LENGTH_STEP) {
            self.commit.metrics.stream_grew(&self.key.name, revision);
        }
        if passes(LONG_STREAM) {
            let advice = "end it and go on in another one, or keep states more often: without a kept state all events are folded";
            tracing::warn!(aggregate = %self.key, events = revision, advice, "the stream of an aggregate has grown long");
        }
        self.commit.release_at(self.resident.last, Release::Changed(self.key.stream(), revision));
    }

    /// Keeps the state, if enough events have come since the last time.
    pub(super) fn keep(&mut self, every: u32) {
        let resident = &mut *self.resident;
        let is_due = every > 0 && resident.standing.revision >= resident.kept_at + u64::from(every);
        if let Some(base) = resident.base.as_ref().filter(|_| is_due) {
            let (base, standing) = (base.clone(), resident.standing.clone());
            resident.kept_at = base.revision;
            rows::keep(self.commit, self.key, &Kept { base, standing, start: resident.start, last: resident.last });
        }
    }
}
