//! What is deployed: modules, their versions, what is active and what each may reach. The fold of the module streams.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, RwLock},
};

use amends_core::{
    Plan, Trigger,
    aggregate::{self, CommandDefinition},
    definition::Definition,
    id::Namespace,
    policy,
    projection::{self, QueryDefinition},
    value::{Instant, Payload},
};

use super::{
    request::{Offered, VersionView},
    schema,
};
use crate::{
    engine::guests::ModuleDigest,
    journal::{Grant, ModuleEvent, Quarantine, definition},
};

/// One module of a namespace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Module {
    /// The start position of its stream; 0 before its first record has a place.
    pub(crate) stream: u64,
    /// The version of its stream, and the number of the newest snapshot of grants.
    pub(crate) revision: u64,
    pub(crate) active: Option<u32>,
    /// What was active before, newest last; also versions that were removed since.
    pub(crate) previous: Vec<u32>,
    pub(crate) versions: BTreeMap<u32, Version>,
    /// The highest number that a version ever had, also one that was removed: a number never means other bytes (law 9).
    last_version: u32,
    pub(crate) grants: Arc<[Grant]>,
    /// Grants as they were from a revision on, newest last: an attempt reads the snapshot that its intent names.
    pub(crate) snapshots: Vec<(u64, Arc<[Grant]>)>,
}

/// One version of a module.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) digest: ModuleDigest,
    pub(crate) bytes: u64,
    pub(crate) deployed_at: Instant,
    pub(crate) definitions: Vec<Arc<Definition>>,
    /// What the sagas of each run on.
    plans: Vec<Arc<Plan>>,
    /// The hash of each, for the start records of its sagas.
    pub(crate) hashes: Vec<[u8; 32]>,
    /// The input's schema of each.
    schemas: Vec<schema::Kept>,
    pub(crate) imports: Vec<String>,
    /// Which events start which of its sagas while it is active.
    pub(crate) triggers: Vec<Trigger>,
    pub(crate) aggregates: Vec<Aggregate>,
    pub(crate) projections: Vec<Projection>,
    pub(crate) policies: Vec<Arc<policy::Definition>>,
    pub(crate) quarantined: Option<Quarantine>,
}

/// An aggregate of a version.
#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    pub(crate) definition: Arc<aggregate::Definition>,
    /// The schema of the data of each command.
    schemas: Vec<schema::Kept>,
}

impl Aggregate {
    fn new(definition: aggregate::Definition) -> Self {
        let schemas = vec![schema::Kept::default(); definition.commands.len()];
        Self { definition: Arc::new(definition), schemas }
    }

    /// Where the data of a command does not fit its schema, if it has one.
    pub(crate) fn misfit(&self, command: &CommandDefinition, data: &Payload) -> Option<schema::Misfit> {
        let at = self.definition.commands.iter().position(|known| known.name == command.name)?;
        command.schema.as_deref().and_then(|text| self.schemas.get(at)?.misfit(text, data))
    }
}

/// A projection of a version.
#[derive(Clone, Debug)]
pub(crate) struct Projection {
    pub(crate) definition: Arc<projection::Definition>,
    /// The schema of the parameters of each query.
    schemas: Vec<schema::Kept>,
}

impl Projection {
    pub(crate) fn new(definition: projection::Definition) -> Self {
        let schemas = vec![schema::Kept::default(); definition.queries.len()];
        Self { definition: Arc::new(definition), schemas }
    }

    /// Where the parameters of a query do not fit its schema, if it has one.
    pub(crate) fn misfit(&self, query: &QueryDefinition, parameters: &Payload) -> Option<schema::Misfit> {
        let at = self.definition.queries.iter().position(|known| known.name == query.name)?;
        query.schema.as_deref().and_then(|text| self.schemas.get(at)?.misfit(text, parameters))
    }
}

/// Definitions by the digest that they came with, for everyone who replays a saga. Those of a removed version stay: ended sagas of
/// it are still shown.
#[derive(Clone, Debug, Default)]
pub struct Definitions(Arc<RwLock<HashMap<ModuleDigest, Described>>>);

#[derive(Debug)]
struct Described {
    plans: Vec<Arc<Plan>>,
    /// Some version is this component.
    is_named: bool,
}

impl Definitions {
    /// What the sagas of this name run on in the component of this digest.
    pub fn find(&self, digest: &ModuleDigest, name: &str) -> Option<Arc<Plan>> {
        let all = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.get(digest)?.plans.iter().find(|plan| plan.definition().name == name).cloned()
    }

