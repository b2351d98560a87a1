//! Sagas in every state, as the host would show them, for the goldens of the renderer.

use amends_core::{
    definition::Kind,
    denial::{Denial, DenialReason},
    elements::Element,
    event::{Act, Attempt, Cancel, Event, Intent, Reason, Resolution, Round, Started, Topic, Wait, Why},
    id::{Direction, Incarnation, Leg, Namespace, SagaId, StepPath},
    value::{Failure, Instant, Payload},
    verbs::Offer,
    view::{BodyView, LegView, PastView, Status, StepStatus, StepView, StuckView, View},
};
use amends_wire::{job::Job, journal::Entry, saga::Saga};

use amends_host::{
    api::{
        openapi::described,
        position::Positions,
        present, routes,
        samples::{self, NOON, failure, leg, ran},
    },
    journal::{Actor, Fact, Record, RecordId},
};

const STEPS: [(&str, usize, Kind); 6] = [
    ("reserve-flight", 0, Kind::Compensatable),
    ("reserve-hotel", 1, Kind::Compensatable),
    ("reserve-car", 2, Kind::Compensatable),
    ("charge", 3, Kind::Pivot),
    ("send-tickets", 4, Kind::Retriable),
    ("send-mail", 5, Kind::Retriable),
];

/// A trip in which nothing has begun.
fn trip(status: Status) -> View {
    View {
        definition: "trip".to_owned(),
        module: "trip".to_owned(),
        version: 1,
        digest: {
            let mut digest = [0; 32];
            digest[..6].copy_from_slice(&[0x3f, 0x9c, 0x51, 0xd0, 0x07, 0x2e]);
            digest
        },
        revision: 9,
        status,
        started_at: NOON,
        ended_at: status.is_ended().then(|| NOON.plus(1_300)),
        deadline_at: None,
        input: Payload::json("{\"trip\":\"T2\"}"),
        output: None,
        rollback: None,
        locks: None,
        round: 0,
        cause: None,
        savepoint: None,
        past_point_of_no_return: status == Status::Completed,
        cancel_pending: false,
        steps: STEPS.iter().map(|(name, stage, kind)| pending(name, *stage, *kind)).collect(),
        outstanding: Vec::new(),
        manual: 0,
        stuck: Vec::new(),
    }
}

fn pending(name: &str, stage: usize, kind: Kind) -> StepView {
    StepView {
        path: StepPath::new(name),
        stage,
        kind,
        status: StepStatus::Pending,
        forward: LegView::default(),
        body: BodyView::Code,
        element: None,
        alternate: 0,
        round: 0,
        past: Vec::new(),
        undo: None,
        done: false,
        output: None,
        failure: None,
        may_have_run: false,
        undo_declared: kind == Kind::Compensatable,
        manual: false,
    }
}

fn done(view: &mut View, at: usize, took_ms: u64) {
    let step = &mut view.steps[at];
    (step.status, step.forward, step.output) = (StepStatus::Done, ran(at as u64 * 50, took_ms), Some(Payload::json("{}")));
    step.done = true;
}

fn undone(view: &mut View, at: usize, undo: LegView) {
    (view.steps[at].status, view.steps[at].undo) = (StepStatus::Compensated, Some(undo));
}

fn refused(view: &mut View, at: usize, cause: Failure) {
    view.rollback = Some(Reason::Refused(view.steps[at].path.clone(), cause.clone()));
    let step = &mut view.steps[at];
    (step.status, step.forward, step.failure) = (StepStatus::Refused, ran(100, 30), Some(cause));
}

/// A retry of many that is on its way.
pub(crate) fn job() -> Job {
    routes::jobs::shown(&samples::job("J1"), Positions { generation: 1 }).unwrap()
}

fn shown(view: &View, after_ms: u64) -> Saga {
    present::saga::saga(&Namespace::new("default").unwrap(), &SagaId::new("T2").unwrap(), view, NOON.plus(after_ms))
}

fn no_car() -> Failure {
    failure("no_car", "K1 has no cars left")
}

fn tried(attempts: u32, took_ms: u64, failures: &[(&str, u32)]) -> LegView {
    let failures = failures.iter().map(|(code, times)| ((*code).to_owned(), *times)).collect();
    LegView { attempts, failures, ..ran(200, took_ms) }
}

