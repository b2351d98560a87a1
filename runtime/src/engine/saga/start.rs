//! Starting sagas: the same start again finds the saga that the first one made.

use std::sync::Arc;

use amends_core::{
    Instant, Saga,
    event::Started,
    id::{Incarnation, Namespace, SagaId, StepPath},
    locks,
    policy::DEPTH_MAX,
    view::Status,
};

use super::{
    Resident, SagaKey, Sagas,
    request::{SagaAnswer, Start},
    turn::context,
};
use crate::{
    engine::refusal::{Refusal, RefusalCode, Remedy},
    engine::{
        kernel::{
            Kernel,
            commit::Commit,
            reads::{Reads, Unready},
            request::{Origin, Said},
        },
        module::{Active, Modules, schema::Misfit},
    },
    journal::{Actor, RecordId},
};

/// Why a saga begins.
#[derive(Debug)]
pub(crate) struct Cause {
    /// Who wants it.
    pub(crate) actor: Actor,
    /// What it follows from; `None` for a request.
    pub(crate) record: Option<RecordId>,
    /// The root of the chain of causes, if that is not the saga itself.
    pub(crate) root: Option<String>,
    /// Through how many streams that chain has led to it.
    pub(crate) depth: u16,
}

/// What came of a start.
pub(crate) enum Outcome {
    /// It can be answered.
    Said(Said<SagaAnswer>),
    /// The client waits for the saga's end. True: this start made the saga.
    Waits(bool),
}

impl Sagas {
    /// A client starts a saga.
    pub(crate) fn start(
        &mut self,
        mut reads: Reads<'_>,
        modules: &mut Modules,
        origin: &Origin,
        start: &Start,
    ) -> Result<Outcome, Unready> {
        let key = SagaKey::new(&origin.namespace, &start.id);
        self.ready(&mut reads, modules.definitions(), &key)?;
        let mut commit = reads.done()?;
        let asked = Cause { actor: origin.actor.clone(), record: None, root: None, depth: 0 };
        let outcome = match self.begin_or_find(&mut commit, modules, &key, start, asked) {
            Ok(created) => self.started(&mut commit, &key, start.wait, created),
            Err(refusal) => {
                commit.metrics.refused(refusal.code);
                // What it says of the holder of a lock key is not durable yet, perhaps (law 2).
                let at = if refusal.code == RefusalCode::Locked { commit.last_position() } else { self.place(&mut commit, &key) };
                Outcome::Said(Said::new(at, Err(refusal)))
            }
        };
        self.park(&commit, &key);
        Ok(outcome)
    }

    fn started(&mut self, commit: &mut Commit<'_>, key: &SagaKey, waits: bool, created: bool) -> Outcome {
        let status = self.get(key).map(Saga::status);
        let is_settled = status.is_some_and(|status| status.is_ended() || status == Status::Stuck);
        if waits && !is_settled {
            return Outcome::Waits(created);
        }
        let at = self.place(commit, key);
        let said = self.answer(key, created).ok_or_else(|| not_found(&key.id));
        Outcome::Said(Said::new(at, said))
    }

    /// A client waits for the end of a saga that has not ended.
    pub(crate) fn wait(&mut self, key: SagaKey, answer: super::waiters::SagaReply, created: bool) {
        self.waiters.push(key, answer, created);
    }

    /// Makes the saga, or finds the one that the same start made before; true if it was made now. The saga was made ready.
    pub(crate) fn begin_or_find(
        &mut self,
        commit: &mut Commit<'_>,
        modules: &mut Modules,
        key: &SagaKey,
        start: &Start,
        cause: Cause,
    ) -> Result<bool, Refusal> {
        if self.is_there(key, start)? {
            return Ok(false);
        }
        self.refuse_new(commit, 1)?;
        self.begin(commit, modules, key, start, cause)?;
        Ok(true)
    }

    /// Whether the same start made the saga before.
    pub(crate) fn is_there(&self, key: &SagaKey, start: &Start) -> Result<bool, Refusal> {
        match self.get(key) {
            Some(saga) if is_same(saga.started(), start) => Ok(true),
            Some(_) => Err(id_taken(key)),
            None => Ok(false),
        }
    }

    /// What may pass, and stands against as many new sagas now.
    pub(crate) fn refuse_new(&self, kernel: &Kernel, count: usize) -> Result<(), Refusal> {
        if kernel.stopping {
            return Err(Refusal::new(RefusalCode::Stopping, "the host is stopping and takes no new sagas").hint("try again soon"));
        }
        kernel.refuse_if_crowded()?;
        if self.residents.len() + count > kernel.limits.residents_max {
            let said = format!("{} sagas are running, which is as many as this host takes", self.residents.len());
            return Err(Refusal::new(RefusalCode::Overloaded, said).hint("try again soon, with the same id"));
        }
        Ok(())
    }

