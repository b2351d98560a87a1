//! A trip: flight, hotel and car are reserved, charged, ticketed and confirmed, or all undone.
//!
//! Four sagas: `trip` does it step by step, `trip-parallel` reserves the three at once, `flight` books a flight only, and
//! `trip-refund` takes back a trip that was charged already. The participants are called over HTTP; the input says where they
//! are.

#![forbid(unsafe_code)]

mod desk;
mod refund;
mod steps;
#[cfg(test)]
mod tests;

use std::time::Duration;

use amends_sdk::{Module, Retry, Saga, Step, kind};
use serde::{Deserialize, Serialize};

pub use desk::Confirmation;
pub use refund::{Refund, Refunded, trip_refund};

/// The version that outputs and requests name.
pub const VERSION: u32 = if cfg!(feature = "v2") { 2 } else { 1 };

/// What to book.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trip {
    /// Where the participants are: `http://127.0.0.1:8430`.
    pub participants: String,
    /// The flight; `F100` if it is missing.
    #[serde(default = "flight_f100")]
    pub flight: String,
    /// The hotel; `H1` if it is missing.
    #[serde(default = "hotel_h1")]
    pub hotel: String,
    /// The car; `K1` if it is missing.
    #[serde(default = "car_k1")]
    pub car: String,
    /// Who pays; `A` if it is missing.
    #[serde(default = "account_a")]
    pub account: String,
    /// Where the itinerary goes.
    #[serde(default = "traveller")]
    pub email: String,
}

/// A trip that is booked; the output of `trip` and `trip-parallel`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Booking {
    /// `BOOKED`.
    pub status: String,
    /// The saga's id.
    pub trip: String,
    /// What it costs, as `870.00`.
    pub price: String,
    /// The version of the module that booked it.
    pub version: u32,
}

/// The module.
pub fn module() -> Module {
    Module::new("trip").saga(trip()).saga(trip_parallel()).saga(flight()).saga(trip_refund())
}
amends_sdk::export!(saga: module);

/// Six steps, one after the other.
pub fn trip() -> Saga<Trip> {
    Saga::new("trip")
        .version(VERSION)
        .step(reserve_flight())
        .step(reserve_hotel())
        .step(reserve_car())
        .step(Step::pivot("charge", steps::charge).needs(["reserve-flight", "reserve-hotel", "reserve-car"]))
        .step(Step::retriable("issue-tickets", steps::issue_tickets).needs(["charge"]))
        .step(Step::retriable("email-itinerary", steps::email_itinerary).needs(["issue-tickets"]))
        .output("issue-tickets")
}

/// The same with the three reservations in parallel.
pub fn trip_parallel() -> Saga<Trip> {
    Saga::new("trip-parallel")
        .version(VERSION)
        .parallel((reserve_flight(), reserve_hotel(), reserve_car()))
        .step(Step::pivot("charge", steps::charge).needs(["reserve-flight", "reserve-hotel", "reserve-car"]))
        .step(Step::retriable("issue-tickets", steps::issue_tickets).needs(["charge"]))
        .step(Step::retriable("email-itinerary", steps::email_itinerary).needs(["issue-tickets"]))
        .output("issue-tickets")
}

/// A flight and nothing else.
pub fn flight() -> Saga<Trip> {
    Saga::new("flight")
        .version(VERSION)
        .step(reserve_flight())
        .step(Step::pivot("charge", steps::charge_flight).needs(["reserve-flight"]))
}

fn reserve_flight() -> Step<kind::Compensatable, Trip, Confirmation> {
    Step::compensatable("reserve-flight", steps::reserve_flight).undo(steps::cancel_flight).undo_retry(Retry::attempts(5))
}

/// A hotel that does not answer within 30 seconds is not asked again: the trip is given up, and the hotel told.
fn reserve_hotel() -> Step<kind::Compensatable, Trip, Confirmation> {
    Step::compensatable("reserve-hotel", steps::reserve_hotel)
        .deadline(Duration::from_secs(30))
        .once_then_rollback()
        .undo(steps::cancel_hotel)
        .undo_retry(Retry::attempts(5))
}

#[cfg(not(feature = "v2"))]
fn reserve_car() -> Step<kind::Compensatable, Trip, Confirmation> {
    Step::compensatable("reserve-car", steps::reserve_car).undo(steps::cancel_car).undo_retry(Retry::attempts(5))
}

/// Version 2 asks 125.00 for the car, and undoes it by another function under another name.
#[cfg(feature = "v2")]
fn reserve_car() -> Step<kind::Compensatable, Trip, Confirmation> {
    Step::compensatable("reserve-car", steps::reserve_car).undo(steps::give_back_car).undo_retry(Retry::attempts(5))
}

fn flight_f100() -> String {
    "F100".to_owned()
}

fn hotel_h1() -> String {
    "H1".to_owned()
}

fn car_k1() -> String {
    "K1".to_owned()
}

fn account_a() -> String {
    "A".to_owned()
}

fn traveller() -> String {
    "traveller@example.org".to_owned()
}