fn ended_badly() -> View {
    let mut view = trip(Status::Compensated);
    done(&mut view, 0, 41);
    done(&mut view, 1, 38);
    refused(&mut view, 2, no_car());
    undone(&mut view, 0, ran(1_200, 22));
    undone(&mut view, 1, tried(4, 1_100, &[("500", 3)]));
    view
}

pub(crate) fn completed() -> Saga {
    let mut view = trip(Status::Completed);
    (0..6).for_each(|at| done(&mut view, at, 20 + at as u64));
    view.steps[4].forward = tried(3, 2_400, &[("timeout", 1), ("503", 1)]);
    view.steps[5].forward = tried(2, 5_800, &[]);
    view.output = Some(Payload::json("{\"total\":\"130.00\",\"car\":\"K1\"}"));
    shown(&view, 5_000)
}

pub(crate) fn compensated() -> Saga {
    shown(&ended_badly(), 5_000)
}

pub(crate) fn compensating() -> Saga {
    let mut view = ended_badly();
    (view.status, view.ended_at) = (Status::Compensating, None);
    view.deadline_at = Some(NOON.plus(3_600_000));
    (view.steps[0].status, view.steps[0].undo) = (StepStatus::Done, None);
    view.steps[1].status = StepStatus::Compensating;
    view.steps[1].undo = Some(LegView { ended_at: None, retry_at: Some(NOON.plus(9_000)), ..tried(3, 0, &[("500", 3)]) });
    view.outstanding = vec![StepPath::new("reserve-flight"), StepPath::new("reserve-hotel")];
    shown(&view, 2_000)
}

pub(crate) fn waiting() -> Saga {
    let mut view = trip(Status::Waiting);
    done(&mut view, 0, 41);
    view.steps[1].status = StepStatus::Waiting;
    let event = Some(Topic { event_type: "approval".to_owned(), key: "42".to_owned() });
    let waits_for = Some(Wait { event, until: Some(NOON.plus(7_200_000)), answer: None });
    view.steps[1].forward = LegView { waits_for, ended_at: None, ..ran(50, 0) };
    shown(&view, 3_720_000)
}

pub(crate) fn backing_off() -> Saga {
    let mut view = trip(Status::Waiting);
    done(&mut view, 0, 41);
    view.steps[1].status = StepStatus::BackingOff;
    view.steps[1].failure = Some(failure("503", "the hotel is busy"));
    view.steps[1].forward = LegView { retry_at: Some(NOON.plus(12_500)), ..tried(2, 0, &[("503", 2)]) };
    shown(&view, 3_000)
}

pub(crate) fn stuck_in_rollback() -> Saga {
    let mut view = ended_badly();
    (view.status, view.ended_at) = (Status::Stuck, None);
    (view.steps[0].status, view.steps[0].undo) = (StepStatus::Done, None);
    view.steps[1].status = StepStatus::Stuck;
    view.steps[1].undo = Some(tried(5, 9_100, &[("500", 5)]));
    view.outstanding = vec![StepPath::new("reserve-flight"), StepPath::new("reserve-hotel")];
    let why = Why::Exhausted(failure("500", "the hotel is down"));
    let offers = vec![Offer::Retry, Offer::Move, Offer::Undone, Offer::Skip, Offer::Abandon];
    view.stuck = vec![StuckView { leg: leg("reserve-hotel").turned(Direction::Undo(0)), since: NOON.plus(9_500), why, offers }];
    shown(&view, 309_500)
}

pub(crate) fn stuck_forward() -> Saga {
    let mut view = trip(Status::Stuck);
    (0..3).for_each(|at| done(&mut view, at, 20));
    view.steps[3].status = StepStatus::Stuck;
    view.steps[3].forward = ran(150, 30_000);
    view.steps[3].may_have_run = true;
    let why = Why::PivotInDoubt(failure("deadline", "no answer within 30s"));
    let offers = vec![Offer::Retry, Offer::Move, Offer::Output, Offer::NotDone, Offer::Abandon];
    view.stuck = vec![StuckView { leg: leg("charge"), since: NOON.plus(30_150), why, offers }];
    shown(&view, 90_000)
}

