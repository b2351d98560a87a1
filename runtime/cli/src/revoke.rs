//! `amends revoke`: takes grants from a module.

use amends_wire::module::{Grants, ModuleGrants};
use anyhow::{Result, bail};
use clap::Args;

use super::{
    exit::Exit,
    grant, grants, modules,
    render::text,
    session::{Form, Session, confirmed, print, print_json, say},
};

/// Take grants from a module; refused while sagas in flight may need them.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  amends revoke trip --http https://hotel.example.com\n  amends revoke trip --config region --force",
    group = clap::ArgGroup::new("what").required(true).multiple(true).args(["http", "secret", "config"])
)]
pub(super) struct Revoke {
    /// The module.
    module: String,
    /// An origin.
    #[arg(long, value_name = "ORIGIN")]
    http: Vec<String>,
    /// A secret, by name.
    #[arg(long, value_name = "NAME")]
    secret: Vec<String>,
    /// A configuration value, by key.
    #[arg(long, value_name = "KEY")]
    config: Vec<String>,
    /// Revoke also what sagas in flight may need; they become stuck when they use it.
    #[arg(long)]
    force: bool,
    /// Do not ask for confirmation.
    #[arg(long, short)]
    yes: bool,
    /// The reason; recorded.
    #[arg(long)]
    note: Option<String>,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(revoke: &Revoke, session: &Session) -> Result<Exit> {
    let path = ["v1", "modules", &revoke.module, "grants"];
    take(revoke, &mut session.client.get::<ModuleGrants>(&path, &[])?.grants)?;
    if !confirmed(&question(revoke), revoke.yes)? {
        say("nothing was done");
        return Ok(Exit::Failed);
    }
    let change = |grants: &mut Grants| take(revoke, grants);
    let left = grants::change(session, &revoke.module, revoke.force, revoke.note.as_deref(), change)?;
    if revoke.form.json {
        print_json(&left)?;
    } else {
        print(&modules::grants(&left.grants))?;
    }
    Ok(Exit::Fine)
}

fn question(revoke: &Revoke) -> String {
    let what: Vec<&str> = [&revoke.http, &revoke.secret, &revoke.config].into_iter().flatten().map(String::as_str).collect();
    // Without force the host refuses to revoke what sagas in flight may need.
    let running = if revoke.force { ", also for sagas that run" } else { "" };
    text::clean(&format!("revoke {} from {}{running}?", what.join(", "), revoke.module)).into_owned()
}

fn take(revoke: &Revoke, grants: &mut Grants) -> Result<()> {
    let had = grants.http.len() + grants.secrets.len() + grants.config.len();
    let origins: Vec<String> = revoke.http.iter().map(|text| grant::spelled_out(text)).collect::<Result<_>>()?;
    grants.http.retain(|grant| !origins.contains(&grant.origin));
    grants.secrets.retain(|name| !revoke.secret.contains(name));
    grants.config.retain(|key, _| !revoke.config.contains(key));
    let asked = origins.len() + revoke.secret.len() + revoke.config.len();
    if had - (grants.http.len() + grants.secrets.len() + grants.config.len()) < asked {
        bail!("{} was not granted all of that; `amends modules {0}` shows what it may reach", revoke.module);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{Cli, Verb};

    #[test]
    fn the_question_names_what_is_revoked_and_running_sagas_only_where_they_are_touched() {
        let asked = |line: &str| match Cli::try_parse_from(line.split(' ')).unwrap().verb {
            Verb::Revoke(revoke) => question(&revoke),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            asked("amends revoke trip --http http://127.0.0.1:8430 --secret key"),
            "revoke http://127.0.0.1:8430, key from trip?"
        );
        assert_eq!(asked("amends revoke trip --config region --force"), "revoke region from trip, also for sagas that run?");
    }
}
