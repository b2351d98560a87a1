//! How the participants are asked, and what they answer.

use amends_sdk::{Call, Result, http};
use serde::{Deserialize, Serialize};

use crate::VERSION;

/// What is asked of a participant. It takes hold once for a trip and a step; the step is known by its path, because
/// `reserve-outbound` is another one for each traveller.
#[derive(Serialize)]
pub(crate) struct Ask<'a> {
    trip: &'a str,
    step: &'a str,
    amount_cents: u64,
    /// The code that asks, for the participants' trace.
    by: String,
    to: &'a str,
    subject: String,
}

/// What a participant says that took hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Confirmation {
    /// The participant's number for it.
    pub confirmation: String,
    /// What it costs.
    pub amount_cents: u64,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(call: &'a Call) -> Ask<'a> {
        let by = format!("itinerary {VERSION}");
        Ask { trip: call.saga(), step: call.path(), amount_cents: 0, by, to: "", subject: String::new() }
    }

    pub(crate) fn for_cents(self, amount_cents: u64) -> Ask<'a> {
        Ask { amount_cents, ..self }
    }

    pub(crate) fn email(self, to: &'a str, subject: String) -> Ask<'a> {
        Ask { to, subject, ..self }
    }

    /// Asks the participant at `path`. A 409 is its refusal, with its own code.
    pub(crate) fn send<T: for<'de> Deserialize<'de>>(self, participants: &str, path: &str) -> Result<T> {
        Ok(http::post(format!("{participants}/{path}")).json(&self).send()?.ok()?.json()?)
    }

    /// Asks it to take back what this step had asked for. Whether there was anything does not matter.
    pub(crate) fn take_back(self, participants: &str, path: &str) -> Result {
        http::post(format!("{participants}/{path}")).json(&self).send()?.ok()?;
        Ok(())
    }
}
