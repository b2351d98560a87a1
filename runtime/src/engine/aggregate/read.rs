//! Committed reads: an aggregate's events, and how it stands.

use amends_core::{
    aggregate::{Shape, Standing},
    id::Namespace,
    value::{Instant, Payload},
};

use super::{AggregateKey, call::page, resident::Resident, rows};
use crate::{
    engine::{
        guests::{FoldCall, GuestCall, ModuleDigest, PastEvent, Work},
        kernel::reads,
        module::{ActiveAggregate, Modules},
        recorded::RecordedEvent,
    },
    journal::{Corrupt, StreamId, keys, record},
    store::{Position, Store, StoreError, StreamRead, Table},
};

/// Up to where an aggregate is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// All that is committed.
    Now,
    /// So many events.
    Revision(u64),
    /// What was decided by this moment.
    Time(Instant),
}

/// An aggregate as it is committed, without its state.
#[derive(Clone, Debug)]
pub struct Committed {
    /// How it stands.
    pub standing: Standing,
    /// How many events are looked at.
    pub revision: u64,
    /// The position of its last record.
    pub position: Position,
    /// When the last event that is looked at was decided, if it was read.
    pub changed_at: Option<Instant>,
    /// The module whose active version folds it.
    pub module: String,
    /// That version.
    pub version: u32,
    digest: ModuleDigest,
    key: AggregateKey,
    base: Option<(u64, Payload)>,
    events: Vec<PastEvent>,
}

/// Records of a page of events, at most, or one.
const PAGE_BYTES: usize = 1 << 20;

/// How long a fold may take.
const DEADLINE_MS: u64 = 30_000;

/// Reads an aggregate, if there is one and some active module has its code. Its events are in memory from the last kept state on.
pub(crate) fn committed(
    store: &dyn Store,
    modules: &Modules,
    namespace: &Namespace,
    (name, id): (&str, &str),
    until: Until,
) -> Result<Option<Committed>, StoreError> {
    let Some(active) = modules.aggregate(namespace, name) else { return Ok(None) };
    by(store, &active, Kept::Used, namespace, (name, id), until)
}

/// Whether a kept state may stand for the events before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It saves their fold.
    Used,
    /// What the code makes of all events is asked.
    NotUsed,
}

/// Reads an aggregate as this code sees it, if there is one.
pub(crate) fn by(
    store: &dyn Store,
    code: &ActiveAggregate<'_>,
    kept: Kept,
    namespace: &Namespace,
    (name, id): (&str, &str),
    until: Until,
) -> Result<Option<Committed>, StoreError> {
    let key = AggregateKey::new(namespace, name, id);
    let Some(resident) = resident(store, &key, code, kept, until)? else { return Ok(None) };
    let Resident { standing, last, base, tail, .. } = resident;
    let fits = |event: &PastEvent| match until {
        Until::Now => true,
        Until::Revision(revision) => event.revision <= revision,
        Until::Time(at) => event.at <= at,
    };
    let events: Vec<PastEvent> = tail.into_iter().take_while(fits).collect();
    let base = base.map(|base| (base.revision, base.state));
    let revision = base.as_ref().map_or(0, |(revision, _)| *revision) + events.len() as u64;
    Ok(Some(Committed {
        revision,
        changed_at: events.last().map(|event| event.at),
        position: last,
        module: code.module.to_owned(),
        version: code.number,
        digest: code.digest,
        standing,
        key,
        base,
        events,
    }))
}

fn resident(
    store: &dyn Store,
    key: &AggregateKey,
    code: &ActiveAggregate<'_>,
    kept: Kept,
    until: Until,
) -> Result<Option<Resident>, StoreError> {
    let state_version = code.aggregate.definition.state_version;
    let row = match kept {
        Kept::Used => store.row(Table::States, &rows::state_key(key))?,
        Kept::NotUsed => None,
    };
    let kept = row.and_then(|row| rows::decode(key, &row)).filter(|kept| {
        let is_before = match until {
            Until::Now => true,
            Until::Revision(revision) => kept.base.revision <= revision,
            Until::Time(_) => false,
        };
        is_before && kept.base.serves(&code.digest, state_version)
    });
    let from = kept.as_ref().map_or(0, |kept| kept.standing.facts) + 1;
    let Some(records) = reads::tail(store, &key.stream(), from)? else { return Ok(None) };
    let resident = Resident::of(kept, &records)?;
    Ok((resident.standing.revision > 0).then_some(resident))
}

impl Committed {
    /// An aggregate that has no events yet, as this code sees it.
    pub(crate) fn begins(code: &ActiveAggregate<'_>, namespace: &Namespace, (name, id): (&str, &str)) -> Self {
        Self {
            standing: Standing::default(),
            revision: 0,
            position: 0,
            changed_at: None,
            module: code.module.to_owned(),
            version: code.number,
            digest: code.digest,
            key: AggregateKey::new(namespace, name, id),
            base: None,
            events: Vec::new(),
        }
    }

