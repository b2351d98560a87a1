//! `amends show`: one saga as a tree.

use amends_wire::saga::Saga;
use anyhow::Result;
use clap::Args;

use super::{
    clock,
    exit::Exit,
    render::tree,
    session::{Form, Session, print, print_json},
};

/// Show a saga as a tree: steps, attempts, failures, compensations, waits.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends show T1")]
pub(super) struct Show {
    /// The saga.
    id: String,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(show: &Show, session: &Session) -> Result<Exit> {
    let saga: Saga = session.client.get(&["v1", "sagas", &show.id], &[])?;
    if show.form.json {
        print_json(&saga)?;
    } else {
        print(&tree::tree(&saga, &clock::as_of(saga.as_of)))?;
    }
    Ok(Exit::Fine)
}
