//! The shard, driven by hand: commits, guests and time happen when a test says so.

mod aggregates;

mod away;

mod composed;

mod fetches;

mod imports;

mod laws;

mod locks;

mod moves;

mod schedules;

mod triggers;

mod policies;

mod heard;

mod jobs;

mod broadcasts;

mod stuck;

mod waits;

mod withdraw;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use amends_core::{
    Definition, Failure, Instant, Payload,
    definition::{Body, Kind, OnExhausted, OnLocked, OnUnknown, Retry, Stage, Step, Undo, UndoPolicy},
    event::{Act, Wait, Woken},
    id::{Direction, Namespace, SagaId},
    outcome::{Left, Outcome, Report},
    verbs::{AskedVerb, Legs, Verb},
    view::Status,
};
use tokio::sync::oneshot::{self, Receiver, error::TryRecvError};

use super::{
    guests::{Ahead, CallId, GuestCall, GuestReport, Next, Suspect},
    kernel::{
        action::Ending,
        reads::{self, Look},
        row,
    },
    limits::Limits,
    metrics::Metrics,
    module,
    port::{
        Activation, Answer, Deploy, Force, ModuleAnswer, ModuleView, Origin, Publish, PublishAnswer, Refusal, Request,
        SagaAnswer, SetGrants, Start, VerbAnswer, VerbRequest, Which,
    },
    recover::{Recovered, recover},
    saga::{SagaKey, load, read, rows},
    shard::{Action, Input, Shard},
};
use crate::{
    journal::{Actor, Grant, StreamId},
    store::{
        Batch, Position, RowChange, Store,
        memory::MemoryStore,
        ownership::{ByLock, Ownership},
    },
};

/// What a guest says when it is called.
pub(super) type World = fn(&GuestCall) -> Outcome;

pub(super) struct Sim {
    pub(super) store: Arc<MemoryStore>,
    pub(super) shard: Shard,
    pub(super) now: Instant,
    pub(super) world: World,
    /// Handed to the committer, not yet durable.
    pub(super) queue: VecDeque<(Batch, u64)>,
    /// Asked of the store, and not answered yet.
    pub(super) asked: Vec<Look>,
    /// When the store answers.
    pub(super) fetches: Fetches,
    /// Running, not yet ended.
    pub(super) open: VecDeque<(SagaKey, GuestCall)>,
    /// What guests decide about aggregates and want as policies, and those calls that have not ended.
    pub(super) decider: fn(&GuestCall) -> GuestReport,
    pub(super) decisions: VecDeque<GuestCall>,
    /// Sagas that are away with their attempt, and whether they may be.
    pub(super) away: BTreeMap<SagaKey, Arc<dyn Ahead>>,
    pub(super) lets_go: bool,
    /// Guests have no place: what is called has not begun until it ends.
    pub(super) is_full: bool,
    /// Calls that reached a guest, as `step@attempt` or `undo step@attempt`.
    pub(super) calls: Vec<String>,
    pub(super) commits: usize,
    /// How many sagas the shard found when it started.
    pub(super) recovered: u64,
    pub(super) metrics: Arc<Metrics>,
}

/// When the store answers what the shard asks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fetches {
    /// Before anything else happens, as the driver of a store on this machine does.
    AtOnce,
    /// Each look by itself and the last one first, when everything else that the input caused has happened.
    OneByOne,
    /// When the test says so.
    WhenTold,
}

impl Fetches {
    /// The whole suite is run once more with `AMENDS_TEST_FETCHES=one-by-one`: an answer that comes later changes nothing.
    fn of_this_run() -> Self {
        match std::env::var("AMENDS_TEST_FETCHES").as_deref() {
            Ok("one-by-one") => Self::OneByOne,
            _ => Self::AtOnce,
        }
    }
}

impl Sim {
    pub(super) fn new(world: World) -> Self {
        let mut sim = Self::on(Arc::new(MemoryStore::default()), world, Instant(1_000_000), &[]);
        sim.settle();
        sim.commits = 0;
        sim
    }

