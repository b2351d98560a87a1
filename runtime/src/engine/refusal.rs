//! Why a request is refused: a code for machines, words and a remedy for people. It knows no command line and no HTTP.

use amends_core::id::SagaId;
use serde::{Deserialize, Serialize};

pub use amends_core::refused::RefusalCode;

/// Why a request was refused. Variants are decisions for the client; the text says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which HTTP status and error code fit.
    pub code: RefusalCode,
    /// What happened, to which thing.
    pub message: String,
    /// What to do about it.
    pub hints: Vec<Hint>,
    /// The verbs that fit instead.
    pub fits: Vec<&'static str>,
    /// Each thing that stands against it, where there may be several.
    pub reasons: Vec<String>,
    /// The revision that an aggregate has, where the request stated another one.
    pub revision: Option<u64>,
}

impl Refusal {
    /// A refusal without a hint.
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hints: Vec::new(), fits: Vec::new(), reasons: Vec::new(), revision: None }
    }

    /// With what to do about it, in words without commands.
    #[must_use]
    pub fn hint(mut self, words: impl Into<String>) -> Self {
        self.hints.push(Hint { words: words.into(), remedy: None });
        self
    }

    /// With what to do about it, and the request that does it. Who shows the refusal to people names the command that makes it.
    #[must_use]
    pub fn remedy(mut self, words: impl Into<String>, remedy: Remedy) -> Self {
        self.hints.push(Hint { words: words.into(), remedy: Some(remedy) });
        self
    }
}

/// The name that was probably meant.
pub(crate) fn nearest<'a>(meant: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |name: &str| strsim::jaro_winkler(meant, name);
    let best = names.map(|name| (likeness(name), name)).max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(likeness, _)| *likeness > 0.8).map(|(_, name)| name)
}

/// Something to do about a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// What to do, in words without commands.
    pub words: String,
    /// The request that does it.
    pub remedy: Option<Remedy>,
}

/// A request that helps after a refusal, or that shows what helps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Remedy {
    /// List the sagas of the namespace.
    ListSagas,
    /// Show this saga: its steps, its status, what is outstanding.
    ShowSaga(SagaId),
    /// Start the saga.
    StartSaga,
    /// Deploy a module.
    Deploy,
    /// Show this module: its versions and what runs on them.
    ShowModule(String),
    /// Activate a version of this module.
    Activate(String),
    /// Revoke grants of this module although sagas in flight declare them.
    RevokeByForce(String),
    /// Show this saga definition with the schema of its input.
    ShowDefinition(String),
    /// List the schedules of the namespace.
    ListSchedules,
    /// Show this schedule.
    ShowSchedule(String),
    /// List the jobs of the namespace.
    ListJobs,
}
