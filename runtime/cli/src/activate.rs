//! `amends activate`: sets the version on which new sagas start.

use amends_wire::module;
use anyhow::Result;
use clap::Args;

use super::{
    deploy::broken,
    exit::Exit,
    session::{Form, Session, confirmed, print, print_json, say},
};

/// Set the version on which new sagas start; sagas in flight stay on their version.
///
/// The command first lists what would stop working, as a schedule whose saga this version does not have.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends activate trip 2\n  amends activate trip --previous")]
pub(super) struct Activate {
    /// The module.
    name: String,
    /// The version's number.
    #[arg(required_unless_present = "previous", conflicts_with = "previous")]
    version: Option<u32>,
    /// Activate the version that was active before.
    #[arg(long)]
    previous: bool,
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
    let body =
        module::Activate { version: activate.version, previous: activate.previous.then_some(true), note: activate.note.clone() };
    let active: module::Deployed = session.client.post(&["v1", "modules", &activate.name, "activate"], &body)?;
    if activate.form.json {
        print_json(&active)?;
    } else {
        print(&format!("{} version {} is active: new sagas start on it\n", active.name, active.version))?;
        if activate.previous {
            print(&broken(&active.breaks, "no longer works"))?;
        }
    }
    Ok(Exit::Fine)
}
