//! What operators ask of one saga: the core's verbs, and a move to another version. Each is recorded, and done once.

use std::{fmt, sync::Arc};

use amends_core::{
    Context, Event, Plan, Saga,
    event::{Act, Code, Moved, Why},
    id::{Leg, Namespace, StepPath},
    verbs::{Rejected, StepVerb, Verb},
    view::Status,
};
use serde::{Deserialize, Serialize};

use crate::{
    engine::{
        answers, deploys,
        fingerprint::{self, Fingerprint},
        modules::Modules,
        port::{Answer, Intervention, Origin, Refusal, RefusalCode, VerbAnswer, VerbRequest},
        release::Release,
        requests::{ended, key_reused, not_found, not_readable},
        resident::SagaKey,
        rows,
        shard::{Shard, context},
    },
    journal::RecordId,
    store::{Position, Table},
};

/// What an intervention needs beside the saga, looked up before the saga decides.
pub(crate) enum Prepared {
    Verb(Verb),
    Steps(StepVerb, Vec<StepPath>),
    Move(Arc<Plan>, Code),
    /// It runs on that version already.
    Nothing,
}

impl Shard {
    pub(crate) fn verb(&mut self, origin: &Origin, request: VerbRequest, answer: Answer<VerbAnswer>) {
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
        let Some(resident) = self.residents.get(key) else { return Err(not_found(&key.1)) };
        let revision = resident.saga.revision();
        if let Some(expected) = request.expect_revision.filter(|expected| *expected != revision) {
            let said = format!("saga {} is at revision {revision}, not {expected}", key.1);
            return Err(Refusal::new(RefusalCode::RevisionChanged, said).hint(format!("look again: amends show {}", key.1)));
        }
        let decided = self.decide_on(key, request.asked, &request.act).map_err(|unfit| self.refusal(key, unfit))?;
        let Some(resident) = self.residents.get_mut(key) else { return Err(not_found(&key.1)) };
        let (status, revision) = (resident.saga.status(), resident.saga.revision());
        if decided.events.is_empty() {
            let position = resident.flushed.as_ref().map_or(0, |flushed| flushed.position);
            return Ok(VerbAnswer { applied: false, status, revision, position });
        }
        let position = self.last_position + decided.events.len() as u64;
        if let Some(dedupe) = dedupe {
            let row = rows::encode(&VerbRow { fingerprint, status, revision, position });
            resident.rows.push(rows::put(Table::Answers, dedupe.clone(), row.clone()));
            let timer = self.keep_verb(&dedupe, position);
            self.residents.entry(key.clone()).and_modify(|resident| resident.rows.push(timer));
            self.recent.remember(dedupe, position, row);
        }
        self.record_decided(origin, key, decided, &request.act, None);
        Ok(VerbAnswer { applied: true, status, revision, position })
    }

    /// What an intervention means for a saga in memory, applied to it and not recorded yet. No events: nothing is to be done.
    pub(crate) fn decide_on(&mut self, key: &SagaKey, asked: Intervention, act: &Act) -> Result<Decided, Unfit> {
        let Some(resident) = self.residents.get_mut(key) else { return Err(Unfit::Refused(not_found(&key.1))) };
        let before = resident.saga.code().version;
        let died: Vec<Leg> =
            resident.saga.stuck().into_iter().filter(|stuck| stuck.why == Why::HostDied).map(|stuck| stuck.leg).collect();
        let prepared = prepare(&self.modules, &key.0, &resident.saga, asked).map_err(Unfit::Refused)?;
        let room = self.limits.room(resident.journal_bytes);
        // What may reach outside is a matter of the code that runs from here on.
        let digest = match &prepared {
            Prepared::Move(_, code) => code.digest,
            Prepared::Verb(_) | Prepared::Steps(..) | Prepared::Nothing => resident.saga.code().digest,
        };
        let module = &resident.saga.started().module;
        let context = context(&self.modules, key, module, &digest, room, self.now, &mut self.jitter);
        let events = act_on(&mut resident.saga, prepared, act, context).map_err(Unfit::Rejected)?;
        // One that moved away from what it died of says nothing about that.
        let stays = resident.saga.code().version == before;
        // Nor does a retry of what failed for something else.
        let is_died_of = |event: &Event| matches!(event, Event::Retried(legs, _) if legs.iter().any(|leg| died.contains(leg)));
        let retried = stays && events.iter().any(is_died_of);
        let lifts = retried.then(|| (resident.saga.started().module.clone(), before));
        Ok(Decided { events, lifts })
    }

