//! The guest threads: who begins where, and how a thread goes on.
//!
//! Each thread has a runtime of its own, apart from the API and the committer. A thread with nothing better to do takes the next
//! attempt that has a place, so that none waits behind another thread's. An attempt stays on the thread that began it.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    groups::{Party, Way},
    label::Label,
    limits::{BREATH, PLACE_WAIT},
    queue::{Place, Places, Queue},
    roster::{Roster, Running, Stands},
    turn::Lane,
};
use crate::{engine::guests::CallId, journal::StreamId};

/// Something to run on a guest thread.
pub(super) trait Job: Send {
    /// Its place is there.
    fn run(self: Box<Self>, lane: Arc<Lane>) -> Running;

    /// Whether it begins with this call.
    fn is(&self, call: &CallId) -> bool;

    /// It is not run.
    fn give_up(self: Box<Self>, why: NotRun);
}

/// Why a job is not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotRun {
    /// There was no place for it for so long.
    NoPlace(Duration),
    /// Nobody needs it any more.
    Withdrawn,
}

impl<F: FnOnce(Arc<Lane>) -> Running + Send> Job for F {
    fn run(self: Box<Self>, lane: Arc<Lane>) -> Running {
        self(lane)
    }

    fn is(&self, _: &CallId) -> bool {
        false
    }

    fn give_up(self: Box<Self>, _: NotRun) {}
}

/// Threads that resolve names, for each guest thread. More lookups wait, and their time is the connection's.
const BLOCKING_THREADS_MAX: usize = 8;

/// How often those are looked for that have waited too long for a place.
const LOOK: Duration = Duration::from_secs(1);

/// The guest threads. Dropping it stops them: what they run is dropped unfinished.
pub(super) struct Lanes {
    dispatch: Arc<Dispatch>,
    threads: Vec<JoinHandle<()>>,
}

/// What the threads share.
struct Dispatch {
    began: Instant,
    lanes: Vec<Arc<Lane>>,
    /// How many wait in `state`, to be seen without its lock.
    queued: Arc<AtomicUsize>,
    look_at_ms: AtomicU64,
    is_over: AtomicBool,
    state: Mutex<State>,
}

struct State {
    // Bounded by who calls: the engine takes no more work than its own limits allow, and an attempt is never refused.
    queue: Queue<Box<dyn Job>>,
    /// Rare, short, and asked for by an operator: what needs no place.
    beside: VecDeque<Box<dyn Job>>,
    /// Of each thread how many attempts it has.
    begun: Vec<usize>,
    /// The threads that have nothing to do and were not called yet.
    idle: Vec<bool>,
}

/// What there is of attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Those that have a processor, or could go on if they had one.
    pub running: u64,
    /// Those that have begun and wait for the network or a timer.
    pub waiting: u64,
    /// Those that lead forward and wait for a place.
    pub queued_forward: u64,
    /// Those that lead back and wait for a place.
    pub queued_back: u64,
}

