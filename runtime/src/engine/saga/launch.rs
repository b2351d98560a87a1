//! Handing attempts to the guests: what a guest is told, and the one that runs alone.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use amends_core::{
    Instant, Saga,
    event::{Attempt, Intent},
    id::{Direction, Leg},
};

use super::{
    News, Order, Resident, SagaKey, Sagas,
    away::{Away, Errand},
    flush::UNFLUSHED_MS,
    resident::UNFLUSHED_MAX,
    turn::context,
};
use crate::{
    engine::{
        failpoints::Failpoints,
        guests::{Ahead, CallId, GuestCall, StepCall, Work},
        kernel::{Jitter, action::Action, commit::Commit},
        module::Modules,
    },
    journal::Grant,
};

/// Attempts that run, and those that wait because one must run alone.
#[derive(Debug, Default)]
pub(crate) struct Launches {
    /// True: it can reach outside, and may wait there for long.
    running: HashMap<(SagaKey, Attempt), bool>,
    /// Those of them that stay inside: they end soon.
    inside: usize,
    /// The one that runs alone: it was executing at two deaths of the host.
    solo: Option<(SagaKey, Attempt)>,
    /// First come, first served: behind one that wants to be alone everybody waits.
    held: VecDeque<(SagaKey, Intent)>,
    /// Those that wait for the commit of their intent, by the number under which it lets them go.
    uncommitted: HashMap<u64, (SagaKey, Intent)>,
    last: u64,
}

impl Launches {
    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Attempts that run and stay inside.
    pub(crate) fn inside(&self) -> usize {
        self.inside
    }

    fn add(&mut self, key: SagaKey, attempt: Attempt, reaches_outside: bool) {
        let before = self.running.insert((key, attempt), reaches_outside);
        self.inside += usize::from(!reaches_outside);
        self.inside -= usize::from(before == Some(false));
    }

    fn remove(&mut self, one: &(SagaKey, Attempt)) {
        self.inside -= usize::from(self.running.remove(one) == Some(false));
    }

    /// Holds an attempt back until its intent is durable.
    pub(super) fn hold(&mut self, key: SagaKey, intent: Intent) -> u64 {
        self.last += 1;
        self.uncommitted.insert(self.last, (key, intent));
        self.last
    }

    /// The intent is durable.
    pub(super) fn let_go(&mut self, number: u64) -> Option<(SagaKey, Intent)> {
        self.uncommitted.remove(&number)
    }

    fn may_run(&self, intent: &Intent) -> bool {
        self.solo.is_none() && (!intent.solo || self.running.is_empty())
    }
}

impl Sagas {
    /// Hands an attempt to the guests, in its turn.
    pub(super) fn run(&mut self, commit: &mut Commit<'_>, modules: &Modules, key: SagaKey, intent: Intent) {
        if self.launches.held.is_empty() && self.launches.may_run(&intent) {
            self.launch(commit, modules, key, intent);
        } else {
            self.launches.held.push_back((key, intent));
        }
    }

    /// An attempt ended: those that it held up go on.
    pub(crate) fn ended(&mut self, commit: &mut Commit<'_>, modules: &Modules, key: &SagaKey, attempt: &Attempt) {
        let ended = (key.clone(), attempt.clone());
        self.launches.remove(&ended);
        if self.launches.solo.as_ref() == Some(&ended) {
            self.launches.solo = None;
        }
        self.let_held_go(commit, modules);
    }

    /// Withdraws open attempts of a saga that nothing needs any more, as a rollback would wait for those that still wait for their
    /// place. Gives those that the guests do not have yet: nobody else would report them.
    pub(super) fn withdraw(&mut self, commit: &mut Commit<'_>, key: &SagaKey) -> Vec<Attempt> {
        let unwanted = self.residents.get(key).map(|resident| resident.saga.unwanted()).unwrap_or_default();
        let (with_guests, here): (Vec<_>, Vec<_>) =
            unwanted.into_iter().map(|attempt| (key.clone(), attempt)).partition(|one| self.launches.running.contains_key(one));
        for (key, attempt) in with_guests {
            commit.act(Action::Withdraw(key.stream(), CallId::Step(attempt)));
        }
        here.into_iter().map(|(_, attempt)| attempt).collect()
    }

