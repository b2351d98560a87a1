//! Sagas: those that something happens to now are in memory, the others are rows and records.
//!
//! - [`request`]: what may be asked; `start`, `verbs`: what it means; [`fingerprint`]: what a repeat must be equal in
//! - `turn`: one decision of one saga, and what follows; `flush`: decided records get their places; `launch`: attempts for the guests
//! - [`away`]: a saga that goes on where its guest ran
//! - [`resident`]: a saga in memory; `warm`: those that rest and may be needed again soon; [`load`]: from records to a saga
//! - [`rows`]: derived state; [`lockers`]: who has which lock key; [`live`]: how many have not ended; `waiters`: who waits for an end; `listeners`: which types of
//!   aggregates' events some saga waits for
//! - [`recover`]: start-up; [`read`], [`scan`], [`stuck`], [`moves`]: committed reads; [`filter`]: which sagas, and which of their legs

pub(crate) mod request;

mod start;

mod verbs;

pub(crate) mod fingerprint;

mod turn;

mod flush;

mod launch;

mod away;

pub(crate) mod resident;

mod warm;

pub(crate) mod load;

pub(crate) mod rows;

pub(crate) mod lockers;

pub(crate) mod live;

mod waiters;

mod listeners;

pub(crate) mod recover;

pub(crate) mod read;

pub(crate) mod scan;

pub(crate) mod stuck;

pub(crate) mod moves;

pub(crate) mod filter;

use std::collections::{HashMap, VecDeque};

use amends_core::{
    Failure, Instant, Saga,
    command::StepCommand,
    event::{Attempt, Topic},
    id::{Namespace, StepKey},
};

use self::{
    launch::Launches, listeners::Listeners, live::Live, load::LoadError, lockers::Lockers, rows::Recipients, waiters::Waiters,
    warm::Warm,
};
pub(crate) use self::{
    resident::{Resident, SagaKey},
    start::{Cause, Outcome, does_not_fit, ended, no_definition, no_lock_key, refuse_quarantined},
    turn::Arrived,
    verbs::offered,
};
use crate::{
    engine::refusal::Refusal,
    engine::{
        failpoints::Failpoints,
        kernel::{
            Kernel,
            answers::Life,
            reads::{Reads, Unready},
            release::Reply,
        },
        messages::Message,
        module::{Definitions, Modules},
    },
    journal::RecordId,
    store::Position,
};

/// The sagas of a shard.
pub(crate) struct Sagas {
    /// Those that something happens to now.
    residents: HashMap<SagaKey, Resident>,
    /// Those that rest: durable, with nothing open.
    warm: Warm,
    /// Sagas with records in the committer's queue, by the last position.
    in_flight: VecDeque<(Position, SagaKey)>,
    /// Sagas with records that have no place yet, by when the first was decided.
    unflushed: VecDeque<(Instant, SagaKey)>,
    waiters: Waiters,
    lockers: Lockers,
    live: Live,
    launches: Launches,
    failpoints: Failpoints,
    /// What other kinds hear of in the same step.
    news: VecDeque<News>,
    listeners: Listeners,
}

/// What sagas say to the kinds above them.
#[derive(Debug)]
pub(crate) enum News {
    /// A saga begins to wait: events that came before may be for it. Until they are looked at it does nothing else.
    Waits(SagaKey, Vec<Topic>),
    /// A saga has its lock keys, and is not in memory to be told.
    HasLocks(SagaKey),
    /// A saga has ended.
    Ended(SagaKey),
    /// An attempt is a command: its answer is the outcome.
    Sends(Box<Order>),
    /// An attempt has sent something.
    Message(Message),
}

/// The command of an attempt.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) saga: SagaKey,
    pub(crate) attempt: Attempt,
    /// The leg's key, by which the command is the same in every attempt.
    pub(crate) key: StepKey,
    /// What is sent, or why it cannot be.
    pub(crate) command: Result<StepCommand, Failure>,
    pub(crate) trace_context: Option<String>,
}

impl Default for Sagas {
    fn default() -> Self {
        Self {
            residents: HashMap::new(),
            warm: Warm::default(),
            in_flight: VecDeque::new(),
            unflushed: VecDeque::new(),
            waiters: Waiters::default(),
            lockers: Lockers::default(),
            live: Live::default(),
            launches: Launches::default(),
            failpoints: Failpoints::from_environment(),
            news: VecDeque::new(),
            listeners: Listeners::default(),
        }
    }
}

