//! What drives a shard in production: one thread for it, one for its commits, the guests' own, and a clock.
//!
//! It decides nothing. The simulation answers the same actions from a seeded queue.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant as Moment},
};

use amends_core::Instant;
use tokio::sync::{broadcast, watch};

use crate::{
    engine::{
        guests::{Ahead, Caller, GuestCall, GuestReport, Guests, Next, Suspect},
        kernel::{
            IsLow,
            action::Ending,
            reads::{self, Look},
        },
        limits::Limits,
        metrics::Metrics,
        module::Definitions,
        port::{Change, Refusal, RefusalCode, Request},
        recover::{self, Recovered},
        saga::SagaKey,
        shard::{Action, Input, Shard},
    },
    journal::{StreamId, StreamKind},
    stages::Stage,
    store::{
        Store, StoreError,
        committer::{Committer, Notice, Work},
        ownership::{Owned, Ownership},
    },
};

/// The wall clock. The binary under test moves it by hand.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// Called once, with the reason, when a shard ends that nobody stopped.
pub type OnEnd = Box<dyn FnOnce(Ending) + Send>;

/// A shard that is being driven. Cloning shares it.
#[derive(Clone)]
pub struct Engine {
    inputs: Sender<Input>,
    queued: Arc<AtomicUsize>,
    changes: broadcast::Sender<Change>,
    recorded: watch::Sender<u64>,
    deployed: watch::Sender<u64>,
    definitions: Definitions,
    /// How many sagas had not ended when the host before this one stopped.
    pub recovered: u64,
}

/// The threads of an engine.
pub struct Running {
    engine: Engine,
    shard: JoinHandle<()>,
    stop_by: StopBy,
}

/// When a host that stops no longer waits for open attempts, by a clock that nobody sets.
type StopBy = Arc<OnceLock<std::time::Instant>>;

/// What an engine is made of.
pub struct Parts {
    /// Where records go.
    pub store: Arc<dyn Store>,
    /// How the shard is claimed, and given up in the end.
    pub ownership: Arc<dyn Ownership>,
    /// What runs guests.
    pub guests: Arc<dyn Guests>,
    /// What tells the time.
    pub clock: Clock,
    /// Its limits.
    pub limits: Limits,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// 64 random bits.
    pub seed: u64,
    /// Guests that were executing when the host before this one died.
    pub suspects: Vec<Suspect>,
    /// Whether the disk is too full for what schedules start.
    pub is_low: IsLow,
    /// What to do when the shard ends by itself.
    pub on_end: OnEnd,
}

/// Requests that wait for the shard. Each takes some microseconds: a full queue is some tens of milliseconds of work.
const REQUESTS_MAX: usize = 8_192;

/// Inputs taken before their actions are carried out: enough to share a commit, too few to be felt as a delay.
const INPUTS_AT_ONCE: usize = 64;

/// The time from one commit to the next, while other sagas may share it: so many times the duration of the last commit, and at most
/// [`PAUSE_MAX`].
const PAUSE_COMMITS: u32 = 3;
const PAUSE_MAX: Duration = Duration::from_millis(3);

/// Changes that a slow watcher may be behind before it must read the journal again.
const CHANGES_KEPT: usize = 4_096;

