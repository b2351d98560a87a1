//! A job's turn: some sagas, each as it is now, in one commit with how far the job is. So a kill loses none and repeats none.
//!
//! Which sagas have a status is read as it is committed: one that comes to it in this moment is passed over, as if a moment earlier.

use super::{Job, add, interventions, misfit, unchanged};
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
        let (mut through, mut loaded, mut applied, mut misfits) = (job.through, 0, 0, Vec::<Misfit>::new());
        for (position, summary) in &page {
            if loaded == SAGAS_MAX {
                break;
            }
            through = *position;
            if summary.status.is_ended() || !job.filter.admits(&job.namespace, summary) {
                continue;
            }
            loaded += 1;
            match self.do_job(stream, job, &(summary.namespace.clone(), summary.id.clone())) {
                Came::Passed => {}
                Came::Applied => applied += 1,
                Came::Misfit(why) => add(&mut misfits, &misfit(&why, summary.id.as_str())),
            }
        }
        if self.failed.is_some() {
            return Ok(());
        }
        let ends = page.len() < ROWS_MAX && page.last().is_none_or(|(last, _)| *last == through);
        let mut events = Vec::new();
        if applied > 0 || !misfits.is_empty() {
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
    fn do_job(&mut self, stream: Position, job: &Job, key: &SagaKey) -> Came {
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
        let asked = interventions(job.verb, &job.filter, &job.filter.legs(&resident.saga));
        let origin = Origin { namespace: job.namespace.clone(), actor: job.actor.clone(), idempotency_key: None };
        let cause = RecordId { stream, version: 1 };
        let mut came = Came::Misfit(unchanged(job.verb));
        for intervention in asked {
            let decided = self.decide_on(key, intervention, &job.act);
            match (decided, &came) {
                (Ok(decided), _) if !decided.events.is_empty() => {
                    self.record_decided(&origin, key, decided, &job.act, Some(cause));
                    came = Came::Applied;
                }
                (Err(unfit), Came::Misfit(_)) => came = Came::Misfit(unfit.to_string()),
                (Ok(_) | Err(_), _) => {}
            }
        }
        self.park(key);
        came
    }
}
