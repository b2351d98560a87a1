//! An order in two steps: goods are reserved, then the customer pays.
//!
//! If the customer cannot pay, the goods are released. If the host dies in between, the saga goes
//! on where it was.

#![forbid(unsafe_code)]

use amends_sdk::{Call, Module, Result, Saga, Step, log, refused};
use serde::{Deserialize, Serialize};

/// What a saga is started with. Every step gets it, unchanged.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Order {
    /// What to buy.
    pub item: String,
    /// How many.
    pub quantity: u32,
    /// What the customer can pay, in cents.
    pub wallet_cents: u64,
}

impl Default for Order {
    fn default() -> Order {
        Order { item: "tea".to_owned(), quantity: 2, wallet_cents: 2000 }
    }
}

/// What `reserve` returns. The host writes it down, for the steps that need it and for the undo.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reservation {
    /// Its number.
    pub id: String,
    /// What it costs, in cents.
    pub price_cents: u64,
}

/// What `charge` returns. It is the last step, so this is the output of the saga.
#[derive(Debug, Serialize, Deserialize)]
pub struct Receipt {
    /// What was bought.
    pub item: String,
    /// How many.
    pub quantity: u32,
    /// What it cost, in cents.
    pub paid_cents: u64,
    /// The number of the reservation.
    pub reservation: String,
}

/// The saga. First come steps that can be undone, then at most one pivot, the point of no return.
/// What must happen after that would follow as `Step::retriable`: it is tried until it is done.
pub fn saga() -> Saga<Order> {
    Saga::new("my-module")
        .step(
            Step::compensatable("reserve", reserve).effect_free().undo(release).undo_effect_free(),
        )
        .step(Step::pivot("charge", charge).effect_free().needs(["reserve"]))
}

/// What this component contains.
pub fn module() -> Module {
    Module::new("my-module").saga(saga())
}
amends_sdk::export!(saga: module);

/// A refusal is a decision of the business: the step is not tried again, and what was done before
/// it is undone. What fails by accident is tried again.
///
/// This step reaches nowhere, and says so with `effect_free`; its undo with `undo_effect_free`. A
/// step that asks somebody leaves both out, and calls
/// `http::post("http://127.0.0.1:9000/holds").json(&order).send()?.ok()?.json()?`. It may do so
/// once that is granted: `amends grant my-module --http http://127.0.0.1:9000`.
fn reserve(order: Order, call: &Call) -> Result<Reservation> {
    if order.quantity > 10 {
        let message = format_args!("there are not {} of {}", order.quantity, order.item);
        return Err(refused("out_of_stock", message));
    }
    let id = format!("R-{}", call.saga());
    Ok(Reservation { id, price_cents: 500 * u64::from(order.quantity) })
}

/// Undoes `reserve` by a new action. There is no reservation if nobody knows whether `reserve`
/// happened, as when its answer was lost; an undo must bear that.
fn release(order: Order, reservation: Option<Reservation>, _: &Call) -> Result {
    let id = reservation.map_or_else(|| "no reservation".to_owned(), |reservation| reservation.id);
    log::info!("released {id}: {} of {}", order.quantity, order.item);
    Ok(())
}

/// Runs with the output of `reserve`, which it declared that it needs.
fn charge(order: Order, call: &Call) -> Result<Receipt> {
    let reservation: Reservation = call.output("reserve")?;
    let price_cents = reservation.price_cents;
    if price_cents > order.wallet_cents {
        let message = format_args!("{price_cents} cents are more than {}", order.wallet_cents);
        return Err(refused("no_funds", message));
    }
    Ok(Receipt {
        item: order.item,
        quantity: order.quantity,
        paid_cents: price_cents,
        reservation: reservation.id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use amends_sdk::testing::given;
    use serde_json::json;

    #[test]
    fn an_order_is_reserved_and_paid() {
        let run = given(saga()).id("o-1").when(json!({"item": "tea", "quantity": 3})).then(
            "reserve done
             charge done
             completed",
        );
        let receipt: Receipt = run.output();
        assert_eq!((receipt.reservation.as_str(), receipt.paid_cents), ("R-o-1", 1500));
    }

    #[test]
    fn the_goods_are_released_if_the_customer_cannot_pay() {
        given(saga()).when(json!({"quantity": 3, "wallet_cents": 1000})).then(
            "reserve done
             charge refused no_funds
             undo reserve done
             compensated no_funds",
        );
    }

    #[test]
    fn a_step_that_refused_is_not_undone() {
        given(saga()).when(json!({"quantity": 11})).then(
            "reserve refused out_of_stock
             compensated out_of_stock",
        );
    }
}
