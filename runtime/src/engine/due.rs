//! What is due: the timers of sagas, schedules, jobs, events and answers, so many at a time.

use amends_core::{Input as SagaInput, Instant};

use crate::{
    engine::{rows, shard::Shard},
    journal::{Actor, Fact, Record, record},
    store::{Position, StoreError},
};

/// Timers that fire in one step. Ten thousand may be due in a second, and what is asked meanwhile waits for no more than this.
/// It is half of what is taken between two ticks, so that what comes of one is dealt with before the next.
const FIRED_AT_ONCE: usize = 32;

impl Shard {
    /// Fires what is due, as much as fits into one step; what is left is due again at once.
    pub(crate) fn fire_timers(&mut self) {
        if self.failed.is_some() {
            return;
        }
        let mut left = FIRED_AT_ONCE;
        while left > 0
            && let Some((due, stream)) = self.timers.pop(self.now, self.durable)
        {
            left -= 1;
            self.metrics.timer_lag(self.now.since(due));
            match self.fire_timer(stream, due) {
                Ok(()) => {}
                // What is there cannot be read, now and again: the others go on, and a host that can read it finds the timer's row.
                Err(StoreError::Corrupt(why)) => {
                    tracing::error!(stream, due = due.0, why, "what is due there is corrupt: it is left as it is");
                }
                Err(error) => return self.fail(error.to_string()),
            }
        }
        if let Err(error) = self.timers.refill(self.store.as_ref()) {
            self.fail(error.to_string());
        }
        self.fire_woken(left);
    }

    fn fire_timer(&mut self, stream: Position, due: Instant) -> Result<(), StoreError> {
        let Some(key) = rows::saga_at(self.store.as_ref(), stream)? else { return self.fire_other(stream, due) };
        if let Err(error) = self.turn(&key, Actor::Host, None, |saga, context| saga.handle(SagaInput::Wake, context)) {
            self.lost(&key, &error);
        }
        Ok(())
    }

    /// A timer of something that is no saga: a schedule, a job, an event, or the answer to a verb.
    fn fire_other(&mut self, stream: Position, due: Instant) -> Result<(), StoreError> {
        let first = self.store.stream(stream, 1, 1)?;
        let first = first.first().map(record::decode_stored).transpose()?;
        match first {
            Some(Record { head: Some(head), fact: Fact::Schedule(_), .. }) => {
                self.wake_schedule((head.stream.namespace, head.stream.id));
                Ok(())
            }
            Some(Record { head: Some(head), fact: Fact::Job(_), .. }) => self.expire_job(&head, stream),
            Some(_) => self.expire_event(stream, due),
            None => self.expire_verb(stream, due),
        }
    }
}
