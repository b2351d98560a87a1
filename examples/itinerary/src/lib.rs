//! A journey of several travellers: seats for each traveller, a hotel, a car and one payment, or nothing at all.
//!
//! It shows how a definition is composed. Each traveller is a child saga, which is undone as one unit. The hotel has an
//! alternate, which is tried when the first hotel is full. The car comes after a savepoint: if there is none, the seats and the
//! room stay reserved, and a second round tries the other car.

#![forbid(unsafe_code)]

mod desk;
#[cfg(test)]
mod tests;
mod traveller;

use amends_sdk::{Call, Each, Module, Result, Saga, Step, refused};
use serde::{Deserialize, Serialize};

use desk::Ask;
pub use desk::Confirmation;
pub use traveller::{Seats, Traveller, traveller};

/// The version that outputs and requests name.
pub const VERSION: u32 = 1;

const HOTEL_CENTS: [u64; 2] = [45_000, 50_000];
const CAR_CENTS: [u64; 2] = [12_000, 13_000];

/// The input: the journey.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Itinerary {
    /// The address of the participants: `http://127.0.0.1:8430`.
    pub participants: String,
    /// Who travels; each name once.
    pub travellers: Vec<String>,
    /// The flight there; `F100` if it is missing.
    #[serde(default = "flight_f100")]
    pub outbound: String,
    /// The flight back; `F200` if it is missing.
    #[serde(default = "flight_f200")]
    pub inbound: String,
    /// The hotel, and the one that is tried if it is full.
    #[serde(default = "hotels")]
    pub hotels: [String; 2],
    /// The car, and the one that is tried in the second round.
    #[serde(default = "cars")]
    pub cars: [String; 2],
    /// Who pays; `A` if it is missing.
    #[serde(default = "account_a")]
    pub account: String,
    /// The address of the email.
    #[serde(default = "traveller_email")]
    pub email: String,
}

/// The output of the saga.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Booking {
    /// The saga's id.
    pub itinerary: String,
    /// Who travels.
    pub travellers: Vec<String>,
    /// The hotel's number for it.
    pub hotel: String,
    /// The number of the car's key.
    pub car: String,
    /// What it costs.
    pub amount_cents: u64,
    /// The version of the module that booked it.
    pub version: u32,
}

/// The module. The child belongs to the saga that contains it.
pub fn module() -> Module {
    Module::new("itinerary").saga(itinerary())
}
amends_sdk::export!(saga: module);

/// Seats and rooms in parallel, then the car, then the money.
pub fn itinerary() -> Saga<Itinerary> {
    Saga::new("itinerary")
        .version(VERSION)
        .step(Step::compensatable("plan", plan).effect_free().undo_nothing())
        .parallel((
            Step::child("travellers", traveller()).each(Each::in_output("plan", "").key("/name")),
            Step::compensatable("reserve-hotel", reserve_hotel).alternate(reserve_hotel).undo(cancel_hotel),
        ))
        .savepoint("seats-and-rooms")
        .rounds(1)
        .step(Step::compensatable("reserve-car", reserve_car).undo(cancel_car))
        .step(Step::pivot("charge", charge).needs(["travellers", "reserve-hotel", "reserve-car"]))
        .step(Step::retriable("email-itinerary", email_itinerary).needs(["charge"]))
        .output("charge")
}

/// A child receives its element only, so each element also has the values that all travellers share.
fn plan(itinerary: Itinerary, _: &Call) -> Result<Vec<Traveller>> {
    let Itinerary { participants, travellers, outbound, inbound, .. } = itinerary;
    if travellers.is_empty() {
        return Err(refused("nobody_travels", "an itinerary has at least one traveller"));
    }
    let traveller =
        |name| Traveller { name, participants: participants.clone(), outbound: outbound.clone(), inbound: inbound.clone() };
    Ok(travellers.into_iter().map(traveller).collect())
}

/// Both ways use this function: the number of the way selects the hotel.
fn reserve_hotel(itinerary: Itinerary, call: &Call) -> Result<Confirmation> {
    let way = call.alternate() as usize;
    let path = format!("hotels/{}/reserve", itinerary.hotels[way]);
    Ask::new(call).for_cents(HOTEL_CENTS[way]).send(&itinerary.participants, &path)
}

fn cancel_hotel(itinerary: Itinerary, _: Option<Confirmation>, call: &Call) -> Result {
    let path = format!("hotels/{}/cancel", itinerary.hotels[call.alternate() as usize]);
    Ask::new(call).take_back(&itinerary.participants, &path)
}

/// The number of the round selects the car.
fn reserve_car(itinerary: Itinerary, call: &Call) -> Result<Confirmation> {
    let round = call.round() as usize;
    let path = format!("cars/{}/reserve", itinerary.cars[round]);
    Ask::new(call).for_cents(CAR_CENTS[round]).send(&itinerary.participants, &path)
}

fn cancel_car(itinerary: Itinerary, _: Option<Confirmation>, call: &Call) -> Result {
    let path = format!("cars/{}/cancel", itinerary.cars[call.round() as usize]);
    Ask::new(call).take_back(&itinerary.participants, &path)
}

fn charge(itinerary: Itinerary, call: &Call) -> Result<Booking> {
    let travellers: Vec<Seats> = call.output("travellers")?;
    let hotel: Confirmation = call.output("reserve-hotel")?;
    let car: Confirmation = call.output("reserve-car")?;
    let seats: u64 = travellers.iter().map(|seats| seats.amount_cents).sum();
    let amount_cents = seats + hotel.amount_cents + car.amount_cents;
    let path = format!("accounts/{}/charge", itinerary.account);
    let _: Confirmation = Ask::new(call).for_cents(amount_cents).send(&itinerary.participants, &path)?;
    Ok(Booking {
        itinerary: call.saga().to_owned(),
        travellers: travellers.into_iter().map(|seats| seats.traveller).collect(),
        hotel: hotel.confirmation,
        car: car.confirmation,
        amount_cents,
        version: VERSION,
    })
}

fn email_itinerary(itinerary: Itinerary, call: &Call) -> Result {
    let booking: Booking = call.output("charge")?;
    let subject = format!("{} travel for {} cents", booking.travellers.join(" and "), booking.amount_cents);
    let ask = Ask::new(call).email(&itinerary.email, subject);
    ask.send(&itinerary.participants, &format!("emails/{}/send", call.saga())).map(|_: Confirmation| ())
}

fn flight_f100() -> String {
    "F100".to_owned()
}

fn flight_f200() -> String {
    "F200".to_owned()
}

fn hotels() -> [String; 2] {
    ["H1", "H2"].map(str::to_owned)
}

fn cars() -> [String; 2] {
    ["K1", "K2"].map(str::to_owned)
}

fn account_a() -> String {
    "A".to_owned()
}

fn traveller_email() -> String {
    "traveller@example.org".to_owned()
}
