//! An order: pending until its customer's credit is decided, then approved or rejected; once approved it can be cancelled, which
//! takes as long as its delivery takes to be stopped.

use amends_sdk::{Aggregate, Command, Decision, Event, accept, nothing, refuse};
use serde::{Deserialize, Serialize};

/// The state.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Order {
    customer: String,
    total_cents: u64,
    /// None before it is created.
    status: Option<Status>,
}

/// How far an order has come. Only an approved one changes later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Its customer's credit is not decided.
    Pending,
    /// Its customer has the credit.
    Approved,
    /// It was refused when it was made.
    Rejected(Reason),
    /// The customer does not want it any more, and its delivery is being stopped.
    Cancelling,
    /// The customer does not have it any more.
    Cancelled,
}

/// Why an order was rejected. The aliases are the codes for which its saga rolls back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The total is above what is left of the customer's limit.
    #[serde(alias = "credit_limit_exceeded")]
    InsufficientCredit,
    /// There is no such customer.
    #[serde(alias = "no_such_aggregate")]
    UnknownCustomer,
    /// Nobody answered in time.
    #[serde(alias = "deadline")]
    Timeout,
    /// Somebody cancelled the saga that made it.
    Cancelled,
    /// The saga that made it was rolled back for something else, and its journal says why.
    #[default]
    #[serde(other)]
    RolledBack,
}

/// What an order is asked to do.
#[derive(Command, Serialize, Deserialize)]
pub enum Do {
    /// Makes it, pending.
    #[command(new)]
    Create {
        /// The customer's id.
        customer: String,
        /// What it costs.
        total_cents: u64,
    },
    /// Its customer has the credit.
    #[command(existing)]
    Approve,
    /// Its customer does not have the credit.
    #[command(existing)]
    Reject {
        /// Why not.
        #[serde(default)]
        reason: Reason,
    },
    /// The customer does not want it any more. The answer is what was ordered.
    #[command(existing)]
    BeginCancel,
    /// It is not cancelled after all.
    #[command(existing)]
    Keep,
    /// The customer does not have it any more.
    #[command(existing)]
    Cancel,
}

/// What happened to an order.
#[derive(Event, Serialize, Deserialize)]
#[event(aggregate = "order")]
pub enum Did {
    /// It was made, and is pending.
    Created {
        /// The customer's id.
        customer: String,
        /// What it costs.
        total_cents: u64,
    },
    /// Its customer has the credit.
    Approved,
    /// Its customer does not have the credit.
    Rejected {
        /// Why not.
        reason: Reason,
    },
    /// The customer does not want it any more.
    CancelBegun,
    /// It was not cancelled after all.
    Kept,
    /// The customer does not have it any more.
    Cancelled,
}

/// The answer to the begin of a cancel.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Ordered {
    /// The customer's id.
    pub customer: String,
    /// What it costs.
    pub total_cents: u64,
}

impl Order {
    /// How far it has come; none before it is created.
    pub fn status(&self) -> Option<&Status> {
        self.status.as_ref()
    }
}

/// The aggregate.
pub fn order() -> Aggregate<Order, Do, Did> {
    Aggregate::new("order", decide, evolve)
}

fn decide(order: &Order, command: Do) -> Decision<Did> {
    match command {
        Do::Create { customer, total_cents } => accept(Did::Created { customer, total_cents }),
        Do::Approve => approve(order),
        Do::Reject { reason } => reject(order, reason),
        Do::BeginCancel => begin_cancel(order),
        Do::Keep => keep(order),
        Do::Cancel => cancel(order),
    }
}

fn approve(order: &Order) -> Decision<Did> {
    match &order.status {
        Some(Status::Pending) => accept(Did::Approved),
        Some(Status::Approved) => nothing(),
        Some(status @ (Status::Rejected(_) | Status::Cancelling | Status::Cancelled)) => not_pending(status),
        None => not_created(),
    }
}

fn reject(order: &Order, reason: Reason) -> Decision<Did> {
    match &order.status {
        Some(Status::Pending) => accept(Did::Rejected { reason }),
        Some(Status::Rejected(_)) => nothing(),
        Some(status @ (Status::Approved | Status::Cancelling | Status::Cancelled)) => not_pending(status),
        None => not_created(),
    }
}

/// Not while it is pending: the credit that it takes meanwhile would stay taken.
fn begin_cancel(order: &Order) -> Decision<Did> {
    match &order.status {
        Some(Status::Approved) => {
            let ordered = Ordered { customer: order.customer.clone(), total_cents: order.total_cents };
            accept(Did::CancelBegun).answer(ordered)
        }
        Some(Status::Pending) => pending(),
        Some(status @ (Status::Rejected(_) | Status::Cancelling | Status::Cancelled)) => not_approved(status),
        None => not_created(),
    }
}

fn keep(order: &Order) -> Decision<Did> {
    match &order.status {
        Some(Status::Cancelling) => accept(Did::Kept),
        Some(Status::Approved) => nothing(),
        Some(Status::Pending) => pending(),
        Some(status @ (Status::Rejected(_) | Status::Cancelled)) => not_approved(status),
        None => not_created(),
    }
}

fn cancel(order: &Order) -> Decision<Did> {
    match &order.status {
        Some(Status::Approved | Status::Cancelling) => accept(Did::Cancelled),
        Some(Status::Pending) => pending(),
        Some(status @ (Status::Rejected(_) | Status::Cancelled)) => not_approved(status),
        None => not_created(),
    }
}

fn pending() -> Decision<Did> {
    refuse("pending", "its customer's credit is not decided yet; try again later")
}

fn not_approved(status: &Status) -> Decision<Did> {
    refuse("not_approved", format_args!("only an approved order can be cancelled; it is {status:?}"))
}

