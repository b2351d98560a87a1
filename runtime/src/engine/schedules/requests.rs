//! What people ask of schedules: make one, pause it, let it go on, fire it now, remove it.

use amends_core::{
    Payload,
    event::Act,
    id::{Namespace, SagaId},
};

use super::{ScheduleKey, decide::Calendar, kept::Kept, look::ScheduleView, state::Schedule};
use crate::{
    engine::{
        port::{Answer, OfSchedule, Origin, PutSchedule, Refusal, RefusalCode, ScheduleAnswer, ScheduleRequest},
        release::Release,
        requests::does_not_fit,
        shard::Shard,
    },
    journal::schedule::{ScheduleEvent, Spec, When},
};

impl Shard {
    pub(crate) fn of_schedule(&mut self, origin: &Origin, request: ScheduleRequest, answer: Answer<Box<ScheduleAnswer>>) {
        let key = (origin.namespace.clone(), request.name);
        let said = match request.asked {
            OfSchedule::Put(put) => self.put_schedule(origin, &key, *put, request.act),
            OfSchedule::Pause => self.pause(origin, &key, request.act),
            OfSchedule::Resume => self.resume(origin, &key, request.act),
            OfSchedule::Trigger(id) => self.trigger(origin, &key, &id, request.act),
            OfSchedule::Remove => self.remove_schedule(origin, &key, request.act),
        };
        if let Err(refusal) = &said {
            self.metrics.refused(refusal.code);
        }
        self.release_at(self.last_position, Release::Schedule(answer, said.map(Box::new)));
    }

    fn put_schedule(
        &mut self,
        origin: &Origin,
        key: &ScheduleKey,
        put: PutSchedule,
        act: Act,
    ) -> Result<ScheduleAnswer, Refusal> {
        self.refuse_if_failed()?;
        let PutSchedule { spec, input, paused, expect_revision } = put;
        let spec = spec.into_spec();
        let before = self.find(key)?;
        let asked_with = origin.idempotency_key.as_ref();
        if let Some(kept) =
            before.as_ref().filter(|kept| is_same(&kept.schedule, &spec, asked_with) && (kept.schedule.paused || !paused))
        {
            return self.answer(key, kept.clone(), Changed::No);
        }
        // What is so already is not refused: the same schedule, sent twice, gets the same answer.
        let revision = before.as_ref().map_or(0, |kept| kept.schedule.revision);
        if let Some(expected) = expect_revision.filter(|expected| *expected != revision) {
            let said = format!("schedule `{}` is at revision {revision}, not {expected}", key.1);
            return Err(Refusal::new(RefusalCode::RevisionChanged, said)
                .hint(format!("somebody changed it meanwhile; look again: amends schedule show {}", key.1)));
        }
        self.refuse_if_crowded()?;
        self.refuse_misfit(&key.0, &spec, &input)?;
        let most = self.limits.schedules_max;
        if before.is_none() && self.schedules_of(&key.0).map_err(|error| self.storage_refusal(&error))? >= most {
            let said = format!("namespace `{}` has {most} schedules, which is as many as there may be", key.0);
            return Err(Refusal::new(RefusalCode::TooManySchedules, said)
                .hint("remove those that are over (amends schedule list), or raise `schedules` in [limits]"));
        }
        // Also where a clock went back, no moment comes again.
        let fired = before.as_ref().and_then(|kept| kept.schedule.last_due);
        let after = fired.filter(|_| matches!(spec.when, When::Cron { .. })).map_or(self.now, |fired| fired.max(self.now));
        let next = Calendar::of(&spec.when).after(after);
        if next.is_none() {
            return Err(Refusal::new(RefusalCode::TimePassed, "that moment is past: nothing would ever be started")
                .hint("give a later one, or start the saga now: amends start"));
        }
        let paused = paused || before.as_ref().is_some_and(|kept| kept.schedule.paused);
        let changed = if before.is_some() { Changed::Yes } else { Changed::New };
        let scheduled = ScheduleEvent::Scheduled { spec: spec.into(), input, next, paused, act, key: asked_with.cloned() };
        self.record(origin, key, before.as_ref(), vec![scheduled], changed)
    }

    /// What could not work with what is deployed is said now, and not at the first moment.
    fn refuse_misfit(&self, namespace: &Namespace, spec: &Spec, input: &Payload) -> Result<(), Refusal> {
        let active = self.modules.active(namespace, &spec.saga).ok_or_else(|| self.no_definition(namespace, &spec.saga))?;
        active.misfit(input).map_or(Ok(()), |misfit| Err(does_not_fit(&spec.saga, &misfit)))
    }

    fn pause(&mut self, origin: &Origin, key: &ScheduleKey, act: Act) -> Result<ScheduleAnswer, Refusal> {
        let kept = self.found(key)?;
        match kept.schedule.paused {
            true => self.answer(key, kept, Changed::No),
            false => self.record(origin, key, Some(&kept), vec![ScheduleEvent::Paused(act)], Changed::Yes),
        }
    }