    /// Every digest that was deployed and not removed.
    pub fn digests(&self) -> Vec<ModuleDigest> {
        let all = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.iter().filter(|(_, described)| described.is_named).map(|(digest, _)| *digest).collect()
    }

    fn insert(&self, digest: ModuleDigest, plans: Vec<Arc<Plan>>) {
        let described = Described { plans, is_named: true };
        self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner).insert(digest, described);
    }

    fn unname(&self, digest: &ModuleDigest) {
        if let Some(described) = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner).get_mut(digest) {
            described.is_named = false;
        }
    }
}

/// Every module of every namespace.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    /// By namespace, then by name: a look-up on the way of every attempt builds no key.
    modules: BTreeMap<Namespace, BTreeMap<String, Module>>,
    /// Which module a definition's name belongs to, among the active versions.
    owners: HashMap<(Namespace, String), String>,
    /// Which module an aggregate's name belongs to, among the active versions.
    aggregate_owners: HashMap<(Namespace, String), String>,
    /// Which module a projection's name belongs to, among the active versions.
    projection_owners: HashMap<(Namespace, String), String>,
    /// Which module a policy's name belongs to, among the active versions.
    policy_owners: HashMap<(Namespace, String), String>,
    definitions: Definitions,
}

impl Modules {
    pub(crate) fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    pub(crate) fn get(&self, namespace: &Namespace, name: &str) -> Option<&Module> {
        self.modules.get(namespace)?.get(name)
    }

