//! What becomes of a schedule whose time has come: its saga is started, waits, or is missed.
//!
//! The start of a saga and the `fired` record are one commit, and the saga's id is made of the moment: whatever dies when, a moment
//! starts one saga.

use amends_core::{
    Instant, Payload,
    id::SagaId,
    refused::Refused,
    schedule::{Decision, Due, Reason, Schedule, ScheduleEvent},
};
use sha2::{Digest, Sha256};

use super::{
    ScheduleKey,
    calendar::Calendar,
    kept::{self, Held, Schedules},
};
use crate::{
    engine::refusal::{Refusal, RefusalCode},
    engine::{
        kernel::{
            Kernel,
            answers::Life,
            commit::Commit,
            reads::{Reads, Unready},
            timers::Timer,
        },
        module::Modules,
        saga::{Cause, SagaKey, Sagas, request::Start},
    },
    journal::{Actor, RecordId, TimerKind, record},
};

/// Between two tries of a start that is refused for now: it doubles from the first to the last.
const BACKOFF_MS: (u64, u64) = (1_000, 60_000);

/// What is held is looked at so often where nothing else happens: a disk that has room again tells nobody.
const ROOM_AGAIN_MS: u64 = 1_000;

/// Held for less than this, what is due leaves half of the host to requests: a burst passes in seconds.
const PATIENCE_MS: u64 = 5_000;

impl Schedules {
    /// The next schedule to be looked at that no timer wakes: one whose saga has ended, or one that was held back and has room now.
    pub(crate) fn next_woken(&mut self, kernel: &Kernel, sagas: &Sagas) -> Option<Held> {
        if let Some(key) = self.woken.pop_front() {
            return Some(Held { key, since: kernel.now });
        }
        let since = self.held.front()?.since;
        if has_room(kernel, sagas, since) { self.held.pop_front() } else { None }
    }

    /// When a schedule is to be looked at that no timer wakes: at once, or in a while, where there was no room.
    pub(crate) fn wake_at(&self, kernel: &Kernel, sagas: &Sagas) -> Option<Instant> {
        match self.held.front() {
            _ if !self.woken.is_empty() => Some(kernel.now),
            Some(held) if has_room(kernel, sagas, held.since) => Some(kernel.now),
            Some(_) => Some(kernel.now.plus(ROOM_AGAIN_MS)),
            None => None,
        }
    }

    /// The schedule whose timer fired.
    pub(crate) fn due(&self, reads: &mut Reads<'_>, timer: Timer) -> Result<Option<Held>, Unready> {
        let first = reads.record(timer.start)?.map(|stored| record::decode_stored(&stored)).transpose()?;
        let head = first.and_then(|first| first.head);
        Ok(head.map(|head| Held { key: (head.stream.namespace, head.stream.id), since: reads.now }))
    }

    /// Does the one thing that is due of a schedule, if any is: its record sets the timer of the next.
    pub(crate) fn wake(
        &mut self,
        mut reads: Reads<'_>,
        sagas: &mut Sagas,
        modules: &mut Modules,
        held: &Held,
    ) -> Result<(), Unready> {
        let key = &held.key;
        let Some(schedule) = kept::schedule(&mut reads, key)? else { return Ok(()) };
        let runs = still_runs(&mut reads, sagas, key, schedule.saga.as_deref())?;
        match schedule.decide(&Calendar::of(&schedule.spec.when), reads.now, runs) {
            Decision::Nothing => {
                // Its timer has fired, and the clock went back before it was looked at.
                if let Some(due) = schedule.wake_at() {
                    reads.done()?.keep_timer(Timer { due, kind: TimerKind::Schedule, start: schedule.stream });
                }
            }
            Decision::Start(_) if !has_room(&reads, sagas, held.since) => self.held.push_back(held.clone()),
            // The room that is left is for what undoes: not even what is missed is recorded.
            Decision::Record(_) | Decision::Lost(..) if (reads.is_low)() => self.held.push_back(held.clone()),
            Decision::Lost(due, reason) => {
                tracing::error!(schedule = key.1, namespace = %key.0, why = %reason, "a schedule starts nothing any more");
                let missed = ScheduleEvent::Missed { due, count: 1, reason, next: None };
                self.append(&mut reads.done()?, key, Some(&schedule), vec![missed], &Actor::Host);
            }
            Decision::Record(event) => {
                self.append(&mut reads.done()?, key, Some(&schedule), vec![*event], &Actor::Host);
            }
            Decision::Start(due) => self.fire(reads, sagas, modules, key, &schedule, due)?,
        }
        Ok(())
    }

