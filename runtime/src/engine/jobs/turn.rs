//! A job's turn: some sagas, each as it is now, in one commit with how far the job is. So a kill loses none and repeats none.
//!
//! Which sagas have a status is read as it is committed: one that comes to it in this moment is passed over, as if a moment earlier.

use super::{Asked, Job, add, asked, misfit, unchanged};
use crate::{
    engine::{load::LoadError, port::Origin, resident::SagaKey, rows, shard::Shard},
    journal::{
        Actor, RecordId,
        job::{JobEvent, Misfit},
    },
    store::{Position, StoreError},
};

/// Sagas that are loaded in a turn: a tenth of a millisecond each, so that a request waits for some milliseconds at most.
const SAGAS_MAX: usize = 32;

/// Rows that are looked at in a turn, for those sagas that the job is about.
const ROWS_MAX: usize = 256;

/// What came of one saga.
enum Came {
    /// It is not one that the job is about.
    Passed,
    /// The verb was applied to some of its legs, as many as fit into the turn; the next one takes up the others.
    Partly,
    Applied,
    Misfit(String),
}

impl Shard {
    /// A job wants its turn now.
    pub(crate) fn has_job_turn(&self) -> bool {
        let may = self.failed.is_none() && !self.stopping && !self.is_crowded();
        may && self.jobs.next(self.durable).is_some()
    }

    /// The turn of the oldest job, if it is its time.
    pub(crate) fn turn_of_jobs(&mut self) {
        if !self.has_job_turn() {
            return;
        }
        let Some((stream, job)) = self.jobs.next(self.durable) else { return };
        let job = job.clone();
        if let Err(error) = self.job_turn(stream, &job) {
            self.fail(error.to_string());
        }
    }

    fn job_turn(&mut self, stream: Position, job: &Job) -> Result<(), StoreError> {
        let page = rows::sagas_from(self.store.as_ref(), job.filter.status, job.through, Some(stream), ROWS_MAX)?;
        let before = self.actions.len();
        let mut turn = Turn {
            through: job.through,
            sagas: SAGAS_MAX,
            legs: self.limits.job_legs_max,
            applied: 0,
            misfits: Vec::new(),
            is_part: false,
        };
        for (position, summary) in &page {
            if turn.is_full() {
                break;
            }
            if summary.status.is_ended() || !job.filter.admits(&job.namespace, summary) {
                turn.through = *position;
                continue;
            }
            match self.do_job(stream, job, &(summary.namespace.clone(), summary.id.clone()), &mut turn) {
                Came::Passed => {}
                Came::Partly => turn.is_part = true,
                Came::Applied => turn.applied += 1,
                Came::Misfit(why) => add(&mut turn.misfits, &misfit(&why, summary.id.as_str())),
            }
            if !turn.is_part {
                turn.through = *position;
            }
        }
        if self.failed.is_some() {
            return Ok(());
        }
        let ends = page.len() < ROWS_MAX && page.last().is_none_or(|(last, _)| *last == turn.through);
        let Turn { through, applied, misfits, is_part, .. } = turn;
        let mut events = Vec::new();
        if applied > 0 || is_part || !misfits.is_empty() {
            events.push(JobEvent::Advanced { through, applied, misfits });
        }
        if ends {
            events.push(JobEvent::Ended);
        }
        if events.is_empty() {
            // Nothing happened, so nothing is recorded: after a kill these rows are looked at again.
            self.jobs.running.entry(stream).and_modify(|job| job.through = through);
        } else {
            self.record_job(stream, events, &Actor::Host);
            self.join_commits(before);
        }
        Ok(())
    }

    /// The verb, done to one saga. What it decides is handed over at once, so that it is in this turn's commit.
    fn do_job(&mut self, stream: Position, job: &Job, key: &SagaKey, turn: &mut Turn) -> Came {
        turn.sagas -= 1;
        if let Err(error) = self.ensure_resident(key) {
            self.lost(key, &error);
            return match error {
                LoadError::NotFound => Came::Passed,
                LoadError::Corrupt(why) | LoadError::Storage(why) => Came::Misfit(format!("it cannot be read: {why}")),
            };
        }
        let Some(resident) = self.residents.get(key) else { return Came::Passed };
        if !job.filter.fits(&resident.saga) {
            self.park(key);
            return Came::Passed;
        }
        let Asked { intervention, legs, is_part } = asked(job.verb, &job.filter, &resident.saga, turn.legs);
        turn.legs = turn.legs.saturating_sub(legs);
        let came = match self.decide_on(key, intervention, &job.act) {
            Ok(decided) if decided.events.is_empty() => Came::Misfit(unchanged(job.verb)),
            Ok(decided) => {
                let origin = Origin { namespace: job.namespace.clone(), actor: job.actor.clone(), idempotency_key: None };
                self.record_decided(&origin, key, decided, &job.act, Some(RecordId { stream, version: 1 }));
                if is_part { Came::Partly } else { Came::Applied }
            }
            Err(unfit) => Came::Misfit(unfit.to_string()),
        };
        self.park(key);
        came
    }
}

/// How far a turn is.
struct Turn {
    /// Sagas up to here were looked at.
    through: Position,
    /// Sagas and legs that may still be dealt with.
    sagas: usize,
    legs: usize,
    applied: u64,
    misfits: Vec<Misfit>,
    /// The saga behind `through` has legs left.
    is_part: bool,
}

impl Turn {
    fn is_full(&self) -> bool {
        self.is_part || self.sagas == 0 || self.legs == 0
    }
}
