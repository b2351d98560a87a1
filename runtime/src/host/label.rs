//! Who is running: what every line of the log about an attempt carries, and what a crash marker needs.

use amends_core::{
    event::Attempt,
    id::{Leg, Namespace, SagaId, StepPath},
};
use tracing::Level;

use crate::engine::guests::AttemptCall;

/// The name of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Whose it is.
    pub namespace: Namespace,
    /// The module's name.
    pub module: String,
    /// The module's version; 0 while it is being verified.
    pub version: u32,
    /// The saga; none while a module is being verified.
    pub saga: Option<SagaId>,
    /// Which leg, which attempt.
    pub attempt: Attempt,
}

impl Label {
    pub(super) fn of(call: &AttemptCall) -> Self {
        Self {
            namespace: call.namespace.clone(),
            module: call.module.clone(),
            version: call.version,
            saga: Some(call.saga.clone()),
            attempt: call.attempt.clone(),
        }
    }

    /// A module that is being verified: it has no name yet and runs for nobody.
    pub(super) fn nobody() -> Self {
        #[expect(clippy::expect_used, reason = "a constant that fits the rule")]
        let namespace = Namespace::new("default").expect("a valid namespace");
        let attempt = Attempt { leg: Leg::forward(StepPath::new("describe")), number: 0 };
        Self { namespace, module: String::new(), version: 0, saga: None, attempt }
    }

    /// One line of the host's log in the name of this attempt.
    pub(super) fn emit(&self, level: Level, message: &str) {
        let saga = self.saga.as_ref().map_or("", SagaId::as_str);
        macro_rules! emit {
            ($level:expr) => {
                tracing::event!(
                    target: "amends::guest",
                    $level,
                    namespace = self.namespace.as_str(),
                    module = self.module,
                    version = self.version,
                    saga,
                    step = %self.attempt.leg,
                    attempt = self.attempt.number,
                    "{message}"
                )
            };
        }
        match level {
            Level::ERROR => emit!(Level::ERROR),
            Level::WARN => emit!(Level::WARN),
            Level::INFO => emit!(Level::INFO),
            Level::DEBUG => emit!(Level::DEBUG),
            Level::TRACE => emit!(Level::TRACE),
        }
    }
}
