use std::collections::BTreeSet;

use amends_core::{
    Trigger,
    aggregate::{AggregateEvent, Claim, Command, Sender},
    denial::{Address, Denial, DenialReason, Network},
    elements::Element,
    event::{
        Act, Answer, Answered, AnsweredEvent, Arrival, Attempt, Cancel, Charge, Code, Event, Intent, Moved, Published, Reason,
        Resolution, Round, Sent, Started, Topic, Wait, Why,
    },
    id::{Direction, Incarnation, Leg, Namespace, StepPath},
    job::{JobEvent, Misfit, SagaFilter},
    outcome::OutcomeKind,
    policy::{Cause, InstanceEvent, PolicyEvent, Reaction, SagaStart, State, Timer},
    refused::{RefusalCode, Refused},
    schedule::{self, Overlap, ScheduleEvent, Spec, When},
    value::Failure,
    verbs::{AskedVerb, Legs},
    view::Status,
};
use expect_test::{Expect, expect};

use super::*;
use crate::journal::{Death, Grant, HostEvent, MessageEvent, ModuleEvent, Quarantine, StreamId, StreamKind, facts::CODES};

fn leg() -> Leg {
    Leg { path: StepPath::new("group/2/pay[sku-7]"), alternate: 1, round: 2, direction: Direction::Undo(3) }
}

fn attempt() -> Attempt {
    Attempt { leg: Leg::forward(StepPath::new("pay")), number: 300 }
}

fn failure() -> Failure {
    Failure { data: Some(Payload::opaque(vec![0, 255])), ..Failure::new("no_car", "K1 has no cars left") }
}

fn act() -> Act {
    Act { note: "called the hotel".into(), by: "ada".into() }
}

fn topic() -> Topic {
    Topic { event_type: "approval".into(), key: "42".into() }
}

fn denied(reason: DenialReason) -> Event {
    Event::Stuck(leg(), Why::Denied(Denial::new("https://bank.example", reason)))
}

