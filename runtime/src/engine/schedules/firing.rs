//! What becomes of a schedule whose time has come: its saga is started, waits, or is missed.
//!
//! The start of a saga and the `fired` record are one commit, and the saga's id is made of the moment: whatever dies when, a moment
//! starts one saga.

use amends_core::{Instant, Payload, id::SagaId};
use sha2::{Digest, Sha256};

use super::{
    ScheduleKey,
    decide::Decision,
    kept::{Held, Kept},
    state::Schedule,
};
use crate::{
    engine::{
        port::{Refusal, RefusalCode, Start},
        resident::SagaKey,
        rows,
        shard::{Cause, Shard},
    },
    journal::{
        Actor, RecordId,
        schedule::{Reason, ScheduleEvent},
    },
    store::StoreError,
};

/// Between two tries of a start that is refused for now: it doubles from the first to the last.
const BACKOFF_MS: (u64, u64) = (1_000, 60_000);

/// What is held is looked at so often where nothing else happens: a disk that has room again tells nobody.
const ROOM_AGAIN_MS: u64 = 1_000;

/// Held for less than this, what is due leaves half of the host to requests: a burst passes in seconds.
const PATIENCE_MS: u64 = 5_000;

impl Shard {
    /// Schedules that no timer wakes, at most so many: those whose saga has ended, and those that were held back.
    pub(crate) fn fire_woken(&mut self, at_most: usize) {
        for _ in 0..at_most {
            let Some(held) = self.next_woken() else { return };
            self.wake_held(held);
        }
    }

    fn next_woken(&mut self) -> Option<Held> {
        if let Some(key) = self.schedules.woken.pop_front() {
            return Some(Held { key, since: self.now });
        }
        let since = self.schedules.held.front()?.since;
        if self.has_room_for_schedules(since) { self.schedules.held.pop_front() } else { None }
    }

    /// When something is to be looked at that no timer wakes: at once, or in a while, where there was no room.
    pub(crate) fn woken_schedules_at(&self) -> Option<Instant> {
        let held = self.schedules.held.front();
        match held {
            _ if !self.schedules.woken.is_empty() => Some(self.now),
            Some(held) if self.has_room_for_schedules(held.since) => Some(self.now),
            Some(_) => Some(self.now.plus(ROOM_AGAIN_MS)),
            None => None,
        }
    }

    /// Half of what the host may hold is left to requests, so that none is refused for what was due. What has been held for long
    /// leaves them less: requests that keep more than half are no reason to miss all that is due.
    fn has_room_for_schedules(&self, since: Instant) -> bool {
        let most = self.limits.residents_max;
        let share = if self.now.since(since) < PATIENCE_MS { most / 2 } else { most - most / 16 };
        !self.stopping
            && !(self.is_low)()
            && self.last_position - self.durable <= self.limits.queue_records / 2
            && self.residents.len() < share
    }

    /// Does the one thing that is due, if any is: its record sets the timer of the next.
    pub(crate) fn wake_schedule(&mut self, key: ScheduleKey) {
        self.wake_held(Held { key, since: self.now });
    }

    fn wake_held(&mut self, held: Held) {
        if self.failed.is_some() {
            return;
        }
        let key = held.key.clone();
        match self.try_wake(held) {
            Ok(()) => {}
            Err(StoreError::Corrupt(why)) => {
                tracing::error!(schedule = key.1, namespace = %key.0, why, "a schedule is corrupt: it does not fire any more");
            }
            Err(StoreError::Failed(why) | StoreError::Conflict(why)) => self.fail(why),
        }
    }

    fn try_wake(&mut self, held: Held) -> Result<(), StoreError> {
        let key = &held.key;
        let Some(kept) = self.schedule(key)? else { return Ok(()) };
        let runs = self.still_runs(key, kept.schedule.saga.as_deref())?;
        match kept.schedule.decide(self.now, runs) {
            Decision::Nothing => {
                // Its timer has fired, and the clock went back before it was looked at.
                let schedule = &kept.schedule;
                self.timers.moved(schedule.stream, None, schedule.wake_at(), schedule.position);
            }
            Decision::Start(_) if !self.has_room_for_schedules(held.since) => self.schedules.held.push_back(held),
            // The room that is left is for what undoes: not even what is missed is recorded.
            Decision::Record(_) | Decision::Lost(..) if (self.is_low)() => self.schedules.held.push_back(held),
            Decision::Lost(due, reason) => {
                tracing::error!(schedule = key.1, namespace = %key.0, why = reason.message, "a schedule starts nothing any more");
                let missed = ScheduleEvent::Missed { due, count: 1, reason, next: None };
                self.append_schedule(key, Some(&kept), vec![missed], &Actor::Host)?;
            }
            Decision::Record(event) => drop(self.append_schedule(key, Some(&kept), vec![*event], &Actor::Host)?),
            Decision::Start(due) => self.fire(key, &kept, due)?,
        }
        Ok(())
    }

    fn fire(&mut self, key: &ScheduleKey, kept: &Kept, due: Instant) -> Result<(), StoreError> {
        let before = self.actions.len();
        let next = kept.schedule.next_after(due);
        let id = id_of(&key.1, &kept.schedule, due);
        let input = self.input_of(kept)?;
        let started = self.start_scheduled(key, &kept.schedule, input, &id);
        if self.failed.is_some() {
            return Ok(());
        }
        let event = match started {
            Ok(_) => ScheduleEvent::Fired { due, saga: id.as_str().to_owned(), next },
            Err(refusal) => self.refused(&kept.schedule, due, &refusal),
        };
        self.append_schedule(key, Some(kept), vec![event], &Actor::Host)?;
        self.join_commits(before);
        self.park(&(key.0.clone(), id));
        Ok(())
    }

    /// Starts a saga as the schedule's next record will say; true if it was not there before.
    pub(super) fn start_scheduled(
        &mut self,
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
        let record = RecordId { stream: schedule.stream, version: schedule.revision + 1 };
        let cause = Cause { actor: Actor::Host, record: Some(record), root: Some(key.1.clone()) };
        let saga: SagaKey = (key.0.clone(), id.clone());
        let created = self.begin_or_find(&saga, &start, cause)?;
        self.flush(&saga);
        Ok(created)
    }

    /// A start that may be possible later is tried again, as long as its window is open; any other is missed.
    fn refused(&self, schedule: &Schedule, due: Instant, refusal: &Refusal) -> ScheduleEvent {
        let (code, message) = (refusal.code.as_str().to_owned(), refusal.message.clone());
        let (reason, next) = (Reason { code, message }, schedule.next_after(due));
        let backoff = BACKOFF_MS.0.saturating_mul(1 << schedule.tries(due).min(16)).min(BACKOFF_MS.1);
        // At the end of its window it is looked at once more, and given up.
        let until = self.now.plus(backoff).min(schedule.gives_up_at(due, self.now).plus(1));
        match may_pass(refusal.code) {
            true => ScheduleEvent::Postponed { due, until: Some(until), reason, next },
            false => ScheduleEvent::Missed { due, count: 1, reason, next },
        }
    }

    fn still_runs(&self, key: &ScheduleKey, saga: Option<&str>) -> Result<bool, StoreError> {
        let Some(Ok(id)) = saga.map(SagaId::new) else { return Ok(false) };
        let saga = (key.0.clone(), id);
        match self.residents.get(&saga) {
            Some(resident) => Ok(!resident.saga.is_ended()),
            None => Ok(!rows::has_ended(self.store.as_ref(), &saga)?),
        }
    }
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
