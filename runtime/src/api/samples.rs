//! Values for tests of what is shown: a definition, sagas, a job.

#![allow(clippy::unwrap_used, reason = "only tests call it, of this crate and of others")]

use amends_core::{
    Definition,
    definition::{Body, Kind, OnExhausted, OnLocked, OnUnknown, Retry, Stage, Step, Undo, UndoPolicy},
    event::Act,
    id::{Leg, Namespace, StepPath},
    job::{Job, JobState, Misfit, SagaFilter},
    value::{Failure, Instant, Payload},
    verbs::{AskedVerb, Legs},
    view::{BodyView, LegView, Status, StepStatus, StepView, View},
};

use crate::journal::Actor;

/// 2026-01-01T12:00:00Z.
pub const NOON: Instant = Instant(1_767_268_800_000);

/// A retry of stuck trips that is on its way.
pub fn job(id: &str) -> Job {
    let trips = SagaFilter { definition: Some("trip".into()), failure: Some("gateway_down".into()), ..SagaFilter::default() };
    Job {
        id: id.to_owned(),
        stream: 7,
        namespace: Namespace::new("default").unwrap(),
        verb: AskedVerb::Retry(Legs::All),
        filter: trips,
        act: Act { note: "the gateway is back".into(), by: "ann".into() },
        actor: Actor::Local,
        asked_at: NOON,
        through: 40,
        applied: 99,
        misfits: vec![Misfit { why: "it is past its point of no return".into(), count: 1, sagas: vec!["T9".into()] }],
        state: JobState::Running,
        version: 3,
        position: 9,
    }
}

/// Two reservations, a pivot, and a mail that is sent until it is sent.
pub fn trip() -> Definition {
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
        on_exhausted: if kind == Kind::Retriable { OnExhausted::Stuck } else { OnExhausted::Rollback },
        alternates: 0,
        undo: if kind == Kind::Compensatable { Undo::Code(undo) } else { Undo::None },
        each: None,
    }
}

/// A trip that is completed.
pub fn completed() -> View {
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
pub fn ran(after_ms: u64, took_ms: u64) -> LegView {
    let began = NOON.plus(after_ms);
    LegView { attempts: 1, began_at: Some(began), ended_at: Some(began.plus(took_ms)), ..LegView::default() }
}

/// A forward leg.
pub fn leg(step: &str) -> Leg {
    Leg::forward(StepPath::new(step))
}

/// A failure.
pub fn failure(code: &str, message: &str) -> Failure {
    Failure::new(code, message)
}
