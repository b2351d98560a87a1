//! Customers, an aggregate of the module `credit`: as much of them as the policies read and ask.

use amends_sdk::{Command, Event};
use serde::{Deserialize, Serialize};

/// What happened to a customer.
#[derive(Event, Serialize, Deserialize)]
#[event(aggregate = "customer")]
pub enum Did {
    /// An order has credit.
    CreditReserved {
        /// The order's id.
        order: String,
    },
}

/// What a customer is asked to do.
#[derive(Command, Serialize, Deserialize)]
#[command(aggregate = "customer")]
pub enum Do {
    /// Reserves credit for an order.
    ReserveCredit {
        /// The order's id.
        order: String,
        /// Its total.
        cents: u64,
    },
    /// Releases what an order has reserved, and whatever it would reserve later.
    ReleaseCredit {
        /// The order's id.
        order: String,
    },
}
