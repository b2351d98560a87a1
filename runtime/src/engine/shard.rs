//! The shard: a single-threaded value that takes a closed set of inputs and says what is to be done.
//!
//! Decide, enqueue, apply; release when committed: in that order, in one place. The shard does no I/O: it runs no guest, writes no
//! file, reads neither the clock nor the store. What a decision needs of the store it asks for as an action, and takes as an input.
//! Here is only who gets which input: what it means is the kinds' own.
//!
//! - `requests`: which kind answers a request; `clock`: what the clock makes happen
//! - `commands`: what sagas and aggregates say to each other; `messages`: what is recorded reaches whom it is for

mod requests;

mod clock;

mod commands;

mod messages;

use amends_core::{
    Instant,
    event::{Answer, Topic},
    outcome::Report,
};

pub use crate::engine::kernel::action::Action;
use crate::{
    engine::refusal::{Refusal, RefusalCode},
    engine::{
        aggregate::{self, AggregateKey, Aggregates, Insider, Met, Told},
        broadcast::Broadcasts,
        event::{self, heard::Left},
        guests::{CallId, GuestReport},
        job::Jobs,
        kernel::{
            Kernel,
            action::Ending,
            desk::Desk,
            reads::{Answer as Fetched, Look, Unready},
            release::Release,
            timers::{self, Timer},
        },
        messages::{Message, Messages},
        module::Modules,
        policy::{Policies, PolicyKey},
        port::Request,
        saga::{self, News, Order, SagaKey, Sagas},
        schedule::{self, Held, Schedules},
    },
    journal::{StreamId, StreamKind},
};

/// What can happen to a shard.
#[derive(Debug)]
pub enum Input {
    /// Somebody asks.
    Request(Request),
    /// Guest code ended that ran for this stream.
    Report(StreamId, GuestReport),
    /// Who went on without the shard for this stream has ended what it could.
    Returned(StreamId),
    /// What was asked of the store, each look with its answer.
    Fetched(Vec<(Look, Fetched)>),
    /// Every commit up to this number is durable.
    Committed(u64),
    /// The store takes no more commits, and why: nothing may be acknowledged any more.
    StoreEnded(Ending),
    /// Time passed: what is due happens, as much of it as fits into one step.
    Tick,
    /// No new sagas: the host is stopping.
    Stop,
}

/// One shard: a journal, and what something happens to now.
pub struct Shard {
    pub(crate) kernel: Kernel,
    pub(crate) modules: Modules,
    pub(crate) sagas: Sagas,
    pub(crate) schedules: Schedules,
    pub(crate) jobs: Jobs,
    pub(crate) broadcasts: Broadcasts,
    pub(crate) aggregates: Aggregates,
    pub(crate) policies: Policies,
    pub(crate) messages: Messages,
    desk: Desk<Work, Lane>,
    /// What the clock may still make happen before the next input has its turn.
    fires_left: usize,
    /// What follows from a decision is being done: what follows from that is done after it, and not within it.
    follows_up: bool,
}

/// What a shard is made of, beside its kernel.
pub(crate) struct Kinds {
    pub(crate) modules: Modules,
    pub(crate) sagas: Sagas,
    pub(crate) aggregates: Aggregates,
    pub(crate) policies: Policies,
    pub(crate) schedules: Schedules,
    pub(crate) jobs: Jobs,
    pub(crate) broadcasts: Broadcasts,
    pub(crate) messages: Messages,
}

/// One thing to decide. What it needs is read first; where something is missing it waits, and is tried again from its beginning.
#[derive(Debug)]
enum Work {
    Request(Request),
    Report(SagaKey, Report),
    /// A saga begins to wait, and looks for what came before.
    Look(SagaKey, Vec<Topic>),
    /// A saga has its lock keys, and was not in memory to be told.
    HandOver(SagaKey),
    Due(Timer),
    /// A schedule whose time has come.
    Schedule(Held),
    /// An attempt of a saga is a command.
    Order(Box<Order>),
    /// A guest has decided commands of an aggregate, or folded its events.
    Decided(AggregateKey, GuestReport),
    /// The events of an aggregate are to be read again.
    Reload(AggregateKey),
    /// A policy goes on.
    PolicyTurn(PolicyKey),
    /// A guest has reacted to a cause of this policy and key.
    Reacted(PolicyKey, String, GuestReport),
    /// What is recorded and has not reached everybody that it is for.
    Message(Message),
    /// The answer to a command that a step sent.
    Answered(Box<Message>, Answer),
    JobTurn,
    BroadcastTurn,
    /// The window of timers is used up.
    Refill,
}

