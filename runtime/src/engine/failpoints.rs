//! Named points at which the binary under test kills itself: `AMENDS_FAILPOINT=name:nth`. Compiled in by feature `testing` only.
//!
//! | name | what is durable |
//! |---|---|
//! | `accepted` | nothing: the start is decided |
//! | `intent-durable` | the intent; the guest was not called |
//! | `guest-running` | the intent; the guest runs |
//! | `outcome-seen` | the intent; the outcome is in memory |
//! | `outcome-durable` | the outcome |
//! | `rollback-durable` | the decision to roll back |
//! | `last-step-durable`, `end-durable` | the last outcome, and with it the end: they share a commit |
//!
//! Those of an attempt have the prefix `undo-` for compensations.

#[cfg(feature = "testing")]
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(feature = "testing")]
use amends_core::id::Direction;
use amends_core::{Event, event::Attempt};

use crate::store::Position;

/// Points that fire when a position is durable, and the one that kills. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failpoints {
    #[cfg(feature = "testing")]
    armed: Option<Arc<Mutex<Armed>>>,
}

#[cfg(feature = "testing")]
#[derive(Debug)]
struct Armed {
    name: String,
    left: u32,
    durable: std::collections::VecDeque<(Position, &'static str)>,
}

#[cfg(not(feature = "testing"))]
impl Failpoints {
    pub(crate) fn from_environment() -> Self {
        Self {}
    }

    pub(crate) fn reached(&self, _name: &str) {}

    pub(crate) fn of_attempt(&self, _name: &str, _attempt: &Attempt) {}

    pub(crate) fn placed(&self, _position: Position, _event: &Event) {}

    pub(crate) fn durable(&self, _position: Position) {}
}

#[cfg(feature = "testing")]
impl Failpoints {
    /// Reads `AMENDS_FAILPOINT`; what it cannot read it says and ignores.
    pub(crate) fn from_environment() -> Self {
        let Ok(text) = std::env::var("AMENDS_FAILPOINT") else { return Self::default() };
        let armed = text.split_once(':').and_then(|(name, nth)| Some((name.to_owned(), nth.parse().ok()?)));
        match armed {
            Some((name, left)) => {
                let armed = Armed { name, left, durable: std::collections::VecDeque::new() };
                Self { armed: Some(Arc::new(Mutex::new(armed))) }
            }
            None => {
                tracing::error!(text, "AMENDS_FAILPOINT is name:nth");
                Self::default()
            }
        }
    }

    fn armed(&self) -> Option<MutexGuard<'_, Armed>> {
        self.armed.as_ref().map(|armed| armed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The point is passed; the nth time the process ends here, as by `kill -9`.
    pub(crate) fn reached(&self, name: &str) {
        let Some(mut armed) = self.armed().filter(|armed| armed.name == name) else { return };
        armed.left = armed.left.saturating_sub(1);
        if armed.left == 0 {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }

    pub(crate) fn of_attempt(&self, name: &str, attempt: &Attempt) {
        match attempt.leg.direction {
            Direction::Undo(_) => self.reached(&format!("undo-{name}")),
            Direction::Forward | Direction::Check => self.reached(name),
        }
    }

    /// An event got its place: what it means is passed when the position is durable.
    pub(crate) fn placed(&self, position: Position, event: &Event) {
        let Some(mut armed) = self.armed() else { return };
        let undo = |attempt: &Attempt| matches!(attempt.leg.direction, Direction::Undo(_));
        let name = match event {
            Event::Undone(_) => "undo-outcome-durable",
            Event::Transient(attempt, ..) | Event::Unknown(attempt, ..) if undo(attempt) => "undo-outcome-durable",
            Event::Done(..) | Event::Refused(..) | Event::Transient(..) | Event::Unknown(..) => "outcome-durable",
            Event::RollbackBegun(_) => "rollback-durable",
            Event::Completed => {
                armed.durable.push_back((position, "last-step-durable"));
                "end-durable"
            }
            Event::Compensated => "end-durable",
            _ => return,
        };
        armed.durable.push_back((position, name));
    }

    pub(crate) fn durable(&self, position: Position) {
        while let Some((_, name)) = self.armed().and_then(|mut armed| {
            let due = armed.durable.front().is_some_and(|(at, _)| *at <= position);
            due.then(|| armed.durable.pop_front()).flatten()
        }) {
            self.reached(name);
        }
    }
}
