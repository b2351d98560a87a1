//! Verbs for many sagas: each saga once, whatever happens on the way.

use amends_core::{
    definition::{Each, EachMode},
    event::{Event, Resolution},
    job::{Job, JobState, Misfit, SagaFilter},
    view::Status,
};
use bytes::Bytes;
use expect_test::expect;

use super::{moves::fragile, *};
use crate::{
    engine::{
        job::{self, preview::JobPreview},
        port::{JobAnswer, JobRequest, RefusalCode},
        saga::load::Source,
    },
    journal::{Fact, Record, RecordId, keys, record},
    store::Table,
};

/// `b` is refused, and the compensation of `a` fails.
fn a_cannot_be_undone(call: &GuestCall) -> Outcome {
    match (call.step().name.as_str(), call.step().attempt.leg.direction) {
        ("a", Direction::Undo(_)) => Outcome::Transient(Failure::new("gateway_down", "no route")),
        _ => b_is_refused(call),
    }
}

fn b_is_refused(call: &GuestCall) -> Outcome {
    match (call.step().name.as_str(), call.step().attempt.leg.direction) {
        ("b", Direction::Forward) => Outcome::Refused(Failure::new("no_b", "there is no b")),
        _ => all_done(call),
    }
}

/// So many sagas that are stuck in the compensation of `a`: `S0`, `S1`, …
fn stuck(count: usize) -> Sim {
    let mut sim = Sim::new(a_cannot_be_undone);
    sim.deploy(1, fragile(&["a", "b"]));
    sim.grant();
    for number in 0..count {
        let _started = sim.start(&format!("S{number}"), "{}", false);
    }
    sim.settle();
    sim.world = b_is_refused;
    sim
}

fn in_a() -> SagaFilter {
    SagaFilter { step: Some("a".into()), failure: Some("gateway_down".into()), ..SagaFilter::default() }
}

fn every_demo() -> SagaFilter {
    SagaFilter { definition: Some("demo".into()), ..SagaFilter::default() }
}

fn ask(sim: &mut Sim, verb: AskedVerb, filter: SagaFilter, key: Option<&str>) -> Receiver<Result<JobAnswer, Refusal>> {
    let origin = Origin { idempotency_key: key.map(str::to_owned), ..origin() };
    let act = Act { note: "it is back".into(), by: "ann".into() };
    let request = JobRequest { id: format!("J{}", sim.shard.kernel.last_position()), verb, filter, act, against: None };
    sim.ask(|answer| Request::Job(origin, Box::new(request), answer))
}

fn jobs(sim: &Sim) -> Vec<Job> {
    job::read::list(sim.store.as_ref(), &namespace()).unwrap().0
}

/// Seen, applied, and why not.
fn told(job: &Job) -> String {
    let misfits = job.misfits.iter().map(|misfit| format!("; {} {:?}: {}", misfit.count, misfit.sagas, misfit.why));
    format!("{:?}: seen {}, applied {}{}", job.state, job.seen(), job.applied, misfits.collect::<String>())
}

fn records(sim: &Sim) -> Vec<Record> {
    sim.store.log(1, usize::MAX).unwrap().iter().map(|stored| record::decode_stored(stored).unwrap()).collect()
}

/// How often an operator's retry is recorded for each saga that has one, by the start of its stream.
fn retries(sim: &Sim) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    for record in records(sim).iter().filter(|record| matches!(record.fact, Fact::Saga(Event::Retried(..)))) {
        *counts.entry(record.id.stream).or_default() += 1;
    }
    counts
}

pub(super) fn count_of(sim: &Sim, status: Status) -> usize {
    read::of_status(sim.store.as_ref(), status, 0, usize::MAX).unwrap().len()
}

fn preview(sim: &Sim, verb: AskedVerb, filter: &SagaFilter) -> JobPreview {
    let definitions = sim.shard.modules.definitions();
    job::preview::preview(Source::endless(sim.store.as_ref(), definitions), &namespace(), &verb, filter, u64::MAX, sim.now)
        .unwrap()
}

