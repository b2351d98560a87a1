//! Orders, an aggregate of the module `credit`: as much of them as the policies read and ask.

use amends_sdk::{Command, Event};
use serde::{Deserialize, Serialize};

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
    /// The customer does not have it any more.
    Cancelled,
}

/// What an order is asked to do.
#[derive(Command, Serialize, Deserialize)]
#[command(aggregate = "order")]
pub enum Do {
    /// Its customer has the credit.
    Approve,
    /// Its customer does not have the credit.
    Reject {
        /// Why not: the code of the refusal.
        reason: String,
    },
}