    pub(crate) fn in_namespace<'a>(&'a self, namespace: &'a Namespace) -> impl Iterator<Item = (&'a str, &'a Module)> {
        self.modules.get(namespace).into_iter().flatten().map(|(name, module)| (name.as_str(), module))
    }

    /// The active version that a definition's name starts on: its module, its version and itself.
    pub(crate) fn active(&self, namespace: &Namespace, definition: &str) -> Option<Active<'_>> {
        let (_, name) = self.owners.get_key_value(&(namespace.clone(), definition.to_owned()))?;
        let module = self.get(namespace, name)?;
        let number = module.active?;
        let version = module.versions.get(&number)?;
        let at = version.definitions.iter().position(|found| found.name == definition)?;
        let definition = version.definitions.get(at)?;
        let definition_hash = *version.hashes.get(at)?;
        let (plan, schema) = (version.plans.get(at)?, version.schemas.get(at)?);
        Some(Active { name, number, version, definition, plan, definition_hash, schema })
    }

    /// The module whose active version has what is called so.
    pub(crate) fn owner(&self, namespace: &Namespace, kind: Named, name: &str) -> Option<&str> {
        let owners = match kind {
            Named::Saga => &self.owners,
            Named::Aggregate => &self.aggregate_owners,
            Named::Projection => &self.projection_owners,
            Named::Policy => &self.policy_owners,
        };
        owners.get(&(namespace.clone(), name.to_owned())).map(String::as_str)
    }

    /// A version of a module, as what decides for one of its aggregates.
    pub(crate) fn aggregate_of(
        &self,
        namespace: &Namespace,
        module: &str,
        number: u32,
        name: &str,
    ) -> Option<ActiveAggregate<'_>> {
        let (module, facts) = self.modules.get(namespace)?.get_key_value(module)?;
        let version = facts.versions.get(&number)?;
        let aggregate = version.aggregates.iter().find(|known| known.definition.name == name)?;
        Some(ActiveAggregate { module, number, digest: version.digest, aggregate })
    }

    /// The active version that decides for the aggregates of a name.
    pub(crate) fn aggregate(&self, namespace: &Namespace, name: &str) -> Option<ActiveAggregate<'_>> {
        let (_, module) = self.aggregate_owners.get_key_value(&(namespace.clone(), name.to_owned()))?;
        let number = self.get(namespace, module)?.active?;
        let version = self.get(namespace, module)?.versions.get(&number)?;
        let aggregate = version.aggregates.iter().find(|known| known.definition.name == name)?;
        Some(ActiveAggregate { module, number, digest: version.digest, aggregate })
    }

    /// Names of the aggregates of a namespace.
    pub(crate) fn aggregates<'a>(&'a self, namespace: &'a Namespace) -> impl Iterator<Item = &'a str> {
        self.aggregate_owners.keys().filter(move |(at, _)| at == namespace).map(|(_, name)| name.as_str())
    }

    /// Every projection of the active versions, of all namespaces, by name in each.
    pub(crate) fn projections(&self) -> impl Iterator<Item = (&Namespace, ActiveProjection<'_>)> {
        self.projection_owners.iter().filter_map(|((namespace, name), module)| {
            let number = self.get(namespace, module)?.active?;
            let version = self.get(namespace, module)?.versions.get(&number)?;
            let projection = version.projections.iter().find(|known| known.definition.name == *name)?;
            Some((namespace, ActiveProjection { module, number, digest: version.digest, projection }))
        })
    }

    /// The active version that has the policy of a name.
    pub(crate) fn policy(&self, namespace: &Namespace, name: &str) -> Option<ActivePolicy<'_>> {
        let (_, module) = self.policy_owners.get_key_value(&(namespace.clone(), name.to_owned()))?;
        let number = self.get(namespace, module)?.active?;
        let version = self.get(namespace, module)?.versions.get(&number)?;
        let policy = version.policies.iter().find(|known| known.name == name)?;
        Some(ActivePolicy { module, number, digest: version.digest, policy })
    }

    /// Names of the policies of a namespace, by name.
    pub(crate) fn policies(&self, namespace: &Namespace) -> Vec<String> {
        let names = self.policy_owners.keys().filter(|(at, _)| at == namespace).map(|(_, name)| name.clone());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    }

    /// Names of the sagas that may be started in a namespace.
    pub(crate) fn startable<'a>(&'a self, namespace: &'a Namespace) -> impl Iterator<Item = &'a str> {
        self.owners.keys().filter(move |(at, _)| at == namespace).map(|(_, name)| name.as_str())
    }

    /// A version of some module, in any namespace, is this component.
    pub(crate) fn names(&self, digest: &ModuleDigest) -> bool {
        self.modules.values().flat_map(BTreeMap::values).any(|module| module.version_of(digest).is_some())
    }

    /// The sagas of a namespace that an event of this type starts, by name.
    pub(crate) fn started_by(&self, namespace: &Namespace, event_type: &str) -> Vec<String> {
        let active = self.in_namespace(namespace).filter_map(|(_, module)| module.versions.get(&module.active?));
        let triggers = active.flat_map(|version| &version.triggers).filter(|trigger| trigger.event_type == event_type);
        let mut sagas: Vec<String> = triggers.map(|trigger| trigger.saga.clone()).collect();
        sagas.sort_unstable();
        sagas
    }

    /// What new sagas of a namespace start on, by name.
    pub(crate) fn offered(&self, namespace: &Namespace) -> Vec<Offered> {
        let mut names: Vec<&str> = self.startable(namespace).collect();
        names.sort_unstable();
        let offered = |active: Active<'_>| Offered {
            module: active.name.to_owned(),
            version: active.number,
            definition: active.definition.as_ref().clone(),
            started_by: active.version.started_by(&active.definition.name),
        };
        names.into_iter().filter_map(|name| self.active(namespace, name).map(offered)).collect()
    }

    /// Who has which name now. Streams are folded one after the other, so that on the way two modules may have one: what came before
    /// says nothing of who has it in the end.
    fn name_owners(&mut self, namespace: &Namespace) {
        let modules = self.modules.get(namespace).into_iter().flatten();
        let active = modules.filter_map(|(name, module)| Some((name, module.versions.get(&module.active?)?)));
        let of_kind = |kind: Named| {
            let names = |(module, version): (&String, &Version)| {
                let names = version.names().filter(move |(of, _)| *of == kind);
                let owned = |(_, name): (Named, &str)| ((namespace.clone(), name.to_owned()), module.clone());
                names.map(owned).collect::<Vec<_>>()
            };
            active.clone().flat_map(names).collect::<Vec<_>>()
        };
        let [sagas, aggregates, projections, policies] = Named::ALL.map(of_kind);
        for (owners, owned) in [
            (&mut self.owners, sagas),
            (&mut self.aggregate_owners, aggregates),
            (&mut self.projection_owners, projections),
            (&mut self.policy_owners, policies),
        ] {
            owners.retain(|(at, _), _| at != namespace);
            owners.extend(owned);
        }
    }

    /// Folds one fact of a module's stream, recorded at `stream` with the version `revision`.
    pub(crate) fn apply(
        &mut self,
        namespace: &Namespace,
        name: &str,
        stream: u64,
        event: &ModuleEvent,
        at: Instant,
    ) -> Result<(), String> {
        let module = self.modules.entry(namespace.clone()).or_default().entry(name.to_owned()).or_default();
        module.stream = stream;
        module.revision += 1;
        match event {
            ModuleEvent::Deployed { version, digest, bytes, description, imports } => {
                let definitions: Vec<Definition> = serde_json::from_str(description)
                    .map_err(|error| format!("the description of {name} v{version} is unreadable: {error}"))?;
                let definitions: Vec<Arc<Definition>> = definitions.into_iter().map(Arc::new).collect();
                let plan = |definition: &Arc<Definition>| Plan::new(Arc::clone(definition), &definitions).map(Arc::new);
                let plans: Result<Vec<Arc<Plan>>, _> = definitions.iter().map(plan).collect();
                let plans = plans.map_err(|error| format!("the description of {name} v{version} is no plan: {error}"))?;
                self.definitions.insert(*digest, plans.clone());
                let (digest, bytes, imports) = (*digest, *bytes, imports.clone());
                let hashes = definitions.iter().map(|definition| definition::hash(definition)).collect();
                let schemas = vec![schema::Kept::default(); definitions.len()];
                let version_facts = Version {
                    digest,
                    bytes,
                    deployed_at: at,
                    definitions,
                    plans,
                    hashes,
                    schemas,
                    imports,
                    triggers: Vec::new(),
                    aggregates: Vec::new(),
                    projections: Vec::new(),
                    policies: Vec::new(),
                    quarantined: None,
                };
                module.versions.insert(*version, version_facts);
                module.last_version = module.last_version.max(*version);
            }
            ModuleEvent::Activated { version, .. } => {
                module.previous.extend(module.active.filter(|active| active != version));
                module.active = Some(*version);
                if let Some(facts) = module.versions.get_mut(version) {
                    facts.quarantined = None;
                }
                self.name_owners(namespace);
            }
            ModuleEvent::Granted(grant, _) => {
                let mut grants: Vec<Grant> = module.grants.iter().filter(|held| !held.same_target(grant)).cloned().collect();
                grants.push(grant.clone());
                module.snapshot(grants);
            }
            ModuleEvent::Revoked(grant, _) => {
                let grants = module.grants.iter().filter(|held| !held.same_target(grant)).cloned().collect();
                module.snapshot(grants);
            }
            ModuleEvent::Quarantined { version, reason } => {
                if let Some(facts) = module.versions.get_mut(version) {
                    facts.quarantined = Some(*reason);
                }
            }
            ModuleEvent::Triggers { version, triggers } => {
                if let Some(facts) = module.versions.get_mut(version) {
                    facts.triggers.clone_from(triggers);
                }
            }
            ModuleEvent::Aggregates { version, description } => {
                let aggregates: Vec<aggregate::Definition> = serde_json::from_str(description)
                    .map_err(|error| format!("the aggregates of {name} v{version} are unreadable: {error}"))?;
                if let Some(facts) = module.versions.get_mut(version) {
                    facts.aggregates = aggregates.into_iter().map(Aggregate::new).collect();
                }
            }
            ModuleEvent::Projections { version, description } => {
                let projections: Vec<projection::Definition> = serde_json::from_str(description)
                    .map_err(|error| format!("the projections of {name} v{version} are unreadable: {error}"))?;
                if let Some(facts) = module.versions.get_mut(version) {
                    facts.projections = projections.into_iter().map(Projection::new).collect();
                }
            }
            ModuleEvent::Policies { version, description } => {
                let policies: Vec<policy::Definition> = serde_json::from_str(description)
                    .map_err(|error| format!("the policies of {name} v{version} are unreadable: {error}"))?;
                if let Some(facts) = module.versions.get_mut(version) {
                    facts.policies = policies.into_iter().map(Arc::new).collect();
                }
            }
            ModuleEvent::Removed { version } => {
                let removed = module.versions.remove(version);
                if let Some(removed) = removed.filter(|removed| !self.names(&removed.digest)) {
                    self.definitions.unname(&removed.digest);
                }
            }
        }
        Ok(())
    }
}

