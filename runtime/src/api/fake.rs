//! A runtime in memory for the API's tests: it answers what it was told to, and notes what it was asked.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use amends_core::{
    Definition, Trigger,
    definition::{Body, Kind, OnExhausted, OnLocked, OnUnknown, Retry, Stage, Step, Undo, UndoPolicy},
    event::Act,
    id::{Leg, Namespace, SagaId, StepPath},
    value::{Failure, Instant, Payload},
    verbs::Rejected,
    view::{BodyView, LegView, Status, StepStatus, StepView, View},
};
use bytes::Bytes;
use tokio::sync::broadcast;

use super::runtime::{
    BoxFuture, Candidate, Change, Committed, Moves, Offered, Readiness, Runtime, SagaPage, ScheduleView, Unverified, Verified,
};
use crate::{
    engine::port::{
        Job, JobAnswer, JobPreview, JobState, JobVerb, ListFilter, Misfit, ModuleAnswer, ModuleView, Publish, PublishAnswer,
        Refusal, RefusalCode, Request, SagaAnswer, SagaFilter, SagaLine, StuckGroups, VerbAnswer, VersionView,
    },
    journal::{Actor, Grant, Record},
    trouble::Trouble,
};

/// 2026-01-01T12:00:00Z.
pub(crate) const NOON: Instant = Instant(1_767_268_800_000);

pub(crate) struct Fake {
    pub(crate) sagas: Mutex<BTreeMap<String, (View, [u8; 32])>>,
    pub(crate) records: Mutex<Vec<Record>>,
    pub(crate) asked: Mutex<Vec<String>>,
    pub(crate) refuse: Mutex<Option<Refusal>>,
    pub(crate) grants: Mutex<Vec<Grant>>,
    pub(crate) stuck: Mutex<StuckGroups>,
    pub(crate) preview: Mutex<JobPreview>,
    pub(crate) never_ends: Mutex<bool>,
    /// Asking it is a bug.
    pub(crate) panics: Mutex<bool>,
    pub(crate) changes: broadcast::Sender<Change>,
}

impl Fake {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            sagas: Mutex::default(),
            records: Mutex::default(),
            asked: Mutex::default(),
            refuse: Mutex::default(),
            grants: Mutex::default(),
            stuck: Mutex::default(),
            preview: Mutex::default(),
            never_ends: Mutex::default(),
            panics: Mutex::default(),
            changes: broadcast::channel(16).0,
        })
    }

    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }

    pub(crate) fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn module(&self) -> ModuleView {
        ModuleView {
            name: "trip".to_owned(),
            active: Some(1),
            versions: vec![VersionView {
                version: 1,
                digest: [1; 32],
                bytes: 8,
                deployed_at: NOON.0,
                sagas: vec!["trip".to_owned()],
                imports: vec!["wasi:http/outgoing-handler@0.2.3".to_owned()],
                triggers: Vec::new(),
                in_flight: 3,
                quarantined: None,
            }],
            next_version: 2,
            grants: self.grants.lock().unwrap().clone(),
            revision: 2,
        }
    }

    fn module_answer(&self) -> ModuleAnswer {
        ModuleAnswer { module: self.module(), version: 1, created: true, position: 9 }
    }
}

impl Runtime for Fake {
    fn now(&self) -> Instant {
        NOON.plus(5_000)
    }

    fn generation(&self) -> u32 {
        1
    }

