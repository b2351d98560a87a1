//! What is stuck, in groups, and lists by what sagas are stuck in.

use amends_core::job::SagaFilter;
use bytes::Bytes;
use expect_test::expect;

use super::{moves::fragile, *};
use crate::{
    engine::saga::{load::Source, read::ListFilter, stuck::groups},
    journal::keys,
    service::reader::Reader,
    store::{Store, Table},
};

/// The compensation of `a` fails for another reason in every third saga, and once for a grant that it lacks.
fn varied(call: &GuestCall) -> Outcome {
    match (call.step().name.as_str(), call.step().attempt.leg.direction, call.of.id.as_str()) {
        ("b", Direction::Forward, _) => Outcome::Refused(Failure::new("no_b", "there is no b")),
        ("a", Direction::Undo(_), "S2" | "S5") => Outcome::Unknown(Failure::new("timed_out", "no answer")),
        ("a", Direction::Undo(_), _) => Outcome::Transient(Failure::new("gateway_down", "no route")),
        _ => all_done(call),
    }
}

fn stuck(count: usize) -> Sim {
    let mut sim = Sim::new(varied);
    sim.deploy(1, fragile(&["a", "b"]));
    sim.grant();
    for number in 0..count {
        let _started = sim.start(&format!("S{number}"), "{}", false);
        sim.pass(1_000);
    }
    sim
}

fn told(sim: &Sim, filter: &SagaFilter) -> String {
    let all = groups(Source::endless(sim.store.as_ref(), sim.shard.modules.definitions()), &namespace(), filter).unwrap();
    let line = |group: &crate::engine::saga::stuck::StuckGroup| {
        let (first, leg) = (&group.first, &group.first.stuck.leg);
        let sagas: Vec<&str> = group.sagas.iter().map(SagaId::as_str).collect();
        let (count, since) = (group.count, group.since.0);
        format!(
            "{count} of {} v{}: {leg} {}, since {since}, {}\n",
            first.definition,
            first.version,
            group.failure,
            sagas.join(" ")
        )
    };
    all.groups.iter().map(line).collect()
}

#[test]
fn what_is_stuck_in_the_same_step_of_the_same_version_for_the_same_failure_is_one_group() {
    let mut sim = stuck(8);
    sim.deploy(2, fragile(&["a", "b"]));
    let _started = sim.start("S8", "{}", false);
    sim.settle();
    expect![[r#"
        6 of demo v1: undo a gateway_down, since 1001000, S0 S1 S3 S4 S6
        2 of demo v1: undo a timed_out, since 1003000, S2 S5
        1 of demo v2: undo a gateway_down, since 1008000, S8
    "#]]
    .assert_eq(&told(&sim, &SagaFilter::default()));
    let only = SagaFilter { failure: Some("gateway_down".into()), version: Some(2), ..SagaFilter::default() };
    expect![[r#"
        1 of demo v2: undo a gateway_down, since 1008000, S8
    "#]]
    .assert_eq(&told(&sim, &only));
}

#[test]
fn a_list_tells_stuck_sagas_by_their_failure() {
    let sim = stuck(6);
    let store: Arc<dyn Store> = sim.store.clone();
    let reader = Reader::new(store, sim.shard.modules.definitions().clone());
    let ids = |sagas: SagaFilter| -> Vec<String> {
        let lines = reader.sagas(&namespace(), &ListFilter { sagas, limit: 10, cursor: None }).unwrap().lines;
        lines.iter().map(|line| line.id.to_string()).collect()
    };
    let filter = SagaFilter { failure: Some("timed_out".into()), ..SagaFilter::default() };
    assert_eq!(ids(filter.clone()), ["S5", "S2"]);
    assert_eq!(ids(SagaFilter { step: Some("b".into()), ..filter.clone() }), [""; 0]);
    assert_eq!(ids(SagaFilter { module: Some("demo".into()), ..SagaFilter::default() }).len(), 6);
    assert_eq!(ids(SagaFilter { version: Some(2), ..SagaFilter::default() }), [""; 0]);
}

/// A stuck saga's place in keys.
const STUCK: u8 = 4;

/// Only sagas of the namespace counted towards the limit: beside a million of another one, an answer took as long as those.
#[test]
fn sagas_of_other_namespaces_are_not_read_without_end() {
    let sim = stuck(1);
    let stream = read::end_of(sim.store.as_ref(), &key("S0")).unwrap().unwrap().start;
    let summary = read::summaries_at(sim.store.as_ref(), &[stream]).unwrap().remove(0).unwrap();
    let other = row::encode(&rows::Summary { namespace: Namespace::new("other").unwrap(), ..summary });
    let of_others = (1_000..101_100).flat_map(|position| {
        let summary = RowChange::put(Table::Sagas, keys::saga(position), other.clone());
        [summary, RowChange::put(Table::ByStatus, keys::by_status(STUCK, position), Bytes::new())]
    });
    sim.store.commit(&[Batch { appends: Vec::new(), rows: of_others.collect() }]).unwrap();
    let seen = groups(Source::endless(sim.store.as_ref(), sim.shard.modules.definitions()), &namespace(), &SagaFilter::default())
        .unwrap();
    assert_eq!((seen.groups[0].count, seen.is_cut), (1, true));
}
