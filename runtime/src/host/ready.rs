//! The attempts of one guest thread that could go on now, and who has the thread next: pure, so that tests drive it by hand.
//!
//! What has used little goes before what has used much: by namespace, then by module, then what has just begun before what has used
//! more than a slice. Whoever has waited for long has one slice all the same, so that nothing starves.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::groups::{Group, Length, Rank};

/// What has waited so long for its thread is next, whatever it has used; one of them in so much time. That is a slice in ten: little
/// enough to hold nobody up, and enough that what takes some slices ends while others keep the host busy.
const OVERDUE: Duration = Duration::from_millis(20);

/// What could go on.
#[derive(Debug)]
pub(super) struct Ready<T> {
    groups: Vec<Members<T>>,
    overdue_at: Duration,
    len: usize,
}

#[derive(Debug)]
struct Members<T> {
    group: Arc<Group>,
    short: VecDeque<(T, Duration)>,
    long: VecDeque<(T, Duration)>,
}

impl<T> Default for Ready<T> {
    fn default() -> Self {
        Self { groups: Vec::new(), overdue_at: Duration::ZERO, len: 0 }
    }
}

impl<T> Ready<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Something could go on from now.
    pub(super) fn put(&mut self, group: &Arc<Group>, length: Length, what: T, now: Duration) {
        let at = self.groups.iter().position(|members| Arc::ptr_eq(&members.group, group)).unwrap_or_else(|| {
            self.groups.push(Members { group: Arc::clone(group), short: VecDeque::new(), long: VecDeque::new() });
            self.groups.len() - 1
        });
        self.groups[at].line_mut(length).push_back((what, now));
        self.len += 1;
    }

    /// Where the one stands that has the thread next.
    pub(super) fn first(&self, now: Duration) -> Option<Rank> {
        match self.overdue(now) {
            Some(_) => Some(Rank::FIRST),
            None => self.best(now).map(|(rank, ..)| rank),
        }
    }

    /// Takes the one that has the thread next.
    pub(super) fn next(&mut self, now: Duration) -> Option<T> {
        let overdue = self.overdue(now);
        if overdue.is_some() {
            self.overdue_at = now + OVERDUE;
        }
        let (at, length) = overdue.or_else(|| self.best(now).map(|(_, at, length)| (at, length)))?;
        let (what, _) = self.groups[at].line_mut(length).pop_front()?;
        self.len -= 1;
        if self.groups[at].len() == 0 {
            self.groups.swap_remove(at);
        }
        Some(what)
    }

    /// Takes one out that is not to go on.
    pub(super) fn remove(&mut self, what: &T)
    where
        T: PartialEq,
    {
        for members in &mut self.groups {
            members.short.retain(|(other, _)| other != what);
            members.long.retain(|(other, _)| other != what);
        }
        self.groups.retain(|members| members.len() > 0);
        self.len = self.groups.iter().map(Members::len).sum();
    }

    fn best(&self, now: Duration) -> Option<(Rank, usize, Length)> {
        let ranked = self.groups.iter().enumerate().map(|(at, members)| {
            let length = if members.short.is_empty() { Length::Long } else { Length::Short };
            let since = members.line(length).front().map(|(_, since)| *since);
            (members.group.rank(length, now), since, at, length)
        });
        let (rank, _, at, length) = ranked.min_by_key(|(rank, since, ..)| (*rank, *since))?;
        Some((rank, at, length))
    }

    /// Who has waited longest, if that is for too long and nobody was overdue lately.
    fn overdue(&self, now: Duration) -> Option<(usize, Length)> {
        if now < self.overdue_at {
            return None;
        }
        let fronts = self.groups.iter().enumerate().flat_map(|(at, members)| {
            [Length::Short, Length::Long].into_iter().filter_map(move |length| {
                let (_, since) = members.line(length).front()?;
                Some((*since, at, length))
            })
        });
        let (since, at, length) = fronts.min_by_key(|(since, ..)| *since)?;
        (now.saturating_sub(since) >= OVERDUE).then_some((at, length))
    }
}

