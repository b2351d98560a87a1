//! Who is running: what every line of the log about a call carries, and what a crash marker needs.

use tracing::{
    Level,
    field::{DisplayValue, display},
};

use crate::{
    engine::guests::{CallId, GuestCall},
    journal::StreamId,
};

/// The name of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The module's name.
    pub module: String,
    /// The module's version; 0 while it is being verified.
    pub version: u32,
    /// For which stream, and which call; none while a module is being verified.
    pub of: Option<(StreamId, CallId)>,
}

impl Label {
    pub(super) fn of(call: &GuestCall) -> Self {
        Self { module: call.module.clone(), version: call.version, of: Some((call.of.clone(), call.work.id())) }
    }

    /// A module that is being verified: it has no name yet and runs for nobody.
    pub(super) fn nobody() -> Self {
        Self { module: String::new(), version: 0, of: None }
    }

    /// Where it lives; nowhere while a module is being verified.
    pub(super) fn namespace(&self) -> &str {
        self.of.as_ref().map_or("", |(of, _)| of.namespace.as_str())
    }

    /// The stream, for a line of the log.
    pub(super) fn stream(&self) -> Option<DisplayValue<&StreamId>> {
        self.of.as_ref().map(|(of, _)| display(of))
    }

    /// Which of its calls, for a line of the log.
    pub(super) fn call(&self) -> Option<DisplayValue<&CallId>> {
        self.of.as_ref().map(|(_, call)| display(call))
    }

    /// One line of the host's log in the name of this call.
    pub(super) fn emit(&self, level: Level, message: &str) {
        macro_rules! emit {
            ($level:expr) => {
                tracing::event!(
                    target: "amends::guest",
                    $level,
                    namespace = self.namespace(),
                    module = self.module,
                    version = self.version,
                    stream = self.stream(),
                    call = self.call(),
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
