//! One step's part of a saga's state: its legs, what is known of it, and the alternates and rounds that are over.

use std::ops::{Deref, DerefMut};

use super::tree::{ElementOf, Shape};
use crate::{
    event::{Answer, Intent, RollbackCause, Wait, Why, Woken},
    id::{Direction, Leg, StepPath},
    refused::RefusalCode,
    value::{Failure, Instant, Payload},
};

/// One step's part of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StepRun {
    pub(crate) path: StepPath,
    /// The scope that it is in, and which step of it.
    pub(crate) scope: usize,
    pub(crate) stage: usize,
    pub(crate) index: usize,
    /// One of the elements of a fan-out.
    pub(crate) element: Option<ElementOf>,
    pub(crate) shape: Shape,
    /// The forward alternate in hand; the three legs are its own.
    pub(crate) alternate: u32,
    /// The round that its legs are of.
    pub(crate) round: u32,
    /// The compensation's alternate in hand.
    pub(crate) undo_alternate: u32,
    pub(crate) forward: LazyLeg,
    pub(crate) check: LazyLeg,
    pub(crate) undo: LazyLeg,
    pub(crate) verdict: Verdict,
    pub(crate) undone: Option<UndoneBy>,
    /// Why the alternate in hand is undone, once its compensation has begun.
    pub(crate) rollback_cause: Option<RollbackCause>,
    pub(crate) manual: bool,
    /// Alternates and rounds that are over, in order. None of them stands, but for what an operator skipped.
    pub(crate) past: Vec<Past>,
}

/// What an alternate, or a round, left behind when the next one took its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Past {
    pub(crate) round: u32,
    pub(crate) alternate: u32,
    pub(crate) attempts: u32,
    pub(crate) failure: Option<Failure>,
    pub(crate) done: bool,
    pub(crate) undone: Option<UndoneBy>,
}

/// What is known of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Open,
    Done(Payload),
    Refused,
}

/// How a compensation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UndoneBy {
    Code,
    Hand,
    Skip,
}

/// One leg's part of the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LegRun {
    pub(crate) state: LegState,
    pub(crate) attempts: u32,
    pub(crate) spent: u32,
    /// Ended attempts that could reach outside and did not end refused or transient.
    pub(crate) doubtful: u32,
    /// The last attempt ended unknown.
    pub(crate) unknown: bool,
    pub(crate) host_stops: u32,
    pub(crate) ready_at: Instant,
    pub(crate) budget_since: Option<Instant>,
    /// Time that does not run against the time box.
    pub(crate) waited_ms: u64,
    /// The last attempt ended by a fault of the host.
    pub(crate) host_failed: bool,
    pub(crate) began_at: Option<Instant>,
    pub(crate) ended_at: Option<Instant>,
    pub(crate) failures: Vec<(String, u32)>,
    pub(crate) last_failure: Option<Failure>,
    /// What ended the last wait.
    pub(crate) arrived: Option<Woken>,
    /// The commands that its attempts have sent, by number.
    pub(crate) commands: Vec<CommandRun>,
    /// How many events its attempts have published.
    pub(crate) published: u32,
}

/// A command that a leg has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandRun {
    /// The aggregate's name and id.
    pub(crate) to: (String, String),
    /// The command's name.
    pub(crate) name: String,
    pub(crate) answer: Option<Answer>,
    /// The leg waited for the answer and went on with it.
    pub(crate) is_told: bool,
    /// It counts among what may have happened.
    pub(crate) stands: bool,
}

/// A leg that takes no memory until something happens to it: of the 100,000 elements of a fan-out most have not begun, and few are
/// checked or undone.
#[derive(Clone, Debug, Default)]
pub(crate) struct LazyLeg(Option<Box<LegRun>>);

/// A leg to which nothing has happened.
static IDLE: LegRun = LegRun {
    state: LegState::Idle,
    attempts: 0,
    spent: 0,
    doubtful: 0,
    unknown: false,
    host_stops: 0,
    host_failed: false,
    ready_at: Instant(0),
    budget_since: None,
    waited_ms: 0,
    began_at: None,
    ended_at: None,
    failures: Vec::new(),
    last_failure: None,
    arrived: None,
    commands: Vec::new(),
    published: 0,
};

