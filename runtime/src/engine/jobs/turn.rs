//! A job's turn: some sagas, each as it is now, in one commit with how far the job is. So a kill loses none and repeats none.
//!
//! Which sagas have a status is read as it is committed. One that goes from one to another in this moment is not left out: what is
//! with the committer is looked at as well.

use amends_core::{event::Act, view::Status};

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

/// Sagas whose rows are looked at in a turn, for those sagas that the job is about.
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
        let may = self.failed.is_none() && !self.stopping && self.has_room_beside_requests();
        may && self.jobs.next(self.durable).is_some()
    }

    /// The turn of the oldest job, if it is its time.
    pub(crate) fn turn_of_jobs(&mut self) {
        if !self.has_job_turn() {
            return;
        }
        let Some((stream, job)) = self.jobs.next(self.durable) else { return };
        let job = job.clone();
        match self.job_turn(stream, &job) {
            Ok(()) => {}
            // The others can go on: a host that stopped for it would stop again after each start.
            Err(StoreError::Corrupt(why)) => {
                tracing::error!(job = job.id, why, "a job cannot go on: it is stopped");
                let act = Act { note: format!("it cannot go on: {why}"), by: "the host".to_owned() };
                self.record_job(stream, vec![JobEvent::Stopped { act }], &Actor::Host);
            }
            Err(error) => self.fail(error.to_string()),
        }
    }

    fn job_turn(&mut self, stream: Position, job: &Job) -> Result<(), StoreError> {
        let page = self.page(stream, job)?;
        let before = self.actions.len();
        let mut turn = Turn {
            through: job.through,
            sagas: SAGAS_MAX,
            legs: self.limits.job_legs_max,
            applied: 0,
            misfits: Vec::new(),
            is_part: false,
        };
        for position in &page {
            if turn.is_full() {
                break;
            }
            self.look_at(stream, job, *position, &mut turn)?;
        }
        if self.failed.is_some() {
            return Ok(());
        }
        let ends = page.len() < ROWS_MAX && page.last().is_none_or(|last| *last == turn.through);
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

    /// Where the next sagas begin that have not ended, oldest first.
    fn page(&self, stream: Position, job: &Job) -> Result<Vec<Position>, StoreError> {
        let is_asked = |status: &Status| job.filter.status.is_none_or(|only| only == *status);
        let statuses: Vec<Status> = rows::LIVE.into_iter().filter(is_asked).collect();
        let mut page = rows::of_statuses(self.store.as_ref(), &statuses, job.through, stream, ROWS_MAX)?;
        page.extend(self.streams_in_flight().filter(|position| (job.through + 1..stream).contains(position)));
        Ok(page.into_iter().take(ROWS_MAX).collect())
    }

    /// One saga, if the job is about it. One whose row cannot be read is counted and left where it is.
    fn look_at(&mut self, stream: Position, job: &Job, position: Position, turn: &mut Turn) -> Result<(), StoreError> {
        let (saga, came) = match rows::look_at(self.store.as_ref(), position)? {
            Ok(summary) if !summary.status.is_ended() && job.filter.admits(&job.namespace, &summary) => {
                let key = (summary.namespace, summary.id);
                let came = self.do_job(stream, job, &key, turn);
                (key.1.as_str().to_owned(), came)
            }
            Ok(_) => (String::new(), Came::Passed),
            Err(why) => (format!("at {position}"), Came::Misfit(format!("it cannot be read: {why}"))),
        };
        match came {
            Came::Passed => {}
            Came::Partly => {
                turn.is_part = true;
                return Ok(());
            }
            Came::Applied => turn.applied += 1,
            Came::Misfit(why) => add(&mut turn.misfits, &misfit(&why, &saga)),
        }
        turn.through = position;
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
        if resident.saga.is_ended() || !job.filter.fits(&resident.saga) {
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