    fn on(store: Arc<MemoryStore>, world: World, now: Instant, suspects: &[Suspect]) -> Self {
        let shared: Arc<dyn Store> = store.clone();
        let metrics = Arc::new(Metrics::default());
        let owned = ByLock::new(Arc::clone(&shared), ()).claim().expect("a memory store is claimed");
        let Recovered { shard, actions, sagas: recovered, .. } =
            recover(shared.as_ref(), &owned, Limits::default(), Arc::clone(&metrics), 7, suspects, now)
                .expect("a memory store recovers");
        let (queue, open, calls) = (VecDeque::new(), VecDeque::new(), Vec::new());
        let (asked, fetches) = (Vec::new(), Fetches::of_this_run());
        let away = BTreeMap::new();
        // The whole suite is run once more with `AMENDS_TEST_AWAY=never`: that sagas go on without the shard changes nothing.
        let lets_go = std::env::var("AMENDS_TEST_AWAY").as_deref() != Ok("never");
        let mut sim = Self {
            store,
            shard,
            now,
            world,
            queue,
            asked,
            fetches,
            open,
            decider: aggregates::account,
            decisions: VecDeque::new(),
            away,
            lets_go,
            is_full: false,
            calls,
            commits: 0,
            recovered,
            metrics,
        };
        sim.carry_out(actions);
        sim
    }

    /// The host dies: what is not durable is gone. Another one starts on the same store.
    pub(super) fn kill_and_restart(self) -> Self {
        Self::on(self.store, self.world, self.now, &[])
    }

    /// The host dies while every guest that runs has a processor: the marker names them.
    pub(super) fn die_executing(self) -> Self {
        let suspect = |(_, call): &(SagaKey, GuestCall)| Suspect { of: call.of.clone(), call: call.work.id() };
        let suspects: Vec<Suspect> = self.open.iter().map(suspect).collect();
        Self::on(self.store, self.world, self.now, &suspects)
    }

    pub(super) fn carry_out(&mut self, actions: Vec<Action>) {
        let mut actions = VecDeque::from(actions);
        loop {
            while let Some(action) = actions.pop_front() {
                match action {
                    Action::Commit(batch, number) => self.queue.push_back((batch, number)),
                    Action::Fetch(looks) => self.asked.extend(looks),
                    Action::Run(call, away) => {
                        let Some(key) = SagaKey::of(&call.of) else {
                            self.calls.push(format!("{} {}", call.of.id, call.work.id()));
                            self.decisions.push_back(*call);
                            continue;
                        };
                        if let Some(away) = away.filter(|_| self.lets_go) {
                            self.away.insert(key.clone(), away);
                        }
                        self.called(key, *call);
                    }
                    Action::Withdraw(of, id) => actions.extend(self.withdraw(&of, id)),
                    Action::End(of) => actions.extend(self.end(&of)),
                    Action::Changed(..) | Action::Fail(_) => {}
                }
            }
            let looks = match self.fetches {
                Fetches::AtOnce => std::mem::take(&mut self.asked),
                Fetches::OneByOne => self.asked.pop().into_iter().collect(),
                Fetches::WhenTold => Vec::new(),
            };
            if looks.is_empty() {
                break;
            }
            actions.extend(self.answer(looks));
        }
    }

    /// The store answers.
    pub(super) fn answer(&mut self, looks: Vec<Look>) -> Vec<Action> {
        let answers = reads::carry_out(self.store.as_ref(), &looks).expect("a memory store reads");
        self.shard.step(Input::Fetched(looks.into_iter().zip(answers).collect()), self.now)
    }

    /// The store answers the oldest look.
    pub(super) fn answer_one(&mut self) -> bool {
        if self.asked.is_empty() {
            return false;
        }
        let look = self.asked.remove(0);
        let actions = self.answer(vec![look]);
        self.carry_out(actions);
        true
    }

    /// A saga as it is decided, durable or not.
    pub(super) fn saga(&self, key: &SagaKey) -> amends_core::Saga {
        let definitions = self.shard.modules.definitions();
        let stored = || load::saga(load::Source::endless(self.store.as_ref(), definitions), key).expect("a saga of this id").saga;
        self.shard.sagas.get(key).cloned().unwrap_or_else(stored)
    }

