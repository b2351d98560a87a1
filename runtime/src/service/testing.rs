//! A host for tests: the real engine on a store in memory, with scripted guests, scripted components, and a clock that a test moves.
//!
//! Requests, decisions, commits, replays and reads are those of production. No compiler and no disk takes part.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use amends_core::{
    Definition, Trigger,
    aggregate::{self, CommandDefinition, EventDefinition, Presence},
    definition::{Kind, OnUnknown, Undo},
    event::Attempt,
    id::{Direction, Name, Namespace},
    outcome::{Left, Outcome, Report},
    policy, projection, validate,
    value::{Failure as StepFailure, Instant, Payload},
};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{
    Services,
    components::{Components, NotKept},
    deploy::{self, Deploys, Upload},
    folds::Folds,
    gate::Gate,
    health::{Failure, Health},
    import::Imports,
    intake::Intake,
    reader::Reader,
    views,
};
use crate::{
    api::samples::{NOON, trip},
    engine::{
        driver::{Parts, Running},
        guests::{
            CallFault, CallId, Caller, Decided, Decision, FoldCall, GuestCall, GuestReport, Guests, HandleCall, ModuleDigest,
            NewEvent, ProjectCall, QueryCall, ToldCause, Wishes, Work,
        },
        limits::Limits,
        metrics::Metrics,
        port::{Origin, Request, SendCommand},
        refusal::Refusal,
        view::RowScan,
    },
    host::{Description, Load, Problem, Verified, VerifyError},
    journal::{Actor, StreamId},
    store::{Position, Store, memory::MemoryStore, ownership::ByLock, redb::views::ViewFile},
};

/// Nothing here takes so long: a test that waits for what never comes fails then, and does not hang.
const HANG: Duration = Duration::from_secs(60);

pub(crate) struct TestHost {
    pub(crate) services: Services,
    pub(crate) guests: Arc<Scripted>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) failure: Failure,
    knobs: Arc<Knobs>,
    running: Option<Running>,
    building: Option<views::Running>,
}

/// What a test turns.
#[derive(Debug)]
struct Knobs {
    now: AtomicU64,
    /// Commands so far.
    told: AtomicU64,
    disk_is_low: AtomicBool,
    api_clock_is_broken: AtomicBool,
    /// The engine stops where it reads its clock, which is before each step.
    engine_is_held: Mutex<bool>,
    released: Condvar,
}

impl Knobs {
    fn engine_clock(&self) -> Instant {
        let held = self.engine_is_held.lock().unwrap();
        drop(self.released.wait_timeout_while(held, HANG, |held| *held).unwrap());
        Instant(self.now.load(Ordering::SeqCst))
    }

    fn api_clock(&self) -> Instant {
        assert!(!self.api_clock_is_broken.load(Ordering::SeqCst), "the clock of the API is broken");
        Instant(self.now.load(Ordering::SeqCst))
    }
}

