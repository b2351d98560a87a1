//! A customer: a credit limit, and what the orders have reserved of it.

use std::collections::{BTreeMap, BTreeSet};

use amends_sdk::{Aggregate, Command, Decision, Event, accept, nothing, refuse};
use serde::{Deserialize, Serialize};

/// The state. What is reserved is never more than the limit.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Customer {
    limit_cents: u64,
    /// Cents by order.
    reserved: BTreeMap<String, u64>,
    /// Orders whose credit was released, also before it was reserved: a reservation that comes late is refused.
    released: BTreeSet<String>,
}

/// What a customer is asked to do.
#[derive(Command, Serialize, Deserialize)]
pub enum Do {
    /// Gives the customer a credit limit.
    #[command(new)]
    Open {
        /// The limit.
        limit_cents: u64,
    },
    /// Reserves credit for an order. Again for the same order, it answers as before.
    #[command(existing)]
    ReserveCredit {
        /// The order's id.
        order: String,
        /// Its total, as its order calls it.
        #[serde(alias = "total_cents")]
        cents: u64,
    },
    /// Releases what an order has reserved, and whatever it would reserve later.
    #[command(existing)]
    ReleaseCredit {
        /// The order's id.
        order: String,
    },
}

/// What happened to a customer.
#[derive(Event, Serialize, Deserialize)]
#[event(aggregate = "customer")]
pub enum Did {
    /// The customer has a credit limit.
    Opened {
        /// The limit.
        limit_cents: u64,
    },
    /// An order has credit.
    CreditReserved {
        /// The order's id.
        order: String,
        /// Its total.
        cents: u64,
    },
    /// An order has no credit, and gets none any more.
    CreditReleased {
        /// The order's id.
        order: String,
    },
}

/// The answer to a reservation.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Available {
    /// What is left of the limit.
    pub available_cents: u64,
}

/// The aggregate.
pub fn customer() -> Aggregate<Customer, Do, Did> {
    Aggregate::new("customer", decide, evolve)
}

impl Customer {
    /// What is left of the limit.
    pub fn available_cents(&self) -> u64 {
        self.reserved.values().fold(self.limit_cents, |left, cents| left.saturating_sub(*cents))
    }

    /// The answer when so much of it has been reserved.
    fn available_after(&self, cents: u64) -> Available {
        Available { available_cents: self.available_cents().saturating_sub(cents) }
    }
}

fn decide(customer: &Customer, command: Do) -> Decision<Did> {
    match command {
        Do::Open { limit_cents } => accept(Did::Opened { limit_cents }),
        Do::ReserveCredit { order, cents } => reserve(customer, order, cents),
        Do::ReleaseCredit { order } if customer.released.contains(&order) => nothing(),
        Do::ReleaseCredit { order } => accept(Did::CreditReleased { order }),
    }
}

fn reserve(customer: &Customer, order: String, cents: u64) -> Decision<Did> {
    if customer.released.contains(&order) {
        return refuse("released", format_args!("the credit of order {order} was released"));
    }
    match customer.reserved.get(&order) {
        // Its own reservation does not count against an order.
        Some(reserved) if *reserved == cents => nothing().answer(customer.available_after(0)),
        Some(reserved) => refuse("other_amount", format_args!("order {order} has {reserved} cents, and asks for {cents}")),
        None if customer.available_cents() < cents => {
            let available = customer.available_after(0);
            refuse("credit_limit_exceeded", format_args!("{} cents are left", available.available_cents)).data(available)
        }
        None => {
            let available = customer.available_after(cents);
            accept(Did::CreditReserved { order, cents }).answer(available)
        }
    }
}