    pub(super) fn input(&mut self, input: Input) {
        let actions = self.shard.step(input, self.now);
        self.carry_out(actions);
        // As the driver does.
        if self.shard.wake_at().is_some_and(|at| at <= self.now) {
            let actions = self.shard.step(Input::Tick, self.now);
            self.carry_out(actions);
        }
    }

    /// One commit of everything that waits, as the committer does it.
    pub(super) fn commit(&mut self) -> bool {
        let Some((_, number)) = self.queue.back() else { return false };
        let number = *number;
        let batches: Vec<Batch> = self.queue.drain(..).map(|(batch, _)| batch).collect();
        self.store.commit(&batches).expect("the shard appends where the journal ends");
        self.commits += 1;
        self.input(Input::Committed(number));
        true
    }

    /// The oldest running attempt ends.
    pub(super) fn end_one(&mut self) -> bool {
        let Some((key, call)) = self.open.pop_front() else { return false };
        let report = Report {
            outcome: (self.world)(&call),
            attempt: call.step().attempt.clone(),
            left: Left::Nothing,
            messages: Vec::new(),
        };
        let report = GuestReport::Step(report);
        let next = match self.away.get(&key) {
            Some(away) => away.report(report, self.now),
            None => Next::Report(report),
        };
        match next {
            Next::Call(call) => self.called(key, *call),
            Next::Return => {
                self.away.remove(&key);
                self.input(Input::Returned(key.stream()));
            }
            Next::Report(report) => {
                self.away.remove(&key);
                self.input(Input::Report(key.stream(), report));
            }
        }
        true
    }

    /// A call that has not begun is reported at once.
    fn withdraw(&mut self, of: &StreamId, id: CallId) -> Vec<Action> {
        let queued = self.open.iter().position(|(_, call)| self.is_full && call.of == *of && call.work.is(&id));
        let Some((key, _)) = queued.and_then(|at| self.open.remove(at)) else { return Vec::new() };
        self.away.remove(&key);
        self.calls.push(format!("no {id}"));
        self.shard.step(Input::Report(of.clone(), GuestReport::withdrawn(id)), self.now)
    }

