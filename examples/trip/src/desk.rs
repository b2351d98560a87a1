//! How the participants are asked, and what they answer.

use amends_sdk::{Result, http};
use serde::{Deserialize, Serialize};

use crate::VERSION;

/// What is asked of a participant.
#[derive(Serialize)]
pub(crate) struct Ask<'a> {
    /// The trip, and the step that asks or had asked: the participants take hold once for both.
    pub(crate) trip: &'a str,
    pub(crate) step: &'a str,
    pub(crate) amount_cents: u64,
    /// The code that asks, for the participants' trace.
    pub(crate) by: String,
    #[serde(flatten)]
    pub(crate) email: Option<Email<'a>>,
}

#[derive(Serialize)]
pub(crate) struct Email<'a> {
    pub(crate) to: &'a str,
    pub(crate) subject: String,
}

/// What a participant says that took hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Confirmation {
    /// The participant's number for it.
    pub confirmation: String,
    /// What it costs.
    pub amount_cents: u64,
}

/// What a participant says when something was taken back.
#[derive(Debug, Deserialize)]
pub(crate) struct TakenBack {
    /// There was something to take back.
    pub(crate) undone: bool,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(trip: &'a str, step: &'a str, function: &str) -> Ask<'a> {
        Ask { trip, step, amount_cents: 0, by: format!("trip {VERSION} {function}"), email: None }
    }

    pub(crate) fn for_cents(self, amount_cents: u64) -> Ask<'a> {
        Ask { amount_cents, ..self }
    }

    pub(crate) fn email(self, to: &'a str, subject: String) -> Ask<'a> {
        Ask { email: Some(Email { to, subject }), ..self }
    }

    /// Asks the participant at `path`. A 409 is its refusal, with its own code.
    pub(crate) fn send<T: for<'de> Deserialize<'de>>(self, participants: &str, path: &str) -> Result<T> {
        Ok(http::post(format!("{participants}/{path}")).json(&self).send()?.ok()?.json()?)
    }
}

/// `870.00`
pub(crate) fn decimal(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