    /// Makes the saga, unless something stands against it for as long as nobody changes it.
    pub(crate) fn begin(
        &mut self,
        commit: &mut Commit<'_>,
        modules: &mut Modules,
        key: &SagaKey,
        start: &Start,
        cause: Cause,
    ) -> Result<(), Refusal> {
        refuse_loop(&cause)?;
        refuse_quarantined(modules, &key.namespace, &start.definition)?;
        let active = modules.active(&key.namespace, &start.definition);
        let active = active.ok_or_else(|| no_definition(modules, &key.namespace, &start.definition))?;
        if let Some(misfit) = active.misfit(&start.input) {
            return Err(does_not_fit(&start.definition, &misfit));
        }
        let lock_keys = locks::keys_of(active.definition, &start.input).map_err(|none| no_lock_key(&start.definition, &none))?;
        self.lockers.refuse(key, active.definition, &lock_keys)?;
        let started = Started { lock_keys, ..started(&active, start, commit.now) };
        let plan = Arc::clone(active.plan);
        let room = commit.limits.room(0);
        let context = context(modules, key, &started.module, &started.digest, room, commit);
        let (mut saga, mut events) = Saga::start(plan, started, context);
        let has_locks = !saga.started().lock_keys.is_empty();
        if has_locks {
            let input = self.lockers.want(key, &saga.started().lock_keys);
            events.extend(saga.handle(input, context));
        }
        self.failpoints.reached("accepted");
        self.residents
            .insert(key.clone(), Resident { cause: cause.record, root: cause.root, depth: cause.depth, ..Resident::new(saga) });
        self.decided(commit, modules, key, events, &cause.actor, cause.record);
        if has_locks {
            // Nobody may see its keys taken before its start has a place: those who come later have later ones.
            self.flush(commit, key);
        }
        Ok(())
    }
}

/// What leads round and round is not gone on with.
fn refuse_loop(cause: &Cause) -> Result<(), Refusal> {
    if cause.depth < DEPTH_MAX {
        return Ok(());
    }
    let said = format!("its chain of causes leads through {DEPTH_MAX} streams, so it is probably a loop");
    Err(Refusal::new(RefusalCode::TooDeep, said).hint("its trace shows the chain"))
}

/// A version that took the host down starts nothing until somebody activates it again.
pub(crate) fn refuse_quarantined(modules: &Modules, namespace: &Namespace, definition: &str) -> Result<(), Refusal> {
    let active = modules.active(namespace, definition);
    match active.and_then(|active| Some((active.name, active.number, active.version.quarantined.as_ref()?))) {
        Some((name, number, reason)) => {
            let said = format!("{name} v{number} is quarantined: {reason}");
            Err(Refusal::new(RefusalCode::Quarantined, said).hint("activate another version, or this one again"))
        }
        None => Ok(()),
    }
}

/// No module of the namespace has a saga of this name.
pub(crate) fn no_definition(modules: &Modules, namespace: &Namespace, name: &str) -> Refusal {
    let mut known: Vec<&str> = modules.startable(namespace).collect();
    known.sort_unstable();
    let refusal =
        Refusal::new(RefusalCode::DefinitionNotFound, format!("no saga `{name}` is deployed in namespace `{namespace}`"));
    let nearest = known.iter().max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
    match nearest {
        Some(nearest) if strsim::jaro_winkler(nearest, name) > 0.8 => refusal.hint(format!("did you mean `{nearest}`?")),
        Some(_) => refusal.hint(format!("there are: {}", known.join(", "))),
        None => refusal.remedy("deploy a module first", Remedy::Deploy),
    }
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
        .remedy("its schema is in", Remedy::ShowDefinition(definition.to_owned()))
}

pub(crate) fn no_lock_key(definition: &str, none: &locks::NoKey) -> Refusal {
    Refusal::new(RefusalCode::NoLockKey, format!("saga `{definition}` cannot be started: {none}"))
        .hint("put it into the input; which saga holds what is decided by it")
}

fn id_taken(key: &SagaKey) -> Refusal {
    Refusal::new(RefusalCode::IdTaken, format!("saga id {} is taken by another definition or input", key.id))
        .hint("an id is never used twice: choose another, or send the same input again")
}

/// There is no saga of this id.
pub(crate) fn not_found(id: &SagaId) -> Refusal {
    Refusal::new(RefusalCode::SagaNotFound, format!("there is no saga {id}")).remedy("look for it", Remedy::ListSagas)
}

/// The saga has ended: when, how, and what can still be done about what it was for.
pub(crate) fn ended(id: &SagaId, saga: &Saga) -> Refusal {
    let at = saga.ended_at().and_then(|at| jiff::Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok());
    let at = at.map(|at| format!(" at {at:.0}")).unwrap_or_default();
    let refused =
        |how: &str| Refusal::new(RefusalCode::SagaEnded, format!("saga {id} {how}{at} and takes no more verbs or signals"));
    match saga.status() {
        Status::Compensated => {
            refused("was compensated").hint(format!("{}; to try again, start it under another id", undone(&saga.outstanding())))
        }
        Status::Abandoned => refused("was abandoned").remedy("settle by hand what is outstanding", Remedy::ShowSaga(id.clone())),
        Status::Completed | Status::Stuck | Status::Compensating | Status::Waiting | Status::Running => {
            refused("completed").hint("what it did is undone by another saga, as a refund")
        }
    }
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
