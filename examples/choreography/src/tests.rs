//! The policies with the aggregates of the module `credit`, which is another component: here its sources stand beside them.

#[allow(dead_code, unreachable_pub, reason = "a module of another crate, of which this one needs the aggregate")]
#[path = "../../credit/src/customer.rs"]
mod customer;
#[allow(dead_code, unreachable_pub, reason = "a module of another crate, of which this one needs the aggregate")]
#[path = "../../credit/src/order.rs"]
mod order;

use amends_sdk::Failure;
use amends_sdk::testing::{Choreography, given};

use customer::customer;
use order::{Reason, Status, order};

use super::*;

/// With the customer C1, whose limit is 15.00.
fn shop() -> Choreography {
    given(module()).with(order()).with(given(customer()).id("C1").events([customer::Did::Opened { limit_cents: 1500 }]))
}

fn create(customer: &str, total_cents: u64) -> order::Do {
    order::Do::Create { customer: customer.to_owned(), total_cents }
}

fn created(customer: &str, total_cents: u64) -> super::order::Did {
    super::order::Did::Created { customer: customer.to_owned(), total_cents }
}

fn status(shop: &Choreography, id: &str) -> Option<Status> {
    shop.state(order(), id).status().cloned()
}

fn available(shop: &Choreography) -> u64 {
    shop.state(customer(), "C1").available_cents()
}

const INSUFFICIENT: Status = Status::Rejected(Reason::InsufficientCredit);

#[test]
fn the_host_would_take_the_module() {
    assert_eq!(module().check(), Ok(()));
}

#[test]
fn co_01_an_order_within_the_limit_is_approved() {
    let shop = shop().when(order(), "O1", create("C1", 1234)).then(
        r#"order/O1 created {"customer":"C1","total_cents":1234}
           credit-on-order: send customer/C1 reserve-credit {"order":"O1","cents":1234}
           customer/C1 credit-reserved {"order":"O1","cents":1234}
           approve-on-credit: send order/O1 approve null
           release-on-cancel: state {"customer":"C1"}
           order/O1 approved null"#,
    );
    assert_eq!((status(&shop, "O1"), available(&shop)), (Some(Status::Approved), 266));
}

#[test]
fn co_02_an_order_above_the_limit_is_rejected_and_stays() {
    let shop = shop().when(order(), "O1", create("C1", 12340)).then(
        r#"order/O1 created {"customer":"C1","total_cents":12340}
           credit-on-order: send customer/C1 reserve-credit {"order":"O1","cents":12340}
           customer/C1 refused reserve-credit: credit_limit_exceeded
           credit-on-order: send order/O1 reject {"reason":"credit_limit_exceeded"}
           order/O1 rejected {"reason":"insufficient_credit"}"#,
    );
    assert_eq!((status(&shop, "O1"), available(&shop)), (Some(INSUFFICIENT), 1500));
}

#[test]
fn co_03_an_order_of_nobody_is_rejected() {
    let shop = shop().when(order(), "O1", create("C9", 12340));
    assert_eq!(status(&shop, "O1"), Some(Status::Rejected(Reason::UnknownCustomer)));
}

#[test]
fn co_04_the_whole_limit_can_be_ordered_and_no_cent_more() {
    let shop = shop().when(order(), "O1", create("C1", 1500)).when(order(), "O2", create("C1", 1));
    assert_eq!((status(&shop, "O1"), status(&shop, "O2"), available(&shop)), (Some(Status::Approved), Some(INSUFFICIENT), 0));
}

#[test]
fn co_05_of_two_orders_at_once_that_do_not_fit_together_one_is_approved() {
    let mut first = 0;
    for seed in 0..100 {
        let shop = shop().seed(seed).beside(order(), "O1", create("C1", 1000)).when(order(), "O2", create("C1", 1000));
        let ends = [status(&shop, "O1"), status(&shop, "O2")];
        first += u32::from(ends[0] == Some(Status::Approved));
        assert!(ends.contains(&Some(Status::Approved)) && ends.contains(&Some(INSUFFICIENT)), "seed {seed}: {ends:?}\n{shop}");
        assert_eq!(available(&shop), 500, "seed {seed}\n{shop}");
    }
    assert!((1..100).contains(&first), "the first order was approved {first} times of 100");
}