    fn resume(&mut self, origin: &Origin, key: &ScheduleKey, act: Act) -> Result<ScheduleAnswer, Refusal> {
        let kept = self.found(key)?;
        if !kept.schedule.paused {
            return self.answer(key, kept, Changed::No);
        }
        let events = kept.schedule.resumed(self.now, act);
        // What waits for the end of a saga that has ended in the pause is not told so by it.
        self.schedules.woken.push_back(key.clone());
        self.record(origin, key, Some(&kept), events, Changed::Yes)
    }

    /// A trigger that is sent again has the same id, and its saga is there.
    fn trigger(&mut self, origin: &Origin, key: &ScheduleKey, id: &SagaId, act: Act) -> Result<ScheduleAnswer, Refusal> {
        let kept = self.found(key)?;
        if (self.is_low)() {
            return Err(Refusal::new(RefusalCode::LowSpace, "the disk is nearly full: no new sagas are taken")
                .hint("make room on the disk of the data folder"));
        }
        let input = self.input_of(&kept).map_err(|error| self.storage_refusal(&error))?;
        let before = self.actions.len();
        let said = match self.start_scheduled(key, &kept.schedule, input, id) {
            Ok(true) => {
                let triggered = ScheduleEvent::Triggered { saga: id.as_str().to_owned(), act };
                let said = self.record(origin, key, Some(&kept), vec![triggered], Changed::Yes);
                self.join_commits(before);
                said
            }
            Ok(false) => self.answer(key, kept, Changed::No),
            Err(refusal) => Err(refusal),
        };
        self.park(&(key.0.clone(), id.clone()));
        said
    }

    fn remove_schedule(&mut self, origin: &Origin, key: &ScheduleKey, act: Act) -> Result<ScheduleAnswer, Refusal> {
        let kept = self.found(key)?;
        let gone = self.append_schedule(key, Some(&kept), vec![ScheduleEvent::Unscheduled(act)], &origin.actor);
        gone.map_err(|error| self.storage_refusal(&error))?;
        // The last that is said of it is what it was, and that nothing is due.
        let mut last = kept;
        (last.schedule.next, last.schedule.waiting, last.schedule.position) = (None, None, self.last_position);
        last.schedule.revision += 1;
        self.answer(key, last, Changed::Yes)
    }

    fn find(&self, key: &ScheduleKey) -> Result<Option<Kept>, Refusal> {
        self.schedule(key).map_err(|error| self.storage_refusal(&error))
    }

    fn found(&self, key: &ScheduleKey) -> Result<Kept, Refusal> {
        self.refuse_if_failed()?;
        self.find(key)?.ok_or_else(|| {
            Refusal::new(RefusalCode::ScheduleNotFound, format!("there is no schedule `{}` in namespace `{}`", key.1, key.0))
                .hint("look for it: amends schedule list")
        })
    }

    fn record(
        &mut self,
        origin: &Origin,
        key: &ScheduleKey,
        before: Option<&Kept>,
        events: Vec<ScheduleEvent>,
        changed: Changed,
    ) -> Result<ScheduleAnswer, Refusal> {
        let after = self.append_schedule(key, before, events, &origin.actor).map_err(|error| self.storage_refusal(&error))?;
        match after {
            Some(kept) => self.answer(key, kept, changed),
            None => Err(Refusal::new(RefusalCode::StorageFailed, format!("schedule `{}` cannot be read back", key.1))),
        }
    }

    fn answer(&self, key: &ScheduleKey, kept: Kept, changed: Changed) -> Result<ScheduleAnswer, Refusal> {
        let input = self.input_of(&kept).map_err(|error| self.storage_refusal(&error))?;
        Ok(ScheduleAnswer {
            created: changed == Changed::New,
            applied: changed != Changed::No,
            position: kept.schedule.position,
            view: ScheduleView::new(&key.1, kept.schedule, Some(input)),
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Changed {
    No,
    Yes,
    New,
}

/// The same was asked for before. A delay that is over begins again, unless it is the same request that comes again, and an
/// expression that could not be read is read again.
fn is_same(schedule: &Schedule, asked: &Spec, key: Option<&String>) -> bool {
    let known = &schedule.spec;
    let is_again = key.is_some() && key == schedule.key.as_ref();
    let when = match (&known.when, &asked.when) {
        (When::After { delay_ms, .. }, When::After { delay_ms: again, .. }) => {
            delay_ms == again && (is_again || schedule.next.is_some())
        }
        (When::Cron { expression, zone }, When::Cron { expression: again, zone: there }) => {
            expression == again && zone == there && schedule.next.is_some()
        }
        (known, asked) => known == asked,
    };
    when && Spec { when: known.when.clone(), incarnation: known.incarnation, ..asked.clone() } == *known
}
