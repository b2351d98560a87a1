//! The legs of a saga that are ready, open, at rest or stuck, found by what they are.
//!
//! A fan-out may have thousands of attempts open at once, and each report is a decision. A decision looks only through the legs that
//! it is about, so that its cost does not grow with those beside them.

use std::collections::{BTreeMap, BTreeSet};

use super::run::{LegRun, LegState};
use crate::{event::Why, value::Instant};

/// A leg: its step, and its place among the step's legs.
pub(crate) type LegIndex = (usize, u8);

/// The legs that are neither idle nor closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Live {
    legs: BTreeMap<LegIndex, LegStatus>,
    ready: BTreeSet<LegIndex>,
    /// Those that time alone changes, by when.
    timed: BTreeSet<(Instant, LegIndex)>,
    /// Those that wait for an event.
    listening: BTreeSet<LegIndex>,
    counts: Counts,
}

/// How many of them are what the saga's status is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// They go forward or check.
    pub(crate) forward: usize,
    pub(crate) open: usize,
    /// They wait for an event or a moment, or back off for long.
    pub(crate) long_waits: usize,
    /// They back off for a short time.
    pub(crate) short_backoffs: usize,
    pub(crate) stuck: usize,
    /// They were denied something that a grant would permit.
    pub(crate) denied: usize,
    /// They back off because nobody could decide their command.
    pub(crate) undecided: usize,
}

/// What a leg does, as far as decisions look for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LegStatus {
    Ready,
    Open,
    BacksOff { until: Instant, long: bool, undecided: bool },
    Waits { until: Option<Instant>, listens: bool },
    Stuck { denied: bool },
}

impl Live {
    /// A leg is like this now.
    pub(crate) fn put(&mut self, at: LegIndex, leg: &LegRun) {
        let now = LegStatus::of(leg);
        if self.legs.get(&at).copied() == now {
            return;
        }
        let before = match now {
            Some(now) => self.legs.insert(at, now),
            None => self.legs.remove(&at),
        };
        if let Some(before) = before {
            self.leave(at, before);
        }
        if let Some(now) = now {
            self.enter(at, now);
        }
    }

    /// Every one of them, in the order of their steps.
    pub(crate) fn all(&self) -> impl Iterator<Item = LegIndex> {
        self.legs.keys().copied()
    }

    /// Those with an open attempt.
    pub(crate) fn open(&self) -> impl Iterator<Item = LegIndex> {
        self.legs.iter().filter(|(_, status)| **status == LegStatus::Open).map(|(at, _)| *at)
    }

    /// Those that wait for an event.
    pub(crate) fn listening(&self) -> impl Iterator<Item = LegIndex> {
        self.listening.iter().copied()
    }

    /// Those that back off because nobody could decide their command, in the order of their steps.
    pub(crate) fn undecided(&self) -> impl Iterator<Item = LegIndex> {
        let is = |status: &LegStatus| matches!(status, LegStatus::BacksOff { undecided: true, .. });
        self.legs.iter().filter(move |(_, status)| is(status)).map(|(at, _)| *at)
    }

    /// Those whose next attempt may begin by then, in the order of their steps.
    pub(crate) fn startable(&self, now: Instant) -> BTreeSet<LegIndex> {
        let over = self.due(now).filter(|(_, status)| matches!(status, LegStatus::BacksOff { .. })).map(|(at, _)| at);
        self.ready.iter().copied().chain(over).collect()
    }

    /// Those whose wait is over by then, in the order of their steps.
    pub(crate) fn due_waits(&self, now: Instant) -> BTreeSet<LegIndex> {
        self.due(now).filter(|(_, status)| matches!(status, LegStatus::Waits { .. })).map(|(at, _)| at).collect()
    }

    /// The first moment at which time alone changes one of them.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.timed.first().map(|(at, _)| *at)
    }

    /// How many of them are what.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    fn due(&self, now: Instant) -> impl Iterator<Item = (LegIndex, LegStatus)> {
        let due = self.timed.iter().take_while(move |(when, _)| *when <= now);
        due.filter_map(|(_, at)| Some((*at, *self.legs.get(at)?)))
    }

    fn enter(&mut self, at: LegIndex, status: LegStatus) {
        if status == LegStatus::Ready {
            self.ready.insert(at);
        }
        if let Some(when) = status.until() {
            self.timed.insert((when, at));
        }
        if status.listens() {
            self.listening.insert(at);
        }
        self.counts.change(at, status, |count| *count += 1);
    }

    fn leave(&mut self, at: LegIndex, status: LegStatus) {
        if status == LegStatus::Ready {
            self.ready.remove(&at);
        }
        if let Some(when) = status.until() {
            self.timed.remove(&(when, at));
        }
        if status.listens() {
            self.listening.remove(&at);
        }
        self.counts.change(at, status, |count| *count -= 1);
    }
}

