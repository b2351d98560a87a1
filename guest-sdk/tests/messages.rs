//! Commands and events that code of steps sends, as the kit passes them on: it stops where the host would.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use amends_sdk::testing::{Run, given};
use amends_sdk::{
    Aggregate, Call, Command, Decision, Event, Result, Retry, Saga, Step, Stop, To, Wait, accept, context, refused,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Command, Serialize, Deserialize)]
enum Do {
    Pay { cents: u64 },
}

#[derive(Event, Serialize, Deserialize)]
enum Did {
    Paid { cents: u64 },
}

/// The state is what was paid.
fn account() -> Aggregate<u64, Do, Did> {
    let decide = |_: &u64, Do::Pay { cents }: Do| -> Decision<Did> { accept(Did::Paid { cents }) };
    Aggregate::new("account", decide, |paid: &mut u64, Did::Paid { cents }: Did| *paid += cents)
}

fn one_step<T: Serialize + DeserializeOwned + 'static>(step: impl Fn(Value, &Call) -> Result<T> + 'static) -> Saga<Value> {
    Saga::new("test").step(Step::compensatable("a", step).undo_nothing().retry(Retry::attempts(2)))
}

/// What ended a wait is told to every attempt until the next wait, because an event is consumed once. A refusal too: so a compensation
/// that asked and was refused was told the same in each further attempt, whatever the aggregate would say by then.
#[test]
fn a_compensation_that_was_refused_asks_again() {
    let undo = |_: Value, _: Option<u32>, call: &Call| call.ask::<Value>(To::new("desk", "D1"), "give-back", &1).map(drop);
    let saga: Saga<Value> = Saga::new("test")
        .step(Step::compensatable("take", |_, _| Ok(1)).undo(undo).undo_retry(Retry::attempts(3)))
        .step(Step::compensatable("pay", |_, _| Err::<(), _>(refused("broke", "no money"))).undo_nothing());
    let asked = Cell::new(0);
    let desk = move |_: &_| match asked.replace(asked.get() + 1) {
        0 | 1 => Err(refused("closed", "come back later")),
        _ => Ok(json!(null)),
    };
    given(saga).commands("desk", desk).when(json!({})).then(
        "take done
         pay refused broke
         undo take sends give-back to desk/D1
         undo take waits for the answer
         undo take transient closed
         undo take sends give-back to desk/D1
         undo take waits for the answer
         undo take transient closed
         undo take sends give-back to desk/D1
         undo take waits for the answer
         undo take done
         compensated broke",
    );
}

#[test]
fn a_command_for_another_revision_is_refused() {
    let pay = |expected: u64| {
        one_step(move |_, call: &Call| {
            let Some(amends_sdk::Arrival::Answer(answer)) = call.arrived() else {
                let command = call.send_at(account().to("A"), "pay", &json!({"cents": 5}), expected)?;
                return Err(Stop::Wait(Wait::answer(command)));
            };
            match answer {
                amends_sdk::Decided::Accepted(answered) => Ok(answered.revision),
                amends_sdk::Decided::Refused(failure) => Err(Stop::Refused(failure)),
            }
        })
    };
    let with_one = || given(account()).id("A").events([Did::Paid { cents: 2 }]);
    assert_eq!(given(pay(1)).with(with_one()).when(json!({})).output::<u64>(), 2);
    let refused = given(pay(7)).with(with_one()).when(json!({}));
    assert_eq!(refused.failure().unwrap().code, "revision_changed");
    assert_eq!(refused.state(account(), "A"), 2);
    given(pay(7)).commands("account", |sent| Ok(json!(sent.expect_revision()))).when(json!({}));
}

