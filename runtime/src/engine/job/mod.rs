//! Jobs: a verb for many sagas, asked for once, recorded, and done some sagas at a time between other requests.
//!
//! They run one after the other, in the order in which they were asked for: where two are about the same sagas, the second one
//! finds what the first one left, as if somebody had typed them.

pub(crate) mod request;

mod requests;

pub(crate) mod fingerprint;

mod turn;

pub(crate) mod preview;

pub(crate) mod read;

use std::collections::BTreeMap;

use amends_core::{
    Instant, Saga,
    event::Act,
    id::{Namespace, StepPath},
    verbs::{StepVerb, Verb},
    view::StuckView,
};
use serde::{Deserialize, Serialize};

use self::request::JobAnswer;
pub(crate) use self::requests::{Awaited, not_found};
use crate::{
    engine::refusal::Refusal,
    engine::{
        kernel::{
            answers::Life,
            follow::Cursor,
            reads::{Reads, Unready},
            release::Reply,
            request::Answer,
            row,
        },
        saga::request::Intervention,
    },
    journal::{
        Actor, StreamId,
        job::{JobEvent, JobVerb, Misfit, SagaFilter},
        keys,
    },
    store::{Position, Table},
};

/// A job: the fold of its stream, and its row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// The position of its first record, which is the cause of what it does to sagas.
    pub stream: Position,
    /// Where it applies.
    pub namespace: Namespace,
    /// What it does to each saga.
    pub verb: JobVerb,
    /// To which.
    pub filter: SagaFilter,
    /// Who asked, and why, as the client says.
    pub act: Act,
    /// Who asked, as the host knows it.
    pub actor: Actor,
    /// When.
    pub asked_at: Instant,
    /// How far it is over the sagas, by the starts of their streams.
    pub cursor: Cursor,
    /// How many the verb was applied to.
    pub applied: u64,
    /// Those that it did not fit, by why.
    pub misfits: Vec<Misfit>,
    /// Where it stands.
    pub state: JobState,
    /// How many records it has.
    pub(crate) version: u64,
    /// The position of the last one.
    pub position: Position,
}

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobState {
    /// There are sagas that it has not looked at.
    Running,
    /// It has looked at all.
    Ended(Instant),
    /// Somebody stopped it.
    Stopped(Instant, Act),
}

impl Job {
    /// How many sagas it was about, so far.
    pub fn seen(&self) -> u64 {
        self.applied + self.misfits.iter().map(|misfit| misfit.count).sum::<u64>()
    }

    /// Nothing more comes of it.
    pub fn is_over(&self) -> bool {
        self.state != JobState::Running
    }

    fn apply(&mut self, event: &JobEvent, at: Instant) {
        match event {
            // What it is made of.
            JobEvent::Asked { .. } => {}
            JobEvent::Advanced { through, applied, misfits } => {
                self.cursor = Cursor { through: *through };
                self.applied += applied;
                misfits.iter().for_each(|misfit| add(&mut self.misfits, misfit));
            }
            JobEvent::Ended => self.state = JobState::Ended(at),
            JobEvent::Stopped { act } => self.state = JobState::Stopped(at, act.clone()),
        }
    }
}

/// Reasons that are kept apart: a person reads no more, and reasons that name things of each saga could be as many as the sagas.
const REASONS_MAX: usize = 20;

/// Sagas that are named for each.
const NAMED: usize = 5;

/// A reason may list obstacles; so much of it says what it is.
const WHY_CHARS_MAX: usize = 500;

/// What stands for the reasons beyond the first.
const OTHERWISE: &str = "other reasons; look at the sagas";

/// Counts a reason in.
fn add(misfits: &mut Vec<Misfit>, more: &Misfit) {
    let is_known = misfits.iter().any(|known| known.why == more.why);
    let why = if is_known || misfits.len() < REASONS_MAX { &more.why } else { OTHERWISE };
    let at = misfits.iter().position(|known| known.why == *why).unwrap_or_else(|| {
        misfits.push(Misfit { why: why.to_owned(), count: 0, sagas: Vec::new() });
        misfits.len() - 1
    });
    let known = &mut misfits[at];
    known.count += more.count;
    let room = NAMED.saturating_sub(known.sagas.len());
    known.sagas.extend(more.sagas.iter().take(room).cloned());
}

/// One saga that the verb did not fit.
fn misfit(why: &str, saga: &str) -> Misfit {
    Misfit { why: why.chars().take(WHY_CHARS_MAX).collect(), count: 1, sagas: vec![saga.to_owned()] }
}

