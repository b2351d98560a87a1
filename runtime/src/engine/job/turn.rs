//! A job's turn: some sagas, each as it is now, in one commit with how far the job is. So a kill loses none and repeats none.

use amends_core::{
    event::Act,
    job::{Job, JobEvent, Misfit},
    view::Status,
};

use super::{Asked, Jobs, asked};
use crate::{
    engine::{
        kernel::{
            Kernel,
            commit::Commit,
            follow::{Cursor, Turn},
            reads::{Reads, Unready},
            request::Origin,
        },
        module::Modules,
        saga::{SagaKey, Sagas, filter, rows},
    },
    journal::{Actor, RecordId},
    store::Position,
};

/// Sagas that are dealt with in a turn: a tenth of a millisecond each, so that a request waits for some milliseconds at most.
const SAGAS_MAX: usize = 32;

/// Sagas whose rows are looked at in a turn, for those sagas that the job is about.
const ROWS_MAX: usize = 256;

/// A place of a turn: the saga that begins there.
enum Place {
    /// It is not one that the job is about.
    Other,
    /// It may be one.
    Saga(SagaKey),
    /// It cannot be read: its name and why.
    Unreadable(String, String),
}

/// The places of a turn, and up to where these are all; `None`: there are none behind them.
struct Page {
    places: Vec<(Position, Place)>,
    end: Option<Position>,
}

/// What came of one saga.
enum Came {
    /// It is not one that the job is about.
    Passed,
    /// The verb was applied to some of its legs, as many as fit into the turn; the next one takes up the others.
    Partly,
    Applied,
    Misfit(String),
}

/// What a turn has done so far.
struct Done {
    /// Legs that may still be dealt with.
    legs: usize,
    applied: u64,
    misfits: Vec<Misfit>,
    /// The saga behind the cursor has legs left.
    is_part: bool,
}

impl Jobs {
    /// A job wants its turn now.
    pub(crate) fn has_turn(&self, kernel: &Kernel, sagas: &Sagas) -> bool {
        !kernel.stopping && sagas.has_room_beside_requests(kernel) && self.next(kernel.durable()).is_some()
    }

    /// The turn of the oldest job.
    pub(crate) fn turn(&mut self, mut reads: Reads<'_>, sagas: &mut Sagas, modules: &mut Modules) -> Result<(), Unready> {
        let Some((_, job)) = self.next(reads.durable()) else { return Ok(()) };
        let job = job.clone();
        let Page { places, end } = page(&mut reads, sagas, modules, &job)?;
        let starts = places.iter().map(|(start, _)| *start).collect();
        let mut turn = Cursor { through: job.through }.turn(starts, end);
        let mut commit = reads.done()?;
        let mut done = Done { legs: commit.limits.job_legs_max, applied: 0, misfits: Vec::new(), is_part: false };
        for (_, place) in places {
            if done.legs == 0 {
                break;
            }
            look_at(&mut commit, sagas, modules, &job, place, &mut done);
            if done.is_part {
                break;
            }
            turn.pass();
        }
        self.recorded(&mut commit, job, &turn, done);
        Ok(())
    }

    fn recorded(&mut self, commit: &mut Commit<'_>, job: Job, turn: &Turn, done: Done) {
        let Done { applied, misfits, is_part, .. } = done;
        let mut events = Vec::new();
        if applied > 0 || is_part || !misfits.is_empty() {
            events.push(JobEvent::Advanced { through: turn.cursor().through, applied, misfits });
        }
        if turn.is_at_end() {
            events.push(JobEvent::Ended);
        }
        if events.is_empty() {
            // Nothing happened, so nothing is recorded: after a kill these rows are looked at again.
            self.running.entry(job.stream).and_modify(|job| job.through = turn.cursor().through);
        } else {
            self.record(commit, job, events, &Actor::Host);
        }
    }

    /// What a job's turn rests on cannot be read: it is stopped, and the others can go on. A host that stopped for it would stop again
    /// after each start.
    pub(crate) fn give_up(&mut self, commit: &mut Commit<'_>, why: &str) {
        let Some((_, job)) = self.next(commit.durable()) else { return };
        let job = job.clone();
        tracing::error!(job = job.id, why, "a job cannot go on: it is stopped");
        let act = Act { note: format!("it cannot go on: {why}"), by: "the host".to_owned() };
        self.record(commit, job, vec![JobEvent::Stopped { act }], &Actor::Host);
    }
}

