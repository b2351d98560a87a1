//! The committer: makes batches durable, many at a time, in their order.
//!
//! `drain → one commit → notice` are plain functions, so that a simulation can call them itself; [`Committer`] is the OS thread
//! that calls them in production. It does not read the contents of a batch, and never waits for more work: while one commit is in
//! flight, the batches of the next one are queued.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{Batch, Position, Store, StoreError};

/// The largest number of batches in one commit: a larger commit would cost more than it saves.
pub const COMMIT_BATCHES_MAX: usize = 256;

/// The largest size of one commit in bytes; a single batch may be larger.
pub const COMMIT_BYTES_MAX: usize = 1 << 20;

/// The largest number of records in one commit.
pub const COMMIT_RECORDS_MAX: usize = 8_192;

/// A queued batch, with the number by which its owner identifies it. Tags increase.
#[derive(Debug)]
pub struct Work {
    /// Named in the notice that makes it durable.
    pub tag: u64,
    /// The batch to commit.
    pub batch: Batch,
}

impl Work {
    /// The size that it adds to the queue and to a commit; a batch of rows only has a size as well.
    fn records(&self) -> usize {
        self.batch.record_count().max(1)
    }
}

/// The result of a commit.
#[derive(Debug)]
pub enum Notice {
    /// All work up to and with this tag is durable.
    Durable {
        /// The last tag of the commit.
        tag: u64,
        /// The position of the last record; none if the commit changed rows only.
        position: Option<Position>,
    },
    /// The commit failed: nothing of it and of the queue may be acknowledged any more. Sent once (law 14).
    Failed(StoreError),
}

/// A commit failed, or the committer was finished: it accepts no more work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

/// Work that waits for the next commit, in order. The queue accepts everything: the limit applies where work begins, because the
/// outcome of work that has begun is never refused.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: VecDeque<Work>,
    records: usize,
    ended: bool,
    /// A commit is in flight.
    busy: bool,
}

impl Queue {
    /// Queues work.
    pub fn push(&mut self, work: Work) -> Result<(), Ended> {
        if self.ended {
            return Err(Ended);
        }
        self.records += work.records();
        self.waiting.push_back(work);
        Ok(())
    }

    /// Takes the work for one commit, oldest first.
    pub fn drain(&mut self) -> Vec<Work> {
        let (mut count, mut bytes, mut records) = (0, 0, 0);
        for work in self.waiting.iter().take(COMMIT_BATCHES_MAX) {
            bytes += work.batch.byte_count();
            records += work.records();
            if count > 0 && (bytes > COMMIT_BYTES_MAX || records > COMMIT_RECORDS_MAX) {
                records -= work.records();
                break;
            }
            count += 1;
        }
        self.records -= records;
        self.waiting.drain(..count).collect()
    }

    /// Drops the queue, and accepts no more work.
    fn fail(&mut self) {
        *self = Self { ended: true, ..Self::default() };
    }
}

/// Totals since start, for the metrics.
#[derive(Debug, Default)]
pub struct Counters {
    commits: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    nanoseconds: AtomicU64,
    last_nanoseconds: AtomicU64,
}

/// [`Counters`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Commits that became durable.
    pub commits: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of records and rows in them.
    pub bytes: u64,
    /// Time spent in them.
    pub seconds: f64,
}

impl Counters {
    /// The current values.
    pub fn totals(&self) -> Totals {
        Totals {
            commits: self.commits.load(Ordering::Relaxed),
            records: self.records.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            seconds: self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9,
        }
    }
}

