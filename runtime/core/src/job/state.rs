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
    /// The position of its first record, which is the cause of its changes to sagas.
    pub stream: u64,
    /// Its namespace.
    pub namespace: Namespace,
    /// The verb for each saga.
    pub verb: AskedVerb,
    /// The filter that selects the sagas.
    pub filter: SagaFilter,
    /// The user and the reason, as the client names them.
    pub act: Act,
    /// The client, as the host identified it.
    pub actor: Actor,
    /// The time of the request.
    pub asked_at: Instant,
    /// Every saga whose stream begins up to this position was visited.
    pub through: u64,
    /// The number of sagas to which the verb was applied.
    pub applied: u64,
    /// The sagas to which the verb did not apply, by reason.
    pub misfits: Vec<Misfit>,
    /// Its progress.
    pub state: JobState,
    /// The number of its records.
    pub version: u64,
    /// The position of its last record.
    pub position: u64,
}

/// The progress of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobState {
    /// There are sagas that it has not visited.
    Running,
    /// It has visited all sagas.
    Ended(Instant),
    /// Somebody stopped it.
    Stopped(Instant, Act),
}

impl Job {
    /// The number of sagas that it visited and that matched the filter.
    pub fn seen(&self) -> u64 {
        self.applied + self.misfits.iter().map(|misfit| misfit.count).sum::<u64>()
    }

    /// It has ended or was stopped.
    pub fn is_over(&self) -> bool {
        self.state != JobState::Running
    }

    /// Folds one fact onto the state. `at` is the time of its record.
    pub fn apply(&mut self, event: &JobEvent, at: Instant) {
        match event {
            // The creation of the job: `self` already has its fields.
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

/// The number of distinct reasons: reasons that name details of a saga could be as many as the sagas.
const REASONS_MAX: usize = 20;

/// The number of sagas that are named for each reason.
const NAMED: usize = 5;

/// The characters of a reason that are kept; a reason may list many obstacles.
const WHY_CHARS_MAX: usize = 500;

/// The reason for all sagas beyond the distinct reasons.
const OTHERWISE: &str = "other reasons; look at the sagas";

impl Misfit {
    /// One saga to which the verb did not apply.
    pub fn of(why: &str, saga: &str) -> Self {
        Self { why: why.chars().take(WHY_CHARS_MAX).collect(), count: 1, sagas: vec![saga.to_owned()] }
    }

    /// Adds it to the sagas with the same reason.
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