pub(crate) fn denied() -> Saga {
    let mut view = trip(Status::Stuck);
    view.steps[0].status = StepStatus::Stuck;
    view.steps[0].forward = tried(1, 0, &[("denied", 1)]);
    let why = Why::Denied(Denial::new("https://air.example", DenialReason::NotGranted));
    let offers = vec![Offer::Retry, Offer::Move, Offer::Output, Offer::NotDone, Offer::Cancel, Offer::Abandon];
    view.stuck = vec![StuckView { leg: leg("reserve-flight"), since: NOON.plus(30), why, offers }];
    shown(&view, 90_000)
}

pub(crate) fn refused_after_a_wait() -> Saga {
    let mut view = trip(Status::Compensated);
    refused(&mut view, 0, failure("denied", "bob said no"));
    view.steps[0].forward = tried(2, 338, &[("denied", 1)]);
    shown(&view, 5_000)
}

pub(crate) fn refused_after_failures() -> Saga {
    let mut view = trip(Status::Compensated);
    refused(&mut view, 0, failure("no_room", "H1 is full"));
    view.steps[0].forward = tried(3, 900, &[("503", 2), ("no_room", 1)]);
    shown(&view, 5_000)
}

pub(crate) fn abandoned() -> Saga {
    let mut view = ended_badly();
    view.status = Status::Abandoned;
    (view.steps[0].status, view.steps[0].undo) = (StepStatus::Done, None);
    view.steps[1].status = StepStatus::Skipped;
    view.outstanding = vec![StepPath::new("reserve-flight"), StepPath::new("reserve-hotel")];
    view.manual = 1;
    shown(&view, 5_000)
}

pub(crate) fn cancelled() -> Saga {
    let mut view = trip(Status::Compensated);
    done(&mut view, 0, 41);
    undone(&mut view, 0, ran(300, 22));
    view.steps[1].forward = tried(3, 500, &[("503", 3)]);
    view.rollback = Some(Reason::Cancelled);
    shown(&view, 5_000)
}

pub(crate) fn cancel_pending() -> Saga {
    let mut view = trip(Status::Running);
    (0..3).for_each(|at| done(&mut view, at, 20));
    view.steps[3].status = StepStatus::Running;
    view.steps[3].forward = LegView { ended_at: None, ..ran(150, 0) };
    view.steps[3].may_have_run = true;
    view.cancel_pending = true;
    shown(&view, 2_000)
}

pub(crate) fn parallel() -> Saga {
    let mut view = trip(Status::Compensated);
    for (step, stage) in view.steps.iter_mut().zip([0, 0, 0, 1, 2, 2]) {
        step.stage = stage;
    }
    done(&mut view, 0, 5_000);
    refused(&mut view, 1, failure("no_room", "H1 is full"));
    done(&mut view, 2, 20);
    undone(&mut view, 0, ran(5_100, 22));
    undone(&mut view, 2, ran(5_100, 25));
    view.ended_at = Some(NOON.plus(5_200));
    shown(&view, 9_000)
}

pub(crate) fn by_hand() -> Saga {
    let mut view = ended_badly();
    view.manual = 2;
    view.steps[1].manual = true;
    (view.steps[2].status, view.steps[2].manual) = (StepStatus::Compensated, true);
    view.steps[2].may_have_run = true;
    (view.steps[2].undo, view.steps[2].failure) = (None, Some(failure("timeout", "no answer")));
    view.rollback = Some(Reason::Unknown(StepPath::new("reserve-car"), failure("timeout", "no answer")));
    shown(&view, 5_000)
}

pub(crate) fn hostile() -> Saga {
    let mut view = trip(Status::Compensated);
    refused(&mut view, 0, failure("\u{1b}[2Jno", "line one\nline two \u{202e}esrever"));
    shown(&view, 5_000)
}

