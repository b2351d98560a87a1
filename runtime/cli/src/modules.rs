//! `amends modules`: what is deployed.

use amends_wire::module::{Grants, Module, Modules as All};
use anyhow::Result;
use clap::Args;

use super::{
    clock,
    deploy::started_by,
    exit::Exit,
    render::{
        style::{BAD, BOLD, GOOD, paint},
        text::{clean, columns, header, short},
        time::Now,
    },
    session::{Form, Session, print, print_json, say},
};
use amends_host::origin::Origin;

/// List modules and their versions, with how many sagas are in flight on each.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends modules\n  amends modules trip --json\n  amends modules trip --remove 1")]
pub(super) struct Modules {
    /// Only this one, with its grants.
    name: Option<String>,
    /// Remove this version of it: one that is not active and that no saga in flight runs on.
    #[arg(long, value_name = "VERSION", requires = "name")]
    remove: Option<u32>,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(modules: &Modules, session: &Session) -> Result<Exit> {
    let found = match &modules.name {
        Some(name) if modules.remove.is_some() => {
            let version = modules.remove.unwrap_or_default().to_string();
            let left = session.client.delete::<Module>(&["v1", "modules", name, "versions", &version])?;
            say(&format!("{name} version {version} is removed"));
            vec![left]
        }
        Some(name) => vec![session.client.get::<Module>(&["v1", "modules", name], &[])?],
        None => session.client.get::<All>(&["v1", "modules"], &[])?.modules,
    };
    if modules.form.json {
        found.iter().try_for_each(print_json)?;
        return Ok(Exit::Fine);
    }
    if found.is_empty() {
        say("no module is deployed in this namespace; deploy one with `amends deploy FILE.wasm`");
    }
    print(&table(&found, &clock::now()))?;
    if let (Some(_), [module]) = (&modules.name, found.as_slice()) {
        let active = module.versions.iter().find(|version| module.active == Some(version.version));
        print(&active.map(|version| started_by(&version.triggers)).unwrap_or_default())?;
        print(&grants(&module.grants))?;
    }
    Ok(Exit::Fine)
}

fn table(modules: &[Module], now: &Now) -> String {
    if modules.is_empty() {
        return String::new();
    }
    let mut rows = vec![header(["MODULE", "VERSION", "DIGEST", "IN FLIGHT", "DEPLOYED", "CONTAINS", ""])];
    for module in modules {
        for version in module.versions.iter().rev() {
            let standing = match (&version.quarantined, module.active == Some(version.version)) {
                (Some(why), _) => paint(BAD, format!("quarantined: {}", clean(why))),
                (None, true) => paint(GOOD, "active"),
                (None, false) => String::new(),
            };
            rows.push(vec![
                paint(BOLD, &module.name),
                format!("v{}", version.version),
                short(&version.digest).to_owned(),
                version.in_flight.to_string(),
                now.clock(version.deployed_at),
                version
                    .sagas
                    .iter()
                    .chain(&version.aggregates)
                    .chain(&version.projections)
                    .chain(&version.policies)
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", "),
                standing,
            ]);
        }
    }
    columns(&rows)
}

/// What a module may reach, one grant a line.
pub(super) fn grants(grants: &Grants) -> String {
    let http = grants.http.iter().map(|grant| {
        let private = if grant.private { "  (private addresses too)" } else { "" };
        // As people write it, and as the host names it when it is denied.
        let origin = Origin::parse(&grant.origin).map_or_else(|_| grant.origin.clone(), |origin| origin.to_string());
        format!("may reach {origin}{private}\n")
    });
    let config = grants.config.iter().map(|(key, value)| format!("config {key}={}\n", clean(value)));
    let secrets = grants.secrets.iter().map(|name| format!("secret {name}\n"));
    let all: String = http.chain(config).chain(secrets).collect();
    if all.is_empty() { "may reach nothing\n".to_owned() } else { all }
}

#[cfg(test)]
mod tests {
    use amends_wire::module::{HttpGrant, Version};
    use expect_test::expect;
    use jiff::tz::TimeZone;

    use super::*;
    use amends_host::api::{present::value::time, samples::NOON};

    #[test]
    fn versions_are_a_table_with_names_over_its_columns() {
        let version = |version, in_flight| Version {
            version,
            digest: "3f9c".repeat(16),
            bytes: 1,
            deployed_at: time(NOON),
            sagas: vec!["trip".to_owned(), "flight".to_owned()],
            triggers: Vec::new(),
            aggregates: Vec::new(),
            projections: Vec::new(),
            policies: Vec::new(),
            imports: Vec::new(),
            in_flight,
            quarantined: None,
        };
        let http = vec![HttpGrant { origin: "https://hotel.example:443".to_owned(), private: true }];
        let grants = Grants { http, ..Grants::default() };
        let (name, versions) = ("trip".to_owned(), vec![version(1, 12), version(2, 0)]);
        let trip = Module { name, active: Some(2), versions, grants, revision: "4".to_owned() };
        let now = Now { at: time(NOON), zone: TimeZone::UTC };
        let shown = table(std::slice::from_ref(&trip), &now) + &super::grants(&trip.grants);
        expect![[r#"
            MODULE  VERSION  DIGEST        IN FLIGHT  DEPLOYED  CONTAINS
            trip    v2       3f9c3f9c3f9c  0          12:00:00  trip, flight  active
            trip    v1       3f9c3f9c3f9c  12         12:00:00  trip, flight
            may reach https://hotel.example  (private addresses too)
        "#]]
        .assert_eq(&anstream::adapter::strip_str(&shown).to_string());
        assert_eq!(table(&[], &now), "", "nothing has no header");
    }
}
