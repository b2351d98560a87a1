//! Publishing an event: its record, the sagas that take it and those that it starts are one commit.

use amends_core::{
    Instant,
    id::{Namespace, SagaId},
    refused::Refused,
};
use serde::{Deserialize, Serialize};

use super::{
    EventRow, Published, begun_at,
    delivery::Delivery,
    name_of,
    request::{Publish, PublishAnswer},
    triggers::{self, Starts},
};
use crate::{
    engine::refusal::{Refusal, RefusalCode},
    engine::{
        kernel::{
            answers::{self, Scope},
            commit::{Chain, Commit, Entry, Stream},
            fingerprint::{Fingerprint, Parts},
            reads::{Reads, Unready},
            release::Release,
            request::{Origin, Said},
            row,
        },
        module::Modules,
        recorded,
        saga::{
            self, SagaKey, Sagas,
            rows::{self, Recipients},
        },
    },
    journal::{Fact, MessageEvent, StreamHead, StreamId, StreamKind, TimerKind, keys},
    store::{Position, Table},
};

/// What is kept of the first answer to an event.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct First {
    pub(super) woke: u32,
    pub(super) kept_until: Option<u64>,
    pub(super) position: Position,
    pub(super) starts: Starts,
    /// It is still being told, and the position is that of the event: the answer is to come.
    pub(super) under_way: bool,
}

/// What comes of an event at once.
pub(crate) enum Heard {
    /// Its answer.
    Said(Said<PublishAnswer>),
    /// It is told to many, some of them in a turn, and answered at the end.
    Begins(Box<Delivery>),
    /// It came before, and is being told.
    UnderWay(Position),
}

impl First {
    pub(super) fn answer(self, duplicate: bool) -> PublishAnswer {
        let Self { woke, kept_until, position, starts: Starts { started, not_started }, under_way: _ } = self;
        PublishAnswer { duplicate, woke, started, not_started, kept_until, position }
    }
}

/// An event, or a signal for one saga, comes in. `is_behind`: another one of its topic is still being told.
pub(crate) fn publish(
    mut reads: Reads<'_>,
    sagas: &mut Sagas,
    modules: &mut Modules,
    origin: &Origin,
    publish: &Publish,
    is_behind: bool,
) -> Result<Heard, Unready> {
    let fingerprint = fingerprint(publish);
    let answer = answers::key(&origin.namespace, Scope::Event, &name_of(&publish.source, &publish.id));
    match answers::first::<First>(&mut reads, &answer, &fingerprint)? {
        Ok(None) => {}
        Ok(Some(first)) if first.under_way => return Ok(Heard::UnderWay(first.position)),
        Ok(Some(first)) => return Ok(Heard::Said(Said::new(first.position, Ok(first.answer(true))))),
        Err(refusal) => return Ok(Heard::Said(Said::refused(refusal))),
    }
    let takers = if is_behind { Ok(Takers::Many) } else { takers(&mut reads, sagas, modules, origin, publish) };
    let starts = triggers::asked(&mut reads, sagas, modules, origin, publish);
    let (takers, starts) = (takers?, starts?);
    let mut commit = reads.done()?;
    let obstacle = commit.refuse_if_crowded().and_then(|()| refuse_ended(sagas, origin, publish));
    let obstacle = obstacle.and_then(|()| refuse_borrowed(modules, origin, publish)).and(starts);
    let starts = match obstacle {
        Ok(starts) => starts,
        Err(refusal) => {
            commit.metrics.refused(refusal.code);
            let addressee = publish.to.as_ref().map(|id| SagaKey::new(&origin.namespace, id));
            let at = addressee.map_or(0, |key| sagas.place(&mut commit, &key));
            return Ok(Heard::Said(Said::new(at, Err(refusal))));
        }
    };
    let (first, delivery) = record(&mut commit, sagas, modules, origin, publish, takers, starts);
    let about = publish.to.as_ref().map(|id| SagaKey::new(&origin.namespace, id).stream());
    let position = first.position;
    answers::keep(&mut commit, answer, fingerprint, &first, about, position);
    Ok(match delivery {
        Some(delivery) => Heard::Begins(Box::new(delivery)),
        None => Heard::Said(Said::new(commit.last_position(), Ok(first.answer(false)))),
    })
}

