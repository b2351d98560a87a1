//! How often and how long a step or a compensation is retried.

use std::time::Duration;

use crate::bindings::saga::exports::amends::module::saga as wit;
use crate::moment::millis;

/// How often and how long a step or a compensation is tried again.
///
/// Delays grow from [`first`](Retry::first) by [`factor_percent`](Retry::factor_percent) up to [`cap`](Retry::cap), each shifted
/// by at most [`jitter_percent`](Retry::jitter_percent) either way. Waits and faults of the host do not count as attempts.
///
/// | | attempts | time limit | when they are used up |
/// |---|---|---|---|
/// | a step up to the pivot | no limit | 24 h | the saga rolls back |
/// | a retriable step, a compensation | 20 | none | the saga is stuck |
///
/// In both cases the first delay is 200 ms, each delay is twice the one before up to 60 s, and the jitter is 20 %.
///
/// ```
/// use amends_sdk::Retry;
/// use std::time::Duration;
///
/// let patient = Retry::attempts(5).first(Duration::from_secs(1)).cap(Duration::from_secs(10));
/// let impatient = Retry::never();
/// let until_tonight = Retry::within(Duration::from_secs(6 * 3600));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Retry(pub(crate) wit::Retry);

impl Retry {
    /// At most this many attempts, at least one, however long they take.
    pub fn attempts(attempts_max: u32) -> Retry {
        Retry(wit::Retry { attempts_max: Some(attempts_max.max(1)), ..unlimited() })
    }

    /// Any number of attempts within this time from the first one on, waits excluded.
    pub fn within(time_box: Duration) -> Retry {
        Retry(wit::Retry { time_box_ms: Some(millis(time_box)), ..unlimited() })
    }

    /// One attempt.
    pub fn never() -> Retry {
        Retry::attempts(1)
    }

    /// The default of retriable steps and compensations: 20 attempts.
    pub(crate) fn until_stuck() -> Retry {
        Retry::attempts(20)
    }

    /// The delay before the second attempt.
    pub fn first(self, delay: Duration) -> Retry {
        Retry(wit::Retry { first_ms: millis(delay), ..self.0 })
    }

    /// The ratio of each delay to the one before, in percent: 200 doubles it.
    pub fn factor_percent(self, factor_percent: u32) -> Retry {
        Retry(wit::Retry { factor_percent, ..self.0 })
    }

    /// The longest delay.
    pub fn cap(self, delay: Duration) -> Retry {
        Retry(wit::Retry { cap_ms: millis(delay), ..self.0 })
    }

    /// How far a delay may shift either way, in percent, so that sagas that failed together are not retried together.
    pub fn jitter_percent(self, jitter_percent: u8) -> Retry {
        Retry(wit::Retry { jitter_percent: jitter_percent.min(100), ..self.0 })
    }

    /// Adds a time limit to a number of attempts.
    pub fn time_box(self, time_box: Duration) -> Retry {
        Retry(wit::Retry { time_box_ms: Some(millis(time_box)), ..self.0 })
    }

    /// The delay after attempt `attempt`, without its jitter.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn delay_ms(policy: &wit::Retry, attempt: u32) -> u64 {
        let grown = (1..attempt).try_fold(policy.first_ms, |delay, _| {
            Some(delay.checked_mul(u64::from(policy.factor_percent))? / 100).filter(|delay| *delay < policy.cap_ms)
        });
        grown.unwrap_or(policy.cap_ms).min(policy.cap_ms)
    }
}

/// The default of a step up to the pivot: no limit on attempts, 24 hours.
impl Default for Retry {
    fn default() -> Retry {
        Retry::within(Duration::from_secs(24 * 3600))
    }
}

fn unlimited() -> wit::Retry {
    wit::Retry { attempts_max: None, first_ms: 200, factor_percent: 200, cap_ms: 60_000, jitter_percent: 20, time_box_ms: None }
}