    /// The calls of a stream are reported at once, whether they have begun or not.
    fn end(&mut self, of: &StreamId) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(at) = self.open.iter().position(|(_, call)| call.of == *of)
            && let Some((key, call)) = self.open.remove(at)
        {
            let id = call.work.id();
            self.away.remove(&key);
            self.calls.push(format!("{} {id}", if self.is_full { "no" } else { "end" }));
            let report = if self.is_full { GuestReport::withdrawn(id) } else { GuestReport::ended(id) };
            actions.extend(self.shard.step(Input::Report(of.clone(), report), self.now));
        }
        actions
    }

    fn called(&mut self, key: SagaKey, call: GuestCall) {
        let undo = if matches!(call.step().attempt.leg.direction, Direction::Forward) { "" } else { "undo " };
        self.calls.push(format!("{undo}{}@{}", call.step().name, call.step().attempt.number));
        self.open.push_back((key, call));
    }

    /// The oldest call about an aggregate ends.
    pub(super) fn decide_one(&mut self) -> bool {
        let Some(call) = self.decisions.pop_front() else { return false };
        let report = (self.decider)(&call);
        self.input(Input::Report(call.of, report));
        true
    }

    /// Guests first, then the disk, until nothing is left to do.
    pub(super) fn settle(&mut self) {
        while self.answer_one() || self.end_one() || self.decide_one() || self.commit() {}
    }

    /// Time passes, and nothing else happens.
    pub(super) fn pass_time(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
        self.input(Input::Tick);
    }

    pub(super) fn pass(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
        self.input(Input::Tick);
        self.settle();
    }

    pub(super) fn ask<T>(&mut self, request: impl FnOnce(Answer<T>) -> Request) -> Receiver<Result<T, Refusal>> {
        let (answer, answered) = oneshot::channel();
        self.input(Input::Request(request(answer)));
        answered
    }

    pub(super) fn deploy(&mut self, digest: u8, definition: Definition) -> ModuleAnswer {
        let answered = self.ask_deploy(deploy(digest, vec![definition]));
        self.settle();
        said(answered).expect("deployed")
    }

    /// A deploy while guests run on.
    pub(super) fn deploy_beside(&mut self, digest: u8, definition: Definition) {
        let answered = self.ask_deploy(deploy(digest, vec![definition]));
        self.commit();
        said(answered).expect("deployed");
    }

    pub(super) fn ask_deploy(&mut self, deploy: Deploy) -> Receiver<Result<ModuleAnswer, Refusal>> {
        self.ask(|answer| Request::Deploy(origin(), deploy, answer))
    }

    pub(super) fn activate(&mut self, version: u32) {
        let which = Which::Version(version);
        let answered = self.ask(|answer| {
            Request::Activate(origin(), Activation { versions: vec![("demo".into(), which)], ..Default::default() }, answer)
        });
        self.settle();
        said(answered).expect("activated");
    }

    pub(super) fn modules(&mut self) -> Vec<ModuleView> {
        let answered = self.ask(|answer| Request::Modules(origin(), answer));
        self.settle();
        said(answered).expect("listed")
    }

    pub(super) fn remove(&mut self, version: u32) -> Result<ModuleAnswer, Refusal> {
        let answered = self.ask(|answer| Request::Remove(origin(), "demo".into(), version, answer));
        self.settle();
        said(answered)
    }

    pub(super) fn grant(&mut self) {
        let grants = vec![Grant::Http { origin: "http://127.0.0.1:1".into(), private: true }];
        self.set_grants(grants, None).expect("granted");
    }

    pub(super) fn set_grants(&mut self, grants: Vec<Grant>, expect_revision: Option<u64>) -> Result<ModuleAnswer, Refusal> {
        let set = SetGrants { module: "demo".into(), grants, act: Act::default(), force: Force::No, expect_revision };
        let answered = self.ask(|answer| Request::SetGrants(origin(), set, answer));
        self.settle();
        said(answered)
    }

    pub(super) fn start(&mut self, id: &str, input: &str, wait: bool) -> Receiver<Result<SagaAnswer, Refusal>> {
        let start = Start {
            definition: "demo".into(),
            id: saga(id),
            input: Payload::json(input.to_owned()),
            input_hash: [input.len() as u8; 32],
            incarnation: [1; 16],
            trace_context: None,
            wait,
        };
        self.ask(|answer| Request::Start(origin(), start, answer))
    }

    pub(super) fn verb(&mut self, id: &str, verb: AskedVerb, key: &str) -> Receiver<Result<VerbAnswer, Refusal>> {
        let origin = Origin { idempotency_key: Some(key.into()), ..origin() };
        self.intervene(id, verb, origin)
    }

    pub(super) fn move_to(&mut self, id: &str, version: u32) -> Receiver<Result<VerbAnswer, Refusal>> {
        self.intervene(id, Verb::Move(version), origin())
    }

    fn intervene(&mut self, id: &str, asked: AskedVerb, origin: Origin) -> Receiver<Result<VerbAnswer, Refusal>> {
        let request = VerbRequest { id: saga(id), asked, act: Act::default(), expect_revision: None };
        self.ask(|answer| Request::Verb(origin, request, answer))
    }

    pub(super) fn publish(&mut self, id: &str, to: Option<&str>, key: &str) -> Receiver<Result<PublishAnswer, Refusal>> {
        self.publish_from("test", id, to, key)
    }

    pub(super) fn publish_from(
        &mut self,
        source: &str,
        id: &str,
        to: Option<&str>,
        key: &str,
    ) -> Receiver<Result<PublishAnswer, Refusal>> {
        let publish = Publish { source: source.into(), to: to.map(saga), ..approval(id, key) };
        self.ask_publish(publish)
    }

    pub(super) fn ask_publish(&mut self, publish: Publish) -> Receiver<Result<PublishAnswer, Refusal>> {
        self.ask(|answer| Request::Publish(origin(), publish, answer))
    }
}

/// An event that S1 may wait for.
pub(super) fn approval(id: &str, key: &str) -> Publish {
    Publish {
        source: "test".into(),
        id: id.into(),
        event_type: "approval".into(),
        key: key.into(),
        to: None,
        data: Some(Payload::json("true")),
        seed: None,
        cause: None,
        batch: None,
    }
}

