//! What is asked about modules: deploy, activate, grant, remove. Each is a record in the module's stream.

use std::collections::HashMap;

use amends_core::{
    event::Act,
    id::{Name, Namespace},
};

use super::{
    Module, Modules,
    request::{Deploy, Force, ModuleAnswer, ModuleView, SetGrants, Which},
    state::Named,
};
use crate::{
    engine::kernel::{
        commit::{Commit, Entry, Stream},
        release::Release,
        request::{Origin, Said},
        row,
    },
    engine::refusal::{Refusal, RefusalCode, Remedy},
    journal::{Actor, Fact, Grant, ModuleEvent, Quarantine, StreamHead, StreamId, StreamKind, keys},
    store::Table,
};

/// How many sagas of a module's version have not ended.
pub(crate) trait InFlight {
    /// Those of one version.
    fn of(&self, namespace: &Namespace, module: &str, version: u32) -> u64;

    /// Those of all versions.
    fn of_module(&self, namespace: &Namespace, module: &str) -> u64;
}

/// What came of a request about a module: the version that it was about, and the facts to record.
pub(crate) struct Decided {
    version: u32,
    events: Vec<ModuleEvent>,
}

impl Decided {
    /// The version that it is about.
    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    /// Something changes.
    pub(crate) fn changes(&self) -> bool {
        !self.events.is_empty()
    }
}

impl Deploy {
    /// The host does not have this component yet, as a version of its module.
    pub(crate) fn is_new(&self, modules: &Modules, namespace: &Namespace) -> bool {
        modules.get(namespace, &self.module).and_then(|module| module.version_of(&self.digest)).is_none()
    }
}

/// A component was verified and kept: a version, unless it is one already.
pub(crate) fn deploy(modules: &Modules, namespace: &Namespace, deploy: Deploy) -> Result<Decided, Refusal> {
    let Deploy { module: name, digest, bytes, definitions, triggers, aggregates, projections, policies, imports, activate } =
        deploy;
    let module = modules.get(namespace, &name);
    let known = module.and_then(|module| module.version_of(&digest));
    let version = known.unwrap_or_else(|| module.map_or(1, Module::next_version));
    let mut events = Vec::new();
    if known.is_none() {
        let description = serde_json::to_string(&definitions).map_err(|error| unrecordable("definitions", &error))?;
        events.push(ModuleEvent::Deployed { version, digest, bytes, description, imports });
        if !aggregates.is_empty() {
            let description = serde_json::to_string(&aggregates).map_err(|error| unrecordable("aggregates", &error))?;
            events.push(ModuleEvent::Aggregates { version, description });
        }
        if !projections.is_empty() {
            let description = serde_json::to_string(&projections).map_err(|error| unrecordable("projections", &error))?;
            events.push(ModuleEvent::Projections { version, description });
        }
        if !policies.is_empty() {
            let description = serde_json::to_string(&policies).map_err(|error| unrecordable("policies", &error))?;
            events.push(ModuleEvent::Policies { version, description });
        }
    }
    // Bytes that are known may have come before the host looked for triggers.
    let facts = known.and_then(|known| module?.versions.get(&known));
    if facts.map_or(&[][..], |facts| &facts.triggers) != triggers {
        events.push(ModuleEvent::Triggers { version, triggers });
    }
    if activate && module.and_then(|module| module.active) != Some(version) {
        let sagas = definitions.iter().map(|saga| (Named::Saga, saga.name.as_str()));
        let aggregates = aggregates.iter().map(|aggregate| (Named::Aggregate, aggregate.name.as_str()));
        let projections = projections.iter().map(|projection| (Named::Projection, projection.name.as_str()));
        let policies = policies.iter().map(|policy| (Named::Policy, policy.name.as_str()));
        for (kind, of_kind) in sagas.chain(aggregates).chain(projections).chain(policies) {
            if let Some(owner) = modules.owner(namespace, kind, of_kind).filter(|owner| *owner != name) {
                return Err(name_taken(namespace, kind, of_kind, owner));
            }
        }
        events.push(ModuleEvent::Activated { version, act: Act::default() });
    }
    Ok(Decided { version, events })
}

fn name_taken(namespace: &Namespace, kind: Named, name: &str, owner: &str) -> Refusal {
    let kind = kind.as_str();
    let said = format!("{kind} `{name}` belongs to module `{owner}` in namespace `{namespace}`");
    Refusal::new(RefusalCode::NameTaken, said).hint(format!("give the {kind} another name, or use another namespace"))
}

fn unrecordable(what: &str, error: &serde_json::Error) -> Refusal {
    Refusal::new(RefusalCode::InputRefused, format!("the {what} cannot be recorded: {error}"))
}

