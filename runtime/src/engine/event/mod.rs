//! Events and signals: journaled before they are matched, given to every saga that waits, kept for those that come later.
//!
//! - [`request`]: what may be asked; `publish`: what it means; `delivery`: an event for which many wait
//! - `wait`: a saga that begins to wait looks for what came before; `expire`: the end of an event's time
//! - `triggers`: sagas that an event starts; [`heard`]: events of aggregates, which end waits and start sagas as well

pub(crate) mod request;

mod publish;

mod delivery;

mod triggers;

mod wait;

mod expire;

pub(crate) mod heard;

pub(crate) use self::{
    delivery::Delivery,
    expire::expire,
    publish::{Heard, publish},
    wait::look,
};

use amends_core::{
    Instant, Payload,
    event::{Arrival, Topic},
};
use serde::{Deserialize, Serialize};

use crate::{
    engine::{
        kernel::reads::{Reads, Unready},
        recorded::RecordedEvent,
        saga::Arrived,
    },
    journal::{Fact, MessageEvent, Record, RecordId, record},
    store::Position,
};

/// An event, as its record says it.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    position: Position,
    record: RecordId,
    /// The root of its chain of causes, and through how many streams that has led to it.
    root: String,
    depth: u16,
    source: String,
    id: String,
    topic: Topic,
    /// The saga that it is addressed to.
    to: Option<String>,
    data: Option<Payload>,
}

impl Published {
    /// The record of the event at a position; `None`: there is another one.
    fn read(reads: &mut Reads<'_>, position: Position) -> Result<Option<Self>, Unready> {
        let Some(stored) = reads.record(position)? else { return Ok(None) };
        let Record { head, fact, depth, .. } = record::decode_stored(&stored)?;
        let Fact::Message(MessageEvent::Event { source, id, topic, to, data }) = fact else { return Ok(None) };
        let root = head.map(|head| head.correlation).unwrap_or_default();
        Ok(Some(Self { position, record: begun_at(position), root, depth, source, id, topic, to, data }))
    }

    /// An event that an aggregate recorded.
    fn of_aggregate(event: RecordedEvent, record: RecordId, depth: u16) -> Self {
        let RecordedEvent { source, id, event_type, key, position, correlation: root, data, .. } = event;
        Self { position, record, root, depth, source, id, topic: Topic { event_type, key }, to: None, data }
    }

    fn record_id(&self) -> RecordId {
        self.record
    }

    /// The event on its way to a saga.
    fn arrived(&self) -> Arrived {
        let Self { source, id, topic, data, .. } = self.clone();
        Arrived { arrival: Arrival { source, id, topic, data }, cause: self.record_id() }
    }
}

/// The first record of a stream.
fn begun_at(position: Position) -> RecordId {
    RecordId { stream: position, version: 1 }
}

/// The row of an event: enough to match it without reading its record.
#[derive(Debug, Serialize, Deserialize)]
struct EventRow {
    to: Option<String>,
    source: String,
    id: String,
    /// It stays findable until then.
    until: Instant,
    /// Nobody took it at once.
    is_kept: bool,
    /// How many records its stream has.
    version: u64,
}

/// An event's name. Its source and its id may hold any text; the source is escaped, so that the first `/` ends it.
pub(crate) fn name_of(source: &str, id: &str) -> String {
    format!("{}/{id}", source.replace('%', "%25").replace('/', "%2F"))
}

/// The source and the id that a name was made of.
pub(crate) fn parts_of(name: &str) -> (String, &str) {
    let (source, id) = name.split_once('/').unwrap_or((name, ""));
    (source.replace("%2F", "/").replace("%25", "%"), id)
}
