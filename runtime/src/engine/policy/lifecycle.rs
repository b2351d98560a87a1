//! Which policies there are, and what operators do with them.

use std::collections::HashSet;

use amends_core::{
    id::Namespace,
    policy::{PolicyEvent, StartAt},
};

use super::{
    Policies, PolicyKey,
    handling::{Code, Handling},
    request::{PolicyRequest, PolicyStatus, PolicyVerb, PolicyView},
    rows::{self, ParkedRow},
};
use crate::{
    engine::{
        kernel::{
            Kernel,
            answers::{self, Scope},
            commit::Commit,
            fingerprint::{Fingerprint, Parts},
            reads::{Reads, Unready},
            request::{Origin, Said},
        },
        module::{ActivePolicy, Modules},
        refusal::{Refusal, RefusalCode, nearest},
    },
    journal::Actor,
    store::Position,
};

impl Policies {
    /// Versions became active: policies begin, go on with other code, or have none any more. What was decided before is in the journal
    /// up to here.
    pub(crate) fn reconcile(&mut self, commit: &mut Commit<'_>, modules: &Modules, namespace: &Namespace) {
        let here = commit.last_position();
        for name in modules.policies(namespace) {
            let Some(active) = modules.policy(namespace, &name) else { continue };
            let key = PolicyKey::new(namespace, &name);
            let handling = self.handlings.entry(key.clone()).or_default();
            install(commit, &key, handling, &active, here);
        }
        let is_gone = |(key, handling): &(&PolicyKey, &mut Handling)| {
            key.namespace == *namespace && handling.code.is_some() && modules.policy(namespace, &key.name).is_none()
        };
        for (key, handling) in self.handlings.iter_mut().filter(is_gone) {
            handling.record(commit, key, PolicyEvent::Withdrawn, Actor::Host);
            (handling.code, handling.is_stale) = (None, true);
        }
        self.follow(commit.followed_mut(), namespace);
        self.let_all_go_on(namespace);
    }

    /// From here on it is told which of the events that are recorded are for policies of a namespace.
    pub(super) fn follow(&self, followed: &mut crate::engine::kernel::followed::Followed, namespace: &Namespace) {
        let codes = self.handlings.iter().filter(|(key, _)| key.namespace == *namespace);
        let codes = codes.filter_map(|(_, handling)| handling.code.as_ref());
        let types: HashSet<String> =
            codes.flat_map(|code| &code.definition.subscriptions).map(|subscription| subscription.event_type.clone()).collect();
        followed.set(namespace, types);
    }

    /// Those of a namespace may go on, if there is something for them.
    pub(super) fn let_all_go_on(&mut self, namespace: &Namespace) {
        let keys: Vec<PolicyKey> = self.handlings.keys().filter(|key| key.namespace == *namespace).cloned().collect();
        keys.iter().for_each(|key| self.let_go_on(key));
    }

    /// An operator does something with a policy.
    pub(crate) fn act(
        &mut self,
        mut reads: Reads<'_>,
        origin: &Origin,
        request: &PolicyRequest,
    ) -> Result<Said<PolicyView>, Unready> {
        let PolicyRequest { name, verb, act } = request;
        let key = PolicyKey::new(&origin.namespace, name);
        if !self.handlings.contains_key(&key) {
            return Ok(Said::refused(self.no_policy(&key)));
        }
        let asked = fingerprint(request);
        let answer = origin.idempotency_key.as_ref().map(|name| answers::key(&key.namespace, Scope::Verb, name));
        let first = answer.as_ref().map_or(Ok(Ok(None)), |answer| answers::first::<Position>(&mut reads, answer, &asked));
        let letter = match verb {
            PolicyVerb::Drop { key: of, position } => rows::parked_at(&mut reads, &key, of, *position),
            PolicyVerb::Pause | PolicyVerb::Resume | PolicyVerb::Reset(_) | PolicyVerb::Redrive { .. } => Ok(None),
        };
        let (first, letter) = (first?, letter?);
        let mut commit = reads.done()?;
        let Some(handling) = self.handlings.get_mut(&key) else { return Ok(Said::refused(self.no_policy(&key))) };
        let letter = letter.filter(|row| row.incarnation == handling.stands.incarnation);
        let facts = match first {
            Ok(Some(_)) => Ok(Vec::new()),
            Ok(None) => facts(handling, &commit, verb, act, letter.is_some()),
            Err(refusal) => Err(refusal),
        };
        let facts = match facts {
            Ok(facts) => facts,
            Err(refusal) => return Ok(Said::new(commit.last_position(), Err(refusal))),
        };
        for fact in &facts {
            handling.record(&mut commit, &key, fact.clone(), origin.actor.clone());
            follow_up(handling, &mut commit, &key, fact, letter.as_ref());
        }
        let position = commit.last_position();
        if let Some(answer) = answer.filter(|_| !facts.is_empty()) {
            answers::keep(&mut commit, answer, asked, &position, None, position);
        }
        self.let_go_on(&key);
        let view = self.handlings.get(&key).map(|handling| view(&key, handling, position));
        Ok(Said::new(position, view.ok_or_else(|| self.no_policy(&key))))
    }