    /// Ends what still runs of a saga that has ended: nothing that it does counts any more, and until its deadline it would keep its
    /// place. What the guests do not have yet they do not get.
    pub(super) fn end_attempts(&self, commit: &mut Commit<'_>, key: &SagaKey) {
        let Some(resident) = self.residents.get(key) else { return };
        let runs = |attempt: &Attempt| self.launches.running.contains_key(&(key.clone(), attempt.clone()));
        if resident.launched.iter().any(runs) {
            commit.act(Action::End(key.stream()));
        }
    }

    /// Those that were held up by attempts that have ended go on.
    pub(super) fn let_held_go(&mut self, commit: &mut Commit<'_>, modules: &Modules) {
        while self.launches.held.front().is_some_and(|(_, intent)| self.launches.may_run(intent)) {
            if let Some((key, intent)) = self.launches.held.pop_front() {
                self.launch(commit, modules, key, intent);
            }
        }
    }

    /// Unless the saga has moved on meanwhile.
    fn launch(&mut self, commit: &mut Commit<'_>, modules: &Modules, key: SagaKey, intent: Intent) {
        let Some(resident) = self.residents.get_mut(&key) else { return };
        if let Some(command) = resident.saga.command(&intent, commit.limits.payload_bytes_max) {
            let started = resident.saga.started();
            let (attempt, trace_context) = (intent.attempt, started.trace_context.clone());
            let leg = attempt.leg.key(&key.namespace, &key.id, started.incarnation);
            self.launches.add(key.clone(), attempt.clone(), false);
            self.news.push_back(News::Sends(Box::new(Order { saga: key, attempt, key: leg, command, trace_context })));
            return;
        }
        let module = modules.get(&key.namespace, &resident.saga.started().module);
        let grants = module.map(|module| module.grants_at(intent.snapshot)).unwrap_or_default();
        let Some(call) = call(&key, &resident.saga, Arc::clone(&grants), &intent) else { return };
        let away = may_leave(resident, &intent).then(|| {
            let errand = errand(modules, commit, &key, resident, grants, self.failpoints.clone());
            Away::leave(key.clone(), errand, intent.attempt.clone())
        });
        if away.is_some() && resident.unflushed.is_empty() {
            // The entry calls the saga back after `UNFLUSHED_MS`: readers see no older state than that.
            self.unflushed.push_back((commit.now, key.clone()));
        }
        resident.away.clone_from(&away);
        if intent.solo {
            self.launches.solo = Some((key.clone(), intent.attempt.clone()));
        }
        self.launches.add(key, intent.attempt, intent.reaches_outside);
        commit.act(Action::Run(Box::new(call), away.map(|away| Arc::new(away) as Arc<dyn Ahead>)));
    }

    /// Calls a saga back if it is away, and returns the moment before which nothing more may be decided about it. None: the input
    /// `Returned` must come first.
    pub(super) fn call_back(&mut self, now: Instant, key: &SagaKey) -> Option<Instant> {
        let Some(away) = self.residents.get(key).and_then(|resident| resident.away.as_ref()) else { return Some(now) };
        let (errand, attempt) = away.call_back()?;
        Some(self.take_over(now, key, errand, Some(attempt)))
    }

    /// Calls all sagas back that are away, so that each intent from now on is decided under the grants of today. Where the input
    /// `Returned` follows, the thread of the guest decides nothing more.
    pub(crate) fn call_all_back(&mut self, now: Instant) {
        let away = |(key, resident): (&SagaKey, &Resident)| resident.away.is_some().then(|| key.clone());
        let keys: Vec<SagaKey> = self.residents.iter().filter_map(away).collect();
        for key in keys {
            // This input decides nothing about the saga.
            let _ = self.call_back(now, &key);
        }
    }

