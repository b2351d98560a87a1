//! `amends trace`: what followed from a request.

use amends_wire::trace::{Trace as Tree, TraceIdKind};
use anyhow::Result;
use clap::Args;

use super::{
    clock,
    exit::Exit,
    render,
    session::{Form, Session, print, print_json},
};

/// Show what followed from a request as a tree: commands, events, sagas and undos.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  amends trace R1                 a command or a start, by its idempotency key\n  amends trace T1                 a saga\n  amends trace customer/C1        the last command of an aggregate\n  amends trace customer/C1/2      an event of it\n  amends trace crm/e-17           a published event, as SOURCE/ID"
)]
pub(super) struct Trace {
    /// A saga, the key of a command, TYPE/ID or TYPE/ID/NUMBER of an aggregate, or SOURCE/ID of an event.
    id: String,
    /// What the id is of, where several things have it: saga, command, aggregate, event or published.
    #[arg(long = "as", value_name = "KIND", value_parser = kind)]
    kind: Option<TraceIdKind>,
    #[command(flatten)]
    form: Form,
}

fn kind(text: &str) -> Result<TraceIdKind, String> {
    TraceIdKind::named(text).ok_or_else(|| "use saga, command, aggregate, event or published".to_owned())
}

pub(super) fn run(trace: &Trace, session: &Session) -> Result<Exit> {
    let query: Vec<(&str, &str)> = trace.kind.map(|kind| ("as", kind.as_str())).into_iter().collect();
    let tree: Tree = session.client.get(&["v1", "trace", &trace.id], &query)?;
    match trace.form.json {
        true => print_json(&tree)?,
        false => print(&render::trace::tree(&tree, &clock::now()))?,
    }
    Ok(Exit::Fine)
}
