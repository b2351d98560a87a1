//! Modules, their versions and grants, as `/v1/modules` answers them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Time, saga::Status};

/// The modules of a namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Modules {
    /// By name.
    pub modules: Vec<Module>,
}

/// A module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// The version on which new sagas start.
    #[schema(required)]
    pub active: Option<u32>,
    /// Oldest first.
    pub versions: Vec<Version>,
    /// Its grants.
    pub grants: Grants,
    /// The revision of its stream.
    pub revision: String,
}

/// One version of a module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// 1, 2, 3…
    pub version: u32,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// Its size.
    pub bytes: u64,
    /// When it was deployed.
    pub deployed_at: Time,
    /// Names of its sagas.
    pub sagas: Vec<String>,
    /// Which events start which of its sagas while it is active.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<Trigger>,
    /// Names of its aggregates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aggregates: Vec<String>,
    /// Names of its projections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub projections: Vec<String>,
    /// Names of its policies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// Interfaces that it imports.
    pub imports: Vec<String>,
    /// Sagas that run on it and have not ended.
    pub in_flight: u64,
    /// Why no new sagas start on it, if it is quarantined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<String>,
}

/// An event that starts a saga.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Trigger {
    /// The type of the event.
    #[schema(example = "order.placed")]
    pub event_type: String,
    /// The saga; its input is the event's data.
    pub saga: String,
}

/// The answer to a deploy or an activation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Deployed {
    /// The module's name.
    pub name: String,
    /// The version of the request.
    pub version: u32,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// The version on which new sagas start.
    #[schema(required)]
    pub active: Option<u32>,
    /// Names of its sagas.
    pub sagas: Vec<String>,
    /// Which events start which of its sagas while it is active.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<Trigger>,
    /// Names of its aggregates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aggregates: Vec<String>,
    /// Names of its projections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub projections: Vec<String>,
    /// Names of its policies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// Interfaces that it imports.
    pub imports: Vec<String>,
    /// Imports that need a grant and have none.
    pub missing_grants: Vec<MissingGrant>,
    /// Warnings about what is legal and probably a mistake.
    pub warnings: Vec<String>,
    /// What worked on the previously active version and does not work on this one.
    #[serde(default, skip_serializing_if = "Breaks::is_empty")]
    pub breaks: Breaks,
}

/// What stops working when a version becomes active. Sagas in flight are not affected: they stay on their versions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Breaks {
    /// Each with its names; at most 100.
    pub what: Vec<Break>,
    /// Whether the list may be incomplete.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
}

impl Breaks {
    /// Nothing stops working.
    pub fn is_empty(&self) -> bool {
        self.what.is_empty() && !self.is_cut
    }
}

/// One thing that stops working.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Break {
    /// The version does not have the saga: starts of it are refused.
    Saga {
        /// The saga.
        saga: String,
    },
    /// An event no longer starts the saga.
    Trigger {
        /// The type of the event.
        event_type: String,
        /// The saga that it starts now.
        saga: String,
    },
    /// The starts of a schedule are refused.
    Schedule {
        /// The schedule.
        schedule: String,
        /// The saga that it starts.
        saga: String,
        /// Why.
        why: String,
    },
}

/// An import without a grant that would make it useful.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MissingGrant {
    /// The import.
    #[schema(example = "wasi:http/outgoing-handler@0.2.3")]
    pub import: String,
    /// The command that grants it.
    pub command: String,
}

/// What a deploy would do; nothing was stored as a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// The module's name.
    pub name: String,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// The number that it would get, or has if the host has this component already.
    pub version: u32,
    /// Whether the host has this component already.
    pub deployed: bool,
    /// The version on which new sagas start now.
    #[schema(required)]
    pub active: Option<u32>,
    /// Sagas in flight, by version. They and their compensations stay on their versions.
    pub in_flight: Vec<InFlight>,
    /// Which of them could move to this version, stuck ones first; at most 100.
    #[serde(default)]
    pub moves: Vec<Move>,
    /// Whether there are more than `moves` has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moves_cut: bool,
    /// Names of its sagas.
    pub sagas: Vec<String>,
    /// Which events start which of its sagas while it is active.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<Trigger>,
    /// Names of its aggregates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aggregates: Vec<String>,
    /// Names of its projections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub projections: Vec<String>,
    /// Names of its policies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// Interfaces that it imports.
    pub imports: Vec<String>,
    /// Imports that need a grant and have none.
    pub missing_grants: Vec<MissingGrant>,
    /// Warnings about what is legal and probably a mistake.
    pub warnings: Vec<String>,
    /// What works on the active version and would not work on this one.
    #[serde(default, skip_serializing_if = "Breaks::is_empty")]
    pub breaks: Breaks,
}

