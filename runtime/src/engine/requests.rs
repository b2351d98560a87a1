//! What is asked of the shard, and its answers.

use std::sync::Arc;

use amends_core::{
    Event, Instant, Saga,
    event::Started,
    id::{Incarnation, Namespace, SagaId, StepPath},
    verbs::Rejected,
    view::Status,
};
use serde::{Deserialize, Serialize};

use crate::{
    engine::{
        answers,
        fingerprint::{self, Fingerprint},
        load::LoadError,
        modules::Active,
        port::{Answer, Origin, Refusal, RefusalCode, Request, SagaAnswer, Start, VerbAnswer, VerbRequest},
        release::Release,
        resident::{Resident, SagaKey},
        rows,
        schema::Misfit,
        shard::{Shard, context},
    },
    store::{Position, Table},
};

impl Shard {
    pub(crate) fn request(&mut self, request: Request) {
        match &request {
            // Their answers count live sagas, and those are counted as they are handed over.
            Request::Deploy(..) | Request::Activate(..) | Request::SetGrants(..) | Request::Remove(..) | Request::Modules(..) => {
                self.flush_all();
            }
            Request::Start(..) | Request::Verb(..) | Request::Publish(..) | Request::Definitions(..) => {}
        }
        match request {
            Request::Start(origin, start, answer) => self.start(&origin, start, answer),
            Request::Verb(origin, verb, answer) => self.verb(&origin, verb, answer),
            Request::Publish(origin, publish, answer) => self.publish(&origin, publish, answer),
            Request::Deploy(origin, deploy, answer) => self.deploy(&origin, deploy, answer),
            Request::Activate(origin, module, which, act, answer) => self.activate(&origin, &module, which, act, answer),
            Request::SetGrants(origin, set, answer) => self.set_grants(&origin, set, answer),
            Request::Remove(origin, module, version, answer) => self.remove(&origin, &module, version, answer),
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
        match self.begin_or_find(origin, &key, &start) {
            Ok(created) => self.answer_start(&key, start.wait, created, answer),
            Err(refusal) => {
                self.metrics.refused(refusal.code);
                self.release_after(&key, Release::Saga(answer, Err(refusal)));
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
    fn begin_or_find(&mut self, origin: &Origin, key: &SagaKey, start: &Start) -> Result<bool, Refusal> {
        self.refuse_if_failed()?;
        match self.ensure_resident(key) {
            Ok(()) => {
                let same = self.residents.get(key).is_some_and(|resident| is_same(resident.saga.started(), start));
                return if same { Ok(false) } else { Err(id_taken(key)) };
            }
            Err(LoadError::NotFound) => {}
            Err(error) => {
                self.lost(key, &error);
                return Err(Refusal::new(RefusalCode::StorageFailed, format!("saga {} cannot be read: {error}", key.1)));
            }
        }
        if self.stopping {
            return Err(Refusal::new(RefusalCode::Stopping, "the host is stopping and takes no new sagas").hint("try again soon"));
        }
        self.refuse_if_crowded()?;
        if self.residents.len() >= self.limits.residents_max {
            let said = format!("{} sagas are running, which is as many as this host takes", self.residents.len());
            return Err(Refusal::new(RefusalCode::Overloaded, said).hint("try again soon, with the same id"));
        }
        let active =
            self.modules.active(&key.0, &start.definition).ok_or_else(|| self.no_definition(&key.0, &start.definition))?;
        if let Some(reason) = &active.version.quarantined {
            let said = format!("{} v{} is quarantined: {reason}", active.name, active.number);
            return Err(Refusal::new(RefusalCode::Quarantined, said).hint("activate another version, or this one again"));
        }
        if let Some(misfit) = active.misfit(&start.input) {
            return Err(does_not_fit(&start.definition, misfit));
        }
        let started = started(&active, start, self.now);
        let plan = Arc::clone(active.plan);
        let context = context(&self.modules, &self.limits, key, &started, 0, self.now, &mut self.jitter);
        let (saga, events) = Saga::start(plan, started, context);
        self.failpoints.reached("accepted");
        self.begin(key.clone(), Resident::new(saga), events, &origin.actor);
        Ok(true)
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

    fn no_definition(&self, namespace: &Namespace, name: &str) -> Refusal {
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

    fn verb(&mut self, origin: &Origin, request: VerbRequest, answer: Answer<VerbAnswer>) {
        let key = (origin.namespace.clone(), request.id.clone());
        match self.done_verb(origin, &key, request) {
            Ok(said) => self.release_at(said.position, Release::Verb(answer, Ok(said))),
            Err(refusal) => self.release_after(&key, Release::Verb(answer, Err(refusal))),
        }
        self.park(&key);
    }

    fn done_verb(&mut self, origin: &Origin, key: &SagaKey, request: VerbRequest) -> Result<VerbAnswer, Refusal> {
        self.refuse_if_failed()?;
        self.ensure_resident(key).map_err(|error| not_readable(key, &error))?;
        let fingerprint = fingerprint::of_verb(&request);
        let dedupe = origin.idempotency_key.as_ref().map(|name| answers::key_of_verb(&key.0, name));
        if let Some(dedupe) = &dedupe
            && let Some(row) = self.answer_row(dedupe).map_err(|error| self.storage_refusal(&error))?
        {
            let first: VerbRow = rows::decode(&row, "a verb's answer").map_err(|error| self.storage_refusal(&error))?;
            return first.again(&fingerprint);
        }
        // What was decided before gets its places now, so that those of the verb's own records are known.
        self.flush(key);
        let Some(resident) = self.residents.get_mut(key) else { return Err(not_found(&key.1)) };
        let revision = resident.saga.revision();
        if let Some(expected) = request.expect_revision.filter(|expected| *expected != revision) {
            let said = format!("saga {} is at revision {revision}, not {expected}", key.1);
            return Err(Refusal::new(RefusalCode::RevisionChanged, said).hint(format!("look again: amends show {}", key.1)));
        }
        let context = context(
            &self.modules,
            &self.limits,
            key,
            resident.saga.started(),
            resident.journal_bytes,
            self.now,
            &mut self.jitter,
        );
        let events = resident
            .saga
            .act(request.verb, request.act.clone(), context)
            .map_err(|rejected| refusal(key, &resident.saga, rejected))?;
        let (status, revision) = (resident.saga.status(), resident.saga.revision());
        if events.is_empty() {
            let position = resident.flushed.as_ref().map_or(0, |flushed| flushed.position);
            return Ok(VerbAnswer { applied: false, status, revision, position });
        }
        let position = self.last_position + events.len() as u64;
        let started = resident.saga.started();
        let retried = events.iter().any(|event| matches!(event, Event::Retried(..)));
        let lifts = retried.then(|| (started.module.clone(), started.version, request.act));
        if let Some(dedupe) = dedupe {
            let row = rows::encode(&VerbRow { fingerprint, status, revision, position });
            resident.rows.push(rows::put(Table::Answers, dedupe.clone(), row.clone()));
            let timer = self.keep_verb(&dedupe, position);
            self.residents.entry(key.clone()).and_modify(|resident| resident.rows.push(timer));
            self.recent.remember(dedupe, position, row);
        }
        self.took(key, events, &origin.actor, None);
        // Before anything else gets a place: the answer names this one.
        self.flush(key);
        if let Some((module, version, act)) = lifts {
            self.lift_quarantine(origin, &module, version, act);
        }
        Ok(VerbAnswer { applied: true, status, revision, position })
    }
}

/// The row of the first answer to a verb that came with an idempotency key.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct VerbRow {
    fingerprint: Fingerprint,
    status: Status,
    revision: u64,
    position: Position,
}

impl VerbRow {
    /// The answer to the same request; another one under this key is refused.
    fn again(self, fingerprint: &Fingerprint) -> Result<VerbAnswer, Refusal> {
        let Self { fingerprint: first, status, revision, position } = self;
        if first == *fingerprint { Ok(VerbAnswer { applied: false, status, revision, position }) } else { Err(key_reused()) }
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

fn does_not_fit(definition: &str, Misfit { path, reason }: Misfit) -> Refusal {
    let place = if path.is_empty() { String::new() } else { format!("at {path}: ") };
    Refusal::new(RefusalCode::InputDoesNotFit, format!("the input does not fit saga `{definition}`: {place}{reason}"))
        .hint(format!("its schema is in GET /v1/definitions/{definition}"))
}

fn id_taken(key: &SagaKey) -> Refusal {
    Refusal::new(RefusalCode::IdTaken, format!("saga id {} is taken by another definition or input", key.1))
        .hint("an id is never used twice: choose another, or send the same input again")
}

fn not_readable(key: &SagaKey, error: &LoadError) -> Refusal {
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

fn refusal(key: &SagaKey, saga: &Saga, rejected: Rejected) -> Refusal {
    let id = &key.1;
    let said = format!("saga {id}: {rejected}");
    match rejected {
        Rejected::Ended => ended(id, saga),
        Rejected::DoesNotFit { fits, .. } => {
            let hint = format!("these fit: {}", fits.join(", "));
            Refusal { fits, ..Refusal::new(RefusalCode::VerbDoesNotFit, said).hint(hint) }
        }
        Rejected::DoesNotMove(_) => Refusal::new(RefusalCode::VerbDoesNotFit, said),
        Rejected::NoSuchStep(_) => {
            Refusal::new(RefusalCode::StepNotFound, said).hint(format!("its steps are in: amends show {id}"))
        }
        Rejected::PastPointOfNoReturn => Refusal::new(RefusalCode::PastPointOfNoReturn, said)
            .hint("it goes forward to its end; undo it with a new saga, as a refund"),
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
