//! The child saga of one traveller: a seat there and a seat back.

use amends_sdk::{Call, Result, Saga, Step};
use serde::{Deserialize, Serialize};

use crate::VERSION;
use crate::desk::{Ask, Confirmation};

const SEAT_CENTS: u64 = 15_000;

/// The input: the traveller and the flights.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Traveller {
    /// The traveller's name.
    pub name: String,
    /// The address of the participants.
    pub participants: String,
    /// The flight there.
    pub outbound: String,
    /// The flight back.
    pub inbound: String,
}

/// Both seats of a traveller; the output of `traveller`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seats {
    /// The traveller's name.
    pub traveller: String,
    /// The price of both.
    pub amount_cents: u64,
}

/// A seat there, then a seat back; undone in the opposite order.
pub fn traveller() -> Saga<Traveller> {
    Saga::new("traveller")
        .version(VERSION)
        .step(Step::compensatable("reserve-outbound", reserve_outbound).undo(cancel_outbound))
        .step(Step::compensatable("reserve-inbound", reserve_inbound).needs(["reserve-outbound"]).undo(cancel_inbound))
}

fn reserve_outbound(traveller: Traveller, call: &Call) -> Result<Confirmation> {
    let path = format!("flights/{}/reserve", traveller.outbound);
    Ask::new(call).for_cents(SEAT_CENTS).send(&traveller.participants, &path)
}

fn cancel_outbound(traveller: Traveller, _: Option<Confirmation>, call: &Call) -> Result {
    Ask::new(call).take_back(&traveller.participants, &format!("flights/{}/cancel", traveller.outbound))
}

fn reserve_inbound(traveller: Traveller, call: &Call) -> Result<Seats> {
    let outbound: Confirmation = call.output("reserve-outbound")?;
    let path = format!("flights/{}/reserve", traveller.inbound);
    let inbound: Confirmation = Ask::new(call).for_cents(SEAT_CENTS).send(&traveller.participants, &path)?;
    Ok(Seats { traveller: traveller.name, amount_cents: outbound.amount_cents + inbound.amount_cents })
}

fn cancel_inbound(traveller: Traveller, _: Option<Seats>, call: &Call) -> Result {
    Ask::new(call).take_back(&traveller.participants, &format!("flights/{}/cancel", traveller.inbound))
}
