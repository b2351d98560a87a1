//! Events that another system recorded: one commit for many streams, and nothing of one that does not stand where it was read.

use amends_core::value::{Instant, Payload};
use expect_test::expect;

use super::{aggregates::Bank, *};
use crate::{
    engine::port::{Import, ImportAnswer, ImportEvent, ImportStream, RefusalCode},
    store::Store,
};

/// Lines as `A put 5`, of streams as `A after 0 = 5`, which have that state then.
fn import(streams: &[(&str, u64, Option<&str>)], events: &[&str]) -> Import {
    let stream = |(id, after, state): &(&str, u64, Option<&str>)| ImportStream {
        aggregate: "account".into(),
        id: (*id).to_owned(),
        after: *after,
        digest: [1; 32],
        state: state.map(|state| Payload::json(state.to_owned())),
    };
    let event = |line: &&str| {
        let words: Vec<&str> = line.split(' ').collect();
        ImportEvent {
            stream: streams.iter().position(|(id, ..)| *id == words[0]).unwrap(),
            event_type: format!("account.{}", words[1]),
            version: 1,
            data: Payload::json(words.get(2).copied().unwrap_or("null").to_owned()),
            tags: Vec::new(),
            at: Instant(5),
            correlation: None,
        }
    };
    Import { streams: streams.iter().map(stream).collect(), events: events.iter().map(event).collect(), by: "ada".into() }
}

fn ask(bank: &mut Bank, import: Import) -> Receiver<Result<ImportAnswer, Refusal>> {
    bank.sim.ask(|answer| Request::Import(origin(), Box::new(import), answer))
}

fn taken(answered: Receiver<Result<ImportAnswer, Refusal>>) -> Vec<bool> {
    said(answered).unwrap().taken
}

#[test]
fn events_of_many_streams_are_one_commit_in_their_order_and_commands_go_on_behind_them() {
    let mut bank = Bank::new(0);
    let lines = ["A opened", "B opened", "A put 7", "B put 1", "A taken 2"];
    let mut answered = ask(&mut bank, import(&[("A", 0, Some("5")), ("B", 0, Some("1"))], &lines));
    while bank.sim.answer_one() {}
    assert!(is_open(&mut answered), "nothing is said before it is durable");
    bank.sim.settle();
    assert_eq!((taken(answered), bank.sim.commits), (vec![true, true], 1));
    assert_eq!(bank.sim.calls, Vec::<String>::new());
    expect![[r#"
        #1 account.opened imported ()
        #2 account.put imported ()
        #3 account.taken imported ()"#]]
    .assert_eq(&bank.records("A"));
    let told = bank.script("A take 6\n A take 5\n B put 1");
    expect![[r#"
        A take 6: refused too_little: 5 are left (revision 3, v1)
        A take 5: #4 taken 5 (revision 4, v1)
        B put 1: #3 put 1 (revision 3, v1)"#]]
    .assert_eq(&told);
    bank.sim = bank.sim.kill_and_restart();
    expect![[r#"
        A take 1: refused too_little: 0 are left (revision 4, v1)
        B touch: nothing says 2 (revision 3, v1)"#]]
    .assert_eq(&bank.script("A take 1\n B touch"));
}

#[test]
fn a_stream_that_has_moved_on_or_is_decided_about_gets_nothing_and_the_others_all() {
    let mut bank = Bank::new(0);
    bank.script("A open\n B open");
    // One command of B is with a guest.
    bank.send("B put 9");
    while bank.sim.answer_one() {}
    let streams = [("A", 0, Some("7")), ("B", 1, Some("7")), ("C", 0, None), ("D", 1, None)];
    let answered = ask(&mut bank, import(&streams, &["A put 7", "B put 7", "C put 7", "D put 7"]));
    bank.sim.settle();
    assert_eq!(taken(answered), [false, false, true, false]);
    expect!["B put 9: #2 put 9 (revision 2, v1)"].assert_eq(&bank.told());
    // Without a state, the next command folds them.
    expect![[r#"
        A touch: nothing says 0 (revision 1, v1)
        B touch: nothing says 9 (revision 2, v1)
        C touch: nothing says 7 (revision 1, v1)
        D touch: nothing says 0 (revision 0, v1)"#]]
    .assert_eq(&bank.script("A touch\n B touch\n C touch\n D touch"));
}

/// The answer had the position of the last record, whoever's that was, and a client took it for that of its events.
#[test]
fn events_that_other_code_has_folded_are_not_taken_and_have_no_position() {
    let mut bank = Bank::new(0);
    bank.deploy(2, 0);
    let answered = ask(&mut bank, import(&[("A", 0, None)], &["A opened"]));
    bank.sim.settle();
    let answer = said(answered).unwrap();
    assert_eq!((answer, bank.records("A")), (ImportAnswer { position: 0, taken: vec![false] }, String::new()));
}

#[test]
fn two_imports_of_one_stream_are_taken_once() {
    let mut bank = Bank::new(2);
    let first = ask(&mut bank, import(&[("A", 0, Some("1"))], &["A opened", "A put 1"]));
    let second = ask(&mut bank, import(&[("A", 0, Some("1"))], &["A opened", "A put 1"]));
    let third = ask(&mut bank, import(&[("A", 2, Some("3"))], &["A put 2"]));
    bank.sim.settle();
    assert_eq!([taken(first), taken(second), taken(third)].concat(), [true, false, true]);
    // The state is kept as often as after commands.
    let kept = bank.sim.store.rows(&crate::store::Range::under(crate::store::Table::States, &[], 10)).unwrap();
    assert_eq!(kept.len(), 1);
    bank.sim = bank.sim.kill_and_restart();
    expect!["A touch: nothing says 3 (revision 3, v1)"].assert_eq(&bank.script("A touch"));
}

/// A host that stops takes nothing new, and a journal that is far behind takes nothing for now.
#[test]
fn a_host_that_stops_takes_nothing() {
    let mut bank = Bank::new(0);
    bank.sim.input(Input::Stop);
    let answered = ask(&mut bank, import(&[("A", 0, None)], &["A opened"]));
    bank.sim.settle();
    assert_eq!(said(answered).unwrap_err().code, RefusalCode::Stopping);
}
