//! Events and signals: journaled before they are matched, given to every saga that waits, kept for those that come later.

use std::collections::{HashMap, VecDeque};

use amends_core::{
    Instant, Payload,
    event::{Arrival, Topic},
    id::{Namespace, SagaId},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    engine::{
        answers::{self, About},
        fingerprint::{self, Fingerprint},
        load::LoadError,
        port::{Answer, Origin, Publish, PublishAnswer, Refusal, RefusalCode},
        release::Release,
        requests::{self, key_reused},
        resident::SagaKey,
        rows,
        shard::Shard,
        tail::{End, Entry, Tail},
        triggers::Starts,
    },
    journal::{Actor, Fact, MessageEvent, RecordId, StreamHead, StreamId, StreamKind, keys, record},
    store::{Position, RowChange, StoreError, Table},
};

/// What is decided about messages and not yet in the store's tables.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    events: VecDeque<(Position, Namespace, Kept)>,
    answers: HashMap<Vec<u8>, (Position, Bytes)>,
}

/// An event that a wait may find.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) position: Position,
    source: String,
    pub(crate) id: String,
    topic: Topic,
    to: Option<String>,
    data: Option<Payload>,
}

impl Kept {
    fn arrival(&self) -> Arrival {
        Arrival { source: self.source.clone(), id: self.id.clone(), topic: self.topic.clone(), data: self.data.clone() }
    }
}

/// The row of an event: enough to match it without reading the journal.
#[derive(Debug, Serialize, Deserialize)]
struct EventRow {
    to: Option<String>,
    source: String,
    id: String,
    until: Instant,
}

/// The row of an answer that a repeated message gets again; what the event started is behind it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct AnswerRow {
    /// What a signal said; none for a published event, whose source and id alone say that it is the same.
    fingerprint: Option<Fingerprint>,
    woke: u32,
    kept_until: Option<u64>,
    position: Position,
}

impl AnswerRow {
    fn answer(self, duplicate: bool, starts: Starts) -> PublishAnswer {
        let Self { woke, kept_until, position, .. } = self;
        let Starts { started, not_started } = starts;
        PublishAnswer { duplicate, woke, started, not_started, kept_until, position }
    }
}

/// Events read at a time when a wait looks for one that came before it.
const PAGE: usize = 64;

impl Recent {
    pub(crate) fn forget_up_to(&mut self, durable: Position) {
        while self.events.front().is_some_and(|(position, ..)| *position <= durable) {
            self.events.pop_front();
        }
        if !self.answers.is_empty() {
            self.answers.retain(|_, (position, _)| *position > durable);
        }
    }

    /// Remembers a row of `Table::Answers` until it can be read back.
    pub(crate) fn remember(&mut self, key: Vec<u8>, position: Position, value: Bytes) {
        self.answers.insert(key, (position, value));
    }
}

impl Shard {
    /// A row of `Table::Answers`, committed or on its way.
    pub(crate) fn answer_row(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.recent.answers.get(key) {
            Some((_, value)) => Ok(Some(value.clone())),
            None => self.store.row(Table::Answers, key),
        }
    }

    pub(crate) fn publish(&mut self, origin: &Origin, publish: Publish, answer: Answer<PublishAnswer>) {
        let to = publish.to.clone().map(|id| (origin.namespace.clone(), id));
        let said = self.published(origin, publish).inspect_err(|refusal| self.metrics.refused(refusal.code));
        match (said, to) {
            (Ok(said), _) => self.release_at(said.position, Release::Publish(answer, Ok(said))),
            (Err(refusal), Some(key)) => {
                self.release_after(&key, Release::Publish(answer, Err(refusal)));
                self.park(&key);
            }
            (Err(refusal), None) => self.release_at(0, Release::Publish(answer, Err(refusal))),
        }
    }

    fn published(&mut self, origin: &Origin, publish: Publish) -> Result<PublishAnswer, Refusal> {
        self.refuse_if_failed()?;
        let fingerprint = publish.to.is_some().then(|| fingerprint::of_signal(&publish));
        let dedupe = answers::key_of_event(&origin.namespace, &name_of(&publish.source, &publish.id));
        if let Some(row) = self.answer_row(&dedupe).map_err(|error| self.storage_refusal(&error))? {
            let said = rows::decode_grown(&row, "an event's answer").map_err(|error| self.storage_refusal(&error));
            let (said, starts): (AnswerRow, Starts) = said?;
            if said.fingerprint != fingerprint {
                return Err(key_reused());
            }
            return Ok(said.answer(true, starts));
        }
        self.refuse_if_crowded()?;
        if let Some(id) = &publish.to {
            self.refuse_ended(&(origin.namespace.clone(), id.clone()))?;
        }
        let asked = self.asked_starts(origin, &publish)?;
        let until = self.now.plus(self.limits.event_kept_ms);
        let topic = Topic { event_type: publish.event_type, key: publish.key };
        let addressed = publish.to;
        let to = addressed.as_ref().map(|id| id.as_str().to_owned());
        let Publish { source, id, data, .. } = publish;
        let kept = Kept { position: self.last_position + 1, source, id, topic, to, data };
        let before = self.actions.len();
        self.append_event(origin, &kept, until);
        let woke = self.give(&origin.namespace, &kept, addressed.as_ref());
        let starts = self.start_by(origin, &kept, asked);
        let kept_until = (woke == 0 && starts.started.is_empty()).then_some(until);
        let said = AnswerRow { fingerprint, woke, kept_until: kept_until.map(|until| until.0), position: kept.position };
        let row = rows::encode(&(said, &starts));
        let end = End { stream: kept.position, version: 1 + starts.not_started.len() as u64 };
        self.append_fate(origin, end, kept_until, rows::put(Table::Answers, dedupe.clone(), row.clone()));
        // An event without its arrivals and starts would never be given to those that wait already, and start nothing.
        self.join_commits(before);
        self.recent.remember(dedupe, self.last_position, row);
        Ok(AnswerRow { position: self.last_position, ..said }.answer(false, starts))
    }

