//! First answers to requests that may come again: one place for idempotent requests.
//!
//! A request with an `Idempotency-Key`, and an event with its source and id, is decided once. The row of its first answer says what
//! the request was (a fingerprint) and what was said. It is kept while the stream that it is about lives, and [`KEPT_MS`] more:
//! its timer asks then.

use amends_core::{Instant, id::Namespace};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    commit::Commit,
    fingerprint::Fingerprint,
    reads::{Reads, Unready},
    row,
    timers::Timer,
};
use crate::{
    engine::refusal::{Refusal, RefusalCode},
    journal::{StreamId, TimerKind, keys},
    store::{Position, Table},
};

/// A client that asks again a week after the end has another question: seven days.
pub(crate) const KEPT_MS: u64 = 7 * 86_400_000;

/// What kind of request a key belongs to: the same key may be used once for each. Words of stored keys, which never change.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scope {
    /// An event, by its source and id.
    Event,
    /// An operator's verb.
    Verb,
    /// A verb for many sagas.
    Job,
    /// A command, by its aggregate and its key.
    Command,
}

/// The key of an answer's row.
pub(crate) fn key(namespace: &Namespace, scope: Scope, name: &str) -> Vec<u8> {
    let scope = match scope {
        Scope::Event => "event",
        Scope::Verb => "verb",
        Scope::Job => "job",
        Scope::Command => "command",
    };
    keys::answer(namespace, &format!("{scope}/{name}"))
}

/// The row of an answer.
#[derive(Debug, Serialize, Deserialize)]
struct First<T> {
    fingerprint: Fingerprint,
    said: T,
}

/// What was said to the same request before, if it came before. Another request under the key is refused.
pub(crate) fn first<T: DeserializeOwned>(
    reads: &mut Reads<'_>,
    key: &[u8],
    fingerprint: &Fingerprint,
) -> Result<Result<Option<T>, Refusal>, Unready> {
    let Some(row) = reads.row(Table::Answers, key.to_vec())? else { return Ok(Ok(None)) };
    let first: First<T> = row::decode(&row, "a first answer")?;
    Ok(if first.fingerprint == *fingerprint { Ok(Some(first.said)) } else { Err(key_reused()) })
}

/// What the timer of an answer says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The key of the answer's row.
    answer: Bytes,
    /// The stream that it is about; `None`: nothing that lives on.
    pub(crate) about: Option<StreamId>,
    /// When it was said.
    since: Instant,
}

/// Keeps the first answer to a request, whose last record has this position.
pub(crate) fn keep<T: Serialize>(
    commit: &mut Commit<'_>,
    key: Vec<u8>,
    fingerprint: Fingerprint,
    said: &T,
    about: Option<StreamId>,
    position: Position,
) {
    let now = commit.now;
    put(commit, key.clone(), fingerprint, said);
    let timer = Timer { due: now.plus(KEPT_MS), kind: TimerKind::Answer, start: position };
    commit.set_timer(timer, row::encode(&Kept { answer: key.into(), about, since: now }));
}

/// Says something else from now on than was kept before.
pub(crate) fn put<T: Serialize>(commit: &mut Commit<'_>, key: Vec<u8>, fingerprint: Fingerprint, said: &T) {
    commit.put(Table::Answers, key, row::encode(&First { fingerprint, said }));
}

/// What the timer that fired is about; `None`: it was taken away meanwhile.
pub(crate) fn due(reads: &mut Reads<'_>, timer: Timer) -> Result<Option<Kept>, Unready> {
    let row = reads.row(Table::Timers, timer.key())?;
    Ok(row.map(|row| row::decode(&row, "the timer of an answer")).transpose()?)
}

/// How long what an answer is about lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It has not ended.
    Goes,
    /// It ended then.
    Ended(Instant),
    /// There is nothing of it.
    Nothing,
}

/// The timer of an answer fired: the answer goes, or is looked at again later.
pub(crate) fn expire(commit: &mut Commit<'_>, timer: Timer, kept: Kept, life: Life) {
    let from = match life {
        Life::Goes => commit.now,
        Life::Ended(at) => at,
        Life::Nothing => kept.since,
    };
    commit.clear_timer(timer);
    if from.plus(KEPT_MS) <= commit.now {
        commit.delete(Table::Answers, kept.answer.to_vec());
    } else {
        commit.set_timer(Timer { due: from.plus(KEPT_MS), ..timer }, row::encode(&kept));
    }
}

/// One key is one request.
pub(crate) fn key_reused() -> Refusal {
    Refusal::new(RefusalCode::KeyReused, "this Idempotency-Key was used for another request").hint("use a fresh key")
}
