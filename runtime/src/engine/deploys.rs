//! What is asked about modules: deploy, activate, grant, remove. Each is a record in the module's stream.

use std::sync::Arc;

use amends_core::{
    Input as SagaInput,
    event::Act,
    id::{Name, Namespace},
};
use bytes::Bytes;

use crate::{
    engine::{
        modules::Module,
        port::{Answer, Deploy, Force, ModuleAnswer, ModuleView, Origin, Refusal, RefusalCode, SetGrants, Which},
        release::Release,
        rows,
        shard::Shard,
        tail::{End, Entry},
    },
    journal::{Actor, Fact, Grant, ModuleEvent, StreamHead, StreamId, StreamKind, keys},
    store::Table,
};

/// What came of a request about a module: the version that it was about, and the facts to record.
struct Decided {
    version: u32,
    events: Vec<ModuleEvent>,
}

impl Shard {
    pub(crate) fn deploy(&mut self, origin: &Origin, deploy: Deploy, answer: Answer<ModuleAnswer>) {
        let module = deploy.module.clone();
        let decided = self.decide_deploy(&origin.namespace, deploy);
        self.record_module(origin, &module, decided, answer);
    }

    fn decide_deploy(&self, namespace: &Namespace, deploy: Deploy) -> Result<Decided, Refusal> {
        self.refuse_if_failed()?;
        let Deploy { module: name, digest, bytes, definitions, triggers, imports, activate } = deploy;
        let module = self.modules.get(namespace, &name);
        let known = module.and_then(|module| module.version_of(&digest));
        let version = known.unwrap_or_else(|| module.map_or(1, Module::next_version));
        let mut events = Vec::new();
        if known.is_none() {
            let description = serde_json::to_string(&definitions).map_err(|error| {
                Refusal::new(RefusalCode::InputRefused, format!("the definitions cannot be recorded: {error}"))
            })?;
            events.push(ModuleEvent::Deployed { version, digest, bytes, description, imports });
        }
        // Bytes that are known may have come before the host looked for triggers.
        let facts = known.and_then(|known| module?.versions.get(&known));
        if facts.map_or(&[][..], |facts| &facts.triggers) != triggers {
            events.push(ModuleEvent::Triggers { version, triggers });
        }
        if activate && module.and_then(|module| module.active) != Some(version) {
            let definitions: Vec<_> = definitions.into_iter().map(Arc::new).collect();
            self.refuse_taken_names(namespace, &name, &definitions)?;
            events.push(ModuleEvent::Activated { version, act: Act::default() });
        }
        Ok(Decided { version, events })
    }

