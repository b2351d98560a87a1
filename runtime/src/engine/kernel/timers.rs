//! Durable timers: a window of the earliest ones in memory, the rest in the store's table.

use std::collections::{BTreeMap, VecDeque};

use amends_core::Instant;

use super::reads::{Reads, Unready};
use crate::{
    journal::{Corrupt, TimerKind, keys},
    store::{Order, Position, Range, Row, Store, StoreError, Table},
};

/// How many timers are held in memory: a million waiting sagas cost no more than this.
const WINDOW: usize = 4_096;

/// When something is due, whose it is, and where that begins: a stream, or the record of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timer {
    pub(crate) due: Instant,
    pub(crate) kind: TimerKind,
    pub(crate) start: Position,
}

impl Timer {
    /// The key of its row.
    pub(crate) fn key(&self) -> Vec<u8> {
        keys::timer(self.due, self.kind, self.start)
    }

    fn parse(row: &Row) -> Result<Self, Corrupt> {
        let (due, kind, start) = keys::parse_timer(&row.key)?;
        Ok(Self { due, kind, start })
    }
}

/// The earliest timers. One that is not here lies at or after `beyond`, and its row is in the table.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// The earliest ones, and all whose rows are on their way to the table; each with the commit that sets it.
    window: BTreeMap<Timer, u64>,
    /// Timers at or after this moment may be in the table only; `None`: the window holds all.
    beyond: Option<Instant>,
    /// Rows on their way to the table, in the order of their commits.
    in_flight: VecDeque<(u64, Timer)>,
    /// Timers that are due before the first record of their stream is durable: until then nothing can be read of it.
    early: Vec<Timer>,
    /// The last durable commit.
    committed: u64,
    /// How many the last cut left: looking again is worth it when there are twice as many.
    uncut: usize,
}

impl Timers {
    /// A commit sets a timer.
    pub(crate) fn set(&mut self, timer: Timer, commit: u64) {
        self.window.insert(timer, commit);
        self.in_flight.push_back((commit, timer));
        if self.window.len() > 2 * WINDOW.max(self.uncut) {
            self.cut();
        }
    }

    /// A commit takes a timer away.
    pub(crate) fn clear(&mut self, timer: Timer) {
        self.window.remove(&timer);
        self.early.retain(|early| *early != timer);
    }

    /// Leaves the latest timers to the table, as far as it has them; those of one moment stay together.
    fn cut(&mut self) {
        let first = self.window.keys().next().map(|timer| timer.due);
        let middle = self.window.keys().nth(WINDOW).map(|timer| timer.due);
        if let (Some(first), Some(middle)) = (first, middle) {
            let cut = middle.max(first.plus(1));
            let cut = self.beyond.map_or(cut, |beyond| beyond.min(cut));
            self.beyond = Some(cut);
            self.window.retain(|timer, commit| timer.due < cut || *commit > self.committed);
        }
        self.uncut = self.window.len();
    }

    /// Commits up to this number are in the table, and with them records up to this position.
    pub(crate) fn committed(&mut self, number: u64, durable: Position) {
        self.committed = self.committed.max(number);
        let readable = self.early.extract_if(.., |timer| timer.start <= durable);
        self.window.extend(readable.map(|timer| (timer, number)));
        while let Some((commit, timer)) = self.in_flight.pop_front_if(|(commit, _)| *commit <= number) {
            let is_beyond = self.beyond.is_some_and(|beyond| timer.due >= beyond);
            if is_beyond && self.window.get(&timer) == Some(&commit) {
                self.window.remove(&timer);
            }
        }
    }

    /// The next timer that is due and whose stream can be read.
    pub(crate) fn pop(&mut self, now: Instant, durable: Position) -> Option<Timer> {
        while let Some(first) = self.window.first_entry().filter(|first| first.key().due <= now) {
            let (timer, _) = first.remove_entry();
            if durable < timer.start {
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

    /// This window is used up, and there is more in the table.
    pub(crate) fn is_used_up(&self) -> bool {
        self.beyond.is_some_and(|from| self.first().is_none_or(|first| first >= from))
    }

    fn first(&self) -> Option<Instant> {
        self.window.keys().next().map(|timer| timer.due)
    }

    /// Takes in the next window of the table: as much as a page, with all of the moment that it begins with.
    fn take_in(&mut self, timers: &[Timer], is_last: bool) {
        // A window ends between two moments, so that one moment's timers are never split.
        self.beyond = timers.last().map(|last| last.due).filter(|_| !is_last);
        let inside = timers.iter().filter(|timer| self.beyond.is_none_or(|beyond| timer.due < beyond));
        for timer in inside {
            self.window.entry(*timer).or_insert(self.committed);
        }
        self.uncut = self.window.len();
    }

    /// More timers in one moment than a page holds: all of that moment.
    fn take_in_moment(&mut self, moment: Instant, timers: &[Timer]) {
        self.beyond = Some(moment.plus(1));
        for timer in timers {
            self.window.entry(*timer).or_insert(self.committed);
        }
        self.uncut = self.window.len();
    }
}

/// What a window is read from: the table's rows from a moment on, or all of one moment.
fn from_on(from: Instant) -> Range {
    let from = keys::timers_from(from);
    Range { table: Table::Timers, from, to: None, order: Order::Ascending, limit: WINDOW }
}

fn of_moment(moment: Instant) -> Range {
    Range { to: Some(keys::timers_from(moment.plus(1))), limit: usize::MAX, ..from_on(moment) }
}

fn parse(rows: &[Row]) -> Result<Vec<Timer>, Corrupt> {
    rows.iter().map(Timer::parse).collect()
}

/// A page that holds one moment only, and not all of it.
fn split_moment(timers: &[Timer], is_last: bool) -> Option<Instant> {
    let (first, last) = (timers.first()?.due, timers.last()?.due);
    (!is_last && first == last).then_some(first)
}

/// Reads the next window when this one is used up: a decision of its own.
pub(crate) fn refill(mut reads: Reads<'_>) -> Result<(), Unready> {
    let Some(from) = reads.timers.beyond.filter(|_| reads.timers.is_used_up()) else { return Ok(()) };
    let page = reads.rows(&from_on(from))?;
    let timers = parse(&page.rows)?;
    match split_moment(&timers, page.end.is_none()) {
        Some(moment) => {
            let all = parse(&reads.rows(&of_moment(moment))?.rows)?;
            reads.done()?.timers_mut().take_in_moment(moment, &all);
        }
        None => reads.done()?.timers_mut().take_in(&timers, page.end.is_none()),
    }
    Ok(())
}

/// Reads the first window at start-up.
pub(crate) fn recover(timers: &mut Timers, store: &dyn Store) -> Result<(), StoreError> {
    let rows = store.rows(&from_on(Instant(0)))?;
    let is_last = rows.len() < WINDOW;
    let page = parse(&rows)?;
    match split_moment(&page, is_last) {
        Some(moment) => timers.take_in_moment(moment, &parse(&store.rows(&of_moment(moment))?)?),
        None => timers.take_in(&page, is_last),
    }
    Ok(())
}