    fn fire(
        &mut self,
        mut reads: Reads<'_>,
        sagas: &mut Sagas,
        modules: &mut Modules,
        key: &ScheduleKey,
        schedule: &Schedule,
        due: Due,
    ) -> Result<(), Unready> {
        let id = id_of(&key.1, schedule, due.moment);
        let input = kept::input(&mut reads, schedule);
        let ready = sagas.ready(&mut reads, modules.definitions(), &SagaKey::new(&key.0, &id));
        let input = input?;
        let unreadable = match ready {
            Ok(_) => None,
            Err(Unready::Missing) => return Err(Unready::Missing),
            Err(Unready::Corrupt(why)) => Some(why),
        };
        let mut commit = reads.done()?;
        let started = match unreadable {
            Some(why) => Err(Refusal::new(RefusalCode::StorageFailed, format!("saga {id} cannot be read: {why}"))),
            None => start(&mut commit, sagas, modules, key, schedule, input, &id),
        };
        let event = match started {
            Ok(_) => ScheduleEvent::Fired { due: due.moment, saga: id.as_str().to_owned(), next: due.next },
            Err(refusal) => refused(schedule, due, &refusal, commit.now),
        };
        self.append(&mut commit, key, Some(schedule), vec![event], &Actor::Host);
        sagas.park(&commit, &SagaKey::new(&key.0, &id));
        Ok(())
    }
}

/// Half of what the host may hold is left to requests, so that none is refused for what was due. What has been held for long
/// leaves them less: requests that keep more than half are no reason to miss all that is due.
fn has_room(kernel: &Kernel, sagas: &Sagas, since: Instant) -> bool {
    let most = kernel.limits.residents_max;
    let share = if kernel.now.since(since) < PATIENCE_MS { most / 2 } else { most - most / 16 };
    !kernel.stopping && !(kernel.is_low)() && !kernel.is_half_crowded() && sagas.resident_count() < share
}

/// Starts a saga as the schedule's next record will say; true if it was not there before. The saga was made ready.
pub(super) fn start(
    commit: &mut Commit<'_>,
    sagas: &mut Sagas,
    modules: &mut Modules,
    key: &ScheduleKey,
    schedule: &Schedule,
    input: Payload,
    id: &SagaId,
) -> Result<bool, Refusal> {
    let start = Start {
        definition: schedule.spec.saga.clone(),
        id: id.clone(),
        input,
        input_hash: schedule.spec.input_hash,
        incarnation: incarnation(&schedule.spec.incarnation, id),
        trace_context: None,
        wait: false,
    };
    // The schedule's own record comes first in its stream after the one before; the saga's start names it.
    let record = RecordId { stream: schedule.stream, version: schedule.revision + 1 };
    let cause = Cause { actor: Actor::Host, record: Some(record), root: Some(key.1.clone()), depth: 0 };
    let saga = SagaKey::new(&key.0, id);
    let created = sagas.begin_or_find(commit, modules, &saga, &start, cause)?;
    sagas.flush(commit, &saga);
    Ok(created)
}

/// A start that may be possible later is tried again, as long as its window is open; any other is missed.
fn refused(schedule: &Schedule, due: Due, refusal: &Refusal, now: Instant) -> ScheduleEvent {
    let Due { moment: due, next } = due;
    let reason = Reason::Refused(Refused { code: refusal.code, message: refusal.message.clone() });
    let backoff = BACKOFF_MS.0.saturating_mul(1 << schedule.tries(due).min(16)).min(BACKOFF_MS.1);
    // At the end of its window it is looked at once more, and given up.
    let until = now.plus(backoff).min(schedule.gives_up_at(due, now).plus(1));
    match may_pass(refusal.code) {
        true => ScheduleEvent::Postponed { due, until: Some(until), reason, next },
        false => ScheduleEvent::Missed { due, count: 1, reason, next },
    }
}

fn still_runs(reads: &mut Reads<'_>, sagas: &Sagas, key: &ScheduleKey, saga: Option<&str>) -> Result<bool, Unready> {
    let Some(Ok(id)) = saga.map(SagaId::new) else { return Ok(false) };
    Ok(sagas.life(reads, &SagaKey { namespace: key.0.clone(), id })? == Life::Goes)
}

/// What makes the refusal may change by what people do: a deploy, an activation. A start that there is no room for is not even tried.
fn may_pass(code: RefusalCode) -> bool {
    matches!(code, RefusalCode::DefinitionNotFound | RefusalCode::Quarantined)
}

/// The id of the saga of a moment: `nightly:20261122T030000Z`, unless the schedule has one of its own.
pub(super) fn id_of(name: &str, schedule: &Schedule, due: Instant) -> SagaId {
    let own = schedule.spec.id.clone().unwrap_or_else(|| {
        let moment = i64::try_from(due.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
        let ms = if due.0.is_multiple_of(1_000) { String::new() } else { format!(".{:03}", due.0 % 1_000) };
        format!("{name}:{}{ms}Z", moment.strftime("%Y%m%dT%H%M%S"))
    });
    match SagaId::new(&own) {
        Ok(id) => id,
        Err(bad) => panic!("a schedule's name and a moment make an id: {bad}"),
    }
}

/// The keys of a saga's steps follow from what is the schedule's alone and from the saga's id: a start that is tried again has them too.
fn incarnation(of_schedule: &[u8; 16], id: &SagaId) -> [u8; 16] {
    let digest = Sha256::new().chain_update(of_schedule).chain_update(id.as_str()).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes
}
