//! What may be asked about sagas, and the answers.

pub use amends_core::verbs::{StepVerb, Verb};

use amends_core::{
    Definition,
    event::Act,
    id::{Namespace, SagaId, StepPath},
    job::SagaFilter,
    value::{Instant, Payload},
    view::{Status, StuckView, View},
};

use crate::engine::guests::ModuleDigest;

/// Starts a saga.
#[derive(Clone, Debug)]
pub struct Start {
    /// The definition's name.
    pub definition: String,
    /// Chosen by the client, or minted by the API before it asks.
    pub id: SagaId,
    /// The input as the client sent it.
    pub input: Payload,
    /// SHA-256 of the canonical input.
    pub input_hash: [u8; 32],
    /// 128 random bits for the keys of its steps; unused if the saga is there already.
    pub incarnation: [u8; 16],
    /// W3C `traceparent`.
    pub trace_context: Option<String>,
    /// Answer at the end (or at `stuck`) instead of at the durable start.
    pub wait: bool,
}

/// The answer to a start.
#[derive(Clone, Debug)]
pub struct SagaAnswer {
    /// The saga.
    pub id: SagaId,
    /// It was made by this request; else it was there with the same input.
    pub created: bool,
    /// The saga as of a committed revision.
    pub view: Box<View>,
    /// The position of its last record: `Amends-Position`.
    pub position: u64,
}

/// An operator's verb on one saga.
#[derive(Clone, Debug)]
pub struct VerbRequest {
    /// The saga.
    pub id: SagaId,
    /// What to do.
    pub asked: Intervention,
    /// Why and who, as the client says.
    pub act: Act,
    /// Only if the saga is at this revision.
    pub expect_revision: Option<u64>,
}

/// What is asked of one saga.
#[derive(Clone, Debug)]
pub enum Intervention {
    /// What the saga itself decides about.
    Verb(Verb),
    /// The same of many of its steps, to each that it fits.
    Steps(StepVerb, Vec<StepPath>),
    /// Go over to this version of its module.
    Move(u32),
}

impl From<Verb> for Intervention {
    fn from(verb: Verb) -> Self {
        Self::Verb(verb)
    }
}

/// The answer to a verb. A repeated one gets what the first one got, but for `applied`.
#[derive(Clone, Debug)]
pub struct VerbAnswer {
    /// The verb changed the saga; a repeated one did not.
    pub applied: bool,
    /// Where the saga stood afterwards.
    pub status: Status,
    /// Its revision then.
    pub revision: u64,
    /// The position of its last record then.
    pub position: u64,
}

/// One committed change of a saga.
#[derive(Clone, Debug)]
pub struct Change {
    /// Where the saga lives.
    pub namespace: Namespace,
    /// The saga.
    pub id: SagaId,
    /// The version of its stream after the commit.
    pub revision: u64,
}

/// A component to which sagas might move.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The module.
    pub module: String,
    /// SHA-256 of the component; sagas that run on it are no matter.
    pub digest: ModuleDigest,
    /// Its sagas, validated.
    pub definitions: Vec<Definition>,
}

/// Which sagas in flight could move to a component.
#[derive(Clone, Debug, Default)]
pub struct Moves {
    /// Those that are stuck first, of each status the oldest first.
    pub sagas: Vec<Move>,
    /// There are more.
    pub is_cut: bool,
}

/// Whether one saga could move.
#[derive(Clone, Debug)]
pub struct Move {
    /// The saga.
    pub id: SagaId,
    /// The version that it runs on.
    pub version: u32,
    /// Where it stands.
    pub status: Status,
    /// What stands against it; none, and it could move now.
    pub obstacles: Vec<String>,
    /// Where its recorded input does not fit the schema of the new version. It is kept all the same.
    pub misfit: Option<String>,
}

/// A lock key: who has it and who waits for it, as of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockKey {
    /// As `seat/12A`.
    pub key: String,
    /// Who has it. None while the first of the queue waits for another key.
    pub holder: Option<SagaId>,
    /// Who waits for it, in the order in which they came; of a long queue the first 100.
    pub queue: Vec<SagaId>,
}

/// One line of `list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaLine {
    /// The saga.
    pub id: SagaId,
    /// The definition's name.
    pub definition: String,
    /// Where it stands.
    pub status: Status,
    /// The module and version that it runs on.
    pub module: String,
    /// For people.
    pub version: u32,
    /// Milliseconds since 1970.
    pub started_at: u64,
    /// Milliseconds since 1970.
    pub ended_at: Option<u64>,
}

/// A filter of `list`.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// Only these.
    pub sagas: SagaFilter,
    /// At most so many.
    pub limit: usize,
    /// Go on where the page before ended: the opaque cursor of its answer.
    pub cursor: Option<u64>,
}

/// Sagas that are stuck in the same step of the same version for the same failure.
#[derive(Clone, Debug)]
pub struct StuckGroup {
    /// The step, without the keys of elements.
    pub step: String,
    /// The failure's code, or where there is no failure the reason.
    pub failure: String,
    /// How many sagas.
    pub count: u64,
    /// Since when the first of them is stuck.
    pub since: Instant,
    /// The first few of them, oldest first.
    pub sagas: Vec<SagaId>,
    /// The one that was started first, which stands for the others.
    pub first: FirstStuck,
}

/// A stuck leg, and the saga that it is of.
#[derive(Clone, Debug)]
pub struct FirstStuck {
    /// The saga.
    pub view: Box<View>,
    /// The leg.
    pub stuck: StuckView,
}

/// What is stuck, in groups.
#[derive(Clone, Debug, Default)]
pub struct StuckGroups {
    /// The largest first.
    pub groups: Vec<StuckGroup>,
    /// Sagas that cannot be read.
    pub unreadable: Vec<SagaId>,
    /// More sagas are stuck than were looked at.
    pub is_cut: bool,
}