/// What keeps its order: work about the same thing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// About one stream, or about what would be one.
    Of(StreamId),
    /// Events that were sent together, by the number of their batch.
    Batch(u64),
    /// The turns of jobs.
    Jobs,
    /// The turns of broadcasts.
    Broadcasts,
    /// The window of timers.
    Timers,
}

/// What was not decided: why, and the work to be tried again.
struct Undecided {
    why: Unready,
    work: Box<Work>,
}

impl Undecided {
    fn new(why: Unready, work: Work) -> Self {
        Self { why, work: Box::new(work) }
    }
}

impl Shard {
    pub(crate) fn new(kernel: Kernel, kinds: Kinds) -> Self {
        let Kinds { modules, sagas, aggregates, policies, schedules, jobs, broadcasts, messages } = kinds;
        Self {
            kernel,
            modules,
            sagas,
            schedules,
            jobs,
            broadcasts,
            aggregates,
            policies,
            messages,
            desk: Desk::default(),
            fires_left: 0,
            follows_up: false,
        }
    }

    /// The store takes no more commits.
    pub(crate) fn has_failed(&self) -> bool {
        self.kernel.failure().is_some()
    }

    /// What the sagas want that go on after a start.
    pub(crate) fn begin(&mut self) -> Vec<Action> {
        self.follow_up();
        self.finish();
        self.kernel.take_actions()
    }

    /// Hands over what was decided and lets go what is durable; what that lets go may be a command, and goes on here.
    fn finish(&mut self) {
        self.kernel.hand_over();
        self.release();
        self.follow_up();
        self.kernel.hand_over();
    }

    /// Takes one input at a time and says what is to be done.
    pub fn step(&mut self, input: Input, now: Instant) -> Vec<Action> {
        self.kernel.now = now;
        if let Some(refusal) = self.kernel.failure() {
            // Law 14: nothing that was not durable by then is decided on, and nothing leaves.
            if let Input::Request(request) = input {
                request.refuse(refusal);
            }
            return self.kernel.take_actions();
        }
        match input {
            Input::Request(request) => self.take(Work::Request(request)),
            Input::Report(stream, report) => self.report(&stream, report),
            Input::Returned(stream) => self.returned(&stream),
            Input::Fetched(answers) => self.fetched(answers),
            Input::Committed(number) => self.committed(number),
            Input::StoreEnded(why) => self.fail(why),
            Input::Tick => self.tick(),
            Input::Stop => self.stop(),
        }
        self.sagas.flush_old(&mut self.kernel.commit());
        self.finish();
        self.sagas.cool(now);
        self.aggregates.cool(&self.kernel);
        self.kernel.take_actions()
    }

    /// Guest code ended: whose it is says the kind of its stream.
    fn report(&mut self, stream: &StreamId, report: GuestReport) {
        match stream.kind {
            StreamKind::Saga => {
                if let (Some(key), Some(report)) = (SagaKey::of(stream), report.into_step()) {
                    self.take(Work::Report(key, report));
                }
            }
            StreamKind::Aggregate => {
                if let Some(key) = AggregateKey::of(stream) {
                    self.take(Work::Decided(key, report));
                }
            }
            StreamKind::Instance => {
                if let Some((key, of)) = PolicyKey::of_instance(stream) {
                    let of = of.to_owned();
                    self.take(Work::Reacted(key, of, report));
                }
            }
            // They run no guest code, or not for the shard.
            StreamKind::Module
            | StreamKind::Event
            | StreamKind::Host
            | StreamKind::Schedule
            | StreamKind::Job
            | StreamKind::Policy
            | StreamKind::View => {}
        }
    }

    /// Who went on without the shard is back. What waited for that is tried again.
    fn returned(&mut self, stream: &StreamId) {
        if let Some(key) = SagaKey::of(stream) {
            self.sagas.returned(&mut self.kernel.commit(), &mut self.modules, &key);
        }
        self.follow_up();
        self.desk.unblock();
        self.try_ready();
    }

    /// A guest has its call: for the failpoint of the binary under test.
    pub(crate) fn guest_runs(&mut self, call: &CallId) {
        if let Some(attempt) = call.attempt() {
            self.sagas.guest_runs(attempt);
        }
    }

    /// Takes back what `step` returned, emptied, for the room that it has.
    pub(crate) fn reuse(&mut self, emptied: Vec<Action>) {
        self.kernel.reuse(emptied);
    }

