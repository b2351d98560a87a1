//! What followed from what: the tree of one chain of causes, as it is recorded. These are committed reads; nothing is decided here.
//!
//! - `find`: what an id may be; `climb`: from there to what began the chain
//! - `grow`: from there to all that followed; `saga`: of a saga its legs, and what was done with it; `policy`: of a policy what it did
//!   with a cause
//!
//! What a stream causes in itself is in its records, one behind the other. What it causes in another one is found by the rows of
//! [`Table::Correlations`](crate::store::Table::Correlations).

mod find;

mod climb;

mod grow;

mod saga;

mod policy;

use amends_core::{
    Failure, Instant,
    id::{Namespace, SagaId},
    view::Status,
};

use crate::{
    journal::{Actor, Fact, Record, StreamHead, record},
    store::{Position, Store, StoreError},
};

/// A tree has at most so many nodes: it is for people.
pub const NODES_MAX: usize = 1_000;

/// Records that are read for one tree: what it costs is bounded, whatever the chain is.
const RECORDS_MAX: usize = 50_000;

/// Records or rows that are read at a time.
const PAGE: usize = 256;

/// What is looked for.
#[derive(Clone, Debug)]
pub struct TraceQuery {
    /// An id that a client knows.
    pub id: String,
    /// Only as this.
    pub kind: Option<IdKind>,
    /// Sagas that the id would be the idempotency key of.
    pub keyed: Vec<SagaId>,
}

/// What an id may be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// A saga.
    Saga,
    /// A command: its idempotency key, also behind its aggregate, as `customer/C1/R1`.
    Command,
    /// An aggregate, as `customer/C1`: what its last command was part of.
    Aggregate,
    /// An event of an aggregate, as `customer/C1/2`.
    Event,
    /// An event that was published, as SOURCE/ID.
    Published,
}

/// Something that an id is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What it is.
    pub kind: IdKind,
    /// The id that names it, and nothing else of its kind.
    pub id: String,
    anchor: Anchor,
    /// Where the node that was asked for is recorded.
    asked: Position,
}

/// Where a chain is taken hold of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Anchor {
    /// A saga, by its start.
    Saga(Position),
    /// The first record of a decision of an aggregate.
    Decision(Position),
    /// An event that was published.
    Published(Position),
    /// What a policy did with a cause.
    Reaction(Position),
}

/// What came of the search.
#[derive(Clone, Debug)]
pub enum Found {
    /// Nothing has this id.
    Nothing,
    /// Several things have it.
    Several(Vec<Candidate>),
    /// The tree of what has it.
    Tree(Box<Trace>),
}

/// A chain of causes.
#[derive(Clone, Debug)]
pub struct Trace {
    /// What the id is of.
    pub found: Candidate,
    /// What began it, and all that followed.
    pub root: Node,
    /// How many nodes it has.
    pub nodes: usize,
    /// There is more than these.
    pub is_cut: bool,
    /// Sagas of it that have not ended.
    pub open: Vec<(String, Status)>,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Its name, by what it is: `customer/C1/reserve-credit`, `customer.credit-reserved`, `charge`.
    pub what: String,
    /// Its id, if it has one.
    pub id: Option<String>,
    /// The version that decided it, and its module, if it is known which.
    pub code: Option<(Option<String>, u32)>,
    /// When it was recorded, or began.
    pub at: Instant,
    /// When it came to its end.
    pub ended_at: Option<Instant>,
    /// Its record.
    pub position: Position,
    /// Who wanted it.
    pub actor: Option<Actor>,
    /// How it stands.
    pub outcome: Option<String>,
    /// Why.
    pub failure: Option<Failure>,
    /// How often it was tried; 0 of what is not tried.
    pub attempts: u32,
    /// It is what was asked for.
    pub is_asked: bool,
    /// The views that read it, by name: of an event.
    pub views: Vec<ViewReading>,
    /// What followed, in the order in which it was recorded.
    pub children: Vec<Node>,
}

/// A view that reads an event.
#[derive(Clone, Debug)]
pub struct ViewReading {
    /// Its name.
    pub view: String,
    /// The generation that answers.
    pub generation: u64,
    /// The module whose code builds that.
    pub module: String,
    /// And its version.
    pub version: u32,
    /// Whether it has the event.
    pub state: ReadingState,
    /// When it took the event, if it has it and that is still known.
    pub taken_at: Option<Instant>,
    /// Why it does not have the event, if there is more to say than that it has not come to it.
    pub why: Option<String>,
}

