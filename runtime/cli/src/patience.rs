//! Asking again: within the host's bound of a wait, and across its restarts.

use std::{thread, time::Duration};

use super::session::say;
use amends_client::ClientError;

/// A host that restarts is back within seconds.
const REPEATS_MAX: u32 = 60;

/// Between two requests of which the first got no answer.
pub(super) const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 500 });

/// How long one request may wait, and how often in a row there was no answer.
pub(super) struct Patience {
    wait: Duration,
    failed: u32,
}

impl Patience {
    /// For requests that wait this long, or as long as the host takes if that is less.
    pub(super) fn new(wait: Duration) -> Self {
        Self { wait, failed: 0 }
    }

    /// How long the next request may wait.
    pub(super) fn wait(&self) -> Duration {
        self.wait
    }

    /// The host answered.
    pub(super) fn answered(&mut self) {
        self.failed = 0;
    }

    /// After an error: whether the same may be asked again now, and else the error.
    pub(super) fn outlasts(&mut self, error: ClientError) -> Result<(), ClientError> {
        if let Some(max) = error.wait_max().filter(|max| *max < self.wait) {
            self.wait = max;
            return Ok(());
        }
        if !error.is_temporary() || self.failed == REPEATS_MAX {
            return Err(error);
        }
        if self.failed == 0 {
            say(&format!(
                "{}; asking again …",
                error.no_host().map_or_else(|| error.to_string(), |why| format!("the host is away ({why})"))
            ));
        }
        self.failed += 1;
        thread::sleep(PAUSE);
        Ok(())
    }
}