    /// Takes over what was decided about a saga while it was away, and the attempt that runs, if one does. Returns the time of the last
    /// of these decisions, or now if that is later.
    pub(super) fn take_over(&mut self, now: Instant, key: &SagaKey, errand: Errand, running: Option<Attempt>) -> Instant {
        let Some(resident) = self.residents.get_mut(key) else { return now };
        let after = errand.decided.last().map_or(now, |decided| decided.at.max(now));
        for left in std::mem::take(&mut resident.launched) {
            self.launches.remove(&(key.clone(), left));
        }
        if let Some(attempt) = running {
            self.launches.add(key.clone(), attempt.clone(), false);
            resident.launched.insert(attempt);
        }
        let Errand { saga, decided, .. } = errand;
        if resident.unflushed.is_empty() && !decided.is_empty() {
            self.unflushed.push_back((now, key.clone()));
        }
        resident.away = None;
        resident.saga = saga;
        resident.unflushed.extend(decided);
        after
    }
}

/// A saga that leaves is copied: what its steps cost there must be less than what a turn of the shard costs.
const STEPS_MAX: usize = 64;

/// A saga may leave if it is small, this is its only open attempt, the attempt stays inside, and the saga waits for no event and has no
/// lock keys.
fn may_leave(resident: &Resident, intent: &Intent) -> bool {
    let is_alone = resident.launched.len() == 1 && resident.launched.contains(&intent.attempt);
    let stays_inside = !intent.reaches_outside && !intent.solo;
    // Who is next to have its lock keys is decided together with its end.
    is_alone
        && stays_inside
        && resident.saga.size() <= STEPS_MAX
        && resident.waits.is_empty()
        && resident.saga.started().lock_keys.is_empty()
}

/// A saga that leaves, with what it needs to go on.
fn errand(
    modules: &Modules,
    commit: &mut Commit<'_>,
    key: &SagaKey,
    resident: &Resident,
    grants: Arc<[Grant]>,
    failpoints: Failpoints,
) -> Errand {
    let saga = resident.saga.clone();
    let room = commit.limits.room(resident.journal_bytes);
    let context = context(modules, key, &saga.started().module, &saga.code().digest, room, commit);
    Errand {
        decided: Vec::new(),
        records_max: UNFLUSHED_MAX.saturating_sub(resident.unflushed.len()),
        until: commit.now.plus(UNFLUSHED_MS),
        context,
        grants,
        jitter: Jitter::new(commit.random()),
        is_crowded: commit.crowded(),
        metrics: Arc::clone(&commit.metrics),
        failpoints,
        saga,
    }
}

/// What a guest is told.
pub(super) fn call(key: &SagaKey, saga: &Saga, grants: Arc<[Grant]>, intent: &Intent) -> Option<GuestCall> {
    let call = saga.call(intent)?;
    let (started, code) = (saga.started(), saga.code());
    let leg = &intent.attempt.leg;
    let forward = leg.turned(Direction::Forward);
    let name = |leg: &Leg| leg.key(&key.namespace, &key.id, started.incarnation);
    let step = StepCall {
        definition: started.definition.clone(),
        name: call.step,
        element: call.element,
        attempt: intent.attempt.clone(),
        key: name(leg),
        forward_key: name(&forward),
        input: call.input,
        outputs: call.outputs,
        own_output: call.own_output,
        last_failure: call.last_failure,
        rollback_cause: call.rollback_cause,
        may_have_run: call.may_have_run,
        arrived: call.arrived,
        sent: call.sent,
    };
    Some(GuestCall {
        of: key.stream(),
        module: started.module.clone(),
        version: code.version,
        digest: code.digest,
        now: call.now,
        started_at: call.started_at,
        deadline_at: call.deadline_at,
        reaches_outside: intent.reaches_outside,
        effect_free: call.effect_free,
        grants,
        trace_context: started.trace_context.clone(),
        work: Work::Step(Box::new(step)),
    })
}
