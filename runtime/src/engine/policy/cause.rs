//! What a policy reacts to: an event, an answer to one of its commands, or a timer of an instance.

use std::sync::Arc;

use amends_core::{
    aggregate::AggregateEvent,
    id::StepKey,
    policy::{self, Definition, InstanceEvent, Subscription},
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
    pub(super) flaw: Option<Flaw>,
    /// Another system recorded it, and what followed from it as well.
    pub(super) is_imported: bool,
    /// It waited for an operator, and is tried again.
    pub(super) was_parked: bool,
}

/// Why nobody can take a cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) failure: Failure,
    /// It is known for which key it is: what comes after it with that key is held up.
    pub(super) has_key: bool,
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
    /// The cause of a record, and its key; none: it is an event that is not for the policy.
    pub(super) fn read(definition: &Definition, place: &Place, record: Record) -> Result<(Option<String>, Self), Corrupt> {
        match place {
            Place::Event { event_type, aggregate } => Self::of_event(definition, (event_type, aggregate), record),
            Place::Arrival { key } => Self::of_arrival(record).map(|cause| (Some(key.clone()), cause)),
        }
    }

    fn of_event(definition: &Definition, of: (&str, &str), record: Record) -> Result<(Option<String>, Self), Corrupt> {
        let (position, id, depth) = (record.position, record.id, record.depth);
        let is_imported = matches!(record.fact, Fact::Aggregate(AggregateEvent::Imported { .. }));
        let event = RecordedEvent::of(of, record)?;
        let (key, flaw) = key_of(definition, &event);
        let (at, root) = (event.recorded_at(), event.correlation.clone());
        let told = ToldCause::Event(Arc::new(event));
        Ok((key, Self { position, record: id, told, at, root, depth, flaw, is_imported, was_parked: false }))
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
        Ok(Self { position, record: id, told, at, root, depth, flaw: None, is_imported: false, was_parked: false })
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

    /// What it says, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let data = match &self.told {
            ToldCause::Event(event) => event.data.as_ref(),
            ToldCause::Timer(timer) => timer.data.as_ref(),
            ToldCause::Answer { .. } => None,
        };
        data.map_or(0, |data| data.bytes.len())
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

/// The key that an event is for, and why nobody can take it. Without a key that can be known it is under its own.
fn key_of(definition: &Definition, event: &RecordedEvent) -> (Option<String>, Option<Flaw>) {
    let Some(subscription) = definition.subscription(&event.event_type) else {
        let failure = Failure::new("not_taken", "the policy does not take events of this type any more");
        return (Some(event.key.clone()), Some(Flaw { failure, has_key: false }));
    };
    match subscription.key_of(&event.key, event.data.as_ref()) {
        Err(failure) => (Some(event.key.clone()), Some(Flaw { failure, has_key: false })),
        Ok(None) => (None, None),
        Ok(Some(key)) if subscription.versions.contains(&event.version) => (Some(key), None),
        Ok(Some(key)) => (Some(key), Some(Flaw { failure: unreadable(subscription, event), has_key: true })),
    }
}

fn unreadable(subscription: &Subscription, event: &RecordedEvent) -> Failure {
    let known: Vec<String> = subscription.versions.iter().map(u32::to_string).collect();
    let (event_type, version) = (&event.event_type, event.version);
    let message = format!("it is `{event_type}` in form {version}, and the policy reads form {}", known.join(" and "));
    Failure::new("unreadable_event", message)
}
