//! Sagas that events start: each begins in the commit of its event, or what stands against it for good is recorded there.

use amends_core::{Payload, trigger};
use serde::{Deserialize, Serialize};

use super::{
    Published,
    request::{NotStarted, Publish, StartedSaga},
};
use crate::{
    engine::refusal::{Refusal, RefusalCode},
    engine::{
        kernel::{
            commit::Commit,
            reads::{Reads, Unready},
            request::Origin,
        },
        module::Modules,
        saga::{self, Cause, SagaKey, Sagas, request::Start},
    },
    journal::Actor,
};

/// What an event started and what it did not: the same for everyone who publishes it again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Starts {
    pub(super) started: Vec<StartedSaga>,
    pub(super) not_started: Vec<NotStarted>,
}

/// A start that an event asks for, and that has not begun.
pub(super) struct PendingStart {
    start: Start,
    /// Why the saga of this id cannot be read, if there is one that cannot.
    unreadable: Option<String>,
}

/// The starts that an event asks for. A transient obstacle (overload, shutdown, quarantine) rejects the whole event and records
/// nothing: the publisher can retry.
pub(super) fn asked(
    reads: &mut Reads<'_>,
    sagas: &mut Sagas,
    modules: &Modules,
    origin: &Origin,
    publish: &Publish,
) -> Result<Result<Vec<PendingStart>, Refusal>, Unready> {
    let starts = match starts(reads, sagas, modules, origin, publish) {
        Ok(starts) => starts,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut asked = Vec::new();
    for start in starts {
        let key = SagaKey::new(&origin.namespace, &start.id);
        let unreadable = match sagas.ready(reads, modules.definitions(), &key) {
            Ok(_) => None,
            Err(Unready::Missing) => return Err(Unready::Missing),
            Err(Unready::Corrupt(why)) => Some(why),
        };
        asked.push(PendingStart { start, unreadable });
    }
    Ok(Ok(asked))
}

fn starts(
    reads: &Reads<'_>,
    sagas: &Sagas,
    modules: &Modules,
    origin: &Origin,
    publish: &Publish,
) -> Result<Vec<Start>, Refusal> {
    let Some(seed) = publish.seed.as_ref().filter(|_| publish.to.is_none()) else { return Ok(Vec::new()) };
    let definitions = modules.started_by(&origin.namespace, &publish.event_type);
    if definitions.is_empty() {
        return Ok(Vec::new());
    }
    sagas.refuse_new(reads, definitions.len())?;
    definitions.iter().try_for_each(|definition| saga::refuse_quarantined(modules, &origin.namespace, definition))?;
    let start = |definition: String| {
        let id = trigger::saga_id(&definition, &publish.source, &publish.id);
        Ok(Start {
            id: id.map_err(|bad| Refusal::new(RefusalCode::InputRefused, bad.to_string()))?,
            definition,
            input: publish.data.clone().unwrap_or_else(Payload::null),
            input_hash: seed.input_hash,
            incarnation: seed.incarnation,
            trace_context: seed.trace_context.clone(),
            wait: false,
        })
    };
    definitions.into_iter().map(start).collect()
}

/// Begins what an event asks for, with records that share its commit.
pub(super) fn start(
    commit: &mut Commit<'_>,
    sagas: &mut Sagas,
    modules: &mut Modules,
    origin: &Origin,
    event: &Published,
    asked: Vec<PendingStart>,
) -> Starts {
    let mut starts = Starts::default();
    for PendingStart { start, unreadable } in asked {
        let key = SagaKey::new(&origin.namespace, &start.id);
        let begun = match unreadable {
            Some(why) => Err(Refusal::new(RefusalCode::StorageFailed, format!("saga {} cannot be read: {why}", start.id))),
            None => start_one(commit, sagas, modules, &key, &start, event),
        };
        match begun {
            Ok(()) => starts.started.push(StartedSaga { saga: start.definition, id: start.id }),
            Err(refusal) => starts.not_started.push(not_started(start.definition, refusal)),
        }
        sagas.park(commit, &key);
    }
    starts
}

/// Begins one saga, unless the same event began it long ago.
fn start_one(
    commit: &mut Commit<'_>,
    sagas: &mut Sagas,
    modules: &mut Modules,
    key: &SagaKey,
    start: &Start,
    event: &Published,
) -> Result<(), Refusal> {
    if !sagas.is_there(key, start)? {
        let cause =
            Cause { actor: Actor::Host, record: Some(event.record_id()), root: Some(event.root.clone()), depth: event.depth + 1 };
        sagas.begin(commit, modules, key, start, cause)?;
        sagas.flush(commit, key);
        if let Some(position) = sagas.started_at(key) {
            commit.caused(&key.namespace, &event.id, position);
        }
    }
    Ok(())
}

fn not_started(saga: String, refusal: Refusal) -> NotStarted {
    NotStarted { saga, code: refusal.code, message: refusal.message, hints: refusal.hints }
}
