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

/// What these causes say together, in bytes.
const OPEN_BYTES_MAX: usize = 4 << 20;

/// Causes that are taken behind one that is not: each has a row. With more of them nothing is read before that one is taken or parked.
const AHEAD_MAX: usize = 65_536;

/// Its calls that are with guests at a time: others want guests as well.
const CALLS_MAX: usize = 32;

/// Keys of which causes that wait are in memory at a time.
const DRAINS_MAX: usize = 64;

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
    pub(super) open: Open,
    /// What is taken behind the cursor.
    pub(super) ahead: BTreeSet<Position>,
    pub(super) lines: HashMap<String, Line>,
    /// Causes that wait, for an operator or for their instance, by key.
    pub(super) waiting: Counts,
    /// Events that wait for their instance, by key. They are among those that wait.
    pub(super) kept: Counts,
    /// Keys with which what waits is being taken, oldest first, each with the position up to which it was.
    pub(super) drains: BTreeMap<String, Position>,
    /// How many calls are with guests.
    pub(super) calls: usize,
    /// It is among those that may go on.
    pub(super) has_turn: bool,
    /// What was read is to be read again once its calls have ended: it has other code, or another life.
    pub(super) is_stale: bool,
}

/// Causes that were read and are not taken yet, each with how many bytes it has.
#[derive(Debug, Default)]
pub(super) struct Open {
    causes: BTreeMap<Position, usize>,
    bytes: usize,
}

impl Open {
    pub(super) fn insert(&mut self, position: Position, bytes: usize) {
        self.bytes += bytes;
        self.bytes -= self.causes.insert(position, bytes).unwrap_or(0);
    }

    /// Whether it was among them.
    pub(super) fn remove(&mut self, position: Position) -> bool {
        let removed = self.causes.remove(&position);
        self.bytes -= removed.unwrap_or(0);
        removed.is_some()
    }

    pub(super) fn first(&self) -> Option<Position> {
        self.causes.first_key_value().map(|(position, _)| *position)
    }
}

/// How many there are, by key.
#[derive(Debug, Default)]
pub(super) struct Counts {
    by_key: BTreeMap<String, usize>,
    total: usize,
}

impl Counts {
    pub(super) fn add(&mut self, key: &str) {
        self.total += 1;
        match self.by_key.get_mut(key) {
            Some(count) => *count += 1,
            None => drop(self.by_key.insert(key.to_owned(), 1)),
        }
    }

    pub(super) fn less(&mut self, key: &str) {
        let Some(count) = self.by_key.get_mut(key) else { return };
        (*count, self.total) = (*count - 1, self.total - 1);
        if *count == 0 {
            self.by_key.remove(key);
        }
    }

    /// None with this key any more.
    pub(super) fn forget(&mut self, key: &str) {
        self.total -= self.by_key.remove(key).unwrap_or(0);
    }

    pub(super) fn of(&self, key: &str) -> usize {
        self.by_key.get(key).copied().unwrap_or(0)
    }

    pub(super) fn total(&self) -> usize {
        self.total
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &String> {
        self.by_key.keys()
    }
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
            false => self.room() > 0 || self.can_begin() || self.next_drains().next().is_some(),
        };
        let wants = self.runs() && !self.has_turn && has_work;
        self.has_turn |= wants;
        wants
    }

    /// How many causes may be read.
    pub(super) fn room(&self) -> usize {
        let has_room = self.has_more && self.open.bytes < OPEN_BYTES_MAX && self.ahead.len() < AHEAD_MAX;
        if has_room { OPEN_MAX.saturating_sub(self.open.causes.len()) } else { 0 }
    }

    /// Whether the first cause of a line can go to a guest.
    fn can_begin(&self) -> bool {
        self.calls_left() > 0 && self.lines.values().any(Line::can_go)
    }

    /// Keys of which the next causes that wait can be read, as many as may.
    pub(super) fn next_drains(&self) -> impl Iterator<Item = (&String, Position)> {
        let is_empty = |of: &String| self.lines.get(of).is_none_or(|line| line.causes.is_empty() && line.called.is_none());
        let (next, in_memory): (Vec<_>, Vec<_>) = self.drains.iter().partition(|(of, _)| is_empty(of));
        let may = DRAINS_MAX.saturating_sub(in_memory.len()).min(self.calls_left());
        next.into_iter().take(may).map(|(of, through)| (of, *through))
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
        self.open = Open::default();
        self.lines.clear();
        // Nor is what was read of what waits in memory any more.
        self.drains.values_mut().for_each(|through| *through = 0);
        (self.read, self.has_more, self.is_stale) = (self.cursor, true, false);
    }

    /// Forgets all of an earlier life but the calls that are with guests.
    pub(super) fn begin_anew(&mut self, from: Position) {
        self.lines.retain(|_, line| line.called.is_some());
        for line in self.lines.values_mut() {
            *line = Line { called: line.called.take(), ..Line::default() };
        }
        // Rows of what waited and of instances say of which life they are.
        (self.waiting, self.kept) = Default::default();
        self.drains.clear();
        (self.cursor, self.is_stale) = (from, true);
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
