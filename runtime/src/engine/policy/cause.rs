//! What a policy reacts to: an event, an answer to one of its commands, or a timer of an instance.

use std::sync::Arc;

use amends_core::{
    id::StepKey,
    policy::{self, Definition, InstanceEvent},
    value::{Failure, Instant},
};
use sha2::{Digest, Sha256};

use super::PolicyKey;
use crate::{
    engine::{guests::ToldCause, recorded::RecordedEvent},
    journal::{Corrupt, Fact, Record, RecordId},
    store::Position,
};

/// A cause that was read.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    pub(super) position: Position,
    pub(super) record: RecordId,
    pub(super) told: ToldCause,
    /// When it was recorded.
    pub(super) at: Instant,
    /// The root of its chain of causes.
    pub(super) root: String,
    /// Through how many streams its chain has led.
    pub(super) depth: u16,
    /// Why it can be taken by nobody.
    pub(super) flaw: Option<Failure>,
    /// It waited for an operator, and is tried again.
    pub(super) was_parked: bool,
}

/// Where a cause is, and what finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// An event: its type, and the id of its aggregate; empty, if it was published.
    Event { event_type: String, aggregate: String },
    /// An answer or a timer of this key.
    Arrival { key: String },
}

impl Cause {
    /// The cause of a record, and its key.
    pub(super) fn read(definition: &Definition, place: &Place, record: Record) -> Result<(String, Self), Corrupt> {
        match place {
            Place::Event { event_type, aggregate } => Self::of_event(definition, (event_type, aggregate), record),
            Place::Arrival { key } => Self::of_arrival(record).map(|cause| (key.clone(), cause)),
        }
    }

    fn of_event(definition: &Definition, of: (&str, &str), record: Record) -> Result<(String, Self), Corrupt> {
        let (position, id, depth) = (record.position, record.id, record.depth);
        let event = RecordedEvent::of(of, record)?;
        let (key, flaw) = match key_of(definition, &event) {
            Ok(key) => (key, None),
            Err(flaw) => (event.key.clone(), Some(flaw)),
        };
        let (at, root) = (event.recorded_at(), event.correlation.clone());
        let told = ToldCause::Event(Arc::new(event));
        Ok((key, Self { position, record: id, told, at, root, depth, flaw, was_parked: false }))
    }

    fn of_arrival(record: Record) -> Result<Self, Corrupt> {
        let Record { id, position, at, correlation, depth, fact, .. } = record;
        let root = correlation.unwrap_or_default();
        let told = match fact {
            Fact::Instance(InstanceEvent::TimerFired(timer)) => ToldCause::Timer(timer),
            Fact::Instance(InstanceEvent::Answered { command, name, answered }) => {
                ToldCause::Answer { command, name, correlation: root.clone(), answered }
            }
            _ => return Err(Corrupt(format!("position {position} is no cause of a policy, though a row says so"))),
        };
        Ok(Self { position, record: id, told, at, root, depth, flaw: None, was_parked: false })
    }

    /// What it was, as it is recorded.
    pub(super) fn recorded(&self) -> policy::Cause {
        match &self.told {
            ToldCause::Event(event) => policy::Cause::Event { id: event.id.clone(), event_type: event.event_type.clone() },
            ToldCause::Timer(timer) => policy::Cause::Timer { name: timer.name.clone() },
            ToldCause::Answer { command, .. } => policy::Cause::Answer { command: command.clone() },
        }
    }

    /// The event, if it is one.
    pub(super) fn event(&self) -> Option<&RecordedEvent> {
        match &self.told {
            ToldCause::Event(event) => Some(event),
            ToldCause::Timer(_) | ToldCause::Answer { .. } => None,
        }
    }

    /// What the ids of all that comes of it are made of: the same however often it is tried, and another one in another life of the
    /// policy.
    pub(super) fn ids(&self, policy: &PolicyKey, key: &str, incarnation: u32) -> StepKey {
        let (kind, of, id) = match &self.told {
            ToldCause::Event(event) => ("event", event.source.as_str(), event.id.clone()),
            ToldCause::Timer(timer) => ("timer", timer.name.as_str(), format!("{}", self.position)),
            ToldCause::Answer { command, .. } => ("answer", "", command.clone()),
        };
        let incarnation = incarnation.to_string();
        let parts = [policy.namespace.as_str(), &policy.name, &incarnation, key, kind, of, &id];
        let hashed = |hash: Sha256, part: &str| hash.chain_update(part.len().to_be_bytes()).chain_update(part.as_bytes());
        let digest = parts.into_iter().fold(Sha256::new(), hashed).finalize();
        let mut ids = [0; 16];
        ids.copy_from_slice(&digest[..16]);
        StepKey(ids)
    }
}

/// The key that an event is for.
fn key_of(definition: &Definition, event: &RecordedEvent) -> Result<String, Failure> {
    let Some(subscription) = definition.subscription(&event.event_type) else {
        return Err(Failure::new("not_taken", "the policy does not take events of this type any more"));
    };
    if !subscription.versions.contains(&event.version) {
        let known: Vec<String> = subscription.versions.iter().map(u32::to_string).collect();
        let message =
            format!("it is `{}` in form {}, and the policy reads form {}", event.event_type, event.version, known.join(" and "));
        return Err(Failure::new("unreadable_event", message));
    }
    subscription.key_of(&event.key, event.data.as_ref())
}