/// The next sagas that have not ended, oldest first, those that the job may be about in memory; and up to where these are all.
fn page(reads: &mut Reads<'_>, sagas: &mut Sagas, modules: &Modules, job: &Job) -> Result<Page, Unready> {
    let (starts, end) = starts(reads, job)?;
    let mut places = Vec::new();
    let (mut looked_at, mut is_missing) = (0, false);
    for start in &starts {
        if looked_at == SAGAS_MAX {
            break;
        }
        let place = match place(reads, sagas, modules, job, *start) {
            Ok(place) => place,
            // The others are asked for at once.
            Err(Unready::Missing) => {
                (is_missing, looked_at) = (true, looked_at + 1);
                continue;
            }
            Err(Unready::Corrupt(why)) => Place::Unreadable(format!("at {start}"), why),
        };
        looked_at += usize::from(!matches!(place, Place::Other));
        places.push((*start, place));
    }
    if is_missing {
        return Err(Unready::Missing);
    }
    // What is left of the page is the next turn's.
    let end = if places.len() == starts.len() { end } else { places.last().map(|(start, _)| *start) };
    Ok(Page { places, end })
}

/// Where the next live sagas begin, and up to where these are all.
fn starts(reads: &mut Reads<'_>, job: &Job) -> Result<(Vec<Position>, Option<Position>), Unready> {
    let is_asked = |status: &Status| job.filter.status.is_none_or(|only| only == *status);
    let (mut starts, mut end, mut is_missing) = (Vec::new(), None, false);
    for status in rows::LIVE.into_iter().filter(is_asked) {
        match reads.rows(&rows::between(status, job.through, job.stream, ROWS_MAX)) {
            Ok(page) => {
                for row in &page.rows {
                    starts.push(rows::start_of(&row.key)?);
                }
                let of_status = page.end.map(|end| rows::start_of(&end)).transpose()?;
                end = [end, of_status].into_iter().flatten().min();
            }
            Err(Unready::Missing) => is_missing = true,
            Err(Unready::Corrupt(why)) => return Err(Unready::Corrupt(why)),
        }
    }
    if is_missing {
        return Err(Unready::Missing);
    }
    // Behind the end of a page that is full there may be more of its status: no saga behind the first such end is met in this turn.
    starts.retain(|start| end.is_none_or(|end| *start <= end));
    starts.sort_unstable();
    starts.dedup();
    Ok((starts, end))
}

fn place(reads: &mut Reads<'_>, sagas: &mut Sagas, modules: &Modules, job: &Job, start: Position) -> Result<Place, Unready> {
    let Some(summary) = rows::summary(reads, start)? else {
        return Ok(Place::Unreadable(format!("at {start}"), "its row is missing".to_owned()));
    };
    if summary.status.is_ended() || !filter::admits(&job.filter, &job.namespace, &summary) {
        return Ok(Place::Other);
    }
    let key = SagaKey::new(&summary.namespace, &summary.id);
    Ok(match sagas.ready(reads, modules.definitions(), &key) {
        Ok(true) => Place::Saga(key),
        Ok(false) => Place::Other,
        Err(Unready::Missing) => return Err(Unready::Missing),
        Err(Unready::Corrupt(why)) => Place::Unreadable(key.id.as_str().to_owned(), why),
    })
}

/// One saga, if the job is about it. One that cannot be read is counted and left where it is.
fn look_at(commit: &mut Commit<'_>, sagas: &mut Sagas, modules: &mut Modules, job: &Job, place: Place, done: &mut Done) {
    let (saga, came) = match place {
        Place::Other => return,
        Place::Unreadable(saga, why) => (saga, Came::Misfit(format!("it cannot be read: {why}"))),
        Place::Saga(key) => (key.id.as_str().to_owned(), do_verb(commit, sagas, modules, job, &key, done)),
    };
    match came {
        Came::Passed => {}
        Came::Partly => done.is_part = true,
        Came::Applied => done.applied += 1,
        Came::Misfit(why) => Misfit::of(&why, &saga).add_to(&mut done.misfits),
    }
}

/// The verb, done to one saga. What it decides gets its places at once, in this turn's commit.
fn do_verb(commit: &mut Commit<'_>, sagas: &mut Sagas, modules: &mut Modules, job: &Job, key: &SagaKey, done: &mut Done) -> Came {
    let Some(saga) = sagas.get(key).filter(|saga| !saga.is_ended() && job.filter.fits(saga)) else { return Came::Passed };
    let Asked { verb, legs, is_part } = asked(&job.verb, &job.filter, saga, done.legs);
    done.legs = done.legs.saturating_sub(legs);
    let came = match sagas.decide_on(commit, modules, key, verb, &job.act) {
        Ok(decided) if decided.events.is_empty() => Came::Misfit(job.verb.unchanged()),
        Ok(decided) => {
            let origin = Origin { namespace: job.namespace.clone(), actor: job.actor.clone(), idempotency_key: None };
            let cause = RecordId { stream: job.stream, version: 1 };
            sagas.record_decided(commit, modules, &origin, key, decided, Some(cause));
            if is_part { Came::Partly } else { Came::Applied }
        }
        Err(unfit) => Came::Misfit(unfit.to_string()),
    };
    sagas.park(commit, key);
    came
}