    fn refuse_ended(&mut self, key: &SagaKey) -> Result<(), Refusal> {
        match self.ensure_resident(key) {
            Ok(()) => {
                let saga = self.residents.get(key).map(|resident| &resident.saga);
                saga.filter(|saga| saga.is_ended()).map_or(Ok(()), |saga| Err(requests::ended(&key.1, saga)))
            }
            Err(LoadError::NotFound) => Ok(()),
            Err(error) => {
                self.lost(key, &error);
                Err(Refusal::new(RefusalCode::StorageFailed, format!("saga {} cannot be read: {error}", key.1)))
            }
        }
    }

    fn append_event(&mut self, origin: &Origin, kept: &Kept, until: Instant) {
        let fact = MessageEvent::Event {
            source: kept.source.clone(),
            id: kept.id.clone(),
            topic: kept.topic.clone(),
            to: kept.to.clone(),
            data: kept.data.clone(),
        };
        let name = name_of(&kept.source, &kept.id);
        let stream = StreamId { namespace: origin.namespace.clone(), kind: StreamKind::Event, id: name };
        let head = StreamHead::new(stream, kept.to.clone().unwrap_or_else(|| kept.id.clone()));
        let row = EventRow { to: kept.to.clone(), source: kept.source.clone(), id: kept.id.clone(), until };
        let start = kept.position;
        let rows = vec![
            rows::put(Table::Events, keys::event(&origin.namespace, &kept.topic, start), rows::encode(&row)),
            rows::put(Table::Timers, keys::timer(until, start), Bytes::new()),
        ];
        let mut tail = Tail::first(head, start, self.epoch);
        tail.push(Entry { at: self.now, actor: origin.actor.clone(), causation: None, fact: Fact::Message(fact) });
        self.commit(tail, rows);
        self.timers.moved(start, None, Some(until), start);
        self.recent.events.push_back((start, origin.namespace.clone(), kept.clone()));
    }

    /// What became of the event at once: somebody took it, or it is kept.
    fn append_fate(&mut self, origin: &Origin, end: End, kept_until: Option<Instant>, answer: RowChange) {
        match kept_until {
            Some(until) => {
                let fact = MessageEvent::Kept { until };
                self.append_message(end, fact, origin.actor.clone(), vec![answer]);
            }
            None => self.commit_rows(vec![answer]),
        }
    }

    /// One more record of an event's stream.
    pub(crate) fn append_message(&mut self, end: End, fact: MessageEvent, actor: Actor, rows: Vec<RowChange>) {
        let mut tail = Tail::behind(end, self.last_position + 1, self.epoch);
        tail.push(Entry { at: self.now, actor, causation: None, fact: Fact::Message(fact) });
        self.commit(tail, rows);
    }

    /// Gives an event to every saga that waits for it; how many took it.
    fn give(&mut self, namespace: &Namespace, kept: &Kept, to: Option<&SagaId>) -> u32 {
        let takers: Vec<SagaKey> = match to {
            Some(id) => vec![(namespace.clone(), id.clone())],
            None => self.waiting_for(namespace, &kept.topic),
        };
        let mut woke = 0;
        for key in takers {
            let arrival = kept.arrival();
            let cause = RecordId { stream: kept.position, version: 1 };
            if self.deliver(&key, arrival, Some(cause)) {
                // The sender is told that a saga took it: that must be durable with the answer, also when the saga runs ahead.
                self.flush(&key);
                woke += 1;
            }
        }
        woke
    }

    fn waiting_for(&mut self, namespace: &Namespace, topic: &Topic) -> Vec<SagaKey> {
        let mut keys = self.residents_where(|resident| resident.saga.effects().topics.contains(topic));
        keys.retain(|(at, _)| at == namespace);
        let parked = rows::waiting_for(self.store.as_ref(), namespace, topic).and_then(|streams| {
            streams
                .into_iter()
                .filter_map(|stream| rows::saga_at(self.store.as_ref(), stream).transpose())
                .collect::<Result<Vec<_>, _>>()
        });
        match parked {
            Ok(parked) => keys.extend(parked),
            Err(error) => self.fail(error.to_string()),
        }
        keys.into_iter().collect()
    }

