//! The shard: a single-threaded value that owns its sagas and takes a closed set of inputs.
//!
//! Decide, enqueue, apply; release when committed: in that order, in one place. It runs no guest, writes no file and
//! reads no clock: what it wants done it says as actions, and what came of them it takes as inputs.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use amends_core::{
    Context, Event, Input as SagaInput, Instant, Room,
    event::{Arrival, Why},
    outcome::Report,
    view::Status,
};

use crate::{
    engine::{
        failpoints::Failpoints,
        guests::{AttemptCall, ModuleDigest},
        jobs::Jobs,
        launch::Launches,
        live::Live,
        load::{self, LoadError},
        lockers::Lockers,
        metrics::Metrics,
        modules::Modules,
        port::{Answer, Refusal, RefusalCode, Request, SagaAnswer},
        release::{Release, Releases},
        resident::{Resident, SagaKey},
        schedules::kept::Schedules,
        timers::Timers,
        waiters::Waiters,
    },
    journal::{Actor, RecordId},
    store::{Batch, Position, Store, StoreError},
};

/// What can happen to a shard.
#[derive(Debug)]
pub enum Input {
    /// Somebody asks.
    Request(Request),
    /// An attempt ended.
    Report(SagaKey, Report),
    /// Everything up to this position is durable.
    Committed(Position),
    /// The storage failed: nothing may be acknowledged any more.
    StorageFailed(String),
    /// Time passed: what is due happens, as much of it as fits into one step.
    Tick,
    /// No new sagas: the host is stopping.
    Stop,
}

/// What a shard wants done.
#[derive(Debug)]
pub enum Action {
    /// Make this durable, then say `Committed` with the position.
    Commit(Batch, Position),
    /// Run an attempt, then say `Report`.
    Run(SagaKey, Box<AttemptCall>),
    /// A committed change that watchers may see.
    Changed(SagaKey, u64),
    /// Close the host: the storage failed.
    Fail(String),
}

/// Why a saga begins.
#[derive(Debug)]
pub(crate) struct Cause {
    /// Who wants it.
    pub(crate) actor: Actor,
    /// What it follows from; none for a request.
    pub(crate) record: Option<RecordId>,
    /// The root of the chain of causes, if that is not the saga itself.
    pub(crate) root: Option<String>,
}

/// The limits of a shard.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sagas in memory; a start beyond it is refused, an outcome never.
    pub residents_max: usize,
    /// A saga's journal in bytes; beyond it no forward attempt begins, beyond twice as much no attempt at all.
    pub saga_bytes_max: u64,
    /// How long an event that nobody took stays findable.
    pub event_kept_ms: u64,
    /// Records that wait for their commit; beyond them new work is refused, and what runs ahead waits for its commits.
    pub queue_records: u64,
    /// Schedules of a namespace.
    pub schedules_max: u64,
    /// Stuck legs that a job deals with before the next request has its turn.
    pub job_legs_max: usize,
}

impl Default for Limits {
    /// 20,000 sagas in memory at some kilobytes each; 64 MiB of journal a saga; seven days; 8,192 records; 100,000 schedules;
    /// 4,096 legs at some microseconds and a record each: a fan-out may be stuck in 100,000 of them.
    fn default() -> Self {
        Self {
            residents_max: 20_000,
            saga_bytes_max: 64 << 20,
            event_kept_ms: 7 * 86_400_000,
            queue_records: 8_192,
            schedules_max: 100_000,
            job_legs_max: 4_096,
        }
    }
}

impl Limits {
    /// What may still be written to the journal of a saga that has so many bytes.
    pub(crate) fn room(&self, journal_bytes: u64) -> Room {
        match journal_bytes {
            bytes if bytes < self.saga_bytes_max => Room::Free,
            // What was done is worth as much again for undoing it.
            bytes if bytes < self.saga_bytes_max.saturating_mul(2) => Room::Full,
            _ => Room::Spent,
        }
    }
}

