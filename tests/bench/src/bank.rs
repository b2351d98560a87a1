//! The domain, as the peers run it: the same decisions as those of the module for Amends. Also the rule by which accounts are filled.

use serde::{Deserialize, Serialize};

pub const ACCOUNTS: u64 = 10_000;
pub const DAYS: u64 = 365;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    pub balance_cents: i64,
    pub movements: u64,
}

#[derive(Debug, Deserialize)]
pub struct Deposit {
    pub cents: i64,
    #[serde(rename = "ref")]
    pub reference: String,
    pub day: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deposited {
    pub cents: i64,
    #[serde(rename = "ref")]
    pub reference: String,
    pub day: u64,
}

#[derive(Debug)]
pub struct NotPositive;

pub fn decide(_: &Account, Deposit { cents, reference, day }: Deposit) -> Result<Deposited, NotPositive> {
    if cents <= 0 { Err(NotPositive) } else { Ok(Deposited { cents, reference, day }) }
}

impl Account {
    pub fn take(&mut self, event: &Deposited) {
        self.balance_cents += event.cents;
        self.movements += 1;
    }
}

pub fn id(account: u64) -> String {
    format!("A{account:05}")
}

/// The cents and the day of an account's event, from 0 on, with which it is filled before anything is measured.
pub fn loaded(seed: u64, number: u64) -> (i64, u64) {
    (1 + ((seed * 31 + number * 7) % 1000) as i64, (seed + number) % DAYS)
}

pub fn filled(seed: u64, events: u64) -> i64 {
    (0..events).map(|number| loaded(seed, number).0).sum()
}

/// What an account's last event takes, if it has a fee: in the 1,000,000 events, every tenth account.
pub const FEE_CENTS: i64 = 25;

pub fn has_fee(account: u64) -> bool {
    account % 10 == 0
}

/// The text that makes an event about 200 bytes long.
pub const WORDS: &str =
    "invoice and customer, as a payment names them, in some wordsinvoice and customer, as a payment names them, in some words";