fn evolve(customer: &mut Customer, event: Did) {
    match event {
        Did::Opened { limit_cents } => customer.limit_cents = limit_cents,
        Did::CreditReserved { order, cents } => drop(customer.reserved.insert(order, cents)),
        Did::CreditReleased { order } => {
            customer.reserved.remove(&order);
            customer.released.insert(order);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use amends_sdk::testing::{History, given};
    use serde_json::json;

    /// The customer C1, whose limit is 15.00.
    fn c1() -> History<Customer, Do, Did> {
        given(customer()).id("C1").events([Did::Opened { limit_cents: 1500 }])
    }

    fn reserve(order: &str, cents: u64) -> Do {
        Do::ReserveCredit { order: order.to_owned(), cents }
    }

    fn reserved(order: &str, cents: u64) -> Did {
        Did::CreditReserved { order: order.to_owned(), cents }
    }

    fn release(order: &str) -> Do {
        Do::ReleaseCredit { order: order.to_owned() }
    }

    #[test]
    fn co_01_credit_within_the_limit_is_reserved() {
        let c1 = c1().when(reserve("O1", 1234)).then(
            r#"credit-reserved {"order":"O1","cents":1234}
               answer {"available_cents":266}"#,
        );
        assert_eq!(c1.state().available_cents(), 266);
    }

    #[test]
    fn co_02_credit_above_the_limit_is_refused() {
        let c1 = c1().when(reserve("O1", 12340)).then("refused credit_limit_exceeded");
        assert_eq!(c1.failure().and_then(|failure| failure.data), Some(json!({"available_cents": 1500})));
        assert_eq!(c1.state().available_cents(), 1500);
    }

    #[test]
    fn co_03_a_customer_that_was_never_opened_gives_no_credit() {
        given(customer()).id("C9").when(reserve("O1", 12340)).then("refused no_such_aggregate");
        given(customer()).id("C9").when(release("O1")).then("refused no_such_aggregate");
    }

    #[test]
    fn co_04_the_whole_limit_can_be_reserved_and_no_cent_more() {
        c1().when(reserve("O1", 1500)).when(reserve("O2", 1)).then(
            r#"credit-reserved {"order":"O1","cents":1500}
               answer {"available_cents":0}
               refused credit_limit_exceeded"#,
        );
    }

    #[test]
    fn co_09_a_reservation_that_is_asked_for_again_does_not_count_against_itself() {
        let c1 = c1().events([reserved("O1", 1000)]).when(reserve("O1", 1000)).then(
            r#"nothing
               answer {"available_cents":500}"#,
        );
        assert_eq!(c1.state().available_cents(), 500);
        c1.when(reserve("O1", 900)).then("refused other_amount");
    }

    #[test]
    fn co_14_a_release_that_comes_first_refuses_the_reservation_that_comes_late() {
        let c1 = c1().when(release("O1")).when(reserve("O1", 1000)).when(release("O1")).then(
            r#"credit-released {"order":"O1"}
               refused released
               nothing"#,
        );
        assert_eq!(c1.state().available_cents(), 1500);
    }

    #[test]
    fn co_15_what_a_cancelled_order_had_is_available_again() {
        let c1 = c1().events([reserved("O1", 1234)]).when(release("O1")).then(r#"credit-released {"order":"O1"}"#);
        assert_eq!(c1.state().available_cents(), 1500);
        c1.when(reserve("O2", 1500)).then(
            r#"credit-reserved {"order":"O2","cents":1500}
               answer {"available_cents":0}"#,
        );
    }

    #[test]
    fn co_17_a_second_release_changes_nothing() {
        let c1 = c1().events([reserved("O1", 1234)]).when(release("O1")).when(release("O1")).then(
            r#"credit-released {"order":"O1"}
               nothing"#,
        );
        assert_eq!(c1.state().available_cents(), 1500);
    }

    #[test]
    fn co_18_a_cancelled_order_does_not_reserve_again() {
        let c1 = c1().events([reserved("O1", 1234)]).when(release("O1")).when(reserve("O1", 1234)).then(
            r#"credit-released {"order":"O1"}
               refused released"#,
        );
        assert_eq!(c1.state().available_cents(), 1500);
    }

    #[test]
    fn a_customer_is_opened_once() {
        given(customer()).when(Do::Open { limit_cents: 1500 }).when(Do::Open { limit_cents: 9900 }).then(
            r#"opened {"limit_cents":1500}
               refused exists"#,
        );
    }

    #[test]
    fn amounts_that_do_not_fit_do_not_wrap() {
        let c1 = given(customer()).events([Did::Opened { limit_cents: u64::MAX }]);
        c1.when(reserve("O1", u64::MAX)).when(reserve("O2", u64::MAX)).then(
            r#"credit-reserved {"order":"O1","cents":18446744073709551615}
               answer {"available_cents":0}
               refused credit_limit_exceeded"#,
        );
    }
}
