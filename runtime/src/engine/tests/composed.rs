//! Fan-outs, alternates and rounds, seen from the shard: what a guest is told, and what a thousand elements at once cost.

use amends_core::{
    definition::{Each, EachMode},
    view::Status,
};

use super::*;

/// `a`, then `b` for each of the input's items.
fn fan_out(concurrency: u32) -> Definition {
    let mut definition = definition(&["a", "b>"]);
    let items = "/input/items".to_owned();
    definition.stages[1].steps[0].each = Some(Each { items, key: None, mode: EachMode::Collect, concurrency });
    definition
}

/// Elements return what they were told.
fn echo(call: &GuestCall) -> Outcome {
    let Some(key) = &call.step().element else { return all_done(call) };
    let item = String::from_utf8_lossy(&call.step().input.bytes);
    Outcome::Done(Payload::json(format!(r#"["{}","{key}",{item}]"#, call.step().attempt.leg.path)))
}

/// The first way of `b` is always full, and `c` is refused in the first round.
fn reluctant(call: &GuestCall) -> Outcome {
    let leg = &call.step().attempt.leg;
    match (call.step().name.as_str(), leg.direction, leg.alternate, leg.round) {
        ("b", Direction::Forward, 0, _) => Outcome::Refused(Failure::new("full", "way 1 is full")),
        ("c", _, _, 0) => Outcome::Refused(Failure::new("no_c", "not in the first round")),
        _ => Outcome::Done(Payload::json(format!(r#"["{}",{},{}]"#, leg.path, leg.alternate, leg.round))),
    }
}

#[test]
fn an_element_is_told_its_path_its_key_and_its_item() {
    let mut sim = Sim::new(echo);
    sim.deploy(1, fan_out(2));
    let answered = sim.start("S1", r#"{"items":[{"n":7},"x"]}"#, true);
    sim.settle();
    let answer = said(answered).unwrap();
    let output = answer.view.output.unwrap();
    let expected = r#"{"done":[{"key":"0","output":["b[0]","0",{"n":7}]},{"key":"1","output":["b[1]","1","x"]}],"refused":[]}"#;
    assert_eq!(String::from_utf8_lossy(&output.bytes), expected);
}

/// Every decision looked for each open attempt among all open ones: a thousand at once cost a thousand million comparisons.
#[test]
fn a_thousand_elements_at_once_share_their_commits() {
    let mut sim = Sim::new(all_done);
    sim.deploy(1, fan_out(1_000));
    sim.grant();
    sim.commits = 0;
    let items: Vec<usize> = (0..1_000).collect();
    let answered = sim.start("S1", &format!(r#"{{"items":{items:?}}}"#), true);
    sim.settle();
    let answer = said(answered).unwrap();
    assert_eq!((answer.view.status, answer.view.steps.len()), (Status::Completed, 1_002));
    assert_eq!(sim.calls.len(), 1_001);
    assert!(sim.commits < 40, "an intent and an outcome for each, in {} commits", sim.commits);
}

#[test]
fn a_guest_is_told_which_way_and_which_round_it_is() {
    let mut definition = definition(&["a", "b", "c!"]);
    definition.stages[1].steps[0].alternates = 1;
    definition.stages[0].savepoint_after = Some("after-a".to_owned());
    let mut sim = Sim::new(reluctant);
    sim.deploy(1, definition);
    let answered = sim.start("S1", "{}", true);
    sim.settle();
    let answer = said(answered).unwrap();
    assert_eq!((answer.view.status, answer.view.round), (Status::Completed, 1));
    assert_eq!(sim.calls, ["a@1", "b@1", "b@1", "c@1", "undo b@1", "b@1", "b@1", "c@1"]);
    let output = answer.view.steps[1].output.clone().unwrap();
    assert!(String::from_utf8_lossy(&output.bytes).ends_with("\",1,1]"), "{output:?}");
}
