//! Durable timers: a window of the earliest ones in memory, the rest in the store's table.

use std::collections::{BTreeSet, VecDeque};

use amends_core::Instant;

use crate::{
    engine::rows,
    store::{Position, Store, StoreError},
};

/// How many timers are held in memory: a million waiting sagas cost no more than this.
const WINDOW: usize = 4_096;

/// The earliest timers. One that is not in the window lies after all that are.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    window: BTreeSet<(Instant, Position)>,
    /// Timers at or after this moment may be in the table only; none: the window holds all.
    beyond: Option<Instant>,
    /// Timers whose rows are on their way to the table: a window that is read meanwhile would miss them.
    in_flight: VecDeque<(Position, Instant, Position)>,
    /// Timers that are due before the first record of their stream is durable: until then nothing can be read of it.
    early: Vec<(Instant, Position)>,
}

impl Timers {
    /// A saga's timer moved, as its rows do in the same commit.
    pub(crate) fn moved(&mut self, stream: Position, before: Option<Instant>, after: Option<Instant>, commit: Position) {
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.window.remove(&(before, stream));
            self.early.retain(|timer| *timer != (before, stream));
        }
        match after {
            Some(after) if self.beyond.is_none_or(|beyond| after < beyond) => {
                self.window.insert((after, stream));
            }
            Some(after) => self.in_flight.push_back((commit, after, stream)),
            None => {}
        }
        if self.window.len() > 2 * WINDOW {
            let cut = self.window.iter().nth(WINDOW).map(|(due, _)| *due);
            if let Some(cut) = cut {
                self.window.retain(|(due, _)| *due < cut);
                self.beyond = Some(cut);
            }
        }
    }

    /// Rows up to this position are in the table.
    pub(crate) fn committed(&mut self, position: Position) {
        let due = self.early.extract_if(.., |(_, stream)| *stream <= position);
        self.window.extend(due);
        while self.in_flight.front().is_some_and(|(commit, ..)| *commit <= position) {
            self.in_flight.pop_front();
        }
    }

    /// The next timer that is due and whose stream can be read.
    pub(crate) fn pop(&mut self, now: Instant, durable: Position) -> Option<(Instant, Position)> {
        while self.window.first().is_some_and(|(due, _)| *due <= now) {
            match self.window.pop_first() {
                Some((due, stream)) if durable < stream => self.early.push((due, stream)),
                readable => return readable,
            }
        }
        None
    }

    /// The moment of the next timer.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.window.first().map(|(due, _)| *due).or(self.beyond)
    }

    /// Reads the next window when this one is used up.
    pub(crate) fn refill(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        match self.beyond {
            Some(from) if self.window.is_empty() => self.read(store, from),
            _ => Ok(()),
        }
    }

    /// Reads the window that begins at `from`.
    pub(crate) fn read(&mut self, store: &dyn Store, from: Instant) -> Result<(), StoreError> {
        let timers = rows::timers_from(store, from, WINDOW)?;
        // A window ends between two moments, so that one moment's timers are never split.
        self.beyond = (timers.len() == WINDOW).then(|| timers.last().map(|(due, _)| *due)).flatten();
        if let (Some(beyond), Some((first, _))) = (self.beyond, timers.first())
            && beyond == *first
        {
            // More timers in one moment than a window holds: all of that moment.
            self.window.extend(rows::timers_of(store, *first)?);
            self.beyond = Some(first.plus(1));
        }
        let beyond = self.beyond;
        let in_flight = self.in_flight.iter().map(|(_, due, stream)| (*due, *stream));
        let within = |(due, _): &(Instant, Position)| beyond.is_none_or(|beyond| *due < beyond);
        self.window.extend(timers.into_iter().chain(in_flight).filter(within));
        Ok(())
    }
}
