//! What may be asked about modules, and the answers.

use amends_core::{
    Definition, Trigger,
    aggregate::{self, Shape},
    event::Act,
    policy, projection,
};

use crate::{
    engine::guests::ModuleDigest,
    journal::{Grant, Quarantine},
};

/// Versions that are to become active together.
#[derive(Clone, Debug, Default)]
pub struct Activation {
    /// Which one of each module. At least one.
    pub versions: Vec<(String, Which)>,
    /// Who wants it, and why.
    pub act: Act,
    /// Forms of recorded events that may be given up by it.
    pub lost: Vec<Shape>,
}

/// A verified component, stored under its digest before the engine hears of it.
#[derive(Clone, Debug)]
pub struct Deploy {
    /// The name in the component, equal to the name in the request.
    pub module: String,
    /// SHA-256 of the bytes.
    pub digest: ModuleDigest,
    /// Their size.
    pub bytes: u64,
    /// Its sagas, validated.
    pub definitions: Vec<Definition>,
    /// Which events start which of them, validated.
    pub triggers: Vec<Trigger>,
    /// Its aggregates, validated.
    pub aggregates: Vec<aggregate::Definition>,
    /// Its projections, validated.
    pub projections: Vec<projection::Definition>,
    /// Its policies, validated.
    pub policies: Vec<policy::Definition>,
    /// Interfaces that it imports, by name.
    pub imports: Vec<String>,
    /// Make it the version that new work starts on.
    pub activate: bool,
}

/// Replaces what a module may reach.
#[derive(Clone, Debug)]
pub struct SetGrants {
    /// The module.
    pub module: String,
    /// All that it may reach from now on.
    pub grants: Vec<Grant>,
    /// Why and who, as the client says.
    pub act: Act,
    /// Whether to revoke what live sagas may need.
    pub force: Force,
    /// Only if the module is at this revision, or has these grants already.
    pub expect_revision: Option<u64>,
}

/// The answer to a deploy or an activation.
#[derive(Clone, Debug)]
pub struct ModuleAnswer {
    /// The module as it is now.
    pub module: ModuleView,
    /// The version that the request was about.
    pub version: u32,
    /// Something was recorded; the same bytes again are no new version.
    pub created: bool,
    /// The position of the last record.
    pub position: u64,
}

/// A module, its versions and what it may reach.
#[derive(Clone, Debug)]
pub struct ModuleView {
    /// Its name.
    pub name: String,
    /// The version that new work starts on.
    pub active: Option<u32>,
    /// Oldest first.
    pub versions: Vec<VersionView>,
    /// The number that the next version gets: one more than any version ever had.
    pub next_version: u32,
    /// What it may reach.
    pub grants: Vec<Grant>,
    /// The revision of its stream; grants and config are read from a numbered snapshot.
    pub revision: u64,
}

/// One version of a module.
#[derive(Clone, Debug)]
pub struct VersionView {
    /// 1, 2, 3…
    pub version: u32,
    /// SHA-256 of the component.
    pub digest: ModuleDigest,
    /// Its size.
    pub bytes: u64,
    /// When it was deployed (milliseconds since 1970).
    pub deployed_at: u64,
    /// Names of its sagas.
    pub sagas: Vec<String>,
    /// Interfaces that it imports.
    pub imports: Vec<String>,
    /// Which events start which of its sagas while it is active.
    pub triggers: Vec<Trigger>,
    /// Names of its aggregates.
    pub aggregates: Vec<String>,
    /// Names of its projections.
    pub projections: Vec<String>,
    /// Names of its policies.
    pub policies: Vec<String>,
    /// Sagas that run on it and have not ended.
    pub in_flight: u64,
    /// No new work starts on it, and why.
    pub quarantined: Option<Quarantine>,
}

/// Which version to activate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// By number.
    Version(u32),
    /// The one that was active before this one.
    Previous,
}

/// Whether to revoke what live sagas declare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// Refuse, and list them.
    No,
    /// Revoke all the same.
    Yes,
}

/// A definition that new sagas start on.
#[derive(Clone, Debug)]
pub struct Offered {
    /// The module that it belongs to.
    pub module: String,
    /// The active version.
    pub version: u32,
    /// The definition.
    pub definition: Definition,
    /// The types of the events that start it.
    pub started_by: Vec<String>,
}
