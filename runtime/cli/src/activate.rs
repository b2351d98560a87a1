//! `amends activate`: which version new work starts on.

use amends_wire::module;
use anyhow::Result;
use clap::Args;

use super::{
    deploy::broken,
    exit::Exit,
    session::{Form, Session, confirmed, print, print_json, say},
};

/// Make a version the one that new sagas start on; those in flight stay where they are.
///
/// What the active version has and this one has not, as a saga that a schedule starts, is named first.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends activate trip 2\n  amends activate trip --previous")]
pub(super) struct Activate {
    /// The module.
    name: String,
    /// The version's number.
    #[arg(required_unless_present = "previous", conflicts_with = "previous")]
    version: Option<u32>,
    /// The version that was active before.
    #[arg(long)]
    previous: bool,
    /// Why; recorded.
    #[arg(long)]
    note: Option<String>,
    /// Do not ask, also where something would stop working.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(activate: &Activate, session: &Session) -> Result<Exit> {
    // Which version was active before only the host knows: its answer says what it broke.
    if let Some(version) = activate.version.map(|version| version.to_string()) {
        let path = ["v1", "modules", &activate.name, "versions", &version, "breaks"];
        // What stands against the activation, as a module that is not there, the activation itself says.
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
