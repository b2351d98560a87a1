//! Committed reads: everything that the reader shows is durable (law 2). It reads the store and never asks the shard.

use std::sync::Arc;

use amends_core::{
    Instant,
    aggregate::{Definition, Shape},
    id::{Namespace, SagaId},
    job::{Job, SagaFilter},
    policy,
    preview::CancelPreview,
    verbs::{AskedVerb, Rejected},
    view::View,
};

use super::{catalogue::Catalogue, views::Offer};
pub use crate::engine::{
    aggregate::read::{Committed, EventPage, Until},
    job::preview::JobPreview,
    policy::{
        letters::{Letter, LetterGroup, LetterOf, LetterWaits, Letters},
        states::UnreadableStates,
    },
    saga::{
        load::RecordRange,
        moves::{Candidate, Move, Moves},
        read::{ListFilter, LockKey, SagaLine, Standing},
        stuck::{FirstStuck, StuckGroup, StuckGroups},
    },
    schedule::look::ScheduleView,
    starter::{EventName, Starter},
    trace::{
        Candidate as TraceCandidate, Found, IdKind, NODES_MAX, Node, NodeKind, ReadingState, Trace, TraceQuery, ViewReading,
    },
};
use crate::{
    engine::{
        aggregate,
        guests::ModuleDigest,
        job,
        module::{self, ActiveAggregate, ActiveProjection, Definitions, Modules},
        policy::{letters, states},
        port::{EventQuery, ModuleView, Offered, RecordedEvents, Which},
        recorded,
        refusal::{Refusal, RefusalCode},
        saga::{
            SagaKey,
            load::{self, LoadError, Source},
            moves, read, stuck,
        },
        schedule, starter, trace,
    },
    held::{Room, Share},
    journal::{self, Corrupt, Record},
    store::{Position, Store, StoreError},
};

/// Reads what is committed. Every function blocks for the time of some store reads.
#[derive(Clone)]
pub struct Reader {
    store: Arc<dyn Store>,
    definitions: Definitions,
    catalogue: Arc<Catalogue>,
    /// What whole sagas may take into memory.
    room: Arc<Room>,
}

/// A saga as of its last committed record.
#[derive(Debug)]
pub struct CommittedSaga {
    /// The saga.
    pub view: View,
    /// What started it. `None`: a request did.
    pub started_by: Option<Starter>,
    /// The position of that record.
    pub position: Position,
    /// Who holds its lock keys and who waits for them. They are read after the saga, and may be newer.
    pub locks: Vec<LockKey>,
    /// What a cancel would do, or why it would be refused.
    pub on_cancel: Result<CancelPreview, Rejected>,
    /// The room that it takes; none if it is small.
    pub share: Option<Share>,
}

/// Records of a saga.
#[derive(Clone, Debug)]
pub struct Records {
    /// In order.
    pub records: Vec<Record>,
    /// The revision of the record behind them, if there is one.
    pub next: Option<u64>,
}

/// How far somebody is behind who takes events.
#[derive(Clone, Copy, Debug)]
pub struct Lag {
    /// Events that are not taken yet, counted up to 10,000.
    pub events: u64,
    /// When the first of them was recorded.
    pub since: Option<Instant>,
}

/// Events are counted up to so many.
const LAG_MAX: usize = 10_000;

/// A page of sagas.
#[derive(Clone, Debug, Default)]
pub struct SagaPage {
    /// Newest first.
    pub lines: Vec<SagaLine>,
    /// The cursor of the next page. `None` on the last page.
    pub next: Option<u64>,
}

impl Reader {
    /// A reader of this store. `definitions` are those that the engine shares.
    pub fn new(store: Arc<dyn Store>, definitions: Definitions) -> Self {
        Self { store, definitions, catalogue: Arc::default(), room: Arc::new(Room::endless()) }
    }

    /// Refuses a position that is behind the end of the journal: this host did not hand it out.
    pub fn includes(&self, position: Position) -> Result<(), Refusal> {
        let last = self.store.last_position().map_err(|error| failed(&error))?;
        if position <= last {
            return Ok(());
        }
        let (last, wanted) = (journal::position_text(last), journal::position_text(position));
        Err(Refusal::new(RefusalCode::Behind, format!("the journal goes up to {last}, and not to {wanted}"))
            .hint("the position is of another host, or of a journal that was put back to an earlier state"))
    }

    /// The same reader, for one read in this room.
    pub fn within(&self, room: Arc<Room>) -> Self {
        Self { room, ..self.clone() }
    }