#[test]
fn co_06_of_five_orders_at_once_as_many_are_approved_as_the_limit_allows() {
    for seed in 0..100 {
        let shop = (1..5).fold(shop().seed(seed), |shop, number| shop.beside(order(), &format!("O{number}"), create("C1", 500)));
        let shop = shop.when(order(), "O5", create("C1", 500));
        let ends: Vec<_> = (1..=5).map(|number| status(&shop, &format!("O{number}"))).collect();
        let count = |end: &Status| ends.iter().flatten().filter(|status| *status == end).count();
        assert_eq!((count(&Status::Approved), count(&INSUFFICIENT), available(&shop)), (3, 2, 0), "seed {seed}\n{shop}");
    }
}

#[test]
fn co_09_a_copy_of_an_order_does_not_count_against_its_own_credit() {
    let shop = shop().when(order(), "O1", create("C1", 1000));
    let shop = shop.event("O1", created("C1", 1000));
    assert_eq!((status(&shop, "O1"), available(&shop)), (Some(Status::Approved), 500));
}

#[test]
fn co_15_a_cancelled_order_gives_its_credit_back() {
    let shop = shop().after(order(), "O1", create("C1", 1234));
    assert_eq!(shop.instance("release-on-cancel", "O1"), Some(Credit { customer: "C1".to_owned() }));
    let shop = shop.when(order(), "O1", order::Do::Cancel).then(
        r#"order/O1 cancelled null
           release-on-cancel: send customer/C1 release-credit {"order":"O1"}
           release-on-cancel: end
           customer/C1 credit-released {"order":"O1"}"#,
    );
    assert_eq!((status(&shop, "O1"), available(&shop)), (Some(Status::Cancelled), 1500));
    assert_eq!(shop.instance::<Credit>("release-on-cancel", "O1"), None);
}

#[test]
fn co_18_copies_of_old_events_neither_reserve_for_a_cancelled_order_nor_revive_it() {
    let shop = shop()
        .after(order(), "O1", create("C1", 1234))
        .after(order(), "O1", order::Do::Cancel)
        .event("O1", created("C1", 1234))
        .then(
            r#"credit-on-order: send customer/C1 reserve-credit {"order":"O1","cents":1234}
               customer/C1 refused reserve-credit: released
               credit-on-order: send order/O1 reject {"reason":"released"}
               order/O1 refused reject: not_pending"#,
        )
        .event("C1", super::customer::Did::CreditReserved { order: "O1".to_owned() })
        .then(
            r#"approve-on-credit: send order/O1 approve null
               release-on-cancel: state {"customer":"C1"}
               order/O1 refused approve: not_pending"#,
        );
    assert_eq!((status(&shop, "O1"), available(&shop)), (Some(Status::Cancelled), 1500));
}

#[test]
fn co_19_credit_that_is_given_back_is_for_later_orders_and_revives_none() {
    let shop = shop()
        .when(order(), "O1", create("C1", 1234))
        .when(order(), "O2", create("C1", 1234))
        .when(order(), "O1", order::Do::Cancel)
        .when(order(), "O3", create("C1", 1234));
    let ends = ["O1", "O2", "O3"].map(|id| status(&shop, id));
    assert_eq!(ends, [Some(Status::Cancelled), Some(INSUFFICIENT), Some(Status::Approved)]);
    assert_eq!(available(&shop), 266);
}

#[test]
fn what_an_order_refuses_for_another_reason_is_for_an_operator() {
    let reserved = super::customer::Did::CreditReserved { order: "O1".to_owned() };
    given(approve_on_credit())
        .when("C1", reserved)
        .then("send order/O1 approve null")
        .refused("order/O1 approve", Failure::new("no_such_aggregate", "there is no order O1"))
        .then("failed no_such_aggregate");
}
