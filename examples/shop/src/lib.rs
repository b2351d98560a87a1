//! An order that is reserved, confirmed by the customer and charged. The first version has a mistake in the compensation of
//! `reserve`: a reservation whose number is not decimal is never released, and its saga is stuck. The second version has not.

#![forbid(unsafe_code)]

#[cfg(not(feature = "v2"))]
use amends_sdk::transient;
use amends_sdk::{Call, Module, Result, Retry, Saga, Step, log, refused};
use serde::{Deserialize, Serialize};

/// The version that the outputs name.
pub const VERSION: u32 = if cfg!(feature = "v2") { 2 } else { 1 };

/// What to buy. Every field may be missing.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Order {
    /// How many.
    pub quantity: u32,
    /// What the customer can pay, in cents.
    pub wallet_cents: u64,
}

impl Default for Order {
    fn default() -> Order {
        Order { quantity: 2, wallet_cents: 2000 }
    }
}

/// The goods that are kept for an order; the output of `reserve`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reservation {
    /// The number of the reservation.
    pub id: String,
    /// What the goods cost, in cents.
    pub price_cents: u64,
}

/// The output of the saga.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The number of the reservation.
    pub reservation: String,
    /// What was paid, in cents.
    pub paid_cents: u64,
    /// The version of the module that made this.
    pub version: u32,
}

/// The saga.
pub fn shop() -> Saga<Order> {
    Saga::new("shop")
        .version(VERSION)
        .step(
            Step::compensatable("reserve", reserve).effect_free().undo(release).undo_effect_free().undo_retry(Retry::attempts(3)),
        )
        .step(Step::compensatable("confirm", confirm).effect_free().undo_nothing())
        .step(Step::pivot("charge", charge).effect_free().needs(["reserve"]))
}

/// The module.
pub fn module() -> Module {
    Module::new("shop").saga(shop())
}
amends_sdk::export!(saga: module);

fn reserve(order: Order, call: &Call) -> Result<Reservation> {
    Ok(Reservation { id: format!("R-{}", call.saga()), price_cents: 500 * u64::from(order.quantity) })
}

#[cfg(not(feature = "v2"))]
fn release(order: Order, reservation: Option<Reservation>, _: &Call) -> Result {
    let id = reservation.map_or_else(|| "R-0".to_owned(), |reservation| reservation.id);
    // The mistake: an id is any text.
    let number: u64 = id["R-".len()..].parse().map_err(|error| transient("bad_number", format_args!("{id}: {error}")))?;
    log::info!("released reservation {number} of {}", order.quantity);
    Ok(())
}

#[cfg(feature = "v2")]
fn release(order: Order, reservation: Option<Reservation>, _: &Call) -> Result {
    let id = reservation.map_or_else(|| "R-0".to_owned(), |reservation| reservation.id);
    log::info!("released reservation {id} of {}", order.quantity);
    Ok(())
}

/// Waits for the signal `confirmed`.
fn confirm(_: Order, call: &Call) -> Result {
    call.event("confirmed", call.saga()).map(drop)
}

fn charge(order: Order, call: &Call) -> Result<Receipt> {
    let reservation: Reservation = call.output("reserve")?;
    if reservation.price_cents > order.wallet_cents {
        let message = format_args!("{} cents are more than {}", reservation.price_cents, order.wallet_cents);
        return Err(refused("no_funds", message));
    }
    Ok(Receipt { reservation: reservation.id, paid_cents: reservation.price_cents, version: VERSION })
}

#[cfg(test)]
mod tests {
    use super::*;
    use amends_sdk::testing::given;
    use serde_json::json;

    #[test]
    fn a_confirmed_order_is_charged() {
        let run = given(shop()).id("7").when(json!({})).event("confirmed", "7", json!({})).then(
            "reserve done
             confirm waits for event confirmed/7
             confirm done
             charge done
             completed",
        );
        assert_eq!(run.output::<Receipt>(), Receipt { reservation: "R-7".to_owned(), paid_cents: 1000, version: VERSION });
    }

    #[test]
    fn a_customer_without_money_gets_the_goods_released() {
        given(shop()).id("7").when(json!({"wallet_cents": 1})).event("confirmed", "7", json!({})).then(
            "reserve done
             confirm waits for event confirmed/7
             confirm done
             charge refused no_funds
             undo reserve done
             compensated no_funds",
        );
    }

    #[cfg(not(feature = "v2"))]
    #[test]
    fn the_first_version_is_stuck_with_a_reservation_whose_number_is_not_decimal() {
        given(shop()).id("7b").when(json!({"wallet_cents": 1})).event("confirmed", "7b", json!({})).then(
            "reserve done
             confirm waits for event confirmed/7b
             confirm done
             charge refused no_funds
             undo reserve transient bad_number ×3
             stuck at undo reserve: bad_number",
        );
    }

    #[cfg(feature = "v2")]
    #[test]
    fn the_second_version_releases_a_reservation_of_any_number() {
        given(shop()).id("7b").when(json!({"wallet_cents": 1})).event("confirmed", "7b", json!({})).then(
            "reserve done
             confirm waits for event confirmed/7b
             confirm done
             charge refused no_funds
             undo reserve done
             compensated no_funds",
        );
    }
}
