//! The steps of a trip, and how they are undone.

use amends_sdk::{Call, Result};

use crate::desk::{Ask, Confirmation, TakenBack, decimal};
use crate::{Booking, Trip, VERSION};

const FLIGHT_CENTS: u64 = 30_000;
const HOTEL_CENTS: u64 = 45_000;
const CAR_CENTS: u64 = if VERSION == 1 { 12_000 } else { 12_500 };

pub(crate) fn reserve_flight(trip: Trip, call: &Call) -> Result<Confirmation> {
    let ask = Ask::new(call.saga(), call.step(), "reserve_flight").for_cents(FLIGHT_CENTS);
    ask.send(&trip.participants, &format!("flights/{}/reserve", trip.flight))
}

/// The participants know by trip and step what to cancel, so the confirmation is not needed: it may never have arrived.
pub(crate) fn cancel_flight(trip: Trip, _: Option<Confirmation>, call: &Call) -> Result {
    let ask = Ask::new(call.saga(), call.step(), "cancel_flight");
    ask.send(&trip.participants, &format!("flights/{}/cancel", trip.flight)).map(|_: TakenBack| ())
}

pub(crate) fn reserve_hotel(trip: Trip, call: &Call) -> Result<Confirmation> {
    let ask = Ask::new(call.saga(), call.step(), "reserve_hotel").for_cents(HOTEL_CENTS);
    ask.send(&trip.participants, &format!("hotels/{}/reserve", trip.hotel))
}

pub(crate) fn cancel_hotel(trip: Trip, _: Option<Confirmation>, call: &Call) -> Result {
    let ask = Ask::new(call.saga(), call.step(), "cancel_hotel");
    ask.send(&trip.participants, &format!("hotels/{}/cancel", trip.hotel)).map(|_: TakenBack| ())
}

pub(crate) fn reserve_car(trip: Trip, call: &Call) -> Result<Confirmation> {
    let ask = Ask::new(call.saga(), call.step(), "reserve_car").for_cents(CAR_CENTS);
    ask.send(&trip.participants, &format!("cars/{}/reserve", trip.car))
}

#[cfg(not(feature = "v2"))]
pub(crate) fn cancel_car(trip: Trip, _: Option<Confirmation>, call: &Call) -> Result {
    let ask = Ask::new(call.saga(), call.step(), "cancel_car");
    ask.send(&trip.participants, &format!("cars/{}/cancel", trip.car)).map(|_: TakenBack| ())
}

#[cfg(feature = "v2")]
pub(crate) fn give_back_car(trip: Trip, _: Option<Confirmation>, call: &Call) -> Result {
    let ask = Ask::new(call.saga(), call.step(), "give_back_car");
    ask.send(&trip.participants, &format!("cars/{}/cancel", trip.car)).map(|_: TakenBack| ())
}

pub(crate) fn charge(trip: Trip, call: &Call) -> Result<Confirmation> {
    let flight: Confirmation = call.output("reserve-flight")?;
    let hotel: Confirmation = call.output("reserve-hotel")?;
    let car: Confirmation = call.output("reserve-car")?;
    charge_cents(&trip, call, flight.amount_cents + hotel.amount_cents + car.amount_cents)
}

pub(crate) fn charge_flight(trip: Trip, call: &Call) -> Result<Confirmation> {
    let flight: Confirmation = call.output("reserve-flight")?;
    charge_cents(&trip, call, flight.amount_cents)
}

fn charge_cents(trip: &Trip, call: &Call, amount_cents: u64) -> Result<Confirmation> {
    let ask = Ask::new(call.saga(), call.step(), "charge").for_cents(amount_cents);
    ask.send(&trip.participants, &format!("accounts/{}/charge", trip.account))
}

pub(crate) fn issue_tickets(trip: Trip, call: &Call) -> Result<Booking> {
    let charge: Confirmation = call.output("charge")?;
    let ask = Ask::new(call.saga(), call.step(), "issue_tickets");
    let _: Confirmation = ask.send(&trip.participants, &format!("tickets/{}/issue", call.saga()))?;
    let (status, price) = ("BOOKED".to_owned(), decimal(charge.amount_cents));
    Ok(Booking { status, trip: call.saga().to_owned(), price, version: VERSION })
}

/// An email cannot be unsent, so it comes last.
pub(crate) fn email_itinerary(trip: Trip, call: &Call) -> Result {
    let booking: Booking = call.output("issue-tickets")?;
    let subject = format!("Your trip {} is booked for {}", booking.trip, booking.price);
    let ask = Ask::new(call.saga(), call.step(), "email_itinerary").email(&trip.email, subject);
    ask.send(&trip.participants, &format!("emails/{}/send", call.saga())).map(|_: Confirmation| ())
}