/// Whether a view has an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadingState {
    /// It has it.
    Taken,
    /// An operator had it leave the event out.
    Skipped,
    /// It has not come to it.
    Behind,
    /// It stopped at it, or before it.
    Stopped,
}

/// What a tree says beside what is in the journal.
pub(crate) struct Beside<'a> {
    /// Which module's version has an aggregate.
    pub(crate) module_of: &'a dyn Fn(&str, u32) -> Option<String>,
    /// The views that read events of a type, and whether each has the one at a position.
    pub(crate) views_of: &'a dyn Fn(&str, Position) -> Vec<ViewReading>,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// What somebody outside asked for.
    Request,
    /// A moment of a schedule.
    Schedule,
    /// A command of a saga's step, or of a policy.
    Command,
    /// An event that an aggregate decided.
    Event,
    /// An event that was published, or a signal.
    Published,
    /// A saga.
    Saga,
    /// A step of it.
    Step,
    /// The compensation of a step.
    Undo,
    /// The question whether a step happened.
    Check,
    /// The saga went back from here on.
    Rollback,
    /// An operator did something with the saga.
    Act,
    /// An event came for which a step waited.
    Arrived,
    /// A saga took the event. It has a cause of its own, and is not shown here.
    Woke,
    /// A saga that the event was to start, and never will.
    NotStarted,
    /// What a policy did with a cause, or that the cause waits.
    Policy,
}

impl Node {
    fn new(kind: NodeKind, what: String, record: &Record) -> Self {
        Self {
            kind,
            what,
            id: None,
            code: None,
            at: record.at,
            ended_at: None,
            position: record.position,
            actor: None,
            outcome: None,
            failure: None,
            attempts: 0,
            is_asked: false,
            views: Vec::new(),
            children: Vec::new(),
        }
    }
}

/// The chain of what has an id.
pub(crate) fn trace(
    store: &dyn Store,
    namespace: &Namespace,
    query: &TraceQuery,
    beside: Beside<'_>,
) -> Result<Found, StoreError> {
    let mut candidates = find::candidates(store, namespace, query)?;
    let Some(found) = candidates.pop() else { return Ok(Found::Nothing) };
    if !candidates.is_empty() {
        candidates.push(found);
        return Ok(Found::Several(candidates));
    }
    let path = climb::path(store, namespace, found.anchor)?;
    let mut trace = grow::tree(store, namespace, beside, path, found)?;
    let kinds: &[NodeKind] = match trace.found.kind {
        IdKind::Saga => &[NodeKind::Saga],
        IdKind::Command | IdKind::Aggregate => &[NodeKind::Request, NodeKind::Command],
        IdKind::Event => &[NodeKind::Event],
        IdKind::Published => &[NodeKind::Published],
    };
    mark(&mut trace.root, kinds, trace.found.asked);
    Ok(Found::Tree(Box::new(trace)))
}

fn mark(node: &mut Node, kinds: &[NodeKind], position: Position) {
    node.is_asked = node.position == position && kinds.contains(&node.kind);
    node.children.iter_mut().for_each(|child| mark(child, kinds, position));
}

/// The record at a position.
fn record_at(store: &dyn Store, position: Position) -> Result<Option<Record>, StoreError> {
    Ok(store.log(position, 1)?.first().map(record::decode_stored).transpose()?)
}

/// Where the decision of an aggregate begins that led to the record of a version.
fn decision_before(store: &dyn Store, start: Position, version: u64) -> Result<Option<Position>, StoreError> {
    let mut end = version;
    while end > 0 {
        let from = end.saturating_sub(PAGE as u64 - 1).max(1);
        let limit = usize::try_from(end - from + 1).unwrap_or(PAGE);
        for stored in store.stream(start, from, limit)?.iter().rev() {
            let record = record::decode_stored(stored)?;
            if matches!(&record.fact, Fact::Aggregate(fact) if fact.command().is_some()) {
                return Ok(Some(record.position));
            }
        }
        end = from - 1;
    }
    Ok(None)
}

/// The head of the stream that begins at a position.
fn head_at(store: &dyn Store, start: Position) -> Result<Option<StreamHead>, StoreError> {
    Ok(record_at(store, start)?.and_then(|first| first.head))
}
