//! The two clocks of a host, and the one place that reads the machine's.
//!
//! The wall clock says when: moments in the journal, timers, schedules, deadlines of sagas. Somebody may set it, forward or back.
//! The uptime says how long: deadlines of attempts that run. Nobody sets it, and it means nothing after a restart.

#[cfg(feature = "testing")]
mod steered;

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use amends_core::Instant;

use crate::{engine::driver::Clock, host::Uptime};

/// What tells the time. Cloning shares it.
#[derive(Clone)]
pub struct Clocks {
    /// The wall clock.
    pub wall: Clock,
    /// How long this process has run.
    pub uptime: Uptime,
}

/// The clocks of this machine; tests may move them.
pub fn of_machine() -> Clocks {
    let wall: Clock = Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Instant(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    });
    let clocks = Clocks { wall, uptime: uptime() };
    #[cfg(feature = "testing")]
    let clocks = steered::steered(clocks);
    clocks
}

/// How long it is since this was called.
pub fn uptime() -> Uptime {
    let began = std::time::Instant::now();
    Arc::new(move || began.elapsed())
}