    /// How the policies of a namespace stand, by name.
    pub(crate) fn views(&self, kernel: &Kernel, namespace: &Namespace) -> Vec<PolicyView> {
        let of_namespace = self.handlings.iter().filter(|(key, _)| key.namespace == *namespace);
        of_namespace.map(|(key, handling)| view(key, handling, kernel.last_position())).collect()
    }

    /// How one stands.
    pub(crate) fn view(&self, kernel: &Kernel, namespace: &Namespace, name: &str) -> Result<PolicyView, Refusal> {
        let key = PolicyKey::new(namespace, name);
        let handling = self.handlings.get(&key).ok_or_else(|| self.no_policy(&key))?;
        Ok(view(&key, handling, kernel.last_position()))
    }

    fn no_policy(&self, key: &PolicyKey) -> Refusal {
        let PolicyKey { namespace, name } = key;
        let refusal = Refusal::new(RefusalCode::NoSuchPolicy, format!("there is no policy `{name}` in namespace `{namespace}`"));
        let names = || self.handlings.keys().filter(|known| known.namespace == *namespace).map(|known| known.name.as_str());
        match (nearest(name, names()), names().next()) {
            (Some(name), _) => refusal.hint(format!("did you mean `{name}`?")),
            (None, Some(_)) => refusal.hint(format!("there are: {}", names().collect::<Vec<_>>().join(", "))),
            (None, None) => refusal.hint("deploy a module that has one"),
        }
    }
}

/// What a verb that is sent again under the same key must be equal in: the policy, the verb with all that it says, and the note.
fn fingerprint(request: &PolicyRequest) -> Fingerprint {
    let PolicyRequest { name, verb, act } = request;
    let parts = Parts::default().part("policy").part(name);
    let parts = match verb {
        PolicyVerb::Pause => parts.part("pause"),
        PolicyVerb::Resume => parts.part("resume"),
        PolicyVerb::Reset(None) => parts.part("reset to now"),
        PolicyVerb::Reset(Some(from)) => parts.part("reset").part(from.to_be_bytes()),
        PolicyVerb::Redrive { key: None } => parts.part("redrive all"),
        PolicyVerb::Redrive { key: Some(key) } => parts.part("redrive").part(key),
        PolicyVerb::Drop { key, position } => parts.part("drop").part(key).part(position.to_be_bytes()),
    };
    parts.part(&act.note).done()
}

/// A policy begins, or goes on with the code of another version. `here`: up to there the journal was before it.
fn install(commit: &mut Commit<'_>, key: &PolicyKey, handling: &mut Handling, active: &ActivePolicy<'_>, here: Position) {
    let ActivePolicy { module, number, digest, policy } = *active;
    let is_new = handling.stands.facts == 0;
    let stands = &handling.stands;
    let is_as_before = stands.is_installed && stands.module == *module && stands.module_version == number;
    handling.code = Some(Code { module: module.to_owned(), version: number, digest, definition: policy.clone() });
    if is_as_before {
        return;
    }
    let from = match policy.start {
        StartAt::Now => here,
        StartAt::Beginning => 0,
    };
    let (incarnation, from, replay_to) =
        if is_new { (1, from, here) } else { (stands.incarnation, stands.from, stands.replay_to) };
    let (module, module_version) = (module.to_owned(), number);
    let installed = PolicyEvent::Installed { module, module_version, digest, incarnation, from, replay_to };
    handling.record(commit, key, installed, Actor::Host);
    if is_new {
        handling.cursor = from;
        rows::put_cursor(commit, key, from);
    }
    // It may take other events, and order them otherwise: what was read is read again.
    handling.is_stale = true;
}

/// Keys that are redriven by one request.
const REDRIVEN_MAX: usize = 1_000;

