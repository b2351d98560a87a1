//! Sagas that move to another version of their module.

use amends_core::view::Status;

use super::*;
use crate::engine::{
    port::RefusalCode,
    saga::{
        load::Source,
        moves::{Candidate, could_move},
    },
};

/// The undo of `a` works from version 2 on; nothing else differs.
fn v2_undoes_a(call: &GuestCall) -> Outcome {
    match (call.step().name.as_str(), call.step().attempt.leg.direction, call.version) {
        ("b", Direction::Forward, _) => Outcome::Refused(Failure::new("no_b", "there is no b")),
        ("a", Direction::Undo(_), 1) => Outcome::Transient(Failure::new("bug", "the code is wrong")),
        _ => all_done(call),
    }
}

/// A compensation that is tried once.
pub(super) fn fragile(steps: &[&str]) -> Definition {
    let mut definition = definition(steps);
    for step in definition.stages.iter_mut().flat_map(|stage| &mut stage.steps) {
        if let Undo::Code(policy) = &mut step.undo {
            policy.retry.attempts_max = Some(1);
        }
    }
    definition
}

/// Stuck in the compensation of `a`.
fn stuck() -> Sim {
    let mut sim = Sim::new(v2_undoes_a);
    sim.deploy(1, fragile(&["a", "b"]));
    sim.grant();
    let answered = sim.start("S1", "{}", true);
    sim.settle();
    assert_eq!(said(answered).unwrap().view.status, Status::Stuck);
    sim
}

fn in_flight(sim: &mut Sim) -> Vec<(u32, u64)> {
    sim.modules()[0].versions.iter().map(|version| (version.version, version.in_flight)).collect()
}

fn view(sim: &mut Sim, id: &str) -> amends_core::view::View {
    sim.saga(&key(id)).view()
}

#[test]
fn a_stuck_compensation_is_repaired_by_a_new_version_and_a_move() {
    let mut sim = stuck();
    sim.deploy(2, fragile(&["a", "b", "c"]));
    assert_eq!(view(&mut sim, "S1").version, 1, "a deploy moves nobody");
    let moved = sim.move_to("S1", 2);
    sim.settle();
    assert_eq!(said(moved).unwrap().status, Status::Compensating);
    let view = view(&mut sim, "S1");
    assert_eq!((view.status, view.version, view.digest), (Status::Compensated, 2, [2; 32]));
    assert_eq!(sim.calls, ["a@1", "b@1", "undo a@1", "undo a@2"]);
}

/// Whether it may was judged by the component that it left: one that had never called anybody gave the first attempt after the move
/// no way out, and the saga was stuck for want of a grant that its module had.
#[test]
fn who_moves_to_a_component_that_calls_out_may_call_out() {
    let mut sim = Sim::new(v2_undoes_a);
    let silent = Deploy { imports: Vec::new(), ..deploy(1, vec![fragile(&["a", "b"])]) };
    let _deployed = sim.ask_deploy(silent);
    sim.settle();
    sim.grant();
    let _started = sim.start("S1", "{}", true);
    sim.settle();
    assert_eq!(view(&mut sim, "S1").status, Status::Stuck);
    sim.deploy(2, fragile(&["a", "b"]));
    let _moved = sim.move_to("S1", 2);
    assert!(sim.open.is_empty(), "the intent of what can reach outside is durable first");
    sim.commit();
    assert!(sim.open.iter().all(|(_, call)| call.reaches_outside) && sim.open.len() == 1);
    sim.settle();
    assert_eq!(view(&mut sim, "S1").status, Status::Compensated);
}

