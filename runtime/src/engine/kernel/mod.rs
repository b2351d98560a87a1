//! The kernel: what every kind of stream needs to read, decide, record and release. It names no kind.
//!
//! - [`reads`]: what a decision needs is read before it; what is not in memory is fetched
//! - [`desk`]: inputs that wait for a fetch, in order
//! - [`overlay`]: rows that are decided and not durable yet, in front of the store
//! - [`commit`]: records, rows, timers and releases of one decision
//! - [`release`]: what leaves when a commit is durable (law 2)
//! - [`timers`]: the window of timers; [`answers`]: first answers to requests that may come again; [`follow`]: durable cursors
//! - [`followed`]: types of events that somebody follows
//! - [`row`]: a row's value as bytes; [`fingerprint`]: what makes two requests the same; [`request`]: what every request has

pub(crate) mod action;

pub(crate) mod answers;

pub(crate) mod commit;

pub(crate) mod desk;

pub(crate) mod fingerprint;

pub(crate) mod follow;

pub(crate) mod followed;

pub(crate) mod overlay;

pub(crate) mod reads;

pub(crate) mod release;

pub(crate) mod request;

pub(crate) mod row;

pub(crate) mod timers;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use amends_core::Instant;

use self::{
    action::{Action, Ending},
    commit::{Batching, Commit},
    followed::Followed,
    overlay::Overlay,
    reads::{Lookups, Reads},
    release::{Release, Releases},
    timers::{Timer, Timers},
};
use crate::{
    engine::{
        limits::Limits,
        metrics::Metrics,
        refusal::{Refusal, RefusalCode},
    },
    journal::keys,
    store::{Position, Table},
};

/// Whether the disk is too full for new work.
pub(crate) type IsLow = Arc<dyn Fn() -> bool + Send + Sync>;

/// What all kinds of one shard share.
pub(crate) struct Kernel {
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) is_low: IsLow,
    /// The moment of the input that is being decided.
    pub(crate) now: Instant,
    /// The host is stopping: nothing new begins.
    pub(crate) stopping: bool,
    /// In every record: which owner of the shard wrote it.
    epoch: u32,
    jitter: Jitter,
    /// What `is_crowded` says, for those who go on without the shard.
    crowded: Arc<AtomicBool>,
    /// The store takes no more commits, and why (law 14).
    failed: Option<Refusal>,
    /// The position of the last record that was decided.
    last_position: Position,
    /// Every record up to here is durable.
    durable: Position,
    /// Commits that were handed over and are not durable, each by its number with its last position.
    in_flight: VecDeque<(u64, Position)>,
    /// The number of the commit in the making.
    next_commit: u64,
    batching: Batching,
    /// Nobody waits for what is being recorded.
    is_lazy: bool,
    overlay: Overlay,
    lookups: Lookups,
    timers: Timers,
    followed: Followed,
    releases: Releases,
    actions: Vec<Action>,
}

impl Kernel {
    pub(crate) fn new(limits: Limits, metrics: Arc<Metrics>, epoch: u32, seed: u64, last_position: Position) -> Self {
        Self {
            limits,
            metrics,
            is_low: Arc::new(|| false),
            now: Instant(0),
            stopping: false,
            epoch,
            jitter: Jitter::new(seed),
            crowded: Arc::default(),
            failed: None,
            last_position,
            durable: last_position,
            in_flight: VecDeque::new(),
            next_commit: 1,
            batching: Batching::default(),
            is_lazy: false,
            overlay: Overlay::default(),
            lookups: Lookups::default(),
            timers: Timers::default(),
            followed: Followed::default(),
            releases: Releases::default(),
            actions: Vec::new(),
        }
    }