/// What is recorded of what an operator wants.
fn facts(
    handling: &Handling,
    kernel: &Kernel,
    verb: &PolicyVerb,
    act: &amends_core::event::Act,
    is_there: bool,
) -> Result<Vec<PolicyEvent>, Refusal> {
    let stands = &handling.stands;
    let misfit = |said: &str| Refusal::new(RefusalCode::VerbDoesNotFit, said.to_owned());
    let act = act.clone();
    Ok(match verb {
        PolicyVerb::Pause if stands.is_paused => Vec::new(),
        PolicyVerb::Pause => vec![PolicyEvent::Paused(act)],
        PolicyVerb::Resume if !stands.is_paused && stands.stopped.is_none() => Vec::new(),
        PolicyVerb::Resume => vec![PolicyEvent::Resumed(act)],
        PolicyVerb::Reset(from) => {
            let last = kernel.last_position();
            if let Some(from) = from.filter(|from| *from > last) {
                return Err(misfit(&format!("the journal has no position {from}: its last one is {last}")));
            }
            let (incarnation, from) = (stands.incarnation + 1, from.unwrap_or(last));
            vec![PolicyEvent::Reset { incarnation, from, replay_to: last, act }]
        }
        PolicyVerb::Redrive { key: Some(key) } if handling.waiting.of(key) == 0 => {
            let known = key.escape_debug();
            return Err(
                misfit(&format!("nothing waits with the key `{known}`")).hint("list the letters of the policy to see what waits")
            );
        }
        PolicyVerb::Redrive { key: Some(key) } => vec![PolicyEvent::Redriven { key: key.clone(), act }],
        PolicyVerb::Redrive { key: None } => {
            let for_operator = |key: &&String| handling.waiting.of(key) > handling.kept.of(key);
            let is_tried = |key: &&String| handling.drains.contains_key(*key);
            let keys = handling.waiting.keys().filter(for_operator).filter(|key| !is_tried(key)).take(REDRIVEN_MAX);
            keys.map(|key| PolicyEvent::Redriven { key: key.clone(), act: act.clone() }).collect()
        }
        PolicyVerb::Drop { key, position } if !is_there => {
            let key = key.escape_debug();
            return Err(misfit(&format!("nothing waits at {position} with the key `{key}`"))
                .hint("list the letters of the policy to see what waits"));
        }
        PolicyVerb::Drop { key, .. } if handling.drains.contains_key(key) => {
            return Err(misfit("what waits with this key is being tried again").hint("look again in a moment"));
        }
        PolicyVerb::Drop { key, position } => {
            vec![PolicyEvent::Dropped { key: key.clone(), position: *position, act }]
        }
    })
}

/// What changes in memory and in rows with a fact.
fn follow_up(handling: &mut Handling, commit: &mut Commit<'_>, key: &PolicyKey, fact: &PolicyEvent, letter: Option<&ParkedRow>) {
    match fact {
        PolicyEvent::Reset { from, .. } => {
            for ahead in std::mem::take(&mut handling.ahead) {
                rows::delete_ahead(commit, key, ahead);
            }
            handling.begin_anew(*from);
            rows::put_cursor(commit, key, *from);
        }
        PolicyEvent::Redriven { key: of, .. } => handling.drain(commit, key, of),
        PolicyEvent::Dropped { key: of, position, .. } => {
            if let Some(row) = letter {
                handling.dropped(commit, key, of, *position, row);
            }
        }
        PolicyEvent::Installed { .. }
        | PolicyEvent::Withdrawn
        | PolicyEvent::Paused(_)
        | PolicyEvent::Resumed(_)
        | PolicyEvent::Stopped { .. }
        | PolicyEvent::Parked { .. }
        | PolicyEvent::Cleared { .. }
        | PolicyEvent::Kept { .. }
        | PolicyEvent::Dead { .. }
        | PolicyEvent::HostDied { .. } => {}
    }
}

fn view(key: &PolicyKey, handling: &Handling, position: Position) -> PolicyView {
    let stands = &handling.stands;
    let status = match (&stands.stopped, stands.is_installed, stands.is_paused) {
        (_, false, _) => PolicyStatus::Withdrawn,
        (Some(stop), true, _) => PolicyStatus::Stopped { at: stop.at, failure: stop.failure.clone(), since: stop.since },
        (None, true, true) => PolicyStatus::Paused,
        (None, true, false) => PolicyStatus::Runs,
    };
    let definition = handling.code.as_ref().map(|code| &code.definition);
    let takes = definition.into_iter().flat_map(|definition| &definition.subscriptions);
    PolicyView {
        name: key.name.clone(),
        module: stands.module.clone(),
        version: stands.module_version,
        incarnation: stands.incarnation,
        status,
        takes: takes.map(|subscription| subscription.event_type.clone()).collect(),
        keeps_state: definition.is_some_and(|definition| definition.state.is_some()),
        cursor: handling.cursor,
        replay_to: stands.replay_to,
        active: handling.calls,
        failing: handling.failing(),
        parked: stands.parked.len(),
        parked_since: stands.parked.values().map(|parked| parked.since).min(),
        waiting: handling.waiting.total(),
        position,
    }
}
