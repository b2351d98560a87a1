//! A job: the fold of its stream.

use serde::{Deserialize, Serialize};

use super::{JobEvent, Misfit, SagaFilter};
use crate::{
    event::{Act, Actor},
    id::Namespace,
    value::Instant,
    verbs::AskedVerb,
};

/// A job: the fold of its stream, and its row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// The position of its first record, which is the cause of what it does to sagas.
    pub stream: u64,
    /// Where it applies.
    pub namespace: Namespace,
    /// What it does to each saga.
    pub verb: AskedVerb,
    /// To which.
    pub filter: SagaFilter,
    /// Who asked, and why, as the client says.
    pub act: Act,
    /// Who asked, as the host knows it.
    pub actor: Actor,
    /// When.
    pub asked_at: Instant,
    /// How far it is: every saga whose stream begins up to here was looked at.
    pub through: u64,
    /// How many the verb was applied to.
    pub applied: u64,
    /// Those that it did not fit, by why.
    pub misfits: Vec<Misfit>,
    /// Where it stands.
    pub state: JobState,
    /// How many records it has.
    pub version: u64,
    /// The position of the last one.
    pub position: u64,
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

    /// Folds one fact onto the state. `at` is the time of its record.
    pub fn apply(&mut self, event: &JobEvent, at: Instant) {
        match event {
            // What it is made of.
            JobEvent::Asked { .. } => {}
            JobEvent::Advanced { through, applied, misfits } => {
                self.through = *through;
                self.applied += applied;
                misfits.iter().for_each(|misfit| misfit.add_to(&mut self.misfits));
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

impl Misfit {
    /// One saga that the verb did not fit.
    pub fn of(why: &str, saga: &str) -> Self {
        Self { why: why.chars().take(WHY_CHARS_MAX).collect(), count: 1, sagas: vec![saga.to_owned()] }
    }

    /// Counts it in with the others of its reason.
    pub fn add_to(&self, misfits: &mut Vec<Self>) {
        let is_known = misfits.iter().any(|known| known.why == self.why);
        let why = if is_known || misfits.len() < REASONS_MAX { &self.why } else { OTHERWISE };
        let at = misfits.iter().position(|known| known.why == *why).unwrap_or_else(|| {
            misfits.push(Self { why: why.to_owned(), count: 0, sagas: Vec::new() });
            misfits.len() - 1
        });
        let known = &mut misfits[at];
        known.count += self.count;
        let room = NAMED.saturating_sub(known.sagas.len());
        known.sagas.extend(self.sagas.iter().take(room).cloned());
    }
}
