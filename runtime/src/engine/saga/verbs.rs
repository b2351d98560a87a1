//! What operators ask of one saga. Each is recorded, and done once.

use std::fmt;

use amends_core::{
    Event, Saga,
    event::{Act, Code, Why},
    id::{Leg, Namespace},
    verbs::{AskedVerb, Offered, Rejected, Verb},
    view::Status,
};
use serde::{Deserialize, Serialize};

use super::{
    SagaKey, Sagas, fingerprint,
    request::{VerbAnswer, VerbRequest},
    start::{ended, not_found},
    turn::context,
};
use crate::{
    engine::refusal::{Refusal, RefusalCode, Remedy},
    engine::{
        kernel::{
            answers::{self, Scope},
            commit::Commit,
            reads::{Reads, Unready},
            request::{Origin, Said},
        },
        module::{self, Modules},
    },
    journal::RecordId,
    store::Position,
};

/// What is kept of the first answer to a verb.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct First {
    status: Status,
    revision: u64,
    position: Position,
}

impl First {
    fn answer(self, applied: bool) -> VerbAnswer {
        let Self { status, revision, position } = self;
        VerbAnswer { applied, status, revision, position }
    }
}

impl Sagas {
    /// An operator's verb on one saga.
    pub(crate) fn act(
        &mut self,
        mut reads: Reads<'_>,
        modules: &mut Modules,
        origin: &Origin,
        request: &VerbRequest,
    ) -> Result<Said<VerbAnswer>, Unready> {
        let key = SagaKey::new(&origin.namespace, &request.id);
        if !self.ready(&mut reads, modules.definitions(), &key)? {
            return Ok(Said::refused(not_found(&key.id)));
        }
        let fingerprint = fingerprint::of_verb(request);
        let answer = origin.idempotency_key.as_ref().map(|name| answers::key(&key.namespace, Scope::Verb, name));
        let first = match &answer {
            Some(answer) => answers::first::<First>(&mut reads, answer, &fingerprint)?,
            None => Ok(None),
        };
        let mut commit = reads.done()?;
        let said = match first {
            Ok(Some(first)) => Ok(first.answer(false)),
            Ok(None) => self.do_verb(&mut commit, modules, origin, &key, request),
            Err(refusal) => Err(refusal),
        };
        if let (Ok(done), Some(answer)) = (&said, answer)
            && done.applied
        {
            let first = First { status: done.status, revision: done.revision, position: done.position };
            answers::keep(&mut commit, answer, fingerprint, &first, Some(key.stream()), done.position);
        }
        let at = match &said {
            Ok(said) => said.position,
            Err(_) => self.place(&mut commit, &key),
        };
        self.park(&commit, &key);
        Ok(Said::new(at, said))
    }

    fn do_verb(
        &mut self,
        commit: &mut Commit<'_>,
        modules: &mut Modules,
        origin: &Origin,
        key: &SagaKey,
        request: &VerbRequest,
    ) -> Result<VerbAnswer, Refusal> {
        let Some(saga) = self.get(key) else { return Err(not_found(&key.id)) };
        let revision = saga.revision();
        if let Some(expected) = request.expect_revision.filter(|expected| *expected != revision) {
            let said = format!("saga {} is at revision {revision}, not {expected}", key.id);
            return Err(Refusal::new(RefusalCode::RevisionChanged, said).remedy("look again", Remedy::ShowSaga(key.id.clone())));
        }
        let decided = self.decide_on(commit, modules, key, request.asked.clone(), &request.act);
        let decided = decided.map_err(|unfit| self.refusal(key, unfit))?;
        let Some(saga) = self.get(key) else { return Err(not_found(&key.id)) };
        // What follows at once, as a lock key that comes free, is not the verb's: the answer says where the verb left the saga.
        let (status, revision, applied) = (saga.status(), saga.revision(), !decided.events.is_empty());
        let position =
            if applied { self.record_decided(commit, modules, origin, key, decided, None) } else { self.place(commit, key) };
        Ok(VerbAnswer { applied, status, revision, position })
    }

    /// What a verb means for a saga in memory, applied to it and not recorded yet. No events: nothing is to be done.
    pub(crate) fn decide_on(
        &mut self,
        commit: &mut Commit<'_>,
        modules: &Modules,
        key: &SagaKey,
        asked: AskedVerb,
        act: &Act,
    ) -> Result<Decided, Unfit> {
        let Some(resident) = self.wake(key) else { return Err(Unfit::Refused(not_found(&key.id))) };
        let before = resident.saga.code().version;
        let died: Vec<Leg> =
            resident.saga.stuck().into_iter().filter(|stuck| stuck.why == Why::HostDied).map(|stuck| stuck.leg).collect();
        let offered = offered(modules, &key.namespace, &resident.saga, asked).map_err(Unfit::Refused)?;
        let Some(verb) = offered else { return Ok(Decided { events: Vec::new(), lifts: None, act: act.clone() }) };
        let room = commit.limits.room(resident.journal_bytes);
        // What may reach outside is a matter of the code that runs from here on.
        let digest = if let Verb::Move(offered) = &verb { offered.code.digest } else { resident.saga.code().digest };
        let module = &resident.saga.started().module;
        let context = context(modules, key, module, &digest, room, commit);
        let events = resident.saga.act(verb, act.clone(), context).map_err(Unfit::Rejected)?;
        // One that moved away from what it died of says nothing about that.
        let stays = resident.saga.code().version == before;
        // Nor does a retry of what failed for something else.
        let is_died_of = |event: &Event| matches!(event, Event::Retried(legs, _) if legs.iter().any(|leg| died.contains(leg)));
        let retried = stays && events.iter().any(is_died_of);
        let lifts = retried.then(|| (resident.saga.started().module.clone(), before));
        Ok(Decided { events, lifts, act: act.clone() })
    }

