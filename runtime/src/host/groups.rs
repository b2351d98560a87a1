//! Whom an attempt counts for, and what they have: all attempts of one way in a namespace, and of those the ones of one module.
//!
//! It must not know threads or guests: counters, and moments as arguments. What runs changes the counters without a lock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::journal::StreamId;

/// Which way an attempt leads. The ways share no account: what a module uses forward does not hold its rollbacks up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Way {
    /// It undoes, or finds out whether there is something to undo.
    Back,
    /// Everything else.
    Forward,
}

/// Whom an attempt counts for.
#[derive(Clone, Debug)]
pub(super) struct Party {
    pub(super) way: Way,
    /// What it runs for, in its namespace.
    pub(super) of: StreamId,
    pub(super) module: String,
}

/// How much of a processor an attempt has used so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Length {
    /// At most a slice.
    Short,
    /// More.
    Long,
}

/// What one group has now, and used lately.
#[derive(Debug, Default)]
pub(super) struct Counts {
    begun: AtomicU32,
    running: AtomicU32,
    used: Lately,
}

impl Counts {
    /// Attempts that have begun and not ended.
    pub(super) fn begun(&self) -> u32 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Those of them that want a processor or have one; the others wait for the host.
    pub(super) fn running(&self) -> u32 {
        self.running.load(Ordering::Relaxed)
    }

    /// It has nothing, and what it used is forgotten.
    pub(super) fn is_idle(&self, now: Duration) -> bool {
        self.begun() == 0 && self.used.at(now) == 0
    }
}

/// A module's attempts of one way.
#[derive(Debug)]
pub(super) struct Group {
    way: Way,
    name: String,
    all: Arc<Counts>,
    namespace: Arc<Counts>,
    module: Counts,
}

/// Who is next: the least. By what its namespace used, then its module, then itself; of two namespaces that used as much what leads
/// back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    namespace_used: u32,
    way: Way,
    module_used: u32,
    length: Length,
}

impl Rank {
    /// Nothing is before it.
    pub(super) const FIRST: Self = Self { namespace_used: 0, way: Way::Back, module_used: 0, length: Length::Short };
}

impl Group {
    pub(super) fn new(way: Way, name: String, all: Arc<Counts>, namespace: Arc<Counts>) -> Arc<Self> {
        Arc::new(Self { way, name, all, namespace, module: Counts::default() })
    }

    /// What shares with nobody: a module that is being verified.
    pub(super) fn alone() -> Arc<Self> {
        Self::new(Way::Forward, String::new(), Arc::default(), Arc::default())
    }

    pub(super) fn way(&self) -> Way {
        self.way
    }

    /// The module's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn module(&self) -> &Counts {
        &self.module
    }

    /// Where an attempt of it stands among those of all.
    pub(super) fn rank(&self, length: Length, now: Duration) -> Rank {
        let (namespace_used, module_used) = (self.namespace.used.at(now), self.module.used.at(now));
        Rank { namespace_used, way: self.way, module_used, length }
    }

    /// One of its attempts used so much of a processor.
    pub(super) fn charge(&self, spent: Duration, now: Duration) {
        self.namespace.used.add(spent, now);
        self.module.used.add(spent, now);
    }

    /// An attempt of it begins, and wants a processor.
    pub(super) fn begins(&self) {
        self.each(|counts| counts.begun.fetch_add(1, Ordering::Relaxed));
        self.runs();
    }

    /// An attempt of it that ran has ended.
    pub(super) fn ends(&self) {
        self.waits();
        self.each(|counts| counts.begun.fetch_sub(1, Ordering::Relaxed));
    }

    /// One that waited for the host wants a processor again.
    pub(super) fn runs(&self) {
        self.each(|counts| counts.running.fetch_add(1, Ordering::Relaxed));
    }

    /// One that ran waits for the host.
    pub(super) fn waits(&self) {
        self.each(|counts| counts.running.fetch_sub(1, Ordering::Relaxed));
    }

    fn each(&self, change: impl Fn(&Counts) -> u32) {
        for counts in [&*self.all, &*self.namespace, &self.module] {
            change(counts);
        }
    }
}

/// Processor time, in microseconds, of which half is forgotten in each period. The period that it is as of and the time are one
/// number, so that threads add to it without a lock.
#[derive(Debug, Default)]
struct Lately(AtomicU64);

/// A period is 2^18 microseconds, a quarter of a second: long against a slice, so that the order is not of the last slice only, and
/// short against what people notice: who spun a second ago is not held back for it.
const PERIOD_BITS: u32 = 18;

impl Lately {
    fn at(&self, now: Duration) -> u32 {
        forgotten(self.0.load(Ordering::Relaxed), period(now)).1
    }

    fn add(&self, spent: Duration, now: Duration) {
        let spent = u32::try_from(spent.as_micros()).unwrap_or(u32::MAX);
        let added = |packed| {
            let (period, used) = forgotten(packed, period(now));
            Some(u64::from(period) << 32 | u64::from(used.saturating_add(spent)))
        };
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
    }
}

fn period(now: Duration) -> u32 {
    // It wraps after 35 years.
    (now.as_micros() >> PERIOD_BITS) as u32
}

/// What is left in this period, or in the one that another thread is already in.
fn forgotten(packed: u64, period: u32) -> (u32, u32) {
    let (then, used) = ((packed >> 32) as u32, packed as u32);
    let left = used.checked_shr(period.saturating_sub(then)).unwrap_or(0);
    (period.max(then), left)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn what_was_used_is_forgotten_by_half_in_each_quarter_of_a_second() {
        let used = Lately::default();
        used.add(MS(8), MS(100));
        used.add(MS(8), MS(200));
        assert_eq!([200, 300, 600, 100_000].map(|now| used.at(MS(now))), [16_000, 8_000, 4_000, 0]);
        used.add(MS(1), MS(600));
        assert_eq!((used.at(MS(600)), used.at(MS(200))), (5_000, 5_000), "a thread that is behind forgets nothing");
    }

    #[test]
    fn what_a_module_uses_forward_does_not_count_on_its_way_back() {
        let (all, forward, back) = (Arc::default(), Arc::default(), Arc::default());
        let group = |way, namespace: &Arc<Counts>| Group::new(way, "m".to_owned(), Arc::clone(&all), Arc::clone(namespace));
        let (spins, other, undoes) = (group(Way::Forward, &forward), group(Way::Forward, &forward), group(Way::Back, &back));
        assert!(undoes.rank(Length::Short, MS(0)) < other.rank(Length::Short, MS(0)), "among equals it is first");
        spins.charge(MS(5), MS(0));
        assert!(
            undoes.rank(Length::Short, MS(0)) < other.rank(Length::Short, MS(0))
                && other.rank(Length::Short, MS(0)) < spins.rank(Length::Short, MS(0))
        );
        undoes.charge(MS(9), MS(0));
        assert!(other.rank(Length::Short, MS(0)) < undoes.rank(Length::Short, MS(0)), "and it does not spin for nothing");
    }
}
