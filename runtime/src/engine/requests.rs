//! What is asked of the shard, and its answers.

use std::sync::Arc;

use amends_core::{
    Instant, Saga,
    event::Started,
    id::{Incarnation, Namespace, SagaId, StepPath},
    locks,
    view::Status,
};

use crate::engine::{
    load::LoadError,
    modules::Active,
    port::{Answer, Origin, Refusal, RefusalCode, Request, SagaAnswer, Start},
    release::Release,
    resident::{Resident, SagaKey},
    schema::Misfit,
    shard::{Cause, Shard, context},
};

impl Shard {
    pub(crate) fn request(&mut self, request: Request) {
        match &request {
            // Their answers count live sagas, and those are counted as they are handed over.
            Request::Deploy(..) | Request::Activate(..) | Request::SetGrants(..) | Request::Remove(..) | Request::Modules(..) => {
                self.flush_all();
            }
            Request::Start(..)
            | Request::Verb(..)
            | Request::Publish(..)
            | Request::Schedule(..)
            | Request::Definitions(..)
            | Request::Job(..)
            | Request::StopJob(..)
            | Request::AwaitJob(..) => {}
        }
        match request {
            Request::Start(origin, start, answer) => self.start(&origin, start, answer),
            Request::Verb(origin, verb, answer) => self.verb(&origin, verb, answer),
            Request::Publish(origin, publish, answer) => self.publish(&origin, publish, answer),
            Request::Schedule(origin, asked, answer) => self.of_schedule(&origin, asked, answer),
            Request::Deploy(origin, deploy, answer) => self.deploy(&origin, deploy, answer),
            Request::Activate(origin, module, which, act, answer) => self.activate(&origin, &module, which, act, answer),
            Request::SetGrants(origin, set, answer) => self.set_grants(&origin, set, answer),
            Request::Remove(origin, module, version, answer) => self.remove(&origin, &module, version, answer),
            Request::Job(origin, job, answer) => self.ask_job(&origin, job, answer),
            Request::StopJob(origin, id, act, answer) => self.stop_job(&origin, &id, act, answer),
            Request::AwaitJob(origin, id, answer) => self.await_job(&origin, &id, answer),
            Request::Modules(origin, answer) => {
                let said = self.module_views(&origin.namespace);
                self.release_at(self.last_position, Release::Modules(answer, said));
            }
            Request::Definitions(origin, answer) => {
                let said = self.modules.offered(&origin.namespace);
                self.release_at(self.last_position, Release::Definitions(answer, said));
            }
        }
    }

    fn start(&mut self, origin: &Origin, start: Start, answer: Answer<SagaAnswer>) {
        let key = (origin.namespace.clone(), start.id.clone());
        let asked = Cause { actor: origin.actor.clone(), record: None, root: None };
        match self.begin_or_find(&key, &start, asked) {
            Ok(created) => self.answer_start(&key, start.wait, created, answer),
            Err(refusal) => {
                self.metrics.refused(refusal.code);
                if refusal.code == RefusalCode::Locked {
                    // What it says of the holder is not durable yet, perhaps (law 2).
                    self.release_at(self.last_position, Release::Saga(answer, Err(refusal)));
                } else {
                    self.release_after(&key, Release::Saga(answer, Err(refusal)));
                }
                self.park(&key);
            }
        }
    }

    /// New work is refused while the disk is behind; what has begun never is.
    pub(crate) fn refuse_if_crowded(&self) -> Result<(), Refusal> {
        if self.is_crowded() {
            let said = format!("{} records wait for the disk, which is as many as this host takes", self.limits.queue_records);
            return Err(Refusal::new(RefusalCode::Overloaded, said).hint("try again soon, with the same id"));
        }
        Ok(())
    }

    /// Makes the saga, or finds the one that the same start made before; true if it was made now.
    pub(crate) fn begin_or_find(&mut self, key: &SagaKey, start: &Start, cause: Cause) -> Result<bool, Refusal> {
        self.refuse_if_failed()?;
        if self.is_there(key, start)? {
            return Ok(false);
        }
        self.refuse_new(1)?;
        self.begin_new(key, start, cause)?;
        Ok(true)
    }