/// A journey in its second round: two travellers, one child each, beside a hotel whose alternate was taken.
pub(crate) fn composed() -> Saga {
    let mut view = trip(Status::Running);
    let [plan, hotel, car, charge] = [("plan", 0), ("reserve-hotel", 1), ("reserve-car", 2), ("charge", 3)]
        .map(|(name, stage)| pending(name, stage, if name == "charge" { Kind::Pivot } else { Kind::Compensatable }));
    let mut travellers = StepView { body: each(2, 2, 0, 0), ..pending("travellers", 1, Kind::Compensatable) };
    travellers.forward = LegView { attempts: 0, ..ran(0, 11) };
    let mut steps = vec![plan, travellers];
    for name in ["ada", "bob"] {
        let element = format!("travellers[{name}]");
        let child =
            StepView { body: BodyView::Child, element: Some(name.to_owned()), ..pending(&element, 1, Kind::Compensatable) };
        steps.push(StepView { forward: LegView { attempts: 0, ..ran(0, 9) }, ..child });
        for (stage, leg) in ["reserve-outbound", "reserve-inbound"].iter().enumerate() {
            steps.push(pending(&format!("{element}/{leg}"), stage, Kind::Compensatable));
        }
    }
    steps.extend([hotel, car, charge]);
    view.steps = steps;
    for step in view.steps.iter_mut().take(9) {
        let forward = if step.body == BodyView::Code { ran(0, 4) } else { step.forward.clone() };
        (step.status, step.output, step.forward) = (StepStatus::Done, Some(Payload::json("{}")), forward);
        step.done = true;
    }
    view.steps[8].alternate = 1;
    view.steps[8].past = vec![past(0, 0, StepStatus::Refused, Some(failure("no_room", "H1 has no rooms left")))];
    (view.round, view.cause) = (1, Some(no_car()));
    view.steps[9].round = 1;
    (view.steps[9].status, view.steps[9].forward) = (StepStatus::Running, LegView { ended_at: None, ..ran(1_500, 0) });
    view.steps[9].past = vec![past(0, 0, StepStatus::Refused, Some(no_car()))];
    shown(&view, 2_000)
}

/// A check-out of a thousand stays, of which two are refused, one is stuck and three run.
pub(crate) fn fan_out() -> Saga {
    let mut view = View { past_point_of_no_return: true, ..trip(Status::Running) };
    let all = StepView { body: each(1_000, 700, 2, 4), ..pending("check-out", 0, Kind::Retriable) };
    view.steps = vec![StepView { status: StepStatus::Stuck, forward: LegView { ended_at: None, ..ran(0, 0) }, ..all }];
    for at in 0..1_000 {
        let key = format!("s{at}");
        let step = pending(&format!("check-out[{key}]"), 0, Kind::Retriable);
        let done = (StepStatus::Done, ran(0, 4), None);
        let (status, forward, failed) = match at {
            40 | 400 => (StepStatus::Refused, ran(0, 4), Some(failure("balance_not_settled", "the balance is 700 cents"))),
            500 => (StepStatus::Stuck, tried(20, 900, &[("503", 20)]), Some(failure("503", "the desk is closed"))),
            0..=700 => done,
            701..=703 => (StepStatus::Running, LegView { ended_at: None, ..ran(1_990, 0) }, None),
            _ => (StepStatus::Pending, LegView::default(), None),
        };
        view.steps.push(StepView { element: Some(key), status, forward, failure: failed, ..step });
    }
    view.steps.push(pending("report", 1, Kind::Retriable));
    let why = Why::Exhausted(failure("503", "the desk is closed"));
    // Others run: it could not move now.
    let offers = vec![Offer::Retry, Offer::Output, Offer::NotDone, Offer::Abandon];
    view.stuck = vec![StuckView { leg: leg("check-out[s500]"), since: NOON.plus(900), why, offers }];
    shown(&view, 2_000)
}

fn each(elements: usize, settled: usize, refused: usize, moving: usize) -> BodyView {
    BodyView::Each { elements, settled, refused, moving }
}

fn past(round: u32, alternate: u32, status: StepStatus, failure: Option<Failure>) -> PastView {
    PastView { round, alternate, attempts: 1, failure, status }
}

