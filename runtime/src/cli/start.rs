//! `amends start`: starts a saga, and waits for it if asked to.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use http::StatusCode;

use super::{
    clock,
    exit::Exit,
    input,
    render::tree,
    session::{Form, Session, print, print_json, say},
};
use crate::{api::wire::saga::Saga, client::Write};

/// The host waits at most this long in one request; longer waits are several.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// Start a saga. With --wait, its outcome is printed, and is the exit code.
///
/// The same id, saga and input again is the same saga: it is safe to repeat.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  amends start trip --id T1 --input '{\"flight\":\"F100\"}' --wait\n  amends start order --input @order.json --wait=2m",
    after_long_help = format!("Example:\n  amends start trip --id T1 --input '{{\"flight\":\"F100\"}}' --wait\n  amends start order --input @order.json --wait=2m\n\n{}", super::exit::HELP)
)]
pub(super) struct Start {
    /// The saga's definition.
    saga: String,
    /// The business id; minted when left out.
    #[arg(long)]
    id: Option<String>,
    /// The input: JSON, a file as @FILE, or - for stdin.
    #[arg(long, default_value = "{}", value_name = "JSON|@FILE|-")]
    input: String,
    /// Wait until it has ended or is stuck, at most so long.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "30s", value_parser = input::duration)]
    wait: Option<Duration>,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(start: &Start, session: &Session) -> Result<Exit> {
    let body = input::json("input", &start.input)?;
    let (saga, settled) = match start.wait {
        Some(wait) => start_and_wait(start, session, &body, wait)?,
        None => (post(start, session, &body, start.id.as_deref(), None)?.1, true),
    };
    match (start.form.json, start.wait) {
        (true, _) => print_json(&saga)?,
        (false, Some(_)) => print(&tree::tree(&saga, &clock::as_of(saga.as_of)))?,
        (false, None) => {
            print(&format!("{}\n", saga.id))?;
            say(&format!("{} {} is {}; follow it with `amends watch {1}`", saga.saga, saga.id, saga.status.as_str()));
        }
    }
    Ok(match start.wait {
        None => Exit::Fine,
        Some(_) if settled => Exit::of(saga.status),
        Some(_) => Exit::Unfinished,
    })
}

/// Several requests if need be: the same start again is the same saga.
fn start_and_wait(start: &Start, session: &Session, body: &str, wait: Duration) -> Result<(Saga, bool)> {
    let until = Instant::now() + wait;
    let mut id = start.id.clone();
    loop {
        let left = until.saturating_duration_since(Instant::now()).min(WAIT_MAX);
        let (status, saga) = post(start, session, body, id.as_deref(), Some(left))?;
        if status != StatusCode::ACCEPTED {
            return Ok((saga, true));
        }
        if Instant::now() >= until {
            return Ok((saga, false));
        }
        id = Some(saga.id);
    }
}

fn post(start: &Start, session: &Session, body: &str, id: Option<&str>, wait: Option<Duration>) -> Result<(StatusCode, Saga)> {
    let wait_text = wait.map(|wait| format!("{}ms", wait.as_millis()));
    let query: Vec<(&str, &str)> =
        id.map(|id| ("id", id)).into_iter().chain(wait_text.as_deref().map(|wait| ("wait", wait))).collect();
    let path = ["v1", "definitions", &start.saga, "sagas"];
    let write = Write { query: &query, body: body.as_bytes(), patience: wait.unwrap_or_default(), ..Write::post(&path) };
    Ok(session.client.write(&write)?)
}