impl Sagas {
    /// Makes sure that a saga can be decided about: it is in memory, and so are the sagas that may get its lock keys. False: there
    /// is no saga of this name.
    pub(crate) fn ready(&mut self, reads: &mut Reads<'_>, definitions: &Definitions, key: &SagaKey) -> Result<bool, Unready> {
        if !self.in_memory(reads, definitions, key)? {
            return Ok(false);
        }
        for next in self.lockers.next_in_line(key) {
            match self.in_memory(reads, definitions, &next) {
                Ok(_) => {}
                Err(Unready::Missing) => return Err(Unready::Missing),
                Err(Unready::Corrupt(why)) => corrupt(&next, &why),
            }
        }
        Ok(true)
    }

    fn in_memory(&mut self, reads: &mut Reads<'_>, definitions: &Definitions, key: &SagaKey) -> Result<bool, Unready> {
        match self.residents.get(key) {
            // What it waits for may have come already: what follows from that is decided first.
            Some(resident) if resident.looks_for_events => return Err(reads.must_wait()),
            Some(_) => {
                // A saga that is away is called back before anything is decided about it.
                let Some(after) = self.call_back(reads.now, key) else { return Err(reads.must_wait()) };
                reads.not_before(after);
                return Ok(true);
            }
            None if self.warm.has(key) => return Ok(true),
            None => {}
        }
        let Some(records) = reads.stream(&key.stream())? else { return Ok(false) };
        let loaded = load::replayed(definitions, key, records).map_err(|error| match error {
            LoadError::Corrupt(why) | LoadError::Storage(why) => Unready::Corrupt(why),
            LoadError::NotFound => Unready::Corrupt(format!("the stream of saga {} has no records", key.id)),
        })?;
        self.warm.keep(key.clone(), Resident::loaded(loaded), reads.now);
        Ok(true)
    }

    /// Makes many sagas ready at once. Those that are not there or cannot be read are left out, and said.
    pub(crate) fn all_ready(
        &mut self,
        reads: &mut Reads<'_>,
        definitions: &Definitions,
        keys: impl IntoIterator<Item = SagaKey>,
    ) -> Result<Vec<SagaKey>, Unready> {
        let mut ready = Vec::new();
        let mut is_missing = false;
        for key in keys {
            match self.ready(reads, definitions, &key) {
                Ok(true) => ready.push(key),
                Ok(false) => {}
                Err(Unready::Missing) => is_missing = true,
                Err(Unready::Corrupt(why)) => corrupt(&key, &why),
            }
        }
        if is_missing { Err(Unready::Missing) } else { Ok(ready) }
    }

    /// Waits until no saga has decided something that has no place in the journal yet, but for what can be handed over now.
    pub(crate) fn must_settle(&self, reads: &mut Reads<'_>) -> Result<(), Unready> {
        match self.residents.values().any(|resident| resident.looks_for_events) {
            true => Err(reads.must_wait()),
            false => Ok(()),
        }
    }

    /// A saga that is in memory.
    pub(crate) fn get(&self, key: &SagaKey) -> Option<&Saga> {
        self.resident(key).map(|resident| &resident.saga)
    }

    fn resident(&self, key: &SagaKey) -> Option<&Resident> {
        self.residents.get(key).or_else(|| self.warm.get(key))
    }

    /// The position of the start of a saga in memory, if it has one.
    pub(crate) fn started_at(&self, key: &SagaKey) -> Option<Position> {
        self.resident(key)?.flushed.as_ref().map(|flushed| flushed.stream)
    }

    /// What was recorded in another stream and started a saga in memory.
    pub(crate) fn cause_of(&self, key: &SagaKey) -> Option<RecordId> {
        self.resident(key)?.cause
    }

    /// Through how many streams the chain of causes has led that a saga in memory is part of.
    pub(crate) fn depth_of(&self, key: &SagaKey) -> u16 {
        self.resident(key).map_or(0, |resident| resident.depth)
    }

    /// The root of the chain of causes that a saga in memory is part of.
    pub(crate) fn root_of(&self, key: &SagaKey) -> String {
        let root = self.resident(key).and_then(|resident| resident.root.clone());
        root.unwrap_or_else(|| key.id.as_str().to_owned())
    }

    /// A saga in memory that something happens to.
    fn wake(&mut self, key: &SagaKey) -> Option<&mut Resident> {
        if let Some(resident) = self.warm.take(key) {
            self.residents.insert(key.clone(), resident);
        }
        self.residents.get_mut(key)
    }

