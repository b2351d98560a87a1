//! The attempts of one leg: how many there were, when the next is due, and what it waits for.

use std::time::Duration;

use crate::bindings::saga::exports::amends::module::saga::{
    Arrival, EventArrival, Failure as WitFailure, Retry as WitRetry, Wait,
};
use crate::moment::millis;
use crate::{Moment, Retry};

/// The attempts of one leg.
#[derive(Default)]
pub(super) struct Tries {
    pub(super) attempt: u32,
    /// Attempts that did not end in a wait.
    used: u32,
    ready: Option<Moment>,
    waited: Duration,
    pub(super) again_at: Option<Moment>,
    pub(super) waiting: Option<(Wait, Moment)>,
    /// Stays until the next wait: an approval is not lost to a retry.
    pub(super) arrived: Option<Arrival>,
    pub(super) last_failure: Option<WitFailure>,
}

impl Tries {
    /// The next attempt begins; the moment at which the first one was ready.
    pub(super) fn begin(&mut self, now: Moment) -> Moment {
        self.attempt += 1;
        self.again_at = None;
        *self.ready.get_or_insert(now)
    }

    /// Plans another attempt; false if none is left.
    pub(super) fn again(&mut self, failure: WitFailure, policy: &WitRetry, now: Moment) -> bool {
        self.used += 1;
        self.last_failure = Some(failure);
        let again_at = now + Duration::from_millis(Retry::delay_ms(policy, self.used));
        self.again_at = Some(again_at);
        let spent = again_at.since(self.ready.unwrap_or(now)).saturating_sub(self.waited);
        let in_box = policy.time_box_ms.is_none_or(|time_box_ms| millis(spent) <= time_box_ms);
        policy.attempts_max.is_none_or(|attempts_max| self.used < attempts_max) && in_box
    }

    pub(super) fn wait(&mut self, wait: Wait, kept: &mut Vec<EventArrival>, now: Moment) {
        assert!(wait.event.is_some() || wait.until.is_some(), "a wait needs an event or a moment");
        self.arrived = None;
        self.waiting = Some((wait, now));
        if let Some(position) = kept.iter().position(|event| self.waits_for(event)) {
            self.arrive(Arrival::Event(kept.remove(position)), now);
        }
    }

    pub(super) fn waits_for(&self, event: &EventArrival) -> bool {
        let Some((Wait { event: Some(wanted), .. }, _)) = &self.waiting else { return false };
        wanted.event_type == event.event_type && wanted.key == event.key
    }

    pub(super) fn until(&self) -> Option<Moment> {
        self.waiting.as_ref().and_then(|(wait, _)| wait.until).map(Moment::from_millis)
    }

    pub(super) fn arrive(&mut self, arrival: Arrival, now: Moment) {
        if let Some((_, since)) = self.waiting.take() {
            self.waited += now.since(since);
        }
        self.arrived = Some(arrival);
    }

    /// When the next attempt is due: at once if there was none, or if what it waited for has come; never while it waits.
    pub(super) fn due_at(&self) -> Option<Moment> {
        self.waiting.is_none().then(|| self.again_at.unwrap_or_default())
    }
}
