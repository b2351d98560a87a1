//! How long first answers are kept: while their saga lives, and [`KEPT_MS`] more.
//!
//! Each answer has a timer under the position of a record that it is about. When that fires and the saga lives, it is set again.

use amends_core::{
    Instant,
    id::{Namespace, SagaId},
};
use bytes::Bytes;

use crate::{
    engine::{resident::SagaKey, rows, shard::Shard},
    journal::{keys, record},
    store::{Position, RowChange, StoreError, Table},
};

/// A client that asks again a week after the end has another question: seven days.
const KEPT_MS: u64 = 7 * 86_400_000;

/// The key of the first answer to an event.
pub(crate) fn key_of_event(namespace: &Namespace, name: &str) -> Vec<u8> {
    keys::answer(namespace, &format!("event/{name}"))
}

/// The key of the first answer to a verb.
pub(crate) fn key_of_verb(namespace: &Namespace, idempotency_key: &str) -> Vec<u8> {
    keys::answer(namespace, &format!("verb/{idempotency_key}"))
}

/// The key of the first answer to a verb for many sagas.
pub(crate) fn key_of_job(namespace: &Namespace, idempotency_key: &str) -> Vec<u8> {
    keys::answer(namespace, &format!("job/{idempotency_key}"))
}

/// What an answer is about.
pub(crate) struct About {
    /// The stream of the saga that it is kept for; none for an event that has no addressee.
    pub(crate) saga: Option<Position>,
    /// The record under whose position its timer is.
    pub(crate) position: Position,
    /// When that was decided.
    pub(crate) since: Instant,
}

impl Shard {
    /// The timer of the answer to a verb whose last record has this position, to be committed with it.
    pub(crate) fn keep_verb(&mut self, answer: &[u8], position: Position) -> RowChange {
        let due = self.now.plus(KEPT_MS);
        self.timers.moved(position, None, Some(due), position);
        rows::put(Table::Timers, keys::timer(due, position), Bytes::copy_from_slice(answer))
    }

    /// A timer fired that belongs to no saga and to no event.
    pub(crate) fn expire_verb(&mut self, position: Position, due: Instant) -> Result<(), StoreError> {
        let Some(answer) = self.store.row(Table::Timers, &keys::timer(due, position))? else { return Ok(()) };
        let stored = self.store.log(position, 1)?;
        let Some(decided) = stored.first().map(record::decode_stored).transpose()? else { return Ok(()) };
        let about = About { saga: Some(decided.id.stream), position, since: decided.at };
        let changes = self.expire_answer(&answer, about, due)?;
        self.commit_rows(changes);
        Ok(())
    }

    /// What is to be committed when the timer of an answer fires: the answer goes, or is looked at again.
    pub(crate) fn expire_answer(&mut self, answer: &[u8], about: About, due: Instant) -> Result<Vec<RowChange>, StoreError> {
        let About { saga, position, since } = about;
        let summary = saga.map(|stream| rows::summary_at(self.store.as_ref(), stream)).transpose()?.flatten();
        let until = summary.map_or(since, |summary| summary.ended_at.unwrap_or(self.now)).plus(KEPT_MS);
        let fired = rows::delete(Table::Timers, keys::timer(due, position));
        if until <= self.now {
            return Ok(vec![fired, rows::delete(Table::Answers, answer.to_vec())]);
        }
        self.timers.moved(position, None, Some(until), self.last_position);
        Ok(vec![fired, rows::put(Table::Timers, keys::timer(until, position), Bytes::copy_from_slice(answer))])
    }

    /// The stream of the saga that an event was addressed to, if there is one.
    pub(crate) fn addressee(&self, namespace: &Namespace, to: Option<&str>) -> Result<Option<Position>, StoreError> {
        let Some(Ok(id)) = to.map(SagaId::new) else { return Ok(None) };
        let key: SagaKey = (namespace.clone(), id);
        rows::saga_stream(self.store.as_ref(), &key)
    }
}
