//! The attempts that wait for a place, and who gets the next one: pure, so that tests drive it by hand.
//!
//! Namespaces, modules and sagas share what there is, each level among its own. Nobody gets more than is left to those beside it, so
//! that whatever takes all it can get, there is something for the next one.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use amends_core::id::Namespace;

use super::groups::{Counts, Group, Length, Party, Rank, Way};
use crate::journal::StreamId;

/// How many places there are for attempts that lead forward. Those that lead back have them too, and some of their own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    /// Attempts that have begun.
    pub(super) begun: u32,
    /// Those of them that do not wait for the host.
    pub(super) running: u32,
}

impl Places {
    /// All places.
    pub(super) fn total(self) -> u32 {
        self.begun.saturating_add(reserve(self.begun))
    }
}

/// Places that only attempts that lead back can have, beside so many for all: enough that a rollback goes on in each module, few
/// enough to cost little memory.
fn reserve(places: u32) -> u32 {
    (places / 8).max(1)
}

/// What waits, and the counters of what has begun.
pub(super) struct Queue<J> {
    places: Places,
    all: Arc<Counts>,
    spaces: HashMap<(Way, Namespace), Space<J>>,
    waiting: [usize; 2],
}

/// Who is before whom among those that may begin: by rank, by places, by arrival.
type Before = (Rank, u32, Duration);

/// A namespace's attempts of one way.
struct Space<J> {
    counts: Arc<Counts>,
    modules: HashMap<String, Line<J>>,
}

/// A module's.
struct Line<J> {
    group: Arc<Group>,
    sagas: HashMap<Arc<StreamId>, Saga<J>>,
    /// The sagas of which something waits, each once: who was first is next, and then behind the others.
    order: VecDeque<Arc<StreamId>>,
}

/// A saga's.
struct Saga<J> {
    begun: u32,
    jobs: VecDeque<(J, Duration)>,
}

/// The place of an attempt that has begun.
#[derive(Debug)]
pub(super) struct Place {
    group: Arc<Group>,
    of: Arc<StreamId>,
}

impl Place {
    pub(super) fn group(&self) -> &Arc<Group> {
        &self.group
    }

    /// What it runs for.
    pub(super) fn of(&self) -> &StreamId {
        &self.of
    }
}

impl<J> Queue<J> {
    pub(super) fn new(places: Places) -> Self {
        Self { places, all: Arc::default(), spaces: HashMap::new(), waiting: [0; 2] }
    }

    /// What all attempts together have.
    pub(super) fn all(&self) -> &Counts {
        &self.all
    }

    /// How many wait.
    pub(super) fn waiting(&self, way: Way) -> usize {
        self.waiting[way as usize]
    }

    /// Lets something wait for its place.
    pub(super) fn put(&mut self, party: Party, job: J, now: Duration) {
        self.waiting[party.way as usize] += 1;
        let line = self.line(party.way, &party.of.namespace, &party.module);
        let known = line.sagas.get_key_value(&party.of).map(|(of, _)| Arc::clone(of));
        let of = known.unwrap_or_else(|| Arc::new(party.of));
        let saga = line.sagas.entry(Arc::clone(&of)).or_insert_with(|| Saga { begun: 0, jobs: VecDeque::new() });
        if saga.jobs.is_empty() {
            line.order.push_back(of);
        }
        saga.jobs.push_back((job, now));
    }

    /// The next one that has a place, if there is one that is before `rival`.
    pub(super) fn next(&mut self, now: Duration, rival: Option<Rank>) -> Option<(J, Place)> {
        let (rank, at, module) = self.best(now)?;
        if rival.is_some_and(|rival| rival <= rank) {
            return None;
        }
        let line = self.spaces.get_mut(&at)?.modules.get_mut(&module)?;
        let of = line.order.pop_front()?;
        let saga = line.sagas.get_mut(&of)?;
        let (job, _) = saga.jobs.pop_front()?;
        saga.begun += 1;
        if !saga.jobs.is_empty() {
            line.order.push_back(Arc::clone(&of));
        }
        line.group.begins();
        self.waiting[at.0 as usize] -= 1;
        Some((job, Place { group: Arc::clone(&line.group), of }))
    }

    /// Whether one that waits could begin.
    pub(super) fn has_next(&mut self, now: Duration) -> bool {
        self.best(now).is_some()
    }

    /// The first of those that may begin. The saga whose turn it is there is brought to the front of its line.
    fn best(&mut self, now: Duration) -> Option<(Rank, (Way, Namespace), String)> {
        // Of equals the one with fewer places, then the one that waits longer.
        let mut best: Option<(Before, &(Way, Namespace), &String)> = None;
        for (at, space) in &mut self.spaces {
            let left = |places, taken, has| left(places, at.0, taken).and_then(|left| inside(left, has));
            let begun = left(self.places.begun, self.all.begun(), space.counts.begun());
            let running = left(self.places.running, self.all.running(), space.counts.running());
            let (Some(begun), Some(running)) = (begun, running) else { continue };
            for (name, line) in space.modules.iter_mut().filter(|(_, line)| !line.order.is_empty()) {
                let rank = line.group.rank(Length::Short, now);
                if best.as_ref().is_some_and(|((first, ..), ..)| *first < rank) {
                    continue;
                }
                if let Some(since) = line.next_since(begun, running) {
                    let key = (rank, line.group.module().begun(), since);
                    if best.as_ref().is_none_or(|(first, ..)| key < *first) {
                        best = Some((key, at, name));
                    }
                }
            }
        }
        best.map(|((rank, ..), at, name)| (rank, at.clone(), name.clone()))
    }

