//! Inputs that wait for what was asked of the store, each in the order of its lane.
//!
//! An input that misses something is parked until all of it has come, and is then tried again from its beginning. What comes in the
//! same lane meanwhile waits behind it, so that requests about one thing keep their order.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    hash::Hash,
};

use super::reads::Look;

/// The parked inputs of a shard: `W` is what is to be decided, `L` names a lane.
#[derive(Debug)]
pub(crate) struct Desk<W, L> {
    next_ticket: u64,
    parked: BTreeMap<u64, Parked<W, L>>,
    /// What waits behind a parked input of its lane. A lane is here as long as it has a parked input.
    behind: HashMap<L, VecDeque<W>>,
}

#[derive(Debug)]
struct Parked<W, L> {
    work: W,
    place: Place<L>,
    /// What has not come yet.
    misses: HashSet<Look>,
    /// It waits for no look, but for another input: to be tried when that is decided.
    is_blocked: bool,
}

/// The place of an input that was tried and missed something.
#[derive(Debug)]
pub(crate) struct Place<L> {
    ticket: u64,
    lane: Option<L>,
    /// What was asked for it: kept until it is decided.
    looks: Vec<Look>,
    /// The last durable commit when it asked first: what it is told may be as old as that.
    since: u64,
}

impl<W, L> Default for Desk<W, L> {
    fn default() -> Self {
        Self { next_ticket: 0, parked: BTreeMap::new(), behind: HashMap::new() }
    }
}

impl<W, L: Clone + Eq + Hash> Desk<W, L> {
    /// Nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.parked.is_empty()
    }

    /// Something waits in this lane.
    pub(crate) fn is_busy(&self, lane: &L) -> bool {
        self.behind.contains_key(lane)
    }

    /// Lets an input wait behind the parked one of its lane.
    pub(crate) fn queue(&mut self, lane: L, work: W) {
        self.behind.entry(lane).or_default().push_back(work);
    }

    /// The oldest commit that some answer to a parked input may not have seen.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.parked.first_key_value().map(|(_, parked)| parked.place.since)
    }

    /// Parks an input that was tried for the first time.
    pub(crate) fn park(&mut self, work: W, lane: Option<L>, missing: Vec<Look>, since: u64) {
        if let Some(lane) = &lane {
            self.behind.entry(lane.clone()).or_default();
        }
        self.next_ticket += 1;
        self.again(Place { ticket: self.next_ticket, lane, looks: Vec::new(), since }, work, missing);
    }

    /// Parks an input once more, in its old place.
    pub(crate) fn again(&mut self, mut place: Place<L>, work: W, missing: Vec<Look>) {
        let is_blocked = missing.is_empty();
        place.looks.extend(missing.iter().cloned());
        self.parked.insert(place.ticket, Parked { work, misses: missing.into_iter().collect(), is_blocked, place });
    }

    /// An answer has come.
    pub(crate) fn found(&mut self, look: &Look) {
        for parked in self.parked.values_mut() {
            parked.misses.remove(look);
        }
    }

    /// The next input that has all that it asked for, in the order in which they came.
    pub(crate) fn next_ready(&mut self) -> Option<(Place<L>, W)> {
        let ready = |parked: &Parked<W, L>| parked.misses.is_empty() && !parked.is_blocked;
        let ticket = *self.parked.iter().find(|(_, parked)| ready(parked))?.0;
        self.parked.remove(&ticket).map(|parked| (parked.place, parked.work))
    }

    /// An input that was parked is decided: which looks nobody else needs any more, and what comes next in its lane. Inputs that
    /// waited for another one may be tried again.
    pub(crate) fn done(&mut self, place: Place<L>) -> (Vec<Look>, VecDeque<W>) {
        let Place { lane, looks, .. } = place;
        let is_used = |look: &Look| self.parked.values().any(|parked| parked.place.looks.contains(look));
        let unused = looks.into_iter().filter(|look| !is_used(look)).collect();
        let next = lane.and_then(|lane| self.behind.remove(&lane)).unwrap_or_default();
        self.unblock();
        (unused, next)
    }

    /// Something was decided: inputs that waited for another one may be tried again.
    pub(crate) fn unblock(&mut self) {
        self.parked.values_mut().for_each(|parked| parked.is_blocked = false);
    }

    /// Everything that waits, when nothing will be decided any more.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = W> + use<W, L> {
        let parked = std::mem::take(&mut self.parked).into_values().map(|parked| parked.work);
        parked.chain(std::mem::take(&mut self.behind).into_values().flatten())
    }
}
