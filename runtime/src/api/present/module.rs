//! Modules, versions and grants as the wire says them, and back.

use amends_core::Trigger;
use amends_wire::{Time, module};

use crate::{
    engine::port::{self, ModuleView, Moves, VersionView},
    journal::Grant,
    service::verify::Verified,
};

/// A module.
pub fn module(view: &ModuleView) -> module::Module {
    module::Module {
        name: view.name.clone(),
        active: view.active,
        versions: view.versions.iter().map(version).collect(),
        grants: grants(&view.grants),
        revision: view.revision.to_string(),
    }
}

/// What a module may reach.
pub fn module_grants(view: &ModuleView) -> module::ModuleGrants {
    module::ModuleGrants { module: view.name.clone(), revision: view.revision.to_string(), grants: grants(&view.grants) }
}

/// The answer to a deploy or an activation of `version`.
pub fn deployed(view: &ModuleView, version: u32, warnings: Vec<String>) -> Option<module::Deployed> {
    let about = view.versions.iter().find(|candidate| candidate.version == version)?;
    Some(module::Deployed {
        name: view.name.clone(),
        version,
        digest: hex::encode(about.digest),
        active: view.active,
        sagas: about.sagas.clone(),
        triggers: triggers(&about.triggers),
        imports: about.imports.clone(),
        missing_grants: missing_grants(&view.name, &about.imports, &view.grants),
        warnings,
        breaks: module::Breaks::default(),
    })
}

/// What a deploy of these bytes would do to a module, or to a namespace that has none of this name.
pub fn plan(verified: &Verified, module: Option<&ModuleView>, moves: &Moves, breaks: module::Breaks) -> module::Plan {
    let versions = module.map_or(&[][..], |module| &module.versions);
    let same = versions.iter().find(|version| version.digest == verified.digest);
    let next = module.map_or(1, |module| module.next_version);
    module::Plan {
        name: verified.module.clone(),
        digest: hex::encode(verified.digest),
        version: same.map_or(next, |version| version.version),
        deployed: same.is_some(),
        active: module.and_then(|module| module.active),
        in_flight: versions
            .iter()
            .filter(|version| version.in_flight > 0)
            .map(|version| module::InFlight { version: version.version, sagas: version.in_flight })
            .collect(),
        moves: moves.sagas.iter().map(moved).collect(),
        moves_cut: moves.is_cut,
        sagas: verified.definitions.iter().map(|definition| definition.name.clone()).collect(),
        triggers: triggers(&verified.triggers),
        imports: verified.imports.clone(),
        missing_grants: missing_grants(&verified.module, &verified.imports, module.map_or(&[], |module| &module.grants)),
        warnings: verified.warnings.clone(),
        breaks,
    }
}

fn moved(port::Move { id, version, status, obstacles, misfit }: &port::Move) -> module::Move {
    module::Move {
        id: id.as_str().to_owned(),
        version: *version,
        status: super::value::status(*status),
        obstacles: obstacles.clone(),
        input_does_not_fit: misfit.clone(),
    }
}

/// Imports that reach nothing as long as nothing of their kind is granted. Without a host nothing is.
pub fn missing_grants(module: &str, imports: &[String], grants: &[Grant]) -> Vec<module::MissingGrant> {
    imports
        .iter()
        .filter_map(|import| {
            let interface = import.split('@').next().unwrap_or(import);
            let (granted, flag) = match interface {
                "wasi:http/outgoing-handler" => (grants.iter().any(|grant| matches!(grant, Grant::Http { .. })), "--http ORIGIN"),
                "amends:module/config" => {
                    (grants.iter().any(|grant| matches!(grant, Grant::Config { .. })), "--config KEY=VALUE")
                }
                "amends:module/secrets" => (grants.iter().any(|grant| matches!(grant, Grant::Secret { .. })), "--secret NAME"),
                _ => return None,
            };
            let command = format!("amends grant {module} {flag}");
            (!granted).then(|| module::MissingGrant { import: import.clone(), command })
        })
        .collect()
}

fn version(view: &VersionView) -> module::Version {
    module::Version {
        version: view.version,
        digest: hex::encode(view.digest),
        bytes: view.bytes,
        deployed_at: Time::from_ms(view.deployed_at),
        sagas: view.sagas.clone(),
        triggers: triggers(&view.triggers),
        imports: view.imports.clone(),
        in_flight: view.in_flight,
        quarantined: view.quarantined.clone(),
    }
}

fn triggers(triggers: &[Trigger]) -> Vec<module::Trigger> {
    let trigger = |Trigger { saga, event_type }: &Trigger| module::Trigger { event_type: event_type.clone(), saga: saga.clone() };
    triggers.iter().map(trigger).collect()
}

fn grants(grants: &[Grant]) -> module::Grants {
    let mut shown = module::Grants::default();
    for grant in grants {
        match grant {
            Grant::Http { origin, private } => {
                shown.http.push(module::HttpGrant { origin: origin.clone(), private: *private });
            }
            Grant::Config { key, value } => {
                shown.config.insert(key.clone(), value.clone());
            }
            Grant::Secret { name } => shown.secrets.push(name.clone()),
        }
    }
    shown
}
