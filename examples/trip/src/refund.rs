//! The saga that takes back a trip after its point of no return: new actions, with an apology for what cannot be undone.

use amends_sdk::{Call, Result, Saga, Step, refused};
use serde::{Deserialize, Serialize};

use crate::desk::{Ask, Confirmation, TakenBack};
use crate::{Trip, VERSION};

/// Which trip to take back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refund {
    /// The id of the saga that booked it.
    pub trip: String,
    /// What it was started with.
    #[serde(flatten)]
    pub booked: Trip,
}

/// Gives the money back, then everything else, then writes again.
pub fn trip_refund() -> Saga<Refund> {
    Saga::new("trip-refund")
        .version(VERSION)
        .step(Step::pivot("refund", refund))
        .parallel((
            Step::retriable("void-tickets", void_tickets),
            Step::retriable("cancel-flight", cancel_flight),
            Step::retriable("cancel-hotel", cancel_hotel),
            Step::retriable("cancel-car", cancel_car),
        ))
        .step(Step::retriable("email-apology", email_apology))
        .output("refund")
}

/// What came of a refund; the saga's output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refunded {
    /// `REFUNDED`.
    pub status: String,
    /// The trip.
    pub trip: String,
    /// The version of the module that did it.
    pub version: u32,
}

fn refund(refund: Refund, _: &Call) -> Result<Refunded> {
    let path = format!("accounts/{}/refund", refund.booked.account);
    let TakenBack { undone } = take_back(&refund, "charge", &path)?;
    if !undone {
        return Err(refused("not_charged", format_args!("trip {} was not charged", refund.trip)));
    }
    Ok(Refunded { status: "REFUNDED".to_owned(), trip: refund.trip, version: VERSION })
}

fn void_tickets(refund: Refund, _: &Call) -> Result {
    take_back(&refund, "issue-tickets", &format!("tickets/{}/void", refund.trip)).map(|_| ())
}

fn cancel_flight(refund: Refund, _: &Call) -> Result {
    take_back(&refund, "reserve-flight", &format!("flights/{}/cancel", refund.booked.flight)).map(|_| ())
}

fn cancel_hotel(refund: Refund, _: &Call) -> Result {
    take_back(&refund, "reserve-hotel", &format!("hotels/{}/cancel", refund.booked.hotel)).map(|_| ())
}

fn cancel_car(refund: Refund, _: &Call) -> Result {
    take_back(&refund, "reserve-car", &format!("cars/{}/cancel", refund.booked.car)).map(|_| ())
}

fn email_apology(refund: Refund, call: &Call) -> Result {
    let subject = format!("We are sorry: your trip {} is cancelled", refund.trip);
    let ask = Ask::new(&refund.trip, call.step(), "email_apology").email(&refund.booked.email, subject);
    ask.send(&refund.booked.participants, &format!("emails/{}/send", refund.trip)).map(|_: Confirmation| ())
}

/// Takes back what `step` of the trip had asked for.
fn take_back(refund: &Refund, step: &str, path: &str) -> Result<TakenBack> {
    Ask::new(&refund.trip, step, "refund").send(&refund.booked.participants, path)
}
