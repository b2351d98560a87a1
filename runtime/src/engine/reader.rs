//! Committed reads, beside the shard: what is shown is durable (law 2), and showing it costs the shard nothing.

use std::sync::Arc;

use amends_core::{
    Instant,
    id::{Namespace, SagaId},
    preview::CancelPreview,
    verbs::Rejected,
    view::View,
};

use crate::{
    engine::{
        job,
        module::Definitions,
        port::{
            Candidate, Job, JobPreview, JobVerb, ListFilter, LockKey, Moves, SagaFilter, SagaLine, ScheduleView, Starter,
            StuckGroups,
        },
        refusal::{Refusal, RefusalCode},
        saga::{
            SagaKey,
            load::{self, LoadError},
            lockers, moves, read, rows, stuck,
        },
        schedule, starter,
    },
    journal::Record,
    store::{Position, Store, StoreError},
};

/// Reads what is committed. Blocks for the time of a store read.
#[derive(Clone)]
pub struct Reader {
    store: Arc<dyn Store>,
    definitions: Definitions,
}

/// A saga as of its last committed record.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The saga.
    pub view: View,
    /// What started it; none: somebody did.
    pub started_by: Option<Starter>,
    /// The position of that record.
    pub position: Position,
    /// Who has its lock keys and who waits for them, perhaps a moment later.
    pub locks: Vec<LockKey>,
    /// What a cancel would do, or why it would be refused.
    pub on_cancel: Result<CancelPreview, Rejected>,
}

impl Reader {
    /// A reader of what this store holds.
    pub fn new(store: Arc<dyn Store>, definitions: Definitions) -> Self {
        Self { store, definitions }
    }

    /// A saga, if there is one.
    pub fn saga(&self, namespace: &Namespace, id: &SagaId) -> Result<Option<Seen>, Refusal> {
        let loaded = match load::saga(self.store.as_ref(), &self.definitions, &SagaKey::new(namespace, id)) {
            Ok(loaded) => loaded,
            Err(LoadError::NotFound) => return Ok(None),
            Err(error) => return Err(unreadable(id, &error)),
        };
        let keys: Vec<String> = loaded.saga.lock_keys().cloned().collect();
        let locks = lockers::look(self.store.as_ref(), namespace, &keys).map_err(|error| failed(&error))?;
        let started_by = loaded.cause.map(|cause| starter::starter_of(self.store.as_ref(), cause)).transpose();
        let started_by = started_by.map_err(|error| failed(&error))?.flatten();
        let (view, on_cancel) = (loaded.saga.view(), loaded.saga.cancel_preview());
        Ok(Some(Seen { view, started_by, position: loaded.position, locks, on_cancel }))
    }

    /// Sagas, newest first, and the cursor of the next page.
    pub fn sagas(&self, namespace: &Namespace, filter: &ListFilter) -> Result<(Vec<SagaLine>, Option<u64>), Refusal> {
        let fits = |key: &SagaKey| match load::saga(self.store.as_ref(), &self.definitions, key) {
            Ok(loaded) => Ok(filter.sagas.fits(&loaded.saga)),
            Err(LoadError::NotFound | LoadError::Corrupt(_)) => Ok(false),
            Err(LoadError::Storage(why)) => Err(StoreError::Failed(why)),
        };
        // Only what is said of stuck legs is not in the rows.
        let fits = |key: &SagaKey| if filter.sagas.is_about_legs() { fits(key) } else { Ok(true) };
        read::list(self.store.as_ref(), namespace, filter, fits).map_err(|error| failed(&error))
    }

    /// What is stuck, in groups.
    pub fn stuck(&self, namespace: &Namespace, filter: &SagaFilter) -> Result<StuckGroups, Refusal> {
        stuck::groups(self.store.as_ref(), &self.definitions, namespace, filter).map_err(|error| failed(&error))
    }

    /// What a job would do, up to as many sagas as are enough to know.
    pub fn preview(
        &self,
        namespace: &Namespace,
        verb: JobVerb,
        filter: &SagaFilter,
        enough: u64,
        now: Instant,
    ) -> Result<JobPreview, Refusal> {
        let preview = job::preview::preview(self.store.as_ref(), &self.definitions, namespace, verb, filter, enough, now);
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

    /// Which sagas in flight could move to a component.
    pub fn moves(&self, namespace: &Namespace, candidate: &Candidate) -> Result<Moves, Refusal> {
        moves::could_move(self.store.as_ref(), &self.definitions, namespace, candidate).map_err(|error| failed(&error))
    }

    /// A saga's records from a revision on; none if there is no such saga.
    pub fn journal(&self, namespace: &Namespace, id: &SagaId, from: u64, limit: usize) -> Result<Option<Vec<Record>>, Refusal> {
        let key = SagaKey::new(namespace, id);
        let Some(stream) = rows::saga_stream(self.store.as_ref(), &key).map_err(|error| failed(&error))? else { return Ok(None) };
        match load::records(self.store.as_ref(), stream, from.max(1), limit) {
            Ok(records) => Ok(Some(records)),
            Err(error) => Err(unreadable(id, &error)),
        }
    }
}

fn unreadable(id: &SagaId, error: &LoadError) -> Refusal {
    Refusal::new(RefusalCode::StorageFailed, format!("saga {id} cannot be read: {error}"))
}

fn failed(error: &StoreError) -> Refusal {
    Refusal::new(RefusalCode::StorageFailed, error.to_string())
}