/// The answer to a deploy: the result, or with `?plan=true` the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DeployAnswer {
    /// It is deployed.
    Deployed(Deployed),
    /// The plan; nothing was changed.
    Plan(Plan),
}

/// Whether a saga could move to a component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Move {
    /// The saga.
    pub id: String,
    /// The version that it runs on.
    pub version: u32,
    /// Its status.
    pub status: Status,
    /// The obstacles; empty if it could move now.
    pub obstacles: Vec<String>,
    /// The place at which its recorded input, which does not change, does not match the new schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_does_not_fit: Option<String>,
}

/// The number of sagas on a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InFlight {
    /// The version.
    pub version: u32,
    /// Sagas that have not ended.
    pub sagas: u64,
}

/// Which version to activate: `{"version":2}` or `{"previous":true}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Activate {
    /// By number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The version that was active before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<bool>,
    /// A comparison found so many streams of which the version makes another state, or none, and that is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_differences: Option<u64>,
    /// So many recorded events, or fewer, cannot be read any more, and are not needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_unreadable: Option<u64>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Versions that become active together: what one module gives up another one may take.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivateAll {
    /// One of each module, 1 to 64.
    pub modules: Vec<ModuleVersion>,
    /// Comparisons found so many streams, of all modules together, of which the versions make another state, and that is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_differences: Option<u64>,
    /// As for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_unreadable: Option<u64>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A version of a module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModuleVersion {
    /// The module.
    pub name: String,
    /// The version's number.
    pub version: u32,
}

/// What became active together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Activated {
    /// In the order in which they were named.
    pub modules: Vec<ModuleVersion>,
}

/// What a version makes of the recorded events, compared with the active one. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Comparison {
    /// The module.
    pub name: String,
    /// The version that was compared.
    pub version: u32,
    /// The active one; null if none is.
    #[schema(required)]
    pub against: Option<u32>,
    /// By name.
    pub aggregates: Vec<AggregateComparison>,
    /// Streams of which the version makes another state, or none: its activation wants this number, if it is not 0.
    pub differences: u64,
    /// Events that it cannot read; its activation wants this number or a greater one, if it is not 0.
    pub unreadable: u64,
    /// How long it took.
    pub took_ms: u64,
}

/// What a comparison found about the aggregates of a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AggregateComparison {
    /// The name.
    pub aggregate: String,
    /// How many there are.
    pub streams: u64,
    /// How many events they have together.
    pub events: u64,
    /// Both versions make the same state of so many.
    pub equal: u64,
    /// They make different ones.
    pub different: u64,
    /// The version fails on the events of so many, and the active one does not.
    pub trapped: u64,
    /// The active version fails on so many.
    pub broken: u64,
    /// Events of forms that the version does not read, counted up to 100,000 for each form.
    pub unreadable: u64,
    /// The first one, by id, of which they make different states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_different: Option<StateDifference>,
    /// The first one, by id, on which the version fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_trapped: Option<FailedFold>,
}

/// A stream of which two versions make different states.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StateDifference {
    /// The aggregate's id.
    pub id: String,
    /// How many events it has.
    pub revision: String,
    /// The first place that differs, as `reserved.O9`; empty: all of it.
    pub path: String,
    /// What the active version has there, as JSON; null: nothing.
    #[schema(required)]
    pub active: Option<String>,
    /// What the compared version has there.
    #[schema(required)]
    pub compared: Option<String>,
}

/// A stream on which a version fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailedFold {
    /// The aggregate's id.
    pub id: String,
    /// How many events it has.
    pub revision: String,
    /// What happened.
    pub why: String,
}

/// The grants of a module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Grants {
    /// Origins of outgoing HTTP.
    #[serde(default)]
    pub http: Vec<HttpGrant>,
    /// Configuration values.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// Names of the host's secrets.
    #[serde(default)]
    pub secrets: Vec<String>,
}

/// An origin that a module may call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpGrant {
    /// Scheme, host and port; `*.` only as the leftmost label.
    #[schema(example = "https://api.example.com:443")]
    pub origin: String,
    /// Whether the name may have a private address.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
}

/// The grants of a module, and the revision of its stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModuleGrants {
    /// The module.
    pub module: String,
    /// The revision of its stream.
    pub revision: String,
    /// Its grants.
    pub grants: Grants,
}

/// Replaces the grants of a module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetGrants {
    /// All grants from now on.
    pub grants: Grants,
    /// Revoke also what sagas in flight may need.
    #[serde(default)]
    pub force: bool,
    /// Act only if the module is at this revision; without it the last writer wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_revision: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
