//! `amends watch`: follows one saga to its end, or all of them until stopped.

use std::{thread, time::Duration};

use amends_wire::{
    journal::{Entry, RecordType},
    saga::{Saga, SagaLine, Status},
};
use anyhow::{Context, Result};
use clap::Args;

use super::{
    clock,
    exit::Exit,
    patience::{PAUSE, Patience},
    render::{
        self,
        style::{self, BOLD, DIM, paint},
        tree,
    },
    session::{Form, Session, outcome, print, print_json, say},
};
use amends_client::{ClientError, Message};

/// How long one request waits.
const NO_WAIT: Duration = Duration::ZERO;

/// What a stream offers after a reconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// Records, from the one after the last that was read.
    Records,
    /// Changes from now on. Changes during the disconnection are lost, and the reader gets a `gap` message instead.
    Changes,
}

/// Follow the records of one saga, or all sagas with a line for each change.
///
/// One saga is followed until it ends or is stuck, and its outcome is the exit code. After a restart of the host, the command
/// continues where it was. Without an id, changes during a restart are not shown; a line on stderr reports this.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends watch T1\n  amends watch --json")]
pub(super) struct Watch {
    /// The saga; all of them when left out.
    id: Option<String>,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(watch: &Watch, session: &Session) -> Result<Exit> {
    match &watch.id {
        Some(id) => one(id, watch.form, session),
        None => all(watch.form, session),
    }
}

fn one(id: &str, form: Form, session: &Session) -> Result<Exit> {
    let saga = to_rest(id, session, |message| entry(message, form))?;
    let printed = if form.json { Ok(()) } else { print(&tree::tree(&saga, &clock::as_of(saga.as_of))) };
    outcome(Exit::of(saga.status), printed)
}

/// Follows a saga until it has ended, or until it is stuck and all of its records were read; the saga as it is then.
fn to_rest(id: &str, session: &Session, mut read: impl FnMut(&Entry) -> Result<()>) -> Result<Saga> {
    let look = || session.client.get::<Saga>(&["v1", "sagas", id], &[]);
    let mut stuck = None;
    // A stuck leg does not stop the others, so each record after it may be the last.
    let mut has_stuck_leg = false;
    // Up to this revision the records are old, and the state of the saga has not changed.
    let mut seen_until = 0;
    follow(session, &["v1", "sagas", id, "watch"], &[], Stream::Records, |message| {
        if message.event == "end" {
            return Ok(false);
        }
        let entry: Entry = serde_json::from_str(&message.data).context("cannot read what the host sent")?;
        read(&entry)?;
        has_stuck_leg |= entry.kind == RecordType::Stuck;
        let revision: u64 = entry.revision.parse().context("cannot read what the host sent")?;
        if has_stuck_leg && revision >= seen_until {
            let saga = look()?;
            seen_until = saga.revision.parse().context("cannot read what the host sent")?;
            stuck = (saga.status == Status::Stuck && seen_until == revision).then_some(saga);
        }
        Ok(stuck.is_none())
    })?;
    stuck.map_or_else(|| Ok(look()?), Ok)
}

fn all(form: Form, session: &Session) -> Result<Exit> {
    follow(session, &["v1", "watch"], &[], Stream::Changes, |message| {
        if message.event == "gap" {
            say("some changes may have been missed; `amends list` shows the current state of all sagas");
            return Ok(true);
        }
        let saga: SagaLine = serde_json::from_str(&message.data).context("cannot read what the host sent")?;
        match form.json {
            true => print_json(&saga)?,
            false => print(&line(&saga))?,
        }
        Ok(true)
    })?;
    Ok(Exit::Fine)
}

/// Passes every message to the reader, across restarts of the host, until the reader or the host ends the stream.
pub(super) fn follow(
    session: &Session,
    path: &[&str],
    query: &[(&str, &str)],
    stream: Stream,
    mut read: impl FnMut(&Message) -> Result<bool>,
) -> Result<()> {
    let mut seen: Option<String> = None;
    let mut patience = Patience::new(NO_WAIT);
    let mut was_connected = false;
    loop {
        match session.client.follow(path, query, seen.as_deref()) {
            Ok(None) => return Ok(()),
            Ok(Some(messages)) => {
                // Reported once the stream is connected again: a user who lists the sagas now misses no later change.
                let gap = (was_connected && stream == Stream::Changes)
                    .then(|| Message { event: "gap".to_owned(), ..Message::default() });
                was_connected = true;
                patience.answered();
                for message in gap.into_iter().chain(messages) {
                    if !read(&message)? {
                        return Ok(());
                    }
                    seen = message.id.or(seen.take());
                }
                say("the connection ended; connecting again …");
                thread::sleep(PAUSE);
            }
            // Only a host that answered before is waited for; any other may be a typing error.
            Err(error) if was_connected => patience.outlasts(error).map_err(not_back)?,
            Err(error) => return Err(error.into()),
        }
    }
}

fn not_back(error: ClientError) -> anyhow::Error {
    match error.is_temporary() {
        true => anyhow::Error::new(error).context("the host does not answer any more; watch again when it does"),
        false => error.into(),
    }
}

fn entry(entry: &Entry, form: Form) -> Result<()> {
    match form.json {
        true => print_json(entry),
        false => print(&(render::journal::line(entry, &clock::now()) + "\n")),
    }
}

fn line(saga: &SagaLine) -> String {
    let now = clock::now();
    let time = paint(DIM, now.clock_ms(now.at));
    format!("{time}  {}  {}  {}\n", paint(BOLD, &saga.id), saga.saga, style::status(saga.status))
}

#[cfg(test)]
mod tests;
