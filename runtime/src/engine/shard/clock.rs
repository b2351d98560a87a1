//! What the clock makes happen: timers, schedules, and the turns of what is done in turns.

use amends_core::{Input as SagaInput, id::SagaId};

use super::{Lane, Shard, Work};
use crate::{
    engine::{
        event,
        job::Jobs,
        kernel::{
            answers::{self, Life},
            reads::{Reads, Unready},
            timers::Timer,
        },
        saga::{self, SagaKey, Sagas},
    },
    journal::{StreamId, StreamKind, TimerKind},
};

/// Timers that fire in one step. Ten thousand may be due in a second, and what is asked meanwhile waits for no more than this.
/// It is half of what is taken between two ticks, so that what comes of one is dealt with before the next.
const FIRED_AT_ONCE: usize = 32;

impl Shard {
    /// A timer fired: whose it is says its kind.
    pub(super) fn due(&mut self, timer: Timer) -> Result<(), Unready> {
        let mut reads = self.kernel.reads();
        let (sagas, modules) = (&mut self.sagas, &mut self.modules);
        match timer.kind {
            TimerKind::Saga => {
                let Some(key) = saga::rows::key_at(&mut reads, timer.start)? else { return Ok(()) };
                sagas.ready(&mut reads, modules.definitions(), &key)?;
                sagas.tell(&mut reads.done()?, modules, &key, SagaInput::Wake);
            }
            TimerKind::Event => event::expire(reads, sagas, modules, timer)?,
            TimerKind::Schedule => {
                if let Some(held) = self.schedules.due(&mut reads, timer)? {
                    self.schedules.wake(reads, sagas, modules, &held)?;
                }
            }
            TimerKind::Instance => self.policies.due(reads, timer)?,
            TimerKind::Kept => self.policies.expire(reads, timer)?,
            TimerKind::Job => self.jobs.expire(reads, timer)?,
            TimerKind::Answer => {
                let Some(kept) = answers::due(&mut reads, timer)? else { return Ok(()) };
                let life = match &kept.about {
                    Some(about) => life(&mut reads, sagas, &self.jobs, about)?,
                    None => Life::Nothing,
                };
                answers::expire(&mut reads.done()?, timer, kept, life);
            }
        }
        Ok(())
    }

    /// What the clock makes happen, so much of it at once.
    pub(super) fn tick(&mut self) {
        self.fires_left = FIRED_AT_ONCE;
        self.fire();
        self.messages.wake(self.kernel.now);
        self.policies.wake(self.kernel.now);
        self.messages.renew();
        self.policies.renew();
        if self.jobs.has_turn(&self.kernel, &self.sagas) && !self.desk.is_busy(&Lane::Jobs) {
            self.take(Work::JobTurn);
        }
        if self.broadcasts.has_turn(&self.kernel, &self.sagas) && !self.desk.is_busy(&Lane::Broadcasts) {
            self.take(Work::BroadcastTurn);
        }
    }

    /// Goes on with what the clock makes happen. A schedule that is late for several moments takes them one by one, and each may
    /// have to be read first: what was read goes on here, in the same turn.
    pub(super) fn fire(&mut self) {
        while self.fires_left > 0
            && let Some(timer) = self.kernel.due_timer()
        {
            self.fires_left -= 1;
            self.kernel.metrics.timer_lag(self.kernel.now.since(timer.due));
            self.take(Work::Due(timer));
        }
        if self.kernel.timers().is_used_up() && !self.desk.is_busy(&Lane::Timers) {
            self.take(Work::Refill);
        }
        while self.fires_left > 0
            && let Some(held) = self.schedules.next_woken(&self.kernel, &self.sagas)
        {
            self.fires_left -= 1;
            self.take(Work::Schedule(held));
        }
    }
}

/// How long what an answer is about lives.
fn life(reads: &mut Reads<'_>, sagas: &Sagas, jobs: &Jobs, about: &StreamId) -> Result<Life, Unready> {
    match about.kind {
        StreamKind::Saga => match SagaId::new(&about.id) {
            Ok(id) => sagas.life(reads, &SagaKey { namespace: about.namespace.clone(), id }),
            Err(_) => Ok(Life::Nothing),
        },
        StreamKind::Job => jobs.life(reads, about),
        StreamKind::Module
        | StreamKind::Event
        | StreamKind::Host
        | StreamKind::Schedule
        | StreamKind::Aggregate
        | StreamKind::Policy
        | StreamKind::Instance
        | StreamKind::View => Ok(Life::Nothing),
    }
}
