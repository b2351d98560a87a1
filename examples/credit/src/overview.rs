//! The view `customer-overview`: of each customer the limit, what is left of it, and which orders have the rest.

use std::collections::BTreeMap;

use amends_sdk::{Documents, Projection, Recorded};
use serde::{Deserialize, Serialize};

use crate::customer::Did;
use crate::history::ByCustomer;

/// The most customers of one page.
const PAGE_MAX: usize = 100;

/// The document of a customer.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// The limit.
    pub limit_cents: u64,
    /// What is left of it.
    pub available_cents: u64,
    /// Cents by order.
    pub reserved: BTreeMap<String, u64>,
}

/// Which customers are asked for: those whose ids begin with `prefix` and come behind `after`, at most 100.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Page {
    /// How their ids begin.
    pub prefix: String,
    /// The last id of the page before.
    pub after: Option<String>,
}

/// The projection.
pub fn customer_overview() -> Projection<Documents<Overview>> {
    Projection::documents("customer-overview")
        .on(|event: &Recorded<Did>| event.key.clone(), take)
        .query("by-customer", |view: &Documents<Overview>, of: ByCustomer| view.get(&of.customer))
        .query("list", |view: &Documents<Overview>, page: Page| view.list(&page.prefix, page.after.as_deref(), PAGE_MAX))
}

fn take(overview: &mut Overview, event: Recorded<Did>) {
    match event.event {
        Did::Opened { limit_cents } => overview.limit_cents = limit_cents,
        Did::CreditReserved { order, cents } => drop(overview.reserved.insert(order, cents)),
        Did::CreditReleased { order } => drop(overview.reserved.remove(&order)),
    }
    let reserved = overview.reserved.values().copied().fold(0, u64::saturating_add);
    overview.available_cents = overview.limit_cents.saturating_sub(reserved);
}

#[cfg(test)]
mod tests {
    use amends_sdk::testing::{Journal, given};
    use serde_json::json;

    use super::*;

    /// The customers C1 and C2, whose limits are 15.00 and 1.00; O1 and O2 have credit of C1.
    fn customers() -> Journal<Documents<Overview>> {
        let reserved = |order: &str, cents| Did::CreditReserved { order: order.to_owned(), cents };
        given(customer_overview())
            .events("C2", [Did::Opened { limit_cents: 100 }])
            .events("C1", [Did::Opened { limit_cents: 1500 }, reserved("O1", 1000), reserved("O2", 234)])
    }

    #[test]
    fn co_21_the_overview_of_a_customer_shows_what_is_left_and_who_has_the_rest() {
        let released = Did::CreditReleased { order: "O1".to_owned() };
        customers()
            .query("by-customer", json!({"customer": "C1"}))
            .events("C1", [released])
            .query("by-customer", json!({"customer": "C1"}))
            .query("by-customer", json!({"customer": "C9"}))
            .then(
                r#"{"limit_cents":1500,"available_cents":266,"reserved":{"O1":1000,"O2":234}}
                   {"limit_cents":1500,"available_cents":1266,"reserved":{"O2":234}}
                   failed not_found"#,
            );
    }

    #[test]
    fn customers_are_listed_by_their_ids() {
        let first = r#"["C1",{"limit_cents":1500,"available_cents":266,"reserved":{"O1":1000,"O2":234}}]"#;
        let second = r#"["C2",{"limit_cents":100,"available_cents":100,"reserved":{}}]"#;
        customers().query("list", json!({})).then(&format!("[{first},{second}]"));
        customers().query("list", json!({"after": "C1"})).then(&format!("[{second}]"));
        customers().query("list", json!({"prefix": "D"})).query("list", json!({"prefx": "D"})).then("[]\nfailed bad_parameters");
    }
}
