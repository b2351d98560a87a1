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
    Saga,
    id::{Namespace, StepPath},
    job::{Job, JobState, SagaFilter},
    verbs::{AskedVerb, Legs, Scope},
    view::StuckView,
};

use self::request::JobAnswer;
pub(crate) use self::requests::{Awaited, not_found};
use crate::{
    engine::{
        kernel::{
            answers::Life,
            reads::{Reads, Unready},
            release::Reply,
            request::Answer,
            row,
        },
        refusal::Refusal,
    },
    journal::{StreamId, keys},
    store::{Position, Table},
};

/// What a job asks of one saga in one turn.
struct Asked {
    verb: AskedVerb,
    /// How many legs it is about.
    legs: usize,
    /// It is about more legs than fit into the turn: they are the next one's.
    is_part: bool,
}

/// What a verb asks of a saga as it is now, of so many steps at most where each has a record of its own.
fn asked(verb: &AskedVerb, filter: &SagaFilter, saga: &Saga, steps_max: usize) -> Asked {
    let legs = filter.legs(saga);
    let whole = |verb: AskedVerb| Asked { verb, legs: legs.len(), is_part: false };
    match verb.scope() {
        // One record for all of them: a fan-out may be stuck in thousands.
        Scope::Legs if filter.is_about_legs() => {
            whole(verb.clone().of(Legs::These(legs.iter().map(|stuck| stuck.leg.clone()).collect())))
        }
        Scope::Saga | Scope::Legs => whole(verb.clone()),
        Scope::Steps => asked_of_steps(verb, saga, legs, steps_max),
    }
}

/// Only steps that the verb fits are taken, so that a turn always leaves fewer of them; where it fits none, the first says why.
fn asked_of_steps(verb: &AskedVerb, saga: &Saga, legs: Vec<StuckView>, steps_max: usize) -> Asked {
    let mut paths: Vec<StepPath> = legs.into_iter().map(|stuck| stuck.leg.path).collect();
    paths.dedup();
    let fitting: Vec<StepPath> = paths.iter().filter(|path| saga.takes(verb, path)).cloned().collect();
    if fitting.is_empty() {
        paths.truncate(1);
        return Asked { verb: verb.clone().of(Legs::OfEach(paths)), legs: 1, is_part: false };
    }
    let is_part = fitting.len() > steps_max;
    let paths: Vec<StepPath> = fitting.into_iter().take(steps_max).collect();
    Asked { legs: paths.len(), verb: verb.clone().of(Legs::OfEach(paths)), is_part }
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