#[test]
fn a_verb_for_many_is_done_to_each_once_and_its_records_say_who_asked_why_and_which_job_did_it() {
    let mut sim = stuck(100);
    let asked = ask(&mut sim, AskedVerb::Retry(Legs::All), in_a(), None);
    sim.settle();
    let JobAnswer { job, position } = said(asked).unwrap();
    assert_eq!((job.state, job.position), (JobState::Running, position));
    expect!["Ended(Instant(1000000)): seen 100, applied 100"].assert_eq(&told(&jobs(&sim)[0]));
    assert_eq!((count_of(&sim, Status::Compensated), count_of(&sim, Status::Stuck)), (100, 0));
    let retries = retries(&sim);
    assert!(retries.len() == 100 && retries.values().all(|times| *times == 1), "{retries:?}");
    let cause = Some(RecordId { stream: position, version: 1 });
    for record in records(&sim) {
        if let Fact::Saga(Event::Retried(_, act)) = record.fact {
            assert_eq!(
                (act.note.as_str(), act.by.as_str(), record.actor, record.causation),
                ("it is back", "ann", Actor::Local, cause)
            );
        }
    }
}

#[test]
fn a_job_goes_on_after_a_kill_at_any_commit_and_no_saga_is_left_out_or_done_twice() {
    for commits in 0..8 {
        let mut sim = stuck(100);
        let _asked = ask(&mut sim, AskedVerb::Retry(Legs::All), in_a(), None);
        // The request is one commit, and each turn another.
        for _ in 0..commits {
            sim.commit();
        }
        let was_asked = commits > 0;
        let mut sim = sim.kill_and_restart();
        sim.settle();
        let retries = retries(&sim);
        assert_eq!(retries.len(), if was_asked { 100 } else { 0 }, "killed after {commits}");
        assert!(retries.values().all(|times| *times == 1), "killed after {commits}: {retries:?}");
        let done: Vec<String> = jobs(&sim).iter().map(told).collect();
        let all = was_asked.then(|| "Ended(Instant(1000000)): seen 100, applied 100".to_owned());
        assert_eq!(done, Vec::from_iter(all), "killed after {commits}");
    }
}

#[test]
fn other_requests_are_answered_between_the_turns_of_a_job() {
    let mut sim = stuck(100);
    let _asked = ask(&mut sim, AskedVerb::Retry(Legs::All), in_a(), None);
    sim.commit();
    let verb = sim.verb("S99", Verb::Abandon, "k");
    sim.commit();
    assert!(said(verb).unwrap().applied);
    assert!(!jobs(&sim)[0].is_over());
    sim.settle();
    assert_eq!(told(&jobs(&sim)[0]), "Ended(Instant(1000000)): seen 99, applied 99");
}

