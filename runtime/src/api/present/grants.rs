//! What a component imports and nobody granted.

use amends_wire::module::MissingGrant;

use crate::journal::Grant;

/// Imports that reach nothing as long as nothing of their kind is granted. Without a host nothing is.
pub fn missing(module: &str, imports: &[String], grants: &[Grant]) -> Vec<MissingGrant> {
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
            (!granted).then(|| MissingGrant { import: import.clone(), command })
        })
        .collect()
}