impl<T> Members<T> {
    fn len(&self) -> usize {
        self.short.len() + self.long.len()
    }

    fn line(&self, length: Length) -> &VecDeque<(T, Duration)> {
        match length {
            Length::Short => &self.short,
            Length::Long => &self.long,
        }
    }

    fn line_mut(&mut self, length: Length) -> &mut VecDeque<(T, Duration)> {
        match length {
            Length::Short => &mut self.short,
            Length::Long => &mut self.long,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::groups::{Counts, Way};

    const SLICE: Duration = Duration::from_millis(2);

    /// A thread and the attempts that want it for so many slices each; each is named after its module.
    struct Thread {
        ready: Ready<(Arc<Group>, u32)>,
        groups: Vec<Arc<Group>>,
        now: Duration,
        ran: String,
    }

    impl Thread {
        fn new() -> Self {
            Self { ready: Ready::default(), groups: Vec::new(), now: Duration::ZERO, ran: String::new() }
        }

        fn wants(&mut self, name: &str, slices: u32) {
            let group = self.groups.iter().find(|group| group.name() == name).cloned().unwrap_or_else(|| {
                // Each module in a namespace of its own: the levels do the same.
                let group = Group::new(Way::Forward, name.to_owned(), Arc::default(), Arc::new(Counts::default()));
                self.groups.push(Arc::clone(&group));
                group
            });
            self.ready.put(&group, Length::Short, (Arc::clone(&group), slices), self.now);
        }

        fn run(&mut self, slices: u32) -> &str {
            self.ran.clear();
            for _ in 0..slices {
                let Some((group, left)) = self.ready.next(self.now) else { break };
                self.ran += group.name();
                self.now += SLICE;
                group.charge(SLICE, self.now);
                if left > 1 {
                    self.ready.put(&group.clone(), Length::Long, (group, left - 1), self.now);
                }
            }
            &self.ran
        }
    }

    /// Each of fifty spinning guests had the thread for a slice before a fresh attempt began, and again before it went on. The kind: an
    /// order by arrival where one takes more than another.
    #[test]
    fn c2_35_what_has_used_little_waits_for_no_more_than_the_slice_that_runs() {
        let mut thread = Thread::new();
        (0..50).for_each(|_| thread.wants("s", 1_000));
        thread.run(40);
        thread.wants("o", 2);
        // One slice of them may be overdue.
        assert_eq!(thread.run(3).matches('o').count(), 2);
    }

    #[test]
    fn of_one_module_what_has_just_begun_is_before_what_has_used_a_slice() {
        let mut thread = Thread::new();
        (0..3).for_each(|_| thread.wants("s", 9));
        thread.run(3);
        let before = thread.ready.len();
        thread.wants("s", 1);
        thread.run(2);
        assert_eq!((before, thread.ready.len()), (3, 3), "the one that wanted one slice has ended");
    }

    #[test]
    fn two_modules_that_spin_have_the_same_time_however_many_attempts_each_has() {
        let mut thread = Thread::new();
        (0..9).for_each(|_| thread.wants("a", 1_000));
        thread.wants("b", 1_000);
        let ran = thread.run(400);
        let of_b = ran.matches('b').count();
        assert!((180..=220).contains(&of_b), "{of_b} of 400");
    }

    #[test]
    fn what_waits_for_long_has_a_slice_in_ten_whatever_else_wants_the_thread() {
        let mut thread = Thread::new();
        thread.wants("s", 1_000);
        thread.run(100);
        // New modules all the time, none of which has used anything.
        let of_s: usize = (0..500)
            .map(|name| {
                thread.wants(&format!("<{name}>"), 1);
                thread.run(1).matches('s').count()
            })
            .sum();
        // Not all of one in ten: the new ones are overdue too after a while, because more is wanted than there is.
        assert!((20..=50).contains(&of_s), "{of_s}");
    }
}