    fn ask(&self, request: Request) -> Result<(), Refusal> {
        let panics = *self.panics.lock().unwrap();
        assert!(!panics, "a bug of ours");
        if let Some(refusal) = self.refuse.lock().unwrap().clone() {
            return Err(refusal);
        }
        match request {
            Request::Start(origin, start, answer) => {
                self.note(format!("start {} {} {} wait={}", origin.namespace, start.definition, start.id, start.wait));
                let mut sagas = self.sagas.lock().unwrap();
                let known = sagas.get(start.id.as_str()).cloned();
                if known.as_ref().is_some_and(|(_, hash)| *hash != start.input_hash) {
                    let refused = refusal(RefusalCode::IdTaken, "the id is taken");
                    let _ = answer.send(Err(refused));
                    return Ok(());
                }
                let view = known.as_ref().map_or_else(|| View { input: start.input, ..completed() }, |(view, _)| view.clone());
                sagas.insert(start.id.to_string(), (view.clone(), start.input_hash));
                if start.wait && *self.never_ends.lock().unwrap() {
                    // Kept open until the client has given up: what a saga that does not end looks like.
                    std::mem::forget(answer);
                } else {
                    let created = known.is_none();
                    let _ = answer.send(Ok(SagaAnswer { id: start.id, created, view: Box::new(view), position: 7 }));
                }
            }
            Request::Verb(origin, verb, answer) => {
                self.note(format!("{:?} {:?} key={:?}", verb.asked, verb.act, origin.idempotency_key));
                let _ = answer.send(Ok(VerbAnswer { applied: true, status: Status::Completed, revision: 17, position: 8 }));
            }
            Request::Publish(_, publish, answer) => {
                let input =
                    publish.seed.as_ref().map(|seed| format!(", to start with input {}", hex::encode(&seed.input_hash[..4])));
                let publish = Publish { seed: None, ..publish };
                self.note(format!("{publish:?}{}", input.unwrap_or_default()));
                let (started, not_started) = (Vec::new(), Vec::new());
                let kept_until = Some(NOON.0);
                let said = PublishAnswer { duplicate: false, woke: 0, started, not_started, kept_until, position: 9 };
                let _ = answer.send(Ok(said));
            }
            Request::Deploy(_, deploy, answer) => {
                self.note(format!("deploy {} activate={}", deploy.module, deploy.activate));
                let _ = answer.send(Ok(self.module_answer()));
            }
            Request::Activate(_, module, which, _, answer) => {
                self.note(format!("activate {module} {which:?}"));
                let _ = answer.send(Ok(self.module_answer()));
            }
            Request::SetGrants(_, set, answer) => {
                self.note(format!("grants {} {:?} at {:?}", set.module, set.force, set.expect_revision));
                *self.grants.lock().unwrap() = set.grants;
                let _ = answer.send(Ok(self.module_answer()));
            }
            Request::Remove(_, module, version, answer) => {
                self.note(format!("remove {module} {version}"));
                let _ = answer.send(Ok(self.module_answer()));
            }
            Request::Job(origin, request, answer) => {
                self.note(format!("job {:?} {:?} key={:?}", request.verb, request.act, origin.idempotency_key));
                let asked = Job { verb: request.verb, filter: request.filter, act: request.act, ..job("J1") };
                let said = request.against.map_or_else(|| Ok(JobAnswer { job: Box::new(asked), position: 9 }), Err);
                let _ = answer.send(said);
            }
            Request::StopJob(_, id, act, answer) => {
                self.note(format!("stop {id} {act:?}"));
                let stopped = Job { state: JobState::Stopped(NOON.plus(2_000), act), ..job(&id) };
                let _ = answer.send(Ok(JobAnswer { job: Box::new(stopped), position: 9 }));
            }
            Request::AwaitJob(_, id, answer) => {
                let ended = Job { state: JobState::Ended(NOON.plus(3_000)), ..job(&id) };
                let _ = answer.send(Ok(JobAnswer { job: Box::new(ended), position: 9 }));
            }
            Request::Modules(_, answer) => {
                let _ = answer.send(Ok(vec![self.module()]));
            }
            other => self.note(format!("{other:?}")),
        }
        Ok(())
    }

    fn saga(&self, _: &Namespace, id: &SagaId) -> Result<Option<Committed>, Refusal> {
        let sagas = self.sagas.lock().unwrap();
        Ok(sagas.get(id.as_str()).map(|(view, _)| Committed {
            view: view.clone(),
            position: 7,
            locks: Vec::new(),
            started_by: None,
            on_cancel: Err(Rejected::PastPointOfNoReturn),
        }))
    }

    fn stuck(&self, _: &Namespace, filter: &SagaFilter) -> Result<StuckGroups, Refusal> {
        self.note(format!("stuck {filter:?}"));
        Ok(self.stuck.lock().unwrap().clone())
    }

