//! Sagas that events start: each begins in the commit of its event, or what stands against it for good is recorded there.

use amends_core::{Payload, trigger};
use serde::{Deserialize, Serialize};

use crate::{
    engine::{
        messages::Kept,
        port::{NotStarted, Origin, Publish, Refusal, RefusalCode, Start, StartedSaga},
        resident::SagaKey,
        shard::{Cause, Shard},
        tail::End,
    },
    journal::{Actor, MessageEvent, RecordId},
};

/// What an event started and what it did not: the same for everyone who publishes it again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Starts {
    pub(crate) started: Vec<StartedSaga>,
    pub(crate) not_started: Vec<NotStarted>,
}

impl Shard {
    /// The starts that an event asks for. What may pass refuses the event with all of them: sent again, it finds nothing recorded.
    pub(crate) fn asked_starts(&self, origin: &Origin, publish: &Publish) -> Result<Vec<Start>, Refusal> {
        let Some(seed) = publish.seed.as_ref().filter(|_| publish.to.is_none()) else { return Ok(Vec::new()) };
        let sagas = self.modules.started_by(&origin.namespace, &publish.event_type);
        if sagas.is_empty() {
            return Ok(Vec::new());
        }
        self.refuse_new(sagas.len())?;
        sagas.iter().try_for_each(|saga| self.refuse_quarantined(&origin.namespace, saga))?;
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
        sagas.into_iter().map(start).collect()
    }

    /// Begins what an event asks for, with records that share its commit.
    pub(crate) fn start_by(&mut self, origin: &Origin, event: &Kept, asked: Vec<Start>) -> Starts {
        let mut starts = Starts::default();
        for start in asked {
            let key = (origin.namespace.clone(), start.id.clone());
            match self.start_one(&key, &start, event) {
                Ok(()) => starts.started.push(StartedSaga { saga: start.definition, id: start.id }),
                Err(refusal) => starts.not_started.push(not_started(start.definition, &refusal)),
            }
            self.park(&key);
        }
        for (before, NotStarted { saga, code, message }) in (1..).zip(&starts.not_started) {
            self.metrics.dead_letter();
            let fact = MessageEvent::NotStarted { saga: saga.clone(), why: format!("{code}: {message}") };
            self.append_message(End { stream: event.position, version: before }, fact, origin.actor.clone(), Vec::new());
        }
        starts
    }

    /// Begins one saga, unless the same event began it long ago.
    fn start_one(&mut self, key: &SagaKey, start: &Start, event: &Kept) -> Result<(), Refusal> {
        if !self.is_there(key, start)? {
            let record = RecordId { stream: event.position, version: 1 };
            let cause = Cause { actor: Actor::Host, record: Some(record), root: Some(event.id.clone()) };
            self.begin_new(key, start, cause)?;
            self.flush(key);
        }
        Ok(())
    }
}

fn not_started(saga: String, refusal: &Refusal) -> NotStarted {
    let hint = refusal.hint.iter().map(|hint| format!("; {hint}"));
    let message = std::iter::once(refusal.message.clone()).chain(hint).collect();
    NotStarted { saga, code: refusal.code.as_str().to_owned(), message }
}
