//! The request and the result of a call.

use axum::extract::Query;
use axum::http::Uri;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The body of every call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The trip, transfer or group that it is for: the saga's id.
    #[serde(alias = "transfer", alias = "group")]
    pub trip: String,
    /// The calling step of the saga; a call that undoes something names the step that requested it.
    pub step: String,
    /// The price, in cents.
    #[serde(default)]
    pub amount_cents: u64,
    /// The calling code, as `trip 1`.
    #[serde(default)]
    pub by: String,
    /// The receiver of an email.
    #[serde(default)]
    pub to: String,
    /// The subject of an email.
    #[serde(default)]
    pub subject: String,
}

/// The query of a `GET` for the effect of a call.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Look {
    /// The trip, transfer or group that the call was for.
    #[serde(alias = "transfer", alias = "group")]
    pub trip: String,
    /// The calling step.
    pub step: String,
}

impl Look {
    /// The query of this URI: `/stays/s1/check-out?group=G1&step=check-out%5Bs1%5D`.
    pub fn of_uri(uri: &str) -> Option<Look> {
        Query::try_from_uri(&uri.parse::<Uri>().ok()?).ok().map(|Query(look)| look)
    }
}

/// The headers that matter, as the host of the saga adds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// `Idempotency-Key`: equal for equal calls.
    pub idempotency: Option<String>,
    /// `Amends-Step-Key`: equal in all attempts of a step.
    pub step: Option<String>,
    /// `Amends-Undoes`: the key of the step that a compensation undoes.
    pub undoes: Option<String>,
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The effect happened now.
    Done(Value),
    /// The effect had happened before; nothing changed.
    Repeated(Value),
    /// There was nothing to undo; a tombstone refuses a late request.
    Nothing(Value),
    /// The participant refused; nothing changed.
    Refused {
        /// For machines.
        code: String,
        /// For people.
        message: String,
    },
    /// The same key with another body; nothing changed.
    KeyReused,
    /// The requested effect has not happened.
    NotFound,
}

impl Answer {
    /// The HTTP status and body.
    pub fn http(&self) -> (u16, Value) {
        match self {
            Answer::Done(body) | Answer::Repeated(body) | Answer::Nothing(body) => (200, body.clone()),
            Answer::Refused { code, message } => (409, json!({"code": code, "message": message})),
            Answer::KeyReused => {
                (422, json!({"code": "key_reused", "message": "this Idempotency-Key came with another request before"}))
            }
            Answer::NotFound => (404, json!({"code": "not_found", "message": "nothing of it stands"})),
        }
    }

    /// The word in the trace.
    pub fn word(&self) -> String {
        match self {
            Answer::Done(_) => "done".to_owned(),
            Answer::Repeated(_) => "repeated".to_owned(),
            Answer::Nothing(_) => "nothing".to_owned(),
            Answer::Refused { code, .. } => format!("refused {code}"),
            Answer::KeyReused => "key reused".to_owned(),
            Answer::NotFound => "not found".to_owned(),
        }
    }
}