    fn refuse_taken_names(
        &self,
        namespace: &Namespace,
        module: &str,
        definitions: &[Arc<amends_core::Definition>],
    ) -> Result<(), Refusal> {
        match self.modules.owner_of_any(namespace, module, definitions) {
            Some((saga, owner)) => {
                let said = format!("saga `{saga}` belongs to module `{owner}` in namespace `{namespace}`");
                Err(Refusal::new(RefusalCode::NameTaken, said).hint("give the saga another name, or use another namespace"))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn activate(&mut self, origin: &Origin, module: &str, which: Which, act: Act, answer: Answer<ModuleAnswer>) {
        let decided = self.decide_activate(&origin.namespace, module, which, act);
        self.record_module(origin, module, decided, answer);
    }

    fn decide_activate(&self, namespace: &Namespace, name: &str, which: Which, act: Act) -> Result<Decided, Refusal> {
        self.refuse_if_failed()?;
        let module = self.modules.get(namespace, name).ok_or_else(|| no_module(name))?;
        let version = match which {
            Which::Version(version) => version,
            Which::Previous => previous(module, name)?,
        };
        let facts = module.versions.get(&version).ok_or_else(|| no_version(name, version))?;
        self.refuse_taken_names(namespace, name, &facts.definitions)?;
        let lifts = facts.quarantined.is_some();
        if module.active == Some(version) && !lifts {
            return Ok(Decided { version, events: Vec::new() });
        }
        Ok(Decided { version, events: vec![ModuleEvent::Activated { version, act }] })
    }

    pub(crate) fn set_grants(&mut self, origin: &Origin, set: SetGrants, answer: Answer<ModuleAnswer>) {
        let module = set.module.clone();
        let decided = self.decide_grants(&origin.namespace, set);
        let changed = decided.as_ref().is_ok_and(|decided| !decided.events.is_empty());
        self.record_module(origin, &module, decided, answer);
        if changed {
            self.unblock(&origin.namespace, &module);
        }
    }

    fn decide_grants(&self, namespace: &Namespace, set: SetGrants) -> Result<Decided, Refusal> {
        self.refuse_if_failed()?;
        let SetGrants { module: name, grants, act, force, expect_revision } = set;
        let module = self.modules.get(namespace, &name).ok_or_else(|| no_module(&name))?;
        let revoked: Vec<Grant> =
            module.grants.iter().filter(|held| !grants.iter().any(|grant| grant.same_target(held))).cloned().collect();
        let granted: Vec<Grant> = grants.into_iter().filter(|grant| !module.grants.contains(grant)).collect();
        let changes = !revoked.is_empty() || !granted.is_empty();
        // What is so already is not refused: the same change, delivered twice, gets the same answer.
        if let Some(expected) = expect_revision.filter(|expected| changes && *expected != module.revision) {
            let said = format!("module `{name}` is at revision {}, not {expected}", module.revision);
            return Err(Refusal::new(RefusalCode::RevisionChanged, said)
                .hint(format!("somebody changed it meanwhile; look again: amends modules {name}")));
        }
        let live = self.live.of_module(namespace, &name);
        if !revoked.is_empty() && live > 0 && force == Force::No {
            let said = match live {
                1 => format!("1 saga of `{name}` has not ended and may need what is revoked"),
                live => format!("{live} sagas of `{name}` have not ended and may need what is revoked"),
            };
            return Err(Refusal::new(RefusalCode::GrantInUse, said)
                .hint(format!("they are in: amends list; to revoke all the same: amends revoke {name} … --force")));
        }
        let mut events: Vec<ModuleEvent> = revoked.into_iter().map(|grant| ModuleEvent::Revoked(grant, act.clone())).collect();
        events.extend(granted.into_iter().map(|grant| ModuleEvent::Granted(grant, act.clone())));
        Ok(Decided { version: module.active.unwrap_or_default(), events })
    }

    /// Grants changed: sagas that a denial stopped go on.
    fn unblock(&mut self, namespace: &Namespace, module: &str) {
        let mut keys = self.residents_where(|resident| resident.saga.is_denied() && resident.saga.started().module == module);
        keys.retain(|(at, _)| at == namespace);
        match rows::denied(self.store.as_ref(), namespace, module) {
            Ok(parked) => keys.extend(parked),
            Err(error) => return self.fail(error.to_string()),
        }
        for key in keys {
            if let Err(error) = self.turn(&key, Actor::Host, None, |saga, context| saga.handle(SagaInput::GrantsChanged, context))
            {
                self.lost(&key, &error);
            }
        }
    }

    /// A version took the host down more than once: no new work starts on it until somebody activates it again.
    pub(crate) fn quarantine(&mut self, namespace: &Namespace, module: &str, version: u32) {
        let known = self.modules.get(namespace, module).and_then(|module| module.versions.get(&version));
        if known.is_none_or(|version| version.quarantined.is_some()) {
            return;
        }
        let origin = Origin { namespace: namespace.clone(), actor: Actor::Host, idempotency_key: None };
        let reason = "it was executing each time the host died".to_owned();
        if let Err(error) = self.append_module(&origin, module, vec![ModuleEvent::Quarantined { version, reason }]) {
            tracing::error!(module, version, error, "a version cannot be quarantined");
        }
    }

    /// An operator retries what the host died of: new work may start on the version again.
    pub(crate) fn lift_quarantine(&mut self, origin: &Origin, module: &str, version: u32, act: Act) {
        let facts = self.modules.get(&origin.namespace, module);
        let lifts = facts.is_some_and(|module| {
            module.active == Some(version) && module.versions.get(&version).is_some_and(|version| version.quarantined.is_some())
        });
        if lifts && let Err(error) = self.append_module(origin, module, vec![ModuleEvent::Activated { version, act }]) {
            tracing::error!(module, version, error, "a quarantine cannot be lifted");
        }
    }

    pub(crate) fn remove(&mut self, origin: &Origin, module: &str, version: u32, answer: Answer<ModuleAnswer>) {
        let decided = self.decide_remove(&origin.namespace, module, version);
        self.record_module(origin, module, decided, answer);
    }

    fn decide_remove(&self, namespace: &Namespace, name: &str, version: u32) -> Result<Decided, Refusal> {
        self.refuse_if_failed()?;
        let module = self.modules.get(namespace, name).ok_or_else(|| no_module(name))?;
        module.versions.get(&version).ok_or_else(|| no_version(name, version))?;
        let live = self.live.of(namespace, name, version);
        let refused = |code, why: String| Refusal::new(code, format!("{name} v{version} cannot be removed: {why}"));
        if module.active == Some(version) {
            return Err(refused(RefusalCode::VersionActive, "new sagas start on it".to_owned())
                .hint(format!("activate another one first: amends activate {name} VERSION")));
        }
        if live > 0 {
            return Err(refused(RefusalCode::VersionInUse, format!("{} on it", running(live)))
                .hint("let them end, or cancel them; they are in: amends list"));
        }
        Ok(Decided { version, events: vec![ModuleEvent::Removed { version }] })
    }

    fn record_module(&mut self, origin: &Origin, name: &str, decided: Result<Decided, Refusal>, answer: Answer<ModuleAnswer>) {
        let said = decided.and_then(|Decided { version, events }| {
            let created = !events.is_empty();
            if created {
                self.append_module(origin, name, events).map_err(|why| Refusal::new(RefusalCode::InputRefused, why))?;
            }
            let module = self.module_view(&origin.namespace, name).ok_or_else(|| no_module(name))?;
            Ok(ModuleAnswer { module, version, created, position: self.last_position })
        });
        self.release_at(self.last_position, Release::Module(answer, said));
    }

    fn append_module(&mut self, origin: &Origin, name: &str, events: Vec<ModuleEvent>) -> Result<(), String> {
        let module = self.modules.get(&origin.namespace, name);
        let end = module.map(|module| End { stream: module.stream, version: module.revision });
        let id = || StreamId { namespace: origin.namespace.clone(), kind: StreamKind::Module, id: name.to_owned() };
        let mut tail = self.tail(end, || StreamHead::new(id(), name));
        let mut rows = Vec::new();
        for event in events {
            self.modules.apply(&origin.namespace, name, tail.stream(), &event, self.now)?;
            if let (ModuleEvent::Deployed { version, .. }, Ok(name)) = (&event, Name::new(name)) {
                let key = keys::module(&origin.namespace, &name, *version);
                rows.push(rows::put(Table::Modules, key, Bytes::copy_from_slice(&tail.stream().to_be_bytes())));
            }
            tail.push(Entry { at: self.now, actor: origin.actor.clone(), causation: None, fact: Fact::Module(event) });
        }
        self.commit(tail, rows);
        Ok(())
    }

    pub(crate) fn module_views(&self, namespace: &Namespace) -> Vec<ModuleView> {
        let names: Vec<String> = self.modules.in_namespace(namespace).map(|(name, _)| name.to_owned()).collect();
        names.iter().filter_map(|name| self.module_view(namespace, name)).collect()
    }

    fn module_view(&self, namespace: &Namespace, name: &str) -> Option<ModuleView> {
        let module = self.modules.get(namespace, name)?;
        let mut versions = module.version_views();
        for version in &mut versions {
            version.in_flight = self.live.of(namespace, name, version.version);
        }
        Some(ModuleView {
            name: name.to_owned(),
            active: module.active,
            versions,
            next_version: module.next_version(),
            grants: module.grants.to_vec(),
            revision: module.revision,
        })
    }
}

/// The version that was active before this one and is still there.
fn previous(module: &Module, name: &str) -> Result<u32, Refusal> {
    let mut others = module.previous.iter().rev().filter(|version| module.active != Some(**version));
    if let Some(version) = others.clone().find(|version| module.versions.contains_key(version)) {
        return Ok(*version);
    }
    let said = match others.next() {
        Some(removed) => format!("v{removed} of `{name}` was active before this one and was removed"),
        None => format!("no version of `{name}` was active before this one"),
    };
    Err(Refusal::new(RefusalCode::VersionNotFound, said).hint(format!("choose one: amends modules {name}")))
}

fn running(live: u64) -> String {
    if live == 1 { "1 saga runs".to_owned() } else { format!("{live} sagas run") }
}

pub(crate) fn no_module(name: &str) -> Refusal {
    Refusal::new(RefusalCode::ModuleNotFound, format!("there is no module `{name}` in this namespace"))
        .hint("deploy it first: amends deploy FILE.wasm")
}

pub(crate) fn no_version(name: &str, version: u32) -> Refusal {
    Refusal::new(RefusalCode::VersionNotFound, format!("module `{name}` has no version {version}"))
        .hint(format!("its versions are in: amends modules {name}"))
}