impl TestHost {
    /// A host with nothing deployed, at noon.
    pub(crate) fn empty() -> Self {
        let knobs = Arc::new(Knobs {
            now: AtomicU64::new(NOON.0),
            told: AtomicU64::default(),
            disk_is_low: AtomicBool::default(),
            api_clock_is_broken: AtomicBool::default(),
            engine_is_held: Mutex::default(),
            released: Condvar::new(),
        });
        let (store, guests, shelf) =
            (Arc::new(MemoryStore::default()), Arc::new(Scripted::default()), Arc::new(Shelf::default()));
        let (metrics, failure) = (Arc::new(Metrics::default()), Failure::default());
        let (engine_clock, api_clock, disk, failed) = (knobs.clone(), knobs.clone(), knobs.clone(), failure.clone());
        let running = Running::start(Parts {
            store: store.clone(),
            ownership: Arc::new(ByLock::new(store.clone(), ())),
            guests: guests.clone(),
            clock: Arc::new(move || engine_clock.engine_clock()),
            limits: Limits::default(),
            metrics: metrics.clone(),
            seed: 7,
            suspects: Vec::new(),
            is_low: Arc::new(|| false),
            on_end: Box::new(move |why| failed.set(&why.to_string())),
        })
        .expect("a memory store recovers");
        let engine = running.engine();
        let reader = Reader::new(store.clone() as Arc<dyn Store>, engine.definitions().clone());
        let intake = Intake::new(engine.clone(), Arc::new(move || disk.disk_is_low.load(Ordering::SeqCst)));
        let parts = views_on(ViewFile::in_memory(), &store, &reader, &guests, &knobs);
        let building = views::Running::start(parts, engine).expect("a thread starts");
        let clock = Arc::new(move || api_clock.api_clock());
        let folds = Folds::new(guests.clone(), clock.clone());
        let gate = Gate::new(reader.clone(), folds.clone());
        let imports = Imports::new(reader.clone(), folds.clone(), intake.clone(), clock.clone());
        let deploys = Deploys::new(deploy::Parts {
            components: shelf.clone(),
            intake: intake.clone(),
            reader: reader.clone(),
            definitions: engine.definitions().clone(),
            limits: validate::Limits::default(),
            views: building.views().clone(),
            gate: gate.clone(),
        });
        let health = Health {
            recovered: engine.recovered,
            recovery: Duration::from_millis(80),
            failure: failure.clone(),
            metrics,
            late_loads: Arc::new(|| 0),
            longest_turn: Arc::new(|| Duration::ZERO),
            attempts: Arc::new(Load::default),
        };
        let services = Services { intake, reader, folds, views: building.views().clone(), gate, imports, deploys, health, clock };
        Self { services, guests, shelf, store, failure, knobs, running: Some(running), building: Some(building) }
    }

    /// A host with version 1 of the module `trip`, active.
    pub(crate) fn new() -> Self {
        let host = Self::empty();
        host.deploy(TRIP);
        host
    }

    /// A host with version 1 of the module `trip`, of which every attempt is the only one.
    pub(crate) fn brittle() -> Self {
        let host = Self::empty();
        host.deploy(b"\0asm trip brittle");
        host
    }

    /// Views beside its own, in a file that a test has.
    pub(crate) fn views_on(&self, file: ViewFile) -> views::Running {
        let parts = views_on(file, &self.store, &self.services.reader, &self.guests, &self.knobs);
        views::Running::start(parts, self.running.as_ref().expect("it runs").engine()).expect("a thread starts")
    }

    /// Deploys these bytes.
    pub(crate) fn deploy(&self, bytes: &'static [u8]) {
        run(self.services.deploys.deploy(self.upload(bytes), true)).expect("deployed");
    }

    /// These bytes on their way in.
    pub(crate) fn upload(&self, bytes: &'static [u8]) -> Upload {
        let place = self.services.deploys.place().expect("a place");
        Upload { place, bytes: Bytes::from_static(bytes), name: None, origin: origin() }
    }

    /// Counts something in a counter, whose module is deployed, and begins that if there is none; gives the position of the decision.
    pub(crate) fn count(&self, counter: &str, data: &str) -> Position {
        self.tell(counter, "count", data).or_else(|_| self.tell(counter, "begin", data)).expect("counted")
    }

    fn tell(&self, counter: &str, command: &str, data: &str) -> Result<Position, Refusal> {
        let sent = SendCommand {
            aggregate: "counter".to_owned(),
            id: counter.to_owned(),
            name: command.to_owned(),
            data: Payload::json(data.to_owned()),
            data_hash: Sha256::digest(data).into(),
            command: format!("{command} {}", self.knobs.told.fetch_add(1, Ordering::SeqCst)),
            expect_revision: None,
            trace_context: None,
            sender: None,
            correlation: None,
            depth: 0,
            cause: None,
        };
        let answer = self.services.intake.ask(|answer| Request::Command(origin(), Box::new(sent), answer));
        run(answer).map(|answer| answer.position)
    }

