//! Handing attempts to the guests: what a guest is told, and the one that runs alone.

use std::collections::{HashMap, HashSet, VecDeque};

use amends_core::{
    event::{Attempt, Intent},
    id::{Direction, Leg},
};

use super::{Resident, SagaKey, Sagas};
use crate::engine::{
    guests::{GuestCall, StepCall, Work},
    kernel::{action::Action, commit::Commit},
    module::Modules,
};

/// Attempts that run, and those that wait because one must run alone.
#[derive(Debug, Default)]
pub(crate) struct Launches {
    running: HashSet<(SagaKey, Attempt)>,
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
    pub(super) fn ended(&mut self, commit: &mut Commit<'_>, modules: &Modules, key: &SagaKey, attempt: &Attempt) {
        let ended = (key.clone(), attempt.clone());
        self.launches.running.remove(&ended);
        if self.launches.solo.as_ref() == Some(&ended) {
            self.launches.solo = None;
        }
        while self.launches.held.front().is_some_and(|(_, intent)| self.launches.may_run(intent)) {
            if let Some((key, intent)) = self.launches.held.pop_front() {
                self.launch(commit, modules, key, intent);
            }
        }
    }

    /// Unless the saga has moved on meanwhile.
    fn launch(&mut self, commit: &mut Commit<'_>, modules: &Modules, key: SagaKey, intent: Intent) {
        let Some(call) = self.residents.get(&key).and_then(|resident| call(modules, &key, resident, &intent)) else { return };
        if intent.solo {
            self.launches.solo = Some((key.clone(), intent.attempt.clone()));
        }
        self.launches.running.insert((key.clone(), intent.attempt));
        commit.act(Action::Run(Box::new(call)));
    }
}

/// What a guest is told.
fn call(modules: &Modules, key: &SagaKey, resident: &Resident, intent: &Intent) -> Option<GuestCall> {
    let call = resident.saga.call(intent)?;
    let (started, code) = (resident.saga.started(), resident.saga.code());
    let leg = &intent.attempt.leg;
    let forward = leg.turned(Direction::Forward);
    let name = |leg: &Leg| leg.key(&key.namespace, &key.id, started.incarnation);
    let grants = modules.get(&key.namespace, &started.module).map(|module| module.grants_at(intent.snapshot));
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
        grants: grants.unwrap_or_default(),
        trace_context: started.trace_context.clone(),
        work: Work::Step(Box::new(step)),
    })
}
