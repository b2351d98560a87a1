//! The one shape of every error answer, and which status fits which refusal.

use std::time::Duration;

use amends_wire::{
    Json as Value,
    error::{ErrorBody, ErrorDetail},
    verb::Verb,
};
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{present::remedy, strict::BadJson};
use crate::{
    engine::port::{Refusal, RefusalCode},
    service::{deploy::DeployError, verify::Unverified},
    trouble::Trouble,
};

/// An error answer: `{"error":{"code","message","hint","fits"}}` with the fitting status.
#[derive(Debug)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    detail: Box<ErrorDetail>,
}

/// A body, by what it is.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// A component to deploy.
    Component,
    /// A saga's input.
    Input,
    /// The data of a signal or a command.
    Data,
    /// A step's output, said by hand.
    Output,
    /// Many events.
    Batch,
    /// Anything else, in JSON.
    Body,
}

impl Part {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Component => "component",
            Self::Input => "input",
            Self::Data => "data",
            Self::Output => "output",
            Self::Batch => "batch",
            Self::Body => "body",
        }
    }

    /// What to do where it is too large.
    fn remedy(self) -> &'static str {
        match self {
            Self::Component => "strip it (`strip = true` and `opt-level = \"s\"` in its profile), or raise `wasm` in [limits]",
            Self::Input | Self::Data | Self::Output | Self::Body => {
                "send a reference to what is large, or raise `payload` in [limits]"
            }
            Self::Batch => "send its events in several batches",
        }
    }
}

impl ApiError {
    /// An error with a code for machines and a message for people.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        let detail = ErrorDetail { code: code.to_owned(), message: message.into(), ..ErrorDetail::default() };
        Self { status, detail: Box::new(detail) }
    }

    /// 400: the request itself is wrong.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// For machines.
    pub fn code(&self) -> &str {
        &self.detail.code
    }

    /// For people.
    pub fn message(&self) -> &str {
        &self.detail.message
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.detail.hint = Some(hint.into());
        self
    }

    /// 400: a client that waits for longer asks again, with at most the time that is told.
    pub fn wait_too_long(asked: &str, ms_max: u64) -> Self {
        let mut error = Self::new(StatusCode::BAD_REQUEST, "wait_too_long", format!("wait `{asked}` is too long"));
        error.detail.wait_ms_max = Some(ms_max);
        error.hint(format!(
            "ask again and again, each time for at most {}",
            humantime::format_duration(Duration::from_millis(ms_max))
        ))
    }

    /// 413: more bytes than the host takes.
    pub fn too_large(part: Part, bytes_max: usize) -> Self {
        let message = format!("the {} is larger than {bytes_max} bytes", part.name());
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message).hint(part.remedy())
    }

    /// 404: no such saga.
    pub fn saga_not_found(id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "saga_not_found", format!("no saga `{id}` in this namespace"))
            .hint("`amends list` shows the sagas that there are")
    }

    /// 409: the aggregate's own refusal, with its own code.
    pub fn refused(code: &str, message: &str, data: Option<Value>) -> Self {
        let detail = ErrorDetail { code: code.to_owned(), message: message.to_owned(), data, ..ErrorDetail::default() };
        Self { status: StatusCode::CONFLICT, detail: Box::new(detail) }
    }

    /// What it says, where it is part of an answer.
    pub fn into_detail(self) -> ErrorDetail {
        *self.detail
    }

    /// The same, with another status.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// 500: our bug.
    pub fn internal(what: &str) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", format!("the host failed: {what}"))
            .hint("its log says more; this is a bug")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(ErrorBody { error: *self.detail })).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            // Clients that honour it spread out; a second is longer than any queue of ours takes to drain.
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<BadJson> for ApiError {
    fn from(bad: BadJson) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_json", format!("bad JSON: {}", bad.0))
    }
}

