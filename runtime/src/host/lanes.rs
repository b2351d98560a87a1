//! The guest threads: who runs where, and who waits for a turn.
//!
//! Each thread has a runtime of its own, apart from the API and the committer. An attempt stays on the thread that began it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{label::Label, turn::Lane};

/// Something to run on a guest thread.
pub(super) type Job = Box<dyn FnOnce(Arc<Lane>) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Threads that resolve names, for each guest thread. More lookups wait, and their time is the connection's.
const BLOCKING_THREADS_MAX: usize = 8;

/// The guest threads. Dropping it stops them: what they run is dropped unfinished.
pub(super) struct Lanes {
    dispatch: Arc<Dispatch>,
    threads: Vec<JoinHandle<()>>,
}

struct Dispatch {
    in_flight_max: usize,
    lanes: Vec<Arc<Lane>>,
    senders: Vec<UnboundedSender<Message>>,
    queue: Mutex<Queue>,
}

struct Queue {
    in_flight: Vec<usize>,
    // Bounded by who calls: the engine takes no more work than its own limits allow, and an attempt is never refused.
    waiting: VecDeque<Job>,
}

enum Message {
    Run(Job),
    RunBeside(Job),
    Stop,
}

impl Lanes {
    /// Starts `count` threads for at most `in_flight_max` attempts together.
    pub(super) fn start(count: usize, in_flight_max: usize) -> std::io::Result<Self> {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| unbounded_channel()).unzip();
        let dispatch = Arc::new(Dispatch {
            in_flight_max,
            lanes: (0..count).map(|_| Arc::default()).collect(),
            senders,
            queue: Mutex::new(Queue { in_flight: vec![0; count], waiting: VecDeque::new() }),
        });
        let mut lanes = Self { dispatch, threads: Vec::with_capacity(count) };
        for (index, receiver) in receivers.into_iter().enumerate() {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING_THREADS_MAX).build()?;
            let dispatch = lanes.dispatch.clone();
            let serve = move || {
                runtime.block_on(serve(index, dispatch, receiver));
                // A name lookup may still be blocked; it is not waited for.
                runtime.shutdown_background();
            };
            lanes.threads.push(thread::Builder::new().name(format!("amends-guest-{index}")).spawn(serve)?);
        }
        Ok(lanes)
    }

    /// Runs a job now, or when its turn comes. Never blocks.
    pub(super) fn run(&self, job: Job) {
        let mut queue = self.dispatch.queue();
        if queue.in_flight.iter().sum::<usize>() >= self.dispatch.in_flight_max {
            queue.waiting.push_back(job);
            return;
        }
        let lane = self.dispatch.quietest(&queue);
        queue.in_flight[lane] += 1;
        drop(queue);
        self.dispatch.send(lane, Message::Run(job));
    }

    /// Runs a job beside those that are counted: rare, short, and asked for by an operator.
    pub(super) fn run_beside(&self, job: Job) {
        let lane = self.dispatch.quietest(&self.dispatch.queue());
        self.dispatch.send(lane, Message::RunBeside(job));
    }

    /// The attempts whose guests have a thread now; the others wait for the host or for their turn.
    pub(super) fn running(&self) -> Vec<Arc<Label>> {
        self.dispatch.lanes.iter().filter_map(|lane| lane.running()).collect()
    }

    /// How long the guest that is longest on a thread has been there without giving it back.
    pub(super) fn longest_turn(&self) -> Duration {
        self.dispatch.lanes.iter().map(|lane| lane.turn()).max().unwrap_or_default()
    }

    /// How many run, and how many wait for their turn.
    pub(super) fn depth(&self) -> (usize, usize) {
        let queue = self.dispatch.queue();
        (queue.in_flight.iter().sum(), queue.waiting.len())
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.dispatch.queue().waiting.clear();
        for lane in 0..self.dispatch.senders.len() {
            self.dispatch.send(lane, Message::Stop);
        }
        for thread in self.threads.drain(..) {
            // The last owner may be a job: a thread cannot wait for itself.
            if thread.thread().id() != thread::current().id() {
                // A panic was reported where it happened.
                let _ = thread.join();
            }
        }
    }
}

impl Dispatch {
    /// A thread without a guest on it, and among those the one with the fewest attempts.
    fn quietest(&self, queue: &Queue) -> usize {
        let load = |&lane: &usize| (self.lanes[lane].busy(), queue.in_flight[lane]);
        (0..self.lanes.len()).min_by_key(load).unwrap_or(0)
    }

    fn send(&self, lane: usize, message: Message) {
        // A thread that has stopped drops what it is sent: the host is closing.
        let _ = self.senders[lane].send(message);
    }

    fn ended(&self, lane: usize) {
        let mut queue = self.queue();
        match queue.waiting.pop_front() {
            Some(job) => self.send(lane, Message::Run(job)),
            None => queue.in_flight[lane] -= 1,
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(index: usize, dispatch: Arc<Dispatch>, mut messages: UnboundedReceiver<Message>) {
    while let Some(message) = messages.recv().await {
        // The place is given back also if the job panics.
        let (job, place) = match message {
            Message::Run(job) => (job, Some(Place { index, dispatch: dispatch.clone() })),
            Message::RunBeside(job) => (job, None),
            Message::Stop => return,
        };
        let lane = dispatch.lanes[index].clone();
        tokio::spawn(async move {
            job(lane).await;
            drop(place);
        });
    }
}

struct Place {
    index: usize,
    dispatch: Arc<Dispatch>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.dispatch.ended(self.index);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn no_more_than_the_limit_run_at_once_and_the_others_follow_in_order() {
        let lanes = Lanes::start(2, 2).unwrap();
        let (began, begun) = mpsc::channel();
        let mut releases = Vec::new();
        for number in 0..5 {
            let (release, released) = tokio::sync::oneshot::channel::<()>();
            let began = began.clone();
            releases.push(release);
            lanes.run(Box::new(move |_| {
                Box::pin(async move {
                    began.send(number).unwrap();
                    released.await.unwrap();
                })
            }));
        }
        let mut first = [begun.recv().unwrap(), begun.recv().unwrap()];
        first.sort_unstable();
        assert_eq!((first, lanes.depth()), ([0, 1], (2, 3)));
        for (number, release) in releases.into_iter().enumerate() {
            release.send(()).unwrap();
            if number + 2 < 5 {
                assert_eq!(begun.recv().unwrap(), number + 2);
            }
        }
    }

    #[test]
    fn a_panicking_job_gives_its_place_back() {
        let lanes = Lanes::start(1, 1).unwrap();
        lanes.run(Box::new(|_| Box::pin(async { panic!("a job") })));
        let (done, finished) = mpsc::channel();
        lanes.run(Box::new(move |_| Box::pin(async move { done.send(()).unwrap() })));
        finished.recv().unwrap();
    }
}
