//! When to try again: exponential backoff, a cap, jitter, a limit and a time box.

use super::definition::Retry;
use crate::value::Instant;

/// No leg is called again sooner, whatever its guest says and its definition declares: a guest decides how often it is called,
/// and each call is records on the host's disk.
pub const AGAIN_MS_MIN: u64 = 10;

/// What a leg has used of its budget so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Attempts that count: waits and faults of the host do not.
    pub attempts: u32,
    /// The first intent of this budget.
    pub since: Instant,
    /// How long the leg has waited meanwhile, for what it asked for or for the host; that does not run against the time box.
    pub waited_ms: u64,
}

/// The moment of the next attempt, or none if the budget is used up.
///
/// The n-th delay is `first_ms * factor^(n-1)`, at most `cap_ms`, shifted by at most `jitter_percent` either way
/// as `jitter` says: any 64 random bits; it is at least [`AGAIN_MS_MIN`]. An attempt that would begin after the time box is not begun.
pub fn next_attempt(retry: &Retry, spent: Spent, now: Instant, jitter: u64) -> Option<Instant> {
    if retry.attempts_max.is_some_and(|max| spent.attempts >= max) {
        return None;
    }
    let at = now.plus(shifted(delay_ms(retry, spent.attempts), retry.jitter_percent, jitter).max(AGAIN_MS_MIN));
    let in_the_box = retry.time_box_ms.is_none_or(|ms| at <= spent.since.plus(ms).plus(spent.waited_ms));
    in_the_box.then_some(at)
}

/// The shortest wait that a leg gets with its so many-th attempt: [`AGAIN_MS_MIN`], and from the fifth attempt on twice as much with each
/// one, up to 1.28 seconds. A guest that waits again and again for a moment that has passed gets nowhere, and each turn of it costs
/// records, a commit and an attempt.
pub fn shortest_wait_ms(attempts: u32) -> u64 {
    AGAIN_MS_MIN << attempts.saturating_sub(4).min(7)
}

/// The moment of the next attempt after a fault of the host, which uses no budget up and has no limit: 200 ms after the leg's
/// first attempt, twice as long after each further one, at most a minute.
pub fn after_host_fault(attempts: u32, now: Instant, jitter: u64) -> Instant {
    let retry = Retry::forward();
    now.plus(shifted(delay_ms(&retry, attempts), retry.jitter_percent, jitter))
}

fn delay_ms(retry: &Retry, attempts: u32) -> u64 {
    let mut delay = u128::from(retry.first_ms);
    for _ in 1..attempts {
        if delay >= u128::from(retry.cap_ms) || retry.factor_percent <= 100 {
            break;
        }
        delay = (delay * u128::from(retry.factor_percent) / 100).max(delay);
        if delay == 0 {
            break;
        }
    }
    u64::try_from(delay).unwrap_or(u64::MAX).min(retry.cap_ms)
}

fn shifted(delay_ms: u64, percent: u8, jitter: u64) -> u64 {
    let reach = u128::from(delay_ms) * u128::from(percent.min(100)) / 100;
    let offset = u128::from(jitter) % (2 * reach + 1);
    u64::try_from(u128::from(delay_ms) + offset - reach).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(retry: &Retry, jitter: u64) -> Vec<u64> {
        let spent = |attempts| Spent { attempts, since: Instant(0), waited_ms: 0 };
        (1..=6).filter_map(|n| next_attempt(retry, spent(n), Instant(0), jitter)).map(|at| at.0).collect()
    }

    #[test]
    fn delays_double_up_to_the_cap() {
        let retry = Retry { cap_ms: 1_000, jitter_percent: 0, ..Retry::forward() };
        assert_eq!(delays(&retry, 9), [200, 400, 800, 1_000, 1_000, 1_000]);
    }

    /// A compensation without a limit of attempts and without a delay was called again at once, for ever: only the way forward
    /// had an end, and the records of the way back filled the disk.
    #[test]
    fn no_delay_is_less_than_the_least_one() {
        let retry = Retry { first_ms: 0, cap_ms: 0, attempts_max: None, ..Retry::forward() };
        assert_eq!(delays(&retry, 9), [AGAIN_MS_MIN; 6]);
    }

    #[test]
    fn jitter_shifts_a_delay_by_at_most_its_percentage_either_way() {
        let retry = Retry { factor_percent: 100, jitter_percent: 20, ..Retry::forward() };
        let seen: Vec<u64> = (0..200).flat_map(|jitter| delays(&retry, jitter)).collect();
        assert_eq!((seen.iter().min(), seen.iter().max()), (Some(&160), Some(&240)));
    }

    #[test]
    fn attempts_and_the_time_box_both_end_the_budget_but_waits_do_not_run_against_it() {
        let retry = Retry { attempts_max: Some(3), ..Retry::forward() };
        assert_eq!(delays(&retry, 0).len(), 2);
        let boxed = Retry { time_box_ms: Some(1_000), jitter_percent: 0, ..Retry::forward() };
        let spent = Spent { attempts: 1, since: Instant(0), waited_ms: 0 };
        assert_eq!(next_attempt(&boxed, spent, Instant(900), 0), None);
        assert_eq!(next_attempt(&boxed, Spent { waited_ms: 500, ..spent }, Instant(900), 0), Some(Instant(1_100)));
    }
}
