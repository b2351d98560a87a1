//! The saga against the participants' own logic, without wasm and without a server.

#![allow(clippy::expect_used, reason = "a test may stop where it stands")]

use std::cell::RefCell;
use std::rc::Rc;

use crate::{Receipt, VERSION, module, transfer};
use amends_sdk::http::{Error, Request, Response};
use amends_sdk::testing::{Given, Status, given};
use participants::{Keys, Operation, World};
use serde_json::{Value, json};

type Bank = Rc<RefCell<World>>;

/// 100.00 on account A and nothing on B.
fn bank() -> Bank {
    let mut world = World::default();
    world.accounts = [("A", 10_000), ("B", 0)].map(|(name, cents)| (name.to_owned(), cents)).into();
    Rc::new(RefCell::new(world))
}

/// What the participants answer to this request.
fn answer(bank: &Bank, request: &Request) -> Response {
    let (operation, resource) = Operation::of_path(request.path()).expect("a known operation");
    let header = |name| request.header_value(name).map(str::to_owned);
    let keys = Keys { idempotency: header("idempotency-key"), step: header("amends-step-key"), undoes: header("amends-undoes") };
    let ask = request.body_json().expect("a body that says what is asked");
    let (status, body) = bank.borrow_mut().perform(operation, resource, &ask, &keys).http();
    Response::of_json(status, &body)
}

fn with(given: Given, bank: &Bank) -> Given {
    let bank = bank.clone();
    given.http(move |request| answer(&bank, request))
}

fn input(from: &str, to: &str, amount_cents: u64) -> Value {
    json!({"participants": "http://participants.test", "from": from, "to": to, "amount_cents": amount_cents})
}

/// What is on A, in transit, and on B.
fn books(bank: &Bank) -> (u64, u64, u64) {
    let bank = bank.borrow();
    (bank.accounts["A"], bank.in_transit.values().sum(), bank.accounts["B"])
}

fn money_cents(bank: &Bank) -> u64 {
    let bank = bank.borrow();
    bank.accounts.values().chain(bank.in_transit.values()).sum()
}

#[test]
fn the_host_takes_the_module() {
    assert_eq!(module().check(), Ok(()));
}

#[test]
fn money_is_debited_credited_and_receipted() {
    let bank = bank();
    let (during, seen) = (bank.clone(), Rc::new(RefCell::new(Vec::new())));
    let noted = seen.clone();
    let run = given(transfer()).id("T1").http(move |request| {
        let response = answer(&during, request);
        noted.borrow_mut().push(books(&during));
        response
    });
    let run = run.when(input("A", "B", 4000)).then(
        "debit done
         credit done
         send-receipt done
         completed",
    );
    let (transfer, from, to) = ("T1".to_owned(), "A".to_owned(), "B".to_owned());
    assert_eq!(run.output::<Receipt>(), Receipt { transfer, from, to, amount_cents: 4000, version: VERSION });
    assert_eq!(*seen.borrow(), [(6000, 4000, 0), (6000, 0, 4000), (6000, 0, 4000)]);
}

#[test]
fn an_account_that_does_not_cover_it_pays_nothing() {
    let bank = bank();
    with(given(transfer()), &bank).when(input("A", "B", 10_001)).then("debit refused no_funds\ncompensated no_funds");
    assert_eq!(books(&bank), (10_000, 0, 0));
}

#[test]
fn what_cannot_be_credited_is_put_back() {
    let bank = bank();
    with(given(transfer()), &bank).when(input("A", "C", 4000)).then(
        "debit done
         credit refused no_account
         undo debit done
         compensated no_account",
    );
    assert_eq!(books(&bank), (10_000, 0, 0));
}

/// Without an undo of the credit this was stuck: nobody could say that the first, unanswered credit had not taken hold.
#[test]
fn a_credit_without_an_answer_that_is_refused_then_is_made_sure_of() {
    let bank = bank();
    let (answering, mut lost) = (bank.clone(), false);
    let run = given(transfer()).http(move |request| match request.path() {
        "/accounts/C/credit" if !std::mem::replace(&mut lost, true) => Err(Error::no_answer("lost on the way there")),
        _ => Ok(answer(&answering, request)),
    });
    run.when(input("A", "C", 4000)).then(
        "debit done
         credit unknown no_answer
         credit refused no_account
         undo credit done
         undo debit done
         compensated no_account",
    );
    assert_eq!(books(&bank), (10_000, 0, 0));
}

#[test]
fn nobody_pays_himself() {
    let run = with(given(transfer()), &bank()).when(input("A", "A", 4000));
    run.then("debit refused same_account\ncompensated same_account");
}

#[test]
fn a_debit_that_comes_after_it_was_put_back_is_refused() {
    let bank = bank();
    let (answering, late): (_, Rc<RefCell<Option<Request>>>) = (bank.clone(), Rc::default());
    let kept = late.clone();
    let silent = given(transfer()).http(move |request| match request.path() {
        "/accounts/A/debit" => {
            kept.replace(Some(request.clone()));
            Err(Error::no_answer("30 s"))
        }
        _ => Ok(answer(&answering, request)),
    });
    let run = silent.when(input("A", "B", 4000));
    assert!(run.to_string().ends_with("undo debit done\ncompensated exhausted"), "{run}");
    let late = late.take().expect("a debit was asked for");
    assert_eq!((answer(&bank, &late).status(), books(&bank)), (409, (10_000, 0, 0)));
}

/// Calls that fail, get lost on the way there or back, or arrive twice; transfers that begin while others are in transit. Before
/// and after each call the sum is what it was, and in the end nothing is in transit.
#[test]
fn the_sum_of_all_money_is_the_same_at_every_instant() {
    for seed in 0..300 {
        let bank = bank();
        let chance = Rc::new(RefCell::new(Chance(seed)));
        for number in 0..6 {
            transfer_by_chance(&bank, &chance, format!("T{number}"), 0);
        }
        let (a, in_transit, b) = books(&bank);
        assert_eq!((a + b, in_transit), (10_000, 0), "seed {seed}");
    }
}

/// Runs one transfer over a bad network; while it is called, others may run.
fn transfer_by_chance(bank: &Bank, chance: &Rc<RefCell<Chance>>, id: String, depth: u32) {
    let roll = |sides| chance.borrow_mut().roll(sides);
    let (from, to) = [("A", "B"), ("B", "A"), ("A", "C")][roll(3) as usize];
    let amount_cents = roll(6000);
    let (world, dice, name) = (bank.clone(), chance.clone(), id.clone());
    let mut nested = 0;
    let run = given(transfer()).id(id).http(move |request| {
        let roll = |sides| dice.borrow_mut().roll(sides);
        assert_eq!(money_cents(&world), 10_000);
        if depth < 2 && roll(8) == 0 {
            nested += 1;
            transfer_by_chance(&world, &dice, format!("{name}-{nested}"), depth + 1);
        }
        let fate = roll(5);
        if fate == 0 {
            return Err(Error::no_answer("lost on the way there"));
        }
        let response = answer(&world, request);
        assert_eq!(money_cents(&world), 10_000);
        match fate {
            1 => Err(Error::no_answer("lost on the way back")),
            2 => Ok(answer(&world, request)),
            _ => Ok(response),
        }
    });
    let run = run.when(input(from, to, amount_cents));
    assert!(matches!(run.status(), Status::Completed | Status::Compensated), "{run}");
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    /// A number below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}