    /// Takes something out that waits for its place.
    pub(super) fn withdraw(&mut self, of: &StreamId, is: impl Fn(&J) -> bool) -> Option<J> {
        for way in [Way::Forward, Way::Back] {
            let Some(space) = self.spaces.get_mut(&(way, of.namespace.clone())) else { continue };
            if let Some(job) = space.modules.values_mut().find_map(|line| line.withdraw(of, &is)) {
                self.waiting[way as usize] -= 1;
                return Some(job);
            }
        }
        None
    }

    /// What began has ended.
    pub(super) fn give_back(&mut self, place: Place) {
        place.group.ends();
        let Some(line) = self.line_of(&place) else { return };
        let Some(saga) = line.sagas.get_mut(&place.of) else { return };
        saga.begun -= 1;
        if saga.begun == 0 && saga.jobs.is_empty() {
            line.sagas.remove(&place.of);
        }
    }

    /// What began leads the other way from now on, at the place that it has.
    pub(super) fn turn(&mut self, place: Place, way: Way) -> Place {
        let Place { group, of } = &place;
        let line = self.line(way, &of.namespace, group.name());
        line.sagas.entry(Arc::clone(of)).or_insert_with(|| Saga { begun: 0, jobs: VecDeque::new() }).begun += 1;
        line.group.begins();
        let turned = Place { group: Arc::clone(&line.group), of: Arc::clone(of) };
        self.give_back(place);
        turned
    }

    /// Takes those out that have waited since then or longer, and forgets who has nothing any more.
    pub(super) fn give_up(&mut self, since: Duration, now: Duration) -> Vec<J> {
        let mut given_up = Vec::new();
        for (at, space) in &mut self.spaces {
            for line in space.modules.values_mut() {
                for saga in line.sagas.values_mut() {
                    while let Some((job, _)) = saga.jobs.pop_front_if(|(_, put)| *put <= since) {
                        given_up.push(job);
                        self.waiting[at.0 as usize] -= 1;
                    }
                }
                line.sagas.retain(|_, saga| saga.begun > 0 || !saga.jobs.is_empty());
                line.order.retain(|of| line.sagas.get(of).is_some_and(|saga| !saga.jobs.is_empty()));
            }
            space.modules.retain(|_, line| !line.sagas.is_empty() || !line.group.module().is_idle(now));
        }
        self.spaces.retain(|_, space| !space.modules.is_empty() || !space.counts.is_idle(now));
        given_up
    }

    /// Drops what waits.
    pub(super) fn clear(&mut self) {
        self.spaces.clear();
        self.waiting = [0; 2];
    }

    fn line_of(&mut self, place: &Place) -> Option<&mut Line<J>> {
        let at = (place.group.way(), place.of.namespace.clone());
        self.spaces.get_mut(&at)?.modules.get_mut(place.group.name())
    }

    fn line(&mut self, way: Way, namespace: &Namespace, module: &str) -> &mut Line<J> {
        let all = &self.all;
        let space = self.spaces.entry((way, namespace.clone()));
        let Space { counts, modules } = space.or_insert_with(|| Space { counts: Arc::default(), modules: HashMap::new() });
        modules.entry(module.to_owned()).or_insert_with(|| Line {
            group: Group::new(way, module.to_owned(), Arc::clone(all), Arc::clone(counts)),
            sagas: HashMap::new(),
            order: VecDeque::new(),
        })
    }
}

impl<J> Line<J> {
    /// Of a saga of which nothing is left it forgets the name, and its turn.
    fn withdraw(&mut self, of: &StreamId, is: impl Fn(&J) -> bool) -> Option<J> {
        let saga = self.sagas.get_mut(of)?;
        let at = saga.jobs.iter().position(|(job, _)| is(job))?;
        let (job, _) = saga.jobs.remove(at)?;
        if saga.jobs.is_empty() {
            let begun = saga.begun;
            // Whoever takes many back does so about in the order in which they came: it is near the front.
            if let Some(turn) = self.order.iter().position(|waits| **waits == *of) {
                self.order.remove(turn);
            }
            if begun == 0 {
                self.sagas.remove(of);
            }
        }
        Some(job)
    }

    /// Brings the saga to the front whose turn it is, of those that may have one more. Since when its next one waits.
    fn next_since(&mut self, begun: u32, running: u32) -> Option<Duration> {
        let module = self.group.module();
        let (begun, _) = (inside(begun, module.begun())?, inside(running, module.running())?);
        let may = |of: &Arc<StreamId>| self.sagas.get(of).is_some_and(|saga| inside(begun, saga.begun).is_some());
        let turn = self.order.iter().position(may)?;
        self.order.rotate_left(turn);
        Some(self.sagas.get(self.order.front()?)?.jobs.front()?.1)
    }
}

/// What is left of these places to an attempt of this way.
fn left(places: u32, way: Way, taken: u32) -> Option<u32> {
    let of_way = match way {
        Way::Back => places.saturating_add(reserve(places)),
        Way::Forward => places,
    };
    of_way.checked_sub(taken).filter(|left| *left > 0)
}

/// What is left inside one that has so many of what it shares, if it may have one more. It may while it has less than what is left:
/// alone it ends with half, the next one with half of the rest. One may always be had.
fn inside(left: u32, has: u32) -> Option<u32> {
    (has == 0 || has < left).then_some(left.saturating_sub(has) / 2)
}

#[cfg(test)]
mod tests;
