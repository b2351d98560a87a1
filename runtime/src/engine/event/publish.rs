//! Publishing an event: its record, the sagas that take it and those that it starts are one commit.

use amends_core::{Instant, event::Topic, id::SagaId, refused::Refused};
use serde::{Deserialize, Serialize};

use super::{
    EventRow, Published, name_of,
    request::{Publish, PublishAnswer},
    triggers::{self, Starts},
};
use crate::{
    engine::refusal::Refusal,
    engine::{
        kernel::{
            answers::{self, Scope},
            commit::{Commit, Entry, Stream},
            fingerprint::{Fingerprint, Parts},
            reads::{Reads, Unready},
            request::{Origin, Said},
            row,
        },
        module::Modules,
        saga::{self, SagaKey, Sagas},
    },
    journal::{Fact, MessageEvent, StreamHead, StreamId, StreamKind, TimerKind, keys},
    store::{Position, Table},
};

/// What is kept of the first answer to an event.
#[derive(Debug, Serialize, Deserialize)]
struct First {
    woke: u32,
    kept_until: Option<u64>,
    position: Position,
    starts: Starts,
}

impl First {
    fn answer(self, duplicate: bool) -> PublishAnswer {
        let Self { woke, kept_until, position, starts: Starts { started, not_started } } = self;
        PublishAnswer { duplicate, woke, started, not_started, kept_until, position }
    }
}

/// An event, or a signal for one saga, comes in.
pub(crate) fn publish(
    mut reads: Reads<'_>,
    sagas: &mut Sagas,
    modules: &mut Modules,
    origin: &Origin,
    publish: &Publish,
) -> Result<Said<PublishAnswer>, Unready> {
    let fingerprint = fingerprint(publish);
    let answer = answers::key(&origin.namespace, Scope::Event, &name_of(&publish.source, &publish.id));
    match answers::first::<First>(&mut reads, &answer, &fingerprint)? {
        Ok(None) => {}
        Ok(Some(first)) => return Ok(Said::new(first.position, Ok(first.answer(true)))),
        Err(refusal) => return Ok(Said::refused(refusal)),
    }
    let takers = takers(&mut reads, sagas, modules, origin, publish);
    let starts = triggers::asked(&mut reads, sagas, modules, origin, publish);
    let (takers, starts) = (takers?, starts?);
    let mut commit = reads.done()?;
    let obstacle = commit.refuse_if_crowded().and_then(|()| refuse_ended(sagas, origin, publish)).and(starts);
    let starts = match obstacle {
        Ok(starts) => starts,
        Err(refusal) => {
            commit.metrics.refused(refusal.code);
            let addressee = publish.to.as_ref().map(|id| SagaKey::new(&origin.namespace, id));
            let at = addressee.map_or(0, |key| sagas.place(&mut commit, &key));
            return Ok(Said::new(at, Err(refusal)));
        }
    };
    let first = record(&mut commit, sagas, modules, origin, publish, takers, starts);
    let about = publish.to.as_ref().map(|id| SagaKey::new(&origin.namespace, id).stream());
    let position = first.position;
    answers::keep(&mut commit, answer, fingerprint, &first, about, position);
    Ok(Said::new(commit.last_position(), Ok(first.answer(false))))
}

/// The sagas that may take the event: the addressee, or those that wait for it.
fn takers(
    reads: &mut Reads<'_>,
    sagas: &mut Sagas,
    modules: &Modules,
    origin: &Origin,
    publish: &Publish,
) -> Result<Vec<SagaKey>, Unready> {
    match &publish.to {
        Some(id) => {
            let key = SagaKey::new(&origin.namespace, id);
            Ok(sagas.ready(reads, modules.definitions(), &key)?.then_some(key).into_iter().collect())
        }
        None => {
            let topic = Topic { event_type: publish.event_type.clone(), key: publish.key.clone() };
            let waiting = saga::rows::waiting_for(reads, &origin.namespace, &topic)?;
            sagas.all_ready(reads, modules.definitions(), waiting)
        }
    }
}

