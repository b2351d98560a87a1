//! Money from one account to another: debited, in transit, credited; or put back where it came from.
//!
//! No transaction spans the two accounts, so there is a time in which the money is on neither. The bank's books show it as in
//! transit, and all accounts and what is in transit come to the same sum at every instant.

#![forbid(unsafe_code)]

#[cfg(test)]
mod tests;

use amends_sdk::{Call, Module, Result, Saga, Step, http, refused};
use serde::{Deserialize, Serialize};

/// The version that outputs and requests name.
pub const VERSION: u32 = 1;

/// What to transfer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Transfer {
    /// Where the participants are: `http://127.0.0.1:8430`.
    pub participants: String,
    /// The account that pays.
    pub from: String,
    /// The account that is paid.
    pub to: String,
    /// How much.
    pub amount_cents: u64,
    /// Where the receipt goes.
    #[serde(default = "owner")]
    pub email: String,
}

/// A transfer that arrived; the saga's output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The saga's id.
    pub transfer: String,
    /// The account that paid.
    pub from: String,
    /// The account that was paid.
    pub to: String,
    /// How much.
    pub amount_cents: u64,
    /// The version of the module that did it.
    pub version: u32,
}

/// The module.
pub fn module() -> Module {
    Module::new("transfer").saga(transfer())
}
amends_sdk::export!(saga: module);

/// Debit, credit, receipt. Transfers that share an account take turns, and two in opposite directions do not wait for each other:
/// a transfer takes both accounts at once or none. Whoever publishes `transfer.requested` starts one.
pub fn transfer() -> Saga<Transfer> {
    Saga::new("transfer")
        .version(VERSION)
        .started_by("transfer.requested")
        .lock("account", "/from")
        .lock("account", "/to")
        .step(Step::compensatable("debit", debit).undo(put_back))
        .step(Step::pivot("credit", credit).undo(take_back))
        .step(Step::retriable("send-receipt", send_receipt))
        .output("credit")
}

/// From here on the money is in transit.
fn debit(transfer: Transfer, call: &Call) -> Result {
    if transfer.from == transfer.to {
        return Err(refused("same_account", format_args!("{} would pay itself", transfer.from)));
    }
    Ask::new(&transfer, call).send(&format!("accounts/{}/debit", transfer.from))
}

/// Also when the debit only may have happened: if it did not, the account refuses it should it still come.
fn put_back(transfer: Transfer, _: Option<()>, call: &Call) -> Result {
    Ask::new(&transfer, call).send(&format!("accounts/{}/reverse", transfer.from))
}

/// A credit that may have happened is asked for again until the answer is known: to put the money back then could pay twice.
fn credit(transfer: Transfer, call: &Call) -> Result<Receipt> {
    Ask::new(&transfer, call).send(&format!("accounts/{}/credit", transfer.to))?;
    let Transfer { from, to, amount_cents, .. } = transfer;
    Ok(Receipt { transfer: call.saga().to_owned(), from, to, amount_cents, version: VERSION })
}

/// For a credit that may have happened and is refused in the end: before the money goes back, it is made sure that it is not
/// there.
fn take_back(transfer: Transfer, _: Option<Receipt>, call: &Call) -> Result {
    Ask::new(&transfer, call).send(&format!("accounts/{}/reverse", transfer.to))
}

fn send_receipt(transfer: Transfer, call: &Call) -> Result {
    Ask::new(&transfer, call).send(&format!("emails/{}/send", call.saga()))
}

/// What is asked of a participant. It takes hold once for a transfer and a step.
#[derive(Serialize)]
struct Ask<'a> {
    transfer: &'a str,
    step: &'a str,
    amount_cents: u64,
    by: String,
    to: &'a str,
    subject: String,
    #[serde(skip)]
    participants: &'a str,
}

impl<'a> Ask<'a> {
    fn new(transfer: &'a Transfer, call: &'a Call) -> Ask<'a> {
        let Transfer { participants, amount_cents, email, .. } = transfer;
        let by = format!("transfer {VERSION}");
        let subject = format!("{amount_cents} cents went from {} to {}", transfer.from, transfer.to);
        Ask { transfer: call.saga(), step: call.step(), amount_cents: *amount_cents, by, to: email, subject, participants }
    }

    /// Asks the participant at `path`. A 409 is its refusal, with its own code.
    fn send(self, path: &str) -> Result {
        http::post(format!("{}/{path}", self.participants)).json(&self).send()?.ok()?;
        Ok(())
    }
}

fn owner() -> String {
    "owner@example.org".to_owned()
}