#[test]
fn who_moves_is_counted_and_listed_where_it_is_and_its_old_version_can_go() {
    let mut sim = stuck();
    // Its undo works in no version but the second one.
    sim.world = |call| match call.step().attempt.leg.direction {
        Direction::Undo(_) => Outcome::Transient(Failure::new("bug", "the code is still wrong")),
        _ => v2_undoes_a(call),
    };
    sim.deploy(2, fragile(&["a", "b", "c"]));
    assert_eq!(in_flight(&mut sim), [(1, 1), (2, 0)]);
    let _moved = sim.move_to("S1", 2);
    sim.settle();
    assert_eq!(in_flight(&mut sim), [(1, 0), (2, 1)]);
    let mut sim = sim.kill_and_restart();
    sim.settle();
    assert_eq!(in_flight(&mut sim), [(1, 0), (2, 1)]);
    sim.remove(1).expect("nobody runs on it");
    assert_eq!((view(&mut sim, "S1").status, view(&mut sim, "S1").version), (Status::Stuck, 2));
    let line = crate::engine::saga::read::list(
        sim.store.as_ref(),
        &namespace(),
        &crate::engine::saga::read::ListFilter { limit: 1, ..Default::default() },
        |_| Ok(true),
    );
    assert_eq!(line.unwrap().0[0].version, 2);
    let ended = sim.verb("S1", Verb::Abandon, "k");
    sim.settle();
    said(ended).unwrap();
    assert_eq!(in_flight(&mut sim), [(2, 0)]);
}

#[test]
fn a_move_that_does_not_fit_says_everything_that_stands_against_it_and_changes_nothing() {
    let mut sim = stuck();
    let mut other = fragile(&["x", "a", "b!"]);
    other.stages.rotate_left(1);
    sim.deploy(2, other);
    let refused = said(sim.move_to("S1", 2)).unwrap_err();
    assert_eq!(refused.code, RefusalCode::VerbDoesNotFit);
    expect_test::expect![[r#"
        step `b`: it has begun, and its kind differs; keep it
        step `b`: it has begun, and its compensation differs; keep it"#]]
    .assert_eq(&refused.reasons.join("\n"));
    let nowhere = said(sim.move_to("S1", 7)).unwrap_err();
    assert_eq!(nowhere.code, RefusalCode::VersionNotFound);
    let same = said(sim.move_to("S1", 1)).unwrap();
    assert!(!same.applied);
    assert_eq!(view(&mut sim, "S1").version, 1);
}

#[test]
fn an_open_attempt_stands_against_a_move_until_it_has_ended() {
    let mut sim = Sim::new(all_done);
    sim.deploy(1, definition(&["a", "b"]));
    sim.grant();
    let answered = sim.start("S1", "{}", true);
    while sim.open.is_empty() {
        sim.commit();
    }
    sim.deploy_beside(2, definition(&["a", "b"]));
    let refused = said(sim.move_to("S1", 2)).unwrap_err();
    assert_eq!(refused.reasons, ["step `a`: attempt 1 is open; move when it has ended"]);
    sim.settle();
    assert_eq!(said(answered).unwrap().view.status, Status::Completed);
}

#[test]
fn a_plan_tells_who_could_move_and_which_recorded_inputs_the_new_schema_refuses() {
    let mut sim = stuck();
    sim.world = b_waits;
    let _waits = sim.start("S2", r#"{"qty":1}"#, false);
    sim.settle();
    let mut target = fragile(&["a", "x", "b"]);
    target.schema = Some(r#"{"required":["qty"]}"#.into());
    let candidate = Candidate { module: "demo".into(), digest: [9; 32], definitions: vec![target] };
    let definitions = sim.shard.modules.definitions().clone();
    let moves = could_move(Source::endless(sim.store.as_ref(), &definitions), &namespace(), &candidate).unwrap();
    let told: Vec<String> =
        moves.sagas.iter().map(|told| format!("{} {:?} {:?} {:?}", told.id, told.status, told.obstacles, told.misfit)).collect();
    expect_test::expect![[r#"
        S1 Stuck ["step `b`: it has begun in stage 2, and is in stage 3; keep its place", "step `x`: it is new in stage 2, which has begun; put it into a later stage"] Some("missing properties 'qty'")
        S2 Waiting ["step `b`: it has begun in stage 2, and is in stage 3; keep its place", "step `x`: it is new in stage 2, which has begun; put it into a later stage"] None
    "#]]
    .assert_eq(&(told.join("\n") + "\n"));
    assert!(!moves.is_cut);
}