    pub(crate) fn advance(&self, ms: u64) {
        self.knobs.now.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) fn set_disk_is_low(&self, is_low: bool) {
        self.knobs.disk_is_low.store(is_low, Ordering::SeqCst);
    }

    /// From now on every handler that asks for the time panics.
    pub(crate) fn break_api_clock(&self) {
        self.knobs.api_clock_is_broken.store(true, Ordering::SeqCst);
    }

    pub(crate) fn mend_api_clock(&self) {
        self.knobs.api_clock_is_broken.store(false, Ordering::SeqCst);
    }

    /// Ends the engine. It waits for no open attempt.
    pub(crate) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop(std::time::Instant::now());
            self.building.take().into_iter().for_each(views::Running::stop);
        }
    }

    /// The engine takes no step until it is let go.
    pub(crate) fn hold_engine(&self) {
        *self.knobs.engine_is_held.lock().unwrap() = true;
    }

    pub(crate) fn let_engine_go(&self) {
        *self.knobs.engine_is_held.lock().unwrap() = false;
        self.knobs.released.notify_all();
    }
}

fn views_on(
    file: ViewFile,
    store: &Arc<MemoryStore>,
    reader: &Reader,
    guests: &Arc<Scripted>,
    knobs: &Arc<Knobs>,
) -> views::Parts {
    let knobs = Arc::clone(knobs);
    views::Parts {
        file,
        store: store.clone(),
        reader: reader.clone(),
        guests: guests.clone(),
        clock: Arc::new(move || Instant(knobs.now.load(Ordering::SeqCst))),
        is_low: Arc::new(|| false),
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        self.let_engine_go();
        self.stop();
    }
}

/// The component of version 1 of the module `trip`.
pub(crate) const TRIP: &[u8] = b"\0asm trip";

pub(crate) fn origin() -> Origin {
    Origin { namespace: namespace(), actor: Actor::Local, idempotency_key: None }
}

pub(crate) fn namespace() -> Namespace {
    Namespace::new("default").expect("a namespace")
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// Runs a future as the server does, on threads that may block.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(future)
}

/// A step's failure.
pub(crate) fn failure(code: &str) -> StepFailure {
    StepFailure::new(code, "it said no")
}

/// What a guest does when it is called.
#[derive(Clone, Debug)]
enum Script {
    Says(Outcome),
    /// It runs on until the test ends it.
    Holds,
}

/// An attempt of a step that runs, and who waits for it.
type Held = (String, Attempt, Box<dyn Caller>);

/// Guests that do what the script of their step says. A step without a script is done. The script of a compensation has the name
/// `undo STEP`.
#[derive(Default)]
pub(crate) struct Scripted {
    scripts: Mutex<BTreeMap<String, Script>>,
    held: Mutex<Vec<Held>>,
    called: Condvar,
    /// The sizes of the batches that projections were given.
    batches: Mutex<Vec<usize>>,
    has_no_place: AtomicBool,
}

impl Scripted {
    /// The sizes of the batches that projections were given so far.
    pub(crate) fn batches(&self) -> Vec<usize> {
        self.batches.lock().unwrap().clone()
    }

    /// No projection is called, as on a host that has no place for it.
    pub(crate) fn set_has_no_place(&self, has_none: bool) {
        self.has_no_place.store(has_none, Ordering::SeqCst);
    }

    /// Writes the data of each event under its id, in the view `stamped` behind the module's version; 666 is too much for it.
    fn project(&self, project: &ProjectCall, version: u32) -> Result<(), CallFault> {
        if self.has_no_place.load(Ordering::SeqCst) {
            return Err(CallFault { failure: StepFailure::new("host_busy", "there is no place"), is_hosts: true });
        }
        self.batches.lock().unwrap().push(project.events.len());
        for event in &project.events {
            let data = event.data.as_ref().map(|data| data.bytes.to_vec()).unwrap_or_default();
            if data == b"666" {
                return Err(CallFault { failure: StepFailure::new("trap", "666 is too much"), is_hosts: false });
            }
            let stamp = if project.projection == "stamped" { format!("{version}.").into_bytes() } else { Vec::new() };
            project.rows.change(event.id.clone().into_bytes(), Some([stamp, data].concat())).expect("a row");
        }
        Ok(())
    }