impl Running {
    /// Claims the shard, recovers it and starts its threads.
    pub fn start(parts: Parts) -> Result<Self, StoreError> {
        let Parts { store, ownership, guests, clock, limits, metrics, seed, suspects, is_low, on_end } = parts;
        let owned = ownership.claim()?;
        let Recovered { mut shard, actions, sagas } =
            recover::recover(store.as_ref(), &owned, limits, Arc::clone(&metrics), seed, &suspects, clock())?;
        shard.kernel.is_low = is_low;
        let (inputs, received) = channel();
        let (changes, _) = broadcast::channel(CHANGES_KEPT);
        let (recorded, _) = watch::channel(0);
        let (deployed, _) = watch::channel(0);
        let definitions = shard.modules.definitions().clone();
        let notices = inputs.clone();
        let notify = move |notice| {
            // The shard's thread outlives its committer.
            let _ = notices.send(told(notice));
        };
        let committer = Committer::start(Arc::clone(&store), notify).map_err(|error| could_not_start(&error))?;
        let queued = Arc::new(AtomicUsize::new(0));
        let engine = Engine {
            inputs: inputs.clone(),
            queued: Arc::clone(&queued),
            changes: changes.clone(),
            recorded: recorded.clone(),
            deployed: deployed.clone(),
            definitions,
            recovered: sagas,
        };
        let (stop_by, last_word) = (StopBy::default(), LastWord(Some(on_end)));
        let by = Arc::clone(&stop_by);
        let tenure = Tenure { ownership, owned };
        let mut drive = Drive {
            shard,
            store,
            tenure,
            committer,
            guests,
            clock,
            inputs,
            changes,
            recorded,
            deployed,
            queued,
            last_word,
            metrics,
            stop_by: by,
            is_fenced: false,
            looks: Vec::new(),
            decided: Vec::new(),
            handed_over_at: Moment::now(),
        };
        let thread = thread::Builder::new().name("shard".to_owned()).spawn(move || {
            drive.carry_out(actions);
            drive.answer_looks();
            drive.hand_over();
            drive.run(&received);
        });
        Ok(Self { engine, shard: thread.map_err(|error| could_not_start(&error))?, stop_by })
    }

    /// The engine, to ask it.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Takes no new sagas, lets open attempts end until this moment, commits, and ends the threads.
    pub fn stop(self, by: std::time::Instant) {
        let _ = self.stop_by.set(by);
        let _ = self.engine.inputs.send(Input::Stop);
        // A shard that panicked has nothing left to stop.
        let _ = self.shard.join();
    }
}

impl Engine {
    /// Queues a request; its channel gets the answer. A full queue refuses at once and never blocks.
    pub fn ask(&self, request: Request) -> Result<(), Refusal> {
        if self.queued.fetch_add(1, Ordering::Relaxed) >= REQUESTS_MAX {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            let said = format!("{REQUESTS_MAX} requests are waiting, which is as many as this host takes");
            return Err(Refusal::new(RefusalCode::Overloaded, said).hint("try again soon, with the same id"));
        }
        self.inputs.send(Input::Request(request)).map_err(|_| Refusal::new(RefusalCode::Stopping, "the host has stopped"))
    }

    /// Every committed change of a saga from now on.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Says that events were recorded since the last look.
    pub fn recorded(&self) -> watch::Receiver<u64> {
        self.recorded.subscribe()
    }

    /// Says that modules changed since the last look.
    pub fn deployed(&self) -> watch::Receiver<u64> {
        self.deployed.subscribe()
    }

    /// The definitions of what is deployed, by digest.
    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }
}

struct Drive {
    shard: Shard,
    store: Arc<dyn Store>,
    tenure: Tenure,
    committer: Committer,
    guests: Arc<dyn Guests>,
    clock: Clock,
    inputs: Sender<Input>,
    changes: broadcast::Sender<Change>,
    /// Grows whenever events are durable.
    recorded: watch::Sender<u64>,
    deployed: watch::Sender<u64>,
    queued: Arc<AtomicUsize>,
    last_word: LastWord,
    metrics: Arc<Metrics>,
    stop_by: StopBy,
    /// Another host owns the shard: the thread of the shard ends.
    is_fenced: bool,
    /// What was asked of the store, and is not read yet.
    looks: Vec<Look>,
    /// Commits that are not handed over yet.
    decided: Vec<Work>,
    /// When the last ones were.
    handed_over_at: Moment,
}

/// The claim of this host to the shard.
struct Tenure {
    ownership: Arc<dyn Ownership>,
    owned: Owned,
}

impl Tenure {
    /// Gives the shard up in order. Without a release the next owner starts cautiously, as after a kill.
    fn release(&self) {
        if let Err(error) = self.ownership.release(&self.owned) {
            tracing::warn!(%error, "the shard could not be released: the next host begins as after a kill");
        }
    }
}

/// Says once that the shard ended by itself: its store takes no more commits, or its thread died of a bug.
struct LastWord(Option<OnEnd>);

impl LastWord {
    fn say(&mut self, why: Ending) {
        if let Some(on_end) = self.0.take() {
            on_end(why);
        }
    }
}

impl Drop for LastWord {
    fn drop(&mut self) {
        if thread::panicking() {
            self.say(Ending::Failed("the engine's thread panicked, which is a bug; what it said is above".to_owned()));
        }
    }
}