    /// A saga begins to wait: the first event that came before the wait and that it has not consumed is given to it, and what
    /// follows from that is done. False if there is none.
    pub(crate) fn match_kept(&mut self, key: &SagaKey, topics: &[Topic]) -> bool {
        for topic in topics {
            match self.first_kept(key, topic) {
                Ok(Some(kept)) => {
                    let arrival = kept.arrival();
                    self.deliver(key, arrival, Some(RecordId { stream: kept.position, version: 1 }));
                    return true;
                }
                Ok(None) => {}
                Err(error) => {
                    self.fail(error.to_string());
                    return false;
                }
            }
        }
        false
    }

    fn first_kept(&self, key: &SagaKey, topic: &Topic) -> Result<Option<Kept>, StoreError> {
        let Some(resident) = self.residents.get(key) else { return Ok(None) };
        let started = resident.flushed.as_ref().map_or(Position::MAX, |flushed| flushed.stream);
        let fits = |position: Position, to: Option<&str>, source: &str, id: &str| {
            let addressed = to == Some(key.1.as_str());
            (addressed || (to.is_none() && position > started)) && !resident.saga.has_consumed(source, id)
        };
        let mut from = 0;
        loop {
            let range = keys::events_of(&key.0, topic, from, PAGE);
            let page = self.store.rows(&range)?;
            for row in &page {
                let (.., position) = keys::parse_event(&row.key)?;
                let event: EventRow = rows::decode(&row.value, "an event's row")?;
                if event.until > self.now && fits(position, event.to.as_deref(), &event.source, &event.id) {
                    return self.kept_at(position);
                }
                from = position + 1;
            }
            if page.len() < PAGE {
                break;
            }
        }
        let recent = self.recent.events.iter().filter(|(_, namespace, kept)| *namespace == key.0 && kept.topic == *topic);
        Ok(recent.map(|(.., kept)| kept).find(|kept| fits(kept.position, kept.to.as_deref(), &kept.source, &kept.id)).cloned())
    }

    fn kept_at(&self, position: Position) -> Result<Option<Kept>, StoreError> {
        let stored = self.store.log(position, 1)?;
        let Some(stored) = stored.first() else { return Ok(None) };
        match record::decode_stored(stored)?.fact {
            Fact::Message(MessageEvent::Event { source, id, topic, to, data }) => {
                Ok(Some(Kept { position, source, id, topic, to, data }))
            }
            _ => Err(StoreError::Corrupt(format!("position {position} is no event, though a row says so"))),
        }
    }

    /// The end of an event's park time: it is forgotten, and a dead letter if it was addressed to one saga that never took it.
    ///
    /// `due` is the moment of the timer that fired: the park time of an event is the one that held when it came.
    pub(crate) fn expire_event(&mut self, stream: Position, due: Instant) -> Result<(), StoreError> {
        let stored = self.store.stream(stream, 1, 3)?;
        let Some(first) = stored.first() else { return Ok(()) };
        let first = record::decode_stored(first)?;
        let (Some(head), Fact::Message(MessageEvent::Event { source, topic, to, id, .. })) = (&first.head, &first.fact) else {
            return Ok(());
        };
        let namespace = head.stream.namespace.clone();
        let row = rows::delete(Table::Events, keys::event(&namespace, topic, stream));
        let about = About { saga: self.addressee(&namespace, to.as_deref())?, position: stream, since: first.at };
        let mut changes = self.expire_answer(&answers::key_of_event(&namespace, &name_of(source, id)), about, due)?;
        changes.push(row);
        let was_kept = stored.len() == 2;
        tracing::debug!(stream, due = due.0, "an event's park time is over");
        if was_kept && to.as_deref().is_some_and(|to| !self.has_taken(&namespace, to, source, id)) {
            self.metrics.dead_letter();
            let reason = "nobody took it in its park time".to_owned();
            self.append_message(End { stream, version: 2 }, MessageEvent::Dead { reason }, Actor::Host, changes);
        } else {
            self.commit_rows(changes);
        }
        Ok(())
    }

    /// Whether the saga that an event was addressed to took it later. Its own stream says so; the event's does not.
    fn has_taken(&mut self, namespace: &Namespace, to: &str, source: &str, event: &str) -> bool {
        let Ok(id) = SagaId::new(to) else { return false };
        let key = (namespace.clone(), id);
        match self.ensure_resident(&key) {
            Ok(()) => {
                let taken = self.residents.get(&key).is_some_and(|resident| resident.saga.has_consumed(source, event));
                self.park(&key);
                taken
            }
            Err(LoadError::NotFound) => false,
            Err(error) => {
                self.lost(&key, &error);
                true
            }
        }
    }

    pub(crate) fn storage_refusal(&self, error: &StoreError) -> Refusal {
        Refusal::new(RefusalCode::StorageFailed, error.to_string())
    }
}

/// An event's name. Its source and its id may hold any text; the source is escaped, so that the first `/` ends it.
fn name_of(source: &str, id: &str) -> String {
    format!("{}/{id}", source.replace('%', "%25").replace('/', "%2F"))
}
