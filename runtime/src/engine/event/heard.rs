//! Events of aggregates: which of them somebody hears, and what comes of those.
//!
//! Most events of aggregates end no wait and start nothing, and cost nothing here but a look at what is known of their types.

use std::collections::{BTreeSet, HashSet};

use amends_core::{id::Namespace, value::Payload};
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{
    Published,
    request::{Publish, Seed},
    triggers,
};
use crate::{
    engine::{
        aggregate::AggregateKey,
        guests::{Decided, Decision, GuestReport},
        kernel::{
            reads::{Reads, Unready},
            request::Origin,
        },
        messages::{Line, Message},
        module::Modules,
        recorded::RecordedEvent,
        refusal::Refusal,
        saga::{
            Sagas,
            rows::{self, Recipients},
        },
    },
    journal::{Actor, RecordId, record},
};

/// The types of the events in a report that some saga waits for, or is started by.
pub(crate) fn heard(
    reads: &mut Reads<'_>,
    sagas: &mut Sagas,
    modules: &Modules,
    key: &AggregateKey,
    report: &GuestReport,
) -> Result<HashSet<String>, Unready> {
    let GuestReport::Decided(Ok(Decided { decisions, .. })) = report else { return Ok(HashSet::new()) };
    let Some(active) = modules.aggregate(&key.namespace, &key.name) else { return Ok(HashSet::new()) };
    let decided: BTreeSet<&str> = decisions.iter().flat_map(types).collect();
    let declared = active.aggregate.definition.events.iter().map(|event| event.event_type.as_str());
    let mut heard = HashSet::new();
    for event_type in declared.filter(|event_type| decided.contains(event_type)) {
        let starts = !modules.started_by(&key.namespace, event_type).is_empty();
        if starts || listens(reads, sagas, &key.namespace, event_type)? {
            heard.insert(event_type.to_owned());
        }
    }
    Ok(heard)
}

/// Whether some saga may wait for a type. If the rows of those who wait are damaged, the message fails by that and not the command.
fn listens(reads: &mut Reads<'_>, sagas: &mut Sagas, namespace: &Namespace, event_type: &str) -> Result<bool, Unready> {
    match sagas.listens(reads, namespace, event_type) {
        Err(Unready::Corrupt(_)) => Ok(true),
        listens => listens,
    }
}

fn types(decision: &Decision) -> impl Iterator<Item = &str> {
    let events = match decision {
        Decision::Accepted { events, .. } => events.as_slice(),
        Decision::Refused(_) => &[],
    };
    events.iter().map(|event| event.event_type.as_str())
}

/// What a turn of a message leaves to do.
pub(crate) enum Left {
    /// Nothing.
    Nothing,
    /// Its answer: it was sent, and those behind it wait for that.
    Answer,
    /// Others are to be told, or what it starts is to begin.
    Turn(Message),
    /// All of it, later.
    All(Message, Refusal),
    /// All of it, and of those behind it, later.
    Line(Message, Refusal),
}

/// Tells the next sagas that wait for an aggregate's event, those that had begun before it, and says how many those were.
pub(crate) fn tell(
    mut reads: Reads<'_>,
    sagas: &mut Sagas,
    modules: &mut Modules,
    message: &Message,
) -> Result<(Left, usize), Unready> {
    let (event, record, depth) = recorded(&mut reads, message)?;
    let event = Published::of_aggregate(event, record, depth);
    let namespace = message.of.namespace.clone();
    let between = (message.through, message.position);
    let Recipients { keys, more_after } = rows::waiting_for(&mut reads, &namespace, &event.topic, between)?;
    let keys = sagas.all_ready(&mut reads, modules.definitions(), keys)?;
    let mut commit = reads.done()?;
    let told = keys.len();
    for key in keys {
        sagas.deliver(&mut commit, modules, &key, event.arrived());
    }
    let next = match more_after {
        Some(through) => Message { through, ..message.clone() },
        None if modules.started_by(&namespace, &event.topic.event_type).is_empty() => {
            message.forget(&mut commit);
            return Ok((Left::Nothing, told));
        }
        None => Message { line: Line::StartsBy(message.of.clone()), ..message.clone() },
    };
    next.keep(&mut commit);
    Ok((Left::Turn(next), told))
}

/// Starts what an aggregate's event starts.
pub(crate) fn start(mut reads: Reads<'_>, sagas: &mut Sagas, modules: &mut Modules, message: &Message) -> Result<Left, Unready> {
    let (event, record, depth) = recorded(&mut reads, message)?;
    let asked = asked(&event);
    let event = Published::of_aggregate(event, record, depth);
    let origin = Origin { namespace: message.of.namespace.clone(), actor: Actor::Host, idempotency_key: None };
    let starts = triggers::asked(&mut reads, sagas, modules, &origin, &asked)?;
    let mut commit = reads.done()?;
    let starts = match starts {
        Ok(starts) => starts,
        Err(refusal) => return Ok(Left::All(message.clone(), refusal)),
    };
    for not in triggers::start(&mut commit, sagas, modules, &origin, &event, starts).not_started {
        let (event, saga, code, why) = (&event.id, &not.saga, not.code.as_str(), &not.message);
        commit.metrics.dead_letter();
        tracing::error!(
            event,
            saga,
            code,
            why,
            "an aggregate's event was to start a saga, and something stands against it for good"
        );
    }
    message.forget(&mut commit);
    Ok(Left::Nothing)
}

/// The event of a message, its record, and through how many streams its chain of causes has led.
fn recorded(reads: &mut Reads<'_>, message: &Message) -> Result<(RecordedEvent, RecordId, u16), Unready> {
    let stored = reads.record(message.position)?;
    let record = stored.map(|stored| record::decode_stored(&stored)).transpose()?;
    let key = AggregateKey::of(&message.of);
    let event = record.zip(key).and_then(|(record, key)| {
        let event = RecordedEvent::of_record((&key.name, &key.id), &record)?;
        Some((event, record.id, record.depth))
    });
    event.ok_or_else(|| Unready::Corrupt(format!("the record at {} is no event of an aggregate", message.position)))
}

/// The input of a saga that an aggregate's event starts: which event it is, with its data.
#[derive(Serialize)]
struct Input<'a> {
    source: &'a str,
    key: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    version: u32,
    revision: u64,
    data: Option<&'a RawValue>,
}

/// The event, as if it was published: the keys of what it starts are made of it, so that it starts the same however often.
fn asked(event: &RecordedEvent) -> Publish {
    let RecordedEvent { source, key, id, event_type, version, revision, position, .. } = event;
    let mut incarnation = [0; 16];
    let parts = [source.as_bytes(), id.as_bytes(), &position.to_be_bytes()];
    let hashed = |hash: Sha256, part: &[u8]| hash.chain_update(part.len().to_be_bytes()).chain_update(part);
    let digest = parts.into_iter().fold(Sha256::new(), hashed).finalize();
    incarnation.copy_from_slice(&digest[..16]);
    let data = event.data.as_ref().and_then(|data| serde_json::from_slice(&data.bytes).ok());
    let input = Input { source, key, event_type, version: *version, revision: *revision, data };
    let input = match serde_json::to_vec(&input) {
        Ok(text) => Payload::json(text),
        Err(error) => unreachable!("texts, numbers and JSON are JSON: {error}"),
    };
    let seed = Seed { input_hash: Sha256::digest(&input.bytes).into(), incarnation, trace_context: None };
    Publish {
        source: source.clone(),
        id: id.clone(),
        event_type: event_type.clone(),
        key: key.clone(),
        to: None,
        data: Some(input),
        seed: Some(seed),
        cause: None,
        batch: None,
    }
}