/// An answer counted as a passed moment, and any arrival as the end of a sleep: a step that asks in its first attempt and waits for
/// something else in the next one went on at once.
#[test]
fn a_wait_is_over_by_what_it_waits_for_and_nothing_else() {
    let run = |then: fn(&Call) -> Result<bool>, first: fn(&Call) -> Result| -> Run {
        let step = move |_: Value, call: &Call| if call.attempt() == 1 { first(call).map(|()| true) } else { then(call) };
        given(one_step(step)).commands("desk", |_| Ok(json!(null))).when(json!({}))
    };
    let asks = |call: &Call| call.ask::<Value>(To::new("desk", "D1"), "open", &1).map(drop);
    fn until() -> amends_sdk::Moment {
        context::now() + Duration::from_secs(60)
    }
    let code = |run: Run| {
        let trace = run.to_string();
        let (_, code) = trace.rsplit_once("a transient ").unwrap_or(("", &trace));
        code.split_whitespace().next().unwrap_or_default().to_owned()
    };
    assert_eq!(code(run(|call| call.event("go", "1").map(|_| true), asks)), "unexpected_answer");
    assert_eq!(code(run(|call| Ok(call.event_until("go", "1", until())?.is_none()), asks)), "unexpected_answer");
    assert_eq!(code(run(|call| call.sleep(Duration::from_secs(60)).map(|()| true), asks)), "unexpected_answer");
    let waits = |call: &Call| call.event("go", "1").map(drop);
    let woken = run(|call| call.sleep(Duration::from_secs(60)).map(|()| true), waits).event("go", "1", 1);
    assert_eq!(code(woken), "unexpected_event");
    let sleeps = |call: &Call| call.sleep(Duration::from_secs(60));
    let late = |then: fn(&Call) -> Result<bool>| code(run(then, sleeps).advance(Duration::from_secs(60)));
    assert_eq!(late(|call| call.event("go", "1").map(|_| true)), "unexpected_timer");
    assert_eq!(late(|call| call.ask::<Value>(To::new("desk", "D1"), "open", &1).map(|_| true)), "unexpected_timer");
}

/// What the kit says when a step does this.
fn panic_of(sends: impl Fn(&Call) -> Result + 'static) -> String {
    let run = || {
        let saga = one_step(move |_, call: &Call| sends(call));
        given(saga).with(account()).commands("desk", |_| Ok(json!(null))).when(json!({})).to_string()
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(trace) => trace,
        Err(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_default(),
    }
}

/// A test was green, and in the host the call ended, or the event was nowhere.
#[test]
fn the_kit_stops_at_the_messages_that_the_host_does_not_take() {
    let sends = |aggregate: &'static str, id: &'static str, name: &'static str| {
        panic_of(move |call| call.send(To::new(aggregate, id), name, &json!(null)).map(drop))
    };
    assert_eq!(sends("desk", "D1", "open"), "a sends open to desk/D1\na done\ncompleted");
    for id in ["", "a/b", ".", "..", "a\u{202e}b", "\n"] {
        assert_eq!(
            sends("desk", id, "open"),
            format!("step a sends open to a desk of the id {id:?}, which no aggregate can have")
        );
    }
    let no_name = "is not of the form [a-z][a-z0-9-]{0,62}";
    assert_eq!(
        sends("Desk", "D1", "open"),
        format!("step a sends a command to Desk D1; as an aggregate, the name \"Desk\" {no_name}")
    );
    assert_eq!(
        sends("desk", "D1", "open it"),
        format!("step a sends a command to desk D1; as a command, the name \"open it\" {no_name}")
    );

    let publishes = |event_type: String, key: String| panic_of(move |call| call.publish(&event_type, &key, &json!(null)));
    assert_eq!(
        publishes("opened".into(), "k".repeat(1024)),
        format!("a publishes opened/{}\na done\ncompleted", "k".repeat(1024))
    );
    for no_type in ["".to_owned(), "a\u{2066}b".to_owned(), "x".repeat(256)] {
        let said = format!("step a publishes an event of the type {no_type:?}, which none can have");
        assert_eq!(publishes(no_type, "1".into()), said);
    }
    for no_key in ["a\nb".to_owned(), "k".repeat(1025)] {
        let said = format!("step a publishes opened with the key {no_key:?}, which no event can have");
        assert_eq!(publishes("opened".into(), no_key), said);
    }
    for owned in ["account.paid", "account.else", "desk.opened"] {
        let said = format!("step a publishes {owned}, which only an aggregate records; give the event another type");
        assert_eq!(publishes(owned.into(), "1".into()), said);
    }

    let many = |count: usize| panic_of(move |call| (0..count).try_for_each(|_| call.publish("opened", "1", &1)));
    assert!(many(64).ends_with("a done\ncompleted"));
    assert_eq!(many(65), "step a sends more than 64 messages in one attempt");
    let much = |bytes: usize| {
        panic_of(move |call| {
            call.send(To::new("desk", "D1"), "open", &"x".repeat(bytes / 2 - 2))?;
            call.publish("opened", "1", &"x".repeat(bytes / 2 - 2))
        })
    };
    assert!(much(1 << 20).ends_with("a done\ncompleted"));
    assert_eq!(much((1 << 20) + 2), "step a sends 1048578 bytes in one attempt; at most 1048576");
}