fn started() -> Started {
    Started {
        module: "trip".into(),
        version: 3,
        digest: [0x11; 32],
        definition: "trip".into(),
        definition_hash: [0x22; 32],
        incarnation: Incarnation([0x33; 16]),
        input: Payload::json(r#"{"customer":"K1"}"#),
        input_hash: [0x44; 32],
        deadline_at: Some(Instant(1_800_000_060_000)),
        trace_context: None,
        lock_keys: vec!["customer=K1".into()],
    }
}

fn intent(element: Option<Payload>) -> Intent {
    let deadline_at = Instant(1_800_000_030_000);
    Intent { attempt: attempt(), reaches_outside: true, snapshot: 9, deadline_at, solo: false, element }
}

fn answered(answer: Answer) -> Event {
    Event::Answered(leg(), Box::new(Answered { number: 1, aggregate: "order".into(), from: "O1".into(), answer }))
}

/// At least one of every type, and of every variant inside them.
fn facts() -> Vec<Fact> {
    let saga = [
        Event::Started(Box::new(started())),
        Event::Intent(intent(None)),
        Event::Intent(intent(Some(Payload::json("7")))),
        Event::Done(attempt(), Payload::json(r#"{"seat":"12A"}"#)),
        Event::Refused(attempt(), failure()),
        Event::Transient(attempt(), Failure::new("busy", ""), Charge::Leg),
        Event::Unknown(attempt(), failure(), Charge::HostStop { executing: true }),
        Event::NotDone(Attempt { leg: leg().turned(Direction::Check), number: 1 }),
        Event::Wait(attempt(), Wait { event: Some(topic()), until: Some(Instant(5)), answer: None }),
        Event::Wait(attempt(), Wait { event: None, until: Some(Instant(u64::MAX)), answer: None }),
        Event::Arrived(leg(), Arrival { source: "shop".into(), id: "e1".into(), topic: topic(), data: Some(Payload::null()) }),
        Event::TimerFired(leg()),
        Event::Wait(attempt(), Wait { event: None, until: None, answer: Some(3) }),
        Event::Sent(
            attempt(),
            Box::new(Sent {
                number: 1,
                aggregate: "order".into(),
                to: "O1".into(),
                name: "create".into(),
                data: Payload::json("{}"),
                expect_revision: Some(7),
            }),
        ),
        Event::Published(attempt(), Box::new(Published { number: 2, topic: topic(), data: Payload::null() })),
        answered(Answer::Refused(failure())),
        answered(Answer::Accepted {
            revision: 7,
            events: vec![AnsweredEvent {
                event_type: "order.created".into(),
                version: 1,
                revision: 7,
                position: 300,
                at: Instant(5),
                data: Some(Payload::json("7")),
            }],
            data: Some(Payload::null()),
        }),
        Event::Stale(attempt(), OutcomeKind::Done),
        Event::Stale(attempt(), OutcomeKind::Refused),
        Event::Stale(attempt(), OutcomeKind::Transient),
        Event::Stale(attempt(), OutcomeKind::Unknown),
        Event::Stale(attempt(), OutcomeKind::NotDone),
        Event::Stale(attempt(), OutcomeKind::Wait),
        Event::Stale(attempt(), OutcomeKind::Trapped),
        Event::Stale(attempt(), OutcomeKind::HostFault),
        Event::Stale(attempt(), OutcomeKind::Denied),
        Event::Backoff(leg(), Instant(200)),
        Event::RollbackBegun(Reason::Refused(StepPath::new("pay"), failure())),
        Event::RollbackBegun(Reason::Exhausted(StepPath::new("pay"), failure())),
        Event::RollbackBegun(Reason::Unknown(StepPath::new("pay"), failure())),
        Event::RollbackBegun(Reason::Cancelled),
        Event::RollbackBegun(Reason::Deadline),
        Event::Undone(attempt()),
        Event::Resolved(StepPath::new("pay"), Resolution::Output(Payload::null()), act()),
        Event::Resolved(StepPath::new("pay"), Resolution::NotDone, act()),
        Event::Resolved(StepPath::new("pay"), Resolution::Undone, act()),
        Event::Skipped(StepPath::new("pay"), act()),
        Event::Retried(vec![leg(), leg().turned(Direction::Forward)], act()),
        Event::CancelRequested(Cancel::Asked(act())),
        Event::CancelRequested(Cancel::Deadline),
        Event::Stuck(leg(), Why::Exhausted(failure())),
        Event::Stuck(leg(), Why::Refused(failure())),
        Event::Stuck(leg(), Why::Unknown(failure())),
        Event::Stuck(leg(), Why::PivotInDoubt(failure())),
        denied(DenialReason::NotGranted),
        denied(DenialReason::PrivateAddress(Address { ip: [10, 0, 0, 1].into(), network: Network::Private })),
        denied(DenialReason::ForbiddenAddress(Address { ip: [0xfe80, 0, 0, 0, 0, 0, 0, 1].into(), network: Network::LinkLocal })),
        denied(DenialReason::OwnListener),
        denied(DenialReason::EffectFree),
        denied(DenialReason::UnsafeInCheck { method: "POST".into() }),
        denied(DenialReason::NotAnOrigin { rule: "its host ends with a dot".into() }),
        Event::Stuck(leg(), Why::HostDied),
        Event::Stuck(leg(), Why::JournalFull),
        Event::Unstuck(leg()),
        Event::Completed,
        Event::Compensated,
        Event::Abandoned(act()),
        Event::RoundBegun(Round { number: 1, savepoint: "booked".into() }),
        Event::Moved(Box::new(Moved { code: Code { version: 4, digest: [0x66; 32], definition_hash: [0x77; 32] }, act: act() })),
        Event::LockQueued(vec!["order/7".into()]),
        Event::LockTaken,
        Event::LockBroken("order/7".into(), act()),
        Event::Listed(StepPath::new("pay"), vec![Element { key: "sku-7".into(), value: Payload::json("7") }]),
    ];
    let module = [
        ModuleEvent::Deployed {
            version: 1,
            digest: [0x55; 32],
            bytes: 70_000,
            description: r#"{"sagas":[]}"#.into(),
            imports: vec!["wasi:io/error@0.2.6".into()],
        },
        ModuleEvent::Activated { version: 1, act: act() },
        ModuleEvent::Granted(Grant::Http { origin: "https://bank.example:443".into(), private: true }, act()),
        ModuleEvent::Granted(Grant::Config { key: "fee".into(), value: "2".into() }, act()),
        ModuleEvent::Revoked(Grant::Secret { name: "token".into() }, act()),
        ModuleEvent::Quarantined { version: 1, reason: Quarantine::HostDied },
        ModuleEvent::Removed { version: 1 },
        ModuleEvent::Triggers {
            version: 1,
            triggers: vec![Trigger { saga: "fulfil".into(), event_type: "order.placed".into() }],
        },
        ModuleEvent::Aggregates { version: 1, description: "[]".into() },
        ModuleEvent::Projections { version: 1, description: "[]".into() },
        ModuleEvent::Policies { version: 1, description: "[]".into() },
    ];
    let to = Some("T1".into());
    let message = [
        MessageEvent::Event { source: "crm".into(), id: "e1".into(), topic: topic(), to, data: Some(Payload::opaque("x")) },
        MessageEvent::Event { source: String::new(), id: "e2".into(), topic: topic(), to: None, data: None },
        MessageEvent::Kept { until: Instant(1_800_000_000_000) },
        MessageEvent::Dead { reason: Death::NotTaken },
        MessageEvent::NotStarted { saga: "fulfil".into(), why: refused("held by T1") },
    ];
    let filter = SagaFilter {
        definition: Some("trip".into()),
        status: Some(Status::Stuck),
        module: Some("trip".into()),
        version: Some(1),
        step: Some("reserve-hotel".into()),
        failure: Some("gateway_down".into()),
    };
    let verbs = [
        AskedVerb::Cancel,
        AskedVerb::Retry(Legs::All),
        AskedVerb::Skip(Legs::All),
        AskedVerb::Resolve(Legs::All, Resolution::NotDone),
        AskedVerb::Resolve(Legs::All, Resolution::Undone),
        AskedVerb::Abandon,
        AskedVerb::Move(2),
    ];
    let asked = verbs.map(|verb| JobEvent::Asked { verb, filter: SagaFilter::default(), act: act() });
    let misfits = vec![Misfit { why: "it has ended".into(), count: 300, sagas: vec!["T1".into()] }];
    let job = [
        JobEvent::Asked { verb: AskedVerb::Retry(Legs::All), filter, act: act() },
        JobEvent::Advanced { through: 300, applied: 32, misfits },
        JobEvent::Ended,
        JobEvent::Stopped { act: act() },
    ];
    let job = asked.into_iter().chain(job);
    let host = [HostEvent::Opened { epoch: 4, clean: false }, HostEvent::Restored { generation: 2 }];
    let facts = saga.into_iter().map(Fact::Saga).chain(module.into_iter().map(Fact::Module));
    let facts = facts.chain(message.into_iter().map(Fact::Message)).chain(host.into_iter().map(Fact::Host));
    let facts = facts.chain(schedule_facts().into_iter().map(Fact::Schedule)).chain(job.map(Fact::Job));
    let facts = facts.chain(aggregate_facts().map(Fact::Aggregate)).chain(policy_facts().map(Fact::Policy));
    facts.chain(instance_facts().map(Fact::Instance)).collect()
}

fn policy_facts() -> [PolicyEvent; 14] {
    [
        PolicyEvent::Installed {
            module: "rules".into(),
            module_version: 3,
            digest: [0x55; 32],
            incarnation: 1,
            from: 300,
            replay_to: 300,
        },
        PolicyEvent::Withdrawn,
        PolicyEvent::Paused(act()),
        PolicyEvent::Resumed(act()),
        PolicyEvent::Reset { incarnation: 2, from: 0, replay_to: 300, act: act() },
        PolicyEvent::Stopped { at: Some(300), failure: failure() },
        PolicyEvent::Stopped { at: None, failure: Failure::new("too_many_parked", "1,000 keys") },
        PolicyEvent::Parked { key: "O1".into(), position: 300, failure: failure(), attempts: 5 },
        PolicyEvent::Redriven { key: "O1".into(), act: act() },
        PolicyEvent::Dropped { key: "O1".into(), position: 300, act: act() },
        PolicyEvent::Cleared { key: "O1".into() },
        PolicyEvent::Kept { key: "O1".into(), position: 300, until: Instant(1_800_000_000_000) },
        PolicyEvent::Dead { key: "O1".into(), position: 300, failure: failure() },
        PolicyEvent::HostDied { key: "O1".into(), position: 300 },
    ]
}

fn instance_facts() -> [InstanceEvent; 11] {
    let timer = || Timer {
        name: "grace".into(),
        at: Instant(1_800_000_060_000),
        data: Some(Payload::json("7")),
        root: "R1".into(),
        depth: 2,
    };
    let reaction = |cause, state| {
        let (set, cleared) = (vec![timer()], vec!["alarm".into()]);
        InstanceEvent::Handled(Box::new(Reaction {
            position: 300,
            cause,
            incarnation: 1,
            ids: [0x77; 16],
            module_version: 3,
            is_silent: false,
            state,
            set,
            cleared,
            ends: true,
        }))
    };
    let answered = |answer| InstanceEvent::Answered {
        command: "k.0".into(),
        name: "open".into(),
        answered: Box::new(Answered { number: 0, aggregate: "customer".into(), from: "C1".into(), answer }),
    };
    [
        reaction(Cause::Event { id: "e1".into(), event_type: "order.created".into() }, None),
        reaction(Cause::Timer { name: "grace".into() }, Some(State { version: 2, data: Payload::json("{}") })),
        reaction(Cause::Answer { command: "k.0".into() }, None),
        InstanceEvent::Sent(Box::new(Sent {
            number: 0,
            aggregate: "customer".into(),
            to: "C1".into(),
            name: "open".into(),
            data: Payload::json("7"),
            expect_revision: Some(3),
        })),
        InstanceEvent::Published(Box::new(Published { number: 0, topic: topic(), data: Payload::json("7") })),
        InstanceEvent::Started(Box::new(SagaStart { number: 0, saga: "trip".into(), id: None, input: Payload::json("7") })),
        answered(Answer::Accepted { revision: 4, events: Vec::new(), data: Some(Payload::json("7")) }),
        answered(Answer::Refused(failure())),
        InstanceEvent::TimerFired(timer()),
        InstanceEvent::TimerFired(Timer { data: None, ..timer() }),
        InstanceEvent::Late { position: 300, cause: Cause::Timer { name: "grace".into() } },
    ]
}

fn aggregate_facts() -> [AggregateEvent; 5] {
    let command = || {
        Box::new(Command {
            id: "R1".into(),
            name: "open".into(),
            data: Payload::json("7"),
            answer: Some(Payload::null()),
            claims: vec![Claim { key: "mail:a".into(), held: true }, Claim { key: "mail:b".into(), held: false }],
            sender: Some(Sender::Saga { id: "T1".into(), leg: leg() }),
        })
    };
    let recorded = |revision, data, command| AggregateEvent::Recorded {
        revision,
        event_type: "customer.opened".into(),
        version: 2,
        data,
        tags: vec!["vip".into()],
        subject: Some("ada".into()),
        module_version: 3,
        command,
    };
    [
        recorded(1, Some(Payload::json("7")), Some(command())),
        recorded(300, None, None),
        AggregateEvent::Decided { command: command(), refused: Some(failure()), module_version: 3 },
        AggregateEvent::Quarantined { module_version: 3, digest: [0x55; 32], failure: failure() },
        AggregateEvent::Imported {
            revision: 1,
            event_type: "customer.opened".into(),
            version: 2,
            data: Some(Payload::json("7")),
            tags: vec!["vip".into()],
            at: Instant(1_700_000_000_000),
            by: "ada".into(),
        },
    ]
}

fn refused(message: &str) -> Refused {
    Refused { code: RefusalCode::Locked, message: message.into() }
}

fn schedule_facts() -> Vec<ScheduleEvent> {
    let (due, next) = (Instant(1_800_000_000_000), Some(Instant(1_800_000_060_000)));
    let scheduled = |when: When, overlap: Overlap| {
        let (id, input_hash, incarnation) = (Some("T1".into()), [0x44; 32], [0x33; 16]);
        let spec = Spec { saga: "trip".into(), when, id, overlap, jitter_ms: 5, catch_up_ms: 300, input_hash, incarnation };
        ScheduleEvent::Scheduled {
            spec: spec.into(),
            input: Payload::json("7"),
            next,
            paused: true,
            act: act(),
            key: Some("k-1".into()),
        }
    };
    let cron = When::Cron { expression: "@daily".into(), zone: "UTC".into() };
    let reasons = [
        schedule::Reason::Late,
        schedule::Reason::Overlap { saga: "T1".into() },
        schedule::Reason::Paused,
        schedule::Reason::Refused(refused("held by T1")),
    ];
    let missed = reasons.map(|reason| ScheduleEvent::Missed { due, count: 3, reason, next: None });
    let facts = [
        scheduled(When::At(due), Overlap::Skip),
        scheduled(When::After { delay_ms: 1_000, at: due }, Overlap::Queue),
        scheduled(cron, Overlap::Allow),
        ScheduleEvent::Fired { due, saga: "T1".into(), next },
        ScheduleEvent::Triggered { saga: "T1".into(), act: act() },
        ScheduleEvent::Postponed { due, until: None, reason: schedule::Reason::Late, next },
        ScheduleEvent::Paused(act()),
        ScheduleEvent::Resumed { next, act: act() },
        ScheduleEvent::Unscheduled(act()),
    ];
    facts.into_iter().chain(missed).collect()
}

/// The record that opens stream 17.
fn first(fact: Fact) -> Record {
    let namespace = Namespace::new("default").unwrap();
    let stream = StreamId { namespace, kind: StreamKind::Saga, id: "T1".into() };
    Record {
        id: RecordId { stream: 17, version: 1 },
        position: 17,
        at: Instant(1_800_000_000_000),
        causation: None,
        correlation: None,
        depth: 0,
        epoch: 4,
        generation: 1,
        actor: Actor::Local,
        head: Some(StreamHead::new(stream, "T1")),
        fact,
    }
}

/// A later record of stream 17.
fn later(fact: Fact) -> Record {
    let causation = Some(RecordId { stream: 17, version: 1 });
    Record { id: RecordId { stream: 17, version: 2 }, position: 19, causation, actor: Actor::Host, head: None, ..first(fact) }
}

/// Its bytes with another checksum, as if they had been written so.
fn rewritten(bytes: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    change(&mut bytes);
    let sum = crc32c::crc32c(&bytes[4..]);
    bytes[..4].copy_from_slice(&sum.to_be_bytes());
    bytes
}

#[test]
fn every_record_comes_back_as_it_was() {
    let mut seen = BTreeSet::new();
    for fact in facts() {
        seen.insert((fact.code(), fact.name()));
        for record in [first(fact.clone()), later(fact.clone())] {
            assert_eq!(decode(&encode(&record)), Ok(record));
        }
        let token = Record { actor: Actor::Token("t".repeat(255)), ..later(fact.clone()) };
        assert_eq!(decode(&encode(&token)), Ok(token));
        let of_a_chain = Record { correlation: Some("order-7".into()), depth: 300, ..later(fact) };
        assert_eq!(decode(&encode(&of_a_chain)), Ok(of_a_chain));
    }
    assert_eq!(seen, CODES.iter().copied().collect(), "a type without a sample here");
}

#[test]
fn a_record_keeps_its_type_code_and_bytes() {
    let golden = |record: Record, expected: Expect| {
        let bytes = encode(&record);
        let body = bytes[4..].chunks(32).map(hex::encode).collect::<Vec<_>>().join("\n");
        expected.assert_eq(&format!("{} {}\n{body}", record.fact.name(), hex::encode(&bytes[..4])));
    };
    golden(
        first(Fact::Saga(Event::Started(Box::new(started())))),
        expect![[r#"
            started 76cf130d
            0102000101010001000000040000000100000000000000110000000000000011
            0000000000000001000001a3185c50000764656661756c7400025431accada95
            0e02543104747269700311111111111111111111111111111111111111111111
            1111111111111111111104747269702222222222222222222222222222222222
            2222222222222222222222222222223333333333333333333333333333333300
            117b22637573746f6d6572223a224b31227d4444444444444444444444444444
            44444444444444444444444444444444444401e0f4f4c2b13400010b63757374
            6f6d65723d4b31"#]],
    );
    let [recorded, ..] = aggregate_facts();
    golden(
        later(Fact::Aggregate(recorded)),
        expect![[r#"
            recorded 56295644
            0101025801010000000000040000000100000000000000130000000000000011
            0000000000000002000001a3185c500000000000000000110000000000000001
            010f637573746f6d65722e6f70656e6564020100013701037669700103616461
            0301025231046f70656e0001370100046e756c6c02066d61696c3a6101066d61
            696c3a620001000254311267726f75702f322f7061795b736b752d375d010201
            03"#]],
    );
    golden(
        later(Fact::Saga(Event::Intent(intent(None)))),
        expect![[r#"
        intent 4c88002d
        0101000201000000000000040000000100000000000000130000000000000011
        0000000000000002000001a3185c500000000000000000110000000000000001
        03706179000000ac020109b08af3c2b1340000"#]],
    );
    golden(
        later(Fact::Saga(Event::Unknown(attempt(), failure(), Charge::HostStop { executing: true }))),
        expect![[r#"
        unknown 51331774
        0101000601020000000000040000000100000000000000130000000000000011
        0000000000000002000001a3185c500000000000000000110000000000000001
        03706179000000ac02066e6f5f636172134b3120686173206e6f206361727320
        6c65667401010200ff0101"#]],
    );
    golden(
        later(Fact::Saga(Event::Stuck(leg(), Why::JournalFull))),
        expect![[r#"
        stuck 3ab6e042
        0101001301000000000000040000000100000000000000130000000000000011
        0000000000000002000001a3185c500000000000000000110000000000000001
        1267726f75702f322f7061795b736b752d375d0102010306"#]],
    );
    golden(
        later(Fact::Saga(Event::Completed)),
        expect![[r#"
        completed 58e1ff04
        0101001501000000000000040000000100000000000000130000000000000011
        0000000000000002000001a3185c500000000000000000110000000000000001"#]],
    );
    golden(
        Record { correlation: Some("order-7".into()), depth: 3, ..later(Fact::Saga(Event::Completed)) },
        expect![[r#"
            completed c9a593b5
            010d001501000000000000040000000100000000000000130000000000000011
            0000000000000002000001a3185c500000000000000000110000000000000001
            000300076f726465722d37"#]],
    );
    let token = Actor::Token("t-7".into());
    golden(
        Record { actor: token, ..later(Fact::Module(ModuleEvent::Activated { version: 2, act: Act::default() })) },
        expect![[r#"
            activated f0afcf48
            0101006501000002000000040000000100000000000000130000000000000011
            0000000000000002000001a3185c500000000000000000110000000000000001
            03742d37020000"#]],
    );
}

#[test]
fn every_body_keeps_its_bytes() {
    let bodies = facts().into_iter().map(|fact| {
        let body = fact.write_body(Vec::new()).unwrap();
        format!("{} {} {}\n", fact.code(), fact.name(), hex::encode(body))
    });
    expect![[r#"
        1 started 0474726970031111111111111111111111111111111111111111111111111111111111111111047472697022222222222222222222222222222222222222222222222222222222222222223333333333333333333333333333333300117b22637573746f6d6572223a224b31227d444444444444444444444444444444444444444444444444444444444444444401e0f4f4c2b13400010b637573746f6d65723d4b31
        2 intent 03706179000000ac020109b08af3c2b1340000
        2 intent 03706179000000ac020109b08af3c2b1340001000137
        3 done 03706179000000ac02000e7b2273656174223a22313241227d
        4 refused 03706179000000ac02066e6f5f636172134b3120686173206e6f2063617273206c65667401010200ff
        5 transient 03706179000000ac020462757379000000
        6 unknown 03706179000000ac02066e6f5f636172134b3120686173206e6f2063617273206c65667401010200ff0101
        7 not_done 1267726f75702f322f7061795b736b752d375d01020201
        8 wait 03706179000000ac020108617070726f76616c023432010500
        8 wait 03706179000000ac020001ffffffffffffffffff0100
        9 arrived 1267726f75702f322f7061795b736b752d375d010201030473686f7002653108617070726f76616c0234320100046e756c6c
        10 timer_fired 1267726f75702f322f7061795b736b752d375d01020103
        8 wait 03706179000000ac0200000103
        30 sent 03706179000000ac0201056f72646572024f310663726561746500027b7d0107
        31 published 03706179000000ac020208617070726f76616c02343200046e756c6c
        32 answered 1267726f75702f322f7061795b736b752d375d0102010301056f72646572024f3101066e6f5f636172134b3120686173206e6f2063617273206c65667401010200ff
        32 answered 1267726f75702f322f7061795b736b752d375d0102010301056f72646572024f310007010d6f726465722e637265617465640107ac0205010001370100046e756c6c
        11 stale 03706179000000ac0200
        11 stale 03706179000000ac0201
        11 stale 03706179000000ac0202
        11 stale 03706179000000ac0203
        11 stale 03706179000000ac0204
        11 stale 03706179000000ac0205
        11 stale 03706179000000ac0206
        11 stale 03706179000000ac0207
        11 stale 03706179000000ac0208
        12 backoff 1267726f75702f322f7061795b736b752d375d01020103c801
        13 rollback_begun 0003706179066e6f5f636172134b3120686173206e6f2063617273206c65667401010200ff
        13 rollback_begun 0103706179066e6f5f636172134b3120686173206e6f2063617273206c65667401010200ff
        13 rollback_begun 0203706179066e6f5f636172134b3120686173206e6f2063617273206c65667401010200ff
        13 rollback_begun 03
        13 rollback_begun 04
        14 undone 03706179000000ac02
        15 resolved 037061790000046e756c6c1063616c6c65642074686520686f74656c03616461
        15 resolved 03706179011063616c6c65642074686520686f74656c03616461
        15 resolved 03706179021063616c6c65642074686520686f74656c03616461
        16 skipped 037061791063616c6c65642074686520686f74656c03616461
        17 retried 021267726f75702f322f7061795b736b752d375d010201031267726f75702f322f7061795b736b752d375d0102001063616c6c65642074686520686f74656c03616461
        18 cancel_requested 001063616c6c65642074686520686f74656c03616461
        18 cancel_requested 01
        19 stuck 1267726f75702f322f7061795b736b752d375d0102010300066e6f5f636172134b3120686173206e6f2063617273206c65667401010200ff
        19 stuck 1267726f75702f322f7061795b736b752d375d0102010301066e6f5f636172134b3120686173206e6f2063617273206c65667401010200ff
        19 stuck 1267726f75702f322f7061795b736b752d375d0102010302066e6f5f636172134b3120686173206e6f2063617273206c65667401010200ff
        19 stuck 1267726f75702f322f7061795b736b752d375d0102010303066e6f5f636172134b3120686173206e6f2063617273206c65667401010200ff
        19 stuck 1267726f75702f322f7061795b736b752d375d01020103041468747470733a2f2f62616e6b2e6578616d706c6500
        19 stuck 1267726f75702f322f7061795b736b752d375d01020103041468747470733a2f2f62616e6b2e6578616d706c6501000a00000101
        19 stuck 1267726f75702f322f7061795b736b752d375d01020103041468747470733a2f2f62616e6b2e6578616d706c650201fe80000000000000000000000000000104
        19 stuck 1267726f75702f322f7061795b736b752d375d01020103041468747470733a2f2f62616e6b2e6578616d706c6503
        19 stuck 1267726f75702f322f7061795b736b752d375d01020103041468747470733a2f2f62616e6b2e6578616d706c6504
        19 stuck 1267726f75702f322f7061795b736b752d375d01020103041468747470733a2f2f62616e6b2e6578616d706c650504504f5354
        19 stuck 1267726f75702f322f7061795b736b752d375d01020103041468747470733a2f2f62616e6b2e6578616d706c65061869747320686f737420656e64732077697468206120646f74
        19 stuck 1267726f75702f322f7061795b736b752d375d0102010305
        19 stuck 1267726f75702f322f7061795b736b752d375d0102010306
        20 unstuck 1267726f75702f322f7061795b736b752d375d01020103
        21 completed 
        22 compensated 
        23 abandoned 1063616c6c65642074686520686f74656c03616461
        24 round_begun 0106626f6f6b6564
        25 moved 04666666666666666666666666666666666666666666666666666666666666666677777777777777777777777777777777777777777777777777777777777777771063616c6c65642074686520686f74656c03616461
        26 lock_queued 01076f726465722f37
        27 lock_taken 
        28 lock_broken 076f726465722f371063616c6c65642074686520686f74656c03616461
        29 listed 037061790105736b752d37000137
        100 deployed 015555555555555555555555555555555555555555555555555555555555555555f0a2040c7b227361676173223a5b5d7d0113776173693a696f2f6572726f7240302e322e36
        101 activated 011063616c6c65642074686520686f74656c03616461
        102 granted 001868747470733a2f2f62616e6b2e6578616d706c653a343433011063616c6c65642074686520686f74656c03616461
        102 granted 010366656501321063616c6c65642074686520686f74656c03616461
        103 revoked 0205746f6b656e1063616c6c65642074686520686f74656c03616461
        104 quarantined 0100
        105 removed 01
        106 triggers 01010666756c66696c0c6f726465722e706c61636564
        107 aggregates 01025b5d
        108 projections 01025b5d
        109 policies 01025b5d
        200 event 0363726d02653108617070726f76616c0234320102543101010178
        200 event 0002653208617070726f76616c0234320000
        201 kept 80a0f1c2b134
        202 dead 00
        203 not_started 0666756c66696c110a68656c64206279205431
        300 opened 0400
        301 restored 02
        400 scheduled 04747269700080a0f1c2b134010254310005ac0244444444444444444444444444444444444444444444444444444444444444443333333333333333333333333333333300013701e0f4f4c2b134011063616c6c65642074686520686f74656c0361646101036b2d31
        400 scheduled 047472697001e80780a0f1c2b134010254310105ac0244444444444444444444444444444444444444444444444444444444444444443333333333333333333333333333333300013701e0f4f4c2b134011063616c6c65642074686520686f74656c0361646101036b2d31
        400 scheduled 04747269700206406461696c7903555443010254310205ac0244444444444444444444444444444444444444444444444444444444444444443333333333333333333333333333333300013701e0f4f4c2b134011063616c6c65642074686520686f74656c0361646101036b2d31
        401 fired 80a0f1c2b13402543101e0f4f4c2b134
        402 triggered 0254311063616c6c65642074686520686f74656c03616461
        403 postponed 80a0f1c2b134000001e0f4f4c2b134
        405 paused 1063616c6c65642074686520686f74656c03616461
        406 resumed 01e0f4f4c2b1341063616c6c65642074686520686f74656c03616461
        407 unscheduled 1063616c6c65642074686520686f74656c03616461
        404 missed 80a0f1c2b134030000
        404 missed 80a0f1c2b134030102543100
        404 missed 80a0f1c2b134030200
        404 missed 80a0f1c2b1340303110a68656c6420627920543100
        500 asked 000000000000001063616c6c65642074686520686f74656c03616461
        500 asked 01000000000000001063616c6c65642074686520686f74656c03616461
        500 asked 02000000000000001063616c6c65642074686520686f74656c03616461
        500 asked 0300010000000000001063616c6c65642074686520686f74656c03616461
        500 asked 0300020000000000001063616c6c65642074686520686f74656c03616461
        500 asked 060000000000001063616c6c65642074686520686f74656c03616461
        500 asked 05020000000000001063616c6c65642074686520686f74656c03616461
        500 asked 010001047472697001030104747269700101010d726573657276652d686f74656c010c676174657761795f646f776e1063616c6c65642074686520686f74656c03616461
        501 advanced ac0220010c69742068617320656e646564ac0201025431
        502 ended 
        503 stopped 1063616c6c65642074686520686f74656c03616461
        600 recorded 010f637573746f6d65722e6f70656e65640201000137010376697001036164610301025231046f70656e0001370100046e756c6c02066d61696c3a6101066d61696c3a620001000254311267726f75702f322f7061795b736b752d375d01020103
        600 recorded ac020f637573746f6d65722e6f70656e65640200010376697001036164610300
        601 decided 025231046f70656e0001370100046e756c6c02066d61696c3a6101066d61696c3a620001000254311267726f75702f322f7061795b736b752d375d0102010301066e6f5f636172134b3120686173206e6f2063617273206c65667401010200ff03
        602 unfolded 035555555555555555555555555555555555555555555555555555555555555555066e6f5f636172134b3120686173206e6f2063617273206c65667401010200ff
        603 imported 010f637573746f6d65722e6f70656e65640201000137010376697080d095ffbc3103616461
        700 installed 0572756c657303555555555555555555555555555555555555555555555555555555555555555501ac02ac02
        701 withdrawn 
        702 policy_paused 1063616c6c65642074686520686f74656c03616461
        703 policy_resumed 1063616c6c65642074686520686f74656c03616461
        704 reset 0200ac021063616c6c65642074686520686f74656c03616461
        705 policy_stopped 01ac02066e6f5f636172134b3120686173206e6f2063617273206c65667401010200ff
        705 policy_stopped 000f746f6f5f6d616e795f7061726b65640a312c303030206b65797300
        706 parked 024f31ac02066e6f5f636172134b3120686173206e6f2063617273206c65667401010200ff05
        707 redriven 024f311063616c6c65642074686520686f74656c03616461
        708 dropped 024f31ac021063616c6c65642074686520686f74656c03616461
        709 cleared 024f31
        710 kept_for_instance 024f31ac0280a0f1c2b134
        711 undelivered 024f31ac02066e6f5f636172134b3120686173206e6f2063617273206c65667401010200ff
        712 host_died 024f31ac02
        800 handled ac02000265310d6f726465722e63726561746564017777777777777777777777777777777703000001056772616365e0f4f4c2b13401000137025231020105616c61726d01
        800 handled ac020105677261636501777777777777777777777777777777770300010200027b7d01056772616365e0f4f4c2b13401000137025231020105616c61726d01
        800 handled ac0202036b2e30017777777777777777777777777777777703000001056772616365e0f4f4c2b13401000137025231020105616c61726d01
        801 command_sent 0008637573746f6d6572024331046f70656e0001370103
        802 event_published 0008617070726f76616c023432000137
        803 saga_started 00047472697000000137
        804 command_answered 036b2e30046f70656e0008637573746f6d657202433100040001000137
        804 command_answered 036b2e30046f70656e0008637573746f6d657202433101066e6f5f636172134b3120686173206e6f2063617273206c65667401010200ff
        805 alarm_fired 056772616365e0f4f4c2b1340100013702523102
        805 alarm_fired 056772616365e0f4f4c2b1340002523102
        806 late ac0201056772616365
    "#]].assert_eq(&bodies.collect::<String>());
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    for fact in facts() {
        let good = encode(&first(fact));
        for bit in 0..good.len() * 8 {
            let mut bytes = good.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn a_record_that_is_cut_or_longer_is_found_even_with_a_right_checksum() {
    for fact in facts() {
        let good = encode(&later(fact));
        for length in 0..good.len() {
            assert!(decode(&good[..length]).is_err(), "cut at {length}");
            if length >= 4 {
                assert!(decode(&rewritten(&good, |bytes| bytes.truncate(length))).is_err(), "cut at {length}");
            }
        }
        assert!(decode(&rewritten(&good, |bytes| bytes.push(0))).is_err());
    }
}

#[test]
fn what_this_build_does_not_know_is_an_error_that_names_it() {
    let good = encode(&later(Fact::Saga(Event::Completed)));
    let error = |change: fn(&mut Vec<u8>)| decode(&rewritten(&good, change)).unwrap_err().to_string();
    let errors = [
        error(|bytes| bytes[4] = 2),
        error(|bytes| bytes[5] |= 4),
        error(|bytes| bytes[6..8].copy_from_slice(&[3, 231])),
        error(|bytes| bytes[8] = 2),
        error(|bytes| bytes[9] = 1),
        error(|bytes| bytes[10] = 1),
        error(|bytes| bytes[11] = 9),
        error(|bytes| bytes[43] = 1),
        error(|bytes| bytes.extend(b"more")),
        decode(&good[..40]).unwrap_err().to_string(),
        decode(b"").unwrap_err().to_string(),
    ];
    expect![[r#"
        record at position 19: header of format 2 is unknown to this build; run the version that wrote it
        record at position 19: it ends in its header
        record at position 19: type 999 is unknown to this build; run the version that wrote it
        record at position 19: completed of format 2 is unknown to this build; run the version that wrote it
        record at position 19: completed says content 1, and its payload is another
        record at position 19: envelope 1 of its payload is unknown to this build; run the version that wrote it
        record at position 19: actor 9 is unknown to this build; run the version that wrote it
        record at position 19: it says that it is version 1 of stream 17, which cannot be
        record at position 19: completed is too long by 4
        record at position 19: checksum is 58e1ff04, its bytes give 03ff3d2b
        record: it ends in its header"#]]
    .assert_eq(&errors.join("\n"));
}

#[test]
fn a_record_in_anothers_place_is_found() {
    let stored = |position| Stored { position, record: encode(&later(Fact::Saga(Event::Completed))) };
    assert!(decode_stored(&stored(19)).is_ok());
    let error = decode_stored(&stored(20)).unwrap_err().to_string();
    assert_eq!(error, "record at position 20: it says that it belongs at 19");
}
