//! `amends activate`: sets the version on which new sagas start.

use amends_wire::module::{self, ActivateAll, Activated, ModuleVersion};
use anyhow::Result;
use clap::Args;

use super::{
    deploy::{broken, uses},
    exit::{Exit, Usage},
    session::{Form, Session, confirmed, print, print_json, say},
};

/// Set the version on which new sagas start; sagas in flight stay on their version.
///
/// The command first lists what would stop working, as a schedule whose saga this version does not have.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  amends activate trip 2\n  amends activate trip --previous\n  amends activate credit 3 --with billing=2"
)]
pub(super) struct Activate {
    /// The module.
    name: String,
    /// The version's number.
    #[arg(required_unless_present = "previous", conflicts_with = "previous")]
    version: Option<u32>,
    /// Activate the version that was active before.
    #[arg(long)]
    previous: bool,
    /// Activate a version of another module in the same step: what one module gives up the other one may take.
    #[arg(long, value_name = "NAME=VERSION", conflicts_with = "previous")]
    with: Vec<String>,
    /// `deploy --verify` found so many streams of which the version makes another state, and that is meant.
    #[arg(long, value_name = "NUMBER")]
    accept_differences: Option<u64>,
    /// The version cannot read so many recorded events, or fewer, and they are not needed.
    #[arg(long, value_name = "NUMBER")]
    accept_unreadable: Option<u64>,
    /// The reason; recorded.
    #[arg(long)]
    note: Option<String>,
    /// Do not ask for confirmation, also if something would stop working.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(activate: &Activate, session: &Session) -> Result<Exit> {
    // Only the host knows which version was active before: its answer lists what stopped working.
    if let Some(version) = activate.version.map(|version| version.to_string()) {
        let path = ["v1", "modules", &activate.name, "versions", &version, "breaks"];
        // Obstacles of the activation, as an unknown module, are in the answer to the activation itself.
        let breaks = session.client.get::<module::Breaks>(&path, &[]).unwrap_or_default();
        if !breaks.is_empty() {
            say(broken(&breaks, "would stop working").trim_end());
            if !confirmed("go on?", activate.yes)? {
                say("nothing was done");
                return Ok(Exit::Failed);
            }
        }
    }
    if let (false, Some(version)) = (activate.with.is_empty(), activate.version) {
        return together(activate, version, session);
    }
    let body = module::Activate {
        version: activate.version,
        previous: activate.previous.then_some(true),
        accept_differences: activate.accept_differences,
        accept_unreadable: activate.accept_unreadable,
        note: activate.note.clone(),
    };
    let active: module::Deployed = session.client.post(&["v1", "modules", &activate.name, "activate"], &body)?;
    if activate.form.json {
        print_json(&active)?;
    } else {
        let uses = uses(&active.sagas, &active.aggregates, &active.policies, "it");
        print(&format!("{} version {} is active: {uses}\n", active.name, active.version))?;
        if activate.previous {
            print(&broken(&active.breaks, "no longer works"))?;
        }
    }
    Ok(Exit::Fine)
}

/// Several modules in one step.
fn together(activate: &Activate, version: u32, session: &Session) -> Result<Exit> {
    let mut modules = vec![ModuleVersion { name: activate.name.clone(), version }];
    for text in &activate.with {
        let named = text.split_once('=').and_then(|(name, version)| Some((name, version.parse().ok()?)));
        let (name, version) =
            named.ok_or_else(|| Usage(format!("`{}` is no version of a module; write it as billing=2", text.escape_debug())))?;
        modules.push(ModuleVersion { name: name.to_owned(), version });
    }
    let body = ActivateAll {
        modules,
        accept_differences: activate.accept_differences,
        accept_unreadable: activate.accept_unreadable,
        note: activate.note.clone(),
    };
    let active: Activated = session.client.post(&["v1", "activate"], &body)?;
    if activate.form.json {
        print_json(&active)?;
    } else {
        let lines = active.modules.iter().map(|module| format!("{} version {} is active\n", module.name, module.version));
        print(&lines.collect::<String>())?;
    }
    Ok(Exit::Fine)
}