    /// Hands over what was decided, before anything else gets a place, and does what follows.
    pub(crate) fn record_decided(
        &mut self,
        origin: &Origin,
        key: &SagaKey,
        decided: Decided,
        act: &Act,
        causation: Option<RecordId>,
    ) {
        self.took(key, decided.events, &origin.actor, causation);
        self.flush(key);
        if let Some((module, version)) = decided.lifts {
            self.lift_quarantine(origin, &module, version, act.clone());
        }
    }

    fn refusal(&self, key: &SagaKey, unfit: Unfit) -> Refusal {
        match (unfit, self.residents.get(key)) {
            (Unfit::Refused(refusal), _) => refusal,
            (Unfit::Rejected(rejected), Some(resident)) => refusal(key, &resident.saga, rejected),
            (Unfit::Rejected(_), None) => not_found(&key.1),
        }
    }
}

/// What an intervention decided.
pub(crate) struct Decided {
    pub(crate) events: Vec<Event>,
    /// The module and version whose quarantine it lifts.
    lifts: Option<(String, u32)>,
}

/// Why an intervention was not done.
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

/// The saga decides, and has applied it.
pub(crate) fn act_on(saga: &mut Saga, prepared: Prepared, act: &Act, context: Context) -> Result<Vec<Event>, Rejected> {
    match prepared {
        Prepared::Verb(verb) => saga.act(verb, act.clone(), context),
        Prepared::Steps(verb, paths) => saga.act_on_each(verb, paths, act, context),
        Prepared::Move(plan, code) => saga.move_to(plan, Moved { code, act: act.clone() }, context),
        Prepared::Nothing => Ok(Vec::new()),
    }
}

/// Looks up what an intervention needs.
pub(crate) fn prepare(modules: &Modules, namespace: &Namespace, saga: &Saga, asked: Intervention) -> Result<Prepared, Refusal> {
    let version = match asked {
        Intervention::Verb(verb) => return Ok(Prepared::Verb(verb)),
        Intervention::Steps(verb, paths) => return Ok(Prepared::Steps(verb, paths)),
        Intervention::Move(version) => version,
    };
    let (name, definition) = (&saga.started().module, &saga.started().definition);
    let module = modules.get(namespace, name).ok_or_else(|| deploys::no_module(name))?;
    let facts = module.versions.get(&version).ok_or_else(|| deploys::no_version(name, version))?;
    if let Some(reason) = &facts.quarantined {
        return Err(Refusal::new(RefusalCode::Quarantined, format!("{name} v{version} is quarantined: {reason}"))
            .hint("move to another version, or activate this one again"));
    }
    if !saga.is_ended() && saga.code().version == version {
        return Ok(Prepared::Nothing);
    }
    let (plan, definition_hash) = facts.offers(definition).ok_or_else(|| {
        Refusal::new(RefusalCode::VerbDoesNotFit, format!("{name} v{version} has no saga `{definition}` to move to"))
            .hint(format!("choose a version that has it: amends modules {name}"))
    })?;
    Ok(Prepared::Move(plan, Code { version, digest: facts.digest, definition_hash }))
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

fn refusal(key: &SagaKey, saga: &Saga, rejected: Rejected) -> Refusal {
    let id = &key.1;
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
            Refusal::new(RefusalCode::StepNotFound, said).hint(format!("its steps are in: amends show {id}"))
        }
        Rejected::PastPointOfNoReturn => Refusal::new(RefusalCode::PastPointOfNoReturn, said)
            .hint("it goes forward to its end; undo it with a new saga, as a refund"),
    }
}
