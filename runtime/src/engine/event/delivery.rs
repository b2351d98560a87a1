//! An event for which more sagas wait than are told at once: it is recorded, told to some of them in a turn, and answered at the end.

use amends_core::{Instant, event::Topic, id::Namespace};
use serde::{Deserialize, Serialize};

use super::{
    Published, begun_at, name_of,
    publish::{self, First},
    request::PublishAnswer,
    triggers::Starts,
};
use crate::{
    engine::{
        kernel::{
            commit::{Commit, Entry, Stream},
            reads::{Reads, Unready},
        },
        module::Modules,
        saga::{SagaKey, Sagas},
    },
    journal::{Actor, Fact, MessageEvent, StreamId, StreamKind},
    store::Position,
};

/// How far an event is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Delivery {
    position: Position,
    topic: Topic,
    source: String,
    id: String,
    /// It stays findable until then.
    until: Instant,
    /// How many records its stream has.
    version: u64,
    woke: u32,
    starts: Starts,
}

impl Delivery {
    /// An event that was recorded and not told to anybody yet.
    pub(super) fn new(event: Published, until: Instant, version: u64, starts: Starts) -> Self {
        let Published { position, source, id, topic, .. } = event;
        Self { position, topic, source, id, until, version, woke: 0, starts }
    }

    /// The position of its record.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// What it is about.
    pub(crate) fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The event, as its record says it.
    pub(crate) fn event(&self, reads: &mut Reads<'_>) -> Result<Published, Unready> {
        let event = Published::read(reads, self.position)?;
        event.ok_or_else(|| Unready::Corrupt(format!("the record at {} is no event", self.position)))
    }

    /// Tells it to these sagas, which are in memory.
    pub(crate) fn tell(
        &mut self,
        commit: &mut Commit<'_>,
        sagas: &mut Sagas,
        modules: &mut Modules,
        event: &Published,
        to: Vec<SagaKey>,
    ) {
        for key in to {
            self.woke += u32::from(sagas.deliver(commit, modules, &key, event.arrived()));
        }
    }

    /// Everybody was told: what became of it is recorded, and is the answer from now on.
    pub(crate) fn end(self, commit: &mut Commit<'_>, namespace: &Namespace) -> PublishAnswer {
        let Self { position, topic, source, id, until, version, woke, starts } = self;
        // Nothing follows from it any more: its rows need neither its chain of causes nor its data.
        let (record, root) = (begun_at(position), String::new());
        let event = Published { position, record, root, depth: 0, source, id, topic, to: None, data: None };
        // Its time may be over before everybody was told.
        let is_kept = woke == 0 && starts.started.is_empty() && until > commit.now;
        if is_kept {
            let name = StreamId { namespace: namespace.clone(), kind: StreamKind::Event, id: name_of(&event.source, &event.id) };
            let mut stream = Stream::goes_on(name, position, version);
            let (at, fact) = (commit.now, Fact::Message(MessageEvent::Kept { until }));
            commit.record(&mut stream, Entry { at, actor: Actor::Host, causation: None, fact });
            publish::put_row(commit, namespace, &event, until, is_kept, stream.version);
        }
        let kept_until = is_kept.then_some(until.0);
        let first = First { woke, kept_until, position: commit.last_position(), starts, under_way: false };
        publish::put_answer(commit, namespace, &event, &first);
        first.answer(false)
    }
}
