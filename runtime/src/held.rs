//! What the host holds in memory for its clients, counted in bytes: sagas and pages that are read for them, answers that they have
//! not taken, bodies that they have not sent to the end.
//!
//! A budget for each of the three, so that none can use up what another one needs. What is small is not counted: the number of
//! connections bounds it. It knows neither HTTP nor sagas.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// What is not larger is not counted: 900 connections hold less than 64 MiB of it.
pub const SMALL_BYTES: usize = 64 << 10;

/// So many bytes of records are small: as text they are up to four times as large.
pub const SMALL_RECORDS_BYTES: usize = SMALL_BYTES / 4;

/// Who finds the budget used up waits for so long. Whoever holds something and takes nothing is let go sooner.
const PATIENCE: Duration = Duration::from_secs(50);

/// What is held for clients.
#[derive(Debug)]
pub struct Held {
    /// Whole sagas, and the answers that show them: three quarters.
    pub sagas: Arc<Budget>,
    /// Pages of journals, records for followers, and other answers: an eighth.
    pub pages: Arc<Budget>,
    /// What clients send: an eighth.
    pub bodies: Arc<Budget>,
}

impl Held {
    /// So many bytes together.
    pub fn new(bytes_max: u64) -> Self {
        let eighth = bytes_max / 8;
        Self { sagas: Budget::new(6 * eighth), pages: Budget::new(eighth), bodies: Budget::new(eighth) }
    }

    /// The budgets, by name.
    pub fn all(&self) -> [(&'static str, &Budget); 3] {
        [("sagas", &*self.sagas), ("pages", &*self.pages), ("bodies", &*self.bodies)]
    }
}

/// So many bytes for all who ask. Who asks for more than there is at all gets all of it, when nobody else has any.
#[derive(Debug)]
pub struct Budget {
    free: Arc<Semaphore>,
    kib_max: u32,
    patience: Duration,
    waiting: AtomicUsize,
}

/// Others held what was needed, and for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedUp;

impl Budget {
    fn new(bytes_max: u64) -> Arc<Self> {
        Self::with_patience(bytes_max, PATIENCE)
    }

    pub(crate) fn with_patience(bytes_max: u64, patience: Duration) -> Arc<Self> {
        let kib_max = kib(bytes_max);
        let free = Arc::new(Semaphore::new(kib_max as usize));
        Arc::new(Self { free, kib_max, patience, waiting: AtomicUsize::new(0) })
    }

    /// How much there is.
    pub fn bytes_max(&self) -> u64 {
        u64::from(self.kib_max) << 10
    }

    /// How much of it is held.
    pub fn bytes(&self) -> u64 {
        self.bytes_max() - ((self.free.available_permits() as u64) << 10)
    }

    /// A share, if there is enough now.
    pub fn try_take(self: &Arc<Self>, bytes: u64) -> Option<Share> {
        let permit = Arc::clone(&self.free).try_acquire_many_owned(self.kib(bytes)).ok()?;
        Some(Share { budget: Arc::clone(self), permit })
    }

    /// A share, as soon as there is enough. Those who came first have it first.
    pub async fn take(self: &Arc<Self>, bytes: u64) -> Result<Share, UsedUp> {
        Ok(Share { budget: Arc::clone(self), permit: self.permit(self.kib(bytes)).await? })
    }

    /// A share, however long it takes until there is enough.
    pub async fn wait(self: &Arc<Self>, bytes: u64) -> Option<Share> {
        let _waiting = Waiting::new(&self.waiting);
        let permit = Arc::clone(&self.free).acquire_many_owned(self.kib(bytes)).await.ok()?;
        Some(Share { budget: Arc::clone(self), permit })
    }

    async fn permit(&self, kib: u32) -> Result<OwnedSemaphorePermit, UsedUp> {
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_many_owned(kib) {
            return Ok(permit);
        }
        let _waiting = Waiting::new(&self.waiting);
        let taken = tokio::time::timeout(self.patience, Arc::clone(&self.free).acquire_many_owned(kib)).await;
        taken.map_err(|_| UsedUp)?.map_err(|_| UsedUp)
    }

    fn grow(self: &Arc<Self>, runtime: &Handle, share: &mut Option<Share>, bytes: u64) -> Result<(), UsedUp> {
        let has = share.as_ref().map_or(0, |share| share.permit.num_permits());
        let more = self.kib(bytes).saturating_sub(u32::try_from(has).unwrap_or(u32::MAX));
        if more > 0 {
            let permit = runtime.block_on(self.permit(more))?;
            match share {
                Some(share) => share.permit.merge(permit),
                None => *share = Some(Share { budget: Arc::clone(self), permit }),
            }
        }
        Ok(())
    }

    fn kib(&self, bytes: u64) -> u32 {
        kib(bytes).min(self.kib_max)
    }
}

/// A budget is counted in units of this size.
fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX)
}

/// Counts one who waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Part of a budget, given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    permit: OwnedSemaphorePermit,
}

impl Share {
    /// Keeps so many bytes at most, and gives the rest back.
    pub fn keep(&mut self, bytes: u64) {
        let rest = self.permit.num_permits().saturating_sub(kib(bytes) as usize);
        drop(self.permit.split(rest));
    }

