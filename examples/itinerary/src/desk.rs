//! The requests to the participants, and their answers.

use amends_sdk::{Call, Result, http};
use serde::{Deserialize, Serialize};

use crate::VERSION;

/// The request to a participant. It takes effect once for a trip and a step. The step is identified by its path, because each
/// traveller has a `reserve-outbound`.
#[derive(Serialize)]
pub(crate) struct Ask<'a> {
    trip: &'a str,
    step: &'a str,
    amount_cents: u64,
    /// The calling code, for the participants' trace.
    by: String,
    to: &'a str,
    subject: String,
}

/// The answer of a participant.
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

    /// Sends the request to `path`. A 409 is a refusal, with the code of the participant.
    pub(crate) fn send<T: for<'de> Deserialize<'de>>(self, participants: &str, path: &str) -> Result<T> {
        Ok(http::post(format!("{participants}/{path}")).json(&self).send()?.ok()?.json()?)
    }

    /// Asks the participant to undo the request of this step. It also succeeds if there is nothing to undo.
    pub(crate) fn take_back(self, participants: &str, path: &str) -> Result {
        http::post(format!("{participants}/{path}")).json(&self).send()?.ok()?;
        Ok(())
    }
}
