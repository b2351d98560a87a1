//! What the API needs of a running host: a narrow, object-safe trait. It knows nothing of HTTP, and the API nothing of engine or store.

use std::{fmt, future::Future, pin::Pin};

use amends_core::{
    Definition, Trigger,
    id::{Namespace, SagaId},
    preview::CancelPreview,
    value::Instant,
    verbs::Rejected,
    view::View,
};
use bytes::Bytes;
use tokio::sync::broadcast;

pub use crate::engine::port::{Candidate, Change, LockKey, Moves, Offered, ScheduleView, Starter};
use crate::{
    engine::port::{Job, JobPreview, JobVerb, ListFilter, Refusal, Request, SagaFilter, SagaLine, StuckGroups},
    journal::Record,
    trouble::Trouble,
};

/// A future that may cross threads and be kept behind `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A running host. Reads show committed state only (law 2) and may block: call them where that is allowed.
pub trait Runtime: Send + Sync + 'static {
    /// The host's clock.
    fn now(&self) -> Instant;

    /// The journal's generation, part of every position that is handed out.
    fn generation(&self) -> u32;

    /// Queues a request; its channel gets the answer. A full queue refuses at once and never blocks.
    fn ask(&self, request: Request) -> Result<(), Refusal>;

    /// A saga as of its last committed record.
    fn saga(&self, namespace: &Namespace, id: &SagaId) -> Result<Option<Committed>, Refusal>;

    /// Sagas, newest first, and the cursor of the next page.
    fn sagas(&self, namespace: &Namespace, filter: &ListFilter) -> Result<SagaPage, Refusal>;

    /// A saga's records from a revision on (the first is 1), at most `limit`; none if there is no such saga.
    fn journal(
        &self,
        namespace: &Namespace,
        id: &SagaId,
        from_revision: u64,
        limit: usize,
    ) -> Result<Option<Vec<Record>>, Refusal>;

    /// A schedule as of its last committed record.
    fn schedule(&self, namespace: &Namespace, name: &str) -> Result<Option<ScheduleView>, Refusal>;

    /// Schedules by name, after this one.
    fn schedules(&self, namespace: &Namespace, after: Option<&str>, limit: usize) -> Result<Vec<ScheduleView>, Refusal>;

    /// What is stuck, in groups; only so many sagas are looked at.
    fn stuck(&self, namespace: &Namespace, filter: &SagaFilter) -> Result<StuckGroups, Refusal>;

    /// What a verb for many sagas would do, up to as many of them as are enough to know.
    fn preview(&self, namespace: &Namespace, verb: JobVerb, filter: &SagaFilter, enough: u64) -> Result<JobPreview, Refusal>;

    /// Jobs, newest first, and whether there are more; of one that is over, for a week.
    fn jobs(&self, namespace: &Namespace) -> Result<(Vec<Job>, bool), Refusal>;

    /// A job, if there is one.
    fn job(&self, namespace: &Namespace, id: &str) -> Result<Option<Job>, Refusal>;

    /// Which sagas in flight could move to a component; only so many are looked at.
    fn moves(&self, namespace: &Namespace, candidate: &Candidate) -> Result<Moves, Refusal>;

    /// The definitions that new sagas start on.
    fn definitions(&self, namespace: &Namespace) -> Result<Vec<Offered>, Refusal>;

    /// Compiles a component apart from this process, and asks it on a guest thread to describe itself. Nothing of it is stored but
    /// the compiled code, until it is kept or discarded.
    fn verify(&self, bytes: Bytes) -> BoxFuture<'_, Result<Verified, Unverified>>;

    /// Makes a verified component durable and ready to run, before a record names it.
    fn keep(&self, bytes: Bytes) -> BoxFuture<'_, Result<(), Unverified>>;

    /// Drops what is left of a component that was planned or refused, unless some version is these bytes. No deploy may be between
    /// `keep` and its answer meanwhile.
    fn discard(&self, digest: [u8; 32]) -> BoxFuture<'_, ()>;

    /// Every committed change of a saga from now on. A receiver that falls behind is told so and reads the journal again.
    fn changes(&self) -> broadcast::Receiver<Change>;

    /// Whether new work is taken.
    fn readiness(&self) -> Readiness;

    /// The metrics in Prometheus' text form.
    fn metrics(&self) -> String;
}

/// A saga as of a committed revision.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The saga.
    pub view: View,
    /// What started it; none: somebody did.
    pub started_by: Option<Starter>,
    /// The position of its last record.
    pub position: u64,
    /// Who has its lock keys, and who waits for them.
    pub locks: Vec<LockKey>,
    /// What a cancel would do, or why it would be refused.
    pub on_cancel: Result<CancelPreview, Rejected>,
}

/// A page of `list`.
#[derive(Clone, Debug, Default)]
pub struct SagaPage {
    /// Newest first.
    pub lines: Vec<SagaLine>,
    /// Where the next page begins; none on the last one.
    pub next: Option<u64>,
}

/// A component that was verified: what is in it, and what it asks for.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The name in the component.
    pub module: String,
    /// SHA-256 of the bytes.
    pub digest: [u8; 32],
    /// Their size.
    pub bytes: u64,
    /// Its sagas, validated.
    pub definitions: Vec<Definition>,
    /// Which events start which of them, validated.
    pub triggers: Vec<Trigger>,
    /// Interfaces that it imports, by name.
    pub imports: Vec<String>,
    /// What is legal and perhaps not meant.
    pub warnings: Vec<String>,
}

/// Why a component was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unverified {
    /// Where the trouble lies: in the component, or in the host.
    pub trouble: Trouble,
    /// For machines, in snake case: `not_a_component`, `bad_definition`, …
    pub code: &'static str,
    /// Each thing that is wrong, naming the step or the import.
    pub reasons: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reasons.join("; "))?;
        self.hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for Unverified {}

/// Whether new work is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Recovered and writable.
    Ready {
        /// How many live sagas were there at start-up.
        recovered: u64,
        /// How long recovery took.
        took_ms: u64,
    },
    /// Not yet, or not any more; why.
    NotReady(String),
}