    /// Whether the same start made the saga before. If so, it is in memory now.
    pub(crate) fn is_there(&mut self, key: &SagaKey, start: &Start) -> Result<bool, Refusal> {
        match self.ensure_resident(key) {
            Ok(()) => {
                let same = self.residents.get(key).is_some_and(|resident| is_same(resident.saga.started(), start));
                if same { Ok(true) } else { Err(id_taken(key)) }
            }
            Err(LoadError::NotFound) => Ok(false),
            Err(error) => {
                self.lost(key, &error);
                Err(Refusal::new(RefusalCode::StorageFailed, format!("saga {} cannot be read: {error}", key.1)))
            }
        }
    }

    /// What may pass, and stands against as many new sagas now.
    pub(crate) fn refuse_new(&self, count: usize) -> Result<(), Refusal> {
        if self.stopping {
            return Err(Refusal::new(RefusalCode::Stopping, "the host is stopping and takes no new sagas").hint("try again soon"));
        }
        self.refuse_if_crowded()?;
        if self.residents.len() + count > self.limits.residents_max {
            let said = format!("{} sagas are running, which is as many as this host takes", self.residents.len());
            return Err(Refusal::new(RefusalCode::Overloaded, said).hint("try again soon, with the same id"));
        }
        Ok(())
    }

    /// A version that took the host down starts nothing until somebody activates it again.
    pub(crate) fn refuse_quarantined(&self, namespace: &Namespace, definition: &str) -> Result<(), Refusal> {
        let active = self.modules.active(namespace, definition);
        match active.and_then(|active| Some((active.name, active.number, active.version.quarantined.as_ref()?))) {
            Some((name, number, reason)) => {
                let said = format!("{name} v{number} is quarantined: {reason}");
                Err(Refusal::new(RefusalCode::Quarantined, said).hint("activate another version, or this one again"))
            }
            None => Ok(()),
        }
    }

    /// Makes the saga, unless something stands against it for as long as nobody changes it.
    pub(crate) fn begin_new(&mut self, key: &SagaKey, start: &Start, cause: Cause) -> Result<(), Refusal> {
        self.refuse_quarantined(&key.0, &start.definition)?;
        let active =
            self.modules.active(&key.0, &start.definition).ok_or_else(|| self.no_definition(&key.0, &start.definition))?;
        if let Some(misfit) = active.misfit(&start.input) {
            return Err(does_not_fit(&start.definition, &misfit));
        }
        let lock_keys = locks::keys_of(active.definition, &start.input).map_err(|none| no_lock_key(&start.definition, &none))?;
        self.lockers.refuse(key, active.definition, &lock_keys)?;
        let started = Started { lock_keys, ..started(&active, start, self.now) };
        let plan = Arc::clone(active.plan);
        let room = self.limits.room(0);
        let context = context(&self.modules, key, &started.module, &started.digest, room, self.now, &mut self.jitter);
        let (mut saga, mut events) = Saga::start(plan, started, context);
        let locks = !saga.started().lock_keys.is_empty();
        if locks {
            let input = self.lockers.want(key, &saga.started().lock_keys);
            events.extend(saga.handle(input, context));
        }
        self.failpoints.reached("accepted");
        self.begin(key.clone(), Resident::new(saga), events, cause);
        if locks {
            // Nobody may see its keys taken before its start has a place: those who come later have later ones.
            self.flush(key);
        }
        Ok(())
    }

    fn answer_start(&mut self, key: &SagaKey, wait: bool, created: bool, answer: Answer<SagaAnswer>) {
        let status = self.residents.get(key).map(|resident| resident.saga.status());
        let settled = status.is_some_and(|status| status.is_ended() || status == Status::Stuck);
        if wait && !settled {
            self.waiters.push(key.clone(), answer, created);
        } else {
            self.flush(key);
            if let Some(said) = self.saga_answer(key, created) {
                self.release_after(key, Release::Saga(answer, Ok(said)));
            }
        }
        self.park(key);
    }

    pub(crate) fn no_definition(&self, namespace: &Namespace, name: &str) -> Refusal {
        let mut known: Vec<&str> = self.modules.startable(namespace).collect();
        known.sort_unstable();
        let refusal =
            Refusal::new(RefusalCode::DefinitionNotFound, format!("no saga `{name}` is deployed in namespace `{namespace}`"));
        let nearest = known.iter().max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
        match nearest {
            Some(nearest) if strsim::jaro_winkler(nearest, name) > 0.8 => refusal.hint(format!("did you mean `{nearest}`?")),
            Some(_) => refusal.hint(format!("there are: {}", known.join(", "))),
            None => refusal.hint("deploy a module first: amends deploy FILE.wasm"),
        }
    }
}

