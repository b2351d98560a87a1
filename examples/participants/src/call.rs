//! What comes with a call, and what is answered.

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
    /// The saga's step that asks; what takes something back names the step that had asked for it.
    pub step: String,
    /// What it costs, in cents.
    #[serde(default)]
    pub amount_cents: u64,
    /// The code that asks, as `trip 1`.
    #[serde(default)]
    pub by: String,
    /// To whom an email goes.
    #[serde(default)]
    pub to: String,
    /// What an email says.
    #[serde(default)]
    pub subject: String,
}

/// The query of a `GET` that asks what stands of a call.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Look {
    /// The trip, transfer or group that the call was for.
    #[serde(alias = "transfer", alias = "group")]
    pub trip: String,
    /// The step that asked.
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

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It took hold now.
    Done(Value),
    /// It had taken hold before; nothing changed.
    Repeated(Value),
    /// There was nothing to take back; a tombstone refuses what may still come.
    Nothing(Value),
    /// A decision against it; nothing changed.
    Refused {
        /// For machines.
        code: String,
        /// For people.
        message: String,
    },
    /// The same key with another body; nothing changed.
    KeyReused,
    /// Nothing that was asked for stands.
    NotFound,
}

impl Answer {
    /// As an HTTP status and body.
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

    /// A word for the trace.
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