    /// From now on every attempt of this step ends so.
    pub(crate) fn say(&self, step: &str, outcome: Outcome) {
        self.scripts.lock().unwrap().insert(step.to_owned(), Script::Says(outcome));
    }

    /// From now on every attempt of this step runs until it is ended.
    pub(crate) fn hold(&self, step: &str) {
        self.scripts.lock().unwrap().insert(step.to_owned(), Script::Holds);
    }

    /// Waits until an attempt of this step runs.
    pub(crate) fn wait_for(&self, step: &str) {
        let held = self.held.lock().unwrap();
        let is_absent = |held: &mut Vec<Held>| !held.iter().any(|(name, ..)| name == step);
        let (held, waited) = self.called.wait_timeout_while(held, HANG, is_absent).unwrap();
        drop(held);
        assert!(!waited.timed_out(), "no attempt of {step} runs");
    }

    /// Ends every attempt of this step that runs, and waits for one if there is none.
    pub(crate) fn end(&self, step: &str, outcome: &Outcome) {
        self.wait_for(step);
        let ended: Vec<_> = self.held.lock().unwrap().extract_if(.., |(name, ..)| name == step).collect();
        for (_, attempt, caller) in ended {
            self.report(caller, reported(attempt, outcome.clone()));
        }
    }

    fn report(&self, mut caller: Box<dyn Caller>, report: GuestReport) {
        if let Some(next) = caller.report(report) {
            self.run(next, caller);
        }
    }
}

impl Guests for Scripted {
    fn run(&self, call: GuestCall, caller: Box<dyn Caller>) {
        match &call.work {
            Work::Step(_) => {}
            Work::Project(project) => return self.report(caller, GuestReport::Projected(self.project(project, call.version))),
            Work::Query(query) => return self.report(caller, GuestReport::Queried(Ok(Ok(listed(query))))),
            Work::Decide(_) | Work::Fold(_) => return self.report(caller, counted(&call.work)),
            Work::Handle(handle) => return self.report(caller, GuestReport::Handled(ruled(handle))),
        }
        let called = call.step();
        let attempt = called.attempt.clone();
        let step = match attempt.leg.direction {
            Direction::Forward | Direction::Check => called.name.clone(),
            Direction::Undo(_) => format!("undo {}", called.name),
        };
        let script = self.scripts.lock().unwrap().get(&step).cloned();
        match script {
            None => self.report(caller, reported(attempt, Outcome::Done(Payload::json("{}")))),
            Some(Script::Says(outcome)) => self.report(caller, reported(attempt, outcome)),
            Some(Script::Holds) => {
                self.held.lock().unwrap().push((step, attempt, caller));
                self.called.notify_all();
            }
        }
    }

    /// Each has begun.
    fn withdraw(&self, _: &StreamId, _: &CallId) {}

    /// What is held is what a test lets go.
    fn end(&self, _: &StreamId) {}
}

/// The end of an attempt that sent nothing.
fn reported(attempt: Attempt, outcome: Outcome) -> GuestReport {
    GuestReport::Step(Report { attempt, outcome, left: Left::Nothing, messages: Vec::new() })
}

/// Components in memory. `\0asm NAME WORD` is the module of that name, with one saga of the same name. The word `empty` leaves the
/// saga out, with `brittle` every attempt is the only one, `counting` adds the aggregate `counter`, `viewing` the views of what that
/// counts, `stamping` one whose rows say which version made them; any other word just makes other bytes of the same module.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    compiled: Mutex<BTreeSet<ModuleDigest>>,
    kept: Mutex<BTreeSet<ModuleDigest>>,
    is_full: AtomicBool,
}