    /// Gives what was decided its places, before anything else gets one, and does what follows. The position of its last record.
    pub(crate) fn record_decided(
        &mut self,
        commit: &mut Commit<'_>,
        modules: &mut Modules,
        origin: &Origin,
        key: &SagaKey,
        decided: Decided,
        causation: Option<RecordId>,
    ) -> Position {
        self.decided(commit, modules, key, decided.events, &origin.actor, causation);
        let position = self.place(commit, key);
        if let Some((module, version)) = decided.lifts {
            module::lift_quarantine(commit, modules, origin, &module, version, decided.act);
        }
        position
    }

    fn refusal(&self, key: &SagaKey, unfit: Unfit) -> Refusal {
        match (unfit, self.get(key)) {
            (Unfit::Refused(refusal), _) => refusal,
            (Unfit::Rejected(rejected), Some(saga)) => refusal(key, saga, rejected),
            (Unfit::Rejected(_), None) => not_found(&key.id),
        }
    }
}

/// What a verb decided.
pub(crate) struct Decided {
    pub(crate) events: Vec<Event>,
    /// The module and version whose quarantine it lifts.
    lifts: Option<(String, u32)>,
    /// Who decided, and why.
    act: Act,
}

/// Why a verb was not done.
pub(crate) enum Unfit {
    /// The saga says so.
    Rejected(Rejected),
    /// The version that it was to move to does.
    Refused(Refusal),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(rejected) => rejected.fmt(f),
            Self::Refused(refusal) => f.write_str(&refusal.message),
        }
    }
}

/// The verb with what the version has that a move goes to. `None`: the saga runs on that version already.
pub(crate) fn offered(modules: &Modules, namespace: &Namespace, saga: &Saga, asked: AskedVerb) -> Result<Option<Verb>, Refusal> {
    let is_there = matches!(asked, Verb::Move(version) if !saga.is_ended() && saga.code().version == version);
    let offered = asked.offered(|version| offer(modules, namespace, saga, version))?;
    Ok((!is_there).then_some(offered))
}

fn offer(modules: &Modules, namespace: &Namespace, saga: &Saga, version: u32) -> Result<Offered, Refusal> {
    let (name, definition) = (&saga.started().module, &saga.started().definition);
    let module = modules.get(namespace, name).ok_or_else(|| module::no_module(name))?;
    let facts = module.versions.get(&version).ok_or_else(|| module::no_version(name, version))?;
    if let Some(reason) = &facts.quarantined {
        return Err(Refusal::new(RefusalCode::Quarantined, format!("{name} v{version} is quarantined: {reason}"))
            .hint("move to another version, or activate this one again"));
    }
    let (plan, definition_hash) = facts.offers(definition).ok_or_else(|| {
        Refusal::new(RefusalCode::VerbDoesNotFit, format!("{name} v{version} has no saga `{definition}` to move to"))
            .remedy("choose a version that has it", Remedy::ShowModule(name.clone()))
    })?;
    Ok(Offered { plan, code: Code { version, digest: facts.digest, definition_hash } })
}

fn refusal(key: &SagaKey, saga: &Saga, rejected: Rejected) -> Refusal {
    let id = &key.id;
    let said = format!("saga {id}: {rejected}");
    match rejected {
        Rejected::Ended => ended(id, saga),
        Rejected::DoesNotFit { fits, .. } => {
            let hint = format!("these fit: {}", fits.join(", "));
            Refusal { fits, ..Refusal::new(RefusalCode::VerbDoesNotFit, said).hint(hint) }
        }
        Rejected::DoesNotMove(obstacles) => {
            let reasons = obstacles.iter().map(ToString::to_string).collect();
            Refusal { reasons, ..Refusal::new(RefusalCode::VerbDoesNotFit, said) }
                .hint("nothing was changed; deploy a version that keeps what has begun, or wait until nothing of it is open")
        }
        Rejected::NoSuchStep(_) => {
            Refusal::new(RefusalCode::StepNotFound, said).remedy("its steps are in", Remedy::ShowSaga(id.clone()))
        }
        Rejected::PastPointOfNoReturn => Refusal::new(RefusalCode::PastPointOfNoReturn, said)
            .hint("it goes forward to its end; undo it with a new saga, as a refund"),
    }
}