    /// The moment at which `Tick` is due, if nothing else comes before.
    pub fn wake_at(&self) -> Option<Instant> {
        let is_free = |lane: Lane| !self.desk.is_busy(&lane);
        let job = self.jobs.has_turn(&self.kernel, &self.sagas) && is_free(Lane::Jobs);
        let broadcast = self.broadcasts.has_turn(&self.kernel, &self.sagas) && is_free(Lane::Broadcasts);
        let turn = (job || broadcast).then_some(self.kernel.now);
        let schedule = self.schedules.wake_at(&self.kernel, &self.sagas);
        let timer = self.kernel.next_timer().filter(|_| is_free(Lane::Timers));
        let batch = self.kernel.hand_over_at();
        let message = if self.messages.has_turn() { Some(self.kernel.now) } else { self.messages.wake_at() };
        let inner = message.into_iter().chain(self.policies.wake_at(&self.kernel));
        let inner = inner.min().filter(|_| !self.kernel.stopping);
        self.sagas.flush_at().into_iter().chain(batch).chain(timer).chain(schedule).chain(turn).chain(inner).min()
    }

    /// How many attempts of guests end soon.
    pub(crate) fn end_soon(&self) -> usize {
        self.sagas.end_soon() + self.aggregates.end_soon() + self.policies.end_soon()
    }

    /// No attempt is open and everything decided is durable.
    pub fn is_quiet(&self) -> bool {
        let kinds_are = self.sagas.is_quiet() && self.aggregates.is_quiet() && self.policies.is_quiet();
        kinds_are && self.kernel.is_quiet() && self.desk.is_empty()
    }

    /// Decides about something, or lets it wait behind what waits in its lane.
    fn take(&mut self, work: Work) {
        let lane = if self.desk.is_empty() { None } else { work.lane() };
        match lane {
            Some(lane) if self.desk.is_busy(&lane) => self.desk.queue(lane, work),
            Some(_) | None => match self.decide(work) {
                Ok(()) => self.follow_up(),
                Err(Undecided { why: Unready::Corrupt(why), work }) => self.unreadable(*work, why),
                Err(Undecided { why: Unready::Missing, work }) => {
                    let lane = work.lane();
                    let missing = self.ask();
                    let since = self.kernel.durable_commit();
                    self.desk.park(*work, lane, missing, since);
                }
            },
        }
    }

    /// Asks the store for what the last decision missed.
    fn ask(&mut self) -> Vec<Look> {
        let lookups = self.kernel.lookups();
        let missing = lookups.take_missing();
        let looks = lookups.ask(&missing);
        if !looks.is_empty() {
            self.kernel.act(Action::Fetch(looks));
        }
        missing
    }

    /// What was asked of the store has come: what waits for it is tried again, in the order in which it came.
    fn fetched(&mut self, answers: Vec<(Look, Fetched)>) {
        for (look, answer) in answers {
            self.desk.found(&look);
            self.kernel.lookups().found(look, answer);
        }
        self.try_ready();
        self.fire();
    }

    /// Decides what has all that it waited for, in the order in which it came.
    fn try_ready(&mut self) {
        while let Some((place, work)) = self.desk.next_ready() {
            match self.decide(work) {
                Err(Undecided { why: Unready::Missing, work }) => {
                    let missing = self.ask();
                    self.desk.again(place, *work, missing);
                    continue;
                }
                Err(Undecided { why: Unready::Corrupt(why), work }) => self.unreadable(*work, why),
                Ok(()) => {}
            }
            let (unused, next) = self.desk.done(place);
            unused.iter().for_each(|look| self.kernel.lookups().drop_found(look));
            self.follow_up();
            next.into_iter().for_each(|work| self.take(work));
        }
    }

    /// What follows from a decision in the same step: lock keys go on, and kinds hear of each other.
    fn follow_up(&mut self) {
        self.sagas.hand_over_locks(&mut self.kernel.commit(), &mut self.modules);
        self.kernel.hand_over();
        if self.follows_up {
            return;
        }
        self.follows_up = true;
        while self.follow_one() {}
        self.follows_up = false;
    }

    /// One thing that follows; false: nothing does.
    fn follow_one(&mut self) -> bool {
        if let Some(news) = self.sagas.next_news() {
            match news {
                News::Sends(order) => self.take(Work::Order(order)),
                News::Waits(key, topics) => self.take(Work::Look(key, topics)),
                News::Ended(key) => self.schedules.saga_ended(&key),
                News::HasLocks(key) => self.take(Work::HandOver(key)),
                News::Message(message) => self.messages.push(message),
            }
        } else if let Some(key) = self.aggregates.next_stale() {
            self.take(Work::Reload(key));
        } else if let Some(told) = self.aggregates.next_told() {
            self.told(told);
        } else if let Some(message) = self.aggregates.next_heard().or_else(|| self.policies.next_sent()) {
            self.messages.push(message);
        } else if let Some(key) = self.policies.next_turn(&mut self.kernel) {
            self.take(Work::PolicyTurn(key));
        } else if let Some(message) = self.next_message() {
            self.take(Work::Message(message));
        } else {
            return false;
        }
        true
    }

