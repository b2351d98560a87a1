//! An order in three effect-free steps: reserve credit, reserve stock, charge.
//!
//! It is the saga of the benchmark: each step reads and returns some 200 bytes of JSON. `fail_at` names a step that refuses.

#![forbid(unsafe_code)]

use amends_sdk::{Call, Module, Result, Saga, Step, log, refused};
use serde::{Deserialize, Serialize};

/// The version that the outputs name.
pub const VERSION: u32 = if cfg!(feature = "v2") { 2 } else { 1 };

/// The input. Every field may be missing, and unknown fields are ignored.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Order {
    /// The shop's number for the order.
    pub order_id: String,
    /// The customer.
    pub customer: String,
    /// The article.
    pub sku: String,
    /// The quantity.
    pub qty: u32,
    /// The price, in cents.
    pub amount_cents: u64,
    /// The currency.
    pub currency: String,
    /// The step that refuses.
    pub fail_at: FailAt,
    /// Any text.
    pub note: String,
}

impl Default for Order {
    fn default() -> Order {
        Order {
            order_id: "order-1".to_owned(),
            customer: "ada".to_owned(),
            sku: "sku-7".to_owned(),
            qty: 1,
            amount_cents: 1999,
            currency: "EUR".to_owned(),
            fail_at: FailAt::None,
            note: String::new(),
        }
    }
}

/// A step that refuses, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailAt {
    /// No step refuses.
    #[default]
    None,
    /// There is no credit.
    ReserveCredit,
    /// There is no stock.
    ReserveStock,
    /// The charge is declined.
    Charge,
}

/// Credit that is kept for the order.
#[derive(Debug, Serialize, Deserialize)]
pub struct CreditHold {
    /// The hold's number.
    pub hold: String,
    /// The amount.
    pub amount_cents: u64,
    /// The currency.
    pub currency: String,
}

/// Stock that is kept for the order.
#[derive(Debug, Serialize, Deserialize)]
pub struct StockHold {
    /// The hold's number.
    pub hold: String,
    /// The article.
    pub sku: String,
    /// The quantity.
    pub qty: u32,
}

/// The output of the saga.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The shop's number for the order.
    pub order_id: String,
    /// Who paid.
    pub customer: String,
    /// The amount.
    pub amount_cents: u64,
    /// The currency.
    pub currency: String,
    /// The credit that paid for it.
    pub hold: String,
    /// The version of the module that made this.
    pub version: u32,
}

/// The saga.
pub fn order() -> Saga<Order> {
    Saga::new("order")
        .version(VERSION)
        .step(Step::compensatable("reserve-credit", reserve_credit).effect_free().undo(release_credit).undo_effect_free())
        .step(Step::compensatable("reserve-stock", reserve_stock).effect_free().undo(release_stock).undo_effect_free())
        .step(Step::pivot("charge", charge).effect_free().needs(["reserve-credit"]))
}

/// The module.
pub fn module() -> Module {
    Module::new("order").saga(order())
}
amends_sdk::export!(saga: module);

fn reserve_credit(order: Order, _: &Call) -> Result<CreditHold> {
    if order.fail_at == FailAt::ReserveCredit {
        return Err(refused("no_credit", format_args!("{} has no credit left", order.customer)));
    }
    let hold = format!("credit-{}", order.order_id);
    Ok(CreditHold { hold, amount_cents: order.amount_cents, currency: order.currency })
}

fn release_credit(order: Order, hold: Option<CreditHold>, _: &Call) -> Result {
    log::debug!("released {} for {}", hold.map_or_else(String::new, |hold| hold.hold), order.order_id);
    Ok(())
}

fn reserve_stock(order: Order, _: &Call) -> Result<StockHold> {
    if order.fail_at == FailAt::ReserveStock {
        return Err(refused("no_stock", format_args!("{} is sold out", order.sku)));
    }
    Ok(StockHold { hold: format!("stock-{}", order.order_id), sku: order.sku, qty: order.qty })
}

fn release_stock(order: Order, hold: Option<StockHold>, _: &Call) -> Result {
    log::debug!("put back {} for {}", hold.map_or_else(String::new, |hold| hold.hold), order.order_id);
    Ok(())
}

fn charge(order: Order, call: &Call) -> Result<Receipt> {
    let credit: CreditHold = call.output("reserve-credit")?;
    if order.fail_at == FailAt::Charge {
        return Err(refused("declined", format_args!("the charge of {} cents was declined", order.amount_cents)));
    }
    Ok(Receipt {
        order_id: order.order_id,
        customer: order.customer,
        amount_cents: credit.amount_cents,
        currency: credit.currency,
        hold: credit.hold,
        version: VERSION,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use amends_sdk::testing::{Status, given};
    use serde_json::json;

    #[test]
    fn an_order_is_charged_with_the_credit_that_was_reserved() {
        let run = given(order()).when(json!({"order_id": "o-17", "customer": "ada", "amount_cents": 4200})).then(
            "reserve-credit done
             reserve-stock done
             charge done
             completed",
        );
        let receipt: Receipt = run.output();
        assert_eq!((receipt.hold.as_str(), receipt.amount_cents, receipt.version), ("credit-o-17", 4200, VERSION));
    }

    #[test]
    fn every_field_has_a_default_and_unknown_ones_are_ignored() {
        let receipt: Receipt = given(order()).when(json!({"colour": "blue"})).output();
        assert_eq!((receipt.order_id.as_str(), receipt.amount_cents), ("order-1", 1999));
    }

    #[test]
    fn a_declined_charge_puts_stock_and_credit_back() {
        given(order()).when(json!({"fail_at": "charge"})).then(
            "reserve-credit done
             reserve-stock done
             charge refused declined
             undo reserve-stock done
             undo reserve-credit done
             compensated declined",
        );
    }

    #[test]
    fn a_step_that_refused_is_not_undone() {
        given(order()).when(json!({"fail_at": "reserve-stock"})).then(
            "reserve-credit done
             reserve-stock refused no_stock
             undo reserve-credit done
             compensated no_stock",
        );
    }

    #[test]
    fn an_order_that_makes_no_sense_is_refused() {
        let run = given(order()).when(json!({"qty": "many"}));
        assert_eq!(run.status(), Status::Compensated);
        assert_eq!(run.failure().map(|failure| failure.code), Some("bad_input".to_owned()));
    }
}