/// A signal to a saga that has ended is refused; one to a saga that is not there yet is kept for it.
fn refuse_ended(sagas: &Sagas, origin: &Origin, publish: &Publish) -> Result<(), Refusal> {
    let Some(id) = &publish.to else { return Ok(()) };
    match sagas.get(&SagaKey::new(&origin.namespace, id)) {
        Some(saga) if saga.is_ended() => Err(saga::ended(id, saga)),
        Some(_) | None => Ok(()),
    }
}

/// Records the event, gives it to its takers, starts what it starts, and records what became of it.
fn record(
    commit: &mut Commit<'_>,
    sagas: &mut Sagas,
    modules: &mut Modules,
    origin: &Origin,
    publish: &Publish,
    takers: Vec<SagaKey>,
    starts: Vec<triggers::Asked>,
) -> First {
    let topic = Topic { event_type: publish.event_type.clone(), key: publish.key.clone() };
    let to = publish.to.as_ref().map(|id| id.as_str().to_owned());
    let Publish { source, id, data, .. } = publish.clone();
    let fact =
        MessageEvent::Event { source: source.clone(), id: id.clone(), topic: topic.clone(), to: to.clone(), data: data.clone() };
    let name = StreamId { namespace: origin.namespace.clone(), kind: StreamKind::Event, id: name_of(&source, &id) };
    let mut stream = Stream::begins(StreamHead::new(name, to.clone().unwrap_or_else(|| id.clone())));
    let position = append(commit, &mut stream, origin, fact);
    let event = Published { position, source, id, topic, to, data };
    let mut woke = 0;
    for key in takers {
        woke += u32::from(sagas.deliver(commit, modules, &key, event.arrived()));
    }
    let starts = triggers::start(commit, sagas, modules, origin, &event, starts);
    for not_started in &starts.not_started {
        commit.metrics.dead_letter();
        let why = Refused { code: not_started.code, message: not_started.message.clone() };
        append(commit, &mut stream, origin, MessageEvent::NotStarted { saga: not_started.saga.clone(), why });
    }
    let until = commit.now.plus(commit.limits.event_kept_ms);
    let is_kept = woke == 0 && starts.started.is_empty();
    if is_kept {
        append(commit, &mut stream, origin, MessageEvent::Kept { until });
    }
    keep_findable(commit, origin, &event, until, is_kept, stream.version);
    First { woke, kept_until: is_kept.then_some(until.0), position: commit.last_position(), starts }
}

fn append(commit: &mut Commit<'_>, stream: &mut Stream, origin: &Origin, fact: MessageEvent) -> Position {
    let (at, actor) = (commit.now, origin.actor.clone());
    commit.record(stream, Entry { at, actor, causation: None, fact: Fact::Message(fact) }).position
}

/// The event stays findable for sagas that come to wait for it.
fn keep_findable(commit: &mut Commit<'_>, origin: &Origin, event: &Published, until: Instant, is_kept: bool, version: u64) {
    let Published { position, source, id, topic, to, .. } = event;
    let row = EventRow { to: to.clone(), source: source.clone(), id: id.clone(), until, is_kept, version };
    commit.put(Table::Events, keys::event(&origin.namespace, topic, *position), row::encode(&row));
    commit.timer(TimerKind::Event, *position, None, Some(until));
}

/// What a signal that is sent again must be equal in: to whom, the name, the key, and the data byte by byte. Of a published event the
/// source and the id alone say that it is the same.
fn fingerprint(publish: &Publish) -> Fingerprint {
    let Some(to) = &publish.to else { return Parts::default().done() };
    let parts = Parts::default().part(SagaId::as_str(to)).part(&publish.event_type).part(&publish.key);
    publish.data.iter().fold(parts, Parts::payload).done()
}