pub(crate) fn journal() -> Vec<Entry> {
    let attempt = |step: &str, direction, number| Attempt { leg: leg(step).turned(direction), number };
    let flight = || attempt("reserve-flight", Direction::Forward, 1);
    let intent = |attempt, reaches_outside| {
        let deadline_at = NOON.plus(30_000);
        Event::Intent(Intent { attempt, reaches_outside, snapshot: 2, deadline_at, solo: false, element: None })
    };
    let act = || Act { note: "fixed the hotel".to_owned(), by: "ann".to_owned() };
    let topic = Topic { event_type: "approval".to_owned(), key: "42".to_owned() };
    let events = vec![
        Event::Started(Box::new(Started {
            module: "trip".to_owned(),
            version: 1,
            digest: [0x3f; 32],
            definition: "trip".to_owned(),
            definition_hash: [0; 32],
            incarnation: Incarnation([7; 16]),
            input: Payload::json("{\"trip\":\"T2\"}"),
            input_hash: [0; 32],
            deadline_at: None,
            trace_context: None,
            lock_keys: Vec::new(),
        })),
        intent(flight(), false),
        Event::Done(flight(), Payload::json("{\"seat\":7}")),
        intent(attempt("reserve-hotel", Direction::Forward, 1), true),
        Event::Wait(
            attempt("reserve-hotel", Direction::Forward, 1),
            Wait { event: Some(topic), until: Some(Instant(NOON.0 + 7_200_000)), answer: None },
        ),
        Event::TimerFired(leg("reserve-hotel")),
        Event::Refused(attempt("reserve-hotel", Direction::Forward, 2), failure("no_room", "H1 is full")),
        Event::RollbackBegun(Reason::Refused(StepPath::new("reserve-hotel"), failure("no_room", "H1 is full"))),
        Event::Backoff(leg("reserve-flight").turned(Direction::Undo(0)), NOON.plus(900)),
        Event::Stuck(leg("reserve-flight").turned(Direction::Undo(0)), Why::HostDied),
        Event::Retried(vec![leg("reserve-flight").turned(Direction::Undo(0))], act()),
        Event::Resolved(StepPath::new("reserve-flight"), Resolution::Undone, act()),
        Event::CancelRequested(Cancel::Asked(act())),
        Event::Compensated,
    ];
    entries(events)
}

/// Records of fan-outs, alternates and rounds.
pub(crate) fn journal_of_a_journey() -> Vec<Entry> {
    let way = |alternate, round, direction| Leg { alternate, round, ..leg("reserve-hotel").turned(direction) };
    let attempt = |leg| Attempt { leg, number: 1 };
    let elements = |count: usize| (0..count).map(|at| Element { key: format!("s{at}"), value: Payload::null() }).collect();
    entries(vec![
        Event::Listed(StepPath::new("check-out"), elements(1_000)),
        Event::Listed(StepPath::new("travellers"), elements(1)),
        Event::Refused(attempt(way(1, 0, Direction::Forward)), failure("no_room", "H2 is full")),
        Event::Undone(attempt(way(0, 0, Direction::Undo(1)))),
        Event::RoundBegun(Round { number: 1, savepoint: "seats".to_owned() }),
        Event::Done(attempt(way(0, 1, Direction::Forward)), Payload::json("{}")),
    ])
}

fn entries(events: Vec<Event>) -> Vec<Entry> {
    let record = |(at, event): (usize, Event)| Record {
        id: RecordId { stream: 1, version: at as u64 + 1 },
        position: at as u64 + 100,
        at: NOON.plus(at as u64 * 7),
        causation: None,
        correlation: None,
        depth: 0,
        epoch: 1,
        generation: 1,
        actor: Actor::Host,
        head: None,
        fact: Fact::Saga(event),
    };
    events
        .into_iter()
        .enumerate()
        .map(record)
        .map(|record| routes::journal::entry(&record, Positions { generation: 1 }))
        .collect()
}

/// Fault C2-36, for answers that the API's tests do not get: sagas in every state, and their records.
#[test]
fn c2_36_every_sample_is_as_the_description_of_the_api_says() {
    let sagas = [
        completed(),
        compensated(),
        compensating(),
        waiting(),
        backing_off(),
        stuck_in_rollback(),
        stuck_forward(),
        denied(),
        refused_after_a_wait(),
        refused_after_failures(),
        abandoned(),
        cancelled(),
        cancel_pending(),
        parallel(),
        by_hand(),
        hostile(),
        composed(),
        fan_out(),
    ];
    for saga in sagas {
        described::value("Saga", &serde_json::to_value(saga).unwrap()).unwrap();
    }
    for entry in journal().into_iter().chain(journal_of_a_journey()) {
        described::value("Entry", &serde_json::to_value(entry).unwrap()).unwrap();
    }
    described::value("Job", &serde_json::to_value(job()).unwrap()).unwrap();
}
