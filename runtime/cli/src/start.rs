//! `amends start`: starts a saga, and with `--wait` waits for its end.

use std::{
    thread,
    time::{Duration, Instant},
};

use amends_wire::saga::{Saga, Status};
use anyhow::{Context, Result};
use clap::Args;
use http::StatusCode;

use super::{
    clock,
    exit::Exit,
    input,
    patience::{PAUSE, Patience},
    render::tree,
    session::{Form, Session, outcome, print, print_json, say},
};
use amends_client::{ClientError, Write};
use amends_host::api::mint;

/// A wait is several requests of at most this time, or of the limit of the host.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// Start a saga. With --wait, its outcome is printed, and is the exit code.
///
/// A repeated start with the same id, saga and input is the same saga, so it is safe to repeat.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  amends start trip --id T1 --input '{\"flight\":\"F100\"}' --wait\n  amends start order --input @order.json --wait=2m",
    after_long_help = format!("Example:\n  amends start trip --id T1 --input '{{\"flight\":\"F100\"}}' --wait\n  amends start order --input @order.json --wait=2m\n\n{}", super::exit::HELP)
)]
pub(super) struct Start {
    /// The saga's definition.
    saga: String,
    /// The business id; by default the host makes one.
    #[arg(long)]
    id: Option<String>,
    /// The input: JSON, a file as @FILE, or - for stdin.
    #[arg(long, default_value = "{}", value_name = "JSON|@FILE|-")]
    input: String,
    /// Wait until the saga has ended or is stuck, at most for this time; 30s if no time is given.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "30s", value_parser = input::duration)]
    wait: Option<Duration>,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(start: &Start, session: &Session) -> Result<Exit> {
    let asked = Asked {
        saga: &start.saga,
        // The id is known before the start, so that the saga can be found whatever happens to the host.
        id: start
            .id
            .clone()
            .map_or_else(|| mint::fresh(amends_core::Instant(clock::now().at.ms())), Ok)
            .context("no randomness for an id")?,
        input: input::json("input", &start.input)?,
    };
    let Some(wait) = start.wait else { return started(&asked.begin(session)?, start.form) };
    let (saga, gone) = asked.wait(session, wait)?;
    let printed = match (start.form.json, &gone) {
        (true, _) => print_json(&saga),
        (false, None) => print(&tree::tree(&saga, &clock::as_of(saga.as_of))),
        // A tree would be of before.
        (false, Some(_)) => print(&format!("{}\n", saga.id)),
    };
    if let Some(gone) = gone {
        say(&goes_on(&saga, &gone));
    }
    outcome(Exit::of(saga.status), printed)
}

fn started(saga: &Saga, form: Form) -> Result<Exit> {
    if form.json {
        print_json(saga)?;
    } else {
        print(&format!("{}\n", saga.id))?;
        say(&format!("{} {} is {}; follow it with `amends watch {1}`", saga.saga, saga.id, saga.status.as_str()));
    }
    Ok(Exit::Fine)
}

fn goes_on(saga: &Saga, gone: &ClientError) -> String {
    let why = match gone.no_host() {
        Some(why) => format!("the host does not answer any more ({why})"),
        None => format!("the command waits no longer ({gone})"),
    };
    format!("amends: {why}; {} {} is durable and goes on as soon as a host runs: `amends show {1}`", saga.saga, saga.id)
}

/// A start; repeated, it is the same saga.
struct Asked<'a> {
    saga: &'a str,
    id: String,
    input: String,
}

impl Asked<'_> {
    /// Starts the saga. A start whose answer is lost is repeated: by its id it is the same saga.
    fn begin(&self, session: &Session) -> Result<Saga> {
        let mut patience = Patience::new(Duration::ZERO);
        let mut is_sent = false;
        loop {
            match self.start(session, None) {
                Ok((_, saga)) => return Ok(saga),
                Err(error) => {
                    is_sent |= matches!(error, ClientError::Lost { .. });
                    // An unknown host may be a typing error, and a script decides itself about a busy host.
                    if !is_sent {
                        return Err(error.into());
                    }
                    let hint = || format!("{} {} may be started; with `--id {1}` it is the same saga again", self.saga, self.id);
                    patience.outlasts(error).with_context(hint)?;
                }
            }
        }
    }

    /// The last known state of the saga, and why the wait ended if the host did not answer any more.
    fn wait(&self, session: &Session, wait: Duration) -> Result<(Saga, Option<ClientError>)> {
        let until = Instant::now() + wait;
        // The answer comes once the start is durable: later failures can lose the answer, but not the saga.
        let mut saga = self.begin(session)?;
        let mut patience = Patience::new(WAIT_MAX);
        while !is_settled(&saga) {
            let left = until.saturating_duration_since(Instant::now());
            if left.as_millis() == 0 {
                break;
            }
            let (asked, wait) = (Instant::now(), left.min(patience.wait()));
            match self.start(session, Some(wait)) {
                Ok((_, seen)) => {
                    saga = seen;
                    patience.answered();
                }
                Err(error) => {
                    if let Err(gone) = patience.outlasts(error) {
                        return Ok((saga, Some(gone)));
                    }
                    continue;
                }
            }
            // A host that stops, or that has too many waiting requests, answers early.
            if !is_settled(&saga) && asked.elapsed() < wait.max(PAUSE) {
                thread::sleep(PAUSE.min(until.saturating_duration_since(Instant::now())));
            }
        }
        Ok((saga, None))
    }

    fn start(&self, session: &Session, wait: Option<Duration>) -> Result<(StatusCode, Saga), ClientError> {
        let wait_text = wait.map(|wait| format!("{}ms", wait.as_millis()));
        let mut query = vec![("id", self.id.as_str())];
        query.extend(wait_text.as_deref().map(|wait| ("wait", wait)));
        let path = ["v1", "definitions", self.saga, "sagas"];
        let patience = wait.unwrap_or_default();
        session.client.write(&Write { query: &query, body: self.input.as_bytes(), patience, ..Write::post(&path) })
    }
}

fn is_settled(saga: &Saga) -> bool {
    saga.status.is_ended() || saga.status == Status::Stuck
}

#[cfg(test)]
mod tests;
