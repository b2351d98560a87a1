//! What an id may be of.

use amends_core::{
    aggregate,
    id::{Namespace, SagaId},
};

use super::{Anchor, Candidate, IdKind, PAGE, TraceQuery, decision_before, head_at, record_at};
use crate::{
    engine::{
        event,
        kernel::{reads, row::End},
    },
    journal::{Fact, Record, StreamId, StreamKind, keys, record},
    plain,
    store::{Position, Store, StoreError},
};

/// An id is looked for as SOURCE/ID at so many of its slashes: sources may be URLs.
const SLASHES_MAX: usize = 32;

/// All that has this id, each once.
pub(super) fn candidates(store: &dyn Store, namespace: &Namespace, query: &TraceQuery) -> Result<Vec<Candidate>, StoreError> {
    let search = Search { store, namespace };
    let mut found = search.sagas(query)?;
    found.extend(search.caused(&query.id)?);
    found.extend(search.published(&query.id)?);
    found.extend(search.of_aggregate(&query.id)?);
    let mut each: Vec<Candidate> = Vec::new();
    for candidate in found.into_iter().filter(|candidate| query.kind.is_none_or(|kind| kind == candidate.kind)) {
        if !each.iter().any(|known| known.kind == candidate.kind && known.asked == candidate.asked) {
            each.push(candidate);
        }
    }
    Ok(each)
}

struct Search<'a> {
    store: &'a dyn Store,
    namespace: &'a Namespace,
}

impl Search<'_> {
    fn end_of(&self, kind: StreamKind, id: &str) -> Result<Option<End>, StoreError> {
        reads::end_of(self.store, &StreamId { namespace: self.namespace.clone(), kind, id: id.to_owned() })
    }

    /// The saga of this id, and those that were started under it as a key.
    fn sagas(&self, query: &TraceQuery) -> Result<Vec<Candidate>, StoreError> {
        let mut found = Vec::new();
        for id in SagaId::new(&query.id).iter().chain(&query.keyed) {
            if let Some(end) = self.end_of(StreamKind::Saga, id.as_str())? {
                let (kind, id) = (IdKind::Saga, id.as_str().to_owned());
                found.push(Candidate { kind, id, anchor: Anchor::Saga(end.start), asked: end.start });
            }
        }
        Ok(found)
    }

    /// Commands of this key, and events of this id that led to something.
    fn caused(&self, id: &str) -> Result<Vec<Candidate>, StoreError> {
        let mut found = Vec::new();
        for row in self.store.rows(&keys::caused_by(self.namespace, id, 0, PAGE))? {
            let (.., position) = keys::parse_correlation(&row.key)?;
            let Some(record) = record_at(self.store, position)? else { continue };
            match &record.fact {
                Fact::Aggregate(_) => found.extend(self.command(&record)?),
                Fact::Saga(_) => {
                    let Some(cause) = record.causation else { continue };
                    let Some(head) = head_at(self.store, cause.stream)? else { continue };
                    found.extend((head.stream.kind == StreamKind::Event).then(|| published(&head.stream.id, cause.stream)));
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// The command of a decision, if somebody outside sent it. That of a saga is found by the saga.
    fn command(&self, record: &Record) -> Result<Option<Candidate>, StoreError> {
        let Fact::Aggregate(fact) = &record.fact else { return Ok(None) };
        let Some(command) = fact.command().filter(|command| command.sender.is_none()) else { return Ok(None) };
        let Some(head) = head_at(self.store, record.id.stream)? else { return Ok(None) };
        let (id, asked) = (format!("{}/{}", head.stream.id, command.id), record.position);
        Ok(Some(Candidate { kind: IdKind::Command, id, anchor: Anchor::Decision(asked), asked }))
    }

    /// Published events, for each way to read SOURCE/ID.
    fn published(&self, id: &str) -> Result<Vec<Candidate>, StoreError> {
        let parts = id.match_indices('/').take(SLASHES_MAX).map(|(at, _)| (&id[..at], &id[at + 1..]));
        let names = parts.map(|(source, id)| event::name_of(source, id));
        let ends = names.map(|name| Ok(self.end_of(StreamKind::Event, &name)?.map(|end| published(&name, end.start))));
        ends.filter_map(Result::transpose).collect()
    }

    /// An aggregate, one of its events, or one of its commands.
    fn of_aggregate(&self, id: &str) -> Result<Vec<Candidate>, StoreError> {
        let Some((name, rest)) = id.split_once('/') else { return Ok(Vec::new()) };
        let (aggregate_id, rest) = rest.split_once('/').map_or((rest, None), |(id, rest)| (id, Some(rest)));
        if !aggregate::is_id(aggregate_id) {
            return Ok(Vec::new());
        }
        let stream = format!("{name}/{aggregate_id}");
        let Some(end) = self.end_of(StreamKind::Aggregate, &stream)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        match rest {
            None => {
                if let Some(decision) = self.origin_of(end.start, end.revision)? {
                    found.push(Candidate {
                        kind: IdKind::Aggregate,
                        id: stream,
                        anchor: Anchor::Decision(decision),
                        asked: decision,
                    });
                }
            }
            Some(rest) => {
                if let Some((version, asked)) =
                    plain::whole(rest).map(|revision| self.event(end.start, revision)).transpose()?.flatten()
                    && let Some(decision) = self.origin_of(end.start, version)?
                {
                    found.push(Candidate { kind: IdKind::Event, id: id.to_owned(), anchor: Anchor::Decision(decision), asked });
                }
                found.extend(self.caused(rest)?.into_iter().filter(|candidate| candidate.id == id));
            }
        }
        Ok(found)
    }

    /// Version and position of the event of a number. There may be records between events, so it is not before that version; and behind
    /// an event before it there are at least as many records as events are missing.
    fn event(&self, start: Position, revision: u64) -> Result<Option<(u64, Position)>, StoreError> {
        let mut from = revision.max(1);
        loop {
            let page = self.store.stream(start, from, PAGE)?;
            let mut next = from + page.len() as u64;
            for stored in &page {
                let record = record::decode_stored(stored)?;
                let Fact::Aggregate(fact) = &record.fact else { continue };
                match fact.revision() {
                    Some(found) if found == revision => return Ok(Some((record.id.version, record.position))),
                    Some(found) if found < revision => next = next.max(record.id.version + (revision - found)),
                    Some(_) | None => {}
                }
            }
            if page.is_empty() {
                return Ok(None);
            }
            from = next;
        }
    }

    /// Where the decision begins that led to the record of a version; an event that was imported stands for itself.
    fn origin_of(&self, start: Position, version: u64) -> Result<Option<Position>, StoreError> {
        if let Some(decision) = decision_before(self.store, start, version)? {
            return Ok(Some(decision));
        }
        let record = self.store.stream(start, version, 1)?.first().map(record::decode_stored).transpose()?;
        let is_imported = |fact: &Fact| matches!(fact, Fact::Aggregate(aggregate::AggregateEvent::Imported { .. }));
        Ok(record.filter(|record| is_imported(&record.fact)).map(|record| record.position))
    }
}

fn published(stream: &str, start: Position) -> Candidate {
    let (source, id) = event::parts_of(stream);
    Candidate { kind: IdKind::Published, id: format!("{source}/{id}"), anchor: Anchor::Published(start), asked: start }
}
