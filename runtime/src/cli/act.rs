//! What operator verbs have in common: look at the saga, say what will happen, ask if there is somebody to ask, act once.

use amends_core::view::Status;
use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::{
    exit::Exit,
    render::{style, text},
    session::{Form, Session, confirmed, print, print_json, say},
};
use crate::api::wire::{saga::Saga, verb::Acted};

/// What every verb takes.
#[derive(Args, Debug)]
pub(super) struct Common {
    /// Why; recorded with who and when.
    #[arg(long)]
    pub(super) note: Option<String>,
    /// Only if the saga is at this revision. By default, the one that is read just before.
    #[arg(long, value_name = "REVISION")]
    expect_revision: Option<u64>,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    form: Form,
}

/// Whether a verb destroys something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// It does: ask first.
    First,
    /// It does not.
    Never,
}

/// Sends a verb: `plan` says in words what it will do to the saga as it was read; `body` is given the expected revision.
pub(super) fn act<B: Serialize>(
    session: &Session,
    id: &str,
    verb: &str,
    common: &Common,
    asks: Asks,
    plan: impl Fn(&Saga) -> String,
    body: impl Fn(String) -> B,
) -> Result<Exit> {
    let saga: Saga = session.client.get(&["v1", "sagas", id], &[])?;
    say(&format!("{} {} is {} at revision {}", saga.saga, saga.id, style::status(saga.status), saga.revision));
    // An ended saga is not asked about: the host says what fits, or that it was asked before.
    if !saga.status.is_ended() {
        // The names in it are as they were typed.
        let plan = text::clean(&plan(&saga)).into_owned();
        say(&plan);
        if asks == Asks::First && !confirmed("go on?", common.yes)? {
            say("nothing was done");
            return Ok(Exit::Failed);
        }
    }
    let revision = common.expect_revision.map_or(saga.revision, |revision| revision.to_string());
    let acted: Acted = session.client.post(&["v1", "sagas", id, verb], &body(revision))?;
    if common.form.json {
        print_json(&acted)?;
    } else {
        let repeated = if acted.applied { "" } else { "  (it had been asked before; nothing changed)" };
        print(&format!("{} {}{repeated}\n", acted.id, style::status(acted.status)))?;
        if !acted.status.is_ended() && acted.status != Status::Stuck {
            say(&format!("follow it with `amends watch {}`", acted.id));
        }
    }
    Ok(Exit::Fine)
}

/// Steps whose effects stand, in words.
pub(super) fn effects(saga: &Saga) -> String {
    use amends_core::{definition::Kind, view::StepStatus};
    let stands = |status| !matches!(status, StepStatus::Pending | StepStatus::Refused | StepStatus::Compensated);
    let names: Vec<&str> = saga
        .steps
        .iter()
        .filter(|step| step.kind == Kind::Compensatable && stands(step.status))
        .map(|step| step.name.as_str())
        .collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
