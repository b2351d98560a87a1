//! What may be asked about events, and the answers.

use std::sync::{Arc, OnceLock};

use amends_core::{event::Topic, id::SagaId, value::Payload};
use serde::{Deserialize, Serialize};

use crate::{
    engine::refusal::{Hint, Refusal, RefusalCode},
    journal::RecordId,
};

/// An event from outside.
#[derive(Clone, Debug)]
pub struct Publish {
    /// With `id` it is the deduplication key.
    pub source: String,
    /// The publisher's id of the event.
    pub id: String,
    /// Its type.
    pub event_type: String,
    /// Its correlation key.
    pub key: String,
    /// One saga only: a signal.
    pub to: Option<SagaId>,
    /// Its data.
    pub data: Option<Payload>,
    /// What the sagas that it starts begin with; none for a signal, which starts none.
    pub seed: Option<Seed>,
    /// The step or the policy that publishes it; none: somebody outside does.
    pub cause: Option<Cause>,
    /// The events that it was sent with; none: it came alone.
    pub batch: Option<Batch>,
}

/// Events that were sent together. They are decided in the order in which they are asked for, whatever each is about.
///
/// Behind one that the host has no room for now, none of them is taken: sent again, that one would come behind what followed it.
#[derive(Clone, Debug)]
pub struct Batch {
    number: u64,
    /// Set once, by who decides about the events, one after the other.
    cut: Arc<OnceLock<RefusalCode>>,
}

impl Batch {
    /// No two that are under way have the same number.
    pub fn new(number: u64) -> Self {
        Self { number, cut: Arc::default() }
    }

    /// Which one it is.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// What is said of an event behind one that was refused with this code.
    pub fn behind(code: RefusalCode) -> Refusal {
        let said = "an event before it in the batch was not taken, so this one was not either";
        Refusal::new(code, said).hint("send the batch again: what was taken is not recorded twice")
    }

    /// Refuses an event behind one that was not taken.
    pub(crate) fn refuse_behind(&self) -> Result<(), Refusal> {
        self.cut.get().map_or(Ok(()), |code| Err(Self::behind(*code)))
    }

    /// An event of it was refused. What stands against that event alone does not stand against those behind it.
    pub(crate) fn refused(&self, code: RefusalCode) {
        let is_of_host =
            matches!(code, RefusalCode::Overloaded | RefusalCode::Stopping | RefusalCode::StorageFailed | RefusalCode::LowSpace);
        if is_of_host {
            let _ = self.cut.set(code);
        }
    }
}

/// What publishes an event inside the host.
#[derive(Clone, Debug)]
pub struct Cause {
    /// Its record.
    pub record: RecordId,
    /// Under which id a trace finds it: that of the saga, or that of what the policy sent.
    pub by: String,
    /// The root of its chain of causes.
    pub root: String,
    /// Through how many streams that chain has led to it.
    pub depth: u16,
}

impl Publish {
    /// What it is about.
    pub(crate) fn topic(&self) -> Topic {
        Topic { event_type: self.event_type.clone(), key: self.key.clone() }
    }
}

/// What the sagas that an event starts begin with, beside its data.
#[derive(Clone, Debug)]
pub struct Seed {
    /// SHA-256 of the canonical data.
    pub input_hash: [u8; 32],
    /// 128 random bits for the keys of their steps.
    pub incarnation: [u8; 16],
    /// W3C `traceparent`.
    pub trace_context: Option<String>,
}

/// The answer to an event. A repeated one gets what the first one got, but for `duplicate`.
#[derive(Clone, Debug)]
pub struct PublishAnswer {
    /// It was there already.
    pub duplicate: bool,
    /// How many sagas it woke.
    pub woke: u32,
    /// What it started.
    pub started: Vec<StartedSaga>,
    /// What it was to start, and never will.
    pub not_started: Vec<NotStarted>,
    /// Nobody took it: it is kept until then (milliseconds since 1970).
    pub kept_until: Option<u64>,
    /// The position of its record.
    pub position: u64,
}

/// A saga that an event started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedSaga {
    /// The definition's name.
    pub saga: String,
    /// Its id.
    pub id: SagaId,
}

/// A saga that an event was to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotStarted {
    /// The definition's name.
    pub saga: String,
    /// Which refusal.
    pub code: RefusalCode,
    /// What stands against it.
    pub message: String,
    /// What to do about it.
    pub hints: Vec<Hint>,
}
