//! One decision of one saga, and what follows from it: records to hand over, attempts to run, clients to answer.

use amends_core::{
    Context, Event, Input as SagaInput, Room, Saga,
    event::{Answered, Arrival, Attempt, Why},
    id::Leg,
    outcome::{Outcome, Report},
    view::Status,
};

use super::{
    News, SagaKey, Sagas,
    away::Away,
    request::SagaAnswer,
    resident::{Decided, UNFLUSHED_MAX},
};
use crate::{
    engine::{
        guests::{CallId, GuestReport, ModuleDigest},
        kernel::{
            commit::Commit,
            reads::{Reads, Unready},
            release::{Release, Reply},
        },
        module::{self, Modules},
    },
    journal::{Actor, RecordId},
};

/// An event that reaches a saga, and the record that says so.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) arrival: Arrival,
    pub(crate) cause: RecordId,
}

/// Steps that an answer shows: a view of more would hold up everybody else for longer than their requests take.
const STEPS_SHOWN_MAX: usize = 2_048;

impl Sagas {
    /// An attempt ended.
    pub(crate) fn report(&mut self, commit: &mut Commit<'_>, modules: &mut Modules, key: &SagaKey, report: Report) {
        let attempt = report.attempt.clone();
        if let Some(resident) = self.residents.get_mut(key) {
            resident.launched.remove(&attempt);
            let since = resident.saga.open_since(&report.attempt).unwrap_or(commit.now);
            commit.metrics.attempt_ended(&resident.saga.started().module, &report, commit.now.since(since));
        }
        self.failpoints.of_attempt("outcome-seen", &report.attempt);
        // That the host did not let an attempt come to its end is no news about a saga that has ended.
        let is_over = matches!(report.outcome, Outcome::HostFault(_)) && self.get(key).is_some_and(Saga::is_ended);
        if is_over {
            self.park(commit, key);
        } else {
            self.turn(commit, modules, key, &Actor::Host, None, |saga, context| saga.handle(SagaInput::Report(report), context));
        }
        self.ended(commit, modules, key, &attempt);
    }

    /// A saga that was away has ended what it could there.
    pub(crate) fn returned(&mut self, commit: &mut Commit<'_>, modules: &mut Modules, key: &SagaKey) {
        let away = self.residents.get(key).and_then(|resident| resident.away.as_ref());
        let Some(errand) = away.and_then(Away::take_back) else { return };
        let after = self.take_over(commit.now, key, errand, None);
        commit.not_before(after);
        self.let_held_go(commit, modules);
        self.follow(commit, modules, key, None);
    }

    /// The answer to a command that a saga has sent reaches it, and is recorded with the commit.
    pub(crate) fn answered(
        &mut self,
        commit: &mut Commit<'_>,
        modules: &mut Modules,
        key: &SagaKey,
        leg: Leg,
        answered: Answered,
    ) {
        self.tell(commit, modules, key, SagaInput::Answered(leg, answered));
        self.flush(commit, key);
        self.park(commit, key);
    }

    /// Tells a saga something that the host knows.
    pub(crate) fn tell(&mut self, commit: &mut Commit<'_>, modules: &mut Modules, key: &SagaKey, input: SagaInput) {
        self.turn(commit, modules, key, &Actor::Host, None, |saga, context| saga.handle(input, context));
    }

    /// Other code is active: a saga sends the commands again that nobody could decide, where somebody can now.
    pub(crate) fn tell_of_code(&mut self, commit: &mut Commit<'_>, modules: &mut Modules, key: &SagaKey) {
        let mut came = self.get(key).map(Saga::undecided).unwrap_or_default();
        came.retain(|aggregate| modules.aggregate(&key.namespace, aggregate).is_some());
        if !came.is_empty() {
            self.tell(commit, modules, key, SagaInput::CodeCame(came));
        }
    }

    /// An event reaches one saga; true if the saga took it. Whoever sent it is told so: that must be durable with the answer, also
    /// where the saga runs ahead.
    pub(crate) fn deliver(&mut self, commit: &mut Commit<'_>, modules: &mut Modules, key: &SagaKey, arrived: Arrived) -> bool {
        let Arrived { arrival, cause } = arrived;
        let (source, id) = (arrival.source.clone(), arrival.id.clone());
        self.turn(commit, modules, key, &Actor::Host, Some(cause), |saga, context| {
            saga.handle(SagaInput::Arrived(arrival), context)
        });
        let is_taken = self.get(key).is_some_and(|saga| saga.has_consumed(&source, &id));
        if is_taken {
            self.flush(commit, key);
        }
        self.park(commit, key);
        is_taken
    }

