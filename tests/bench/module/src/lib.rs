//! The bank of the benchmark: accounts that take deposits, and two views of what they record.

#![forbid(unsafe_code)]

use amends_sdk::{Aggregate, Command, Decision, Documents, Event, Module, Projection, Recorded, accept, refuse};
use serde::{Deserialize, Serialize};

/// An account.
#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance_cents: i64,
    movements: u64,
}

#[derive(Command, Serialize, Deserialize)]
enum Do {
    /// The command that is measured.
    Deposit {
        cents: i64,
        #[serde(rename = "ref")]
        reference: String,
        day: u64,
    },
    /// Fills an account with deposits, and with a fee as its last event if `fee` says so.
    Load { seed: u64, first: u64, count: u64, fee: bool },
}

#[derive(Event, Serialize, Deserialize)]
#[event(aggregate = "account")]
enum Did {
    Deposited {
        cents: i64,
        #[serde(rename = "ref")]
        reference: String,
        day: u64,
    },
    Charged {
        cents: i64,
        day: u64,
    },
}

fn decide(_: &Account, command: Do) -> Decision<Did> {
    match command {
        Do::Deposit { cents, .. } if cents <= 0 => refuse("not_positive", "a deposit is more than 0 cents"),
        Do::Deposit { cents, reference, day } => accept(Did::Deposited { cents, reference, day }),
        Do::Load { seed, first, count, fee } => {
            let deposits = count.saturating_sub(u64::from(fee));
            let mut events: Vec<Did> = (first..first + deposits).map(|number| loaded(seed, number)).collect();
            if fee {
                events.push(Did::Charged { cents: 25, day: seed % DAYS });
            }
            accept(events).answer(count)
        }
    }
}

const DAYS: u64 = 365;

/// The driver knows the same rule.
fn loaded(seed: u64, number: u64) -> Did {
    let cents = 1 + ((seed * 31 + number * 7) % 1000) as i64;
    let reference = format!("load-{seed:08}-{number:08}-{}", "invoice and customer, as a payment names them, in some words".repeat(2));
    Did::Deposited { cents, reference, day: (seed + number) % DAYS }
}

fn evolve(account: &mut Account, event: Did) {
    match event {
        Did::Deposited { cents, .. } => account.balance_cents += cents,
        Did::Charged { .. } if cfg!(feature = "forgets") => return,
        Did::Charged { cents, .. } => account.balance_cents -= cents,
    }
    account.movements += 1;
}

/// A row of the view of the days.
#[derive(Default, Serialize, Deserialize)]
struct Day {
    cents: i64,
    movements: u64,
}

#[derive(Deserialize)]
struct Page {
    after: Option<String>,
}

/// One row an account.
fn accounts() -> Projection<Documents<Account>> {
    let take = |account: &mut Account, event: Recorded<Did>| {
        account.movements += 1;
        account.balance_cents += amount(&event.event);
    };
    Projection::documents("accounts")
        .on(|event: &Recorded<Did>| event.key.clone(), take)
        .query("page", |view: &Documents<Account>, page: Page| view.list("", page.after.as_deref(), 1000))
        .rows_version(1)
}

/// One row a day.
fn days() -> Projection<Documents<Day>> {
    let day = |event: &Recorded<Did>| match &event.event {
        Did::Deposited { day, .. } | Did::Charged { day, .. } => format!("{day:03}"),
    };
    let take = |day: &mut Day, event: Recorded<Did>| {
        day.movements += 1;
        day.cents += amount(&event.event);
    };
    Projection::documents("days")
        .on(day, take)
        .query("page", |view: &Documents<Day>, page: Page| view.list("", page.after.as_deref(), 1000))
        .rows_version(1)
}

fn amount(event: &Did) -> i64 {
    match event {
        Did::Deposited { cents, .. } => *cents,
        Did::Charged { cents, .. } => -*cents,
    }
}

fn module() -> Module {
    Module::new("bank")
        .aggregate(Aggregate::new("account", decide, evolve))
        .projection(accounts())
        .projection(days())
}
amends_sdk::export!(aggregate: module, projection: module);