impl Counts {
    fn change(&mut self, (_, place): LegIndex, status: LegStatus, change: impl Fn(&mut usize)) {
        if place < 2 {
            change(&mut self.forward);
        }
        if matches!(status, LegStatus::BacksOff { undecided: true, .. }) {
            change(&mut self.undecided);
        }
        match status {
            LegStatus::Ready => {}
            LegStatus::Open => change(&mut self.open),
            LegStatus::BacksOff { long: false, .. } => change(&mut self.short_backoffs),
            LegStatus::BacksOff { long: true, .. } | LegStatus::Waits { .. } => change(&mut self.long_waits),
            LegStatus::Stuck { denied } => {
                change(&mut self.stuck);
                if denied {
                    change(&mut self.denied);
                }
            }
        }
    }
}

impl LegStatus {
    fn of(leg: &LegRun) -> Option<Self> {
        let state = &leg.state;
        Some(match state {
            LegState::Idle | LegState::Closed => return None,
            LegState::Ready => Self::Ready,
            LegState::Open { .. } => Self::Open,
            LegState::BackingOff { until, .. } => {
                Self::BacksOff { until: *until, long: state.is_long_wait(), undecided: leg.is_undecided() }
            }
            LegState::Waiting { wait, .. } => Self::Waits { until: wait.until, listens: wait.event.is_some() },
            LegState::Stuck { why, .. } => Self::Stuck { denied: matches!(why, Why::Denied(_)) },
        })
    }

    fn until(self) -> Option<Instant> {
        match self {
            Self::BacksOff { until, .. } => Some(until),
            Self::Waits { until, .. } => until,
            Self::Ready | Self::Open | Self::Stuck { .. } => None,
        }
    }

    fn listens(self) -> bool {
        matches!(self, Self::Waits { listens: true, .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        denial::{Denial, DenialReason},
        event::{Attempt, Intent, Topic, Wait},
        id::{Leg, StepPath},
        value::Failure,
    };

    fn states() -> Vec<LegRun> {
        let since = Instant(1_000);
        let topic = Topic { event_type: "paid".into(), key: "7".into() };
        let waits = |event: Option<Topic>, until| LegState::Waiting { wait: Wait { event, until, answer: None }, since };
        let denied = Why::Denied(Denial::new("http://127.0.0.1:1", DenialReason::NotGranted));
        let stuck = |why| LegState::Stuck { why, since };
        let backs_off = |ms| LegState::BackingOff { since, until: since.plus(ms) };
        let attempt = Attempt { leg: Leg::forward(StepPath::new("a")), number: 1 };
        let intent = Intent { attempt, reaches_outside: false, snapshot: 0, deadline_at: since, solo: false, element: None };
        let waits = [waits(Some(topic.clone()), None), waits(None, Some(since)), waits(Some(topic), Some(since.plus(7)))];
        let others = [
            LegState::Idle,
            LegState::Ready,
            backs_off(5),
            backs_off(9_000),
            stuck(Why::HostDied),
            stuck(denied),
            LegState::Closed,
            LegState::Open { intent, since },
        ];
        let leg = |state| LegRun { state, ..LegRun::default() };
        let failure = Some(Failure::new("no_handler", "nobody has it"));
        let undecided = LegRun { last_failure: failure, host_failed: true, ..leg(backs_off(7)) };
        waits.into_iter().chain(others).map(leg).chain([undecided]).collect()
    }

    /// Whatever a leg was before, what is known of it is what it is now: nothing of an earlier state stays in a set or in a count.
    #[test]
    fn what_is_known_of_a_leg_is_what_it_is_now() {
        let states = states();
        let (mut live, mut last) = (Live::default(), BTreeMap::new());
        let mut random = 7_usize;
        for _ in 0..5_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (at, state) = (((random >> 33) % 5, (random >> 40) as u8 % 3), &states[(random >> 50) % states.len()]);
            live.put(at, state);
            last.insert(at, state);
            let mut anew = Live::default();
            last.iter().for_each(|(at, state)| anew.put(*at, state));
            assert_eq!(live, anew);
        }
    }

    #[test]
    fn what_may_begin_and_what_is_over_come_in_the_order_of_their_steps() {
        let mut live = Live::default();
        for (node, state) in states().iter().enumerate() {
            live.put((11 - node, 0), state);
        }
        let nodes = |legs: BTreeSet<LegIndex>| legs.into_iter().map(|(node, _)| node).collect::<Vec<_>>();
        assert_eq!((nodes(live.startable(Instant(1_005))), nodes(live.due_waits(Instant(1_007)))), (vec![6, 7], vec![9, 10]));
        assert_eq!(live.wake_at(), Some(Instant(1_000)));
        let Counts { forward, open, long_waits, short_backoffs, stuck, denied, undecided } = live.counts();
        assert_eq!((forward, open, long_waits, short_backoffs, stuck, denied, undecided), (10, 1, 4, 2, 2, 1, 1));
        assert_eq!(live.undecided().collect::<Vec<_>>(), [(0, 0)]);
    }
}