    fn source(&self) -> Source<'_> {
        Source { store: self.store.as_ref(), definitions: &self.definitions, room: &self.room }
    }

    /// A saga, if there is one.
    pub fn saga(&self, namespace: &Namespace, id: &SagaId) -> Result<Option<CommittedSaga>, Refusal> {
        let loaded = match load::saga(self.source(), &SagaKey::new(namespace, id)) {
            Ok(loaded) => loaded,
            Err(LoadError::NotFound) => return Ok(None),
            Err(error) => return Err(unreadable(id, &error)),
        };
        let keys: Vec<String> = loaded.saga.lock_keys().cloned().collect();
        let locks = read::locks(self.store.as_ref(), namespace, &keys).map_err(|error| failed(&error))?;
        let started_by = loaded.cause.map(|cause| starter::starter_of(self.store.as_ref(), cause)).transpose();
        let started_by = started_by.map_err(|error| failed(&error))?.flatten();
        let (view, on_cancel) = (loaded.saga.view(), loaded.saga.cancel_preview());
        Ok(Some(CommittedSaga { view, started_by, position: loaded.position, locks, on_cancel, share: loaded.share }))
    }

    /// How far a saga is, if there is one.
    pub fn standing(&self, namespace: &Namespace, id: &SagaId) -> Result<Option<Standing>, Refusal> {
        read::standing(self.store.as_ref(), &SagaKey::new(namespace, id)).map_err(|error| failed(&error))
    }

    /// The lines of these sagas, in this order. Those that are not there have none.
    pub fn lines(&self, namespace: &Namespace, ids: &[SagaId]) -> Result<Vec<SagaLine>, Refusal> {
        read::lines(self.store.as_ref(), namespace, ids).map_err(|error| failed(&error))
    }

    /// A page of sagas.
    pub fn sagas(&self, namespace: &Namespace, filter: &ListFilter) -> Result<SagaPage, Refusal> {
        let fits = |key: &SagaKey| match load::saga(self.source(), key) {
            Ok(loaded) => Ok(filter.sagas.fits(&loaded.saga)),
            Err(LoadError::NotFound | LoadError::Corrupt(_)) => Ok(false),
            Err(LoadError::Storage(why)) => Err(StoreError::Failed(why)),
        };
        // Only what is said of stuck legs is not in the rows.
        let fits = |key: &SagaKey| if filter.sagas.is_about_legs() { fits(key) } else { Ok(true) };
        let (lines, next) = read::list(self.store.as_ref(), namespace, filter, fits).map_err(|error| failed(&error))?;
        Ok(SagaPage { lines, next })
    }

    /// The modules of a namespace, by name.
    pub fn modules(&self, namespace: &Namespace) -> Result<Vec<ModuleView>, Refusal> {
        self.catalogue.modules(self.store.as_ref(), namespace).map_err(|error| failed(&error))
    }

    /// Which versions are meant.
    pub(super) fn numbers(&self, namespace: &Namespace, asked: &[(String, Which)]) -> Result<Vec<(String, u32)>, Refusal> {
        let number = |modules: &Modules, name: &str, which| {
            let known = modules.get(namespace, name).ok_or_else(|| module::no_module(name))?;
            let number = module::number_of(known, name, which)?;
            let is_there = known.versions.contains_key(&number);
            is_there.then(|| (name.to_owned(), number)).ok_or_else(|| module::no_version(name, number))
        };
        let numbers = |modules: &Modules| Ok(asked.iter().map(|(name, which)| number(modules, name, *which)).collect());
        self.catalogue.of(self.store.as_ref(), namespace, numbers).map_err(|error| failed(&error))?
    }

    /// A module, if there is one.
    pub fn module(&self, namespace: &Namespace, name: &str) -> Result<Option<ModuleView>, Refusal> {
        Ok(self.modules(namespace)?.into_iter().find(|module| module.name == name))
    }

    /// The definitions that new sagas start on, by name.
    pub fn definitions(&self, namespace: &Namespace) -> Result<Vec<Offered>, Refusal> {
        self.catalogue.definitions(self.store.as_ref(), namespace).map_err(|error| failed(&error))
    }

    /// Whether an active version has a projection of this name.
    pub(super) fn has_projection(&self, namespace: &Namespace, name: &str) -> Result<bool, Refusal> {
        let has = |modules: &Modules| Ok(modules.owner(namespace, module::Named::Projection, name).is_some());
        self.catalogue.of(self.store.as_ref(), namespace, has).map_err(|error| failed(&error))
    }

    /// The components of all versions.
    pub(super) fn digests(&self) -> Vec<ModuleDigest> {
        self.definitions.digests()
    }

    /// The projections of the active versions of all namespaces.
    pub(super) fn projections(&self) -> Result<Vec<Offer>, StoreError> {
        self.catalogue.of_all(self.store.as_ref(), |modules| {
            let offer = |(namespace, active): (&Namespace, ActiveProjection<'_>)| Offer {
                namespace: namespace.clone(),
                module: active.module.to_owned(),
                version: active.number,
                digest: active.digest,
                projection: active.projection.clone(),
            };
            modules.projections().map(offer).collect()
        })
    }

    /// The policies of versions.
    pub(super) fn policies_of(
        &self,
        namespace: &Namespace,
        versions: &[(String, u32)],
    ) -> Result<Vec<policy::Definition>, Refusal> {
        let of = |modules: &Modules, (module, version): &(String, u32)| {
            let facts = modules.get(namespace, module).and_then(|module| module.versions.get(version));
            facts.into_iter().flat_map(|facts| &facts.policies).map(|policy| policy.as_ref().clone()).collect::<Vec<_>>()
        };
        let all = |modules: &Modules| Ok(versions.iter().flat_map(|version| of(modules, version)).collect());
        self.catalogue.of(self.store.as_ref(), namespace, all).map_err(|error| failed(&error))
    }

    /// Instances of policies whose states these definitions do not read.
    pub(super) fn unreadable_states(
        &self,
        namespace: &Namespace,
        definitions: &[policy::Definition],
    ) -> Result<Vec<UnreadableStates>, Refusal> {
        states::unreadable(self.store.as_ref(), namespace, definitions).map_err(|error| failed(&error))
    }

    /// How many events of some types there are behind a position, and since when the first of them waits.
    pub fn lag(&self, namespace: &Namespace, types: &[String], after: Position) -> Result<Lag, Refusal> {
        let store = self.store.as_ref();
        let lag = || {
            let events = recorded::count(store, namespace, types, after, LAG_MAX)? as u64;
            let since = if events == 0 { None } else { recorded::first_at(store, namespace, types, after)? };
            Ok(Lag { events, since })
        };
        lag().map_err(|error| failed(&error))
    }

    /// What waits of a policy in this life of it.
    pub fn letters(
        &self,
        namespace: &Namespace,
        policy: (&str, u32),
        key: Option<&str>,
        after: Option<(String, Position)>,
        limit: usize,
    ) -> Result<Letters, Refusal> {
        letters::page(self.store.as_ref(), namespace, policy, key, after, limit).map_err(|error| failed(&error))
    }

    /// The same, in groups that wait for the same reason.
    pub fn letter_groups(&self, namespace: &Namespace, policy: (&str, u32)) -> Result<Vec<LetterGroup>, Refusal> {
        letters::groups(self.store.as_ref(), namespace, policy).map_err(|error| failed(&error))
    }

    /// What is stuck, in groups. Only so many sagas are read.
    pub fn stuck(&self, namespace: &Namespace, filter: &SagaFilter) -> Result<StuckGroups, Refusal> {
        stuck::groups(self.source(), namespace, filter).map_err(|error| failed(&error))
    }

    /// What a job would do. It stops to look once it has found as many sagas as are enough to know.
    pub fn preview(
        &self,
        namespace: &Namespace,
        verb: &AskedVerb,
        filter: &SagaFilter,
        enough: u64,
        now: Instant,
    ) -> Result<JobPreview, Refusal> {
        let preview = job::preview::preview(self.source(), namespace, verb, filter, enough, now);
        preview.map_err(|error| failed(&error))
    }

    /// Jobs, newest first, and whether there are more; of one that is over, for a week.
    pub fn jobs(&self, namespace: &Namespace) -> Result<(Vec<Job>, bool), Refusal> {
        job::read::list(self.store.as_ref(), namespace).map_err(|error| failed(&error))
    }

    /// A job, if there is one.
    pub fn job(&self, namespace: &Namespace, id: &str) -> Result<Option<Job>, Refusal> {
        job::read::find(self.store.as_ref(), namespace, id).map_err(|error| failed(&error))
    }

    /// A schedule, if there is one.
    pub fn schedule(&self, namespace: &Namespace, name: &str) -> Result<Option<ScheduleView>, Refusal> {
        let key = (namespace.clone(), name.to_owned());
        schedule::look::one(self.store.as_ref(), &key).map_err(|error| failed(&error))
    }

    /// Schedules by name, after this one.
    pub fn schedules(&self, namespace: &Namespace, after: Option<&str>, limit: usize) -> Result<Vec<ScheduleView>, Refusal> {
        schedule::look::page(self.store.as_ref(), namespace, after, limit).map_err(|error| failed(&error))
    }

    /// An aggregate, if there is one whose code is active. Its state is for a guest to compute.
    pub fn aggregate(&self, namespace: &Namespace, which: (&str, &str), until: Until) -> Result<Option<Committed>, Refusal> {
        let store = self.store.as_ref();
        let read = |modules: &Modules| aggregate::read::committed(store, modules, namespace, which, until);
        self.catalogue.of(store, namespace, read).map_err(|error| failed(&error))
    }

    /// The active code of the aggregates of a name, or why there is none.
    pub(super) fn code(&self, namespace: &Namespace, name: &str) -> Result<Result<Code, Refusal>, Refusal> {
        let code = |modules: &Modules| {
            let active = modules.aggregate(namespace, name).map(Code::of);
            Ok(active.ok_or_else(|| aggregate::no_such(modules, namespace, name)))
        };
        self.catalogue.of(self.store.as_ref(), namespace, code).map_err(|error| failed(&error))
    }

    /// An aggregate as this code sees it, if it has events. What is corrupt is this aggregate only.
    pub(super) fn aggregate_by(
        &self,
        namespace: &Namespace,
        which: (&str, &str),
        code: &Code,
    ) -> Result<Option<Committed>, StoreError> {
        let kept = aggregate::read::Kept::Used;
        aggregate::read::by(self.store.as_ref(), &code.active(), kept, namespace, which, Until::Now)
    }

    /// Whether there are records of these aggregates, each for itself.
    pub(super) fn are_there(
        &self,
        namespace: &Namespace,
        which: &[(String, String)],
    ) -> Result<Vec<Result<bool, Corrupt>>, Refusal> {
        aggregate::read::are_there(self.store.as_ref(), namespace, which).map_err(|error| failed(&error))
    }

    /// The aggregates of a name behind one of them, in order of their ids: at most so many.
    pub(super) fn aggregate_ids(
        &self,
        namespace: &Namespace,
        name: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Refusal> {
        aggregate::read::ids(self.store.as_ref(), namespace, name, after, limit).map_err(|error| failed(&error))
    }

    /// An aggregate as the active code sees it, and as a version of a module does that need not be active: both without their states,
    /// at the same revision.
    pub(super) fn aggregate_twice(
        &self,
        namespace: &Namespace,
        which: (&str, &str),
        (module, version): (&str, u32),
    ) -> Result<(Option<Committed>, Option<Committed>), Refusal> {
        let store = self.store.as_ref();
        let codes = |modules: &Modules| {
            let active = modules.aggregate(namespace, which.0).map(Code::of);
            Ok((active, modules.aggregate_of(namespace, module, version, which.0).map(Code::of)))
        };
        // Others look at the modules while the streams are read.
        let (active, other) = self.catalogue.of(store, namespace, codes).map_err(|error| failed(&error))?;
        let read = |code: Option<Code>, kept, until| match code {
            Some(code) => {
                aggregate::read::by(store, &code.active(), kept, namespace, which, until).map_err(|error| failed(&error))
            }
            None => Ok(None),
        };
        let active = read(active, aggregate::read::Kept::Used, Until::Now)?;
        let until = active.as_ref().map_or(Until::Now, |active| Until::Revision(active.revision));
        Ok((active, read(other, aggregate::read::Kept::NotUsed, until)?))
    }

    /// What is said of the modules of a namespace, and which forms of events it has.
    pub(super) fn with_shapes<T>(
        &self,
        namespace: &Namespace,
        said: impl FnOnce(&Modules, Vec<Shape>) -> T,
    ) -> Result<T, Refusal> {
        let shapes = aggregate::read::shapes(self.store.as_ref(), namespace).map_err(|error| failed(&error))?;
        let said = |modules: &Modules| Ok(said(modules, shapes));
        self.catalogue.of(self.store.as_ref(), namespace, said).map_err(|error| failed(&error))
    }

    /// How many events there are of a form, counted up to a number.
    pub(super) fn count_of(&self, namespace: &Namespace, shape: &Shape, enough: usize) -> Result<usize, Refusal> {
        recorded::count_of(self.store.as_ref(), namespace, (&shape.event_type, shape.version), enough)
            .map_err(|error| failed(&error))
    }

    /// Whether there are records of an aggregate, and no active module that knows it.
    pub fn is_without_code(&self, namespace: &Namespace, (name, id): (&str, &str)) -> Result<bool, Refusal> {
        let has_code = |modules: &Modules| Ok(modules.aggregate(namespace, name).is_some());
        let has_code = self.catalogue.of(self.store.as_ref(), namespace, has_code).map_err(|error| failed(&error))?;
        Ok(!has_code && self.events_of(namespace, (name, id), 1, 1)?.is_some())
    }

    /// Events of an aggregate from a record on (the first is 1). `None`: there is no such aggregate.
    pub fn events_of(
        &self,
        namespace: &Namespace,
        which: (&str, &str),
        from: u64,
        limit: usize,
    ) -> Result<Option<EventPage>, Refusal> {
        self.read_events_of(namespace, which, from, limit).map_err(|error| failed(&error))
    }

    /// The same. What is corrupt is this aggregate only.
    pub(super) fn read_events_of(
        &self,
        namespace: &Namespace,
        which: (&str, &str),
        from: u64,
        limit: usize,
    ) -> Result<Option<EventPage>, StoreError> {
        aggregate::read::events(self.store.as_ref(), namespace, which, from, limit)
    }

    /// Events in the order of the journal.
    pub fn events(&self, namespace: &Namespace, query: &EventQuery) -> Result<RecordedEvents, Refusal> {
        recorded::events(self.store.as_ref(), namespace, query).map_err(|error| failed(&error))
    }

    /// The chain of causes that what has an id is part of. `views_of` says which views read an event, by its type and position.
    pub fn trace(
        &self,
        namespace: &Namespace,
        query: &TraceQuery,
        views_of: &dyn Fn(&str, Position) -> Vec<ViewReading>,
    ) -> Result<Found, Refusal> {
        let modules = self.modules(namespace)?;
        let module_of = |aggregate: &str, version: u32| module_of(&modules, aggregate, version);
        let beside = trace::Beside { module_of: &module_of, views_of };
        trace::trace(self.store.as_ref(), namespace, query, beside).map_err(|error| failed(&error))
    }

    /// Which sagas in flight could move to a component. Only so many are read.
    pub fn moves(&self, namespace: &Namespace, candidate: &Candidate) -> Result<Moves, Refusal> {
        moves::could_move(self.source(), namespace, candidate).map_err(|error| failed(&error))
    }

    /// A saga's records from a revision on (the first is 1), as many of those in the range as are not too large together: there may
    /// be none. `None`: there is no such saga.
    pub fn journal(&self, namespace: &Namespace, id: &SagaId, range: RecordRange) -> Result<Option<Records>, Refusal> {
        let key = SagaKey::new(namespace, id);
        let Some(end) = read::end_of(self.store.as_ref(), &key).map_err(|error| failed(&error))? else { return Ok(None) };
        let range = RecordRange { from: range.from.max(1), ..range };
        let records = load::records(self.store.as_ref(), end.start, range).map_err(|error| unreadable(id, &error))?;
        let next = range.from.saturating_add(records.len() as u64);
        Ok(Some(Records { records, next: (next <= end.revision).then_some(next) }))
    }
}