/// What a name is of, which only one module of a namespace may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Named {
    Saga,
    Aggregate,
    Projection,
    Policy,
}

impl Named {
    /// All of them.
    const ALL: [Self; 4] = [Self::Saga, Self::Aggregate, Self::Projection, Self::Policy];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Saga => "saga",
            Self::Aggregate => "aggregate",
            Self::Projection => "projection",
            Self::Policy => "policy",
        }
    }
}

/// What a new saga of a definition starts on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Active<'a> {
    pub(crate) name: &'a str,
    pub(crate) number: u32,
    pub(crate) version: &'a Version,
    pub(crate) definition: &'a Arc<Definition>,
    pub(crate) plan: &'a Arc<Plan>,
    pub(crate) definition_hash: [u8; 32],
    schema: &'a schema::Kept,
}

/// What decides for the aggregates of a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ActiveAggregate<'a> {
    pub(crate) module: &'a str,
    pub(crate) number: u32,
    pub(crate) digest: ModuleDigest,
    pub(crate) aggregate: &'a Aggregate,
}

/// What builds the views of a name, and answers for them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ActiveProjection<'a> {
    pub(crate) module: &'a str,
    pub(crate) number: u32,
    pub(crate) digest: ModuleDigest,
    pub(crate) projection: &'a Projection,
}

