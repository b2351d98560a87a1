//! An account, and a view of all accounts.
//!
//! A command is decided on the state that the events so far have made. What is decided is recorded
//! as further events, which never change; the view is built of them.

#![forbid(unsafe_code)]

use amends_sdk::{
    Aggregate, Command, Decision, Documents, Event, Module, Projection, Recorded, accept, nothing,
    refuse,
};
use serde::{Deserialize, Serialize};

/// The state: everything that a decision needs to know. It is never stored but as a copy; the
/// events are the truth.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Account {
    balance_cents: u64,
    is_closed: bool,
}

/// What an account can be asked to do, as JSON: `deposit` with `{"cents": 500}`.
#[derive(Command, Serialize, Deserialize)]
pub enum Do {
    /// Only for an account that is not there yet.
    #[command(new)]
    Open { owner: String },
    /// Only for one that is there.
    #[command(existing)]
    Deposit { cents: u64 },
    #[command(existing)]
    Withdraw { cents: u64 },
    #[command(existing)]
    Close,
}

/// What happened to an account. Names are for ever: `names.lock` holds what was released, and a
/// name that vanishes does not compile.
#[derive(Event, Serialize, Deserialize)]
#[event(aggregate = "my-module")]
pub enum Did {
    Opened { owner: String },
    Deposited { cents: u64 },
    Withdrawn { cents: u64 },
    Closed,
}

/// Decides. A refusal records nothing; `nothing()` says that there is nothing to do, as when a
/// command was done before.
fn decide(account: &Account, command: Do) -> Decision<Did> {
    match command {
        Do::Open { owner } => accept(Did::Opened { owner }),
        Do::Close if account.is_closed => nothing(),
        _ if account.is_closed => refuse("closed", "the account is closed"),
        Do::Deposit { cents } => accept(Did::Deposited { cents }),
        Do::Withdraw { cents } if cents > account.balance_cents => {
            refuse("no_funds", format_args!("{} cents are left", account.balance_cents))
        }
        Do::Withdraw { cents } => accept(Did::Withdrawn { cents }),
        Do::Close => accept(Did::Closed),
    }
}

/// Takes an event into the state. It asks for nothing else: it is called again for years.
fn evolve(account: &mut Account, event: Did) {
    match event {
        Did::Opened { .. } => {}
        Did::Deposited { cents } => account.balance_cents += cents,
        Did::Withdrawn { cents } => account.balance_cents -= cents,
        Did::Closed => account.is_closed = true,
    }
}

/// The aggregate.
pub fn account() -> Aggregate<Account, Do, Did> {
    Aggregate::new("my-module", decide, evolve)
}

/// A document of the view `balances`: one for each account.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Balance {
    owner: String,
    cents: u64,
    movements: u64,
}

/// What the query `by-id` is asked.
#[derive(Serialize, Deserialize)]
pub struct ById {
    id: String,
}

/// The view. Another version of it is built aside, and answers once it has read everything.
pub fn balances() -> Projection<Documents<Balance>> {
    Projection::documents("balances")
        .on(|event: &Recorded<Did>| event.key.clone(), take)
        .query("by-id", |view: &Documents<Balance>, of: ById| view.get(&of.id))
}

fn take(balance: &mut Balance, event: Recorded<Did>) {
    match event.event {
        Did::Opened { owner } => balance.owner = owner,
        Did::Deposited { cents } => balance.cents += cents,
        Did::Withdrawn { cents } => balance.cents -= cents,
        Did::Closed => {}
    }
    balance.movements += 1;
}

/// What this component contains.
pub fn module() -> Module {
    Module::new("my-module").aggregate(account()).projection(balances())
}
amends_sdk::export!(aggregate: module, projection: module);

#[cfg(test)]
mod tests {
    use super::*;
    use amends_sdk::testing::given;
    use serde_json::json;

    fn opened() -> Did {
        Did::Opened { owner: "ada".to_owned() }
    }

    #[test]
    fn what_is_there_can_be_withdrawn_and_no_cent_more() {
        given(account())
            .events([opened(), Did::Deposited { cents: 500 }])
            .when(Do::Withdraw { cents: 500 })
            .then(r#"withdrawn {"cents":500}"#)
            .when(Do::Withdraw { cents: 1 })
            .then("refused no_funds");
    }

    #[test]
    fn an_account_is_opened_once_and_before_everything_else() {
        given(account()).when(Do::Deposit { cents: 1 }).then("refused no_such_aggregate");
        given(account())
            .events([opened()])
            .when(Do::Open { owner: "bob".to_owned() })
            .then("refused exists");
    }

    #[test]
    fn the_view_shows_the_balance_of_an_account() {
        given(balances())
            .events("A1", [opened(), Did::Deposited { cents: 500 }, Did::Withdrawn { cents: 20 }])
            .query("by-id", json!({"id": "A1"}))
            .then(r#"{"owner":"ada","cents":480,"movements":3}"#);
    }
}