/// A version of each of these modules is to be the one that new work starts on, together: what one of them gives up another one may
/// take.
pub(crate) fn activate(
    modules: &Modules,
    namespace: &Namespace,
    asked: &[(String, Which)],
    act: &Act,
) -> Result<Vec<(String, Decided)>, Refusal> {
    let (mut decided, mut taken) = (Vec::new(), HashMap::new());
    for (name, which) in asked {
        let module = modules.get(namespace, name).ok_or_else(|| no_module(name))?;
        let version = number_of(module, name, *which)?;
        let facts = module.versions.get(&version).ok_or_else(|| no_version(name, version))?;
        let is_outside = |owner: &str| asked.iter().all(|(other, _)| other != owner);
        for (kind, of_kind) in facts.names() {
            let owner = modules.owner(namespace, kind, of_kind).filter(|owner| *owner != name && is_outside(owner));
            let owner = owner.or(taken.insert((kind, of_kind), name.as_str()));
            if let Some(owner) = owner {
                return Err(name_taken(namespace, kind, of_kind, owner));
            }
        }
        let stays = module.active == Some(version) && facts.quarantined.is_none();
        let events = if stays { Vec::new() } else { vec![ModuleEvent::Activated { version, act: act.clone() }] };
        decided.push((name.clone(), Decided { version, events }));
    }
    Ok(decided)
}

/// Which version is meant.
pub(crate) fn number_of(module: &Module, name: &str, which: Which) -> Result<u32, Refusal> {
    match which {
        Which::Version(version) => Ok(version),
        Which::Previous => previous(module, name),
    }
}

/// What a module may reach is to be replaced.
pub(crate) fn grants(
    modules: &Modules,
    in_flight: &impl InFlight,
    namespace: &Namespace,
    set: SetGrants,
) -> Result<Decided, Refusal> {
    let SetGrants { module: name, grants, act, force, expect_revision } = set;
    let module = modules.get(namespace, &name).ok_or_else(|| no_module(&name))?;
    let revoked: Vec<Grant> =
        module.grants.iter().filter(|held| !grants.iter().any(|grant| grant.same_target(held))).cloned().collect();
    let granted: Vec<Grant> = grants.into_iter().filter(|grant| !module.grants.contains(grant)).collect();
    let changes = !revoked.is_empty() || !granted.is_empty();
    // What is so already is not refused: the same change, delivered twice, gets the same answer.
    if let Some(expected) = expect_revision.filter(|expected| changes && *expected != module.revision) {
        let said = format!("module `{name}` is at revision {}, not {expected}", module.revision);
        return Err(Refusal::new(RefusalCode::RevisionChanged, said)
            .remedy("somebody changed it meanwhile; look again", Remedy::ShowModule(name)));
    }
    let live = in_flight.of_module(namespace, &name);
    if !revoked.is_empty() && live > 0 && force == Force::No {
        let said = match live {
            1 => format!("1 saga of `{name}` has not ended and may need what is revoked"),
            live => format!("{live} sagas of `{name}` have not ended and may need what is revoked"),
        };
        return Err(Refusal::new(RefusalCode::GrantInUse, said)
            .remedy("they are in", Remedy::ListSagas)
            .remedy("to revoke all the same", Remedy::RevokeByForce(name)));
    }
    let mut events: Vec<ModuleEvent> = revoked.into_iter().map(|grant| ModuleEvent::Revoked(grant, act.clone())).collect();
    events.extend(granted.into_iter().map(|grant| ModuleEvent::Granted(grant, act.clone())));
    Ok(Decided { version: module.active.unwrap_or_default(), events })
}

/// A version is to be removed that nothing needs.
pub(crate) fn remove(
    modules: &Modules,
    in_flight: &impl InFlight,
    namespace: &Namespace,
    name: &str,
    version: u32,
) -> Result<Decided, Refusal> {
    let module = modules.get(namespace, name).ok_or_else(|| no_module(name))?;
    module.versions.get(&version).ok_or_else(|| no_version(name, version))?;
    let live = in_flight.of(namespace, name, version);
    let refused = |code, why: String| Refusal::new(code, format!("{name} v{version} cannot be removed: {why}"));
    if module.active == Some(version) {
        return Err(refused(RefusalCode::VersionActive, "new sagas start on it".to_owned())
            .remedy("activate another one first", Remedy::Activate(name.to_owned())));
    }
    if live > 0 {
        return Err(refused(RefusalCode::VersionInUse, format!("{} on it", running(live)))
            .remedy("let them end, or cancel them; they are in", Remedy::ListSagas));
    }
    Ok(Decided { version, events: vec![ModuleEvent::Removed { version }] })
}

