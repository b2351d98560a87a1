//! `amends grant`: gives a module origins, configuration values and secrets.

use amends_wire::module::{Grants, HttpGrant, ModuleGrants};
use anyhow::Result;
use clap::Args;

use super::{
    exit::{Exit, Usage},
    grants, modules,
    session::{Form, Session, print, print_json},
};
use amends_host::origin::Origin;

/// Let a module call an origin, or read a configuration value or a secret.
///
/// Nothing is granted by default. A saga that is stuck because a grant is missing goes on by itself after the grant.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  amends grant trip --http https://hotel.example.com --http http://127.0.0.1:9000\n  amends grant trip --config region=eu",
    group = clap::ArgGroup::new("what").required(true).multiple(true).args(["http", "secret", "config"])
)]
pub(super) struct Grant {
    /// The module.
    module: String,
    /// An origin: scheme, host and port; `*.` only as the first label.
    #[arg(long, value_name = "ORIGIN")]
    http: Vec<String>,
    /// Allow these origins to have private addresses, which their names do not show.
    #[arg(long, requires = "http")]
    private: bool,
    /// The name of a secret of the host.
    #[arg(long, value_name = "NAME")]
    secret: Vec<String>,
    /// A configuration value.
    #[arg(long, value_name = "KEY=VALUE")]
    config: Vec<String>,
    /// The reason; recorded.
    #[arg(long)]
    note: Option<String>,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(grant: &Grant, session: &Session) -> Result<Exit> {
    let granted = grants::change(session, &grant.module, false, grant.note.as_deref(), |grants| add(grant, grants))?;
    if grant.form.json {
        print_json(&granted)?;
    } else {
        print(&modules::grants(&granted.grants))?;
    }
    Ok(Exit::Fine)
}

/// An origin as the host records it.
pub(super) fn spelled_out(origin: &str) -> Result<String> {
    Ok(Origin::parse(origin).map_err(|bad| Usage(bad.to_string()))?.spelled_out())
}

/// Adds one origin to the grants of a module.
pub(super) fn give_origin(session: &Session, module: &str, grant: &HttpGrant, note: &str) -> Result<ModuleGrants> {
    grants::change(session, module, false, Some(note), |grants| add_origin(&grant.origin, grant.private, grants))
}

fn add_origin(origin: &str, private: bool, grants: &mut Grants) -> Result<()> {
    let origin = spelled_out(origin)?;
    grants.http.retain(|known| known.origin != origin);
    grants.http.push(HttpGrant { origin, private });
    Ok(())
}

fn add(grant: &Grant, grants: &mut Grants) -> Result<()> {
    for origin in &grant.http {
        add_origin(origin, grant.private, grants)?;
    }
    for name in &grant.secret {
        if !grants.secrets.contains(name) {
            grants.secrets.push(name.clone());
        }
    }
    for pair in &grant.config {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| Usage(format!("`{pair}` is no configuration; write it as KEY=VALUE")))?;
        grants.config.insert(key.to_owned(), value.to_owned());
    }
    Ok(())
}
