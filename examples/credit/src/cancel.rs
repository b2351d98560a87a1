//! The saga that cancels an approved order: nobody else may change it meanwhile, its delivery is stopped, and then it is cancelled.
//! Its credit is released last, when nothing can bring the order back: else somebody could take credit that it still needs.

use amends_sdk::{Call, Result, Saga, Step, refused};
use serde::{Deserialize, Serialize};

use crate::customer::customer;
use crate::order::order;

/// The input.
#[derive(Serialize, Deserialize)]
pub struct Unwanted {
    /// The order's id.
    pub order: String,
}

/// The data of the event `delivery`, whose key is the order's id: what the carrier says.
#[derive(Serialize, Deserialize)]
pub struct Delivery {
    /// It is stopped; else it is on its way.
    pub stopped: bool,
}

/// The saga.
pub fn cancel_order() -> Saga<Unwanted> {
    Saga::new("cancel-order")
        .step(Step::command("begin", order().at("/input/order"), "begin-cancel").undo("keep"))
        .step(Step::pivot("stop-delivery", stop_delivery).effect_free())
        .step(Step::retriable_command("cancel", order().at("/input/order"), "cancel"))
        .step(Step::retriable_command("release-credit", customer().at("/outputs/begin/data/customer"), "release-credit"))
}

/// Waits until the carrier has said whether it still could.
fn stop_delivery(unwanted: Unwanted, call: &Call) -> Result {
    let delivery: Delivery = call.event("delivery", &unwanted.order)?.data()?;
    match delivery.stopped {
        true => Ok(()),
        false => Err(refused("on_its_way", format_args!("{} cannot be stopped any more", unwanted.order))),
    }
}

#[cfg(test)]
mod tests {
    use amends_sdk::testing::{History, Run, given};

    use super::*;
    use crate::customer::{self, Customer};
    use crate::order::{self, Order, Status};

    /// The customer C1, who has ordered O1 for 12.34 of 15.00.
    fn c1() -> History<Customer, customer::Do, customer::Did> {
        let reserved = customer::Did::CreditReserved { order: "O1".to_owned(), cents: 1234 };
        given(customer()).id("C1").events([customer::Did::Opened { limit_cents: 1500 }, reserved])
    }

    /// The order O1, after these events.
    fn o1(events: impl IntoIterator<Item = order::Did>) -> History<Order, order::Do, order::Did> {
        let created = order::Did::Created { customer: "C1".to_owned(), total_cents: 1234 };
        given(order()).id("O1").events([created]).events(events)
    }

    fn cancel(o1: History<Order, order::Do, order::Did>) -> Run {
        given(cancel_order()).with(c1()).with(o1).when(Unwanted { order: "O1".to_owned() })
    }

    /// The order's status, and what is left of C1's limit.
    fn after(run: &Run) -> (Option<Status>, u64) {
        (run.state(order(), "O1").status().cloned(), run.state(customer(), "C1").available_cents())
    }

    #[test]
    fn co_15_an_approved_order_is_cancelled_and_its_credit_released() {
        let run = cancel(o1([order::Did::Approved])).then("begin done\n stop-delivery waits for event delivery/O1");
        assert_eq!(after(&run), (Some(Status::Cancelling), 266));
        let run = run.event("delivery", "O1", Delivery { stopped: true }).then(
            "stop-delivery done
             cancel done
             release-credit done
             completed",
        );
        assert_eq!(after(&run), (Some(Status::Cancelled), 1500));
    }

    #[test]
    fn co_16_a_pending_order_is_not_cancelled() {
        let run = cancel(o1([])).then("begin refused pending\n compensated pending");
        assert_eq!(after(&run), (Some(Status::Pending), 266));
    }

    #[test]
    fn co_17_a_cancelled_order_is_not_cancelled_again() {
        let run = cancel(o1([order::Did::Approved, order::Did::Cancelled]));
        let run = run.then("begin refused not_approved\n compensated not_approved");
        assert_eq!(after(&run).0, Some(Status::Cancelled));
    }

    #[test]
    fn co_20_an_order_that_is_on_its_way_is_kept_and_so_is_its_credit() {
        let run = cancel(o1([order::Did::Approved])).event("delivery", "O1", Delivery { stopped: false }).then(
            "begin done
             stop-delivery waits for event delivery/O1
             stop-delivery refused on_its_way
             undo begin done
             compensated on_its_way",
        );
        assert_eq!(after(&run), (Some(Status::Approved), 266));
    }

    #[test]
    fn a_cancel_that_is_cancelled_keeps_the_order() {
        let run = cancel(o1([order::Did::Approved])).cancel().then(
            "begin done
             stop-delivery waits for event delivery/O1
             cancelled
             undo begin done
             compensated cancelled",
        );
        assert_eq!(after(&run), (Some(Status::Approved), 266));
    }
}