    /// The same with these events behind those that are recorded.
    #[must_use]
    pub(crate) fn and(mut self, events: Vec<PastEvent>) -> Self {
        self.revision += events.len() as u64;
        self.events.extend(events);
        self
    }

    /// The next part of the fold that makes its state, and the revision after it; none: the state is there.
    pub fn next_fold(&mut self, now: Instant) -> Option<(u64, GuestCall)> {
        if self.events.is_empty() {
            return None;
        }
        let rest = self.events.split_off(page(&self.events));
        let events = std::mem::replace(&mut self.events, rest);
        let (base_revision, base) = self.base.take().map_or((0, None), |(revision, state)| (revision, Some(state)));
        let fold = FoldCall { aggregate: self.key.name.clone(), id: self.key.id.clone(), base, base_revision, events };
        let revision = fold.revision();
        let call = GuestCall {
            of: self.key.stream(),
            module: self.module.clone(),
            version: self.version,
            digest: self.digest,
            now,
            started_at: now,
            deadline_at: now.plus(DEADLINE_MS),
            reaches_outside: false,
            effect_free: true,
            grants: Default::default(),
            trace_context: None,
            work: Work::Fold(Box::new(fold)),
        };
        Some((revision, call))
    }

    /// What came of the fold of so many events.
    pub fn folded(&mut self, revision: u64, state: Payload) {
        self.base = Some((revision, state));
    }

    /// Its state, once nothing is left to fold.
    pub fn state(&self) -> Option<&Payload> {
        self.base.as_ref().map(|(_, state)| state)
    }
}

/// A page of an aggregate's events.
#[derive(Clone, Debug, Default)]
pub struct EventPage {
    /// In order.
    pub events: Vec<RecordedEvent>,
    /// The version of the record behind them, if there is one.
    pub next: Option<u64>,
}

/// Events of an aggregate from a record on (the first is 1). `None`: there is no such aggregate.
pub(crate) fn events(
    store: &dyn Store,
    namespace: &Namespace,
    (name, id): (&str, &str),
    from: u64,
    limit: usize,
) -> Result<Option<EventPage>, StoreError> {
    let key = AggregateKey::new(namespace, name, id);
    let Some(end) = reads::end_of(store, &key.stream())? else { return Ok(None) };
    let read = |bytes_max: usize, limit: usize| StreamRead { stream: end.start, from_version: from.max(1), limit, bytes_max };
    let mut stored = reads::page(store, read(PAGE_BYTES, limit))?;
    if stored.is_empty() {
        // One that is larger than a page is a page.
        stored = reads::page(store, read(usize::MAX, 1))?;
    }
    let next = from.max(1) + stored.len() as u64;
    let mut events = Vec::new();
    for stored in &stored {
        events.extend(RecordedEvent::of_record((name, id), &record::decode_stored(stored)?));
    }
    Ok(Some(EventPage { events, next: (next <= end.revision).then_some(next) }))
}

/// Whether there are records of these aggregates: one read for all, and a row that is damaged is the answer for its own.
pub(crate) fn are_there(
    store: &dyn Store,
    namespace: &Namespace,
    which: &[(String, String)],
) -> Result<Vec<Result<bool, Corrupt>>, StoreError> {
    let streams: Vec<StreamId> = which.iter().map(|(name, id)| AggregateKey::new(namespace, name, id).stream()).collect();
    let ends = reads::ends_of(store, &streams.iter().collect::<Vec<_>>())?;
    Ok(ends.into_iter().map(|end| end.map(|end| end.is_some())).collect())
}

/// Ids of the aggregates of a name behind one of them, in order.
pub(crate) fn ids(
    store: &dyn Store,
    namespace: &Namespace,
    name: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let all = keys::aggregates(namespace, name, limit);
    let range = match after {
        Some(id) => all.after(&keys::by_id(&AggregateKey::new(namespace, name, id).stream())),
        None => all,
    };
    let mut ids = Vec::new();
    for row in store.rows(&range)? {
        let stream = keys::parse_by_id(&row.key)?;
        ids.extend(AggregateKey::of(&stream).map(|key| key.id));
    }
    Ok(ids)
}

/// The recorded forms of events of a namespace.
pub(crate) fn shapes(store: &dyn Store, namespace: &Namespace) -> Result<Vec<Shape>, StoreError> {
    let mut shapes = Vec::new();
    for row in store.rows(&keys::shapes(namespace, usize::MAX))? {
        let (_, event_type, version) = keys::parse_shape(&row.key)?;
        shapes.push(Shape::new(event_type, version));
    }
    Ok(shapes)
}