fn not_pending(status: &Status) -> Decision<Did> {
    refuse("not_pending", format_args!("it is {status:?} already"))
}

/// The host refuses these commands before: only the data of the first event may have been erased.
fn not_created() -> Decision<Did> {
    refuse("not_created", "there is no record of its creation")
}

fn evolve(order: &mut Order, event: Did) {
    match event {
        Did::Created { customer, total_cents } => {
            *order = Order { customer, total_cents, status: Some(Status::Pending) };
        }
        Did::Approved => order.status = Some(Status::Approved),
        Did::Rejected { reason } => order.status = Some(Status::Rejected(reason)),
        Did::CancelBegun => order.status = Some(Status::Cancelling),
        Did::Kept => order.status = Some(Status::Approved),
        Did::Cancelled => order.status = Some(Status::Cancelled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use amends_sdk::testing::{History, given};

    fn create() -> Do {
        Do::Create { customer: "C1".to_owned(), total_cents: 1234 }
    }

    fn created() -> Did {
        Did::Created { customer: "C1".to_owned(), total_cents: 1234 }
    }

    /// The order O1, after these events.
    fn o1(events: impl IntoIterator<Item = Did>) -> History<Order, Do, Did> {
        given(order()).id("O1").events(events)
    }

    #[test]
    fn co_01_an_order_is_pending_until_it_is_approved() {
        let o1 = o1([]).when(create()).then(r#"created {"customer":"C1","total_cents":1234}"#);
        assert_eq!(o1.state().status, Some(Status::Pending));
        let o1 = o1.when(Do::Approve).when(Do::Approve).then("approved null\nnothing");
        assert_eq!(o1.state().status, Some(Status::Approved));
    }

    #[test]
    fn co_02_a_rejected_order_stays_with_its_reason() {
        let reject = |reason| Do::Reject { reason };
        let o1 = o1([created()])
            .when(reject(Reason::InsufficientCredit))
            .then(r#"rejected {"reason":"insufficient_credit"}"#)
            .when(reject(Reason::Timeout))
            .then("nothing")
            .when(Do::Approve)
            .then("refused not_pending");
        assert_eq!(o1.state().status, Some(Status::Rejected(Reason::InsufficientCredit)));
    }

    #[test]
    fn co_03_an_order_of_nobody_is_rejected_for_that() {
        o1([created()]).when(Do::Reject { reason: Reason::UnknownCustomer }).then(r#"rejected {"reason":"unknown_customer"}"#);
        given(order()).id("O9").when(Do::Approve).then("refused no_such_aggregate");
    }

    #[test]
    fn co_15_an_approved_order_is_cancelled() {
        let o1 = o1([created(), Did::Approved]).when(Do::Cancel).then("cancelled null");
        assert_eq!(o1.state().status, Some(Status::Cancelled));
    }

    #[test]
    fn co_16_a_pending_order_is_not_cancelled_and_is_approved_later() {
        o1([created()]).when(Do::Cancel).when(Do::Approve).then(
            "refused pending
             approved null",
        );
    }

    /// A repeated command with the same key never gets here: the host has its answer.
    #[test]
    fn co_17_a_cancelled_order_is_not_cancelled_again() {
        let o1 = o1([created(), Did::Approved]).when(Do::Cancel).when(Do::Cancel).then(
            "cancelled null
             refused not_approved",
        );
        assert_eq!(o1.failure().unwrap().message, "only an approved order can be cancelled; it is Cancelled");
        let rejected = Did::Rejected { reason: Reason::Timeout };
        self::o1([created(), rejected]).when(Do::Cancel).then("refused not_approved");
    }

    #[test]
    fn co_18_a_cancelled_order_stays_cancelled() {
        let o1 = o1([created(), Did::Approved, Did::Cancelled])
            .when(create())
            .when(Do::Approve)
            .when(Do::Reject { reason: Reason::Timeout })
            .then(
                "refused exists
                 refused not_pending ×2",
            );
        assert_eq!(o1.state().status, Some(Status::Cancelled));
    }

    #[test]
    fn an_order_whose_cancel_has_begun_is_cancelled_or_kept() {
        let o1 = o1([created(), Did::Approved]).when(Do::BeginCancel).then(
            r#"cancel-begun null
               answer {"customer":"C1","total_cents":1234}"#,
        );
        let o1 = o1.when(Do::BeginCancel).when(Do::Approve).then("refused not_approved\nrefused not_pending");
        let o1 = o1.when(Do::Keep).when(Do::Keep).then("kept null\nnothing");
        assert_eq!(o1.state().status, Some(Status::Approved));
        o1.when(Do::BeginCancel).when(Do::Cancel).when(Do::Keep).then(
            r#"cancel-begun null
               answer {"customer":"C1","total_cents":1234}
               cancelled null
               refused not_approved"#,
        );
    }

    #[test]
    fn an_order_is_rejected_for_what_its_saga_rolls_back_for() {
        for (code, reason) in [
            ("credit_limit_exceeded", "insufficient_credit"),
            ("no_such_aggregate", "unknown_customer"),
            ("deadline", "timeout"),
            ("cancelled", "cancelled"),
            ("released", "rolled_back"),
        ] {
            let o1 = o1([created()]).command("reject", serde_json::json!({"reason": code}));
            o1.then(&format!(r#"rejected {{"reason":"{reason}"}}"#));
        }
        o1([created()]).command("reject", serde_json::json!({})).then(r#"rejected {"reason":"rolled_back"}"#);
    }

    #[test]
    fn of_an_order_whose_creation_was_erased_nothing_is_decided() {
        let erased = o1([]).erased("order.created");
        erased.when(Do::Approve).when(Do::Reject { reason: Reason::Timeout }).when(Do::Cancel).then("refused not_created ×3");
    }
}
