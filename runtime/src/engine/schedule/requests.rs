//! What people ask of schedules: make one, pause it, let it go on, fire it now, remove it.

use amends_core::{
    Payload,
    event::Act,
    id::{Namespace, SagaId},
    locks,
    schedule::{Calendar as _, Schedule, ScheduleEvent, Spec, When},
};

use super::{
    ScheduleKey,
    calendar::Calendar,
    firing,
    kept::{self, Schedules},
    look::ScheduleView,
    request::{OfSchedule, PutSchedule, ScheduleAnswer, ScheduleRequest},
};
use crate::{
    engine::refusal::{Refusal, RefusalCode, Remedy},
    engine::{
        kernel::{
            commit::Commit,
            reads::{Reads, Unready},
            request::{Origin, Said},
        },
        module::Modules,
        saga::{self, SagaKey, Sagas},
    },
};

type Answered = Result<Result<ScheduleAnswer, Refusal>, Unready>;

impl Schedules {
    /// Somebody asks something of one schedule.
    pub(crate) fn ask(
        &mut self,
        reads: Reads<'_>,
        sagas: &mut Sagas,
        modules: &mut Modules,
        origin: &Origin,
        request: &ScheduleRequest,
    ) -> Result<Said<Box<ScheduleAnswer>>, Unready> {
        let key = (origin.namespace.clone(), request.name.clone());
        // What is said may rest on what was decided just now.
        let before = reads.last_position();
        let asked = Asked { origin, key: &key, act: &request.act };
        let said = match &request.asked {
            OfSchedule::Put(put) => self.put(reads, modules, asked, put)?,
            OfSchedule::Pause => self.pause(reads, asked)?,
            OfSchedule::Resume => self.resume(reads, asked)?,
            OfSchedule::Trigger(id) => self.trigger(reads, sagas, modules, asked, id)?,
            OfSchedule::Remove => self.remove(reads, asked)?,
        };
        let at = said.as_ref().map_or(before, |said| said.position.max(before));
        Ok(Said::new(at, said.map(Box::new)))
    }

    fn put(&mut self, mut reads: Reads<'_>, modules: &Modules, asked: Asked<'_>, put: &PutSchedule) -> Answered {
        let PutSchedule { spec, input, paused, expect_revision } = put.clone();
        let (spec, key) = (spec.into_spec(), asked.key);
        let was = kept::schedule(&mut reads, key);
        let count = kept::count(&mut reads, &key.0);
        let (was, count) = (was?, count?);
        let mut commit = reads.done()?;
        let asked_with = asked.origin.idempotency_key.as_ref();
        if let Some(same) = was.as_ref().filter(|was| is_same(was, &spec, asked_with) && (was.paused || !paused)) {
            return Ok(Ok(answer(key, same.clone(), input, Changed::No)));
        }
        if let Err(refusal) = refuse_put(&commit, modules, key, was.as_ref(), &spec, &input, expect_revision, count) {
            return Ok(Err(refusal));
        }
        // Also where a clock went back, no moment comes again.
        let fired = was.as_ref().and_then(|was| was.last_due);
        let after = fired.filter(|_| matches!(spec.when, When::Cron { .. })).map_or(commit.now, |fired| fired.max(commit.now));
        let next = Calendar::of(&spec.when).after(after);
        if next.is_none() {
            return Ok(Err(Refusal::new(RefusalCode::TimePassed, "that moment is past: nothing would ever be started")
                .remedy("give a later one, or start the saga now", Remedy::StartSaga)));
        }
        let paused = paused || was.as_ref().is_some_and(|was| was.paused);
        let changed = if was.is_some() { Changed::Yes } else { Changed::New };
        if was.is_none() {
            kept::set_count(&mut commit, &key.0, count + 1);
        }
        let act = asked.act.clone();
        let scheduled =
            ScheduleEvent::Scheduled { spec: spec.into(), input: input.clone(), next, paused, act, key: asked_with.cloned() };
        Ok(self.record(&mut commit, asked, was.as_ref(), vec![scheduled], input, changed))
    }

    fn pause(&mut self, mut reads: Reads<'_>, asked: Asked<'_>) -> Answered {
        let (was, input) = match found(&mut reads, asked.key)? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if was.paused {
            return Ok(Ok(answer(asked.key, was, input, Changed::No)));
        }
        let paused = vec![ScheduleEvent::Paused(asked.act.clone())];
        Ok(self.record(&mut reads.done()?, asked, Some(&was), paused, input, Changed::Yes))
    }

    fn resume(&mut self, mut reads: Reads<'_>, asked: Asked<'_>) -> Answered {
        let (was, input) = match found(&mut reads, asked.key)? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if !was.paused {
            return Ok(Ok(answer(asked.key, was, input, Changed::No)));
        }
        let mut commit = reads.done()?;
        let events = was.resumed(&Calendar::of(&was.spec.when), commit.now, asked.act.clone());
        // What waits for the end of a saga that has ended in the pause is not told so by it.
        self.woken.push_back(asked.key.clone());
        Ok(self.record(&mut commit, asked, Some(&was), events, input, Changed::Yes))
    }