/// The sagas that may take an event.
enum Takers {
    These(Vec<SagaKey>),
    /// More than are told at once.
    Many,
}

/// The sagas that may take the event: the addressee, or those that wait for it.
fn takers(
    reads: &mut Reads<'_>,
    sagas: &mut Sagas,
    modules: &Modules,
    origin: &Origin,
    publish: &Publish,
) -> Result<Takers, Unready> {
    let keys = match &publish.to {
        Some(id) => {
            let key = SagaKey::new(&origin.namespace, id);
            sagas.ready(reads, modules.definitions(), &key)?.then_some(key).into_iter().collect()
        }
        None => {
            let topic = publish.topic();
            let Recipients { keys, more_after } = rows::waiting_for(reads, &origin.namespace, &topic, (0, Position::MAX))?;
            if more_after.is_some() {
                return Ok(Takers::Many);
            }
            sagas.all_ready(reads, modules.definitions(), keys)?
        }
    };
    Ok(Takers::These(keys))
}

/// A signal to a saga that has ended is refused; one to a saga that is not there yet is kept for it.
fn refuse_ended(sagas: &Sagas, origin: &Origin, publish: &Publish) -> Result<(), Refusal> {
    let Some(id) = &publish.to else { return Ok(()) };
    match sagas.get(&SagaKey::new(&origin.namespace, id)) {
        Some(saga) if saga.is_ended() => Err(saga::ended(id, saga)),
        Some(_) | None => Ok(()),
    }
}

/// The types of an aggregate's events are its own, and so are their ids: nobody else says what it decided.
fn refuse_borrowed(modules: &Modules, origin: &Origin, publish: &Publish) -> Result<(), Refusal> {
    if modules.aggregate(&origin.namespace, &publish.source).is_some() {
        let said =
            format!("`{}` is an aggregate in namespace `{}`, and publishes its own events", publish.source, origin.namespace);
        return Err(Refusal::new(RefusalCode::NameTaken, said).hint("give the source a name of your own"));
    }
    let (Some((name, _)), None) = (publish.event_type.split_once('.'), &publish.to) else { return Ok(()) };
    match modules.aggregate(&origin.namespace, name) {
        Some(_) => {
            let said = format!("events `{name}.…` are those of the aggregate `{name}` in namespace `{}`", origin.namespace);
            Err(Refusal::new(RefusalCode::NameTaken, said).hint("give the event another type, or send the aggregate a command"))
        }
        None => Ok(()),
    }
}