impl Lanes {
    /// Starts `count` threads for attempts at these places.
    pub(super) fn start(count: usize, places: Places) -> std::io::Result<Self> {
        let queued = Arc::new(AtomicUsize::new(0));
        let dispatch = Arc::new(Dispatch {
            began: Instant::now(),
            lanes: (0..count).map(|_| Arc::new(Lane::new(Arc::clone(&queued)))).collect(),
            queued,
            look_at_ms: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            state: Mutex::new(State {
                queue: Queue::new(places),
                beside: VecDeque::new(),
                begun: vec![0; count],
                idle: vec![false; count],
            }),
        });
        let mut lanes = Self { dispatch, threads: Vec::with_capacity(count) };
        for index in 0..count {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING_THREADS_MAX).build()?;
            let dispatch = lanes.dispatch.clone();
            let run = move || {
                // A task and not the runtime's own future: that one is woken through the kernel each time. A roster that shared one
                // budget of operations among its attempts would make them wait for nothing.
                let serving = runtime.spawn(tokio::task::unconstrained(serve(index, dispatch)));
                // A panic was reported where it happened.
                let _ = runtime.block_on(serving);
                // A name lookup may still be blocked; it is not waited for.
                runtime.shutdown_background();
            };
            lanes.threads.push(thread::Builder::new().name(format!("amends-guest-{index}")).spawn(run)?);
        }
        Ok(lanes)
    }

    /// Runs a job when it has a place. Never blocks.
    pub(super) fn run(&self, party: Party, job: Box<dyn Job>) {
        let dispatch = &self.dispatch;
        let now = dispatch.now();
        let mut state = dispatch.state();
        state.queue.put(party, job, now);
        dispatch.call_one(state);
    }

    /// Takes a job back that has no place yet, and tells it so. One that has begun goes on. Never blocks.
    pub(super) fn withdraw(&self, of: &StreamId, call: &CallId) {
        let mut state = self.dispatch.state();
        let Some(job) = state.queue.withdraw(of, |job| job.is(call)) else { return };
        self.dispatch.queued.store(state.waiting(), Ordering::Relaxed);
        drop(state);
        job.give_up(NotRun::Withdrawn);
    }

    /// Ends all jobs of a stream. Those that have no place yet are told so here, the others by the threads that have them: at once, or
    /// when the guest that runs there gives its thread back. Never blocks.
    pub(super) fn end(&self, of: &StreamId) {
        let mut state = self.dispatch.state();
        let waiting: Vec<_> = std::iter::from_fn(|| state.queue.withdraw(of, |_| true)).collect();
        self.dispatch.queued.store(state.waiting(), Ordering::Relaxed);
        drop(state);
        waiting.into_iter().for_each(|job| job.give_up(NotRun::Withdrawn));
        // A thread that took one out of the queue before hears of this after it has begun that one.
        let of = Arc::new(of.clone());
        self.dispatch.lanes.iter().for_each(|lane| lane.bell().end(Arc::clone(&of)));
    }

    /// Runs a job beside those that need a place.
    pub(super) fn run_beside(&self, job: Box<dyn Job>) {
        let mut state = self.dispatch.state();
        state.beside.push_back(job);
        self.dispatch.call_one(state);
    }

    /// The attempts whose guests have a thread now; the others wait for the host or for their turn.
    pub(super) fn running(&self) -> Vec<Arc<Label>> {
        self.dispatch.lanes.iter().filter_map(|lane| lane.running()).collect()
    }

    /// How long the guest that is longest on a thread has been there without giving it back.
    pub(super) fn longest_turn(&self) -> Duration {
        self.dispatch.lanes.iter().map(|lane| lane.turn()).max().unwrap_or_default()
    }

    /// What there is of attempts.
    pub(super) fn load(&self) -> Load {
        let state = self.dispatch.state();
        let all = state.queue.all();
        let (begun, running) = (u64::from(all.begun()), u64::from(all.running()));
        Load {
            running,
            // Two counters that others change meanwhile.
            waiting: begun.saturating_sub(running),
            queued_forward: state.queue.waiting(Way::Forward) as u64,
            queued_back: state.queue.waiting(Way::Back) as u64,
        }
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.dispatch.is_over.store(true, Ordering::Release);
        let mut state = self.dispatch.state();
        let waiting = (state.queue.clear(), std::mem::take(&mut state.beside));
        drop(state);
        drop(waiting);
        self.dispatch.lanes.iter().for_each(|lane| lane.bell().call());
        for thread in self.threads.drain(..) {
            // The last owner may be a job: a thread cannot wait for itself.
            if thread.thread().id() != thread::current().id() {
                // A panic was reported where it happened.
                let _ = thread.join();
            }
        }
    }
}

/// What a thread does next.
enum Next {
    /// Lets one of its own go on.
    GoOn(usize),
    /// Begins one.
    Begin(Box<dyn Job>, Stands),
    /// Nothing, until it is called.
    Rest,
    /// It is over.
    End,
}

impl Dispatch {
    /// Since the threads started.
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls a thread that has nothing to do, if there is one, of those the one with the fewest attempts.
    fn call_one(&self, mut state: MutexGuard<'_, State>) {
        self.queued.store(state.waiting(), Ordering::Relaxed);
        let idle = (0..state.idle.len()).filter(|lane| state.idle[*lane]).min_by_key(|lane| state.begun[*lane]);
        if let Some(lane) = idle {
            state.idle[lane] = false;
            drop(state);
            self.lanes[lane].bell().call();
        }
    }