/// One key is one request.
pub(crate) fn key_reused() -> Refusal {
    Refusal::new(RefusalCode::KeyReused, "this Idempotency-Key was used for another request").hint("use a fresh key")
}

fn started(active: &Active<'_>, start: &Start, now: Instant) -> Started {
    Started {
        module: active.name.to_owned(),
        version: active.number,
        digest: active.version.digest,
        definition: start.definition.clone(),
        definition_hash: active.definition_hash,
        incarnation: Incarnation(start.incarnation),
        input: start.input.clone(),
        input_hash: start.input_hash,
        deadline_at: active.definition.deadline_ms.map(|ms| now.plus(ms)),
        trace_context: start.trace_context.clone(),
        lock_keys: Vec::new(),
    }
}

fn is_same(started: &Started, start: &Start) -> bool {
    started.definition == start.definition && started.input_hash == start.input_hash
}

pub(crate) fn does_not_fit(definition: &str, misfit: &Misfit) -> Refusal {
    Refusal::new(RefusalCode::InputDoesNotFit, format!("the input does not fit saga `{definition}`: {misfit}"))
        .hint(format!("its schema is in GET /v1/definitions/{definition}"))
}

fn no_lock_key(definition: &str, none: &locks::NoKey) -> Refusal {
    Refusal::new(RefusalCode::NoLockKey, format!("saga `{definition}` cannot be started: {none}"))
        .hint("put it into the input; which saga holds what is decided by it")
}

fn id_taken(key: &SagaKey) -> Refusal {
    Refusal::new(RefusalCode::IdTaken, format!("saga id {} is taken by another definition or input", key.1))
        .hint("an id is never used twice: choose another, or send the same input again")
}

/// Why a saga that was asked for is not there.
pub(crate) fn not_readable(key: &SagaKey, error: &LoadError) -> Refusal {
    match error {
        LoadError::NotFound => not_found(&key.1),
        LoadError::Corrupt(why) | LoadError::Storage(why) => {
            Refusal::new(RefusalCode::StorageFailed, format!("saga {} cannot be read: {why}", key.1))
        }
    }
}

/// There is no saga of this id.
pub(crate) fn not_found(id: &SagaId) -> Refusal {
    Refusal::new(RefusalCode::SagaNotFound, format!("there is no saga {id}")).hint("look for it: amends list")
}

/// The saga has ended: when, how, and what can still be done about what it was for.
pub(crate) fn ended(id: &SagaId, saga: &Saga) -> Refusal {
    let at = saga.ended_at().and_then(|at| jiff::Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok());
    let at = at.map(|at| format!(" at {at:.0}")).unwrap_or_default();
    let (how, hint) = match saga.status() {
        Status::Compensated => {
            let undone = undone(&saga.view().outstanding);
            ("was compensated", format!("{undone}; to try again, start it under another id"))
        }
        Status::Abandoned => ("was abandoned", format!("settle by hand what is outstanding: amends show {id}")),
        Status::Completed | Status::Stuck | Status::Compensating | Status::Waiting | Status::Running => {
            ("completed", "what it did is undone by another saga, as a refund".to_owned())
        }
    };
    Refusal::new(RefusalCode::SagaEnded, format!("saga {id} {how}{at} and takes no more verbs or signals")).hint(hint)
}

/// What a rollback that has ended left behind.
fn undone(outstanding: &[StepPath]) -> String {
    let names: Vec<&str> = outstanding.iter().map(StepPath::as_str).collect();
    match names[..] {
        [] => "what it did is undone".to_owned(),
        [name] => format!("what it did is undone, except {name}, which stands"),
        _ => format!("what it did is undone, except {}, which stand", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After a skip the refusal claimed that all was undone: it looked at the status alone, and a compensated saga may have left
    /// something behind.
    #[test]
    fn what_was_skipped_is_not_called_undone() {
        let undone = |names: &[&str]| undone(&names.iter().copied().map(StepPath::new).collect::<Vec<_>>());
        assert_eq!(undone(&[]), "what it did is undone");
        assert_eq!(undone(&["reserve-hotel"]), "what it did is undone, except reserve-hotel, which stands");
        assert_eq!(undone(&["a", "b"]), "what it did is undone, except a, b, which stand");
    }
}