    /// Somebody waits for what this and others hold.
    pub fn is_wanted(&self) -> bool {
        self.budget.waiting.load(Ordering::Relaxed) > 0
    }
}

/// The share that an answer holds now, as the connection sees it that the answer is sent on.
#[derive(Clone, Debug, Default)]
pub struct Holding(Arc<Mutex<Weak<Share>>>);

impl Holding {
    /// The answer holds this from now on.
    pub fn set(&self, share: &Arc<Share>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(share);
    }

    /// What it holds, if it is not given back.
    pub fn share(&self) -> Option<Arc<Share>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }
}

/// How much a read of whole sagas may take into memory, one saga after the other.
#[derive(Debug)]
pub struct Room {
    of: Of,
    lacked: OnceLock<NoRoom>,
}

#[derive(Debug)]
enum Of {
    Machine,
    Small,
    Budget(Arc<Budget>, Handle),
}

/// There was no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// What is read is not small: it is to be read again, in more room.
    NotSmall,
    /// The budget was used up for too long.
    UsedUp,
}

impl Room {
    /// As much as there is: what the engine reads for itself.
    pub(crate) const fn endless() -> Self {
        Self { of: Of::Machine, lacked: OnceLock::new() }
    }

    /// For what is small.
    pub fn small() -> Self {
        Self { of: Of::Small, ..Self::endless() }
    }

    /// What the budget has. Only one read at a time may have it: two that each wait for what the other one has would wait in vain.
    /// It waits on a thread of its own; `runtime` tells it the time.
    pub fn of(budget: &Arc<Budget>, runtime: Handle) -> Self {
        Self { of: Of::Budget(Arc::clone(budget), runtime), ..Self::endless() }
    }

    /// Why a read in this room failed, if it did for lack of room.
    pub fn lacked(&self) -> Option<NoRoom> {
        self.lacked.get().copied()
    }

    /// Takes room for so many bytes, with what `share` has of them already. Blocks while others hold what is needed.
    pub(crate) fn grow(&self, share: &mut Option<Share>, bytes: u64) -> Result<(), NoRoom> {
        let grown = match &self.of {
            Of::Machine => Ok(()),
            Of::Small => Err(NoRoom::NotSmall),
            Of::Budget(budget, runtime) => budget.grow(runtime, share, bytes).map_err(|UsedUp| NoRoom::UsedUp),
        };
        grown.inspect_err(|lack| {
            self.lacked.get_or_init(|| *lack);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::run;

    const NO_PATIENCE: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_secs(3_600);

    /// What was held for clients was counted in clients, requests and records: 300 watches of a saga with large outputs pinned
    /// gigabytes. A budget of bytes makes the next one wait, whoever it is.
    #[test]
    fn c2_29_who_finds_a_budget_used_up_waits_until_a_share_is_given_back() {
        run(async {
            let budget = Budget::with_patience(100 << 10, LONG);
            let first = budget.take(60 << 10).await.unwrap();
            assert!(budget.try_take(41 << 10).is_none() && !first.is_wanted());
            let given_back = async {
                assert!(first.is_wanted());
                drop(first);
            };
            let (second, ()) = tokio::join!(biased; budget.take(50 << 10), given_back);
            let second = second.unwrap();
            assert_eq!((budget.bytes(), second.is_wanted()), (50 << 10, false));
            drop(second);
            assert_eq!(budget.bytes(), 0);
        });
    }

    #[test]
    fn c2_29_who_waited_for_too_long_is_told_so() {
        run(async {
            let budget = Budget::with_patience(100 << 10, NO_PATIENCE);
            let _first = budget.take(60 << 10).await.unwrap();
            assert_eq!(budget.take(50 << 10).await.unwrap_err(), UsedUp);
            assert!(budget.try_take(40 << 10).is_some());
        });
    }

    #[test]
    fn c2_29_what_is_larger_than_a_budget_takes_all_of_it() {
        run(async {
            let budget = Budget::with_patience(100 << 10, NO_PATIENCE);
            let mut all = budget.take(1 << 40).await.unwrap();
            assert_eq!((budget.bytes(), budget.try_take(1).is_none()), (100 << 10, true));
            all.keep((30 << 10) + 1);
            assert_eq!(budget.bytes(), 31 << 10);
            all.keep(1 << 20);
            assert_eq!(budget.bytes(), 31 << 10);
        });
    }

    #[test]
    fn c2_29_a_read_grows_within_its_budget() {
        let budget = Budget::with_patience(100 << 10, NO_PATIENCE);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let room = Room::of(&budget, runtime.handle().clone());
        let mut share = None;
        room.grow(&mut share, 10 << 10).unwrap();
        room.grow(&mut share, 30 << 10).unwrap();
        room.grow(&mut share, 20 << 10).unwrap();
        assert_eq!(budget.bytes(), 30 << 10);
        let other = budget.try_take(50 << 10).unwrap();
        assert_eq!(room.grow(&mut share, 90 << 10), Err(NoRoom::UsedUp));
        drop(other);
        room.grow(&mut share, 1 << 30).unwrap();
        assert_eq!(budget.bytes(), 100 << 10);
        let small = Room::small();
        assert_eq!((small.grow(&mut None, 1), small.lacked()), (Err(NoRoom::NotSmall), Some(NoRoom::NotSmall)));
        Room::endless().grow(&mut None, u64::MAX).unwrap();
    }
}