impl LegRun {
    /// Nothing of it has happened: somebody knows.
    pub(crate) fn clear_doubts(&mut self) {
        self.doubtful = 0;
        self.commands.iter_mut().for_each(|command| command.stands = false);
    }

    /// Its command came when no active code could decide it, and it backs off.
    pub(crate) fn is_undecided(&self) -> bool {
        let waits_for_code = |failure: &Failure| {
            let codes = [RefusalCode::NoHandler, RefusalCode::Quarantined];
            codes.iter().any(|code| failure.code == code.as_str())
        };
        let backs_off = matches!(self.state, LegState::BackingOff { .. });
        backs_off && self.host_failed && self.last_failure.as_ref().is_some_and(waits_for_code)
    }
}

impl LazyLeg {
    /// Closes the leg, if anything has happened to it.
    pub(crate) fn close(&mut self, at: Instant) {
        if let Some(leg) = &mut self.0 {
            leg.close(at);
        }
    }

    fn into_inner(self) -> LegRun {
        self.0.map_or_else(LegRun::default, |leg| *leg)
    }
}

impl From<LegRun> for LazyLeg {
    fn from(leg: LegRun) -> Self {
        Self(Some(Box::new(leg)))
    }
}

impl Deref for LazyLeg {
    type Target = LegRun;

    fn deref(&self) -> &LegRun {
        self.0.as_deref().unwrap_or(&IDLE)
    }
}

impl DerefMut for LazyLeg {
    fn deref_mut(&mut self) -> &mut LegRun {
        self.0.get_or_insert_with(Box::default)
    }
}

impl PartialEq for LazyLeg {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for LazyLeg {}

/// Where a leg stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum LegState {
    #[default]
    Idle,
    Ready,
    Open {
        intent: Intent,
        since: Instant,
    },
    BackingOff {
        since: Instant,
        until: Instant,
    },
    Waiting {
        wait: Wait,
        since: Instant,
    },
    Stuck {
        why: Why,
        since: Instant,
    },
    Closed,
}

impl StepRun {
    pub(crate) fn new(path: StepPath, (scope, stage, index): (usize, usize, usize), shape: Shape) -> Self {
        Self {
            path,
            scope,
            stage,
            index,
            element: None,
            shape,
            alternate: 0,
            round: 0,
            undo_alternate: 0,
            forward: LazyLeg::default(),
            check: LazyLeg::default(),
            undo: LazyLeg::default(),
            verdict: Verdict::Open,
            undone: None,
            rollback_cause: None,
            manual: false,
            past: Vec::new(),
        }
    }

    pub(crate) fn leg(&self, direction: Direction) -> &LegRun {
        match direction {
            Direction::Forward => &self.forward,
            Direction::Undo(_) => &self.undo,
            Direction::Check => &self.check,
        }
    }

    pub(crate) fn leg_mut(&mut self, direction: Direction) -> &mut LegRun {
        match direction {
            Direction::Forward => &mut self.forward,
            Direction::Undo(_) => &mut self.undo,
            Direction::Check => &mut self.check,
        }
    }

    pub(crate) fn name_leg(&self, direction: Direction) -> Leg {
        Leg { path: self.path.clone(), alternate: self.alternate, round: self.round, direction }
    }

    /// The three directions of the alternate in hand.
    pub(crate) fn directions(&self) -> [Direction; 3] {
        [Direction::Forward, Direction::Check, self.undo_direction()]
    }

    pub(crate) fn undo_direction(&self) -> Direction {
        Direction::Undo(self.undo_alternate)
    }

    /// The leg is of the alternates in hand.
    pub(crate) fn has_in_hand(&self, leg: &Leg) -> bool {
        let undo = !matches!(leg.direction, Direction::Undo(k) if k != self.undo_alternate);
        leg.alternate == self.alternate && leg.round == self.round && undo
    }

    /// Some attempt of it was begun, by any alternate.
    pub(crate) fn has_begun(&self) -> bool {
        self.forward.attempts > 0 || !self.past.is_empty()
    }

    /// Lets the next alternate take over, with legs, keys and counters of its own.
    pub(crate) fn take_next_alternate(&mut self, at: Instant) {
        self.retire();
        self.alternate += 1;
        (self.forward.state, self.forward.ready_at) = (LegState::Ready, at);
    }