    fn preview(&self, _: &Namespace, verb: JobVerb, _: &SagaFilter, enough: u64) -> Result<JobPreview, Refusal> {
        self.note(format!("preview {verb:?} of {enough}"));
        Ok(self.preview.lock().unwrap().clone())
    }

    fn jobs(&self, _: &Namespace) -> Result<(Vec<Job>, bool), Refusal> {
        Ok((vec![job("J1")], true))
    }

    fn job(&self, _: &Namespace, id: &str) -> Result<Option<Job>, Refusal> {
        Ok((id == "J1").then(|| job(id)))
    }

    fn schedule(&self, _: &Namespace, _: &str) -> Result<Option<ScheduleView>, Refusal> {
        Ok(None)
    }

    fn schedules(&self, _: &Namespace, _: Option<&str>, _: usize) -> Result<Vec<ScheduleView>, Refusal> {
        Ok(Vec::new())
    }

    fn moves(&self, _: &Namespace, _: &Candidate) -> Result<Moves, Refusal> {
        Ok(Moves::default())
    }

    fn sagas(&self, _: &Namespace, filter: &ListFilter) -> Result<SagaPage, Refusal> {
        self.note(format!("{filter:?}"));
        let sagas = self.sagas.lock().unwrap();
        let lines = sagas.iter().map(|(id, (view, _))| SagaLine {
            id: SagaId::new(id).unwrap(),
            definition: view.definition.clone(),
            status: view.status,
            module: view.module.clone(),
            version: view.version,
            started_at: view.started_at.0,
            ended_at: view.ended_at.map(|at| at.0),
        });
        Ok(SagaPage { lines: lines.collect(), next: Some(41) })
    }

    fn journal(&self, _: &Namespace, _: &SagaId, from: u64, limit: usize) -> Result<Option<Vec<Record>>, Refusal> {
        let records = self.records.lock().unwrap();
        Ok(Some(records.iter().filter(|record| record.id.version >= from).take(limit).cloned().collect()))
    }

    fn definitions(&self, _: &Namespace) -> Result<Vec<Offered>, Refusal> {
        Ok(vec![Offered {
            module: "trip".to_owned(),
            version: 1,
            definition: trip(),
            started_by: vec!["trip.wanted".to_owned()],
        }])
    }

    fn verify(&self, bytes: Bytes) -> BoxFuture<'_, Result<Verified, Unverified>> {
        Box::pin(async move {
            if !bytes.starts_with(b"\0asm") {
                let reasons = vec!["these bytes are no WebAssembly".to_owned()];
                return Err(Unverified {
                    trouble: Trouble::Component,
                    code: "not_a_component",
                    reasons,
                    hint: Some("build a component".to_owned()),
                });
            }
            Ok(Verified {
                module: "trip".to_owned(),
                digest: [1; 32],
                bytes: bytes.len() as u64,
                definitions: vec![trip()],
                triggers: vec![Trigger { saga: "trip".to_owned(), event_type: "trip.wanted".to_owned() }],
                imports: vec!["wasi:http/outgoing-handler@0.2.3".to_owned()],
                warnings: Vec::new(),
            })
        })
    }

    fn keep(&self, bytes: Bytes) -> BoxFuture<'_, Result<(), Unverified>> {
        self.note(format!("keep {} bytes", bytes.len()));
        Box::pin(async { Ok(()) })
    }

    fn discard(&self, digest: [u8; 32]) -> BoxFuture<'_, ()> {
        self.note(format!("discard {}", hex::encode(&digest[..2])));
        Box::pin(async {})
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    fn readiness(&self) -> Readiness {
        Readiness::Ready { recovered: 12, took_ms: 80 }
    }

    fn metrics(&self) -> String {
        "# EOF\n".to_owned()
    }
}

pub(crate) fn refusal(code: RefusalCode, message: &str) -> Refusal {
    Refusal::new(code, message)
}

