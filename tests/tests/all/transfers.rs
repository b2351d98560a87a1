//! Transfers between accounts: whatever fails and whenever the host is killed, the sum of all accounts and of the money in
//! transit is the same at every instant.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use participants::{Control, Fault, Operation, Rule};
use serde_json::{Value, json};

use crate::{
    harness::{
        api::{PATIENCE, Traffic},
        desk::{Conditions, Desk, Kill},
        laws,
    },
    variants::scenarios,
};

mod scenario;

scenarios! {
    scenario::a_transfer_arrives
    scenario::a_transfer_that_is_not_covered_moves_nothing
    scenario::a_transfer_to_nobody_is_put_back
    scenario::a_credit_that_gets_no_answer_is_asked_for_again
}

/// 100.00 on each of the accounts A to D.
fn desk(conditions: Conditions) -> Desk {
    let desk = Desk::open(conditions);
    desk.api().grant("transfer", &[&desk.url()]);
    let accounts = BTreeMap::from(["A", "B", "C", "D"].map(|name| (name.to_owned(), 10_000)));
    desk.participants.control(Control { accounts, ..Control::default() });
    desk
}

fn transfer(desk: &Desk, from: &str, to: &str, amount_cents: u64) -> Value {
    json!({"participants": desk.url(), "from": from, "to": to, "amount_cents": amount_cents})
}

/// Does something, and looks at the money whenever something has changed.
#[track_caller]
fn with_all_money_there<R>(desk: &Desk, act: impl FnOnce() -> R) -> R {
    let participants = &desk.participants;
    let total = participants.state().money_cents();
    let (over, other) = (AtomicBool::new(false), AtomicU64::new(total));
    let done = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            participants.wait_until(PATIENCE, |state| {
                if state.money_cents() != total {
                    other.store(state.money_cents(), Ordering::SeqCst);
                }
                over.load(Ordering::SeqCst)
            })
        });
        let done = act();
        over.store(true, Ordering::SeqCst);
        // Wakes who waits for a change.
        participants.control(Control::default());
        assert!(watch.join().unwrap(), "the transfers take too long");
        done
    });
    assert_eq!(other.load(Ordering::SeqCst), total, "money appeared or vanished for a while");
    done
}

/// Runs a transfer and gives what came of it, with all accounts.
#[track_caller]
fn run(desk: &Desk, from: &str, to: &str, amount_cents: u64) -> String {
    let saga = with_all_money_there(desk, || desk.run("transfer", "M1", &transfer(desk, from, to, amount_cents)));
    desk.settle_down();
    laws::hold(&desk.api(), "M1");
    let state = desk.participants.state();
    assert!(state.in_transit.is_empty(), "nothing runs, and {:?} is in transit", state.in_transit);
    let accounts: Vec<String> = state.accounts.iter().map(|(name, cents)| format!("{name} {cents}")).collect();
    let why = saga["failure"]["code"].as_str().map_or_else(String::new, |code| format!(" {code}"));
    format!("{}{why}: {}", saga["status"].as_str().unwrap_or_default(), accounts.join(", "))
}

#[test]
fn a_transfer_that_is_killed_ends_as_it_would_have() {
    let kills = [
        Kill::At("accepted", 1),
        Kill::At("intent-durable", 2),
        Kill::At("guest-running", 2),
        Kill::At("outcome-seen", 1),
        Kill::At("outcome-durable", 1),
        Kill::By(Operation::Debit),
        Kill::By(Operation::Credit),
    ];
    for kill in kills {
        let killed = Conditions { traffic: Traffic::Once, kill: Some(kill) };
        assert!(scenario::a_transfer_arrives(killed).host.lives() > 1, "{kill:?} killed nobody");
        scenario::a_transfer_to_nobody_is_put_back(killed);
    }
}

/// Twenty-four transfers round in a circle, over a network that loses every fifth answer, while the host is killed.
#[test]
fn no_money_appears_or_vanishes_while_many_transfers_run_and_the_host_is_killed() {
    for kill in [Kill::At("intent-durable", 20), Kill::At("outcome-seen", 30), Kill::At("outcome-durable", 40)] {
        let desk = desk(Conditions { traffic: Traffic::Once, kill: Some(kill) });
        for operation in [Operation::Debit, Operation::Credit, Operation::Reverse] {
            desk.participants.add(Rule::next(3, operation, Fault::Drop));
        }
        let names = ["A", "B", "C", "D"];
        let pair = |number: usize| (names[number % 4], names[(number + 1 + number % 3) % 4]);
        with_all_money_there(&desk, || {
            for number in 0..24 {
                let (from, to) = pair(number);
                let started = desk.api().start("transfer", &format!("M{number}"), &transfer(&desk, from, to, 4_000));
                assert!(matches!(started.status, 200 | 201), "{}", started.body);
            }
            for number in 0..24 {
                let (from, to) = pair(number);
                let saga = desk.run("transfer", &format!("M{number}"), &transfer(&desk, from, to, 4_000));
                assert!(saga["status"] == "completed" || saga["status"] == "compensated", "{saga}");
            }
        });
        desk.settle_down();
        (0..24).for_each(|number| laws::hold(&desk.api(), &format!("M{number}")));
        assert!(desk.participants.state().in_transit.is_empty());
        assert!(desk.host.lives() > 1, "{kill:?} killed nobody");
    }
}