/// One shard: a journal, and the sagas that something happens to now.
pub struct Shard {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) modules: Modules,
    pub(crate) limits: Limits,
    pub(crate) epoch: u32,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) residents: HashMap<SagaKey, Resident>,
    pub(crate) timers: Timers,
    pub(crate) waiters: Waiters,
    pub(crate) schedules: Schedules,
    /// Whether the disk is too full for new sagas.
    pub(crate) is_low: IsLow,
    pub(crate) releases: Releases,
    /// Sagas with records in the committer's queue, by the last position.
    pub(crate) in_flight: VecDeque<(Position, SagaKey)>,
    /// Sagas with records that have no place yet, by when the first was decided.
    pub(crate) unflushed: VecDeque<(Instant, SagaKey)>,
    pub(crate) last_position: Position,
    pub(crate) durable: Position,
    pub(crate) recent: crate::engine::messages::Recent,
    pub(crate) now: Instant,
    pub(crate) jitter: u64,
    pub(crate) actions: Vec<Action>,
    pub(crate) live: Live,
    pub(crate) lockers: Lockers,
    pub(crate) jobs: Jobs,
    pub(crate) failed: Option<String>,
    pub(crate) stopping: bool,
    pub(crate) launches: Launches,
    pub(crate) failpoints: Failpoints,
}

/// Whether the disk is too full for new sagas.
pub type IsLow = Arc<dyn Fn() -> bool + Send + Sync>;

/// Records of one saga that are handed over together at the latest.
const UNFLUSHED_MAX: usize = 64;

/// How long a record may lie unflushed while its saga runs ahead, in milliseconds. A client that waits is released by one commit
/// with all of its saga's records, and a busy host needs some tens of milliseconds to get there: each flush on the way costs
/// the store rows that the next one overwrites. Nobody waits for these records; a person who watches may be so far behind.
pub(crate) const UNFLUSHED_MS: u64 = 100;

