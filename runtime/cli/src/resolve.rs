//! `amends resolve`: records the result of a step.

use amends_wire::{
    Json,
    job::{JobArgs, JobVerb},
    saga::Saga,
    verb,
};
use anyhow::{Context, Result};
use clap::Args;

use super::{
    act::{Asks, Common, Revision, act},
    exit::Exit,
    input,
    many::Many,
    session::Session,
};

/// Record the result of a step that only you know: done, not done, or undone by hand.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  amends resolve T1 charge --output '{\"receipt\":\"R7\"}'\n  amends resolve T1 reserve-hotel --undone --note 'phoned the hotel'",
    group = clap::ArgGroup::new("what").required(true).args(["output", "not_done", "undone"])
)]
pub(super) struct Resolve {
    /// The saga.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<String>,
    /// The step.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    step: Option<String>,
    /// The step is done with this output: JSON, @FILE, or - for stdin.
    #[arg(long, value_name = "JSON|@FILE|-", conflicts_with = "all")]
    output: Option<String>,
    /// The step did not happen.
    #[arg(long)]
    not_done: bool,
    /// The step was undone by hand.
    #[arg(long)]
    undone: bool,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    many: Many,
}

pub(super) fn run(resolve: &Resolve, session: &Session) -> Result<Exit> {
    let (Some(id), Some(step)) = (resolve.many.or_one(resolve.id.as_ref())?, &resolve.step) else {
        return resolve.many.act(
            session,
            JobVerb::Resolve,
            JobArgs { not_done: resolve.not_done, undone: resolve.undone, ..JobArgs::default() },
            &resolve.common,
            Asks::Never,
        );
    };
    let output = resolve.output.as_deref().map(|text| input::json("output", text)).transpose()?;
    let output = output.map(serde_json::value::RawValue::from_string).transpose().context("cannot send the output")?;
    let plan = |_: &Saga| {
        let what = match (resolve.not_done, resolve.undone) {
            (true, _) => "did not happen",
            (false, true) => "was undone by hand",
            (false, false) => "is done",
        };
        format!("record that {step} of {id} {what}")
    };
    let body = |revision: Revision| verb::ResolveRequest {
        step: step.clone(),
        output: output.clone().map(Json::from),
        not_done: resolve.not_done,
        undone: resolve.undone,
        note: resolve.common.note.clone(),
        expect_revision: Some(revision.seen()),
    };
    act(session, id, "resolve", &resolve.common, Asks::Never, plan, body)
}