/// Records what was decided about a module, and says what it is then.
pub(crate) fn record(
    commit: &mut Commit<'_>,
    modules: &mut Modules,
    in_flight: &impl InFlight,
    origin: &Origin,
    name: &str,
    decided: Result<Decided, Refusal>,
) -> Said<ModuleAnswer> {
    let said = decided.and_then(|Decided { version, events }| {
        let created = !events.is_empty();
        if created {
            append(commit, modules, origin, name, events).map_err(|why| Refusal::new(RefusalCode::InputRefused, why))?;
        }
        let module = view(modules, in_flight, &origin.namespace, name).ok_or_else(|| no_module(name))?;
        Ok(ModuleAnswer { module, version, created, position: commit.last_position() })
    });
    Said::new(commit.last_position(), said)
}

fn append(
    commit: &mut Commit<'_>,
    modules: &mut Modules,
    origin: &Origin,
    name: &str,
    events: Vec<ModuleEvent>,
) -> Result<(), String> {
    let namespace = &origin.namespace;
    let id = StreamId { namespace: namespace.clone(), kind: StreamKind::Module, id: name.to_owned() };
    let mut stream = match modules.get(namespace, name) {
        Some(module) => Stream::goes_on(id.clone(), module.stream, module.revision),
        None => Stream::begins(StreamHead::new(id.clone(), name)),
    };
    for event in events {
        let start = if stream.start == 0 { commit.last_position() + 1 } else { stream.start };
        modules.apply(namespace, name, start, &event, commit.now)?;
        if let (ModuleEvent::Deployed { version, .. }, Ok(name)) = (&event, Name::new(name)) {
            commit.put(Table::Modules, keys::module(namespace, &name, *version), row::encode(&start));
        }
        let at = commit.now;
        commit.record(&mut stream, Entry { at, actor: origin.actor.clone(), causation: None, fact: Fact::Module(event) });
    }
    let revision = modules.get(namespace, name).map_or(0, |module| module.revision);
    commit.release_at(commit.last_position(), Release::Changed(id, revision));
    Ok(())
}

/// A version took the host down more than once: no new work starts on it until somebody activates it again.
pub(crate) fn quarantine(commit: &mut Commit<'_>, modules: &mut Modules, namespace: &Namespace, module: &str, version: u32) {
    let known = modules.get(namespace, module).and_then(|module| module.versions.get(&version));
    if known.is_none_or(|version| version.quarantined.is_some()) {
        return;
    }
    let origin = Origin { namespace: namespace.clone(), actor: Actor::Host, idempotency_key: None };
    let reason = Quarantine::HostDied;
    if let Err(error) = append(commit, modules, &origin, module, vec![ModuleEvent::Quarantined { version, reason }]) {
        tracing::error!(module, version, error, "a version cannot be quarantined");
    }
}

/// An operator retries what the host died of: new work may start on the version again.
pub(crate) fn lift_quarantine(
    commit: &mut Commit<'_>,
    modules: &mut Modules,
    origin: &Origin,
    module: &str,
    version: u32,
    act: Act,
) {
    let facts = modules.get(&origin.namespace, module);
    let lifts = facts.is_some_and(|module| {
        module.active == Some(version) && module.versions.get(&version).is_some_and(|version| version.quarantined.is_some())
    });
    if lifts && let Err(error) = append(commit, modules, origin, module, vec![ModuleEvent::Activated { version, act }]) {
        tracing::error!(module, version, error, "a quarantine cannot be lifted");
    }
}

/// The modules of a namespace.
pub(crate) fn views(modules: &Modules, in_flight: &impl InFlight, namespace: &Namespace) -> Vec<ModuleView> {
    modules.in_namespace(namespace).filter_map(|(name, _)| view(modules, in_flight, namespace, name)).collect()
}

fn view(modules: &Modules, in_flight: &impl InFlight, namespace: &Namespace, name: &str) -> Option<ModuleView> {
    let module = modules.get(namespace, name)?;
    let mut versions = module.version_views();
    for version in &mut versions {
        version.in_flight = in_flight.of(namespace, name, version.version);
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
    Err(Refusal::new(RefusalCode::VersionNotFound, said).remedy("choose one", Remedy::ShowModule(name.to_owned())))
}

fn running(live: u64) -> String {
    if live == 1 { "1 saga runs".to_owned() } else { format!("{live} sagas run") }
}

pub(crate) fn no_module(name: &str) -> Refusal {
    Refusal::new(RefusalCode::ModuleNotFound, format!("there is no module `{name}` in this namespace"))
        .remedy("deploy it first", Remedy::Deploy)
}

pub(crate) fn no_version(name: &str, version: u32) -> Refusal {
    Refusal::new(RefusalCode::VersionNotFound, format!("module `{name}` has no version {version}"))
        .remedy("its versions are in", Remedy::ShowModule(name.to_owned()))
}
