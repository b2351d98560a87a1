//! The memory that all guests together may take: a machine that runs out of it kills the host, and not the guest.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// What is there for all guests.
#[derive(Debug)]
pub(super) struct Budget {
    taken: AtomicUsize,
    bytes_max: usize,
}

impl Budget {
    /// So many bytes for all.
    pub(super) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { taken: AtomicUsize::new(0), bytes_max })
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }
}

/// What one attempt has of it; given back when the attempt's store is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Share {
    /// Nothing yet.
    pub(super) fn of(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), bytes: 0 }
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes so many bytes more, if they are there.
    pub(super) fn grow(&mut self, more: usize) -> bool {
        let fits = |taken: usize| taken.checked_add(more).filter(|taken| *taken <= self.budget.bytes_max);
        let grown = self.budget.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        if grown {
            self.bytes += more;
        }
        grown
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_has_the_others_lack_until_it_is_given_back() {
        let budget = Budget::new(100);
        let (mut first, mut second) = (Share::of(&budget), Share::of(&budget));
        assert!(first.grow(60) && !second.grow(60) && second.grow(40) && !second.grow(1));
        assert!(!second.grow(usize::MAX));
        drop(first);
        assert!(second.grow(60));
        assert_eq!(second.bytes(), 100);
    }
}