/// Records the event, gives it to its takers, starts what it starts, and records what became of it, if it is not told to many.
fn record(
    commit: &mut Commit<'_>,
    sagas: &mut Sagas,
    modules: &mut Modules,
    origin: &Origin,
    publish: &Publish,
    takers: Takers,
    starts: Vec<triggers::PendingStart>,
) -> (First, Option<Delivery>) {
    let topic = publish.topic();
    let to = publish.to.as_ref().map(|id| id.as_str().to_owned());
    let Publish { source, id, data, .. } = publish.clone();
    let fact =
        MessageEvent::Event { source: source.clone(), id: id.clone(), topic: topic.clone(), to: to.clone(), data: data.clone() };
    let name = StreamId { namespace: origin.namespace.clone(), kind: StreamKind::Event, id: name_of(&source, &id) };
    let cause = publish.cause.as_ref();
    let root = cause.map(|cause| cause.root.clone()).or_else(|| to.clone()).unwrap_or_else(|| id.clone());
    let mut stream = Stream::begins(StreamHead::new(name.clone(), root.clone()));
    let (at, actor, causation) = (commit.now, origin.actor.clone(), cause.map(|cause| cause.record));
    let chain = Chain { correlation: None, depth: cause.map_or(0, |cause| cause.depth), cause: None };
    let entry = Entry { at, actor, causation, fact: Fact::Message(fact) };
    let position = commit.record_in(chain, &mut stream, entry).position;
    if let Some(cause) = cause {
        commit.caused(&origin.namespace, &cause.by, position);
    }
    if to.is_none() {
        commit.named(&origin.namespace, &topic.event_type, position, recorded::row(None));
        commit.release_at(position, Release::Changed(name, 1));
    }
    let depth = cause.map_or(0, |cause| cause.depth);
    let event = Published { position, record: begun_at(position), root, depth, source, id, topic, to, data };
    let mut woke = 0;
    if let Takers::These(keys) = &takers {
        for key in keys {
            woke += u32::from(sagas.deliver(commit, modules, key, event.arrived()));
        }
    }
    let starts = triggers::start(commit, sagas, modules, origin, &event, starts);
    for not_started in &starts.not_started {
        commit.metrics.dead_letter();
        let why = Refused { code: not_started.code, message: not_started.message.clone() };
        append(commit, &mut stream, origin, MessageEvent::NotStarted { saga: not_started.saga.clone(), why });
    }
    let until = commit.now.plus(commit.limits.event_kept_ms);
    if matches!(takers, Takers::Many) {
        keep_findable(commit, origin, &event, until, false, stream.version);
        let first = First { woke, kept_until: None, position, starts: starts.clone(), under_way: true };
        return (first, Some(Delivery::new(event, until, stream.version, starts)));
    }
    let is_kept = woke == 0 && starts.started.is_empty();
    if is_kept {
        append(commit, &mut stream, origin, MessageEvent::Kept { until });
    }
    keep_findable(commit, origin, &event, until, is_kept, stream.version);
    let kept_until = is_kept.then_some(until.0);
    (First { woke, kept_until, position: commit.last_position(), starts, under_way: false }, None)
}

fn append(commit: &mut Commit<'_>, stream: &mut Stream, origin: &Origin, fact: MessageEvent) -> Position {
    let (at, actor) = (commit.now, origin.actor.clone());
    commit.record(stream, Entry { at, actor, causation: None, fact: Fact::Message(fact) }).position
}

/// The event stays findable for sagas that come to wait for it.
fn keep_findable(commit: &mut Commit<'_>, origin: &Origin, event: &Published, until: Instant, is_kept: bool, version: u64) {
    put_row(commit, &origin.namespace, event, until, is_kept, version);
    commit.timer(TimerKind::Event, event.position, None, Some(until));
}

/// What is said of an event to sagas that come to wait for it.
pub(super) fn put_row(
    commit: &mut Commit<'_>,
    namespace: &Namespace,
    event: &Published,
    until: Instant,
    is_kept: bool,
    version: u64,
) {
    let Published { position, source, id, topic, to, .. } = event;
    let row = EventRow { to: to.clone(), source: source.clone(), id: id.clone(), until, is_kept, version };
    commit.put(Table::Events, keys::event(namespace, topic, *position), row::encode(&row));
}

/// The answer to an event that was told to many.
pub(super) fn put_answer(commit: &mut Commit<'_>, namespace: &Namespace, event: &Published, first: &First) {
    let answer = answers::key(namespace, Scope::Event, &name_of(&event.source, &event.id));
    answers::put(commit, answer, published(), first);
}

/// What a signal that is sent again must be equal in: to whom, the name, the key, and the data byte by byte. Of a published event the
/// source and the id alone say that it is the same.
fn fingerprint(publish: &Publish) -> Fingerprint {
    let Some(to) = &publish.to else { return published() };
    let parts = Parts::default().part(SagaId::as_str(to)).part(&publish.event_type).part(&publish.key);
    publish.data.iter().fold(parts, Parts::payload).done()
}

/// Of a published event nothing else is compared.
fn published() -> Fingerprint {
    Parts::default().done()
}