    /// What this thread does next, on which `ended` has just ended.
    fn next(&self, index: usize, roster: &mut Roster, ended: Option<Stands>, now: Duration) -> Next {
        if self.is_over.load(Ordering::Acquire) {
            return Next::End;
        }
        let nobody_waits = ended.is_none() && self.queued.load(Ordering::Relaxed) == 0;
        if nobody_waits && let Some(who) = roster.next(now) {
            return Next::GoOn(who);
        }
        let mut state = self.state();
        if let Some(ended) = ended {
            state.give_back(index, ended);
        }
        if let Some(job) = state.beside.pop_front() {
            state.begun[index] += 1;
            self.queued.store(state.waiting(), Ordering::Relaxed);
            return Next::Begin(job, Stands::beside());
        }
        if let Some((job, place)) = state.queue.next(now, roster.first(now)) {
            state.begun[index] += 1;
            // What ended may have made room for more than this one.
            match state.idle.contains(&true) && state.queue.has_next(now) {
                true => self.call_one(state),
                false => self.queued.store(state.waiting(), Ordering::Relaxed),
            }
            return Next::Begin(job, Stands::At(place));
        }
        let next = roster.next(now);
        state.idle[index] = next.is_none();
        next.map_or(Next::Rest, Next::GoOn)
    }

    /// One of this thread's has ended before its time: its place is for the next one, on whatever thread.
    fn give_back(&self, index: usize, ended: Stands, now: Duration) {
        let mut state = self.state();
        state.give_back(index, ended);
        if state.idle.contains(&true) && state.queue.has_next(now) {
            self.call_one(state);
        }
    }

    /// Tells those that have waited too long for a place. One thread does, now and then.
    fn look(&self, now: Duration) {
        let ms = |at: Duration| u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        let look_at = self.look_at_ms.load(Ordering::Relaxed);
        let is_due = ms(now) >= look_at;
        let taken = || self.look_at_ms.compare_exchange(look_at, ms(now + LOOK), Ordering::Relaxed, Ordering::Relaxed);
        if !is_due || taken().is_err() {
            return;
        }
        let Some(since) = now.checked_sub(PLACE_WAIT) else { return };
        let mut state = self.state();
        let given_up = state.queue.give_up(since, now);
        self.queued.store(state.waiting(), Ordering::Relaxed);
        drop(state);
        for job in given_up {
            // Who is told may panic, and this thread has others to tell.
            let _ = catch_unwind(AssertUnwindSafe(|| job.give_up(NotRun::NoPlace(PLACE_WAIT))));
        }
    }
}

impl State {
    /// One of this thread's has ended.
    fn give_back(&mut self, index: usize, ended: Stands) {
        self.begun[index] -= 1;
        if let Stands::At(place) = ended {
            self.queue.give_back(place);
        }
    }

    fn waiting(&self) -> usize {
        self.queue.waiting(Way::Forward) + self.queue.waiting(Way::Back) + self.beside.len()
    }
}

async fn serve(index: usize, dispatch: Arc<Dispatch>) {
    let lane = &dispatch.lanes[index];
    let mut roster = Roster::new(Arc::clone(lane));
    let (mut ended, mut breathed) = (None, dispatch.now());
    loop {
        let now = dispatch.now();
        dispatch.look(now);
        roster.wake(now);
        while let Some(ended) = roster.end_one() {
            dispatch.give_back(index, ended, now);
        }
        let who = match dispatch.next(index, &mut roster, ended.take(), now) {
            Next::GoOn(who) => who,
            Next::Begin(job, stands) => roster.take(job.run(Arc::clone(lane)), stands),
            Next::Rest => {
                rest(lane, &dispatch).await;
                // Whoever has work for a thread is to call another one: this one may have been woken by its network.
                dispatch.state().idle[index] = false;
                breathed = dispatch.now();
                continue;
            }
            Next::End => return,
        };
        let turn = |place: Place, way| dispatch.state().queue.turn(place, way);
        ended = roster.go_on(who, || dispatch.now(), turn);
        if dispatch.now().saturating_sub(breathed) > BREATH {
            tokio::task::yield_now().await;
            breathed = dispatch.now();
        }
    }
}

