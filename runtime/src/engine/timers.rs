//! Durable timers: a window of the earliest ones in memory, the rest in the store's table.

use std::collections::{BTreeMap, VecDeque};

use amends_core::Instant;

use crate::{
    engine::rows,
    store::{Position, Store, StoreError},
};

/// How many timers are held in memory: a million waiting sagas cost no more than this.
const WINDOW: usize = 4_096;

/// When something is due, and the stream that it is due in.
type Timer = (Instant, Position);

/// The earliest timers. One that is not here lies at or after `beyond`, and its row is in the table.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// The earliest ones, and all whose rows are on their way to the table; each with the position that commits its row.
    window: BTreeMap<Timer, Position>,
    /// Timers at or after this moment may be in the table only; none: the window holds all.
    beyond: Option<Instant>,
    /// Rows on their way to the table, in the order of their commits.
    on_their_way: VecDeque<(Position, Timer)>,
    /// Timers that are due before the first record of their stream is durable: until then nothing can be read of it.
    early: Vec<Timer>,
    durable: Position,
    /// What the last cut left: looking again is worth it when there is twice as much.
    uncut: usize,
}

impl Timers {
    /// A stream's timer moved, as its rows do in the same commit.
    pub(crate) fn moved(&mut self, stream: Position, before: Option<Instant>, after: Option<Instant>, commit: Position) {
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.window.remove(&(before, stream));
            self.early.retain(|timer| *timer != (before, stream));
        }
        if let Some(after) = after {
            self.window.insert((after, stream), commit);
            self.on_their_way.push_back((commit, (after, stream)));
        }
        if self.window.len() > 2 * WINDOW.max(self.uncut) {
            self.cut();
        }
    }

    /// Leaves the latest timers to the table, as far as it has them; those of one moment stay together.
    fn cut(&mut self) {
        let first = self.window.keys().next().map(|(due, _)| *due);
        let middle = self.window.keys().nth(WINDOW).map(|(due, _)| *due);
        if let (Some(first), Some(middle)) = (first, middle) {
            let cut = middle.max(first.plus(1));
            let cut = self.beyond.map_or(cut, |beyond| beyond.min(cut));
            self.beyond = Some(cut);
            self.window.retain(|(due, _), commit| *due < cut || *commit > self.durable);
        }
        self.uncut = self.window.len();
    }

    /// Rows up to this position are in the table.
    pub(crate) fn committed(&mut self, position: Position) {
        self.durable = self.durable.max(position);
        let readable = self.early.extract_if(.., |(_, stream)| *stream <= position);
        self.window.extend(readable.map(|timer| (timer, position)));
        while let Some((commit, timer)) = self.on_their_way.pop_front_if(|(commit, _)| *commit <= position) {
            let is_beyond = self.beyond.is_some_and(|beyond| timer.0 >= beyond);
            if is_beyond && self.window.get(&timer) == Some(&commit) {
                self.window.remove(&timer);
            }
        }
    }

    /// The next timer that is due and whose stream can be read.
    pub(crate) fn pop(&mut self, now: Instant, durable: Position) -> Option<Timer> {
        while let Some(first) = self.window.first_entry().filter(|first| first.key().0 <= now) {
            let (timer, _) = first.remove_entry();
            if durable < timer.1 {
                self.early.push(timer);
            } else {
                return Some(timer);
            }
        }
        None
    }

    /// The moment of the next timer.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.first().into_iter().chain(self.beyond).min()
    }

    /// Reads the next window when this one is used up.
    pub(crate) fn refill(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        match self.beyond {
            Some(from) if self.first().is_none_or(|first| first >= from) => self.read(store, from),
            _ => Ok(()),
        }
    }

    /// Reads the window that begins at `from`.
    pub(crate) fn read(&mut self, store: &dyn Store, from: Instant) -> Result<(), StoreError> {
        let mut timers = rows::timers_from(store, from, WINDOW)?;
        // A window ends between two moments, so that one moment's timers are never split.
        self.beyond = (timers.len() == WINDOW).then(|| timers.last().map(|(due, _)| *due)).flatten();
        if let (Some(beyond), Some((first, _))) = (self.beyond, timers.first().copied())
            && beyond == first
        {
            // More timers in one moment than a window holds: all of that moment.
            timers = rows::timers_of(store, first)?;
            self.beyond = Some(first.plus(1));
        }
        for timer in timers {
            if self.beyond.is_none_or(|beyond| timer.0 < beyond) {
                self.window.entry(timer).or_insert(self.durable);
            }
        }
        self.uncut = self.window.len();
        Ok(())
    }

    fn first(&self) -> Option<Instant> {
        self.window.keys().next().map(|(due, _)| *due)
    }
}