    fn decide(&mut self, work: Work) -> Result<(), Undecided> {
        let reads = self.kernel.reads();
        let (sagas, modules) = (&mut self.sagas, &mut self.modules);
        match work {
            Work::Request(request) => self.request(request),
            Work::Report(key, report) => {
                // A saga with an open attempt is in memory.
                match sagas.ready(&mut { reads }, modules.definitions(), &key) {
                    Ok(_) => sagas.report(&mut self.kernel.commit(), modules, &key, report),
                    Err(unready) => return Err(Undecided::new(unready, Work::Report(key, report))),
                }
                Ok(())
            }
            Work::Look(key, topics) => {
                event::look(reads, sagas, modules, &key, &topics).map_err(|why| Undecided::new(why, Work::Look(key, topics)))
            }
            Work::HandOver(key) => sagas.has_locks(reads, modules, &key).map_err(|why| Undecided::new(why, Work::HandOver(key))),
            Work::Due(timer) => self.due(timer).map_err(|why| Undecided::new(why, Work::Due(timer))),
            Work::Schedule(held) => {
                self.schedules.wake(reads, sagas, modules, &held).map_err(|why| Undecided::new(why, Work::Schedule(held)))
            }
            Work::Order(order) => self.order(order),
            Work::Decided(key, report) => {
                let mut reads = reads;
                // Both are asked for before what is missing ends this.
                let holders = aggregate::holders(&mut reads, &key, &report);
                let heard = event::heard::heard(&mut reads, sagas, modules, &key, &report);
                let met = holders.and_then(|holders| Ok(Met { holders, heard: heard? }));
                match met.and_then(|met| Ok((met, reads.done()?))) {
                    Ok((met, mut commit)) => self.aggregates.reported(&mut commit, modules, &key, report, &met),
                    Err(why) => return Err(Undecided::new(why, Work::Decided(key, report))),
                }
                Ok(())
            }
            Work::Reload(key) => {
                self.aggregates.reload(reads, modules, &key).map_err(|why| Undecided::new(why, Work::Reload(key)))
            }
            Work::PolicyTurn(key) => self.policies.turn(reads, &key).map_err(|why| Undecided::new(why, Work::PolicyTurn(key))),
            Work::Reacted(key, of, report) => {
                self.policies.reported(&mut self.kernel.commit(), &key, &of, report);
                Ok(())
            }
            Work::Message(message) => self.pass_on(message),
            Work::Answered(message, answer) => self.answered(message, answer),
            Work::JobTurn => self.jobs.turn(reads, sagas, modules).map_err(|why| Undecided::new(why, Work::JobTurn)),
            Work::BroadcastTurn => {
                self.broadcasts.turn(reads, sagas, modules).map_err(|why| Undecided::new(why, Work::BroadcastTurn))
            }
            Work::Refill => timers::refill(reads).map_err(|why| Undecided::new(why, Work::Refill)),
        }
    }