/// Makes work durable in one commit. Without work there is no notice.
pub fn commit(store: &dyn Store, works: Vec<Work>, counters: &Counters) -> Option<Notice> {
    let tag = works.last()?.tag;
    let batches: Vec<Batch> = works.into_iter().map(|work| work.batch).collect();
    let begun = Instant::now();
    if let Err(error) = store.commit(&batches) {
        return Some(Notice::Failed(error));
    }
    let total = |count: fn(&Batch) -> usize| batches.iter().map(count).sum::<usize>() as u64;
    counters.commits.fetch_add(1, Ordering::Relaxed);
    counters.records.fetch_add(total(Batch::record_count), Ordering::Relaxed);
    counters.bytes.fetch_add(total(Batch::byte_count), Ordering::Relaxed);
    let took = begun.elapsed().as_nanos() as u64;
    counters.nanoseconds.fetch_add(took, Ordering::Relaxed);
    counters.last_nanoseconds.store(took, Ordering::Relaxed);
    let position = batches.iter().flat_map(|batch| &batch.appends).last().map(|append| append.last_position());
    Some(Notice::Durable { tag, position })
}

/// All three steps for a queue that has no thread: the simulation's committer.
pub fn commit_next(queue: &mut Queue, store: &dyn Store, counters: &Counters) -> Option<Notice> {
    let notice = commit(store, queue.drain(), counters)?;
    if let Notice::Failed(_) = notice {
        queue.fail();
    }
    Some(notice)
}

/// The thread that owns write transactions.
#[derive(Debug)]
pub struct Committer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// Starts the thread. `notify` is called on it after every commit, and must not block for long.
    pub fn start(store: Arc<dyn Store>, notify: impl FnMut(Notice) + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new().name("committer".to_owned()).spawn(move || of_thread.run(store.as_ref(), notify))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Queues work.
    pub fn push(&self, work: Work) -> Result<(), Ended> {
        let pushed = self.shared.queue().push(work);
        self.shared.changed.notify_one();
        pushed
    }

    /// Commits on the thread of the caller, if nothing is queued and no commit is in flight: nobody is woken for it, and nobody
    /// waits for the caller meanwhile. Gives the work back otherwise.
    pub fn commit_here(&self, store: &dyn Store, works: Vec<Work>) -> Result<Option<Notice>, Vec<Work>> {
        {
            let mut queue = self.shared.queue();
            if queue.busy || queue.ended || !queue.waiting.is_empty() {
                return Err(works);
            }
            queue.busy = true;
        }
        let notice = commit(store, works, &self.shared.counters);
        let mut queue = self.shared.queue();
        queue.busy = false;
        if let Some(Notice::Failed(_)) = notice {
            queue.fail();
        }
        Ok(notice)
    }

    /// The number of records that wait for the next commit.
    pub fn depth(&self) -> usize {
        self.shared.queue().records
    }

    /// How long the last commit took.
    pub fn last_commit(&self) -> Duration {
        Duration::from_nanos(self.shared.counters.last_nanoseconds.load(Ordering::Relaxed))
    }

    /// Totals since start.
    pub fn totals(&self) -> Totals {
        self.shared.counters.totals()
    }

    /// Commits the queue, sends the notice, and ends the thread.
    pub fn finish(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.queue().ended = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has closed the queue by itself; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.end();
    }
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    counters: Counters,
}

impl Shared {
    fn run(&self, store: &dyn Store, mut notify: impl FnMut(Notice)) {
        let _fails = FailsWhenDropped(self);
        loop {
            let works = self.next();
            let notice = commit(store, works, &self.counters);
            self.queue().busy = false;
            match notice {
                None => return,
                Some(Notice::Failed(error)) => {
                    // First refuse, then tell: whoever hears of it can rely on it.
                    self.queue().fail();
                    return notify(Notice::Failed(error));
                }
                Some(durable) => notify(durable),
            }
        }
    }

    /// Waits for work; none when the queue has ended and is empty.
    fn next(&self) -> Vec<Work> {
        let queue = self.queue();
        let waited = self.changed.wait_while(queue, |queue| queue.waiting.is_empty() && !queue.ended);
        let mut queue = waited.unwrap_or_else(PoisonError::into_inner);
        queue.busy = true;
        queue.drain()
    }

    /// No code panics while it holds the lock, so that a poisoned lock can be used.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// However the thread ends, also by a panic in `notify`, it accepts no work that it would not commit.
struct FailsWhenDropped<'a>(&'a Shared);

impl Drop for FailsWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.queue().fail();
    }
}

#[cfg(test)]
mod tests;