    /// What came before a saga began to wait was looked at: the event that is for it, if there is one, shares the commit of the wait.
    pub(crate) fn looked(&mut self, commit: &mut Commit<'_>, modules: &mut Modules, key: &SagaKey, found: Option<Arrived>) {
        let Some(resident) = self.residents.get_mut(key) else { return };
        resident.looks_for_events = false;
        match found {
            Some(arrived) => drop(self.deliver(commit, modules, key, arrived)),
            None => {
                self.proceed(commit, modules, key, None);
            }
        }
        self.flush(commit, key);
        self.park(commit, key);
    }

    /// One decision of a saga that is in memory, and what follows.
    pub(super) fn turn<D>(
        &mut self,
        commit: &mut Commit<'_>,
        modules: &mut Modules,
        key: &SagaKey,
        actor: &Actor,
        causation: Option<RecordId>,
        decide: D,
    ) where
        D: FnOnce(&mut Saga, Context) -> Vec<Event>,
    {
        let Some(resident) = self.wake(key) else { return };
        let room = commit.limits.room(resident.journal_bytes);
        let (module, digest) = (&resident.saga.started().module, resident.saga.code().digest);
        let context = context(modules, key, module, &digest, room, commit);
        let events = decide(&mut resident.saga, context);
        self.decided(commit, modules, key, events, actor, causation);
    }

    /// What follows from a decision.
    pub(super) fn decided(
        &mut self,
        commit: &mut Commit<'_>,
        modules: &mut Modules,
        key: &SagaKey,
        events: Vec<Event>,
        actor: &Actor,
        causation: Option<RecordId>,
    ) {
        let Some(resident) = self.residents.get_mut(key) else { return };
        self.lockers.freed(key, &events);
        let host_died = events.iter().any(|event| matches!(event, Event::Stuck(_, Why::HostDied)));
        let turns_back = events.iter().any(turns_back);
        let (module, version) = (resident.saga.started().module.clone(), resident.saga.code().version);
        let (decided, has_ended) = (Some(resident.unflushed.len()), resident.saga.is_ended());
        if !events.is_empty() {
            if resident.unflushed.is_empty() {
                self.unflushed.push_back((commit.now, key.clone()));
            }
            resident.decide(events, commit.now, actor, causation);
        }
        if host_died {
            module::quarantine(commit, modules, &key.namespace, &module, version);
        }
        let unwanted = if turns_back { self.withdraw(commit, key) } else { Vec::new() };
        for attempt in unwanted {
            if let Some(report) = GuestReport::withdrawn(CallId::Step(attempt)).into_step() {
                self.report(commit, modules, key, report);
            }
        }
        if has_ended {
            self.end_attempts(commit, key);
        }
        self.follow(commit, modules, key, decided);
    }

    /// What a saga wants now that something was decided: the facts without a place from `decided` on, if it wanted nothing else before.
    fn follow(&mut self, commit: &mut Commit<'_>, modules: &Modules, key: &SagaKey, decided: Option<usize>) {
        let Some(resident) = self.residents.get_mut(key) else { return };
        let begun = resident.wait_for(&resident.saga.topics());
        // A report within a decision is followed before the decision is: what began to wait there is looked for first.
        if begun.is_empty() && !resident.looks_for_events {
            self.proceed(commit, modules, key, decided);
        } else if !begun.is_empty() {
            // The wait gets its place in the journal together with what came before it: nothing else would look for that again.
            resident.looks_for_events = true;
            self.news.push_back(News::Waits(key.clone(), begun));
        }
    }

    /// Runs what wants to run, hands over what must be durable, answers who waits.
    fn proceed(&mut self, commit: &mut Commit<'_>, modules: &Modules, key: &SagaKey, decided: Option<usize>) {
        let Some(resident) = self.residents.get_mut(key) else { return };
        let is_cautious = resident.cautious || commit.is_crowded();
        // Law 4: what can reach outside has a durable intent. Law 3: what cannot runs on.
        let (at_commit, ahead): (Vec<_>, Vec<_>) =
            resident.launch(decided).into_iter().partition(|intent| intent.reaches_outside || intent.solo || is_cautious);
        let rests = resident.saga.open_attempts() == 0;
        let is_full = resident.unflushed.len() >= UNFLUSHED_MAX;
        // Rows of what a grant, or code, would let go on must not lag: nothing else finds it.
        let was_held = resident.flushed.as_ref().map_or((false, false), |flushed| (flushed.is_denied, flushed.is_undecided));
        let status = resident.saga.status();
        let settles = was_held != (resident.saga.is_denied(), resident.saga.is_undecided());
        let answers = if status.is_ended() || status == Status::Stuck { self.waiters.take(key) } else { Vec::new() };
        let is_message = |decided: &Decided| matches!(decided.event, Event::Sent(..) | Event::Published(..));
        let sends = ahead.iter().any(|intent| resident.saga.is_command(intent)) || resident.unflushed.iter().any(is_message);
        if rests || is_full || settles || !at_commit.is_empty() || !answers.is_empty() {
            self.flush(commit, key);
        } else if sends {
            // What comes of a command is in other streams: it must not be durable without the intent. Nobody waits for that.
            commit.lazily(|commit| self.flush(commit, key));
        }
        for (answer, created) in answers {
            if let Some(said) = self.answer(key, created) {
                self.reply(commit, key, Reply::new(answer, Ok(said)));
            }
        }
        for intent in at_commit {
            let number = self.launches.hold(key.clone(), intent);
            self.release(commit, key, Release::Durable(key.stream(), number));
        }
        for intent in ahead {
            self.run(commit, modules, key.clone(), intent);
        }
        self.park(commit, key);
    }

