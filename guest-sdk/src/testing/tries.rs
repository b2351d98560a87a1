//! The attempts of one leg: where it stands, how many there were, when the next is due, and what it waits for.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::bindings::imports::amends::module::types::Answer;
use crate::bindings::saga::exports::amends::module::saga::{
    Answered, Arrival, EventArrival, Failure as WitFailure, Retry as WitRetry, Wait,
};
use crate::moment::millis;
use crate::{Moment, Retry};

/// No leg is called again sooner, whatever its step says and its definition declares.
const AGAIN_MIN: Duration = Duration::from_millis(10);

/// The attempts of one leg.
#[derive(Default)]
pub(super) struct Tries {
    pub(super) state: State,
    pub(super) attempt: u32,
    /// Attempts that did not end in a wait.
    used: u32,
    /// When the leg became ready: the time that its code is told, the same in every attempt.
    pub(super) ready: Moment,
    /// When its first attempt began: the time box is counted from it.
    began: Option<Moment>,
    waited: Duration,
    /// An attempt has ended unknown, or in a wait.
    pub(super) may_have_run: bool,
    /// Stays until the next wait: an approval is not lost to a retry. What was refused to a compensation does not.
    pub(super) arrived: Option<Arrival>,
    pub(super) last_failure: Option<WitFailure>,
    /// How many commands its attempts have sent, and the answers by their ids.
    pub(super) commands: u32,
    pub(super) answers: BTreeMap<String, Answered>,
}

/// Where a leg stands.
#[derive(Default)]
pub(super) enum State {
    /// Its turn has not come.
    #[default]
    Idle,
    /// The next attempt is due then.
    Due(Moment),
    /// An attempt is open.
    Open,
    /// It waits since then.
    Waiting(Wait, Moment),
    /// It needs an operator.
    Stuck(WitFailure),
    /// Nothing follows.
    Over,
}

impl Tries {
    /// The leg's turn has come.
    pub(super) fn begin(&mut self, now: Moment) {
        (self.state, self.ready) = (State::Due(now), now);
    }

    /// Asks again, with attempts and a time box of its own for the new question.
    pub(super) fn ask_anew(&mut self, now: Moment) {
        if self.attempt == 0 {
            self.ready = now;
        }
        (self.state, self.used, self.began) = (State::Due(now), 0, None);
    }

    /// Opens an attempt if one is due; whether one was.
    pub(super) fn open(&mut self, now: Moment) -> bool {
        let is_due = matches!(self.state, State::Due(at) if at <= now);
        if is_due {
            self.state = State::Open;
            self.attempt += 1;
            self.began.get_or_insert(now);
        }
        is_due
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// An attempt is open, is due now or later, or waits.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.state, State::Open | State::Due(_) | State::Waiting(..))
    }

    /// Ends what is not open: waits, backoffs, and what is stuck.
    pub(super) fn close(&mut self) {
        if !self.is_open() {
            self.state = State::Over;
        }
    }

    /// The open attempt has failed.
    pub(super) fn fail(&mut self, failure: &WitFailure) {
        self.used += 1;
        self.last_failure = Some(failure.clone());
        self.state = State::Over;
    }

    /// A compensation has failed that was told that its command was refused: the next attempt sends it anew.
    pub(super) fn forget_refusal(&mut self) {
        if let Some(Arrival::Answer(Answered { answer: Answer::Refused(_), .. })) = self.arrived {
            self.arrived = None;
        }
    }

    /// Plans another attempt; false if none is left.
    pub(super) fn again(&mut self, policy: &WitRetry, now: Moment) -> bool {
        if policy.attempts_max.is_some_and(|attempts_max| self.used >= attempts_max) {
            return false;
        }
        let again_at = now + Duration::from_millis(Retry::delay_ms(policy, self.used)).max(AGAIN_MIN);
        let spent = again_at.since(self.began.unwrap_or(now)).saturating_sub(self.waited);
        let in_box = policy.time_box_ms.is_none_or(|time_box_ms| millis(spent) <= time_box_ms);
        if in_box {
            self.state = State::Due(again_at);
        }
        in_box
    }

    /// Begins to wait. A moment that has passed is a little later, so that a step that always asks for one ends sometime.
    pub(super) fn wait(&mut self, wait: Wait, kept: &mut Vec<EventArrival>, now: Moment) {
        self.state = State::Waiting(wait, now);
        let State::Waiting(Wait { answer, .. }, _) = &self.state else { return };
        if let Some(command) = answer {
            let answer = self.answers.get(command).cloned();
            let answer = answer.unwrap_or_else(|| panic!("a wait for the answer to {command}, which is no command of this step"));
            return self.arrive(Arrival::Answer(answer), now);
        }
        if let Some(position) = kept.iter().position(|event| self.waits_for(event)) {
            self.arrive(Arrival::Event(kept.remove(position)), now);
        }
    }

    pub(super) fn waits_for(&self, event: &EventArrival) -> bool {
        let State::Waiting(Wait { event: Some(wanted), .. }, _) = &self.state else { return false };
        wanted.event_type == event.event_type && wanted.key == event.key
    }

    /// When the wait ends without an event.
    pub(super) fn until(&self) -> Option<Moment> {
        match &self.state {
            State::Waiting(wait, _) => wait.until.map(Moment::from_millis),
            State::Idle | State::Due(_) | State::Open | State::Stuck(_) | State::Over => None,
        }
    }

    pub(super) fn arrive(&mut self, arrival: Arrival, now: Moment) {
        if let State::Waiting(_, since) = &self.state {
            self.waited += now.since(*since);
        }
        self.arrived = Some(arrival);
        self.state = State::Due(now);
    }
}

/// A wait as the host takes it from the attempt of this number: a moment is at least a little later than now, and from the fifth
/// attempt on twice as much with each one, up to 1.28 seconds.
pub(super) fn taken(wait: Wait, attempt: u32, now: Moment) -> Wait {
    let is_bounded = wait.event.is_some() || wait.until.is_some() || wait.answer.is_some();
    assert!(is_bounded, "a wait needs an event, a moment or an answer");
    let shortest = AGAIN_MIN * (1 << attempt.saturating_sub(4).min(7));
    let until = wait.until.map(|until| until.max((now + shortest).as_millis()));
    Wait { until, ..wait }
}