/// The one module whose version has an aggregate. A record says the number of the version alone, and which module it is of follows from
/// what was deployed.
fn module_of(modules: &[ModuleView], aggregate: &str, version: u32) -> Option<String> {
    let has = |module: &&ModuleView| {
        let mut versions = module.versions.iter().filter(|known| known.version == version);
        versions.any(|known| known.aggregates.iter().any(|name| name == aggregate))
    };
    let mut with = modules.iter().filter(has);
    let first = with.next()?;
    with.next().is_none().then(|| first.name.clone())
}

/// The code of an aggregate, apart from the modules.
#[derive(Clone)]
pub(super) struct Code {
    module: String,
    number: u32,
    digest: ModuleDigest,
    aggregate: module::Aggregate,
}

impl Code {
    fn of(active: ActiveAggregate<'_>) -> Self {
        let ActiveAggregate { module, number, digest, aggregate } = active;
        Self { module: module.to_owned(), number, digest, aggregate: aggregate.clone() }
    }

    pub(super) fn definition(&self) -> &Definition {
        &self.aggregate.definition
    }

    pub(super) fn digest(&self) -> ModuleDigest {
        self.digest
    }

    /// An aggregate that has no events yet.
    pub(super) fn begins(&self, namespace: &Namespace, which: (&str, &str)) -> Committed {
        Committed::begins(&self.active(), namespace, which)
    }

    fn active(&self) -> ActiveAggregate<'_> {
        let Self { module, number, digest, aggregate } = self;
        ActiveAggregate { module, number: *number, digest: *digest, aggregate }
    }
}

fn unreadable(id: &SagaId, error: &LoadError) -> Refusal {
    Refusal::new(RefusalCode::StorageFailed, format!("saga {id} cannot be read: {error}"))
}

pub(super) fn failed(error: &StoreError) -> Refusal {
    Refusal::new(RefusalCode::StorageFailed, error.to_string())
}