impl Drive {
    fn run(mut self, received: &Receiver<Input>) {
        let mut stopping = false;
        loop {
            let now = (self.clock)();
            if stopping && (self.shard.is_quiet() || self.is_late()) {
                return self.end();
            }
            if self.is_fenced {
                return self.refuse_all(received);
            }
            let first = match self.next(received, now, stopping) {
                Some(first) => first,
                None => return,
            };
            stopping |= matches!(first, Input::Stop);
            self.take(first);
            for input in received.try_iter().take(INPUTS_AT_ONCE) {
                stopping |= matches!(input, Input::Stop);
                self.take(input);
            }
            self.answer_looks();
            // After what was asked, and not before: however much is due, somebody who asks waits for one tick.
            if self.shard.wake_at().is_some_and(|at| at <= (self.clock)()) {
                self.take(Input::Tick);
                self.answer_looks();
            }
            self.hand_over();
            self.count();
        }
    }

    /// How long the next commit still waits for sagas that may share it. A commit costs the processors the same for one saga as for a
    /// hundred, and a saga whose attempt stays inside ends soon. The commit does not wait where as many sagas wait for it as run: then
    /// one half runs while the other half is written.
    fn rest_of_pause(&self) -> Duration {
        let pause = (self.committer.last_commit() * PAUSE_COMMITS).min(PAUSE_MAX);
        pause.saturating_sub(self.handed_over_at.elapsed())
    }

    /// Gives what was decided to the committer. Where no request waits and no attempt ends soon, this thread commits by itself: the
    /// answer to a lone client then waits neither for the committer's thread to wake up nor for this one.
    fn hand_over(&mut self) {
        while !self.decided.is_empty() {
            let end_soon = self.shard.end_soon();
            let is_alone = self.queued.load(Ordering::Relaxed) == 0 && end_soon == 0;
            if !is_alone && self.decided.len() < end_soon && self.rest_of_pause() > Duration::ZERO {
                return;
            }
            let works = std::mem::take(&mut self.decided);
            self.handed_over_at = Moment::now();
            let works = match is_alone {
                true => match self.committer.commit_here(self.store.as_ref(), works) {
                    Ok(notice) => {
                        notice.into_iter().for_each(|notice| self.take(told(notice)));
                        self.answer_looks();
                        continue;
                    }
                    Err(works) => works,
                },
                false => works,
            };
            for work in works {
                if self.committer.push(work).is_err() {
                    // One that failed said why before this; one that panicked said nothing.
                    let _ = self.inputs.send(Input::StoreEnded(Ending::Failed("the committer has ended".to_owned())));
                }
            }
        }
    }

    /// The time that a stop gives to open attempts is over.
    fn is_late(&self) -> bool {
        self.stop_by.get().is_none_or(|by| *by <= std::time::Instant::now())
    }

