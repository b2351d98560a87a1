//! `amends activate`: which version new work starts on.

use anyhow::Result;
use clap::Args;

use super::{
    exit::Exit,
    session::{Form, Session, print, print_json},
};
use crate::api::wire::module;

/// Make a version the one that new sagas start on; those in flight stay where they are.
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
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(activate: &Activate, session: &Session) -> Result<Exit> {
    let body =
        module::Activate { version: activate.version, previous: activate.previous.then_some(true), note: activate.note.clone() };
    let active: module::Deployed = session.client.post(&["v1", "modules", &activate.name, "activate"], &body)?;
    if activate.form.json {
        print_json(&active)?;
    } else {
        print(&format!("{} version {} is active: new sagas start on it\n", active.name, active.version))?;
    }
    Ok(Exit::Fine)
}
