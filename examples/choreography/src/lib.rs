//! Orders take credit of their customers, and nobody conducts them: three policies over the aggregates of the module `credit`,
//! each of which knows one event and what follows from it.

#![forbid(unsafe_code)]

pub mod customer;
pub mod order;
#[cfg(test)]
mod tests;

use amends_sdk::{AnswerTo, Decided, Keeping, Module, Policy, Reaction, Recorded, Result, Stateless, Stop};
use serde::{Deserialize, Serialize};

/// An order that was made asks its customer for credit. Without it, it is rejected.
///
/// The key is that of the event, the order's id, so that the answer comes with it.
pub fn credit_on_order() -> Policy<Stateless> {
    Policy::stateless("credit-on-order")
        .on("order.created", reserve)
        .on_answer(reject)
        .sends(["customer.reserve-credit", "order.reject"])
}

/// An order that has credit is approved.
pub fn approve_on_credit() -> Policy<Stateless> {
    Policy::stateless("approve-on-credit")
        .on("customer.credit-reserved", approve)
        .by("/order")
        .on_answer(unless_it_has_moved_on)
        .sends("order.approve")
}

/// An order that is cancelled gives its credit back. Its event does not say to whom, so the policy keeps that of each order with
/// credit.
pub fn release_on_cancel() -> Policy<Keeping<Credit>> {
    Policy::keeping("release-on-cancel")
        .starts_or_continues_on("customer.credit-reserved", keep)
        .by("/order")
        .on("order.cancelled", release)
        .sends("customer.release-credit")
}

/// The module.
pub fn module() -> Module {
    Module::new("choreography").policy(credit_on_order()).policy(approve_on_credit()).policy(release_on_cancel())
}
amends_sdk::export!(policy: module);

/// Whose credit an order has.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    customer: String,
}

fn reserve(event: Recorded<order::Did>, reaction: &mut Reaction) {
    if let order::Did::Created { customer, total_cents } = event.event {
        reaction.send(customer, customer::Do::ReserveCredit { order: event.key, cents: total_cents });
    }
}

/// The order reads the code of the refusal as a reason of its own.
fn reject(answer: AnswerTo, reaction: &mut Reaction) -> Result {
    match answer.answer {
        Decided::Refused(failure) if answer.name == "reserve-credit" => {
            reaction.send(reaction.key(), order::Do::Reject { reason: failure.code });
            Ok(())
        }
        decided => accepted_or_late(decided),
    }
}

fn approve(event: Recorded<customer::Did>, reaction: &mut Reaction) {
    let customer::Did::CreditReserved { order } = event.event;
    reaction.send(order, order::Do::Approve);
}

fn unless_it_has_moved_on(answer: AnswerTo, _: &mut Reaction) -> Result {
    accepted_or_late(answer.answer)
}

/// A copy of an event may come when the order is cancelled already: then there is nothing to do. What an order refuses for
/// another reason is for an operator.
fn accepted_or_late(decided: Decided) -> Result {
    match decided {
        Decided::Accepted(_) => Ok(()),
        Decided::Refused(failure) if failure.code == "not_pending" => Ok(()),
        Decided::Refused(failure) => Err(Stop::Refused(failure)),
    }
}

fn keep(credit: &mut Credit, event: Recorded<customer::Did>, _: &mut Reaction) {
    credit.customer = event.key;
}

fn release(credit: &mut Credit, event: Recorded<order::Did>, reaction: &mut Reaction) {
    reaction.send(&credit.customer, customer::Do::ReleaseCredit { order: event.key });
    reaction.end();
}
