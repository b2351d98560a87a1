//! Decided records of a saga get their places, with the rows that follow from them.

use amends_core::{
    Event,
    id::{Incarnation, StepKey},
};

use super::{
    News, SagaKey, Sagas,
    resident::{Decided, Flushed},
    rows,
};
use crate::{
    engine::{
        kernel::{
            commit::{Chain, Commit, Entry, Stream},
            release::Release,
        },
        messages::{Line, Message},
        metrics::Counts,
    },
    journal::Fact,
};

/// How long a record may lie without a place while its saga runs ahead, in milliseconds. A client that waits is released by one commit
/// with all of its saga's records, and a busy host needs some tens of milliseconds to get there: each flush on the way costs
/// the store rows that the next one overwrites. Nobody waits for these records; a person who watches may be so far behind.
pub(super) const UNFLUSHED_MS: u64 = 100;

impl Sagas {
    /// Gives the decided records of a saga their places, and writes the rows that follow from them.
    pub(crate) fn flush(&mut self, commit: &mut Commit<'_>, key: &SagaKey) {
        let Some(resident) = self.residents.get_mut(key) else { return };
        if resident.unflushed.is_empty() || resident.looks_for_events {
            return;
        }
        let before = resident.flushed.take();
        let (head, of) = (rows::saga_head(key), key.stream());
        let mut stream = match &before {
            Some(before) => Stream::goes_on(head.stream, before.stream, before.version),
            None => Stream::begins(head.rooted(resident.root.clone())),
        };
        let mut position = 0;
        for Decided { at, actor, causation, event } in resident.unflushed.drain(..) {
            self.failpoints.placed(commit.last_position() + 1, &event);
            if let Event::Arrived(_, arrival) = &event {
                commit.caused(&key.namespace, &arrival.id, commit.last_position() + 1);
            }
            let sent = sent(key, resident.saga.started().incarnation, &event);
            let chain = Chain { depth: resident.depth, ..Chain::default() };
            let recorded = commit.record_in(chain, &mut stream, Entry { at, actor, causation, fact: Fact::Saga(event) });
            resident.journal_bytes += recorded.bytes;
            position = recorded.position;
            if let Some((line, key)) = sent {
                let message = Message::new(line, of.clone(), position).sent_under(key, resident.root.clone());
                message.keep(commit);
                self.news.push_back(News::Message(message));
            }
        }
        let saga = &resident.saga;
        let after = Flushed::of(saga, stream.start, stream.version, position);
        let module = saga.started().module.clone();
        rows::write(commit, key, saga, before.as_ref(), &after);
        self.listeners.note(&key.namespace, &after);
        let is_live = |flushed: &&Flushed| !flushed.status.is_ended();
        let lived_on = before.as_ref().filter(is_live).map(|before| before.code);
        let lives_on = Some(&after).filter(is_live).map(|after| after.code);
        self.live.went(commit, key, &module, lived_on, lives_on);
        self.live.moved(commit, before.as_ref().map(|before| before.status), after.status);
        let begins = before.is_none();
        let ends = after.status.is_ended() && before.as_ref().is_none_or(|before| !before.status.is_ended());
        if begins || ends {
            let definition = saga.started().definition.clone();
            let counts = Counts { definition, begins, ended: ends.then(|| after.status.as_str()) };
            commit.release_at(position, Release::Count(Box::new(move |metrics| metrics.counted(counts))));
        }
        commit.release_at(position, Release::Changed(key.stream(), after.version));
        resident.cautious = false;
        resident.flushed = Some(after);
        self.in_flight.push_back((position, key.clone()));
        if ends {
            self.news.push_back(News::Ended(key.clone()));
        }
    }

    /// Hands over records that have lain for long.
    pub(crate) fn flush_old(&mut self, commit: &mut Commit<'_>) {
        let mut waiting = Vec::new();
        while let Some((since, key)) = self.unflushed.pop_front() {
            let Some(resident) = self.residents.get(&key) else { continue };
            let is_away = resident.away.is_some();
            if resident.unflushed.is_empty() && !is_away {
                continue;
            }
            let is_looking = resident.looks_for_events;
            if !is_looking && commit.now.since(since) < UNFLUSHED_MS {
                self.unflushed.push_front((since, key));
                break;
            }
            let is_here = !is_looking && (!is_away || self.call_back(commit.now, &key).is_some());
            match is_here {
                true => self.flush(commit, &key),
                false => waiting.push((since, key)),
            }
        }
        // A saga that looks for events is flushed after the look, and one that returns after its return.
        waiting.into_iter().rev().for_each(|entry| self.unflushed.push_front(entry));
    }

    /// Hands over whatever is decided, so that counts of live sagas miss none.
    pub(crate) fn flush_all(&mut self, commit: &mut Commit<'_>) {
        for (since, key) in std::mem::take(&mut self.unflushed) {
            self.flush(commit, &key);
            if self.residents.get(&key).is_some_and(|resident| resident.away.is_some()) {
                self.unflushed.push_back((since, key));
            }
        }
    }
}

/// Where a message of a step goes, with the key of its leg; none: the fact is no message.
fn sent(key: &SagaKey, incarnation: Incarnation, event: &Event) -> Option<(Line, StepKey)> {
    let (Event::Sent(attempt, _) | Event::Published(attempt, _)) = event else { return None };
    Some((Line::of(&key.stream(), event)?, attempt.leg.key(&key.namespace, &key.id, incarnation)))
}