    /// A trigger that is sent again has the same id, and its saga is there.
    fn trigger(
        &mut self,
        mut reads: Reads<'_>,
        sagas: &mut Sagas,
        modules: &mut Modules,
        asked: Asked<'_>,
        id: &SagaId,
    ) -> Answered {
        let (was, input) = match found(&mut reads, asked.key)? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if (reads.is_low)() {
            return Ok(Err(Refusal::new(RefusalCode::LowSpace, "the disk is nearly full: no new sagas are taken")
                .hint("make room on the disk of the data folder")));
        }
        let saga = SagaKey::new(&asked.key.0, id);
        sagas.ready(&mut reads, modules.definitions(), &saga)?;
        let mut commit = reads.done()?;
        let said = match firing::start(&mut commit, sagas, modules, asked.key, &was, input.clone(), id) {
            Ok(true) => {
                let triggered = ScheduleEvent::Triggered { saga: id.as_str().to_owned(), act: asked.act.clone() };
                self.record(&mut commit, asked, Some(&was), vec![triggered], input, Changed::Yes)
            }
            Ok(false) => Ok(answer(asked.key, was, input, Changed::No)),
            Err(refusal) => Err(refusal),
        };
        sagas.park(&commit, &saga);
        Ok(said)
    }

    fn remove(&mut self, mut reads: Reads<'_>, asked: Asked<'_>) -> Answered {
        let key = asked.key;
        let count = kept::count(&mut reads, &key.0);
        let found = found(&mut reads, key)?;
        let count = count?;
        let (was, input) = match found {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut commit = reads.done()?;
        kept::set_count(&mut commit, &key.0, count.saturating_sub(1));
        let gone = ScheduleEvent::Unscheduled(asked.act.clone());
        self.append(&mut commit, key, Some(&was), vec![gone], &asked.origin.actor);
        // The last that is said of it is what it was, and that nothing is due.
        let revision = was.revision + 1;
        let last = Schedule { next: None, waiting: None, position: commit.last_position(), revision, ..was };
        Ok(Ok(answer(key, last, input, Changed::Yes)))
    }

    fn record(
        &mut self,
        commit: &mut Commit<'_>,
        asked: Asked<'_>,
        was: Option<&Schedule>,
        events: Vec<ScheduleEvent>,
        input: Payload,
        changed: Changed,
    ) -> Result<ScheduleAnswer, Refusal> {
        match self.append(commit, asked.key, was, events, &asked.origin.actor) {
            Some(schedule) => Ok(answer(asked.key, schedule, input, changed)),
            None => Err(not_found(asked.key)),
        }
    }
}

/// Who asks what of which schedule.
#[derive(Clone, Copy)]
struct Asked<'a> {
    origin: &'a Origin,
    key: &'a ScheduleKey,
    act: &'a Act,
}

/// What stands against making or replacing a schedule.
#[expect(clippy::too_many_arguments, reason = "each is one fact that the decision rests on")]
fn refuse_put(
    commit: &Commit<'_>,
    modules: &Modules,
    key: &ScheduleKey,
    was: Option<&Schedule>,
    spec: &Spec,
    input: &Payload,
    expect_revision: Option<u64>,
    count: u64,
) -> Result<(), Refusal> {
    // What is so already is not refused: the same schedule, sent twice, gets the same answer.
    let revision = was.map_or(0, |was| was.revision);
    if let Some(expected) = expect_revision.filter(|expected| *expected != revision) {
        let said = format!("schedule `{}` is at revision {revision}, not {expected}", key.1);
        return Err(Refusal::new(RefusalCode::RevisionChanged, said)
            .remedy("somebody changed it meanwhile; look again", Remedy::ShowSchedule(key.1.clone())));
    }
    commit.refuse_if_crowded()?;
    refuse_misfit(modules, &key.0, spec, input)?;
    let most = commit.limits.schedules_max;
    if was.is_none() && count >= most {
        let said = format!("namespace `{}` has {most} schedules, which is as many as there may be", key.0);
        return Err(Refusal::new(RefusalCode::TooManySchedules, said)
            .remedy("raise `schedules` in [limits], or remove those that are over", Remedy::ListSchedules));
    }
    Ok(())
}

/// What could not work with what is deployed is said now, and not at the first moment.
fn refuse_misfit(modules: &Modules, namespace: &Namespace, spec: &Spec, input: &Payload) -> Result<(), Refusal> {
    let active = modules.active(namespace, &spec.saga);
    let active = active.ok_or_else(|| saga::no_definition(modules, namespace, &spec.saga))?;
    if let Some(misfit) = active.misfit(input) {
        return Err(saga::does_not_fit(&spec.saga, &misfit));
    }
    locks::keys_of(active.definition, input).map(drop).map_err(|none| saga::no_lock_key(&spec.saga, &none))
}

/// A schedule with its input, if there is one of this name.
fn found(reads: &mut Reads<'_>, key: &ScheduleKey) -> Result<Result<(Schedule, Payload), Refusal>, Unready> {
    match kept::schedule(reads, key)? {
        Some(schedule) => {
            let input = kept::input(reads, &schedule)?;
            Ok(Ok((schedule, input)))
        }
        None => Ok(Err(not_found(key))),
    }
}

fn not_found(key: &ScheduleKey) -> Refusal {
    Refusal::new(RefusalCode::ScheduleNotFound, format!("there is no schedule `{}` in namespace `{}`", key.1, key.0))
        .remedy("look for it", Remedy::ListSchedules)
}

fn answer(key: &ScheduleKey, schedule: Schedule, input: Payload, changed: Changed) -> ScheduleAnswer {
    ScheduleAnswer {
        created: changed == Changed::New,
        applied: changed != Changed::No,
        position: schedule.position,
        view: ScheduleView::new(&key.1, schedule, Some(input)),
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