impl Shard {
    /// A shard over a store whose last position is known; `recover` makes it go on.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        limits: Limits,
        epoch: u32,
        metrics: Arc<Metrics>,
        seed: u64,
    ) -> Result<Self, StoreError> {
        let last_position = store.last_position()?;
        Ok(Self {
            store,
            modules: Modules::default(),
            limits,
            epoch,
            metrics,
            residents: HashMap::new(),
            timers: Timers::default(),
            waiters: Waiters::default(),
            schedules: Schedules::default(),
            is_low: Arc::new(|| false),
            releases: Releases::default(),
            in_flight: VecDeque::new(),
            unflushed: VecDeque::new(),
            last_position,
            durable: last_position,
            recent: crate::engine::messages::Recent::default(),
            now: Instant(0),
            jitter: seed | 1,
            actions: Vec::new(),
            live: Live::default(),
            lockers: Lockers::default(),
            jobs: Jobs::default(),
            failed: None,
            stopping: false,
            launches: Launches::default(),
            failpoints: Failpoints::from_environment(),
        })
    }

    /// Takes one input at a time and says what is to be done.
    pub fn step(&mut self, input: Input, now: Instant) -> Vec<Action> {
        self.now = now;
        let passes = matches!(input, Input::Tick);
        match input {
            Input::Request(request) => self.request(request),
            // Law 14: nothing that was not durable by then is decided on, and nothing leaves.
            _ if self.failed.is_some() => {}
            Input::Report(key, report) => self.report(key, report),
            Input::Committed(position) => self.committed(position),
            Input::StorageFailed(why) => self.fail(why),
            Input::Tick => {}
            Input::Stop => self.stopping = true,
        }
        self.flush_old();
        if passes {
            self.fire_timers();
            self.turn_of_jobs();
        }
        self.grant();
        std::mem::take(&mut self.actions)
    }

    /// Takes back what `step` returned, emptied, for the room that it has.
    pub(crate) fn reuse(&mut self, emptied: Vec<Action>) {
        if self.actions.is_empty() {
            self.actions = emptied;
        }
    }

    /// The moment at which `Tick` is due, if nothing else comes before.
    pub fn wake_at(&self) -> Option<Instant> {
        let job = self.has_job_turn().then_some(self.now);
        let flush = self.unflushed.front().map(|(since, _)| since.plus(UNFLUSHED_MS));
        flush.into_iter().chain(self.timers.next()).chain(self.woken_schedules_at()).chain(job).min()
    }

    /// No attempt is open and everything decided is durable.
    pub fn is_quiet(&self) -> bool {
        self.launches.is_empty() && self.durable == self.last_position && self.unflushed.is_empty()
    }

    fn report(&mut self, key: SagaKey, report: Report) {
        let attempt = report.attempt.clone();
        if let Some(resident) = self.residents.get(&key) {
            let since = resident.saga.open_since(&report.attempt).unwrap_or(self.now);
            self.metrics.attempt_ended(&resident.saga.started().module, &report, self.now.since(since));
        }
        self.failpoints.of_attempt("outcome-seen", &report.attempt);
        if let Err(error) = self.turn(&key, Actor::Host, None, |saga, context| saga.handle(SagaInput::Report(report), context)) {
            self.lost(&key, &error);
        }
        self.ended(&key, &attempt);
    }

    /// One decision of one saga: load it if it is not in memory, decide, and do what follows.
    pub(crate) fn turn<D>(&mut self, key: &SagaKey, actor: Actor, causation: Option<RecordId>, decide: D) -> Result<(), LoadError>
    where
        D: FnOnce(&mut amends_core::Saga, Context) -> Vec<Event>,
    {
        self.ensure_resident(key)?;
        let Some(resident) = self.residents.get_mut(key) else { return Ok(()) };
        let room = self.limits.room(resident.journal_bytes);
        let (module, digest) = (&resident.saga.started().module, resident.saga.code().digest);
        let context = context(&self.modules, key, module, &digest, room, self.now, &mut self.jitter);
        let events = decide(&mut resident.saga, context);
        self.took(key, events, &actor, causation);
        Ok(())
    }

    pub(crate) fn ensure_resident(&mut self, key: &SagaKey) -> Result<(), LoadError> {
        if !self.residents.contains_key(key) {
            let resident = load::resident(self.store.as_ref(), self.modules.definitions(), key)?;
            self.residents.insert(key.clone(), resident);
        }
        Ok(())
    }

    /// A new saga, whose first events were decided.
    pub(crate) fn begin(&mut self, key: SagaKey, resident: Resident, events: Vec<Event>, cause: Cause) {
        self.residents.insert(key.clone(), Resident { root: cause.root, ..resident });
        self.took(&key, events, &cause.actor, cause.record);
    }

    /// What follows from a decision: records to flush, attempts to run, answers to release.
    pub(crate) fn took(&mut self, key: &SagaKey, events: Vec<Event>, actor: &Actor, causation: Option<RecordId>) {
        let crowded = self.is_crowded();
        let Some(resident) = self.residents.get_mut(key) else { return };
        self.lockers.freed(key, &events);
        let host_died = events.iter().any(|event| matches!(event, Event::Stuck(_, Why::HostDied)));
        let suspect = host_died.then(|| (resident.saga.started().module.clone(), resident.saga.code().version));
        if !events.is_empty() {
            if resident.unflushed.is_empty() {
                self.unflushed.push_back((self.now, key.clone()));
            }
            resident.decide(events, self.now, actor, causation);
        }
        if let Some((module, version)) = suspect {
            self.quarantine(&key.0, &module, version);
        }
        let Some(resident) = self.residents.get_mut(key) else { return };
        let effects = resident.saga.effects();
        let begun = resident.wait_for(&effects.topics);
        // A wait gets its place in the journal together with the arrival of what came before it: by itself it would not look again.
        if !begun.is_empty() && self.match_kept(key, &begun) {
            return;
        }
        let Some(resident) = self.residents.get_mut(key) else { return };
        resident.keep_launched(&effects.run);
        let cautious = resident.cautious || crowded;
        let mut at_commit = Vec::new();
        let mut ahead = Vec::new();
        for intent in &effects.run {
            if resident.launched.insert(intent.attempt.clone()) {
                // Law 4: what can reach outside has a durable intent. Law 3: what cannot runs on.
                if intent.reaches_outside || intent.solo || cautious {
                    at_commit.push(Release::Run(key.clone(), intent.clone()));
                } else {
                    ahead.push(intent.clone());
                }
            }
        }
        let parks = effects.run.is_empty();
        let full = resident.unflushed.len() >= UNFLUSHED_MAX;
        let settled = matches!(resident.saga.status(), status if status.is_ended() || status == Status::Stuck);
        let answers = if settled { self.waiters.take(key) } else { Vec::new() };
        if parks || full || !at_commit.is_empty() || !answers.is_empty() {
            self.flush(key);
        }
        self.release_answers(key, answers);
        for release in at_commit {
            self.release_after(key, release);
        }
        for intent in ahead {
            self.run(key.clone(), intent);
        }
        self.park(key);
    }

    /// As much waits for the disk as may.
    pub(crate) fn is_crowded(&self) -> bool {
        self.last_position - self.durable > self.limits.queue_records
    }

    /// Half of what the host may hold is left to requests: what nobody waits for goes on when there is less.
    pub(crate) fn has_room_beside_requests(&self) -> bool {
        self.last_position - self.durable <= self.limits.queue_records / 2 && self.residents.len() < self.limits.residents_max / 2
    }

    fn release_answers(&mut self, key: &SagaKey, answers: Vec<(Answer<SagaAnswer>, bool)>) {
        for (answer, created) in answers {
            if let Some(said) = self.saga_answer(key, created) {
                self.release_after(key, Release::Saga(answer, Ok(said)));
            }
        }
    }

    pub(crate) fn saga_answer(&self, key: &SagaKey, created: bool) -> Option<SagaAnswer> {
        let resident = self.residents.get(key)?;
        let position = resident.flushed.as_ref().map_or(0, |flushed| flushed.position);
        Some(SagaAnswer { id: key.1.clone(), created, view: Box::new(resident.saga.view()), position })
    }

    /// Law 2, the one place: what the saga says leaves when its last record so far is durable.
    pub(crate) fn release_after(&mut self, key: &SagaKey, release: Release) {
        self.flush(key);
        let position =
            self.residents.get(key).and_then(|resident| resident.flushed.as_ref()).map_or(0, |flushed| flushed.position);
        self.release_at(position, release);
    }

    pub(crate) fn release_at(&mut self, position: Position, release: Release) {
        if let Some(why) = &self.failed {
            release.refuse(storage_failed(why));
        } else if position <= self.durable {
            self.let_go(release);
        } else {
            self.releases.push(position, release);
        }
    }

    fn let_go(&mut self, release: Release) {
        match release {
            Release::Run(key, intent) => {
                self.failpoints.of_attempt("intent-durable", &intent.attempt);
                self.run(key.clone(), intent);
                self.park(&key);
            }
            Release::Changed(key, revision) => self.actions.push(Action::Changed(key, revision)),
            Release::Counts(counts) => self.metrics.counted(counts),
            other => other.answer(),
        }
    }

    fn committed(&mut self, position: Position) {
        self.durable = self.durable.max(position);
        self.failpoints.durable(position);
        self.recent.forget_up_to(position);
        self.schedules.forget_up_to(position);
        self.timers.committed(position);
        while let Some(release) = self.releases.pop(position) {
            self.let_go(release);
        }
        while let Some((at, key)) = self.in_flight.front().cloned() {
            if at > position {
                break;
            }
            self.in_flight.pop_front();
            self.park(&key);
        }
    }

    /// Drops a saga that nothing happens to: its rows stay, and are all there is of it.
    pub(crate) fn park(&mut self, key: &SagaKey) {
        let Some(resident) = self.residents.get(key) else { return };
        let durable = resident.flushed.as_ref().is_some_and(|flushed| flushed.position <= self.durable);
        if durable && resident.unflushed.is_empty() && resident.launched.is_empty() {
            self.residents.remove(key);
        }
    }

    /// An event reaches one saga; true if it took it.
    pub(crate) fn deliver(&mut self, key: &SagaKey, arrival: Arrival, causation: Option<RecordId>) -> bool {
        let (source, id) = (arrival.source.clone(), arrival.id.clone());
        let taken = self.turn(key, Actor::Host, causation, |saga, context| saga.handle(SagaInput::Arrived(arrival), context));
        match taken {
            Ok(()) => self.residents.get(key).is_some_and(|resident| resident.saga.has_consumed(&source, &id)),
            Err(error) => {
                self.lost(key, &error);
                false
            }
        }
    }

    /// A saga whose stream cannot be read is left where it is; the others go on.
    pub(crate) fn lost(&mut self, key: &SagaKey, error: &LoadError) {
        match error {
            LoadError::Storage(why) => self.fail(why.clone()),
            LoadError::NotFound => {}
            LoadError::Corrupt(why) => {
                tracing::error!(saga = %key.1, namespace = %key.0, why, "a saga's stream is corrupt: it is quarantined");
            }
        }
    }

    /// Law 14: from here on nothing is acknowledged, and nothing more is handed over: not even what this step did before it failed,
    /// of which the client will hear that it was not recorded.
    pub(crate) fn fail(&mut self, why: String) {
        if self.failed.is_none() {
            self.failed = Some(why.clone());
            self.actions.retain(|action| !matches!(action, Action::Commit(..)));
            self.releases.refuse_all(&storage_failed(&why));
            for answer in self.waiters.take_all() {
                Release::Saga(answer, Err(storage_failed(&why))).answer();
            }
            for answer in self.jobs.take_waiters() {
                Release::Job(answer, Err(storage_failed(&why))).answer();
            }
            self.actions.push(Action::Fail(why));
        }
    }

    pub(crate) fn refuse_if_failed(&self) -> Result<(), Refusal> {
        match &self.failed {
            Some(why) => Err(storage_failed(why)),
            None => Ok(()),
        }
    }

    /// Where the streams begin of those sagas whose rows may change at any moment: their records are with the committer.
    pub(crate) fn streams_in_flight(&self) -> impl Iterator<Item = Position> {
        let residents = self.in_flight.iter().filter_map(|(_, key)| self.residents.get(key));
        residents.filter_map(|resident| resident.flushed.as_ref().map(|flushed| flushed.stream))
    }

    /// Sagas of a set, each once: those that rows name and those in memory.
    pub(crate) fn residents_where(&self, test: impl Fn(&Resident) -> bool) -> BTreeSet<SagaKey> {
        self.residents.iter().filter(|(_, resident)| test(resident)).map(|(key, _)| key.clone()).collect()
    }
}

fn storage_failed(why: &str) -> Refusal {
    Refusal::new(RefusalCode::StorageFailed, format!("the storage failed: {why}"))
        .hint("look at the host's log, mend the disk and start the host again")
}

/// What a decision of this saga may depend on now.
pub(crate) fn context(
    modules: &Modules,
    key: &SagaKey,
    module: &str,
    digest: &ModuleDigest,
    journal: Room,
    now: Instant,
    jitter: &mut u64,
) -> Context {
    let module = modules.get(&key.0, module);
    let imports_http = module
        .and_then(|module| module.versions.values().find(|version| version.digest == *digest))
        .is_some_and(super::modules::Version::imports_http);
    Context {
        now,
        jitter: next_random(jitter),
        may_reach_outside: imports_http && module.is_some_and(super::modules::Module::may_reach_outside),
        snapshot: module.map_or(0, |module| module.revision),
        journal,
    }
}

/// xorshift64*: jitter needs spread, not secrecy, and a simulation needs it seeded.
pub(crate) fn next_random(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}