    /// What a saga is, to whoever asked for it.
    pub(super) fn answer(&self, key: &SagaKey, created: bool) -> Option<SagaAnswer> {
        let resident = self.resident(key)?;
        let position = resident.flushed.as_ref().map_or(0, |flushed| flushed.position);
        let is_outline = resident.saga.size() > STEPS_SHOWN_MAX;
        let view = if is_outline { resident.saga.outline() } else { resident.saga.view() };
        Some(SagaAnswer { id: key.id.clone(), created, view: Box::new(view), is_outline, position })
    }

    pub(super) fn reply(&mut self, commit: &mut Commit<'_>, key: &SagaKey, reply: Reply) {
        self.release(commit, key, Release::Reply(reply));
    }

    /// Law 2: what a saga says leaves when its last record so far is durable.
    fn release(&mut self, commit: &mut Commit<'_>, key: &SagaKey, release: Release) {
        let position = self.place(commit, key);
        commit.release_at(position, release);
    }

    /// The position of a saga's last record, which gets its place now if it had none; 0 where there is no saga.
    pub(crate) fn place(&mut self, commit: &mut Commit<'_>, key: &SagaKey) -> u64 {
        self.flush(commit, key);
        self.resident(key).and_then(|resident| resident.flushed.as_ref()).map_or(0, |flushed| flushed.position)
    }

    /// Tells those that have all their lock keys now. What freed a key and that the next saga has it is one commit, where that saga
    /// is in memory; else it is told in the next one, or by the next host: its rows say that nobody stands before it.
    pub(crate) fn hand_over_locks(&mut self, commit: &mut Commit<'_>, modules: &mut Modules) {
        while let Some(key) = self.lockers.next_holder() {
            if self.resident(&key).is_some_and(|resident| !resident.looks_for_events) {
                self.tell_of_locks(commit, modules, &key);
            } else {
                self.news.push_back(News::HasLocks(key));
            }
        }
    }

    /// A saga that was not in memory has its lock keys.
    pub(crate) fn has_locks(&mut self, mut reads: Reads<'_>, modules: &mut Modules, key: &SagaKey) -> Result<(), Unready> {
        if self.ready(&mut reads, modules.definitions(), key)? {
            self.tell_of_locks(&mut reads.done()?, modules, key);
        }
        Ok(())
    }

    fn tell_of_locks(&mut self, commit: &mut Commit<'_>, modules: &mut Modules, key: &SagaKey) {
        self.tell(commit, modules, key, SagaInput::LocksTaken);
        self.flush(commit, key);
        self.park(commit, key);
    }

    /// What a commit held back may go on: an attempt whose intent is durable now.
    pub(crate) fn durable(&mut self, commit: &mut Commit<'_>, modules: &Modules, number: u64) {
        let Some((key, intent)) = self.launches.let_go(number) else { return };
        self.failpoints.of_attempt("intent-durable", &intent.attempt);
        self.run(commit, modules, key.clone(), intent);
        self.park(commit, &key);
    }

    /// A guest has its attempt: for the failpoint of the binary under test.
    pub(crate) fn guest_runs(&mut self, attempt: &Attempt) {
        self.failpoints.of_attempt("guest-running", attempt);
    }
}

/// Open attempts may be of no use from here on.
fn turns_back(event: &Event) -> bool {
    matches!(event, Event::RollbackBegun(_) | Event::CancelRequested(_))
}

/// What a decision of this saga may depend on now.
pub(super) fn context(
    modules: &Modules,
    key: &SagaKey,
    module: &str,
    digest: &ModuleDigest,
    journal: Room,
    commit: &mut Commit<'_>,
) -> Context {
    let module = modules.get(&key.namespace, module);
    let imports_http = module
        .and_then(|module| module.versions.values().find(|version| version.digest == *digest))
        .is_some_and(module::Version::imports_http);
    Context {
        now: commit.now,
        jitter: commit.random(),
        may_reach_outside: imports_http && module.is_some_and(module::Module::may_reach_outside),
        snapshot: module.map_or(0, |module| module.revision),
        journal,
    }
}