impl Shelf {
    /// The disk takes nothing more.
    pub(crate) fn fill(&self) {
        self.is_full.store(true, Ordering::SeqCst);
    }

    /// How much is left of a component.
    pub(crate) fn has(&self, bytes: &[u8]) -> &'static str {
        let digest = digest(bytes);
        match (self.compiled.lock().unwrap().contains(&digest), self.kept.lock().unwrap().contains(&digest)) {
            (true, true) => "all",
            (true, false) => "compiled code",
            (false, true) => "bytes",
            (false, false) => "nothing",
        }
    }
}

/// Every attempt is the only one: a compensation that fails is stuck at once, and so is a pivot in doubt.
fn brittle(mut saga: Definition) -> Definition {
    for step in saga.stages.iter_mut().flat_map(|stage| &mut stage.steps) {
        step.retry.attempts_max = Some(1);
        if step.kind == Kind::Pivot {
            step.on_unknown = OnUnknown::OnceThenStop;
        }
        if let Undo::Code(policy) = &mut step.undo {
            policy.retry.attempts_max = Some(1);
        }
    }
    saga
}

/// It records whatever it is told, and its state is how often. What it is told beside numbers it refuses, and 13 is too much for it.
fn counter() -> aggregate::Definition {
    let command = |name: &str, on| CommandDefinition { name: name.to_owned(), on, schema: None };
    aggregate::Definition {
        name: "counter".to_owned(),
        commands: vec![command("begin", Presence::New), command("count", Presence::Existing)],
        events: vec![EventDefinition { event_type: "counter.counted".to_owned(), version: 1, reads: Vec::new() }],
        keep_every: 0,
        state_version: None,
    }
}

/// A policy that wants nothing, and cannot take a 777.
fn rule() -> policy::Definition {
    let (event_type, route) = ("counter.counted".to_owned(), policy::Route::StartOrContinue);
    policy::Definition {
        name: "rule".to_owned(),
        subscriptions: vec![policy::Subscription { event_type, versions: vec![1], key: None, route }],
        state: None,
        on_poison: policy::OnPoison::Park,
        attempts_max: 1,
        start: policy::StartAt::Now,
        replay: policy::Replay::Silent,
        answers: false,
        sends: Vec::new(),
        publishes: Vec::new(),
        starts: Vec::new(),
    }
}

fn ruled(handle: &HandleCall) -> Result<Wishes, CallFault> {
    match &handle.cause {
        ToldCause::Event(event) if event.data == Some(Payload::json("777")) => {
            Err(CallFault { failure: StepFailure::new("too_much", "777 is too much"), is_hosts: false })
        }
        ToldCause::Event(_) | ToldCause::Timer(_) | ToldCause::Answer { .. } => Ok(Wishes::default()),
    }
}

/// A view of what counters counted.
fn counts_shown(name: &&str) -> projection::Definition {
    projection::Definition {
        name: (*name).to_owned(),
        reads: vec![projection::Reading { event_type: "counter.counted".to_owned(), versions: vec![1] }],
        queries: vec![projection::QueryDefinition { name: "all".to_owned(), schema: None }],
        rows_version: None,
    }
}

/// The values of all rows, at most 1,000.
fn listed(query: &QueryCall) -> Payload {
    let scan = RowScan { prefix: Vec::new(), after: None, limit: 1_000, reverse: false };
    let rows = query.rows.scan(&scan).expect("rows");
    let values: Vec<String> = rows.into_iter().map(|(_, value)| String::from_utf8(value).expect("text")).collect();
    Payload::json(format!("[{}]", values.join(",")))
}