/// Until somebody rings; while others wait for a place, also until they have waited too long.
async fn rest(lane: &Lane, dispatch: &Dispatch) {
    let somebody_waits = dispatch.queued.load(Ordering::Relaxed) > 0;
    tokio::select! {
        biased;
        () = lane.bell().rings() => {}
        () = tokio::time::sleep(LOOK), if somebody_waits => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use amends_core::id::Namespace;

    use super::*;
    use crate::{host::turn::give_way, journal::StreamKind};

    fn party(module: &str, way: Way) -> Party {
        let of = StreamId { namespace: Namespace::new("default").unwrap(), kind: StreamKind::Saga, id: module.to_owned() };
        Party { way, of, module: module.to_owned() }
    }

    /// Runs a future under a name of its module.
    fn run(lanes: &Lanes, party: Party, future: impl Future<Output = ()> + Send + 'static) {
        lanes.run(party, Box::new(move |_: Arc<Lane>| Box::pin(future) as Running));
    }

    #[test]
    fn no_more_than_the_limit_run_at_once_and_the_others_follow_in_order() {
        let lanes = Lanes::start(2, Places { begun: 1, running: 1 }).unwrap();
        let (began, begun) = mpsc::channel();
        let mut releases = Vec::new();
        for number in 0..5 {
            let (release, released) = tokio::sync::oneshot::channel::<()>();
            let began = began.clone();
            releases.push(release);
            run(&lanes, party("m", Way::Forward), async move {
                began.send(number).unwrap();
                released.await.unwrap();
            });
        }
        for (number, release) in releases.into_iter().enumerate() {
            assert_eq!((begun.recv().unwrap(), begun.try_recv()), (number, Err(mpsc::TryRecvError::Empty)));
            assert_eq!(lanes.load().queued_forward, 4 - number as u64);
            release.send(()).unwrap();
        }
    }

    #[test]
    fn what_waits_for_the_host_leaves_its_thread_and_the_places_that_run_to_others() {
        let lanes = Lanes::start(1, Places { begun: 100, running: 1 }).unwrap();
        let (done, finished) = mpsc::channel();
        let (releases, hanging): (Vec<_>, Vec<_>) = (0..9).map(|_| tokio::sync::oneshot::channel::<()>()).unzip();
        for hang in hanging {
            let done = done.clone();
            run(&lanes, party("hangs", Way::Forward), async move {
                hang.await.unwrap();
                done.send("hung").unwrap();
            });
        }
        run(&lanes, party("m", Way::Forward), async move { done.send("m").unwrap() });
        assert_eq!(finished.recv(), Ok("m"));
        // The last one may be a moment ahead of its end.
        while lanes.load() != (Load { waiting: 9, ..Load::default() }) {
            thread::yield_now();
        }
        releases.into_iter().for_each(|release| release.send(()).unwrap());
        assert_eq!(finished.iter().take(9).collect::<Vec<_>>(), ["hung"; 9]);
    }

    #[test]
    fn a_panicking_job_gives_its_place_back() {
        let lanes = Lanes::start(1, Places { begun: 1, running: 1 }).unwrap();
        run(&lanes, party("m", Way::Forward), async { panic!("a job") });
        let (done, finished) = mpsc::channel();
        run(&lanes, party("m", Way::Forward), async move { done.send(()).unwrap() });
        finished.recv().unwrap();
    }

    #[test]
    fn a_job_whose_stream_has_ended_is_dropped_whether_it_waits_or_runs_and_the_next_one_has_its_place() {
        const PATIENCE: Duration = Duration::from_secs(10);
        let lanes = Lanes::start(1, Places { begun: 1, running: 1 }).unwrap();
        for waits in [true, false] {
            let (begin, begun) = mpsc::channel();
            run(&lanes, party("m", Way::Forward), async move {
                begin.send(()).unwrap();
                if waits {
                    std::future::pending::<()>().await;
                }
                loop {
                    give_way().await;
                }
            });
            begun.recv_timeout(PATIENCE).unwrap();
            let (done, finished) = mpsc::channel();
            run(&lanes, party("n", Way::Forward), async move { done.send(()).unwrap() });
            lanes.end(&party("m", Way::Forward).of);
            finished.recv_timeout(PATIENCE).unwrap();
            // What it held is gone with it.
            assert_eq!(begun.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
        }
        while lanes.load() != Load::default() {
            thread::yield_now();
        }
    }

    #[test]
    fn a_job_that_begins_to_lead_back_has_a_place_of_that_way_from_then_on() {
        let lanes = Lanes::start(1, Places { begun: 2, running: 2 }).unwrap();
        let (turned, has_turned) = mpsc::channel();
        let (release, released) = tokio::sync::oneshot::channel::<()>();
        let job = move |lane: Arc<Lane>| {
            Box::pin(async move {
                lane.pass(Way::Back).await;
                turned.send(()).unwrap();
                released.await.unwrap();
            }) as Running
        };
        lanes.run(party("m", Way::Forward), Box::new(job));
        has_turned.recv().unwrap();
        // Forward it has nothing any more: one of that way may have what is left.
        let (done, finished) = mpsc::channel();
        run(&lanes, party("m", Way::Forward), async move { done.send(()).unwrap() });
        finished.recv().unwrap();
        release.send(()).unwrap();
    }
}
