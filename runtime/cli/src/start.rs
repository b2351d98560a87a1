//! `amends start`: starts a saga, and waits for it if asked to.

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

/// A wait is several requests of at most this long, or as long as the host takes.
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
    /// Wait until it has ended or is stuck, at most so long; 30s if no time is given.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "30s", value_parser = input::duration)]
    wait: Option<Duration>,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(start: &Start, session: &Session) -> Result<Exit> {
    let asked = Asked {
        saga: &start.saga,
        // Known before the start: whatever happens to the host, the saga can be asked for.
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
        Some(why) => format!("the host went away ({why}) and did not come back"),
        None => format!("nobody waits any more ({gone})"),
    };
    format!("amends: {why}; {} {} is durable and goes on as soon as a host runs: `amends show {1}`", saga.saga, saga.id)
}

/// A start, which is the same saga as often as it is sent.
struct Asked<'a> {
    saga: &'a str,
    id: String,
    input: String,
}

impl Asked<'_> {
    /// Starts it. A start of which the answer is lost is repeated: by its id it is the same saga.
    fn begin(&self, session: &Session) -> Result<Saga> {
        let mut patience = Patience::new(Duration::ZERO);
        let mut is_sent = false;
        loop {
            match self.start(session, None) {
                Ok((_, saga)) => return Ok(saga),
                Err(error) => {
                    is_sent |= matches!(error, ClientError::Lost { .. });
                    // A host that did not take it may be a typing error, and a script does as it likes about one that is busy.
                    if !is_sent {
                        return Err(error.into());
                    }
                    let hint = || format!("{} {} may be started; with `--id {1}` it is the same saga again", self.saga, self.id);
                    patience.outlasts(error).with_context(hint)?;
                }
            }
        }
    }

    /// The saga as it was last seen, and why nobody waits any more if the host stayed away before the end.
    fn wait(&self, session: &Session, wait: Duration) -> Result<(Saga, Option<ClientError>)> {
        let until = Instant::now() + wait;
        // Answered once the start is durable: what comes after can lose the answer, not the saga.
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
            // A host that stops, or that lets nobody wait now, answers before the time.
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