    /// Begins afresh, for a new round.
    pub(crate) fn begin_round(&mut self, round: u32) {
        if self.is_leaf() && (self.forward.attempts > 0 || self.is_done()) {
            self.retire();
        }
        (self.forward, self.verdict) = (LazyLeg::default(), Verdict::Open);
        (self.alternate, self.round) = (0, round);
    }

    /// The legs in hand are over: what is to be told of them is kept, and new ones take their place.
    fn retire(&mut self) {
        let before = std::mem::take(&mut self.forward).into_inner();
        (self.check, self.undo, self.undo_alternate) = (LazyLeg::default(), LazyLeg::default(), 0);
        self.rollback_cause = None;
        self.past.push(Past {
            round: self.round,
            alternate: self.alternate,
            attempts: before.attempts,
            failure: before.last_failure,
            done: self.is_done(),
            undone: self.undone.take(),
        });
        self.verdict = Verdict::Open;
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.verdict, Verdict::Done(_))
    }

    /// The mark `may have run` without the open attempt: an earlier attempt may have happened.
    pub(crate) fn is_in_doubt(&self) -> bool {
        !self.is_done() && self.forward.doubtful > 0
    }

    /// The step's effect stands, or may stand.
    pub(crate) fn may_stand(&self) -> bool {
        self.is_done() || self.forward.doubtful > 0
    }

    /// A step and its check take turns: the other of the two has nothing left to do.
    pub(crate) fn has_the_turn(&self, direction: Direction) -> bool {
        let other = match direction {
            Direction::Forward => &self.check,
            Direction::Check => &self.forward,
            Direction::Undo(_) => return true,
        };
        matches!(other.state, LegState::Idle | LegState::Closed)
    }

    /// Takes over what is known of the same step in another tree.
    pub(crate) fn take_state_of(&mut self, other: &Self) {
        let Self { path, scope, stage, index, element, shape, .. } = self.clone();
        *self = Self { path, scope, stage, index, element, shape, ..other.clone() };
    }

    /// Everything that a child or a fan-out consists of is settled.
    pub(crate) fn end_above(&mut self, output: Payload, at: Instant) {
        self.verdict = Verdict::Done(output);
        self.forward.ended_at = Some(at);
    }

    /// It is code, and has legs of its own.
    pub(crate) fn is_leaf(&self) -> bool {
        matches!(self.shape, Shape::Leaf)
    }

    /// It is code, or a fan-out whose list is to be read.
    pub(crate) fn has_legs(&self) -> bool {
        match &self.shape {
            Shape::Leaf => true,
            Shape::Child(_) => false,
            Shape::Each(each) => !each.listed,
        }
    }

    pub(crate) fn has_open_forward(&self) -> bool {
        self.forward.is_open() || self.check.is_open()
    }
}

impl LegRun {
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, LegState::Open { .. })
    }

    /// An attempt is open that can reach outside: it sets the mark `may have run` while it lasts.
    pub(crate) fn reaches_outside_now(&self) -> bool {
        matches!(&self.state, LegState::Open { intent, .. } if intent.reaches_outside)
    }

    pub(crate) fn is_stuck(&self) -> bool {
        matches!(self.state, LegState::Stuck { .. })
    }

    /// Stuck, waiting or backing off: it does not move by itself now.
    pub(crate) fn is_at_rest(&self) -> bool {
        matches!(self.state, LegState::Stuck { .. } | LegState::Waiting { .. } | LegState::BackingOff { .. })
    }

    pub(crate) fn fail(&mut self, failure: &Failure) {
        // Codes come from guests: beyond sixteen different ones they are not told apart.
        match self.failures.iter().position(|(code, _)| *code == failure.code) {
            Some(at) => self.failures[at].1 += 1,
            None if self.failures.len() < 16 => self.failures.push((failure.code.clone(), 1)),
            None => {}
        }
        self.last_failure = Some(failure.clone());
    }

    /// A fresh budget.
    pub(crate) fn renew(&mut self) {
        self.spent = 0;
        self.host_stops = 0;
        self.budget_since = None;
        self.waited_ms = 0;
    }

    pub(crate) fn close(&mut self, at: Instant) {
        if !matches!(self.state, LegState::Idle | LegState::Closed) {
            self.state = LegState::Closed;
            self.ended_at.get_or_insert(at);
        }
    }
}
