//! The saga that places an order: it is made, its customer's credit is reserved, and it is approved. Without the credit it is
//! rejected.

use amends_sdk::{Saga, Step};
use serde::{Deserialize, Serialize};

use crate::customer::customer;
use crate::order::order;

/// The input, which is also the data of its commands, but for the one that rejects: each takes the fields that it knows.
#[derive(Serialize, Deserialize)]
pub struct Placed {
    /// The order's id.
    pub order: String,
    /// The customer's id.
    pub customer: String,
    /// What it costs.
    pub total_cents: u64,
}

/// The saga.
pub fn place_order() -> Saga<Placed> {
    Saga::new("place-order")
        .step(Step::command("create", order().at("/input/order"), "create").undo_with("reject", [("reason", "/cause/code")]))
        .step(Step::pivot_command("reserve-credit", customer().at("/input/customer"), "reserve-credit"))
        .step(Step::retriable_command("approve", order().at("/input/order"), "approve"))
        .output("reserve-credit")
}

#[cfg(test)]
mod tests {
    use amends_sdk::testing::{Given, Run, given};
    use amends_sdk::{Answered, refused};
    use serde_json::json;

    use super::*;
    use crate::customer::{Available, Did};
    use crate::order::{Reason, Status};

    /// With the customer C1, whose limit is 15.00.
    fn shop() -> Given {
        given(place_order()).with(order()).with(given(customer()).id("C1").events([Did::Opened { limit_cents: 1500 }]))
    }

    fn placed(customer: &str, total_cents: u64) -> Placed {
        Placed { order: "O1".to_owned(), customer: customer.to_owned(), total_cents }
    }

    /// The order's status, and what is left of C1's limit.
    fn after(run: &Run) -> (Option<Status>, u64) {
        (run.state(order(), "O1").status().cloned(), run.state(customer(), "C1").available_cents())
    }

    #[test]
    fn co_01_an_order_within_the_limit_is_approved() {
        let run = shop().when(placed("C1", 1234)).then(
            "create done
             reserve-credit done
             approve done
             completed",
        );
        assert_eq!(after(&run), (Some(Status::Approved), 266));
        assert_eq!(run.output::<Answered<Available>>().data, Available { available_cents: 266 });
    }

    #[test]
    fn co_02_an_order_above_the_limit_is_rejected_and_stays() {
        let run = shop().when(placed("C1", 12340)).then(
            "create done
             reserve-credit refused credit_limit_exceeded
             undo create done
             compensated credit_limit_exceeded",
        );
        assert_eq!(after(&run), (Some(Status::Rejected(Reason::InsufficientCredit)), 1500));
        assert_eq!(run.failure().unwrap().message, "1500 cents are left");
    }

    #[test]
    fn co_03_an_order_of_nobody_is_rejected() {
        let run = shop().when(placed("C9", 12340)).then(
            "create done
             reserve-credit refused no_such_aggregate
             undo create done
             compensated no_such_aggregate",
        );
        assert_eq!(after(&run).0, Some(Status::Rejected(Reason::UnknownCustomer)));
    }

    #[test]
    fn co_07_an_order_that_is_there_is_not_placed_again_and_not_undone_either() {
        let there = given(order()).id("O1").command("create", json!({"customer": "C1", "total_cents": 1}));
        let run = shop().with(there).when(placed("C1", 1234)).then("create refused exists\n compensated exists");
        assert_eq!(after(&run), (Some(Status::Pending), 1500));
    }

    /// As where the customers are another module's.
    #[test]
    fn co_09_credit_that_is_reserved_already_is_reserved() {
        let run = given(place_order())
            .with(order())
            .commands("customer", |command| match command.data()["total_cents"].as_u64() {
                Some(1000) => Ok(json!({"available_cents": 500})),
                _ => Err(refused("other_amount", "order O1 has 1000 cents")),
            })
            .when(placed("C1", 1000));
        assert_eq!(run.output::<Answered<Available>>().data.available_cents, 500);
    }
}