    /// What cannot be read is left as it is, and whoever asked is told; everything else goes on.
    fn unreadable(&mut self, work: Work, why: String) {
        match work {
            Work::Request(request) => {
                let what = request.subject();
                self.kernel.metrics.refused(RefusalCode::StorageFailed);
                request.refuse(Refusal::new(RefusalCode::StorageFailed, format!("{what} cannot be read: {why}")));
            }
            Work::Report(key, report) => {
                saga::corrupt(&key, &why);
                self.sagas.ended(&mut self.kernel.commit(), &self.modules, &key, &report.attempt);
            }
            Work::HandOver(key) => saga::corrupt(&key, &why),
            Work::Look(key, _) => {
                saga::corrupt(&key, &why);
                self.sagas.looked(&mut self.kernel.commit(), &mut self.modules, &key, None);
                self.follow_up();
            }
            Work::Due(Timer { due, kind, start }) => {
                // A host that can read it finds the timer's row.
                tracing::error!(start, kind = kind.name(), due = due.0, why, "what is due there is corrupt: it is left as it is");
            }
            Work::Schedule(Held { key, .. }) => {
                tracing::error!(schedule = key.1, namespace = %key.0, why, "a schedule is corrupt: it does not fire any more");
            }
            Work::Order(order) => {
                let refusal = Refusal::new(RefusalCode::StorageFailed, format!("its aggregate cannot be read: {why}"));
                self.told(Told { to: Insider::Attempt(order.saga.stream(), order.attempt), said: Err(refusal) });
            }
            Work::Decided(key, _) | Work::Reload(key) => {
                tracing::error!(aggregate = %key, namespace = %key.namespace, why, "an aggregate is corrupt: its commands are refused");
                let refusal = Refusal::new(RefusalCode::StorageFailed, format!("{key} cannot be read: {why}"));
                self.aggregates.unreadable(&mut self.kernel.commit(), &key, &refusal);
            }
            Work::PolicyTurn(key) => self.policies.unreadable(&mut self.kernel.commit(), &key, why),
            // Nothing of it is read.
            Work::Reacted(..) => {}
            Work::Message(message) => {
                let refusal = Refusal::new(RefusalCode::StorageFailed, format!("it cannot be read: {why}"));
                self.passed_on(&message.line.clone(), Left::All(message, refusal));
                self.follow_up();
            }
            Work::Answered(message, _) => {
                let (position, of) = (message.position, &message.of);
                tracing::error!(position, %of, why, "who sent a command cannot be told of its answer");
            }
            Work::JobTurn => {
                self.jobs.give_up(&mut self.kernel.commit(), &why);
                self.follow_up();
            }
            Work::BroadcastTurn => {
                self.broadcasts.give_up(&mut self.kernel.commit(), &why);
                self.follow_up();
            }
            Work::Refill => {
                // Timers that nobody can read would never fire, and nothing would say so.
                self.fail(Ending::Failed(format!("the timers cannot be read: {why}")));
            }
        }
    }

    fn stop(&mut self) {
        self.kernel.stopping = true;
        self.broadcasts.stop(&mut self.kernel.commit());
    }

    fn committed(&mut self, number: u64) {
        self.kernel.committed(number, self.desk.oldest());
        self.sagas.durable_now(&self.kernel);
        self.release();
        self.sagas.committed(&self.kernel);
        if !self.desk.is_empty() {
            // What waits for records to be durable is tried again.
            self.desk.unblock();
            self.try_ready();
        }
    }

    /// Law 2, the one place: what is durable leaves.
    fn release(&mut self) {
        while let Some(release) = self.kernel.next_release() {
            match release {
                Release::Reply(reply) => reply.send(),
                Release::Changed(stream, revision) => self.kernel.act(Action::Changed(stream, revision)),
                Release::Count(count) => count(&self.kernel.metrics),
                Release::Durable(stream, number) => match stream.kind {
                    StreamKind::Saga => self.sagas.durable(&mut self.kernel.commit(), &self.modules, number),
                    // They hold nothing back.
                    StreamKind::Module
                    | StreamKind::Event
                    | StreamKind::Host
                    | StreamKind::Schedule
                    | StreamKind::Job
                    | StreamKind::Aggregate
                    | StreamKind::Policy
                    | StreamKind::Instance
                    | StreamKind::View => {}
                },
            }
        }
    }

    fn fail(&mut self, why: Ending) {
        let Some(refusal) = self.kernel.fail(why) else { return };
        self.sagas.refuse_waiters(&refusal);
        self.jobs.refuse_waiters(&refusal);
        self.broadcasts.refuse_waiters(&refusal);
        self.aggregates.refuse_waiters(&refusal);
        for work in self.desk.take_all() {
            if let Work::Request(request) = work {
                request.refuse(refusal.clone());
            }
        }
    }
}

impl Work {
    /// What keeps its order with other work about the same thing.
    fn lane(&self) -> Option<Lane> {
        match self {
            Self::Request(request) => Some(request.batch().map_or_else(|| Lane::Of(request.about()), Lane::Batch)),
            Self::Report(key, _) | Self::HandOver(key) => Some(Lane::Of(key.stream())),
            Self::Order(order) => commands::lane(order),
            // A request for the aggregate does not wait for them, nor do they for it: each changes only what it owns.
            Self::Decided(..) | Self::Reload(..) | Self::Reacted(..) => None,
            Self::PolicyTurn(key) => Some(Lane::Of(key.stream())),
            // A request for the saga may wait for this look. In the lane of the saga the look would wait for the request.
            Self::Look(..) => None,
            Self::Schedule(held) => Some(Lane::Of(schedule::stream(&held.key))),
            // Whose they are is read first.
            Self::Due(_) => None,
            // They have lines of their own.
            Self::Message(_) => None,
            Self::Answered(message, _) => Some(Lane::Of(message.of.clone())),
            Self::JobTurn => Some(Lane::Jobs),
            Self::BroadcastTurn => Some(Lane::Broadcasts),
            Self::Refill => Some(Lane::Timers),
        }
    }
}