/// Why a saga counts as one that the verb did not fit, though nothing stands against it.
fn unchanged(verb: JobVerb) -> String {
    match verb {
        JobVerb::Cancel => "it is on its way back already".to_owned(),
        JobVerb::Move(version) => format!("it runs on v{version} already"),
        JobVerb::Retry | JobVerb::Skip | JobVerb::NotDone | JobVerb::Undone | JobVerb::Abandon => {
            "there is nothing to change".to_owned()
        }
    }
}

/// What a job asks of one saga in one turn.
struct Asked {
    intervention: Intervention,
    /// How many legs it is about.
    legs: usize,
    /// It is about more legs than fit into the turn: they are the next one's.
    is_part: bool,
}

/// What a verb asks of a saga as it is now, of so many steps at most where each has a record of its own.
fn asked(verb: JobVerb, filter: &SagaFilter, saga: &Saga, steps_max: usize) -> Asked {
    let legs = filter.legs(saga);
    let count = legs.len();
    let whole = |verb: Verb| Asked { intervention: verb.into(), legs: count, is_part: false };
    match verb {
        JobVerb::Cancel => whole(Verb::Cancel),
        JobVerb::Abandon => whole(Verb::Abandon),
        JobVerb::Move(version) => Asked { intervention: Intervention::Move(version), legs: count, is_part: false },
        // One record for all of them: a fan-out may be stuck in thousands.
        JobVerb::Retry if filter.is_about_legs() => whole(Verb::RetryLegs(legs.into_iter().map(|stuck| stuck.leg).collect())),
        JobVerb::Retry => whole(Verb::Retry(None)),
        JobVerb::Skip => asked_of_steps(StepVerb::Skip, saga, legs, steps_max),
        JobVerb::NotDone => asked_of_steps(StepVerb::NotDone, saga, legs, steps_max),
        JobVerb::Undone => asked_of_steps(StepVerb::Undone, saga, legs, steps_max),
    }
}

/// Only steps that the verb fits are taken, so that a turn always leaves fewer of them; where it fits none, the first says why.
fn asked_of_steps(verb: StepVerb, saga: &Saga, legs: Vec<StuckView>, steps_max: usize) -> Asked {
    let mut paths: Vec<StepPath> = legs.into_iter().map(|stuck| stuck.leg.path).collect();
    paths.dedup();
    let fitting: Vec<StepPath> = paths.iter().filter(|path| saga.takes(verb, path)).cloned().collect();
    if fitting.is_empty() {
        paths.truncate(1);
        return Asked { intervention: Intervention::Steps(verb, paths), legs: 1, is_part: false };
    }
    let is_part = fitting.len() > steps_max;
    let paths: Vec<StepPath> = fitting.into_iter().take(steps_max).collect();
    Asked { legs: paths.len(), intervention: Intervention::Steps(verb, paths), is_part }
}

/// The jobs that are not over, by the start of their streams, and who waits for their ends.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    running: BTreeMap<Position, Job>,
    waiters: Vec<(Position, Answer<JobAnswer>)>,
}

impl Jobs {
    /// Everybody who waits for an end, when nobody will be told of one.
    pub(crate) fn refuse_waiters(&mut self, refusal: &Refusal) {
        for (_, answer) in std::mem::take(&mut self.waiters) {
            Reply::new(answer, Err(refusal.clone())).send();
        }
    }

    /// The one whose turn it is, if all that it did is durable: one turn a commit, so that it never runs away from the disk.
    fn next(&self, durable: Position) -> Option<(Position, &Job)> {
        let (stream, job) = self.running.first_key_value()?;
        (job.position <= durable).then_some((*stream, job))
    }

    /// Whether a job is over, and since when.
    pub(crate) fn life(&self, reads: &mut Reads<'_>, name: &StreamId) -> Result<Life, Unready> {
        Ok(match self.find(reads, &name.namespace, &name.id)?.map(|(_, job)| job.state) {
            Some(JobState::Running) => Life::Goes,
            Some(JobState::Ended(at) | JobState::Stopped(at, _)) => Life::Ended(at),
            None => Life::Nothing,
        })
    }
}

/// The row of a job, as it will be when everything decided is durable.
fn job_at(reads: &mut Reads<'_>, namespace: &Namespace, stream: Position) -> Result<Option<Job>, Unready> {
    let row = reads.row(Table::Jobs, keys::job(namespace, stream))?;
    Ok(row.map(|row| row::decode(&row, "a job's row")).transpose()?)
}
