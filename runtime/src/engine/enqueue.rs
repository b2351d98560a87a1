//! Enqueue, the second of decide, enqueue, apply: decided records get their places and go to the committer, with the rows that
//! follow from them. What one commit holds is durable together or not at all.

use crate::{
    engine::{
        metrics::Counts,
        release::Release,
        resident::{Decided, Flushed, SagaKey},
        rows,
        shard::{Action, Shard, UNFLUSHED_MS},
        tail::{End, Entry, Tail},
    },
    journal::{Fact, StreamHead},
    store::{Batch, RowChange},
};

impl Shard {
    /// Gives the saga's decided records their places and hands them to the committer, with the rows that follow from them.
    pub(crate) fn flush(&mut self, key: &SagaKey) {
        let Some(resident) = self.residents.get_mut(key) else { return };
        if resident.unflushed.is_empty() || self.failed.is_some() {
            return;
        }
        let before = resident.flushed.take();
        let first_position = self.last_position + 1;
        let mut tail = match &before {
            Some(Flushed { stream, version, .. }) => {
                Tail::behind(End { stream: *stream, version: *version }, first_position, self.epoch)
            }
            None => Tail::first(rows::saga_head(key).rooted(resident.root.take()), first_position, self.epoch),
        };
        for Decided { at, actor, causation, event } in resident.unflushed.drain(..) {
            self.failpoints.placed(tail.position(), &event);
            resident.journal_bytes += tail.push(Entry { at, actor, causation, fact: Fact::Saga(event) });
        }
        let effects = resident.saga.effects();
        let definition = &resident.saga.started().definition;
        let after = Flushed {
            stream: tail.stream(),
            version: tail.version(),
            position: tail.position() - 1,
            status: resident.saga.status(),
            wake_at: effects.wake_at,
            topics: effects.topics,
            is_denied: resident.saga.is_denied(),
            lock_keys: resident.saga.lock_keys().cloned().collect(),
            holds: resident.saga.has_its_locks(),
            code: resident.saga.code().version,
        };
        let begins = before.is_none();
        let ends = after.status.is_ended() && before.as_ref().is_none_or(|before| !before.status.is_ended());
        let counts = (begins || ends).then(|| Counts {
            definition: definition.clone(),
            begins,
            ended: ends.then(|| after.status.as_str()),
        });
        let is_live = |flushed: &&Flushed| !flushed.status.is_ended();
        let lived_on = before.as_ref().filter(is_live).map(|before| before.code);
        let lives_on = Some(&after).filter(is_live).map(|after| after.code);
        let counted = self.live.went(key, &resident.saga.started().module, lived_on, lives_on, &self.metrics);
        let moved = self.live.moved(before.as_ref().map(|before| before.status), after.status, &self.metrics);
        let (append, begun) = tail.finish();
        let mut rows = rows::of_saga(key, &resident.saga, before.as_ref(), &after);
        rows.append(&mut resident.rows);
        rows.extend(begun.into_iter().chain(counted).chain(moved));
        self.timers.moved(after.stream, before.as_ref().and_then(|flushed| flushed.wake_at), after.wake_at, after.position);
        self.last_position = after.position;
        resident.cautious = false;
        let changed = Release::Changed(key.clone(), after.version);
        resident.flushed = Some(after);
        let batch = Batch { appends: vec![append], rows };
        self.in_flight.push_back((self.last_position, key.clone()));
        self.actions.push(Action::Commit(batch, self.last_position));
        self.releases.push(self.last_position, changed);
        if ends {
            self.schedules.ended(key);
        }
        if let Some(counts) = counts {
            self.releases.push(self.last_position, Release::Counts(counts));
        }
    }

    /// Records in the making, behind all that has a place: of a stream that ends there, or of a new one with this head.
    pub(crate) fn tail(&self, end: Option<End>, head: impl FnOnce() -> StreamHead) -> Tail {
        match end {
            Some(end) => Tail::behind(end, self.last_position + 1, self.epoch),
            None => Tail::first(head(), self.last_position + 1, self.epoch),
        }
    }

    /// Hands over records that are not a saga's, with their rows.
    pub(crate) fn commit(&mut self, tail: Tail, mut rows: Vec<RowChange>) {
        if self.failed.is_some() {
            return;
        }
        let (append, begun) = tail.finish();
        rows.extend(begun);
        self.last_position = append.first_position + append.records.len() as u64 - 1;
        let batch = Batch { appends: vec![append], rows };
        self.actions.push(Action::Commit(batch, self.last_position));
    }

    /// Makes all that was handed over since then durable together, or not at all.
    pub(crate) fn join_commits(&mut self, since: usize) {
        if self.failed.is_some() {
            return;
        }
        let mut joined = Batch::default();
        let mut others = Vec::new();
        for action in self.actions.drain(since..) {
            match action {
                Action::Commit(mut batch, _) => {
                    joined.appends.append(&mut batch.appends);
                    joined.rows.append(&mut batch.rows);
                }
                other => others.push(other),
            }
        }
        self.actions.push(Action::Commit(joined, self.last_position));
        self.actions.append(&mut others);
    }

    /// Hands over rows that follow from no record of this commit.
    pub(crate) fn commit_rows(&mut self, rows: Vec<RowChange>) {
        if self.failed.is_some() {
            return;
        }
        self.actions.push(Action::Commit(Batch { appends: Vec::new(), rows }, self.last_position));
    }

    pub(super) fn flush_old(&mut self) {
        while let Some((since, key)) = self.unflushed.front() {
            let waiting = self.residents.get(key).is_some_and(|resident| !resident.unflushed.is_empty());
            if waiting && self.now.since(*since) < UNFLUSHED_MS {
                return;
            }
            if let Some((_, key)) = self.unflushed.pop_front() {
                self.flush(&key);
            }
        }
    }

    /// Hands over whatever is decided, so that counts of live sagas miss none.
    pub(crate) fn flush_all(&mut self) {
        for (_, key) in std::mem::take(&mut self.unflushed) {
            self.flush(&key);
        }
    }
}