#[test]
fn what_a_verb_does_not_fit_is_counted_by_why_and_a_preview_says_the_same_and_changes_nothing() {
    let mut sim = stuck(3);
    sim.deploy(2, definition(&["a!", "b"]));
    sim.world = |call| match call.step().name.as_str() {
        "b" => Outcome::Transient(Failure::new("busy", "come back")),
        _ => all_done(call),
    };
    let mut past = definition(&["a!", "b>"]);
    past.stages[1].steps[0].retry.attempts_max = Some(1);
    sim.deploy(3, past);
    for id in ["P1", "P2"] {
        let _started = sim.start(id, "{}", false);
    }
    sim.settle();
    let before = sim.shard.kernel.last_position();
    let seen = preview(&sim, AskedVerb::Cancel, &every_demo());
    assert_eq!((seen.count, sim.shard.kernel.last_position()), (0, before));
    let why: Vec<String> =
        seen.misfits.iter().map(|misfit| format!("{} {:?}: {}", misfit.count, misfit.sagas, misfit.why)).collect();
    let _asked = ask(&mut sim, AskedVerb::Cancel, every_demo(), None);
    sim.settle();
    let done = told(&jobs(&sim)[0]);
    expect![[r#"
        Ended(Instant(1000000)): seen 5, applied 0; 3 ["S0", "S1", "S2"]: it is on its way back already; 2 ["P1", "P2"]: it is past its point of no return"#]].assert_eq(&done);
    assert!(why.iter().all(|why| done.contains(why)), "{why:?}");
    let abandoned = preview(&sim, AskedVerb::Abandon, &in_a());
    assert_eq!((abandoned.count, abandoned.sagas.len(), abandoned.is_cut), (3, 3, false));
}

/// Every element of `a` fails to be undone, as `b` was refused.
fn fan_out(elements: usize) -> Sim {
    let mut sim = Sim::new(a_cannot_be_undone);
    let mut definition = fragile(&["a", "b"]);
    let items = "/input/items".to_owned();
    definition.stages[0].steps[0].each = Some(Each { items, key: None, mode: EachMode::FailFast, concurrency: 10 });
    sim.deploy(1, definition);
    sim.grant();
    let list: Vec<String> = (0..elements).map(|element| element.to_string()).collect();
    let _started = sim.start("F", &format!("{{\"items\":[{}]}}", list.join(",")), false);
    sim.settle();
    sim
}

/// Each stuck leg was an intervention of its own, with a flush, a look at all legs and, where it did not fit, a text that named
/// them: 100,000 of them held every other request up for minutes, in one turn.
#[test]
fn a_saga_that_is_stuck_in_more_steps_than_fit_into_a_turn_is_dealt_with_in_several_and_counts_once() {
    let mut sim = fan_out(150);
    let before = sim.shard.kernel.last_position();
    let _asked = ask(&mut sim, AskedVerb::Resolve(Legs::All, Resolution::NotDone), in_a(), None);
    sim.settle();
    assert_eq!(jobs(&sim)[0].misfits[0].why, "`a[0]` is not stuck or in doubt, or an attempt is open");
    assert_eq!(preview(&sim, AskedVerb::Skip(Legs::All), &in_a()).count, 1);
    let _asked = ask(&mut sim, AskedVerb::Skip(Legs::All), in_a(), None);
    sim.shard.kernel.limits.job_legs_max = 100;
    // The request and the first turn.
    sim.commit();
    sim.commit();
    let skips = |sim: &Sim| {
        let skipped = |record: &&Record| matches!(record.fact, Fact::Saga(Event::Skipped(..)));
        records(sim).iter().filter(|record| record.position > before).filter(skipped).count()
    };
    assert_eq!((skips(&sim), told(&jobs(&sim)[0])), (100, "Running: seen 0, applied 0".into()));
    let mut sim = sim.kill_and_restart();
    sim.settle();
    assert_eq!((skips(&sim), told(&jobs(&sim)[0])), (150, "Ended(Instant(1000000)): seen 1, applied 1".into()));
    assert_eq!(status(&mut sim, "F"), Status::Compensated);
}

/// `a` and `b` are undone side by side, and fail for different reasons.
fn both_cannot_be_undone(call: &GuestCall) -> Outcome {
    match (call.step().name.as_str(), call.step().attempt.leg.direction) {
        ("a", Direction::Undo(_)) => Outcome::Transient(Failure::new("gateway_down", "no route")),
        ("b", Direction::Undo(_)) => Outcome::Transient(Failure::new("expired", "too late")),
        ("c", Direction::Forward) => Outcome::Refused(Failure::new("no_c", "there is no c")),
        _ => all_done(call),
    }
}

#[test]
fn a_retry_by_failure_is_about_the_legs_that_are_stuck_for_it_and_no_others() {
    let mut sim = Sim::new(both_cannot_be_undone);
    let mut parallel = fragile(&["a", "b", "c"]);
    let b = parallel.stages.remove(1);
    parallel.stages[0].steps.extend(b.steps);
    sim.deploy(1, parallel);
    sim.grant();
    let _started = sim.start("S0", "{}", false);
    sim.settle();
    let _asked = ask(&mut sim, AskedVerb::Retry(Legs::All), in_a(), None);
    sim.settle();
    let legs: Vec<String> = records(&sim)
        .iter()
        .filter_map(|record| match &record.fact {
            Fact::Saga(Event::Retried(legs, _)) => Some(legs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
            _ => None,
        })
        .collect();
    assert_eq!(legs, ["undo a"]);
    let other = SagaFilter { step: Some("b".into()), ..in_a() };
    assert_eq!(preview(&sim, AskedVerb::Retry(Legs::All), &other).count, 0, "it is stuck in b, and for something else");
}

#[test]
fn a_move_of_many_is_tried_before_and_repairs_them() {
    let mut sim = stuck(3);
    sim.deploy(2, fragile(&["a", "b", "c"]));
    assert_eq!(preview(&sim, AskedVerb::Move(2), &every_demo()).count, 3);
    let nowhere = preview(&sim, AskedVerb::Move(7), &every_demo());
    assert_eq!((nowhere.count, nowhere.misfits[0].why.as_str()), (0, "module `demo` has no version 7"));
    let _asked = ask(&mut sim, AskedVerb::Move(2), SagaFilter { version: Some(1), ..in_a() }, None);
    sim.settle();
    assert_eq!(told(&jobs(&sim)[0]), "Ended(Instant(1000000)): seen 3, applied 3");
    assert_eq!(count_of(&sim, Status::Compensated), 3);
}

/// A job that names no status read every saga that there ever was, ended ones too. And a turn that finds nobody is recorded
/// nowhere: only the clock brings the next one. A pass of it is two ticks here.
#[test]
fn a_job_looks_at_nothing_that_has_ended_and_records_nothing_of_those_that_it_is_not_about() {
    let mut sim = Sim::new(all_done);
    sim.deploy(1, definition(&["~a"]));
    for number in 0..600 {
        let _started = sim.start(&format!("E{number}"), "{}", false);
    }
    sim.settle();
    let abandon = |sim: &mut Sim, version: u32| {
        let before = sim.shard.kernel.last_position();
        let _asked = ask(sim, AskedVerb::Abandon, SagaFilter { version: Some(version), ..every_demo() }, None);
        sim.settle();
        let mut turns = 0;
        while sim.shard.wake_at() == Some(sim.now) {
            sim.pass(0);
            turns += 1;
        }
        let names: Vec<&str> =
            records(sim).iter().filter(|record| record.position > before).map(|record| record.fact.name()).collect();
        format!("{turns} passes: {}", names.join(", "))
    };
    assert_eq!(abandon(&mut sim, 1), "0 passes: asked, ended");
    sim.world = b_waits;
    sim.deploy(2, definition(&["~b"]));
    for number in 0..600 {
        let _started = sim.start(&format!("W{number}"), "{}", false);
    }
    sim.deploy(3, definition(&["~b", "~c"]));
    let _started = sim.start("W", "{}", false);
    sim.settle();
    assert_eq!(abandon(&mut sim, 3), "1 passes: asked, abandoned, advanced, ended");
    assert_eq!(told(&jobs(&sim)[0]), "Ended(Instant(1000000)): seen 1, applied 1");
}

fn put(sim: &Sim, table: Table, key: Vec<u8>, value: &'static [u8]) {
    let rows = vec![RowChange::put(table, key, Bytes::from_static(value))];
    sim.store.commit(&[Batch { appends: Vec::new(), rows }]).unwrap();
}

/// One row that could not be read closed the host, and closed the next one as soon as it took the job up again.
#[test]
fn a_job_counts_what_it_cannot_read_and_is_stopped_where_it_cannot_go_on() {
    let mut sim = stuck(3);
    let second = read::of_status(sim.store.as_ref(), Status::Stuck, 0, 3).unwrap()[1];
    put(&sim, Table::Sagas, keys::saga(second), b"?");
    let seen = preview(&sim, AskedVerb::Retry(Legs::All), &every_demo());
    assert_eq!((seen.count, seen.misfits[0].sagas[0].clone()), (2, format!("at {second}")));
    let _asked = ask(&mut sim, AskedVerb::Retry(Legs::All), every_demo(), None);
    sim.settle();
    let said = told(&jobs(&sim)[0]);
    let why = "it cannot be read: a saga's summary has version 63; this host reads 1";
    assert_eq!(said, format!("Ended(Instant(1000000)): seen 3, applied 2; 1 [\"at {second}\"]: {why}"));
    put(&sim, Table::ByStatus, [keys::by_status(4, second), vec![0]].concat(), b"");
    let _asked = ask(&mut sim, AskedVerb::Abandon, every_demo(), None);
    sim.settle();
    let JobState::Stopped(_, act) = &jobs(&sim)[0].state else { panic!("{}", told(&jobs(&sim)[0])) };
    assert!(act.note.starts_with("it cannot go on: key 04"), "{}", act.note);
    assert!(sim.shard.kernel.failure().is_none());
}

/// Jobs filled the memory up to the limit, and requests were refused for them.
#[test]
fn a_job_waits_while_half_of_the_room_for_sagas_is_taken() {
    let mut sim = stuck(3);
    sim.shard.kernel.limits.residents_max = 2;
    let _open = sim.start("OPEN", "{}", false);
    let _asked = ask(&mut sim, AskedVerb::Retry(Legs::All), in_a(), None);
    while sim.commit() {}
    assert_eq!(told(&jobs(&sim)[0]), "Running: seen 0, applied 0");
    sim.settle();
    assert_eq!(told(&jobs(&sim)[0]), "Ended(Instant(1000000)): seen 3, applied 3");
}

/// Who waited for a job was left without an answer until the process was gone.
#[test]
fn those_who_wait_for_a_job_are_told_when_the_storage_fails() {
    let mut sim = stuck(3);
    let asked = ask(&mut sim, AskedVerb::Retry(Legs::All), in_a(), None);
    sim.commit();
    let id = said(asked).unwrap().job.id;
    let awaited = sim.ask(|answer| Request::AwaitJob(origin(), id, answer));
    sim.input(Input::StoreEnded(Ending::Failed("no space".into())));
    assert_eq!(said(awaited).unwrap_err().code, RefusalCode::StorageFailed);
}

/// Rows are read by later builds. postcard writes the index of a variant, so that a new one may only go behind the last.
#[test]
fn a_jobs_row_keeps_its_bytes() {
    let act = || Act { note: "it is back".into(), by: "ann".into() };
    let statuses = [
        Status::Completed,
        Status::Compensated,
        Status::Abandoned,
        Status::Stuck,
        Status::Compensating,
        Status::Waiting,
        Status::Running,
    ];
    let verbs = [
        AskedVerb::Cancel,
        AskedVerb::Retry(Legs::All),
        AskedVerb::Skip(Legs::All),
        AskedVerb::Resolve(Legs::All, Resolution::NotDone),
        AskedVerb::Resolve(Legs::All, Resolution::Undone),
        AskedVerb::Abandon,
        AskedVerb::Move(2),
    ];
    let hex = |bytes: Bytes| hex::encode(&bytes);
    let indices = |encoded: Vec<Bytes>| encoded.into_iter().map(hex).collect::<Vec<_>>().join(" ");
    assert_eq!(indices(statuses.iter().map(row::encode).collect()), "0100 0101 0102 0103 0104 0105 0106");
    assert_eq!(indices(verbs.iter().map(row::encode).collect()), "0100 010100 010200 01030001 01030002 0106 010502");
    let job = |state| Job {
        id: "J1".into(),
        stream: 17,
        namespace: namespace(),
        verb: AskedVerb::Retry(Legs::All),
        filter: SagaFilter { status: Some(Status::Stuck), module: Some("trip".into()), version: Some(2), ..in_a() },
        act: act(),
        actor: Actor::Local,
        asked_at: Instant(1_000),
        through: 300,
        applied: 2,
        misfits: vec![Misfit { why: "no".into(), count: 1, sagas: vec!["S1".into()] }],
        state,
        version: 3,
        position: 400,
    };
    let bytes = [JobState::Running, JobState::Ended(Instant(2_000)), JobState::Stopped(Instant(2_000), act())].map(|state| {
        let bytes = hex(row::encode(&job(state)));
        bytes.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned() + "\n").collect::<String>()
    });
    expect![[r#"
        01024a31110764656661756c7401000001030104747269700102010161010c67
        6174657761795f646f776e0a6974206973206261636b03616e6e01e807ac0202
        01026e6f010102533100039003

        01024a31110764656661756c7401000001030104747269700102010161010c67
        6174657761795f646f776e0a6974206973206261636b03616e6e01e807ac0202
        01026e6f010102533101d00f039003

        01024a31110764656661756c7401000001030104747269700102010161010c67
        6174657761795f646f776e0a6974206973206261636b03616e6e01e807ac0202
        01026e6f010102533102d00f0a6974206973206261636b03616e6e039003
    "#]]
    .assert_eq(&bytes.join("\n"));
}

#[test]
fn sagas_that_start_after_a_job_are_none_of_its() {
    let mut sim = stuck(40);
    let _asked = ask(&mut sim, AskedVerb::Abandon, every_demo(), None);
    sim.world = b_waits;
    let _started = sim.start("later", "{}", false);
    sim.settle();
    assert_eq!(told(&jobs(&sim)[0]), "Ended(Instant(1000000)): seen 40, applied 40");
    assert_eq!(count_of(&sim, Status::Waiting), 1);
}

#[test]
fn jobs_run_one_after_the_other_and_a_stopped_one_leaves_what_it_did() {
    let mut sim = stuck(100);
    let _first = ask(&mut sim, AskedVerb::Retry(Legs::All), in_a(), None);
    let second = ask(&mut sim, AskedVerb::Abandon, every_demo(), None);
    sim.commit();
    let second = said(second).unwrap().job.id;
    let mut awaited = sim.ask(|answer| Request::AwaitJob(origin(), second.clone(), answer));
    let first = jobs(&sim)[1].id.clone();
    let act = Act { note: "enough".into(), by: "bob".into() };
    let stopped = sim.ask(|answer| Request::StopJob(origin(), first.clone(), act.clone(), answer));
    assert!(is_open(&mut awaited));
    sim.settle();
    let job = said(stopped).unwrap().job;
    assert_eq!(told(&job), "Stopped(Instant(1000000), Act { note: \"enough\", by: \"bob\" }): seen 32, applied 32");
    // Also those that the first one had sent on their way, which had not come to their ends.
    assert_eq!(told(&said(awaited).unwrap().job), "Ended(Instant(1000000)): seen 100, applied 100");
    let again = sim.ask(|answer| Request::StopJob(origin(), first, act, answer));
    assert_eq!(said(again).unwrap().job.state, job.state);
    let unknown = sim.ask(|answer| Request::AwaitJob(origin(), "J0".into(), answer));
    assert_eq!(said(unknown).unwrap_err().code, RefusalCode::JobNotFound);
}

#[test]
fn the_same_request_is_the_same_job_and_a_week_after_its_end_it_is_forgotten() {
    let mut sim = stuck(3);
    let first = ask(&mut sim, AskedVerb::Retry(Legs::All), in_a(), Some("k"));
    sim.settle();
    let first = said(first).unwrap().job;
    let again = ask(&mut sim, AskedVerb::Retry(Legs::All), in_a(), Some("k"));
    let again = said(again).unwrap().job;
    assert_eq!((again.id, again.applied), (first.id.clone(), 3));
    let other = ask(&mut sim, AskedVerb::Abandon, in_a(), Some("k"));
    assert_eq!(said(other).unwrap_err().code, RefusalCode::KeyReused);
    sim.pass(7 * 86_400_000 - 1);
    assert_eq!(jobs(&sim).len(), 1);
    let mut sim = sim.kill_and_restart();
    sim.settle();
    sim.pass(1);
    assert_eq!(jobs(&sim).len(), 0);
    assert!(sim.store.row(crate::store::Table::Answers, &crate::journal::keys::answer(&namespace(), "job/k")).unwrap().is_none());
    let gone = sim.ask(|answer| Request::AwaitJob(origin(), first.id, answer));
    assert_eq!(said(gone).unwrap_err().code, RefusalCode::JobNotFound);
}

#[test]
fn a_host_that_stops_leaves_its_jobs_to_the_next_one() {
    let mut sim = stuck(100);
    let _asked = ask(&mut sim, AskedVerb::Retry(Legs::All), in_a(), None);
    sim.commit();
    sim.input(Input::Stop);
    sim.settle();
    assert!(sim.shard.is_quiet());
    assert_eq!(told(&jobs(&sim)[0]), "Running: seen 32, applied 32");
    let mut sim = sim.kill_and_restart();
    sim.settle();
    assert_eq!(told(&jobs(&sim)[0]), "Ended(Instant(1000000)): seen 100, applied 100");
}
