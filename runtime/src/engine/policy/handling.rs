//! A policy in memory: how it stands, how far it is, and its lines.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use amends_core::{
    Instant,
    policy::{Definition, Instance, PolicyState},
};

use super::cause::Cause;
use crate::{engine::guests::ModuleDigest, store::Position};

/// Causes of a policy that are in memory. Behind them nothing is read before some of them are taken.
const OPEN_MAX: usize = 256;

/// Its calls that are with guests at a time: others want guests as well.
const CALLS_MAX: usize = 32;

/// A policy in memory.
#[derive(Debug, Default)]
pub(super) struct Handling {
    /// The position of its first record; 0 before that has a place.
    pub(super) start: Position,
    pub(super) stands: PolicyState,
    /// The code of the active version; none: no active version has it.
    pub(super) code: Option<Code>,
    /// Everything up to here is taken, parked, or not for it.
    pub(super) cursor: Position,
    /// Up to here the journal was read.
    pub(super) read: Position,
    /// There may be more behind that.
    pub(super) has_more: bool,
    /// What was read and is not taken yet.
    pub(super) open: BTreeSet<Position>,
    /// What is taken behind the cursor.
    pub(super) ahead: BTreeSet<Position>,
    pub(super) lines: HashMap<String, Line>,
    /// Causes that wait for an operator, by key: how many.
    pub(super) waiting: BTreeMap<String, usize>,
    /// Events that wait for their instance, by key: how many.
    pub(super) kept: BTreeMap<String, usize>,
    /// Keys with which what waits is being taken, oldest first, each with the position up to which it was.
    pub(super) drains: BTreeMap<String, Position>,
    /// How many calls are with guests.
    pub(super) calls: usize,
    /// It is among those that may go on.
    pub(super) has_turn: bool,
    /// What was read is to be read again once its calls have ended: it has other code, or another life.
    pub(super) is_stale: bool,
}

/// The code of a policy.
#[derive(Clone, Debug)]
pub(super) struct Code {
    pub(super) module: String,
    pub(super) version: u32,
    pub(super) digest: ModuleDigest,
    pub(super) definition: Arc<Definition>,
}

/// The causes of one key, in their order.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) causes: VecDeque<Cause>,
    /// The first one is with a guest.
    pub(super) called: Option<Called>,
    /// How often the first one could not be taken.
    pub(super) attempts: u32,
    /// How often the host could not make the call.
    pub(super) delays: u32,
    /// Until when it rests.
    pub(super) rests_until: Option<Instant>,
    /// How its instance stands, once that is read.
    pub(super) instance: Option<Standing>,
}

/// A call that is with a guest.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) code: Code,
    /// The life of the policy.
    pub(super) incarnation: u32,
    /// What it sends is dropped.
    pub(super) is_silent: bool,
}

/// How an instance stands, and where its stream begins.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// 0: it has no record.
    pub(super) start: Position,
    pub(super) instance: Instance,
}

impl Handling {
    /// It takes events of this type.
    pub(super) fn takes(&self, event_type: &str) -> bool {
        self.code.as_ref().is_some_and(|code| code.definition.subscription(event_type).is_some())
    }

    /// It takes causes.
    pub(super) fn runs(&self) -> bool {
        self.stands.runs() && self.code.is_some()
    }

    /// Whether it is to be put among those that may go on; then it is there.
    pub(super) fn wants_turn(&mut self) -> bool {
        let has_work = match self.is_stale {
            true => self.calls == 0,
            false => self.room() > 0 || self.next_lines().next().is_some() || self.next_drains().next().is_some(),
        };
        let wants = self.runs() && !self.has_turn && has_work;
        self.has_turn |= wants;
        wants
    }

    /// How many causes may be read.
    pub(super) fn room(&self) -> usize {
        if self.has_more { OPEN_MAX.saturating_sub(self.open.len()) } else { 0 }
    }

    /// Lines whose first cause can go to a guest, as many as may.
    pub(super) fn next_lines(&self) -> impl Iterator<Item = &String> {
        let can_go = |(_, line): &(&String, &Line)| line.can_go();
        self.lines.iter().filter(can_go).map(|(key, _)| key).take(self.calls_left())
    }

    /// Keys of which the next causes that wait can be read.
    pub(super) fn next_drains(&self) -> impl Iterator<Item = (&String, Position)> {
        let is_empty = |of: &String| self.lines.get(of).is_none_or(|line| line.causes.is_empty());
        self.drains.iter().filter(move |(of, _)| is_empty(of)).map(|(of, through)| (of, *through))
    }

    /// How many calls may begin.
    pub(super) fn calls_left(&self) -> usize {
        CALLS_MAX.saturating_sub(self.calls)
    }

    /// Lines that rest and have been tried.
    pub(super) fn failing(&self) -> usize {
        self.lines.values().filter(|line| line.attempts > 0).count()
    }

    /// A line has rested.
    pub(super) fn rested(&mut self, key: &str) {
        if let Some(line) = self.lines.get_mut(key) {
            line.rests_until = None;
        }
    }

    /// What is read with this key comes behind what waits.
    pub(super) fn holds(&self, key: &str) -> bool {
        self.stands.parked.contains_key(key) || self.drains.contains_key(key)
    }

    /// Forgets what was read: it is read again from the cursor on. Nothing is with a guest.
    pub(super) fn forget_what_was_read(&mut self) {
        self.open.clear();
        self.lines.clear();
        (self.read, self.has_more, self.is_stale) = (self.cursor, true, false);
    }

    /// How the instance of a line stands, for the next cause of the line if there is one.
    pub(super) fn stands_so(&mut self, key: &str, standing: Standing) {
        if let Some(line) = self.lines.get_mut(key) {
            line.instance = Some(standing);
        }
        self.forget_if_idle(key);
    }

    /// A line without causes is not kept.
    pub(super) fn forget_if_idle(&mut self, key: &str) {
        if self.lines.get(key).is_some_and(|line| line.causes.is_empty() && line.called.is_none()) {
            self.lines.remove(key);
        }
    }
}

impl Line {
    pub(super) fn can_go(&self) -> bool {
        self.called.is_none() && self.rests_until.is_none() && !self.causes.is_empty()
    }
}