/// A retry of stuck trips that is on its way.
pub(crate) fn job(id: &str) -> Job {
    let trips = SagaFilter { definition: Some("trip".into()), failure: Some("gateway_down".into()), ..SagaFilter::default() };
    Job {
        id: id.to_owned(),
        stream: 7,
        namespace: Namespace::new("default").unwrap(),
        verb: JobVerb::Retry,
        filter: trips,
        act: Act { note: "the gateway is back".into(), by: "ann".into() },
        actor: Actor::Local,
        asked_at: NOON,
        cursor: crate::engine::port::Cursor { through: 40 },
        applied: 99,
        misfits: vec![Misfit { why: "it is past its point of no return".into(), count: 1, sagas: vec!["T9".into()] }],
        state: JobState::Running,
        version: 3,
        position: 9,
    }
}

/// Two reservations, a pivot, and a mail that is sent until it is sent.
pub(crate) fn trip() -> Definition {
    let stage = |steps: Vec<Step>| Stage { steps, savepoint_after: None };
    Definition {
        name: "trip".to_owned(),
        version: 1,
        stages: vec![
            stage(vec![step("reserve-flight", Kind::Compensatable), step("reserve-hotel", Kind::Compensatable)]),
            stage(vec![step("charge", Kind::Pivot)]),
            stage(vec![step("send-mail", Kind::Retriable)]),
        ],
        output: Some("charge".to_owned()),
        deadline_ms: None,
        locks: Vec::new(),
        on_locked: OnLocked::Queue,
        rounds: 0,
        schema: None,
    }
}

fn step(name: &str, kind: Kind) -> Step {
    let undo = UndoPolicy { retry: Retry::persistent(), deadline_ms: 30_000, alternates: 0, effect_free: false };
    Step {
        name: name.to_owned(),
        kind,
        body: Body::Code,
        effect_free: false,
        needs: Vec::new(),
        retry: Retry::forward(),
        deadline_ms: 30_000,
        on_unknown: OnUnknown::Retry,
        on_exhausted: OnExhausted::Rollback,
        alternates: 0,
        undo: if kind == Kind::Compensatable { Undo::Code(undo) } else { Undo::None },
        each: None,
    }
}

/// A trip that is completed.
pub(crate) fn completed() -> View {
    View {
        definition: "trip".to_owned(),
        module: "trip".to_owned(),
        version: 1,
        digest: [0x3f; 32],
        revision: 17,
        status: Status::Completed,
        started_at: NOON,
        ended_at: Some(NOON.plus(1_300)),
        deadline_at: None,
        input: Payload::json("{\"trip\":1}"),
        output: Some(Payload::json("{\"paid\":true}")),
        rollback: None,
        locks: None,
        round: 0,
        cause: None,
        savepoint: None,
        past_point_of_no_return: true,
        cancel_pending: false,
        steps: ["reserve-flight", "reserve-hotel", "charge", "send-mail"]
            .into_iter()
            .zip([(0, Kind::Compensatable), (0, Kind::Compensatable), (1, Kind::Pivot), (2, Kind::Retriable)])
            .map(|(name, (stage, kind))| step_view(name, stage, kind))
            .collect(),
        outstanding: Vec::new(),
        manual: 0,
        stuck: Vec::new(),
    }
}

fn step_view(name: &str, stage: usize, kind: Kind) -> StepView {
    StepView {
        path: StepPath::new(name),
        stage,
        kind,
        status: StepStatus::Done,
        forward: ran(0, 40),
        body: BodyView::Code,
        element: None,
        alternate: 0,
        round: 0,
        past: Vec::new(),
        undo: None,
        done: true,
        output: Some(Payload::json("{}")),
        failure: None,
        may_have_run: false,
        undo_declared: kind == Kind::Compensatable,
        manual: false,
    }
}

/// A leg with one attempt.
pub(crate) fn ran(after_ms: u64, took_ms: u64) -> LegView {
    let began = NOON.plus(after_ms);
    LegView { attempts: 1, began_at: Some(began), ended_at: Some(began.plus(took_ms)), ..LegView::default() }
}

/// A forward leg.
pub(crate) fn leg(step: &str) -> Leg {
    Leg::forward(StepPath::new(step))
}

/// A failure.
pub(crate) fn failure(code: &str, message: &str) -> Failure {
    Failure::new(code, message)
}