    /// The next input, or `Tick` when a timer is due. None: everyone who could say something has gone.
    fn next(&self, received: &Receiver<Input>, now: Instant, stopping: bool) -> Option<Input> {
        // A steered or stepped clock moves without notice: no sleep is longer than this.
        let longest = if stopping { 20 } else { 100 };
        let ms = self.shard.wake_at().map_or(longest, |at| at.since(now).min(longest));
        let mut longest = Duration::from_millis(ms);
        if !self.decided.is_empty() {
            longest = longest.min(self.rest_of_pause());
        }
        if longest.is_zero() {
            return Some(received.try_recv().unwrap_or(Input::Tick));
        }
        match received.recv_timeout(longest) {
            Ok(input) => Some(input),
            Err(RecvTimeoutError::Timeout) => Some(Input::Tick),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    fn take(&mut self, input: Input) {
        if matches!(input, Input::Request(_)) {
            self.queued.fetch_sub(1, Ordering::Relaxed);
        }
        let began = Moment::now();
        let actions = self.shard.step(input, (self.clock)());
        self.metrics.stages.since(Stage::Decide, began);
        self.carry_out(actions);
    }

    fn carry_out(&mut self, mut actions: Vec<Action>) {
        for action in actions.drain(..) {
            match action {
                Action::Commit(batch, number) => self.decided.push(Work { tag: number, batch }),
                Action::Fetch(looks) => self.looks.extend(looks),
                Action::Run(call, ahead) => self.run_guest(*call, ahead),
                Action::Withdraw(of, call) => self.guests.withdraw(&of, &call),
                Action::End(of) => self.guests.end(&of),
                Action::Changed(stream, revision) => self.changed(&stream, revision),
                Action::Fail(why) => {
                    self.is_fenced = matches!(why, Ending::Fenced(_));
                    self.last_word.say(why);
                }
            }
        }
        self.shard.reuse(actions);
    }

    /// Reads what was asked of the store. What several inputs asked for is one read, and this store answers at once.
    fn answer_looks(&mut self) {
        while !self.looks.is_empty() {
            let looks = std::mem::take(&mut self.looks);
            self.take(match reads::carry_out(self.store.as_ref(), &looks) {
                Ok(answers) => Input::Fetched(looks.into_iter().zip(answers).collect()),
                Err(error) => Input::StoreEnded(error.into()),
            });
        }
    }

    /// How much was committed and how much waits, for the metrics.
    fn count(&self) {
        let totals = self.committer.totals();
        self.metrics.committed(totals);
        self.metrics.queue("commits", self.committer.depth());
        self.metrics.queue("requests", self.queued.load(Ordering::Relaxed));
    }

    /// Watchers hear of sagas. No watcher is no failure.
    fn changed(&self, stream: &StreamId, revision: u64) {
        if matches!(stream.kind, StreamKind::Aggregate | StreamKind::Event) {
            return self.recorded.send_modify(|times| *times += 1);
        }
        if stream.kind == StreamKind::Module {
            return self.deployed.send_modify(|times| *times += 1);
        }
        if self.changes.receiver_count() == 0 {
            return;
        }
        if let Some(SagaKey { namespace, id }) = SagaKey::of(stream) {
            drop(self.changes.send(Change { namespace, id, revision }));
        }
    }

    fn run_guest(&mut self, call: GuestCall, ahead: Option<Arc<dyn Ahead>>) {
        let id = call.work.id();
        let caller = ForShard { of: call.of.clone(), ahead, inputs: self.inputs.clone(), clock: Arc::clone(&self.clock) };
        self.guests.run(call, Box::new(caller));
        self.shard.guest_runs(&id);
    }

    /// Gives the shard up, after everything else.
    fn end(self) {
        let in_order = self.shard.is_quiet() && !self.shard.has_failed();
        self.committer.finish();
        if in_order {
            self.tenure.release();
        }
    }

    /// Refuses the requests that are still queued, because another host owns the shard.
    fn refuse_all(mut self, received: &Receiver<Input>) {
        received.try_iter().for_each(|input| self.take(input));
    }
}

/// What the shard is told of a commit.
fn told(notice: Notice) -> Input {
    match notice {
        Notice::Durable { tag, .. } => Input::Committed(tag),
        Notice::Failed(error) => Input::StoreEnded(error.into()),
    }
}

/// Takes reports for the shard, or for somebody who goes on without it.
struct ForShard {
    of: StreamId,
    ahead: Option<Arc<dyn Ahead>>,
    inputs: Sender<Input>,
    clock: Clock,
}

impl Caller for ForShard {
    fn report(&mut self, report: GuestReport) -> Option<GuestCall> {
        let next = match &self.ahead {
            Some(ahead) => ahead.report(report, (self.clock)()),
            None => Next::Report(report),
        };
        match next {
            Next::Call(call) => return Some(*call),
            Next::Return => self.say(Input::Returned(self.of.clone())),
            Next::Report(report) => self.say(Input::Report(self.of.clone(), report)),
        }
        None
    }

    fn last_report(self: Box<Self>, report: GuestReport) {
        match &self.ahead {
            Some(ahead) if ahead.is_lost() => {
                let why = "the engine panicked on a guest's thread, which is a bug; what it said is above";
                self.say(Input::StoreEnded(Ending::Failed(why.to_owned())));
            }
            // Who went on without the shard is called back by it.
            Some(_) | None => self.say(Input::Report(self.of.clone(), report)),
        }
    }
}

impl ForShard {
    /// A shard that has ended needs no reports.
    fn say(&self, input: Input) {
        let _ = self.inputs.send(input);
    }
}

fn could_not_start(error: &io::Error) -> StoreError {
    StoreError::Failed(format!("could not start a thread: {error}"))
}