/// What reacts for the policy of a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ActivePolicy<'a> {
    pub(crate) module: &'a str,
    pub(crate) number: u32,
    pub(crate) digest: ModuleDigest,
    pub(crate) policy: &'a Arc<policy::Definition>,
}

impl Active<'_> {
    /// Where an input does not fit the definition's schema, if it has one.
    pub(crate) fn misfit(&self, input: &Payload) -> Option<schema::Misfit> {
        self.definition.schema.as_deref().and_then(|text| self.schema.misfit(text, input))
    }
}

impl Module {
    fn snapshot(&mut self, grants: Vec<Grant>) {
        self.grants = grants.into();
        self.snapshots.push((self.revision, self.grants.clone()));
    }

    /// The grants of a numbered snapshot; an attempt's intent names it.
    pub(crate) fn grants_at(&self, snapshot: u64) -> Arc<[Grant]> {
        let at = self.snapshots.iter().rev().find(|(revision, _)| *revision <= snapshot);
        at.map(|(_, grants)| grants.clone()).unwrap_or_default()
    }

    /// The module may reach outside over HTTP.
    pub(crate) fn may_reach_outside(&self) -> bool {
        self.grants.iter().any(|grant| matches!(grant, Grant::Http { .. }))
    }

    /// The number that the next version gets.
    pub(crate) fn next_version(&self) -> u32 {
        self.last_version + 1
    }

    /// The version of this digest.
    pub(crate) fn version_of(&self, digest: &ModuleDigest) -> Option<u32> {
        self.versions.iter().find(|(_, version)| version.digest == *digest).map(|(number, _)| *number)
    }

    /// As the API shows its versions; in-flight counts are the reader's to fill in.
    pub(crate) fn version_views(&self) -> Vec<VersionView> {
        self.versions
            .iter()
            .map(|(number, version)| VersionView {
                version: *number,
                digest: version.digest,
                bytes: version.bytes,
                deployed_at: version.deployed_at.0,
                sagas: version.definitions.iter().map(|definition| definition.name.clone()).collect(),
                imports: version.imports.clone(),
                triggers: version.triggers.clone(),
                aggregates: version.aggregates.iter().map(|known| known.definition.name.clone()).collect(),
                projections: version.projections.iter().map(|known| known.definition.name.clone()).collect(),
                policies: version.policies.iter().map(|policy| policy.name.clone()).collect(),
                in_flight: 0,
                quarantined: version.quarantined,
            })
            .collect()
    }
}

impl Version {
    /// What only this module of its namespace may have, while it is active.
    pub(crate) fn names(&self) -> impl Iterator<Item = (Named, &str)> {
        let sagas = self.definitions.iter().map(|saga| (Named::Saga, saga.name.as_str()));
        let aggregates = self.aggregates.iter().map(|known| (Named::Aggregate, known.definition.name.as_str()));
        let projections = self.projections.iter().map(|known| (Named::Projection, known.definition.name.as_str()));
        let policies = self.policies.iter().map(|policy| (Named::Policy, policy.name.as_str()));
        sagas.chain(aggregates).chain(projections).chain(policies)
    }

    /// What the sagas of this name run on in this version, and the hash of their definition.
    pub(crate) fn offers(&self, definition: &str) -> Option<(Arc<Plan>, [u8; 32])> {
        let at = self.definitions.iter().position(|found| found.name == definition)?;
        Some((Arc::clone(self.plans.get(at)?), *self.hashes.get(at)?))
    }

    /// The types of the events that start a saga of this name.
    fn started_by(&self, saga: &str) -> Vec<String> {
        self.triggers.iter().filter(|trigger| trigger.saga == saga).map(|trigger| trigger.event_type.clone()).collect()
    }

    /// The component imports outgoing HTTP: without that no grant makes an attempt effectful.
    pub(crate) fn imports_http(&self) -> bool {
        self.imports.iter().any(|import| import.starts_with("wasi:http/outgoing-handler"))
    }
}
