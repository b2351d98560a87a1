use amends_wire::{
    Time,
    trace::{TraceFailure, TraceIdKind, TraceView},
};
use expect_test::expect;
use jiff::tz::TimeZone;

use super::*;
use crate::render::style::plain;

const NOON: u64 = 1_767_268_800_000;

fn node(kind: Kind, what: &str, id: &str, after_ms: u64) -> TraceNode {
    TraceNode {
        kind,
        what: what.to_owned(),
        id: (!id.is_empty()).then(|| id.to_owned()),
        module: None,
        version: None,
        at: Time::from_ms(NOON + after_ms),
        ended_at: None,
        position: "0-1-1".to_owned(),
        by: None,
        outcome: None,
        failure: None,
        attempts: None,
        asked: false,
        views: Vec::new(),
        children: Vec::new(),
    }
}

fn by(version: u32, node: TraceNode) -> TraceNode {
    TraceNode { module: Some("credit".to_owned()), version: Some(version), ..node }
}

fn stands(outcome: &str, node: TraceNode) -> TraceNode {
    TraceNode { outcome: Some(outcome.to_owned()), ..node }
}

fn with(node: TraceNode, children: Vec<TraceNode>) -> TraceNode {
    TraceNode { children, ..node }
}

fn shown(root: TraceNode, open: Vec<TraceOpen>, cut: bool) -> String {
    let trace = Trace { id: "T1".to_owned(), found: TraceIdKind::Saga, nodes: 1_000, cut, open, root };
    plain(&tree(&trace, &Now { at: Time::from_ms(NOON), zone: TimeZone::UTC }))
}

#[test]
fn a_command_is_a_tree_of_its_events_with_times_and_versions() {
    let root = TraceNode { by: Some("local".to_owned()), ..node(Kind::Request, "send customer/C1/reserve-credit", "R1", 0) };
    let event = TraceNode { asked: true, ..node(Kind::Event, "customer.credit-reserved", "customer/C1/2", 4) };
    expect![[r#"
        send customer/C1/reserve-credit  R1  by local        12:00:00.000  credit v1
        └─ event customer/C1/2  customer.credit-reserved  ←  +4ms          credit v1
        all within 4ms; nothing is open
    "#]]
    .assert_eq(&shown(with(by(1, stands("accepted", root)), vec![by(1, event)]), Vec::new(), false));
}

#[test]
fn the_views_that_read_an_event_stand_before_what_followed_from_it() {
    let view = |view: &str, state, taken_after: Option<u64>, why: Option<&str>| TraceView {
        view: view.to_owned(),
        generation: 4,
        module: "shop".to_owned(),
        version: 7,
        state,
        taken_at: taken_after.map(|ms| Time::from_ms(NOON + ms)),
        why: why.map(str::to_owned),
    };
    let event = TraceNode {
        views: vec![
            view("order-history", ViewState::Taken, Some(6), None),
            view("old", ViewState::Taken, None, None),
            view("overview", ViewState::Behind, None, None),
            view("sums", ViewState::Skipped, None, None),
            view("totals", ViewState::Stopped, None, Some("it stopped at the event order/O1/2: no\nnumber (no)")),
        ],
        ..node(Kind::Event, "order.created", "order/O1/1", 1)
    };
    let saga = stands("completed", node(Kind::Saga, "confirm", "S1", 2));
    let root = by(1, stands("accepted", node(Kind::Request, "send order/O1/create", "R1", 0)));
    expect![[r#"
        send order/O1/create  R1                    12:00:00.000  credit v1
        └─ event order/O1/1  order.created          +1ms          credit v1
           ├─ view order-history  generation 4      +6ms
           ├─ view old  generation 4
           ├─ view overview  generation 4  behind
           ├─ view sums  generation 4  left it out
           ├─ view totals  generation 4  stopped  it stopped at the event order/O1/2: no number (no)
           └─ saga S1  confirm  completed           +2ms
        all within 2ms; nothing is open; view totals is stopped: `amends projections totals`
    "#]]
    .assert_eq(&shown(with(root, vec![with(by(1, event), vec![saga])]), Vec::new(), false));
}

#[test]
fn what_is_open_is_named_with_the_command_that_helps_and_what_is_missing_is_said() {
    let failure = TraceFailure { code: "no_bank".to_owned(), message: "it does\nnot answer".to_owned() };
    let step = TraceNode { attempts: Some(3), failure: Some(failure), ..node(Kind::Step, "charge", "", 1_500) };
    let saga = with(by(2, stands("stuck", node(Kind::Saga, "place-order", "T1", 0))), vec![by(2, stands("stuck", step))]);
    let root = with(TraceNode { by: Some("local".to_owned()), ..node(Kind::Request, "start place-order", "T1", 0) }, vec![saga]);
    let open = vec![TraceOpen { saga: "T1".to_owned(), status: Status::Stuck }];
    expect![[r#"
        start place-order  T1  by local                               12:00:00.000
        └─ saga T1  place-order  stuck                                +0ms          credit v2
           └─ charge  stuck  3 attempts  no_bank: it does not answer  +1.5s         credit v2
        1.5s so far; open: saga T1 is stuck: `amends show T1`; cut after 1000 nodes; trace a part by its own id
    "#]]
    .assert_eq(&shown(root, open, true));
}

#[test]
fn what_modules_and_clients_say_cannot_move_the_cursor() {
    let root = node(Kind::Request, "publish \u{1b}[2J", "a\u{202e}b/c", 0);
    assert!(!shown(root, Vec::new(), false).contains(['\u{1b}', '\u{202e}']));
}
