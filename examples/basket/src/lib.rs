//! A basket becomes an order, and an order is confirmed when its customer has had an hour to cancel it: sagas over the aggregates of
//! the module `credit`, which they know by name.

#![forbid(unsafe_code)]

use std::time::Duration;

use amends_sdk::{Call, Module, Result, Saga, Step, To, context, refused};
use serde::{Deserialize, Serialize};

/// How long an order can be cancelled before it is confirmed.
pub const GRACE: Duration = Duration::from_secs(3600);

/// What a customer wants.
#[derive(Debug, Serialize, Deserialize)]
pub struct Basket {
    /// The id of the order to be made.
    pub order: String,
    /// The customer's id.
    pub customer: String,
    /// What is in it.
    pub lines: Vec<Line>,
}

/// One article of a basket.
#[derive(Debug, Serialize, Deserialize)]
pub struct Line {
    /// What one costs.
    pub cents: u64,
    /// How many.
    pub count: u64,
}

/// An order as it is asked for; the output of `price`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Priced {
    /// The customer's id.
    pub customer: String,
    /// The order's id.
    pub order: String,
    /// What it costs.
    pub total_cents: u64,
}

/// An aggregate's event, as a saga that it starts has it for its input.
#[derive(Debug, Serialize, Deserialize)]
pub struct Approved {
    /// The order's id.
    pub key: String,
}

/// The output of `grace`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confirmation {
    /// Nobody cancelled it in time.
    Confirmed,
    /// The customer cancels it.
    Cancelled,
}

/// The saga that makes an order of a basket.
pub fn checkout() -> Saga<Basket> {
    Saga::new("checkout")
        .step(Step::compensatable("price", price).effect_free().undo(reject).undo_effect_free())
        .step(
            Step::pivot_command("reserve", amends_sdk::At::new("customer", "/input/customer"), "reserve-credit")
                .data("/outputs/price"),
        )
        .step(Step::retriable_command("approve", amends_sdk::At::new("order", "/input/order"), "approve"))
        .output("price")
}

/// The saga that confirms an order.
pub fn grace() -> Saga<Approved> {
    Saga::new("grace").started_by("order.approved").step(Step::pivot("confirm", confirm).effect_free())
}

/// The module.
pub fn module() -> Module {
    Module::new("basket").saga(checkout()).saga(grace())
}
amends_sdk::export!(saga: module);

fn price(basket: Basket, call: &Call) -> Result<Priced> {
    let cents = basket.lines.iter().try_fold(0_u64, |sum, line| sum.checked_add(line.cents.checked_mul(line.count)?));
    let total_cents =
        cents.filter(|cents| *cents > 0).ok_or_else(|| refused("bad_total", "the basket costs nothing, or too much"))?;
    let priced = Priced { customer: basket.customer, order: basket.order, total_cents };
    call.ask::<Option<()>>(To::new("order", &priced.order), "create", &priced)?;
    Ok(priced)
}

/// The order reads the code for which the saga rolls back as a reason of its own.
fn reject(basket: Basket, _: Option<Priced>, call: &Call) -> Result {
    let reason = call.rollback_cause().map(|cause| cause.code().to_owned()).unwrap_or_default();
    call.send(To::new("order", basket.order), "reject", &Rejection { reason }).map(drop)
}

#[derive(Serialize)]
struct Rejection {
    reason: String,
}

fn confirm(approved: Approved, call: &Call) -> Result<Confirmation> {
    if call.event_until("order.cancel-begun", &approved.key, context::now() + GRACE)?.is_some() {
        return Ok(Confirmation::Cancelled);
    }
    call.publish("confirmation", &approved.key, &Confirmation::Confirmed)?;
    Ok(Confirmation::Confirmed)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use amends_sdk::testing::{Given, Sent, given};
    use serde_json::json;

    use super::*;

    fn basket(cents: u64) -> Basket {
        Basket { order: "O1".to_owned(), customer: "C1".to_owned(), lines: vec![Line { cents, count: 3 }] }
    }

    /// A shop whose customer has 10.00.
    fn shop() -> Given {
        shop_that_hears(|_| {})
    }

    /// The same; `heard` is told why an order is rejected.
    fn shop_that_hears(heard: impl Fn(&str) + 'static) -> Given {
        let order = move |sent: &Sent| {
            if sent.name() == "reject" {
                heard(sent.data()["reason"].as_str().unwrap_or_default());
            }
            Ok(json!(null))
        };
        given(checkout()).commands("order", order).commands("customer", |sent| match sent.data()["total_cents"].as_u64() {
            Some(0..=1000) => Ok(json!(null)),
            Some(9999) => Err(refused("no_such_aggregate", "there is no customer C1")),
            _ => Err(refused("credit_limit_exceeded", "10.00 are left")),
        })
    }

    #[test]
    fn a_basket_becomes_an_order_at_its_price() {
        let run = shop().when(basket(250)).then(
            "price sends create to order/O1
             price waits for the answer
             price done
             reserve done
             approve done
             completed",
        );
        assert_eq!(run.output::<Priced>().total_cents, 750);
    }

    #[test]
    fn an_order_that_its_customer_cannot_pay_is_rejected() {
        shop().when(basket(500)).then(
            "price sends create to order/O1
             price waits for the answer
             price done
             reserve refused credit_limit_exceeded
             undo price sends reject to order/O1
             undo price done
             compensated credit_limit_exceeded",
        );
    }

    /// The compensation said `insufficient_credit`, whatever had happened, because it did not ask why it ran.
    #[test]
    fn an_order_is_rejected_for_what_its_saga_rolls_back_for() {
        for (cents, code) in [(500, "credit_limit_exceeded"), (3333, "no_such_aggregate")] {
            let said = Rc::new(RefCell::new(String::new()));
            let heard = said.clone();
            let run = shop_that_hears(move |reason| reason.clone_into(&mut heard.borrow_mut())).when(basket(cents));
            assert_eq!((said.take().as_str(), run.failure().map(|failure| failure.code).as_deref()), (code, Some(code)));
        }
    }

    #[test]
    fn what_the_order_refuses_is_refused() {
        let saga = given(checkout()).commands("order", |_| Err(refused("exists", "there is one")));
        saga.when(basket(1)).then(
            "price sends create to order/O1
             price waits for the answer
             price refused exists
             compensated exists",
        );
        shop().when(basket(0)).then("price refused bad_total\n compensated bad_total");
    }

    #[test]
    fn an_order_is_confirmed_after_an_hour_unless_it_is_cancelled() {
        let approved =
            || given(grace()).when(json!({"key": "O1"})).then("confirm waits for event order.cancel-begun/O1 until +1h");
        approved().advance(GRACE).then("confirm publishes confirmation/O1\n confirm done\n completed");
        approved().event("order.cancel-begun", "O1", json!(null)).then("confirm done\n completed");
    }
}