    /// Begins a decision: first it reads.
    pub(crate) fn reads(&mut self) -> Reads<'_> {
        Reads::new(self)
    }

    /// Begins a decision that needs nothing of the store.
    pub(crate) fn commit(&mut self) -> Commit<'_> {
        Commit::new(self)
    }

    /// The position of the last record that was decided.
    pub(crate) fn last_position(&self) -> Position {
        self.last_position
    }

    /// Every record up to here is durable.
    pub(crate) fn durable(&self) -> Position {
        self.durable
    }

    /// As many records wait for the disk as may: new work is refused, and what runs ahead waits for its commits.
    pub(crate) fn is_crowded(&self) -> bool {
        self.last_position - self.durable > self.limits.queue_records
    }

    /// Half of what may wait for the disk is left to requests.
    pub(crate) fn is_half_crowded(&self) -> bool {
        self.last_position - self.durable > self.limits.queue_records / 2
    }

    /// New work is refused while the disk is behind; what has begun never is.
    pub(crate) fn refuse_if_crowded(&self) -> Result<(), Refusal> {
        if self.is_crowded() {
            let said = format!("{} records wait for the disk, which is as many as this host takes", self.limits.queue_records);
            return Err(Refusal::new(RefusalCode::Overloaded, said).hint("try again soon, with the same id"));
        }
        Ok(())
    }

    /// Moves the time of the input that is being decided up to this moment. A saga that was away may have decided later than the
    /// input arrived that calls it back, and the times of a stream do not go backwards.
    pub(crate) fn not_before(&mut self, at: Instant) {
        self.now = self.now.max(at);
    }

    /// 64 random bits.
    pub(crate) fn random(&mut self) -> u64 {
        self.jitter.next()
    }

    /// Whether it is crowded, for those who go on without the shard.
    pub(crate) fn crowded(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.crowded)
    }

    pub(crate) fn timers(&mut self) -> &mut Timers {
        &mut self.timers
    }

    /// The next timer that is due.
    pub(crate) fn due_timer(&mut self) -> Option<Timer> {
        self.timers.pop(self.now, self.durable)
    }

    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(crate) fn followed(&mut self) -> &mut Followed {
        &mut self.followed
    }

    pub(crate) fn lookups(&mut self) -> &mut Lookups {
        &mut self.lookups
    }

    /// Everything decided is durable.
    pub(crate) fn is_quiet(&self) -> bool {
        self.in_flight.is_empty() && self.batching.is_empty()
    }

    /// The batch in the making grows.
    fn grows(&mut self) {
        match self.is_lazy {
            true => self.batching.grows_lazily(self.now),
            false => self.batching.urge(),
        }
    }

    /// When what nobody waits for is handed over at the latest.
    pub(crate) fn hand_over_at(&self) -> Option<Instant> {
        self.batching.due()
    }

    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub(crate) fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// Takes back what `take_actions` gave, emptied, for the room that it has.
    pub(crate) fn reuse(&mut self, emptied: Vec<Action>) {
        if self.actions.is_empty() {
            self.actions = emptied;
        }
    }

    /// Hands the decision's batch to the committer: all of it becomes durable together, or nothing. What nobody waits for stays for a
    /// while, to share the commit of what comes next.
    pub(crate) fn hand_over(&mut self) {
        if self.batching.due().is_some_and(|due| due > self.now) && !self.is_half_crowded() {
            return;
        }
        for (name, end) in self.batching.take_ends() {
            self.commit().put(Table::ById, keys::by_id(&name), row::encode(&end));
        }
        if let Some(batch) = self.batching.take() {
            self.in_flight.push_back((self.next_commit, self.last_position));
            self.actions.push(Action::Commit(batch, self.next_commit));
            self.next_commit += 1;
            self.crowded.store(self.is_crowded(), Ordering::Relaxed);
        }
    }

    /// Every commit up to this number is durable. `keep_since`: the oldest commit that an open fetch may not have seen.
    pub(crate) fn committed(&mut self, number: u64, keep_since: Option<u64>) {
        while let Some((_, position)) = self.in_flight.pop_front_if(|(commit, _)| *commit <= number) {
            self.durable = self.durable.max(position);
        }
        self.crowded.store(self.is_crowded(), Ordering::Relaxed);
        self.timers.committed(number, self.durable);
        self.overlay.forget(keep_since.map_or(number, |since| since.min(number)));
    }

    /// The number of the last commit that is durable: what a fetch that begins now sees at the least.
    pub(crate) fn durable_commit(&self) -> u64 {
        self.in_flight.front().map_or(self.next_commit - 1, |(commit, _)| commit - 1)
    }

    /// The next release whose records are durable.
    pub(crate) fn next_release(&mut self) -> Option<Release> {
        self.releases.pop(self.durable)
    }

    /// Lets something leave when the records up to a position are durable.
    pub(crate) fn release_at(&mut self, position: Position, release: Release) {
        if let Release::Reply(_) = release {
            self.batching.urge();
        }
        self.releases.push(position, release);
    }

    /// Why nothing is acknowledged any more, if it is so.
    pub(crate) fn failure(&self) -> Option<Refusal> {
        self.failed.clone()
    }

    /// Law 14: from here on nothing is acknowledged, and nothing more is handed over: not even what this step did before it failed,
    /// of which the client will hear that it was not recorded. The refusal is for everybody who waits; none: it failed before.
    pub(crate) fn fail(&mut self, why: Ending) -> Option<Refusal> {
        if self.failed.is_some() {
            return None;
        }
        let refusal = store_ended(&why);
        self.failed = Some(refusal.clone());
        self.actions.retain(|action| !matches!(action, Action::Commit(..)));
        self.batching = Batching::default();
        self.releases.refuse_all(&refusal);
        self.actions.push(Action::Fail(why));
        Some(refusal)
    }
}

/// Random bits for backoff, by xorshift64*: jitter needs spread, not secrecy, and a simulation needs it seeded.
#[derive(Clone, Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// 64 random bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

fn store_ended(why: &Ending) -> Refusal {
    match why {
        Ending::Fenced(_) => {
            Refusal::new(RefusalCode::Stopping, why.to_string()).hint("send the request to the host that owns the shard now")
        }
        Ending::Failed(_) => Refusal::new(RefusalCode::StorageFailed, format!("the storage failed: {why}"))
            .hint("look at the host's log, mend the disk and start the host again"),
    }
}