/// What the counter says.
fn counted(work: &Work) -> GuestReport {
    let state = |fold: &FoldCall, more: usize| {
        let before: u64 = fold.base.as_ref().map_or(0, |base| str::from_utf8(&base.bytes).unwrap().parse().unwrap());
        Payload::json((before + fold.events.len() as u64 + more as u64).to_string())
    };
    match work {
        Work::Step(_) | Work::Project(_) | Work::Query(_) | Work::Handle(_) => panic!("a counter is an aggregate"),
        Work::Fold(fold) => GuestReport::Folded(Ok(state(fold, 0))),
        Work::Decide(decide) => {
            let datas: Vec<&str> = decide.commands.iter().map(|command| str::from_utf8(&command.data.bytes).unwrap()).collect();
            if datas.contains(&"13") {
                let failure = StepFailure::new("trap", "13 is too much");
                return GuestReport::Decided(Err(CallFault { failure, is_hosts: false }));
            }
            let decisions: Vec<Decision> = datas.iter().map(|data| counts(data)).collect();
            let more = decisions.iter().filter(|decision| matches!(decision, Decision::Accepted { .. })).count();
            GuestReport::Decided(Ok(Decided { decisions, state: state(&decide.fold, more) }))
        }
    }
}

fn counts(data: &str) -> Decision {
    let data = Payload::json(data.to_owned());
    if data.bytes.iter().any(|byte| !byte.is_ascii_digit()) && *data.bytes != *b"null" {
        return Decision::Refused(StepFailure { data: Some(data), ..StepFailure::new("no_number", "only numbers are counted") });
    }
    let event = NewEvent { event_type: "counter.counted".to_owned(), version: 1, data, tags: Vec::new() };
    Decision::Accepted { events: vec![event], claims: Vec::new(), answer: None }
}

fn digest(bytes: &[u8]) -> ModuleDigest {
    Sha256::digest(bytes).into()
}

impl Components for Shelf {
    fn verify(&self, bytes: &[u8]) -> Result<Verified, VerifyError> {
        let text = bytes.strip_prefix(b"\0asm").and_then(|text| str::from_utf8(text).ok());
        let unfit = || VerifyError { problem: Problem::NotWasm, message: "these bytes are no WebAssembly".to_owned() };
        let text = text.ok_or_else(unfit)?;
        self.compiled.lock().unwrap().insert(digest(bytes));
        let mut words = text.split_whitespace();
        let module = words.next().unwrap_or("trip").to_owned();
        let saga = Definition { name: module.clone(), ..trip() };
        let word = words.next();
        let aggregates = if word == Some("counting") { vec![counter()] } else { Vec::new() };
        let projections: &[&str] = match word {
            Some("viewing") => &["counts", "counts-too"],
            Some("stamping") => &["stamped"],
            Some(_) | None => &[],
        };
        let projections: Vec<_> = projections.iter().map(counts_shown).collect();
        let policies = if word == Some("ruling") { vec![rule()] } else { Vec::new() };
        let sagas = match word {
            Some("empty" | "viewing" | "stamping" | "ruling") => Vec::new(),
            Some("brittle") => vec![brittle(saga)],
            Some(_) | None => vec![saga],
        };
        let triggers =
            sagas.iter().map(|saga| Trigger { saga: saga.name.clone(), event_type: format!("{module}.wanted") }).collect();
        // Nobody but a saga may use it.
        let imports = if projections.is_empty() && policies.is_empty() {
            vec!["wasi:http/outgoing-handler@0.2.3".to_owned()]
        } else {
            Vec::new()
        };
        Ok(Verified {
            digest: digest(bytes),
            description: Description { module, sagas, triggers, aggregates, projections, policies },
            imports,
            exports: Vec::new(),
        })
    }

    fn keep(&self, bytes: &[u8]) -> Result<(), NotKept> {
        // As on a real disk, a part of the bytes may be there when it is full.
        self.kept.lock().unwrap().insert(digest(bytes));
        match self.is_full.load(Ordering::SeqCst) {
            true => Err(NotKept("no space left on device".to_owned())),
            false => Ok(()),
        }
    }

    fn remove(&self, digest: &ModuleDigest) {
        self.compiled.lock().unwrap().remove(digest);
        self.kept.lock().unwrap().remove(digest);
    }
}
