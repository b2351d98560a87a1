//! The view `order-history`: a customer's orders, each as it is now.

use std::collections::BTreeMap;

use amends_sdk::{Documents, Links, Projection, Recorded};
use serde::{Deserialize, Serialize};

use crate::customer;
use crate::order;

/// The document of a customer.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// None if there is no such customer, and somebody ordered for them.
    pub limit_cents: Option<u64>,
    /// By the order's id.
    pub orders: BTreeMap<String, Entry>,
}

/// An order.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What it costs.
    pub total_cents: u64,
    /// How far it has come.
    pub status: Status,
    /// Why it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<order::Reason>,
    /// Whether its customer's credit is reserved for it.
    pub has_credit: bool,
}

/// How far an order has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Its customer's credit is not decided.
    Pending,
    /// Its customer has the credit.
    Approved,
    /// It was refused when it was made.
    Rejected,
    /// Its delivery is being stopped.
    Cancelling,
    /// The customer does not have it any more.
    Cancelled,
}

/// Whose document is asked for.
#[derive(Serialize, Deserialize)]
pub struct ByCustomer {
    /// The customer's id.
    pub customer: String,
}

/// Which order is asked for.
#[derive(Serialize, Deserialize)]
pub struct ByOrder {
    /// The order's id.
    pub order: String,
}

/// The projection. Its rows serve both versions of the module.
pub fn order_history() -> Projection<Documents<History>> {
    Projection::documents("order-history")
        .on(customer_of_order, take_order)
        .on(|event: &Recorded<customer::Did>| event.key.clone(), take_customer)
        .query("by-customer", |view: &Documents<History>, of: ByCustomer| view.get(&of.customer))
        .query("by-order", by_order)
        .rows_version(1)
}

/// Only its creation says whose order it is.
fn customer_of_order(event: &Recorded<order::Did>, orders: &mut Links) -> Option<String> {
    match &event.event {
        order::Did::Created { customer, .. } => {
            orders.put(&event.key, customer);
            Some(customer.clone())
        }
        _ => orders.get(&event.key),
    }
}

fn take_order(history: &mut History, event: Recorded<order::Did>) {
    let (status, reason) = match event.event {
        order::Did::Created { total_cents, .. } => {
            let entry = Entry { total_cents, status: Status::Pending, reason: None, has_credit: false };
            history.orders.insert(event.key, entry);
            return;
        }
        order::Did::Approved | order::Did::Kept => (Status::Approved, None),
        order::Did::Rejected { reason } => (Status::Rejected, Some(reason)),
        order::Did::CancelBegun => (Status::Cancelling, None),
        order::Did::Cancelled => (Status::Cancelled, None),
    };
    if let Some(entry) = history.orders.get_mut(&event.key) {
        (entry.status, entry.reason) = (status, reason);
    }
}

/// An order of which nothing is recorded stays away: somebody reserved credit by hand.
fn take_customer(history: &mut History, event: Recorded<customer::Did>) {
    let (order, has_credit) = match event.event {
        customer::Did::Opened { limit_cents } => {
            history.limit_cents = Some(limit_cents);
            return;
        }
        customer::Did::CreditReserved { order, .. } => (order, true),
        customer::Did::CreditReleased { order } => (order, false),
    };
    if let Some(entry) = history.orders.get_mut(&order) {
        entry.has_credit = has_credit;
    }
}

fn by_order(view: &Documents<History>, of: ByOrder) -> Option<Entry> {
    let customer = view.link(&of.order)?;
    view.get(&customer)?.orders.remove(&of.order)
}

#[cfg(test)]
mod tests {
    use amends_sdk::testing::{Journal, given};
    use serde_json::json;

    use super::*;
    use crate::order::Reason;

    fn created(total_cents: u64) -> order::Did {
        order::Did::Created { customer: "C1".to_owned(), total_cents }
    }

    fn reserved(order: &str, cents: u64) -> customer::Did {
        customer::Did::CreditReserved { order: order.to_owned(), cents }
    }

    /// The customer C1, whose limit is 15.00, and the order O1 for 12.34, which is approved.
    fn c1() -> Journal<Documents<History>> {
        given(order_history())
            .events("C1", [customer::Did::Opened { limit_cents: 1500 }])
            .events("O1", [created(1234)])
            .events("C1", [reserved("O1", 1234)])
            .events("O1", [order::Did::Approved])
    }

    #[test]
    fn co_21_the_history_of_a_customer_shows_orders_and_their_credit() {
        c1().events("O2", [created(500), order::Did::Rejected { reason: Reason::InsufficientCredit }])
            .query("by-customer", json!({"customer": "C1"}))
            .then(concat!(
                r#"{"limit_cents":1500,"orders":{"O1":{"total_cents":1234,"status":"approved","has_credit":true},"#,
                r#""O2":{"total_cents":500,"status":"rejected","reason":"insufficient_credit","has_credit":false}}}"#,
            ));
    }

    #[test]
    fn co_21_an_order_is_shown_as_it_is_now() {
        let released = customer::Did::CreditReleased { order: "O1".to_owned() };
        let o1 = || json!({"order": "O1"});
        c1().query("by-order", o1())
            .events("O1", [order::Did::CancelBegun])
            .query("by-order", o1())
            .events("O1", [order::Did::Kept])
            .query("by-order", o1())
            .events("O1", [order::Did::CancelBegun, order::Did::Cancelled])
            .events("C1", [released])
            .query("by-order", o1())
            .then(
                r#"{"total_cents":1234,"status":"approved","has_credit":true}
                   {"total_cents":1234,"status":"cancelling","has_credit":true}
                   {"total_cents":1234,"status":"approved","has_credit":true}
                   {"total_cents":1234,"status":"cancelled","has_credit":false}"#,
            );
    }

    #[test]
    fn co_21_an_order_of_nobody_is_in_a_history_without_a_limit() {
        given(order_history())
            .events("O1", [order::Did::Created { customer: "C9".to_owned(), total_cents: 1 }])
            .query("by-customer", json!({"customer": "C9"}))
            .then(r#"{"limit_cents":null,"orders":{"O1":{"total_cents":1,"status":"pending","has_credit":false}}}"#);
    }

    #[test]
    fn who_has_no_events_is_not_found() {
        c1().query("by-customer", json!({"customer": "C2"}))
            .query("by-order", json!({"order": "O9"}))
            .then("failed not_found ×2");
        c1().query("by-customer", json!({})).then("failed bad_parameters");
    }

    #[test]
    fn an_order_whose_creation_was_erased_is_in_no_history() {
        given(order_history())
            .erased("order.created", "O1")
            .events("O1", [order::Did::Approved])
            .query("by-order", json!({"order": "O1"}))
            .then("failed not_found");
    }
}