impl From<amends_core::id::BadName> for ApiError {
    fn from(bad: amends_core::id::BadName) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_name", bad.to_string())
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let (status, code, hint) = (status(refusal.code), refusal.code.as_str(), remedy::hint(&refusal.hints));
        let fits = refusal.fits.iter().filter_map(|verb| Verb::named(verb)).collect();
        let revision = refusal.revision.map(|revision| revision.to_string());
        // A request that states a revision is a conditional one.
        let status = if revision.is_some() { StatusCode::PRECONDITION_FAILED } else { status };
        let (code, message, reasons) = (code.into(), refusal.message, refusal.reasons);
        let detail = ErrorDetail { code, message, hint, fits, reasons, revision, ..ErrorDetail::default() };
        Self { status, detail: Box::new(detail) }
    }
}

impl From<Unverified> for ApiError {
    fn from(unverified: Unverified) -> Self {
        let detail = ErrorDetail {
            code: unverified.code.to_owned(),
            message: unverified.reasons.join("; "),
            hint: unverified.hint,
            reasons: unverified.reasons,
            ..ErrorDetail::default()
        };
        let status = match unverified.trouble {
            Trouble::Component => StatusCode::UNPROCESSABLE_ENTITY,
            Trouble::Host => StatusCode::SERVICE_UNAVAILABLE,
            Trouble::Bug => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, detail: Box::new(detail) }
    }
}

impl From<DeployError> for ApiError {
    fn from(error: DeployError) -> Self {
        match error {
            DeployError::Unverified(unverified) => unverified.into(),
            DeployError::OtherName { inside, sent } => {
                let message = format!("the component names itself `{inside}`, not `{sent}`");
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "name_mismatch", message)
                    .hint(format!("deploy it as `{inside}`, or change the name in its source"))
            }
            DeployError::Refused(refusal) => refusal.into(),
            DeployError::Panicked(what) => Self::internal(&what),
        }
    }
}

fn status(code: RefusalCode) -> StatusCode {
    match code {
        RefusalCode::SagaNotFound
        | RefusalCode::DefinitionNotFound
        | RefusalCode::ModuleNotFound
        | RefusalCode::VersionNotFound
        | RefusalCode::StepNotFound
        | RefusalCode::ScheduleNotFound
        | RefusalCode::JobNotFound
        | RefusalCode::NoHandler
        | RefusalCode::NoSuchAggregate
        | RefusalCode::NoSuchView
        | RefusalCode::NoSuchPolicy
        | RefusalCode::NoSuchQuery => StatusCode::NOT_FOUND,
        RefusalCode::IdTaken
        | RefusalCode::SagaEnded
        | RefusalCode::VerbDoesNotFit
        | RefusalCode::PastPointOfNoReturn
        | RefusalCode::RevisionChanged
        | RefusalCode::NameTaken
        | RefusalCode::GrantInUse
        | RefusalCode::VersionActive
        | RefusalCode::VersionInUse
        | RefusalCode::Quarantined
        | RefusalCode::TooManySchedules
        | RefusalCode::Exists
        | RefusalCode::ShapesUnreadable
        | RefusalCode::StatesUnreadable
        | RefusalCode::TooDeep
        | RefusalCode::StatesDiffer
        | RefusalCode::Locked => StatusCode::CONFLICT,
        RefusalCode::KeyReused
        | RefusalCode::NoLockKey
        | RefusalCode::InputDoesNotFit
        | RefusalCode::InputRefused
        | RefusalCode::BadSchedule
        | RefusalCode::BadCron
        | RefusalCode::NeverFires
        | RefusalCode::UnknownZone
        | RefusalCode::TimePassed
        | RefusalCode::NothingMatches => StatusCode::UNPROCESSABLE_ENTITY,
        RefusalCode::GuestFailed => StatusCode::INTERNAL_SERVER_ERROR,
        RefusalCode::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        RefusalCode::LowSpace => StatusCode::INSUFFICIENT_STORAGE,
        RefusalCode::Overloaded | RefusalCode::Stopping | RefusalCode::StorageFailed | RefusalCode::Behind => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}