/// The module `demo`, made active.
pub(super) fn deploy(digest: u8, definitions: Vec<Definition>) -> Deploy {
    Deploy {
        module: "demo".into(),
        digest: [digest; 32],
        bytes: 100,
        definitions,
        triggers: Vec::new(),
        aggregates: Vec::new(),
        projections: Vec::new(),
        policies: Vec::new(),
        imports: vec!["wasi:http/outgoing-handler@0.2.6".into()],
        activate: true,
    }
}

pub(super) fn origin() -> Origin {
    Origin { namespace: namespace(), actor: Actor::Local, idempotency_key: None }
}

pub(super) fn namespace() -> Namespace {
    Namespace::new("default").expect("a namespace")
}

pub(super) fn saga(id: &str) -> SagaId {
    SagaId::new(id).expect("a saga id")
}

pub(super) fn key(id: &str) -> SagaKey {
    SagaKey { namespace: namespace(), id: saga(id) }
}

/// Where a saga stands.
pub(super) fn status(sim: &mut Sim, id: &str) -> Status {
    sim.saga(&key(id)).status()
}

/// The answer, which must have come.
pub(super) fn said<T>(mut answered: Receiver<Result<T, Refusal>>) -> Result<T, Refusal> {
    answered.try_recv().expect("it is answered")
}

pub(super) fn is_open<T>(answered: &mut Receiver<Result<T, Refusal>>) -> bool {
    matches!(answered.try_recv(), Err(TryRecvError::Empty))
}

/// Steps in a row: `name` is compensatable, `name!` the pivot, `name>` retriable; `~name` declares itself effect-free.
pub(super) fn definition(steps: &[&str]) -> Definition {
    let stages = steps.iter().map(|text| Stage { steps: vec![step(text)], savepoint_after: None }).collect();
    Definition {
        name: "demo".into(),
        version: 1,
        stages,
        output: None,
        deadline_ms: None,
        locks: Vec::new(),
        on_locked: OnLocked::Queue,
        rounds: 1,
        schema: None,
    }
}

fn step(text: &str) -> Step {
    let effect_free = text.starts_with('~');
    let text = text.trim_start_matches('~');
    let kind = match text.chars().last() {
        Some('!') => Kind::Pivot,
        Some('>') => Kind::Retriable,
        _ => Kind::Compensatable,
    };
    let undo = UndoPolicy { retry: Retry::persistent(), deadline_ms: 30_000, alternates: 0, effect_free };
    Step {
        name: text.trim_end_matches(['!', '>']).into(),
        kind,
        body: Body::Code,
        effect_free,
        needs: Vec::new(),
        retry: Retry::forward(),
        deadline_ms: 30_000,
        on_unknown: OnUnknown::Retry,
        on_exhausted: if kind == Kind::Retriable { OnExhausted::Stuck } else { OnExhausted::Rollback },
        alternates: 0,
        undo: if kind == Kind::Compensatable { Undo::Code(undo) } else { Undo::None },
        each: None,
    }
}

pub(super) fn all_done(call: &GuestCall) -> Outcome {
    Outcome::Done(Payload::json(format!("\"{}\"", call.step().name)))
}

pub(super) fn last_refuses(call: &GuestCall) -> Outcome {
    match (call.step().name.as_str(), call.step().attempt.leg.direction) {
        ("c", Direction::Forward) => Outcome::Refused(Failure::new("no_c", "there is no c")),
        _ => all_done(call),
    }
}

pub(super) fn b_waits(call: &GuestCall) -> Outcome {
    match (call.step().name.as_str(), &call.step().arrived) {
        ("b", None) => {
            let topic = amends_core::event::Topic { event_type: "approval".into(), key: "42".into() };
            Outcome::Wait(Wait { event: Some(topic), until: Some(call.started_at.plus(3_600_000)), answer: None })
        }
        ("b", Some(Woken::Event(arrival))) => Outcome::Done(arrival.data.clone().unwrap_or_else(Payload::null)),
        ("b", Some(Woken::Timer)) => Outcome::Refused(Failure::new("late", "nobody approved")),
        _ => all_done(call),
    }
}