    /// A saga that nothing happens to rests: its rows and records say all of it.
    pub(crate) fn park(&mut self, kernel: &Kernel, key: &SagaKey) {
        let Some(resident) = self.residents.get(key) else { return };
        let is_durable = resident.flushed.as_ref().is_some_and(|flushed| flushed.position <= kernel.durable());
        if is_durable
            && resident.unflushed.is_empty()
            && resident.launched.is_empty()
            && resident.away.is_none()
            && let Some(resident) = self.residents.remove(key)
            // A saga that has ended is read from the store when somebody asks for it.
            && !resident.saga.is_ended()
        {
            self.warm.keep(key.clone(), resident, kernel.now);
        }
    }

    /// A commit is durable and nothing has left yet: for the failpoint of the binary under test.
    pub(crate) fn durable_now(&mut self, kernel: &Kernel) {
        self.failpoints.durable(kernel.durable());
    }

    /// Records up to the durable position are in the store: sagas that have nothing else to do rest.
    pub(crate) fn committed(&mut self, kernel: &Kernel) {
        while let Some((_, key)) = self.in_flight.pop_front_if(|(position, _)| *position <= kernel.durable()) {
            self.park(kernel, &key);
        }
    }

    /// Lets go of sagas that have rested for long, or are too many.
    pub(crate) fn cool(&mut self, now: Instant) {
        self.warm.cool(now);
    }

    /// The next thing that other kinds are to hear of.
    pub(crate) fn next_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// Half of what the host may hold is left to requests: what nobody waits for goes on when there is less.
    pub(crate) fn has_room_beside_requests(&self, kernel: &Kernel) -> bool {
        !kernel.is_half_crowded() && self.residents.len() < kernel.limits.residents_max / 2
    }

    /// How many sagas something happens to.
    pub(crate) fn resident_count(&self) -> usize {
        self.residents.len()
    }

    /// How many attempts run, or wait for their guest, and stay inside: each ends soon.
    pub(crate) fn end_soon(&self) -> usize {
        self.launches.inside()
    }

    /// No attempt runs and every decision has its place.
    pub(crate) fn is_quiet(&self) -> bool {
        self.launches.is_empty() && self.unflushed.is_empty()
    }

    /// Sagas of a version that have not ended.
    pub(crate) fn live(&self) -> &Live {
        &self.live
    }

    /// When records that have lain for long are to be handed over.
    pub(crate) fn flush_at(&self) -> Option<Instant> {
        self.unflushed.front().map(|(since, _)| since.plus(flush::UNFLUSHED_MS))
    }

    /// Whether a saga has ended, and when. One that is not there has.
    pub(crate) fn life(&self, reads: &mut Reads<'_>, key: &SagaKey) -> Result<Life, Unready> {
        if let Some(saga) = self.get(key) {
            return Ok(saga.ended_at().map_or(Life::Goes, Life::Ended));
        }
        let Some(stream) = reads.start_of(&key.stream())? else { return Ok(Life::Nothing) };
        let Some(summary) = rows::summary(reads, stream)? else { return Ok(Life::Nothing) };
        Ok(summary.ended_at.map_or(Life::Goes, Life::Ended))
    }

    /// The storage failed: whoever waits for a saga is told.
    pub(crate) fn refuse_waiters(&mut self, refusal: &Refusal) {
        for answer in self.waiters.take_all() {
            Reply::new(answer, Err(refusal.clone())).send();
        }
    }
}

/// A saga whose stream cannot be read is left where it is; the others go on.
pub(crate) fn corrupt(key: &SagaKey, why: &str) {
    tracing::error!(saga = %key.id, namespace = %key.namespace, why, "a saga's stream is corrupt: it is quarantined");
}

/// Whether there are sagas whose commands wait for code that decides them.
pub(crate) fn waits_for_code(reads: &mut Reads<'_>, namespace: &Namespace) -> Result<bool, Unready> {
    let page = rows::undecided(reads, namespace, (0, Position::MAX))?;
    Ok(!page.keys.is_empty() || page.more_after.is_some())
}

/// The sagas that a grant to this module would let go on, ready to be told. `None`: there are more than are told at once.
pub(crate) fn denied(
    reads: &mut Reads<'_>,
    sagas: &mut Sagas,
    modules: &Modules,
    namespace: &Namespace,
    module: &str,
) -> Result<Option<Vec<SagaKey>>, Unready> {
    let Recipients { keys, more_after } = rows::denied(reads, namespace, module, (0, Position::MAX))?;
    match more_after {
        Some(_) => Ok(None),
        None => sagas.all_ready(reads, modules.definitions(), keys).map(Some),
    }
}
